"""The mixed model against balanced ANOVA, statsmodels, direct matrix algebra and its own
invariances."""

import warnings

import numpy as np
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from act.records import CONDITIONS
from act.statistics.contrasts import all_equal, joint_test, means, pairwise
from act.statistics.mixed import Clusters, criterion, fit, solve_ratio

NAMES = list(CONDITIONS)


def simulate(seed, m=20, sd=1.0, keep=1.0, effects=(0, 0.2, 0.5, 0.9, 0.4, 1.0)):
    """m clients x 6 conditions, client SD `sd`, residual SD 1, a share `keep` of the rows at
    random."""
    rng = np.random.default_rng(seed)
    cluster, condition = np.repeat(np.arange(m), 6), np.tile(np.arange(6), m)
    y = 20 + np.array(effects)[condition] + rng.normal(0, sd, m)[cluster] + rng.normal(size=6 * m)
    rows = rng.random(6 * m) < keep
    return np.eye(6)[condition][rows], y[rows], cluster[rows]


def omnibus(model):
    return joint_test(model, all_equal(len(model.beta)))


def moments_of(X, y, cluster):
    """The moments of one data set."""
    clusters = Clusters.of(X, y, cluster)
    return clusters.pool(np.ones((1, len(clusters.sizes))))


def criterion_of(X, y, cluster, model):
    """The criterion at a model's estimate."""
    ratio = model.variance_cluster / model.variance_residual
    return criterion(moments_of(X, y, cluster), np.array([ratio]))


def curvature(moments, ratio):
    """The criterion's second derivative, as `fit` has it: by a complex step."""
    return criterion(moments, ratio + 1e-30j).slope.imag / 1e-30


def loglik(X, y, cluster, model):
    """The restricted log-likelihood at a model's estimate, with its constant."""
    f = model.freedom
    return -0.5 * (criterion_of(X, y, cluster, model).value[0] + f * (1 + np.log(2 * np.pi / f)))


def anova(y, m, k=6):
    """Mean squares of a complete two-way layout (m clients x k conditions): conditions, clients,
    residual."""
    table = y.reshape(m, k)
    grand, rows, columns = table.mean(), table.mean(1), table.mean(0)
    residual = table - rows[:, None] - columns + grand
    return (
        m * ((columns - grand) ** 2).sum() / (k - 1),
        k * ((rows - grand) ** 2).sum() / (m - 1),
        (residual**2).sum() / ((m - 1) * (k - 1)),
    )


def test_trap_25_balanced_data_give_the_anova():
    """REML = ANOVA: s2 = MS residual, s2_b = (MS clients - MS residual) / k, chi2 = (k - 1) F, beta
    = cell means.

    Satterthwaite: a difference within clients has (m - 1)(k - 1) df. A cell mean has variance (MSB
    + (k - 1) MSW) / (k m), a sum of two independent mean squares: Satterthwaite's (1946) own
    formula.
    """
    m, k = 20, 6
    X, y, cluster = simulate(1, m)
    conditions, msb, msw = anova(y, m)
    model = fit(X, y, cluster)
    assert model.variance_residual == pytest.approx(msw, rel=1e-9)
    assert model.variance_cluster == pytest.approx((msb - msw) / k, rel=1e-9)
    assert model.beta == pytest.approx(y.reshape(m, k).mean(0), rel=1e-12)
    assert omnibus(model)["chi2"] == pytest.approx((k - 1) * conditions / msw, rel=1e-9)
    assert omnibus(model)["df"] == 5
    pair = pairwise(model, NAMES)[3]
    assert pair["se"] == pytest.approx(np.sqrt(2 * msw / m), rel=1e-9)
    assert pair["df"] == pytest.approx((m - 1) * (k - 1), rel=1e-9)
    df = (msb + (k - 1) * msw) ** 2 / (msb**2 / (m - 1) + (k - 1) * msw**2 / (m - 1))
    assert model.freedom_of(np.eye(6)[2]) == pytest.approx(df, rel=1e-9)
    assert means(model, NAMES)["sft"]["se"] == pytest.approx(
        np.sqrt((msb + (k - 1) * msw) / (k * m)), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(8))
def test_equals_statsmodels(seed):
    """Fixed effects, variances, log-likelihood and covariance to 1e-6, balanced (seed 0) and not.

    statsmodels' own `bse_fe` adds the uncertainty of the variances when data are unbalanced; the
    usual covariance (lme4, SAS), s2 (X' V^-1 X)^-1, is the inverse of its Hessian's block of fixed
    effects.
    """
    X, y, cluster = simulate(
        seed, m=4 + 9 * seed, sd=(0.7, 1.5)[seed % 2], keep=1 if seed == 0 else 0.75
    )
    model = fit(X, y, cluster)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels' remarks on its optimiser
        theirs = MixedLM(y, X, groups=cluster)
        result = theirs.fit(reml=True, method=["bfgs", "nm"], gtol=1e-12)
        hessian = theirs.hessian(result.params_object)[0]
    assert not model.singular
    assert model.beta == pytest.approx(result.fe_params, rel=1e-6)
    assert model.variance_residual == pytest.approx(result.scale, rel=1e-6)
    assert model.variance_cluster == pytest.approx(np.ravel(result.cov_re)[0], rel=1e-6)
    assert loglik(X, y, cluster, model) == pytest.approx(result.llf, rel=1e-9)
    assert model.covariance == pytest.approx(np.linalg.inv(-hessian[:6, :6]), rel=1e-6, abs=1e-9)


def dense_deviance(X, y, cluster, s2_b, s2):
    """-2 restricted log-likelihood from the n x n covariance matrix, and Cov(beta): the slow, plain
    truth."""
    V = s2 * np.eye(len(y)) + s2_b * np.equal.outer(cluster, cluster)
    Vi = np.linalg.inv(V)
    covariance = np.linalg.inv(X.T @ Vi @ X)
    e = y - X @ covariance @ X.T @ Vi @ y
    n, p = X.shape
    logs = np.linalg.slogdet(V)[1] - np.linalg.slogdet(covariance)[1] + (n - p) * np.log(2 * np.pi)
    return logs + e @ Vi @ e, covariance


def test_the_ratio_is_the_exact_root_of_the_score_and_the_log_likelihood_is_the_dense_one():
    X, y, cluster = simulate(5, m=15, keep=0.7)
    model = fit(X, y, cluster)
    deviance, covariance = dense_deviance(
        X, y, cluster, model.variance_cluster, model.variance_residual
    )
    assert -2 * loglik(X, y, cluster, model) == pytest.approx(deviance, rel=1e-12)
    assert model.covariance == pytest.approx(covariance, rel=1e-9)
    moments = moments_of(X, y, cluster)
    ratio = np.array([model.variance_cluster / model.variance_residual])
    step = criterion(moments, ratio).slope / curvature(moments, ratio)
    assert abs(step) < 1e-10 * ratio
    for factor in (0.97, 1.03):
        worse = dense_deviance(
            X, y, cluster, factor * model.variance_cluster, model.variance_residual
        )[0]
        assert worse > deviance


def test_slope_and_curvature_are_the_derivatives_of_the_criterion():
    X, y, cluster = simulate(6, m=9, keep=0.6)
    moments, h = moments_of(X, y, cluster), 1e-4
    for ratio in (0.05, 0.8, 12.0):
        low, at, high = (
            criterion(moments, np.array([ratio + shift])) for shift in (-h * ratio, 0, h * ratio)
        )
        assert at.slope == pytest.approx((high.value - low.value) / (2 * h * ratio), rel=1e-6)
        bend = curvature(moments, np.array([ratio]))
        assert bend == pytest.approx((high.slope - low.slope) / (2 * h * ratio), rel=1e-6)


def test_the_criterion_is_the_dense_deviance_at_negative_ratios_too():
    """Profiled: at lambda, s2 is r / (n - p). A ratio of -0.1 is above -1 / 6, the lowest one."""
    X, y, cluster = simulate(6, m=9, keep=0.6)
    f = len(y) - 6
    for ratio in (-0.1, 0.0, 0.7):
        at = criterion(moments_of(X, y, cluster), np.array([ratio]))
        s2 = at.rss[0] / f
        deviance = dense_deviance(X, y, cluster, ratio * s2, s2)[0]
        assert at.value[0] + f * (1 + np.log(2 * np.pi / f)) == pytest.approx(deviance, rel=1e-12)


def test_a_signed_ratio_is_that_of_the_anova_where_it_is_negative():
    """Balanced: lambda = (MSB / MSW - 1) / 6, whatever its sign; not signed, it stops at 0."""
    X, y, cluster = simulate(20, m=30, sd=0.0)
    _, msb, msw = anova(y, 30)
    moments = moments_of(X, y, cluster)
    assert msb < msw and solve_ratio(moments)[0] == 0.0
    assert solve_ratio(moments, signed=True)[0] == pytest.approx((msb / msw - 1) / 6, rel=1e-9)


def test_satterthwaite_unbalanced_against_numerical_derivatives_of_the_dense_likelihood():
    """df = 2 f^2 / (g' 2 H^-1 g) with g and H by central differences in (s2_b, s2), as lmerTest
    does."""
    X, y, cluster = simulate(7, m=12, keep=0.7)
    model = fit(X, y, cluster)
    c = np.array([1.0, 0, 0, -1, 0, 0])
    theta = np.array([model.variance_cluster, model.variance_residual])
    h = 1e-3 * theta

    def deviance(a, b):
        return dense_deviance(X, y, cluster, *(theta + [a, b] * h))[0]

    def variance(a, b):
        return c @ dense_deviance(X, y, cluster, *(theta + [a, b] * h))[1] @ c

    gradient = np.array([variance(1, 0) - variance(-1, 0), variance(0, 1) - variance(0, -1)]) / (
        2 * h
    )
    mixed = (deviance(1, 1) - deviance(1, -1) - deviance(-1, 1) + deviance(-1, -1)) / (
        4 * h[0] * h[1]
    )
    own = [
        (deviance(1, 0) - 2 * deviance(0, 0) + deviance(-1, 0)) / h[0] ** 2,
        (deviance(0, 1) - 2 * deviance(0, 0) + deviance(0, -1)) / h[1] ** 2,
    ]
    H = np.array([[own[0], mixed], [mixed, own[1]]])
    df = 2 * variance(0, 0) ** 2 / (gradient @ (2 * np.linalg.inv(H)) @ gradient)
    assert model.freedom_of(c) == pytest.approx(df, rel=1e-4)


def test_trap_25_row_order_and_reference_level_do_not_matter():
    X, y, cluster = simulate(8, m=14, keep=0.8)
    model, order = fit(X, y, cluster), np.random.default_rng(0).permutation(len(y))
    shuffled = fit(X[order], y[order], cluster[order])
    assert shuffled.beta == pytest.approx(model.beta, rel=1e-12)
    assert shuffled.variance_cluster == pytest.approx(model.variance_cluster, rel=1e-10)
    renamed = fit(X, y, np.array([f"client {(c * 5) % 14}" for c in cluster]))
    assert renamed.variance_cluster == pytest.approx(model.variance_cluster, rel=1e-10)

    back = NAMES[::-1]  # another condition first
    mirrored = fit(X[:, ::-1], y, cluster)
    assert omnibus(mirrored)["chi2"] == pytest.approx(omnibus(model)["chi2"], rel=1e-10)
    assert {n: e["mean"] for n, e in means(mirrored, back).items()} == pytest.approx(
        {n: e["mean"] for n, e in means(model, NAMES).items()}
    )
    theirs = {(row["b"], row["a"]): row for row in pairwise(mirrored, back)}
    for row in pairwise(model, NAMES):
        assert row["difference"] == pytest.approx(
            -theirs[row["a"], row["b"]]["difference"], rel=1e-9
        )
        assert row["p_holm_sidak"] == pytest.approx(
            theirs[row["a"], row["b"]]["p_holm_sidak"], rel=1e-9
        )

    coded = fit(
        np.column_stack([np.ones(len(y)), X[:, 1:]]), y, cluster
    )  # intercept and five differences
    assert coded.variance_cluster == pytest.approx(model.variance_cluster, rel=1e-10)
    assert coded.beta == pytest.approx([model.beta[0], *(model.beta[1:] - model.beta[0])], rel=1e-9)
    assert coded.covariance[0, 0] == pytest.approx(model.covariance[0, 0], rel=1e-9)


def test_location_and_scale_carry_through():
    X, y, cluster = simulate(9, m=10, keep=0.8)
    one, other = fit(X, y, cluster), fit(X, 1e5 + 1e-3 * y, cluster)
    assert other.variance_cluster == pytest.approx(1e-6 * one.variance_cluster, rel=1e-6)
    assert omnibus(other)["chi2"] == pytest.approx(omnibus(one)["chi2"], rel=1e-6)


def test_trap_24_boundary_gives_ordinary_least_squares():
    """Clients' means made equal, so the REML variance is 0: beta, s2 and df are OLS's, exactly."""
    for seed in range(20):
        X, y, cluster = simulate(seed, m=8, sd=0.0)
        y = y - np.repeat(y.reshape(8, 6).mean(1), 6) + 20
        keep = np.random.default_rng(seed).random(48) < 0.9
        X, y, cluster = X[keep], y[keep], cluster[keep]
        model = fit(X, y, cluster)
        beta, rss, _, _ = np.linalg.lstsq(X, y)
        n = len(y)
        assert model.singular and model.variance_cluster == 0.0 and model.icc == 0.0
        assert model.beta == pytest.approx(beta, rel=1e-12)
        assert model.variance_residual == pytest.approx(rss[0] / (n - 6), rel=1e-10)
        assert np.diag(model.covariance) == pytest.approx(rss[0] / (n - 6) / X.sum(0), rel=1e-10)
        assert {row["df"] for row in pairwise(model, NAMES)} == {float(n - 6)}


def test_trap_24_equal_mean_squares_of_whole_scores_are_the_boundary():
    """5 clients x 3 conditions of 0 to 3: MS clients = MS residual = 7 / 6, so that the ratio is 0
    but for rounding (4e-17)."""
    y = np.array([0, 0, 1, 3, 0, 1, 2, 0, 3, 3, 0, 0, 1, 0, 0], float)
    _, msb, msw = anova(y, 5, 3)
    assert msb == pytest.approx(msw, rel=1e-12)
    model = fit(np.tile(np.eye(3), (5, 1)), y, np.repeat(np.arange(5), 3))
    assert model.singular and model.variance_cluster == 0.0
    assert model.variance_residual == pytest.approx(msw)
    assert model.freedom_of(np.array([1.0, -1, 0])) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y, c: (X, 0 * y + 3, c), "does not vary within the conditions"),
        (lambda X, y, c: (X, X @ np.arange(6.0), c), "does not vary within the conditions"),
        (
            lambda X, y, c: (X, X @ np.arange(6.0) + c, c),
            "explain every value: there is no residual variance",
        ),
        (lambda X, y, c: (X, y, 0 * c), r"^1 cluster\(s\) in 6 fixed effects: nothing is left to"),
        (lambda X, y, c: (X, y, np.arange(len(y))), "as many parameters as there are rows, 60: "),
        (lambda X, y, c: (X[:6], y[:6], c[:6]), "6 rows cannot tell 6 fixed effects"),
        (
            lambda X, y, c: (np.column_stack([X, X[:, 0]]), y, c),
            "the 7 columns of the design have rank 6",
        ),
        (lambda X, y, c: (X, np.where(np.arange(len(y)) == 3, np.nan, y), c), "not finite"),
    ],
)
def test_trap_24_no_answer_is_a_named_refusal(change, message):
    with pytest.raises(ValueError, match=message):
        fit(*change(*simulate(2, m=10)))


def test_nearly_all_variance_between_clients_is_still_solved():
    X, y, cluster = simulate(3, m=10, sd=1000.0)
    _, msb, msw = anova(y, 10)
    assert fit(X, y, cluster).variance_cluster == pytest.approx((msb - msw) / 6, rel=1e-9)


def test_icc_and_r2_by_hand():
    """Variances 2 (client), 6 (residual), fixed effects' variance 4: ICC 2/8, R2 4/12 and 6/12."""
    X, y, cluster = simulate(4)
    model = fit(X, y, cluster)
    made = type(model)(
        **{**vars(model), "variance_cluster": 2.0, "variance_residual": 6.0, "variance_fixed": 4.0}
    )
    assert made.icc == 0.25 and made.r2 == (4 / 12, 0.5)
    assert model.variance_fixed == pytest.approx(np.var(X @ model.beta, ddof=1))


def test_solve_ratio_reaches_the_lowest_point_of_a_fine_grid():
    """200 small unbalanced data sets, where the criterion is oddest: no grid value lies below the
    solution's."""
    grid = np.concatenate([[0], np.logspace(-4, 4, 161)])
    for seed in range(200):
        X, y, cluster = simulate(seed, m=4, sd=0.5, keep=0.8)
        moments = moments_of(X[:, X.any(0)], y, cluster)
        found = criterion(moments, solve_ratio(moments)).value[0]
        assert found <= criterion(moments.take(np.zeros(len(grid), int)), grid).value.min() + 1e-9


def test_trap_24_tiny_data_have_degrees_of_freedom_or_are_refused():
    """400 data sets of a few rows, half of them of 0 and 1 alone: in some the likelihood is flat,
    in others clusters explain all but rounding. An answer has df of 1e-3 at least, or none is
    given."""
    answered = refused = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        X, y, cluster = simulate(seed, m=3, keep=rng.choice([0.4, 0.6]))
        X = X[:, X.any(0)]
        if seed % 2:
            y = (y > 20.5).astype(float)
        try:
            model = fit(X, y, cluster)
        except ValueError:
            refused += 1
            continue
        df = [model.freedom_of(row) for row in np.eye(X.shape[1])]
        assert np.isfinite(df).all() and min(df) > 1e-3, seed
        answered += 1
    assert answered > 100 and refused > 50
