"""Clients, raters, pairs and conditions whose names differ only in what nobody means to differ: one
line of warning that shows both, wherever records come in.
"""

import json

import pytest

from act.records import InputError
from act.statistics.names import letters, warn_alike
from act.statistics.preferences import read_preferences
from act.statistics.ratings import read_ratings, read_sessions
from tests.made_ratings import make_ratings, make_session, write
from tests.test_agreement import as_spreadsheet
from tests.test_preferences import record

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


def named(rating, profile):
    return rating | {"profile": profile, "session": f"{rating['condition']}/{profile}"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna", "anna "),
        ("Anna Maria", "annamaria"),
        (COMPOSED, DECOMPOSED),
        ("STRASSE", "straße"),
        ("p\u00a01", "P1"),
        ("Ben\u200b", "ben"),
        ("\uff30\uff11", "p1"),
        ("\u0130", "i\u0307"),
    ],
)
def test_trap_35_names_that_are_one(one, other):
    assert letters(one) == letters(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("p1", "p11"), ("Ana", "Anna"), ("Jose", COMPOSED), ("a-b", "ab"), ("1", "l")],
)
def test_names_that_are_two(one, other):
    assert letters(one) != letters(other)


SAID = "differ only in case, spaces or Unicode form, and count as several"


def test_trap_35_one_line_with_both_spellings(capsys):
    warn_alike("r.jsonl", "client", ["ben", "anna ", "Anna", "anna ", "cem"])
    assert capsys.readouterr().err == f'warning: r.jsonl: clients "Anna" and "anna " {SAID}\n'
    warn_alike("r.jsonl", "client", [DECOMPOSED, COMPOSED])  # they look the same
    both = '"Jose\\u0301" and "Jos\\u00e9"'
    assert capsys.readouterr().err == f"warning: r.jsonl: clients {both} {SAID}\n"
    warn_alike("r.jsonl", "client", ["Élan", "élan"])  # these do not
    assert 'clients "Élan" and "élan" ' in capsys.readouterr().err
    warn_alike("r.jsonl", "client", [f"{p}{i}" for p in "pP" for i in range(3)])
    assert capsys.readouterr().err.endswith(f'"P0" and "p0" {SAID}; 2 more such clients\n')
    warn_alike("r.jsonl", "client", [f"{p}{i}" for p in "pP" for i in range(2)])
    assert capsys.readouterr().err.endswith(f'"P0" and "p0" {SAID}; 1 more such client\n')
    warn_alike("r.jsonl", "client", ["p1", "p1", "p2"])
    assert capsys.readouterr().err == ""


def test_trap_35_wherever_records_come_in(tmp_path, capsys):
    ratings = make_ratings(3)
    ratings[4] = named(ratings[4], "P00 ") | {"rater": "Mistral-Judge"}
    path = write(tmp_path / "r.jsonl", ratings)
    assert len(read_ratings(path, "integer")) == 18
    two = f'warning: {path}: clients "P00 " and "p00" {SAID}\n'
    two += f'warning: {path}: raters "Mistral-Judge" and "mistral-judge" {SAID}\n'
    assert capsys.readouterr().err == two
    as_spreadsheet(tmp_path / "r.csv", ratings)  # whose cells' spaces are nothing
    read_ratings(tmp_path / "r.csv", "integer")
    assert f'r.csv: clients "P00" and "p00" {SAID}\n' in capsys.readouterr().err
    sessions = [make_session("sft", 1), make_session("orpo", 1)]
    sessions[1] |= {"id": "orpo/P01", "profile": sessions[1]["profile"] | {"id": "P01"}}
    path = write(tmp_path / "s.jsonl", sessions)
    read_sessions(path, [])
    assert capsys.readouterr().err == f'warning: {path}: clients "P01" and "p01" {SAID}\n'
    path = write(tmp_path / "p.jsonl", [record(pair="a"), record(pair="A", condition="orpo")])
    read_preferences(path)
    assert capsys.readouterr().err == f'warning: {path}: pairs "A" and "a" {SAID}\n'


def test_trap_35_an_unknown_condition_is_refused_beside_the_known_ones(tmp_path):
    bad = make_ratings(1)
    bad[2] |= {"condition": "SFT", "session": "SFT/p00"}
    with pytest.raises(InputError, match='"SFT"; the six are instruct, instruct-cot, sft, '):
        read_ratings(write(tmp_path / "r.jsonl", bad), "integer")


def test_trap_35_people_and_judge_who_spell_a_client_differently(
    tmp_path, run, monkeypatch, capsys
):
    """And those who are tuned on: their sessions would be left out without a word."""
    judge = make_ratings(3)
    human = [r | {"rater": "anna"} for r in judge]
    human[0] = named(human[0], "P00")
    human[1] |= {"condition": "SFT", "session": "SFT/p01"}
    write(tmp_path / "h.jsonl", human)
    write(tmp_path / "j.jsonl", judge)
    write(tmp_path / "s.jsonl", [make_session("instruct", 0), make_session("sft", 0)])
    heard = []
    monkeypatch.setattr("sys.stderr.write", heard.append)
    run("judge.py", "agree", "--human", "h.jsonl", "--judge", "j.jsonl", "--resamples", 9)
    assert f'h.jsonl and j.jsonl: clients "P00" and "p00" {SAID}' in "".join(heard)
    assert f'h.jsonl and j.jsonl: conditions "SFT" and "sft" {SAID}' in "".join(heard)
    heard.clear()
    files = ("--sessions", "s.jsonl", "--human", "h.jsonl", "--out", "d.jsonl")
    run("judge.py", "tune-data", *files)
    assert f'h.jsonl and s.jsonl: clients "P00" and "p00" {SAID}' in "".join(heard)
    assert json.loads((tmp_path / "d.jsonl").read_text().splitlines()[0])
