"""The random-intercept linear mixed model by restricted maximum likelihood (REML), exact.

    y = X beta + b[cluster] + e,     b ~ N(0, s2_b),  e ~ N(0, s2),     lambda = s2_b / s2

A cluster of n rows has covariance s2 (I + lambda J), J all ones, whose inverse needs the cluster's
size and sums alone: the likelihood is a function of lambda and of second moments of [X, y] within
and between clusters. lambda is the root of its derivative (the score); beta and s2 follow in closed
form. At lambda = 0, the boundary, a fit is `singular` and equals ordinary least squares.

R data sets are solved together: one for a fit, hundreds for bootstrap.py. Sources: Searle, Casella
& McCulloch, Variance Components (1992), ch. 6; Laird & Ware (1982), Biometrics 38.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize.elementwise import find_root

# Between two of these a minimum is sought; of sparse designs there may be several, close together.
# The last one stands for "no residual variance".
RATIOS = np.array([0, *np.logspace(-2, 3, 41), 1e5, 1e9])
COARSE = np.array([0, *np.logspace(-2, 3, 11), 1e5, 1e9])  # for thousands of resamples
# Negative ratios, in parts of the lowest possible, -1 / largest size.
BELOW = np.array([0.999, 0.95, 0.8, 0.5, 0.25])
# A sum of squares this small beside the data's is rounding: 1e-12 of their scale.
NEGLIGIBLE = 1e-24
# A lambda this small is 0, and rounding: of whole scores the two mean squares may be equal.
LEAST = 1e-9


@dataclass(frozen=True)
class Moments:
    """Second moments of Z = [X, y] (q = p + 1 columns) in R data sets, clusters pooled by size.

    within: over rows, (z - mean of its cluster)(z - mean of its cluster)'
    between: over clusters of size n, s s' / n, s the cluster's sum of z
    """

    within: np.ndarray  # (R, q, q)
    between: np.ndarray  # (R, G, q, q)
    sizes: np.ndarray  # (G,)
    counts: np.ndarray  # (R, G): clusters of each size
    freedom: np.ndarray  # (R,): n - p

    def take(self, which: np.ndarray) -> "Moments":
        """The data sets `which`; a repeated index gives copies."""
        within, between = self.within[which], self.between[which]
        return Moments(within, between, self.sizes, self.counts[which], self.freedom[which])


@dataclass(frozen=True)
class Clusters:
    """What each of m clusters adds to the moments of [X, y - X start], start by least squares:
    what y has left is small, and so is rounding."""

    sizes: np.ndarray  # (m,)
    within: np.ndarray  # (m, q, q)
    between: np.ndarray  # (m, q, q)
    start: np.ndarray  # (p,)

    @classmethod
    def of(cls, X: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> "Clusters":
        """Those of X (n, p), y (n,) and the rows' clusters (n,), in sorted order of their names."""
        start = np.linalg.lstsq(X, y)[0]
        order = np.argsort(cluster, kind="stable")
        _, first, sizes = np.unique(cluster[order], return_index=True, return_counts=True)
        Z = np.column_stack([X, y - X @ start])[order]
        sums = np.add.reduceat(Z, first)  # (m, q)
        centred = Z - np.repeat(sums / sizes[:, None], sizes, axis=0)
        within = np.add.reduceat(centred[:, :, None] * centred[:, None], first)
        between = sums[:, :, None] * sums[:, None] / sizes[:, None, None]
        return cls(sizes, within, between, start)

    def pool(self, copies: np.ndarray) -> Moments:
        """R data sets with cluster i standing copies[r, i] times, each copy a cluster of its own.

        A column of X that is 0 throughout (a condition that a resample missed) leaves the model.
        """
        sizes = np.unique(self.sizes)
        of = [self.sizes == size for size in sizes]  # (m,) each: who has it
        counts = np.stack([copies[:, mine].sum(1) for mine in of], 1)
        between = [np.tensordot(copies[:, mine], self.between[mine], 1) for mine in of]
        within, between = np.tensordot(copies, self.within, 1), np.stack(between, 1)
        # (R, p): its 1 on the diagonal makes its beta 0, and adds 0 to log |A|
        missed = np.einsum("rii->ri", within + between.sum(1))[:, :-1] == 0
        within[:, :-1, :-1] += missed[:, None] * np.eye(len(self.start))
        freedom = copies @ self.sizes - (~missed).sum(1)
        return Moments(within, between, sizes.astype(float), counts, freedom)


@dataclass(frozen=True)
class Criterion:
    """-2 x the restricted log-likelihood at one lambda a data set, profiled over beta and s2."""

    value: np.ndarray  # (R,): without its constant
    slope: np.ndarray  # (R,): d/d lambda, -2 x the score
    rss: np.ndarray  # (R,): generalised residual sum of squares, s2 (n - p)
    beta: np.ndarray  # (R, p): on top of `start`
    inverse: np.ndarray  # (R, p, p): A^-1, A = X' (I + lambda J)^-1 X


def criterion(moments: Moments, ratio: np.ndarray) -> Criterion:
    """The criterion and its derivative at lambda = ratio (R,).

    With M(lambda) = within + sum over sizes n of between / (1 + n lambda) = [[A, c], [c', d]] and
    r = d - c' A^-1 c, it is (n - p) log r + sum over clusters of log(1 + n lambda) + log |A|.
    r' follows from r being a minimum over beta (envelope theorem).
    """
    n, p = moments.sizes, moments.within.shape[-1] - 1
    shrink = 1 / (1 + n * ratio[:, None])  # (R, G)
    # (R, q, q): the moments at lambda, and their derivative
    M = moments.within + np.einsum("rg,rgij->rij", shrink, moments.between)
    M1 = np.einsum("rg,rgij->rij", -n * shrink**2, moments.between)
    A, A1 = M[:, :p, :p], M1[:, :p, :p]
    inverse = np.linalg.inv(A)
    beta = np.einsum("rij,rj->ri", inverse, M[:, :p, p])

    # Z v is the residual, so that r = v' M v, where an error of beta, its minimum, counts squared.
    v = np.column_stack([-beta, np.ones(len(beta))])
    r, r1 = (np.einsum("ri,rij,rj->r", v, matrix, v) for matrix in (M, M1))
    f, counts = moments.freedom, moments.counts
    value = np.linalg.slogdet(A)[1] - (counts * np.log(shrink)).sum(1)
    slope = np.einsum("rij,rji->r", inverse, A1) + (counts * n * shrink).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):  # r = 0: nothing is left to explain
        value, slope = value + f * np.log(r), slope + f * r1 / r
    return Criterion(value, slope, r, beta, inverse)


def solve_ratio(moments: Moments, signed: bool = False) -> np.ndarray:
    """The lambda (R,) that minimises each criterion: 0 on the boundary, RATIOS[-1] if unbounded.

    signed, for resamples: lambda may be negative, down to -1 / largest cluster, where rows of a
    cluster are less alike than chance: what an interval needs, were there no boundary. From fewer
    points, since a second maximum that one of thousands misses moves no quantile.
    """
    R = len(moments.counts)
    grid = np.concatenate([-BELOW / moments.sizes.max(), COARSE]) if signed else RATIOS
    every = moments.take(np.tile(np.arange(R), len(grid)))
    falling = criterion(every, np.repeat(grid, R)).slope.reshape(-1, R) < 0
    # A minimum lies where the slope turns from falling to rising. Beyond both ends stands a wall,
    # so that one is found there, too: "between" the end and itself.
    falling = np.pad(falling, ((1, 1), (0, 0)))
    falling[0] = True
    place, which = np.nonzero(falling[:-1] & ~falling[1:])  # (minima,): where, and in which set
    ends = np.pad(grid, 1, mode="edge")
    low, high = ends[place], ends[place + 1]

    def slope(ratio: np.ndarray, which: np.ndarray) -> np.ndarray:
        return criterion(moments.take(which.astype(int)), ratio).slope

    inner = low < high
    if inner.any():
        bracket = low[inner], high[inner]
        low[inner] = find_root(slope, bracket, args=(which[inner],)).x
    # The lowest minimum of each data set. One at r = 0, value -inf, has no answer, and comes last.
    value = criterion(moments.take(which), low).value
    order = np.lexsort((np.where(np.isfinite(value), value, np.inf), which))
    return low[order[np.unique(which[order], return_index=True)[1]]]


@dataclass(frozen=True)
class Fit:
    """A fitted model."""

    beta: np.ndarray  # (p,)
    covariance: np.ndarray  # (p, p): of beta
    variance_cluster: float
    variance_residual: float
    variance_fixed: float  # of X beta over the rows (n - 1 below, as R's var)
    singular: bool  # the cluster variance is 0, the boundary of its range
    freedom: int  # n - p
    covariance_slope: np.ndarray  # (p, p): d/d lambda of it, s2 held
    spread: np.ndarray  # (2, 2): covariance of the estimates (lambda, s2)

    @property
    def icc(self) -> float:
        """Share of a cluster in the variance that the fixed effects leave: s2_b / (s2_b + s2)."""
        return self.variance_cluster / (self.variance_cluster + self.variance_residual)

    @property
    def r2(self) -> tuple[float, float]:
        """Marginal (fixed effects) and conditional R2: Nakagawa & Schielzeth (2013), eqs 26, 30."""
        explained = self.variance_fixed + self.variance_cluster
        total = explained + self.variance_residual
        return self.variance_fixed / total, explained / total

    @property
    def total(self) -> tuple[float, float]:
        """s2_b + s2, what the fixed effects leave, and this estimate's variance (delta method)."""
        ratio = self.variance_cluster / self.variance_residual
        gradient = np.array([self.variance_residual, 1 + ratio])  # of s2 (1 + lambda)
        variance = float(gradient @ self.spread @ gradient)
        return self.variance_cluster + self.variance_residual, variance

    def freedom_of(self, contrast: np.ndarray) -> float:
        """Satterthwaite's degrees of freedom of c'beta: 2 f^2 / Var(f), f = Var(c'beta).

        Var(f) = g' Cov(lambda, s2) g by the delta method, g the gradient of f = s2 c'A^-1 c: what
        lmerTest does, here in closed form (Satterthwaite 1946; Giesbrecht & Burns 1985). On the
        boundary the answer is n - p.
        """
        if self.singular:
            return float(self.freedom)
        f, slope = (contrast @ M @ contrast for M in (self.covariance, self.covariance_slope))
        gradient = np.array([slope, f / self.variance_residual])
        return float(2 * f**2 / (gradient @ self.spread @ gradient))


def check_design(X: np.ndarray, clusters: Clusters) -> None:
    """Raises ValueError, which says why, where X (n, p) and the clusters do not identify the model.

    Z has a column of zeros and ones a cluster. Of the n rows rank [X Z] - rank X tell of the
    clusters' variance and n - rank [X Z] of the residual one: both must be above 0.
    """
    n, p = X.shape
    m, lost = len(clusters.sizes), "nothing is left to estimate the"
    if n <= p:
        raise ValueError(f"{n} rows cannot tell {p} fixed effects from noise")
    rank = np.linalg.matrix_rank(X)
    if rank < p:
        raise ValueError(f"the {p} columns of the design have rank {rank}: some cell has no rows")
    # rank [X Z] = m + rank of X less its clusters' means
    squares = clusters.within.sum(0)[:p, :p]
    of_both = m + np.linalg.matrix_rank(squares, rtol=1e-9, hermitian=True)
    if of_both == n:
        cause = f"conditions and clusters have as many parameters as there are rows, {n}"
        raise ValueError(f"{cause}: {lost} residual variance from")
    if of_both == p:
        raise ValueError(f"{m} cluster(s) in {p} fixed effects: {lost} clusters' variance from")


def fit(X: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> Fit:
    """REML fit of y = X beta + b[cluster] + e; X (n, p), cluster of any labels.

    Raises ValueError, which says why, where the design does not identify the model
    (`check_design`), and where the values leave nothing to be explained.
    """
    n, p = X.shape
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("there are values that are not finite")
    clusters = Clusters.of(X, y, cluster)
    check_design(X, clusters)
    residual = y - X @ clusters.start
    none = "there is no residual variance"
    if residual @ residual <= NEGLIGIBLE * (y @ y):
        raise ValueError(f"the response does not vary within the conditions: {none}")
    moments = clusters.pool(np.ones((1, len(clusters.sizes))))
    ratio = solve_ratio(moments)
    ratio[ratio < LEAST] = 0
    at, singular = criterion(moments, ratio), bool(ratio[0] == 0)
    if at.rss[0] <= 0 or ratio[0] >= RATIOS[-1] / 100:  # by rounding it may fall short of the last
        raise ValueError(f"conditions and clusters explain every value: {none}")
    s2, beta = float(at.rss[0] / (n - p)), clusters.start + at.beta[0]
    # Derivatives in lambda by a complex step, Im f(lambda + i h) / h, exact to rounding (Squire &
    # Trapp 1998, SIAM Review 40).
    h = 1e-30
    step = criterion(moments, ratio + 1j * h)
    parts = step.slope, step.rss, step.inverse
    bend, rss_slope, inverse_slope = (part[0].imag / h for part in parts)
    # 2 H^-1, H the Hessian of -2 log-likelihood in (lambda, s2); a lambda of 0 is taken as known.
    spread = np.diag([0.0, 2 * s2**2 / (n - p)])
    if not singular:
        # bend is of the criterion with s2 at its best: what that took off is added back, s2 held
        of_ratio = bend + (n - p) * (rss_slope / at.rss[0]) ** 2
        mixed = -rss_slope / s2**2
        spread = 2 * np.linalg.inv([[of_ratio, mixed], [mixed, (n - p) / s2**2]])
    return Fit(
        beta=beta,
        covariance=s2 * at.inverse[0],
        variance_cluster=float(ratio[0] * s2),
        variance_residual=s2,
        variance_fixed=float(np.var(X @ beta, ddof=1)),
        singular=singular,
        freedom=n - p,
        covariance_slope=s2 * inverse_slope,
        spread=spread,
    )
