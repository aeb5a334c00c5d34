"""Which of two replies does a therapist find likelier? An outcome that needs no judge.

Each matched pair has a client's words, or a whole conversation, a reply that shows what is asked
about and one that lacks it. A condition's therapist reads the client behind its own system prompt
and is asked for neither: what is measured is its mean log-probability a token of each reply y,

    logp = (1 / |y|) sum over t of log p(y_t | prompt, y_<t),

the end token apart. With chain of thought the therapist first thinks, greedily and once for both
replies, and y is what stands behind "Answer:". A line of a file of pairs ("form" and "item" are
left out where the pair is about none):

    {"id": "p1", "client": "I never sleep.", "form": "ACT-FM", "item": 3,
     "shows": "Nights like that hurt.", "lacks": "Everybody sleeps badly at times."}

"prompt", a list of messages that ends with the client's, may stand in place of "client". What it
is not: what a model finds likely is not what it says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from act.dialogue.journal import check_made_with, made_with
from act.dialogue.local import LocalChat
from act.dialogue.prompts import ANSWER, THINKING, cot_reply, therapist_messages
from act.forms import FORMS
from act.judging.judge import digest
from act.model.sampler import Request, Sampler, Sampling, common_prefix
from act.model.tokenizer import Messages
from act.records import InputError, Store, once, read_placed, require
from act.statistics.preferences import SIDES
from act.training.examples import Answer, check_messages
from act.training.step import answer_logps

BUNDLED = Path(__file__).parents[1] / "dialogue/corpus/excerpts.jsonl"
# of each item, by form and number
DIRECTIONS = {(form.name, item.number): item.direction for form in FORMS for item in form.items}


@dataclass(frozen=True)
class Pair:
    """Two replies to one client."""

    id: str
    turns: list[dict]  # what was said before, {"client", "answer"} each
    client: str
    replies: dict[str, str]  # by side
    about: dict  # "form", "item", "direction": of what the pair is about, None where of nothing
    source: str  # the name of its file, or "bundled"

    @property
    def digest(self) -> str:
        """Tells another pair of the same name."""
        before = [text for turn in self.turns for text in turn.values()]
        return digest([*before, self.client, *self.replies.values()])

    def prompt(self, cot: bool) -> Messages:
        """What a therapist reads before it replies."""
        return therapist_messages(self.turns, self.client, cot)


def check_row(row: dict) -> None:
    """Raise ValueError for what is no matched pair."""
    require(row, dict.fromkeys(("id", *SIDES), str))
    for side in SIDES:
        if not row[side].strip():
            raise ValueError(f'"{side}" is empty')
    if row["shows"].strip() == row["lacks"].strip():
        raise ValueError('"shows" and "lacks" are the same')
    if ("client" in row) == ("prompt" in row):
        raise ValueError('either "client", its words, or "prompt", a list of messages, is needed')
    if "client" in row:
        row["prompt"] = [{"role": "user", "content": row["client"]}]
    check_messages("prompt", row["prompt"], ("user", "assistant"))
    roles = [message["role"] for message in row["prompt"]]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise ValueError('"prompt" is not user and assistant in turn, a user message last')
    about = row.get("form"), row.get("item")
    if about != (None, None) and about not in DIRECTIONS:
        raise ValueError(f'"form" and "item" are {about[0]} {about[1]}, an item of no form')


def read_pairs(path: Path) -> list[Pair]:
    """The matched pairs of a JSONL file. InputError names the line of what is none."""
    pairs, check = [], once(check_row, "id")
    for place, row in read_placed(path):
        try:
            check(row)
        except ValueError as error:
            system = "; each condition brings its own system prompt" * ("'system'" in str(error))
            raise InputError(f"{place}: {error}{system}") from None
        *past, client = [message["content"].strip() for message in row["prompt"]]
        turns = [
            {"client": said, "answer": answer}
            for said, answer in zip(past[::2], past[1::2], strict=True)
        ]
        about = {"form": row.get("form"), "item": row.get("item")}
        about["direction"] = DIRECTIONS.get(tuple(about.values())) or None
        replies = {side: row[side].strip() for side in SIDES}
        source = "bundled" if path == BUNDLED else path.name
        pairs.append(Pair(row["id"], turns, client, replies, about, source))
    if not pairs:
        raise InputError(f"{path}: no records")
    return pairs


def think(therapist: LocalChat, pairs: Sequence[Pair]) -> list[str]:
    """The therapist's greedy reasoning about each pair's client, up to "Answer:", to its own end,
    or to half of the reply's tokens, where an enforced reply puts "Answer:" in."""
    model, tokenizer = therapist.model, therapist.tokenizer
    forced = tuple(tokenizer.encode(THINKING))

    def answers(ids: list[int]) -> bool:
        return f"\n{ANSWER}" in tokenizer.decode(ids)

    limit = max(1, therapist.sampling.max_new_tokens // 2)
    sampler = Sampler(model, tokenizer.end_ids, Sampling(0.0, 1.0, limit))
    prompts = {pair.id: tokenizer.prompt(pair.prompt(cot=True)) for pair in pairs}
    sampler.add([Request(key, ids, forced=forced, until=answers) for key, ids in prompts.items()])
    thoughts = {}
    while sampler.pending:
        for key, decoded in sampler.step():
            text = tokenizer.decode(decoded.ids).partition(f"\n{ANSWER}")[0]
            thoughts[key] = text.removeprefix(THINKING).strip()
    return [thoughts[pair.id] for pair in pairs]


def sequences(therapist: LocalChat, pair: Pair, thinking: str | None) -> list[Answer]:
    """Prompt and reply as tokens, of either reply; a CoT reply's own tokens follow "Answer:"."""
    tokenizer = therapist.tokenizer
    prompt = tokenizer.prompt(pair.prompt(cot=thinking is not None))
    answers = []
    for reply in pair.replies.values():
        text, start = reply, 0
        if thinking is not None:
            text = cot_reply(thinking, reply)
            opening = tokenizer.encode(text.removesuffix(f" {reply}"))
            start = common_prefix(opening, tokenizer.reply(text))
        ids = [*prompt, *tokenizer.reply(text)]
        if len(ids) > therapist.context:
            room = f"the context of {therapist.base} holds {therapist.context}"
            raise InputError(f"pair {pair.id}: prompt and reply have {len(ids)} tokens; {room}")
        answers.append(Answer(ids, len(prompt) + start))
    return answers


def score(logps: Tensor) -> dict[str, float]:
    """The log-probs of a reply's tokens, its end last, (|y| + 1,) -> what a record has of it."""
    *own, end = logps.tolist()
    return {"logp": sum(own) / len(own), "tokens": len(own), "end_logp": end}


@torch.inference_mode()
def measure(therapist: LocalChat, pairs: Sequence[Pair], cot: bool) -> Iterator[dict]:
    """{"shows", "lacks", "thinking"} of each pair; all of them are read as one tree of tokens."""
    thoughts = think(therapist, pairs) if cot else [None] * len(pairs)
    answers = []
    for pair, thinking in zip(pairs, thoughts, strict=True):
        answers += sequences(therapist, pair, thinking)
    logps, _ = answer_logps(therapist.model, answers)  # shows, lacks, shows, ...
    scores = map(score, logps)
    for thinking in thoughts:
        yield {side: next(scores) for side in SIDES} | {"thinking": thinking}


def wanted_of(condition: str, pairs: Sequence[Pair], store: Store) -> list[Pair]:
    """The pairs that `store` lacks of a condition. InputError where it holds one in other words."""
    texts = {pair.id: pair.digest for pair in pairs}
    for held in store.records():
        if texts.get(held["pair"], held["text"]) != held["text"]:
            raise InputError(f"{store.path}: {held['id']} had other words; choose another --out")
    return [pair for pair in pairs if f"{condition}/{pair.id}" not in store]


def settings_of(therapist: LocalChat, condition: str, store: Store) -> dict:
    """What a condition's records are made with. InputError where `store` holds others of it."""
    settings = made_with({"therapist": therapist}, "enforce", 0)
    for held in store.records():
        if held["condition"] == condition:
            check_made_with(store.path, held, settings, "; choose another --out")
    return settings


def add_preferences(
    therapist: LocalChat, condition: str, pairs: Sequence[Pair], store: Store, batch: int
) -> None:
    """Append a condition's records of these pairs, `batch` of them read at a time."""
    settings = settings_of(therapist, condition, store)
    with tqdm(total=len(pairs), desc=condition, unit="pair") as bar:
        for first in range(0, len(pairs), batch):
            some = pairs[first : first + batch]
            found = measure(therapist, some, condition.endswith("-cot"))
            for pair, scores in zip(some, found, strict=True):
                record = {"id": f"{condition}/{pair.id}", "condition": condition, "pair": pair.id}
                record |= pair.about | scores | {"text": pair.digest, "source": pair.source}
                store.append(record | settings)
            bar.update(len(some))
