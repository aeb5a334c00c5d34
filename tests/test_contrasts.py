"""Contrasts, factorial tests, bootstrap and head-to-head wins against values worked out by hand and statsmodels."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from act.measure.bootstrap import icc_interval, resampled_icc
from act.measure.contrasts import factorial, holm_sidak, omnibus, pairwise, wald
from act.measure.mixed import cluster_moments, fit
from act.measure.wins import head_to_head, wilson
from tests.test_mixed import NAMES, simulate


def test_holm_sidak():
    """[.01, .04]: 1 - .99^2 = .0199; then .04. And a list against statsmodels, with ties, 0 and 1."""
    assert holm_sidak([0.04, 0.01]) == pytest.approx([0.04, 0.0199])
    p = [0.2, 1e-20, 0.01, 0.01, 0.049, 1.0, 0.0, 0.7, 0.003, 1.0]
    assert holm_sidak(p) == pytest.approx(multipletests(p, method="holm-sidak")[1], rel=1e-6)


def test_pairwise_by_hand():
    """Two conditions, 10 - 13 = -3 with variance 1: z = -3, and one pair needs no adjustment."""
    made = SimpleNamespace(beta=np.array([10.0, 13.0]), covariance=np.eye(2) / 2, freedom_of=lambda c: 10.0)
    (row,) = pairwise(made, ["a", "b"])
    assert (row["difference"], row["z"]) == (-3.0, pytest.approx(-3.0))
    assert row["p"] == row["p_holm_sidak"] == pytest.approx(0.0026998, abs=1e-7)
    assert row["ci"] == row["ci_adjusted"] == pytest.approx([-3 - 1.959964, -3 + 1.959964], abs=1e-6)
    assert row["p_satterthwaite"] == pytest.approx(2 * stats.t.sf(3, 10))


def test_simultaneous_intervals_use_sidaks_level():
    """15 pairs: each at .95^(1/15) = .996586, so z = 2.927799 instead of 1.959964."""
    model = fit(*simulate(1))
    for row in pairwise(model, NAMES):
        assert (row["ci_adjusted"][1] - row["difference"]) / row["se"] == pytest.approx(2.92780, abs=1e-4)
        assert (row["ci"][1] - row["difference"]) / row["se"] == pytest.approx(1.959964, abs=1e-6)


def test_factorial_by_hand():
    """Covariance I, means instruct 1 2, sft 2 3, orpo 3 7 (without, with CoT).

    training: levels 1.5, 2.5, 5, each of variance 1/2: sum of squared deviations from 3 (6.5) / (1/2) = 13.
    cot: effects 1, 1, 4, average 2 of variance 2/3: 4 / (2/3) = 6.
    interaction: the effects deviate from 2 by -1, -1, 2 (sum of squares 6), each of variance 2: 3.
    The three are orthogonal: they add up to the omnibus test, sum of squared deviations of the six means = 22.
    """
    made = SimpleNamespace(beta=np.array([1.0, 2, 2, 3, 3, 7]), covariance=np.eye(6))
    tests = factorial(made, NAMES)
    assert [tests[name]["df"] for name in ("training", "cot", "interaction")] == [2, 1, 2]
    assert [tests[name]["chi2"] for name in ("training", "cot", "interaction")] == pytest.approx([13, 6, 3])
    assert tests["cot"]["difference"] == pytest.approx(2) and tests["cot"]["se"] == pytest.approx((2 / 3) ** 0.5)
    assert tests["cot"]["p"] == pytest.approx(stats.chi2.sf(6, 1))
    assert omnibus(made)["chi2"] == pytest.approx(22)
    assert factorial(made, NAMES[:5]) is None
    assert wald(made, np.eye(6)[:2])["chi2"] == pytest.approx(1 + 4)


def test_trap_26_bootstrap_keeps_duplicates_as_clusters_of_their_own():
    """Each resample's ICC equals that of the data set built row by row, a cluster drawn twice under two names."""
    X, y, cluster = simulate(10, m=8, keep=0.85)
    labels, sizes, within, between = cluster_moments(X, y, cluster)
    rng = np.random.default_rng(1)
    copies = rng.multinomial(8, np.full(8, 1 / 8), size=25).astype(float)
    fast, one_copy = resampled_icc(sizes, within, between, copies), []
    for r in range(25):
        drawn = np.repeat(labels, copies[r].astype(int))
        rows = [np.flatnonzero(cluster == label) for label in drawn]
        own = np.repeat(np.arange(8), [len(row) for row in rows])
        rows = np.concatenate(rows)
        present = X[rows].any(0)  # a small resample may miss a condition
        assert fast[r] == pytest.approx(fit(X[rows][:, present], y[rows], own).icc, rel=1e-7, abs=1e-12)
        one_copy.append(fit(X[rows][:, present], y[rows], cluster[rows]).icc)
    assert np.abs(fast - one_copy).max() > 0.05  # keeping duplicates together would be seen


def test_bootstrap_resamples_that_miss_a_condition_or_repeat_one_cluster():
    """A missed condition's column leaves the model; m copies of one cluster have no residual: not defined."""
    X, y, cluster = simulate(12, m=6)
    keep = ~((X[:, 5] == 1) & (cluster > 0))  # only client 0 met the last condition
    X, y, cluster = X[keep], y[keep], cluster[keep]
    labels, sizes, within, between = cluster_moments(X, y, cluster)
    copies = np.array([[0, 1, 1, 2, 1, 1], [0, 0, 6, 0, 0, 0]], float)
    missed, repeated = resampled_icc(sizes, within, between, copies)
    rows = [np.flatnonzero(cluster == label) for label in (1, 2, 3, 3, 4, 5)]
    own = np.repeat(np.arange(6), [len(row) for row in rows])
    rows = np.concatenate(rows)
    assert missed == pytest.approx(fit(X[rows][:, :5], y[rows], own).icc, rel=1e-9) and missed > 0.01
    assert np.isnan(repeated)


def test_bootstrap_interval_is_the_quantiles_of_its_resamples_and_repeats():
    X, y, cluster = simulate(11, m=30, keep=0.9)
    low, high = icc_interval(X, y, cluster, 400, 3)
    assert [low, high] == icc_interval(X, y, cluster, 400, 3)
    assert [low, high] != icc_interval(X, y, cluster, 400, 4)
    _, sizes, within, between = cluster_moments(X, y, cluster)
    copies = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=400).astype(float)
    icc = resampled_icc(sizes, within, between, copies)
    assert [(icc < low).mean(), (icc > high).mean()] == pytest.approx([0.025, 0.025], abs=0.0026)
    assert low < fit(X, y, cluster).icc < high


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
    y = np.array(a + b + b)
    condition = np.array(["a"] * 7 + ["b"] * 6 + ["c"] * 6)
    cluster = np.array([*range(7), *range(6), *range(6)])
    ab, _, bc = head_to_head(y, condition, cluster, ["a", "b", "c"])
    assert (ab["wins"], ab["losses"], ab["ties"], ab["rate"]) == (4, 1, 1, 0.8)
    assert ab["p"] == pytest.approx(0.375) and ab["ci"] == wilson(4, 5)
    assert bc == {"a": "b", "b": "c", "wins": 0, "losses": 0, "ties": 6, "rate": None, "ci": None, "p": 1.0}
