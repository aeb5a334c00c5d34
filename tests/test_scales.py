"""Cronbach's alpha and Feldt's interval against published numbers, and by hand; shares at a scale's
ends; scales on which nothing, or hardly anything, varies: what is said of them, and what is not.
"""

import csv
import html
import json
import warnings

import numpy as np
import pytest

from act.forms import OUTCOMES
from act.records import CONDITIONS
from act.report import sentences
from act.statistics import analysis
from act.statistics.bootstrap import icc_interval
from act.statistics.ratings import score_sessions
from act.statistics.scales import (
    SCALES,
    alike,
    at_ends,
    consistency,
    cronbach,
    feldt,
    goes_beyond,
    mean_squares,
    piled,
)
from tests.conftest import ROOT
from tests.made_ratings import make_ratings, write

CEILING = ROOT / "tests/cases/ceiling.csv"  # 60 sessions; 97 of 100 ratings are the highest
# Ten items by fifteen people: real-statistics.com, "Cronbach's alpha"; also pingouin's data set
# cronbach_alpha, of which its tests say .592, interval .195 to .840.
TEN_ITEMS = """
    357261426544564 243452345432553 465363545653655 135354335422245 456242571355323
    514245226533321 123242125324213 453663242132442 356675463743463 255352352214554
"""
TEN_ITEMS = np.array([list(map(float, row)) for row in TEN_ITEMS.split()]).T


def test_feldts_interval_against_published_numbers():
    """Evans (psyctc.org; MRC CBU statistics wiki, "R code ... for Cronbach's alpha"): alpha .913 of
    20 items and 873 people, .9044024 to .9211588. Another of his: .82, 213, 7: .78 to .85."""
    assert feldt(0.913, 873, 20) == pytest.approx([0.9044024, 0.9211588], abs=5e-8)
    assert [round(end, 2) for end in feldt(0.82, 213, 7)] == [0.78, 0.85]


def test_alpha_of_ten_items():
    found = cronbach(TEN_ITEMS)
    assert (found["n"], found["items"], found["constant"]) == (15, 10, 0)
    assert found["alpha"] == pytest.approx(0.5917188, abs=5e-8)
    assert [round(end, 3) for end in found["ci"]] == [0.195, 0.840] and found["refused"] is None


def test_alpha_by_hand():
    """Three forms, two items (0, 1), (2, 2), (1, 3): item variances 1 and 1, sums 1, 4, 4 with
    variance 3; 2 x (1 - 2/3) = 2/3. In mean squares: rows 3/2, error 1/2. F(2, 2) at 97.5% is 39,
    and 1/39 at 2.5%, since the distribution function is f / (1 + f): 1 - 39/3 to 1 - 1/117."""
    x = np.array([[0, 1], [2, 2], [1, 3]], float)
    msr, msc, mse = (part[0] for part in mean_squares(x, np.ones((1, 3))))
    assert [msr, msc, mse] == pytest.approx([1.5, 1.5, 0.5])
    found = cronbach(x)
    assert found["alpha"] == pytest.approx(2 / 3)
    assert found["ci"] == pytest.approx([-12, 116 / 117])


def test_alpha_equals_its_first_formula_and_the_interval_moves_with_it():
    draw = np.random.default_rng(0)
    for k in (3, 4, 9):
        x = draw.normal(0, 1, (20, 1)) + draw.normal(0, 1, (20, k))
        alpha = k / (k - 1) * (1 - x.var(axis=0, ddof=1).sum() / x.sum(axis=1).var(ddof=1))
        found = cronbach(x)
        assert found["alpha"] == pytest.approx(alpha, abs=1e-12)
        assert found["ci"][0] < alpha < found["ci"][1] < 1


def test_trap_35_alphas_that_are_negative_or_undefined():
    against = np.array([[0, 3], [1, 2], [2, 1], [3, 1]], float)
    found = cronbach(against)  # variances 5/3, 11/12; sums 3, 3, 3, 4 of variance 1/4
    assert found["alpha"] == pytest.approx(2 * (1 - (5 / 3 + 11 / 12) / (1 / 4)))
    assert found["ci"][1] < 0.8 and found["refused"] is None
    cancel = cronbach(np.array([[0, 3], [1, 2], [2, 1]], float))
    assert (cancel["alpha"], cancel["ci"]) == (None, None)
    assert cancel["refused"] == "the sum of the items never varies"
    assert cronbach(np.full((9, 3), 2.0)) == cancel | {"n": 9, "items": 3, "constant": 3}
    assert cronbach(np.full((7, 3), 1.1))["refused"] == cancel["refused"]  # by rounding, too
    alone = cronbach(np.array([[1.0, 2.0]]))
    assert (alone["alpha"], alone["refused"]) == (None, "1 form only")
    one = cronbach(np.repeat([[1.0], [5.0], [7.0], [2.0]], 9, axis=1))
    assert one["alpha"] == pytest.approx(1) and one["ci"] is None
    assert one["refused"] == "the items move as one: no error to judge by"
    flat = cronbach(np.column_stack([TEN_ITEMS[:, :9], np.full(15, 4.0)]))
    assert flat["constant"] == 1 and flat["alpha"] < cronbach(TEN_ITEMS[:, :9])["alpha"]


def test_alphas_are_of_each_rater_and_each_scale_and_of_the_first_replicate():
    ratings = make_ratings(6, rater="anna", replicates=2) + make_ratings(4, rater="ben", seed=1)
    ratings[1]["status"] = "form"  # a second replicate that failed, and a first one
    ratings[2] |= {"status": "form", "act_fm": None, "tes": None}
    rows = consistency(ratings[::-1], "")
    assert [row["rater"] for row in rows] == ["anna"] * 9 + ["ben"] * 9
    assert [row["outcome"] for row in rows[:9]] == list(SCALES)
    assert set(SCALES) == set(OUTCOMES) - {"act_fm_total", "act_fm_inconsistency"}
    assert [row["items"] for row in rows[:9]] == [9, 4, 3, 3, 3, 3, 3, 3, 3]
    assert [row["n"] for row in rows[::9]] == [36, 24]
    first = [r for r in ratings if r["rater"] == "anna" and r["replicate"] == 0]
    first[1] = ratings[3]  # the other replicate of the session whose first one failed
    assert rows[0]["alpha"] == pytest.approx(
        cronbach(np.array([r["tes"] for r in first], float))["alpha"], abs=1e-12
    )
    stance = np.array([r["act_fm"][:4] for r in first], float)  # items 1 to 4
    assert rows[1]["outcome"] == "stance_consistent"
    assert rows[1]["alpha"] == pytest.approx(cronbach(stance)["alpha"], abs=1e-12)
    expected = consistency(ratings, "_expected")[0]
    assert expected["alpha"] != pytest.approx(rows[0]["alpha"], abs=1e-3)


def test_shares_at_the_ends():
    assert at_ends(np.array([36, 36.0, 0, 12]), "act_fm_total") == {"floor": 0.25, "ceiling": 0.5}
    nearly = np.array([7 - 1e-12, 6.99, 1])  # a mean of sevens, by rounding
    assert at_ends(nearly, "tes_mean") == {"floor": 1 / 3, "ceiling": 1 / 3}
    assert at_ends(nearly, "preference") == {"floor": None, "ceiling": None}
    # how the therapists speak: a count has no highest value, a share lies between 0 and 1
    assert at_ends(np.array([0, 0, 0, 1.0]), "words_per_reply") == {"floor": 0.75, "ceiling": None}
    assert at_ends(np.array([0, 0, 0, 1.0]), "list_share") == {"floor": 0.75, "ceiling": 0.25}
    below, above = ({"sft": {"ci_satterthwaite": ci}} for ci in ([-0.01, 0.5], [0.5, 1.01]))
    assert goes_beyond(below, "words_per_reply") and not goes_beyond(above, "words_per_reply")
    assert goes_beyond(below, "list_share") and goes_beyond(above, "list_share")
    assert not goes_beyond({"sft": {"ci_satterthwaite": [0.0, 1.0]}}, "list_share")
    seen = {"sft": {"floor": 0.15, "ceiling": 0.1}, "orpo": {"floor": 0.1499, "ceiling": None}}
    assert piled(seen) == {"floor": {"sft": 0.15}}
    beyond = {"sft": {"ci_satterthwaite": [5.9, 7.01]}}
    assert goes_beyond(beyond, "tes_mean") and not goes_beyond(beyond, "open_consistent")
    assert not goes_beyond(None, "tes_mean") and not goes_beyond(beyond, "preference")
    assert alike(np.array([3.0] * 9 + [2])) == "9 of 10 values are the same"
    assert alike(np.array([3.0] * 8 + [2, 1])) is None


@pytest.fixture(scope="module")
def ceiling(run_script_in, tmp_path_factory):
    """analyze.py on ratings of which nearly all are the highest."""
    folder = tmp_path_factory.mktemp("ceiling")
    words = ("--ratings", CEILING, "--resamples", 300, "--out", "r")
    done = run_script_in(folder, "analyze.py", *words)
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "r/summary.json").read_text())
    page = (folder / "r/report.html").read_text()
    return folder / "r", summary, page, done.stderr


def test_trap_35_a_ceiling_is_said_and_no_interval_that_tells_nothing_is_shown(ceiling):
    _, summary, page, stderr = ceiling
    assert stderr == ""
    tops = {
        name: seen["ceiling"] for name, seen in summary["outcomes"]["tes_mean"]["observed"].items()
    }
    assert tops == dict(zip(CONDITIONS, (0.7, 0.9, 0.5, 0.8, 0.9, 0.8), strict=True))
    for name in OUTCOMES:
        icc = summary["outcomes"][name]["icc"]
        assert (icc["ci"] is None) == (icc["refused"] is not None)
        assert icc["ci"] not in ([0, 0], [0, 1])
    aware = summary["outcomes"]["aware_consistent"]["icc"]
    assert aware["ci"] is None and aware["refused"] == "58 of 60 values are the same"
    assert "no interval of the ICC: 58 of 60 values are the same" in page
    said = list(sentences.cautions(summary))
    assert (
        "TES empathy: of the sessions instruct 70%, instruct-cot 90%, sft 50%, sft-cot 80%, orpo "
        "90% and orpo-cot 80% have the highest score that the scale has. How far above it they "
        "would lie, nobody can see."
    ) in said
    (beyond,) = [line for line in said if "goes beyond" in line]
    over = [
        name
        for name in OUTCOMES
        for mean in [summary["outcomes"][name]["emm"]]
        if any(row["ci_satterthwaite"][1] > OUTCOMES[name].high for row in mean.values())
    ]
    assert "act_fm_total" in over
    assert beyond.startswith("In 11 of 11 rated outcomes 15% or more of some condition's sessions")
    assert f"and in {len(over)} of 11 a mean's 95% interval goes beyond it" in beyond
    assert "Share of the sessions with the lowest" in page


def test_trap_35_the_ends_of_all_measures_of_style_are_one_sentence():
    """Two below 0, one of them with half of its sessions there, one within; one rated outcome has
    an interval beyond its scale: "1 of 1"; preferences have no ends."""

    def entry(floor, ci):
        seen = {"floor": floor, "ceiling": None}
        return {"observed": {"sft": seen}, "emm": {"sft": {"ci_satterthwaite": ci}}}

    outcomes = {"preference": entry(None, [-2, 3]), "tes_mean": entry(0.0, [6, 7.1])}
    assert list(sentences.scales({"outcomes": {}, "cronbach": []})) == []
    outcomes["words_per_reply"] = entry(0.0, [1, 90])
    outcomes |= {"list_share": entry(0.5, [-0.1, 0.2]), "echo_share": entry(0.1, [-0.1, 1])}
    rated, style = sentences.scales({"outcomes": outcomes, "cronbach": []})
    assert rated.startswith("In 0 of 1 rated outcomes 15%")
    assert "and in 1 of 1 a mean's 95% interval goes beyond it, where no score can be" in rated
    assert style.startswith("How the therapists speak: in 1 of 3 measures 15% or more")
    assert "and in 2 of 3 a mean's 95% interval goes beyond it, where nothing can be" in style
    del outcomes["tes_mean"], outcomes["list_share"], outcomes["echo_share"]
    assert list(sentences.scales({"outcomes": outcomes, "cronbach": []})) == []


def test_trap_35_alpha_of_a_ceiling_has_no_interval_and_is_no_halo(ceiling):
    folder, summary, page, _ = ceiling
    with open(folder / "cronbach.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == list(SCALES)
    assert rows[0]["refused"] == "524 of 540 values are the same" and rows[0]["ci_low"] == ""
    assert float(rows[0]["alpha"]) == summary["cronbach"][0]["alpha"]
    assert "halo" not in " ".join(sentences.cautions(summary))
    assert "Cronbach&#x27;s alpha" in page and "Feldt" in page


def test_p_values_are_said_to_be_adjusted_within_an_outcome(ceiling):
    _, summary, _, _ = ceiling
    line = "ACT-FM consistency and TES empathy: p-values are adjusted for all pairs within an "
    line += "outcome, not for there being 2 outcomes."
    assert line in sentences.cautions(summary)
    one = {"tes_mean": summary["outcomes"]["tes_mean"]}
    assert not [s for s in sentences.sample(summary | {"outcomes": one}) if "within an" in s]


def test_trap_35_a_halo_is_said(tmp_path, run, capsys):
    """A rater who gives all nine items of the TES the same number, but for one here and there."""
    ratings = make_ratings(8, rater="anna")
    draw = np.random.default_rng(0)
    for rating in ratings:
        rating["tes"] = [int(draw.integers(1, 8))] * 9
        rating["tes"][int(draw.integers(9))] = int(draw.integers(1, 8))
    write(tmp_path / "r.jsonl", ratings)
    run("analyze.py", "--ratings", "r.jsonl", "--resamples", 50, "--out", "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    row = summary["cronbach"][0]
    assert row["alpha"] > 0.95 and row["ci"][0] < row["alpha"] < row["ci"][1]
    (line,) = [line for line in sentences.cautions(summary) if "halo" in line]
    low, high = row["ci"]
    said = f"alpha of {row['alpha']:.3f} (95% interval {low:.3f} to {high:.3f})"
    assert line.startswith("The TES of anna has a Cronbach's") and said in line
    assert "its interval by Feldt's F" in html.unescape((tmp_path / "out/report.html").read_text())
    printed = run("judge.py", "agree", "--human", "r.jsonl", "--judge", "r.jsonl", "--resamples", 9)
    assert f"Caution: the TES of anna has an alpha of {row['alpha']:.3f}: likely one" in printed


@pytest.mark.parametrize("seed", range(12))
def test_trap_35_constant_and_nearly_constant_scales_give_no_warning(seed):
    """Small designs, sessions missing at random, one rater or two, all ratings the highest but one
    in a hundred: strict JSON, no warning, no interval that is [0, 0] or [0, 1]."""
    rng = np.random.default_rng(seed)
    ratings = []
    for rating in make_ratings(int(rng.integers(1, 9)), replicates=1 + seed % 2, seed=seed):
        act_fm, tes = np.full(25, 3), np.full(9, 7)
        act_fm[rng.random(25) < 0.01 * (seed % 3)] = 2
        tes[rng.random(9) < 0.01 * (seed % 3)] = 6
        rating |= {"act_fm": act_fm.tolist(), "tes": tes.tolist(), "rater": "ab"[rng.integers(2)]}
        ratings += [rating] if rng.random() < 0.8 else []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_sessions(ratings, "integer", "r")
        held = dict.fromkeys(OUTCOMES, scores)
        inputs = {"score": "integer", "resamples": 50, "seed": 0, "sessions": None}
        summary = analysis.summarise(ratings, None, held, inputs)
    json.dumps(summary, allow_nan=False)
    for result in summary["outcomes"].values():
        assert not result["icc"] or result["icc"]["ci"] not in ([0, 0], [0, 1])
        assert not result["icc"] or (result["icc"]["ci"] is None) == bool(result["icc"]["refused"])


def test_trap_35_an_icc_without_interval_says_why():
    """Two clients, of whom a resample in two has but one; and all scores but three the same."""
    ratings = make_ratings(2)
    scores = score_sessions(ratings, "integer", "r")
    assert icc_interval(*scores.data("tes_mean"), 100, 0) is None
    icc = analysis.analyse(scores, "tes_mean", 100, 0)["icc"]
    assert (icc["ci"], icc["refused"]) == (None, "too few clients for a bootstrap")
    assert analysis.analyse(scores, "tes_mean", 0, 0)["icc"]["refused"] is None  # none was asked
    ratings = [rating | {"tes": [7] * 9} for rating in make_ratings(10)]
    for i in (3, 22, 40):
        ratings[i]["tes"] = [6] + [7] * 8
    nearly = analysis.analyse(score_sessions(ratings, "integer", "r"), "tes_mean", 100, 0)["icc"]
    assert (nearly["ci"], nearly["refused"]) == (None, "57 of 60 values are the same")


def test_trap_35_an_icc_interval_that_reads_0_to_1_is_none():
    """12 clients who met some of 5 conditions: 0 to 0.99999999 reads "0.00 to 1.00"."""
    rng = np.random.default_rng(20)
    cluster, condition = np.nonzero(rng.random((12, 5)) < 0.3)
    X = np.equal.outer(condition, np.arange(5)).astype(float)
    y = rng.normal(size=len(cluster)) + rng.normal(size=12)[cluster]
    ci = icc_interval(X, y, cluster, 200, 0)
    assert [round(end, 2) for end in ci] == [0, 1]
    said = "it would span all that is possible, 0.00 to 1.00"
    assert analysis.tells_nothing(ci) == said
    assert analysis.tells_nothing([0.0, 0.0049]) == "it would read 0.00 to 0.00, nothing but 0"
    assert analysis.tells_nothing(None) == "too few clients for a bootstrap"
    assert analysis.tells_nothing([0.0, 0.0051]) is analysis.tells_nothing([0.01, 1.0]) is None
