"""What a fitted cell-means model says about the conditions: tests, means, all pairs, the factorial design.

The model has one column per condition, so beta holds the conditions' estimated marginal means and every question
is a linear function L beta: whichever condition came first plays no part.
"""

from itertools import combinations

import numpy as np
from scipy import stats

from act.measure.mixed import Fit

LEVEL = 0.95
TRAININGS = ("instruct", "sft", "orpo")


def wald(fit: Fit, L: np.ndarray) -> dict:
    """Wald test of L beta = 0, L (k, p): chi2 = (L beta)' (L cov L')^-1 (L beta) on k degrees of freedom."""
    value = L @ fit.beta
    chi2 = float(value @ np.linalg.solve(L @ fit.covariance @ L.T, value))
    return {"chi2": chi2, "df": len(L), "p": float(stats.chi2.sf(chi2, len(L)))}


def omnibus(fit: Fit) -> dict:
    """Wald test that all conditions have one mean: df = conditions - 1."""
    p = len(fit.beta)
    return wald(fit, np.eye(p)[1:] - np.eye(p)[0])


def normal_interval(estimate: float, se: float, level: float = LEVEL) -> list[float]:
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    return [estimate - half, estimate + half]


def means(fit: Fit, names: list[str]) -> dict[str, dict]:
    """Estimated marginal mean of each condition, its standard error and 95% interval (normal)."""
    errors = np.sqrt(np.diag(fit.covariance))
    return {
        name: {"mean": float(mean), "se": float(se), "ci": normal_interval(float(mean), float(se))}
        for name, mean, se in zip(names, fit.beta, errors, strict=True)
    }


def holm_sidak(p: np.ndarray) -> np.ndarray:
    """Step-down Sidak p-values: p_(j) -> max over i <= j of 1 - (1 - p_(i))^(k - i + 1), p_(1) <= .. <= p_(k).

    Source: Holland & Copenhaver (1987), Biometrics 43. holm_sidak([.01, .04]) = [.0199, .04].
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    with np.errstate(divide="ignore"):  # p = 1
        stepped = -np.expm1(np.log1p(-p[order]) * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted


def pairwise(fit: Fit, names: list[str]) -> list[dict]:
    """All pairs, difference = a minus b. p and ci by Wald z; df and p_satterthwaite by t beside them.

    p_holm_sidak adjusts p over all pairs. ci_adjusted holds all differences at once with 95% (Sidak's level
    .95^(1/k) for each of k pairs): it does not step down, so it may touch 0 where p_holm_sidak is just under .05.
    """
    pairs = list(combinations(range(len(names)), 2))
    rows = []
    for i, j in pairs:
        c = np.eye(len(names))[i] - np.eye(len(names))[j]
        difference, se = float(c @ fit.beta), float(np.sqrt(c @ fit.covariance @ c))
        z, df = difference / se, fit.freedom_of(c)
        rows.append(
            {
                "a": names[i],
                "b": names[j],
                "difference": difference,
                "se": se,
                "z": z,
                "p": float(2 * stats.norm.sf(abs(z))),
                "ci": normal_interval(difference, se),
                "ci_adjusted": normal_interval(difference, se, LEVEL ** (1 / len(pairs))),
                "df": df,
                "p_satterthwaite": float(2 * stats.t.sf(abs(z), df)),
            }
        )
    for row, adjusted in zip(rows, holm_sidak([row["p"] for row in rows]), strict=True):
        row["p_holm_sidak"] = float(adjusted)
    return rows


def factorial(fit: Fit, names: list[str]) -> dict | None:
    """Training (instruct, sft, orpo) x CoT (no, yes), each cell weighing the same; None unless all six are there.

    training: 2 df, equal means over CoT. cot: 1 df, with its average effect (yes minus no).
    interaction: 2 df, the effect of CoT equal in all trainings.
    """
    if any(training + suffix not in names for training in TRAININGS for suffix in ("", "-cot")):
        return None
    column = np.eye(len(names))
    plain = np.array([column[names.index(training)] for training in TRAININGS])
    cot = np.array([column[names.index(f"{training}-cot")] for training in TRAININGS])
    level, effect = (plain + cot) / 2, cot - plain
    average = effect.mean(axis=0)
    difference, se = float(average @ fit.beta), float(np.sqrt(average @ fit.covariance @ average))
    return {
        "training": wald(fit, level[1:] - level[0]),
        "cot": wald(fit, average[None]) | {"difference": difference, "se": se, "ci": normal_interval(difference, se)},
        "interaction": wald(fit, effect[1:] - effect[0]),
    }
