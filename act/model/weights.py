"""Tensors in files: safetensors read and checked, written whole or not at all; checksums.

Only safetensors are read, never pickle. A fault is an InputError with the file and the tensor.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from act.records import InputError, read_json

# what a folder holds that has no safetensors in Hugging Face layout -> what to do
LAYOUTS = read_json(Path(__file__).with_name("layouts.json"))
HASHED = ("*config.json", "tokenizer.json", "tokenizer.model", "chat_template.j*", "*.safetensors")
PIECE = 2**20  # bytes; the header of a safetensors file, tens of KB, lies in the first piece
PIECES = 64


def check_layout(folder: Path) -> None:
    """Raise InputError that says what to do with a folder whose weights lie otherwise."""
    for pattern, cure in LAYOUTS.items():
        if any(folder.glob(pattern)):
            raise InputError(f"{folder}: {cure.format(folder)}")


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of `model.safetensors`, or of the shards that the folder's index names.

    Of a folder with both the first is read, as in transformers: it may have been trained from them.
    """
    index, whole = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if not whole.is_file() and not index.is_file():
        check_layout(folder)
    if whole.is_file() or not index.is_file():
        return read_tensors(whole)
    places = read_json(index).get("weight_map")  # tensor -> its shard
    if not isinstance(places, dict):
        raise InputError(f'{index}: no "weight_map"')
    shards = {shard: read_tensors(folder / shard) for shard in sorted(set(places.values()))}
    for name, shard in places.items():
        if name not in shards[shard]:
            raise InputError(f"{folder / shard}: lacks {name}, which the index says it holds")
    return {name: shards[shard][name] for name, shard in places.items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, memory-mapped. InputError if it is not there or whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except SafetensorError as error:
        said = f"not a whole safetensors file ({error}); was the download cut off?"
        raise InputError(f"{path}: {said}") from None


def check_tensors(expected: dict[str, Tensor], found: dict[str, Tensor], where: Path) -> None:
    """Raise InputError for the first tensor that is missing, extra, misshapen or not a float."""
    for name in sorted(expected.keys() - found.keys()):
        raise InputError(f"{where}: tensor {name} is missing")
    for name in sorted(found.keys() - expected.keys()):
        raise InputError(f"{where}: tensor {name} has no place in this model; another's config?")
    for name, tensor in found.items():
        has, want = tuple(tensor.shape), tuple(expected[name].shape)
        if has != want:
            raise InputError(f"{where}: tensor {name} has shape {has}, config.json says {want}")
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            said = f"is {tensor.dtype}; float32, bfloat16 and float16 are read, not quantised"
            raise InputError(f"{where}: tensor {name} {said}")


def write_whole(tensors: dict[str, Tensor], path: Path, metadata: dict | None = None) -> None:
    """Write a safetensors file that is there whole or not at all, even if the machine goes down."""
    partial = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, partial, metadata=metadata or {"format": "pt"})
    settle(partial, path)


def write_json(record: dict, path: Path) -> None:
    """Write a JSON file in the same way."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(record, indent=2) + "\n")
    settle(partial, path)


def settle(partial: Path, path: Path) -> None:
    """Give a finished file its name, once its bytes are on the disk."""
    with open(partial, "rb+") as file:
        os.fsync(file.fileno())
    partial.rename(path)


def sha256(path: str | Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled_sha256(folder: str | Path) -> str:
    """SHA-256 of the names, sizes and bytes of a folder's configs, tokenizer and weights.

    Of a file over 64 MiB 64 pieces of 1 MiB are read, evenly spread from its first byte to its
    last, in a tenth of a second: another model differs in all of them, but an edit of a few weights
    can be missed.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in HASHED for path in Path(folder).glob(pattern)}):
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
