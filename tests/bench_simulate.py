"""`make bench-simulate`: 150 clients x 6 conditions x 25 turns against a fast fake server: does
simulate.py keep up?

The client is a fake endpoint that takes --delay seconds a call, the therapist a tiny random model
with four tiny adapters, so that what is measured is our own machinery. Prints how near the client
calls a second come to what the concurrency allows, concurrency / delay, and the memory of the
process as it goes. Ends with a JSON line.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import torch
from safetensors.torch import save_file

from act.dialogue.profiles import make_profiles
from act.model.adapter import save_adapter
from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach
from act.records import CONDITIONS, check_session, read_jsonl
from tests.conftest import EMBEDDED, ROOT
from tests.fake_server import serving
from tests.tiny import CONFIG


def write_model(folder: Path) -> None:
    config = CONFIG | {"max_position_embeddings": 8192}
    torch.manual_seed(0)
    model = Llama(LlamaConfig.from_dict(config))
    base = folder / "base"
    base.mkdir()
    save_file(model.state_dict(), base / "model.safetensors", {"format": "pt"})
    (base / "config.json").write_text(json.dumps(config))
    (base / "tokenizer.json").write_bytes((EMBEDDED / "tokenizer.json").read_bytes())
    attach(model, 2, 2)
    for condition in CONDITIONS[2:]:
        save_adapter(model, folder / "adapters" / condition, "base", 2, 2)


def resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return next((int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS")), 0.0)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=150)
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument(
        "--delay", type=float, default=0.2, help="seconds the fake server takes for a call"
    )
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as place,
        serving(lambda body, n: f"It hurts, {n}.", args.delay) as fake,
    ):
        folder = Path(place)
        write_model(folder)
        (folder / "p.jsonl").write_text(
            "".join(json.dumps(p) + "\n" for p in make_profiles(args.clients, 0))
        )
        command = [
            sys.executable,
            ROOT / "simulate.py",
            "--model",
            "base",
            "--adapters",
            "adapters",
        ]
        command += ["--profiles", "p.jsonl", "--client", f"fake@{fake.url}", "--out", "s.jsonl"]
        command += ["--turns", args.turns, "--max-new-tokens", 12, "--temperature", 0]
        command += ["--format", "enforce", "--concurrency", args.concurrency, "--batch", 32]
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stderr=subprocess.DEVNULL)
        wanted, memory = args.clients * len(CONDITIONS) * args.turns, []
        while process.poll() is None:
            time.sleep(1)
            if fake.requests and process.poll() is None:
                memory.append((len(fake.requests) / wanted, resident_mib(process.pid)))
        sessions = list(read_jsonl(folder / "s.jsonl", check_session))
    assert process.returncode == 0 and len(sessions) == args.clients * len(CONDITIONS)
    whole = sum(session["status"] == "complete" for session in sessions)
    times = [request["time"] for request in fake.requests]
    per_second, limit = len(times) / (times[-1] - times[0]), args.concurrency / args.delay
    sixths = []  # peak MiB while each condition was held
    for part in range(6):
        sixths.append(max(mib for done, mib in memory if part / 6 <= done <= (part + 1) / 6))
    took = times[-1] - times[0]
    print(f"{len(sessions)} sessions, {whole} complete, {len(times)} client calls in {took:.0f} s")
    print(f"client calls a second: {per_second:.0f}; the limit at {args.concurrency}: {limit:.0f}")
    peaks = ", ".join(f"{mib:.0f}" for mib in sixths)
    print(f"peak memory in each sixth of the calls, a condition: {peaks} MiB")
    result = {"bench": "simulate", "calls_per_s": per_second, "share_of_limit": per_second / limit}
    result |= {"peak_mib_of_each_condition": sixths, "most_at_once": fake.most_at_once}
    result["cores"] = os.cpu_count()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
