"""A model of this process as a ChatModel.

speakers.py opens one for a MODEL that is a folder; talks.py asks it for many replies at once, and
the sampler (act/model/sampler.py) decodes them as one batch. Each conversation's prompt is read on
from where it stood.
"""

from collections.abc import Iterable
from pathlib import Path

import torch

from act.dialogue.chat import Ask, ChatModel, Reply
from act.dialogue.prompts import ANSWER, THINKING
from act.model.checkpoint import load_adapter, load_model, sha256, split_spec
from act.model.llama import Llama
from act.model.lora import detach
from act.model.sampler import Request, Sampler, Sampling
from act.model.tokenizer import ChatTokenizer
from act.records import InputError


class LocalChat:
    """A model of this process as a conversation partner.

    With `enforce` the reply is made to begin with "Thinking:", and where it would end without an
    answer, or has spent half of its tokens without one, "Answer:" is put in and decoding goes on. A
    reply that says nothing behind it, or writes a label twice, is still out of form. A prompt that
    leaves no room for `max_new_tokens` has status "context".
    """

    remote = False

    def __init__(self, name: str, model: Llama, tokenizer: ChatTokenizer, sampling: Sampling):
        self.base = self.name = name
        self.adapter: str | None = None
        self.model, self.tokenizer, self.sampling = model, tokenizer, sampling
        self.thinking = tuple(tokenizer.encode(THINKING))
        self.answer = tokenizer.encode(f"\n\n{ANSWER}")
        self.forget_all()
        self.context = model.config.max_position_embeddings
        if sampling.max_new_tokens >= self.context:
            raise InputError(
                f"{sampling.max_new_tokens} new tokens a reply: the context of {name} holds {self.context}"
            )

    @classmethod
    def load(
        cls, spec: str, sampling: Sampling, device: str, others: Iterable[ChatModel] = ()
    ) -> "LocalChat":
        """From a MODEL argument: FOLDER or FOLDER+ADAPTER. Base weights that one of `others` has
        are shared."""
        folder, adapter = split_spec(spec)
        known = [
            other
            for other in others
            if isinstance(other, LocalChat) and Path(other.base).samefile(folder)
        ]
        if known:
            chat = cls(str(folder), share_weights(known[0].model), known[0].tokenizer, sampling)
        else:
            chat = cls(str(folder), load_model(folder, device), ChatTokenizer(folder), sampling)
        if adapter:
            chat.wear(adapter)
        return chat

    def wear(self, adapter: Path | None) -> None:
        """Take off the adapter that is on, put this one on, and forget all conversations."""
        detach(self.model)
        self.name, self.adapter = self.base, None
        if adapter:
            load_adapter(self.model, adapter)
            self.name, self.adapter = f"{self.base}+{adapter}", fingerprint(adapter)
        self.forget_all()

    def forget_all(self) -> None:
        """Forget all conversations: the weights may have changed."""
        self.sampler = Sampler(self.model, self.tokenizer.end_ids, self.sampling)
        self.refused: list[tuple[str, Reply]] = []

    @property
    def busy(self) -> int:
        """Replies begun and not ended, refused ones too."""
        return len(self.sampler.pending) + len(self.refused)

    def start(self, asks: list[Ask]) -> None:
        """Put prompts into the batch. Raises InputError where `max_new_tokens` cannot hold the
        enforced form."""
        least = 2 * len([*self.thinking, *self.answer])
        if self.sampling.max_new_tokens < least and any(ask.enforce for ask in asks):
            raise InputError(
                f"{self.sampling.max_new_tokens} new tokens a reply: the enforced form needs {least}"
            )
        room = self.context - self.sampling.max_new_tokens
        requests = []
        for ask in asks:
            prompt = self.tokenizer.prompt(ask.messages)
            if len(prompt) > room:
                self.refused.append((ask.key, Reply("", "context", len(prompt), 0)))
            elif ask.enforce:
                requests.append(Request(ask.key, prompt, ask.seed, self.thinking, self._bridge))
            else:
                requests.append(Request(ask.key, prompt, ask.seed))
        self.sampler.add(requests)

    def step(self, wait: float = 0) -> list[tuple[str, Reply]]:
        """Decode one token a row; (key, reply) of those that ended. `wait` plays no part: nothing
        is waited for."""
        done, self.refused = self.refused, []
        for key, decoded in self.sampler.step() if self.sampler.pending else ():
            text = self.tokenizer.decode(decoded.ids).strip()
            status = "error" if not text else "ok" if decoded.finish == "stop" else "length"
            done.append((key, Reply(text, status, decoded.prompt_tokens, len(decoded.ids))))
        return done

    def forget(self, key: str) -> None:
        """Drop the conversation's cache."""
        self.sampler.forget(key)

    def _bridge(self, ids: list[int]) -> list[int]:
        """The tokens of "Answer:", unless the reply has one."""
        return [] if f"\n{ANSWER}" in self.tokenizer.decode(ids) else self.answer


def fingerprint(adapter: Path) -> str:
    """The first 12 letters of the SHA-256 of an adapter's weights."""
    return sha256(adapter / "adapter_model.safetensors")[:12]


def share_weights(model: Llama) -> Llama:
    """A second model on the same base weights, without an adapter: what either wears, the other
    does not."""
    with torch.device("meta"):
        second = Llama(model.config)
    base = {name: tensor for name, tensor in model.state_dict().items() if ".lora_" not in name}
    second.load_state_dict(base, strict=True, assign=True)
    return second.requires_grad_(False)
