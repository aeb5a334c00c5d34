"""Examples that share prefixes -> trees of tokens, in which every shared token is computed once.

A session's prompts are prefixes of one another and a pair's two answers share their prompt: with ten or more turns a
tree holds a tenth of the tokens. Trees are found from token ids alone, so any data set can profit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from act.model.llama import Llama
from act.training.examples import Answer, Example
from kernels.logprob import logprob
from kernels.tree_attention import Run, tree_attention


@dataclass
class Tree:
    """Flat token ids of all runs, and for each sequence the places of its tokens in that row."""

    ids: list[int]
    runs: list[Run]
    places: list[list[int]]  # sequence -> place of each of its tokens

    @property
    def positions(self) -> list[int]:
        return [run.depth + i for run in self.runs for i in range(run.stop - run.start)]


def build_tree(sequences: list[list[int]]) -> Tree:
    """Lay sequences out as a tree, longest first: each becomes a run that hangs where it leaves those before it.

    >>> build_tree([[1, 2, 3, 4], [1, 2, 5]]).ids
    [1, 2, 3, 4, 5]
    """
    ids: list[int] = []
    runs: list[Run] = []
    places: list[list[int]] = [[] for _ in sequences]
    children: dict[tuple[int, int], list[int]] = {}  # place a run hangs behind and its first token -> its place
    run_of: list[int] = []  # place -> index of its run
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        sequence, path, place = sequences[i], [], -1
        for token in sequence:
            follows = place + 1 < len(ids) and place >= 0 and run_of[place + 1] == run_of[place]
            if follows and ids[place + 1] == token:
                place += 1
            elif (place, token) in children:
                place = children[place, token]
            else:
                break
            path.append(place)
        rest = sequence[len(path) :]
        if rest:
            start = len(ids)
            children[place, rest[0]] = start
            runs.append(Run(start, start + len(rest), tuple(slices(path))))
            run_of += [len(runs) - 1] * len(rest)
            ids += rest
            path += range(start, start + len(rest))
        places[i] = path
    return Tree(ids, runs, places)


def slices(places: list[int]) -> list[tuple[int, int]]:
    """Places in ascending stretches -> (start, stop) of each stretch: [0, 1, 2, 7, 8] -> [(0, 3), (7, 9)]."""
    out: list[tuple[int, int]] = []
    for place in places:
        if out and out[-1][1] == place:
            out[-1] = (out[-1][0], place + 1)
        else:
            out.append((place, place + 1))
    return out


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
    device = model.device
    ids = torch.tensor([tree.ids], device=device)
    positions = torch.tensor([tree.positions], device=device)
    hidden = model(ids, positions, lambda layer, q, k, v: tree_attention(q, k, v, tree.runs))[0]  # (T, C)
    firsts = [1 if whole else answer.start for answer in answers]
    seen = [place for places, first in zip(tree.places, firsts, strict=True) for place in places[first - 1 : -1]]
    targets = [token for answer, first in zip(answers, firsts, strict=True) for token in answer.ids[first:]]
    logps = logprob(hidden[torch.tensor(seen, device=device)], model.head, torch.tensor(targets, device=device))
    return list(logps.split([len(a.ids) - first for a, first in zip(answers, firsts, strict=True)])), len(tree.ids)
