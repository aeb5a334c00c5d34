"""Which of two replies does a therapist find likelier? An outcome that needs no judge.

Each matched pair has a client's words, or a whole conversation, a reply that shows what is asked
about and one that lacks it. A condition's therapist reads the client behind its own system prompt
and is asked for neither: what is measured is its mean log-probability a token of each reply y,

    logp = (1 / |y|) sum over t of log p(y_t | prompt, y_<t),

the end token apart. With chain of thought the therapist first thinks, greedily and once for both
replies, and y is what stands behind "Answer:" (in most vocabularies its first word has its space
with it there, which may be a token less). A line of a file of pairs ("form" and "item" are
left out where the pair is about none):

    {"id": "p1", "client": "I never sleep.", "form": "ACT-FM", "item": 3,
     "shows": "Nights like that hurt.", "lacks": "Everybody sleeps badly at times."}

"prompt", a list of messages that ends with the client's, may stand in place of "client". What it
is not: what a model finds likely is not what it says.
"""

import math
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from act.dialogue.journal import check_made_with, made_with
from act.dialogue.local import LocalChat, has_adapter, unloaded
from act.dialogue.prompts import ANSWER, THINKING, cot_reply, therapist_messages
from act.forms import named_item
from act.model.sampler import Request, Sampler, Sampling, common_prefix
from act.model.tokenizer import Messages
from act.model.weights import DIVERGED, finite
from act.records import CONDITIONS, InputError, Store, digest, is_trained, read_unique, require
from act.statistics.preferences import SIDES
from act.training.examples import Answer, Example
from act.training.layouts import check_messages, in_turn
from act.training.step import answer_logps, group_by_budget

BUNDLED = Path(__file__).parents[1] / "dialogue/corpus/excerpts.jsonl"
TREE = 16384  # tokens read together, at most
BATCH = 34  # pairs thought about side by side; a death loses the work on as many


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


def conversation(row: dict) -> list[str]:
    """What was said, client and therapist in turn, the client last. ValueError for anything else"""
    if ("client" in row) == ("prompt" in row):
        raise ValueError('either "client", its words, or "prompt", a list of messages, is needed')
    name, kind = ("client", str) if "client" in row else ("prompt", list)
    require(row, {name: kind})
    messages = row.get("prompt", [{"role": "user", "content": row.get("client")}])
    if any(isinstance(one, dict) and one.get("role") == "system" for one in messages):
        raise ValueError('"prompt" has a system message; each condition brings its own')
    check_messages(name, messages)
    if not in_turn(messages):
        raise ValueError('"prompt" is not user and assistant in turn, a user message last')
    return [message["content"].strip() for message in messages]


def read_pair(row: dict, source: str) -> Pair:
    """The matched pair of a row. Raises ValueError for what is none."""
    require(row, dict.fromkeys(("id", *SIDES), str))
    if not row["id"].strip():
        raise ValueError('"id" is empty')
    replies = {side: row[side].strip() for side in SIDES}
    if not all(replies.values()):
        raise ValueError('"shows" or "lacks" is empty')
    if replies["shows"] == replies["lacks"]:
        raise ValueError('"shows" and "lacks" are the same')
    *past, client = conversation(row)
    before = zip(past[::2], past[1::2], strict=True)
    turns = [{"client": said, "answer": answer} for said, answer in before]
    return Pair(row["id"], turns, client, replies, named_item(row), source)


def read_pairs(path: Path) -> list[Pair]:
    """The matched pairs of a JSONL file. InputError names the line of what is none."""
    source = "bundled" if path.resolve() == BUNDLED else path.name
    rows = read_unique(path, lambda row: read_pair(row, source))
    return [read_pair(row, source) for row in rows]


def think(therapist: LocalChat, pairs: Sequence[Pair]) -> list[str]:
    """The therapist's greedy reasoning about each pair's client, up to "Answer:", to its own end,
    or to half of the reply's tokens, where an enforced reply puts "Answer:" in."""
    tokenizer, longest = therapist.tokenizer, therapist.sampling.max_new_tokens
    limit = longest // 2
    if limit <= len(therapist.thinking):
        raise InputError(f"--max-new-tokens {longest}: half of it leaves nothing to think with")
    requests = []
    for pair in pairs:
        prompt = tokenizer.prompt(pair.prompt(cot=True))
        check_room(therapist, pair, len(prompt) + limit)
        requests.append(Request(pair.id, prompt, 0, therapist.thinking, until=therapist.answers))
    sampler = Sampler(therapist.model, tokenizer.end_ids, Sampling(0.0, 1.0, limit))
    sampler.most = therapist.room
    thoughts = []
    for reply in sampler.decode(requests):
        text = tokenizer.decode(reply.ids).partition(f"\n{ANSWER}")[0]
        thoughts.append(text.removeprefix(THINKING).strip())
    return thoughts


def check_room(therapist: LocalChat, pair: Pair, tokens: int) -> None:
    """Raises InputError for a pair that the model's context does not hold."""
    if tokens > therapist.context:
        room = f"the context of {therapist.base} holds {therapist.context}"
        raise InputError(f"pair {pair.id}: prompt and reply have {tokens} tokens; {room}")


def sequences(therapist: LocalChat, pair: Pair, thinking: str | None) -> Example:
    """Prompt and reply as tokens, of either reply; a CoT reply's own tokens follow "Answer:"."""
    tokenizer, cot = therapist.tokenizer, thinking is not None
    prompt = tokenizer.prompt(pair.prompt(cot))
    answers = []
    for reply in pair.replies.values():
        text, start = reply, 0
        if cot:
            text = cot_reply(thinking, reply)
            opening = tokenizer.encode(text.removesuffix(f" {reply}"))
            start = common_prefix(opening, tokenizer.reply(text))
        ids = [*prompt, *tokenizer.reply(text)]
        check_room(therapist, pair, len(ids))
        answers.append(Answer(ids, len(prompt) + start))
    return Example(pair.id, *answers, cut_turns=0)


def score(logps: Tensor) -> dict[str, float]:
    """The log-probs of a reply's tokens, its end last, (|y| + 1,) -> what a record has of it."""
    *own, end = logps.tolist()
    return {"logp": math.fsum(own) / len(own), "tokens": len(own), "end_logp": end}


@torch.inference_mode()
def measure(therapist: LocalChat, pairs: Sequence[Pair], cot: bool) -> Iterator[dict]:
    """{"shows", "lacks", "thinking"} of each pair, read as trees of tokens that fit."""
    thoughts = think(therapist, pairs) if cot else [None] * len(pairs)
    both = zip(pairs, thoughts, strict=True)
    examples = [sequences(therapist, pair, thinking) for pair, thinking in both]
    thinking = iter(thoughts)
    for group in group_by_budget(examples, TREE):
        answers = [answer for example in group for answer in example.answers]
        scores = map(score, answer_logps(therapist.model, answers)[0])  # shows, lacks, shows, ...
        for example in group:
            found = {side: next(scores) for side in SIDES}
            if not all(math.isfinite(one["logp"] + one["end_logp"]) for one in found.values()):
                raise FloatingPointError(f"pair {example.session}: a log-prob is not finite")
            yield found | {"thinking": next(thinking)}


def settings_of(folder: Path, sampling: Sampling, args: Namespace) -> dict[str, dict]:
    """Condition -> what its records are made with, of all whose adapters are at hand."""
    settings = {}
    for condition in CONDITIONS:
        spec = str(folder)
        if is_trained(condition):
            if not has_adapter(condition, args.adapters):
                continue
            spec = f"{folder}+{args.adapters / condition}"
        therapist = unloaded(spec, sampling, args)
        settings[condition] = made_with({"therapist": therapist}, "enforce", 0)
    return settings


def check_held(store: Store, pairs: Sequence[Pair], settings: dict[str, dict]) -> None:
    """Refuse to add to preferences of pairs in other words, or that were made otherwise."""
    texts = {pair.id: pair.digest for pair in pairs}
    for held in store.records():
        if texts.get(held["pair"]) not in (None, held.get("text")):
            raise InputError(f"{store.path}: {held['id']} had other words; choose another --out")
        # of an adapter that is not at hand nothing says here which it was
        there = {name: held.get(name) for name in ("models", "adapters")}
        now = settings.get(held["condition"], settings["instruct"] | there)
        check_made_with(store.path, held, now, "; choose another --out")


def add_preferences(
    therapist: LocalChat, condition: str, pairs: Sequence[Pair], store: Store, made: dict
) -> None:
    """Append a condition's records of these pairs; what they are `made` with stands in each."""
    progress = tqdm(total=len(pairs), desc=condition, unit="pair")
    with progress as bar, finite(therapist.base, DIVERGED):
        for first in range(0, len(pairs), BATCH):
            some = pairs[first : first + BATCH]
            found = measure(therapist, some, condition.endswith("-cot"))
            for pair, scores in zip(some, found, strict=True):
                record = {"id": f"{condition}/{pair.id}", "condition": condition, "pair": pair.id}
                record |= pair.about | scores | {"text": pair.digest, "source": pair.source}
                store.append(record | made)
            bar.update(len(some))
