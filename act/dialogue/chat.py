"""What a session asks of a speaker, and what it gets: an `Ask`, a `Reply`, and the `ChatModel`
between them.

A ChatModel works on many replies at once. It may be a model of this process (local.py), one behind
an endpoint (endpoint.py), or a person at the keyboard (person.py). The text of a reply whose status
is "context" or "error" is empty, so that no error can enter a transcript.
"""

from dataclasses import dataclass
from typing import Protocol

from act.dialogue.prompts import parse_reply
from act.model.sampler import Sampling
from act.model.tokenizer import Messages
from act.records import WITH_WORDS


@dataclass(frozen=True)
class Ask:
    """One reply wanted: `key` names the conversation, `seed` the random stream, `enforce` the
    two-part CoT form."""

    key: str
    messages: Messages
    seed: int
    enforce: bool = False


@dataclass(frozen=True)
class Reply:
    """What a speaker said, and how it ended."""

    text: str
    status: str  # "ok", "length" (cut off at the limit), "context" (no room for a reply) or "error"
    prompt_tokens: int | None = None  # None: not told
    response_tokens: int | None = None
    call: dict | None = (
        None  # of an endpoint: the model, fingerprint and usage it returned, and the attempts made
    )
    logprobs: list[dict] | None = (
        None  # of an endpoint that was asked for them and gave them: one entry a token
    )


class ChatModel(Protocol):
    """A speaker. Replies are begun by `start` and come out of `step` in any order, told apart by
    their asks' keys."""

    name: str
    adapter: str | None  # of a model with an adapter: the first letters of a SHA-256 of its weights
    context: (
        int | None
    )  # tokens that a prompt and its reply may have together; None: not known here
    sampling: Sampling
    busy: int  # replies begun and not ended
    remote: bool  # works by itself; a local model works in `step` only

    def start(self, asks: list[Ask]) -> None:
        """Begin replies. A conversation has one reply in the making at a time."""

    def step(self, wait: float) -> list[tuple[str, Reply]]:
        """Work on; (key, reply) of those that ended. A remote model may be waited for, `wait`
        seconds at most."""

    def forget(self, key: str) -> None:
        """The conversation is over."""


def read_reply(reply: Reply, cot: bool) -> tuple[str, str | None, str | None]:
    """(turn status, thinking, answer) of a therapist's reply; "format" where the two-part form was
    not kept."""
    if reply.status not in WITH_WORDS:
        return reply.status, None, None
    parts = parse_reply(reply.text, cot)
    return (reply.status, *parts) if parts else ("format", None, None)
