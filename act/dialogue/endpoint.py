"""A model behind an OpenAI-compatible endpoint as a ChatModel: NAME@URL, over httpx.

Bounded concurrency, bounded attempts, and every fault ends in one of three ways: a right reply
after another try; a typed status ("length", "context", "error"), where the fault is this prompt's;
or one line that stops the run, where no reply can come at all (a wrong key or name, a spent quota,
a server that is down), so that nothing wrong is stored.
"""

import math
import os
import random
import re
import sys
import threading
import time
from dataclasses import replace
from queue import Empty, SimpleQueue

import httpx
from tqdm import tqdm

from act.dialogue.chat import Ask, Reply
from act.dialogue.dialects import ROOM_TO_THINK, THINKS, find_dialect, retry_after
from act.model.checkpoint import split_endpoint
from act.model.sampler import Sampling
from act.records import WITH_WORDS, InputError

ATTEMPTS = 8
PROBES = 3  # tries of a prompt that any model can answer
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds; a pause doubles from try to try
TRY_AGAIN = (408, 409, 425, 429)  # and all of 5xx
NO_TRY_HELPS = (401, 402, 404)
NOT_TAKEN = (
    400,
    422,
)  # what a field that a server does not know gets, and also a prompt that it does not like
NO_ROOM = re.compile(
    r"context.?(length|size|window)|maximum context|too many tokens|prompt is too long",
    re.IGNORECASE,
)
REASONING = re.compile(
    r"\A(?:.*?</think>|\s*<think>.*\Z)", re.DOTALL
)  # some templates open it in the prompt
PROBE = Ask("probe", [{"role": "user", "content": "Say OK."}], 0)
CONNECT = 10.0  # seconds for a connection
CUT, LEAST = (
    0.7,
    1 / 8,
)  # a prompt of less than 0.7 of its tokens, or of less than a token in 8 letters, was cut


class NoRoom(Exception):
    """The prompt exceeds the server's context."""


class TryAgain(Exception):
    """A fault that another try may mend; `pause`: seconds the server asked for."""

    def __init__(self, what: str, pause: float = 0.0):
        super().__init__(what)
        self.pause = pause


class Unusable(TryAgain):
    """A reply that cannot be used; another seed may give another."""


class Refused(Exception):
    """A fault that no other try mends; `final` when no other prompt would either, `fields` when
    other fields may."""

    def __init__(self, what: str, final: bool = False, fields: bool = False):
        super().__init__(what)
        self.final, self.fields = final, fields


class Endpoint:
    """A served model. `concurrency` calls at most are under way at a time; silent for `timeout`
    seconds, one is lost.

    `room_to_think`: tokens it may spend before its answer, beside `max_new_tokens`. `offers`:
    fields that a request may have beside the usual ones, best first. A server that refuses one set
    (HTTP 400 or 422) before any good reply is asked with the next.
    """

    remote = True
    adapter = context = None  # the server's own

    def __init__(
        self,
        spec: str,
        sampling: Sampling,
        concurrency: int,
        timeout: float,
        room_to_think: int = 0,
    ):
        self.name, self.sampling = spec, sampling
        self.model, address = split_endpoint(spec)
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise InputError(f"{self.model}@...: not an address: {error}") from None
        if not self.model or url.scheme not in ("http", "https") or not url.host:
            raise InputError(
                f"{self.model}@...: an endpoint is NAME@http://HOST/v1 or NAME@https://HOST/v1"
            )
        if url.userinfo or url.query:
            raise InputError(
                f"{self.model}@{url.host}: a key belongs in an environment variable, not in the address"
            )
        self.dialect = find_dialect(url)
        self.key = os.environ.get(self.dialect.key, "").strip()
        if not (self.key.isascii() and self.key.isprintable()):
            raise InputError(
                f"{self.dialect.key}: holds characters that no key has; was it copied whole?"
            )
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        timeouts = httpx.Timeout(timeout, connect=min(timeout, CONNECT))
        self.client = httpx.Client(headers=headers, timeout=timeouts, limits=limits)
        self.url = f"{str(url).rstrip('/')}/chat/completions"
        self.thinks = bool(THINKS.match(self.model.rpartition("/")[2]))  # MODEL, or VENDOR/MODEL
        self.room_to_think = max(room_to_think, ROOM_TO_THINK if self.thinks else 0)
        if self.thinks:
            self.sampling = Sampling(None, None, sampling.max_new_tokens)
        self.offers, self.offer = [{}], 0
        self.busy = 0
        self.warned = False  # was it said that there is no reply yet?
        self.last_good = -math.inf  # time of the last good reply
        self.tokens_a_letter = 0.0  # of the first prompt: what later ones are compared with
        self.asked: SimpleQueue[Ask | None] = SimpleQueue()
        self.done: SimpleQueue[tuple[str, Reply | Exception]] = SimpleQueue()
        self.stopped: Exception | None = None  # raised by the next step, behind the replies in hand
        self.concurrency = concurrency
        self.threads: list[threading.Thread] = []  # as many as have been needed

    def start(self, asks: list[Ask]) -> None:
        """Queue replies for the threads, of which there are as many as asks, `concurrency` at
        most."""
        self.busy += len(asks)
        for ask in asks:
            self.asked.put(ask)
            if len(self.threads) < self.concurrency:
                self.threads.append(threading.Thread(target=self._work, daemon=True))
                self.threads[-1].start()

    def step(self, wait: float) -> list[tuple[str, Reply]]:
        """The replies that have come in; waits for a first one. Raises InputError where no try can
        help."""
        replies = []
        while self.busy and not self.stopped:
            try:
                key, reply = self.done.get(timeout=wait) if not replies else self.done.get_nowait()
            except Empty:
                break
            if isinstance(reply, Exception):
                self.stopped = reply  # still busy: who waits for it must come back to hear of it
            else:
                self.busy -= 1
                replies.append((key, reply))
        if self.stopped and not replies:
            raise self.stopped
        return replies

    def forget(self, key: str) -> None:
        """Nothing is kept of a conversation."""

    def close(self) -> None:
        """End its threads and connections; nothing may be under way."""
        for _ in self.threads:
            self.asked.put(None)
        for thread in self.threads:
            thread.join()
        self.client.close()

    def _work(self) -> None:
        while ask := self.asked.get():
            try:
                reply = self.reply(ask)
            except Exception as error:  # whatever it is, the main thread must hear of it
                reply = error
            self.done.put((ask.key, reply))

    @property
    def answered(self) -> bool:
        """Has it ever given a good reply?"""
        return self.last_good > -math.inf

    def reply(self, ask: Ask) -> Reply:
        """One reply, after at most ATTEMPTS calls. A prompt that has none is told from a server
        that gives none."""
        began = time.monotonic()
        reply, fault, tries = self._try(ask, ATTEMPTS)
        if fault is None:
            return reply
        final = isinstance(fault, Refused) and fault.final
        if not final and self.last_good < began:
            self._try(PROBE, PROBES)
        after = f"{tries} {'try' if tries == 1 else 'tries'}: {fault}"
        if final or self.last_good < began:
            raise InputError(f"{self.name}: no reply in {self._without_key(after)}")
        self._warn(f"a turn is lost after {after}")
        return reply

    def _try(self, ask: Ask, attempts: int) -> tuple[Reply, Exception | None, int]:
        """(reply, what went wrong, calls made). Where something did, the reply's status is
        "error"."""
        fault = None
        for attempt in range(1, attempts + 1):
            offer = self.offer
            if isinstance(fault, TryAgain):
                pause = (
                    FIRST_PAUSE * 2 ** (attempt - 2) * random.uniform(0.5, 1.0)
                )  # jitter: not all at once again
                time.sleep(min(max(pause, fault.pause), LONGEST_PAUSE))
            try:
                reply = self._read(self._call(ask), ask, attempt)
                if reply.status in WITH_WORDS:
                    self.last_good = time.monotonic()
                return (
                    reply,
                    Refused(odd_finish(reply)) if reply.status == "error" else None,
                    attempt,
                )
            except NoRoom:
                return Reply("", "context", call={"attempts": attempt}), None, attempt
            except TryAgain as another:
                fault = another
                if isinstance(fault, Unusable):
                    ask = replace(ask, seed=ask.seed + 1)
            except (
                httpx.RequestError
            ) as lost:  # no connection, none in time, one that broke off, not to be decoded
                fault = TryAgain(f"{type(lost).__name__} {lost}".strip())
            except Refused as refusal:
                fault = refusal
                if self._offer_less(offer, refusal):
                    continue
                break
            if not (self.answered or self.warned):
                self.warned = True
                self._warn(f"no reply yet, trying on: {fault}")
        return Reply("", "error", call={"attempts": attempt}), fault, attempt

    def _offer_less(self, offer: int, refusal: Refused) -> bool:
        """Go on to the next set of `offers`, unless there is none or good replies show that this
        one is taken."""
        if (
            refusal.fields
            and offer == self.offer
            and not self.answered
            and offer + 1 < len(self.offers)
        ):
            self.offer = offer + 1
            self._warn(f"asks with fewer fields now: {refusal}")
        return refusal.fields and offer < self.offer

    def body(self, ask: Ask) -> dict:
        """The request, in the server's dialect."""
        body = {"model": self.model, "messages": ask.messages}
        limit = "max_completion_tokens" if self.thinks else self.dialect.max_tokens
        body[limit] = self.sampling.max_new_tokens + self.room_to_think
        if not self.thinks:
            body |= {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        if self.dialect.seed:
            body[self.dialect.seed] = ask.seed % 2**31
        return body | self.offers[self.offer]

    def _call(self, ask: Ask) -> dict:
        """One call: the parsed answer, or TryAgain, Refused, an httpx error."""
        answer = self.client.post(self.url, json=self.body(ask))
        code = answer.status_code
        if code == 200:
            try:
                data = answer.json()
                good = isinstance(data["choices"][0]["message"], dict) and isinstance(
                    data.get("usage") or {}, dict
                )
            except (ValueError, LookupError, TypeError, AttributeError):
                good = False
            if not good:
                raise TryAgain(f"HTTP 200 with no chat completion: {self._short(answer.text)}")
            return data
        what = f"HTTP {code}: {self._short(answer.text)}"
        if code == 429 and "insufficient_quota" in answer.text:
            raise Refused(what, final=True)
        if code in TRY_AGAIN or code >= 500:
            raise TryAgain(what, retry_after(answer.headers))
        if code == 413 or (code in NOT_TAKEN and NO_ROOM.search(answer.text)):
            raise NoRoom
        raise Refused(what, final=code in NO_TRY_HELPS, fields=code in NOT_TAKEN)

    def _read(self, data: dict, ask: Ask, attempts: int) -> Reply:
        """A chat completion -> Reply. A finish other than "stop" is a status; a "stop" without
        content is a fault."""
        usage = data.get("usage") or {}
        call = {"model": data.get("model"), "fingerprint": data.get("system_fingerprint")}
        tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        choice = data["choices"][0]
        finish = choice.get("finish_reason")
        call |= {"finish": finish, "usage": usage, "attempts": attempts}
        if finish == "model_length" or self._was_cut(ask, tokens[0]):
            return Reply("", "context", *tokens, call)
        text = choice["message"].get("content")
        if isinstance(text, list):  # of parts, some of them thoughts
            parts = [part for part in text if isinstance(part, dict) and part.get("type") == "text"]
            text = "".join(str(part.get("text", "")) for part in parts)
        text = REASONING.sub("", text).strip() if isinstance(text, str) else ""
        if refusal := choice["message"].get("refusal"):
            call |= {"refusal": self._short(str(refusal))}
        elif finish == "stop" and not text:
            raise Unusable("empty content")
        if text.encode(errors="replace").decode() != text:
            raise Unusable("content with half a surrogate pair")
        if finish not in ("stop", "length") or not text or refusal:
            return Reply("", "error", *tokens, call)
        logprobs = (
            choice["logprobs"].get("content") if isinstance(choice.get("logprobs"), dict) else None
        )
        return Reply(text, "ok" if finish == "stop" else "length", *tokens, call, logprobs)

    def _was_cut(self, ask: Ask, prompt_tokens: int | None) -> bool:
        """Did the server read fewer tokens than the prompt has, measured by the first prompt's
        tokens a letter?"""
        too_short = ask.messages is PROBE.messages  # to measure by
        if too_short or not self.dialect.cuts_prompts or not prompt_tokens:
            return False
        rate = prompt_tokens / sum(len(message["content"]) for message in ask.messages)
        self.tokens_a_letter = self.tokens_a_letter or rate
        return rate < max(CUT * self.tokens_a_letter, LEAST)

    def _warn(self, what: str) -> None:
        tqdm.write(f"warning: {self.name}: {self._without_key(what)}", file=sys.stderr)

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text

    def _short(self, text: str) -> str:
        """The first 200 characters of a server's answer, on one line, without the key."""
        return " ".join(self._without_key(text).split())[:200]


def odd_finish(reply: Reply) -> str:
    """What became of a reply without words."""
    if refusal := reply.call.get("refusal"):
        return f"refused: {refusal}"
    finish = reply.call["finish"]
    thought = (
        "; if it thinks before it answers, give it --room-to-think" if finish == "length" else ""
    )
    return f"finish_reason {finish} and no words to use{thought}"
