"""Agreement statistics against published examples, reference libraries and plain loops; and the
table of judge against humans, from rating files with made ratings whose agreement is known.
"""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f, spearmanr
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.inter_rater import cohens_kappa

import judge as judge_script
from act.cli import run_script
from act.forms import OUTCOMES, score
from act.statistics.agreement import (
    ICCS,
    ITEMS,
    Rows,
    alpha,
    as_table,
    bias,
    compare,
    exact,
    icc,
    icc_by_f,
    mean_absolute_error,
    spearman,
    weighted_kappa,
)
from act.statistics.scales import cronbach, mean_squares, never_vary
from tests.made_ratings import make_session, write

# Shrout & Fleiss (1979), table 2: six targets, four judges. ICC(2,1) = .29, ICC(3,1) = .71 in table
# 4.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)
_ = np.nan
# Eight wines, four judges: real-statistics.com, "Intraclass correlation"; pingouin's data set icc
WINES = np.array(
    [[1, 1, 3, 6, 6, 7, 8, 9], [2, 3, 8, 4, 5, 5, 7, 9], [0, 3, 1, 3, 5, 6, 7, 9],
     [1, 2, 4, 3, 6, 2, 9, 8]], float
).T  # fmt: skip
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
    assert icc(SHROUT_FLEISS, once(SHROUT_FLEISS), "C,1")[0] == pytest.approx(
        (msr - mse) / (msr + 3 * mse), abs=1e-8
    )
    absolute = (msr - mse) / (msr + 3 * mse + 4 * (msc - mse) / 6)
    assert icc(SHROUT_FLEISS, once(SHROUT_FLEISS), "A,1")[0] == pytest.approx(absolute, abs=1e-8)
    assert round(absolute, 2) == 0.29 and round((msr - mse) / (msr + 3 * mse), 2) == 0.71


@pytest.mark.parametrize(
    ("table", "kind", "estimate", "low", "high"),
    [
        # Shrout & Fleiss (1979), table 4, and R: irr 0.84's icc and psych's ICC on their data
        (SHROUT_FLEISS, "A,1", 0.290, 0.019, 0.761),
        (SHROUT_FLEISS, "A,k", 0.620, 0.071, 0.927),
        (SHROUT_FLEISS, "C,1", 0.715, 0.342, 0.946),
        # pingouin's documentation and tests of intraclass_corr
        (WINES, "A,1", 0.728, 0.434, 0.927),
        (WINES, "A,k", 0.914, 0.754, 0.981),
        (WINES, "C,1", 0.729, 0.426, 0.928),
    ],
)
def test_icc_and_its_interval_by_f_against_published_numbers(table, kind, estimate, low, high):
    assert icc(table, once(table), kind)[0] == pytest.approx(estimate, abs=5e-4)
    assert icc_by_f(table, kind) == pytest.approx([low, high], abs=5e-4)


def test_icc_in_mcgraw_and_wongs_examples():
    """Their pages 34 and 37, and table 6 as corrected (1996, p. 390): ten pairs of a correlation of
    .714 with equal SDs, the means .2, .6 and 1 SD apart."""
    for pairs, consistent, absolute in (
        ([(2, 4), (4, 6), (6, 8)], 1.00, 0.67),
        ([(0, 4), (5, 5), (10, 6)], 0.38, None),
    ):
        table = np.array(pairs, float)
        assert round(icc(table, once(table), "C,1")[0], 2) == consistent
        assert absolute in (None, round(icc(table, once(table), "A,1")[0], 2))
    x = np.linalg.qr(np.column_stack([np.ones(10), np.random.default_rng(0).normal(size=(10, 2))]))
    first, other = 3 * 15 * x[0].T[1:]  # means 0, SDs 15, uncorrelated
    second = 0.714 * first + (1 - 0.714**2) ** 0.5 * other
    for apart, absolute in ((0.2, 0.720), (0.6, 0.620), (1.0, 0.485)):
        table = np.column_stack([first, second + 15 * apart])
        assert round(icc(table, once(table), "C,1")[0], 3) == 0.714
        assert round(icc(table, once(table), "A,1")[0], 3) == absolute


def test_the_interval_of_consistency_is_feldts_of_the_mean_stepped_down():
    """McGraw & Wong's table 7, in its own letters: F_L = F_obs / F, F_U = F_obs x F turned round,
    (F_L - 1) / (F_L + k - 1)."""
    n, k = SHROUT_FLEISS.shape
    msr, _, mse = (part[0] for part in mean_squares(SHROUT_FLEISS, once(SHROUT_FLEISS)))
    lower = msr / mse / f.ppf(0.975, n - 1, (n - 1) * (k - 1))
    upper = msr / mse * f.ppf(0.975, (n - 1) * (k - 1), n - 1)
    expected = [(F - 1) / (F + k - 1) for F in (lower, upper)]
    assert icc_by_f(SHROUT_FLEISS, "C,1") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["A,1", "A,k", "C,1"])
def test_trap_35_no_interval_where_no_error_is_left_and_none_of_a_constant_scale(kind):
    same = np.repeat([[1.0], [4.0], [2.5], [7.0]], 3, axis=1)
    assert icc(same, once(same), kind)[0] == pytest.approx(1) and icc_by_f(same, kind) is None
    for seed in range(20):  # nor by rounding
        exact = np.repeat(np.random.default_rng(seed).normal(3, 0.1, (7, 1)), 3, axis=1)
        assert icc_by_f(exact, kind) is None
    shifted = same + [0, 1, 2]  # who differ by a constant agree in order, and not in level
    assert (icc_by_f(shifted, kind) is None) == (kind == "C,1")
    for table in (np.full((9, 3), 2.1), same[:1], np.empty((0, 3))):
        assert np.isnan(icc(table, once(table), kind)[0]) and icc_by_f(table, kind) is None
    one = np.full((10, 2), 7.0)
    one[3, 1] = 6
    row = Rows(np.arange(10), 50, 0).row("", "", f"ICC({kind})", ICCS[f"ICC({kind})"], one)
    assert row["ci"] is row["by"] is None and row["refused"] == "19 of 20 values are the same"
    flat = Rows(np.arange(9), 50, 0).row("", "", "ICC(A,1)", ICCS["ICC(A,1)"], np.full((9, 2), 7.0))
    assert (flat["estimate"], flat["refused"]) == (None, "not defined: sessions hardly differ")


def test_raters_who_agree_wholly_are_told_so():
    """ICC 1.000 has no error to judge by, whether all agree or differ by a constant (order)."""
    same = np.repeat([[1.0], [4.0], [2.5], [7.0]], 2, axis=1)
    for name, table in (("ICC(A,1)", same), ("ICC(C,1)", same + [0, 2])):
        for clusters in (np.arange(4), np.array([0, 0, 1, 2])):  # by F, by bootstrap
            row = Rows(clusters, 50, 0).row("", "", name, ICCS[name], table)
            assert row["estimate"] == pytest.approx(1) and row["ci"] is row["by"] is None
            assert row["refused"] == "they agree wholly: no error to judge by"
    row = Rows(np.arange(4), 50, 0).row("", "", "ICC(A,1)", ICCS["ICC(A,1)"], same + [0, 2])
    assert row["refused"] is None and row["estimate"] < 1


def test_a_rater_who_gave_one_value_throughout():
    """36 fours beside whatever the other gave: ICC(C,1) is exactly 0 and has no interval; nor has
    the judge's with each of two humans. Of three raters two may still agree."""
    varied = np.random.default_rng(0).integers(1, 8, (36, 2)).astype(float)
    four = np.full((36, 1), 4.0)
    rows = Rows(np.arange(36), 50, 0)
    row = rows.row("", "", "ICC(C,1)", ICCS["ICC(C,1)"], np.hstack([varied[:, :1], four]))
    assert row["estimate"] == pytest.approx(0) and row["ci"] is row["by"] is None
    assert row["refused"] == "of one rater 36 of 36 values are the same"
    with_judge = np.hstack([varied, four])
    found = list(rows.in_pairs("tes_mean", "judge, each human", with_judge, [(0, 2), (1, 2)]))
    iccs = [row for row in found if row["statistic"] in ICCS]
    assert [row["refused"] for row in iccs] == ["of one rater 36 of 36 values are the same"] * 2
    three = [(0, 1), (0, 2), (1, 2)]
    found = list(rows.in_pairs("tes_mean", "humans", with_judge, three))
    assert all(row["ci"] for row in found if row["statistic"] in ICCS)
    with_judge[3:, 1] = np.nan  # a third who rated few sessions, all with the fours, varies
    with_judge[:3, 1] = 1, 5, 2
    assert never_vary(with_judge, [(0, 2), (1, 2)]) == "of one rater 3 of 3 values are the same"
    assert never_vary(with_judge) is None


def test_raters_who_are_opposed():
    """(1, 3), (3, 1), (2, 2): MSR = MSC = 0, MSE = 2: ICC(C,1) = -1; ICC(A,1) = -2 / (2 - 2 2/3)
    = -3; a mean of the two tells nothing at all.

    (1, 3), (3, 1), (4, 2): MSR = MSC = 2/3, MSE = 8/3, ICC(A,1) = -1; as if it were 0, v = 2, F* =
    39, 2 MSC + MSE = 4: 3 (2/3 - 39 x 8/3) / (39 x 4 + 2) to 3 (39 x 2/3 - 8/3) / (4 + 39 x 2).
    """
    table = np.array([[1, 3], [3, 1], [2, 2]], float)
    found = [icc(table, once(table), kind)[0] for kind in ("C,1", "A,1", "A,k")]
    assert found[:2] == pytest.approx([-1, -3]) and np.isnan(found[2])
    assert icc_by_f(table, "C,1") is icc_by_f(table, "A,k") is None
    less = np.array([[1, 3], [3, 1], [4, 2]], float)
    assert icc(less, once(less), "A,1")[0] == pytest.approx(-1)
    assert icc_by_f(less, "A,1") == pytest.approx([-310 / 158, 70 / 82])
    row = Rows(np.arange(3), 0, 0).row("", "", "ICC(A,k)", ICCS["ICC(A,k)"], table)
    assert (row["estimate"], row["refused"]) == (None, "not defined: sessions hardly differ")


def test_by_f_where_nobody_missed_a_session_and_sessions_are_independent_else_by_bootstrap():
    """Three people: all at once by F, with ICC(A,k) of their mean; one rating gone: pairs, drawn;
    clients in several sessions: drawn, too."""
    human, judge = made(12)
    cleo = [r | {"rater": "cleo", "tes": r["tes"][::-1]} for r in human if r["rater"] == "anna"]
    cleo = [r | {"act_fm": r["act_fm"][5:] + r["act_fm"][:5]} for r in cleo]
    human += cleo
    of = ("act_fm_total", "humans", "ICC(A,1)")
    rows = compare(human, judge, "", 50, 0)
    names = ("anna", "ben", "cleo")
    table = np.array(
        [
            [score(r["act_fm"], r["tes"])["act_fm_total"] for r in human if r["rater"] == name]
            for name in names
        ]
    ).T
    row = found(rows, *of)
    assert (row["by"], row["pairs"], row["sessions"]) == ("F", 3, 12)
    assert row["estimate"] == pytest.approx(icc(table, once(table), "A,1")[0], abs=1e-12)
    assert row["ci"] == pytest.approx(icc_by_f(table, "A,1"))
    mean = found(rows, "act_fm_total", "humans", "ICC(A,k)")
    assert (mean["by"], mean["k"]) == ("F", 3) and mean["estimate"] > row["estimate"]
    assert found(rows, "act_fm_total", "judge", "ICC(C,1)")["by"] == "F"
    assert found(rows, "act_fm_total", "judge, each human", "ICC(A,1)")["by"] == "bootstrap"
    assert found(rows, "act_fm_total", "judge", "Spearman")["by"] == "bootstrap"
    gone = compare(human[:-1], judge, "", 50, 0)
    assert found(gone, *of)["by"] == "bootstrap"
    assert not [r for r in gone if r["statistic"] == "ICC(A,k)"]
    one = [r | {"profile": f"p{i % 6}"} for i, r in enumerate(human)]
    assert found(compare(one, judge, "", 50, 0, "profile"), *of)["by"] == "bootstrap"


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
    assert icc(table, once(table), "A,1")[0] == pytest.approx(s / (s + r + e), abs=1e-9)
    assert icc(table, once(table), "C,1")[0] == pytest.approx(s / (s + e), abs=1e-9)


def test_alpha_of_krippendorff():
    assert alpha(KRIPPENDORFF, once(KRIPPENDORFF))[0] == pytest.approx(0.815, abs=5e-4)


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
    assert alpha(table, once(table))[0] == pytest.approx(plain_alpha(table, 0, 3), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_spearman_equal_reference_libraries(seed):
    draw = np.random.default_rng(seed)
    table = draw.integers(1, 8, (40, 2)).astype(float)
    table[:, 1] = np.clip(table[:, 0] + draw.integers(-2, 3, 40), 1, 7)
    counts = np.zeros((7, 7))
    np.add.at(counts, tuple(table.astype(int).T - 1), 1)
    kappa = cohens_kappa(counts, wt="quadratic").kappa
    assert weighted_kappa(table, once(table))[0] == pytest.approx(kappa, abs=1e-12)
    assert spearman(table, once(table))[0] == pytest.approx(
        spearmanr(*table.T).statistic, abs=1e-12
    )


STATISTICS = {
    "icc, absolute": lambda t, w: icc(t, w, "A,1"),
    "icc, consistency": lambda t, w: icc(t, w, "C,1"),
    "kappa": weighted_kappa,
    "alpha": alpha,
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
        make = Rows(np.arange(n), 500, 0)
        result = make.row("", "", "", STATISTICS["icc, absolute"], table)
        low, high = result["ci"]
        assert low < result["estimate"] < high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]
    nothing = Rows(np.arange(0), 100, 0).row("", "", "", exact, np.empty((0, 2)))
    assert (nothing["estimate"], nothing["ci"]) == (None, None)


def rating(session, rater, act_fm, tes):
    record = {"session": session, "condition": "sft", "profile": session.split("/")[1]}
    record |= {"rater": rater, "replicate": 0, "act_fm": list(act_fm), "tes": list(tes)}
    return record | {"status": "ok", "attempts": 1}


def made(n=30, seed=0):
    """Two humans and a judge who rates each item one too high where it can, on n sessions."""
    draw = np.random.default_rng(seed)
    human, judge = [], []
    for i in range(n):
        act_fm, tes = draw.integers(0, 3, 25), draw.integers(1, 7, 9)
        human.append(rating(f"sft/p{i}", "anna", act_fm.tolist(), tes.tolist()))
        other = (
            np.clip(act_fm + draw.integers(-1, 2, 25), 0, 3),
            np.clip(tes + draw.integers(-1, 2, 9), 1, 7),
        )
        human.append(rating(f"sft/p{i}", "ben", *(x.tolist() for x in other)))
        judge.append(rating(f"sft/p{i}", "judge", (act_fm + 1).tolist(), (tes + 1).tolist()))
    return human, judge


def found(rows, of, raters, statistic):
    (row,) = [r for r in rows if (r["of"], r["raters"], r["statistic"]) == (of, raters, statistic)]
    return row


def test_humans_who_share_no_session_are_each_compared_with_the_judge():
    """Half of the sessions each: of the two with one another nothing can be said, and nothing
    is."""
    human, judge = made(12)
    shared = [
        r for r in human if (r["rater"] == "anna") == (int(r["session"].removeprefix("sft/p")) < 6)
    ]
    rows = compare(shared, judge, "", 50, 0)
    assert found(rows, "TES 1", "humans", "weighted kappa")["estimate"] is None
    assert found(rows, "TES 1", "humans", "alpha")["estimate"] is None
    assert found(rows, "tes_mean", "judge, each human", "ICC(C,1)")["pairs"] == 2
    assert found(rows, "tes_mean", "judge", "bias")["sessions"] == 12


def test_few_clusters_are_told():
    lines = list(as_table(compare(*made(9), "", 50, 0), "session"))
    assert "Caution: the bootstrap's intervals stand on 9 sessions" in lines[-1]
    one = [
        r | {"profile": f"p{int(r['session'].removeprefix('sft/p')) % 9}"} for r in made(12)[0]
    ]  # twelve sessions of nine clients
    lines = list(as_table(compare(one, made(12)[1], "", 50, 0, "profile"), "profile"))
    assert "stand on 9 profiles; below 10" in lines[-1]
    human, judge = made(10)
    rows = compare(human, judge, "", 50, 0)
    assert not any("Caution" in line for line in as_table(rows, "session"))


def test_known_bias_and_agreement():
    human, judge = made()
    rows = compare([r for r in human if r["rater"] == "anna"], judge, "", 200, 0)
    assert found(rows, "tes_mean", "judge", "bias")["estimate"] == pytest.approx(1)
    assert found(rows, "act_fm_total", "judge", "bias")["estimate"] == pytest.approx(12)
    assert found(rows, "act_fm_total", "judge", "mean absolute error")["estimate"] == pytest.approx(
        12
    )
    assert found(rows, "act_fm_total", "judge", "ICC(C,1)")["estimate"] == pytest.approx(1)
    assert found(rows, "act_fm_total", "judge", "ICC(A,1)")["estimate"] < 0.3
    assert found(rows, "act_fm_total", "judge", "Spearman")["estimate"] == pytest.approx(1)
    assert found(rows, "TES 3", "judge, each human", "exact agreement")["estimate"] == 0
    assert not [
        row for row in rows if row["raters"] == "humans"
    ]  # one human has nobody to agree with
    one = {
        row["statistic"]: row["estimate"]
        for row in rows
        if (row["of"], row["raters"]) == ("tes_mean", "judge")
    }
    each = {
        row["statistic"]: row
        for row in rows
        if (row["of"], row["raters"]) == ("tes_mean", "judge, each human")
    }
    for statistic in ("ICC(A,1)", "ICC(C,1)", "mean absolute error", "Spearman"):
        assert each[statistic]["estimate"] == one[statistic] and each[statistic]["pairs"] == 1


def test_humans_among_themselves_in_the_rows_of_judge_and_human_and_a_session_one_of_them_missed():
    human, judge = made()
    totals = [
        [score(r["act_fm"], r["tes"])["act_fm_total"] for r in human[i : i + 2]]
        for i in range(0, 60, 2)
    ]
    table = np.array(totals)
    rows = compare(human, judge, "", 0, 0)
    expected = icc(table, np.ones((1, 30)), "A,1")[0]
    assert found(rows, "act_fm_total", "humans", "ICC(A,1)")["estimate"] == pytest.approx(
        expected, abs=1e-12
    )
    error = np.abs(table[:, 0] - table[:, 1]).mean()
    assert found(rows, "act_fm_total", "humans", "mean absolute error")[
        "estimate"
    ] == pytest.approx(error)
    kinds = {
        name: {(r["of"], r["statistic"]) for r in rows if r["raters"] == name}
        for name in ("humans", "judge, each human")
    }
    only = {(of, "alpha") for of in ITEMS} | {(of, "ICC(A,k)") for of in OUTCOMES}
    assert kinds["humans"] - kinds["judge, each human"] == only
    assert kinds["judge, each human"] < kinds["humans"]
    gone = compare(human[:-1], judge, "", 0, 0)
    assert found(gone, "act_fm_total", "humans", "ICC(A,1)")["sessions"] == 29
    assert found(gone, "act_fm_total", "judge", "bias")["sessions"] == 30


def test_each_pair_of_humans_is_compared_on_the_sessions_it_shares():
    """Anna and Ben share sessions 0-19, Ben and Cleo 10-29, Anna and Cleo 10-19: the intersection
    of all three would be ten sessions, of which nothing else would count."""
    human, judge = made()
    cleo = [r | {"rater": "cleo"} for r in human if r["rater"] == "anna"][10:]
    anna, ben = ([r for r in human if r["rater"] == name] for name in ("anna", "ben"))
    rows = compare([*anna[:20], *ben, *cleo], judge, "", 100, 0)
    row = found(rows, "tes_mean", "humans", "mean absolute error")
    a, b = (
        np.array([score(r["act_fm"], r["tes"])["tes_mean"] for r in one]) for one in (anna, ben)
    )
    assert row["estimate"] == pytest.approx(
        np.mean([np.abs(a - b)[:20].mean(), np.abs(a - b)[10:].mean(), 0])
    )
    assert (row["sessions"], row["pairs"]) == (30, 3) and row["ci"]


def test_a_human_without_an_answer_takes_nothing_from_the_others():
    """Ben rated one session alone, as the judge did: no kappa of his own, and the mean over humans
    is Anna's."""
    human, judge = made()
    anna = [r for r in human if r["rater"] == "anna"]
    alone = compare(anna, judge, "", 100, 0)
    rows = compare([*anna, judge[0] | {"rater": "ben"}], judge, "", 100, 0)
    for of in ("ACT-FM 2", "TES 5"):
        row, without = (
            found(some, of, "judge, each human", "weighted kappa") for some in (rows, alone)
        )
        assert (
            row["estimate"] == pytest.approx(without["estimate"])
            and row["ci"]
            and row["pairs"] == 1
        )
        assert found(rows, of, "judge, each human", "exact agreement")["pairs"] == 2


def test_sessions_that_the_judge_has_not_rated_are_not_counted():
    human, judge = made()
    rows = compare(human, judge[:12], "", 0, 0)
    for of, raters, name in (
        ("TES 3", "judge, each human", "weighted kappa"),
        ("tes_mean", "judge, each human", "ICC(A,1)"),
        ("tes_mean", "judge", "bias"),
    ):
        assert found(rows, of, raters, name)["sessions"] == 12
    assert found(rows, "TES 3", "humans", "alpha")["sessions"] == 30


def test_replicates_are_averaged_for_outcomes_and_the_first_is_taken_for_items_of_humans_too():
    human, judge = made()
    again = [r | {"replicate": 1, "tes": [max(1, v - 2) for v in r["tes"]]} for r in judge]
    alone = [r for r in human if r["rater"] == "anna"]
    rows = compare(alone, again + judge, "", 0, 0)
    assert found(rows, "tes_mean", "judge", "bias")["estimate"] == pytest.approx(0, abs=0.2)
    assert found(rows, "TES 3", "judge, each human", "exact agreement")["estimate"] == 0
    other = [
        r
        | {"replicate": 1, "act_fm": [3 - v for v in r["act_fm"]], "tes": [8 - v for v in r["tes"]]}
        for r in alone
    ]
    twice = compare(other + alone, judge, "", 0, 0)
    for of in ITEMS:  # a mean of 1 and 2, cut off to 1, would be another kappa
        for name in ("weighted kappa", "exact agreement"):
            row = found(twice, of, "judge, each human", name)
            assert row == found(rows, of, "judge, each human", name)
    assert found(twice, "tes_mean", "judge", "bias") != found(rows, "tes_mean", "judge", "bias")


def test_clients_are_drawn_whole():
    """30 sessions, the same of 10 clients three times over: as 30 sessions the interval is too
    narrow by sqrt 3."""
    human, judge = made(10)
    copies = [
        r | {"session": f"{c}/{r['profile']}", "condition": c}
        for c in ("sft", "orpo", "x")
        for r in human
    ]
    rated = [
        r | {"session": f"{c}/{r['profile']}", "condition": c}
        for c in ("sft", "orpo", "x")
        for r in judge
    ]
    width = {}
    for name, some in (
        ("ten", compare(human, judge, "", 400, 0)),
        ("clients", compare(copies, rated, "", 400, 0, "profile")),
        ("sessions", compare(copies, rated, "", 400, 0)),
    ):
        low, high = found(some, "tes_mean", "humans", "mean absolute error")["ci"]
        width[name] = high - low
    assert (
        width["clients"] == pytest.approx(width["ten"]) and width["sessions"] < 0.75 * width["ten"]
    )


def test_the_script(tmp_path, refused, monkeypatch, capsys):
    human, judge = made()
    half = [r | {"act_fm_expected": [1.5] * 25} for r in judge]  # of one form alone
    stranger = [rating("sft/x", "judge", [0] * 25, [1] * 9)]
    for name, records in (("h", human), ("j", judge), ("none", stranger), ("half", half)):
        write(tmp_path / name, records)
    monkeypatch.chdir(tmp_path)
    agree = ("judge.py", "agree", "--human", "h", "--judge")
    words = (*agree, "j", "--resamples", "50", "--out", "a.json")
    monkeypatch.setattr("sys.argv", list(words))
    run_script(judge_script.main)
    lines = capsys.readouterr().out.splitlines()
    rows = json.loads((tmp_path / "a.json").read_text())
    assert not any("--cluster" in line for line in lines)  # each session has its own client
    assert len(lines) == 1 + len(rows) and found(rows, "TES 9", "humans", "alpha")["ci"]
    anna = np.array([r["tes"] for r in human if r["rater"] == "anna"], float)
    row = found(rows, "tes_mean", "anna", "Cronbach's alpha")
    assert row["estimate"] == pytest.approx(cronbach(anna)["alpha"]) and row["by"] == "F"
    assert {r["raters"] for r in rows if r["statistic"] == "Cronbach's alpha"} == {
        "anna", "ben", "judge"
    }  # fmt: skip
    write(tmp_path / "h3", [r | {"profile": f"p{len(r['session']) % 2}"} for r in human])
    monkeypatch.setattr("sys.argv", ["judge.py", "agree", "--human", "h3", *words[4:8]])
    run_script(judge_script.main)
    n = len({r["session"] for r in human})
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"Caution: {n} sessions are of 2 clients; intervals take them as independent "
        "(else --cluster profile)."
    )
    monkeypatch.setattr("sys.argv", [*words[:3], "h3", *words[4:8], "--cluster", "profile"])
    run_script(judge_script.main)
    assert "independent" not in capsys.readouterr().out
    assert "no session that both rated" in refused(*agree, "none")
    for name in ("j", "half"):
        assert "gave no probabilities" in refused(*agree, name, "--score", "expected")
    assert "--seed: -1 is not 0 or more" in refused(*agree, "j", "--seed", -1)
    assert "Is a directory" in refused(*agree, "j", "--out", tmp_path)


@pytest.mark.parametrize(("n", "of"), [(1, "1 session"), (2, "2 sessions")])
def test_what_has_no_answer_is_a_headline_and_no_row(n, of, tmp_path, run):
    """On few sessions most statistics are not defined; --out has all of them."""
    human, judge = made(n)
    write(tmp_path / "h.jsonl", [r for r in human if r["rater"] == "anna"])
    write(tmp_path / "j.jsonl", judge)
    words = ("--human", "h.jsonl", "--judge", "j.jsonl", "--resamples", 20, "--out", "a.json")
    first, *lines = run("judge.py", "agree", *words).splitlines()
    rows = json.loads((tmp_path / "a.json").read_text())
    left = [row["refused"] for row in rows if row["estimate"] is None]
    said = f"{of} that both rated: {len(left)} of {len(rows)} statistics have no answer: "
    assert first.startswith(said) and first.endswith(").")
    for cause in left:
        assert f"{cause} ({left.count(cause)})" in first
    table = [line for line in lines if not line.startswith("Caution")]
    assert len(table) == 1 + len(rows) - len(left) and " none " not in "".join(table)


def as_spreadsheet(path, ratings):
    """Ratings as a CSV that analyze.py reads."""
    items = [f"act_fm_{i}" for i in range(1, 26)] + [f"tes_{i}" for i in range(1, 10)]
    lines = [";".join(["Session", "Condition", "Profile", "Rater", *items])]
    for r in ratings:
        cells = [r["session"], r["condition"], r["profile"], r["rater"], *r["act_fm"], *r["tes"]]
        lines.append(";".join(map(str, cells)))
    path.write_text("\n".join(lines), encoding="utf-8-sig")


def test_people_may_come_as_a_spreadsheet(tmp_path, run):
    """The same rows from CSV as from JSONL, of `agree` and of `tune-data`; a torn cell is one
    line."""
    human, judge = made(6)
    write(tmp_path / "h.jsonl", human)
    write(tmp_path / "j.jsonl", judge)
    as_spreadsheet(tmp_path / "h.csv", human)
    as_spreadsheet(tmp_path / "j.csv", judge)
    write(tmp_path / "s.jsonl", [make_session("sft", i) | {"id": f"sft/p{i}"} for i in range(6)])
    found = []
    for people, machine in (("h.jsonl", "j.jsonl"), ("h.csv", "j.csv")):
        words = ("--human", people, "--judge", machine, "--resamples", 20)
        agreed = run("judge.py", "agree", *words, "--out", "a.json")
        data = f"{people}.data"
        run("judge.py", "tune-data", "--sessions", "s.jsonl", "--human", people, "--out", data)
        rows = (json.loads((tmp_path / "a.json").read_text()), (tmp_path / data).read_text())
        assert rows[1].count("\n") == 34 * 12
        found.append((agreed, *rows))
    assert found[0] == found[1]


def test_a_bad_spreadsheet_of_people_is_one_line(tmp_path, refused):
    human, judge = made(6)
    write(tmp_path / "j.jsonl", judge)
    as_spreadsheet(tmp_path / "h.csv", [human[0], human[1] | {"tes": [8] * 9}])
    agree = ("judge.py", "agree", "--human", "h.csv", "--judge", "j.jsonl")
    assert 'h.csv:3: column "tes_1": "8" is no whole number 1 to 7' in refused(*agree)
    (tmp_path / "h.csv").write_text("session,condition\n")
    assert "h.csv:1: the first row must name the columns" in refused(*agree)
    (tmp_path / "h.csv").write_text("")
    assert "h.csv:1: no rating in this file" in refused(*agree)
