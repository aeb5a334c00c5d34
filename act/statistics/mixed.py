"""The random-intercept linear mixed model, by hand and exact: one fit, or many that share a design.

    y = X beta + b[cluster] + e,     b ~ N(0, s2_b),  e ~ N(0, s2)

The variance ratio lambda = s2_b / s2 is the root of the REML likelihood's derivative
(act/statistics/reml.py); beta, its covariance and s2 follow in closed form. Variances are never
negative: at lambda = 0 the fit is `singular` and everything else is that of ordinary least squares.
"""

from dataclasses import dataclass

import numpy as np

from act.statistics.reml import RATIOS, Moments, criterion, moments_of, solve_ratio

NEGLIGIBLE = (
    1e-24  # a sum of squares this small beside the data's is rounding: 1e-12 of their scale
)


@dataclass(frozen=True)
class At:
    """The criterion at the estimate, data sets first (see reml.Criterion)."""

    slope: np.ndarray
    curvature: np.ndarray
    rss: np.ndarray
    rss_slope: np.ndarray
    inverse: np.ndarray  # (..., p, p)
    gram_slope: np.ndarray  # (..., p, p)


@dataclass(frozen=True)
class Fit:
    """A fitted model: floats and arrays as noted, or, from `fit_many`, each with an axis of data
    sets before it."""

    beta: np.ndarray  # (p,)
    covariance: np.ndarray  # (p, p) of beta
    variance_cluster: float
    variance_residual: float
    variance_fixed: float  # variance of X beta over the rows (n - 1 below, as R's var)
    loglik: float  # restricted, or with ML the log-likelihood
    singular: bool  # the cluster variance is 0, the boundary of its range
    at: At
    freedom: int  # n - p (REML) or n (ML)

    @property
    def icc(self) -> float:
        """Share of a cluster in the variance that the fixed effects leave: s2_b / (s2_b + s2)."""
        return self.variance_cluster / (self.variance_cluster + self.variance_residual)

    @property
    def r2(self) -> tuple[float, float]:
        """Marginal (fixed effects) and conditional (with clusters) R2: Nakagawa & Schielzeth
        (2013), eqs 26, 30."""
        total = self.variance_fixed + self.variance_cluster + self.variance_residual
        return self.variance_fixed / total, (self.variance_fixed + self.variance_cluster) / total

    @property
    def total(self) -> tuple[float, float]:
        """s2_b + s2, the variance that the fixed effects leave, and the variance of this estimate
        (delta method)."""
        ratio = self.variance_cluster / self.variance_residual
        gradient = np.stack(
            [self.variance_residual + 0 * ratio, 1 + ratio], axis=-1
        )  # s2 (1 + lambda)
        variance = np.einsum(
            "...i,...ij,...j->...", gradient, self.variances_covariance(), gradient
        )
        return self.variance_cluster + self.variance_residual, variance

    def variances_covariance(self) -> np.ndarray:
        """Covariance of the estimates (lambda, s2), (2, 2): 2 H^-1, H the Hessian of -2
        log-likelihood at them.

        On the boundary lambda is taken as known to be 0.
        """
        s2, at = np.asarray(self.variance_residual), self.at
        rr = at.curvature + self.freedom * (at.rss_slope / at.rss) ** 2
        rs, ss = -at.rss_slope / s2**2, self.freedom / s2**2
        determinant = rr * ss - rs**2
        free = np.where(self.singular, 0.0, 1.0)  # 0: no row and column for lambda
        lone = 2 / ss
        covariance = np.empty((*s2.shape, 2, 2))
        covariance[..., 0, 0] = free * 2 * ss / determinant
        covariance[..., 0, 1] = covariance[..., 1, 0] = -free * 2 * rs / determinant
        covariance[..., 1, 1] = np.where(self.singular, lone, 2 * rr / determinant)
        return covariance

    def freedom_of(self, contrast: np.ndarray) -> float:
        """Satterthwaite's degrees of freedom of the estimate c'beta: 2 f^2 / Var(f), f =
        Var(c'beta) = s2 c'A^-1 c.

        Var(f) = g' Cov(lambda, s2) g by the delta method, g the gradient of f: what lmerTest does,
        here in closed form (Satterthwaite 1946; Giesbrecht & Burns 1985). On the boundary the
        answer is n - p.
        """
        s2, at = self.variance_residual, self.at
        half = at.inverse @ contrast  # (..., p)
        f = s2 * (half @ contrast)
        gradient = np.stack(
            [-s2 * np.einsum("...i,...ij,...j->...", half, at.gram_slope, half), f / s2], axis=-1
        )
        variance = np.einsum(
            "...i,...ij,...j->...", gradient, self.variances_covariance(), gradient
        )
        df = np.where(self.singular, self.freedom, 2 * f**2 / variance)
        return float(df) if df.ndim == 0 else df


def fit(X: np.ndarray, y: np.ndarray, cluster: np.ndarray, restricted: bool = True) -> Fit:
    """REML (or, not restricted, ML) fit of y = X beta + b[cluster] + e; X (n, p) of full rank,
    cluster of any labels.

    Raises ValueError where the model has no answer: one cluster, one row in every cluster, too few
    rows, columns of X that depend on one another, values that are not finite, or nothing left to
    explain (no residual variance).
    """
    X, y = np.asarray(X, float), np.asarray(y, float)
    n, p = X.shape
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("there are values that are not finite")
    gram = X.T @ X
    scale = np.sqrt(np.diag(gram)) + (np.diag(gram) == 0)
    rank = int((np.linalg.eigvalsh(gram / np.outer(scale, scale)) > 1e-10).sum())
    if rank < p:
        raise ValueError(f"the {p} columns of the design have rank {rank}: some cell has no rows")
    if n <= p:
        raise ValueError(f"{n} rows cannot tell {p} fixed effects from noise")
    start = np.linalg.solve(gram, X.T @ y)
    residual = (
        y - X @ start
    )  # the same likelihood as y's: beta moves by `start`, rounding errors shrink
    if residual @ residual <= NEGLIGIBLE * (y @ y):
        raise ValueError(
            "the response does not vary within the conditions: there is no residual variance"
        )
    moments = moments_of(X, residual[:, None], cluster)
    if moments.counts.sum() < 2:
        raise ValueError("one cluster only: its variance cannot be estimated")
    if moments.sizes.max() == 1:
        raise ValueError(
            "every cluster has one row: cluster and residual variance cannot be told apart"
        )
    many = _solved(X, moments, start[None], restricted)
    if many.at.rss[0] <= 0 or many.variance_cluster[0] >= RATIOS[-1] * many.variance_residual[0]:
        raise ValueError(
            "conditions and clusters explain every value: there is no residual variance"
        )
    at = At(**{name: getattr(many.at, name)[0] for name in At.__dataclass_fields__})
    one = {
        name: getattr(many, name)[0]
        for name in Fit.__dataclass_fields__
        if name not in ("at", "freedom")
    }
    for name in ("variance_cluster", "variance_residual", "variance_fixed", "loglik"):
        one[name] = float(one[name])
    return Fit(**one | {"singular": bool(one["singular"]), "at": at, "freedom": int(many.freedom)})


def fit_many(X: np.ndarray, Y: np.ndarray, cluster: np.ndarray, restricted: bool = True) -> Fit:
    """`fit` of each column of Y (n, R) on the same X and clusters, solved together; each field has
    a first axis R.

    For data made by us: X of full rank, more than one cluster and residual variance are taken for
    granted.
    """
    start = np.linalg.solve(X.T @ X, X.T @ Y)  # (p, R)
    return _solved(X, moments_of(X, Y - X @ start, cluster), start.T, restricted)


def _solved(X: np.ndarray, moments: Moments, start: np.ndarray, restricted: bool) -> Fit:
    """The fits of moments whose y has X start taken out, start (R, p)."""
    n, p = X.shape
    ratio = solve_ratio(moments, restricted)
    at = criterion(moments, ratio, restricted)
    inverse, gram_slope = np.moveaxis(at.inverse, -1, 0), np.moveaxis(at.gram_slope, -1, 0)
    freedom = n - p if restricted else n
    s2 = at.rss / freedom
    beta = start + at.beta.T
    return Fit(
        beta=beta,
        covariance=s2[:, None, None] * inverse,
        variance_cluster=ratio * s2,
        variance_residual=s2,
        variance_fixed=np.var(beta @ X.T, axis=1, ddof=1),
        loglik=-0.5 * (at.value + freedom * (1 + np.log(2 * np.pi / freedom))),
        singular=ratio == 0.0,
        at=At(at.slope, at.curvature, at.rss, at.rss_slope, inverse, gram_slope),
        freedom=freedom,
    )
