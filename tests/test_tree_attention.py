"""Attention over a tree: both ways against a dense mask and against one another, values and
gradients."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from act.model.prefix_tree import build_tree
from kernels import tree_attention as module
from kernels.runs import Run, sorted_by_path
from kernels.tree_attention import joined_keys_attention, rectangles, tree_attention
from kernels.tree_levels import calls
from tests.budget import Budget
from tests.conftest import on_each_device
from tests.tiny import drawn_sequences


@on_each_device
@pytest.mark.parametrize("seed", range(8))
def test_tree_attention_equals_a_dense_mask(seed):
    """Query i sees key j where j stands at or before i in some sequence; values and gradients, in
    float64."""
    tree = build_tree(drawn_sequences(seed, tokens=3))
    T = len(tree.ids)
    mask = torch.zeros(T, T, dtype=torch.bool)
    for places in tree.places:
        for n, place in enumerate(places):
            mask[place, places[: n + 1]] = True
    torch.manual_seed(seed)
    q, k, v = (
        torch.randn(1, heads, T, 8, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2)
    )
    dense = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    ours = tree_attention(q, k, v, tree.runs)
    upstream = torch.randn_like(ours)
    torch.testing.assert_close(ours, dense)
    expected = torch.autograd.grad(dense, (q, k, v), upstream)
    torch.testing.assert_close(torch.autograd.grad(ours, (q, k, v), upstream), expected)


@on_each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_rectangles_equal_joined_keys(seed, dtype):
    """The fast way against public calls alone, on several levels, values and gradients."""
    tree = build_tree(drawn_sequences(seed, tokens=3, longest=40))
    runs, _ = sorted_by_path(tree.runs)  # as a GPU's levels need them
    torch.manual_seed(seed)
    tensors = [torch.randn(1, len(tree.ids), heads, 16).transpose(1, 2) for heads in (6, 2, 2)]
    upstream = torch.randn(1, 6, len(tree.ids), 16)

    def run(function, dtype: torch.dtype) -> list[Tensor]:
        q, k, v = (x.to(dtype, copy=True).requires_grad_() for x in tensors)
        out = function(q, k, v, runs)
        assert out.dtype == dtype
        return [out.detach(), *torch.autograd.grad(out, (q, k, v), upstream.to(dtype))]

    limit = 1e-6 if dtype == torch.float32 else 1e-2
    for ours, public in zip(
        run(tree_attention, dtype), run(joined_keys_attention, torch.float32), strict=True
    ):
        assert (ours.float() - public).norm() <= limit * public.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operators_of_a_gpu_take_what_they_are_given(dtype):
    """On meta tensors, of which little is checked but that the arguments are as many and of their
    kinds: float32 goes by rectangles, a call each, bfloat16 by levels; backward there are as
    many."""
    runs, _ = sorted_by_path(build_tree(drawn_sequences(3, tokens=3, longest=40)).runs)
    T, like = runs[-1].stop, {"dtype": dtype, "device": "meta", "requires_grad": True}
    q, k, v = (torch.empty(1, heads, T, 16, **like) for heads in (6, 2, 2))
    with Budget() as budget:
        out = tree_attention(q, k, v, runs)
        out.sum().backward()
    assert out.shape == (1, 6, T, 16) and out.dtype == q.grad.dtype == dtype
    assert q.grad.shape == q.shape and k.grad.shape == v.grad.shape == k.shape
    by_rectangles = dtype == torch.float32
    name = "_scaled_dot_product_efficient_attention" if by_rectangles else "_flash_attention"
    there = budget.launches[name if by_rectangles else f"{name}_forward"]
    pieces = rectangles(runs) if by_rectangles else calls(tuple(runs), q.device)
    assert there == budget.launches[f"{name}_backward"] == len(pieces) > 2


@pytest.mark.parametrize(
    ("dtype", "D", "way"),
    [
        (torch.bfloat16, 8, "level_attention"),
        (torch.bfloat16, 12, "joined_keys_again"),
        (torch.bfloat16, 264, "joined_keys_again"),
        (torch.float32, 4, "_rectangle"),
        (torch.float32, 6, "joined_keys_again"),
        (torch.float64, 8, "joined_keys_again"),
    ],
)
def test_the_way_of_heads_on_a_gpu(monkeypatch, dtype, D, way):
    """Flash attention has heads of 8, 16, ..., 256 numbers, the other operator of 16 bytes each."""
    taken = []
    for name in ("level_attention", "joined_keys_again", "_rectangle"):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *x, name=name, real=real: taken.append(name) or real(*x)
        )
    q, k, v = (torch.empty(1, n, 5, D, dtype=dtype, device="meta") for n in (6, 2, 2))
    assert tree_attention(q, k, v, [Run(0, 5)]).shape == q.shape
    assert taken == [way]


@pytest.mark.slow
def test_rectangles_equal_joined_keys_at_size():
    """A session as it is: 9 heads of 64 on 3 key heads, a trunk of 1,500 tokens, branches, paths in
    two slices.

    The flash operator works in blocks of 256 queries and 512 keys, which smaller trees never fill.
    """
    prompt, stream = list(range(1500)), random.Random(0)
    sequences = [
        prompt[:at] + [stream.randrange(9) for _ in range(n)]
        for at, n in ((1500, 300), (1400, 300), (700, 40))
    ]
    sequences += [sequences[1][:1600] + [10] * n for n in (5, 90)]
    tree = build_tree(sequences)
    assert any(len(run.path) == 2 for run in tree.runs)
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(1, len(tree.ids), heads, 64).transpose(1, 2).requires_grad_()
        for heads in (9, 3, 3)
    )
    upstream = torch.randn(1, 9, len(tree.ids), 64)
    ours, public = tree_attention(q, k, v, tree.runs), joined_keys_attention(q, k, v, tree.runs)
    assert (ours - public).norm() <= 1e-6 * public.norm()
    pairs = zip(
        *(torch.autograd.grad(out, (q, k, v), upstream) for out in (ours, public)), strict=True
    )
    assert all((a - b).norm() <= 1e-6 * b.norm() for a, b in pairs)


def test_siblings_read_their_path_as_one():
    """Neighbours that hang at the same place are one rectangle on each slice of their path; a
    cousin is its own."""
    path = ((0, 4), (10, 12))
    runs = [
        Run(0, 10),
        Run(10, 14, ((0, 4),)),
        Run(14, 17, path),
        Run(17, 18, path),
        Run(18, 20, ((0, 4),)),
    ]
    own = [(slice(run.start, run.stop),) * 2 + (True,) for run in runs]
    joined = [(10, 14, 0, 4), (14, 18, 0, 4), (14, 18, 10, 12), (18, 20, 0, 4)]
    assert rectangles(runs) == own + [(slice(a, b), slice(c, d), False) for a, b, c, d in joined]
