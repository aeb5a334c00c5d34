"""Attention over a cache with a shared trunk: the CPU's operator and public products against plain
attention of each row, in float64."""

import pytest
import torch

from kernels import cached_attention as module
from kernels.cached_attention import cached_attention


def plain(q, k, v, seen, trunk, on_trunk):
    """Row by row, token by token, head by head."""
    B, H, T, D = q.shape
    G = H // k.shape[1]
    out = torch.empty_like(q)
    for b in range(B):
        for h in range(H):
            keys, values = k[b, h // G], v[b, h // G]
            for t in range(T):
                mine, said = keys[seen[b, t]], values[seen[b, t]]
                if trunk is not None and on_trunk[b]:
                    mine, said = (
                        torch.cat([x[h // G], y]) for x, y in zip(trunk, (mine, said), strict=True)
                    )
                out[b, h, t] = (mine @ q[b, h, t] / D**0.5).softmax(0) @ said
    return out


@pytest.mark.parametrize(
    ("B", "H", "K", "T", "S", "P"),
    [(3, 4, 2, 1, 7, 5), (2, 4, 2, 1, 7, 0), (2, 9, 3, 4, 9, 1), (1, 2, 2, 3, 3, 0)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("way", ["fused", "products"])
def test_both_ways_equal_plain_attention(B, H, K, T, S, P, dtype, way, monkeypatch):
    if way == "products":
        monkeypatch.setattr(module, "FUSED", {})
    torch.manual_seed(B)
    q, k, v = (
        torch.randn(B, heads, n, 8, dtype=torch.float64) for heads, n in ((H, T), (K, S), (K, S))
    )
    trunk = tuple(torch.randn(K, P, 8, dtype=torch.float64) for _ in range(2)) if P else None
    on_trunk = torch.tensor([1, 0, 1])[:B]
    seen = torch.arange(S) <= torch.randint(S, (B, T, 1))
    mask = torch.zeros(B, T, S, dtype=torch.float64).masked_fill(~seen, -torch.inf)
    truth = plain(q, k, v, seen, trunk, on_trunk)
    inputs = [x.to(dtype) for x in (q, k, v, mask)]
    cast = trunk and tuple(x.to(dtype) for x in trunk)
    limit = 1e-12 if dtype == torch.float64 and way == "fused" else 2e-6
    assert (cached_attention(*inputs, cast, on_trunk) - truth).abs().max() <= limit
