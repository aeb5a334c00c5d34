"""The likelihood of the random-intercept model for many data sets at once, and the variance ratio
that maximises it.

    y = X beta + b[cluster] + e,     b ~ N(0, s2_b),  e ~ N(0, s2),     lambda = s2_b / s2

lambda is lme4's theta squared. It is found as the root of the derivative of the REML likelihood
(its score).

A cluster of n rows has covariance s2 (I + lambda J), J all ones, whose inverse needs the cluster's
size and sums alone. So the likelihood is a function of lambda and of second moments of [X, y]
within and between clusters: no matrix of the size of the data, no loop over clusters. R data sets
lie along the last axis of every array, where numpy walks fastest; the loops that remain run over
the few columns of X and the few sizes of a cluster. Source: Searle, Casella & McCulloch, Variance
Components (1992), ch. 6; Laird & Ware (1982), Biometrics 38.
"""

from dataclasses import dataclass

import numpy as np

# Where the likelihood is looked at before Newton's method starts: its highest point's neighbours
# enclose a maximum. The last value stands for "no residual variance".
RATIOS = np.array([0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e5, 1e9])
BELOW = np.array(
    [0.999, 0.95, 0.8, 0.5, 0.25]
)  # negative ratios, in parts of the lowest possible, -1 / largest size
CHUNK = 400  # data sets solved together: their matrices stay in the cache


@dataclass(frozen=True)
class Moments:
    """Second moments of Z = [X, y] (q = p + 1 columns) of R data sets, clusters pooled by size (G
    sizes).

    within (q, q, R): sum over rows of (z - mean of the cluster)(z - mean of the cluster)'
    between (G, q, q, R): sum over clusters of size n_g of s s' / n_g, s the cluster's sum of z
    sizes (G,), counts (G, R): cluster size, and how many clusters have it
    rows (R,), columns (R,): n, and the columns of X that are not 0 throughout
    """

    within: np.ndarray
    between: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    def take(self, which: slice | np.ndarray) -> "Moments":
        """The data sets `which`; `np.repeat`ed indices give copies."""
        every = (self.within, self.between, self.counts, self.rows, self.columns)
        within, between, counts, rows, columns = (array[..., which] for array in every)
        return Moments(within, between, self.sizes, counts, rows, columns)


@dataclass(frozen=True)
class Criterion:
    """-2 times the log-likelihood, profiled over beta and s2, at one lambda a data set, without its
    constant."""

    value: np.ndarray
    slope: np.ndarray  # d/d lambda: minus twice the derivative of the log-likelihood, the score
    curvature: np.ndarray  # d2/d lambda2
    rss: np.ndarray  # generalised residual sum of squares: s2 times n - p (REML) or n (ML)
    rss_slope: np.ndarray
    beta: np.ndarray  # (p, R)
    inverse: np.ndarray  # (p, p, R): (X' (I + lambda J)^-1 X)^-1
    gram_slope: np.ndarray  # (p, p, R): d/d lambda of X' (I + lambda J)^-1 X


def moments_of(X: np.ndarray, Y: np.ndarray, cluster: np.ndarray) -> Moments:
    """Moments of R data sets that share X (n, p) and clusters (n,) and differ in y: the columns of
    Y (n, R)."""
    order = np.argsort(cluster, kind="stable")
    _, starts, sizes = np.unique(np.asarray(cluster)[order], return_index=True, return_counts=True)
    X, Y = X[order], Y[order]
    (p, R), distinct = (X.shape[1], Y.shape[1]), np.unique(sizes)
    sums_x, sums_y = np.add.reduceat(X, starts), np.add.reduceat(Y, starts)
    centred = X - np.repeat(sums_x / sizes[:, None], sizes, axis=0)
    deviation = Y - np.repeat(sums_y / sizes[:, None], sizes, axis=0)
    within = _join(
        centred.T @ centred, centred.T @ deviation, np.einsum("nr,nr->r", deviation, deviation)
    )
    between = np.empty((len(distinct), p + 1, p + 1, R))
    for g, size in enumerate(distinct):
        x, y = sums_x[sizes == size], sums_y[sizes == size]
        between[g] = _join(x.T @ x, x.T @ y, np.einsum("mr,mr->r", y, y)) / size
    counts = np.array([(sizes == size).sum() for size in distinct], float)[:, None].repeat(
        R, axis=1
    )
    return Moments(
        within,
        between,
        distinct.astype(float),
        counts,
        np.full(R, float(len(X))),
        np.full(R, float(p)),
    )


def _join(xx: np.ndarray, xy: np.ndarray, yy: np.ndarray) -> np.ndarray:
    p, R = xy.shape
    whole = np.empty((p + 1, p + 1, R))
    whole[:p, :p], whole[:p, p], whole[p, :p], whole[p, p] = xx[:, :, None], xy, xy, yy
    return whole


def cluster_moments(X: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sizes (m,) and second moments of [X, y] within and between, (m, q, q) each, cluster by
    cluster."""
    order = np.argsort(cluster, kind="stable")
    _, starts, sizes = np.unique(np.asarray(cluster)[order], return_index=True, return_counts=True)
    Z = np.column_stack([X, y])[order]
    sums = np.add.reduceat(Z, starts)
    centred = Z - np.repeat(sums / sizes[:, None], sizes, axis=0)
    within = np.add.reduceat(centred[:, :, None] * centred[:, None, :], starts)
    between = sums[:, :, None] * sums[:, None, :] / sizes[:, None, None]
    return sizes, within, between


def pool(
    sizes: np.ndarray, within: np.ndarray, between: np.ndarray, copies: np.ndarray, p: int
) -> Moments:
    """Moments of R data sets in which cluster i stands copies[r, i] times, each copy a cluster of
    its own.

    A column of X that is 0 throughout (a condition that a resample missed) leaves the model.
    """
    R, m = copies.shape
    q, copies = within.shape[-1], copies.T
    distinct = np.unique(sizes)
    members = [sizes == size for size in distinct]
    pooled_within = (within.reshape(m, -1).T @ copies).reshape(q, q, R)
    pooled_between = np.stack(
        [between[k].reshape(-1, q * q).T @ copies[k] for k in members]
    ).reshape(-1, q, q, R)
    diagonal = np.arange(p)
    missed = (pooled_within + pooled_between.sum(0))[diagonal, diagonal] == 0
    pooled_within[diagonal, diagonal] += (
        missed  # 1 on the diagonal: its beta is 0, its determinant 1
    )
    counts = np.stack([copies[k].sum(0) for k in members])
    return Moments(
        pooled_within,
        pooled_between,
        distinct.astype(float),
        counts,
        sizes @ copies,
        p - missed.sum(0),
    )


def criterion(moments: Moments, ratio: np.ndarray, restricted: bool = True) -> Criterion:
    """The criterion and its two derivatives at lambda = ratio (R,), in closed form: REML's, or
    plain ML's.

    With M(lambda) = within + sum over sizes n of between / (1 + n lambda) = [[A, c], [c', d]], r = d - c' A^-1 c:
    REML = (n - p) log r + sum over clusters of log(1 + n lambda) + log |A|;  ML = n log r + the same sum.
    r' and r'' follow from r being a minimum over beta (envelope theorem).
    """
    n, p = moments.sizes[:, None], moments.within.shape[0] - 1
    shrink = 1 / (1 + n * ratio)  # (G, R)
    M = moments.within + _weigh(shrink, moments.between)
    M1 = _weigh(-n * shrink**2, moments.between)
    M2 = _weigh(2 * n**2 * shrink**3, moments.between)
    pivots = np.empty((p, len(ratio)))
    for k in range(p):  # Gauss-Jordan: afterwards M = [[A^-1, beta], [., r]]
        pivots[k], column = M[k, k], M[:, k].copy()
        row = M[k] / pivots[k]
        M -= column[:, None] * row
        M[k], M[:, k] = row, column / -pivots[k]
        M[k, k] = 1 / pivots[k]
    inverse, beta, r = M[:p, :p], M[:p, p], M[p, p]

    v = np.concatenate([-beta, np.ones_like(beta[:1])])
    M1v = np.einsum("ijr,jr->ir", M1, v)
    bend, A1, A2 = M1v[:p], M1[:p, :p], M2[:p, :p]
    r1 = np.einsum("ir,ir->r", v, M1v)
    r2 = np.einsum("ir,ijr,jr->r", v, M2, v) - 2 * np.einsum("ir,ijr,jr->r", bend, inverse, bend)
    weight = moments.counts * n * shrink
    freedom = moments.rows - moments.columns if restricted else moments.rows
    with np.errstate(divide="ignore", invalid="ignore"):  # r = 0: the caller asks for finite values
        value = freedom * np.log(r) - (moments.counts * np.log(shrink)).sum(0)
        slope = freedom * r1 / r + weight.sum(0)
        curvature = freedom * (r2 / r - (r1 / r) ** 2) - (weight * n * shrink).sum(0)
    if restricted:
        K = np.einsum("ikr,kjr->ijr", inverse, A1)
        value = value + np.log(pivots).sum(0)
        slope = slope + np.einsum("iir->r", K)
        curvature = curvature + np.einsum("ijr,ijr->r", inverse, A2) - np.einsum("ijr,jir->r", K, K)
    return Criterion(value, slope, curvature, r, r1, beta, inverse, A1)


def _weigh(weights: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Sum over sizes of weights (G, R) times between (G, q, q, R)."""
    total = weights[0] * between[0]
    for weight, matrix in zip(weights[1:], between[1:], strict=True):
        total += weight * matrix
    return total


def value(moments: Moments, ratio: np.ndarray, restricted: bool = True) -> np.ndarray:
    """`criterion(...).value` alone, in a third of the time: elimination without the inverse."""
    n, p = moments.sizes[:, None], moments.within.shape[0] - 1
    shrink = 1 / (1 + n * ratio)
    M = moments.within + _weigh(shrink, moments.between)
    for k in range(p):
        M[k + 1 :, k + 1 :] -= M[k + 1 :, k, None] * (M[k, k + 1 :] / M[k, k])
    freedom = moments.rows - moments.columns if restricted else moments.rows
    with np.errstate(divide="ignore", invalid="ignore"):
        result = freedom * np.log(M[p, p]) - (moments.counts * np.log(shrink)).sum(0)
    return result + np.log(np.einsum("iir->ir", M)[:p]).sum(0) if restricted else result


def solve_ratio(moments: Moments, restricted: bool = True, signed: bool = False) -> np.ndarray:
    """The lambda (R,) that minimises each data set's criterion: exactly 0 on the boundary,
    RATIOS[-1] if unbounded.

    signed: lambda may be negative, down to -1 / largest cluster: clusters whose rows are less alike
    than chance. That is no variance; it is what the estimate would be were there no boundary, and
    what an interval is built from.
    """
    R = moments.within.shape[-1]
    grid = np.concatenate([-BELOW / moments.sizes.max(), RATIOS]) if signed else RATIOS
    pieces = [slice(start, start + CHUNK) for start in range(0, R, CHUNK)]
    return np.concatenate([_solve(moments.take(piece), grid, restricted) for piece in pieces])


def _solve(moments: Moments, grid: np.ndarray, restricted: bool) -> np.ndarray:
    R, points = moments.within.shape[-1], len(grid)
    if R == 1:  # one call for the whole grid
        values = value(moments.take(np.zeros(points, int)), grid, restricted)[:, None]
    else:
        values = np.stack([value(moments, np.full(R, point), restricted) for point in grid])
    best = np.argmin(np.where(np.isfinite(values), values, np.inf), axis=0)
    ratio = grid[best]
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, points - 1)]
    unit = moments.rows / moments.counts.sum(0)  # mean size of a cluster
    for _ in range(
        100
    ):  # Newton's method in log(1 + unit lambda), kept inside the bracket by bisection
        at = criterion(moments, ratio, restricted)
        low, high = np.where(at.slope < 0, ratio, low), np.where(at.slope < 0, high, ratio)
        scale = 1 / unit + ratio
        bend = at.curvature * scale + at.slope
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = ratio + scale * np.expm1(-at.slope / bend)
        inside = (bend > 0) & (newton >= low) & (newton <= high)
        step = np.where(inside, newton, (low + high) / 2)
        closed = high - low <= 1e-14 * np.abs(high)
        done = closed | (
            inside & (np.abs(step - ratio) <= 1e-8 * np.abs(scale))
        )  # squared by the step: 1e-16
        ratio = step
        if done.all():
            break
    return ratio
