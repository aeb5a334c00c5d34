"""The words of the dialogues: bundled transcripts, drawn clients, hidden notes, prompts, forms."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from act import records
from act.dialogue import profiles, prompts
from act.dialogue.profiles import LISTS
from act.dialogue.prompts import TEXTS

CORPUS = Path(profiles.__file__).parent / "corpus"
SESSIONS = list(records.read_jsonl(CORPUS / "sessions.jsonl", records.check_session))
TRAIN, HELDOUT = SESSIONS[:13], SESSIONS[13:]
TURNS = [turn for session in SESSIONS for turn in session["turns"]]

# Fillers, reassurance, advice, labels and worn metaphors: a therapist of the corpus never says
# them.
STOCK_PHRASES = re.compile(
    "i hear (you|that)|sounds (really|like)|must be so hard|understandable|makes sense|"
    "thank you for|it's okay to|not alone|here for you|be gentle with|compassion|deep breath|"
    "you (should|must|need to)|you could try|have you (tried|considered)|don't worry|"
    "will be (all right|okay|fine)|bright side|positive|negative|irrational|avoidance|defusion|"
    "acceptance|mindful|leaves on a stream|passengers|quicksand|tug of war|let's|journey|"
    "safe space|suicid|self-harm|great job|well done|proud of you|coping|technique"
)


def words(text: str) -> int:
    return len(text.split())


def test_corpus_records_are_complete_bundled_sessions():
    assert [session["id"] for session in SESSIONS] == [f"transcript/c{i:02d}" for i in range(1, 17)]
    for session in SESSIONS:
        assert session["id"] == f"transcript/{session['profile']['id']}"
        assert session["condition"] == "transcript"
        assert session["status"] == "complete" and len(session["turns"]) == 12
        assert session["models"] == {"therapist": "bundled", "client": "bundled"}
        assert session["sampling"] is None and session["seed"] is None
    for turn in TURNS:
        fields = "client thinking answer status prompt_tokens response_tokens note"
        assert list(turn) == fields.split()
        assert turn["status"] == "ok"
        assert turn["prompt_tokens"] is turn["response_tokens"] is turn["note"] is None


def test_corpus_covers_archetypes_and_issues():
    """Four sessions of each archetype, every issue; the three held-out ones differ in both."""
    assert set(Counter(session["profile"]["archetype"] for session in SESSIONS).values()) == {4}
    assert {session["profile"]["archetype"] for session in TRAIN} == set(profiles.ARCHETYPES)
    assert {session["profile"]["issue"] for session in SESSIONS} == set(LISTS["issues"])
    for field in ("archetype", "issue"):
        assert len({session["profile"][field] for session in HELDOUT}) == 3


def test_corpus_profiles_have_the_fields_and_the_words_of_drawn_ones():
    fields = list(profiles.make_profiles(1, 0)[0])
    for profile in (session["profile"] for session in SESSIONS):
        assert list(profile) == fields
        symptoms, *problems = LISTS["issues"][profile["issue"]]
        assert profile["symptoms"] == symptoms and profile["problem"] in problems
        stage = LISTS["stages"][profile["age"]]
        for field in ("occupation", "event", "relationship"):
            by_stage = LISTS[f"{field}s"]
            assert profile[field] in by_stage["any"] + by_stage[stage]
        for field in ("gender", "coping", "background", "support", "style"):
            assert profile[field] in LISTS[f"{field}s"]
        assert profile["mindedness"] in LISTS["mindedness"]
        assert len(set(profile["personality"]) & set(LISTS["traits"])) == 3


def test_corpus_turns_are_neither_curt_nor_lectures():
    for turn in TURNS:
        assert 25 <= words(turn["client"]) <= 80, turn["client"]
        assert 35 <= words(turn["thinking"]) <= 65, turn["thinking"]
        assert 45 <= words(turn["answer"]) <= 110, turn["answer"]


def test_corpus_therapist_keeps_to_what_its_own_prompt_asks():
    """The prompt asks for two to five sentences and one question or invitation; a follow-up
    question is let pass."""
    for turn in TURNS:
        sentences = re.findall(r"[.?!][’'\"]?(?=\s|$)", turn["answer"])
        assert 2 <= len(sentences) <= 5, turn["answer"]
        assert turn["answer"].count("?") <= 2, turn["answer"]


def test_corpus_therapist_has_no_stock_phrases():
    for turn in TURNS:
        assert not STOCK_PHRASES.search(turn["answer"].lower().replace("’", "'")), turn["answer"]


def test_corpus_does_not_repeat_itself():
    """No run of seven words is said by therapists twice: nothing is learned as a formula."""
    runs = Counter()
    for turn in TURNS:
        said = re.findall(r"[a-zà-ÿ’']+", turn["answer"].lower())
        runs.update({" ".join(said[i : i + 7]) for i in range(len(said) - 6)})
    assert [run for run, count in runs.items() if count > 1] == []


def test_corpus_replies_survive_the_two_part_form():
    for turn in TURNS:
        text = prompts.cot_reply(turn["thinking"], turn["answer"])
        assert prompts.parse_reply(text, cot=True) == (turn["thinking"], turn["answer"])
        assert prompts.parse_reply(turn["answer"], cot=False) == (None, turn["answer"])


def test_profiles_are_deterministic_prefixed_and_balanced():
    ten = profiles.make_profiles(10, seed=3)
    assert profiles.make_profiles(150, seed=3)[:10] == ten
    assert profiles.make_profiles(10, seed=4) != ten
    assert [p["id"] for p in ten][:2] + [ten[9]["id"]] == ["p001", "p002", "p010"]
    many = profiles.make_profiles(150, seed=0)
    assert len({p["id"] for p in many}) == 150
    assert sorted(Counter(p["archetype"] for p in many).values()) == [37, 37, 38, 38]
    assert [p["archetype"] for p in many[:5]] == [*profiles.ARCHETYPES, "hopeless-skeptic"]
    assert len({tuple(map(str, p.values())) for p in many}) == 150
    assert {p["issue"] for p in many} == set(LISTS["issues"])
    for profile in many:
        records.check_profile(profile)
        assert len(set(profile["personality"])) == 3


def test_a_seed_draws_the_clients_and_notes_that_it_always_drew():
    """Of records that are there: a list that is changed, or put in another order, draws others."""
    drawn = profiles.make_profiles(200, 0)
    notes = [profiles.draw_twists(0, profile["id"], 25) for profile in drawn]
    digest = hashlib.sha256(json.dumps([drawn, notes]).encode()).hexdigest()
    assert digest.startswith("c203012ab0f833f7")


def test_nobody_is_out_of_their_stage_of_life():
    for profile in profiles.make_profiles(300, seed=1):
        others = {"young", "middle", "late"} - {LISTS["stages"][profile["age"]]}
        for stage in others:
            for field in ("occupation", "event", "relationship"):
                assert profile[field] not in LISTS[f"{field}s"][stage]


def test_twists_depend_on_seed_and_profile_only():
    for profile in ("p001", "p002", "p017"):
        long = profiles.draw_twists(0, profile, 25)
        assert profiles.draw_twists(0, profile, 25) == long
        for turns in (0, 7, 8, 12, 18):
            early = {turn: note for turn, note in long.items() if turn <= turns}
            assert profiles.draw_twists(0, profile, turns) == early
        assert len(set(long.values())) == len(long)
    drawn = [profiles.draw_twists(seed, "p001", 25) for seed in range(20)]
    assert len({str(twists) for twists in drawn}) > 10


def test_twists_and_profiles_are_the_same_in_another_process():
    """Python's hash() differs between processes; nothing here may rest on it."""
    script = "from act.dialogue.profiles import *; print(draw_twists(5, 'p003', 25))"
    script += "; print(make_profiles(3, 5))"
    seen = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    drawn = profiles.draw_twists(5, "p003", 25), profiles.make_profiles(3, 5)
    assert seen.stdout.splitlines() == list(map(str, drawn))


def test_twists_come_on_turns_8_to_18_with_probability_a_fifth():
    """2,000 profiles x 11 turns: 4,400 expected, standard deviation sqrt(22,000 * .2 * .8) = 59.3;
    3 of them here."""
    turns = Counter(turn for i in range(2000) for turn in profiles.draw_twists(0, f"p{i:03d}", 25))
    assert set(turns) == set(range(8, 19))
    assert abs(turns.total() - 4400) < 3 * 59.3
    # A turn alone: 400 expected, standard deviation 17.9; 4 of them, since there are eleven turns.
    assert all(abs(count - 400) < 4 * 17.9 for count in turns.values())


def test_every_twist_can_be_drawn_and_speaks_to_the_client():
    notes = {note for i in range(200) for note in profiles.draw_twists(0, f"p{i:03d}", 25).values()}
    assert notes == set(LISTS["twists"])
    assert all(re.search(r"\byou\b|\byour\b", note, re.IGNORECASE) for note in notes)


GOOD = {
    "plain": ("Thinking: a\n\nAnswer: b", ("a", "b")),
    "one newline": ("Thinking: a\nAnswer: b", ("a", "b")),
    "space around": ("\n  Thinking:  a \n\nAnswer:\nb \n", ("a", "b")),
    "label alone on its line": ("Thinking:\na\n\nAnswer:\nb", ("a", "b")),
    "several paragraphs": ("Thinking: a\n\na2\n\nAnswer: b\n\nb2", ("a\n\na2", "b\n\nb2")),
    "windows line ends": ("Thinking: a\r\n\r\nAnswer: b", ("a", "b")),
    "label inside a line": (
        "Thinking: the Answer: is near\n\nAnswer: b, Thinking: c",
        ("the Answer: is near", "b, Thinking: c"),
    ),
    "other letters": ("Thinking: déjà vu\n\nAnswer: ‘où?’ 🙂", ("déjà vu", "‘où?’ 🙂")),
}
BAD = {
    "empty": "",
    "blank": " \n ",
    "no labels": "What is here now?",
    "no answer": "Thinking: a",
    "answer label only in a line": "Thinking: a Answer: b",
    "no thinking": "Answer: b",
    "answer first": "Answer: b\n\nThinking: a",
    "two answers": "Thinking: a\n\nAnswer: b\n\nAnswer: c",
    "two thinkings": "Thinking: a\n\nThinking: a2\n\nAnswer: b",
    "another reply behind it": "Thinking: a\n\nAnswer: b\n\nThinking: c\n\nAnswer: d",
    "empty thinking": "Thinking:\n\nAnswer: b",
    "empty answer": "Thinking: a\n\nAnswer: ",
    "lower case": "thinking: a\n\nanswer: b",
    "upper case": "THINKING: a\n\nANSWER: b",
    "text before": "Sure!\nThinking: a\n\nAnswer: b",
    "bold": "**Thinking:** a\n\n**Answer:** b",
    "bold answer": "Thinking: a\n\n**Answer:** b",
    "heading": "# Thinking: a\n\n# Answer: b",
    "space before the colon": "Thinking : a\n\nAnswer : b",
    "indented answer": "Thinking: a\n\n  Answer: b",
    "tags": "<think>a</think>\n\nb",
    "fence": "```\nThinking: a\n\nAnswer: b\n```",
}


@pytest.mark.parametrize("name", GOOD)
def test_parse_reply_reads_the_two_part_form(name):
    text, parts = GOOD[name]
    assert prompts.parse_reply(text, cot=True) == parts


@pytest.mark.parametrize("name", BAD)
def test_parse_reply_never_guesses(name):
    assert prompts.parse_reply(BAD[name], cot=True) is None


def test_parse_reply_without_cot_takes_the_text_as_it_stands():
    assert prompts.parse_reply("  What is here now? \n", cot=False) == (None, "What is here now?")
    two_parts = "Thinking: a\n\nAnswer: b"
    assert prompts.parse_reply(two_parts, cot=False) == (None, two_parts)
    assert prompts.parse_reply(" \n", cot=False) is None


def test_therapist_prompts():
    plain, form = TEXTS["therapist"], TEXTS["cot_format"]
    assert 170 <= words(plain) <= 230 and 60 <= words(form) <= 90
    assert prompts.therapist_prompt(cot=False) == plain
    assert prompts.therapist_prompt(cot=True) == f"{plain}\n\n{form}"
    assert "Thinking:" not in plain and "emergency" in plain
    assert prompts.THINKING in form and prompts.ANSWER in form


def test_client_prompt_holds_every_field_and_no_hole():
    bundled = [session["profile"] for session in SESSIONS]
    for profile in profiles.make_profiles(56, seed=2) + bundled:
        text = prompts.client_prompt(profile)
        assert 180 <= words(text) <= 260 and not re.search(r"[{}\[\]]|\.\.|None", text)
        assert profiles.ARCHETYPES[profile["archetype"]] in text
        for field, value in profile.items():
            if field not in ("id", "archetype"):
                parts = [value] if isinstance(value, str) else value
                assert all(part in text for part in parts), field


def test_a_hidden_note_is_bracketed_and_private():
    note, (profile,) = LISTS["twists"][0], profiles.make_profiles(1, 0)
    opening, last = TEXTS["client_opening"], prompts.client_messages(profile, [], note)[-1]
    message = last["content"].removeprefix(f"{opening}\n\n")
    assert message.startswith("[") and message.endswith("]") and note in message
    assert prompts.client_messages(profile, [], None)[-1]["content"] == opening


@pytest.mark.parametrize(
    "text, verdict",
    [
        ("ACCEPT", ""),
        (" ACCEPT\n", ""),
        ("REVISE: Ask one thing only.", "Ask one thing only."),
        ("REVISE: Drop this: it lectures.", "Drop this: it lectures."),
        ("REVISE:", None),
        ("REVISE", None),
        ("accept", None),
        ("ACCEPT.", None),
        ("ACCEPT: good", None),
        ("REVISE: a\nACCEPT", None),
        ("I would ACCEPT this", None),
        ("", None),
    ],
)
def test_parse_verdict_is_strict(text, verdict):
    assert prompts.parse_verdict(text) == verdict


def test_supervisor_sees_the_session_and_the_draft():
    lines = [("client", "It hurts."), ("therapist", "Where?")]
    system, request = prompts.supervisor_messages(lines, "client", "Here.")
    assert system["content"] == prompts.supervisor_prompt("client")
    assert request["content"] == (
        "The session so far:\n\nClient: It hurts.\n\nTherapist: Where?\n\n"
        "The client's draft:\n\nHere."
    )
    assert "(nothing yet)" in prompts.supervisor_messages([], "client", "Hello.")[1]["content"]
    for speaker in ("therapist", "client"):
        assert f"draft of the {speaker}'s next turn" in prompts.supervisor_prompt(speaker)
    draft, request = prompts.revision_messages("Here.", "Ask less.")
    assert draft["content"] == "Here." and "Ask less." in request["content"]


def test_crisis_notice_names_people_to_call():
    for contact in ("emergency number", "988", "116 123", "findahelpline.com"):
        assert contact in TEXTS["crisis_notice"]
    assert "not a treatment" in TEXTS["not_a_treatment"] and "\n" not in TEXTS["not_a_treatment"]
