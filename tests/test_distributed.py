"""Trap 3 and full fine-tuning, by the script: split by trees or by processes, a step is the same
step.

All runs of two processes are made by three launches of torchrun (`two`); those of one process in
this one.
"""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from act.model.checkpoint import load_model
from act.model.llama import Llama, LlamaConfig
from act.model.prefix_tree import build_tree
from act.training.distributed import shares
from act.training.examples import Answer, Example
from tests.conftest import ROOT
from tests.tiny import CONFIG, pair_row, run_in_process, write_rows

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ADAPTER, MODEL = "adapter_model.safetensors", "model.safetensors"


def launch(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, *LAUNCHER, *map(str, words)]
    options = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "cwd": ROOT, "timeout": 600}
    return subprocess.run(command, capture_output=True, text=True, **options)


def log_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def flags(folder, tmp_path_factory) -> dict[str, list]:
    """The flags of each run, but for --out."""
    here = tmp_path_factory.mktemp("data")
    untied = here / "untied"
    copytree(folder, untied)
    (untied / "config.json").write_text(json.dumps(CONFIG | {"tie_word_embeddings": False}))
    torch.manual_seed(1)
    model = Llama(LlamaConfig.from_dict(CONFIG | {"tie_word_embeddings": False}))
    save_file(model.state_dict(), untied / MODEL, {"format": "pt"})

    def run(rows: list[dict], *flags: object, model: Path = folder) -> list[object]:
        data = write_rows(here / f"{len(rows)}.jsonl", rows)
        return ["--method", "orpo", "--model", model, "--data", data, "--lr", 1e-3, *flags]

    lora, full = ("--lora-rank", 4), ("--lora-rank", 0)
    many = [pair_row(turn, session) for session in range(41) for turn in range(1, 5)]
    held = ("--held-out-sessions", 1, "--keep-tokens", 16)
    # a tree a pair: 1 and 2 on two processes; 0 and 1 in the last step
    apart = ("--batch", 3, "--tree-tokens", 1)
    single = ("--batch", 1, "--held-out-sessions", 1)
    ones = [pair_row(1, session) for session in range(4)]
    saved = ("--save-every", 2)
    return {
        "lora": run(many, *lora, *held),
        "full": run(many, *full, *held),
        "apart-lora": run(many[:7], *lora, *apart, "--dtype", "bfloat16"),
        "apart-full": run(many[:7], *full, *apart, model=untied),
        "single-lora": run(ones, *lora, *single),
        "single-full": run(ones, *full, *single),
        "saved-lora": run(many[:32], *lora, *saved),
        "saved-full": run(many[:32], *full, *saved),
    }


@pytest.fixture(scope="module")
def two(flags, tmp_path_factory) -> Path:
    """The folder of what two processes have trained: each run of `flags`, and some ended and gone
    on with."""
    outs = tmp_path_factory.mktemp("two")

    def run(name: str, out: str, stop: int | None = None, kill: bool = False) -> dict:
        words = [*flags[name], "--resume", "--out", outs / out]
        return {"flags": [*map(str, words)], "stop": stop, "kill": kill}

    stopped = [run("saved-full", "stopped-full", 2), run("saved-lora", "stopped-last", 4)]
    (outs / "first.json").write_text(json.dumps([*stopped, run("saved-lora", "killed", 2, True)]))
    ended = launch("tests/runs.py", outs / "first.json")
    assert ended.returncode != 0 and "exitcode  : 9" in ended.stderr, ended.stderr
    copytree(outs / "stopped-full", outs / "stopped-for-one")
    for name in ("stopped-full", "stopped-last", "killed"):
        assert (outs / name / "state.safetensors").is_file()
        assert not any((outs / name / weights).exists() for weights in (ADAPTER, MODEL))

    others = [run("saved-full", "stopped-full"), run("saved-lora", "stopped-last")]
    (outs / "second.json").write_text(json.dumps([*(run(name, name) for name in flags), *others]))
    done = launch("tests/runs.py", outs / "second.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == len(flags) + 2
    assert done.stdout.count("warning: --batch 1 leaves some of the 2 processes without work") == 2

    done = launch("train.py", *run("saved-lora", "killed")["flags"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    return outs


def assert_same_steps(log: list[dict], expected: list[dict]) -> None:
    assert len(log) == len(expected)
    for ours, line in zip(log, expected, strict=True):
        for metric, limit in (("loss", 1e-6), ("nll", 1e-6), ("margin", 1e-5), ("grad_norm", 1e-5)):
            if metric in line:
                value = pytest.approx(line[metric], rel=limit, abs=0 if limit == 1e-6 else 1e-5)
                assert ours[metric] == value, (line["step"], metric)
        assert ours.get("naive_tokens") == line.get("naive_tokens")


def assert_same_weights(ours: Path, expected: Path, limit: float) -> None:
    names = [name for name in (ADAPTER, MODEL) if (expected / name).exists()]
    assert len(names) == 1
    ours, expected = load_file(ours / names[0]), load_file(expected / names[0])
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert ours[name].dtype == tensor.dtype and ours[name].shape == tensor.shape, name
        assert (ours[name] - tensor).norm() <= limit * tensor.norm(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "full"])
def test_trap_03_trees_and_processes_take_the_same_steps(flags, two, tmp_path, monkeypatch, name):
    """20 steps of 8 pairs by one process; with a tree a pair, nothing computed again; by two
    processes."""
    run_in_process(monkeypatch, *flags[name], "--out", tmp_path / "one")
    apart = ("--tree-tokens", 1, "--keep-tokens", 1024)
    run_in_process(monkeypatch, *flags[name], *apart, "--out", tmp_path / "trees")
    expected = log_of(tmp_path / "one")
    assert len(expected) == 22  # before, 20 steps, after
    assert_same_steps(log_of(tmp_path / "trees"), expected)
    assert_same_steps(log_of(two / name), expected)
    assert_same_weights(two / name, tmp_path / "one", 1e-4)
    # two sessions of equal length a step: one for each process
    for line in log_of(two / name)[1:-1]:
        share = line["slowest_rank_tokens"] / line["unique_tokens"]
        assert 0.5 <= share <= 0.52


@pytest.mark.slow
@pytest.mark.parametrize("name", ["apart-lora", "apart-full", "single-lora", "single-full"])
def test_processes_with_fewer_trees_and_with_none_take_part(
    flags, two, tmp_path, monkeypatch, name
):
    run_in_process(monkeypatch, *flags[name], "--out", tmp_path / "one")
    assert_same_steps(log_of(two / name), log_of(tmp_path / "one"))
    assert_same_weights(two / name, tmp_path / "one", 1e-4)


@pytest.mark.slow
def test_two_processes_resume(two):
    """Killed, or stopped in the middle or behind the last step: to the bit what the uninterrupted
    run writes."""
    runs = {"killed": "saved-lora", "stopped-last": "saved-lora", "stopped-full": "saved-full"}
    for out, name in runs.items():
        assert [line["step"] for line in log_of(two / out)] == [0, 1, 2, 3, 4, 4]
        assert_same_weights(two / out, two / name, 0)
        assert not (two / out / "state.safetensors").exists()


@pytest.mark.slow
def test_one_process_goes_on_with_the_run_of_two(flags, two, tmp_path, monkeypatch):
    run_in_process(monkeypatch, *flags["saved-full"], "--resume", "--out", two / "stopped-for-one")
    assert_same_steps(log_of(two / "stopped-for-one"), log_of(two / "saved-full"))
    assert_same_weights(two / "stopped-for-one", two / "saved-full", 1e-6)
    before = load_file(flags["saved-full"][3] / MODEL)
    after = load_file(two / "stopped-for-one" / MODEL)
    for name, tensor in before.items():  # it has trained
        assert (after[name] - tensor).norm() > 1e-4 * tensor.norm()


@pytest.mark.slow
def test_full_fine_tuning_writes_a_model(folder, flags, tmp_path, monkeypatch):
    """--lora-rank 0 trains every weight, the embedding through both its uses; transformers reads
    what it writes."""
    out = tmp_path / "out"
    run_in_process(monkeypatch, *flags["saved-full"], "--lr", 3e-3, "--epochs", 3, "--out", out)
    log = log_of(out)
    assert log[-2]["nll"] < log[1]["nll"] - 1
    before, after = load_file(folder / MODEL), load_file(out / MODEL)
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    ids = torch.arange(20)[None]
    model = load_model(out)
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(out)
    with torch.no_grad():
        ours, true = model.logits(model(ids)), theirs(ids).logits
    torch.testing.assert_close(ours, true, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_bfloat16_base_has_a_float32_adapter(flags, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run_in_process(monkeypatch, *flags["apart-lora"], "--epochs", 6, "--lr", 1e-2, "--out", out)
    log = log_of(out)
    assert log[-2]["nll"] < log[1]["nll"] - 0.3
    assert {x.dtype for x in load_file(out / ADAPTER).values()} == {torch.float32}


def session(name: str, turns: int, first: int) -> list[Example]:
    """A session whose turns go on from one another; token ids, from `first` on, occur once."""
    examples, prompt = [], [first]
    for turn in range(turns):
        prompt = [*prompt, *range(prompt[-1] + 1, prompt[-1] + 4 + turn % 3)]
        new = first + 100 + 20 * turn
        said = range(new, new + 2), range(new + 10, new + 13 + turn % 2)
        answers = [[*prompt, *tokens] for tokens in said]
        examples.append(Example(name, *(Answer(ids, len(prompt)) for ids in answers), 0))
    return examples


def tree_size(examples: list[Example]) -> int:
    return len(build_tree([answer.ids for e in examples for answer in e.answers]).ids)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("turns", [(9,), (3, 3, 3), (5, 1, 2), (1, 6)])
def test_shares_are_stretches_of_equal_length(turns, n):
    """Up to one example; joined again they are the step, session by session; some may be empty."""
    examples = [e for i, t in enumerate(turns) for e in session(f"session {i}", t, 1 + 1000 * i)]
    found = shares(examples, n)
    assert len(found) == n and [e for share in found for e in share] == examples
    assert {len(share) for share in found} <= {len(examples) // n, -(-len(examples) // n)}


def test_sessions_that_fit_stay_whole_in_any_order():
    sessions = [session(f"session {i}", 5, 1 + 1000 * i) for i in range(3)]
    mixed = [sessions[i][turn] for turn in range(5) for i in (2, 0, 1)]
    assert shares(mixed, 3) == sessions


def test_several_processes_pay_off_where_a_step_spans_several_sessions():
    """The tokens in act/training/distributed.py: sessions of the study's lengths, no thinking in
    the history.

    A system prompt of 1,118 tokens; client turns of 95, answers of 64, 57 of thinking before them.
    Turns 18 to 25 in a tree: 1,118 + 25 * 95 + 24 * 64 of trunk and 8 * 2 * (57 + 64) of answers,
    6,965.
    """
    ids = count(1118)

    def text(tokens: int) -> list[int]:
        return [next(ids) for _ in range(tokens)]

    def study_session(name: str) -> list[Example]:
        examples, prompt = [], [*range(1118)]
        for _ in range(25):
            prompt = prompt + text(95)
            answers = [Answer(prompt + text(57 + 64), len(prompt)) for _ in range(2)]
            examples.append(Example(name, *answers, 0))
            prompt = prompt + text(64)
        return examples

    first, second = study_session("a"), study_session("b")
    sizes = {n: [tree_size(share) for share in shares(first[17:], n)] for n in (1, 2, 8)}
    assert {n: max(tokens) for n, tokens in sizes.items()} == {1: 6965, 2: 5997, 8: 5271}
    assert [tree_size(share) for share in shares(first + second, 2)] == [11079, 11079]
    assert tree_size(first + second) == 21040
