"""Answers of many examples -> their token log-probs, by way of a prefix tree (act/model/prefix_tree.py)."""

import torch
from torch import Tensor

from act.model.llama import Llama
from act.model.prefix_tree import build_tree, read_tree
from act.training.examples import Answer, Example
from kernels.logprob import logprob


def group_by_budget(examples: list[Example], budget: int) -> list[list[Example]]:
    """Consecutive examples in groups whose tree has at most `budget` tokens; one that is larger alone stands alone."""
    groups: list[list[Example]] = []
    for example in examples:
        joined = [*groups[-1], example] if groups else [example]
        if groups and len(build_tree([a.ids for e in joined for a in e.answers]).ids) <= budget:
            groups[-1] = joined
        else:
            groups.append([example])
    return groups


def answer_logps(model: Llama, answers: list[Answer], whole: bool = False) -> tuple[list[Tensor], int]:
    """Token log-probs of each answer, (its target tokens,) float32 each, and the number of tokens computed.

    Targets are the answer's own tokens; with `whole` also the prompt's, all but the first.
    """
    tree = build_tree([answer.ids for answer in answers])
    hidden = read_tree(model, tree)  # (T, C)
    firsts = [1 if whole else answer.start for answer in answers]
    seen = [place for places, first in zip(tree.places, firsts, strict=True) for place in places[first - 1 : -1]]
    targets = [token for answer, first in zip(answers, firsts, strict=True) for token in answer.ids[first:]]
    logps = logprob(hidden[seen], model.head, torch.tensor(targets, device=model.device))
    return list(logps.split([len(a.ids) - first for a, first in zip(answers, firsts, strict=True)])), len(tree.ids)
