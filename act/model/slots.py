"""Slots: a model's next token decided among a few allowed digits, so that a rating is always valid.

The local judge (act/judging) asks for all 34 items of its forms this way: one transcript, one
prompt a slot behind it, read as a tree. What comes back are probabilities, so a rating is a digit
or an expectation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from act.model.llama import Llama
from act.model.prefix_tree import build_tree, read_tree
from act.model.tokenizer import ChatTokenizer
from act.records import InputError


def digit_ids(tokenizer: ChatTokenizer, digits: Sequence[str]) -> tuple[list[int], list[int]]:
    """(tokens that come before any digit at the start of a reply, the token of each digit).

    Raises InputError where the vocabulary has no single token for a digit.
    """
    replies = [tokenizer.reply(digit)[:-1] for digit in digits]  # without the end token
    lead, ids = replies[0][:-1], [reply[-1] for reply in replies]
    if any(reply[:-1] != lead for reply in replies) or len(set(ids)) < len(ids):
        raise InputError(
            f"the judge's vocabulary has no token of its own for each of the digits {', '.join(digits)}"
        )
    return lead, ids


@torch.inference_mode()
def slot_probs(
    model: Llama,
    tokenizer: ChatTokenizer,
    prompts: Sequence[list[int]],
    digits: Sequence[Sequence[str]],
) -> list[Tensor]:
    """p(digit | prompt, the reply begins with one of the allowed digits), float32 (len(digits[i]),) for each prompt i.

    One pass over a tree of tokens reads what the prompts share, a transcript of many slots, once.
    """
    allowed = [digit_ids(tokenizer, some) for some in digits]
    tree = build_tree([prompt + lead for prompt, (lead, _) in zip(prompts, allowed, strict=True)])
    ends = [places[-1] for places in tree.places]
    logits = model.logits(read_tree(model, tree)[ends])  # (prompts, V)
    return [row[ids].float().softmax(-1) for row, (_, ids) in zip(logits, allowed, strict=True)]
