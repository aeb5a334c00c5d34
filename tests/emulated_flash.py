"""CUDA's variable-length flash attention, forward and backward, sequence by sequence on any device:
the two operators that kernels/tree_levels.py calls, in plain PyTorch, for machines without a GPU.
They refuse what CUDA's refuse (mha_varlen_fwd and mha_varlen_bwd of PyTorch's flash_api.cpp), but
for a type: float32 is taken, for tests to be exact."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from kernels.tree_levels import Call


def sequences(call: Call) -> Iterator[tuple[slice, slice]]:
    """Rows and keys of each sequence of a call that has both."""
    yield from cut(call.row_ends, call.key_ends, *call.longest)


def cut(row_ends: Tensor, key_ends: Tensor, *longest: int) -> Iterator[tuple[slice, slice]]:
    rows, keys = (list(pairwise(ends.tolist())) for ends in (row_ends, key_ends))
    for (a, b), (c, d) in zip(rows, keys, strict=True):
        assert b - a <= longest[0] and d - c <= longest[1]
        assert (a, c) != (b, d)
        if a < b and c < d:
            yield slice(a, b), slice(c, d)


def check(q: Tensor, k: Tensor, v: Tensor, row_ends: Tensor, key_ends: Tensor) -> None:
    """What CUDA asks of its inputs; that the ends are the tensors' own it does not even ask."""
    assert q.dtype == k.dtype == v.dtype and k.shape == v.shape
    assert q.shape[2] == k.shape[2] <= 256 and q.shape[2] % 8 == 0
    assert q.shape[1] % k.shape[1] == 0
    for x in (q, k, v):  # 16 bytes are read at a time
        assert x.stride(-1) == 1 and x.storage_offset() * x.element_size() % 16 == 0
    for tensor, ends in ((q, row_ends), (k, key_ends)):
        assert ends.dtype == torch.int32 and ends.is_contiguous() and ends[0] == 0
        assert ends[-1] == len(tensor)


def scores(q: Tensor, k: Tensor, causal: bool) -> Tensor:
    """q k' / sqrt(D) of rows (n, H, D) and keys (m, K, D): (H, n, m), -inf where not seen."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    out = torch.einsum("nhd,mhd->hnm", q, k) / q.shape[2] ** 0.5
    if causal:
        n, m = out.shape[1:]
        seen = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
        out = out.masked_fill(~seen, -torch.inf)
    return out


def flash_forward(
    query, key, value, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p, is_causal, return_debug_mask
) -> tuple[Tensor, ...]:
    """Arguments and results as aten::_flash_attention_forward names them."""
    check(query, key, value, cum_seq_q, cum_seq_k)
    assert dropout_p == 0 and not return_debug_mask
    H, K = query.shape[1], key.shape[1]
    if max_q == 1 and H > K:  # heads are laid for rows: a view that must have a row a sequence
        assert len(query) == len(cum_seq_q) - 1
    q, k, v = (x.float() for x in (query, key, value))
    out, lse = torch.zeros_like(q), q.new_full((H, len(q)), torch.inf)
    for rows, keys in cut(cum_seq_q, cum_seq_k, max_q, max_k):
        s = scores(q[rows], k[keys], is_causal)
        lse[:, rows] = s.logsumexp(-1)
        values = v[keys].repeat_interleave(H // K, dim=1)
        out[rows] = torch.einsum("hnm,mhd->nhd", s.softmax(-1), values)
    unused = q.new_empty(0)
    return out.to(query.dtype), lse, unused, unused, unused


def flash_backward(
    grad_out, query, key, value, out, logsumexp, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p,
    is_causal, rng_state, unused
) -> tuple[Tensor, ...]:  # fmt: skip
    """As aten::_flash_attention_backward names them. By P = exp(S - lse), dS = P (dO V' - sum(dO
    O)): lse and O are the joined ones."""
    check(query, key, value, cum_seq_q, cum_seq_k)
    assert grad_out.dtype == out.dtype == query.dtype and grad_out.shape == out.shape == query.shape
    H, K = query.shape[1], key.shape[1]
    assert logsumexp.shape == (H, len(query)) and logsumexp.dtype == torch.float32
    assert logsumexp.is_contiguous()  # read as if it were, unchecked
    assert dropout_p == 0 and rng_state.dtype == torch.uint64
    up, q, o, k, v = (x.float() for x in (grad_out, query, out, key, value))
    to_q, to_k, to_v = (torch.zeros_like(x) for x in (q, k, v))
    for rows, keys in cut(cum_seq_q, cum_seq_k, max_q, max_k):
        p = (scores(q[rows], k[keys], is_causal) - logsumexp[:, rows, None]).exp()
        keys_, values = (x[keys].repeat_interleave(H // K, dim=1) for x in (k, v))
        own = (up[rows] * o[rows]).sum(-1).T[..., None]  # (H, n, 1)
        s = p * (torch.einsum("nhd,mhd->hnm", up[rows], values) - own) / q.shape[2] ** 0.5
        to_q[rows] = torch.einsum("hnm,mhd->nhd", s, keys_)
        groups = (-1, H // K)
        to_k[keys] = torch.einsum("hnm,nhd->mhd", s, q[rows]).unflatten(1, groups).sum(2)
        to_v[keys] = torch.einsum("hnm,nhd->mhd", p, up[rows]).unflatten(1, groups).sum(2)
    return to_q.to(query.dtype), to_k.to(key.dtype), to_v.to(value.dtype)


def emulate(monkeypatch) -> None:
    """Put both in the place of CUDA's."""
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", flash_forward)
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_backward", flash_backward)
