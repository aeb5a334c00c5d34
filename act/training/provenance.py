"""What made an adapter, for train.json, beside its arguments and checksums: versions, the project's
commit.

A run that is resumed must have the same arguments, data and base model as before; train.py compares
them. Versions and the number of processes are written down and may change.
"""

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from act.training import distributed

PROJECT = Path(__file__).parents[2]


def provenance() -> dict:
    """Versions, processes, and the commit of the project ("-dirty" where its files differ), None
    where it has none."""
    versions = {"python": platform.python_version()}
    versions |= {
        name: version(name) for name in ("torch", "safetensors", "tokenizers", "sentencepiece")
    }
    describe = [
        "git",
        "-C",
        str(PROJECT),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    commit = None
    if (PROJECT / ".git").exists() and shutil.which("git"):
        commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() or None
    return {"versions": versions, "processes": distributed.processes(), "commit": commit}
