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


def train(
    folder: Path, data: Path, out: Path, *flags: object, processes: int = 1, script: Path = ROOT / "train.py"
) -> list[dict]:
    """Run train.py, with one process or two, and return its log."""
    command = [sys.executable, *(LAUNCHER if processes == 2 else []), str(script), "--method", "orpo"]
    command += ["--model", folder, "--data", data, "--out", out, "--lora-rank", 4, "--lr", 1e-3, *flags]
    options = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "capture_output": True, "text": True, "cwd": ROOT}
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
    """20 steps of 8 pairs: in one tree, in a tree a pair, with stretches computed again, by two processes."""
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
                if metric in line:
                    expected_value = pytest.approx(line[metric], rel=limit, abs=0 if limit == 1e-6 else 1e-5)
                    assert ours[metric] == expected_value, (name, line["step"], metric)
            assert ours.get("naive_tokens") == line.get("naive_tokens")


@pytest.mark.slow
def test_a_process_without_examples_takes_part(folder, tmp_path, data):
    """7 pairs in steps of 3 leave the last step one pair for two processes."""
    rows = write_rows(tmp_path / "seven.jsonl", data.read_text().splitlines()[:7])
    one = train(folder, rows, tmp_path / "one", "--batch", 3)
    two = train(folder, rows, tmp_path / "two", "--batch", 3, processes=2)
    for ours, line in zip(two[1:-1], one[1:-1], strict=True):
        assert ours["loss"] == pytest.approx(line["loss"], rel=1e-6)
        assert ours["grad_norm"] == pytest.approx(line["grad_norm"], rel=1e-5)
    adapters = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two")]
    for name, tensor in adapters[0].items():
        assert (adapters[1][name] - tensor).norm() <= 1e-4 * tensor.norm(), name


@pytest.mark.slow
def test_two_processes_resume(folder, tmp_path, data):
    """From a state in the middle and from one of the last step: the adapter of the uninterrupted run."""
    rows = write_rows(tmp_path / "some.jsonl", data.read_text().splitlines()[:32])
    flags = ["--save-every", 2]
    train(folder, rows, tmp_path / "whole", *flags, processes=2)
    expected = load_file(tmp_path / "whole" / "adapter_model.safetensors")
    for stop in (2, 4):  # of 4 steps
        out = tmp_path / str(stop)
        killed = tmp_path / f"killed-{stop}.py"  # train.py, killed when the state of step `stop` has been written
        killed.write_text(
            "import os, sys; sys.path.insert(0, os.getcwd())\nimport train\nfrom act.training.state import TrainState\n"
            f"save = TrainState.save\ndef die(self, *a):\n    save(self, *a)\n    if self.step == {stop}: os._exit(9)\n"
            "TrainState.save = die\ntrain.main()\n"
        )
        with pytest.raises(AssertionError):
            train(folder, rows, out, *flags, script=killed, processes=2)
        assert (out / "state.safetensors").is_file() and not (out / "adapter_model.safetensors").exists()
        log = train(folder, rows, out, *flags, "--resume", processes=2)
        assert [line["step"] for line in log] == [0, 1, 2, 3, 4, 4]
        found = load_file(out / "adapter_model.safetensors")
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
def test_full_fine_tuning_writes_a_model(folder, tmp_path, data):
    """--lora-rank 0 trains every weight, the embedding through both its uses; transformers reads what it writes."""
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
