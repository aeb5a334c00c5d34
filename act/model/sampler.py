"""Batched decoding: many prompts in, one reply each out; the KV cache lives on between calls.

A conversation is known by its key. When its next prompt begins with tokens the cache already holds, only the rest
is read; a beginning that all new conversations share (the system prompt) is read once. Each reply draws from a random
stream of its own seed, so its neighbours in the batch do not change it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from act.model.kv_cache import KVCache
from act.model.llama import Llama

NUCLEUS = 1024  # a nucleus is looked for among this many most probable tokens first: a full sort is slow


@dataclass(frozen=True)
class Sampling:
    """temperature 0 is greedy; top_p keeps the fewest tokens whose probability reaches top_p."""

    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass
class Request:
    """One reply wanted. `forced` tokens open it; `bridge` may put more in where it would end.

    `bridge` is called with the reply's ids when it would end, and from half of its tokens on, until it returns ids
    to put in; decoding then goes on behind them. It returns [] to change nothing.
    """

    key: str
    prompt: list[int]
    seed: int = 0
    forced: tuple[int, ...] = ()
    bridge: Callable[[list[int]], list[int]] | None = None


@dataclass
class Decoded:
    ids: list[int]  # without the end token
    finish: str  # "stop" or "length"
    may_end: bool  # not right behind tokens that were put in: something must follow them
    bridged: bool = False


def common_prefix(a: list[int], b: list[int]) -> int:
    """The number of tokens two sequences begin with in common."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


def pick(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> Tensor:
    """One token a row, (B,), of logits (B, V): greedy, or the nucleus's inverse CDF at `uniforms` (B,) in [0, 1)."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probs = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p >= 1:
        return _draw(probs, uniforms)
    top, ids = probs.topk(min(NUCLEUS, probs.shape[-1]))
    if bool((top.sum(-1) < sampling.top_p).any()):  # a flat distribution: its nucleus is wider than that
        top, ids = probs.sort(-1, descending=True)
    before = top.cumsum(-1) - top
    nucleus = top.masked_fill((before >= sampling.top_p) & (before > 0), 0)
    return ids.gather(-1, _draw(nucleus, uniforms)[:, None]).squeeze(-1)


def _draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One index a row, (B,), with probability in proportion to `weights` (B, N)."""
    cdf = weights.cumsum(-1)
    chosen = (cdf <= uniforms[:, None].to(cdf) * cdf[:, -1:]).sum(-1)
    last = weights.shape[-1] - 1 - (weights > 0).flip(-1).int().argmax(-1)  # u * total may round up to the total
    return torch.minimum(chosen, last)


class Sampler:
    """Decodes with one model. Conversations own cache slots; those being decoded stand in slots 0..n-1."""

    def __init__(self, model: Llama, end_ids: list[int]):
        self.model, self.end_ids = model, end_ids
        self.forget()

    def forget(self) -> None:
        """Drop all conversations and their cache."""
        self.keys: list[str] = []  # slot -> conversation
        self.held: list[list[int]] = []  # slot -> the ids in the cache
        self.cache = KVCache(self.model.config, 0, 0, self.model.device, self.model.head.dtype)

    @torch.inference_mode()
    def decode(self, requests: list[Request], sampling: Sampling) -> list[Decoded]:
        """One reply a request, in the order of the requests. Prompts must be non-empty, keys distinct."""
        if not requests:
            return []
        logits = self.read_prompts([r.key for r in requests], [[*r.prompt, *r.forced] for r in requests])
        order = list(range(len(requests)))  # slot -> index into requests
        streams = [torch.Generator().manual_seed(request.seed) for request in requests]
        queues: list[list[int]] = [[] for _ in requests]
        out = [Decoded(list(request.forced), "length", not request.forced) for request in requests]
        while True:
            for slot, i in enumerate(order):
                if not out[i].may_end:
                    logits[slot, self.end_ids] = -torch.inf
            uniforms = torch.cat([torch.rand(1, generator=streams[i]) for i in order])
            sampled = pick(logits, sampling, uniforms.to(logits.device)).tolist()
            fed = [
                self._next(requests[i], out[i], queues[i], token, sampling.max_new_tokens)
                for i, token in zip(order, sampled, strict=True)
            ]
            for slot in reversed(range(len(order))):
                if fed[slot] is None:  # finished: its slot goes behind those still at work
                    self._swap(slot, len(order) - 1)
                    order[slot], fed[slot] = order[-1], fed[-1]
                    order.pop()
                    fed.pop()
            if not order:
                return out
            logits = self.read([[token] for token in fed])

    def _next(self, request: Request, out: Decoded, queue: list[int], sampled: int, limit: int) -> int | None:
        """The row's next token, appended to its reply; None where the reply ends."""
        ends = sampled in self.end_ids
        if request.bridge and not out.bridged and not queue and (ends or len(out.ids) >= limit // 2):
            queue += request.bridge(out.ids)
            out.bridged = bool(queue)
        if len(out.ids) >= limit:
            return None
        out.may_end = not queue
        if queue:
            sampled = queue.pop(0)
        elif ends:
            out.finish = "stop"
            return None
        out.ids.append(sampled)
        return sampled

    def _take_slots(self, keys: list[str]) -> None:
        """Move each key's conversation to the slot of its place in `keys`."""
        new = [key for key in keys if key not in self.keys]
        self.keys += new
        self.held += [[] for _ in new]
        self.cache.grow(rows=len(self.keys))
        for slot, key in enumerate(keys):
            self._swap(slot, self.keys.index(key))

    def _swap(self, a: int, b: int) -> None:
        if a != b:
            self.cache.swap(a, b)
            for per_slot in (self.keys, self.held):
                per_slot[a], per_slot[b] = per_slot[b], per_slot[a]

    def read_prompts(self, keys: list[str], prompts: list[list[int]]) -> Tensor:
        """Read what the cache does not hold of each conversation's prompt; logits (B, V) after the last token."""
        self._take_slots(keys)
        for slot, prompt in enumerate(prompts):
            keep = min(common_prefix(self.held[slot], prompt), len(prompt) - 1)
            self._keep(slot, keep)
        empty = [slot for slot, held in enumerate(self.held[: len(prompts)]) if not held]
        if len(empty) > 1:
            first = prompts[empty[0]]
            shared = min(min(common_prefix(first, prompts[slot]), len(prompts[slot]) - 1) for slot in empty)
            self._read_shared(empty, first[:shared])
        return self.read([prompt[len(held) :] for prompt, held in zip(prompts, self.held, strict=False)])

    def _keep(self, slot: int, tokens: int) -> None:
        del self.held[slot][tokens:]
        self.cache.lengths[slot] = tokens

    def _read_shared(self, slots: list[int], shared: list[int]) -> None:
        """Read tokens that all `slots` begin with once, and copy their keys and values."""
        if not shared:
            return
        self._swap(0, slots[0])
        self.read([shared])
        self._swap(0, slots[0])
        self.cache.copy(slots[0], slots[1:])
        for slot in slots[1:]:
            self.held[slot] = list(shared)

    def read(self, tokens: list[list[int]]) -> Tensor:
        """Read new tokens of slots 0..B-1; logits (B, V) after the last one of each."""
        B, T = len(tokens), max(map(len, tokens))
        device = self.model.device
        ids = torch.tensor([row + [0] * (T - len(row)) for row in tokens], device=device)  # (B, T), right-padded
        counts = torch.tensor([len(row) for row in tokens], device=device)
        positions = self.cache.positions(B, T)
        hidden = self.model(ids, positions, self.cache.attend(positions))  # (B, T, C)
        self.cache.lengths[:B] += counts
        for slot, row in enumerate(tokens):
            self.held[slot] += row
        return self.model.logits(hidden[torch.arange(B, device=device), counts - 1])
