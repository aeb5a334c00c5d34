"""What made an adapter, for train.json: checksums of what went in, versions, the project's commit.

A run that is resumed must have the same arguments, data and base model as before; train.py compares them. Versions and
the number of processes are written down and may change.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PIECE = 2**20  # bytes; the header of a safetensors file, tens of KB, lies in the first piece
PIECES = 64


def sampled_sha256(folder: str | Path) -> str:
    """SHA-256 of what is read of a model folder: its files' names, sizes and bytes.

    Of a file over 64 MiB 64 pieces of 1 MiB are read, evenly spread from its first byte to its last, which takes a
    tenth of a second: another model differs in all of them, but an edit of a few weights can be missed.
    """
    digest, names = hashlib.sha256(), ("config.json", "tokenizer.json", "tokenizer.model")
    for path in sorted(p for p in Path(folder).iterdir() if p.name in names or p.suffix == ".safetensors"):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with open(path, "rb") as file:
            if size <= PIECE * PIECES:
                digest.update(file.read())
                continue
            for piece in range(PIECES):
                file.seek((size - PIECE) * piece // (PIECES - 1))
                digest.update(file.read(PIECE))
    return digest.hexdigest()


def made_with() -> dict:
    """Versions, processes, and the commit of the project ("-dirty" where its files differ), None where it has none."""
    versions = {name: version(name) for name in ("torch", "safetensors", "tokenizers", "sentencepiece")}
    describe = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    commit = None
    if (PROJECT / ".git").exists() and shutil.which("git"):
        commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() or None
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return {"versions": {"python": platform.python_version(), **versions}, "processes": processes, "commit": commit}
