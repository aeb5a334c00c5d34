"""Sequences that share prefixes -> one tree of tokens, in which every shared token is computed
once.

A session's prompts are prefixes of one another, a pair's two answers share their prompt, a form's
slots share the transcript: a tree holds a fifteenth of a session's tokens. Trees are found from
token ids alone, so any data can profit. act/training/tree.py and act/model/slots.py build them;
docs/tree.md has the idea and a drawing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from act.model.llama import Llama
from kernels.tree_attention import Run, tree_attention


@dataclass
class Tree:
    """Flat token ids of all runs, and for each sequence the places of its tokens in that row."""

    ids: list[int]
    runs: list[Run]
    places: list[list[int]]  # sequence -> place of each of its tokens

    @property
    def parents(self) -> list[int]:
        """The place of the token before each token in its text; -1 for a first token."""
        before = [run.path[-1][1] - 1 if run.path else -1 for run in self.runs]
        return [
            place - 1 if place > run.start else b
            for run, b in zip(self.runs, before, strict=True)
            for place in range(run.start, run.stop)
        ]

    @property
    def positions(self) -> list[int]:
        """Each token's place in its own text, from 0; (T2) of docs/tree.md."""
        return [run.depth + i for run in self.runs for i in range(run.stop - run.start)]


def build_tree(sequences: list[list[int]]) -> Tree:
    """Lay sequences out as a tree, longest first: each becomes a run that hangs where it leaves
    those before it.

    >>> build_tree([[1, 2, 3, 4], [1, 2, 5]]).ids
    [1, 2, 3, 4, 5]
    """
    ids: list[int] = []
    runs: list[Run] = []
    places: list[list[int]] = [[] for _ in sequences]
    children: dict[
        tuple[int, int], int
    ] = {}  # (place before a run, the run's first token) -> that token's place
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        sequence, path, place = sequences[i], [], -1
        for token in sequence:
            # `place` is the last of its run only if a sequence at least as long ended there, and
            # then this one ends too: ids[place + 1] is always of the same run.
            if place >= 0 and ids[place + 1] == token:
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
            ids += rest
            path += range(start, start + len(rest))
        places[i] = path
    return Tree(ids, runs, places)


def slices(places: list[int]) -> list[tuple[int, int]]:
    """Places in ascending stretches -> (start, stop) of each stretch: [0, 1, 2, 7, 8] -> [(0, 3),
    (7, 9)]."""
    out: list[tuple[int, int]] = []
    for place in places:
        if out and out[-1][1] == place:
            out[-1] = (out[-1][0], place + 1)
        else:
            out.append((place, place + 1))
    return out


def read_tree(model: Llama, tree: Tree, keep_tokens: int | None = None) -> Tensor:
    """Hidden states of a tree's tokens, (T, C): those of `model` on each sequence alone.

    For the backward pass the activations of `keep_tokens` tokens are kept (None: of all), and on a
    CPU attention's always; elsewhere attention is computed again.
    """
    ids = torch.tensor([tree.ids], device=model.device)
    positions = torch.tensor([tree.positions], device=model.device)
    return model(
        ids, positions, lambda layer, q, k, v: tree_attention(q, k, v, tree.runs), keep_tokens
    )[0]
