"""`make bench-3b`: a random checkpoint of Llama-3.2-3B's shape (bfloat16, two shards), loaded and
trained a step.

Prints the time to load it over that of reading its bytes (both from the page cache, medians of
several processes), the loader's peak memory over the checkpoint's size, and what one ORPO step of
one short pair takes. A JSON line at the end.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import save_file

from kernels.bench import resident
from tests.llama_3b import LLAMA_3B

ROOT = Path(__file__).parent.parent
CONFIG = LLAMA_3B | {"torch_dtype": "bfloat16"}


def write_checkpoint(folder: Path) -> None:
    """Two shards and their index, layer by layer, so that no more than a shard is in memory."""
    from act.model.llama import Llama, LlamaConfig

    with torch.device("meta"):
        shapes = {
            name: p.shape for name, p in Llama(LlamaConfig.from_dict(CONFIG)).state_dict().items()
        }
    names, generator = list(shapes), torch.Generator().manual_seed(0)
    weight_map = {}
    for i, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :])):
        shard = f"model-0000{i + 1}-of-00002.safetensors"
        tensors = {}
        for name in part:
            tensors[name] = torch.empty(shapes[name], dtype=torch.bfloat16)
            tensors[name].normal_(1.0 if "norm" in name else 0.0, 0.02, generator=generator)
        save_file(tensors, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(CONFIG))


def read_bytes(folder: Path) -> dict:
    start = time.perf_counter()
    for shard in sorted(folder.glob("*.safetensors")):
        with open(shard, "rb", buffering=0) as file:
            block = bytearray(2**24)
            while file.readinto(block):
                pass
    return {"seconds": time.perf_counter() - start}


def load(folder: Path) -> dict:
    """Seconds until every weight has been read, and the process's peak memory above what imports
    take."""
    from act.model.checkpoint import load_model

    before = resident("VmRSS")
    start = time.perf_counter()
    model = load_model(folder)
    touched = sum(
        p.view(torch.int16).flatten()[::2048].sum().item() for p in model.parameters()
    )  # a number a page
    seconds = time.perf_counter() - start
    peak = resident("VmHWM") - before
    return {"seconds": seconds, "peak_gib": peak / 2**20, "touched": touched}


def step(folder: Path) -> dict:
    """One ORPO step of a pair of 48 tokens of prompt and answers of 16 and 12; the adapter must
    have moved."""
    from act.model.checkpoint import load_model
    from act.model.lora import attach, lora_layers, trainable
    from act.training.examples import Answer, Example
    from act.training.state import TrainState
    from act.training.step import Objective, run_examples

    model = load_model(folder)
    torch.manual_seed(0)
    attach(model, 64, 64)
    state = TrainState(model, 0.0, 1.0)
    ids = torch.randint(128256, (76,)).tolist()
    pair = Example("s", Answer(ids[:64], 48), Answer(ids[:48] + ids[64:], 48), 0)
    start = time.perf_counter()
    metrics = run_examples(model, [pair], Objective("orpo"), backward=True)
    norm = state.update(8e-6)
    seconds = time.perf_counter() - start
    moved = all(layer.lora_B.any() for layer in lora_layers(model).values())
    peak = resident("VmHWM") / 2**20
    figures = {"seconds": seconds, "loss": metrics["loss"], "grad_norm": norm, "moved": moved}
    figures |= {"peak_gib": peak, "trainable": trainable(model), "dtype": str(model.head.dtype)}
    return figures


PARTS = {"read_bytes": read_bytes, "load": load, "step": step}


def apart(what: str, folder: Path) -> dict:
    command = [sys.executable, "-m", "tests.bench_3b", "--only", what, "--folder", str(folder)]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    )


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where the checkpoint is, or is written and kept"
    )
    parser.add_argument("--only", choices=PARTS, help="measure one thing, in this process")
    parser.add_argument("--rounds", type=int, default=3, help="runs behind each median")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(PARTS[args.only](args.folder)))
        return
    folder = args.folder or Path(tempfile.mkdtemp())
    try:
        if not (folder / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_checkpoint(folder)
        gib = sum(shard.stat().st_size for shard in folder.glob("*.safetensors")) / 2**30
        apart("read_bytes", folder)  # into the page cache
        reads, loads = [], []
        for _ in range(args.rounds):
            reads.append(apart("read_bytes", folder)["seconds"])
            loads.append(apart("load", folder))
        result = {"bench": "3b", "checkpoint_gib": gib, "read_s": median(reads)}
        result["load_s"] = median(x["seconds"] for x in loads)
        result["load_peak_gib"] = max(x["peak_gib"] for x in loads)
        result["time_ratio"] = result["load_s"] / result["read_s"]
        result["memory_ratio"] = result["load_peak_gib"] / gib
        result["step"] = apart("step", folder)
    finally:
        if not args.folder:
            shutil.rmtree(folder)
    print(f"{gib:.2f} GiB: read in {result['read_s']:.2f} s")
    print(f"loaded in {result['load_s']:.2f} s: {result['time_ratio']:.2f} times (goal 1.3)")
    peak, ratio = result["load_peak_gib"], result["memory_ratio"]
    print(f"peak memory {peak:.2f} GiB: {ratio:.2f} times (goal 1.15)")
    step = result["step"]
    print(f"one ORPO step: {step['seconds']:.0f} s, {step['peak_gib']:.1f} GiB, {step}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
