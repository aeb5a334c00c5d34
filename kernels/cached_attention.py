"""Attention of new tokens over cached keys, of which a beginning (the trunk) may be shared by all.

Decoding is as fast as memory is, so each key is read once: the G query heads of one key head are
stacked as rows, and all rows' queries are one matrix against the trunk's keys. The two pieces are
joined by their log-sum-exps, as in tree_attention.py:

    share = exp(lse_trunk) / (exp(lse_own) + exp(lse_trunk))
    out = (1 - share) out_own + share out_trunk
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten
KeysValues = tuple[Tensor, Tensor]  # (K, P, D) each


def cached_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, trunk: KeysValues | None, on_trunk: Tensor
) -> Tensor:
    """(B, H, T, D) of queries q (B, H, T, D) over their own keys and values and the trunk's.

    k and v (B, K, S, D) are the rows' own, `trunk` two (K, P, D). `mask` (B, T, S), 0 or -inf, says
    which own keys a token sees; rows whose `on_trunk` (B,) is 1 see all of the trunk, others none.
    """
    B, H, T, D = q.shape
    K = k.shape[1]
    G = H // K
    stacked = q.reshape(B, K, G * T, D)
    bias = mask[:, None, None].expand(B, 1, G, T, -1).reshape(B, 1, G * T, -1)
    if trunk is None:
        return F.scaled_dot_product_attention(stacked, k, v, attn_mask=bias).reshape(B, H, T, D)
    piece = FUSED.get(q.device.type, by_products)
    own, own_lse = piece(stacked, k, v, bias)  # (B, K, G T, D), (B, K, G T)
    shared = stacked.transpose(0, 1).reshape(1, K, -1, D)  # all rows' queries of a key head
    out, lse = piece(shared, trunk[0][None], trunk[1][None])  # (1, K, B G T, D), (1, K, B G T)
    out, lse = (x[0].unflatten(1, (B, -1)).transpose(0, 1) for x in (out, lse))  # as own, own_lse
    share = torch.sigmoid(lse - own_lse) * on_trunk[:, None, None]
    return torch.lerp(own, out, share[..., None].to(own.dtype)).reshape(B, H, T, D)


def by_products(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(out, log-sum-exps) of a piece of attention by public calls, for any device: (B, K, N, D) and
    (B, K, N) of queries q (B, K, N, D) over k and v (B, K, S, D), with `bias` added to the scores.
    """
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])  # (B, K, N, S)
    if bias is not None:
        scores = scores + bias
    lse = scores.logsumexp(-1)
    return (scores - lse[..., None]).exp().to(v.dtype) @ v, lse


def _on_cpu(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=bias)


def _on_gpu(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The fused operator that takes a bias: of a multiple of 8 keys, one for each head.

    It reads 16 bytes of a head at a time, and knows bfloat16 from Ampere on (RTX 30, A100).
    """
    fits = q.shape[-1] * q.element_size() % 16 == 0
    if q.is_cuda and q.dtype == torch.bfloat16:
        fits = fits and torch.cuda.get_device_capability(q.device) >= (8, 0)
    if not fits:
        return by_products(q, k, v, bias)
    if bias is not None:
        bias = bias.expand(-1, q.shape[1], -1, -1)
    out, lse, *_ = aten._scaled_dot_product_efficient_attention(q, k, v, bias, True)
    return out, lse[..., : q.shape[2]]  # padded to a multiple of 32


FUSED = {"cpu": _on_cpu, "cuda": _on_gpu, "meta": _on_gpu}  # "meta": shapes alone, to be counted
