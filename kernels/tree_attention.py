"""Causal attention over a prefix tree: what sequences begin with in common is computed once.

The tree's tokens lie flat in one row, run after run (runs.py). The attention of a run is a few
rectangles, itself (causal) and each slice of its path (unmasked), joined by their log-sum-exps:

    lse = log(exp(lse_1) + exp(lse_2))        out = exp(lse_1 - lse) out_1 + exp(lse_2 - lse) out_2

Backward, a rectangle's probabilities are exp(q k' - lse), and the gradient of its scores needs one
number a query from the other rectangles, sum(grad * out), which the joined out gives: so each is
differentiated by itself. No masks, no copies of keys. docs/tree.md derives it. In half precision on
a GPU many rectangles are one call (tree_levels.py).
"""

from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.utils.checkpoint import checkpoint

from kernels.linear import takes_cuda
from kernels.runs import Run
from kernels.tree_levels import level_attention

aten = torch.ops.aten


def tree_attention(q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
    """(1, H, T, D) of q (1, H, T, D) over k and v (1, K, T, D); (T3) to (T5) of docs/tree.md.

    Each token attends to its path and, causally, to its own run: causal attention on each branch.
    On a GPU the runs must lie in the order of their paths.
    """
    if _takes_levels(q):
        return level_attention(q, k, v, runs)
    if q.device.type == "cpu" or _takes_rectangles(q):
        return _TreeAttention.apply(q, k, v, runs)
    return joined_keys_again(q, k, v, runs)


def _takes_levels(q: Tensor) -> bool:
    """Whether a GPU has flash attention of q: half precision, from Ampere on (RTX 30, A100)."""
    D = q.shape[-1]
    fits = q.dtype in (torch.bfloat16, torch.float16) and D % 8 == 0 and D <= 256
    if not takes_cuda(q) or not fits:
        return False
    return q.is_meta or torch.cuda.get_device_capability(q.device) >= (8, 0)


def _takes_rectangles(q: Tensor) -> bool:
    """Whether a GPU has memory-efficient attention of q in float32: it reads 16 bytes at a time."""
    return takes_cuda(q) and q.dtype == torch.float32 and q.shape[-1] % 4 == 0


def joined_keys_again(q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
    """`joined_keys_attention`, repeated for the backward pass: joined keys are not kept."""
    again = {"use_reentrant": False, "preserve_rng_state": False}
    return checkpoint(joined_keys_attention, q, k, v, runs, **again)


def joined_keys_attention(q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
    """`tree_attention` by public calls alone: for other devices, and to read what is replaced.

    Query i of t sees the first S - t + i + 1 of S keys. Grouped heads are repeated.
    """
    out, groups = [], q.shape[1] // k.shape[1]
    for run in runs:
        queries = q[:, :, run.start : run.stop]
        slices = [*run.path, (run.start, run.stop)]
        keys, values = (torch.cat([x[:, :, a:b] for a, b in slices], dim=2) for x in (k, v))
        keys, values = (x.repeat_interleave(groups, dim=1) for x in (keys, values))
        bias = causal_lower_right(queries.shape[2], keys.shape[2])
        out.append(F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias))
    return torch.cat(out, dim=2)


def rectangles(runs: list[Run]) -> list[tuple[slice, slice, bool]]:
    """(queries, keys, causal) of every piece of a tree's attention; each run's own, causal, first.

    Siblings attend to their path as one:
    >>> rectangles([Run(0, 4), Run(4, 6, ((0, 2),)), Run(6, 9, ((0, 2),))])[-1]
    (slice(4, 9, None), slice(0, 2, None), False)
    """
    own = [slice(run.start, run.stop) for run in runs]
    out = [(rows, rows, True) for rows in own]
    for path, group in groupby(runs, key=lambda run: run.path):
        siblings = list(group)
        rows = slice(siblings[0].start, siblings[-1].stop)
        out += [(rows, slice(a, b), False) for a, b in path]
    return out


class _TreeAttention(torch.autograd.Function):
    """By rectangles, the G query heads of a key head as a batch: keys are read where they lie."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
        _, H, T, D = q.shape
        K = k.shape[1]
        out = q.new_empty(1, T, H, D).transpose(1, 2)
        lse = q.new_empty(H // K, K, T, dtype=_wide(q))  # of what a query has seen so far
        q_, k_, v_, out_ = (_by_key_head(x, K, H // K) for x in (q, k, v, out))  # (G, K, T, D)
        for rows, keys, causal in rectangles(runs):
            # (G, K, queries, D) and (G, K, queries): one rectangle's output and log-sum-exps
            piece, piece_lse = _rectangle(q_[:, :, rows], k_[:, :, keys], v_[:, :, keys], causal)
            if causal:
                out_[:, :, rows], lse[:, :, rows] = piece, piece_lse
            else:
                # (T4): e^lse_2 / (e^lse_1 + e^lse_2)
                share = torch.sigmoid(piece_lse - lse[:, :, rows])
                out_[:, :, rows].lerp_(piece, share[..., None].to(piece.dtype))
                lse[:, :, rows] = torch.logaddexp(lse[:, :, rows], piece_lse)  # (T3)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.runs = runs
        return out

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        _, H, T, D = q.shape
        K = k.shape[1]
        to_q = q.new_zeros(1, T, H, D, dtype=_wide(q)).transpose(1, 2)
        to_k, to_v = (k.new_zeros(1, T, K, D, dtype=_wide(q)).transpose(1, 2) for _ in range(2))
        views = (_by_key_head(x, K, H // K) for x in (q, k, v, out, upstream, to_q))
        q_, k_, v_, out_, up_, to_q_ = views  # (G, K, T, D)
        for rows, keys, causal in rectangles(ctx.runs):
            up, query, joined, joined_lse = (x[:, :, rows] for x in (up_, q_, out_, lse))
            tensors = up, query, k_[:, :, keys], v_[:, :, keys], joined, joined_lse
            piece_q, piece_k, piece_v = _rectangle_backward(*tensors, causal)  # (T5)
            to_q_[:, :, rows] += piece_q
            to_k[0, :, keys] += piece_k.sum(0)  # over the G query heads that read these keys
            to_v[0, :, keys] += piece_v.sum(0)
        return to_q.to(q.dtype), to_k.to(k.dtype), to_v.to(v.dtype), None


def _rectangle(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """Attention of q over k and v, (G, K, tokens, D) each, and its log-sum-exps (G, K, queries)."""
    if q.device.type == "cpu":
        return aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
    function = aten._scaled_dot_product_efficient_attention
    out, lse, *_ = function(q, k, v, None, True, 0.0, causal)
    return out, lse[:, :, : q.shape[2]]  # padded to a multiple of 32


def _rectangle_backward(
    upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, causal: bool
) -> tuple[Tensor, ...]:
    """Gradients of a rectangle's q, k and v, given the joined out and lse."""
    if q.device.type == "cpu":
        function = aten._scaled_dot_product_flash_attention_for_cpu_backward
        return function(upstream, q, k, v, out, lse, 0.0, causal)
    # CUDA reads these two as if tokens lay before heads, and rows in multiples of 32
    out = out.transpose(1, 2).contiguous().transpose(1, 2)
    lse = F.pad(lse, (0, -lse.shape[2] % 32), value=torch.inf)
    seed = torch.zeros((), dtype=torch.int64, device=q.device)  # of no dropout
    function = aten._scaled_dot_product_efficient_attention_backward
    wanted = [True, True, True, False]  # gradients of q, k and v, of no bias
    grads = function(upstream, q, k, v, None, out, lse, seed, seed, 0.0, wanted, causal)
    return grads[:3]


def _by_key_head(x: Tensor, K: int, G: int) -> Tensor:
    """A view (G, K, T, D) of heads (1, K G, T, D), or of keys (1, K, T, D) that G heads read."""
    _, heads, T, D = x.shape
    x = x[0].unflatten(0, (K, heads // K)).transpose(0, 1)  # (G or 1, K, T, D)
    return x.expand(G, K, T, D)


def _wide(x: Tensor) -> torch.dtype:
    """What sums are kept in: float32, or float64 where x is."""
    return torch.promote_types(x.dtype, torch.float32)
