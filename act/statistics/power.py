"""How many clients does a study need? The power of one contrast, by the noncentral t distribution.

`analyze.py plan` calls it, before a study; the variances are those that an earlier study's
summary.json holds. The test planned for is the report's: t with Satterthwaite's df.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 0.05
MOST = 2_000  # profiles: a study that needs more is not going to be done


@dataclass(frozen=True)
class Study:
    """The study that is planned: every profile meets all k conditions, and a share of the sessions
    is lost at random."""

    conditions: int
    difference: float  # between the means of two conditions, in points
    variance_session: float  # between clients, s2_b
    variance_residual: float  # s2
    missing: float = 0.0


def power_of(study: Study, profiles: np.ndarray, alpha: float) -> np.ndarray:
    """Power of the two-sided t test at alpha with so many profiles, (M,).

    The estimate's t has noncentrality difference / se. A client with n of k sessions adds
    (I - g J) / s2 to the information on the means, J all ones, g = lambda / (1 + n lambda), lambda
    = s2_b / s2. Over which n sessions they are, and over n, binomial (k, 1 - missing), that is on
    average a on the diagonal and b beside it, so that m clients give se^2 = 2 s2 / (m (a - b)),

        a - b = E[n / k (1 - g (k - n) / (k - 1))],     df = m (E[n] - P(n > 0)) - (k - 1),

    df the rows less clients and conditions. Nothing missing: se^2 = 2 s2 / m, df = (m - 1)(k - 1),
    exactly, and s2_b plays no part. Where some are, df is that of differences within clients;
    Satterthwaite's, which also counts those between clients, is a little larger.
    """
    k, ratio = study.conditions, study.variance_session / study.variance_residual
    n = np.arange(k + 1)
    # (k + 1,): the share of clients with n sessions
    chance = stats.binom.pmf(n, k, 1 - study.missing)
    g = ratio / (1 + n * ratio)
    information = chance @ (n / k * (1 - g * (k - n) / (k - 1)))
    se = np.sqrt(2 * study.variance_residual / (profiles * information))
    df = profiles * (chance @ n - chance[1:].sum()) - (k - 1)
    # From 1e4 on detection is certain, and scipy's series would not converge.
    shift = np.minimum(abs(study.difference) / se, 1e4)
    critical = stats.t.isf(alpha / 2, df)
    power = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    return np.where(df >= 1, power, 0.0)


def profiles_needed(study: Study, power: float, alpha: float) -> tuple[int, float] | None:
    """The fewest profiles, 2 or more, whose power is at least `power`, and what it is with them.

    None where more than 2,000 are needed.
    """
    profiles = np.arange(2, MOST + 1)
    found = power_of(study, profiles, alpha)
    enough = np.flatnonzero(found >= power)
    if not len(enough):
        return None
    return int(profiles[enough[0]]), float(found[enough[0]])
