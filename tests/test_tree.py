"""Prefix trees: how sequences are laid out, and how examples are gathered into trees of a
budget."""

import pytest

from act.model.prefix_tree import Tree, build_tree
from act.training.examples import Answer, Example
from act.training.step import group_by_budget
from kernels.runs import Run
from tests.tiny import drawn_sequences


def laid_out(tree: Tree) -> tuple:
    return tree.ids, tree.runs, tree.places


def assert_spells(tree: Tree, sequences: list[list[int]]) -> None:
    """Places spell each sequence, positions count it from 0, runs tile the row and hang behind what
    precedes them."""
    assert [[tree.ids[place] for place in places] for places in tree.places] == sequences
    for places in tree.places:
        assert [tree.positions[place] for place in places] == list(range(len(places)))
    assert [run.start for run in tree.runs] == [0, *(run.stop for run in tree.runs)][
        : len(tree.runs)
    ]
    assert tree.runs[-1].stop == len(tree.ids) == len(tree.positions)
    for run in tree.runs:
        before = [place for start, stop in run.path for place in range(start, stop)]
        stretch = before + list(range(run.start, run.stop))
        assert any(places[: len(stretch)] == stretch for places in tree.places)


def test_two_branches_of_a_trunk():
    tree = build_tree([[1, 2, 3, 4], [1, 2, 5]])
    assert tree.ids == [1, 2, 3, 4, 5]
    assert tree.runs == [Run(0, 4), Run(4, 5, ((0, 2),))]
    assert tree.places == [[0, 1, 2, 3], [0, 1, 4]]
    assert tree.positions == [0, 1, 2, 3, 2]


def test_a_duplicate_and_a_prefix_take_no_tokens():
    tree = build_tree([[1, 2], [1, 2, 3], [1, 2, 3]])
    assert laid_out(tree) == ([1, 2, 3], [Run(0, 3)], [[0, 1], [0, 1, 2], [0, 1, 2]])


def test_no_common_prefix():
    """Two roots: the second run has no path, and its positions begin at 0 again."""
    tree = build_tree([[1, 2], [3, 2]])
    assert laid_out(tree) == ([1, 2, 3, 2], [Run(0, 2), Run(2, 4)], [[0, 1], [2, 3]])
    assert tree.positions == [0, 1, 0, 1]


def test_one_token_answers():
    """A pair whose answers are one token each behind a prompt of two, and a bare token."""
    tree = build_tree([[7, 8, 1], [7, 8, 2], [7, 8, 3], [9]])
    assert tree.ids == [7, 8, 1, 2, 3, 9]
    assert tree.runs == [Run(0, 3), Run(3, 4, ((0, 2),)), Run(4, 5, ((0, 2),)), Run(5, 6)]
    assert tree.places == [[0, 1, 2], [0, 1, 3], [0, 1, 4], [5]]


def test_a_branch_of_a_branch_of_a_branch():
    """1 2 3 4 5 6 / 1 2 7 8 9 / 1 2 7 8 a / 1 2 7 b: the path of a is two slices, (0, 2) and (6,
    8)."""
    tree = build_tree([[1, 2, 3, 4, 5, 6], [1, 2, 7, 8, 9], [1, 2, 7, 8, 10], [1, 2, 7, 11]])
    assert tree.ids == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert tree.runs == [
        Run(0, 6),
        Run(6, 9, ((0, 2),)),
        Run(9, 10, ((0, 2), (6, 8))),
        Run(10, 11, ((0, 2), (6, 7))),
    ]
    assert tree.positions == [0, 1, 2, 3, 4, 5, 2, 3, 4, 4, 3]


def test_lying_behind_is_not_following():
    """Row 6 7 | 5: token 5 lies behind 7, but in a run of its own, at position 0."""
    tree = build_tree([[5], [6, 7]])
    assert laid_out(tree) == ([6, 7, 5], [Run(0, 2), Run(2, 3)], [[2], [0, 1]])
    sequences = [[6, 7], [5], [6, 5]]
    assert build_tree(sequences).ids == [6, 7, 5, 5]
    assert_spells(build_tree(sequences), sequences)


@pytest.mark.parametrize("seed", range(60))
def test_any_sequences_are_spelt_with_no_token_twice(seed):
    """As many tokens as there are distinct prefixes: no tree has fewer."""
    sequences = drawn_sequences(seed, tokens=2 + seed % 3)
    tree = build_tree(sequences)
    assert_spells(tree, sequences)
    assert len(tree.ids) == len({tuple(s[: i + 1]) for s in sequences for i in range(len(s))})


def pair(name: str, prompt: list[int], chosen: list[int], rejected: list[int]) -> Example:
    return Example(
        name, Answer(prompt + chosen, len(prompt)), Answer(prompt + rejected, len(prompt)), 0
    )


def test_group_by_budget_by_hand():
    """Trees: a = 10 + 2 + 3 = 15 tokens; b is a's prompt and 4 + 2 + 2 more, so that a + b = 23; c
    = 6 alone."""
    prompt = list(range(10))
    a, b = (
        pair("a", prompt, [20, 21], [30, 31, 32]),
        pair("b", [*prompt, 40, 41, 42, 43], [50, 51], [60, 61]),
    )
    c = pair("c", [70, 71], [72, 73], [74, 75])
    assert group_by_budget([a, b, c], 29) == [[a, b, c]]
    assert group_by_budget([a, b, c], 28) == [[a, b], [c]]
    assert group_by_budget([a, b, c], 23) == [[a, b], [c]]
    assert group_by_budget([a, b, c], 22) == [[a], [b], [c]]  # b + c = 18 + 6 = 24
    assert group_by_budget([a, b, c], 5) == [[a], [b], [c]]  # each is too large, and stands alone
    assert group_by_budget([], 5) == []


@pytest.mark.parametrize("budget", [1, 20, 40, 80, 1000])
def test_group_by_budget_keeps_order_and_loses_nothing(budget):
    """Groups joined again are the examples; each is within the budget or alone; none could take the
    next example."""

    def size(examples: list[Example]) -> int:
        return len(
            {tuple(a.ids[: i + 1]) for e in examples for a in e.answers for i in range(len(a.ids))}
        )

    sequences = [ids for seed in range(8) for ids in drawn_sequences(seed, tokens=3)]
    examples = [pair(str(i), [1, *ids], [5], [6, 7]) for i, ids in enumerate(sequences)]
    groups = group_by_budget(examples, budget)
    assert [e for group in groups for e in group] == examples
    assert all(size(group) <= budget or len(group) == 1 for group in groups)
    assert all(
        size([*group, after[0]]) > budget for group, after in zip(groups, groups[1:], strict=False)
    )
