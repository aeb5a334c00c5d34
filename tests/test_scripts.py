"""Each script as a user runs it: the manual, a good run on a small setting, and what bad input gets."""

import json

import pytest

from act.dialogue.session import therapist_messages
from act.records import CONDITIONS, check_rating, check_session, read_jsonl
from tests.conftest import EMBEDDED, ROOT

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
SMALL = ("--turns", 1, "--max-new-tokens", 12, "--client-max-new-tokens", 6, "--format", "enforce")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate.py",), "pairs"),
        (("generate.py", "profiles"), "--seed"),
        (("generate.py", "sessions"), "--therapist"),
        (("generate.py", "pairs"), "--rejected"),
        (("train.py",), "--nll-scope"),
        (("simulate.py",), "--conditions"),
        (("judge.py",), "rate"),
        (("judge.py", "rate"), "--judge"),
    ],
)
def test_help_is_a_manual(script, words, said):
    done = script(*words, "--help")
    assert done.returncode == 0 and said in done.stdout
    flags = [line for line in done.stdout.splitlines() if line.startswith("  --")]
    assert flags or "COMMAND" in done.stdout
    assert "SUPPRESS" not in done.stdout


SIMULATE = "simulate.py --model MODEL --profiles profiles --client MODEL --out s"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("generate.py", "COMMAND"),
        ("generate.py profiles --n 0 --out p.jsonl", "0 is not 1 or more"),
        ("generate.py pairs --sessions gone --chosen transcript --rejected MODEL --out d", "gone: no such file"),
        ("generate.py pairs --sessions broken --chosen transcript --rejected MODEL --out d", "broken:1: "),
        ("generate.py sessions --profiles profiles --therapist gone --client MODEL --out s", "gone: no such folder"),
        ("generate.py sessions --profiles profiles --therapist m@http://x --client MODEL --out s", "endpoint"),
        ("train.py --method dpo --model MODEL --data broken --out a", "dpo"),
        ("train.py --method sft --model gone --data broken --out a", "gone: no such folder"),
        ("train.py --method sft --model MODEL --data broken --out a", "broken:1: "),
        (f"{SIMULATE} --conditions sft,dpo", '"dpo" is none of the conditions instruct, instruct-cot'),
        (SIMULATE, "--adapters is needed for sft, sft-cot, orpo, orpo-cot"),
        (f"{SIMULATE} --adapters .", "sft: no adapter there"),
        ("judge.py rate --sessions broken --judge MODEL --out r", "broken:1: "),
        ("judge.py rate --sessions CORPUS --judge gone --out r", "gone: no such folder"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(refused, tmp_path, command, said):
    (tmp_path / "broken").write_text('{"id": "x"\n{}\n')
    (tmp_path / "profiles").write_text('{"id": "p1", "archetype": "intellectualiser"}\n')
    places = {"MODEL": EMBEDDED, "CORPUS": CORPUS}
    assert said in refused(*(places.get(word, word) for word in command.split()))


def test_profiles_are_appended_and_not_made_twice(script, tmp_path):
    assert "3 profiles" in script("generate.py", "profiles", "--n", 3, "--out", "p.jsonl").stdout
    first = (tmp_path / "p.jsonl").read_bytes()
    assert "5 profiles" in script("generate.py", "profiles", "--n", 5, "--out", "p.jsonl").stdout
    assert (tmp_path / "p.jsonl").read_bytes().startswith(first)


@pytest.mark.slow
def test_pairs_hold_the_training_prompt_and_the_transcripts_answers(script, tmp_path):
    (tmp_path / "s.jsonl").write_text(CORPUS.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    (session,) = read_jsonl(tmp_path / "s.jsonl", check_session)
    words = ("generate.py", "pairs", "--sessions", "s.jsonl", "--chosen", "transcript", "--rejected", EMBEDDED, "--cot",
             "--format", "enforce", "--max-new-tokens", 16, "--out", "d.jsonl")  # fmt: skip
    assert "6 pairs" in script(*words).stdout
    pairs = list(read_jsonl(tmp_path / "d.jsonl"))
    for number, (pair, turn) in enumerate(zip(pairs, session["turns"], strict=True)):
        assert pair["prompt"] == therapist_messages(session["turns"][:number], turn["client"], cot=True)
        thinking, answer = pair["chosen"][0]["content"].removeprefix("Thinking: ").split("\n\nAnswer: ")
        assert (thinking, answer) == (turn["thinking"], turn["answer"])
        assert pair["rejected"][0]["content"].startswith("Thinking:")
    before = (tmp_path / "d.jsonl").read_bytes()
    (tmp_path / "d.jsonl").write_bytes(before[:-30])  # killed while it wrote the last pair
    assert "6 pairs" in script(*words).stdout
    assert (tmp_path / "d.jsonl").read_bytes() == before


@pytest.mark.slow
def test_one_session_from_profile_to_rating_twice(script, tmp_path):
    """Base conditions only; the second run of each command adds nothing."""
    for _ in range(2):
        script("generate.py", "profiles", "--n", 2, "--out", "p.jsonl")
        done = script("simulate.py", "--model", EMBEDDED, "--profiles", "p.jsonl", "--client", EMBEDDED, *SMALL,
                      "--conditions", "instruct,instruct-cot", "--out", "s.jsonl")  # fmt: skip
        assert "4 sessions in s.jsonl: 4 complete" in done.stdout, done.stderr
        done = script("judge.py", "rate", "--sessions", "s.jsonl", "--judge", EMBEDDED, "--out", "r.jsonl")
        assert "4 ratings in r.jsonl, 0 of them without forms" in done.stdout, done.stderr
    sessions = {record["id"]: record for record in read_jsonl(tmp_path / "s.jsonl", check_session)}
    assert list(sessions) == ["instruct/p001", "instruct/p002", "instruct-cot/p001", "instruct-cot/p002"]
    for record in sessions.values():
        assert record["sampling"]["therapist"] == {"temperature": 0.85, "top_p": 0.9, "max_new_tokens": 12}
        assert bool(record["turns"][0]["thinking"]) == record["condition"].endswith("-cot")
    ratings = list(read_jsonl(tmp_path / "r.jsonl", check_rating))
    assert {rating["rater"] for rating in ratings} == {"smollm2-135m-instruct"}
    for rating in ratings:
        assert all(low <= value <= high for value, low, high in [(v, 0, 3) for v in rating["act_fm_expected"]])
        assert len(set(rating["act_fm_expected"])) > 1


def test_a_judge_never_sees_condition_or_thinking_and_a_session_without_answers_is_not_rated(script, tmp_path):
    import judge

    session = json.loads(CORPUS.read_text(encoding="utf-8").splitlines()[0])
    seen = json.dumps(judge.judge_messages(session | {"condition": "orpo-cot"}))
    assert session["turns"][2]["answer"] in judge.judge_messages(session)[1]["content"]
    assert "orpo" not in seen and session["turns"][2]["thinking"] not in judge.judge_messages(session)[1]["content"]
    unanswered = session["turns"][0] | {"answer": None, "thinking": None, "status": "error"}
    record = session | {"id": "sft/c01", "condition": CONDITIONS[2], "turns": [unanswered], "status": "error"}
    (tmp_path / "s.jsonl").write_text(json.dumps(record) + "\n")
    done = script("judge.py", "rate", "--sessions", "s.jsonl", "--judge", EMBEDDED, "--out", "r.jsonl")
    assert "1 of them without forms" in done.stdout
    (rating,) = read_jsonl(tmp_path / "r.jsonl", check_rating)
    assert (rating["status"], rating["act_fm"], rating["tes"]) == ("empty", None, None)
