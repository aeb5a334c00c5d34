"""`make gpu` in a tiny shape on the CPU: every part runs, and is right."""

import json
import os
import subprocess
import sys

from tests import bench_gpu
from tests.bench_gpu import PARTS, Table
from tests.conftest import ROOT


def test_all_parts_run_tiny_without_sentencepiece_and_scipy(tmp_path):
    """transformers' logits, gradients one by one and log-probs in float64 are met; of the kernel's
    peers Liger alone may be missing, and says so."""
    program = (
        "import sys; sys.modules.update(sentencepiece=None, scipy=None)\n"
        "import runpy; runpy.run_module('tests.bench_gpu', run_name='__main__')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, "--tiny"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["bench"] == "gpu" and set(PARTS) < set(result)
    failed = [row.get("what") for name in PARTS for row in result[name] if "failed" in row]
    assert set(failed) <= {"liger"}
    for row in result["parity"]:
        assert row["float32"] < 1e-5 and row["bfloat16"] < 2 * row["theirs_bfloat16"]
    exact, half = result["gradients"]
    assert exact["error"] < 1e-5 and 1e-4 < half["error"] < 0.05
    assert all(row["error"] < 5e-3 for row in result["kernel"] if "error" in row)
    exact, half, *speeds = result["decoding"]
    assert exact["trunk"] == half["trunk"] == 84
    assert exact["error"] < 1e-5 and half["error"] < 0.02
    assert [row["rows"] for row in speeds] == [3, 5, 3, 5]
    assert {row["tokens"] for row in result["step"] if "tokens" in row} == {155}


def test_what_fails_says_so_and_the_rest_goes_on(capsys):
    """A row, and a whole part."""

    def half(table: Table) -> None:
        table.row(lambda: {"ms": 1.0}, what="first")
        table.row(lambda: 1 / 0, what="second")
        table.row(lambda: {"ms": 2.0}, what="third")
        raise RuntimeError("out of memory")

    table = Table("kernel")
    table.row(lambda: half(table))
    assert table.rows == [
        {"what": "first", "ms": 1.0},
        {"what": "second", "failed": "ZeroDivisionError: division by zero"},
        {"what": "third", "ms": 2.0},
        {"failed": "RuntimeError: out of memory"},
    ]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_sessions_tree_is_counted_by_hand():
    """30 and 6 tokens, then 4 times 5 and 6; behind each of 5 prompts 3 tokens that two answers
    share, and 6 of each: 80 + 5 x 15."""
    pairs = bench_gpu.session(bench_gpu.TINY)
    assert [len(pair.chosen.ids) for pair in pairs] == [45, 56, 67, 78, 89]
    tree = {
        tuple(a.ids[: i + 1]) for pair in pairs for a in pair.answers for i in range(len(a.ids))
    }
    assert len(tree) == 80 + 5 * 15
