"""Tensors in files: safetensors read and checked, written whole or not at all; checksums.

Only safetensors are read, never pickle. A fault is an InputError with the file and the tensor.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from act.files import whole_file
from act.records import InputError, read_json, refuse_other

# what a folder holds that has no safetensors in Hugging Face layout -> what to do
LAYOUTS = read_json(Path(__file__).with_name("layouts.json"))
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"  # one file, or shards
# what of a model's folder is read, beside its weights, and what of an adapter's
CONFIGS = ("config.json", "generation_config.json", "chat_template.jinja", "chat_template.json")
CONFIGS += ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
PIECE = 2**20  # bytes; the header of a safetensors file, tens of KB, lies in the first piece
PIECES = 64
DIVERGED = "did the adapter's training diverge?"


def check_layout(folder: Path) -> None:
    """Raise InputError that says what to do with a folder whose weights lie otherwise."""
    for pattern, cure in LAYOUTS.items():
        if any(folder.glob(pattern)):
            raise InputError(f"{folder}: {cure.format(folder)}")


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of `model.safetensors`, or of the shards that the folder's index names."""
    places = shard_of(folder)
    if not places:
        if not (folder / WHOLE).is_file():
            check_layout(folder)
        return read_tensors(folder / WHOLE)
    shards = {shard: read_tensors(folder / shard) for shard in sorted(set(places.values()))}
    for name, shard in places.items():
        if name not in shards[shard]:
            raise InputError(f"{folder / shard}: lacks {name}, which the index says it holds")
    return {name: shards[shard][name] for name, shard in places.items()}


def shard_of(folder: Path) -> dict[str, str]:
    """Tensor -> the file that it is in, as the index of a folder of shards says; nothing for one
    whole file. Of a folder with both that is read, as in transformers: it may have been trained
    from the shards."""
    if (folder / WHOLE).is_file() or not (folder / INDEX).is_file():
        return {}
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(x, str) for x in places.values()):
        raise InputError(f'{folder / INDEX}: no "weight_map" from tensors to files')
    return places


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, memory-mapped. InputError if it is not there or whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        refuse_other(path)  # an OSError, of a folder too, has its name here
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


def check_finite(tensors: dict[str, Tensor], where: Path) -> None:
    """Raise InputError for the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            cause = "is the file damaged, or did its training diverge?"
            raise InputError(f"{where}: tensor {name} holds NaN or infinity; {cause}")


@contextmanager
def finite(folder: str | Path, cause: str) -> Iterator[None]:
    """A FloatingPointError of what is computed here becomes an InputError: with the tensor of this
    model that is to blame, or, where all are finite, with another cause."""
    try:
        yield
    except FloatingPointError as error:
        check_finite(read_folder(Path(folder)), Path(folder))
        raise InputError(f"{error}; {cause}") from None


def write_whole(tensors: dict[str, Tensor], path: Path, metadata: dict | None = None) -> None:
    """Write a safetensors file that is there whole or not at all, even if the machine goes down."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as partial:
        try:
            save_file(plain, partial, metadata=metadata or {"format": "pt"})
        except SafetensorError as error:  # the library's own, of a full disk too
            number = int(re.search(r"os error (\d+)|$", str(error))[1] or errno.EIO)
            raise OSError(number, os.strerror(number)) from None


def sha256(path: str | Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled_sha256(folder: str | Path) -> str:
    """SHA-256 of the names, sizes and bytes of a folder's configs, tokenizer and weights.

    Of a file over 64 MiB 64 pieces of 1 MiB are read, evenly spread from its first byte to its
    last, in a tenth of a second: another model differs in all of them, but an edit of a few weights
    can be missed. Other files in the folder do not matter.
    """
    digest, folder = hashlib.sha256(), Path(folder)
    names = {*ADAPTER}
    if (folder / "config.json").is_file():  # some trainers leave one beside an adapter, too
        places = shard_of(folder)
        names |= {*CONFIGS, *places.values(), INDEX if places else WHOLE}
    for path in filter(Path.is_file, sorted(map(folder.joinpath, names))):
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
