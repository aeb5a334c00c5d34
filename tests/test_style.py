"""Trap 20: goodbyes, role flips and verbatim repeats, counted in hand-made turns."""

import pytest

from act.audit.style import conduct, count_conduct, describe
from act.records import read_jsonl
from tests.conftest import ROOT


def session(*turns):
    return {"turns": [{"client": client, "answer": answer} for client, answer in turns]}


def test_trap_20_one_of_each():
    held = session(
        ("I don't know. It hurts.", "Where does it hurt?"),
        ("Everywhere. Bye, see you next week.", "I am here."),
        ("i don\u2019t know -- it HURTS", "Where does it hurt?"),  # both repeat themselves
        ("As your therapist, I suggest a walk.", None),
        ("", None),
    )
    held["turns"][1]["out_of_form"] = 1  # a reply that was asked for again
    held["turns"][3]["out_of_form"] = 2
    assert conduct(held) == {"goodbyes": 1, "role_flips": 1, "repeats": 2, "out_of_form": 3}
    assert count_conduct([held, held]) == {
        "goodbyes": 2,
        "role_flips": 2,
        "repeats": 4,
        "out_of_form": 6,
    }
    assert (
        describe([held])
        == "client's goodbyes 1, role flips 1, verbatim repeats 2, replies out of form 3"
    )


@pytest.mark.parametrize(
    "words",
    [
        "Okay, goodbye then.",
        "Thanks for the session!",
        "Let's end this session.",
        "I have to go now.",
        "Take care.",
    ],
)
def test_goodbyes(words):
    assert conduct(session((words, "Stay."))) == {
        "goodbyes": 1,
        "role_flips": 0,
        "repeats": 0,
        "out_of_form": 0,
    }
    assert conduct(session(("Stay.", words)))["goodbyes"] == 0  # the therapist may close


@pytest.mark.parametrize(
    ("client", "therapist"),
    [
        ("Therapist: What do you feel?", "Hm."),
        ("How does that make you feel?", "Hm."),
        ("I'm here to help you.", "Hm."),
        ("Hm.", "Client: I feel low."),
        ("Hm.", "You are my therapist, so tell me."),
    ],
)
def test_role_flips(client, therapist):
    said = session((client, therapist if therapist != "Hm." else "And then?"))
    assert conduct(said)["role_flips"] == 1


def test_the_bundled_transcripts_have_none():
    sessions = list(read_jsonl(ROOT / "act/dialogue/corpus/sessions.jsonl"))
    assert count_conduct(sessions) == {
        "goodbyes": 0,
        "role_flips": 0,
        "repeats": 0,
        "out_of_form": 0,
    }
