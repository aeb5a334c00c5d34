"""Judge against humans, and humans among themselves: ratings -> agreement, outcome by outcome and item by item."""

from collections.abc import Callable, Sequence

import numpy as np

from act.measure import agreement as statistics
from act.measure.forms import FORMS, OUTCOMES, score

Table = np.ndarray  # (sessions, raters), NaN where a rater has not rated


def rated(ratings: Sequence[dict], field: str = "") -> dict[str, dict[str, dict[str, float]]]:
    """rater -> session -> {outcome or item: value}, replicates averaged; items are "ACT-FM 5", "TES 3".

    `field` is "" for whole ratings, "_expected" for probability-weighted ones.
    """
    values: dict[str, dict[str, list[dict[str, float]]]] = {}
    for rating in ratings:
        if rating["status"] == "ok":
            act_fm, tes = rating[f"act_fm{field}"], rating[f"tes{field}"]
            one = score(act_fm, tes)
            for form, numbers in zip(FORMS, (act_fm, tes), strict=True):
                one |= {f"{form.name} {i}": value for i, value in enumerate(numbers, 1)}
            values.setdefault(rating["rater"], {}).setdefault(rating["session"], []).append(one)
    return {
        rater: {session: {name: np.mean([o[name] for o in ones]) for name in ones[0]} for session, ones in mine.items()}
        for rater, mine in values.items()
    }


def table_of(name: str, raters: Sequence[dict[str, dict[str, float]]], sessions: Sequence[str]) -> Table:
    """One outcome or item of some raters."""
    columns = [[rater[s][name] if s in rater else np.nan for s in sessions] for rater in raters]
    return np.array(columns, dtype=float).reshape(len(raters), len(sessions)).T


def against_mean(table: Table) -> Table:
    """Columns of all raters but the last -> their mean; the last one, the judge, stays: (n, 2)."""
    with np.errstate(invalid="ignore"):
        rated = (~np.isnan(table[:, :-1])).sum(axis=1)
        mean = np.where(rated > 0, np.nansum(table[:, :-1], axis=1) / np.maximum(rated, 1), np.nan)
    return np.stack([mean, table[:, -1]], axis=1)


def each_human(statistic: statistics.Statistic) -> statistics.Statistic:
    """A statistic of two raters -> its mean over the humans (all columns but the last), each with the judge."""

    def mean(table: Table, weights: np.ndarray) -> np.ndarray:
        return np.mean([statistic(table[:, [h, -1]], weights) for h in range(table.shape[1] - 1)], axis=0)

    return mean


def icc(absolute: bool) -> statistics.Statistic:
    return lambda table, weights: statistics.icc(table, weights, absolute)


def compare(human: list[dict], judge: list[dict], field: str, resamples: int, seed: int) -> list[dict]:
    """Rows {"of", "raters", "statistic", "sessions", "estimate", "ci"}; intervals by bootstrap over sessions.

    Of each outcome: ICC(A,1), ICC(C,1), mean absolute error, bias (judge minus human) and Spearman's correlation of a
    judge with the mean of the humans, the bias in the lower, middle and upper third of the humans' scores, and the
    ICCs of the humans among themselves. Of each item: quadratic weighted kappa and exact agreement of a judge with each
    human, on average, and Krippendorff's alpha of the humans. Items are compared in whole ratings of the first
    replicate, outcomes in means over replicates.
    """
    rows: list[dict] = []
    people = rated(human)
    names = list(people)

    def add(of: str, raters: str, statistic: str, table: Table, function: Callable) -> None:
        sessions = int((~np.isnan(table)).any(axis=1).sum())
        row = {"of": of, "raters": raters, "statistic": statistic, "sessions": sessions}
        rows.append(row | statistics.estimate(function, table, resamples, seed))

    def thirds(of: str, judge_name: str, table: Table) -> None:
        order = np.argsort(table[:, 0], kind="stable")
        for level, part in zip(("low", "middle", "high"), np.array_split(order, 3), strict=True):
            add(of, judge_name, f"bias, {level} third", table[part], statistics.bias)

    def items(raters: Sequence[dict], among: str) -> None:
        sessions = sorted({session for rater in raters for session in rater})
        for form in FORMS:
            for item in form.items:
                table = table_of(f"{form.name} {item.number}", raters, sessions)
                low, high = form.low, form.high

                def kappa(t: Table, w: np.ndarray, low: int = low, high: int = high) -> np.ndarray:
                    return statistics.weighted_kappa(t, w, low, high)

                def alpha(t: Table, w: np.ndarray, low: int = low, high: int = high) -> np.ndarray:
                    return statistics.alpha(t, w, low, high)

                of = f"{form.name} {item.number}"
                if among == "humans":
                    add(of, among, "alpha", table, alpha)
                else:
                    add(of, among, "weighted kappa", table, each_human(kappa))
                    add(of, among, "exact agreement", table, each_human(statistics.exact))

    humans = [people[name] for name in names]
    if len(humans) > 1:
        shared = sorted(set.intersection(*(set(rater) for rater in humans)))
        for outcome in OUTCOMES:
            table = table_of(outcome, humans, shared)
            add(outcome, "humans", "ICC(A,1)", table, icc(True))
            add(outcome, "humans", "ICC(C,1)", table, icc(False))
        items(humans, "humans")
    first = {rater: min(r["replicate"] for r in judge if r["rater"] == rater) for rater in {r["rater"] for r in judge}}
    whole = rated([rating for rating in judge if rating["replicate"] == first[rating["rater"]]])
    for name, scores in rated(judge, field).items():
        sessions = sorted(session for session in scores if any(session in rater for rater in humans))
        for outcome in OUTCOMES:
            table = against_mean(table_of(outcome, [*humans, scores], sessions))
            add(outcome, name, "ICC(A,1)", table, icc(True))
            add(outcome, name, "ICC(C,1)", table, icc(False))
            add(outcome, name, "mean absolute error", table, statistics.mean_absolute_error)
            add(outcome, name, "bias", table, statistics.bias)
            add(outcome, name, "Spearman", table, statistics.spearman)
            thirds(outcome, name, table)
        items([*humans, {s: whole[name][s] for s in sessions if s in whole.get(name, {})}], name)
    return rows
