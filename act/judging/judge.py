"""What a judge reads, what it gives back, and the judge that is a model of this process.

Another judge is served behind an endpoint (served.py). Of a session each sees what was said,
answers only, and nothing of who said it under which condition.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from act.forms import Form, Slot, instructions, render, slots
from act.model.adapter import warn_trained_otherwise
from act.model.checkpoint import load_model
from act.model.prefix_tree import slot_probs
from act.model.spec import is_endpoint, model_name, split_spec
from act.model.tokenizer import ChatTokenizer, Messages
from act.model.weights import DIVERGED, finite, sampled_sha256
from act.records import InputError, Store, check_settings, digest, rating_key, read_json

REQUEST = "The transcript of the session:\n\n{transcript}\n\n"
ONE_ITEM = "Rate the therapist on one item, with one number.\n\n{label}"
WHOLE_FORMS = """\
Fill in both forms for the therapist. Reply with these 34 lines, a whole number in place of each \
"?", and nothing else; if JSON is wanted of you, one object a form, each item's number as key.

{blanks}"""

FAMILIES = Path(__file__).with_name("families.json")  # family -> pattern of its models' names

Said = Sequence[tuple[str, str]]  # the client's words and the therapist's, turn by turn


@dataclass(frozen=True)
class Text:
    """What is to be rated, and a `key` to know it by."""

    key: tuple
    said: Said
    replicate: int = 0
    items: Sequence[int] = range(34)  # the slots that are wanted at least

    @property
    def digest(self) -> str:
        """Tells another text under the same key."""
        return digest(list(chain(*self.said)))

    @property
    def id(self) -> str:
        """Of this reading of this text."""
        return "/".join(map(str, (*self.key, self.replicate, self.digest)))


@dataclass(frozen=True)
class Judgement:
    """One judge's two forms on one text, or why there are none.

    Statuses: "ok"; "empty", nothing to rate; "context", no room; "format", no valid forms;
    "refused", by the model or its provider; "error", no reply.
    """

    status: str
    ratings: list[int | None] | None = None  # of the 34 slots; None: was not asked for
    expected: list[float | None] | None = None  # weighted by probability, where it is known
    attempts: int = 0  # forms asked for, the failed ones too
    more: dict = field(default_factory=dict)  # "window", "refusals", "calls": stored as they are


class Judge(Protocol):
    """LocalJudge, or served.py's EndpointJudge."""

    name: str
    settings: dict  # what its ratings depend on beside the text, stored with each
    replicates: int = 1  # how often it rates a text: a local one says the same each time
    bar: tqdm | None = None  # shows how long a server makes it wait

    def get_ready(self) -> None:
        """Before the first text: a served judge's settings get what its server takes."""

    def rate(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Judgement]]:
        """Each text with its judgement, in any order."""


def said_in(session: dict) -> Said:
    """The turns of a session that a judge is shown: those with an answer."""
    return [(turn["client"], turn["answer"]) for turn in session["turns"] if turn["answer"]]


def request(said: Said, what: str = "") -> Messages:
    """The rubric and the transcript, which all judges read, and behind them what is asked."""
    transcript = "\n\n".join(f"Client: {client}\n\nTherapist: {answer}" for client, answer in said)
    user = REQUEST.format(transcript=transcript) + what
    return [{"role": "system", "content": instructions()}, {"role": "user", "content": user}]


def slot_messages(said: Said, slot: Slot) -> Messages:
    """What a local judge reads before it rates one item: its reply is a digit."""
    return request(said, ONE_ITEM.format(label=slot.label.strip()))


def form_messages(said: Said, forms: Sequence[Form]) -> Messages:
    """What a served judge reads before it writes both forms."""
    return request(said, WHOLE_FORMS.format(blanks=render(["?"] * 34, forms)))


def wording_digest(forms: Sequence[Form], *more: str) -> str:
    """A digest of all that a judge is told beside the transcript, `more` included."""
    labels = [slot.label for slot in slots(forms)]
    return digest([instructions(), REQUEST, ONE_ITEM, *labels, *more])


def rating(session: dict, judge: Judge, text: Text, judgement: Judgement, wording: str) -> dict:
    """A rating record; its forms are null unless the judge filled them."""
    ratings, expected = judgement.ratings, judgement.expected
    record = {
        "session": session["id"],
        "condition": session["condition"],
        "profile": session["profile"]["id"],
        "rater": judge.name,
        "replicate": text.replicate,
        "act_fm": ratings and ratings[:25],
        "tes": ratings and ratings[25:],
        "status": judgement.status,
        "attempts": judgement.attempts,
        "wording": wording,
        "text": text.digest,
        "judge": judge.settings,
    }
    if expected:
        record |= {"act_fm_expected": expected[:25], "tes_expected": expected[25:]}
    return record | judgement.more


def same_judge(what: object, held: dict, new: dict, cure: str, free: Iterable[str] = ()) -> None:
    """check_settings for all of a judge's settings but `free`. An endpoint is compared by its name:
    older files hold its address, too."""
    held = {"served": {}} | held
    if is_endpoint(held.get("endpoint", "")):
        held["endpoint"] = model_name(held["endpoint"])
    if "served" not in new:  # its server was not asked yet what it takes
        del held["served"]
    for name in free:
        held[name] = new.get(name, "unknown")
    check_settings(what, held, new, cure)


def refuse_others(store: Store, settings: dict, rater: str | None = None) -> None:
    """Raises InputError where `store` holds what was made with other settings (by `rater`, where
    its records name one)."""
    for record in store.records():
        if record.get("rater", rater) == rater:
            held = record["judge"] if isinstance(record.get("judge"), dict) else {}
            same_judge(store.path, held, settings, "; choose another --out")


def judged(
    judge: Judge,
    texts: Sequence[Text],
    store: Store | None,
    record: Callable[[Text, Judgement], dict],
) -> Iterator[tuple[Text, Judgement]]:
    """Texts with their judgements as they come, each stored as the `record` of it.

    What came without any reply is not stored, so that the same command asks again. What a server
    takes is asked first, and must be what the judge's ratings in the store were made with.
    """
    if texts:
        judge.get_ready()
        if store is not None:
            refuse_others(store, judge.settings, judge.name)
    judge.bar = tqdm(judge.rate(texts), judge.name, len(texts), unit="text")
    for text, judgement in judge.bar:
        if store is not None and judgement.status != "error":
            store.append(record(text, judgement))
        yield text, judgement


def rate_missing(judge: Judge, sessions: dict[str, dict], store: Store, wording: str) -> int:
    """Append a judge's ratings of the sessions that lack them; how many texts got no reply."""
    there = {rating_key(record): record.get("text") for record in store.records()}
    # 1. what is not there yet; of what is, the words must be the same
    missing = []
    for name, session in sessions.items():
        for replicate in range(judge.replicates):
            text = Text((name,), said_in(session), replicate)
            key = (name, judge.name, replicate)
            if key not in there:
                missing.append(text)
            elif there[key] not in (None, text.digest):  # old ratings hold no digest
                other = f"{name} had other words when it was rated"
                raise InputError(f"{store.path}: {other}; choose another --out")

    # 2. rated and stored one by one
    def record(text: Text, judgement: Judgement) -> dict:
        return rating(sessions[text.key[0]], judge, text, judgement, wording)

    found = judged(judge, missing, store, record)
    return sum(judgement.status == "error" for _, judgement in found)


def family_of(spec: str) -> str:
    """The family of a MODEL argument by its name, and its config.json's; or the bare name.

    >>> family_of("ministral-8b@https://api.mistral.ai/v1"), family_of("models/smollm2+runs/sft")
    ('Mistral', 'SmolLM')
    """
    name = model_name(spec) if is_endpoint(spec) else spec.partition("+")[0].rstrip("/")
    config, known = Path(name) / "config.json", name.rpartition("/")[2]
    if config.is_file():  # a folder
        known += f" {read_json(config).get('_name_or_path') or ''}"
    for family, pattern in read_json(FAMILIES).items():
        if re.search(pattern, known, re.IGNORECASE):
            return family
    return known.strip()


def same_family(judge: str, sessions: Iterable[dict]) -> list[str]:
    """The roles in which a model of the judge's family speaks in some session: a judge may prefer
    the words of its own kind (Panickssery et al. 2024)."""
    named = set()
    for session in sessions:
        models = session.get("models")  # sessions from elsewhere may hold anything there
        for role, name in models.items() if isinstance(models, dict) else ():
            if isinstance(name, str) and name:
                named.add((role, name))
    mine = family_of(judge)
    return sorted({role for role, name in named if family_of(name) == mine} - {"supervisor"})


def expected_rating(digits: Sequence[str], probs: Sequence[float]) -> float:
    """sum(d p(d)) / sum(p(d)); rounding does not carry it out of the digits' range.

    >>> expected_rating("0123", [0.0, 0.0, 0.1, 0.3])
    2.75
    """
    weighted = [int(digit) * p for digit, p in zip(digits, probs, strict=True)]
    mean = math.fsum(weighted) / math.fsum(probs)
    return min(max(mean, float(digits[0])), float(digits[-1]))


class LocalJudge(Judge):
    """A model of this process: of each slot's digits the most probable one, and their mean.

    `long`: a transcript longer than the context is not rated ("refuse": status "context"), or the
    last turns that fit are ("last": "window" records which).
    """

    batch = 4  # texts read side by side

    def __init__(
        self, spec: str, forms: Sequence[Form], long: str, device: str, template: str | None = None
    ):
        folder, adapter = split_spec(spec)
        self.name, self.folder = model_name(spec), folder
        self.model, self.tokenizer = load_model(spec, device), ChatTokenizer(folder, template)
        if adapter:
            warn_trained_otherwise(folder, adapter, self.tokenizer)
        self.slots, self.long = slots(forms), long
        self.settings = {
            "weights": sampled_sha256(folder)[:12],
            "adapter": adapter and sampled_sha256(adapter)[:12],
            "wording": wording_digest(forms),
            "long": long,
        } | ({"template": template} if template else {})
        self.longest = max(self.slots, key=lambda slot: len(self._prompt([], slot)))

    def _prompt(self, said: Said, slot: Slot) -> list[int]:
        return self.tokenizer.prompt(slot_messages(said, slot))

    def rate(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Judgement]]:
        """Judge.rate, `batch` texts at a time: a text's prompts are 34 copies of its transcript."""
        group: list[tuple[Text, int]] = []  # each with the turn from which on it is read
        for text in texts:
            first = self._first_turn(text.said)
            if text.said and first is not None:
                group.append((text, first))
            else:
                yield text, Judgement("context" if text.said else "empty")
            if len(group) == self.batch:
                yield from self._rate_group(group)
                group = []
        if group:
            yield from self._rate_group(group)

    def _rate_group(self, group: list[tuple[Text, int]]) -> Iterator[tuple[Text, Judgement]]:
        # 1. a prompt for each slot of each text: one tree, whose trunk is what they share
        prompts, digits = [], []
        for text, first in group:
            for i in text.items:
                prompts.append(self._prompt(text.said[first:], self.slots[i]))
                digits.append(self.slots[i].digits)
        with finite(self.folder, DIVERGED):
            probs = slot_probs(self.model, self.tokenizer, prompts, digits)
        # 2. a digit and an expectation from the probabilities at each prompt's end
        rated = zip(probs, digits, strict=True)
        for text, first in group:
            ratings, expected = [None] * len(self.slots), [None] * len(self.slots)
            for i in text.items:
                p, allowed = next(rated)  # (digits,) each
                ratings[i] = int(allowed[int(p.argmax())])
                expected[i] = expected_rating(allowed, p.tolist())
            window = {"window": [first + 1, len(text.said)]} if first else {}
            yield text, Judgement("ok", ratings, expected, 1, window)

    def _first_turn(self, said: Said) -> int | None:
        """The turn, from 0, from which on a transcript fits with every slot, or None."""
        room = self.model.config.max_position_embeddings

        def fits(first: int) -> bool:
            return len(self._prompt(said[first:], self.longest)) < room

        if fits(0):
            return 0
        # a shorter transcript fits where a longer one does, so halving finds the first turn
        later = range(1, len(said) if self.long == "last" else 1)
        first = 1 + bisect_left(later, True, key=fits)
        return first if first in later else None
