"""What a judge reads, what it gives back, and the judge that is a model of this process.

A Judge rates many texts at once. It may be local (here) or served behind an endpoint (served.py).
Of a session it sees what was said, answers only, and nothing of who said it under which condition.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from act.forms import Form, Slot, instructions, slots
from act.judging.settings import digest
from act.model.checkpoint import load_model, model_name, sampled_sha256, split_spec
from act.model.slots import slot_probs
from act.model.tokenizer import ChatTokenizer, Messages

REQUEST = "The transcript of the session:\n\n{transcript}\n\n"
ONE_ITEM = "Rate the therapist on one item, with one number.\n\n{label}"


@dataclass(frozen=True)
class Text:
    """What is to be rated: the client's and the therapist's words of each turn, and a `key` to know
    it by."""

    key: tuple
    said: list[tuple[str, str]]
    replicate: int = 0

    @property
    def digest(self) -> str:
        """Tells another text under the same key."""
        return digest([word for turn in self.said for word in turn])


@dataclass(frozen=True)
class Judgement:
    """One judge's two forms on one text, or why there are none."""

    # "ok"; "empty": nothing to rate; "context": no room; "format": no valid forms; "refused" by
    # model or provider;
    status: str  # "error": no reply
    ratings: list[int | None] | None = None  # of the 34 slots; None: was not asked for
    expected: list[float | None] | None = (
        None  # the probability-weighted ratings, where there are probabilities
    )
    attempts: int = 0  # forms asked for, the failed ones too
    more: dict = field(
        default_factory=dict
    )  # "window", "refusals", "calls": stored with the rating


class Judge(Protocol):
    """Whatever rates texts: LocalJudge, or served.py's EndpointJudge."""

    name: str
    settings: dict  # what its ratings depend on beside the text, stored with each

    def rate(
        self, texts: Sequence[Text], items: Sequence[int] | None = None
    ) -> Iterator[tuple[Text, Judgement]]:
        """Each text with its judgement, in any order. `items`: the slots (0..33) wanted at least;
        None: all."""


def said_in(session: dict) -> list[tuple[str, str]]:
    """The turns of a session that a judge is shown: those with an answer."""
    return [(turn["client"], turn["answer"]) for turn in session["turns"] if turn["answer"]]


def request(said: Sequence[tuple[str, str]]) -> Messages:
    """The rubric and the transcript: what all judges read; what is asked of them stands behind
    it."""
    transcript = "\n\n".join(f"Client: {client}\n\nTherapist: {answer}" for client, answer in said)
    user = REQUEST.format(transcript=transcript)
    return [{"role": "system", "content": instructions()}, {"role": "user", "content": user}]


def ask_for(messages: Messages, what: str) -> Messages:
    """A request with what is asked at the end of its last message."""
    return [*messages[:-1], messages[-1] | {"content": messages[-1]["content"] + what}]


def slot_messages(said: Sequence[tuple[str, str]], slot: Slot) -> Messages:
    """What a local judge reads before it rates one item; its reply is a digit."""
    return ask_for(request(said), ONE_ITEM.format(label=slot.label.strip()))


def wording_digest(forms: Sequence[Form], *more: str) -> str:
    """A digest of all that a judge is told beside the transcript, `more` included."""
    return digest(
        [instructions(), REQUEST, ONE_ITEM, *(slot.label for slot in slots(forms)), *more]
    )


def expected_rating(digits: Sequence[str], probs: Sequence[float]) -> float:
    """sum(d p(d)) / sum(p(d)), the probability-weighted rating; rounding does not carry it out of
    the digits' range.

    >>> expected_rating("0123", [0.0, 0.0, 0.1, 0.3])
    2.75
    """
    mean = math.fsum(int(digit) * p for digit, p in zip(digits, probs, strict=True)) / math.fsum(
        probs
    )
    return min(max(mean, float(digits[0])), float(digits[-1]))


class LocalJudge:
    """A model of this process: of each slot's allowed digits the most probable one, and their
    weighted mean.

    `long`: what becomes of a transcript longer than the context: "refuse" (status "context"), or
    "last": the last turns that fit are rated, and "window" records which.
    """

    def __init__(self, spec: str, forms: Sequence[Form], long: str, batch: int, device: str):
        folder, adapter = split_spec(spec)
        self.name = model_name(spec)
        self.model, self.tokenizer = load_model(spec, device), ChatTokenizer(folder)
        self.slots, self.long, self.batch = slots(forms), long, batch
        weights, worn = (path and sampled_sha256(path)[:12] for path in (folder, adapter))
        self.settings = {
            "weights": weights,
            "adapter": worn,
            "wording": wording_digest(forms),
            "long": long,
        }
        self.longest = max(
            self.slots, key=lambda slot: len(self.tokenizer.prompt(slot_messages([], slot)))
        )

    def rate(
        self, texts: Sequence[Text], items: Sequence[int] | None = None
    ) -> Iterator[tuple[Text, Judgement]]:
        """Judge.rate, `batch` texts at a time; one that does not fit the context has status
        "context", or a window."""
        items = range(len(self.slots)) if items is None else items
        group: list[
            tuple[Text, int]
        ] = []  # prompts are built for one group at a time: 34 copies of each transcript
        for text in texts:
            first = self._first_turn(text.said) if text.said else 0
            if not text.said:
                yield text, Judgement("empty")
            elif first is None:
                yield text, Judgement("context")
            else:
                group.append((text, first))
                if len(group) == self.batch:
                    yield from self._rate_group(group, items)
                    group = []
        if group:
            yield from self._rate_group(group, items)

    def _rate_group(
        self, group: list[tuple[Text, int]], items: Sequence[int]
    ) -> Iterator[tuple[Text, Judgement]]:
        """Texts with the turn from which on each is read -> their judgements, from one tree of
        tokens."""
        slots = [self.slots[i] for i in items]
        prompts = [
            self.tokenizer.prompt(slot_messages(t.said[first:], s))
            for t, first in group
            for s in slots
        ]
        probs = slot_probs(
            self.model, self.tokenizer, prompts, [slot.digits for slot in slots] * len(group)
        )
        for place, (text, first) in enumerate(group):
            ratings, expected = [None] * len(self.slots), [None] * len(self.slots)
            mine = probs[place * len(items) : (place + 1) * len(items)]
            for i, slot, p in zip(items, slots, mine, strict=True):
                ratings[i] = int(slot.digits[int(p.argmax())])
                expected[i] = expected_rating(slot.digits, p.tolist())
            yield (
                text,
                Judgement(
                    "ok",
                    ratings,
                    expected,
                    1,
                    {"window": [first + 1, len(text.said)]} if first else {},
                ),
            )

    def _first_turn(self, said: list[tuple[str, str]]) -> int | None:
        """The turn, from 0, from which on a transcript fits with every slot; a later one only with
        "last"; or None."""

        def fits(first: int) -> bool:
            prompt = self.tokenizer.prompt(slot_messages(said[first:], self.longest))
            return len(prompt) < self.model.config.max_position_embeddings

        if fits(0):
            return 0
        first = (
            bisect_left(range(1, len(said)), True, key=fits) + 1
            if self.long == "last"
            else len(said)
        )
        return first if first < len(said) else None
