"""simulate.py --client me: a person at the keyboard, here a pipe."""

import io
import json
import os
import subprocess
import sys

import pytest

from act.dialogue.chat import Ask
from act.dialogue.person import Ended, Person
from act.records import check_session, read_jsonl
from tests.conftest import ROOT

DANGER = "Some days I want to kill myself."


def talk(where, model, typed, *more):
    words = [
        "simulate.py",
        "--model",
        model,
        "--client",
        "me",
        "--conditions",
        "instruct",
        "--max-new-tokens",
        8,
    ]
    command = [
        sys.executable,
        str(ROOT / "simulate.py"),
        *map(str, words[1:]),
        "--out",
        "me.jsonl",
        *more,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        cwd=where,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_you_talk_to_the_therapist_and_are_told_what_it_is(tmp_path, folder):
    done = talk(tmp_path, folder, f"I sleep badly.\n\n  \n{DANGER}\n/end\nnever read\n")
    assert done.returncode == 0, done.stderr
    before, _, after = done.stdout.partition("therapist: ")
    assert (
        "not a therapist and not a treatment" in before
        and "stored on this computer, in me.jsonl" in before
    )
    assert before.count("988") == 1 and after.count("988") == 1, (
        "at the start, and when danger is spoken of"
    )
    assert after.index("988") < after.rindex("therapist: ")
    (session,) = read_jsonl(tmp_path / "me.jsonl", check_session)
    assert session["id"] == "instruct/me-1" and session["status"] == "complete"
    assert [turn["client"] for turn in session["turns"]] == ["I sleep badly.", DANGER]
    assert session["turns"][0]["note"] is None and session["models"]["client"] == "a person"
    assert talk(tmp_path, folder, "Again.\n").returncode == 0  # the end of input ends a session too
    assert [s["id"] for s in read_jsonl(tmp_path / "me.jsonl")] == [
        "instruct/me-1",
        "instruct/me-2",
    ]


@pytest.mark.slow
def test_one_therapist_is_chosen(refused, folder):
    words = (
        "simulate.py",
        "--model",
        folder,
        "--client",
        "me",
        "--out",
        "me.jsonl",
        "--conditions",
    )
    assert "name one condition with --conditions" in refused(*words, "instruct,instruct-cot")


@pytest.mark.slow
def test_a_talk_that_is_cut_off_goes_on(tmp_path, folder):
    """A killed process leaves the turns so far; the same command shows where it was."""
    talk(tmp_path, folder, "One.\n/end\n")
    (session,) = map(json.loads, (tmp_path / "me.jsonl").read_text().splitlines())
    begun = {
        "id": "instruct/me-1#1",
        "turn": session["turns"][0],
        "session": session | {"turns": []},
    }
    (tmp_path / "me.jsonl").unlink()
    (tmp_path / "me.jsonl.part").write_text(json.dumps(begun) + "\n")
    done = talk(tmp_path, folder, "Two.\n/end\n")
    assert f"therapist: {session['turns'][0]['answer']}" in done.stdout, done.stderr
    (session,) = read_jsonl(tmp_path / "me.jsonl", check_session)
    assert [turn["client"] for turn in session["turns"]] == ["One.", "Two."]


def person(monkeypatch, typed: bytes, in_danger=lambda text: False) -> Person:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8"))
    return Person("me.jsonl", in_danger)


def words_of(client: Person) -> list[str]:
    """What the person says until they end the session."""
    said = []
    with pytest.raises(Ended):
        while True:
            client.start([Ask("me", [{"role": "user", "content": "And now?"}], 0)])
            said += [reply.text for _, reply in client.step()]
    return said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            b"I caf\xe9 all day.\nAnd \xff\xfe.\n",
            ["I caf\ufffd all day.", "And \ufffd\ufffd."],
        ),  # not UTF-8
        (b"One.\n\n\n  \nTwo.\n", ["One.", "Two."]),  # a paragraph that was pasted
        (b"the end\nend\n /end \nThree.\n", ["the end", "end"]),
        (b"", []),
    ],
)
def test_a_session_ends_with_the_input_or_a_word_and_with_nothing_else(
    monkeypatch, capsys, typed, said
):
    assert words_of(person(monkeypatch, typed)) == said
    assert "/end, or Ctrl-D, ends the session" in capsys.readouterr().out
