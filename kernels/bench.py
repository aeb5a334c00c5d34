"""The log-prob kernel against its floor and its peers: `python -m kernels.bench [--device cuda]`.

The floor of a frozen head is two bare matrix products, h W' and P W; of a trainable one four:
those, h W' again and P' h. Times are of forward and backward, the median of five rounds in turns
(slow peers once); memory is the peak above the inputs, in a process of its own; errors are of the
log-probs against float64, root mean square relative to the truth's. Peers: the naive kernel,
PyTorch's linear_cross_entropy without and with chunks, and Liger's chunked ORPO loss (one pair of
T/2 tokens) after `pip install --no-deps liger-kernel`.
"""

import json
import os
import platform
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
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

SHAPES = ((1024, 576, 49152), (512, 2048, 128256), (256, 3072, 128256))
"""T tokens, H hidden width, V vocabulary of SmolLM2-135M, Llama-3.2-1B and 3B."""
ROUNDS = 5
EVERY_ROUND = ("floor", "floor_our_product", "ours", "naive")  # the other peers, slow, run once
CHECKED = 64  # tokens whose log-probs are held against float64
COLUMNS = ("ratio", "floor_s", "ours_s", "naive_s", "torch_s", "torch_chunked_s", "liger_s")


@dataclass(frozen=True)
class Case:
    """One row's inputs, the same each time they are made."""

    T: int
    H: int
    V: int
    dtype: str
    head: str  # frozen or trainable
    device: str

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states (T, H), head (V, H), whose logits have deviation 3, and targets (T,)."""
        torch.manual_seed(0)
        dtype, on = getattr(torch, self.dtype), {"device": self.device}
        hidden = torch.randn(self.T, self.H, **on).to(dtype).requires_grad_()
        weight = (torch.randn(self.V, self.H, **on) / self.H**0.5 * 3).to(dtype)
        weight.requires_grad_(self.head == "trainable")
        return hidden, weight, torch.randint(self.V, (self.T,), **on)


def competitors(hidden: Tensor, weight: Tensor, targets: Tensor) -> dict[str, Callable]:
    """Each one's forward and backward pass; those that have log-probs return them."""
    T, V = len(hidden), len(weight)
    P = torch.ones(T, V, device=hidden.device, dtype=hidden.dtype)  # in the softmax's place

    @torch.no_grad()
    def floor(multiply: Callable[[Tensor, Tensor], Tensor]) -> None:
        multiply(hidden, weight)
        multiply(P, weight.t())
        if weight.requires_grad:
            multiply(hidden, weight)
            multiply(P.t(), hidden.t())

    def trained(kernel: Callable[..., Tensor]) -> Tensor:
        hidden.grad = weight.grad = None
        logps = kernel(hidden, weight, targets)
        logps.mean().neg().backward()
        return logps.detach()

    def chunked(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        return -F.linear_cross_entropy(h, W, y, options=torch.nn.LinearCrossEntropyOptions())

    def whole(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        return -F.linear_cross_entropy(h, W, y, reduction="none")

    def liger(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        pair = h.view(2, T // 2, -1), y.view(2, -1)
        return -LigerFusedLinearORPOLoss(compiled=False)(W, *pair)[0]

    runs = {
        "floor": lambda: floor(F.linear),
        "floor_our_product": lambda: floor(product),
        "ours": lambda: trained(logprob),
        "naive": lambda: trained(naive_logprob),
        "torch": lambda: trained(whole),
        "torch_chunked": lambda: trained(chunked),
    }
    return runs | ({"liger": lambda: trained(liger)} if LigerFusedLinearORPOLoss else {})


def seconds(run: Callable[[], object], device: str) -> float:
    """Wall-clock seconds of one run, with what it left for the device to do."""
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def extra_mib(case: Case, name: str) -> float:
    """Peak memory of one pass above what was there before it, in a fresh process."""
    choose_precision(case.device)
    hidden, weight, targets = case.inputs()
    run = competitors(hidden, weight, targets)[name]
    if case.device == "cuda":
        run()
        hidden.grad = weight.grad = None
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    warm_up = Case(8, case.H, 64, case.dtype, case.head, case.device)  # loads the libraries
    competitors(*warm_up.inputs())[name]()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the high-water mark begins anew
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) / 2**10


def resident(field: str) -> int:
    """KiB of this process: VmRSS is now, VmHWM the highest since it was reset."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


def measure(case: Case) -> dict:
    """One row: each competitor's median seconds, and extra MiB and error of ours and the naive."""
    hidden, weight, targets = case.inputs()
    runs = competitors(hidden, weight, targets)
    logits = hidden.detach()[:CHECKED].double() @ weight.detach().double().T  # (CHECKED, V)
    truth = logits.log_softmax(-1).gather(1, targets[:CHECKED, None]).squeeze(1)
    off = {name: runs[name]()[:CHECKED].double() - truth for name in ("ours", "naive")}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(ROUNDS):
        for name in runs if i == 0 else EVERY_ROUND:
            times[name].append(seconds(runs[name], case.device))
    row = {"T": case.T, "H": case.H, "V": case.V, "dtype": case.dtype, "head": case.head}
    row |= {f"{name}_s": median(values) for name, values in times.items()}
    row["ratio"] = row["ours_s"] / row["floor_s"]
    for name, prefix in (("ours", ""), ("naive", "naive_")):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            row[f"{prefix}extra_mib"] = apart.submit(extra_mib, case, name).result()
        row[f"{prefix}error"] = (off[name].norm() / truth.norm()).item()
    return row


def choose_precision(device: str) -> None:
    """Our product's, as the scripts set it on a CPU."""
    torch.set_float32_matmul_precision("high" if device == "cpu" else "highest")


def processor(device: str) -> str:
    """The GPU's name, or the CPU's cores, name and the instruction set that PyTorch takes on it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{os.cpu_count()} x {name}, {torch.backends.cpu.get_cpu_capability()}"


def main() -> None:
    """Measure every row and print it as it comes, then all as one JSON line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = parser.parse_args().device
    choose_precision(device)
    titles = "".join(f"{name.removesuffix('_s'):>14}" for name in COLUMNS)
    print(f"{'T':>5} {'H':>5} {'V':>7} {'dtype':9}{'head':10}{titles}")
    rows = []
    for dtype in ("float32", "bfloat16"):
        for head in ("frozen", "trainable"):
            for T, H, V in SHAPES:
                row = measure(Case(T, H, V, dtype, head, device))
                rows.append(row)
                cells = "".join(f"{row.get(name, float('nan')):14.3f}" for name in COLUMNS)
                print(f"{T:5} {H:5} {V:7} {dtype:9}{head:10}{cells}", flush=True)
                limit = 2 * T * H * 4 / 2**20 + 64
                memory = "      extra memory {extra_mib:.0f} MiB, naive {naive_extra_mib:.0f}"
                errors = "error {error:.1e}, naive {naive_error:.1e}"
                print(f"{memory} (limit {limit:.0f}); {errors}".format(**row), flush=True)
    told = {"bench": "kernel", "device": processor(device), "torch": torch.__version__}
    print(json.dumps(told | {"rows": rows}))


if __name__ == "__main__":
    main()
