"""A ChatModel answers many conversations at once: `reply(asks)` gives one Reply each, in order.

`LocalChat` speaks with a model in this process. What a session needs to know of a reply is its status and text;
the text of a reply whose status is "context" or "error" is empty, so that no error can enter a transcript.
"""

from dataclasses import dataclass
from typing import Protocol

from act.dialogue.prompts import ANSWER, THINKING, parse_reply
from act.model.checkpoint import load_model, split_spec
from act.model.llama import Llama
from act.model.sampler import Request, Sampler, Sampling
from act.model.tokenizer import ChatTokenizer, Messages
from act.records import InputError


@dataclass(frozen=True)
class Ask:
    """One reply wanted: `key` names the conversation, `seed` the random stream, `enforce` the two-part CoT form."""

    key: str
    messages: Messages
    seed: int
    enforce: bool = False


@dataclass(frozen=True)
class Reply:
    text: str
    status: str  # "ok", "length" (cut off at the limit), "context" (no room for a reply) or "error"
    prompt_tokens: int
    response_tokens: int


class ChatModel(Protocol):
    name: str
    sampling: Sampling

    def reply(self, asks: list[Ask]) -> list[Reply]: ...


class LocalChat:
    """A model of this process as a conversation partner.

    With `enforce` the reply is made to begin with "Thinking:", and where it would end without an answer, or has
    spent half of its tokens without one, "Answer:" is put in and decoding goes on. A reply that says nothing behind
    it, or writes a label twice, is still out of form.
    """

    def __init__(self, name: str, model: Llama, tokenizer: ChatTokenizer, sampling: Sampling):
        self.name, self.model, self.tokenizer, self.sampling = name, model, tokenizer, sampling
        self.sampler = Sampler(model, tokenizer.end_ids)
        self.thinking = tuple(tokenizer.encode(THINKING))
        self.answer = tokenizer.encode(f"\n\n{ANSWER}")
        context = model.config.max_position_embeddings
        if sampling.max_new_tokens >= context:
            raise InputError(f"{sampling.max_new_tokens} new tokens a reply: the context of {name} holds {context}")

    @classmethod
    def load(cls, spec: str, sampling: Sampling, device: str) -> "LocalChat":
        """From a MODEL argument: FOLDER or FOLDER+ADAPTER."""
        return cls(str(spec), load_model(spec, device), ChatTokenizer(split_spec(spec)[0]), sampling)

    def reply(self, asks: list[Ask]) -> list[Reply]:
        """One reply an ask. A prompt that leaves no room for `max_new_tokens` has status "context"."""
        least = 2 * len([*self.thinking, *self.answer])
        if self.sampling.max_new_tokens < least and any(ask.enforce for ask in asks):
            raise InputError(f"{self.sampling.max_new_tokens} new tokens a reply: the enforced form needs {least}")
        prompts = [self.tokenizer.prompt(ask.messages) for ask in asks]
        room = self.model.config.max_position_embeddings - self.sampling.max_new_tokens
        fits = [i for i, prompt in enumerate(prompts) if len(prompt) <= room]
        replies = [Reply("", "context", len(prompt), 0) for prompt in prompts]
        requests = [
            Request(asks[i].key, prompts[i], asks[i].seed, self.thinking, self._bridge)
            if asks[i].enforce
            else Request(asks[i].key, prompts[i], asks[i].seed)
            for i in fits
        ]
        for i, decoded in zip(fits, self.sampler.decode(requests, self.sampling), strict=True):
            text = self.tokenizer.decode(decoded.ids).strip()
            status = "error" if not text else "ok" if decoded.finish == "stop" else "length"
            replies[i] = Reply(text, status, len(prompts[i]), len(decoded.ids))
        return replies

    def _bridge(self, ids: list[int]) -> list[int]:
        """The tokens of "Answer:", unless the reply has one."""
        return [] if f"\n{ANSWER}" in self.tokenizer.decode(ids) else self.answer


def read_reply(reply: Reply, cot: bool) -> tuple[str, str | None, str | None]:
    """(turn status, thinking, answer) of a therapist's reply; "format" where the two-part form was not kept."""
    if reply.status not in ("ok", "length"):
        return reply.status, None, None
    parts = parse_reply(reply.text, cot)
    return (reply.status, *parts) if parts else ("format", None, None)
