"""Answers of many examples -> their token log-probs, by way of a prefix tree
(act/model/prefix_tree.py).

step.py asks; the model reads each token of the tree once, kernels/logprob.py gives each target's
log-prob once, and every answer takes its own from there. docs/tree.md says why that is the same as
one by one.
"""

import torch
from torch import Tensor

from act.model.llama import Llama
from act.model.prefix_tree import build_tree, read_tree
from act.training.examples import Answer, Example
from kernels.logprob import logprob


def group_by_budget(examples: list[Example], budget: int) -> list[list[Example]]:
    """Consecutive examples in groups whose tree has at most `budget` tokens; one that is larger
    alone stands alone."""
    groups: list[list[Example]] = []
    trie: dict[tuple[int, int], int] = {}  # (node, token) -> the node after it; 0 is the root
    for example in examples:
        grow(trie, example)
        if groups and len(trie) <= budget:
            groups[-1].append(example)
        else:
            groups.append([example])
            trie = {}
            grow(trie, example)
    return groups


def grow(trie: dict[tuple[int, int], int], example: Example) -> None:
    """Add the tokens of an example's answers; a token after the same tokens is there once."""
    for answer in example.answers:
        node = 0
        for token in answer.ids:
            node = trie.setdefault((node, token), len(trie) + 1)


def answer_logps(
    model: Llama, answers: list[Answer], with_prompt: bool = False, keep_tokens: int | None = None
) -> tuple[list[Tensor], int]:
    """Token log-probs of each answer, (its target tokens,) float32 each, and the number of tokens
    computed.

    Targets are the answer's own tokens; `with_prompt` also the prompt's, all but the first. Each
    token of the tree goes through the head once, however many answers have it as a target.
    `keep_tokens` as in read_tree.
    """
    tree = build_tree([answer.ids for answer in answers])
    hidden = read_tree(model, tree, keep_tokens)  # (T, C)
    ids, parents = (torch.tensor(x, device=model.device) for x in (tree.ids, tree.parents))
    target_places = [
        torch.tensor([places[i] for i in answer.targets(with_prompt)], device=model.device)
        for places, answer in zip(tree.places, answers, strict=True)
    ]
    needed = torch.cat(target_places).unique()
    logps = logprob(hidden[parents[needed]], model.head, ids[needed])  # (1)
    by_place = logps.new_zeros(len(ids)).index_put((needed,), logps)
    # Backward this indexing adds up, token by token, what every answer that has the token hands
    # back.
    return [by_place[places] for places in target_places], len(ids)
