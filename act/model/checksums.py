"""What a file or a model's folder is known by, so that another one under the same path is not taken
for it.

embedded.py checks what it fetched; train.py, judge.py, and the dialogues' records keep these to
refuse what differs.
"""

import hashlib
from pathlib import Path

READ = ("*config.json", "tokenizer.json", "tokenizer.model", "*.safetensors")
PIECE = 2**20  # bytes; the header of a safetensors file, tens of KB, lies in the first piece
PIECES = 64


def sha256(path: str | Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled_sha256(folder: str | Path) -> str:
    """SHA-256 of a model's or an adapter's folder, configs, tokenizer and weights: their files'
    names, sizes and bytes.

    Of a file over 64 MiB 64 pieces of 1 MiB are read, evenly spread from its first byte to its
    last, which takes a tenth of a second: another model differs in all of them, but an edit of a
    few weights can be missed.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in READ for path in Path(folder).glob(pattern)}):
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
