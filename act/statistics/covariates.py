"""Does an answer hang on something else? The conditions compared once more, with it held equal.

Longer replies may be likelier, token by token, and may be rated higher; a rater may be lenient, or
grow tired. Where conditions differ in that, a difference of conditions holds some of it. What would
be left of it is a coefficient of the same mixed model with that as covariate (contrasts.compare).
"""

import numpy as np
from scipy import stats
from scipy.linalg import qr
from scipy.sparse.csgraph import connected_components

from act.statistics.contrasts import compare, difference
from act.statistics.ratings import TOTALS, Scores

MOST = 1e9  # a larger number, or NaN, is no place in an order
TINY = 1e-9  # of the largest covariate: what is left is rounding
SLOPE = ("se", "ci", "df", "p", "p_satterthwaite", "ci_satterthwaite")


def equal_length(scores: Scores, outcome: str, longer: np.ndarray) -> dict:
    """Preferences at equal reply lengths: an entry as `compare` makes it.

        margin_ip = beta_p + gamma_p d_ip + b_i + e_ip      b_i ~ N(0, s2_b), e_ip ~ N(0, s2)

    of pair i in condition p, d = tokens(wanted) - tokens(unwanted) (N,), not centred: beta_p is the
    condition's margin on pairs of equally long replies, gamma_p what a token more does to it.
    """
    return compare(scores, outcome, scores.cells * longer[:, None])[0]


def with_length(scores: Scores, length: np.ndarray) -> dict[str, dict]:
    """Both totals with the words of a session's mean reply, length (N,), as covariate.

        y_ip = beta_p + gamma (l_ip - mean l) + b_i + e_ip

    beta_p is the condition's mean at the length of all. Centred in its condition instead, l has the
    same gamma with the same error: "within", points a word between sessions of one condition. The
    contrast at equal length is the difference less gamma x the difference of mean lengths, with the
    error of both. "between" describes: the line through the conditions' means over their mean
    lengths, its slope and Spearman's rho; it has as many points as there are conditions.
    """
    cells, counts = scores.cells, scores.cells.sum(0)
    words, found = length @ cells / counts, {}  # words: each condition's mean
    for outcome in TOTALS:
        result, model = compare(scores, outcome, (length - length.mean())[:, None])
        result["length"] = dict(zip(scores.conditions, words.tolist(), strict=True))
        result |= {"within": None, "between": None}
        if model:
            slope = difference(model, np.eye(len(model.beta))[-1])
            within = {"slope": slope["difference"]} | {name: slope[name] for name in SLOPE}
            result["within"] = within
        seen = scores.values[outcome] @ cells / counts
        if len(set(words)) > 2 and len(set(seen)) > 1:
            slope, rho = np.polyfit(words, seen, 1)[0], stats.spearmanr(words, seen).statistic
            result["between"] = {"slope": float(slope), "spearman": float(rho)}
        found[outcome] = result
    return found


def by_rater(ratings: list[dict], scores: Scores) -> dict[str, dict]:
    """summary.json's "raters": can raters (two or more), and the order in which they rated, be told
    from the conditions? A session's score is the mean of its ratings. With rho_r the leniency of
    rater r, and s_r the share of a session's ratings that are r's (they add up to 1),

        y_ip = beta_p + sum over raters of rho_r s_r + b_i + e_ip

    is the model of single ratings with raters as fixed effects, averaged over each session. The
    ratings' "order", where they have one, stands in the model in the same way.

    {"raters": `held_equal` and its "groups", "order": `held_equal`, or {"apart": None, "outcomes":
    None, "recorded", "ratings"} where some of the ratings lack it}.
    """
    valid, session = scores.rows_of(ratings)
    names, rater = np.unique([rating["rater"] for rating in valid], return_inverse=True)
    shares = np.zeros((len(scores.ratings), len(names)))
    np.add.at(shares, (session, rater), 1)
    found = {}
    if len(names) > 1:
        found["raters"] = held_equal(scores, shares / scores.ratings[:, None])
        found["raters"]["groups"] = groups(scores, names, shares)
    order = [rating.get("order") for rating in valid]
    places = [isinstance(place, int | float) and abs(place) < MOST for place in order]
    if all(places):
        mean = np.bincount(session, order) / scores.ratings
        found["order"] = held_equal(scores, mean[:, None])
    elif set(order) != {None}:
        counts = {"recorded": sum(places), "ratings": len(places)}
        found["order"] = {"apart": None, "outcomes": None} | counts
    return found


def held_equal(scores: Scores, covariates: np.ndarray) -> dict:
    """{"apart", "outcomes"}: can covariates S (N, c) be told from the conditions' cells P, rank
    [P S] - rank [1 S] = conditions - 1? If so both totals with S at its mean; None where it cannot,
    or was the same in all conditions."""
    rank, cells, ones = np.linalg.matrix_rank, scores.cells, np.ones((len(covariates), 1))
    more = rank(np.hstack([cells, covariates])) - rank(np.hstack([ones, covariates]))
    found = {"apart": bool(more == cells.shape[1] - 1), "outcomes": None}
    # what the conditions leave of them, and as many columns as say something beside one another
    left = covariates - cells @ np.linalg.lstsq(cells, covariates)[0]
    _, R, places = qr(left, mode="economic", pivoting=True)
    clear = np.abs(np.diag(R)) > TINY * np.abs(covariates).max()
    kept = (covariates - covariates.mean(0))[:, places[: clear.sum()]]
    if found["apart"] and kept.size:
        found["outcomes"] = {name: compare(scores, name, kept)[0] for name in TOTALS}
    return found


def groups(scores: Scores, raters: np.ndarray, shares: np.ndarray) -> list[dict]:
    """[{"conditions", "raters"}], of which no rater crosses from one to another: one group if all
    conditions can be compared; shares (N, raters)."""
    met = scores.cells.T @ shares > 0  # (conditions, raters)
    _, group = connected_components(met @ met.T)  # (conditions,): the group of each
    found = []
    for number in range(group.max() + 1):
        mine = group == number
        names = np.array(scores.conditions)[mine].tolist()
        found.append({"conditions": names, "raters": raters[met[mine].any(0)].tolist()})
    return found
