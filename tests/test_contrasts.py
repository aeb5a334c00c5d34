"""Contrasts, factorial tests, bootstrap and head-to-head wins against values worked out by hand and
statsmodels."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from act.statistics import mixed
from act.statistics.bootstrap import icc_interval, resample
from act.statistics.contrasts import factorial, holm_sidak, joint_test, pairwise, wilson
from act.statistics.mixed import Clusters, fit
from act.statistics.paired import head_to_head
from tests.test_mixed import NAMES, omnibus, simulate


def pretend(beta, covariance):
    """A fit with residual variance 4, client variance 5 of sampling variance 2, and 10 df for every
    contrast."""
    return SimpleNamespace(
        beta=np.array(beta),
        covariance=covariance,
        freedom_of=lambda c: 10.0,
        total=(9.0, 2.0),
        variance_residual=4.0,
    )


def test_holm_sidak():
    """[.01, .04]: 1 - .99^2 = .0199; then .04. And a list against statsmodels, with ties, 0 and
    1."""
    assert holm_sidak([0.04, 0.01]) == pytest.approx([0.04, 0.0199])
    p = [0.2, 1e-20, 0.01, 0.01, 0.049, 1.0, 0.0, 0.7, 0.003, 1.0]
    assert holm_sidak(p) == pytest.approx(multipletests(p, method="holm-sidak")[1], rel=1e-6)


def test_pairwise_by_hand():
    """Two conditions, 10 - 13 = -3 with variance 1: z = -3, and one pair needs no adjustment."""
    made = pretend([10.0, 13.0], np.eye(2) / 2)
    (row,) = pairwise(made, ["a", "b"])
    assert (row["difference"], row["z"]) == (-3.0, pytest.approx(-3.0))
    assert row["p"] == row["p_holm_sidak"] == pytest.approx(0.0026998, abs=1e-7)
    assert (
        row["ci"] == row["ci_adjusted"] == pytest.approx([-3 - 1.959964, -3 + 1.959964], abs=1e-6)
    )
    assert (
        row["p_satterthwaite"]
        == row["p_satterthwaite_holm_sidak"]
        == pytest.approx(2 * stats.t.sf(3, 10))
    )
    half = 2.228139  # t's 97.5% quantile on 10 df
    for name in ("ci_satterthwaite", "ci_adjusted_satterthwaite"):
        assert row[name] == pytest.approx([-3 - half, -3 + half], abs=1e-6)


def test_the_interval_of_a_standardised_difference_by_hand():
    """V = 9 with variance 2, difference 3 with SE 1: d = 3 / 3 = 1 and Var(d) = 1 / 9 +
    2 / (4 81) = 0.1173, so d -+ 1.96 sqrt(0.1173)."""
    (row,) = pairwise(pretend([3.0, 0.0], np.eye(2) / 2), ["a", "b"])
    half = 1.959964 * (1 / 9 + 2 / 324) ** 0.5
    assert row["d"] == pytest.approx(1)
    assert row["d_ci"] == pytest.approx([1 - half, 1 + half], rel=1e-6)


def test_p_by_t_is_adjusted_over_all_pairs_too():
    """Means 0, 1, 4 of variance 1/2: z = -1, -4, -3, on 10 df. Smallest of three: 1 - (1 - p)^3;
    then ^2; then p."""
    rows = pairwise(pretend([0.0, 1.0, 4.0], np.eye(3) / 2), ["a", "b", "c"])
    one, four, three = (2 * stats.t.sf(z, 10) for z in (1, 4, 3))
    assert [row["p_satterthwaite_holm_sidak"] for row in rows] == pytest.approx(
        [one, 1 - (1 - four) ** 3, 1 - (1 - three) ** 2]
    )
    for row in rows:
        assert row["p_satterthwaite_holm_sidak"] > row["p_holm_sidak"]
        low, high = row["ci_adjusted_satterthwaite"]
        assert high - low == pytest.approx(2 * stats.t.ppf((1 + 0.95 ** (1 / 3)) / 2, 10))


def test_simultaneous_intervals_use_sidaks_level():
    """15 pairs: each at .95^(1/15) = .996586, so z = 2.927799 instead of 1.959964."""
    model = fit(*simulate(1))
    for row in pairwise(model, NAMES):
        assert (row["ci_adjusted"][1] - row["difference"]) / row["se"] == pytest.approx(
            2.92780, abs=1e-4
        )
        assert (row["ci"][1] - row["difference"]) / row["se"] == pytest.approx(1.959964, abs=1e-6)


def test_factorial_by_hand():
    """Covariance I, means instruct 1 2, sft 2 3, orpo 3 7 (without, with CoT).

    training: levels 1.5, 2.5, 5, each of variance 1/2: sum of squared deviations from 3 (6.5) /
    (1/2) = 13. cot: effects 1, 1, 4, average 2 of variance 2/3: 4 / (2/3) = 6. interaction: the
    effects deviate from 2 by -1, -1, 2 (sum of squares 6), each of variance 2: 3. The three are
    orthogonal: they add up to the omnibus test, sum of squared deviations of the six means = 22.
    """
    made = pretend([1.0, 2, 2, 3, 3, 7], np.eye(6))
    tests = factorial(made, NAMES)
    assert [tests[name]["df"] for name in ("training", "cot", "interaction")] == [2, 1, 2]
    assert [tests[name]["chi2"] for name in ("training", "cot", "interaction")] == pytest.approx(
        [13, 6, 3]
    )
    assert tests["cot"]["difference"] == pytest.approx(2) and tests["cot"]["se"] == pytest.approx(
        (2 / 3) ** 0.5
    )
    assert tests["cot"]["p"] == pytest.approx(stats.chi2.sf(6, 1))
    assert omnibus(made)["chi2"] == pytest.approx(22)
    assert factorial(made, NAMES[:5]) is None
    assert joint_test(made, np.eye(6)[:2])["chi2"] == pytest.approx(1 + 4)
    for name, f in (("training", 6.5), ("cot", 6), ("interaction", 1.5)):  # all nu are 10
        test = tests[name]
        assert (test["f"], test["df2"]) == (pytest.approx(f), pytest.approx(10))
        assert test["p_f"] == pytest.approx(stats.f.sf(f, test["df"], 10))


def resampled_icc(data, copies):
    """The ICCs of resamples, lambda as it comes: negative on the far side of 0."""
    ratio = resample(data, copies).ratio
    return ratio / (1 + ratio)


def signed_icc(X, y, cluster):
    """The ICC of a data set built row by row, the cluster variance free to be negative."""
    return resampled_icc(Clusters.of(X, y, cluster), np.ones((1, len(np.unique(cluster)))))[0]


def test_trap_26_bootstrap_keeps_duplicates_as_clusters_of_their_own():
    """Each resample's ICC equals that of the data set built row by row, a cluster drawn twice under
    two names."""
    X, y, cluster = simulate(10, m=8, keep=0.85)
    labels = np.unique(cluster)
    rng = np.random.default_rng(1)
    copies = rng.multinomial(8, np.full(8, 1 / 8), size=25).astype(float)
    fast, one_copy = resampled_icc(Clusters.of(X, y, cluster), copies), []
    for r in range(25):
        drawn = np.repeat(labels, copies[r].astype(int))
        rows = [np.flatnonzero(cluster == label) for label in drawn]
        own = np.repeat(np.arange(8), [len(row) for row in rows])
        rows = np.concatenate(rows)
        present = X[rows].any(0)  # a small resample may miss a condition
        model = fit(X[rows][:, present], y[rows], own)
        assert max(fast[r], 0) == pytest.approx(model.icc, rel=1e-7, abs=1e-12)
        assert fast[r] == pytest.approx(signed_icc(X[rows][:, present], y[rows], own), rel=1e-7)
        assert (fast[r] <= 0) == model.singular
        one_copy.append(fit(X[rows][:, present], y[rows], cluster[rows]).icc)
    assert (
        np.abs(np.maximum(fast, 0) - one_copy).max() > 0.05
    )  # keeping duplicates together would be seen


def test_a_resample_that_misses_a_condition_is_fitted_without_it():
    X, y, cluster = simulate(12, m=6)
    keep = ~((X[:, 5] == 1) & (cluster > 0))  # only client 0 met the last condition
    X, y, cluster = X[keep], y[keep], cluster[keep]
    drawn = resample(Clusters.of(X, y, cluster), np.array([[0, 1, 1, 2, 1, 1]], float))
    rows = [np.flatnonzero(cluster == label) for label in (1, 2, 3, 3, 4, 5)]
    own = np.repeat(np.arange(6), [len(row) for row in rows])
    rows = np.concatenate(rows)
    model = fit(X[rows][:, :5], y[rows], own)
    assert (
        drawn.ratio[0] == pytest.approx(model.variance_cluster / model.variance_residual, rel=1e-9)
        and not model.singular
    )


def test_resamples_on_the_boundary_are_kept():
    """No client variance: many resamples' ICCs are negative, none is dropped, and the interval
    begins at 0."""
    X, y, cluster = simulate(16, m=25, sd=0.0)
    copies = np.random.default_rng(0).multinomial(25, np.full(25, 1 / 25), size=500).astype(float)
    icc = resampled_icc(Clusters.of(X, y, cluster), copies)
    assert np.isfinite(icc).all() and 0.1 < (icc < 0).mean() < 0.9
    assert icc_interval(X, y, cluster, 500, 0)[0] == 0.0


def test_resamples_of_two_clients_do_not_hang_on_rounding():
    """Of two clients the error of psi_i is 0, or 1e-16 by rounding: in other units the same
    interval, where 2% of the resamples are such."""
    for seed in (2, 3, 6):
        X, y, cluster = simulate(seed, m=6)
        one, *others = (icc_interval(X, c * y, cluster, 300, seed) for c in (1, 0.7, 3.3))
        for other in others:
            assert one == pytest.approx(other, rel=1e-9)


def test_resamples_searched_from_fewer_points_give_the_same_interval(monkeypatch):
    """From 14 points as from 44, whole and with half of the sessions missing."""
    data = [simulate(seed, m=25, keep=(1, 0.5)[seed % 2], sd=1.5) for seed in range(6)]
    coarse = [icc_interval(*one, 400, 0) for one in data]
    monkeypatch.setattr(mixed, "COARSE", mixed.RATIOS)
    for one, before in zip(data, coarse, strict=True):
        assert before == pytest.approx(icc_interval(*one, 400, 0), rel=1e-9)


def test_bootstrap_interval_by_hand_from_plain_fits():
    """psi_i - se t*, worked out again: psi_i of each resample from its own fit, se by the formula
    of balanced data.

    There psi_i is the log of MSB / MSW, a cluster's influence b / sum b - w / sum w, b and w its
    parts of the two sums of squares, times (m - 1) / m (n - p for n), and the variance is the sum
    of squares.
    """
    X, y, cluster = simulate(11, m=12, sd=1.5)
    Y, m = y.reshape(12, 6), 12

    def psi(rows):
        table = Y[rows] - Y[rows].mean(0)
        b, w = 6 * table.mean(1) ** 2, ((table - table.mean(1, keepdims=True)) ** 2).sum(1)
        influence = (b / b.sum() - w / w.sum()) * (m - 1) / m
        return np.log(b.sum() * 5 / w.sum()), np.sqrt((influence**2).sum())

    copies = np.random.default_rng(3).multinomial(m, np.full(m, 1 / m), size=300)
    (centre, se), drawn = psi(np.arange(m)), [psi(np.repeat(np.arange(m), row)) for row in copies]
    t = [(value - centre) / error for value, error in drawn]
    ends = np.expm1(centre - se * np.quantile(t, [0.975, 0.025])) / 6
    found = icc_interval(X, y, cluster, 300, 3)
    assert found == pytest.approx(ends / (1 + ends), rel=1e-8)
    assert found == icc_interval(X, y, cluster, 300, 3) != icc_interval(X, y, cluster, 300, 4)
    assert found[0] < fit(X, y, cluster).icc < found[1]


def test_cluster_errors_are_those_of_the_jackknife():
    """Leave-one-out over 400 clusters, unbalanced: sqrt((m - 1) / m x sum of squares), to 3%."""
    data = Clusters.of(*simulate(14, m=400, keep=0.8))
    m = len(data.sizes)
    left = resample(data, 1 - np.eye(m)).psi
    jackknife = np.sqrt((m - 1) / m * ((left - left.mean()) ** 2).sum())
    assert resample(data, np.ones((1, m))).error[0] == pytest.approx(jackknife, rel=0.03)


def test_wilson_and_sign_test():
    """7 of 10: [.39677, .89221]; ends at 0 of n and n of n; against statsmodels."""
    assert wilson(7, 10) == pytest.approx([0.396775, 0.892210], abs=1e-5)
    assert wilson(0, 5)[0] == pytest.approx(0, abs=1e-12) and wilson(5, 5)[1] == pytest.approx(1)
    assert wilson(33, 150) == pytest.approx(proportion_confint(33, 150, method="wilson"), rel=1e-9)


def test_head_to_head_by_hand_with_ties_and_all_ties():
    """a beats b for clients 0-3, loses for 4, ties for 5 (but for rounding); client 6 lacks b.

    Sign test, 4 of 5: 2 (C(5,4) + C(5,5)) / 2^5 = .375. b and c never differ: no rate, p = 1.
    """
    a, b = [3, 3, 3, 3, 1, 0.1 + 0.2, 9], [2, 2, 2, 2, 2, 0.3]
    table = np.array([a, [*b, np.nan], [*b, np.nan]]).T
    ab, _, bc = head_to_head(table, ["a", "b", "c"])
    assert (ab["wins"], ab["losses"], ab["ties"], ab["rate"]) == (4, 1, 1, 0.8)
    assert ab["p"] == pytest.approx(0.375) and ab["ci"] == wilson(4, 5)
    assert bc == {
        "a": "b",
        "b": "c",
        "wins": 0,
        "losses": 0,
        "ties": 6,
        "rate": None,
        "ci": None,
        "p": 1.0,
    }
