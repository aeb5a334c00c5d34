"""Does a judge measure anything? Its ratings of texts whose quality is known -> a verdict in one
line.

For each of the 34 items there are matched pairs of short excerpts: the same client, a therapist who
clearly shows the behaviour and one who clearly does not. And there are whole sessions of high,
mixed and low fidelity, the same client in all three. Length is controlled: in half of the pairs of
an item, and of the clients, the better text is the longer one. Other marks of the surface (words
taken up from the client, commas, long words) are not held equal text by text;
tests/test_check_surface.py shows that judges who go by these, or by random words, get no credit. A
judge who knows good from bad therapists and nothing else (halo) rates all items alike: so of a pair
some other items of the same direction are rated, too, and the pair's own item must move more. What
no such test can rule out is a judge that goes by some mark nobody thought of: `judge.py agree` with
people is the other half.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from act.statistics.contrasts import wilson

LEVELS = ("high", "mixed", "low")
GOOD_SHARE, GOOD_AUC, GOOD_ITEMS, IN_ORDER = (
    0.75,
    0.75,
    0.8,
    0.75,
)  # what "measures" asks for; see `verdict`
LEAST_CLIENTS = 6  # fewer are no evidence of an order
PAIRS_SOME = 0.6  # what "partly" asks of the pairs
MOST_UNRATED = 0.05  # of the texts; a judge that answers where it likes is no judge
BY_CHANCE = (
    12 / 70
)  # P(AUC >= GOOD_AUC) of 4 texts against 4 whose ratings are drawn at random, no two alike
TINY = 1e-9


def auc(shows: Sequence[float], lacks: Sequence[float]) -> tuple[float, list[float]]:
    """(P(a text that shows the behaviour is rated higher than one that lacks it), ties half; its
    95% interval).

    The interval holds every A with |estimate - A| <= 1.96 sqrt(V(A)), V(A) being Hanley & McNeil's (1982) variance for
    groups of equal size, (m + n) / 2: method 5 of Newcombe (2006), which keeps its width where the estimate is 0 or 1.
    """
    signs = np.sign(np.subtract.outer(np.asarray(shows, float), np.asarray(lacks, float)))
    estimate = float((signs.mean() + 1) / 2)
    return estimate, list(_auc_interval(estimate, len(shows), len(lacks)))


@cache
def _auc_interval(estimate: float, m: int, n: int) -> tuple[float, float]:
    z, size = norm.ppf(0.975), (m + n) / 2 - 1

    def excess(a: float) -> float:
        variance = a * (1 - a) * (1 + size * (1 - a) / (2 - a) + size * a / (1 + a)) / (m * n)
        return (a - estimate) ** 2 - z**2 * variance

    # Rounding aside, `excess` is negative next to the estimate, and 0 at an estimate of 0 or 1
    # itself.
    low = 0.0 if estimate == 0 else brentq(excess, 0, estimate - TINY)
    high = 1.0 if estimate == 1 else brentq(excess, estimate + TINY, 1)
    return low, high


def judge_pairs(
    pairs: dict[str, list[tuple[float, float]]], moved: Sequence[tuple[float, float]]
) -> dict:
    """item -> (rating of the text that shows it, of the one that lacks it) -> the AUC of each, and
    of all pairs how many were rated in the right direction; `moved`: of ACT-FM pairs how far the
    rating of the pair's own item differs between its texts, and how far those of other items of its
    direction do on average. Ties count half.
    """
    items = []
    for name, rated in pairs.items():
        estimate, ci = auc(*zip(*rated, strict=True)) if rated else (None, None)
        items.append({"item": name, "pairs": len(rated), "auc": estimate, "ci": ci})
    return {
        "items": items,
        "pairs": larger([pair for rated in pairs.values() for pair in rated]),
        "own": larger(moved),
    }


def larger(pairs: Sequence[tuple[float, float]]) -> dict:
    """In how many pairs the first number is the larger one, ties half, and their share with
    Wilson's intervals."""
    right = sum((a > b) + (a == b) / 2 for a, b in pairs)
    share = {"n": len(pairs), "right": right, "share": None, "ci": None, "ci99": None}
    if pairs:
        share |= {"share": right / len(pairs), "ci": wilson(right, len(pairs), 0.95)}
        share |= {"ci99": wilson(right, len(pairs), 0.99)}
    return share


def judge_sessions(scores: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict]:
    """outcome -> client -> level -> score -> {"means" of the levels, "in_order": clients with high
    > mixed > low, "n", "p" of as many or more by chance}.

    By chance a client is in order one time in two at most: a mixed session is made of the replies
    of the other two, so that a score of its words tends to lie between theirs, whatever it is that
    is scored; then high > low alone decides.
    """
    result = {}
    for outcome, clients in scores.items():
        whole = [levels for levels in clients.values() if set(levels) == set(LEVELS)]
        in_order = sum(levels["high"] > levels["mixed"] > levels["low"] for levels in whole)
        means = {
            level: float(np.mean([levels[level] for levels in whole])) if whole else None
            for level in LEVELS
        }
        p = binomtest(in_order, len(whole), 1 / 2, alternative="greater").pvalue if whole else 1.0
        result[outcome] = {"means": means, "in_order": in_order, "n": len(whole), "p": float(p)}
    return result


def verdict(judge: str, pairs: dict, sessions: dict[str, dict], unrated: float) -> dict:
    """{"level": "measures", "partly" or "nothing", "line": the verdict in words}; `unrated`: the
    share of the texts.

    The sessions are in order where on both outcomes three quarters of the clients are, of six or
    more, beyond chance (95%). "measures": they are, more than three quarters of the matched pairs
    are right beyond chance (95%), four fifths of the items have an AUC of .75 or more, and in more
    than half of the ACT-FM pairs (95%) their own item moves more than others do. "partly": more
    than three fifths of the pairs are right (99%), whatever else. (Half is not enough: who weighs
    words at random, but in one way for all items, passes that one time in twenty.) Neither, where
    more than a twentieth of the texts is unrated.
    """
    share, own, items = pairs["pairs"], pairs["own"], pairs["items"]
    told = [item["item"] for item in items if item["auc"] is not None and item["auc"] >= GOOD_AUC]
    rows = sessions.items()
    in_order = bool(sessions) and all(
        row["n"] >= LEAST_CLIENTS and row["in_order"] >= IN_ORDER * row["n"] and row["p"] < 0.05
        for _, row in rows
    )
    facts = f"{share['right']:g} of {share['n']} matched pairs in the right direction"
    if share["ci"]:
        facts += (
            f" ({share['share']:.0%}, 95% interval {share['ci'][0]:.0%} to {share['ci'][1]:.0%})"
        )
    facts += f", {len(told)} of {len(items)} items with an AUC of {GOOD_AUC} or more"
    facts += f" (by chance {BY_CHANCE * len(items):.0f}), the pair's own item moved most in {own['right']:g} of {own['n']}"
    facts += ", " + " and ".join(
        f"{row['in_order']} of {row['n']} clients in order on {o}" for o, row in rows
    )
    if max((row["n"] for _, row in rows), default=0) < LEAST_CLIENTS:
        facts += f" (fewer than {LEAST_CLIENTS} clients show no order)"
    if unrated:
        facts += f", {unrated:.0%} of the texts unrated"
    right = share["ci"] and share["ci"][0] > GOOD_SHARE and len(told) >= GOOD_ITEMS * len(items)
    if unrated > MOST_UNRATED:
        return {
            "level": "nothing",
            "line": f"{judge} left too many texts unrated to be believed: {facts}.",
        }
    if right and in_order and own["ci"][0] > 0.5:
        return {"level": "measures", "line": f"{judge} tells known groups apart: {facts}."}
    if share["ci99"] and share["ci99"][0] > PAIRS_SOME:
        return {
            "level": "partly",
            "line": f"{judge} measures some of it, not enough to rely on: {facts}.",
        }
    return {
        "level": "nothing",
        "line": f"{judge} measures nothing that this check can see: {facts}.",
    }
