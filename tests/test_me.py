"""simulate.py --client me: a person at the keyboard, here a pipe."""

import io
import json
import sys

import pytest

from act.dialogue.chat import Ask
from act.dialogue.clients import Person, show
from act.dialogue.journal import Journal
from act.dialogue.local import LocalChat, fingerprint
from act.dialogue.prompts import TEXTS
from act.records import check_session, read_jsonl
from tests.test_again import save_drawn_adapter

DANGER = "Some days I want to kill myself."


@pytest.fixture
def talk(run, monkeypatch, folder):
    """talk(what is typed, flags...) -> what is shown."""
    words = ("simulate.py", "--client", "me", "--max-new-tokens", 8, "--out", "me.jsonl")
    monkeypatch.setenv("COLUMNS", "100")

    def talk(typed: str, *flags: object, model=folder, condition="instruct") -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        return run(*words, "--model", model, "--conditions", condition, *flags)

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


@pytest.fixture
def prompted(talk, monkeypatch):
    """prompted(flags...) -> the system prompt that the therapist was asked with, None for none, and
    what was shown."""
    asked = []
    start = LocalChat.start

    def note(chat, asks):
        asked.extend(ask.messages for ask in asks)
        start(chat, asks)

    monkeypatch.setattr(LocalChat, "start", note)

    def prompted(*flags, **more):
        asked.clear()
        shown = talk("I sleep badly.\n/end\n", *flags, **more)
        messages = asked[0]  # a CoT reply out of form is asked for again
        assert messages[-1] == {"role": "user", "content": "I sleep badly."}
        return (messages[0]["content"] if len(messages) > 1 else None), shown

    return prompted


@pytest.mark.slow
def test_you_may_give_a_system_prompt_of_your_own_or_none(prompted, tmp_path):
    """It stands in the record's settings; a CoT therapist is told the form behind it."""
    (tmp_path / "own.txt").write_text("\ufeffYou are a sailor.\n", encoding="utf-8")
    assert prompted()[0] == TEXTS["therapist"]
    assert prompted("--system", "own.txt")[0] == "You are a sailor."
    own = prompted("--system", "own.txt", condition="instruct-cot")[0]
    assert own == f"You are a sailor.\n\n{TEXTS['cot_format']}"
    assert prompted("--system", "none")[0] is None
    assert prompted("--system", "none", condition="instruct-cot")[0] is None
    held = {one["id"]: one["sampling"] for one in read_jsonl(tmp_path / "me.jsonl", check_session)}
    told = {name: sampling.get("system") for name, sampling in held.items()}
    own = "You are a sailor."
    assert told == {
        **{"instruct/me-1": None, "instruct/me-2": own, "instruct/me-3": ""},
        **{"instruct-cot/me-1": own, "instruct-cot/me-2": ""},
    }


@pytest.mark.slow
def test_you_may_talk_to_any_adapter_that_you_have_trained(prompted, tmp_path, folder):
    """Whatever the condition is called; elsewhere the conditions' own adapters are wanted."""
    save_drawn_adapter(folder, tmp_path / "mine", 1)
    prompted("--system", "none", model=f"{folder}+mine", condition="sft")
    prompted("--system", "none")
    with_mine, bare = read_jsonl(tmp_path / "me.jsonl", check_session)
    assert with_mine["models"]["therapist"] == f"{folder.resolve()}+mine"
    assert with_mine["adapters"] == {"therapist": fingerprint(tmp_path / "mine")}
    assert bare["adapters"] == {}
    assert with_mine["turns"][0]["answer"] != bare["turns"][0]["answer"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "own.txt: No such file or directory"),
        (b" \n", "own.txt: is empty; --system none asks without a system prompt"),
        (b"caf\xe9", "own.txt: not a text in UTF-8"),
    ],
)
def test_a_system_prompt_that_cannot_be_read_is_one_line(refused, folder, tmp_path, content, said):
    if content is not None:
        (tmp_path / "own.txt").write_bytes(content)
    words = ("simulate.py", "--model", folder, "--client", "me", "--conditions", "instruct")
    assert refused(*words, "--out", "me.jsonl", "--system", "own.txt") == f"error: {said}"
    assert not (tmp_path / "me.jsonl").exists()


def test_a_system_prompt_of_your_own_is_for_your_own_talks(refused, folder):
    words = ("simulate.py", "--model", folder, "--client", "c.jsonl", "--out", "s.jsonl")
    assert "--system is for --client me" in refused(*words, "--system", "none")


LONG = "What hurts most about it, when you lie awake at night and count? "
NOTICES = TEXTS["not_a_treatment"], TEXTS["crisis_notice"]


@pytest.mark.parametrize("width", [50, 72, 120])
def test_no_word_breaks_at_the_edge_of_the_terminal(monkeypatch, capsys, width):
    """All words are there, in order; of the contacts' second column none is in the first."""
    monkeypatch.setenv("COLUMNS", str(width))
    client = person(monkeypatch, b"Hm.\n")
    client.start([Ask("me", [{"role": "user", "content": LONG * 5 + "\n\nWell?"}], 0)])
    client.step()
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    heard = "/end, or Ctrl-D, ends the session. What you type is stored on this computer, in"
    said = [*NOTICES, heard, "me.jsonl.", "therapist:", LONG * 5, "Well?", "you:"]
    assert shown.split() == " ".join(said).split()
    contacts = shown.partition("now:\n")[2].partition("\nThis program")[0].splitlines()
    assert len(contacts) >= 4
    for line in contacts:
        assert line[22:24] == "  " and line[24] != " "


def test_on_a_narrow_terminal_the_second_column_begins_at_its_middle(monkeypatch, capsys):
    """And no other line has one: a list of the therapist's goes on at the edge."""
    monkeypatch.setenv("COLUMNS", "20")
    show("  US and Canada         call or text 988\n  - well-known and unknown ones")
    wrapped = ["  US and Canada", f"{'':10}call or", f"{'':10}text 988"]
    own = ["  - well-known and", "unknown ones", ""]
    assert capsys.readouterr().out.splitlines() == wrapped + own
    show("Look at https://host/a-b-c-d")
    assert "https://host/a-b-c-d" in capsys.readouterr().out
