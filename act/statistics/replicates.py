"""Several ratings of one session: how far they spread, and what that means for the intervals.

Every analysis takes a session's mean rating. Its error is part of the residual variance, and so of
every standard error, interval and test: adding it again would count it twice. What is not in there
are other judges: raters who like one condition better than their colleagues do move a contrast for
all sessions at once. With two raters or more that can be seen, and each interval is widened for it.
"""

import numpy as np
from scipy import stats

from act.forms import OUTCOMES
from act.records import CONDITIONS
from act.statistics import contrasts
from act.statistics.mixed import fit
from act.statistics.ratings import TOTALS, Scores, scores_by_session

HOW = (
    "A session's ratings are averaged; their spread is part of the residual variance, and so of "
    "every interval. Where several raters rated, ci_raters also holds how differently raters see "
    "the conditions, for raters like these."
)


def replicates(ratings: list[dict], kind: str, scores: Scores) -> dict | None:
    """What summary.json says of sessions rated more than once; None where none was.

    Per outcome: sd_within, the SD of one rating about its session's mean, each rater's leniency
    taken out (it blurs no comparison): sqrt of squares / (ratings - sessions - (raters - 1));
    reliability of the mean, 1 - noise / V, noise = sd_within^2 x mean(1 / ratings), V the variance
    of session means within conditions; noise_share, noise as part of the model's residual variance:
    what more ratings could save. contrasts: with several raters what `across_raters` says.
    """
    by_session = scores_by_session(ratings, kind)
    # (sessions,): how many ratings each has
    numbers = np.array(list(map(len, by_session.values())))
    if numbers.max() < 2:
        return None
    every = [rating for held in by_session.values() for rating in held]
    # (ratings,): whose and of which session each is
    raters, rater = np.unique([who for who, _ in every], return_inverse=True)
    session = np.repeat(np.arange(len(numbers)), numbers)

    def centred(values: np.ndarray) -> np.ndarray:
        return values - (np.bincount(session, values) / numbers)[session]

    spread, reliability, share = {}, {}, {}
    for name in OUTCOMES:
        # (ratings,): distance from the session's mean, then without the raters' leniency
        deviation = centred(np.array([outcomes[name] for _, outcomes in every]))
        leniency = np.bincount(rater, deviation) / np.bincount(rater)
        deviation -= centred(leniency[rater])
        freedom = len(every) - len(numbers) - (len(raters) - 1)
        variance = deviation @ deviation / max(1, freedom)
        noise = variance * (1 / numbers).mean()
        # Noise beside the variance of session means within conditions
        cells, means, _ = scores.data(name)
        left = means - cells @ np.linalg.lstsq(cells, means)[0]
        V = left @ left / (len(means) - cells.shape[1])
        try:
            residual = scores.fit(name).variance_residual
        except ValueError:  # constant ratings: the outcome's own entry says so
            residual = 0.0
        spread[name] = float(variance**0.5)
        reliability[name] = float(max(0.0, 1 - noise / V)) if V > 0 else None
        share[name] = float(min(1.0, noise / residual)) if residual > 0 else None
    each = {"min": int(numbers.min()), "mean": float(numbers.mean()), "max": int(numbers.max())}
    across = None
    if len(raters) > 1:
        across = {name: across_raters(by_session, name) for name in TOTALS}
    return {
        "raters": raters.tolist(),
        "per_session": each,
        "sd_within": spread,
        "reliability": reliability,
        "noise_share": share,
        "contrasts": across,
        "how": HOW,
    }


def across_raters(by_session: dict[tuple[str, str], list], outcome: str) -> dict:
    """All pairs with intervals for raters like these J, from the sessions that all of them rated.

    e, a rater's score of a session minus the raters' mean, varies by sigma2 within a condition and
    by tau2, rater x condition, between conditions; with mean squares MS_RC on (k - 1)(J - 1) df and
    MS_W, n sessions a condition,

        tau2 = max(0, (MS_RC - MS_W) / n),     Var(difference) = se^2 + 2 tau2 / J

    se of the model on the mean of these sessions' raters. df by Satterthwaite (1946) from those of
    se^2 and of MS_RC. "sd" is sqrt of tau2.
    """
    # (sessions, J): each rater's score, a mean where one rated several times
    raters = sorted({rater for held in by_session.values() for rater, _ in held})
    keys, table = [], []
    for key, held in by_session.items():
        mine = {rater: [] for rater in raters}
        for rater, scored in held:
            mine[rater].append(scored[outcome])
        if all(mine.values()):
            keys.append(key)
            table.append([np.mean(values) for values in mine.values()])
    profile = np.array([profile for profile, _ in keys])
    condition = np.array([condition for _, condition in keys])
    names = [name for name in CONDITIONS if name in condition]
    J, k = len(raters), len(names)
    y = np.array(table).reshape(len(keys), J)
    result = {"sessions": len(keys), "raters": J, "sd": None, "rows": None, "refused": None}
    try:
        if k < 2:
            raise ValueError("fewer than 2 conditions have sessions that all raters rated")
        cells = np.equal.outer(condition, names).astype(float)
        model = fit(cells, y.mean(axis=1), profile)
        if len(keys) == k:
            raise ValueError("one session a condition: no spread of raters within conditions")
    except ValueError as reason:
        return result | {"refused": str(reason)}
    # Each pair's interval, wider by what raters differ in.
    ms_rc, ms_w, n = _mean_squares(y, cells)
    tau2, rows = max(0.0, (ms_rc - ms_w) / n), []
    for pair in contrasts.pairwise(model, names):
        variance = pair["se"] ** 2 + 2 * tau2 / J
        doubt = pair["se"] ** 4 / pair["df"]
        if tau2 > 0:
            doubt += (2 * ms_rc / (n * J)) ** 2 / ((k - 1) * (J - 1))
        df, se = variance**2 / doubt, variance**0.5
        row = {name: pair[name] for name in ("a", "b", "difference", "se")}
        row |= {"se_raters": se, "df": df}
        row["ci_raters"] = contrasts.interval(pair["difference"], se, df)
        row["p_raters"] = float(2 * stats.t.sf(abs(pair["difference"]) / se, df))
        rows.append(row)
    return result | {"sd": tau2**0.5, "rows": rows}


def _mean_squares(y: np.ndarray, cells: np.ndarray) -> tuple[float, float, float]:
    """MS_RC, MS_W and n of `across_raters`; y (sessions, J), cells (sessions, k)."""
    (sessions, k), J = cells.shape, y.shape[1]
    counts = cells.sum(0)  # (k,): sessions of each condition
    e = y - y.mean(axis=1, keepdims=True)  # (sessions, J)
    means = cells.T @ e / counts[:, None]  # (k, J)
    between = (counts[:, None] * (means - e.mean(0)) ** 2).sum()
    within = ((e - cells @ means) ** 2).sum()
    ms_rc, ms_w = between / ((k - 1) * (J - 1)), within / ((sessions - k) * (J - 1))
    # Counts may be unequal: n is what MS_RC's expectation has before tau2.
    n = (counts.sum() - (counts**2).sum() / counts.sum()) / (k - 1)
    return ms_rc, ms_w, n
