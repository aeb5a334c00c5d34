"""Attention over a prefix tree on a GPU: all of its rectangles in a few calls, not one by one.

Flash attention of variable length takes many rectangles at a time, as long as they come one after
the other in rows and in keys: two lists of ends say where. A tree's do if its runs lie in the order
of their paths. Branches of one run then hang on it ever further down: a staircase. Halving it gives
log2(branches) levels, whose rectangles share no row and no key, and ascend in both:

    rows of    the trunk's keys
    branch 1   2222              level 0: from the middle branch on, the keys before that one
    branch 2   111111            level 1: the same of either half of what is left
    branch 3   000000000
    branch 4   00000000011

A level is one call; runs on themselves, causal, are two more. Calls are joined by their
log-sum-exps and differentiated by themselves, as the rectangles of tree_attention.py are. Not yet
run on a GPU: the tests emulate the two operators.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kernels.runs import Run

Rectangle = tuple[int, int, int, int]
"""Rows from, to, and keys from, to, of the flat row of tokens: these rows see these keys."""


Step = tuple[int, int, int]
"""Of a staircase: rows from, to, and where the keys that they see end."""


def levels(runs: list[Run]) -> list[list[Rectangle]]:
    """What runs that lie in the order of their paths see of these, in levels.

    >>> levels([Run(0, 9), Run(9, 11, ((0, 4),)), Run(11, 12, ((0, 7),))])
    [[(11, 12, 0, 7)], [(9, 11, 0, 4)]]
    """
    # the staircase on each run, by (depth, its first key)
    stairs: dict[tuple[int, int], list[Step]] = defaultdict(list)
    for run in runs:
        for depth, (first_key, stop) in enumerate(run.path):
            steps, start = stairs[depth, first_key], run.start
            if steps and steps[-1][2] == stop:  # hangs at the same place as the run before it
                start = steps.pop()[0]
            steps.append((start, run.stop, stop))
    found: dict[tuple[int, int], list[Rectangle]] = defaultdict(list)  # by (depth, level)
    for (depth, first_key), steps in sorted(stairs.items()):
        for level, rectangle in _halved(steps, first_key, 0):
            found[depth, level].append(rectangle)
    return [found[place] for place in sorted(found)]


def _halved(steps: list[Step], first_key: int, level: int) -> Iterator[tuple[int, Rectangle]]:
    """A staircase from `first_key` on, as (level, rectangle) each, upper rows first."""
    if not steps:
        return
    middle = len(steps) // 2
    start, _, keys_stop = steps[middle]
    yield level, (start, steps[-1][1], first_key, keys_stop)
    yield from _halved(steps[:middle], first_key, level + 1)
    yield from _halved(steps[middle + 1 :], keys_stop, level + 1)


def ends(rectangles: list[Rectangle]) -> list[tuple[int, int]]:
    """(end in rows, end in keys) of each sequence of a call, counted from the first rectangle's.

    Between rectangles lie rows that see no key, and keys that no row sees: sequences as well.

    >>> ends([(5, 7, 0, 3), (8, 9, 3, 5)])
    [(0, 0), (2, 3), (3, 3), (4, 5)]
    """
    first_row, _, first_key, _ = rectangles[0]
    out = [(0, 0)]
    for start, stop, keys_start, keys_stop in rectangles:
        _, keys_before = out[-1]
        out.append((start - first_row, keys_before))
        out.append((start - first_row, keys_start - first_key))
        out.append((stop - first_row, keys_stop - first_key))
    return list(dict.fromkeys(out))  # without empty sequences


@dataclass(frozen=True)
class Call:
    """One call: which rows and keys of the flat row, and how they are cut into sequences."""

    rows: slice
    keys: slice
    row_ends: Tensor  # (sequences + 1,) int32, from 0 on
    key_ends: Tensor
    longest: tuple[int, int]  # sequence, in rows and in keys, or more
    causal: bool


@lru_cache(maxsize=4)
def calls(runs: tuple[Run, ...], device: torch.device) -> list[Call]:
    """All of a tree's attention: each run on itself first, then what it sees of others.

    Roots are a call of their own: a call costs its longest sequence times their number. It has no
    longest of one row: CUDA would then take each sequence to have one, which some here have not.
    """
    own = [(run.start, run.stop, run.start, run.stop) for run in runs]
    roots = sum(not run.path for run in runs)
    causal = [group for group in (own[:roots], own[roots:]) if group]
    out = []
    for rectangles in (*causal, *levels(runs)):
        cut = torch.tensor(ends(rectangles), dtype=torch.int32).T.contiguous()  # (2, sequences + 1)
        rows_at_most, keys_at_most = cut.diff().amax(1).tolist()
        longest = max(2, rows_at_most), keys_at_most
        rows = slice(rectangles[0][0], rectangles[-1][1])
        keys = slice(rectangles[0][2], rectangles[-1][3])
        out.append(Call(rows, keys, *cut.to(device), longest, len(out) < len(causal)))
    return out


def attend(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    """Flash attention of a call: out (rows, H, D) and log-sum-exps (H, rows), float32.

    Of the whole q (T, H, D), k and v (T, K, D) it reads the call's rows and keys where they lie;
    H / K query heads share a key head. A row without keys gets 0 and +inf.
    """
    tensors = q[call.rows], k[call.keys], v[call.keys], call.row_ends, call.key_ends
    function = torch.ops.aten._flash_attention_forward
    out, lse, *_ = function(*tensors, *call.longest, 0.0, call.causal, False)
    return out, lse


def attend_backward(
    upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, call: Call
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a call's rows and of its keys and values, given the joined out and lse."""
    rows = upstream[call.rows], q[call.rows], k[call.keys], v[call.keys], out[call.rows]
    lse = lse[:, call.rows].contiguous()  # it is read as if it were
    no_dropout = q.new_zeros(2, dtype=torch.uint64), q.new_empty(0)
    function = torch.ops.aten._flash_attention_backward
    ends = call.row_ends, call.key_ends, *call.longest
    return function(*rows, lse, *ends, 0.0, call.causal, *no_dropout)


def level_attention(q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
    """`tree_attention` in half precision, of runs that lie in the order of their paths."""
    return _LevelAttention.apply(q, k, v, runs)


class _LevelAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
        q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))  # (T, H or K, D), as they were made
        T, H, _ = q.shape
        out = torch.empty_like(q, dtype=torch.float32)
        lse = q.new_empty(H, T, dtype=torch.float32)  # of what a row has seen so far
        ctx.calls = calls(tuple(runs), q.device)
        for call in ctx.calls:
            rows = call.rows
            piece, piece_lse = attend(q, k, v, call)
            if call.causal:  # the first of these rows
                out[rows], lse[:, rows] = piece, piece_lse
                continue
            piece_lse = piece_lse.masked_fill(piece_lse.isposinf(), -torch.inf)  # saw nothing
            share = torch.sigmoid(piece_lse - lse[:, rows])  # (T4)
            out[rows].lerp_(piece.float(), share.T[..., None])
            lse[:, rows] = torch.logaddexp(lse[:, rows], piece_lse)  # (T3)
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, lse)
        return out.transpose(0, 1)[None]

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        saved = q, k, v, _, _ = ctx.saved_tensors
        upstream = upstream[0].transpose(0, 1).contiguous()  # (T, H, D)
        to_q, to_k, to_v = (torch.zeros_like(x, dtype=torch.float32) for x in (q, k, v))
        for call in ctx.calls:
            piece_q, piece_k, piece_v = attend_backward(upstream, *saved, call)  # (T5)
            to_q[call.rows] += piece_q
            to_k[call.keys] += piece_k
            to_v[call.keys] += piece_v
        return *(x.to(q.dtype).transpose(0, 1)[None] for x in (to_q, to_k, to_v)), None
