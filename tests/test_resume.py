"""Trap 11: a run that was killed and resumed ends as one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import train
from act.model.llama import Llama
from act.records import InputError
from act.training.run_log import RunLog
from act.training.state import TrainState, learning_rate
from act.training.step import run_examples
from tests.conftest import ROOT
from tests.tiny import (
    drawn_pairs,
    log_of,
    objective,
    pair_row,
    run_in_process,
    train_flags,
    with_adapter,
    write_rows,
)


def steps_of(model: Llama, state: TrainState, until: int) -> None:
    examples = drawn_pairs(12)
    for step in range(state.step, until):
        run_examples(model, examples[2 * step : 2 * step + 2], objective(), backward=True)
        state.update(learning_rate(step, 6, 1e-2, 2, "cosine"))


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_trap_11_resumed_equals_uninterrupted_to_the_bit(tmp_path, stop):
    model = with_adapter()
    state = TrainState(model, 0.01, 1.0)
    steps_of(model, state, 6)

    first = with_adapter()
    half = TrainState(first, 0.01, 1.0)
    steps_of(first, half, stop)
    half.save(tmp_path / "state.safetensors", {"lr": 1e-2})
    second = with_adapter(seed=99)  # another start, so that nothing is right by chance
    resumed = TrainState(second, 0.01, 1.0)
    resumed.load(tmp_path / "state.safetensors", {"lr": 1e-2})
    assert resumed.step == stop
    steps_of(second, resumed, 6)
    for name, parameter in state.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name]), name
        for moment in ("exp_avg", "exp_avg_sq", "step"):
            ours, theirs = (s.optimiser.state[s.parameters[name]][moment] for s in (state, resumed))
            assert torch.equal(ours, theirs), (name, moment)


def test_trap_11_a_state_of_another_run_is_refused(tmp_path):
    model = with_adapter()
    state = TrainState(model, 0.01, 1.0)
    steps_of(model, state, 1)
    path = tmp_path / "state.safetensors"
    state.save(path, {"lr": 0.01, "seed": 1})
    for run, name in (
        ({"lr": 0.02, "seed": 1}, "lr 0.01, not 0.02"),
        ({"lr": 0.01}, "seed 1, not unknown"),
    ):
        with pytest.raises(InputError, match=f"was made with {name}"):
            TrainState(with_adapter(), 0.01, 1.0).load(path, run)


def test_trap_11_a_state_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    state = TrainState(with_adapter(), 0.01, 1.0)
    path.write_bytes(b"\x10\0\0\0")
    with pytest.raises(InputError, match="state.safetensors: "):
        state.load(path, {})


def test_trap_11_a_state_with_one_bit_flipped_is_refused(tmp_path):
    """Somewhere in its header, its settings, its numbers: 200 places from the first byte to the
    last. What is read all the same is what was saved."""
    path, settings = tmp_path / "state.safetensors", {"lr": 0.01, "seed": 1}
    model = with_adapter()
    state = TrainState(model, 0.01, 1.0)
    steps_of(model, state, 1)
    state.save(path, settings)
    whole, refused = path.read_bytes(), 0
    for i in range(200):
        damaged = bytearray(whole)
        damaged[i * (len(whole) - 1) // 199] ^= 1 << i % 8
        path.write_bytes(damaged)
        found = TrainState(with_adapter(), 0.01, 1.0)
        try:
            found.load(path, settings)
        except InputError:
            refused += 1
            continue
        assert found.step == 1
        for name, parameter in state.parameters.items():
            assert torch.equal(parameter, found.parameters[name])
    assert refused >= 190


@pytest.mark.parametrize("type_name", [b"I32", b"U32"])
def test_trap_11_a_state_whose_numbers_have_another_type_is_refused(tmp_path, type_name):
    """One byte of the header, the first of "F32": the same bytes, read as whole numbers."""
    path, settings = tmp_path / "state.safetensors", {"lr": 0.01, "seed": 1}
    model = with_adapter()
    state = TrainState(model, 0.01, 1.0)
    steps_of(model, state, 1)
    state.save(path, settings)
    whole = path.read_bytes()
    for place in (whole.index(b'"F32"'), whole.rindex(b'"F32"')):
        path.write_bytes(whole[: place + 1] + type_name + whole[place + 4 :])
        with pytest.raises(InputError, match="damaged: it does not hold what was saved"):
            TrainState(with_adapter(), 0.01, 1.0).load(path, settings)


LINES = [
    {"step": 0, "nll": 3},
    {"step": 1, "loss": 2},
    {"step": 2, "loss": 1},
    {"step": 2, "nll": 1},
]


@pytest.mark.parametrize("torn", ["", '{"step": 3, "nl', "\0\0\0\n", '{"step": 2, "loss": 7}'])
@pytest.mark.parametrize("done", [1, 2])
def test_trap_11_the_log_goes_on_behind_the_state(tmp_path, capsys, done, torn):
    """Later steps, the last evaluation and what a kill or the disk left of a line are cut off."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + torn)
    log = RunLog(path, done)
    assert (log.before, log.last_step) == (LINES[0], {"loss": 3 - done})
    log.write({"step": done + 1, "loss": 0.5})
    new = {"step": done + 1, "loss": 0.5}
    assert list(map(json.loads, path.read_text().splitlines())) == [*LINES[: done + 1], new]
    assert not capsys.readouterr().err


@pytest.mark.parametrize("left", [0, 1, 2])
def test_trap_11_a_log_without_its_lines_warns_and_goes_on(tmp_path, capsys, left):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES[:left]) + '{"st')
    log = RunLog(path, 2)
    said = f"warning: {path}: lacks {3 - left} lines up to step 2, and will\n"
    assert capsys.readouterr().err == said
    assert log.before == (LINES[0] if left else {"step": 0})
    log.write({"step": 3, "loss": 0.5})
    log = RunLog(path, 3)  # and again, with the gap in it
    assert log.last_step == {"loss": 0.5} and len(path.read_text().splitlines()) == left + 1


def test_trap_11_killed_behind_the_last_step(folder, tmp_path, monkeypatch):
    """The state is of the last step, the log has the last evaluation, the adapter is not there
    yet."""
    data = write_rows(
        tmp_path / "data.jsonl",
        [pair_row(turn, session) for session in range(3) for turn in (1, 2)],
    )
    changes = {"method": "sft", "save_every": 1, "held_out_sessions": 1}
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "whole", **changes))
    killed = train_flags(folder, data, tmp_path / "killed", **changes)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(train, "save_adapter", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run_in_process(patch, *killed)
    run_in_process(monkeypatch, *killed, "--resume")
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")


def train_command(folder: Path, data: Path, out: Path, epochs: int) -> list[str]:
    changes = {"held_out_sessions": 1, "epochs": epochs, "batch": 1, "save_every": 5}
    flags = train_flags(folder, data, out, **changes)
    return [*map(str, [sys.executable, "train.py", "--resume", *flags])]


@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)]
)
def test_trap_11_killed_and_resumed_equals_uninterrupted(folder, tmp_path, kills):
    """train.py, killed by SIGKILL at random moments and started again with --resume: the same
    adapter, byte for byte.

    Every other kill falls into loading or the first steps behind it; the others lie close behind a
    step, ever later.
    """
    rows = [pair_row(turn, session) for session in range(7) for turn in range(1, 7)]
    data = write_rows(tmp_path / "data.jsonl", rows)
    options = {
        "cwd": ROOT,
        "env": os.environ | {"OMP_NUM_THREADS": "1"},
        "stderr": subprocess.DEVNULL,
    }
    whole, resumed = tmp_path / "whole", tmp_path / "killed"
    epochs = max(2, kills // 2)
    lines = 36 * epochs + 2  # before, 6 x 6 steps an epoch, after
    start = time.perf_counter()
    quiet = options | {"stdout": subprocess.DEVNULL}
    process = subprocess.Popen(train_command(folder, data, whole, epochs), **quiet)
    while process.poll() is None and not (whole / "log.jsonl").is_file():
        time.sleep(0.001)
    loading = time.perf_counter() - start
    assert process.wait() == 0

    stream, killed = random.Random(0), 0
    log, state = resumed / "log.jsonl", resumed / "state.safetensors"
    for kill in range(kills):
        process = subprocess.Popen(train_command(folder, data, resumed, epochs), **quiet)
        if kill % 2:  # but at most 9 lines on, however slow the first loading was
            until = time.monotonic() + stream.uniform(0.2, 1.1) * loading
            left = log.read_text().count("\n") + 9
            while time.monotonic() < until and log.read_text().count("\n") < left:
                time.sleep(0.001)
        else:
            # a line of the log, the first behind the first saved state
            wanted = 7 + (lines - 18) * kill // kills
            while process.poll() is None and not (
                log.is_file() and log.read_text().count("\n") > wanted
            ):
                time.sleep(0.001)
            time.sleep(stream.random() * 0.1)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed == kills and state.is_file()  # none came too late

    command = train_command(folder, data, resumed, epochs)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
    assert log_of(resumed) == log_of(whole) and len(log_of(whole)) == lines
    weights = "adapter_model.safetensors"
    assert (resumed / weights).read_bytes() == (whole / weights).read_bytes()
    reports = [json.loads((out / "train.json").read_text()) for out in (resumed, whole)]
    assert reports[0] == reports[1]
    assert reports[0]["after"]["nll"] < reports[0]["before"]["nll"] - 0.1  # and it has learned
    assert f"held-out nll: {reports[0]['before']['nll']:.4f} before" in done.stdout
    assert not (resumed / "state.safetensors").exists()

    again = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
    assert again.stdout == f"{resumed} is trained\n"
