"""Trap 3 and full fine-tuning, by the script: split by trees or by processes, a step is the same step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from act.model.checkpoint import load_model
from tests.conftest import ROOT
from tests.tiny import pair_row, write_rows

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def train(folder: Path, data: Path, out: Path, *flags: object, processes: int = 1) -> list[dict]:
    """Run train.py and return its log; 20 steps of 8 pairs, two of them of one session."""
    command = [sys.executable, *(LAUNCHER if processes == 2 else []), str(ROOT / "train.py"), "--method", "orpo"]
    command += ["--model", folder, "--data", data, "--out", out, "--lora-rank", 4, "--lr", 1e-3, *flags]
    options = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "capture_output": True, "text": True}
    done = subprocess.run([*map(str, command)], **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"wrote {out}") == 1
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    rows = [pair_row(turn, session) for session in range(41) for turn in range(1, 5)]
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", rows)


@pytest.mark.slow
def test_trap_03_trees_and_processes_take_the_same_steps(folder, tmp_path, data):
    """8 pairs in one tree, one tree a pair, two processes, and two with fewer pairs than processes in the last step."""
    held = ["--held-out-sessions", 1]
    expected = train(folder, data, tmp_path / "one", *held)
    assert len(expected) == 22  # before, 20 steps, after
    others = {
        "a tree a pair": train(folder, data, tmp_path / "trees", *held, "--tree-tokens", 1),
        "recomputed": train(folder, data, tmp_path / "recomputed", *held, "--keep-tokens", 1),
        "two processes": train(folder, data, tmp_path / "two", *held, processes=2),
    }
    for name, log in others.items():
        assert len(log) == len(expected)
        for ours, line in zip(log, expected, strict=True):
            for metric, limit in (("loss", 1e-6), ("nll", 1e-6), ("margin", 1e-5), ("grad_norm", 1e-5)):
                assert ours.get(metric) == pytest.approx(line.get(metric), rel=limit), (name, line["step"], metric)
            assert ours.get("naive_tokens") == line.get("naive_tokens")


@pytest.mark.slow
def test_a_process_without_examples_takes_part(folder, tmp_path, data):
    """7 pairs in steps of 3 leave the last step one pair for two processes."""
    rows = write_rows(tmp_path / "seven.jsonl", data.read_text().splitlines()[:7])
    one = train(folder, rows, tmp_path / "one", "--batch", 3)
    two = train(folder, rows, tmp_path / "two", "--batch", 3, processes=2)
    for ours, line in zip(two[1:-1], one[1:-1], strict=True):
        assert ours["loss"] == pytest.approx(line["loss"], rel=1e-6)


@pytest.mark.slow
def test_full_fine_tuning_writes_a_model(folder, tmp_path, data):
    """--lora-rank 0 trains every weight, the embedding through both its uses, and resumes from a saved state."""
    rows = write_rows(tmp_path / "some.jsonl", data.read_text().splitlines()[:32])
    flags = ["--lora-rank", 0, "--lr", 3e-3, "--epochs", 3, "--save-every", 5]
    log = train(folder, rows, tmp_path / "out", *flags)
    assert log[-2]["nll"] < log[1]["nll"] - 1
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    ids = torch.arange(20)[None]
    model = load_model(tmp_path / "out")
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        torch.testing.assert_close(model.logits(model(ids)), theirs(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_bfloat16_base_has_a_float32_adapter(folder, tmp_path, data):
    rows = write_rows(tmp_path / "some.jsonl", data.read_text().splitlines()[:16])
    log = train(folder, rows, tmp_path / "out", "--dtype", "bfloat16", "--epochs", 4, "--lr", 1e-2)
    assert log[-2]["nll"] < log[1]["nll"] - 0.3
    assert {x.dtype for x in load_file(tmp_path / "out" / "adapter_model.safetensors").values()} == {torch.float32}
