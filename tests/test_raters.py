"""Raters and the order of rating: told from the conditions, held equal, or said to be neither."""

import json

import numpy as np
import pytest

from act.records import CONDITIONS
from act.report import sentences
from act.statistics.contrasts import pairwise
from act.statistics.covariates import by_rater
from act.statistics.mixed import fit
from act.statistics.ratings import read_ratings, score_sessions
from tests.made_ratings import make_ratings, write
from tests.test_analyze import Page, run
from tests.test_report import summarise
from tests.test_spreadsheet import as_excel, table


def lenient(rating):
    """Two points more on every item of the TES, and that from another rater."""
    rating["tes"] = [min(7, value + 2) for value in rating["tes"]]
    rating["rater"] = "lenient"


def found_in(ratings):
    return by_rater(ratings, score_sessions(ratings, "integer", "r"))


def test_trap_34_a_rater_who_saw_one_condition_is_the_first_caution(tmp_path):
    """All of orpo rated by one who rated nothing else: it looks two points better, and the first
    caution names both."""
    ratings = make_ratings(8, rater="anna")
    for rating in ratings:
        if rating["condition"] == "orpo":
            lenient(rating)
    found = found_in(ratings)["raters"]
    others = [name for name in CONDITIONS if name != "orpo"]
    assert found["apart"] is False and found["outcomes"] is None
    assert {"conditions": ["orpo"], "raters": ["lenient"]} in found["groups"]
    assert {"conditions": others, "raters": ["anna"]} in found["groups"]
    path = write(tmp_path / "r.jsonl", ratings)
    done = run("--ratings", path, "--resamples", 20, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    first = next(sentences.cautions(summary))
    assert first.startswith("Raters and conditions cannot be told apart (")
    assert "lenient rated orpo" in first and "orpo-cot" in first and "anna rated instruct" in first
    page = Page((tmp_path / "out/report.html").read_text())
    doubts = page.words.index("Before you believe it")
    assert page.words[doubts + 1] == first
    assert first in done.stdout.splitlines()


def test_raters_who_can_be_told_apart_are_held_equal():
    """`lenient` rated most of orpo and some of the rest: as it is orpo lies two points higher, with
    raters in the model it does not; the numbers are those of the model with both columns."""
    ratings = make_ratings(30, rater="anna", seed=1)
    rng = np.random.default_rng(0)
    for rating in ratings:
        if rng.random() < (0.9 if rating["condition"] == "orpo" else 0.1):
            lenient(rating)
    scores = score_sessions(ratings, "integer", "r")
    found = by_rater(ratings, scores)["raters"]
    assert found["apart"] and len(found["groups"]) == 1
    share = np.array([float(rating["rater"] == "lenient") for rating in ratings])
    X = np.column_stack([scores.cells, share])  # the ratings stand in the order of the scores
    model = fit(X, scores.values["tes_mean"], scores.profile)
    assert model.beta[6] == pytest.approx(2, abs=0.25)
    emm = found["outcomes"]["tes_mean"]["emm"]  # at the mean share of either rater
    assert emm["orpo"]["mean"] == pytest.approx(model.beta[4] + share.mean() * model.beta[6])
    rows = found["outcomes"]["tes_mean"]["contrasts"]
    plain = pairwise(scores.fit("tes_mean"), list(CONDITIONS))
    for row, naive in zip(rows, plain, strict=True):
        i, j = CONDITIONS.index(row["a"]), CONDITIONS.index(row["b"])
        assert row["difference"] == pytest.approx(model.beta[i] - model.beta[j])
        if {row["a"], row["b"]} == {"sft-cot", "orpo"}:
            assert naive["difference"] < -1.8 and row["difference"] > -1.1
    summary, _ = summarise(ratings)
    said = " ".join(sentences.hangs_on(summary, "totals"))
    assert "TES empathy: with raters as fixed effects in the model, the adjusted test says" in said
    assert not any("told apart (" in line for line in sentences.cautions(summary))


def test_a_session_that_several_rated_and_raters_who_rated_all_change_nothing():
    """Two raters of every session: their shares are the same throughout."""
    ratings = make_ratings(5, rater="anna")
    both = ratings + [rating | {"rater": "ben"} for rating in make_ratings(5, seed=3)]
    found = found_in(both)["raters"]
    assert found["apart"] and found["outcomes"] is None and len(found["groups"]) == 1
    assert found_in(ratings) == {}  # one rater, no order
    summary, _ = summarise(both)
    assert not any("raters as fixed" in line for line in sentences.hangs_on(summary, "totals"))


def test_the_order_of_rating_is_held_equal_or_said_to_go_with_the_conditions(tmp_path):
    """A rater gives a point more for each 40 sessions: in random order that can be taken out; where
    one condition was rated after the other it cannot."""
    rng = np.random.default_rng(2)
    ratings = make_ratings(20, rater="anna")
    places = rng.permutation(len(ratings))
    for rating, place in zip(ratings, places.tolist(), strict=True):
        rating["order"] = place
        rating["tes"] = [round(min(7, max(1, v - 1 + place / 40))) for v in rating["tes"]]
    found = found_in(ratings)["order"]
    assert found["apart"] and found["outcomes"]["tes_mean"]["refused"] is None
    for rating in ratings:
        rating["order"] = CONDITIONS.index(rating["condition"])
    assert found_in(ratings)["order"] == {"apart": False, "outcomes": None}
    summary, _ = summarise(ratings)
    assert next(sentences.cautions(summary)).startswith("The order of rating cannot be told from")
    # a spreadsheet's column
    path = tmp_path / "r.csv"
    path.write_bytes(as_excel(table(ratings, ["order"])))
    read = [rating["order"] for rating in read_ratings(path, "integer")]
    assert read == [rating["order"] for rating in ratings]
    partly = {"apart": None, "outcomes": None, "recorded": 119, "ratings": 120}
    for place in (float("inf"), None, "last"):
        ratings[5]["order"] = place
        assert found_in(ratings) == {"order": partly}
    del ratings[5]["order"]
    assert found_in(ratings) == {"order": partly}
    summary, _ = summarise(ratings)
    said = "The order of rating is recorded for 119 of 120 ratings: not looked at."
    assert next(sentences.cautions(summary)).startswith(said)
    for rating in ratings:  # recorded of none
        rating["order"] = None
    assert found_in(ratings) == {}
