"""Training the embedded model on one bundled session makes it better on another, by SFT and by
ORPO."""

import json

import pytest

from tests.conftest import EMBEDDED, ROOT

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, run_script_in):
    """Four pairs to train on and four held out, rejected answers sampled from the base model."""
    folder = tmp_path_factory.mktemp("works")
    lines = CORPUS.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "s.jsonl").write_text(lines[0] + lines[-1], encoding="utf-8")
    words = f"pairs --sessions s.jsonl --chosen transcript --rejected {EMBEDDED} --turns 4"
    words += " --max-new-tokens 48 --out pairs.jsonl"
    done = run_script_in(folder, "generate.py", *words.split())
    assert "8 pairs" in done.stdout, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "orpo"])
def test_held_out_pairs_before_and_after(pairs, run_script_in, method):
    words = f"--method {method} --model {EMBEDDED} --data pairs.jsonl --out {method}"
    words += " --held-out-sessions 1"
    small = "--lr 5e-4 --epochs 2 --batch 2 --lambda-or 0.5"
    done = run_script_in(pairs, "train.py", *words.split(), *small.split())
    assert done.returncode == 0, done.stderr
    report = json.loads((pairs / method / "train.json").read_text())
    before, after = report["before"], report["after"]
    assert after["nll"] < before["nll"] - 0.05
    assert after["chosen_logp"] > before["chosen_logp"] + 0.05
    if method == "orpo":
        assert after["margin"] > before["margin"] + 0.2
        assert after["accuracy"] >= before["accuracy"]
