"""Fill in a form's slots: each takes one of its allowed digits, so that a form is always valid, whatever the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from act.model.llama import Llama
from act.model.prefix_tree import build_tree, read_tree
from act.model.tokenizer import ChatTokenizer
from act.records import InputError


@dataclass(frozen=True)
class Filled:
    """A form's most probable digits, and for each slot sum(d p(d)) / sum(p(d)) over its allowed digits."""

    digits: list[int]
    expected: list[float]


def digit_ids(tokenizer: ChatTokenizer, digits: Sequence[str]) -> list[int]:
    """The token of each digit; raises InputError where the vocabulary has no single token for it."""
    ids = [tokenizer.encode(digit)[-1] for digit in digits]
    for digit, token in zip(digits, ids, strict=True):
        if tokenizer.decode([token]) != digit:
            raise InputError(f"the judge's vocabulary has no token for the digit {digit}")
    return ids


@torch.inference_mode()
def fill_slots(
    model: Llama, tokenizer: ChatTokenizer, prompts: list[list[int]], slots: Sequence[tuple[str, Sequence[str]]]
) -> list[Filled]:
    """Fill one form behind each prompt. `slots` are (label, allowed digits).

    Each slot is decided by itself: the judge reads the conversation and the slot's label, and its next-token
    logits are compared among the allowed digits. One pass over a tree, whose trunk is the conversation, reads all.
    """
    labels = [tokenizer.encode(label) for label, _ in slots]
    ids = [digit_ids(tokenizer, digits) for _, digits in slots]
    tree = build_tree([prompt + label for prompt in prompts for label in labels])
    ends = [places[-1] for places in tree.places]
    logits = model.logits(read_tree(model, tree)[ends])  # (prompts x slots, V)
    forms = []
    for form_logits in logits.split(len(slots)):
        filled = Filled([], [])
        for slot_logits, allowed, (_, digits) in zip(form_logits, ids, slots, strict=True):
            probs = slot_logits[allowed].float().softmax(-1)
            values = torch.tensor([float(digit) for digit in digits], device=probs.device)
            filled.digits.append(int(digits[int(probs.argmax())]))
            filled.expected.append(float(probs @ values))
        forms.append(filled)
    return forms
