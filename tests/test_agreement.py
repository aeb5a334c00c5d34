"""Agreement statistics against published examples, reference libraries and plain loops."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.inter_rater import cohens_kappa

from act.statistics.agreement import (
    alpha,
    bias,
    estimate,
    exact,
    icc,
    mean_absolute_error,
    spearman,
    weighted_kappa,
)

# Shrout & Fleiss (1979), table 2: six targets, four judges. ICC(2,1) = .29, ICC(3,1) = .71 in table
# 4.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)
_ = np.nan
# Krippendorff (2011), "Computing Krippendorff's alpha-reliability": four observers, twelve units;
# ordinal alpha .815.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T


def once(table):
    return np.ones((1, len(table)))


def test_icc_of_shrout_and_fleiss():
    """Mean squares by hand: MSR = 56.2083/5, MSC = 97.4583/3, MSE = 15.2917/15 (their table 3:
    11.24, 32.49, 1.02)."""
    msr, msc, mse = 56.208333333 / 5, 97.458333333 / 3, 15.291666667 / 15
    assert icc(SHROUT_FLEISS, once(SHROUT_FLEISS), False)[0] == pytest.approx(
        (msr - mse) / (msr + 3 * mse), abs=1e-8
    )
    absolute = (msr - mse) / (msr + 3 * mse + 4 * (msc - mse) / 6)
    assert icc(SHROUT_FLEISS, once(SHROUT_FLEISS), True)[0] == pytest.approx(absolute, abs=1e-8)
    assert round(absolute, 2) == 0.29 and round((msr - mse) / (msr + 3 * mse), 2) == 0.71


@pytest.mark.parametrize(("n", "k"), [(12, 2), (30, 3)])
def test_icc_from_the_table_of_an_analysis_of_variance(n, k):
    """statsmodels' mean squares of a two-way layout, and the variances they estimate: of sessions s
    = (MSR - MSE) / k, of raters r = (MSC - MSE) / n, of error e = MSE; ICC(A,1) = s / (s + r + e),
    ICC(C,1) = s / (s + e)."""
    draw = np.random.default_rng(n)
    table = draw.normal(0, 1, (n, 1)) + draw.normal(0, 0.5, k) + draw.normal(0, 0.7, (n, k))
    rows = pd.DataFrame(
        {"y": table.ravel(), "s": np.repeat(range(n), k), "r": np.tile(range(k), n)}
    )
    squares = anova_lm(ols("y ~ C(s) + C(r)", rows).fit())["mean_sq"]
    s, r, e = (
        (squares["C(s)"] - squares.Residual) / k,
        (squares["C(r)"] - squares.Residual) / n,
        squares.Residual,
    )
    assert icc(table, once(table), True)[0] == pytest.approx(s / (s + r + e), abs=1e-9)
    assert icc(table, once(table), False)[0] == pytest.approx(s / (s + e), abs=1e-9)


def test_alpha_of_krippendorff():
    assert alpha(KRIPPENDORFF, once(KRIPPENDORFF), 1, 5)[0] == pytest.approx(0.815, abs=5e-4)


def plain_alpha(table, low, high):
    """Ordinal alpha by loops over pairs of ratings."""
    units = [[int(v) for v in row if not np.isnan(v)] for row in table]
    units = [unit for unit in units if len(unit) > 1]
    everything = [v for unit in units for v in unit]
    n = {c: everything.count(c) for c in range(low, high + 1)}

    def d(a, b):
        a, b = min(a, b), max(a, b)
        return (sum(n[g] for g in range(a, b + 1)) - (n[a] + n[b]) / 2) ** 2

    seen = sum(
        d(a, b) / (len(u) - 1)
        for u in units
        for i, a in enumerate(u)
        for j, b in enumerate(u)
        if i != j
    )
    chance = sum(
        d(a, b) for i, a in enumerate(everything) for j, b in enumerate(everything) if i != j
    )
    return 1 - seen / (chance / (len(everything) - 1))


@pytest.mark.parametrize("seed", range(5))
def test_alpha_equals_loops_over_pairs(seed):
    draw = np.random.default_rng(seed)
    table = draw.integers(0, 4, (20, 3)).astype(float)
    table[draw.random(table.shape) < 0.2] = np.nan
    assert alpha(table, once(table), 0, 3)[0] == pytest.approx(plain_alpha(table, 0, 3), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_spearman_equal_reference_libraries(seed):
    draw = np.random.default_rng(seed)
    table = draw.integers(1, 8, (40, 2)).astype(float)
    table[:, 1] = np.clip(table[:, 0] + draw.integers(-2, 3, 40), 1, 7)
    counts = np.zeros((7, 7))
    np.add.at(counts, tuple(table.astype(int).T - 1), 1)
    kappa = cohens_kappa(counts, wt="quadratic").kappa
    assert weighted_kappa(table, once(table), 1, 7)[0] == pytest.approx(kappa, abs=1e-12)
    assert spearman(table, once(table))[0] == pytest.approx(
        spearmanr(*table.T).statistic, abs=1e-12
    )


STATISTICS = {
    "icc, absolute": lambda t, w: icc(t, w, True),
    "icc, consistency": lambda t, w: icc(t, w, False),
    "kappa": lambda t, w: weighted_kappa(t, w, 0, 3),
    "alpha": lambda t, w: alpha(t, w, 0, 3),
    "exact": exact,
    "error": mean_absolute_error,
    "bias": bias,
    "spearman": spearman,
}


@pytest.mark.parametrize("name", STATISTICS)
def test_weights_are_repeated_sessions_and_missing_sessions_are_left_out(name):
    draw = np.random.default_rng(7)
    table = draw.integers(0, 4, (12, 2)).astype(float)
    weights = draw.integers(0, 3, (6, 12)).astype(float)
    repeated = [np.repeat(table, row.astype(int), axis=0) for row in weights]
    expected = [STATISTICS[name](rows, once(rows))[0] for rows in repeated]
    assert STATISTICS[name](table, weights) == pytest.approx(expected, abs=1e-12)
    gone = np.vstack([table, [[np.nan, 1.0]]])
    assert STATISTICS[name](gone, once(gone))[0] == pytest.approx(
        STATISTICS[name](table, once(table))[0], abs=1e-12
    )


@pytest.mark.parametrize("name", STATISTICS)
def test_perfect_agreement_and_no_variation(name):
    same = np.repeat([[0.0], [1.0], [3.0], [2.0]], 2, axis=1)
    perfect = {"error": 0.0, "bias": 0.0}.get(name, 1.0)
    assert STATISTICS[name](same, once(same))[0] == pytest.approx(perfect)
    flat = np.full((5, 2), 2.0)
    value = STATISTICS[name](flat, once(flat))[0]
    assert (
        value == pytest.approx(perfect) if name in ("exact", "error", "bias") else np.isnan(value)
    )


def test_interval_holds_the_estimate_and_shrinks_with_sessions():
    draw = np.random.default_rng(0)
    widths = []
    for n in (20, 200):
        truth = draw.normal(size=n)
        table = np.stack([truth + draw.normal(size=n) * 0.7 for _ in range(2)], axis=1)
        result = estimate(STATISTICS["icc, absolute"], table, 500, 0)
        low, high = result["ci"]
        assert low < result["estimate"] < high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]
    assert estimate(exact, np.empty((0, 2)), 100, 0) == {"estimate": None, "ci": None}
