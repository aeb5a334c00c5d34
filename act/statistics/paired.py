"""The conditions compared client by client, without the mixed model's one variance for all.

The model gives all conditions one residual variance, and all pairs of them one correlation within a
client. Where one spreads twice as wide its tests of the others are off. Differences between two
conditions of the same client need neither: wins count them, a paired t has the spread of each pair,
Hotelling's T2 that of all of them. They take only clients who met both conditions, or all.

`table` is Scores.table: clients by conditions (`names`), NaN where a client did not meet one.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy import stats

from act.statistics.contrasts import holm_sidak, wilson

SAME = 1e-9  # of the largest score: differences this close are rounding
Array = np.ndarray


def pairs_of(table: Array, names: list[str]) -> Iterator[tuple[dict, Array]]:
    """Each pair {"a", "b"} of conditions, with a minus b of the clients who met both."""
    for i, j in combinations(range(len(names)), 2):
        apart = table[:, i] - table[:, j]
        yield {"a": names[i], "b": names[j]}, apart[np.isfinite(apart)]


def head_to_head(table: Array, names: list[str]) -> list[dict]:
    """For each pair of conditions: with how many clients a scored above b, below it, or the same.

    rate = wins / (wins + losses) with Wilson's interval, p = exact two-sided sign test, both
    without ties. Scores within 1e-9 are a tie: averages differ by rounding.
    """
    rows = []
    for row, apart in pairs_of(table, names):
        wins, losses = int((apart > 1e-9).sum()), int((apart < -1e-9).sum())
        n = wins + losses
        row |= {"wins": wins, "losses": losses, "ties": len(apart) - n}
        row |= {"rate": wins / n if n else None, "ci": wilson(wins, n) if n else None}
        rows.append(row | {"p": float(stats.binomtest(wins, n).pvalue) if n else 1.0})
    return rows


def unequal(table: Array, names: list[str]) -> dict:
    """summary.json's "unequal": {"omnibus": `hotelling` of all conditions, "contrasts": [{a, b, n,
    difference, t, df, p, p_holm_sidak, refused}]}: a minus b, paired t of the n clients who met
    both on n - 1 df. What cannot be had is None, and "refused" says why."""
    same = SAME * np.nanmax(np.abs(table), initial=0)
    rows = [row | paired_t(apart, same) for row, apart in pairs_of(table, names)]
    tests = [row for row in rows if not row["refused"]]
    adjusted = holm_sidak([row["p"] for row in tests])
    for row, p in zip(tests, adjusted.tolist(), strict=True):
        row["p_holm_sidak"] = p
    return {"omnibus": hotelling(table[np.isfinite(table).all(1)], same), "contrasts": rows}


def paired_t(apart: Array, same: float) -> dict:
    """One sample's t of differences (n,); none where they vary by no more than `same`."""
    n = len(apart)
    found = {"n": n, "difference": float(apart.mean()) if n else None}
    found |= dict.fromkeys(("t", "df", "p", "p_holm_sidak", "refused"))
    if n < 2:
        return found | {"refused": f"{n} client(s) met both conditions"}
    if apart.std(ddof=1) <= same:
        return found | {"refused": "all clients differ by the same"}
    t, p = stats.ttest_1samp(apart, 0)
    return found | {"t": float(t), "df": n - 1, "p": float(p)}


def hotelling(table: Array, same: float) -> dict:
    """{n, t2, f, df, df2, p, refused}: have all k columns one mean, table (n, k) of the n clients
    who met all conditions? With d (k - 1,) their mean differences from the first condition, S
    (k - 1, k - 1) the covariance of these,

        T2 = n d' S^-1 d        F = (n - k + 1) / ((n - 1)(k - 1)) T2 on k - 1 and n - k + 1

    (Hotelling 1931, Annals of Mathematical Statistics 2), whichever condition is the first.
    """
    n, k = table.shape
    found = {"n": n} | dict.fromkeys(("t2", "f", "df", "df2", "p", "refused"))
    if k < 2:
        return found | {"refused": f"{k} condition(s) only"}
    if n <= k - 1:
        return found | {"refused": f"{n} client(s) met all {k} conditions, and it takes {k}"}
    apart = table[:, 1:] - table[:, :1]  # (n, k - 1)
    mean = apart.mean(0)
    if np.linalg.matrix_rank(apart - mean, tol=same * n**0.5) < k - 1:
        said = "the clients' differences do not vary, or depend on one another"
        return found | {"refused": said}
    S = np.cov(apart.T).reshape(k - 1, k - 1)
    t2 = float(n * mean @ np.linalg.solve(S, mean))
    f = (n - k + 1) / ((n - 1) * (k - 1)) * t2
    p = float(stats.f.sf(f, k - 1, n - k + 1))
    return found | {"t2": t2, "f": f, "df": k - 1, "df2": n - k + 1, "p": p}
