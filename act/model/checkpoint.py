"""Models as Hugging Face folders, in and out.

A fault is an InputError with the file and the setting or the tensor.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from act.cli import warn
from act.files import whole_file, write_json
from act.model.adapter import load_adapter
from act.model.llama import Llama, LlamaConfig
from act.model.spec import split_spec
from act.model.weights import check_layout, check_tensors, read_folder, write_whole
from act.records import InputError, read_json

TOKENIZER_FILES = ("*token*.*", "chat_template.j*", "generation_config.json")


def read_config(folder: Path) -> LlamaConfig:
    """What a model folder's config.json says. Raises InputError for what this model is not."""
    if not (folder / "config.json").is_file():
        check_layout(folder)
    try:
        return LlamaConfig.from_dict(read_json(folder / "config.json"))
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from None


def load_model(spec: str | Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Llama:
    """The model of FOLDER or FOLDER+ADAPTER, frozen. `dtype` None: the file's.

    Raises InputError for a config or a tensor that this model would compute wrongly.
    """
    folder, adapter = split_spec(spec)
    # 1. name -> tensor, memory-mapped; some files repeat the tied matrix, or have it untied
    config, tensors = read_config(folder), read_folder(folder)
    untied = config.tie_word_embeddings and not same_head(tensors)
    if untied:
        config = replace(config, tie_word_embeddings=False)
    elif config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    # 2. the shapes alone, from the config: exactly the model's, of one type
    with torch.device("meta"):
        model = Llama(config)
    check_tensors(model.state_dict(), tensors, folder)
    if untied:
        warn(f"{folder}: config.json ties the head to the embedding, but its own differs: taken")
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


def same_head(tensors: dict[str, Tensor]) -> bool:
    """Is a file's head, if it has one, the embedding once more, as the narrower of the two?"""
    head = tensors.get("lm_head.weight")
    embedding = tensors.get("model.embed_tokens.weight")
    if head is None or embedding is None:
        return head is None
    narrow = min(head.dtype, embedding.dtype, key=lambda dtype: dtype.itemsize)
    return torch.equal(head.to(narrow), embedding.to(narrow))


def save_model(model: Llama, folder: str | Path, source: Path) -> None:
    """Write a whole model as a Hugging Face folder; config and tokenizer are those of `source`,
    which is another folder."""
    folder = Path(folder)
    for pattern in TOKENIZER_FILES:
        for file in source.glob(pattern):
            with whole_file(folder / file.name) as partial:
                partial.write_bytes(file.read_bytes())
    dtype = str(model.head.dtype).removeprefix("torch.")
    config = read_json(source / "config.json") | {"dtype": dtype, "torch_dtype": dtype}
    config["tie_word_embeddings"] = model.config.tie_word_embeddings
    write_json(config, folder / "config.json")
    write_whole(dict(model.named_parameters()), folder / "model.safetensors")
