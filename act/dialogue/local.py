"""A model of this process as a ChatModel: many replies are decoded as one batch, each prompt is
read on from where its conversation stood (act/model/sampler.py). `open_speaker` tells it from one
behind an endpoint.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from weakref import WeakSet

import torch

from act.dialogue.chat import Ask, ChatModel, Reply
from act.dialogue.endpoint import open_endpoint
from act.dialogue.prompts import ANSWER, THINKING
from act.model.adapter import load_adapter, warn_trained_otherwise
from act.model.checkpoint import load_model, read_config
from act.model.kv_cache import tokens_that_fit
from act.model.llama import Llama
from act.model.lora import merge
from act.model.sampler import Request, Sampler, Sampling
from act.model.spec import is_endpoint, model_name, split_spec
from act.model.tokenizer import ChatTokenizer
from act.model.weights import DIVERGED, finite, sampled_sha256
from act.records import InputError, is_trained

SPEAKERS: WeakSet["LocalChat"] = WeakSet()  # the models of this process


class LocalChat(ChatModel):
    """A model of this process. A prompt that leaves no room for `max_new_tokens` has status
    "context".

    With `enforce` the reply is made to begin with "Thinking:", and where it would end without an
    answer, or has spent half of its tokens without one, "Answer:" is put in and decoding goes on. A
    reply that says nothing behind it, or writes a label twice, is still out of form.
    """

    def __init__(self, name: str, model: Llama, tokenizer: ChatTokenizer, sampling: Sampling):
        self.base = self.name = name  # FOLDER; the name gets +ADAPTER behind it
        self.adapter: str | None = None  # its fingerprint
        self.bare = self.model = model  # without an adapter, and as it speaks
        self.tokenizer, self.sampling = tokenizer, sampling
        SPEAKERS.add(self)
        # what an enforced reply opens with, and what is put in
        self.thinking = tuple(tokenizer.encode(THINKING))
        self.answer = tokenizer.encode(f"\n\n{ANSWER}")
        self.forget_all()
        self.context = model.config.max_position_embeddings
        if sampling.max_new_tokens >= self.context:
            reply = f"{sampling.max_new_tokens} new tokens a reply"
            raise InputError(f"{reply}: the context of {name} holds {self.context}")

    @classmethod
    def load(
        cls, spec: str, sampling: Sampling, device: str, template: str | None = None
    ) -> "LocalChat":
        """From FOLDER or FOLDER+ADAPTER, with a chat template or the folder's own."""
        folder, adapter = split_spec(spec)
        base, tokenizer = load_base(folder.resolve(), device, template)
        chat = cls(str(folder), base, tokenizer, sampling)
        chat.template = template
        chat.wear(adapter)
        return chat

    def play(self, condition: str, adapters: Path | None) -> None:
        """Be a condition's therapist: wear its adapter, or none."""
        self.wear(adapters / condition if is_trained(condition) else None)

    def wear(self, adapter: Path | None) -> None:
        """Take off the adapter that is on, put this one on, and forget all conversations.

        In float32 it is merged into copies of the weights, which saves its products. bfloat16 would
        round most of it away: there it stays beside them, in bfloat16 too.
        """
        self.model, self.name, self.adapter = self.bare, self.base, None
        self.forget_all()  # and with them the weights that were merged
        # a model of its own on the bare one's weights: what adapter it wears, no other does
        with torch.device("meta"):  # no memory for weights that are replaced
            model = Llama(self.bare.config)
        model.load_state_dict(self.bare.state_dict(), strict=True, assign=True)
        if adapter:
            warn_trained_otherwise(Path(self.base), adapter, self.tokenizer)
            load_adapter(model, adapter)
            if model.head.dtype == torch.float32:
                merge(model)
            model.to(model.head.dtype)
            self.name, self.adapter = f"{self.base}+{adapter}", fingerprint(adapter)
        self.model = model.requires_grad_(False)
        self.forget_all()

    def forget_all(self) -> None:
        """Forget all conversations: the weights may have changed."""
        self.sampler = Sampler(self.model, self.tokenizer.end_ids, self.sampling)
        self.refused: list[tuple[str, Reply]] = []  # prompts without room: next step's replies

    @cached_property
    def room(self) -> int:
        """Tokens whose keys and values memory holds: its share of all models' of this process."""
        return tokens_that_fit(self.model) // len(SPEAKERS)

    @property
    def busy(self) -> int:
        """Replies begun and not ended, refused ones too."""
        return len(self.sampler.pending) + len(self.sampler.waiting) + len(self.refused)

    def start(self, asks: list[Ask]) -> None:
        """Put prompts into the batch. Raises InputError where no enforced form fits a reply."""
        longest, least = self.sampling.max_new_tokens, 2 * len([*self.thinking, *self.answer])
        if longest < least and any(ask.enforce for ask in asks):
            raise InputError(f"{longest} new tokens a reply: the enforced form needs {least}")
        requests = []
        for ask in asks:
            prompt = self.tokenizer.prompt(ask.messages)  # token ids
            form = {"forced": self.thinking, "bridge": self._bridge} if ask.enforce else {}
            if len(prompt) + longest > self.context:
                self.refused.append((ask.key, Reply("", "context", len(prompt), 0)))
            else:
                requests.append(Request(ask.key, prompt, ask.seed, **form))
        self.sampler.most = self.room
        self.sampler.add(requests)

    def step(self, wait: float = 0) -> list[tuple[str, Reply]]:
        """Decode one token a row; (key, reply) of those that ended. Nothing is waited for."""
        done, self.refused = self.refused, []
        with finite(self.base, DIVERGED):
            decoded_now = self.sampler.step() if self.sampler.pending else ()
        for key, decoded in decoded_now:
            text = self.tokenizer.decode(decoded.ids).strip()
            status = "ok" if decoded.finish == "stop" else "length"
            status = status if text else "error"
            done.append((key, Reply(text, status, decoded.prompt_tokens, len(decoded.ids))))
        return done

    def forget(self, key: str) -> None:
        """Drop the conversation's cache."""
        self.sampler.forget(key)

    def answers(self, ids: list[int]) -> bool:
        """Has a CoT reply come to its answer?"""
        return f"\n{ANSWER}" in self.tokenizer.decode(ids)

    def _bridge(self, ids: list[int]) -> list[int]:
        """The tokens of "Answer:", unless the reply has one."""
        return [] if self.answers(ids) else self.answer


@dataclass
class Unloaded(ChatModel):
    """A model of this process without its weights: what a record says of it, and no word."""

    name: str
    sampling: Sampling
    context: int
    adapter: str | None
    template: str | None


def fingerprint(adapter: Path) -> str:
    """The first 12 letters of an adapter's checksum: its weights, and how they are scaled."""
    return sampled_sha256(adapter)[:12]


def has_adapter(condition: str, adapters: Path | None) -> bool:
    """Is this condition's adapter in the folder of adapters?"""
    return adapters is not None and (adapters / condition / "adapter_model.safetensors").is_file()


def check_adapters(conditions: Sequence[str], adapters: Path | None) -> None:
    """Raises InputError unless every trained condition has its adapter."""
    trained = list(filter(is_trained, conditions))
    if trained and adapters is None:
        raise InputError(f"--adapters is needed for {', '.join(trained)}")
    for name in trained:
        if not has_adapter(name, adapters):
            cure = f"train it, or leave {name} out of --conditions"
            raise InputError(f"{adapters / name}: no adapter there; {cure}")


@cache
def load_base(folder: Path, device: str, template: str | None) -> tuple[Llama, ChatTokenizer]:
    """A base model and its tokenizer, once a process, however many speak with them."""
    return load_model(folder, device), ChatTokenizer(folder, template)


def open_speaker(spec: str, sampling: Sampling, args: Namespace) -> ChatModel:
    """The speaker that a MODEL argument names."""
    if is_endpoint(spec):
        return open_endpoint(spec, sampling, args).settle()
    return LocalChat.load(spec, sampling, args.device, args.template)


def unloaded(spec: str, sampling: Sampling, args: Namespace) -> ChatModel:
    """The same speaker where nothing is asked of it: no weights are loaded."""
    if is_endpoint(spec):
        return open_endpoint(spec, sampling, args)
    folder, adapter = split_spec(spec)
    name = f"{folder}+{adapter}" if adapter else str(folder)
    context = read_config(folder).max_position_embeddings
    known = fingerprint(adapter) if adapter else None
    return Unloaded(name, sampling, context, known, args.template)


def check_enforced(cot_format: str, spec: str) -> None:
    """Refuse --format enforce for a model whose decoding is out of our hands."""
    if cot_format == "enforce" and is_endpoint(spec):
        ours = "--format enforce works on a model of this process"
        raise InputError(f"{ours}; {model_name(spec)}@... is an endpoint")
