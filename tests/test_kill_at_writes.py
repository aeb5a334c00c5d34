"""SIGKILL at the N-th write of every script, again and again, then the same command: what is there
at the end is what a run without a death leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.test_full_disk import COMMANDS, study  # noqa: F401 (a fixture)

GIVEN = {command: given for given, (command, _) in COMMANDS.items()}  # each command once
TIMES = ("tokens_per_s", "peak_memory_gib")  # of a step
NAMES = ("id", "session")  # of a row


def run(place: Path, command: str, at: int) -> int:
    """The exit status of a command that dies at its `at`-th write; 0 stands for never."""
    words = [sys.executable, "-m", "tests.dying", str(at), *command.split()]
    words[4] = str(ROOT / words[4])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, timeout=600)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode


def made(place: Path) -> dict[str, object]:
    """Every file under out/: rows by their names, tensors, or its bytes."""
    files = {}
    for path in sorted(place.glob("out/**/*")):
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            files[path.name] = sorted(rows, key=lambda row: str([row.get(name) for name in NAMES]))
        elif path.suffix == ".safetensors":
            tensors = load_file(path)
            files[path.name] = {name: tensor.tolist() for name, tensor in tensors.items()}
        elif path.suffix == ".json":
            files[path.name] = json.loads(path.read_text())
        elif path.is_file():
            files[path.name] = path.read_bytes()
    return files


def assert_same(found: object, wanted: object, where: str) -> None:
    """The same but for a clock's numbers. Texts that share a batch with others than before have
    the same numbers up to rounding."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for name in wanted.keys() - set(TIMES):
            assert_same(found[name], wanted[name], f"{where} {name}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for i, one in enumerate(wanted):
            assert_same(found[i], one, f"{where} {i}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5), where
    else:
        assert found == wanted, where


@pytest.mark.soak
@pytest.mark.parametrize("command", GIVEN, ids=GIVEN.get)
def test_a_kill_at_any_write_loses_nothing(study, tmp_path, command):  # noqa: F811
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        place.mkdir()
        for path in study.iterdir():
            (place / path.name).symlink_to(path.resolve())
    assert run(whole, command, 0) == 0
    deaths = 0
    for at in (1, 2, 1, 3, 5, 8, 4, 2, 13, 1, 6, 21):
        status = run(killed, command, at)
        assert status in (0, -signal.SIGKILL), status
        deaths += status != 0
    assert deaths
    assert run(killed, command, 0) == 0
    assert_same(made(killed), made(whole), "")
