"""Does the model fit? Residuals, their shape and spread, sessions that stand apart, and how
outcomes go together.

analysis.py puts what `diagnose` finds beside each fit, and summary.py asks how the outcomes agree;
the report draws the residuals and warns where an assumption does not hold. Nothing here changes an
estimate.
"""

import warnings

import numpy as np
from scipy import stats

from act.statistics.mixed import Fit

OUTLYING = 3.0  # standardised residuals beyond this are listed


def residuals_of(
    fit: Fit, cells: np.ndarray, y: np.ndarray, cluster: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Fitted values (n,), residuals (n,) and the clusters' effects (m,) in sorted order of their
    labels.

    A cluster's effect is its best linear unbiased prediction, b = n lambda / (1 + n lambda) x mean
    of (y - X beta) over its n rows: drawn towards 0, the more the fewer rows. fitted = X beta + b
    (Henderson 1975, Biometrics 31).
    """
    _, index, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    ratio = fit.variance_cluster / fit.variance_residual
    marginal = y - cells @ fit.beta
    effects = ratio * np.bincount(index, marginal) / (1 + sizes * ratio)
    residual = marginal - effects[index]
    return y - residual, residual, effects


def diagnose(
    fit: Fit, cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, sessions: list[str]
) -> dict:
    """Shape of the residuals and of the clients' effects; None where there are too few values or no
    spread.

    skew, excess_kurtosis: 0 for normal residuals. normality_p: D'Agostino & Pearson's omnibus test
    (1973), from 20 rows on. spread_p: one residual variance in all conditions (Brown & Forsythe
    1974). random_skew: of the clients' effects. outliers: sessions whose residual is more than 3
    residual SDs (standardised) away; of 900 normal ones 2 or 3 are.
    """
    _, residual, effects = residuals_of(fit, cells, y, cluster)
    groups = [residual[column == 1] for column in cells.T]
    standardised = residual / fit.variance_residual**0.5
    far = np.flatnonzero(np.abs(standardised) > OUTLYING)
    far = far[np.argsort(-np.abs(standardised[far]), kind="stable")]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # scipy warns where values hardly differ; the result is then not finite
        found = {
            "skew": stats.skew(residual),
            "excess_kurtosis": stats.kurtosis(residual),
            "normality_p": stats.normaltest(residual).pvalue if len(residual) >= 20 else np.nan,
            "spread_p": stats.levene(*groups, center="median").pvalue
            if min(map(len, groups)) > 1
            else np.nan,
            "random_skew": np.nan if fit.singular else stats.skew(effects),
        }
    result = {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
    result["outliers"] = [
        {
            "session": sessions[i],
            "residual": float(residual[i]),
            "standardised": float(standardised[i]),
        }
        for i in far
    ]
    return result


def outcomes_agreement(
    values: dict[str, np.ndarray], cells: np.ndarray, cluster: np.ndarray
) -> dict:
    """Spearman's correlations of all outcomes: "between" sessions, and "within" clients and
    conditions.

    within: of what least squares on condition and client leaves of each outcome, so that neither a
    better condition nor an easier client makes two outcomes agree. None where an outcome does not
    vary.
    """
    names = list(values)
    Y = np.column_stack([values[name] for name in names])
    _, index, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    centred = []
    for table in (
        Y,
        cells,
    ):  # clients taken out of both, then condition: least squares on the two together
        sums = np.zeros((len(sizes), table.shape[1]))
        np.add.at(sums, index, table)
        centred.append(table - (sums / sizes[:, None])[index])
    left = centred[0] - centred[1] @ np.linalg.lstsq(centred[1], centred[0])[0]
    left[np.abs(left) <= 1e-9 * np.abs(Y).max(initial=1.0)] = 0  # rounding is no variation
    return {"names": names, "between": _spearman(Y), "within": _spearman(left)}


def _spearman(Y: np.ndarray) -> list[list[float | None]]:
    ranks = stats.rankdata(Y, axis=0)
    ranks -= ranks.mean(0)
    spread = np.sqrt((ranks**2).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        table = ranks.T @ ranks / np.outer(spread, spread)
    return [[float(np.clip(r, -1, 1)) if np.isfinite(r) else None for r in row] for row in table]
