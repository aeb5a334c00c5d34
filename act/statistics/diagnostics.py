"""What stands behind the numbers: does the model fit, and how far do several ratings differ?

Every analysis takes a session's mean rating, whose error is part of the residual variance, and so
of every standard error, interval and test. What is not in there are other judges: who likes one
condition better than his colleagues do moves a contrast for all sessions at once.
"""

import warnings

import numpy as np
from scipy import stats

from act.forms import OUTCOMES
from act.statistics.mixed import NEGLIGIBLE, Fit
from act.statistics.ratings import SUFFIX, Scores, outcomes_of

OUTLYING = 3.0  # standardised residuals beyond this are listed
# Of sessions: fitted values (N,), residuals (N,); of the sorted clients: effects (m,)
Residuals = tuple[np.ndarray, np.ndarray, np.ndarray]


def residuals_of(fit: Fit, cells: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> Residuals:
    """Fitted values X beta + b, residuals, and effects b of the clients.

    b is the best linear unbiased prediction, n lambda / (1 + n lambda) x mean of (y - X beta) over
    a client's n rows: drawn towards 0, the more the fewer rows (Henderson 1975, Biometrics 31).
    """
    _, index, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    ratio = fit.variance_cluster / fit.variance_residual
    marginal = y - cells @ fit.beta  # (N,)
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
    several = min(map(len, groups)) > 1
    with warnings.catch_warnings():
        # Where values are few or hardly differ scipy warns, and the result may not be finite.
        warnings.simplefilter("ignore")
        found = {"skew": stats.skew(residual), "excess_kurtosis": stats.kurtosis(residual)}
        found["normality_p"] = stats.normaltest(residual).pvalue if len(y) >= 20 else np.nan
        found["spread_p"] = stats.levene(*groups, center="median").pvalue if several else np.nan
        found["random_skew"] = np.nan if fit.singular else stats.skew(effects)
    for name, value in found.items():
        found[name] = float(value) if np.isfinite(value) else None
    standardised = residual / fit.variance_residual**0.5
    far = np.abs(standardised)
    found["outliers"] = []
    for i in np.argsort(-far, kind="stable")[: (far > OUTLYING).sum()]:
        row = {"session": sessions[i], "residual": float(residual[i])}
        found["outliers"].append(row | {"standardised": float(standardised[i])})
    return found


def replicates(ratings: list[dict], kind: str, scores: Scores) -> dict | None:
    """What summary.json says of sessions rated more than once; None where none was.

    Per outcome: sd_within, the SD of one rating about its session's mean, each rater's leniency
    taken out (it blurs no comparison): sqrt of squares / (ratings - sessions - (raters - 1));
    reliability of the mean, 1 - noise / V, noise = sd_within^2 x mean(1 / ratings), V the variance
    of session means within conditions. None where nothing tells of one of them.
    """
    times = scores.ratings  # (N,): how often each session was rated
    if times.max() < 2:
        return None
    # M ratings: what they say, of which session, by whom
    valid, session = scores.rows_of(ratings)
    outcomes = [outcomes_of(rating, SUFFIX[kind]) for rating in valid]
    raters, rater = np.unique([rating["rater"] for rating in valid], return_inverse=True)

    def centred(values: np.ndarray) -> np.ndarray:
        return values - (np.bincount(session, values) / times)[session]

    # What the ratings tell of their spread, and the sessions of theirs
    freedom = len(valid) - len(times) - (len(raters) - 1)
    between = len(times) - len(scores.conditions)
    spread, reliability = {}, {}
    for name in OUTCOMES:
        # (M,): distance from the session's mean, then without the raters' leniency
        deviation = centred(np.array([one[name] for one in outcomes]))
        leniency = np.bincount(rater, deviation) / np.bincount(rater)
        deviation -= centred(leniency[rater])
        variance = float(deviation @ deviation / freedom) if freedom > 0 else None
        spread[name], reliability[name] = variance and variance**0.5, None
        # Noise beside the variance of session means within conditions
        cells, means, _ = scores.data(name)
        left = means - cells @ np.linalg.lstsq(cells, means)[0]
        if variance is not None and left @ left > NEGLIGIBLE * (means @ means):
            noise = variance * (1 / times).mean()
            reliability[name] = float(max(0, 1 - noise / (left @ left / between)))
    each = {"min": int(times.min()), "mean": float(times.mean()), "max": int(times.max())}
    found = {"raters": raters.tolist(), "per_session": each}
    return found | {"sd_within": spread, "reliability": reliability}
