"""Attention of new tokens over cached keys, of which a beginning (the trunk) may be shared by all.

Decoding is as fast as memory is, so each key is read once: the G query heads of one key head are
stacked as rows, and all rows' queries are one matrix against the trunk's keys. The two pieces are
joined by their log-sum-exps, as in tree_attention.py:

    share = exp(lse_trunk) / (exp(lse_own) + exp(lse_trunk))
    out = (1 - share) out_own + share out_trunk
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
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
    if trunk is not None and q.device.type != "cpu":
        return joined_keys(q, k, v, mask, trunk, on_trunk)
    G = H // K
    stacked = q.reshape(B, K, G * T, D)
    bias = mask[:, None, None].expand(B, 1, G, T, -1).reshape(B, 1, G * T, -1)
    if trunk is None:
        return F.scaled_dot_product_attention(stacked, k, v, attn_mask=bias).view(B, H, T, D)
    own, own_lse = _flash(stacked, k, v, attn_mask=bias)  # (B, K, G T, D), (B, K, G T)
    shared = stacked.transpose(0, 1).reshape(1, K, -1, D)  # all rows' queries of a key head
    out, lse = _flash(shared, trunk[0][None], trunk[1][None])  # (1, K, B G T, D), (1, K, B G T)
    out, lse = (x[0].unflatten(1, (B, -1)).transpose(0, 1) for x in (out, lse))  # as own, own_lse
    share = torch.sigmoid(lse - own_lse) * on_trunk[:, None, None]
    return torch.lerp(own, out, share[..., None].to(own.dtype)).reshape(B, H, T, D)


def joined_keys(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, trunk: KeysValues, on_trunk: Tensor
) -> Tensor:
    """`cached_attention` from public calls alone, for any device; copies the trunk's keys."""
    B, H, T, D = q.shape
    K, P, _ = trunk[0].shape
    k = torch.cat([trunk[0].expand(B, K, P, D), k], dim=2)  # (B, K, P + S, D)
    v = torch.cat([trunk[1].expand(B, K, P, D), v], dim=2)
    k, v = (x.repeat_interleave(H // K, dim=1) for x in (k, v))
    seen = on_trunk.to(mask.dtype).log()[:, None, None].expand(B, T, P)  # 0 or -inf
    mask = torch.cat([seen, mask], dim=2)[:, None]  # (B, 1, T, P + S)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
