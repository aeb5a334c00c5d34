"""Prefix trees: how sequences are laid out, and that log-probs and gradients are those of each sequence alone."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from act.model import llama
from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach, lora_layers
from act.model.prefix_tree import Tree, build_tree, slices
from act.training.examples import Answer, Example
from act.training.tree import answer_logps, group_by_budget
from kernels.tree_attention import Run, joined_keys_attention, rectangles, tree_attention

CONFIG = LlamaConfig(
    vocab_size=101,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
)


def tiny_llama(lora: bool) -> Llama:
    """A random model; with LoRA also its B is random, so that the adapter counts."""
    torch.manual_seed(0)
    model = Llama(CONFIG)
    if lora:
        attach(model, rank=4, alpha=8)
        for layer in lora_layers(model).values():
            torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def drawn_sequences(seed: int, tokens: int, longest: int = 12) -> list[list[int]]:
    """Sequences that branch everywhere: each goes on from a random prefix of one before it."""
    stream = random.Random(seed)
    sequences: list[list[int]] = [[]]
    for _ in range(stream.randint(1, 9)):
        start = stream.choice(sequences)
        start = start[: stream.randint(0, len(start))]
        sequences.append(start + [stream.randrange(tokens) for _ in range(stream.randint(1, longest))])
    return sequences[1:]


def assert_spells(tree: Tree, sequences: list[list[int]]) -> None:
    """Places spell each sequence, positions count it from 0, runs tile the row and hang behind what precedes them."""
    assert [[tree.ids[place] for place in places] for places in tree.places] == sequences
    for places in tree.places:
        assert [tree.positions[place] for place in places] == list(range(len(places)))
    assert [run.start for run in tree.runs] == [0, *(run.stop for run in tree.runs)][: len(tree.runs)]
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
    assert tree == Tree([1, 2, 3], [Run(0, 3)], [[0, 1], [0, 1, 2], [0, 1, 2]])


def test_no_common_prefix():
    """Two roots: the second run has no path, and its positions begin at 0 again."""
    tree = build_tree([[1, 2], [3, 2]])
    assert tree == Tree([1, 2, 3, 2], [Run(0, 2), Run(2, 4)], [[0, 1], [2, 3]])
    assert tree.positions == [0, 1, 0, 1]


def test_one_token_answers():
    """A pair whose answers are one token each behind a prompt of two, and a bare token."""
    tree = build_tree([[7, 8, 1], [7, 8, 2], [7, 8, 3], [9]])
    assert tree.ids == [7, 8, 1, 2, 3, 9]
    assert tree.runs == [Run(0, 3), Run(3, 4, ((0, 2),)), Run(4, 5, ((0, 2),)), Run(5, 6)]
    assert tree.places == [[0, 1, 2], [0, 1, 3], [0, 1, 4], [5]]


def test_a_branch_of_a_branch_of_a_branch():
    """1 2 3 4 5 6 / 1 2 7 8 9 / 1 2 7 8 a / 1 2 7 b: the path of a is two slices, (0, 2) and (6, 8)."""
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
    assert build_tree([[5], [6, 7]]) == Tree([6, 7, 5], [Run(0, 2), Run(2, 3)], [[2], [0, 1]])
    sequences = [[6, 7], [5], [6, 5]]
    assert build_tree(sequences).ids == [6, 7, 5, 5]
    assert_spells(build_tree(sequences), sequences)


def test_slices():
    assert slices([0, 1, 2, 7, 8]) == [(0, 3), (7, 9)]
    assert slices([]) == []


@pytest.mark.parametrize("seed", range(60))
def test_any_sequences_are_spelt_with_no_token_twice(seed):
    """As many tokens as there are distinct prefixes: no tree has fewer."""
    sequences = drawn_sequences(seed, tokens=2 + seed % 3)
    tree = build_tree(sequences)
    assert_spells(tree, sequences)
    assert len(tree.ids) == len({tuple(s[: i + 1]) for s in sequences for i in range(len(s))})


@pytest.mark.parametrize("seed", range(8))
def test_tree_attention_equals_a_dense_mask(seed):
    """Query i sees key j where j stands at or before i in some sequence; values and gradients, in float64."""
    tree = build_tree(drawn_sequences(seed, tokens=3))
    T = len(tree.ids)
    mask = torch.zeros(T, T, dtype=torch.bool)
    for places in tree.places:
        for n, place in enumerate(places):
            mask[place, places[: n + 1]] = True
    torch.manual_seed(seed)
    q, k, v = (torch.randn(1, heads, T, 8, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2))
    dense = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    ours = tree_attention(q, k, v, tree.runs)
    upstream = torch.randn_like(ours)
    torch.testing.assert_close(ours, dense)
    expected = torch.autograd.grad(dense, (q, k, v), upstream)
    torch.testing.assert_close(torch.autograd.grad(ours, (q, k, v), upstream), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_rectangles_equal_joined_keys(seed, dtype):
    """The fast path against the public calls that CUDA takes, on several levels, values and gradients."""
    tree = build_tree(drawn_sequences(seed, tokens=3, longest=40))
    torch.manual_seed(seed)
    tensors = [torch.randn(1, len(tree.ids), heads, 16).transpose(1, 2) for heads in (6, 2, 2)]
    upstream = torch.randn(1, 6, len(tree.ids), 16)

    def run(function, dtype: torch.dtype) -> list[Tensor]:
        q, k, v = (x.to(dtype, copy=True).requires_grad_() for x in tensors)
        out = function(q, k, v, tree.runs)
        assert out.dtype == dtype
        return [out.detach(), *torch.autograd.grad(out, (q, k, v), upstream.to(dtype))]

    limit = 1e-6 if dtype == torch.float32 else 1e-2
    for ours, public in zip(run(tree_attention, dtype), run(joined_keys_attention, torch.float32), strict=True):
        assert (ours.float() - public).norm() <= limit * public.norm()


def test_siblings_read_their_path_as_one():
    """Neighbours that hang at the same place are one rectangle on each slice of their path; a cousin is its own."""
    path = ((0, 4), (10, 12))
    runs = [Run(0, 10), Run(10, 14, ((0, 4),)), Run(14, 17, path), Run(17, 18, path), Run(18, 20, ((0, 4),))]
    own = [(slice(run.start, run.stop),) * 2 + (True,) for run in runs]
    joined = [(10, 14, 0, 4), (14, 18, 0, 4), (14, 18, 10, 12), (18, 20, 0, 4)]
    assert rectangles(runs) == own + [(slice(a, b), slice(c, d), False) for a, b, c, d in joined]


def alone(model: Llama, answer: Answer, whole: bool) -> Tensor:
    """Log-probs of an answer's tokens by the plain model: full logits, causal attention, one sequence."""
    ids = torch.tensor(answer.ids)
    logps = torch.log_softmax(model.logits(model(ids[None]))[0, :-1], dim=-1)
    return logps.gather(1, ids[1:, None]).squeeze(1)[0 if whole else answer.start - 1 :]


def gradients(model: Llama, logps: list[Tensor]) -> dict[str, Tensor]:
    """Of a sum in which every token has another weight, so that no two can be taken for each other."""
    model.zero_grad()
    flat = torch.cat(logps)
    (flat * torch.linspace(-1, 2, len(flat))).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_log_probs_and_gradients_equal_one_by_one(seed, lora, whole):
    """Trees of several levels, float32: log-probs and every parameter's gradient to 1e-5 of the plain runs'."""
    model, stream = tiny_llama(lora), random.Random(seed)
    sequences = [[1, *ids] for ids in drawn_sequences(seed, tokens=4, longest=30)]
    answers = [Answer(ids, stream.randint(1, len(ids) - 1)) for ids in sequences]
    answers.append(Answer(answers[0].ids, answers[0].start))  # the same answer twice counts twice
    logps, unique = answer_logps(model, answers, whole)
    plain = [alone(model, answer, whole) for answer in answers]
    assert unique == len({tuple(s[: i + 1]) for s in sequences for i in range(len(s))})
    assert [len(x) for x in logps] == [len(a.ids) - 1 if whole else a.tokens for a in answers]
    for ours, expected in zip(logps, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    ours, expected = gradients(model, logps), gradients(model, plain)
    assert ours.keys() == expected.keys() and len(ours) == (42 if lora else 30)
    for name in ours:
        assert (ours[name] - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


@pytest.mark.parametrize("keep", [None, 0, 7, 20])
@pytest.mark.parametrize("lora", [False, True])
def test_stretches_and_recomputing_change_nothing(monkeypatch, lora, keep):
    """Stretches of 7 tokens, whose activations are kept, computed again, or both: gradients to 1e-6."""
    model, answers = tiny_llama(lora), [Answer([1, *ids], 1) for ids in drawn_sequences(3, tokens=4, longest=30)]
    expected = gradients(model, answer_logps(model, answers)[0])
    monkeypatch.setattr(llama, "STRETCH", {"cpu": 7})
    found = gradients(model, answer_logps(model, answers, keep_tokens=keep)[0])
    for name in expected:
        assert (found[name] - expected[name]).norm() <= 1e-6 * expected[name].norm(), name


def bytes_kept(function) -> int:
    """Bytes that autograd keeps for the backward pass of `function()`, shared storage counted once."""
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(sizes.values())


def test_recomputed_stretches_keep_only_their_inputs(monkeypatch):
    model, answers = tiny_llama(lora=True), [Answer(list(range(1, 91)), 1)]
    monkeypatch.setattr(llama, "STRETCH", {"cpu": 10})
    everything, inputs = (bytes_kept(lambda k=k: answer_logps(model, answers, keep_tokens=k)) for k in (None, 0))
    assert inputs < everything / 2


def test_the_order_of_answers_does_not_matter():
    model, answers = tiny_llama(lora=True), [Answer(ids, 1) for ids in ([1, 2, 3, 4], [1, 2, 9], [5, 6], [1, 2])]
    there, _ = answer_logps(model, answers)
    back, _ = answer_logps(model, answers[::-1])
    for x, y in zip(there, back[::-1], strict=True):
        torch.testing.assert_close(x, y)


def pair(name: str, prompt: list[int], chosen: list[int], rejected: list[int]) -> Example:
    return Example(name, Answer(prompt + chosen, len(prompt)), Answer(prompt + rejected, len(prompt)), 0, 0)


def test_group_by_budget_by_hand():
    """Trees: a = 10 + 2 + 3 = 15 tokens; b is a's prompt and 4 + 2 + 2 more, so that a + b = 23; c = 6 alone."""
    prompt = list(range(10))
    a, b = pair("a", prompt, [20, 21], [30, 31, 32]), pair("b", [*prompt, 40, 41, 42, 43], [50, 51], [60, 61])
    c = pair("c", [70, 71], [72, 73], [74, 75])
    assert group_by_budget([a, b, c], 29) == [[a, b, c]]
    assert group_by_budget([a, b, c], 28) == [[a, b], [c]]
    assert group_by_budget([a, b, c], 23) == [[a, b], [c]]
    assert group_by_budget([a, b, c], 22) == [[a], [b], [c]]  # b + c = 18 + 6 = 24
    assert group_by_budget([a, b, c], 5) == [[a], [b], [c]]  # each is too large, and stands alone
    assert group_by_budget([], 5) == []


@pytest.mark.parametrize("budget", [1, 20, 40, 80, 1000])
def test_group_by_budget_keeps_order_and_loses_nothing(budget):
    """Groups joined again are the examples; each is within the budget or alone; none could take the next example."""

    def size(examples: list[Example]) -> int:
        return len({tuple(a.ids[: i + 1]) for e in examples for a in e.answers for i in range(len(a.ids))})

    sequences = [ids for seed in range(8) for ids in drawn_sequences(seed, tokens=3)]
    examples = [pair(str(i), [1, *ids], [5], [6, 7]) for i, ids in enumerate(sequences)]
    groups = group_by_budget(examples, budget)
    assert [e for group in groups for e in group] == examples
    assert all(size(group) <= budget or len(group) == 1 for group in groups)
    assert all(size([*group, after[0]]) > budget for group, after in zip(groups, groups[1:], strict=False))
