"""Judge against humans: from rating files to the table, with made ratings whose agreement is
known."""

import json

import numpy as np
import pytest

from act.forms import score
from act.statistics.agreement import icc
from act.statistics.judges import as_table, compare, items, levels


def rating(session, rater, act_fm, tes, replicate=0, **more):
    record = {
        "session": session,
        "condition": "sft",
        "profile": session.split("/")[1],
        "rater": rater,
    }
    record |= {
        "replicate": replicate,
        "act_fm": list(act_fm),
        "tes": list(tes),
        "status": "ok",
        "attempts": 1,
    }
    return record | more


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
    assert "Caution: the intervals stand on 9 sessions" in lines[-1]
    human, judge = made(10)
    rows = compare(human, judge, "", 50, 0)
    assert not any("Caution" in line for line in as_table(rows, "session"))
    assert found(rows, "tes_mean", "humans", "absolute bias")["ci"] is None


def test_known_bias_and_agreement():
    human, judge = made()
    rows = compare([r for r in human if r["rater"] == "anna"], judge, "", 200, 0)
    for scores in ("", ", low scores", ", middle scores", ", high scores"):
        assert found(rows, "tes_mean", "judge", f"bias{scores}")["estimate"] == pytest.approx(1)
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
    assert each["absolute bias"]["estimate"] == pytest.approx(1)


def test_humans_among_themselves_in_the_rows_of_judge_and_human_and_a_session_one_of_them_missed():
    human, judge = made()
    totals = [
        [score(r["act_fm"], r["tes"])["act_fm_total"] for r in human[i : i + 2]]
        for i in range(0, 60, 2)
    ]
    table = np.array(totals)
    rows = compare(human, judge, "", 0, 0)
    expected = icc(table, np.ones((1, 30)), True)[0]
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
    assert kinds["humans"] - kinds["judge, each human"] == {(of, "alpha") for _, of in items()}
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


def test_bias_by_level_is_flat_where_both_only_err_and_equal_scores_stay_together():
    """Two raters of one truth who both err by as much, and neither is biased: by the human's score
    alone the judge would seem milder at the low end than at the high one, by regression to the
    mean."""
    draw = np.random.default_rng(0)
    truth = draw.normal(0, 1, 3000)
    table = np.stack([truth + draw.normal(0, 1, 3000) for _ in range(2)], axis=1)
    difference = table[:, 1] - table[:, 0]
    found_here = {name: difference[there].mean() for name, there in levels(table)}
    assert all(abs(value) < 0.15 for value in found_here.values()), found_here
    order = np.argsort(table[:, 0])
    assert difference[order[:1000]].mean() - difference[order[-1000:]].mean() > 1
    tied = np.array([[1, 1]] * 5 + [[2, 2]] * 3 + [[4, 4]] * 2, float)
    parts = dict(levels(tied))
    assert [parts[name].sum() for name in ("low", "middle", "high")] == [5, 3, 2]
    assert [part.sum() for _, part in levels(np.full((4, 2), 2.0))] == [4, 0, 0]


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
    for _, of in items():  # a mean of 1 and 2, cut off to 1, would be another kappa
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


def test_the_script(script, tmp_path, refused):
    human, judge = made()
    for name, records in (
        ("h", human),
        ("j", judge),
        ("none", [rating("sft/x", "judge", [0] * 25, [1] * 9)]),
    ):
        (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    done = script(
        "judge.py", "agree", "--human", "h", "--judge", "j", "--resamples", 50, "--out", "a.json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "a.json").read_text())
    assert (
        len(done.stdout.splitlines()) == 1 + len(rows)
        and found(rows, "TES 9", "humans", "alpha")["ci"]
    )
    assert "no session that both rated" in refused(
        "judge.py", "agree", "--human", "h", "--judge", "none"
    )
    half = [r | {"act_fm_expected": [1.5] * 25} for r in judge]  # of one form alone
    (tmp_path / "half").write_text("".join(json.dumps(r) + "\n" for r in half))
    for name in ("j", "half"):
        words = ("judge.py", "agree", "--human", "h", "--judge", name)
        assert "gave no probabilities" in refused(*words, "--score", "expected")
    assert "--seed: -1 is not 0 or more" in refused(*words, "--seed", -1)
    assert "Is a directory" in refused(*words, "--out", tmp_path)
