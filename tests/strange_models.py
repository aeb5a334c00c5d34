"""Model folders that somebody might give: each row of docs/inputs.md as a change of a good one.

The good one is a tiny checkpoint with the embedded model's tokenizer (conftest's `folder`).
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Change = Callable[[Path], object]
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
WEIGHTS = "model.safetensors"
MISTRAL = {"model_type": "mistral", "max_position_embeddings": 32768}
LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def edit(name: str, **changes: object) -> Change:
    """A change of fields of a JSON file; one that becomes ... goes."""

    def change(folder: Path) -> None:
        file = folder / name
        content = json.loads(file.read_text()) if file.is_file() else {}
        content |= changes
        kept = {key: value for key, value in content.items() if value is not ...}
        file.write_text(json.dumps(kept))

    return change


def config(**changes: object) -> Change:
    """A change of config.json."""
    return edit("config.json", **changes)


def renamed(*pairs: tuple[str, str]) -> Change:
    """Token names changed in tokenizer.json, in a folder whose template is not known."""

    def change(folder: Path) -> None:
        edit("tokenizer_config.json", chat_template=PLAIN)(folder)
        text = (folder / "tokenizer.json").read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (folder / "tokenizer.json").write_text(text)

    return change


def weights(change: Callable[[dict], None]) -> Change:
    """A change of the tensors."""

    def changed(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})

    return changed


def head(rows: int) -> Change:
    """A head of its own in a file whose config ties it to the embedding, (49152, 16)."""
    return weights(lambda t: t.update({"lm_head.weight": torch.ones(rows, 16)}))


def narrow_copy(tensors: dict) -> None:
    """The embedding once more as the head, rounded to another type."""
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].bfloat16()


def pointer(name: str) -> Change:
    """What a clone without git-lfs leaves of a file."""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n"
    return lambda folder: (folder / name).write_text(text)


def llama3(**changes: object) -> Change:
    """Llama 3's rope_scaling but for one number."""
    scaling = {"factor": 8.0, "original_max_position_embeddings": 64}
    return config(rope_scaling=LLAMA3 | scaling | changes)


def marked(folder: Path) -> None:
    """A byte-order mark before tokenizer.json."""
    file = folder / "tokenizer.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def as_folder(folder: Path) -> None:
    """A folder where the weights should be."""
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()


def instead(*names: str) -> Change:
    """Other files in the weights' place."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        for name in names:
            (folder / name).write_bytes(b"")

    return change


def alone(*names: str) -> Change:
    """Nothing but other files."""

    def change(folder: Path) -> None:
        for file in folder.iterdir():
            file.unlink()
        for name in names:
            (folder / name).write_text("{}")

    return change


def quantised(method: str) -> Change:
    """The config of weights that were quantised."""
    return config(quantization_config={"quant_method": method, "bits": 4})


def fewer_rows(folder: Path) -> None:
    """An embedding, and its config, of 49000 rows for 49152 tokens."""
    name = "model.embed_tokens.weight"
    config(vocab_size=49000)(folder)
    weights(lambda t: t.update({name: t[name][:49000].clone()}))(folder)


def as_float8(tensors: dict) -> None:
    """One tensor in eight bits."""
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)


def tiktoken(folder: Path) -> None:
    """Lines of a token in base64 and its rank, which is no sentencepiece model."""
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")


def shards(folder: Path) -> None:
    """Another model in shards beside the whole file, as where `--out` had held one."""
    tensors = {name: t * 0 for name, t in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / "model-00001-of-00001.safetensors", {"format": "pt"})
    places = dict.fromkeys(tensors, "model-00001-of-00001.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}))


STRANGE: dict[str, Change] = {
    "vocab_size 49000": fewer_rows,
    "eos_token_id 60000": edit("generation_config.json", eos_token_id=[2, 60000]),
    'eos_token_id "</s>"': edit("generation_config.json", eos_token_id="</s>"),
    "a template not known here": edit("tokenizer_config.json", chat_template=PLAIN),
    "chat_template.jinja": lambda folder: (folder / "chat_template.jinja").write_text(PLAIN),
    "no template": edit("tokenizer_config.json", chat_template=...),
    "chat_template 7": edit("tokenizer_config.json", chat_template=7),
    "ChatML without im_end": renamed(("<|im_end|>", "<|other|>")),
    "Llama 3 without begin_of_text": renamed(("<|im_start|>", "<|start_header_id|>")),
    "[INST] without </s>": renamed(
        ("<|im_start|>", "[INST]"), ("<|im_end|>", "[/INST]"), ("<repo_name>", "<s>")
    ),
    "no known tokens": renamed(("<|im_start|>", "<|start|>")),
    "tokenizer.json cut off": lambda folder: (folder / "tokenizer.json").write_text('{"model"'),
    "tokenizer.model of Llama 3's original": tiktoken,
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "tied, a head of other values": head(49152),
    "tied, a head of another shape": head(100),
    "tied, the same head in bfloat16": weights(narrow_copy),
    "mistral, sliding_window null": config(**MISTRAL, sliding_window=None),
    "mistral, no sliding_window": config(**MISTRAL),
    'mistral, sliding_window "4k"': config(**MISTRAL, sliding_window="4k"),
    "gptq": quantised("gptq"),
    "awq": quantised("awq"),
    "bitsandbytes": quantised("bitsandbytes"),
    "float8": weights(as_float8),
    "rope_theta null": config(rope_theta=None),
    "rope_theta in a list": config(rope_theta=[10000.0]),
    "rope_theta NaN": config(rope_theta=float("nan")),
    "rope_scaling 8": config(rope_scaling=8),
    "rope_scaling with factor null": llama3(factor=None),
    "rope_scaling with factor 0": llama3(factor=0),
    "low_freq_factor 4": llama3(low_freq_factor=4.0),
    "rope_theta 0": config(rope_theta=0),
    "partial_rotary_factor 0.5": config(partial_rotary_factor=0.5),
    "partial_rotary_factor in rope_parameters": config(
        rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.5}
    ),
    "layers that slide": config(layer_types=["full_attention", "sliding_attention"]),
    "layer_types 2": config(layer_types=2),
    "a classifier": config(architectures=["LlamaForSequenceClassification"]),
    "architectures and layer_types of Llama": config(
        architectures=["LlamaForCausalLM"], layer_types=["full_attention"] * 2
    ),
    "max_position_embeddings 0": config(max_position_embeddings=0),
    "num_hidden_layers 10,000,000": config(num_hidden_layers=10**7),
    "vocab_size of 31 digits": config(vocab_size=10**30),
    "config.json as a Git LFS pointer": pointer("config.json"),
    "tokenizer.json as a Git LFS pointer": pointer("tokenizer.json"),
    "model.safetensors as a Git LFS pointer": pointer(WEIGHTS),
    "model.safetensors that is a folder": as_folder,
    "tokenizer.json with a byte-order mark": marked,
    "rope_parameters a kind of layer": config(
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1e6}}
    ),
    "rope_type yarn": config(rope_scaling={"rope_type": "yarn", "factor": 4.0}),
    "rope_type linear": config(rope_scaling={"type": "linear", "factor": 4.0}),
    "rope_type dynamic": config(rope_scaling={"type": "dynamic", "factor": 4.0}),
    "hidden_size [[16]]": config(hidden_size=[[16]]),
    'num_attention_heads "4"': config(num_attention_heads="4"),
    "num_attention_heads 0": config(num_attention_heads=0),
    "num_key_value_heads 3": config(num_key_value_heads=3),
    "vocab_size true": config(vocab_size=True),
    'tie_word_embeddings "yes"': config(tie_word_embeddings="yes"),
    "model_type qwen2": config(model_type="qwen2"),
    "pytorch_model.bin alone": instead("pytorch_model.bin"),
    "model.gguf alone": alone("model.gguf"),
    "consolidated.00.pth": alone("consolidated.00.pth", "params.json", "tokenizer.model"),
    "consolidated.safetensors": instead("consolidated.safetensors"),
    "weights.pth alone": instead("weights.pth"),
    "shards without their index": instead("model-00001-of-00002.safetensors"),
    "an adapter alone": alone("adapter_config.json", "adapter_model.safetensors"),
    "model.safetensors and an index": shards,
}
"""Given, as in docs/inputs.md -> what makes it of a good folder."""
