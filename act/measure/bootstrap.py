"""The cluster bootstrap of the intraclass correlation, thousands of REML fits at once."""

import numpy as np

from act.measure.mixed import cluster_moments, pool, solve_ratio


def icc_interval(
    cells: np.ndarray, y: np.ndarray, cluster: np.ndarray, resamples: int, seed: int
) -> list[float] | None:
    """95% percentile interval of the ICC by a cluster bootstrap: whole clusters drawn with replacement.

    A cluster drawn twice counts as two clusters (keeping one copy makes the interval too narrow). Each resample is a
    full REML fit; all are solved together. None where fewer than 95% of the resamples have an ICC.
    """
    start = np.linalg.lstsq(cells, y)[0]
    _, sizes, within, between = cluster_moments(cells, y - cells @ start, cluster)
    m = len(sizes)
    copies = np.random.default_rng(seed).multinomial(m, np.full(m, 1 / m), size=resamples).astype(float)
    icc = resampled_icc(sizes, within, between, copies)
    defined = icc[np.isfinite(icc)]
    if len(defined) < 0.95 * resamples:
        return None
    return [float(bound) for bound in np.quantile(defined, [0.025, 0.975])]


def resampled_icc(sizes: np.ndarray, within: np.ndarray, between: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """ICC (R,) of the data sets in which cluster i stands copies[r, i] times; NaN where it is not defined.

    It is not defined where one cluster alone was drawn, or none with more than one row.
    """
    icc = np.full(len(copies), np.nan)
    defined = ((copies > 0).sum(axis=1) > 1) & (copies @ (sizes > 1) > 0)
    ratio = solve_ratio(pool(sizes, within, between, copies[defined], within.shape[-1] - 1))
    icc[defined] = ratio / (1 + ratio)
    return icc
