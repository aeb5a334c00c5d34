"""How far raters agree: a judge with people, and people with one another, by outcome and by item.

A statistic takes a table (n sessions, k raters), NaN where a rating is missing, and weights (B, n):
how often each session is drawn. That of the data has weights one; a bootstrap over sessions (Efron
1979) is the same call with drawn weights. It gives (B,) numbers, NaN where there is no answer: no
variation, or nothing rated twice. An intraclass correlation of a table without gaps has its
interval by F instead, which covers as it should with few sessions, where percentiles do not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from scipy.stats import f as f_distribution

from act.forms import FORMS, OUTCOMES
from act.statistics.ratings import outcomes_of
from act.statistics.scales import HALO, consistency, mean_squares, never_vary

Array = np.ndarray  # a table (n, k), weights (B, n)
Ratings = list[dict]
Statistic = Callable[[Array, Array], Array]  # table, weights -> (B,)

FEW_CLUSTERS = 10  # below, a percentile bootstrap's intervals are far too narrow
ITEMS = [f"{form.name} {item.number}" for form in FORMS for item in form.items]
VARIABLES = (*OUTCOMES, *ITEMS)  # what raters are compared on
CRONBACH = "Cronbach's alpha"


def complete(table: Array, weights: Array) -> tuple[Array, Array]:
    """Table and weights of the sessions that all raters rated."""
    whole = ~np.isnan(table).any(axis=1)
    return table[whole], weights[:, whole]


@np.errstate(invalid="ignore")
def mean_rated(table: Array) -> Array:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    return np.nansum(table, axis=-1) / (~np.isnan(table)).sum(axis=-1)


def of_mean(one: Array, k: int) -> Array:
    """Spearman (1910) and Brown: the reliability of the mean of k ratings, from that of one; NaN
    where they are so opposed that it is not defined."""
    below = 1 + (k - 1) * one
    return np.where(below > 0, k * one / below, np.nan)


@np.errstate(invalid="ignore", divide="ignore")
def icc(table: Array, weights: Array, kind: str) -> Array:
    """ICC(A,1), absolute agreement of single ratings, ICC(A,k), of the mean of k raters, or
    ICC(C,1), consistency of single ones: two-way model.

    With mean squares of sessions MSR, raters MSC and error MSE, n sessions and k raters (McGraw &
    Wong 1996, table 4; Shrout & Fleiss 1979 call them ICC(2,1), ICC(2,k) and ICC(3,1)):

        ICC(C,1) = (MSR - MSE) / (MSR + (k - 1) MSE)
        ICC(A,1) = (MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n)
    """
    x, w = complete(table, weights)
    k, n = x.shape[1], w.sum(axis=1)
    msr, msc, mse = mean_squares(x, w)  # (B,) each
    below = msr + (k - 1) * mse
    if kind != "C,1":
        below = below + k * (msc - mse) / n
    single = np.where(below > 1e-12, (msr - mse) / below, np.nan)
    return of_mean(single, k) if kind == "A,k" else single


@np.errstate(invalid="ignore", divide="ignore")
def icc_by_f(table: Array, kind: str) -> list[float] | None:
    """The 95% interval of `icc` of a table without gaps; None where no error is left to judge by.

    McGraw & Wong (1996), table 7: exact for consistency; for agreement F* has n - 1 and v degrees
    of freedom, v Satterthwaite's of a MSC + b MSE (that of the mean of k: erratum, ibid. p. 390).
    """
    n, k = table.shape
    once = np.ones((1, n))
    msr, msc, mse = (part[0] for part in mean_squares(table, once))
    if kind == "C,1":
        F = msr / mse / f_distribution.ppf([0.975, 0.025], n - 1, (n - 1) * (k - 1))
        ends = (F - 1) / (F + k - 1)
    else:
        # below 0, where a and b would mean nothing, as if it were 0
        single = np.maximum(0, icc(table, once, "A,1")[0])
        a = k * single / (n * (1 - single))
        b = 1 + (n - 1) * a
        error = (a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1))
        v = (a * msc + b * mse) ** 2 / error
        F = f_distribution.ppf([0.975, 0.025], n - 1, v)  # F*, and 1 / F* turned round
        others = k * msc + (k * n - k - n) * mse
        ends = n * (msr - F * mse) / (F * others + n * msr)
        ends = of_mean(ends, k) if kind == "A,k" else ends
    return ends.tolist() if np.isfinite(ends).all() and ends[0] < ends[1] else None


@np.errstate(invalid="ignore", divide="ignore")
def weighted_kappa(table: Array, weights: Array) -> Array:
    """Cohen's (1968) kappa with quadratic weights of two raters' ratings.

    kappa = 1 - sum d observed / sum d expected, d = (i - j)^2, expected = the product of the
    raters' margins. The table of i by j is not needed: n sum d expected = n sum (a^2 + b^2) -
    2 sum a sum b.
    """
    x, w = complete(table, weights)
    (a, b), n = x.T, w.sum(axis=1)  # (n,) each, (B,)
    observed = n * (w @ (a - b) ** 2)
    by_chance = n * (w @ (a**2 + b**2)) - 2 * (w @ a) * (w @ b)
    return np.where(by_chance > 0, 1 - observed / by_chance, np.nan)


@np.errstate(invalid="ignore", divide="ignore")
def alpha(table: Array, weights: Array) -> Array:
    """Krippendorff's (2011) alpha for ordinal ratings of any number of raters.

    alpha = 1 - D_o / D_e over the coincidences o_cc' of values in the same session, of which a
    session rated m times adds m (m - 1) / (m - 1). The ordinal difference of c and c' is the
    squared number of values between, ends half.
    """
    values = np.unique(table[~np.isnan(table)])
    counts = (table[:, :, None] == values).sum(axis=1).astype(float)  # (n, V)
    m = counts.sum(axis=1)
    use = m > 1
    counts, m, w = counts[use], m[use], weights[:, use]
    together = counts[:, :, None] * counts[:, None] - np.eye(len(values)) * counts[:, :, None]
    o = np.tensordot(w, together / (m - 1)[:, None, None], axes=1)  # (B, V, V): coincidences
    margin = o.sum(axis=2)  # (B, V): how often each value was given
    below = margin.cumsum(axis=1) - margin / 2
    d = (below[:, :, None] - below[:, None]) ** 2
    total = margin.sum(axis=1)
    by_chance = (d * margin[:, :, None] * margin[:, None]).sum(axis=(1, 2)) / (total - 1)
    return np.where(by_chance > 0, 1 - (d * o).sum(axis=(1, 2)) / by_chance, np.nan)


@np.errstate(invalid="ignore", divide="ignore")
def spearman(table: Array, weights: Array) -> Array:
    """Spearman's rank correlation of two raters: Pearson's of mid-ranks among those drawn."""
    x, w = complete(table, weights)
    ranks = []
    for column in x.T:
        values, place = np.unique(column, return_inverse=True)
        at = w @ np.eye(len(values))[place]  # (B, values): how many sessions have each value
        rank = (at.cumsum(axis=1) - at / 2)[:, place]  # mid-ranks, (B, n)
        ranks.append(rank - (w * rank).sum(axis=1, keepdims=True) / w.sum(axis=1)[:, None])
    a, b = ranks
    spread = np.sqrt((w * a * a).sum(axis=1) * (w * b * b).sum(axis=1))
    return np.where(spread > 1e-12, (w * a * b).sum(axis=1) / spread, np.nan)


@np.errstate(invalid="ignore")
def bias(table: Array, weights: Array, of: Callable = np.positive) -> Array:
    """Mean of b - a of two raters, above zero where the second rates higher; or of a function."""
    x, w = complete(table, weights)
    return w @ of(x[:, 1] - x[:, 0]) / w.sum(axis=1)


mean_absolute_error = partial(bias, of=np.abs)
exact = partial(bias, of=np.logical_not)  # the share of sessions in which both gave the same

ICCS = {f"ICC({kind})": partial(icc, kind=kind) for kind in ("A,1", "C,1", "A,k")}
OF_OUTCOMES = {name: ICCS[name] for name in ("ICC(A,1)", "ICC(C,1)")}
OF_OUTCOMES |= {"mean absolute error": mean_absolute_error, "Spearman": spearman}
OF_ITEMS = {"weighted kappa": weighted_kappa, "exact agreement": exact}


def pairs_mean(table: Array, weights: Array, statistic: Statistic, pairs: list[tuple]) -> Array:
    """A statistic of two raters, its mean over pairs of columns; those without answer left out."""
    each = np.array([statistic(table[:, pair], weights) for pair in pairs])  # (pairs, B)
    return mean_rated(each.T)


def rated(ratings: Ratings, sessions: list[str], suffix: str = "") -> dict[str, Array]:
    """rater -> its numbers, (variables, sessions), NaN where it has not rated.

    Outcomes are means over replicates, of whole ratings or ("_expected") of probability-weighted
    ones; items are whole ratings of the first replicate.
    """
    replicates = defaultdict(list)  # (rater, session) -> its valid ratings
    for rating in ratings:
        if rating["status"] == "ok":
            replicates[rating["rater"], rating["session"]].append(rating)
    place = {session: i for i, session in enumerate(sessions)}
    empty = np.full((len(VARIABLES), len(sessions)), np.nan)
    tables = {rater: empty.copy() for rater, _ in replicates}
    for (rater, session), some in replicates.items():
        if session in place:
            scores = [outcomes_of(one, suffix) for one in some]
            outcomes = [np.mean([one[name] for one in scores]) for name in OUTCOMES]
            first = min(some, key=lambda one: one["replicate"])
            tables[rater][:, place[session]] = [*outcomes, *first["act_fm"], *first["tes"]]
    return tables


@dataclass(frozen=True)
class Rows:
    """Makes the rows of `compare`: of what, by whom, which statistic, from which table."""

    clusters: Array  # (sessions,) labels; sessions with one label are drawn together
    resamples: int
    seed: int

    def row(
        self, of: str, raters: str, name: str, statistic: Statistic, table: Array, met=(), **more
    ) -> dict:
        """A statistic on the sessions that at least two raters rated, and its 95% interval, "by" F
        or by bootstrap; "refused" says why there is no answer, or no interval. `met` are the pairs
        of columns that it compares, all of them if none are named."""
        used = (~np.isnan(table)).sum(axis=1) > 1
        table, (labels, place) = table[used], np.unique(self.clusters[used], return_inverse=True)
        n, m = len(table), len(labels)
        value = float(statistic(table, np.ones((1, n)))[0])
        row = {"of": of, "raters": raters, "statistic": name, "sessions": n, "clusters": m}
        row |= {"estimate": value, "ci": None, "by": None, "refused": None} | more
        if np.isnan(value):
            why = "not defined: sessions hardly differ" if n else "no session rated twice"
            return row | {"estimate": None, "refused": why}
        if name in ICCS:
            wholly = "they agree wholly: no error to judge by" if abs(value - 1) < 1e-9 else None
            row["refused"] = never_vary(table, met) or wholly
        if row["refused"]:
            return row
        # by F where sessions are independent of one another and nobody missed one
        by_f = statistic in ICCS.values() and m == n and not np.isnan(table).any()
        ci = icc_by_f(table, name[4:-1]) if by_f else self.drawn(statistic, table, place)
        if ci is None:
            return row | {"refused": "too few sessions, or too alike"}
        return row | {"ci": ci, "by": "F" if by_f else "bootstrap"}

    def drawn(self, statistic: Statistic, table: Array, place: Array) -> list[float] | None:
        """Percentiles of the statistic with whole clusters drawn; `place` (n,): each session's.

        None where fewer than half of the resamples have an answer.
        """
        m, stream = place.max() + 1, np.random.default_rng(self.seed)
        if m < 2 or not self.resamples:
            return None
        # how often each cluster is drawn, (resamples, m), and with it each of its sessions
        copies = stream.multinomial(m, np.full(m, 1 / m), self.resamples)
        values = statistic(table, copies[:, place].astype(float))
        values = values[~np.isnan(values)]
        enough = len(values) >= self.resamples / 2
        return np.percentile(values, [2.5, 97.5]).tolist() if enough else None

    def in_pairs(self, of: str, raters: str, table: Array, pairs: list[tuple]) -> Iterator[dict]:
        """Statistics averaged over pairs of columns, with the number of pairs that had any. But
        where nobody missed a session and all pairs are asked for, an ICC is of all at once."""
        once, k = np.ones((1, len(table))), table.shape[1]
        times = (~np.isnan(table)).sum(axis=1)  # (n,): how often each session was rated
        at_once = len(pairs) == k * (k - 1) / 2 and (times[times > 1] == k).all()
        for name, statistic in (OF_OUTCOMES if of in OUTCOMES else OF_ITEMS).items():
            each = [statistic(table[:, pair], once)[0] for pair in pairs]
            told = int((~np.isnan(each)).sum())
            if not (at_once and name in ICCS):
                statistic = partial(pairs_mean, statistic=statistic, pairs=pairs)
            yield self.row(of, raters, name, statistic, table, pairs, pairs=told)
        if at_once and of in OUTCOMES and raters == "humans":
            yield self.row(of, raters, "ICC(A,k)", ICCS["ICC(A,k)"], table, k=k)

    def with_mean(self, of: str, judge: str, table: Array) -> Iterator[dict]:
        """An outcome of a judge, the last column, with the mean of the humans."""
        two = np.stack([mean_rated(table[:, :-1]), table[:, -1]], axis=1)  # (n, 2)
        for name, statistic in (OF_OUTCOMES | {"bias": bias}).items():
            yield self.row(of, judge, name, statistic, two)


def compare(
    human: Ratings, judge: Ratings, suffix: str, resamples: int, seed: int, cluster: str = "session"
) -> list[dict]:
    """Rows {"of", "raters", "statistic", "sessions", "clusters", "estimate", "ci", "by",
    "refused"}: see `Rows.row`.

    A bootstrap draws what a field of the ratings names: a session, or a profile with all of its
    sessions. Three kinds of "raters":
      NAME              a judge with the mean of the humans, on outcomes; "bias" is judge less
                        humans; and of every rater Cronbach's alpha of the items of a scale
      NAME, each human  the judge with one human, averaged over the humans ("pairs": over how many
                        there was an answer)
      humans            the same of two humans, averaged over their pairs: what the row above is to
                        be compared with; and on items Krippendorff's alpha of all of them
    """
    of_session = {rating["session"]: rating[cluster] for rating in human}
    sessions = sorted(of_session)
    make = Rows(np.array([of_session[session] for session in sessions]), resamples, seed)
    people = np.stack(list(rated(human, sessions).values()), axis=-1)  # (45, sessions, humans)
    n, rows = people.shape[-1], []
    # 1. the humans among themselves
    among = list(combinations(range(n), 2))
    for of, table in zip(VARIABLES, people, strict=True) if among else ():
        if of in ITEMS:
            rows.append(make.row(of, "humans", "alpha", alpha, table))
        rows += make.in_pairs(of, "humans", table, among)
    # 2. each judge with the humans, on the sessions that it has rated
    each = [(i, n) for i in range(n)]  # the judge is the last column
    for name, numbers in rated(judge, sessions, suffix).items():
        tables = np.concatenate([people, numbers[:, :, None]], axis=-1)
        tables[np.isnan(numbers)] = np.nan
        for of, table in zip(VARIABLES, tables, strict=True):
            if of in OUTCOMES:
                rows += make.with_mean(of, name, table)
            rows += make.in_pairs(of, f"{name}, each human", table, each)
    # 3. does each of them rate item by item, or all alike?
    return rows + alphas(human, "") + alphas(judge, suffix)


def alphas(ratings: Ratings, suffix: str) -> list[dict]:
    """Cronbach's alpha of each rater on each scale, as rows of `compare`."""
    rows = []
    for found in consistency(ratings, suffix):
        n, ci = found["n"], found["ci"]
        row = {"of": found["outcome"], "raters": found["rater"], "statistic": CRONBACH}
        row |= {"sessions": n, "clusters": n, "estimate": found["alpha"], "ci": ci}
        rows.append(row | {"by": "F" if ci else None, "refused": found["refused"]})
    return rows


def as_table(rows: list[dict], cluster: str) -> Iterator[str]:
    """The rows of `compare` as lines of text, and what to beware of."""
    width = max(len(row["raters"]) for row in rows) + 2
    line = f"{{:22}}{{:{width}}}{{:34}}{{:>8}}{{:>10}}  {{}}".format
    interval = f"95% interval (by F, or bootstrap over {cluster}s)"
    yield line("of", "raters", "statistic", "sessions", "estimate", interval)
    for row in rows:
        estimate = "none" if row["estimate"] is None else f"{row['estimate']:.3f}"
        said = "[{:.3f}, {:.3f}] {by}".format(*row["ci"], **row) if row["ci"] else row["refused"]
        yield line(row["of"], row["raters"], row["statistic"], row["sessions"], estimate, said)
    drawn = [row["clusters"] for row in rows if row["by"] == "bootstrap"]
    if drawn and max(drawn) < FEW_CLUSTERS:
        caution = f"Caution: the bootstrap's intervals stand on {max(drawn)} {cluster}s"
        yield f"{caution}; below {FEW_CLUSTERS} they are too narrow."
    for row in rows:
        of_tes = (row["of"], row["statistic"]) == ("tes_mean", CRONBACH)
        if of_tes and (row["estimate"] or 0) >= HALO:
            found = f"Caution: the TES of {row['raters']} has an alpha of {row['estimate']:.3f}"
            yield f"{found}: likely one impression given to all nine items (a halo), not a virtue."
