"""The mixed model against what others computed: lmerTest's and lme4's published numbers, and
statsmodels 200 times."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import statsmodels
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

from act.statistics.contrasts import joint_test, means, pairwise
from act.statistics.mixed import fit
from tests.conftest import ROOT
from tests.test_mixed import NAMES, curvature, loglik, moments_of, simulate

DIETOX = Path(statsmodels.__file__).parent / "regression/tests/results/dietox.csv"


def sleepstudy():
    y, days, subject = np.loadtxt(ROOT / "tests/truths/sleepstudy.csv", delimiter=",", skiprows=1).T
    return np.column_stack([np.ones(180), days]), y, subject


def test_sleepstudy_equals_lmertest():
    """summary(lmerTest::lmer(Reaction ~ Days + (1 | Subject), sleepstudy)) of lmerTest 3:

                   Estimate Std. Error       df t value
        (Intercept) 251.4051     9.7467  22.8102   25.79
        Days         10.4673     0.8042 161.0000   13.02

    Subject 1378.2, residual 960.5; REML criterion 1786.5. Data: Belenky et al. (2003), J. Sleep
    Research 12, shipped with lme4 (Bates, Maechler, Bolker & Walker 2015, JSS 67(1)); the CSV is
    that of vincentarelbundock.github.io/Rdatasets. lmerTest: Kuznetsova, Brockhoff & Christensen
    (2017), JSS 82(13).
    """
    model = fit(*sleepstudy())
    assert model.beta == pytest.approx([251.4051, 10.4673], abs=5e-5)
    assert np.sqrt(np.diag(model.covariance)) == pytest.approx([9.7467, 0.8042], abs=5e-5)
    assert [model.freedom_of(c) for c in np.eye(2)] == pytest.approx([22.8102, 161.0000], abs=5e-5)
    assert (model.variance_cluster, model.variance_residual) == pytest.approx(
        (1378.2, 960.5), abs=0.05
    )
    assert -2 * loglik(*sleepstudy(), model) == pytest.approx(1786.5, abs=0.05)


def test_dietox_unbalanced_equals_lme4():
    """lmer(Weight ~ Time + (1 | Pig), dietox): 72 pigs, 3 with 11 weights instead of 12.

    Data and lme4's numbers are those in statsmodels' own tests (regression/tests/test_lme.py,
    test_dietox).
    """
    with open(DIETOX, newline="") as file:
        head, *rows = csv.reader(file)
    columns = zip(
        ("row", *head), zip(*rows, strict=True), strict=True
    )  # R leaves the row names' title out
    y, time, pig = (
        np.array(column, float) for name, column in columns if name in ("Weight", "Time", "Pig")
    )
    X = np.column_stack([np.ones(len(y)), time])
    model = fit(X, y, pig)
    assert model.beta == pytest.approx([15.723523, 6.942505], rel=1e-6)
    se = np.sqrt(np.diag(model.covariance))
    assert se == pytest.approx([0.78805374, 0.03338727], rel=1e-6)
    assert model.variance_cluster == pytest.approx(40.39395, rel=1e-6)
    assert model.variance_residual == pytest.approx(11.36692, rel=1e-6)
    assert loglik(X, y, pig, model) == pytest.approx(-2404.775, abs=5e-4)


def random_design(seed):
    """2 to 500 clusters, 2 to 6 conditions, every shape of imbalance: rows missing, conditions
    rare, rows doubled."""
    rng = np.random.default_rng(seed)
    m = (
        int(2 * 250 ** (rng.random() ** 2)) if seed else 500
    )  # many small, some large: they loop over clusters
    k = int(rng.integers(2 if m > 5 else 4, 7))
    cluster, cell = np.repeat(np.arange(m), k), np.tile(np.arange(k), m)
    keep = rng.random(m * k) < (1.0, 0.85, rng.uniform(0.5, 1))[seed % 3]
    keep |= (cell == k - 1) & (cluster == 0)
    keep &= (cell < k - 1) | (rng.random(m * k) < rng.uniform(0.3, 1)) | (cluster == 0)
    keep |= (
        cluster < 2
    )  # two clients met every condition: a few rows could be explained whole, which is refused
    twice = np.flatnonzero(keep & (rng.random(m * k) < 0.1 * (seed % 5 == 0)))
    rows = np.concatenate([np.flatnonzero(keep), twice])
    cluster, cell = cluster[rows], cell[rows]
    sd = (0.5, 1.0, 2.0)[seed % 3]
    y = (
        rng.normal(30, 3)
        + rng.normal(size=k)[cell]
        + sd * rng.normal(size=m)[cluster]
        + rng.normal(size=len(rows))
    )
    return np.eye(k)[cell], y, cluster


def score_of(theirs, ratio, beta=None):
    if beta is None:
        beta, _ = theirs.get_fe_params(np.array([[ratio]]), np.array([]))
    params = MixedLMParams.from_components(fe_params=beta, cov_re=np.array([[ratio]]))
    return theirs.score_full(params, False)[1][0]


@pytest.mark.slow
def test_200_random_designs_equal_statsmodels():
    """At our variances their GLS, scale and log-likelihood are ours to 1e-6; their score has its
    root.

    Their optimiser stops at 1e-5 or fails on designs such as these, so it is their equations that
    are asked, not it: the step that Newton's method would still take on their score is below 1e-6
    of the ratio. Our curvature does for its slope, which is compared in every tenth design. On the
    boundary their score points outwards. SEs: the inverse of their Hessian's block of fixed
    effects.
    """
    singular = 0
    for seed in range(200):
        X, y, cluster = random_design(seed)
        k = X.shape[1]
        model = fit(X, y, cluster)
        theirs = MixedLM(y, X, groups=cluster)
        # As its fit() sets them.
        theirs.reml, theirs.cov_pen, theirs.fe_pen, theirs._cov_sing = True, None, None, 0
        # At 0 they divide by it.
        ratio = max(model.variance_cluster / model.variance_residual, 1e-10)
        at = np.array([[ratio]])
        beta, _ = theirs.get_fe_params(at, np.array([]))
        params = MixedLMParams.from_components(fe_params=beta, cov_re=at)
        assert model.beta == pytest.approx(beta, rel=1e-6), seed
        scale = theirs.get_scale(beta, at, np.array([]))
        assert model.variance_residual == pytest.approx(scale, rel=1e-6), seed
        ours = loglik(X, y, cluster, model)
        assert ours == pytest.approx(theirs.loglike(params, profile_fe=False), rel=1e-6), seed
        covariance = np.linalg.inv(-theirs.hessian(params)[0][:k, :k])
        assert model.covariance == pytest.approx(covariance, rel=1e-6, abs=1e-9), seed
        singular += model.singular
        if model.singular:
            assert score_of(theirs, ratio, beta) <= 1e-6, seed
        else:
            slope = -curvature(moments_of(X, y, cluster), np.array([ratio]))[0] / 2
            assert slope < 0 and abs(score_of(theirs, ratio, beta) / slope) < 1e-6 * ratio, seed
            if seed % 10 == 0:
                low, high = (score_of(theirs, factor * ratio) for factor in (0.999, 1.001))
                assert (high - low) / (0.002 * ratio) == pytest.approx(slope, rel=1e-4), seed
    assert 5 < singular < 100  # both cases were met


def test_trap_24_200_data_sets_without_client_variance_are_least_squares():
    """Clients alike, or less alike than chance: `singular`, fixed effects and SEs of OLS, no
    exception, no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(200):
            X, y, cluster = simulate(seed, m=3 + seed % 20, sd=0.0, keep=(1, 0.8)[seed % 2])
            X = X[:, X.any(0)]
            y = (
                y
                - (np.bincount(cluster, y, 23) / np.maximum(np.bincount(cluster, minlength=23), 1))[
                    cluster
                ]
            )
            model = fit(X, y, cluster)
            beta, rss, _, _ = np.linalg.lstsq(X, y)
            n, k = X.shape
            assert model.singular and model.variance_cluster == 0.0, seed
            assert model.beta == pytest.approx(beta, rel=1e-9, abs=1e-12), seed
            assert model.covariance == pytest.approx(
                rss[0] / (n - k) * np.linalg.inv(X.T @ X), rel=1e-9
            ), seed
            assert joint_test(model, np.eye(k)[1:] - np.eye(k)[0])["df2"] == pytest.approx(n - k), (
                seed
            )


def test_means_have_satterthwaites_df_of_a_sum_of_two_mean_squares():
    """Balanced: (MSB + 5 MSW)^2 / (MSB^2 / 19 + (5 MSW)^2 / 95), and the t interval on it."""
    X, y, cluster = simulate(2)
    table = y.reshape(20, 6)
    client, column, grand = table.mean(1), table.mean(0), table.mean()
    msb = 6 * ((client - grand) ** 2).sum() / 19
    msw = ((table - client[:, None] - column + grand) ** 2).sum() / 95
    row = means(fit(X, y, cluster), NAMES)["orpo"]
    assert row["df"] == pytest.approx(
        (msb + 5 * msw) ** 2 / (msb**2 / 19 + 25 * msw**2 / 95), rel=1e-9
    )
    half = stats.t.ppf(0.975, row["df"]) * row["se"]
    assert row["ci_satterthwaite"] == pytest.approx([row["mean"] - half, row["mean"] + half])


def test_f_test_is_the_anovas_when_balanced_and_fai_cornelius_else():
    """Balanced: F on 5 and 95. Else lmerTest's recipe by hand: nu of each eigenvector, E = sum nu /
    (nu - 2)."""
    L = np.eye(6)[1:] - np.eye(6)[0]
    Q = np.linalg.qr(L.T)[0].T
    found = joint_test(fit(*simulate(3)), L)
    assert (found["df"], found["df2"]) == (5, pytest.approx(95))
    assert found["p_f"] == pytest.approx(stats.f.sf(found["f"], 5, 95))
    model = fit(*simulate(3, keep=0.6))
    values, vectors = np.linalg.eigh(Q @ model.covariance @ Q.T)
    nu = np.array([model.freedom_of(vector @ Q) for vector in vectors.T])
    t2 = (vectors.T @ Q @ model.beta) ** 2 / values
    found = joint_test(model, L)
    assert found["f"] == pytest.approx(t2.sum() / 5) and np.ptp(nu) > 0.01
    E = (nu / (nu - 2)).sum()
    assert found["df2"] == pytest.approx(2 * E / (E - 5))
    assert nu.min() < found["df2"] < nu.max()
    other = joint_test(model, np.eye(6)[:5] - np.eye(6)[5])  # another condition as reference
    assert other["df2"] == pytest.approx(found["df2"], rel=1e-9) and other["f"] == pytest.approx(
        found["f"]
    )


def test_standardised_differences_and_the_spread_of_the_total_variance():
    """d = difference / sqrt(s2_b + s2). Balanced: Var(s2_b + s2) = 2 (MSB / 6)^2 / 39 + 2 (5 MSW /
    6)^2 / 195.

    s2_b + s2 = MSB / 6 + 5 MSW / 6, two independent mean squares; d's interval then has the delta
    method's variance.
    """
    X, y, cluster = simulate(5, m=40)
    model = fit(X, y, cluster)
    msw = model.variance_residual
    msb = msw + 6 * model.variance_cluster
    total, spread = model.total
    assert total == pytest.approx(msb / 6 + 5 * msw / 6)
    assert spread == pytest.approx(2 * (msb / 6) ** 2 / 39 + 2 * (5 * msw / 6) ** 2 / 195, rel=1e-9)
    row = pairwise(model, NAMES)[4]
    assert row["d"] == pytest.approx(row["difference"] / total**0.5)
    half = 1.959964 * (row["se"] ** 2 / total + row["d"] ** 2 * spread / (4 * total**2)) ** 0.5
    assert row["d_ci"] == pytest.approx([row["d"] - half, row["d"] + half], rel=1e-6)
