"""What a scale can tell: scores that stand at its ends, scores that are all the same, and items
that say nothing of their own.

Sessions by items and sessions by raters are the same table (n, k), so Cronbach's alpha, here, and
the intraclass correlations of agreement.py are made of the same mean squares.
"""

from itertools import combinations

import numpy as np
from scipy.stats import f as f_distribution

from act.audit.style import STYLES
from act.forms import ACT_FM, OUTCOMES, TES, Outcome

Array = np.ndarray
PILED = 0.15  # of scores at one end: a floor or ceiling effect (Terwee et al. 2007, JCE 60)
ALIKE = 0.9  # share of one value from which the others are too few to speak of variation
HALO = 0.95  # an alpha of TES from here on is likely one impression, given to every item
NEGLIGIBLE = 1e-12  # a share of a sum of squares that is rounding
# The scales that have an alpha -> form, and the places of their items on it
SCALES = {"tes_mean": ("tes", list(range(len(TES.items))))}
for place, item in enumerate(ACT_FM.items):
    half = f"{item.subscale}_{item.direction}"
    SCALES.setdefault(half, ("act_fm", []))[1].append(place)


def ends_of(outcome: str) -> Array:
    """The lowest and the highest score there is, (2,); NaN where there is none."""
    scale = (OUTCOMES | STYLES).get(outcome, Outcome(outcome))  # preferences have no ends
    return np.array([scale.low, scale.high], float)


def at_ends(values: Array, outcome: str) -> dict[str, float | None]:
    """{"floor", "ceiling"}: shares of the scores (N,) that are at the scale's ends; None where it
    has none."""
    found = {}
    for name, end in zip(("floor", "ceiling"), ends_of(outcome), strict=True):
        share = np.isclose(values, end, rtol=0, atol=1e-9).mean()
        found[name] = None if np.isnan(end) else float(share)
    return found


def piled(observed: dict[str, dict]) -> dict[str, dict[str, float]]:
    """end -> condition -> share at that end, where it is large; conditions as analysis has them,
    each with its shares `at_ends`."""
    found: dict[str, dict[str, float]] = {}
    for condition, seen in observed.items():
        for end in ("floor", "ceiling"):
            if (seen[end] or 0) >= PILED:
                found.setdefault(end, {})[condition] = seen[end]
    return found


def goes_beyond(emm: dict | None, outcome: str) -> bool:
    """Does any estimated mean's 95% interval (by t) go beyond what the outcome can be?"""
    lowest, highest = ends_of(outcome)
    intervals = [mean["ci_satterthwaite"] for mean in (emm or {}).values()]
    return any(low < lowest or high > highest for low, high in filter(None, intervals))


def alike(values: Array) -> str | None:
    """Why numbers say nothing of how they vary: nine in ten, or more, are one and the same."""
    most = np.unique(np.round(values, 9), return_counts=True)[1].max(initial=0)
    enough = most < ALIKE * values.size
    return None if enough else f"{most} of {values.size} values are the same"


def never_vary(table: Array, pairs: list[tuple] | None = None) -> str | None:
    """Why raters, the columns of a table (n, k) with NaN where one is missing, have nothing to
    agree on: numbers are `alike`, all of them or, in each of the pairs (all there are, if none are
    named), those of one of the two."""
    why = alike(table[~np.isnan(table)])
    one = None
    for pair in pairs or combinations(range(table.shape[1]), 2):
        two = table[:, pair]
        two = two[~np.isnan(two).any(axis=1)]  # sessions that both rated
        same = alike(two[:, 0]) or alike(two[:, 1])
        if not same:
            return why
        one = same if len(two) else one
    return why or f"of one rater {one}"


@np.errstate(invalid="ignore", divide="ignore")
def mean_squares(x: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Mean squares of rows MSR, of columns MSC and of error MSE, (B,) each, in a two-way layout.

    x (n, k) has no gap; weights (B, n) say how often each row is there.
    """
    k, n = x.shape[1], weights.sum(axis=1)
    x = x - x.mean() if x.size else x  # sums of squares lose fewer digits near zero
    grand = (weights @ x).sum(axis=1) / (n * k)  # (B,)
    columns = (weights @ x) / n[:, None]  # (B, k)
    total = weights @ (x**2).sum(axis=1) - n * k * grand**2  # sums of squares, (B,) each
    of_rows = k * (weights @ x.mean(axis=1) ** 2 - n * grand**2)
    of_columns = n * ((columns - grand[:, None]) ** 2).sum(axis=1)
    error = total - of_rows - of_columns
    error = np.where(error > NEGLIGIBLE * total, error, 0.0)
    return of_rows / (n - 1), of_columns / (k - 1), error / ((n - 1) * (k - 1))


def feldt(alpha: float, n: int, k: int) -> list[float]:
    """The 95% interval of Cronbach's alpha, of n rows and k items (Feldt 1965, Psychometrika 30):

        1 - (1 - alpha) F,    F at its 97.5% and 2.5%, n - 1 and (n - 1)(k - 1) degrees of freedom

    Exact where rows are independent, and items normal with equal variances and covariances.
    """
    F = f_distribution.ppf([0.975, 0.025], n - 1, (n - 1) * (k - 1))
    return (1 - (1 - alpha) * F).tolist()


def cronbach(x: Array) -> dict:
    """Cronbach's (1951) alpha of forms by items, x (n, k), with Feldt's interval:

        alpha = k / (k - 1) (1 - sum of the items' variances / variance of the sums) = 1 - MSE / MSR

    Below 0 where items contradict one another. "constant" counts items that never vary, which add
    nothing but their number. "refused" says why there is no alpha, or no interval.
    """
    n, k = x.shape
    constant = int((np.ptp(x, axis=0) == 0).sum())
    found = {"items": k, "constant": constant, "n": n, "alpha": None, "ci": None, "refused": None}
    msr, _, mse = (float(part[0]) for part in mean_squares(x, np.ones((1, n))))
    if n < 2:
        return found | {"refused": f"{n} form only"}
    if msr <= NEGLIGIBLE:
        return found | {"refused": "the sum of the items never varies"}
    found["alpha"] = 1 - mse / msr
    found["refused"] = "the items move as one: no error to judge by" if mse == 0 else alike(x)
    if not found["refused"]:
        found["ci"] = feldt(found["alpha"], n, k)
    return found


def consistency(ratings: list[dict], suffix: str) -> list[dict]:
    """`cronbach` of each rater on each of SCALES, {"rater", "outcome", ...}: of each session
    the first form that did not fail, whole or ("_expected") probability-weighted ratings."""
    forms: dict[str, dict[str, dict]] = {}  # rater -> session -> its first
    for rating in sorted(ratings, key=lambda rating: rating["replicate"]):
        if rating["status"] == "ok":
            forms.setdefault(rating["rater"], {}).setdefault(rating["session"], rating)
    rows = []
    for rater, held in sorted(forms.items()):
        for outcome, (form, places) in SCALES.items():
            x = np.array([[*one[f"{form}{suffix}"]] for one in held.values()], float)  # (n, items)
            rows.append({"rater": rater, "outcome": outcome} | cronbach(x[:, places]))
    return rows


def halos(rows: list[dict]) -> list[dict]:
    """Those of `consistency` whose TES items move so much as one that they are likely a single
    impression."""
    return [row for row in rows if row["outcome"] == "tes_mean" and (row["alpha"] or 0) >= HALO]
