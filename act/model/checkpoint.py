"""Weights in and out: Hugging Face folders (safetensors, sharded or not) and adapters in PEFT's
layout.

Only safetensors are read, never pickle. Every fault of a file is an InputError that names the file
and the tensor.
"""

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

PEFT_PREFIX = "base_model.model."
# what adapter_config.json may say; anything else that is set could change what the adapter computes
PLAIN = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (
        True,
        False,
        None,
        "gaussian",
        "orthogonal",
    ),  # starts that leave the base model as it is
    "megatron_core": ("megatron.core",),  # read with "megatron_config" alone
    "qalora_group_size": (16,),  # ... with "use_qalora"
}
NO_MATTER = (  # or is read below
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "lora_alpha",
    "lora_dropout",
    "peft_version",
    "r",
    "revision",
    "target_modules",
    "task_type",
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file, memory-mapped. Raises InputError if it is not there or
    not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except SafetensorError as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); was the download cut off?"
        ) from None


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder: `model.safetensors`, or the shards its index names.

    Raises InputError for pickled weights, and for a shard that is missing or lacks what the index
    says it holds.
    """
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        if not (folder / "model.safetensors").is_file() and list(folder.glob("*.bin")):
            raise InputError(
                f"{folder}: only pickled weights (*.bin), which are never read; convert to safetensors"
            )
        return read_tensors(folder / "model.safetensors")
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict):
        raise InputError(f'{index}: no "weight_map"')
    tensors = {}
    for shard in sorted(set(shards.values())):
        held = read_tensors(folder / shard)
        for name in (name for name, place in shards.items() if place == shard):
            if name not in held:
                raise InputError(f"{folder / shard}: lacks {name}, which the index says it holds")
            tensors[name] = held[name]
    return tensors


def check_tensors(expected: dict[str, Tensor], found: dict[str, Tensor], where: Path) -> None:
    """Raise InputError for the first tensor that is missing, extra, misshapen or not
    floating-point."""
    for name in sorted(expected.keys() - found.keys()):
        raise InputError(f"{where}: tensor {name} is missing")
    for name in sorted(found.keys() - expected.keys()):
        raise InputError(
            f"{where}: tensor {name} has no place in this model; is config.json of another model?"
        )
    for name, tensor in found.items():
        want = tuple(expected[name].shape)
        if tuple(tensor.shape) != want:
            raise InputError(
                f"{where}: tensor {name} has shape {tuple(tensor.shape)}, config.json says {want}"
            )
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise InputError(
                f"{where}: tensor {name} is {tensor.dtype}; float32, bfloat16 and float16 are read"
            )


def load_model(spec: str | Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Llama:
    """The model of a MODEL argument, frozen: FOLDER, or FOLDER+ADAPTER. `dtype` None keeps the
    file's.

    Raises InputError, with the file's name, for a config or a tensor that this model would compute
    wrongly.
    """
    folder, adapter = split_spec(spec)
    raw = read_json(folder / "config.json")
    try:
        config = LlamaConfig.from_dict(raw)
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from None
    with torch.device("meta"):
        model = Llama(config)
    tensors = read_folder(folder)
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)  # some files repeat the tied matrix
    check_tensors(model.state_dict(), tensors, folder)
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    if dtype is None and len(dtypes) > 1:
        raise InputError(
            f"{folder}: its tensors are {' and '.join(dtypes)}; convert it to one (train.py: give --dtype)"
        )
    model.load_state_dict(
        {
            name: tensor.to(device=device, dtype=dtype or tensor.dtype)
            for name, tensor in tensors.items()
        },
        strict=True,
        assign=True,
    )
    if adapter:
        load_adapter(model, adapter)
    return model.requires_grad_(False)


def base_folder(spec: str | Path) -> Path:
    """The folder of a MODEL argument that must be a base model, without an adapter."""
    folder, adapter = split_spec(spec)
    if adapter:
        raise InputError(f"{spec}: a base model's folder is wanted here, without +ADAPTER")
    return folder


def is_endpoint(spec: str | Path) -> bool:
    """Is a MODEL argument NAME@URL?"""
    return "@" in str(spec) and "://" in str(spec)


def split_endpoint(spec: str) -> tuple[str, str]:
    """(NAME, URL) of NAME@URL."""
    name, _, url = spec.partition("@")
    return name, url


def model_name(spec: str) -> str:
    """What a MODEL argument is called in short: an endpoint's NAME, or its folders' names.

    >>> model_name("gpt-5@https://api.openai.com/v1"), model_name("models/smollm2+runs/judge")
    ('gpt-5', 'smollm2+judge')
    """
    if is_endpoint(spec):
        return split_endpoint(spec)[0]
    return "+".join(path.resolve().name for path in split_spec(spec) if path)


def split_spec(spec: str | Path) -> tuple[Path, Path | None]:
    """FOLDER or FOLDER+ADAPTER as paths; a folder whose own name holds a + is taken as it
    stands."""
    if is_endpoint(spec):
        raise InputError(f"{spec}: an endpoint; a model folder is wanted here")
    folder, plus, adapter = str(spec).rpartition("+")
    if not plus or Path(spec).is_dir():
        folder, adapter = str(spec), ""
    for path in (folder, adapter):
        if path and not Path(path).is_dir():
            raise InputError(f"{path}: no such folder")
    return Path(folder), Path(adapter) if adapter else None


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapter's parameters under PEFT's names."""
    return {
        f"{PEFT_PREFIX}{name}.{part}.weight": getattr(layer, part)
        for name, layer in lora_layers(model).items()
        for part in ("lora_A", "lora_B")
    }


def save_adapter(model: Llama, folder: str | Path, base: str, rank: int, alpha: float) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as PEFT does; the weights come
    last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in lora_layers(model)}),
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
    }
    write_json(config, folder / "adapter_config.json")
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in adapter_tensors(model).items()
    }
    write_whole(tensors, folder / "adapter_model.safetensors")


def save_model(model: Llama, folder: str | Path, source: Path) -> None:
    """Write a whole model as a Hugging Face folder; config and tokenizer come from the folder it
    began as."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = (
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
    )
    for name in (*tokenizer, "chat_template.jinja", "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    dtype = str(model.head.dtype).removeprefix("torch.")
    config = read_json(source / "config.json") | {"dtype": dtype, "torch_dtype": dtype}
    write_json(config, folder / "config.json")
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()
    }
    write_whole(tensors, folder / "model.safetensors")


def write_whole(
    tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file that is there whole or not at all, also when the machine goes
    down."""
    partial = path.with_name(path.name + ".part")
    save_file(tensors, partial, metadata=metadata or {"format": "pt"})
    settle(partial, path)


def write_json(record: dict, path: Path) -> None:
    """Write a JSON file that is there whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(record, indent=2) + "\n")
    settle(partial, path)


def settle(partial: Path, path: Path) -> None:
    """Give a finished file its name, once its bytes are on the disk."""
    with open(partial, "rb+") as file:
        os.fsync(file.fileno())
    partial.rename(path)


def load_adapter(model: Llama, folder: str | Path) -> None:
    """Attach an adapter in PEFT's layout, frozen, replacing the one that is there.

    Raises InputError for a kind of adapter, or a tensor, that would be applied wrongly.
    """
    folder = Path(folder)
    config = read_json(folder / "adapter_config.json")
    for name, value in config.items():
        unset = value is None or value is False or value in ({}, [])
        if (
            name not in NO_MATTER
            and value not in PLAIN.get(name, ())
            and (name in PLAIN or not unset)
        ):
            raise InputError(
                f"{folder}: adapter_config.json has {name} = {value!r}, which is not computed here"
            )
    if not (
        isinstance(config.get("r"), int)
        and config["r"] > 0
        and isinstance(config.get("lora_alpha"), int | float)
    ):
        raise InputError(f"{folder}: adapter_config.json needs r, above 0, and lora_alpha")
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not set(targets) <= set(PROJECTIONS):
        raise InputError(
            f"{folder}: target_modules is {targets!r}; a list from {', '.join(PROJECTIONS)} is read"
        )
    detach(model)
    attach(model, config["r"], config["lora_alpha"], tuple(targets))
    tensors = read_tensors(folder / "adapter_model.safetensors")
    check_tensors(adapter_tensors(model), tensors, folder)
    with torch.no_grad():
        for name, parameter in adapter_tensors(model).items():
            parameter.copy_(tensors[name])
    model.requires_grad_(False)
