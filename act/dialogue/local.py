"""A model of this process as a ChatModel."""

from act.dialogue.chat import Ask, Reply
from act.dialogue.prompts import ANSWER, THINKING
from act.model.checkpoint import load_model, split_spec
from act.model.llama import Llama
from act.model.sampler import Request, Sampler, Sampling
from act.model.tokenizer import ChatTokenizer
from act.records import InputError


class LocalChat:
    """A model of this process as a conversation partner.

    With `enforce` the reply is made to begin with "Thinking:", and where it would end without an answer, or has
    spent half of its tokens without one, "Answer:" is put in and decoding goes on. A reply that says nothing behind
    it, or writes a label twice, is still out of form. A prompt that leaves no room for `max_new_tokens` has status
    "context".
    """

    remote = False

    def __init__(self, name: str, model: Llama, tokenizer: ChatTokenizer, sampling: Sampling):
        self.name, self.model, self.tokenizer, self.sampling = name, model, tokenizer, sampling
        self.thinking = tuple(tokenizer.encode(THINKING))
        self.answer = tokenizer.encode(f"\n\n{ANSWER}")
        self.begin()
        context = model.config.max_position_embeddings
        if sampling.max_new_tokens >= context:
            raise InputError(f"{sampling.max_new_tokens} new tokens a reply: the context of {name} holds {context}")

    @classmethod
    def load(cls, spec: str, sampling: Sampling, device: str) -> "LocalChat":
        """From a MODEL argument: FOLDER or FOLDER+ADAPTER."""
        return cls(str(spec), load_model(spec, device), ChatTokenizer(split_spec(spec)[0]), sampling)

    def begin(self) -> None:
        """Forget all conversations: the weights may have changed."""
        self.sampler = Sampler(self.model, self.tokenizer.end_ids, self.sampling)
        self.prompt_tokens: dict[str, int] = {}  # of the replies in the making
        self.refused: list[tuple[str, Reply]] = []

    @property
    def busy(self) -> int:
        return len(self.sampler.rows) + len(self.refused)

    def start(self, asks: list[Ask]) -> None:
        least = 2 * len([*self.thinking, *self.answer])
        if self.sampling.max_new_tokens < least and any(ask.enforce for ask in asks):
            raise InputError(f"{self.sampling.max_new_tokens} new tokens a reply: the enforced form needs {least}")
        room = self.model.config.max_position_embeddings - self.sampling.max_new_tokens
        requests = []
        for ask in asks:
            prompt = self.tokenizer.prompt(ask.messages)
            self.prompt_tokens[ask.key] = len(prompt)
            if len(prompt) > room:
                self.refused.append((ask.key, Reply("", "context", len(prompt), 0)))
            elif ask.enforce:
                requests.append(Request(ask.key, prompt, ask.seed, self.thinking, self._bridge))
            else:
                requests.append(Request(ask.key, prompt, ask.seed))
        self.sampler.add(requests)

    def step(self, wait: float = 0) -> list[tuple[str, Reply]]:
        done, self.refused = self.refused, []
        for key, decoded in self.sampler.step() if self.sampler.rows else ():
            text = self.tokenizer.decode(decoded.ids).strip()
            status = "error" if not text else "ok" if decoded.finish == "stop" else "length"
            done.append((key, Reply(text, status, self.prompt_tokens.pop(key), len(decoded.ids))))
        return done

    def forget(self, key: str) -> None:
        self.sampler.forget(key)

    def _bridge(self, ids: list[int]) -> list[int]:
        """The tokens of "Answer:", unless the reply has one."""
        return [] if f"\n{ANSWER}" in self.tokenizer.decode(ids) else self.answer
