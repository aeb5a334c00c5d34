"""Levels: which rectangles they are, against a dense mask, and what comes out of them, emulated,
against the rectangles one by one."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from act.model.prefix_tree import Tree, build_tree
from kernels.runs import Run, sorted_by_path
from kernels.tree_attention import _TreeAttention, rectangles
from kernels.tree_levels import calls, ends, level_attention, levels
from tests.budget import session
from tests.emulated_flash import emulate, sequences
from tests.tiny import drawn_sequences


def seen_by(tree: Tree) -> torch.Tensor:
    """(T, T): whether the token of a row sees that of a column, from the sequences alone."""
    mask = torch.zeros(len(tree.ids), len(tree.ids), dtype=torch.int32)
    for places in tree.places:
        for n, place in enumerate(places):
            mask[place, places[: n + 1]] = 1
    return mask


def test_runs_by_path_by_hand():
    """0 1 2 3 / 0 1 2 5 / 0 1 6 7: the branch that hangs highest comes first."""
    runs = [Run(0, 4), Run(4, 5, ((0, 3),)), Run(5, 7, ((0, 2),)), Run(7, 8, ((0, 2), (5, 6)))]
    expected = [Run(0, 4), Run(4, 6, ((0, 2),)), Run(6, 7, ((0, 2), (4, 5))), Run(7, 8, ((0, 3),))]
    assert sorted_by_path(runs) == (expected, [0, 1, 2, 3, 5, 6, 7, 4])


def test_a_staircase_is_halved():
    """Four branches of a trunk, as drawn in kernels/tree_levels.py; two hang at one place."""
    hang, runs = (4, 6, 9, 11, 11), [Run(0, 12)]
    runs += [Run(20 + 2 * i, 22 + 2 * i, ((0, at),)) for i, at in enumerate(hang)]
    assert levels(runs) == [[(24, 30, 0, 9)], [(22, 24, 0, 6), (26, 30, 9, 11)], [(20, 22, 0, 4)]]
    assert ends([(22, 24, 0, 6), (26, 30, 9, 11)]) == [(0, 0), (2, 6), (4, 6), (4, 9), (8, 11)]


@pytest.mark.parametrize("tokens", [2, 3, 4])
def test_levels_are_the_mask_of_a_hundred_random_trees(tokens):
    """Each thing that a token sees is in one rectangle of one call; the rectangles of a call share
    neither rows nor keys, and ascend in both; a staircase of n steps has log2(n) + 1 levels."""
    for seed in range(100):
        tree = build_tree(drawn_sequences(seed, tokens, longest=20))
        runs, order = sorted_by_path(tree.runs)
        found = torch.zeros(len(tree.ids), len(tree.ids), dtype=torch.int32)
        for level in levels(runs):
            for a, b, c, d in level:
                found[a:b, c:d] += 1
            for (_, b, _, d), (a, _, c, _) in pairwise(level):
                assert b <= a and d <= c
        for run in runs:
            found[run.start : run.stop, run.start : run.stop] += torch.ones(
                run.stop - run.start, run.stop - run.start, dtype=torch.int32
            ).tril()
        assert torch.equal(found, seen_by(tree)[order][:, order])
        deepest = max(len(run.path) for run in runs)
        assert len(levels(runs)) <= deepest * (int(math.log2(len(runs))) + 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_call_is_its_rectangles(seed):
    """Cut at its ends, a call has the rectangles of its level and nothing else that has both rows
    and keys."""
    tree = build_tree(drawn_sequences(seed, tokens=3, longest=20))
    runs, _ = sorted_by_path(tree.runs)
    own = [(run.start, run.stop, run.start, run.stop) for run in runs]
    roots = sum(run.path == () for run in runs)
    causal = [group for group in (own[:roots], own[roots:]) if group]
    found = calls(tuple(runs), torch.device("cpu"))
    assert [call.causal for call in found] == [i < len(causal) for i in range(len(found))]
    for call, level in zip(found, (*causal, *levels(runs)), strict=True):
        r, k = call.rows.start, call.keys.start
        assert [
            (rows.start + r, rows.stop + r, keys.start + k, keys.stop + k)
            for rows, keys in sequences(call)
        ] == level
        assert call.rows.stop - r == call.row_ends[-1] and call.keys.stop - k == call.key_ends[-1]


def test_a_session_takes_eight_calls_instead_of_123():
    """25 turns, two answers each that begin alike: 25 branches hang on the trunk (the last answer
    is its end), in 5 levels; 24 hang on those, in one; the trunk on itself, and the others."""
    tree = build_tree([answer.ids for e in session(11_000) for answer in e.answers])
    runs, _ = sorted_by_path(tree.runs)
    assert len(runs) == 50 and len(rectangles(tree.runs)) == 123
    assert len(calls(tuple(runs), torch.device("cpu"))) == 8


def outputs(function, tree: Tree, runs: list[Run], dtype: torch.dtype, D: int) -> list[Tensor]:
    """[out, gradients of q, k and v] with 6 heads on 2 key heads."""
    torch.manual_seed(0)
    T = len(tree.ids)
    q, k, v, upstream = (torch.randn(1, T, heads, D).transpose(1, 2) for heads in (6, 2, 2, 6))
    q, k, v = (x.to(dtype).requires_grad_() for x in (q, k, v))
    out = function(q, k, v, runs)
    assert out.dtype == dtype
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), upstream.to(dtype))]


def check(tree: Tree, dtype: torch.dtype, D: int, close: float) -> None:
    """Levels give the rectangles' numbers, which are taken in float32."""
    runs, _ = sorted_by_path(tree.runs)
    ours = outputs(level_attention, tree, runs, dtype, D)
    truth = outputs(_TreeAttention.apply, tree, runs, torch.float32, D)
    for value, exact in zip(ours, truth, strict=True):
        assert (value - exact).norm() <= close * exact.norm()


@pytest.mark.parametrize(
    ("trees", "dtype", "close"), [(300, torch.float32, 1e-5), (40, torch.bfloat16, 1e-2)]
)
def test_levels_equal_rectangles_on_random_trees(monkeypatch, trees, dtype, close):
    """Values and gradients."""
    emulate(monkeypatch)
    for seed in range(trees):
        check(build_tree(drawn_sequences(seed, tokens=3)), dtype, 8, close)


def test_branches_of_one_token_are_no_call_of_one_row(monkeypatch):
    """Four hang on a trunk, at 4, 6, 9 and 11: the second level's rectangles are a row each, and
    between their keys lie three that no row sees: three rows in four sequences."""
    emulate(monkeypatch)
    trunk = list(range(12))
    tree = build_tree([trunk, *([*trunk[:at], 100] for at in (4, 6, 9, 11))])
    runs, _ = sorted_by_path(tree.runs)
    found = [call.row_ends.tolist() for call in calls(tuple(runs), torch.device("cpu"))]
    assert [0, 1, 2, 2, 3] in found
    check(tree, torch.float32, 8, 1e-5)


@pytest.mark.slow
def test_levels_equal_rectangles_on_a_session(monkeypatch):
    """A session of 25 turns in small, 1,500 tokens, 50 runs."""
    emulate(monkeypatch)
    tree = build_tree([answer.ids for e in session(1_500) for answer in e.answers])
    assert len(tree.runs) == 50
    check(tree, torch.float32, 64, 1e-5)
