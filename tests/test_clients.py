"""Condition x archetype, groups of clients, several ratings a session: against ANOVA and values
worked out by hand."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from act.forms import OUTCOMES, score
from act.records import CONDITIONS
from act.statistics import analysis
from act.statistics.clients import archetypes, crossed, groups_of, subgroups
from act.statistics.diagnostics import replicates
from act.statistics.ratings import Scores, score_sessions
from tests.made_ratings import make_ratings, make_session


def make_scores(m=12, keep=1.0, seed=0):
    """m clients of three groups in turn, all conditions: scores, and each row's group."""
    rng = np.random.default_rng(seed)
    rows = np.array([(c, k) for c in range(m) for k in range(6)])[rng.random(6 * m) < keep]
    y = (
        rng.normal(size=m)[rows[:, 0]]
        + 0.3 * rows[:, 1] * (rows[:, 0] % 3 == 1)
        + rng.normal(size=len(rows))
    )
    condition, profile = (
        np.array(CONDITIONS)[rows[:, 1]],
        np.array([f"p{c:02}" for c in rows[:, 0]]),
    )
    scores = Scores(condition, profile, dict.fromkeys(OUTCOMES, y), np.ones(len(y), int))
    return scores, np.array(["avoider", "skeptic", "thinker"])[rows[:, 0] % 3]


def test_condition_by_archetype_is_the_split_plot_anova_when_balanced():
    """Groups between clients: F = MS groups / MS clients in groups; condition and interaction over
    MS residual.

    4 clients a group, 6 conditions: 2 and 9 df; 5, 10 and 45 df. chi2 = df F, and df2 is the F
    test's denominator.
    """
    scores, group = make_scores()
    table = scores.values["tes_mean"].reshape(4, 3, 6)  # client in group, group, condition
    client, cell, line, column = (
        table.mean(2),
        table.mean(0),
        table.mean((0, 2)),
        table.mean((0, 1)),
    )
    grand = table.mean()
    within = ((table - client[:, :, None] - cell + line[:, None]) ** 2).sum() / 45
    between = 6 * ((client - line) ** 2).sum() / 9
    found = crossed(scores, "tes_mean", group)
    expected = {
        "archetype": (24 * ((line - grand) ** 2).sum() / between, 2, 9),
        "condition": (12 * ((column - grand) ** 2).sum() / within, 5, 45),
        "interaction": (4 * ((cell - line[:, None] - column + grand) ** 2).sum() / within, 10, 45),
    }
    for name, (chi2, df, df2) in expected.items():
        assert found[name]["chi2"] == pytest.approx(chi2, rel=1e-9) and found[name]["df"] == df
        assert found[name]["df2"] == pytest.approx(df2, rel=1e-6)
        assert found[name]["p_f"] == pytest.approx(stats.f.sf(chi2 / df, df, df2), rel=1e-6)
    assert found["emm"]["skeptic"]["orpo"]["mean"] == pytest.approx(cell[1, 4])
    assert found["emm"]["skeptic"]["orpo"]["n"] == 4 and found["refused"] is None


def test_trap_24_unbalanced_cells_and_an_empty_one():
    """Type III tests do not depend on the order of groups; an empty cell keeps the others' means
    and names itself."""
    scores, group = make_scores(keep=0.8)
    found = crossed(scores, "tes_mean", group)
    renamed = crossed(
        scores,
        "tes_mean",
        np.array([{"avoider": "z", "skeptic": "y", "thinker": "x"}[g] for g in group]),
    )
    for name in ("interaction", "archetype", "condition"):
        assert renamed[name]["chi2"] == pytest.approx(found[name]["chi2"], rel=1e-9)
    assert renamed["emm"]["y"]["sft"]["mean"] == pytest.approx(
        found["emm"]["skeptic"]["sft"]["mean"]
    )
    keep = ~((group == "skeptic") & (scores.condition == "sft"))
    gone = crossed(scores.where(keep), "tes_mean", group[keep])
    assert gone["refused"] == 'no rated session of archetype "skeptic" in condition sft: no tests'
    assert (
        gone["interaction"] is None
        and "sft" not in gone["emm"]["skeptic"]
        and len(gone["emm"]["thinker"]) == 6
    )
    alone = crossed(scores, "tes_mean", np.full(len(group), "avoider"))
    assert alone["refused"] == 'all clients are of one archetype, "avoider"'
    group[scores.profile == "p03"] = ""
    assert crossed(scores, "tes_mean", group)["refused"] == "1 profile(s) have no archetype"
    flat = Scores(
        scores.condition, scores.profile, {"tes_mean": np.full(len(group), 4.0)}, scores.ratings
    )
    assert (
        "does not vary"
        in crossed(flat, "tes_mean", np.where(group == "", "avoider", group))["refused"]
    )


def test_subgroups_are_the_analysis_of_their_clients_alone():
    scores = score_sessions(make_ratings(14), "integer", "r")
    sessions = [make_session(condition, client) for client in range(14) for condition in CONDITIONS]
    for number, session in enumerate(sessions):
        client = number // 6
        session["profile"] |= {
            "gender": ("woman", "man")[client % 2],
            "name": f"n{client}",
            "personality": ["shy"],
        }
        session["profile"]["personality"] += ["loyal"] if client < 4 else ["proud"]
    rows = subgroups(scores, sessions)
    values = {"gender": ("man", "woman"), "personality": ("loyal", "proud", "shy")}
    assert {(row["field"], row["value"]) for row in rows} == {
        (f, value) for f in values for value in values[f]
    }
    assert len(rows) == 10 and [row["outcome"] for row in rows[:5]] == ["act_fm_total"] * 5
    men = next(row for row in rows if row["value"] == "man")
    alone = analysis.analyse(
        scores.where(np.isin(scores.profile, [f"p{c:02}" for c in range(1, 14, 2)])),
        "act_fm_total",
        0,
        0,
    )
    assert (men["n"], men["sessions"], men["refused"]) == (42, 7, None)
    assert {name: men[name] for name in alone["omnibus"]} == alone["omnibus"]
    assert men["best"] == max(alone["emm"], key=lambda name: alone["emm"][name]["mean"])
    few = next(row for row in rows if row["value"] == "loyal")
    assert few["refused"] == "fewer than 5 clients" and few["q"] is None
    tests = [row for row in rows if row["refused"] is None]
    assert len(tests) == 8
    assert [row["q"] for row in tests] == pytest.approx(
        multipletests([row["p_f"] for row in tests], method="fdr_bh")[1]
    )


def test_archetypes_come_from_the_sessions_profiles():
    scores = score_sessions(make_ratings(8), "integer", "r")
    sessions = [make_session(condition, client) for client in range(8) for condition in CONDITIONS]
    assert archetypes(scores, sessions)["tes_mean"]["refused"].startswith(
        "all clients are of one archetype"
    )
    for number, session in enumerate(sessions):
        session["profile"]["archetype"] = ("a", "b")[number // 6 % 2]
    found = archetypes(scores, sessions)
    assert (
        set(found) == {"act_fm_total", "tes_mean"} and found["tes_mean"]["interaction"]["df"] == 5
    )
    profiles = {"id": "p", "age": "20-29"}, {"id": "q", "age": "30-39"}
    found = groups_of([{"profile": profile} for profile in profiles])
    assert found == {"age": {"20-29": {"p"}, "30-39": {"q"}}}


def test_one_rating_a_session_has_no_replicates():
    ratings = make_ratings(3)
    assert replicates(ratings, "integer", score_sessions(ratings, "integer", "r")) is None


def test_replicates_spread_by_hand_and_inside_the_residual_variance():
    """Two replicates: variance within = mean of (difference)^2 / 2; reliability 1 - variance / 2 /
    V.

    Balanced, so V (session means about their condition's) is exact.
    """
    ratings = make_ratings(30, replicates=2)
    scores = score_sessions(ratings, "expected", "r")
    found = replicates(ratings, "expected", scores)
    values = np.array(
        [score(r["act_fm_expected"], r["tes_expected"])["tes_mean"] for r in ratings]
    ).reshape(-1, 2)
    variance = ((values[:, 0] - values[:, 1]) ** 2).mean() / 2
    assert found["sd_within"]["tes_mean"] == pytest.approx(variance**0.5)
    table = values.mean(1).reshape(30, 6)
    V = ((table - table.mean(0)) ** 2).sum() / (180 - 6)
    assert found["reliability"]["tes_mean"] == pytest.approx(1 - variance / 2 / V)
    assert found["per_session"] == {"min": 2, "mean": 2.0, "max": 2}


def test_a_raters_leniency_is_not_counted_as_noise():
    """The same ratings from a second rater, one point higher throughout: the raters agree on every
    comparison."""
    ratings = make_ratings(6)
    for rating in ratings:
        rating["tes"] = [min(6, t) for t in rating["tes"]]
    twice = ratings + [
        rating | {"rater": "lenient", "tes": [t + 1 for t in rating["tes"]]} for rating in ratings
    ]
    found = replicates(twice, "integer", score_sessions(twice, "integer", "r"))
    assert found["sd_within"]["tes_mean"] == pytest.approx(0, abs=1e-12)


def test_what_nothing_tells_of_is_no_spread():
    """One session twice, by two raters: their leniency takes the one degree of freedom. One rater
    twice: a spread; and no reliability, since one session a condition has no variance."""
    first = make_ratings(1)[:3]
    for other, there in (("lenient", False), (first[0]["rater"], True)):
        ratings = [*first, first[0] | {"rater": other, "replicate": 1, "tes": [7] * 9}]
        found = replicates(ratings, "integer", score_sessions(ratings, "integer", "r"))
        assert (found["sd_within"]["tes_mean"] is not None) == there
        assert found["reliability"]["tes_mean"] is None
