"""Does the model fit? Residuals, their shape and spread, and sessions that stand apart.

analysis.py puts what `diagnose` finds beside each fit; the report draws the residuals and warns
where an assumption does not hold. Nothing here changes an estimate.
"""

import warnings

import numpy as np
from scipy import stats

from act.statistics.mixed import Fit

OUTLYING = 3.0  # standardised residuals beyond this are listed


def residuals_of(
    fit: Fit, cells: np.ndarray, y: np.ndarray, cluster: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fitted values X beta + b (n,), residuals (n,), and effects b of the sorted clients (m,).

    b is the best linear unbiased prediction, n lambda / (1 + n lambda) x mean of (y - X beta) over
    a client's n rows: drawn towards 0, the more the fewer rows (Henderson 1975, Biometrics 31).
    """
    _, index, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    ratio = fit.variance_cluster / fit.variance_residual
    marginal = y - cells @ fit.beta  # (n,)
    effects = ratio * np.bincount(index, marginal) / (1 + sizes * ratio)  # (m,)
    residual = marginal - effects[index]
    return y - residual, residual, effects


def diagnose(
    fit: Fit, cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, sessions: list[str]
) -> dict:
    """Shape of residuals and clients' effects; None where values are too few or do not vary.

    skew, excess_kurtosis: 0 for normal residuals. normality_p: D'Agostino & Pearson's omnibus test
    (1973), from 20 rows on. spread_p: one residual variance in all conditions (Brown & Forsythe
    1974). random_skew: of the clients' effects. outliers: sessions more than 3 residual SDs
    (standardised) away, the farthest first; of 900 normal ones 2 or 3 are.
    """
    _, residual, effects = residuals_of(fit, cells, y, cluster)
    groups = [residual[column == 1] for column in cells.T]
    found = dict.fromkeys(("skew", "excess_kurtosis", "normality_p", "spread_p", "random_skew"))
    with warnings.catch_warnings():
        # Where values hardly differ scipy warns, and the result is not finite.
        warnings.simplefilter("ignore")
        found["skew"] = stats.skew(residual)
        found["excess_kurtosis"] = stats.kurtosis(residual)
        if len(residual) >= 20:
            found["normality_p"] = stats.normaltest(residual).pvalue
        if min(map(len, groups)) > 1:
            found["spread_p"] = stats.levene(*groups, center="median").pvalue
        if not fit.singular:
            found["random_skew"] = stats.skew(effects)
    for name, value in found.items():
        known = value is not None and np.isfinite(value)
        found[name] = float(value) if known else None
    standardised = residual / fit.variance_residual**0.5
    found["outliers"] = []
    for i in np.argsort(-np.abs(standardised), kind="stable"):
        if abs(standardised[i]) > OUTLYING:
            row = {"session": sessions[i], "residual": float(residual[i])}
            row["standardised"] = float(standardised[i])
            found["outliers"].append(row)
    return found
