"""The bootstrap interval of the intraclass correlation: thousands of REML fits at once.

Whole clients are drawn with replacement, a client drawn twice counted as two (keeping one copy
makes the interval too narrow). Percentiles of resampled ICCs would cover too rarely, and unevenly,
so each resample is compared with the data it was drawn from on a scale where a ratio of variances
is nearly normal:

    psi = log(1 + n lambda),     n the mean size of a cluster,     ICC = lambda / (1 + lambda)

With t* = (psi* - psi) / se* the interval of psi is psi - se t*, t* at its 97.5% and 2.5%
(bootstrap-t: Efron & Tibshirani 1993, ch. 12). A resample's lambda may be negative, as in an
analysis of variance; only the interval's ends are cut to what is possible.
"""

from dataclasses import dataclass

import numpy as np

from act.statistics.mixed import Clusters, Criterion, criterion, solve_ratio

ENOUGH = 0.95  # share of the resamples that must have an answer
CHUNK = 500  # resamples worked on together


@dataclass(frozen=True)
class Resamples:
    """R data sets made of the same m clusters, and their estimates."""

    clusters: Clusters
    copies: np.ndarray  # (R, m): how often each has each cluster
    ratio: np.ndarray  # (R,): lambda, signed
    at: Criterion
    s2: np.ndarray  # (R,)

    @property
    def psi(self) -> np.ndarray:
        """log(1 + n lambda), (R,)."""
        return np.log1p(self.clusters.sizes.mean() * self.ratio)

    @property
    def error(self) -> np.ndarray:
        """Its standard error, (R,): from squared influences of clusters about their mean (the
        infinitesimal jackknife: Efron & Tibshirani 1993, ch. 21)."""
        size = self.clusters.sizes.mean()
        slope = size / (1 + size * self.ratio)  # d psi / d lambda
        influence = slope[:, None] * self._influence()  # (R, m)
        mean = (self.copies * influence).sum(1) / self.copies.sum(1)
        return np.sqrt((self.copies * (influence - mean[:, None]) ** 2).sum(1))

    def _influence(self) -> np.ndarray:
        """Of each cluster on lambda, (R, m): inverse information x the score of its part of the
        likelihood. Its many (R, m) arrays end here: kept longer, they cost 7% of the time."""
        n, s2 = self.clusters.sizes, self.s2[:, None]
        g = 1 / (1 + n * self.ratio[:, None])  # (R, m): mixed.criterion's `shrink`, of each cluster
        v = np.column_stack([-self.at.beta, np.ones(len(s2))])  # (R, q): Z v is the residual

        def squares(M: np.ndarray) -> np.ndarray:
            """v' M v of each cluster's M, (R, m)."""
            return np.einsum("ri,mij,rj->rm", v, M, v, optimize=True)

        w, b = squares(self.clusters.within) / s2, g * squares(self.clusters.between) / s2
        # (R, m): scores of lambda and of log s2; (R, 1): the expected information on them
        by_ratio, by_log_s2 = n * g * (b - 1) / 2, (w + b - n) / 2
        parts = np.stack([(n * g) ** 2, n * g, n + 0 * g])
        rr, rs, ss = (self.copies * parts).sum(2, keepdims=True) / 2
        return (ss * by_ratio - rs * by_log_s2) / (rr * ss - rs**2)


def resample(clusters: Clusters, copies: np.ndarray) -> Resamples:
    """The data sets with copies[r, i] of cluster i."""
    moments = clusters.pool(copies)
    ratio = solve_ratio(moments, signed=True)
    at = criterion(moments, ratio)
    return Resamples(clusters, copies, ratio, at, at.rss / moments.freedom)


def icc_interval(
    cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, resamples: int, seed: int
) -> list[float] | None:
    """The ICC's 95% interval by a studentised cluster bootstrap.

    cells (N, p): one column of zeros and ones a condition; y is one that `mixed.fit` accepts. None
    where fewer than 95% of the resamples have an answer (it takes two different clusters, and one
    with two rows).
    """
    clusters = Clusters.of(cells, y, cluster)
    m, rng = len(clusters.sizes), np.random.default_rng(seed)
    copies = rng.multinomial(m, np.full(m, 1 / m), size=resamples).astype(float)
    two_clusters = (copies > 0).sum(1) > 1
    two_rows = copies @ (clusters.sizes > 1) > 0
    copies = copies[two_clusters & two_rows]
    original = resample(clusters, np.ones((1, m)))
    psi, se, t = original.psi[0], original.error[0], np.empty(0)
    for first in range(0, len(copies), CHUNK):
        # One of clients who all do the same has no residual variance, and no answer.
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = resample(clusters, copies[first : first + CHUNK])
            # Of two clients alone the error is 0 but for rounding: t is as large as can be.
            t = np.append(t, (drawn.psi - psi) / np.maximum(drawn.error, 1e-9))
    t = t[np.isfinite(t)]
    if len(t) < ENOUGH * resamples or not np.isfinite(se):
        return None
    ends = psi - se * np.quantile(t, [0.975, 0.025])
    ratio = np.expm1(np.clip(ends, 0, 700)) / clusters.sizes.mean()  # exp(710) overflows
    return (ratio / (1 + ratio)).tolist()
