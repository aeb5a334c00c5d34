"""Bootstrap intervals of the intraclass correlation and of R2: thousands of REML fits at once.

Two ways to make new data sets. *Cluster*: whole clients drawn with replacement, a client drawn
twice counted as two (keeping one copy makes the interval too narrow); nothing is assumed about
distributions. *Parametric*: new ratings drawn from the fitted model; exact where the model is
right, wrong where clients or residuals are not normal.

Percentiles of resampled ICCs would cover too rarely, and unevenly. So each resample is compared
with what it was drawn from, on scales where a ratio of variances is nearly normal:

    psi_i = log(1 + n lambda), n the mean size of a cluster, for the ICC lambda / (1 + lambda)
    psi_m = log(1 + x), x = fixed / (cluster + residual), for the marginal R2 = x / (1 + x)
    psi_c = log(1 + x), x = (fixed + cluster) / residual, for the conditional R2

With t* = (psi* - psi) / se* the interval of each psi is psi - se t*, t* at its 97.5% and 2.5%
(bootstrap-t: Efron & Tibshirani 1993, ch. 12). The cluster bootstrap takes se from the influence of
each cluster on the estimate, the parametric one from the model's information. For balanced data
psi_i is the log of an F ratio, whose distribution about the truth does not depend on the truth: the
parametric interval of the ICC is the exact one.

A resample on the boundary is kept: its lambda may be negative, as in an analysis of variance. Only
the interval's ends are cut to what is possible.
"""

from dataclasses import dataclass

import numpy as np

from act.statistics.reml import (
    Criterion,
    Moments,
    cluster_moments,
    criterion,
    moments_of,
    pool,
    solve_ratio,
)

ENOUGH = 0.95  # share of the resamples that must have an answer
CHUNK = 500  # resamples worked on together
NAMES = ("icc", "marginal", "conditional")


@dataclass(frozen=True)
class Clusters:
    """The second moments of [X, y - X start] of m clusters (reml.cluster_moments); X holds a 0/1
    column a condition."""

    sizes: np.ndarray
    within: np.ndarray
    between: np.ndarray
    start: np.ndarray  # (p,)

    @property
    def mean_size(self) -> float:
        """Rows a cluster, on average: the n of psi_i."""
        return float(self.sizes.mean())

    @property
    def rows(self) -> np.ndarray:
        """Rows of each cluster in each condition, (m, p)."""
        return np.einsum("mii->mi", self.within + self.between)[:, :-1]


@dataclass(frozen=True)
class Solved:
    """R data sets and their estimates: what the scales and their errors are made of."""

    moments: Moments
    ratio: np.ndarray  # lambda, (R,)
    at: Criterion
    rho: np.ndarray  # variance of the fixed part / s2, (R,)
    slope: np.ndarray  # of rho in beta, (p, R)
    mean_size: float

    @property
    def scales(self) -> np.ndarray:
        """psi_i, psi_m, psi_c, (3, R)."""
        return np.log1p(
            np.stack(
                [self.mean_size * self.ratio, self.rho / (1 + self.ratio), self.ratio + self.rho]
            )
        )

    @property
    def gradients(self) -> np.ndarray:
        """d scales / d (lambda, rho), (3, 2, R)."""
        whole, zero = 1 + self.ratio + self.rho, 0 * self.rho
        by_ratio = [
            self.mean_size / (1 + self.mean_size * self.ratio),
            -self.rho / (1 + self.ratio) / whole,
            1 / whole,
        ]
        return np.stack([by_ratio, [zero, 1 / whole, 1 / whole]], axis=1)

    @property
    def s2(self) -> np.ndarray:
        """The REML residual variance of each data set, rss / (n - p), (R,)."""
        return self.at.rss / (self.moments.rows - self.moments.columns)


def solved(moments: Moments, ratio: np.ndarray, k: np.ndarray, data: Clusters) -> Solved:
    """The estimates at lambda = ratio (R,), k (p, R) the rows of each condition.

    The fixed part's variance is that of the conditions' means, each as often as the condition has
    rows: beta' S beta / (n - 1) with S = diag(k) - k k' / n.
    """
    at, n = criterion(moments, ratio), moments.rows
    beta = data.start[:, None] + at.beta
    half = k * (beta - (k * beta).sum(0) / n) * (n - moments.columns) / at.rss / (n - 1)
    return Solved(moments, ratio, at, (beta * half).sum(0), 2 * half, data.mean_size)


def gather(cells: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> Clusters:
    """The moments that every resample is made of; y less its least squares fit keeps rounding
    errors small."""
    start = np.linalg.lstsq(cells, y)[0]
    return Clusters(*cluster_moments(cells, y - cells @ start, cluster), start)


def resample(data: Clusters, copies: np.ndarray) -> Solved:
    """The data sets with copies[r, i] of cluster i, lambda signed."""
    moments = pool(data.sizes, data.within, data.between, copies, len(data.start))
    return solved(moments, solve_ratio(moments, signed=True), (copies @ data.rows).T, data)


def cluster_intervals(
    cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, resamples: int, seed: int
) -> dict:
    """{"icc", "marginal", "conditional"}: 95% intervals by a studentised cluster bootstrap.

    cells (N, p): one column of zeros and ones a condition; y is one that `mixed.fit` accepts. None
    where fewer than 95% of the resamples have an answer: it takes two different clusters, and one
    with two rows.
    """
    data = gather(cells, y, cluster)
    m = len(data.sizes)
    whole = np.ones((1, m))
    original = resample(data, whole)
    copies = (
        np.random.default_rng(seed).multinomial(m, np.full(m, 1 / m), size=resamples).astype(float)
    )
    copies = copies[((copies > 0).sum(axis=1) > 1) & (copies @ (data.sizes > 1) > 0)]
    pivots = []
    for first in range(0, len(copies), CHUNK):
        drawn = resample(data, copies[first : first + CHUNK])
        with np.errstate(divide="ignore", invalid="ignore"):
            pivot = (drawn.scales - original.scales) / cluster_errors(
                drawn, data, copies[first : first + CHUNK]
            )
        pivots.append(pivot)
    return _intervals(original, cluster_errors(original, data, whole), pivots, resamples)


def parametric_intervals(
    cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, resamples: int, seed: int
) -> dict:
    """`cluster_intervals` from data sets drawn from the fitted model: X beta + b + e with its beta,
    s2_b and s2."""
    rng, data = np.random.default_rng(seed), gather(cells, y, cluster)
    m = len(data.sizes)
    original = resample(data, np.ones((1, m)))
    k = cells.sum(0)[:, None]
    truth = solved(original.moments, np.maximum(original.ratio, 0), k, data)
    made = Clusters(data.sizes, data.within, data.between, data.start + truth.at.beta[:, 0])
    _, index = np.unique(cluster, return_inverse=True)
    pivots = []
    for first in range(0, resamples, CHUNK):
        R = min(CHUNK, resamples - first)
        b = np.sqrt(truth.ratio) * rng.standard_normal((m, R))
        moments = moments_of(
            cells, np.sqrt(truth.s2) * (b[index] + rng.standard_normal((len(y), R))), cluster
        )
        drawn = solved(moments, solve_ratio(moments, signed=True), k, made)
        with np.errstate(divide="ignore", invalid="ignore"):
            pivots.append((drawn.scales - truth.scales) / model_errors(drawn))
    return _intervals(original, model_errors(original), pivots, resamples)


def _information(counts: np.ndarray, sizes: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Inverse of the expected information on (lambda, log s2), (3, R): the entries 11, 12, 22."""
    n = sizes[:, None]
    ng = n / (1 + n * ratio)
    rr, rs, ss = ((counts * part).sum(0) / 2 for part in (ng**2, ng, n + 0 * ng))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([ss, -rs, rr]) / (rr * ss - rs**2)


def model_errors(sets: Solved) -> np.ndarray:
    """Standard errors (3, R) of the scales where the model holds: the delta method on beta, lambda
    and log s2."""
    rr, rs, ss = _information(sets.moments.counts, sets.moments.sizes, sets.ratio)
    of_rho = (
        sets.s2 * np.einsum("ir,ijr,jr->r", sets.slope, sets.at.inverse, sets.slope)
        + sets.rho**2 * ss
    )
    g = sets.gradients
    return np.sqrt(
        g[:, 0] ** 2 * rr - 2 * g[:, 0] * g[:, 1] * sets.rho * rs + g[:, 1] ** 2 * of_rho
    )


def cluster_errors(sets: Solved, data: Clusters, copies: np.ndarray) -> np.ndarray:
    """Standard errors (3, R) of the scales from each cluster's influence, copies (R, m).

    A cluster's score is that of its part of the likelihood; influence = inverse information x
    score; variance = sum of squared influences about their mean (the infinitesimal jackknife: Efron
    & Tibshirani 1993, ch. 21).
    """
    m, n, copies, s2 = len(data.sizes), data.sizes[:, None], copies.T, sets.s2
    v = np.concatenate([-sets.at.beta, np.ones((1, len(s2)))])
    a = np.concatenate(
        [np.einsum("ijr,jr->ir", sets.at.inverse, sets.slope), np.zeros((1, len(s2)))]
    )
    within, between = data.within.reshape(m, -1), data.between.reshape(m, -1)
    vv, av = ((left[:, None] * v).reshape(-1, len(s2)) for left in (v, a))
    g = 1 / (1 + n * sets.ratio)  # (m, R)
    w, b = within @ vv / s2, g * (between @ vv) / s2
    of_ratio, of_log_s2 = n * g * (b - 1) / 2, (w + b - n) / 2  # scores
    rr, rs, ss = _information(copies, data.sizes, sets.ratio)
    by_ratio = rr * of_ratio + rs * of_log_s2
    by_rho = within @ av + g * (between @ av) - sets.rho * (rs * of_ratio + ss * of_log_s2)
    total, errors = copies.sum(0), []
    for along, across in sets.gradients:
        influence = along * by_ratio + across * by_rho
        errors.append(
            np.sqrt((copies * (influence - (copies * influence).sum(0) / total) ** 2).sum(0))
        )
    return np.array(errors)


def _intervals(
    original: Solved, errors: np.ndarray, pivots: list[np.ndarray], resamples: int
) -> dict:
    result, columns = (
        dict.fromkeys(NAMES),
        np.concatenate(pivots, axis=1) if pivots else np.empty((3, 0)),
    )
    for name, centre, se, values in zip(
        NAMES, original.scales[:, 0], errors[:, 0], columns, strict=True
    ):
        values = values[np.isfinite(values)]
        if len(values) >= ENOUGH * resamples and np.isfinite(se):
            ends = np.expm1(
                np.clip(centre - se * np.quantile(values, [0.975, 0.025]), 0, 700)
            )  # exp(710) overflows
            ratios = ends / original.mean_size if name == "icc" else ends
            result[name] = [float(end) for end in ratios / (1 + ratios)]
    return result
