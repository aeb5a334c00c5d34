"""What many tests share: the embedded model, and how a script is run as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from act.cli import run_script
from act.model.checkpoint import load_model
from act.model.llama import Llama, LlamaConfig
from act.model.tokenizer import ChatTokenizer
from tests.tiny import CONFIG, pair_row, write_rows

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "models/smollm2-135m-instruct"


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    """A test on the CPU and, where there is one, on a GPU: what it makes is made there."""
    if request.param == "cpu":
        yield request.param
    else:
        with torch.device(request.param):
            yield request.param


on_each_device = pytest.mark.usefixtures("device")


@pytest.fixture(scope="session")
def embedded():
    return load_model(EMBEDDED)


@pytest.fixture(scope="session")
def tokenizer():
    return ChatTokenizer(EMBEDDED)


@pytest.fixture(autouse=True)
def exact_product():
    """Every test begins with PyTorch's default product, also behind one that ran a script in this
    process."""
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def fast_product(exact_product):
    """The matrix product that the scripts allow (--precision high)."""
    torch.set_float32_matmul_precision("high")


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A checkpoint folder with random weights and the embedded tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_file(
        Llama(LlamaConfig.from_dict(CONFIG)).state_dict(),
        folder / "model.safetensors",
        {"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(EMBEDDED / name, folder)
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    """Three sessions of two turns."""
    rows = [pair_row(turn, session) for session in range(3) for turn in (1, 2)]
    return write_rows(tmp_path / "data.jsonl", rows)


@pytest.fixture(scope="session")
def run_script_in():
    """run_script_in(folder, "judge.py", "rate", ...) runs a script there; returns the finished
    process."""

    def run(folder: Path, *words: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / str(words[0])), *map(str, words[1:])]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )

    return run


@pytest.fixture
def script(tmp_path, run_script_in):
    """script("judge.py", "rate", ...) runs it in an empty folder."""
    return partial(run_script_in, tmp_path)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run("generate.py", words...) runs a script in this process, and returns what it printed."""

    def run(*words: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        run_script(import_module(str(words[0]).removesuffix(".py")).main)
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """refused(words...) runs a script in this process, asserts exit status 2 and one line on
    stderr, and returns it."""

    def run(*words: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_script(import_module(str(words[0]).removesuffix(".py")).main)
        lines = capsys.readouterr().err.strip().splitlines()
        assert stop.value.code == 2, lines
        assert len(lines) == 1 and lines[0].startswith("error: "), lines
        return lines[0]

    return run
