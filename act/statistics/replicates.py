"""Several ratings of one session: how far they spread, and what that means for the intervals.

Every analysis takes a session's mean rating. Its error, one rating's variance about the session's
mean divided by the number of ratings, is part of the residual variance: every standard error,
interval and test holds it already, as the raters and settings at hand produce it. Adding it again
would count it twice. What is not in there are other judges: raters who like one condition better
than their colleagues do move a contrast for all sessions at once. With two raters or more that part
can be seen, and `contrasts` here widens each interval for it.
"""

import numpy as np
from scipy import stats

from act.forms import OUTCOMES
from act.records import CONDITIONS
from act.statistics import contrasts
from act.statistics.analysis import TOTALS, Scores, scores_by_session
from act.statistics.mixed import fit

HOW = (
    "A session's ratings are averaged; their spread is part of the residual variance, and so of every interval. "
    "Where several raters rated, ci_raters also holds how differently raters see the conditions, for raters like these."
)


def replicates(ratings: list[dict], kind: str, scores: Scores) -> dict | None:
    """What summary.json says of sessions rated more than once; None where none was.

    raters; per_session: min, mean, max ratings; per outcome: sd_within, the SD of one rating about
    its session's mean, each rater's overall leniency taken out (it does not blur a comparison):
    sqrt of squares / (ratings - sessions - (raters - 1)); reliability of the mean, 1 - noise / V
    with noise = sd_within^2 x mean(1 / ratings) and V the variance of session means within
    conditions (0 where noise is larger; None where V is 0); noise_share, noise as part of the
    model's residual variance: what more ratings could save. contrasts: None with one rater, else
    for both totals what `across_raters` says.
    """
    by_session = scores_by_session(ratings, kind)
    numbers = np.array([len(held) for held in by_session.values()])
    if numbers.max() < 2:
        return None
    raters = sorted({rater for held in by_session.values() for rater, _ in held})
    result = {
        "raters": raters,
        "per_session": {
            "min": int(numbers.min()),
            "mean": float(numbers.mean()),
            "max": int(numbers.max()),
        },
        "sd_within": {},
        "reliability": {},
        "noise_share": {},
    }
    session = np.repeat(np.arange(len(numbers)), numbers)
    rater = np.array([raters.index(who) for held in by_session.values() for who, _ in held])
    for name in OUTCOMES:
        values = np.array([outcome[name] for held in by_session.values() for _, outcome in held])
        deviation = values - (np.bincount(session, values) / numbers)[session]
        leniency = (np.bincount(rater, deviation) / np.bincount(rater))[rater]
        deviation -= leniency - (np.bincount(session, leniency) / numbers)[session]
        variance = deviation @ deviation / max(1, len(values) - len(numbers) - (len(raters) - 1))
        noise = variance * (1 / numbers).mean()
        means, cells = scores.values[name], scores.cells
        left = means - cells @ np.linalg.lstsq(cells, means)[0]
        spread = left @ left / (len(means) - cells.shape[1])
        result["sd_within"][name] = float(variance**0.5)
        result["reliability"][name] = float(max(0.0, 1 - noise / spread)) if spread > 0 else None
        try:
            residual = fit(cells, means, scores.profile).variance_residual
        except ValueError:  # constant ratings: the outcome's own entry says so
            residual = 0.0
        result["noise_share"][name] = float(min(1.0, noise / residual)) if residual > 0 else None
    several = len(raters) > 1
    result["contrasts"] = (
        {name: across_raters(by_session, name) for name in TOTALS} if several else None
    )
    return result | {"how": HOW}


def across_raters(by_session: dict[tuple[str, str], list], outcome: str) -> dict:
    """All pairs with intervals for raters like these J, from the sessions that all of them rated.

    e, a rater's score of a session minus the raters' mean, varies by sigma2 within a condition and
    by tau2, rater x condition, between conditions; with mean squares MS_RC on (k - 1)(J - 1) df and
    MS_W, n sessions a condition,

        tau2 = max(0, (MS_RC - MS_W) / n),     Var(difference) = se^2 + 2 tau2 / J

    se of the model on the mean of these sessions' raters. df by Satterthwaite (1946) from those of
    se^2 and of MS_RC. {"sessions", "raters", "sd" (sqrt of tau2), "rows": [{"a", "b", "difference",
    "se", "se_raters", "df", "ci_raters", "p_raters"}], "refused"}.
    """
    raters = sorted({rater for held in by_session.values() for rater, _ in held})
    keys, table = [], []
    for key, held in by_session.items():
        mine = [[scored[outcome] for who, scored in held if who == rater] for rater in raters]
        if all(mine):
            keys.append(key)
            table.append([float(np.mean(values)) for values in mine])
    result = {
        "sessions": len(keys),
        "raters": len(raters),
        "sd": None,
        "rows": None,
        "refused": None,
    }
    profile, condition = (np.array([key[i] for key in keys]) for i in (0, 1))
    names = [name for name in CONDITIONS if name in condition]
    y, J, k = np.array(table).reshape(len(keys), len(raters)), len(raters), len(names)
    try:
        if k < 2:
            raise ValueError("fewer than 2 conditions have sessions that all raters rated")
        cells = np.equal.outer(condition, names).astype(float)
        model = fit(cells, y.mean(axis=1), profile)
        if len(keys) == k:
            raise ValueError("one session a condition: no spread of raters within conditions")
    except ValueError as reason:
        return result | {"refused": str(reason)}
    e = y - y.mean(axis=1, keepdims=True)
    counts = cells.sum(0)
    means = cells.T @ e / counts[:, None]  # (k, J)
    rc = (counts[:, None] * (means - e.mean(0)) ** 2).sum() / ((k - 1) * (J - 1))
    w = ((e - cells @ means) ** 2).sum() / ((len(keys) - k) * (J - 1))
    n = (counts.sum() - (counts**2).sum() / counts.sum()) / (
        k - 1
    )  # the mean square's expectation, unequal counts
    tau2 = max(0.0, (rc - w) / n)
    rows = []
    for pair in contrasts.pairwise(model, names):
        variance = pair["se"] ** 2 + 2 * tau2 / J
        doubt = pair["se"] ** 4 / pair["df"]
        if tau2 > 0:
            doubt += (2 * rc / (n * J)) ** 2 / ((k - 1) * (J - 1))
        df, se = variance**2 / doubt, variance**0.5
        rows.append(
            {name: pair[name] for name in ("a", "b", "difference", "se")}
            | {
                "se_raters": se,
                "df": df,
                "ci_raters": contrasts.t_interval(pair["difference"], se, df),
            }
            | {"p_raters": float(2 * stats.t.sf(abs(pair["difference"]) / se, df))}
        )
    return result | {"sd": tau2**0.5, "rows": rows}
