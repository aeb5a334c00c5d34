"""Attention over a cache with a shared trunk: the CPU's operator, public products, and CUDA's
operator, emulated, against plain attention of each row, in float64."""

from types import SimpleNamespace

import pytest
import torch

from act.model import kv_cache
from act.model.sampler import Request, Sampler, Sampling
from kernels import cached_attention as module
from kernels.cached_attention import cached_attention
from tests.replies import decode
from tests.tiny import tiny_llama


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


def efficient(q, k, v, bias, compute_log_sumexp, dropout=0.0, causal=False):
    """CUDA's memory-efficient operator: what it asks of a bias, and what it gives: out with its
    heads inside, as they lie there, log-sum-exps padded to a multiple of 32, and two more."""
    B, K, N, D = q.shape
    assert compute_log_sumexp and not dropout and not causal and k.shape == v.shape
    scores = q @ k.transpose(-1, -2) / D**0.5
    if bias is not None:
        assert bias.shape == scores.shape and bias.dtype == q.dtype
        assert bias.shape[-1] % 8 == 0 and all(stride % 8 == 0 for stride in bias.stride()[:-1])
        scores = scores + bias
    lse = scores.new_full((B, K, -(-N // 32) * 32), torch.inf)
    lse[..., :N] = scores.logsumexp(-1)
    out = torch.empty(B, N, K, D, dtype=q.dtype).transpose(1, 2)
    return out.copy_(scores.softmax(-1) @ v), lse, None, None


@pytest.fixture
def emulated(monkeypatch):
    operator = SimpleNamespace(_scaled_dot_product_efficient_attention=efficient)
    monkeypatch.setattr(module, "aten", operator)
    monkeypatch.setattr(module, "FUSED", {"cpu": module._on_gpu})


def test_the_emulated_operator_is_called_as_cudas(emulated):
    """As the operator's own schema names what it takes, and returns."""
    schema = torch.ops.aten._scaled_dot_product_efficient_attention.default._schema
    names = [argument.name for argument in schema.arguments]
    assert names[:5] == ["query", "key", "value", "attn_bias", "compute_log_sumexp"]
    assert [returned.name for returned in schema.returns[:2]] == ["output", "log_sumexp"]


@pytest.mark.parametrize("T", [1, 4])
def test_cudas_way_equals_plain_attention(emulated, T):
    """40 rows, 24 keys each, those behind a row's own not seen, and a trunk of 13."""
    torch.manual_seed(T)
    B, H, K, S, P = 40, 4, 2, 24, 13
    q, k, v = (torch.randn(B, n, m, 8).double() for n, m in ((H, T), (K, S), (K, S)))
    trunk = tuple(torch.randn(K, P, 8).double() for _ in range(2))
    on_trunk, seen = torch.arange(B) % 3 > 0, torch.arange(S) <= torch.randint(S, (B, T, 1))
    mask = torch.zeros(B, T, S).double().masked_fill(~seen, -torch.inf)
    truth = plain(q, k, v, seen, trunk, on_trunk)
    assert (cached_attention(q, k, v, mask, trunk, on_trunk) - truth).abs().max() <= 1e-12


def test_decoding_by_cudas_way_says_what_the_cpu_says(emulated, monkeypatch):
    """Ten conversations over a trunk of 80 tokens, in two rounds, keys in multiples of 64."""
    model = tiny_llama().requires_grad_(False)
    for p in model.parameters():  # attention matters
        torch.nn.init.normal_(p, std=0.3)
    trunk = torch.randint(1, 97, (80,), generator=torch.Generator().manual_seed(0)).tolist()

    def replies():
        sampler, found = Sampler(model, [0], Sampling(0.8, 0.9, 60)), []
        prompts = [[*trunk, i + 1, *range(5, 5 + i)] for i in range(10)]
        for _ in range(2):
            requests = [Request(str(i), prompt, i) for i, prompt in enumerate(prompts)]
            found += decode(sampler, requests)
            prompts = [[*a, *b.ids[:9], 7] for a, b in zip(prompts, found[-10:], strict=True)]
        assert len(sampler.trunk) == 80
        return found

    monkeypatch.setattr(kv_cache, "KEYS", {"cpu": 64})
    by_cudas_way = replies()
    monkeypatch.undo()
    assert replies() == by_cudas_way


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
