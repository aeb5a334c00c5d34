"""docs/minimal.py, ORPO on one page: what it prints is what the page says, and its steps are those
that train.py takes on the same pairs."""

import os
import re
import subprocess
import sys

import pytest

from docs import minimal
from tests.conftest import EMBEDDED, ROOT
from tests.tiny import log_of, message, run_in_process, train_flags, write_rows

STEP = r"step (\d) \| loss (\S+) \| nll (\S+) \| chosen (\S+) \| rejected (\S+) \| margin (\S+) "
STEP += r"\| norm (\S+)"


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> str:
    """What a reader sees who runs it, in another folder."""
    folder, command = tmp_path_factory.mktemp("minimal"), [sys.executable, "-m", "docs.minimal"]
    told = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}
    done = subprocess.run(command, check=True, capture_output=True, **told)
    assert (folder / "runs/minimal.png").read_bytes()[:4] == b"\x89PNG"
    return done.stdout


def rows(text: str) -> list[list[float]]:
    return [[float(number) for number in row] for row in re.findall(STEP, text)]


@pytest.mark.slow
def test_the_page_quotes_it(said):
    """docs/orpo.md: every step to 0.02 (other machines round otherwise), the replies word by
    word; the margin goes from clearly wrong to clearly right."""
    (quoted,) = re.findall(
        r"python -m docs.minimal\n```\n\n```text\n(.*?)```",
        (ROOT / "docs/orpo.md").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    found, told = rows(said), rows(quoted)
    assert len(found) == len(told) == minimal.PASSES
    for mine, theirs in zip(found, told, strict=True):
        assert mine == pytest.approx(theirs, abs=0.02)
    assert found[0][5] < -0.9 and found[-1][5] > 0.9
    replies = [line for line in said.splitlines() if "->" in line]
    assert replies == [line for line in quoted.splitlines() if "->" in line]
    assert len(replies) == 2 * len(minimal.UNSEEN)


@pytest.mark.slow
def test_train_py_takes_the_same_steps(said, tmp_path, monkeypatch):
    """The same pairs as rows of JSONL, six a step: a tree and the kernel for one at a time."""
    pairs = []
    for words, *answers in minimal.PAIRS:
        chosen, rejected = ([message("assistant", minimal.SORRY + text)] for text in answers)
        prompt = [message("user", words)]
        pairs.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    data = write_rows(tmp_path / "pairs.jsonl", pairs)
    changes = {"batch": 6, "epochs": minimal.PASSES, "lr": minimal.LR, "seed": minimal.SEED}
    changes |= {"lora_rank": minimal.RANK, "lora_alpha": minimal.RANK, "warmup": 0}
    changes |= {"lambda_or": minimal.LAMBDA_OR, "precision": "highest"}
    run_in_process(monkeypatch, *train_flags(EMBEDDED, data, tmp_path / "out", **changes))
    log = log_of(tmp_path / "out")[1:-1]
    names = ("step", *minimal.NUMBERS, "grad_norm")
    for mine, record in zip(rows(said), log, strict=True):
        assert mine == pytest.approx([record[name] for name in names], abs=2e-3)


@pytest.mark.soak
@pytest.mark.parametrize("weight", [0, 1])
def test_other_weights_end_where_the_page_says(weight):
    """The table's row of LAMBDA_OR 0 and 1: chosen, rejected and margin at steps 1 and 6."""
    code = f"from docs import minimal; minimal.LAMBDA_OR = {weight}; minimal.train()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    page = (ROOT / "docs/orpo.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {weight}(?:: SFT)? \|(.*->.*)\|$", page, flags=re.MULTILINE)
    told = [float(number) for number in re.findall(r"-?\d+\.\d+", row)]
    first, *_, last = rows(done.stdout)
    found = [step[at] for at in (3, 4, 5) for step in (first, last)]
    assert found == pytest.approx(told, abs=0.02)
