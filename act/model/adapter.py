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
from act.model.templates import TEMPLATES
from act.model.tokenizer import ChatTokenizer
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
        unset = value is None or value is False or value in ({}, [])  # 0 may be a layer
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


def save_adapter(model: Llama, folder: str | Path, base: str, rank: int, alpha: float) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as PEFT does; weights last.

    Where one adapter lies under another, both are written as one, for the base without either.
    """
    folder = Path(folder)
    tensors = adapter_tensors(model)
    r = len(next(tensor for name, tensor in tensors.items() if "lora_A" in name))
    config = PEFT["written"] | {
        "base_model_name_or_path": base,
        "r": r,
        "lora_alpha": alpha if r == rank else r,  # of two the scales are in B
        "target_modules": sorted({name.rpartition(".")[2] for name in lora_layers(model)}),
    }
    write_json(config, folder / "adapter_config.json")
    write_whole(tensors, folder / "adapter_model.safetensors")


def warn_trained_otherwise(base: Path, adapter: Path, tokenizer: ChatTokenizer) -> None:
    """A line on stderr where an adapter's train.json tells of another base or chat template."""
    try:
        made_with = read_json(adapter / "train.json").get("arguments")
    except (InputError, OSError):  # none, or another program's
        return
    trained_on = made_with.get("model_sampled_sha256") if isinstance(made_with, dict) else None
    if not trained_on:
        return
    if trained_on != sampled_sha256(base):
        said = f"trained on another model than {base} (its train.json: {made_with.get('model')})"
        warn(f"{adapter}: {said}")
    template = made_with.get("template") or tokenizer.usual_template
    if TEMPLATES.get(template) not in (None, tokenizer.template):
        said = f"trained with the chat template {template}, used with another"
        warn(f"{adapter}: {said}; --template {template}")


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapter under PEFT's names: A (r, in) and B (out, r) of each layer.

    Of two, one under the other, B0 A0 + s B A = [B0, s B] [A0; A]: one of rank r0 + r and scale 1.
    """
    tensors = {}
    for name, layer in lora_layers(model).items():
        A, B = layer.lora_A, layer.lora_B
        if layer.below:
            A0, B0 = layer.below
            A, B = torch.cat([A0, A]), torch.cat([B0, layer.scale * B], dim=1)
        tensors[f"base_model.model.{name}.lora_A.weight"] = A
        tensors[f"base_model.model.{name}.lora_B.weight"] = B
    return tensors
