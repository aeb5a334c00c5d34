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

from act.statistics.mixed import Clusters, Criterion, Moments, criterion, solve_ratio

ENOUGH = 0.95  # share of the resamples that must have an answer
CHUNK = 500  # resamples worked on together, fewer where they have
CELLS = 1_000_000  # more cells, resamples x clusters: larger arrays take more time each


@dataclass(frozen=True)
class Resamples:
    """R data sets made of the same m clusters, and their estimates."""

    clusters: Clusters
    copies: np.ndarray  # (R, m): how often each has each cluster
    moments: Moments
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
        influence = self._influence()  # (R, m)
        mean = np.einsum("rm,rm->r", self.copies, influence) / self.copies.sum(1)
        influence -= mean[:, None]
        return slope * np.sqrt(np.einsum("rm,rm,rm->r", self.copies, influence, influence))

    def _influence(self) -> np.ndarray:
        """Of each cluster on lambda, (R, m): inverse information x the score of its part of the
        likelihood.

        With w = v' within v / s2 and b = g v' between v / s2 of a cluster, g = 1 / (1 + n lambda),
        the scores are n g (b - 1) / 2 of lambda and (w + b - n) / 2 of log s2.
        """
        n = self.moments.sizes  # (G,): what follows is of a size, and few clusters differ in it
        g = 1 / (1 + n * self.ratio[:, None])  # (R, G): mixed.criterion's `shrink`
        parts = np.stack([(n * g) ** 2, n * g, n + 0 * g])
        # (R, 1): the expected information on lambda and log s2
        rr, rs, ss = (self.moments.counts * parts).sum(2, keepdims=True) / 2
        half = 1 / (rr * ss - rs**2) / 2
        # influence = fixed + by_w w + by_b b
        by_w = -rs * half  # (R, 1)
        by_b = ss * half * n * g + by_w  # (R, G)
        fixed = -ss * half * n * g - by_w * n

        v = np.column_stack([-self.at.beta, np.ones(len(g))])  # (R, q): Z v is the residual
        vv = np.einsum("ri,rj->rij", v, v) / self.s2[:, None, None]
        of = np.searchsorted(n, self.clusters.sizes)  # (m,): which size a cluster has
        influence = np.tensordot(by_w[:, :, None] * vv, self.clusters.within, ((1, 2), (1, 2)))
        between = np.tensordot(vv, self.clusters.between, ((1, 2), (1, 2)))
        between *= (by_b * g)[:, of]
        influence += between
        influence += fixed[:, of]
        return influence


def resample(clusters: Clusters, copies: np.ndarray) -> Resamples:
    """The data sets with copies[r, i] of cluster i."""
    moments = clusters.pool(copies)
    ratio = solve_ratio(moments, signed=True)
    at = criterion(moments, ratio)
    return Resamples(clusters, copies, moments, ratio, at, at.rss / moments.freedom)


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
    original = resample(clusters, np.ones((1, m)))
    psi, se, t = original.psi[0], original.error[0], np.empty(0)
    rows = max(1, min(CHUNK, CELLS // m))
    for first in range(0, resamples, rows):
        size = min(rows, resamples - first)
        copies = rng.multinomial(m, np.full(m, 1 / m), size=size).astype(float)  # (size, m)
        two_clusters = (copies > 0).sum(1) > 1
        two_rows = copies @ (clusters.sizes > 1) > 0
        copies = copies[two_clusters & two_rows]
        if not len(copies):
            continue
        # One of clients who all do the same has no residual variance, and no answer.
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = resample(clusters, copies)
            # Of two clients alone the error is 0 but for rounding: t is as large as can be.
            t = np.append(t, (drawn.psi - psi) / np.maximum(drawn.error, 1e-9))
    t = t[np.isfinite(t)]
    if len(t) < ENOUGH * resamples or not np.isfinite(se):
        return None
    ends = psi - se * np.quantile(t, [0.975, 0.025])
    ratio = np.expm1(np.clip(ends, 0, 700)) / clusters.sizes.mean()  # exp(710) overflows
    return (ratio / (1 + ratio)).tolist()
