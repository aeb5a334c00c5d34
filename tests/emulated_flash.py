"""CUDA's variable-length flash attention, forward and backward, sequence by sequence on any device:
what kernels/tree_levels.py calls, in plain PyTorch, for machines without a GPU."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from kernels import tree_levels
from kernels.tree_levels import Call


def sequences(call: Call) -> Iterator[tuple[slice, slice]]:
    """Rows and keys of each sequence of a call that has both."""
    rows, keys = (list(pairwise(ends.tolist())) for ends in (call.row_ends, call.key_ends))
    for (a, b), (c, d) in zip(rows, keys, strict=True):
        assert b - a <= call.longest[0] and d - c <= call.longest[1]
        assert (a, c) != (b, d)
        if a < b and c < d:
            yield slice(a, b), slice(c, d)


def scores(q: Tensor, k: Tensor, causal: bool) -> Tensor:
    """q k' / sqrt(D) of rows (n, H, D) and keys (m, K, D): (H, n, m), -inf where not seen."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    out = torch.einsum("nhd,mhd->hnm", q, k) / q.shape[2] ** 0.5
    if causal:
        n, m = out.shape[1:]
        seen = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
        out = out.masked_fill(~seen, -torch.inf)
    return out


def attend(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    dtype = q.dtype
    q, k, v = (x.float() for x in (q[call.rows], k[call.keys], v[call.keys]))
    out, lse = torch.zeros_like(q), q.new_full((q.shape[1], len(q)), torch.inf)
    for rows, keys in sequences(call):
        s = scores(q[rows], k[keys], call.causal)
        lse[:, rows] = s.logsumexp(-1)
        values = v[keys].repeat_interleave(q.shape[1] // v.shape[1], dim=1)
        out[rows] = torch.einsum("hnm,mhd->nhd", s.softmax(-1), values)
    return out.to(dtype), lse


def attend_backward(
    upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, call: Call
) -> tuple[Tensor, Tensor, Tensor]:
    """By P = exp(S - lse), dS = P (dO V' - sum(dO O)): lse and O are the joined ones."""
    dtype, lse = q.dtype, lse[:, call.rows]
    up, q, out = (x[call.rows].float() for x in (upstream, q, out))
    k, v = (x[call.keys].float() for x in (k, v))
    to_q, to_k, to_v = (torch.zeros_like(x) for x in (q, k, v))
    G = q.shape[1] // k.shape[1]
    for rows, keys in sequences(call):
        p = (scores(q[rows], k[keys], call.causal) - lse[:, rows, None]).exp()
        keys_, values = (x[keys].repeat_interleave(G, dim=1) for x in (k, v))
        own = (up[rows] * out[rows]).sum(-1).T[..., None]  # (H, n, 1)
        s = p * (torch.einsum("nhd,mhd->hnm", up[rows], values) - own) / q.shape[2] ** 0.5
        to_q[rows] = torch.einsum("hnm,mhd->nhd", s, keys_)
        to_k[keys] = torch.einsum("hnm,nhd->mhd", s, q[rows]).unflatten(1, (-1, G)).sum(2)
        to_v[keys] = torch.einsum("hnm,nhd->mhd", p, up[rows]).unflatten(1, (-1, G)).sum(2)
    return to_q.to(dtype), to_k.to(dtype), to_v.to(dtype)


def emulate(monkeypatch) -> None:
    """Put both in the place of CUDA's."""
    monkeypatch.setattr(tree_levels, "attend", attend)
    monkeypatch.setattr(tree_levels, "attend_backward", attend_backward)
