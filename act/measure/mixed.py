"""The random-intercept linear mixed model, by hand and exact.

    y = X beta + b[cluster] + e,     b ~ N(0, s2_b),  e ~ N(0, s2)

With the variance ratio lambda = s2_b / s2, a cluster of n rows has covariance s2 (I + lambda J), J all ones, whose
inverse needs the cluster's size and sums alone. So the likelihood is a function of one number, lambda, and of
second moments of [X, y] within and between clusters: no matrix of the size of the data, no loop over clusters.
Source: Searle, Casella & McCulloch, Variance Components (1992), ch. 6; Laird & Ware (1982), Biometrics 38.
"""

from dataclasses import dataclass

import numpy as np

# Where the REML criterion is looked at before Newton's method starts: its lowest point and that point's
# neighbours enclose the minimum. The last value stands for "no residual variance".
RATIOS = np.array([0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e5, 1e9])
NEGLIGIBLE = 1e-24  # a sum of squares this small beside the data's is rounding: 1e-12 of their scale


@dataclass(frozen=True)
class Moments:
    """Second moments of Z = [X, y] (q = p + 1 columns), clusters pooled by size (G sizes). May lead with batch axes.

    within (..., q, q): sum over rows of (z - mean of the cluster)(z - mean of the cluster)'
    between (..., G, q, q): sum over clusters of size n_g of s s' / n_g, s the cluster's sum of z
    sizes (G,), counts (..., G): cluster size and how many clusters have it; freedom (...): n - p
    """

    within: np.ndarray
    between: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray
    freedom: np.ndarray


@dataclass(frozen=True)
class Criterion:
    """-2 times the REML log-likelihood, profiled over beta and s2, at one lambda, without its constant."""

    value: np.ndarray
    slope: np.ndarray  # d/d lambda: minus twice the REML score
    curvature: np.ndarray  # d2/d lambda2
    rss: np.ndarray  # generalised residual sum of squares, (n - p) s2
    rss_slope: np.ndarray
    beta: np.ndarray  # (..., p)
    inverse: np.ndarray  # (..., p, p): (X' (I + lambda J)^-1 X)^-1
    gram_slope: np.ndarray  # (..., p, p): d/d lambda of X' (I + lambda J)^-1 X


@dataclass(frozen=True)
class Fit:
    """A fitted model. Satterthwaite's degrees of freedom come from `freedom_of`."""

    beta: np.ndarray  # (p,)
    covariance: np.ndarray  # (p, p) of beta
    variance_cluster: float
    variance_residual: float
    variance_fixed: float  # variance of X beta over the rows (n - 1 below, as R's var)
    loglik: float  # restricted
    singular: bool  # the cluster variance is 0, the boundary of its range
    at: Criterion
    freedom: int  # n - p

    @property
    def icc(self) -> float:
        """Share of a cluster in the variance that the fixed effects leave: s2_b / (s2_b + s2)."""
        return self.variance_cluster / (self.variance_cluster + self.variance_residual)

    @property
    def r2(self) -> tuple[float, float]:
        """Marginal (fixed effects) and conditional (with clusters) R2: Nakagawa & Schielzeth (2013), eqs 26, 30."""
        total = self.variance_fixed + self.variance_cluster + self.variance_residual
        return self.variance_fixed / total, (self.variance_fixed + self.variance_cluster) / total

    def freedom_of(self, contrast: np.ndarray) -> float:
        """Satterthwaite's degrees of freedom of the estimate c'beta: 2 f^2 / Var(f), f = Var(c'beta) = s2 c'A^-1 c.

        Var(f) = g' (2 H^-1) g by the delta method, g the gradient of f in (lambda, s2) and H the Hessian of -2 times
        the REML log-likelihood: what lmerTest does, here in closed form. On the boundary lambda is taken as known
        to be 0, and the answer is n - p.
        """
        if self.singular:
            return float(self.freedom)
        s2, at = self.variance_residual, self.at
        half = at.inverse @ contrast
        f = s2 * contrast @ half
        gradient = np.array([-s2 * half @ at.gram_slope @ half, f / s2])
        ratio_ratio = at.curvature + self.freedom * (at.rss_slope / at.rss) ** 2
        hessian = np.array([[ratio_ratio, -at.rss_slope / s2**2], [-at.rss_slope / s2**2, self.freedom / s2**2]])
        return float(f**2 / (gradient @ np.linalg.solve(hessian, gradient)))


def fit(X: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> Fit:
    """REML fit of y = X beta + b[cluster] + e; X (n, p) of full rank, y (n,), cluster (n,) of any labels.

    Raises ValueError where the model has no answer: one cluster, one row in every cluster, too few rows, columns of X
    that depend on one another, values that are not finite, or nothing left to explain (no residual variance).
    """
    X, y = np.asarray(X, float), np.asarray(y, float)
    n, p = X.shape
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("there are values that are not finite")
    start, _, rank, _ = np.linalg.lstsq(X, y)
    if rank < p:
        raise ValueError(f"the {p} columns of the design have rank {rank}: some cell has no rows")
    if n <= p:
        raise ValueError(f"{n} rows cannot tell {p} fixed effects from noise")
    residual = y - X @ start  # the same likelihood as y's: beta moves by `start`, rounding errors shrink
    if residual @ residual <= NEGLIGIBLE * (y @ y):
        raise ValueError("the response does not vary within the conditions: there is no residual variance")
    index, sizes, within, between = cluster_moments(X, residual, cluster)
    if len(index) < 2:
        raise ValueError("one cluster only: its variance cannot be estimated")
    if sizes.max() == 1:
        raise ValueError("every cluster has one row: cluster and residual variance cannot be told apart")
    moments = pool(sizes, within, between, np.ones((1, len(sizes))), p)
    ratio = float(solve_ratio(moments)[0])
    if ratio >= RATIOS[-1]:
        raise ValueError("conditions and clusters explain every value: there is no residual variance")
    at = criterion(moments, np.array([ratio]))
    at = Criterion(**{name: getattr(at, name)[0] for name in at.__dataclass_fields__})
    s2 = at.rss / (n - p)
    beta = start + at.beta
    return Fit(
        beta=beta,
        covariance=s2 * at.inverse,
        variance_cluster=ratio * s2,
        variance_residual=float(s2),
        variance_fixed=float(np.var(X @ beta, ddof=1)),
        loglik=float(-0.5 * (at.value + (n - p) * (1 + np.log(2 * np.pi / (n - p))))),
        singular=ratio == 0.0,
        at=at,
        freedom=n - p,
    )


def cluster_moments(X: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, ...]:
    """Labels (m,), sizes (m,) and second moments of [X, y] within and between, (m, q, q) each, cluster by cluster."""
    order = np.argsort(cluster, kind="stable")
    labels, starts, sizes = np.unique(np.asarray(cluster)[order], return_index=True, return_counts=True)
    Z = np.column_stack([X, y])[order]
    sums = np.add.reduceat(Z, starts)
    centred = Z - np.repeat(sums / sizes[:, None], sizes, axis=0)
    within = np.add.reduceat(centred[:, :, None] * centred[:, None, :], starts)
    between = sums[:, :, None] * sums[:, None, :] / sizes[:, None, None]
    return labels, sizes, within, between


def pool(sizes: np.ndarray, within: np.ndarray, between: np.ndarray, copies: np.ndarray, p: int) -> Moments:
    """Moments of R data sets in which cluster i stands copies[r, i] times, each copy a cluster of its own.

    A column of X that is 0 throughout (a condition that a resample missed) leaves the model.
    """
    R, m = copies.shape
    q = within.shape[-1]
    pooled_within = (copies @ within.reshape(m, q * q)).reshape(R, q, q)
    distinct = np.unique(sizes)
    members = [sizes == size for size in distinct]
    pooled_between = np.stack([(copies[:, k] @ between[k].reshape(-1, q * q)) for k in members], axis=1)
    pooled_between = pooled_between.reshape(R, len(distinct), q, q)
    diagonal = np.arange(p)
    missed = (pooled_within + pooled_between.sum(1))[:, diagonal, diagonal] == 0
    pooled_within[:, diagonal, diagonal] += missed  # 1 on the diagonal: its beta is 0, its determinant 1
    counts = np.stack([copies[:, k].sum(1) for k in members], axis=1)
    freedom = copies @ sizes - (p - missed.sum(1))
    return Moments(pooled_within, pooled_between, distinct.astype(float), counts, freedom)


def criterion(moments: Moments, ratio: np.ndarray) -> Criterion:
    """The REML criterion and its two derivatives at lambda = ratio (...,), in closed form.

    With M(lambda) = within + sum over sizes n of between / (1 + n lambda) = [[A, c], [c', d]], r = d - c' A^-1 c:
    value = (n - p) log r + sum over clusters of log(1 + n lambda) + log |A|.
    r' and r'' follow from r being a minimum over beta (envelope theorem).
    """
    n, p = moments.sizes, moments.within.shape[-1] - 1
    shrink = 1 / (1 + n * ratio[..., None])  # (..., G)
    weights = np.stack([shrink, -n * shrink**2, 2 * n**2 * shrink**3], axis=-2)  # of M, M', M''
    flat = moments.between.reshape(*moments.between.shape[:-2], -1)
    M, M1, M2 = np.moveaxis((weights @ flat).reshape(*weights.shape[:-1], p + 1, p + 1), -3, 0)
    M = M + moments.within

    inverse = np.linalg.inv(M[..., :p, :p])
    beta = (inverse @ M[..., :p, p:])[..., 0]
    v = np.concatenate([-beta, np.ones_like(beta[..., :1])], axis=-1)
    r = np.einsum("...i,...i->...", M[..., p, :], v)
    M1v = (M1 @ v[..., None])[..., 0]
    r1 = np.einsum("...i,...i->...", v, M1v)
    bend = M1v[..., :p]
    r2 = np.einsum("...i,...ij,...j->...", v, M2, v) - 2 * np.einsum("...i,...ij,...j->...", bend, inverse, bend)
    K = inverse @ M1[..., :p, :p]

    weight, freedom = moments.counts * n * shrink, moments.freedom
    trace = np.trace(K, axis1=-2, axis2=-1)
    trace2 = np.einsum("...ij,...ji->...", inverse, M2[..., :p, :p]) - np.einsum("...ij,...ji->...", K, K)
    with np.errstate(divide="ignore", invalid="ignore"):  # r = 0: the caller asks for finite values
        value = freedom * np.log(r) - (moments.counts * np.log(shrink)).sum(-1) + np.linalg.slogdet(M[..., :p, :p])[1]
        slope = freedom * r1 / r + weight.sum(-1) + trace
        curvature = freedom * (r2 / r - (r1 / r) ** 2) - (weight * n * shrink).sum(-1) + trace2
    return Criterion(value, slope, curvature, r, r1, beta, inverse, M1[..., :p, :p])


def solve_ratio(moments: Moments) -> np.ndarray:
    """The lambda (R,) that minimises each data set's criterion: exactly 0 on the boundary, RATIOS[-1] if unbounded."""
    fields = (moments.within, moments.between, moments.counts, moments.freedom)
    within, between, counts, freedom = (field[:, None] for field in fields)
    spread = Moments(within, between, moments.sizes, counts, freedom)  # one more axis, for the grid
    grid = criterion(spread, np.broadcast_to(RATIOS, (len(moments.within), len(RATIOS))))
    best = np.argmin(np.where(np.isfinite(grid.value), grid.value, np.inf), axis=1)
    rising = np.take_along_axis(grid.slope, best[:, None], axis=1)[:, 0] >= 0
    low = RATIOS[np.maximum(best - rising, 0)]
    high = RATIOS[np.minimum(best + ~rising, len(RATIOS) - 1)]
    ratio = (low + high) / 2
    for _ in range(100):  # Newton's method, kept inside the bracket by bisection
        at = criterion(moments, ratio)
        low, high = np.where(at.slope < 0, ratio, low), np.where(at.slope < 0, high, ratio)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = ratio - at.slope / at.curvature
        inside = (at.curvature > 0) & (newton >= low) & (newton <= high)
        step = np.where(inside, newton, (low + high) / 2)
        closed = high - low <= 1e-14 * high
        done = closed | (inside & (np.abs(step - ratio) <= 1e-8 * ratio))  # squared by the step itself: 1e-16
        ratio = step
        if done.all():
            break
    return ratio
