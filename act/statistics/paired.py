"""The conditions compared client by client, without the mixed model's one variance for all.

The model gives all conditions one residual variance, and all pairs of them one correlation within a
client. Where one spreads twice as wide its tests of the others are off. Differences between two
conditions of the same client need neither: each pair has its own spread, Hotelling's T2 all of
them. They take only clients who met both conditions, or all.
"""

from itertools import combinations

import numpy as np
from scipy import stats

from act.statistics.contrasts import by_client, holm_sidak

SAME = 1e-9  # of the largest score: differences this close are rounding


def unequal(y: np.ndarray, condition: np.ndarray, client: np.ndarray, names: list[str]) -> dict:
    """summary.json's "unequal" of scores y (N,): {"omnibus": ..., "contrasts": [...]}.

    omnibus {n, t2, f, df, df2, p, refused}: are all k means equal? With d (k - 1,) the n clients'
    mean differences from the first condition, S (k - 1, k - 1) their covariance,

        T2 = n d' S^-1 d        F = (n - k + 1) / ((n - 1)(k - 1)) T2 on k - 1 and n - k + 1

    (Hotelling 1931, Annals of Mathematical Statistics 2), whichever condition is the first.
    contrasts [{a, b, n, difference, t, df, p, p_holm_sidak, refused}]: a minus b, paired t of the n
    clients who met both on n - 1 df. What cannot be had is None, and "refused" says why.
    """
    table = by_client(y, condition, client, names)  # (clients, k), NaN where one is missing
    same = SAME * np.abs(y).max(initial=0)
    rows = []
    for i, j in combinations(range(len(names)), 2):
        apart = table[:, i] - table[:, j]
        row = {"a": names[i], "b": names[j]}
        rows.append(row | paired_t(apart[np.isfinite(apart)], same))
    tests = [row for row in rows if row["p"] is not None]
    adjusted = holm_sidak([row["p"] for row in tests])
    for row, p in zip(tests, adjusted.tolist(), strict=True):
        row["p_holm_sidak"] = p
    return {"omnibus": hotelling(table[np.isfinite(table).all(1)], same), "contrasts": rows}


def paired_t(apart: np.ndarray, same: float) -> dict:
    """One sample's t of differences (n,); none where they vary by no more than `same`."""
    n = len(apart)
    found = {"n": n, "difference": float(apart.mean()) if n else None}
    found |= dict.fromkeys(("t", "df", "p", "p_holm_sidak", "refused"))
    if n < 2:
        return found | {"refused": f"{n} client(s) met both conditions"}
    sd = float(apart.std(ddof=1))
    if sd <= same:
        return found | {"refused": "all clients differ by the same"}
    t = found["difference"] / (sd / n**0.5)
    return found | {"t": t, "df": n - 1, "p": float(2 * stats.t.sf(abs(t), n - 1))}


def hotelling(table: np.ndarray, same: float) -> dict:
    """T2 of "all columns have one mean", table (n, k) of the n clients who met all conditions."""
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
