"""Weights in and out: Hugging Face folders, adapters in PEFT's layout, MODEL arguments, checksums.

Only safetensors are read, never pickle. A fault is an InputError with the file and the tensor.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from act.model.llama import Llama, LlamaConfig
from act.model.lora import PROJECTIONS, attach, detach, lora_layers
from act.records import InputError, read_json

# What adapter_config.json says: as `written` here; `plain` settings with their values (of
# "init_lora_weights" the starts that leave the base model as it is), and those that do not matter
# or are read. Anything else that is set could change what the adapter computes.
PEFT = read_json(Path(__file__).with_name("peft.json"))
TOKENIZER_FILES = ("*token*.*", "chat_template.jinja", "generation_config.json")
HASHED = ("*config.json", "tokenizer.json", "tokenizer.model", "*.safetensors")
PIECE = 2**20  # bytes; the header of a safetensors file, tens of KB, lies in the first piece
PIECES = 64


def is_endpoint(spec: str | Path) -> bool:
    """Is a MODEL argument NAME@URL?"""
    return "@" in str(spec) and "://" in str(spec)


def split_endpoint(spec: str) -> tuple[str, str]:
    """(NAME, URL) of NAME@URL."""
    name, _, url = spec.partition("@")
    return name, url


def split_spec(spec: str | Path) -> tuple[Path, Path | None]:
    """FOLDER or FOLDER+ADAPTER as paths; a folder with a + in its name is taken as it stands."""
    if is_endpoint(spec):
        name = model_name(spec)  # an address may hold a key
        raise InputError(f"{name}@...: an endpoint; a model folder is wanted here")
    folder, plus, adapter = str(spec).rpartition("+")
    if not plus or Path(spec).is_dir():
        folder, adapter = str(spec), ""
    for path in (folder, adapter):
        if path and not Path(path).is_dir():
            raise InputError(f"{path}: no such folder")
    return Path(folder), Path(adapter) if adapter else None


def base_folder(spec: str | Path) -> Path:
    """The folder of a MODEL argument that must be a base model, without an adapter."""
    folder, adapter = split_spec(spec)
    if adapter:
        raise InputError(f"{spec}: a base model's folder is wanted here, without +ADAPTER")
    return folder


def model_name(spec: str | Path) -> str:
    """In short: gpt-5 of gpt-5@https://..., smollm2+judge of models/smollm2+runs/judge."""
    if is_endpoint(spec):
        return split_endpoint(str(spec))[0]
    return "+".join(path.resolve().name for path in split_spec(spec) if path)


def read_config(folder: Path) -> LlamaConfig:
    """What a model folder's config.json says. Raises InputError for what this model is not."""
    try:
        return LlamaConfig.from_dict(read_json(folder / "config.json"))
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from None


def load_model(spec: str | Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Llama:
    """The model of FOLDER or FOLDER+ADAPTER, frozen. `dtype` None: the file's.

    Raises InputError for a config or a tensor that this model would compute wrongly.
    """
    folder, adapter = split_spec(spec)
    # 1. the shapes alone, from the config; the file's tensors take their places
    config = read_config(folder)
    with torch.device("meta"):
        model = Llama(config)
    # 2. name -> tensor, memory-mapped: exactly the model's, of its shapes, of one type
    tensors = read_folder(folder)
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)  # some files repeat the tied matrix
    check_tensors(model.state_dict(), tensors, folder)
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    if dtype is None and len(dtypes) > 1:
        several = " and ".join(dtypes)
        raise InputError(f"{folder}: its tensors are {several}; convert, or give --dtype")
    # 3. they are the weights: the file's own pages on a CPU, unless another type is asked for
    for name, tensor in tensors.items():
        tensors[name] = tensor.to(device=device, dtype=dtype or tensor.dtype)
    model.load_state_dict(tensors, strict=True, assign=True)
    if adapter:
        load_adapter(model, adapter)
    return model.requires_grad_(False)


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of `model.safetensors`, or of the shards that the folder's index names."""
    index, whole = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if not index.is_file():
        if not whole.is_file() and list(folder.glob("*.bin")):
            raise InputError(f"{folder}: only pickled weights; convert *.bin to safetensors")
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
            said = f"is {tensor.dtype}; float32, bfloat16 and float16 are read"
            raise InputError(f"{where}: tensor {name} {said}")


def save_model(model: Llama, folder: str | Path, source: Path) -> None:
    """Write a whole model as a Hugging Face folder; config and tokenizer are those of `source`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in TOKENIZER_FILES:
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    dtype = str(model.head.dtype).removeprefix("torch.")
    config = read_json(source / "config.json") | {"dtype": dtype, "torch_dtype": dtype}
    write_json(config, folder / "config.json")
    write_whole(dict(model.named_parameters()), folder / "model.safetensors")


def load_adapter(model: Llama, folder: str | Path) -> None:
    """Attach an adapter in PEFT's layout, frozen, replacing the one that is there."""
    folder = Path(folder)
    config = read_json(folder / "adapter_config.json")
    check_adapter(config, folder)
    detach(model)
    attach(model, config["r"], config["lora_alpha"], tuple(config["target_modules"]))
    tensors = read_tensors(folder / "adapter_model.safetensors")
    expected = adapter_tensors(model)
    check_tensors(expected, tensors, folder)
    with torch.no_grad():
        for name, parameter in expected.items():
            parameter.copy_(tensors[name])
    model.requires_grad_(False)


def check_adapter(config: dict, folder: Path) -> None:
    """Raise InputError for an adapter_config.json that asks for more than plain LoRA."""
    for name, value in config.items():
        unset = value is None or value is False or value in ({}, [])
        plain = value in PEFT["plain"][name] if name in PEFT["plain"] else unset
        if not plain and name not in PEFT["no_matter"]:
            said = f"adapter_config.json has {name} = {value!r}, which is not computed here"
            raise InputError(f"{folder}: {said}")
    # scale alpha / rank on the projections `targets`
    rank, alpha, targets = map(config.get, ("r", "lora_alpha", "target_modules"))
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise InputError(f"{folder}: adapter_config.json needs r, above 0, and lora_alpha")
    if not isinstance(targets, list) or not set(targets) <= set(PROJECTIONS):
        read = f"a list from {', '.join(PROJECTIONS)} is read"
        raise InputError(f"{folder}: target_modules is {targets!r}; {read}")


def save_adapter(model: Llama, folder: str | Path, base: str, rank: int, alpha: float) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as PEFT does; weights last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = PEFT["written"] | {
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted({name.rpartition(".")[2] for name in lora_layers(model)}),
    }
    write_json(config, folder / "adapter_config.json")
    write_whole(adapter_tensors(model), folder / "adapter_model.safetensors")


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapter's parameters under PEFT's names: A (r, in) and B (out, r) of each layer."""
    tensors = {}
    for name, layer in lora_layers(model).items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = layer.lora_A
        tensors[f"base_model.model.{name}.lora_B.weight"] = layer.lora_B
    return tensors


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
