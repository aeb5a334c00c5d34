"""Trap 20: goodbyes, role flips and verbatim repeats; and how the therapist writes: counted in
hand-made turns."""

import pytest

from act.audit.style import ECHO, STYLES, conduct, count_conduct, describe, style
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


LONG = "I lie there and work out how much sleep is left until the alarm."


def of_one(answer: str, client: str = "Hm.") -> dict[str, float]:
    return style(session((client, answer)))


def test_a_session_by_hand():
    """Four replies and a turn that failed.

    Words 12, 5, 10, 5; a question in each, and last in the first, second and fourth; the third
    has "you should", "make sure to", "don't worry" and a list; the fourth is the second. With
    "how much sleep is left until the alarm" the third repeats 8 words of the client's.
    """
    third = "Don\u2019t worry. You should:\n1. Make sure to rest\n2) Eat?\nOk."
    held = session(
        ("I am tired.", "You got up at five \u2014 e.g. to wash. And then what happened?"),
        ("I left.", "Where does *that* hurt you?"),
        (LONG, third),
        ("I left again.", "where does that hurt you ?!"),
        ("", None),
    )
    assert style(held) == {
        "words_per_reply": (12 + 5 + 10 + 5) / 4,
        "questions_per_reply": 4 / 4,
        "ends_in_question": 3 / 4,
        "advice_per_reply": 2 / 4,
        "reassurance_per_reply": 1 / 4,
        "list_share": 1 / 4,
        "repeat_share": 1 / 4,
        "echo_share": 0,
    }
    assert list(style(held)) == list(STYLES)
    held["turns"][2]["answer"] += " How much sleep is left, until the alarm."
    assert style(held)["echo_share"] == 1 / 4


def test_a_session_without_a_reply_has_no_style():
    assert style(session(("Hm.", None))) is None and style({"turns": []}) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Don\u2019t rush; it's well-being, not 3.5 points.", 7),
        ("Pain\u2014and grief -- and, e.g., shame\u2026 _now_.", 7),
        ("**Rest.**\n\n- Eat\n* Sleep\n\u2022 Walk\n10. Call", 5),
        ("In 5 minutes: 1. no list here", 7),
        ("... ?!", 0),
    ],
)
def test_words(answer, words):
    assert of_one(answer)["words_per_reply"] == words


@pytest.mark.parametrize(
    ("answer", "questions", "last"),
    [
        ("What now?", 1, True),
        ("What?! Where?? Who!? Here.", 3, False),
        ("Do you walk, e.g. at night, to calm down?  ", 1, True),
        ('You asked "why me?" and left.', 0, False),
        ("You asked \u201cwhy me?\u201d and left. Where to?", 1, True),
        ("What do you say to \u201cwhy me?\u201d", 1, True),
        ('"What is it like?"', 1, True),
        ("Is it grief? \u2014 or anger? \u2014 There is time.", 1, False),
        ("What is here? (Take your time.)", 1, False),
        ("What is here? \U0001f642", 1, True),
        ("**What is here?**\nand where?", 2, True),
        ("I wonder what is here.", 0, False),
        ("What?Where?why?", 2, True),
    ],
)
def test_questions(answer, questions, last):
    found = of_one(answer)
    assert (found["questions_per_reply"], found["ends_in_question"]) == (questions, last)


@pytest.mark.parametrize(
    ("answer", "is_list"),
    [
        ("Two things:\n1. Rest\n2. Eat", True),
        ("1) Rest\n\n2) Eat", True),
        ("  - Rest\n  - Eat", True),
        ("\u2022Rest\n\u2022 Eat", True),
        ("* **Rest**\n* Eat", True),
        ("One thing:\n- Rest", False),
        ("**Rest.**\n**Eat.**", False),
        ("1. Rest 2. Eat", False),
        ("I hear you \u2014\n\u2014 and I stay.", False),
        ("2024 was hard.\n2025. You left.", False),
    ],
)
def test_lists(answer, is_list):
    assert of_one(answer)["list_share"] == is_list


def test_an_echo_is_a_run_of_eight_words_of_the_turn_just_answered():
    """Case, punctuation and the kind of apostrophe do not matter; one word less is none."""
    run = LONG.split()[:ECHO]  # I lie there and work out how much
    assert len(run) == ECHO == 8
    assert of_one(f"So: {' '.join(run).upper()}!", LONG)["echo_share"] == 1
    assert of_one(f"So {' '.join(run[1:])}?", LONG)["echo_share"] == 0
    assert of_one("I\u2019m so, so tired of all of this.", "I'm so so tired of all OF this")[
        "echo_share"
    ]
    held = session((LONG, "Mm."), ("Hm.", LONG))  # an earlier turn's words
    assert style(held)["echo_share"] == 0


def test_a_repeat_is_of_an_earlier_reply_and_not_of_the_client():
    held = session(("Where?", "Where?"), ("Here.", "where \u2026"), ("Yes.", "Here."))
    assert style(held)["repeat_share"] == 1 / 3 and conduct(held)["repeats"] == 3


LABELLED = """
    2 0 It is a lot. I'd suggest starting a journal. You might also want to try a short walk.
    3 0 It's important to remember that you're not alone. Try to breathe, and make sure to sleep.
    0 4 Don\u2019t worry, everything will be okay! You'll get through this, I promise.
    1 0 It's understandable that you feel overwhelmed. Have you considered talking to your manager?
    2 0 Here are a few things you can try: breathe, walk, call. Remember to be gentle with yourself.
    0 0 What shows up in your body when the thought that you should be stronger comes by?
    0 0 You don't have to like it. Would you be willing to try to make some room, for a moment?
    3 0 I recommend that you see a doctor. It would be helpful to keep a diary. Start by noting it.
    0 3 There's nothing to be afraid of. Things will get better, and this too shall pass.
    3 0 You should set boundaries. You need to tell her no, and you must not feel guilty.
    0 0 When you try to push it away, what happens? What does your mind tell you you must do next?
    2 0 Why don't you start with five minutes? If I were you, I'd do it in the morning.
    0 0 You must be exhausted. I can hear how hard you try to keep it together.
    0 3 Stay positive! Look on the bright side: it could be worse.
    3 0 Consider taking a day off. It can also help to talk. One thing you could do is write to her.
    0 0 Let's try something. Notice the chair under you. What do you notice?
    3 0 The best thing to do is rest. Be sure to eat, and don't forget to drink water.
    0 2 I'm sure you'll feel better soon. You're going to be just fine.
    0 0 Your sister says you should be over it by now. What is it like to hear that?
    2 0 Perhaps you could practise self-compassion, and how about setting a small goal?
    0 0 It's going to be hard, and it will be okay to cry. Is it important to you that he knows?
    0 1 Your feelings are valid. I'm confident that things will work out in the end.
    1 0 We don't worry when it gets better. You shouldn't blame yourself.
    1 0 What have you tried? Have you tried to sleep? Have you tried tea?
    1 0 You can start by taking a walk. We could start by breathing. You should be proud of that.
    0 0 I won't try to talk you out of it. I remember that you wanted to make sure she was safe.
    0 0 What do you need to hear right now? Do you need to stop? Why do you need to be sure?
    0 0 Rest whenever you need to. I keep in mind what you said. You work hard and try to please.
    0 0 Does he say it's better to wait? They could try to help. You said it gets better.
    4 0 I really think you should rest. I'd say you need to. This time you must. You can try tea.
    3 0 I do think it's important to eat. You should sit and try. You can keep in mind he is old.
    0 3 I think you'll be fine. You know it'll be okay. I told her: things will get better.
"""


@pytest.mark.parametrize("line", LABELLED.strip().splitlines())
def test_advice_and_reassurance_as_labelled_by_hand(line):
    """Each reply's set phrases of advice and of reassurance, counted by a reader.

    Of 30 others, labelled before the list was run on them, it found 17 of 26 pieces of advice and
    11 of 17 of reassurance, and one that was none; some that it missed were then added.
    """
    advice, reassurance, answer = line.strip().split(" ", 2)
    found = of_one(answer)
    wanted = (int(advice), int(reassurance))
    assert (found["advice_per_reply"], found["reassurance_per_reply"]) == wanted


def test_how_many_fresh_sentences_are_read_right():
    """As it is: 29 of 40 pieces of advice and reassurance are found, and 3 of 40 others counted.

    When they were labelled, before questions and what others say were excepted, these were 28 and
    27. The exceptions were written with every other sentence in view; of the 20 others that were
    not, they leave 2 counted. What is missed is mostly a bare order ("Tell your sister").
    """
    lines = (ROOT / "tests/style_sentences.txt").read_text().splitlines()
    given = {"+": [], "-": []}  # label -> phrases counted, by sentence
    for mark, answer in (line.split(" ", 1) for line in lines if line[:1] in ("+", "-")):
        found = of_one(answer)
        given[mark].append(found["advice_per_reply"] + found["reassurance_per_reply"])
    assert len(given["+"]) == len(given["-"]) == 40
    assert given["+"].count(1) == 29 and given["+"].count(0) == 11
    assert given["-"].count(0) == 37


def test_the_bundled_replies_hardly_advise():
    """Good replies of the bundled sessions: at most one set phrase in fifty replies; one echo."""
    found = [style(held) for held in read_jsonl(ROOT / "act/dialogue/corpus/sessions.jsonl")]
    means = {name: sum(one[name] for one in found) / len(found) for name in STYLES}
    assert means["advice_per_reply"] <= 0.02 and means["reassurance_per_reply"] <= 0.02
    assert means["echo_share"] == pytest.approx(1 / 192)  # 12 turns each
    assert 60 < means["words_per_reply"] < 70 and means["list_share"] == 0
