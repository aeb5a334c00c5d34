"""Head-to-head: the same client with two therapists, which session was rated higher?

analysis.py adds it to each outcome as "wins": counts that no model stands behind. power.py takes
`wilson` from here.
"""

from itertools import combinations

import numpy as np
from scipy import stats


def wilson(wins: float, n: int, level: float = 0.95) -> list[float]:
    """Wilson's (1927) score interval for a proportion: the roots r of |wins/n - r| = z sqrt(r (1 - r) / n).

    z is the normal quantile at (1 + level) / 2; `wins` may count ties as halves.
    """
    z2 = float(stats.norm.ppf((1 + level) / 2)) ** 2
    centre, half = wins + z2 / 2, np.sqrt(z2 * (wins * (n - wins) / n + z2 / 4))
    return [float((centre - half) / (n + z2)), float((centre + half) / (n + z2))]


def head_to_head(
    y: np.ndarray, condition: np.ndarray, cluster: np.ndarray, names: list[str]
) -> list[dict]:
    """For each pair of conditions: in how many profiles a scored above b, below it, or the same.

    rate = wins / (wins + losses) with Wilson's interval, p = exact two-sided sign test; ties are
    counted and left out of both. All ties: rate and ci None, p 1. Scores within 1e-9 are a tie:
    averages differ by rounding.
    """
    labels, row = np.unique(cluster, return_inverse=True)
    table = np.full((len(labels), len(names)), np.nan)
    table[row, [names.index(name) for name in condition]] = y
    results = []
    for i, j in combinations(range(len(names)), 2):
        difference = table[:, i] - table[:, j]
        wins, losses = int((difference > 1e-9).sum()), int((difference < -1e-9).sum())
        ties, n = int((np.abs(difference) <= 1e-9).sum()), wins + losses
        results.append(
            {
                "a": names[i],
                "b": names[j],
                "wins": wins,
                "losses": losses,
                "ties": ties,
                "rate": wins / n if n else None,
                "ci": wilson(wins, n) if n else None,
                "p": float(stats.binomtest(wins, n).pvalue) if n else 1.0,
            }
        )
    return results
