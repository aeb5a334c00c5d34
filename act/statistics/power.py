"""How many clients does a study need? Power of one contrast by simulation from given variances.

`analyze.py plan` calls it, before a study; the variances are those that an earlier study's
summary.json holds. The simulated studies are fitted by the same model (mixed.fit_many) as real
ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from act.records import InputError
from act.statistics.mixed import fit_many
from act.statistics.wins import wilson

ALPHA = 0.05
MOST = 2_000  # profiles: a study that needs more is not going to be done
BATCHES = (
    20  # at least so many patterns of missing sessions; each has its share of the simulated studies
)
NUMBERS = 500_000  # in one batch of studies: they stay in the cache


@dataclass(frozen=True)
class Study:
    """The study that is planned: every profile meets every condition, and a share of the sessions
    is lost at random."""

    conditions: Sequence[str]
    a: str
    b: str
    difference: float  # mean of a minus mean of b, in points
    variance_session: float  # between clients
    variance_residual: float
    missing: float = 0.0


@dataclass(frozen=True)
class Answer:
    """How many profiles a study needs, and the power that was found with them."""

    profiles: int
    power: float  # simulated, at that many profiles
    ci: list[float]  # 95% Monte Carlo interval of the power (Wilson)
    alpha: float


def check(study: Study, power: float) -> None:
    """Raises InputError for a study that nothing can be planned for."""
    for name in (study.a, study.b):
        if name not in study.conditions:
            raise InputError(
                f'--contrast: "{name}" is none of the conditions {", ".join(study.conditions)}'
            )
    if study.a == study.b:
        raise InputError(f'--contrast: "{study.a}" against itself differs by nothing')
    if not np.isfinite(study.difference) or study.difference == 0:
        raise InputError(
            f"--difference {study.difference:g}: a number of points other than 0 is wanted"
        )
    if not 0 < study.variance_residual < np.inf:
        raise InputError(
            f"--variance-residual {study.variance_residual:g}: a variance above 0 is wanted"
        )
    if not ALPHA < power < 1:
        raise InputError(f"--power {power:g}: between {ALPHA:g}, the level of the test, and 1")
    if not study.missing <= 0.9:
        raise InputError(f"--missing {study.missing:g}: at most 0.9 of the sessions")


def profiles_needed(
    study: Study, power: float, alpha: float, simulations: int, seed: int
) -> Answer | None:
    """The fewest profiles whose simulated power is at least `power`, two-sided t test at alpha,
    Satterthwaite's df.

    The search starts from the number for known variances, 2 s2 ((z_alpha + z_power) / difference)^2
    / (1 - missing), encloses the answer and halves, down to 1 profile or 1% of them, which
    simulation cannot tell apart. Studies of m profiles come from the seeds (seed, m), so that a
    number is the same however it was reached. None where more than 2,000 profiles are needed.
    """
    z = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    guess = 2 * study.variance_residual * (z / study.difference) ** 2 / (1 - study.missing)
    if guess > MOST:
        return None
    found: dict[int, int] = {}

    def enough(m: int) -> bool:
        if m not in found:
            found[m] = detections(study, m, alpha, simulations, seed)
        return found[m] >= power * simulations

    high = max(3, round(guess))
    low = high - 1
    while not enough(high):
        low, high = high, high + max(1, high // 20)
    while low >= 2 and enough(low):
        low, high = low - max(1, low // 20), low
    low = max(low, 1)  # one client alone has no variance between clients
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return Answer(high, found[high] / simulations, wilson(found[high], simulations), alpha)


def detections(study: Study, profiles: int, alpha: float, simulations: int, seed: int) -> int:
    """In how many of the simulated studies of so many profiles is the contrast significant at
    alpha?"""
    rng, k = np.random.default_rng([seed, profiles]), len(study.conditions)
    client, cell = np.repeat(np.arange(profiles), k), np.tile(np.arange(k), profiles)
    mean = np.where(cell == study.conditions.index(study.a), study.difference, 0.0)
    contrast = np.zeros(k)
    contrast[[study.conditions.index(study.a), study.conditions.index(study.b)]] = 1, -1
    detected = 0
    size = max(1, min(-(-simulations // BATCHES), NUMBERS // len(cell)))
    for first in range(0, simulations, size):
        R = min(size, simulations - first)
        keep = rng.random(len(cell)) >= study.missing
        if not _can_be_fitted(keep, client, cell, k):
            continue  # such a study has no test, and detects nothing
        b = study.variance_session**0.5 * rng.standard_normal((profiles, R))
        y = mean[keep, None] + b[client[keep]]
        y += study.variance_residual**0.5 * rng.standard_normal(y.shape)
        fitted = fit_many(np.eye(k)[cell[keep]], y, client[keep])
        t = fitted.beta @ contrast / np.sqrt(contrast @ fitted.covariance @ contrast)
        detected += int((np.abs(t) > stats.t.isf(alpha / 2, fitted.freedom_of(contrast))).sum())
    return detected


def _can_be_fitted(keep: np.ndarray, client: np.ndarray, cell: np.ndarray, k: int) -> bool:
    rows = np.bincount(client[keep])
    return len(set(cell[keep])) == k and keep.sum() > k and (rows > 0).sum() > 1 and rows.max() > 1
