"""Batched decoding: many prompts in, one reply each out; rows join and end as they like.

A conversation is known by its key. Of its next prompt only what the cache lacks is read, and a
beginning that conversations share, the trunk of kv_cache.py, once; that only saves time. Each reply
draws from a random stream of its own seed, so its neighbours in the batch do not change it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from act.cli import warn
from act.model.kv_cache import ROOM, KVCache
from act.model.llama import Llama
from act.model.nucleus import Sampling, pick, uniforms

LEAST_TRUNK = 64  # tokens that conversations must share to be kept once
PIECE = 512  # tokens of a prompt read in one pass: each needs a mask of all rows' tokens and keys


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
        self.uniforms = uniforms(request.seed)
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


class Sampler:
    """Decodes with one model: `add` requests, then `step` while any are `pending`.

    Each conversation owns a row of the cache; the n pending 0..n-1.
    """

    def __init__(self, model: Llama, end_ids: list[int], sampling: Sampling):
        self.model, self.end_ids, self.sampling = model, end_ids, sampling
        self.most = sys.maxsize  # tokens whose keys memory holds
        self.waiting: list[Request] = []  # those it has no room for yet
        self.told = False  # that there are any
        self.pending: list[Pending] = []
        self.keys: list[str] = []  # row -> conversation
        self.held: list[list[int]] = []  # row -> the ids in the cache
        self.trunk: list[int] = []  # how most begin: kept once
        self.cache = KVCache(model.config, model.device, model.head.dtype)

    @torch.inference_mode()
    def add(self, requests: list[Request]) -> None:
        """Begin replies beside those begun, or when memory has room for them; prompts are not
        empty, keys not `pending`."""
        first = len(self.pending)
        requests = self._with_room(self.waiting + requests)
        if not requests:
            return
        # 1. the conversations move to the rows first, first + 1, ...
        new = [request.key for request in requests if request.key not in self.keys]
        self.keys += new
        self.held += [[] for _ in new]
        self.cache.add_rows(len(new))
        order = list(range(len(self.keys)))
        for row, request in enumerate(requests, first):
            here = order.index(self.keys.index(request.key))
            order[row], order[here] = order[here], order[row]
        self._arrange(order)
        # 2. of what a row holds stays what its prompt begins with; the prompt's last token is read
        rows = {}  # row -> prompt
        for row, request in enumerate(requests, first):
            rows[row] = prompt = [*request.prompt, *request.forced]
            kept = min(common_prefix(self.held[row], prompt), len(prompt) - 1)
            on_trunk = self.cache.on_trunk[row] and kept >= len(self.trunk)
            if self.cache.on_trunk[row] and not on_trunk:
                kept = 0  # the trunk is not cut
            del self.held[row][kept:]
            self.cache.lengths[row], self.cache.on_trunk[row] = kept, on_trunk
        # 3. new conversations' common beginning is read, then the rest of all
        self._begin({row: prompt[:-1] for row, prompt in rows.items() if not self.held[row]})
        logits = self.read([prompt[len(self.held[row]) :] for row, prompt in rows.items()], first)
        self.logits = torch.cat([self.logits, logits]) if first else logits  # (B, V)
        self.pending += map(Pending, requests)

    def decode(self, requests: list[Request]) -> list[Decoded]:
        """One reply a request, in their order; nothing else may be in the making."""
        self.add(requests)
        done: dict[str, Decoded] = {}
        while self.pending:
            done |= self.step()
        return [done[request.key] for request in requests]

    @torch.inference_mode()
    def step(self) -> list[tuple[str, Decoded]]:
        """One more token for every reply; (key, reply) of those that ended.

        Raises FloatingPointError where the model computes NaN.
        """
        # 1. a token for each row, (B,), from its own stream
        unended = [[row] for row, reply in enumerate(self.pending) if not reply.may_end]
        if unended:
            self.logits[unended, self.end_ids] = -torch.inf
        drawn = [next(reply.uniforms) for reply in self.pending]
        picked = pick(self.logits, self.sampling, torch.tensor(drawn, device=self.model.device))
        finite = self.logits.amax(-1).isfinite()
        sampled, finite = torch.stack([picked, finite.long()]).tolist()  # a GPU is waited for
        if not all(finite):
            raise FloatingPointError("a logit is not finite")
        # 2. those that end leave; their rows go behind those still at work
        done, order = [], list(range(len(self.keys)))
        for row in reversed(range(len(self.pending))):
            reply, token = self.pending[row], sampled[row]
            finish = reply.advance(token, token in self.end_ids, self.sampling.max_new_tokens)
            if finish:
                decoded = Decoded(reply.ids, finish, len(reply.request.prompt))
                done.append((reply.request.key, decoded))
                last = len(self.pending) - 1
                order[row], order[last] = order[last], order[row]
                self.pending[row] = self.pending[-1]
                self.pending.pop()
        self._arrange(order)
        # 3. the others' tokens are read, for the logits (B, V) of the next
        if self.pending:
            self.logits = self.read([[reply.ids[-1]] for reply in self.pending])
        if done and self.waiting:
            self.add([])
        return done

    @torch.inference_mode()
    def forget(self, key: str) -> None:
        """Drop a conversation that is not being decoded; the last one takes its row."""
        if key in self.keys:
            order = list(range(len(self.keys)))
            order[self.keys.index(key)] = order[-1]
            self._arrange(order[:-1])

    def _arrange(self, order: list[int]) -> None:
        """Make row i what row order[i] was; rows that it does not name are gone."""
        self.cache.arrange(order)
        self.keys = [self.keys[row] for row in order]
        self.held = [self.held[row] for row in order]

    def _with_room(self, requests: list[Request]) -> list[Request]:
        """The first of `requests`, as many as memory holds; the others wait. Those that are held go
        first, since what is forgotten must be read again. Where these and what is kept of idle
        conversations are too much, the longest idle are forgotten."""
        begun = [reply.request for reply in self.pending]
        requests = sorted(requests, key=lambda request: request.key not in self.keys)
        # each row is as long as the longest may become
        slots = max([ROOM, self.cache.slots, *map(self._slots, begun + requests)])
        rows = max(1, self.most // slots)
        free = max(0, rows - len(begun))
        room, self.waiting = requests[:free], requests[free:]
        if self.waiting and not self.told:
            self.told = True
            talks = len(begun + requests)
            warn(f"{talks} conversations, {rows} at a time: free memory holds no more")
        keys = {request.key for request in begun + room}
        idle = [key for key in self.keys if key not in keys]
        for key in idle[max(0, rows - len(keys)) :]:
            self.forget(key)
        return room

    def _slots(self, request: Request) -> int:
        """Own slots that are made for a conversation until the end of its next reply, at most."""
        prompt, trunk = [*request.prompt, *request.forced], self.trunk
        shared = len(trunk) if prompt[: len(trunk)] == trunk else 0
        return len(prompt) - shared + self.sampling.max_new_tokens + ROOM

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
        on_trunk = self.cache.on_trunk
        beginnings = [common_prefix(held, prompt) for held in self.held]
        shared, _, donor = max(zip(beginnings, on_trunk, range(len(on_trunk)), strict=True))
        if on_trunk[donor]:
            if max(LEAST_TRUNK, len(self.trunk) // 2) <= shared < len(self.trunk):
                self.cache.shorten(shared)
                self.trunk = prompt[:shared]
        elif not any(on_trunk) and shared >= LEAST_TRUNK:
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
        padded = []
        for new in tokens:  # ids, right-padded, and the place of the last one
            padded.append([*new, *[0] * (T - len(new)), len(new) - 1])
        ids, last = torch.tensor(padded, device=self.model.device).split((T, 1), dim=1)
        positions, attention = self.cache.attend(slice(first, first + B), list(map(len, tokens)))
        hidden = self.model(ids, positions, attention)  # (B, T, C)
        for row, new in enumerate(tokens, first):
            self.cache.lengths[row] += len(new)
            self.held[row] += new
        rows = torch.arange(B, device=ids.device)
        return self.model.logits(hidden[rows, last[:, 0]])
