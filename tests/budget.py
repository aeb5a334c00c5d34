"""`python -m tests.budget`: launches and memory of a training step and of decoding at the shape of
Llama-3.2-3B, counted on meta tensors: without a GPU and without weights.

Meta tensors have shapes and types but no numbers, and take CUDA's ways through the code. What is
counted: kernels launched (operators that compute something: no views, no allocations), times the
host waits for a number, bytes that operators read and write, and the largest sum of storages that
live at a time. What is not: what an operator allocates inside, PyTorch's caching, CUDA's own.
"""

import random
import weakref
from argparse import ArgumentParser
from collections import Counter

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach
from act.model.prefix_tree import build_tree
from act.model.sampler import Request, Sampler, Sampling
from act.training.examples import Answer, Example
from act.training.state import TrainState
from act.training.step import Objective, run_examples
from tests.llama_3b import LLAMA_3B

aten = torch.ops.aten
GIB = 2**30
NO_LAUNCH = ("empty", "empty_like", "empty_strided", "new_empty", "lift_fresh", "_unsafe_view")
READS_A_PART = ("gather", "index", "embedding", "index_select")  # of their first tensor
SYSTEM, TURNS = 1123, 25  # tokens of the system prompt
PARTS = {"said": 64, "client": 95, "answer": 118}  # mean tokens of reply, client's words, answers
LEAD = [1, 2, 3]  # with which every answer begins
SIZES = (4_000, 11_000, 16_000)  # tokens of a session's tree


class Budget(TorchDispatchMode):
    """Counts what happens to meta tensors while it is on."""

    def __init__(self):
        super().__init__()
        self.launches: Counter[str] = Counter()  # by operator
        self.bytes: Counter[str] = Counter()  # that it read and wrote
        self.waits = 0  # for a number, or numbers
        self.live = self.peak = 0  # bytes of storages
        self._sizes: dict[int, int] = {}  # of each storage that lives
        self._last = ""  # operator

    def watch(self, tensors: object) -> None:
        """Count the storages of tensors, wherever these lie, until nothing holds them."""
        for x in tree_leaves(tensors):
            if not isinstance(x, Tensor) or not x.is_meta:
                continue
            storage = x.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self._sizes:
                self._sizes[key] = size
                self.live += size
                weakref.finalize(storage, self._gone, key).atexit = False
        self.peak = max(self.peak, self.live)

    def _gone(self, key: int) -> None:
        self.live -= self._sizes.pop(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        # 1. numbers that the host asks for: there are none, and some will do
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and first.is_meta:
            if name == "_local_scalar_dense":
                self.waits += 1
                # of checks: all are passed, none finds anything
                one = torch.ones((), dtype=first.dtype).item()
                return self._last == "all" if first.dtype == torch.bool else one
            if name == "_to_copy" and kwargs.get("device") == torch.device("cpu"):
                self.waits += 1
                return torch.ones(first.shape, dtype=first.dtype)
        # 2. in inference operators come before they are taken apart; attention is one
        if torch.is_inference_mode_enabled() and name != "scaled_dot_product_attention":
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        # 3. shapes, and what a GPU would do
        out = func(*args, **kwargs)
        self.watch(out)
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
        if any(x.is_meta for x in tensors) and name not in NO_LAUNCH and not is_view(func):
            self._last = name
            self.launches[name] += 1
            read = tree_leaves(out if name in READS_A_PART else args)
            moved = [x for x in (*read, *tree_leaves(out)) if isinstance(x, Tensor)]
            self.bytes[name] += sum(x.nbytes for x in moved)
        return out


def is_view(func) -> bool:
    """Whether an operator hands out what it was given, unchanged, under another shape."""
    aliases = [returned.alias_info for returned in func._schema.returns]
    return any(alias and not alias.is_write for alias in aliases)


def session(tokens: int, seed: int = 0) -> list[Example]:
    """The pairs of a session of 25 turns whose tree has so many tokens, of random lengths.

    Answers begin alike and stand in no prompt: chain of thought, the tree's harder case.
    """
    draw, share = random.Random(seed), {}
    for part, mean in PARTS.items():
        share[part] = [mean * draw.uniform(0.5, 1.5) for _ in range(2 * TURNS)]
    history = [SYSTEM, *share["said"][1:TURNS]], share["client"][:TURNS]
    whole = sum(map(sum, history)) + sum(share["answer"])

    def new(length: float) -> list[int]:
        """As many tokens, in a tree of that size."""
        n = max(1, round(length * (tokens - TURNS * len(LEAD)) / whole))
        return [draw.randrange(10, LLAMA_3B["vocab_size"]) for _ in range(n)]

    prompt, examples = [], []
    for turn in range(TURNS):
        prompt = [*prompt, *(token for lengths in history for token in new(lengths[turn]))]
        ends = [new(length) for length in share["answer"][2 * turn : 2 * turn + 2]]
        answers = [Answer([*prompt, *LEAD, *end], len(prompt)) for end in ends]
        examples.append(Example("session", *answers, cut_turns=0))
    return examples


def meta_model(layers: int) -> Llama:
    """The 3B shape, or fewer layers of it, in bfloat16."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        model = Llama(LlamaConfig.from_dict(LLAMA_3B | {"num_hidden_layers": layers}))
    torch.set_default_dtype(torch.float32)
    return model


def training_step(tokens: int, layers: int = 28, keep_tokens: int = 1024) -> tuple[int, Budget]:
    """(tokens of the tree, budget) of an ORPO step of one session: LoRA 64, AdamW included."""
    model, examples, budget = meta_model(layers), session(tokens), Budget()
    attach(model, rank=64, alpha=64)
    state = TrainState(model, weight_decay=0.0, max_grad_norm=1.0)
    state.optimiser.param_groups[0]["foreach"] = True  # as on CUDA, where it is the default
    for p in state.parameters.values():  # the moments are there after the first step
        p.grad = torch.zeros_like(p)
    with Budget():
        state.update(0.0)
    budget.watch([*model.parameters(), [list(s.values()) for s in state.optimiser.state.values()]])
    objective = Objective("orpo", tree_tokens=2 * tokens, keep_tokens=keep_tokens)
    with budget:
        run_examples(model, examples, objective, backward=True)
        state.update(0.0)
    tree = build_tree([answer.ids for example in examples for answer in example.answers])
    return len(tree.ids), budget


def decoding_step(layers: int = 28, adapter: bool = False, rows: int = 32) -> Budget:
    """A token more for 32 rows. Launches and waits alone: how long the keys are is not known."""
    model, budget = meta_model(layers), Budget()
    if adapter:
        attach(model, rank=64, alpha=64)
    sampler = Sampler(model, [-1], Sampling(temperature=0.85, top_p=0.9, max_new_tokens=1000))
    with Budget():
        sampler.add([Request(str(row), [1, 2, 3, row], seed=row) for row in range(rows)])
    with budget:
        sampler.step()
    return budget


def main() -> None:
    """Print both tables."""
    ArgumentParser(description=__doc__).parse_args()
    print("Llama-3.2-3B's shape, bfloat16, counted on meta tensors\n")
    print("a step of one session, LoRA 64, AdamW  | launches | waits | peak GiB | GiB moved")
    for tokens, keep in (*((tokens, 1024) for tokens in SIZES), (SIZES[1], None)):
        T, step = training_step(tokens, keep_tokens=keep)
        kept = "all kept" if keep is None else f"{keep:,} kept"
        moved = sum(step.bytes.values()) / GIB
        shown = (
            f"{step.launches.total():8,} | {step.waits:5} | {step.peak / GIB:8.2f} | {moved:9,.0f}"
        )
        print(f"{T:6,} tokens, activations of {kept:10} | {shown}", flush=True)
    print("\na token for each of 32 rows            | launches | waits")
    for adapter in (False, True):
        step = decoding_step(adapter=adapter)
        name = "with an adapter" if adapter else "the base alone"
        print(f"{name:38} | {step.launches.total():8,} | {step.waits:5}", flush=True)


if __name__ == "__main__":
    main()
