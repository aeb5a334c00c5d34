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

from act.statistics.mixed import Clusters, criterion, solve_ratio

ENOUGH = 0.95  # share of the resamples that must have an answer
CHUNK = 500  # resamples worked on together, fewer where they have
CELLS = 1_000_000  # more cells, resamples x clusters: larger arrays take more time each


@dataclass(frozen=True)
class Resamples:
    """What an interval needs of R data sets."""

    ratio: np.ndarray  # (R,): lambda, signed
    psi: np.ndarray  # (R,): log(1 + n lambda)
    error: np.ndarray  # (R,): its standard error


def resample(clusters: Clusters, copies: np.ndarray) -> Resamples:
    """The data sets with copies[r, i] of cluster i, copies (R, m).

    A cluster's influence on lambda is the inverse information times the score of its part of the
    likelihood. With w = v' within v / s2 and b = g v' between v / s2 of a cluster of n rows, g =
    1 / (1 + n lambda), Z v the residual, the scores are n g (b - 1) / 2 of lambda and (w + b - n)
    / 2 of log s2. The error is from squared influences about their mean (the infinitesimal
    jackknife: Efron & Tibshirani 1993, ch. 21).
    """
    moments, n = clusters.pool(copies), clusters.sizes
    ratio = solve_ratio(moments, signed=True)
    at = criterion(moments, ratio)
    v = np.column_stack([-at.beta, np.ones(len(ratio))])
    vv = v[:, :, None] * v[:, None]  # (R, q, q)
    vv *= (moments.freedom / at.rss)[:, None, None]  # in parts of s2
    # (R, m) each: what clusters add to the likelihood's slope
    g = 1 / (1 + n * ratio[:, None])
    w = np.tensordot(vv, clusters.within, ((1, 2), (1, 2)))
    b = np.tensordot(vv, clusters.between, ((1, 2), (1, 2))) * g
    of_ratio, of_s2 = n * g * (b - 1) / 2, (w + b - n) / 2
    # (R, 1): the expected information on lambda and log s2
    parts = (n * g) ** 2, n * g, n + 0 * g
    rr, rs, ss = ((copies * part).sum(1, keepdims=True) / 2 for part in parts)
    influence = (ss * of_ratio - rs * of_s2) / (rr * ss - rs**2)
    influence -= (copies * influence).sum(1, keepdims=True) / copies.sum(1, keepdims=True)
    size = n.mean()
    slope = size / (1 + size * ratio)  # d psi / d lambda
    error = slope * np.sqrt((copies * influence**2).sum(1))
    return Resamples(ratio, np.log1p(size * ratio), error)


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
