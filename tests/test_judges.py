"""Judge against humans: from rating files to the table, with made ratings whose agreement is known."""

import json

import numpy as np
import pytest

from act.measure.agreement import icc
from act.measure.forms import score
from act.measure.judges import compare


def rating(session, rater, act_fm, tes, replicate=0, **more):
    record = {"session": session, "condition": "sft", "profile": session.split("/")[1], "rater": rater}
    record |= {"replicate": replicate, "act_fm": list(act_fm), "tes": list(tes), "status": "ok", "attempts": 1}
    return record | more


def made(n=30, seed=0):
    """Two humans and a judge who rates each item one too high where it can, on n sessions."""
    draw = np.random.default_rng(seed)
    human, judge = [], []
    for i in range(n):
        act_fm, tes = draw.integers(0, 3, 25), draw.integers(1, 7, 9)
        human.append(rating(f"sft/p{i}", "anna", act_fm.tolist(), tes.tolist()))
        other = np.clip(act_fm + draw.integers(-1, 2, 25), 0, 3), np.clip(tes + draw.integers(-1, 2, 9), 1, 7)
        human.append(rating(f"sft/p{i}", "ben", *(x.tolist() for x in other)))
        judge.append(rating(f"sft/p{i}", "judge", (act_fm + 1).tolist(), (tes + 1).tolist()))
    return human, judge


def found(rows, of, raters, statistic):
    (row,) = [r for r in rows if (r["of"], r["raters"], r["statistic"]) == (of, raters, statistic)]
    return row


def test_known_bias_and_agreement():
    human, judge = made()
    rows = compare([r for r in human if r["rater"] == "anna"], judge, "", 200, 0)
    for third in ("", ", low third", ", middle third", ", high third"):
        assert found(rows, "tes_mean", "judge", f"bias{third}")["estimate"] == pytest.approx(1)
    assert found(rows, "act_fm_total", "judge", "bias")["estimate"] == pytest.approx(12)
    assert found(rows, "act_fm_total", "judge", "mean absolute error")["estimate"] == pytest.approx(12)
    assert found(rows, "act_fm_total", "judge", "ICC(C,1)")["estimate"] == pytest.approx(1)
    assert found(rows, "act_fm_total", "judge", "ICC(A,1)")["estimate"] < 0.3
    assert found(rows, "act_fm_total", "judge", "Spearman")["estimate"] == pytest.approx(1)
    assert found(rows, "TES 3", "judge", "exact agreement")["estimate"] == 0
    assert not [row for row in rows if row["raters"] == "humans"]  # one human has nobody to agree with


def test_humans_among_themselves_and_a_session_one_of_them_missed():
    human, judge = made()
    totals = [[score(r["act_fm"], r["tes"])["act_fm_total"] for r in human[i : i + 2]] for i in range(0, 60, 2)]
    table = np.array(totals)
    rows = compare(human, judge, "", 0, 0)
    expected = icc(table, np.ones((1, 30)), True)[0]
    assert found(rows, "act_fm_total", "humans", "ICC(A,1)")["estimate"] == pytest.approx(expected, abs=1e-12)
    gone = compare(human[:-1], judge, "", 0, 0)
    assert found(gone, "act_fm_total", "humans", "ICC(A,1)")["sessions"] == 29
    assert found(gone, "act_fm_total", "judge", "bias")["sessions"] == 30


def test_replicates_are_averaged_for_outcomes_and_the_first_is_taken_for_items():
    human, judge = made()
    again = [r | {"replicate": 1, "tes": [max(1, v - 2) for v in r["tes"]]} for r in judge]
    alone = [r for r in human if r["rater"] == "anna"]
    rows = compare(alone, again + judge, "", 0, 0)
    assert found(rows, "tes_mean", "judge", "bias")["estimate"] == pytest.approx(0, abs=0.2)
    assert found(rows, "TES 3", "judge", "exact agreement")["estimate"] == 0


def test_the_script(script, tmp_path, refused):
    human, judge = made()
    for name, records in (("h", human), ("j", judge), ("none", [rating("sft/x", "judge", [0] * 25, [1] * 9)])):
        (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    done = script("judge.py", "agree", "--human", "h", "--judge", "j", "--resamples", 50, "--out", "a.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "a.json").read_text())
    assert len(done.stdout.splitlines()) == 1 + len(rows) and found(rows, "TES 9", "humans", "alpha")["ci"]
    assert "no session that both rated" in refused("judge.py", "agree", "--human", "h", "--judge", "none")
    assert "gave no probabilities" in refused(
        "judge.py", "agree", "--human", "h", "--judge", "j", "--score", "expected"
    )
