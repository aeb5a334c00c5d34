"""Batched decoding: many prompts in, one reply each out; rows join and end as they like.

A conversation is known by its key. Of its next prompt only what the cache lacks is read, and a
beginning that conversations share, the trunk of kv_cache.py, once; that only saves time. Each reply
draws from a random stream of its own seed, so its neighbours in the batch do not change it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from act.model.kv_cache import KVCache
from act.model.llama import Llama

LEAST_TRUNK = 64  # tokens that conversations must share to be kept once
PIECE = 512  # tokens of a prompt read in one pass: each needs a mask of all rows' tokens and keys
NUCLEUS = 1024  # most probable tokens among which a nucleus is looked for first: sorting is slow


@dataclass(frozen=True)
class Sampling:
    """0 is greedy; top_p keeps the fewest tokens that reach it. None: not ours to set."""

    temperature: float | None
    top_p: float | None
    max_new_tokens: int | None


@dataclass
class Request:
    """One reply wanted. `forced` tokens open it; `bridge` may put more in where it would end.

    It is called with the reply's ids when it would end, and from half of its tokens on, until it
    returns ids (not []) to put in; decoding then goes on behind them. A reply also ends where
    `until` says so of its ids.
    """

    key: str
    prompt: list[int]
    seed: int = 0
    forced: tuple[int, ...] = ()
    bridge: Callable[[list[int]], list[int]] | None = None
    until: Callable[[list[int]], bool] | None = None


@dataclass
class Decoded:
    """A finished reply."""

    ids: list[int]  # without the end token
    finish: str  # "stop" or "length"
    prompt_tokens: int


class Pending:
    """A reply in the making."""

    def __init__(self, request: Request):
        self.request = request
        self.stream = torch.Generator().manual_seed(request.seed)
        self.ids = list(request.forced)
        self.queue: list[int] = []  # tokens of the bridge that still have to be put in
        self.bridged = False
        self.may_end = not request.forced  # something must follow tokens that were put in

    def advance(self, sampled: int, ends: bool, limit: int) -> str | None:
        """Take the next token in; "stop" or "length" where the reply ends before it."""
        if self.request.bridge and not self.bridged and (ends or len(self.ids) >= limit // 2):
            self.queue = list(self.request.bridge(self.ids))
            self.bridged = bool(self.queue)
        if self.request.until and self.request.until(self.ids):
            return "stop"
        if len(self.ids) >= limit:
            return "length"
        self.may_end = not self.queue
        if ends and not self.queue:
            return "stop"
        self.ids.append(self.queue.pop(0) if self.queue else sampled)
        return None


def common_prefix(a: list[int], b: list[int]) -> int:
    """The number of tokens two sequences begin with in common."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


def pick(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> Tensor:
    """One token a row, (B,), of logits (B, V): greedy, or the nucleus's inverse CDF at `uniforms`
    (B,) in [0, 1)."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probs = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p >= 1:
        return _draw(probs, uniforms)
    top, ids = probs.topk(min(NUCLEUS, probs.shape[-1]))
    if (top.sum(-1) < sampling.top_p).any():  # a flat distribution: its nucleus is wider
        top, ids = probs.sort(-1, descending=True)
    before = top.cumsum(-1) - top  # (B, n): how probable the tokens before each are together
    nucleus = top.masked_fill((before >= sampling.top_p) & (before > 0), 0)
    return ids.gather(-1, _draw(nucleus, uniforms)[:, None]).squeeze(-1)


def _draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One index a row, (B,), with probability in proportion to `weights` (B, N)."""
    cdf = weights.cumsum(-1)
    chosen = (cdf <= uniforms[:, None].to(cdf) * cdf[:, -1:]).sum(-1)
    behind = (weights > 0).flip(-1).int().argmax(-1)  # zeros at the end
    last = weights.shape[-1] - 1 - behind
    return torch.minimum(chosen, last)  # u * total may round up to the total


class Sampler:
    """Decodes with one model: `add` requests, then `step` while any are `pending`.

    Each conversation owns a row of the cache; the n pending 0..n-1.
    """

    def __init__(self, model: Llama, end_ids: list[int], sampling: Sampling):
        self.model, self.end_ids, self.sampling = model, end_ids, sampling
        self.pending: list[Pending] = []
        self.keys: list[str] = []  # row -> conversation
        self.held: list[list[int]] = []  # row -> the ids in the cache
        self.trunk: list[int] = []  # how most begin: on a CPU kept once, elsewhere copied
        self.cache = KVCache(model.config, 0, 0, model.device, model.head.dtype)

    @torch.inference_mode()
    def add(self, requests: list[Request]) -> None:
        """Begin replies beside those begun; prompts are not empty, keys not `pending`."""
        if not requests:
            return
        # 1. the conversations move to the rows first, first + 1, ...
        first = len(self.pending)
        new = [request.key for request in requests if request.key not in self.keys]
        self.keys += new
        self.held += [[] for _ in new]
        self.cache.grow(rows=len(self.keys))
        for row, request in enumerate(requests, first):
            self._swap(row, self.keys.index(request.key))
        # 2. of what a row holds stays what its prompt begins with; the prompt's last token is read
        rows = {}  # row -> prompt
        for row, request in enumerate(requests, first):
            rows[row] = prompt = [*request.prompt, *request.forced]
            kept = min(common_prefix(self.held[row], prompt), len(prompt) - 1)
            on_trunk = self.cache.on_trunk[row] and kept >= len(self.trunk)
            if self.cache.on_trunk[row] and not on_trunk:
                kept = 0  # the trunk is not cut
            del self.held[row][kept:]
            self.cache.lengths[row], self.cache.on_trunk[row] = kept, int(on_trunk)
        # 3. new conversations' common beginning is read, then the rest of all
        self._begin({row: prompt[:-1] for row, prompt in rows.items() if not self.held[row]})
        logits = self.read([prompt[len(self.held[row]) :] for row, prompt in rows.items()], first)
        self.logits = torch.cat([self.logits, logits]) if first else logits  # (B, V)
        self.pending += map(Pending, requests)

    @torch.inference_mode()
    def step(self) -> list[tuple[str, Decoded]]:
        """One more token for every reply; (key, reply) of those that ended.

        Raises FloatingPointError where the model computes NaN.
        """
        if not self.logits.amax(-1).isfinite().all():
            raise FloatingPointError("a logit is not finite")
        # 1. a token for each row, (B,), from its own stream
        for row, reply in enumerate(self.pending):
            if not reply.may_end:
                self.logits[row, self.end_ids] = -torch.inf
        uniforms = torch.cat([torch.rand(1, generator=reply.stream) for reply in self.pending])
        sampled = pick(self.logits, self.sampling, uniforms.to(self.logits.device)).tolist()
        # 2. those that end leave; their rows go behind those still at work
        done = []
        for row in reversed(range(len(self.pending))):
            reply, token = self.pending[row], sampled[row]
            finish = reply.advance(token, token in self.end_ids, self.sampling.max_new_tokens)
            if finish:
                decoded = Decoded(reply.ids, finish, len(reply.request.prompt))
                done.append((reply.request.key, decoded))
                self._swap(row, len(self.pending) - 1)
                self.pending[row] = self.pending[-1]
                self.pending.pop()
        # 3. the others' tokens are read, for the logits (B, V) of the next
        if self.pending:
            self.logits = self.read([[reply.ids[-1]] for reply in self.pending])
        return done

    @torch.inference_mode()
    def forget(self, key: str) -> None:
        """Drop a conversation that is not being decoded; the last one takes its row."""
        if key in self.keys:
            last = len(self.keys) - 1
            self._swap(self.keys.index(key), last)
            self.keys.pop()
            self.held.pop()
            self.cache.lengths[last] = self.cache.on_trunk[last] = 0

    def _swap(self, a: int, b: int) -> None:
        if a != b:
            self.cache.swap(a, b)
            for by_row in (self.keys, self.held):
                by_row[a], by_row[b] = by_row[b], by_row[a]

    def _begin(self, new: dict[int, list[int]]) -> None:
        """Read what new conversations have in common once, and nothing that another has read."""
        prompts = list(new.values())
        common = min((common_prefix(prompts[0], other) for other in prompts[1:]), default=0)
        for row, prompt in new.items():
            self._join(row, prompt)
            if len(self.held[row]) < common:  # the first of them; the others take it from there
                self.read([prompt[len(self.held[row]) : common]], row)

    def _join(self, row: int, prompt: list[int]) -> None:
        """Take the longest beginning that another has read, by way of the trunk or as a copy.

        The first two that share much plant the trunk. One that shares a little less of it, where
        two before it happened to go on with the same words, shortens it.
        """
        on_trunk = self.cache.on_trunk[: len(self.held)].tolist()
        beginnings = [common_prefix(held, prompt) for held in self.held]
        shared, _, donor = max(zip(beginnings, on_trunk, range(len(on_trunk)), strict=True))
        if on_trunk[donor]:
            if max(LEAST_TRUNK, len(self.trunk) // 2) <= shared < len(self.trunk):
                self.cache.shorten(shared)
                self.trunk = prompt[:shared]
        elif not any(on_trunk) and shared >= LEAST_TRUNK and self.model.device.type == "cpu":
            self.cache.plant(donor, shared)
            self.trunk = prompt[:shared]
        if shared and (not on_trunk[donor] or shared >= len(self.trunk)):
            self.cache.copy(donor, row, shared)
            self.held[row] = prompt[:shared]

    def read(self, tokens: list[list[int]], first: int = 0) -> Tensor:
        """Read new tokens of B rows from `first` on; logits (B, V) after the last one of each."""
        logits = self._read_piece([new[:PIECE] for new in tokens], first)
        for start in range(PIECE, max(map(len, tokens)), PIECE):
            pieces = [new[start : start + PIECE] for new in tokens]
            more = torch.tensor([[bool(piece)] for piece in pieces], device=logits.device)
            logits = torch.where(more, self._read_piece(pieces, first), logits)
        return logits

    def _read_piece(self, tokens: list[list[int]], first: int) -> Tensor:
        B, T = len(tokens), max(map(len, tokens))
        padded = [new + [0] * (T - len(new)) for new in tokens]
        ids = torch.tensor(padded, device=self.model.device)  # (B, T), right-padded
        counts = torch.tensor([len(new) for new in tokens], device=self.model.device)
        rows = slice(first, first + B)
        positions = self.cache.positions(rows, T)
        hidden = self.model(ids, positions, self.cache.attend(rows, positions))  # (B, T, C)
        self.cache.lengths[rows] += counts
        for held, new in zip(self.held[rows], tokens, strict=True):
            held += new
        last = hidden[torch.arange(B, device=ids.device), counts - 1]  # (B, C)
        return self.model.logits(last)
