"""The log-prob kernel against its floor and its peers: `python -m kernels.bench` (or --device
cuda).

The floor of a frozen head is two bare matrix products, h W' and P W; of a trainable one four:
those, h W' again and P' h. Each row runs forward and backward and takes the median of several
rounds in which the competitors take turns (slow peers once); ours and the naive kernel run once
more in a process of their own for their extra memory: all above the inputs, at the peak. Errors are
of the log-probs, against float64 on the same inputs, root mean square relative to the truth's.
Peers: the naive kernel, PyTorch's linear_cross_entropy without and with chunks, and Liger's chunked
ORPO loss (pure PyTorch, one pair of N/2 tokens) where liger_kernel is installed: `pip install
--no-deps liger-kernel`. Prints a table and a JSON line.
"""

import json
import os
import platform
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.linear import product
from kernels.logprob import logprob, naive_logprob

try:
    from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss
except ImportError:
    LigerFusedLinearORPOLoss = None

SHAPES = (
    (1024, 576, 49152),
    (512, 2048, 128256),
    (256, 3072, 128256),
)  # N, C, V: SmolLM2-135M, Llama-3.2-1B and 3B
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EVERY_ROUND = ("floor", "floor, our product", "ours", "naive")  # the other peers, slow, run once
CHECKED = 64  # tokens whose log-probs are held against float64


def inputs(
    N: int, C: int, V: int, dtype: torch.dtype, device: str, trainable: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states (N, C), head (V, C) and targets (N,), the same each time; logits have standard
    deviation 3."""
    torch.manual_seed(0)
    hidden = torch.randn(N, C, device=device).to(dtype).requires_grad_()
    weight = (torch.randn(V, C, device=device) / C**0.5 * 3).to(dtype).requires_grad_(trainable)
    return hidden, weight, torch.randint(V, (N,), device=device)


def competitors(
    hidden: Tensor, weight: Tensor, targets: Tensor
) -> dict[str, Callable[[], Tensor | None]]:
    """Each one's forward and backward pass; those that have log-probs return them."""
    N, V = len(hidden), len(weight)
    P = torch.ones(N, V, device=hidden.device, dtype=hidden.dtype)

    def floor(multiply: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        @torch.no_grad()
        def run() -> None:
            multiply(hidden, weight)
            multiply(P, weight.t())
            if weight.requires_grad:
                multiply(hidden, weight)
                multiply(P.t(), hidden.t())

        return run

    def trained(kernel: Callable[..., Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            hidden.grad = weight.grad = None
            logps = kernel(hidden, weight, targets)
            logps.mean().neg().backward()
            return logps.detach()

        return run

    def chunked(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        return -F.linear_cross_entropy(h, W, y, options=torch.nn.LinearCrossEntropyOptions())

    def whole(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        return -F.linear_cross_entropy(h, W, y, reduction="none")

    def liger(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        return -LigerFusedLinearORPOLoss(compiled=False)(W, h.view(2, N // 2, -1), y.view(2, -1))[0]

    kernels = {"ours": logprob, "naive": naive_logprob, "torch": whole, "torch chunked": chunked}
    kernels |= {"liger": liger} if LigerFusedLinearORPOLoss else {}
    return {"floor": floor(F.linear), "floor, our product": floor(product)} | {
        n: trained(k) for n, k in kernels.items()
    }


def seconds(run: Callable[[], object], device: str) -> float:
    """Wall-clock seconds of one run, with what it left for the device to do."""
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def extra_mib(name: str, hidden: Tensor, weight: Tensor, targets: Tensor) -> float:
    """Peak memory of one pass above what was there before it; for a process of its own, on a
    warmed-up library."""
    run = competitors(hidden, weight, targets)[name]
    if hidden.device.type == "cuda":
        run()
        hidden.grad = weight.grad = None
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    small = (
        hidden[:8].detach().requires_grad_(),
        weight[:64].detach().requires_grad_(weight.requires_grad),
    )
    competitors(*small, targets[:8] % 64)[name]()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the high-water mark begins anew
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) / 2**10


def resident(field: str) -> int:
    """KiB of this process: VmRSS is now, VmHWM the highest since it was reset."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


def float64_logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The truth for the first CHECKED tokens: the definition, in float64."""
    logits = hidden.detach()[:CHECKED].double() @ weight.detach().double().T
    return torch.log_softmax(logits, dim=-1).gather(1, targets[:CHECKED, None]).squeeze(1)


def error(logps: Tensor, truth: Tensor) -> float:
    """Root mean square error of the checked log-probs over the root mean square of the truth."""
    return ((logps[:CHECKED].double() - truth).norm() / truth.norm()).item()


def measure(N: int, C: int, V: int, dtype: str, head: str, rounds: int, device: str) -> dict:
    """One row of the table: each competitor's median seconds, extra MiB and error at one shape,
    type and head."""
    hidden, weight, targets = inputs(N, C, V, DTYPES[dtype], device, head == "trainable")
    runs = competitors(hidden, weight, targets)
    truth = float64_logprob(hidden, weight, targets)
    errors = {name: error(runs[name](), truth) for name in ("ours", "naive")}
    naive_float32 = naive_logprob(
        hidden.detach()[:CHECKED].float(), weight.detach().float(), targets[:CHECKED]
    )
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds):
        for name, run in runs.items():
            if i == 0 or name in EVERY_ROUND:
                times[name].append(seconds(run, device))
    medians = {name: median(values) for name, values in times.items()}
    row = {"N": N, "C": C, "V": V, "dtype": dtype, "head": head, "ours_s": medians["ours"]}
    row |= {"floor_s": medians["floor"], "floor_our_product_s": medians["floor, our product"]}
    row |= {
        "ratio": medians["ours"] / medians["floor"],
        "naive_s": medians["naive"],
        "torch_s": medians["torch"],
    }
    row |= {"torch_chunked_s": medians["torch chunked"], "liger_s": medians.get("liger")}
    for name in ("ours", "naive"):
        flags = [
            "--memory-of",
            name,
            "--row",
            *map(str, (N, C, V, dtype, head)),
            "--device",
            device,
        ]
        command = [sys.executable, "-m", "kernels.bench", *flags]
        row[f"{name}_extra_mib"] = float(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    row |= {
        "extra_mib": row.pop("ours_extra_mib"),
        "error": errors["ours"],
        "naive_error": errors["naive"],
    }
    return row | {"naive_float32_error": error(naive_float32, truth)}


def main() -> None:
    """Measure every row that the flags ask for and print it as it comes, then all as one JSON
    line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5, help="runs behind each median")
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument(
        "--heads", nargs="+", default=["frozen", "trainable"], choices=["frozen", "trainable"]
    )
    parser.add_argument(
        "--memory-of", help="one competitor's extra memory on one row, in this process"
    )
    parser.add_argument(
        "--row", nargs=5, metavar=("N", "C", "V", "DTYPE", "HEAD"), help="with --memory-of"
    )
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high" if args.device == "cpu" else "highest")
    if args.memory_of:
        N, C, V, dtype, head = args.row
        made = inputs(int(N), int(C), int(V), DTYPES[dtype], args.device, head == "trainable")
        print(extra_mib(args.memory_of, *made))
        return
    rows = []
    columns = ("ratio", "floor_s", "ours_s", "naive_s", "torch_s", "torch_chunked_s", "liger_s")
    print(
        f"{'N':>5} {'C':>5} {'V':>7} {'dtype':9}{'head':10}"
        + "".join(f"{name.removesuffix('_s'):>14}" for name in columns)
    )
    for dtype in args.dtypes:
        for head in args.heads:
            for shape in SHAPES:
                row = measure(*shape, dtype, head, args.rounds, args.device)
                rows.append(row)
                line = "".join(f"{row[name] or float('nan'):14.3f}" for name in columns)
                print("{:5} {:5} {:7} {:9}{:10}".format(*shape, dtype, head) + line, flush=True)
                limit = (2 * row["N"] * row["C"] * 4) / 2**20 + 64
                print(
                    f"      extra memory {row['extra_mib']:.0f} MiB (limit {limit:.0f}, naive "
                    f"{row['naive_extra_mib']:.0f}); error {row['error']:.1e}, naive {row['naive_error']:.1e}, "
                    f"naive in float32 {row['naive_float32_error']:.1e}",
                    flush=True,
                )
    device = (
        torch.cuda.get_device_name()
        if args.device == "cuda"
        else f"{os.cpu_count()} x {cpu_name()}"
    )
    print(
        json.dumps({"bench": "kernel", "device": device, "torch": torch.__version__, "rows": rows})
    )


def cpu_name() -> str:
    """The processor and the instruction set that PyTorch takes on it."""
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    main()
