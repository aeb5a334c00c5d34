"""Each script as a user runs it: the manual, a good run on a small setting, and what bad input
gets."""

import json
import shutil
import sys
from importlib import import_module

import pytest
import torch

from act.cli import run_script
from act.dialogue.profiles import make_profile
from act.dialogue.prompts import therapist_messages
from act.model.adapter import save_adapter
from act.model.checkpoint import load_model
from act.model.lora import attach, lora_layers
from act.records import check_rating, check_session, read_jsonl
from tests.conftest import EMBEDDED, ROOT
from tests.tiny import CONFIG

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
SMALL = ("--turns", 1, "--max-new-tokens", 16, "--client-max-new-tokens", 6, "--format", "enforce")


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    """The folder of a random model whose context holds both forms and a transcript."""
    roomy = tmp_path_factory.mktemp("models") / "tiny"
    shutil.copytree(folder, roomy)
    config = CONFIG | {"max_position_embeddings": 8192}
    (roomy / "config.json").write_text(json.dumps(config))
    return roomy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate.py",), "pairs"),
        (("generate.py", "profiles"), "--seed"),
        (("generate.py", "sessions"), "--timeout"),
        (("generate.py", "pairs"), "--rejected"),
        (("train.py",), "--nll-scope"),
        (("simulate.py",), "--conditions"),
        (("judge.py",), "rate"),
        (("judge.py", "rate"), "--judge"),
    ],
)
def test_help_is_a_manual(monkeypatch, capsys, words, said):
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    with pytest.raises(SystemExit) as left:
        run_script(import_module(words[0].removesuffix(".py")).main)
    shown = capsys.readouterr().out
    assert left.value.code == 0 and said in shown
    flags = [line for line in shown.splitlines() if line.startswith("  --")]
    assert flags or "COMMAND" in shown
    assert "SUPPRESS" not in shown


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


def test_profiles_are_appended_and_not_made_twice(run, tmp_path):
    assert "3 profiles" in run("generate.py", "profiles", "--n", 3, "--out", "p.jsonl")
    first = (tmp_path / "p.jsonl").read_bytes()
    assert "5 profiles" in run("generate.py", "profiles", "--n", 5, "--out", "p.jsonl")
    assert (tmp_path / "p.jsonl").read_bytes().startswith(first)


@pytest.mark.slow
def test_pairs_hold_the_training_prompt_and_the_transcripts_answers(script, run, tmp_path, model):
    line = CORPUS.read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "s.jsonl").write_text(line + "\n", encoding="utf-8")
    (session,) = read_jsonl(tmp_path / "s.jsonl", check_session)
    words = ("generate.py", "pairs", "--sessions", "s.jsonl", "--chosen", "transcript", "--cot")
    words += ("--rejected", model, "--format", "enforce", "--max-new-tokens", 16, "--turns", 3)
    words += ("--out", "d.jsonl")
    assert "3 pairs" in script(*words).stdout
    pairs = list(read_jsonl(tmp_path / "d.jsonl"))
    for number, (pair, turn) in enumerate(zip(pairs, session["turns"][:3], strict=True)):
        past = session["turns"][:number]
        assert pair["prompt"] == therapist_messages(past, turn["client"], cot=True)
        chosen = pair["chosen"][0]["content"].removeprefix("Thinking: ")
        assert chosen.split("\n\nAnswer: ") == [turn["thinking"], turn["answer"]]
        assert pair["rejected"][0]["content"].startswith("Thinking:")
    before = (tmp_path / "d.jsonl").read_bytes()
    (tmp_path / "d.jsonl").write_bytes(before[:-30])  # killed while it wrote the last pair
    assert "3 pairs" in run(*words)
    assert (tmp_path / "d.jsonl").read_bytes() == before


@pytest.mark.slow
def test_one_session_from_profile_to_rating_twice(script, run, tmp_path, model):
    """Base conditions only; the second run of each command adds nothing."""
    simulate = ("simulate.py", "--model", model, "--profiles", "p.jsonl", "--client", model, *SMALL)
    simulate += ("--conditions", "instruct,instruct-cot", "--out", "s.jsonl")
    rate = ("judge.py", "rate", "--sessions", "s.jsonl", "--judge", model, "--out", "r.jsonl")
    for said in (lambda *words: script(*words).stdout, run):
        said("generate.py", "profiles", "--n", 2, "--out", "p.jsonl")
        assert "4 sessions in s.jsonl: 4 complete" in said(*simulate)
        assert "4 ratings in r.jsonl, 0 of them without forms" in said(*rate)
    sessions = {record["id"]: record for record in read_jsonl(tmp_path / "s.jsonl", check_session)}
    plain, cot = (("instruct/p001", "instruct/p002"), ("instruct-cot/p001", "instruct-cot/p002"))
    assert tuple(sessions) == plain + cot
    sampling = {"temperature": 0.85, "top_p": 0.9, "max_new_tokens": 16}
    for record in sessions.values():
        assert record["sampling"]["therapist"] == sampling
        assert bool(record["turns"][0]["thinking"]) == record["condition"].endswith("-cot")
    ratings = list(read_jsonl(tmp_path / "r.jsonl", check_rating))
    assert {rating["rater"] for rating in ratings} == {"tiny"}
    for rating in ratings:
        assert all(0 <= value <= 3 for value in rating["act_fm_expected"])
        assert len(set(rating["act_fm_expected"])) > 1


@pytest.mark.slow
def test_adapters_are_switched_on_and_off(run, tmp_path, model):
    """Greedy therapist: a condition with an adapter differs from the base, and leaves no trace in
    the next one."""
    torch.manual_seed(0)
    adapted = load_model(model)
    attach(adapted, rank=4, alpha=64)
    for layer in lora_layers(adapted).values():
        torch.nn.init.normal_(layer.lora_B, std=0.5)
    save_adapter(adapted, tmp_path / "adapters/sft", "base", 4, 64)
    run("generate.py", "profiles", "--n", 1, "--out", "p.jsonl")
    words = ("simulate.py", "--model", model, "--adapters", "adapters", "--profiles", "p.jsonl")
    words += ("--client", model, *SMALL, "--temperature", 0, "--client-temperature", 0)

    def answers(conditions, out):
        run(*words, "--conditions", conditions, "--out", out)
        sessions = read_jsonl(tmp_path / out, check_session)
        return {session["condition"]: session for session in sessions}

    both, alone = answers("sft,instruct", "both.jsonl"), answers("instruct", "alone.jsonl")
    sft, instruct = both["sft"], both["instruct"]
    assert instruct == alone["instruct"]
    assert sft["turns"][0]["client"] == instruct["turns"][0]["client"]
    assert sft["turns"][0]["answer"] != instruct["turns"][0]["answer"]
    assert sft["sampling"] == instruct["sampling"]  # one sampling setting for all conditions
    therapists = [session["models"]["therapist"] for session in (sft, instruct)]
    assert therapists == [f"{model}+adapters/sft", str(model)]


@pytest.mark.slow
def test_sessions_of_other_settings_are_not_mixed(run, refused, tmp_path, model):
    run("generate.py", "profiles", "--n", 2, "--out", "p.jsonl")
    (tmp_path / "one.jsonl").write_text((tmp_path / "p.jsonl").read_text().splitlines()[0] + "\n")
    words = ("simulate.py", "--model", model, "--client", model, *SMALL)
    words += ("--conditions", "instruct", "--out", "s", "--profiles")
    run(*words, "one.jsonl")
    assert "was made with sampling" in refused(*words, "p.jsonl", "--temperature", 0.5)
    assert "instruct/p001 has 1 turns, not 2" in refused(*words, "p.jsonl", "--turns", 2)
    assert "was made with seed 0, not 1" in refused(*words, "p.jsonl", "--seed", 1)
    others = ("generate.py", "profiles", "--n", 2, "--seed", 1, "--out", "p.jsonl")
    assert "p001 is another client" in refused(*others)
