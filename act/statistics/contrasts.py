"""What a fitted cell-means model says about the conditions: tests, means, all pairs, the factorial
design.

The model has one column per condition, so beta holds the conditions' estimated marginal means and
every question is a linear function L beta: whichever condition came first plays no part.
"""

from itertools import combinations

import numpy as np
from scipy import stats

from act.statistics.mixed import Fit

LEVEL = 0.95
TRAININGS = ("instruct", "sft", "orpo")


def wald(fit: Fit, L: np.ndarray) -> dict:
    """Wald test of L beta = 0, L (k, p): chi2 = (L beta)' (L cov L')^-1 (L beta) on k degrees of
    freedom."""
    value = L @ fit.beta
    chi2 = float(value @ np.linalg.solve(L @ fit.covariance @ L.T, value))
    return {"chi2": chi2, "df": len(L), "p": float(stats.chi2.sf(chi2, len(L)))}


def omnibus(fit: Fit) -> dict:
    """Wald test that all conditions have one mean: df = conditions - 1."""
    return wald(fit, all_equal(len(fit.beta)))


def all_equal(p: int) -> np.ndarray:
    """L (p - 1, p) of "p means are equal": each one minus the first."""
    return np.eye(p)[1:] - np.eye(p)[0]


def f_test(fit: Fit, L: np.ndarray) -> dict:
    """F test of L beta = 0 for small studies: F = chi2 / k on k and df2 degrees of freedom.

    With Q orthonormal rows that span L's, Q cov Q' = P diag(v) P': the rows of P'Q are k
    uncorrelated contrasts with Satterthwaite's nu_1 .. nu_k. A t^2 on nu has mean nu / (nu - 2);
    df2 gives the sum E of these the right value: df2 = 2 E / (E - k) (Fai & Cornelius 1996;
    lmerTest takes L as it comes, so that its df2 depends, in the fifth digit, on which condition is
    the reference). Where some nu is 2 or less that mean does not exist, and df2 = 2.
    """
    k = len(L)
    Q = np.linalg.qr(L.T)[0].T
    directions = np.linalg.eigh(Q @ fit.covariance @ Q.T)[1].T @ Q
    nu = np.array([fit.freedom_of(row) for row in directions])
    if np.ptp(nu) <= 1e-8 * nu.max():
        df2 = float(nu.mean())
    elif nu.min() <= 2:
        df2 = 2.0
    else:
        df2 = float(2 / (1 - k / (nu / (nu - 2)).sum()))
    f = wald(fit, L)["chi2"] / k
    return {"f": f, "df": k, "df2": df2, "p": float(stats.f.sf(f, k, df2))}


def normal_interval(estimate: float, se: float, level: float = LEVEL) -> list[float]:
    """[estimate - z se, estimate + z se], z the normal quantile at (1 + level) / 2."""
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    return [estimate - half, estimate + half]


def t_interval(estimate: float, se: float, df: float, level: float = LEVEL) -> list[float]:
    """[estimate - t se, estimate + t se], t the quantile at (1 + level) / 2 of Student's t on df
    degrees of freedom."""
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    return [estimate - half, estimate + half]


def means(fit: Fit, names: list[str]) -> dict[str, dict]:
    """Estimated marginal mean of each condition, its standard error and 95% intervals: normal, and
    t on df."""
    result = {}
    for i, name in enumerate(names):
        mean, se, df = (
            float(fit.beta[i]),
            float(np.sqrt(fit.covariance[i, i])),
            fit.freedom_of(np.eye(len(names))[i]),
        )
        result[name] = {
            "mean": mean,
            "se": se,
            "ci": normal_interval(mean, se),
            "df": df,
            "ci_satterthwaite": t_interval(mean, se, df),
        }
    return result


def holm_sidak(p: np.ndarray) -> np.ndarray:
    """Step-down Sidak p-values: p_(j) -> max over i <= j of 1 - (1 - p_(i))^(k - i + 1), p_(1) <=
    .. <= p_(k).

    Source: Holland & Copenhaver (1987), Biometrics 43. holm_sidak([.01, .04]) = [.0199, .04].
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    with np.errstate(divide="ignore"):  # p = 1
        stepped = -np.expm1(np.log1p(-p[order]) * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted


def difference(fit: Fit, c: np.ndarray) -> dict:
    """The difference c'beta with its tests: z with p and ci, Satterthwaite's df with
    p_satterthwaite; and its size.

    d = difference / sqrt(s2_b + s2), in SDs of one session of any client, conditions apart.
    d_residual = difference / sqrt(s2), in SDs of one session of the same client: larger, and the
    one that paired designs speak of. d_ci is normal, with Var(d) = se^2 / V + d^2 Var(V) / (4 V^2),
    V = s2_b + s2 (delta method; V and beta are independent).
    """
    value, se, df = float(c @ fit.beta), float(np.sqrt(c @ fit.covariance @ c)), fit.freedom_of(c)
    total, spread = map(float, fit.total)
    z, d = value / se, value / total**0.5
    return {
        "difference": value,
        "se": se,
        "z": z,
        "p": float(2 * stats.norm.sf(abs(z))),
        "ci": normal_interval(value, se),
        "df": df,
        "p_satterthwaite": float(2 * stats.t.sf(abs(z), df)),
        "d": d,
        "d_ci": normal_interval(d, (se**2 / total + d**2 * spread / (4 * total**2)) ** 0.5),
        "d_residual": value / float(fit.variance_residual) ** 0.5,
    }


def pairwise(fit: Fit, names: list[str]) -> list[dict]:
    """All pairs, difference = a minus b, with the fields of `difference` and what follows from
    there being k pairs.

    p_holm_sidak adjusts p over all pairs. ci_adjusted holds all differences at once with 95%
    (Sidak's level .95^(1/k) for each of k pairs): it does not step down, so it may touch 0 where
    p_holm_sidak is just under .05. p_satterthwaite_holm_sidak and ci_adjusted_satterthwaite are the
    same two by t: what to read where clients are few.
    """
    pairs = list(combinations(range(len(names)), 2))
    level = LEVEL ** (1 / len(pairs))
    rows = []
    for i, j in pairs:
        row = difference(fit, np.eye(len(names))[i] - np.eye(len(names))[j])
        row["ci_adjusted"] = normal_interval(row["difference"], row["se"], level)
        row["ci_adjusted_satterthwaite"] = t_interval(
            row["difference"], row["se"], row["df"], level
        )
        rows.append({"a": names[i], "b": names[j], **row})
    return with_adjusted(rows)


def with_adjusted(rows: list[dict]) -> list[dict]:
    """The rows of one family, each with p and p_satterthwaite adjusted over all of them."""
    for kind in ("p", "p_satterthwaite"):
        adjusted = holm_sidak([row[kind] for row in rows]).tolist()
        rows = [row | {f"{kind}_holm_sidak": p} for row, p in zip(rows, adjusted, strict=True)]
    return rows


def factorial(fit: Fit, names: list[str]) -> dict | None:
    """Training (instruct, sft, orpo) x CoT (no, yes), each cell weighing the same; None unless all
    six are there.

    training: 2 df, equal means over CoT. cot: 1 df, with its average effect (yes minus no).
    interaction: 2 df, the effect of CoT equal in all trainings. cot_in: that effect in each
    training, yes minus no, with Holm-Sidak p over the three, by z and by t.
    """
    if any(training + suffix not in names for training in TRAININGS for suffix in ("", "-cot")):
        return None
    column = np.eye(len(names))
    plain = np.array([column[names.index(training)] for training in TRAININGS])
    cot = np.array([column[names.index(f"{training}-cot")] for training in TRAININGS])
    level, effect = (plain + cot) / 2, cot - plain
    average = effect.mean(axis=0)
    overall = difference(fit, average)
    simple = [
        {"training": name} | difference(fit, c) for name, c in zip(TRAININGS, effect, strict=True)
    ]
    return {
        "training": wald(fit, level[1:] - level[0]),
        "cot": wald(fit, average[None])
        | {name: overall[name] for name in ("difference", "se", "ci")},
        "interaction": wald(fit, effect[1:] - effect[0]),
        "cot_in": with_adjusted(simple),
    }
