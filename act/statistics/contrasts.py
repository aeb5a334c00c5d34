"""What the scores say about the conditions: tests, means, all pairs, the factorial design.

A fitted cell-means model has one column per condition, then those of covariates, if there are any:
beta begins with the conditions' estimated marginal means and every question is a linear function
L beta: whichever condition came first plays no part. How many clients a study needs is what
`analyze.py plan` asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from act.records import CONDITIONS
from act.statistics import mixed
from act.statistics.mixed import Fit
from act.statistics.ratings import Scores

LEVEL, ALPHA = 0.95, 0.05
MOST = 2_000  # profiles: a study that needs more is not going to be done
TRAININGS = ("instruct", "sft", "orpo")
COMPARED = ("omnibus", "emm", "contrasts")


def compare(
    scores: Scores, outcome: str, covariates: np.ndarray | None = None
) -> tuple[dict, Fit | None]:
    """The conditions compared, where all covariates (N, c) are 0 if some are held equal:

        y = cells beta + covariates gamma + b[client] + e,     b ~ N(0, s2_b),  e ~ N(0, s2)

    An entry of summary.json with "n", "sessions", "refused" and COMPARED, and the fitted model;
    None where there is no answer, and "refused" says why.
    """
    cells, y, client = scores.data(outcome)
    names = scores.conditions
    result = {"n": len(y), "sessions": len(set(client.tolist())), "refused": None}
    X = cells if covariates is None else np.hstack([cells, covariates])
    try:
        if len(names) < 2:
            raise ValueError(f"{len(names)} condition(s) only")
        if np.linalg.matrix_rank(X) < min(X.shape):  # conditions alone give the covariates
            raise ValueError("what is held equal does not vary within the conditions")
        model = mixed.fit(X, y, client)
    except ValueError as reason:
        return result | {"refused": str(reason)} | dict.fromkeys(COMPARED), None
    result["omnibus"] = joint_test(model, all_equal(len(names), X.shape[1]))
    return result | {"emm": means(model, names), "contrasts": pairwise(model, names)}, model


def all_equal(k: int, p: int = 0) -> np.ndarray:
    """L (k - 1, p) of "the first k of p coefficients are equal": each one minus the first."""
    one = np.eye(k, max(k, p))
    return one[1:] - one[0]


def joint_test(fit: Fit, L: np.ndarray) -> dict:
    """Is L beta = 0, L (k, p)? By F, which decides, and by chi-square, as the study published it.

        chi2 = (L beta)' (L cov L')^-1 (L beta) on df = k        F = chi2 / k on k and df2

    chi2 takes the variances as known, and errs too often with few clients. df2: with Q orthonormal
    rows that span L's, Q cov Q' = P diag(v) P', the rows of P'Q are k uncorrelated contrasts with
    Satterthwaite's nu_1 .. nu_k. A t^2 on nu has mean nu / (nu - 2), their sum is E, and df2 = 2 E
    / (E - k) (Fai & Cornelius 1996; lmerTest takes L as it comes, so that its df2 depends, in the
    fifth digit, on the reference). df2 = 2 where some nu is 2 or less.
    """
    k, value = len(L), L @ fit.beta
    chi2 = float(value @ np.linalg.solve(L @ fit.covariance @ L.T, value))
    # (k, p) both: rows that span L's, and those among them that are uncorrelated
    Q = np.linalg.qr(L.T)[0].T
    directions = np.linalg.eigh(Q @ fit.covariance @ Q.T)[1].T @ Q
    nu = np.array([fit.freedom_of(row) for row in directions])
    df2 = 2.0
    if np.ptp(nu) <= 1e-8 * nu.max():
        df2 = float(nu.mean())
    elif nu.min() > 2:
        df2 = float(2 / (1 - k / (nu / (nu - 2)).sum()))
    p, p_f = float(stats.chi2.sf(chi2, k)), float(stats.f.sf(chi2 / k, k, df2))
    return {"f": chi2 / k, "df": k, "df2": df2, "p_f": p_f, "chi2": chi2, "p": p}


def interval(
    estimate: float, se: float, df: float = np.inf, level: float = LEVEL
) -> list[float] | None:
    """estimate -+ t se, t Student's quantile at (1 + level) / 2; with df infinite the normal.

    None with less than 1 df: of such a variance less is known than two values tell.
    """
    if df < 1:
        return None
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    return [estimate - half, estimate + half]


def means(fit: Fit, names: list) -> dict:
    """Estimated marginal mean of each cell, its SE and 95% intervals: t on df, and normal."""
    result = {}
    for name, one in zip(names, np.eye(len(names), len(fit.beta)), strict=True):
        mean, se = float(one @ fit.beta), float(np.sqrt(one @ fit.covariance @ one))
        df = fit.freedom_of(one)
        result[name] = {"mean": mean, "se": se, "df": df}
        result[name] |= {"ci_satterthwaite": interval(mean, se, df), "ci": interval(mean, se)}
    return result


def holm_sidak(p: np.ndarray) -> np.ndarray:
    """Step-down Sidak p-values: p_(j) -> max over i <= j of 1 - (1 - p_(i))^(k - i + 1).

    Holland & Copenhaver (1987), Biometrics 43. holm_sidak([.01, .04]) = [.0199, .04].
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")  # the smallest first, against the k - i + 1 that are left
    with np.errstate(divide="ignore"):  # p = 1
        stepped = -np.expm1(np.log1p(-p[order]) * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted


def difference(fit: Fit, c: np.ndarray) -> dict:
    """The difference c'beta, tested by t on Satterthwaite's df (t = z) and by z, and its size.

    d = difference / sqrt(V), V = s2_b + s2, in SDs of one session of any client. d_ci is normal,
    Var(d) = se^2 / V + d^2 Var(V) / (4 V^2) (delta method; V, beta independent).
    """
    value, se = float(c @ fit.beta), float(np.sqrt(c @ fit.covariance @ c))
    df = fit.freedom_of(c)
    V, var_v = fit.total
    z, d = value / se, value / V**0.5
    se_d = (se**2 / V + d**2 * var_v / (4 * V**2)) ** 0.5
    return {
        "difference": value,
        "se": se,
        "z": z,
        "df": df,
        "p_satterthwaite": float(2 * stats.t.sf(abs(z), df)),
        "ci_satterthwaite": interval(value, se, df),
        "p": float(2 * stats.norm.sf(abs(z))),
        "ci": interval(value, se),
        "d": d,
        "d_ci": interval(d, se_d),
    }


def pairwise(fit: Fit, names: list[str]) -> list[dict]:
    """All pairs, difference = a minus b: the fields of `difference`, and adjusted ones."""
    one, rows = np.eye(len(fit.beta)), []
    for i, j in combinations(range(len(names)), 2):
        # c = (0, .., 1, .., -1, ..)
        rows.append({"a": names[i], "b": names[j]} | difference(fit, one[i] - one[j]))
    return with_adjusted(rows)


def with_adjusted(rows: list[dict]) -> list[dict]:
    """The k rows of one family, each with what is adjusted over all of them.

    p_holm_sidak is of p. ci_adjusted holds all differences at once with 95% (Sidak's level
    .95^(1/k) for each): it does not step down, so it may touch 0 where p_holm_sidak is just under
    .05. The same two by t ("satterthwaite") are those that decide.
    """
    level = LEVEL ** (1 / len(rows))
    for row in rows:
        value, se = row["difference"], row["se"]
        row["ci_adjusted_satterthwaite"] = interval(value, se, row["df"], level)
        row["ci_adjusted"] = interval(value, se, level=level)
    for kind in ("p_satterthwaite", "p"):
        adjusted = holm_sidak([row[kind] for row in rows])
        for row, p in zip(rows, adjusted.tolist(), strict=True):
            row[f"{kind}_holm_sidak"] = p
    return rows


def factorial(fit: Fit, names: list[str]) -> dict | None:
    """Training (instruct, sft, orpo) x CoT (no, yes), equal weights; None without all six.

    training: equal means over CoT, 2 df. cot: 1 df, with its average effect (yes minus no).
    interaction: the effect of CoT equal in all trainings, 2 df. cot_in: that effect in each
    training, its p and interval adjusted over the three, by z and by t.
    """
    if set(CONDITIONS) - set(names):
        return None
    row = dict(zip(names, np.eye(len(names)), strict=True))
    # (3, p) each: a training's mean without and with CoT, their level, and the effect of CoT
    plain = np.array([row[training] for training in TRAININGS])
    cot = np.array([row[f"{training}-cot"] for training in TRAININGS])
    level, effect = (plain + cot) / 2, cot - plain
    average = effect.mean(axis=0)
    overall, shown = difference(fit, average), ("difference", "se", "ci", "ci_satterthwaite")
    each = zip(TRAININGS, effect, strict=True)
    simple = [{"training": training} | difference(fit, c) for training, c in each]
    return {
        "training": joint_test(fit, level[1:] - level[0]),
        "cot": joint_test(fit, average[None]) | {name: overall[name] for name in shown},
        "interaction": joint_test(fit, effect[1:] - effect[0]),
        "cot_in": with_adjusted(simple),
    }


def wilson(wins: float, n: int, level: float = LEVEL) -> list[float]:
    """Wilson's (1927) interval of a proportion: the roots r of |wins/n - r| = z sqrt(r (1-r) / n);
    `wins` may count ties as halves."""
    # With z^2 more sessions, half of them won, the interval is symmetric.
    z2 = float(stats.norm.ppf((1 + level) / 2)) ** 2
    centre, half = wins + z2 / 2, np.sqrt(z2 * (wins * (n - wins) / n + z2 / 4))
    return [float((centre - half) / (n + z2)), float((centre + half) / (n + z2))]


def auc(shows: Sequence[float], lacks: Sequence[float]) -> tuple[float, list[float]]:
    """P(a text that shows the behaviour is rated above one that lacks it), ties half; its 95% CI.

    That holds every A with |estimate - A| <= 1.96 sqrt(V(A)), V(A) being Hanley & McNeil's (1982)
    variance for groups of (m + n) / 2: method 5 of Newcombe (2006), not narrower at 0 and 1.
    """
    m, n = len(shows), len(lacks)
    signs = np.sign(np.subtract.outer(shows, lacks))  # (m, n)
    estimate, size = float((signs.mean() + 1) / 2), (m + n) / 2 - 1
    z2, tiny = stats.norm.ppf((1 + LEVEL) / 2) ** 2, 1e-9

    def excess(a: float) -> float:  # below 0 within the interval
        variance = a * (1 - a) * (1 + size * (1 - a) / (2 - a) + size * a / (1 + a)) / (m * n)
        return (a - estimate) ** 2 - z2 * variance

    low = 0.0 if estimate == 0 else brentq(excess, 0, estimate - tiny)
    high = 1.0 if estimate == 1 else brentq(excess, estimate + tiny, 1)
    return estimate, [low, high]


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
    """The fewest profiles whose power is at least `power`, and what it is with them; None where
    more than 2,000 are needed."""
    profiles = np.arange(2, MOST + 1)
    found = power_of(study, profiles, alpha)
    first = (found >= power).argmax()
    return (int(profiles[first]), float(found[first])) if found[first] >= power else None
