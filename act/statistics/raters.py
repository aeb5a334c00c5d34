"""Who rated what: can a lenient rater be told from a good condition?

A session's score is the mean of its ratings. With rho_r the leniency of rater r, and s_r the share
of a session's ratings that are r's (they add up to 1),

    y_ip = beta_p + sum over raters of rho_r s_r + b_i + e_ip

is the model of single ratings with raters as fixed effects, averaged over each session: one row a
session, whoever and however many rated it. With P cells of conditions and S shares, the conditions'
differences can be estimated where rank [P S] - rank S = conditions - 1. The order in which a rater
rated (a rating's "order", where it has one) stands in the model in the same way.
"""

import numpy as np
from scipy.linalg import qr

from act.statistics.length import at_zero
from act.statistics.ratings import TOTALS, Scores

MOST = 1e9  # a larger number, or NaN, is no place in an order
TINY = 1e-9  # of the largest covariate: what is left is rounding


def by_rater(ratings: list[dict], scores: Scores) -> dict[str, dict]:
    """summary.json's "raters": what the ratings tell of "raters" (two or more) and of "order".

    {"apart": can it be told from the conditions?, "groups": [{"conditions", "raters"}], of which no
    rater crosses from one to another, "outcomes": both totals with it in the model, as in
    `length.at_zero`; None where it cannot be told, or was the same in all conditions}. An order
    that some of the ratings lack is {"apart": None, "outcomes": None, "recorded", "ratings"}.
    """
    row = {key: i for i, key in enumerate(zip(scores.profile, scores.condition, strict=True))}
    valid = [rating for rating in ratings if rating["status"] == "ok"]
    names, rater = np.unique([rating["rater"] for rating in valid], return_inverse=True)
    session = np.array([row[rating["profile"], rating["condition"]] for rating in valid])
    shares = np.zeros((len(row), len(names)))
    np.add.at(shares, (session, rater), 1)
    met = scores.cells.T @ shares > 0  # (conditions, raters)
    shares /= scores.ratings[:, None]
    found = {}
    if len(names) > 1:
        found["raters"] = held_equal(scores, shares)
        found["raters"]["groups"] = groups(scores.conditions, names, met)
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
    """Both totals with covariates (N, c) held at their means, if the design can tell them from the
    conditions."""
    cells, ones = scores.cells, np.ones((len(covariates), 1))
    rank = np.linalg.matrix_rank(np.hstack([cells, covariates]))
    alone = np.linalg.matrix_rank(np.hstack([ones, covariates]))
    apart = bool(rank - alone == cells.shape[1] - 1)
    # what the conditions leave of them, and as many columns as say something beside one another
    left = covariates - cells @ np.linalg.lstsq(cells, covariates)[0]
    _, R, places = qr(left, mode="economic", pivoting=True)
    clear = np.abs(np.diag(R)) > TINY * np.abs(covariates).max()
    kept = (covariates - covariates.mean(0))[:, places[: clear.sum()]]
    outcomes = None
    if apart and kept.size:
        outcomes = {name: at_zero(scores, name, kept)[0] for name in TOTALS}
    return {"apart": apart, "outcomes": outcomes}


def groups(conditions: list[str], raters: np.ndarray, met: np.ndarray) -> list[dict]:
    """Conditions that raters connect, met (conditions, raters): one group if all compare."""
    found: list[dict] = []
    for condition, mine in zip(conditions, met, strict=True):
        group = {"conditions": [condition], "raters": raters[mine].tolist()}
        for other in [one for one in found if set(one["raters"]) & set(group["raters"])]:
            found.remove(other)
            group["conditions"] = other["conditions"] + group["conditions"]
            group["raters"] = sorted({*other["raters"], *group["raters"]})
        found.append(group)
    return found
