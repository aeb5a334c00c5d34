"""`make gpu`: is the project right on this GPU, and how fast? One command, at most six minutes.

Weights are random, of Llama-3.2-3B's shape, and made here: nothing is downloaded. It needs torch,
transformers, peft, safetensors and tokenizers; Liger is measured where it is installed. Five parts,
a line for each measurement and in the end a JSON line:

    parity      logits against transformers', float32 and bfloat16
    gradients   of a session as one tree against its pairs one by one
    kernel      the log-prob kernel against two bare products, naive logits, cross-entropy, Liger
    step        one ORPO step of a whole session, beside three of its pairs one by one
    decoding    logits against those of plain passes; then 32 and 150 replies at a time, with and
                without an adapter

A part that fails says so, and the rest goes on. `--tiny` runs everything on a CPU, in a small
shape: it tests this file, and its times mean nothing.
"""

import gc
import json
import platform
import random
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from act.cli import Parser, run_script, set_up_device
from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach, lora_layers
from act.model.sampler import Request, Sampler, Sampling
from act.training.examples import Answer, Example
from act.training.losses import log_odds_margin, mean_logp, nll_loss, orpo_loss
from act.training.state import TrainState
from act.training.step import Objective, count_targets, run_examples
from kernels.logprob import logprob, naive_logprob
from tests.llama_3b import LLAMA_3B

LEAD = 3  # tokens with which every answer begins, as chain of thought does
LAMBDA = 0.1


@dataclass(frozen=True)
class Size:
    """What is measured on: a config.json, and numbers of tokens unless said otherwise."""

    shape: dict
    system: int  # of a session
    client: int
    said: int
    answer: int
    turns: int  # number
    heads: tuple[int, ...]  # rows of the log-prob kernel, one measurement each
    prompt: int  # of a conversation that is decoded; 14 of 15 shared
    replies: tuple[int, ...]  # that are decoded at a time
    steps: int  # decoded

    def model(self, dtype: torch.dtype, device: str, **changes: object) -> Llama:
        """Frozen random weights."""
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        with torch.device(device):
            model = Llama(LlamaConfig.from_dict(self.shape | changes))
        torch.set_default_dtype(torch.float32)
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.02)
        return model.requires_grad_(False)


REAL = Size(LLAMA_3B, 1123, 95, 64, 121, 25, (2048, 6144), 1200, (32, 150), 64)
NARROW = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
NARROW |= {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
TINY = Size(LLAMA_3B | NARROW, 30, 6, 5, 9, 5, (48,), 90, (3, 5), 4)


def session(size: Size) -> list[Example]:
    """The pairs of one session: each prompt goes on from the one before it."""
    draw = random.Random(0)

    def new(n: int) -> list[int]:
        return [draw.randrange(size.shape["vocab_size"]) for _ in range(n)]

    heard = [new(size.system + size.client)]
    heard += [new(size.said + size.client) for _ in range(size.turns - 1)]
    lead, pairs = new(LEAD), []
    for prompt in accumulate(heard):
        answers = (Answer([*prompt, *lead, *new(size.answer - LEAD)], len(prompt)) for _ in "cr")
        pairs.append(Example("session", *answers, cut_turns=0))
    return pairs


def one_by_one(
    model: Llama, examples: list[Example], of: list[Example], keep: int | None = 0
) -> None:
    """Gradients of `of`, some of a step's examples, without a tree or a kernel: equations (1) to
    (7) of docs/orpo.md, an answer a pass, the activations of `keep` tokens kept (None: of all)."""
    targets = count_targets(examples, "response")
    for example in of:
        logps = []
        for answer in example.answers:
            ids = torch.tensor([answer.ids], device=model.device)  # (1, T)
            hidden = model(ids, keep=keep)[0, -answer.length - 1 : -1]  # that predict the answer
            logps.append(naive_logprob(hidden, model.head, ids[0, -answer.length :]))
        chosen, rejected = (mean_logp(logp)[None] for logp in logps)
        margin = log_odds_margin(chosen, rejected)
        nll = nll_loss(logps[0], targets)
        orpo_loss(nll, margin, LAMBDA, len(examples)).backward()


def off(found: Tensor, truth: Tensor) -> float:
    """The error of a tensor, relative, by norms."""
    found, truth = found.double(), truth.double()
    return ((found - truth).norm() / truth.norm()).item()


def once(run: Callable[[], object]) -> float:
    """Seconds of one run, with all that it gave a GPU to do."""
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def several(run: Callable[[], object], times: int = 5) -> float:
    """The median second of some runs, after one more."""
    return median([once(run) for _ in range(times + 1)][1:])


def begin() -> None:
    """Peak memory is counted from here."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """GiB of tensors at most since `begin`, on a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


class Table:
    """A part's rows, each said as soon as it is there; "failed" says why one has no numbers."""

    def __init__(self, part: str):
        self.part, self.rows = part, []

    def row(self, measure: Callable[[], dict | None], **labels: object) -> None:
        """Measure a row's numbers; None, of a whole part, is no row."""
        try:
            found = measure()
            if found is None:
                return
            labels |= found
        except Exception as error:
            labels["failed"] = f"{type(error).__name__}: {str(error)[:200]}"
        self.rows.append(labels)
        told = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in labels.items())
        print(f"{self.part:10}", " | ".join(told), flush=True)


def parity(table: Table, size: Size, device: str) -> None:
    """Logits of two texts: ours in float32 against transformers', both in bfloat16 against that."""
    for what, shape in (("narrow", TINY.shape), ("wide", size.shape | {"num_hidden_layers": 1})):
        table.row(partial(errors_of, shape, size.prompt, device), what=what)


def errors_of(shape: dict, tokens: int, device: str) -> dict:
    """Relative errors of logits, of random weights in this shape."""
    from transformers import LlamaConfig as TheirConfig
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    config = {key: value for key, value in shape.items() if key != "model_type"}
    theirs = LlamaForCausalLM(TheirConfig(**config)).to(device).eval()
    ours = Llama(LlamaConfig.from_dict(shape)).to(device)
    weights = theirs.state_dict()
    ours.load_state_dict({name: weights[name] for name in ours.state_dict()})
    ids = torch.randint(shape["vocab_size"], (2, tokens), device=device)
    with torch.inference_mode():
        truth = theirs(ids).logits
        errors = {"float32": off(ours.logits(ours(ids)), truth)}
        ours, theirs = ours.bfloat16(), theirs.bfloat16()
        errors["bfloat16"] = off(ours.logits(ours(ids)), truth)
        errors["theirs_bfloat16"] = off(theirs(ids).logits, truth)
    return errors


def gradients(table: Table, size: Size, device: str) -> None:
    """The gradient of an adapter on two layers, of five pairs as one tree, in either type, against
    the same pairs one by one in float32."""
    examples = session(size)[:5]
    plain = partial(one_by_one, examples=examples, of=examples)
    truth = gradient(size, device, torch.float32, plain)
    objective = Objective("orpo", LAMBDA)
    tree = partial(run_examples, examples=examples, objective=objective, backward=True)
    for dtype in (torch.float32, torch.bfloat16):
        found = partial(gradient, size, device, dtype, tree)
        measure = lambda found=found: {"error": off(found(), truth)}  # noqa: E731
        table.row(measure, dtype=str(dtype).removeprefix("torch."))


def gradient(
    size: Size, device: str, dtype: torch.dtype, backward: Callable[[Llama], object]
) -> Tensor:
    """What `backward` leaves, flat, on the same adapter and weights each time."""
    model = size.model(torch.float32, device, num_hidden_layers=2).to(dtype)
    attach(model, rank=8, alpha=8)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.01)
    backward(model)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def kernel(table: Table, size: Size, device: str) -> None:
    """Log-probs of N tokens and their gradient to the hidden states, bfloat16, frozen head."""
    V, C = size.shape["vocab_size"], size.shape["hidden_size"]
    weight = (torch.randn(V, C, device=device) * 3 / C**0.5).bfloat16()
    for N in size.heads:
        hidden = torch.randn(N, C, device=device).bfloat16().requires_grad_()
        targets = torch.randint(V, (N,), device=device)
        with torch.no_grad():
            some = F.linear(hidden[:64].double(), weight.double()).log_softmax(1)
            truth = some.gather(1, targets[:64, None])[:, 0]
        bare = several(partial(bare_products, hidden.detach(), weight))
        table.row(lambda bare=bare: {"ms": 1e3 * bare}, N=N, what="two bare products")
        for way in (logprob, naive_logprob, cross_entropy, liger):
            take = partial(way, hidden, weight, targets)
            table.row(partial(of_way, take, hidden, truth, bare), N=N, what=way.__name__)


def bare_products(hidden: Tensor, weight: Tensor) -> None:
    """What any way to a log-prob and its gradient must compute."""
    logits = F.linear(hidden, weight)
    F.linear(logits, weight.t())


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """PyTorch's own."""
    return -F.cross_entropy(F.linear(hidden, weight), targets, reduction="none")


def liger(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Liger's fused one."""
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    return -LigerFusedLinearCrossEntropyLoss(reduction="none")(weight, hidden, targets)


def of_way(take: Callable[[], Tensor], hidden: Tensor, truth: Tensor, bare: float) -> dict:
    """Time, memory and error of one way to the log-probs."""

    def run() -> None:
        hidden.grad = None
        take().mean().backward()

    begin()
    seconds = several(run)
    error = off(take().detach()[:64], truth)
    return {"ms": 1e3 * seconds, "over_bare": seconds / bare, "gib": peak_gib(), "error": error}


def step(table: Table, size: Size, device: str) -> None:
    """An ORPO step of a session, LoRA 64, AdamW, bfloat16 base, with the activations of some tokens
    kept; three of its pairs one by one, and from these (Simpson's rule) all."""
    examples, model = session(size), size.model(torch.bfloat16, device)
    attach(model, rank=64, alpha=64)
    state = TrainState(model, weight_decay=0.0, max_grad_norm=1.0)

    def tree(keep: int | None) -> dict:
        objective, sums = Objective("orpo", LAMBDA, keep_tokens=keep), {}

        def run() -> None:
            sums.update(run_examples(model, examples, objective, backward=True))
            state.update(0.0)

        begin()
        seconds, tokens = several(run, 2), sums["unique_tokens"]
        return {"tokens": tokens, "s": seconds, "gib": peak_gib()}

    def pairs(keep: int | None) -> dict:
        begin()
        times = []
        for some in (examples[0], examples[len(examples) // 2], examples[-1]):
            times.append(several(partial(one_by_one, model, examples, [some], keep), 1))
        whole = len(examples) * (times[0] + 4 * times[1] + times[2]) / 6
        return {"first_s": times[0], "last_s": times[2], "s": whole, "gib": peak_gib()}

    for keep in (1024, 4096, None):
        table.row(partial(tree, keep), what="one tree", kept=keep or "all")
        state.optimiser.zero_grad()
    for keep in (0, None):
        table.row(partial(pairs, keep), what="one by one", kept="all" if keep is None else keep)


def cached(size: Size, device: str, dtype: torch.dtype) -> dict:
    """The error of logits after some tokens, of two layers: three prompts that begin alike, one
    that does not, read by the cache, against each as one plain pass."""
    model, draw = size.model(dtype, device, num_hidden_layers=2), random.Random(2)
    V, trunk = size.shape["vocab_size"], size.prompt * 14 // 15
    apart, *texts = ([draw.randrange(V) for _ in range(size.prompt)] for _ in range(4))
    prompts = [texts[0][:trunk] + text[trunk : trunk + 3 * i] for i, text in enumerate(texts, 1)]
    sampler = Sampler(model, [], Sampling(0.0, 1.0, 10**6))
    sampler.add([Request(str(i), prompt) for i, prompt in enumerate(prompts)])
    sampler.add([Request("apart", apart)])
    for _ in range(3):
        sampler.step()
    plain = []
    for reply in sampler.pending:
        ids = torch.tensor([[*reply.request.prompt, *reply.ids]], device=device)  # (1, T)
        plain.append(model.logits(model(ids)[0, -1]))
    return {"trunk": len(sampler.trunk), "error": off(sampler.logits, torch.stack(plain))}


def decoding(table: Table, size: Size, device: str) -> None:
    """Is what the cache says right? Then a token for each of some replies, behind prompts that
    begin alike; bfloat16."""
    for dtype in (torch.float32, torch.bfloat16):
        found = partial(cached, size, device, dtype)
        table.row(found, what="cache", dtype=str(dtype).removeprefix("torch."))
    model = size.model(torch.bfloat16, device)
    model.model.norm.weight.fill_(10)  # logits as peaked as a trained model's
    draw, V = random.Random(1), size.shape["vocab_size"]
    trunk = [draw.randrange(V) for _ in range(size.prompt * 14 // 15)]

    def measure(rows: int) -> dict:
        begin()
        sampler = Sampler(model, [], Sampling(0.85, 0.9, 10**6))
        requests = []
        for row in range(rows):
            own = [draw.randrange(V) for _ in range(size.prompt - len(trunk))]
            requests.append(Request(str(row), trunk + own, seed=row))
        read = once(partial(sampler.add, requests))
        seconds = several(sampler.step, size.steps)
        speed = {"ms": 1e3 * seconds, "tokens_per_s": rows / seconds, "gib": peak_gib()}
        return {"read_s": read} | speed

    for rows in size.replies:
        table.row(partial(measure, rows), rows=rows)
    attach(model, rank=64, alpha=64)
    model.to(torch.bfloat16).requires_grad_(False)  # as a therapist wears one
    for rows in size.replies:
        table.row(partial(measure, rows), rows=rows, adapter=64)


PARTS = {part.__name__: part for part in (parity, gradients, kernel, step, decoding)}


def main() -> None:
    """Run the parts; print their rows and the JSON line."""
    parser = Parser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small shape, on the CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts")
    args = parser.parse_args()
    size, device = (TINY, "cpu") if args.tiny else (REAL, "cuda")
    set_up_device(Namespace(device=device, precision=None))
    hardware = platform.machine() if args.tiny else torch.cuda.get_device_name()
    versions = {name: version(name) for name in ("torch", "transformers")}
    result = {"bench": "gpu", "hardware": hardware} | versions
    print(*result.values(), flush=True)
    start = time.perf_counter()
    for name in args.only:
        table = Table(name)
        table.row(partial(PARTS[name], table, size, device))
        result[name] = table.rows
    print(json.dumps(result | {"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    run_script(main)
