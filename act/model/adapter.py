"""LoRA adapters in PEFT's layout, in and out: peft, transformers and vLLM read ours, and we theirs.

A fault is an InputError with the file and the setting or the tensor.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from act.cli import warn
from act.files import write_json
from act.model.llama import Llama
from act.model.lora import PROJECTIONS, attach, detach, lora_layers
from act.model.weights import check_finite, check_tensors, read_tensors, sampled_sha256, write_whole
from act.records import InputError, read_json

# What adapter_config.json says: as `written` here; `plain` settings with their values (of
# "init_lora_weights" the starts that leave the base model as it is), and those that do not matter
# or are read. Anything else that is set could change what the adapter computes.
PEFT = read_json(Path(__file__).with_name("peft.json"))


def load_adapter(model: Llama, folder: str | Path) -> None:
    """Attach an adapter in PEFT's layout, frozen, replacing the one that is there."""
    folder = Path(folder)
    config = read_json(folder / "adapter_config.json")
    check_adapter(config, folder)
    tensors = read_tensors(folder / "adapter_model.safetensors")
    ranks = {len(tensor) for name, tensor in tensors.items() if "lora_A" in name and tensor.dim()}
    if ranks != {config["r"]}:  # before memory of that size is taken
        said = f"adapter_config.json says r = {config['r']}, its tensors are of rank"
        raise InputError(f"{folder}: {said} {', '.join(map(str, sorted(ranks)))}")
    detach(model)
    attach(model, config["r"], config["lora_alpha"], tuple(config["target_modules"]))
    expected = adapter_tensors(model)
    check_tensors(expected, tensors, folder)
    check_finite(tensors, folder)
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
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float):
        raise InputError(f"{folder}: adapter_config.json needs r, above 0, and lora_alpha")
    if not isinstance(targets, list) or not all(one in PROJECTIONS for one in targets):
        read = f"a list from {', '.join(PROJECTIONS)} is read"
        raise InputError(f"{folder}: target_modules is {targets!r}; {read}")


def save_adapter(
    model: Llama,
    folder: str | Path,
    base: str,
    rank: int,
    alpha: float,
    merged: dict[str, Tensor] | None = None,
) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as PEFT does; weights last.

    With what `merge` gave, the adapter that is written holds both, for the base without either.
    """
    folder = Path(folder)
    tensors = adapter_tensors(model)
    if merged:
        tensors = stack(merged, tensors, alpha / rank)
        # the scales are in B now: alpha / r is 1
        rank = alpha = rank + len(next(iter(merged.values())))
    config = PEFT["written"] | {
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted({name.split(".")[-3] for name in tensors}),
    }
    write_json(config, folder / "adapter_config.json")
    write_whole(tensors, folder / "adapter_model.safetensors")


@torch.no_grad()
def merge(model: Llama) -> dict[str, Tensor]:
    """Add the adapter that is worn to the weights, W + s B A, and take it off: a base model again.

    Returns the adapter, s B in place of B, under PEFT's names.
    """
    for layer in lora_layers(model).values():
        layer.lora_B.mul_(layer.scale)
        weight = layer.weight.float() + layer.lora_B @ layer.lora_A  # (out, in)
        layer.weight = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=False)
    merged = adapter_tensors(model)
    detach(model)
    return merged


def stack(first: dict[str, Tensor], second: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """One adapter of scale 1 for two: [B1, s B2] [A1; A2] = B1 A1 + s B2 A2, of rank r1 + r2.

    `first` is what `merge` gave; it may leave layers alone that the second has.
    """
    rank = len(next(tensor for name, tensor in first.items() if "lora_A" in name))  # r1
    stacked = {}
    for name, tensor in second.items():
        if "lora_A" in name:
            below = first.get(name, tensor.new_zeros(rank, tensor.shape[1]))
            stacked[name] = torch.cat([below, tensor])  # (r1 + r2, in)
        else:
            below = first.get(name, tensor.new_zeros(len(tensor), rank))
            stacked[name] = torch.cat([below, scale * tensor], dim=1)  # (out, r1 + r2)
    return stacked


def warn_other_base(base: Path, adapter: Path) -> None:
    """A line on stderr where an adapter's train.json says that it was trained on another base."""
    report = adapter / "train.json"
    made_with = read_json(report).get("arguments", {}) if report.is_file() else {}
    trained_on = made_with.get("model_sampled_sha256")
    if trained_on and trained_on != sampled_sha256(base):
        said = f"trained on another model than {base} (its train.json: {made_with.get('model')})"
        warn(f"{adapter}: {said}")


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapter's parameters under PEFT's names: A (r, in) and B (out, r) of each layer."""
    tensors = {}
    for name, layer in lora_layers(model).items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = layer.lora_A
        tensors[f"base_model.model.{name}.lora_B.weight"] = layer.lora_B
    return tensors
