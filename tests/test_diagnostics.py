"""Residuals against statsmodels, what they are tested for, missing ratings, invariances."""

import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from act.forms import OUTCOMES
from act.records import CONDITIONS
from act.statistics import analysis
from act.statistics.analysis import count_missing, without_failed
from act.statistics.diagnostics import diagnose, replicates, residuals_of
from act.statistics.mixed import fit
from act.statistics.ratings import Scores, score_sessions
from tests.made_ratings import make_ratings, make_session
from tests.test_mixed import simulate


def names_of(n):
    return [f"s{i}" for i in range(n)]


def test_clients_effects_and_residuals_are_those_of_statsmodels():
    X, y, cluster = simulate(3, m=15, keep=0.8)
    model = fit(X, y, cluster)
    fitted, residual, effects = residuals_of(model, X, y, cluster)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MixedLM(y, X, groups=cluster).fit(reml=True, method=["bfgs", "nm"], gtol=1e-12)
    assert effects == pytest.approx(
        [theirs.random_effects[c].iloc[0] for c in np.unique(cluster)], rel=1e-4, abs=1e-5
    )
    assert fitted == pytest.approx(np.asarray(theirs.fittedvalues), rel=1e-6)
    assert residual == pytest.approx(y - fitted)


def test_shape_and_spread_of_residuals():
    """Against scipy on the residuals; a session moved by 9 is found first, by its name, on its own
    scale and in SDs."""
    X, y, cluster = simulate(4, m=30)
    y[77] += 9
    model = fit(X, y, cluster)
    _, residual, effects = residuals_of(model, X, y, cluster)
    found = diagnose(model, X, y, cluster, names_of(180))
    assert found["skew"] == pytest.approx(stats.skew(residual))
    assert found["excess_kurtosis"] == pytest.approx(stats.kurtosis(residual))
    assert (
        found["normality_p"] == pytest.approx(stats.normaltest(residual).pvalue)
        and found["normality_p"] < 0.001
    )
    groups = residual.reshape(30, 6).T
    assert found["spread_p"] == pytest.approx(stats.levene(*groups, center="median").pvalue)
    assert found["random_skew"] == pytest.approx(stats.skew(effects))
    assert found["outliers"][0]["session"] == "s77"
    assert found["outliers"][0]["residual"] == pytest.approx(residual[77]) and residual[77] > 6
    assert found["outliers"][0]["standardised"] == pytest.approx(
        residual[77] / model.variance_residual**0.5
    )
    assert all(abs(row["standardised"]) > 3 for row in found["outliers"])


def test_unequal_spread_is_seen_and_normal_residuals_are_not_blamed():
    """Over 60 data sets of the model p < .05 in about 5% of them; with one condition three times as
    wide, in all."""
    blamed = {"normality_p": 0, "spread_p": 0}
    for seed in range(60):
        X, y, cluster = simulate(seed, m=30)
        found = diagnose(fit(X, y, cluster), X, y, cluster, names_of(180))
        for name in blamed:
            blamed[name] += found[name] < 0.05
    assert max(blamed.values()) <= 9  # 3 expected; more than 9 has probability .002
    X, y, cluster = simulate(1, m=30)
    y[2::6] += 3 * np.random.default_rng(0).normal(size=30)
    assert diagnose(fit(X, y, cluster), X, y, cluster, names_of(180))["spread_p"] < 0.001


def test_trap_24_too_few_values_for_a_test_give_none():
    X, y, cluster = simulate(5, m=3)
    found = diagnose(fit(X, y, cluster), X, y, cluster, names_of(18))
    assert found["normality_p"] is None and found["spread_p"] is not None
    y = y - np.repeat(
        y.reshape(3, 6).mean(1), 6
    )  # no client variance: no clients' effects to be skewed
    assert diagnose(fit(X, y, cluster), X, y, cluster, names_of(18))["random_skew"] is None


def test_missing_ratings_are_counted_by_condition():
    """8 clients; one failed rating, one session without any; a ninth client who has sessions and no
    rating."""
    ratings = make_ratings(8)
    ratings[4] |= {"status": "form", "act_fm": None, "tes": None}
    del ratings[11]
    scores = score_sessions(ratings, "integer", "r")
    found = count_missing(ratings, None, scores)
    assert (found["expected"], found["rated"], found["profiles"]) == (48, 46, 8)
    assert found["by_condition"]["orpo"] == {"expected": 8, "rated": 7, "missing": 1}
    assert sum(row["missing"] for row in found["by_condition"].values()) == 2
    sessions = [make_session(condition, client) for client in range(9) for condition in CONDITIONS]
    found = count_missing(ratings, sessions, scores)
    assert (found["expected"], found["rated"]) == (54, 46)
    assert found["by_condition"]["sft"] == {"expected": 9, "rated": 8, "missing": 1}


def same(one, other, path=""):
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for i, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{path}/{i}")
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-7, abs=1e-10), path
    else:
        assert one == other, path


def test_trap_25_rows_in_any_order_and_clients_under_any_name_give_the_same_numbers():
    """Every number of an outcome but the bootstrap's, whose draws belong to the sorted names."""
    scores = score_sessions(make_ratings(9)[:-3], "expected", "r")
    whole = analysis.analyse(scores, "tes_mean", 0, 0)
    order = np.random.default_rng(0).permutation(len(scores.profile))
    same(whole, analysis.analyse(scores.where(order), "tes_mean", 0, 0))
    renamed = np.array([f"client {(7 * int(name[1:])) % 11}" for name in scores.profile])
    other = analysis.analyse(
        Scores(scores.condition, renamed, scores.values, scores.ratings), "tes_mean", 0, 0
    )
    for result in (whole, other):
        for row in result["diagnostics"]["outliers"]:
            del row["session"]
    same(whole, other)


def test_trap_25_conditions_under_other_names_keep_their_numbers():
    """orpo and instruct change names: their means, contrasts and simple effects change places,
    nothing else."""
    scores = score_sessions(make_ratings(9)[:-3], "expected", "r")
    swap = {name: name for name in CONDITIONS} | {"orpo": "instruct", "instruct": "orpo"}
    swap |= {"orpo-cot": "instruct-cot", "instruct-cot": "orpo-cot"}
    condition = np.array([swap[name] for name in scores.condition])
    order = np.argsort(condition, kind="stable")
    swapped = Scores(condition, scores.profile, scores.values, scores.ratings).where(order)
    one, two = (analysis.analyse(which, "act_fm_total", 0, 0) for which in (scores, swapped))
    for name in ("omnibus", "variance", "icc", "r2"):
        same(one[name], two[name], name)
    for name in CONDITIONS:
        same(one["emm"][name], two["emm"][swap[name]], name)
    for name in ("training", "cot", "interaction"):
        same(one["factorial"][name], two["factorial"][name], name)
    effects = {row["training"]: row for row in two["factorial"]["cot_in"]}
    for row in one["factorial"]["cot_in"]:
        same(row | {"training": ""}, effects[swap[row["training"]]] | {"training": ""})
    pairs = {frozenset((row["a"], row["b"])): row for row in two["contrasts"]}
    for row in one["contrasts"]:
        other = pairs[frozenset((swap[row["a"]], swap[row["b"]]))]
        sign = 1 if other["a"] == swap[row["a"]] else -1
        assert [row["difference"], row["d"]] == pytest.approx(
            [sign * other["difference"], sign * other["d"]]
        )
        assert [row["p_holm_sidak"], row["df"]] == pytest.approx(
            [other["p_holm_sidak"], other["df"]]
        )


def test_simple_effects_of_cot_are_contrasts_with_their_own_family():
    """Each is the pair's contrast turned round; Holm-Sidak over the three alone."""
    result = analysis.analyse(
        score_sessions(make_ratings(12), "integer", "r"), "act_fm_total", 0, 0
    )
    rows = result["factorial"]["cot_in"]
    assert [row["training"] for row in rows] == ["instruct", "sft", "orpo"]
    pairs = {(row["a"], row["b"]): row for row in result["contrasts"]}
    p = sorted(row["p"] for row in rows)
    stepped = np.maximum.accumulate(
        [1 - (1 - value) ** k for value, k in zip(p, (3, 2, 1), strict=True)]
    )
    assert sorted(row["p_holm_sidak"] for row in rows) == pytest.approx(stepped)
    for row in rows:
        pair = pairs[row["training"], f"{row['training']}-cot"]
        assert row["difference"] == pytest.approx(-pair["difference"]) and row[
            "d"
        ] == pytest.approx(-pair["d"])
        assert (row["p"], row["df"]) == (pytest.approx(pair["p"]), pytest.approx(pair["df"]))
        assert row["ci"] == pytest.approx([-pair["ci"][1], -pair["ci"][0]])
        # all three hold at once with 95% where each does with .95^(1/3), by the normal and by t
        value, level = row["difference"], (1 + 0.95 ** (1 / 3)) / 2
        half = row["se"] * np.array([stats.norm.ppf(level), stats.t.ppf(level, row["df"])])
        for name, part in zip(("ci_adjusted", "ci_adjusted_satterthwaite"), half, strict=True):
            assert row[name] == pytest.approx([value - part, value + part], rel=1e-9)


def test_trap_24_everything_failed_or_nothing_did():
    """Without its failed sessions the analysis is that of the rest; with none left it is refused,
    and no error."""
    scores = score_sessions(make_ratings(6), "integer", "r")
    sessions = [make_session(condition, client) for client in range(6) for condition in CONDITIONS]
    found = without_failed(scores, sessions)
    assert found["excluded"] == 0 and list(found["outcomes"]) == list(analysis.TOTALS)
    same(found["outcomes"]["tes_mean"], analysis.analyse(scores, "tes_mean", 0, 0))
    sessions[3]["status"] = "context"
    found = without_failed(scores, sessions)
    assert found["excluded"] == 1
    rest = scores.where(np.array(scores.sessions) != sessions[3]["id"])
    same(found["outcomes"]["tes_mean"], analysis.analyse(rest, "tes_mean", 0, 0))
    gone = without_failed(scores, [session | {"status": "error"} for session in sessions])
    assert gone["excluded"] == 36
    assert gone["outcomes"]["tes_mean"]["refused"] == "0 condition(s) only"


def test_residuals_of_an_analysed_outcome():
    scores = score_sessions(make_ratings(9)[:-3], "expected", "r")
    for outcome in OUTCOMES:
        model = scores.fit(outcome)
        fitted, residual, effects = residuals_of(model, *scores.data(outcome))
        assert fitted + residual == pytest.approx(scores.values[outcome]) and len(effects) == 9


def test_trap_35_ratings_of_one_session_that_scatter_and_sessions_that_do_not():
    """One session a condition, rated twice: their means have no variance within conditions to
    compare the scatter with, and a constant scale has none at all; no warning in either."""
    two = make_ratings(1, replicates=2)
    flat = [rating | {"tes": [6] * 9} for rating in make_ratings(3, replicates=2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = replicates(two, "integer", score_sessions(two, "integer", "r"))
        found = replicates(flat, "integer", score_sessions(flat, "integer", "r"))
    assert set(alone["reliability"].values()) == {None} and alone["sd_within"]["tes_mean"] > 0
    assert (found["sd_within"]["tes_mean"], found["reliability"]["tes_mean"]) == (0, None)
    assert found["reliability"]["act_fm_total"] is not None
