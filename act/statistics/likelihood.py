"""Maximum likelihood beside REML: what compares models whose fixed effects differ.

analysis.py adds it to each outcome as "ml"; means and intervals of the report come from REML
(mixed.py) all the same.
"""

import numpy as np
from scipy import stats

from act.statistics.mixed import fit


def maximum_likelihood(cells: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> dict:
    """The ML fit of a model of cell means (n, p), and the likelihood-ratio test of it against one
    common mean.

    AIC = 2 k - 2 loglik, BIC = k log n - 2 loglik, k = p + 2 parameters (two variances), n rows, as
    lme4 counts. condition: chi2 = 2 (loglik - loglik of the common mean) on p - 1 df. REML
    likelihoods of models with other fixed effects cannot be compared; these can. Raises ValueError
    as `fit` does.
    """
    n, p = cells.shape
    full = fit(cells, y, cluster, restricted=False).loglik
    chi2 = max(0.0, 2 * (full - fit(np.ones((n, 1)), y, cluster, restricted=False).loglik))
    return {
        "loglik": full,
        "aic": 2 * (p + 2) - 2 * full,
        "bic": float(np.log(n) * (p + 2) - 2 * full),
        "condition": {"chi2": chi2, "df": p - 1, "p": float(stats.chi2.sf(chi2, p - 1))},
    }
