"""Judge against humans, and humans among themselves: ratings -> agreement, outcome by outcome and
item by item.

`judge.py agree` prints what `compare` returns; the statistics themselves are in agreement.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np

from act.forms import FORMS, OUTCOMES, Form, score
from act.statistics import agreement as statistics

FEW_CLUSTERS = 10  # below, a percentile bootstrap's intervals are far too narrow
Table = np.ndarray  # (sessions, raters), NaN where a rater has not rated


def rated(ratings: Sequence[dict], field: str = "") -> dict[str, dict[str, dict[str, float]]]:
    """rater -> session -> {outcome or item: value}, replicates averaged; items are "ACT-FM 5", "TES
    3".

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
        rater: {
            session: {name: np.mean([o[name] for o in ones]) for name in ones[0]}
            for session, ones in mine.items()
        }
        for rater, mine in values.items()
    }


def table_of(
    name: str, raters: Sequence[dict[str, dict[str, float]]], sessions: Sequence[str]
) -> Table:
    """One outcome or item of some raters."""
    columns = [[rater[s][name] if s in rater else np.nan for s in sessions] for rater in raters]
    return np.array(columns, dtype=float).reshape(len(raters), len(sessions)).T


def against_mean(table: Table) -> Table:
    """Columns of all raters but the last -> their mean; the last one, the judge, stays: (n, 2)."""
    with np.errstate(invalid="ignore"):
        rated = (~np.isnan(table[:, :-1])).sum(axis=1)
        mean = np.where(rated > 0, np.nansum(table[:, :-1], axis=1) / np.maximum(rated, 1), np.nan)
    return np.stack([mean, table[:, -1]], axis=1)


def levels(table: Table) -> list[tuple[str, np.ndarray]]:
    """("low", ...), ("middle", ...), ("high", ...): the sessions, (n,) of bool, whose mean of both
    raters lies there.

    The cuts are the terciles of these means, and a session on a cut belongs below it: equal scores
    are never parted. To sort by one rater's scores would find a bias where there is none: who
    scored a session high by chance is below the other one there (regression to the mean; Bland &
    Altman 1986 plot against the mean for that reason).
    """
    mean = table.mean(axis=1)
    first, second = (
        np.nanquantile(mean, [1 / 3, 2 / 3]) if (~np.isnan(mean)).any() else (np.nan, np.nan)
    )
    return [
        ("low", mean <= first),
        ("middle", (mean > first) & (mean <= second)),
        ("high", mean > second),
    ]


OF_OUTCOMES = {
    "ICC(A,1)": partial(statistics.icc, absolute=True),
    "ICC(C,1)": partial(statistics.icc, absolute=False),
    "mean absolute error": statistics.mean_absolute_error,
    "absolute bias": lambda table, weights: np.abs(statistics.bias(table, weights)),
    "Spearman": statistics.spearman,
}


def of_items(form: Form) -> dict[str, statistics.Statistic]:
    """The statistics of two raters' whole ratings of one item."""
    kappa = partial(statistics.weighted_kappa, low=form.low, high=form.high)
    return {"weighted kappa": kappa, "exact agreement": statistics.exact}


@dataclass
class Rows:
    """The rows of `compare`, as they are added."""

    clusters: np.ndarray  # (sessions,) what is drawn together
    resamples: int
    seed: int
    rows: list[dict] = field(default_factory=list)

    def add(
        self, of: str, raters: str, name: str, table: Table, statistic: statistics.Statistic, **more
    ) -> None:
        """A row of a statistic on the sessions that at least two raters rated."""
        used = (~np.isnan(table)).sum(axis=1) > 1
        row = {"of": of, "raters": raters, "statistic": name, "sessions": int(used.sum())}
        row["clusters"] = len(np.unique(self.clusters[used]))
        resamples = (
            0 if name == "absolute bias" else self.resamples
        )  # folded at 0, which percentiles would not hold
        found = statistics.estimate(
            statistic, table[used], resamples, self.seed, self.clusters[used]
        )
        self.rows.append(row | found | more)

    def add_pairs(
        self,
        of: str,
        raters: str,
        table: Table,
        pairs: list[tuple[int, int]],
        named: dict[str, statistics.Statistic],
    ) -> None:
        """Rows of statistics of two raters, averaged over pairs of columns, with the number of
        pairs that had any."""
        if not pairs:
            return
        for name, statistic in named.items():
            once = np.ones((1, len(table)))
            told = sum(not np.isnan(statistic(table[:, pair], once)[0]) for pair in pairs)
            self.add(of, raters, name, table, statistics.pairs_mean(statistic, pairs), pairs=told)


def compare(
    human: list[dict],
    judge: list[dict],
    field: str,
    resamples: int,
    seed: int,
    cluster: str = "session",
) -> list[dict]:
    """Rows {"of", "raters", "statistic", "sessions", "clusters", "estimate", "ci"}; intervals by
    bootstrap over sessions, or over another field of the ratings ("profile": the sessions of one
    client are drawn together).

    Three kinds of "raters":
      NAME             a judge with the mean of the humans, on outcomes: ICC(A,1), ICC(C,1), mean absolute error, bias
                       (judge less humans), Spearman's correlation, and the bias at low, middle and
                       high scores (`levels`; "range" is where the means of both lie)
      NAME, each human the same and on items quadratic weighted kappa and exact agreement, of the
      judge with one
                       human, averaged over the humans ("pairs": over how many there was an answer)
      humans           the same of two humans, averaged over their pairs: what the row above is to be compared with; and
                       on items Krippendorff's alpha of all of them
    Of a bias that is averaged over pairs the sign is left out. Items are compared in whole ratings
    of the first replicate, of humans too; outcomes in means over replicates.
    """
    everyone, first = rated(human), rated(first_replicates(human))
    judges, first_judges = rated(judge, field), rated(first_replicates(judge))
    humans, n = list(everyone), len(everyone)
    sessions = sorted({r["session"] for r in human})
    of_session = {r["session"]: r[cluster] for r in human}
    clusters = np.unique([of_session[s] for s in sessions], return_inverse=True)[1]
    rows = Rows(clusters, resamples, seed)
    among = list(combinations(range(n), 2))
    for outcome in OUTCOMES:
        table = table_of(outcome, [everyone[name] for name in humans], sessions)
        rows.add_pairs(outcome, "humans", table, among, OF_OUTCOMES)
    for form, of in items():
        table = table_of(of, [first[name] for name in humans], sessions)
        if among:
            alpha = partial(statistics.alpha, low=form.low, high=form.high)
            rows.add(of, "humans", "alpha", table, alpha)
        rows.add_pairs(of, "humans", table, among, of_items(form))
    for name in judges:
        each = [(h, n) for h in range(n)]  # the judge is the last column
        for outcome in OUTCOMES:
            table = table_of(outcome, [*(everyone[h] for h in humans), judges[name]], sessions)
            mean = against_mean(table)
            for statistic in ("ICC(A,1)", "ICC(C,1)", "mean absolute error", "Spearman"):
                rows.add(outcome, name, statistic, mean, OF_OUTCOMES[statistic])
            rows.add(outcome, name, "bias", mean, statistics.bias)
            for level, there in levels(mean):
                scores = mean[there].mean(axis=1)
                part = np.where(there[:, None], mean, np.nan)
                reach = [float(scores.min()), float(scores.max())] if len(scores) else None
                rows.add(outcome, name, f"bias, {level} scores", part, statistics.bias, range=reach)
            rows.add_pairs(outcome, f"{name}, each human", with_judge(table), each, OF_OUTCOMES)
        for form, of in items():
            table = table_of(of, [*(first[h] for h in humans), first_judges[name]], sessions)
            rows.add_pairs(of, f"{name}, each human", with_judge(table), each, of_items(form))
    return rows.rows


def items() -> list[tuple[Form, str]]:
    """(form, "ACT-FM 1"), ..."""
    return [(form, f"{form.name} {item.number}") for form in FORMS for item in form.items]


def first_replicates(ratings: list[dict]) -> list[dict]:
    """Of each rater's valid ratings of a session the one with the lowest replicate number."""
    first: dict[tuple[str, str], dict] = {}
    for rating in sorted(ratings, key=lambda rating: rating["replicate"]):
        if rating["status"] == "ok":
            first.setdefault((rating["rater"], rating["session"]), rating)
    return list(first.values())


def with_judge(table: Table) -> Table:
    """Without the humans' ratings of sessions that the judge, the last column, has not rated."""
    return np.where(np.isnan(table[:, -1:]), np.nan, table)


def as_table(rows: list[dict], cluster: str) -> Iterator[str]:
    """The rows of `compare` as lines of text."""
    width = max(len(row["raters"]) for row in rows) + 2
    interval = f"95% interval (bootstrap over {cluster}s)"
    yield f"{'of':22}{'raters':{width}}{'statistic':34}{'sessions':>8}{'estimate':>10}  {interval}"
    for row in rows:
        statistic = row["statistic"]
        if row.get("range"):
            statistic += " {:.1f}-{:.1f}".format(*row["range"])
        estimate = "none" if row["estimate"] is None else f"{row['estimate']:.3f}"
        interval = "" if row["ci"] is None else "[{:.3f}, {:.3f}]".format(*row["ci"])
        yield f"{row['of']:22}{row['raters']:{width}}{statistic:34}{row['sessions']:8}{estimate:>10}  {interval}"
    most = max((row["clusters"] for row in rows if row["ci"]), default=FEW_CLUSTERS)
    if most < FEW_CLUSTERS:
        yield f"Caution: the intervals stand on {most} {cluster}s; below {FEW_CLUSTERS} they are too narrow."
