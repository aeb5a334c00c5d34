"""Sequences that share prefixes -> one tree of tokens, in which each shared token is computed once.

A session's prompts are prefixes of one another, a pair's two answers share their prompt, a judge's
questions the transcript: a tree, found from token ids alone, holds a fifteenth of a session's
tokens. docs/tree.md has the idea and a drawing. Training reads answers by it, the local judge its
34 slots.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from act.model.llama import Llama, branching
from act.model.tokenizer import ChatTokenizer
from act.records import InputError
from kernels.linear import takes_cuda
from kernels.runs import Run, sorted_by_path


class Tree:
    """The tokens of all sequences in one row, run after run, a token for each distinct prefix."""

    def __init__(self):
        self.ids: list[int] = []  # (T,), with T as in (T1) of docs/tree.md
        self.parents: list[int] = []  # (T,): the place of the token before it; -1: there is none
        self.runs: list[Run] = []  # stretches of the row, each behind a path of earlier ones
        self.places: list[list[int]] = []  # of each sequence of build_tree: where its tokens lie
        self._after: dict[tuple[int, int], int] = {}  # (place, token) -> that token's place

    @property
    def positions(self) -> list[int]:
        """(T,): where each token stands in its text, from 0; (T2) of docs/tree.md."""
        return [run.depth + i for run in self.runs for i in range(run.stop - run.start)]

    def add(self, sequence: list[int]) -> list[int]:
        """The place of each token of a sequence; those that are not there yet become a run."""
        start, places, place = len(self.ids), [], -1
        for token in sequence:
            before, place = place, self._after.setdefault((place, token), len(self.ids))
            if place == len(self.ids):  # a prefix that no sequence before this one had
                self.ids.append(token)
                self.parents.append(before)
            places.append(place)
        if len(self.ids) > start:
            path, parent = (), self.parents[start]
            if parent >= 0:  # the slices of the row that lead there from a root
                run = next(run for run in self.runs if parent < run.stop)  # runs lie in order
                path = (*run.path, (run.start, parent + 1))
            self.runs.append(Run(start, len(self.ids), path))
        return places


def build_tree(sequences: list[list[int]]) -> Tree:
    """Lay sequences out, the longest first: each hangs where it leaves those before it.

    >>> build_tree([[1, 2, 3, 4], [1, 2, 5]]).ids
    [1, 2, 3, 4, 5]
    """
    tree = Tree()
    tree.places = [[] for _ in sequences]
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        tree.places[i] = tree.add(sequences[i])
    return tree


def read_tree(model: Llama, tree: Tree, keep_tokens: int | None = None) -> Tensor:
    """Hidden states of a tree's tokens, (T, C): those of `model` on each sequence alone.

    For the backward pass the activations of `keep_tokens` tokens are kept (None: of all), and
    attention's always.
    """
    ids, positions = torch.tensor([tree.ids, tree.positions], device=model.device)  # (T,) each
    if not takes_cuda(ids):
        return model(ids[None], positions[None], branching(tree.runs), keep_tokens)[0]
    # a GPU reads the runs in the order of their paths, and the tokens are put back
    runs, order = sorted_by_path(tree.runs)
    order = torch.tensor(order, device=model.device)
    hidden = model(ids[order][None], positions[order][None], branching(runs), keep_tokens)[0]
    return hidden[order.argsort()]


def digit_ids(tokenizer: ChatTokenizer, digits: Sequence[str]) -> tuple[list[int], list[int]]:
    """(tokens that come before any digit at the start of a reply, the token of each digit).

    Raises InputError where the vocabulary has no single token for a digit.
    """
    replies = [tokenizer.reply(digit)[:-1] for digit in digits]  # without the end token
    lead, ids = replies[0][:-1], [reply[-1] for reply in replies]
    if any(reply[:-1] != lead for reply in replies) or len(set(ids)) < len(ids):
        lacks = "the judge's vocabulary has no token of its own for each of the digits"
        raise InputError(f"{lacks} {', '.join(digits)}")
    return lead, ids


@torch.inference_mode()
def slot_probs(
    model: Llama,
    tokenizer: ChatTokenizer,
    prompts: Sequence[list[int]],
    digits: Sequence[Sequence[str]],
) -> list[Tensor]:
    """Each prompt's next token, decided among a few allowed digits: a rating always valid.

    p(digit | prompt, the reply begins with one of the digits), float32 (len(digits[i]),) for each
    prompt i. Raises FloatingPointError where the model computes NaN.
    """
    allowed = [digit_ids(tokenizer, some) for some in digits]
    tree = build_tree([prompt + lead for prompt, (lead, _) in zip(prompts, allowed, strict=True)])
    ends = [places[-1] for places in tree.places]
    logits = model.logits(read_tree(model, tree)[ends])  # (prompts, V)
    if not logits.amax(-1).isfinite().all():
        raise FloatingPointError("a logit is not finite")
    return [row[ids].float().softmax(-1) for row, (_, ids) in zip(logits, allowed, strict=True)]
