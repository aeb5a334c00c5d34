"""What a judge reads, what it gives back, and the judge that is a model of this process.

A Judge rates many texts at once. It may be local (here) or served behind an endpoint (served.py). Of a session it sees
what was said, answers only, and nothing of who said it under which condition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from act.measure.forms import Form, Slot, instructions, slots
from act.model.checkpoint import load_model, split_spec
from act.model.slots import slot_probs
from act.model.tokenizer import ChatTokenizer, Messages

REQUEST = "The transcript of the session:\n\n{transcript}\n\n"
ONE_ITEM = "Rate the therapist on one item, with one number.\n\n{label}"


@dataclass(frozen=True)
class Text:
    """What is to be rated: the client's and the therapist's words of each turn, and a `key` to know it by."""

    key: tuple
    said: list[tuple[str, str]]
    replicate: int = 0


@dataclass(frozen=True)
class Judgement:
    """One judge's two forms on one text, or why there are none."""

    status: str  # "ok", "empty" (nothing to rate), "context" (no room), "format" (no valid forms), "error" (no reply)
    ratings: list[int | None] | None = None  # of the 34 slots; None: was not asked for
    expected: list[float | None] | None = None  # the probability-weighted ratings, where there are probabilities
    attempts: int = 0  # forms asked for, the failed ones too
    more: dict = field(default_factory=dict)  # "window", "refusals", "calls": stored with the rating


class Judge(Protocol):
    name: str

    def rate(self, texts: Sequence[Text], items: Sequence[int] | None = None) -> Iterator[tuple[Text, Judgement]]:
        """Each text with its judgement, in any order. `items`: the slots (0..33) wanted at least; None: all."""


def said_in(session: dict) -> list[tuple[str, str]]:
    """The turns of a session that a judge is shown: those with an answer."""
    return [(turn["client"], turn["answer"]) for turn in session["turns"] if turn["answer"]]


def request(said: Sequence[tuple[str, str]]) -> Messages:
    """The rubric and the transcript: what all judges read; what is asked of them stands behind it."""
    transcript = "\n\n".join(f"Client: {client}\n\nTherapist: {answer}" for client, answer in said)
    user = REQUEST.format(transcript=transcript)
    return [{"role": "system", "content": instructions()}, {"role": "user", "content": user}]


def ask_for(messages: Messages, what: str) -> Messages:
    """A request with what is asked at the end of its last message."""
    return [*messages[:-1], messages[-1] | {"content": messages[-1]["content"] + what}]


def slot_messages(said: Sequence[tuple[str, str]], slot: Slot) -> Messages:
    """What a local judge reads before it rates one item; its reply is a digit."""
    return ask_for(request(said), ONE_ITEM.format(label=slot.label.strip()))


class LocalJudge:
    """A model of this process: of each slot's allowed digits the most probable one, and their weighted mean.

    `long`: what becomes of a transcript longer than the context: "refuse" (status "context"), or "last": the last turns
    that fit are rated, and "window" records which.
    """

    def __init__(self, spec: str, forms: Sequence[Form], long: str, batch: int, device: str):
        self.name = "+".join(path.resolve().name for path in split_spec(spec) if path)
        self.model, self.tokenizer = load_model(spec, device), ChatTokenizer(split_spec(spec)[0])
        self.slots, self.long, self.batch = slots(forms), long, batch

    def rate(self, texts: Sequence[Text], items: Sequence[int] | None = None) -> Iterator[tuple[Text, Judgement]]:
        items = range(len(self.slots)) if items is None else items
        readable = []
        for text in texts:
            prompts, first = self._prompts(text.said, items)
            if not text.said:
                yield text, Judgement("empty")
            elif prompts is None:
                yield text, Judgement("context")
            else:
                readable.append((text, prompts, {"window": [first + 1, len(text.said)]} if first else {}))
        digits = [self.slots[i].digits for i in items]
        for start in range(0, len(readable), self.batch):
            group = readable[start : start + self.batch]
            probs = slot_probs(self.model, self.tokenizer, [p for _, ps, _ in group for p in ps], digits * len(group))
            for place, (text, _, more) in enumerate(group):
                ratings, expected = [None] * len(self.slots), [None] * len(self.slots)
                mine = probs[place * len(items) : (place + 1) * len(items)]
                for i, allowed, p in zip(items, digits, mine, strict=True):
                    ratings[i] = int(allowed[int(p.argmax())])
                    expected[i] = sum(int(digit) * weight for digit, weight in zip(allowed, p.tolist(), strict=True))
                yield text, Judgement("ok", ratings, expected, 1, more)

    def _prompts(self, said: list[tuple[str, str]], items: Sequence[int]) -> tuple[list[list[int]] | None, int]:
        """(each slot's token ids with the transcript from turn `first` on, or None where it does not fit; first)."""
        for first in range(max(1, len(said)) if self.long == "last" else 1):
            prompts = [self.tokenizer.prompt(slot_messages(said[first:], self.slots[i])) for i in items]
            if max(map(len, prompts)) < self.model.config.max_position_embeddings:
                return prompts, first
        return None, 0
