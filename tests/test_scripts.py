"""Each script as a user runs it: the manual, a good run on a small setting, and what bad input
gets."""

import json

import pytest
import torch

from act.dialogue.profiles import make_profile
from act.dialogue.prompts import therapist_messages
from act.model.checkpoint import load_model, save_adapter
from act.model.lora import attach, lora_layers
from act.records import check_rating, check_session, read_jsonl
from tests.conftest import EMBEDDED, ROOT

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
SMALL = ("--turns", 1, "--max-new-tokens", 16, "--client-max-new-tokens", 6, "--format", "enforce")


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
        (
            "generate.py pairs --sessions gone --chosen transcript --rejected MODEL --out d",
            "gone: no such file",
        ),
        (
            "generate.py pairs --sessions broken --chosen transcript --rejected MODEL --out d",
            "broken:1: ",
        ),
        (
            "generate.py sessions --profiles profiles --therapist gone --client MODEL --out s",
            "gone: no such folder",
        ),
        (
            "generate.py sessions --profiles profiles --therapist m@ftp://x --client MODEL --out s",
            "an endpoint is NAME@",
        ),
        (
            "train.py --method sft --model m@http://x --data broken --out a",
            "a model folder is wanted here",
        ),
        (
            f"{SIMULATE} --conditions instruct-cot --model m@http://x/v1 --format enforce",
            "works on a model of this",
        ),
        ("train.py --method dpo --model MODEL --data broken --out a", "dpo"),
        ("train.py --method sft --model gone --data broken --out a", "gone: no such folder"),
        ("train.py --method sft --model MODEL --data broken --out a", "broken:1: "),
        (
            f"{SIMULATE} --conditions sft,dpo",
            '"dpo" is none of the conditions instruct, instruct-cot',
        ),
        (f"{SIMULATE} --temperature -1", "-1 is not 0 or more"),
        (f"{SIMULATE} --top-p 1.5", "1.5 is not between 0 and 1"),
        (f"{SIMULATE} --device tpu9", "--device tpu9"),
        (f"{SIMULATE} --conditions instruct --profiles bare", "bare:1: the profile has no "),
        (
            f"{SIMULATE} --conditions instruct --profiles other",
            'other:1: "archetype" is "stoic", none of',
        ),
        (f"{SIMULATE} --conditions instruct --out .", ".: cannot be written: Is a directory"),
        (SIMULATE, "--adapters is needed for sft, sft-cot, orpo, orpo-cot"),
        (f"{SIMULATE} --adapters .", "sft: no adapter there"),
        ("judge.py rate --sessions broken --judge MODEL --out r", "broken:1: "),
        ("judge.py rate --sessions CORPUS --judge gone --out r", "gone: no such folder"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(refused, tmp_path, command, said):
    (tmp_path / "broken").write_text('{"id": "x"\n{}\n')
    (tmp_path / "profiles").write_text(json.dumps(make_profile(0, seed=0)) + "\n")
    (tmp_path / "bare").write_text(
        '{"id": "p1", "archetype": "intellectualiser", "personality": ["a", "b", "c"]}\n'
    )
    (tmp_path / "other").write_text('{"id": "p1", "archetype": "stoic"}\n')
    places = {"MODEL": EMBEDDED, "CORPUS": CORPUS}
    before = set(tmp_path.iterdir())
    assert said in refused(*(places.get(word, word) for word in command.split()))
    assert set(tmp_path.iterdir()) == before  # no --out that nothing was written to


def test_profiles_are_appended_and_not_made_twice(script, tmp_path):
    assert "3 profiles" in script("generate.py", "profiles", "--n", 3, "--out", "p.jsonl").stdout
    first = (tmp_path / "p.jsonl").read_bytes()
    assert "5 profiles" in script("generate.py", "profiles", "--n", 5, "--out", "p.jsonl").stdout
    assert (tmp_path / "p.jsonl").read_bytes().startswith(first)


@pytest.mark.slow
def test_pairs_hold_the_training_prompt_and_the_transcripts_answers(script, tmp_path):
    (tmp_path / "s.jsonl").write_text(
        CORPUS.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8"
    )
    (session,) = read_jsonl(tmp_path / "s.jsonl", check_session)
    words = ("generate.py", "pairs", "--sessions", "s.jsonl", "--chosen", "transcript", "--rejected", EMBEDDED, "--cot",
             "--format", "enforce", "--max-new-tokens", 16, "--turns", 3, "--out", "d.jsonl")  # fmt: skip
    assert "3 pairs" in script(*words).stdout
    pairs = list(read_jsonl(tmp_path / "d.jsonl"))
    for number, (pair, turn) in enumerate(zip(pairs, session["turns"][:3], strict=True)):
        assert pair["prompt"] == therapist_messages(
            session["turns"][:number], turn["client"], cot=True
        )
        thinking, answer = (
            pair["chosen"][0]["content"].removeprefix("Thinking: ").split("\n\nAnswer: ")
        )
        assert (thinking, answer) == (turn["thinking"], turn["answer"])
        assert pair["rejected"][0]["content"].startswith("Thinking:")
    before = (tmp_path / "d.jsonl").read_bytes()
    (tmp_path / "d.jsonl").write_bytes(before[:-30])  # killed while it wrote the last pair
    assert "3 pairs" in script(*words).stdout
    assert (tmp_path / "d.jsonl").read_bytes() == before


@pytest.mark.slow
def test_one_session_from_profile_to_rating_twice(script, tmp_path):
    """Base conditions only; the second run of each command adds nothing."""
    for _ in range(2):
        script("generate.py", "profiles", "--n", 2, "--out", "p.jsonl")
        done = script("simulate.py", "--model", EMBEDDED, "--profiles", "p.jsonl", "--client", EMBEDDED, *SMALL,
                      "--conditions", "instruct,instruct-cot", "--out", "s.jsonl")  # fmt: skip
        assert "4 sessions in s.jsonl: 4 complete" in done.stdout, done.stderr
        done = script(
            "judge.py", "rate", "--sessions", "s.jsonl", "--judge", EMBEDDED, "--out", "r.jsonl"
        )
        assert "4 ratings in r.jsonl, 0 of them without forms" in done.stdout, done.stderr
    sessions = {record["id"]: record for record in read_jsonl(tmp_path / "s.jsonl", check_session)}
    assert list(sessions) == [
        "instruct/p001",
        "instruct/p002",
        "instruct-cot/p001",
        "instruct-cot/p002",
    ]
    for record in sessions.values():
        assert record["sampling"]["therapist"] == {
            "temperature": 0.85,
            "top_p": 0.9,
            "max_new_tokens": 16,
        }
        assert bool(record["turns"][0]["thinking"]) == record["condition"].endswith("-cot")
    ratings = list(read_jsonl(tmp_path / "r.jsonl", check_rating))
    assert {rating["rater"] for rating in ratings} == {"smollm2-135m-instruct"}
    for rating in ratings:
        assert all(
            low <= value <= high
            for value, low, high in [(v, 0, 3) for v in rating["act_fm_expected"]]
        )
        assert len(set(rating["act_fm_expected"])) > 1


@pytest.mark.slow
def test_adapters_are_switched_on_and_off(script, tmp_path):
    """Greedy therapist: a condition with an adapter differs from the base, and leaves no trace in
    the next one."""
    torch.manual_seed(0)
    model = load_model(EMBEDDED)
    attach(model, rank=4, alpha=64)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.05)
    save_adapter(model, tmp_path / "adapters/sft", "base", 4, 64)
    script("generate.py", "profiles", "--n", 1, "--out", "p.jsonl")

    def answers(conditions, out):
        done = script("simulate.py", "--model", EMBEDDED, "--adapters", "adapters", "--profiles", "p.jsonl", "--client",
                      EMBEDDED, *SMALL, "--temperature", 0, "--client-temperature", 0, "--conditions", conditions,
                      "--out", out)  # fmt: skip
        assert done.returncode == 0, done.stderr
        sessions = read_jsonl(tmp_path / out, check_session)
        return {
            session["condition"]: (
                session["models"]["therapist"],
                session["turns"],
                session["sampling"],
            )
            for session in sessions
        }

    both = answers("sft,instruct", "both.jsonl")
    assert both["instruct"] == answers("instruct", "alone.jsonl")["instruct"]
    assert both["sft"][1][0]["client"] == both["instruct"][1][0]["client"]
    assert both["sft"][1][0]["answer"] != both["instruct"][1][0]["answer"]
    assert both["sft"][2] == both["instruct"][2]  # one sampling setting for all conditions
    assert both["sft"][0] == f"{EMBEDDED}+adapters/sft" and both["instruct"][0] == str(EMBEDDED)


@pytest.mark.slow
def test_sessions_of_other_settings_are_not_mixed(script, refused, tmp_path):
    script("generate.py", "profiles", "--n", 2, "--out", "p.jsonl")
    (tmp_path / "one.jsonl").write_text((tmp_path / "p.jsonl").read_text().splitlines()[0] + "\n")
    words = (
        "simulate.py",
        "--model",
        EMBEDDED,
        "--client",
        EMBEDDED,
        *SMALL,
        "--conditions",
        "instruct",
        "--out",
        "s",
    )
    assert script(*words, "--profiles", "one.jsonl").returncode == 0
    assert "was made with sampling" in refused(
        *words, "--profiles", "p.jsonl", "--temperature", 0.5
    )
    assert "instruct/p001 has 1 turns, not 2" in refused(
        *words, "--profiles", "p.jsonl", "--turns", 2
    )
    assert "was made with seed 0, not 1" in refused(*words, "--profiles", "p.jsonl", "--seed", 1)
    assert "p001 is another client" in refused(
        "generate.py", "profiles", "--n", 2, "--seed", 1, "--out", "p.jsonl"
    )
