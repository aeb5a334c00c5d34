"""Products by oneDNN: what its caches hold."""

import subprocess
import sys

import pytest

from kernels.linear import HAS_ONEDNN
from tests.conftest import ROOT

MANY_SHAPES = """
import torch
from kernels import linear

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))

def multiply(rows):
    for n in rows:
        x, weight = torch.ones(n, 64), torch.ones(64, 64)
        torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

multiply(range(1, 301))
before = resident()
multiply(range(301, 901))
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONEDNN or sys.platform != "linux", reason="needs oneDNN and /proc")
def test_ever_new_shapes_do_not_fill_memory():
    """600 more shapes: 80 MiB at most. With oneDNN's own limit of 1,024 compiled products it is
    some hundred."""
    run = subprocess.run(
        [sys.executable, "-c", MANY_SHAPES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 80
