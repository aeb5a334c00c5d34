"""How far raters agree: intraclass correlations, weighted kappa, Krippendorff's alpha, and
bootstrap intervals.

Every statistic takes a table of sessions by raters, (n, k), and weights of the sessions, (B, n):
whole numbers that say how often each session is drawn. A statistic of the data is that of weights
one; a bootstrap over sessions (Efron 1979) is the same call with drawn weights. NaN in the table is
a rating that is missing; NaN as a result says that there is no answer: no variation, or nothing
rated twice.
"""

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(table (n, k), weights (B, n)) -> (B,)"""


def icc(table: np.ndarray, weights: np.ndarray, absolute: bool) -> np.ndarray:
    """ICC(A,1), absolute agreement, or ICC(C,1), consistency, of single ratings in a two-way model,
    (B,).

    With mean squares of sessions MSR, raters MSC and error MSE, n sessions and k raters (McGraw &
    Wong 1996, table 4):

        ICC(C,1) = (MSR - MSE) / (MSR + (k - 1) MSE)
        ICC(A,1) = (MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n)

    Shrout & Fleiss (1979) call them ICC(3,1) and ICC(2,1). Sessions that not all raters rated are
    left out.
    """
    whole = ~np.isnan(table).any(axis=1)
    x, w = table[whole], weights[:, whole]
    k, n = x.shape[1], w.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = x - x.mean() if x.size else x  # sums of squares lose fewer digits near zero
        grand = (w @ x).sum(axis=1) / (n * k)
        raters = (w @ x) / n[:, None]  # (B, k)
        sessions = x.mean(axis=1)  # (n,)
        total = w @ (x**2).sum(axis=1) - n * k * grand**2
        between = k * (w @ sessions**2 - n * grand**2)
        columns = n * ((raters - grand[:, None]) ** 2).sum(axis=1)
        msr, msc = between / (n - 1), columns / (k - 1)
        mse = np.maximum(total - between - columns, 0) / ((n - 1) * (k - 1))
        penalty = k * (msc - mse) / n if absolute else 0.0
        below = msr + (k - 1) * mse + penalty
        return np.where(below > 1e-12, (msr - mse) / below, np.nan)


def weighted_kappa(table: np.ndarray, weights: np.ndarray, low: int, high: int) -> np.ndarray:
    """Cohen's kappa with quadratic weights (Cohen 1968) of two raters' whole ratings low..high,
    (B,).

    kappa = 1 - sum d observed / sum d expected, d = (i - j)^2, expected = the product of the
    raters' margins.
    """
    whole = ~np.isnan(table).any(axis=1)
    size = high - low + 1
    a, b = (table[whole] - low).astype(int).T
    pairs = np.eye(size * size)[
        a * size + b
    ]  # (n, V V): where a session stands in the table of the two raters
    counts = (weights[:, whole] @ pairs).reshape(-1, size, size)
    d = (np.arange(size)[:, None] - np.arange(size)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (
            counts.sum(axis=2)[:, :, None]
            * counts.sum(axis=1)[:, None]
            / counts.sum(axis=(1, 2))[:, None, None]
        )
        by_chance = (d * expected).sum(axis=(1, 2))
        return np.where(by_chance > 0, 1 - (d * counts).sum(axis=(1, 2)) / by_chance, np.nan)


def alpha(table: np.ndarray, weights: np.ndarray, low: int, high: int) -> np.ndarray:
    """Krippendorff's alpha for ordinal ratings low..high of any number of raters, (B,)
    (Krippendorff 2011).

    alpha = 1 - D_o / D_e over the coincidences o_cc' of values in the same session, of which a
    session rated m times adds m (m - 1) / (m - 1). The ordinal difference of c and c' is the
    squared number of values between, ends half.
    """
    size = high - low + 1
    counts = np.stack([(table == low + c).sum(axis=1) for c in range(size)], axis=1).astype(
        float
    )  # (n, V)
    m = counts.sum(axis=1)
    use = m > 1
    counts, m, w = counts[use], m[use], weights[:, use]
    together = counts[:, :, None] * counts[:, None] - np.eye(size) * counts[:, :, None]
    o = (w @ (together / (m - 1)[:, None, None]).reshape(len(m), size * size)).reshape(
        -1, size, size
    )  # (B, V, V)
    margin = o.sum(axis=2)  # (B, V)
    below = margin.cumsum(axis=1) - margin / 2
    d = (below[:, :, None] - below[:, None]) ** 2
    total = margin.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_chance = (d * margin[:, :, None] * margin[:, None]).sum(axis=(1, 2)) / (total - 1)
        return np.where(by_chance > 0, 1 - (d * o).sum(axis=(1, 2)) / by_chance, np.nan)


def exact(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of sessions in which two raters gave the same rating, (B,)."""
    return _mean(table[:, 0] == table[:, 1], table, weights)


def mean_absolute_error(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean |b - a| of two raters, (B,)."""
    return _mean(np.abs(table[:, 1] - table[:, 0]), table, weights)


def bias(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean b - a of two raters, (B,): above zero where the second one rates higher."""
    return _mean(table[:, 1] - table[:, 0], table, weights)


def spearman(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two raters, (B,): Pearson's of mid-ranks among the drawn
    sessions."""
    whole = ~np.isnan(table).any(axis=1)
    x, w = table[whole], weights[:, whole]
    total = w.sum(axis=1)
    ranks = []
    for column in x.T:
        values, place = np.unique(column, return_inverse=True)
        at = w @ np.eye(len(values))[place]  # (B, values): how many sessions have each value
        ranks.append((at.cumsum(axis=1) - at / 2)[:, place])  # mid-ranks, (B, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (rank - (w * rank).sum(axis=1, keepdims=True) / total[:, None] for rank in ranks)
        spread = np.sqrt((w * a * a).sum(axis=1) * (w * b * b).sum(axis=1))
        return np.where(spread > 1e-12, (w * a * b).sum(axis=1) / spread, np.nan)


def _mean(values: np.ndarray, table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    whole = ~np.isnan(table).any(axis=1)
    w = weights[:, whole]
    with np.errstate(invalid="ignore", divide="ignore"):
        return w @ values[whole].astype(float) / w.sum(axis=1)


def pairs_mean(statistic: Statistic, pairs: list[tuple[int, int]]) -> Statistic:
    """A statistic of two raters -> its mean over pairs of the table's columns; pairs without an
    answer are left out."""

    def mean(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
        values = np.array([statistic(table[:, pair], weights) for pair in pairs])  # (pairs, B)
        there = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)

    return mean


def estimate(
    statistic: Statistic,
    table: np.ndarray,
    resamples: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> dict:
    """{"estimate", "ci"}: a statistic and its 95% percentile interval by bootstrap over sessions;
    None: no answer.

    `clusters`: (n,) whole numbers; sessions with one number are drawn together, a cluster drawn
    twice counts twice.
    """
    value = float(statistic(table, np.ones((1, len(table))))[0])
    result = {"estimate": None if np.isnan(value) else value, "ci": None}
    clusters = (
        np.arange(len(table)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    m = len(np.unique(clusters))
    if resamples and m > 1 and not np.isnan(value):
        drawn = np.random.default_rng(seed).multinomial(m, np.full(m, 1 / m), size=resamples)
        values = statistic(table, drawn[:, clusters].astype(float))
        values = values[~np.isnan(values)]
        if len(values) >= resamples / 2:
            result["ci"] = [float(limit) for limit in np.percentile(values, [2.5, 97.5])]
    return result
