"""What is asked of a speaker (`Ask`), what it gives (`Reply`), and talks held side by side.

A ChatModel may be a model of this process (local.py), one behind an endpoint (endpoint.py), or a
person at the keyboard (clients.py). A talk is a generator: it yields (model, Ask) and gets the
Reply. So a session is written as it happens, turn by turn, and still what many talks ask of one
local model is decoded in one batch, while endpoints answer by themselves.

    def talk():
        reply = yield therapist, Ask("sft/p001", messages, seed)
"""

from collections import defaultdict
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tqdm import tqdm

from act.dialogue.prompts import parse_reply
from act.model.sampler import Sampling
from act.model.tokenizer import Messages
from act.records import WITH_WORDS

WAIT = 0.05  # seconds a round that endpoints are waited for, where nothing is to be decoded here


@dataclass(frozen=True)
class Ask:
    """One reply wanted."""

    key: str  # names the conversation
    messages: Messages
    seed: int  # of the random stream
    enforce: bool = False  # the two-part CoT form, in decoding


@dataclass(frozen=True)
class Reply:
    """What a speaker said, and how it ended. No error can enter a transcript: text stands behind
    these two statuses alone, "ok" and "length" (cut off at the limit).

    "context", no room for a reply, "refused", by the model or its provider's filter, and "error",
    no words to use, are final. "lost": none by a server's fault; the same command asks again.
    """

    text: str
    status: str
    prompt_tokens: int | None = None  # None: not told
    response_tokens: int | None = None
    call: dict | None = None  # an endpoint's account: model, fingerprint, usage, attempts
    logprobs: list[dict] | None = None  # an endpoint's, where asked for: one entry a token


class ChatModel(Protocol):
    """A speaker. Replies begun by `start` come out of `step` in any order, told apart by key."""

    name: str
    adapter: str | None = None  # where it has one: the first letters of its weights' SHA-256
    context: int | None = None  # tokens of a prompt and its reply together; None: not known
    template: str | None = None  # --template, where it was given
    sampling: Sampling
    busy: int  # replies begun and not ended
    remote: bool = False  # works by itself; a local model works in `step` only
    # of an endpoint: what else a request holds, and what it was found to take otherwise than wanted
    fields: dict = {}  # noqa: RUF012 (never written to)
    served: dict | None = None  # None: was not asked
    bar: tqdm | None = None  # shows how long a server makes it wait

    def start(self, asks: list[Ask]) -> None:
        """Begin replies. A conversation has one reply in the making at a time."""

    def step(self, wait: float) -> list[tuple[str, Reply]]:
        """Work on, a remote model for `wait` seconds at most; (key, reply) of those that ended."""

    def forget(self, key: str) -> None:
        """The conversation is over: drop what is kept of it, if anything."""


T = TypeVar("T")
Talk = Generator[tuple[ChatModel, Ask], Reply, T]  # asks, is answered, and in the end gives a T


def read_reply(reply: Reply, cot: bool) -> tuple[str, str | None, str | None]:
    """(turn status, thinking, answer) of a reply; "format" where the two-part form was not kept."""
    if reply.status not in WITH_WORDS:
        return reply.status, None, None
    parts = parse_reply(reply.text, cot)  # (thinking, answer)
    return (reply.status, *parts) if parts else ("format", None, None)


def hold_talks(talks: Iterable[Talk[None]], side_by_side: int) -> None:
    """Run all talks, `side_by_side` of them open at a time: begun and not ended."""
    fresh = iter(talks)
    unanswered: dict[tuple[ChatModel, str], Talk] = {}  # the open talks, by model and key asked
    waiting: dict[ChatModel, list[Ask]] = defaultdict(list)  # asks that have not been started
    current = None  # the local model at work, until its batch is done; others may join the batch

    def go_on(talk: Talk[None], reply: Reply | None) -> None:
        """Give a talk its reply (None: let it begin); unless it ends, note what it asks next."""
        with suppress(StopIteration):
            model, ask = talk.send(reply)
            unanswered[model, ask.key] = talk
            waiting[model].append(ask)

    while True:
        # 1. fresh talks take the free places
        while len(unanswered) < side_by_side and (talk := next(fresh, None)):
            go_on(talk, None)
        if not unanswered:
            return
        # 2. one local model works at a time: the one that most talks wait for
        local = [model for model in waiting if not model.remote and (waiting[model] or model.busy)]
        if local and not (current and current.busy):
            current = max(local, key=lambda model: len(waiting[model]))
        for model in waiting:
            if waiting[model] and (model.remote or model is current):
                asks, waiting[model] = waiting[model], []
                model.start(asks)
        # 3. everybody at work does a step, and who is answered goes on
        at_work = [model for model in waiting if model.busy]
        for model in at_work:
            for key, reply in model.step(0 if local else WAIT / len(at_work)):
                go_on(unanswered.pop((model, key)), reply)
