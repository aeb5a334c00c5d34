"""log.jsonl of a training run: a line before the first step, one a step, and one after the last;
and what a run says on the way.

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
from act.records import counted
from act.training.distributed import processes

try:
    import resource
except ImportError:  # Windows
    resource = None

LOSSES = ("loss", "nll", "odds_ratio_loss", "chosen_logp", "rejected_logp", "margin", "accuracy")
SHOWN = {  # what of a record stands in its line, and what it is called there
    "loss": "loss",
    "nll": "nll",
    "chosen_logp": "chosen",
    "rejected_logp": "rejected",
    "margin": "margin",
    "grad_norm": "norm",
}
FEW = 10  # steps, below which a run says before it starts what would help


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
            if len(record) > 1:  # there is more to say than the step
                tqdm.write(shown(record))
        return record

    def sync(self) -> None:
        """Return once the lines are on the disk: a saved state never has more steps than they."""
        if self.file:
            os.fsync(self.file.fileno())


def shown(record: dict) -> str:
    """A record's line, of at most 100 columns; the file has every number to all its digits."""
    is_step = "loss" in record
    parts = [f"step {record['step']}"] if is_step else [f"held out, step {record['step']}"]
    for name, told in SHOWN.items():
        if name in record:
            places = 3 if abs(record[name]) < 9.9995 else 1  # 9.999, 10.0
            parts.append(f"{told} {record[name]:.{places}f}")
    return " | ".join(parts)


def announce(data: dict[str, dict], parameters: int, steps: int, batch: int) -> None:
    """What a user sees before the first step: how much there is to learn from, and to train."""
    if batch < processes():
        idle = f"some of the {processes()} processes without work"
        print(f"warning: --batch {batch} leaves {idle}")
    for name, numbers in data.items():
        told = ", ".join(f"{what} {n}" for what, n in numbers.items() if n)
        told = told or "nothing, so no replies.txt (--held-out-sessions N)"
        print(f"{name}: {told}".replace("_", " "))
    left = counted(steps, "step")
    print(f"{parameters:,} trainable parameters; {left}", flush=True)
    if steps < FEW:
        cure = "--epochs N makes more, --lr LR larger ones"
        print(f"warning: {left}: few to learn from; {cure}", flush=True)


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
