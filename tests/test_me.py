"""simulate.py --client me: a person at the keyboard, here a pipe."""

import io
import json
import sys

import pytest

from act.dialogue.chat import Ask
from act.dialogue.journal import Journal
from act.dialogue.person import Person
from act.records import check_session, read_jsonl

DANGER = "Some days I want to kill myself."


@pytest.fixture
def talk(run, monkeypatch, folder):
    """talk(what is typed) -> what is shown."""
    words = ("simulate.py", "--model", folder, "--client", "me", "--conditions", "instruct")

    def talk(typed: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        return run(*words, "--max-new-tokens", 8, "--out", "me.jsonl")

    return talk


@pytest.mark.slow
def test_you_talk_to_the_therapist_and_are_told_what_it_is(talk, tmp_path):
    shown = talk(f"I sleep badly.\n\n  \n{DANGER}\n/end\nnever read\n")
    before, _, after = shown.partition("therapist: ")
    assert "not a therapist and not a treatment" in before
    assert "stored on this computer, in me.jsonl" in before
    # at the start, and when danger is spoken of
    assert before.count("988") == 1 and after.count("988") == 1
    assert after.index("988") < after.rindex("therapist: ")
    (session,) = read_jsonl(tmp_path / "me.jsonl", check_session)
    assert session["id"] == "instruct/me-1" and session["status"] == "complete"
    assert (tmp_path / "me.jsonl").stat().st_mode & 0o777 == 0o600
    assert [turn["client"] for turn in session["turns"]] == ["I sleep badly.", DANGER]
    assert session["turns"][0]["note"] is None and session["models"]["client"] == "a person"
    talk("Again.\n")  # the end of input ends a session too
    held = [session["id"] for session in read_jsonl(tmp_path / "me.jsonl")]
    assert held == ["instruct/me-1", "instruct/me-2"]


@pytest.mark.slow
def test_a_talk_is_its_owners_alone_while_it_lasts(talk, tmp_path, monkeypatch):
    """Its journal too, and a file that others could read before."""
    (tmp_path / "me.jsonl").touch(0o644)
    modes, add = [], Journal.add

    def seen(self, record: dict) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in (self.path, self.whole.path))
        add(self, record)

    monkeypatch.setattr(Journal, "add", seen)
    talk("One.\n/end\n")
    assert modes == [0o600, 0o600]


@pytest.mark.slow
def test_one_therapist_is_chosen(refused, folder):
    words = ("simulate.py", "--model", folder, "--client", "me", "--out", "me.jsonl")
    said = refused(*words, "--conditions", "instruct,instruct-cot")
    assert "name one condition with --conditions" in said


@pytest.mark.slow
def test_a_talk_that_is_cut_off_goes_on(talk, tmp_path):
    """A killed process leaves the turns so far; the same command shows where it was."""
    talk("One.\n/end\n")
    (session,) = read_jsonl(tmp_path / "me.jsonl", check_session)
    begun = {"id": "instruct/me-1#1", "turn": session["turns"][0]}
    begun["session"] = session | {"turns": []}
    (tmp_path / "me.jsonl").unlink()
    (tmp_path / "me.jsonl.part").write_text(json.dumps(begun) + "\n")
    assert f"therapist: {session['turns'][0]['answer']}" in talk("Two.\n/end\n")
    (session,) = read_jsonl(tmp_path / "me.jsonl", check_session)
    assert [turn["client"] for turn in session["turns"]] == ["One.", "Two."]


def person(monkeypatch, typed: bytes, in_danger=lambda text: False) -> Person:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8"))
    return Person("me.jsonl", in_danger)


def words_of(client: Person) -> list[str]:
    """What the person says until they end the session."""
    said = []
    with pytest.raises(EOFError):
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
