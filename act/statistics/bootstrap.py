"""Bootstrap intervals of the intraclass correlation and of R2: thousands of REML fits at once.

Whole clients are drawn with replacement, a client drawn twice counted as two (keeping one copy
makes the interval too narrow). Percentiles of resampled ICCs would cover too rarely, and unevenly,
so each resample is compared with the data it was drawn from on scales where a ratio of variances is
nearly normal:

    psi_i = log(1 + n lambda), n the mean size of a cluster, for the ICC lambda / (1 + lambda)
    psi_m = log(1 + x), x = fixed / (cluster + residual), for the marginal R2 = x / (1 + x)
    psi_c = log(1 + x), x = (fixed + cluster) / residual, for the conditional R2

With t* = (psi* - psi) / se* the interval of each psi is psi - se t*, t* at its 97.5% and 2.5%
(bootstrap-t: Efron & Tibshirani 1993, ch. 12). A resample's lambda may be negative, as in an
analysis of variance; only the interval's ends are cut to what is possible.
"""

from dataclasses import dataclass

import numpy as np

from act.statistics.mixed import Clusters, Criterion, criterion, solve_ratio

ENOUGH = 0.95  # share of the resamples that must have an answer
CHUNK = 500  # resamples worked on together
NAMES = ("icc", "marginal", "conditional")


@dataclass(frozen=True)
class Resamples:
    """R data sets made of the same m clusters, and their estimates."""

    clusters: Clusters
    copies: np.ndarray  # (R, m): how often each has each cluster
    ratio: np.ndarray  # (R,): lambda, signed
    at: Criterion
    s2: np.ndarray  # (R,)
    rho: np.ndarray  # (R,): variance of the fixed part / s2
    rho_slope: np.ndarray  # (R, p): of rho in beta

    @property
    def scales(self) -> np.ndarray:
        """psi_i, psi_m, psi_c, (3, R)."""
        size, ratio, rho = self.clusters.sizes.mean(), self.ratio, self.rho
        return np.log1p(np.stack([size * ratio, rho / (1 + ratio), ratio + rho]))

    @property
    def errors(self) -> np.ndarray:
        """Their standard errors, (3, R): from squared influences of clusters about their mean
        (the infinitesimal jackknife: Efron & Tibshirani 1993, ch. 21)."""
        size, ratio, rho = self.clusters.sizes.mean(), self.ratio, self.rho
        whole = 1 + ratio + rho
        # (2, 3, R): slopes of the three scales in lambda, and in rho
        by_ratio = [size / (1 + size * ratio), -rho / (1 + ratio) / whole, 1 / whole]
        by_rho = [0 * rho, 1 / whole, 1 / whole]
        gradients = np.array([by_ratio, by_rho])
        influence = np.einsum("asr,arm->srm", gradients, self._influence())
        mean = (self.copies * influence).sum(2) / self.copies.sum(1)
        return np.sqrt((self.copies * (influence - mean[:, :, None]) ** 2).sum(2))

    def _influence(self) -> np.ndarray:
        """Of each cluster on lambda and rho, (2, R, m): inverse information x the score of its part
        of the likelihood. Its many (R, m) arrays end here: kept longer, they cost 7% of the time.
        """
        n, s2 = self.clusters.sizes, self.s2[:, None]
        g = 1 / (1 + n * self.ratio[:, None])  # (R, m): mixed.criterion's `shrink`, of each cluster
        # (R, q): Z v is the residual, Z a what moves rho
        v = np.column_stack([-self.at.beta, np.ones(len(s2))])
        toward_rho = np.einsum("rij,rj->ri", self.at.inverse, self.rho_slope)
        a = np.column_stack([toward_rho, np.zeros(len(s2))])

        def product(left: np.ndarray, M: np.ndarray) -> np.ndarray:
            """left' M v of each cluster's M, (R, m)."""
            return np.einsum("ri,mij,rj->rm", left, M, v, optimize=True)

        within, between = self.clusters.within, self.clusters.between
        w, b = product(v, within) / s2, g * product(v, between) / s2
        # (2, R, m): scores of lambda and log s2; (2, 2, R): inverse of the expected information
        scores = np.stack([n * g * (b - 1) / 2, (w + b - n) / 2])
        parts = np.stack([(n * g) ** 2, n * g, n + 0 * g])
        rr, rs, ss = (self.copies * parts).sum(2) / 2
        inverse = np.array([[ss, -rs], [-rs, rr]]) / (rr * ss - rs**2)
        by_ratio, by_log_s2 = np.einsum("abr,brm->arm", inverse, scores)
        by_rho = product(a, within) + g * product(a, between)
        return np.stack([by_ratio, by_rho - self.rho[:, None] * by_log_s2])


def resample(clusters: Clusters, copies: np.ndarray) -> Resamples:
    """The data sets with copies[r, i] of cluster i, whose X has a 0/1 column a condition.

    The fixed part's variance is that of the conditions' means, each as often as the condition has
    rows: beta' S beta / (n - 1) with S = diag(k) - k k' / n, k the conditions' rows.
    """
    moments = clusters.pool(copies)
    ratio = solve_ratio(moments, signed=True)
    at = criterion(moments, ratio)
    s2, beta = at.rss / moments.freedom, clusters.start + at.beta
    cells = np.einsum("mii->mi", clusters.within + clusters.between)[:, :-1]
    k = copies @ cells  # (R, p)
    n = k.sum(1, keepdims=True)
    centred = beta - (k * beta).sum(1, keepdims=True) / n
    half = k * centred / (n - 1) / s2[:, None]  # S beta / (n - 1) / s2
    return Resamples(clusters, copies, ratio, at, s2, (beta * half).sum(1), 2 * half)


def cluster_intervals(
    cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, resamples: int, seed: int
) -> dict:
    """{"icc", "marginal", "conditional"}: 95% intervals by a studentised cluster bootstrap.

    cells (N, p): one column of zeros and ones a condition; y is one that `mixed.fit` accepts. None
    where fewer than 95% of the resamples have an answer: it takes two different clusters, and one
    with two rows. Of five clusters or fewer it may hold all that is possible.
    """
    clusters = Clusters.of(cells, y, cluster)
    m, rng = len(clusters.sizes), np.random.default_rng(seed)
    copies = rng.multinomial(m, np.full(m, 1 / m), size=resamples).astype(float)
    two_clusters = (copies > 0).sum(1) > 1
    two_rows = copies @ (clusters.sizes > 1) > 0
    copies = copies[two_clusters & two_rows]
    original = resample(clusters, np.ones((1, m)))
    t = [np.empty((3, 0))]
    for first in range(0, len(copies), CHUNK):
        # One of clients who all do the same has no residual variance, and no answer.
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = resample(clusters, copies[first : first + CHUNK])
            # Of two clients alone the error is 0 but for rounding: t is as large as can be.
            t.append((drawn.scales - original.scales) / np.maximum(drawn.errors, 1e-9))
    result, columns = dict.fromkeys(NAMES), np.concatenate(t, axis=1)
    psis, errors = original.scales[:, 0], original.errors[:, 0]
    for name, psi, se, values in zip(NAMES, psis, errors, columns, strict=True):
        values = values[np.isfinite(values)]
        if len(values) >= ENOUGH * resamples and np.isfinite(se):
            ends = psi - se * np.quantile(values, [0.975, 0.025])
            ratios = np.expm1(np.clip(ends, 0, 700))  # exp(710) overflows
            if name == "icc":
                ratios /= clusters.sizes.mean()
            result[name] = (ratios / (1 + ratios)).tolist()
    return result
