"""log.jsonl of a training run: a line before the first step, one a step, and one after the last.

The lines before and after hold the held-out metrics. A run that is resumed goes on after the line
of the step whose state it has.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

from act.files import append_whole
from act.training.distributed import processes

try:
    import resource
except ImportError:  # Windows
    resource = None

LOSSES = ("loss", "nll", "odds_ratio_loss", "chosen_logp", "rejected_logp", "margin", "accuracy")


class RunLog:
    """The log as a file, as `before`, its first record, and `last_step`, its last step's losses.

    Lines after step `done` are cut off in place, so that a kill at any moment leaves those before
    them. Should some of these be missing, the run goes on, and says so.
    """

    def __init__(self, path: Path | None, done: int):
        """`path` is None in all processes but the first: they have no log."""
        self.before: dict = {"step": 0}  # held-out metrics of the untrained model
        self.last_step: dict = {}  # LOSSES of the last step
        self.file = path and open(path, "ab+", buffering=0)  # noqa: SIM115 (held for the whole run)
        if not path:
            return
        self.file.seek(0)
        size = lines = 0  # bytes and lines that stay
        for line in self.file.read().splitlines(keepends=True) if done else ():
            try:
                record = json.loads(line)
                later = record["step"] > done
            except (ValueError, LookupError, TypeError, RecursionError):  # torn, or damaged
                break
            is_last = record["step"] and "loss" not in record  # the evaluation after all steps
            if later or is_last or not line.endswith(b"\n"):
                break
            self._take(record)
            size, lines = size + len(line), lines + 1
        self.file.truncate(size)
        lacking = done + 1 - lines  # the line before the first step is one more
        if done and lacking > 0:
            said = f"lacks {lacking} lines up to step {done}, and will"
            print(f"warning: {path}: {said}", file=sys.stderr)

    def _take(self, record: dict) -> None:
        if record["step"] == 0:
            self.before = record
        elif "loss" in record:
            self.last_step = {name: record[name] for name in LOSSES if name in record}

    def write(self, record: dict) -> dict:
        """Append a line, show it, and return the record."""
        if self.file:
            self._take(record)
            append_whole(self.file, json.dumps(record).encode() + b"\n", sync=False)
            tqdm.write(" | ".join(f"{name} {shown(value)}" for name, value in record.items()))
        return record

    def sync(self) -> None:
        """Return once the lines are on the disk: a saved state never has more steps than they."""
        if self.file:
            os.fsync(self.file.fileno())


def shown(value: float) -> str:
    """Whole numbers whole, others to four digits."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def peak_memory_gib(device: str) -> float:
    """GiB that this process has held at most: of a GPU as tensors, or of the machine's memory."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**30
    if not resource:
        return 0.0  # Windows tells of it otherwise
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, KiB on Linux


def provenance() -> dict:
    """What may change between runs: versions, processes, this project's commit ("-dirty": files
    differ)."""
    packages = ("torch", "safetensors", "tokenizers", "sentencepiece")
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
    project, commit = Path(__file__).parents[2], None
    if (project / ".git").exists() and shutil.which("git"):
        words = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(["git", "-C", project, *words], capture_output=True, text=True)
        commit = done.stdout.strip() or None
    return {"versions": versions, "processes": processes(), "commit": commit}
