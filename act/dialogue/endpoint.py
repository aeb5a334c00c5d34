"""A model behind an OpenAI-compatible endpoint as a ChatModel: NAME@URL, over httpx.

Every fault ends in one of three ways: a right reply after another try; a typed status ("length",
"context", "error"), where the fault is this prompt's; or one line that stops the run, where no
reply can come at all (a wrong key or name, a spent quota, a server that is down).
"""

import random
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

import httpx
from tqdm import tqdm

from act.dialogue import wire
from act.dialogue.chat import Ask, ChatModel, Reply
from act.dialogue.wire import Fault
from act.model.sampler import Sampling
from act.records import WITH_WORDS, InputError

ATTEMPTS = 8
PROBES = 3  # tries of a prompt that any model can answer
PROBE = Ask("probe", [{"role": "user", "content": "Say OK."}], 0)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds; a pause doubles from try to try
CONNECT = 10.0  # seconds for a connection
SHOWN = 200  # letters of what a server says

# OpenAI's models that think first, wherever they are served; they refuse temperature and top_p
THINKS = re.compile(r"gpt-5|o\d")
ROOM_TO_THINK = 2048  # tokens such a model may spend before its answer, at least

# a prompt was cut where less than 0.7 of its tokens were read, or less than a token in 8 letters
CUT, LEAST = 0.7, 1 / 8


class Endpoint(ChatModel):
    """A served model. `concurrency` calls at most are under way at a time; silent for `timeout`
    seconds, one is lost.

    `room`: tokens it may spend on thoughts, beside `max_new_tokens`. `offers`, set by
    served.py: fields that a request may have beside the usual ones, best first. A server that
    refuses one set (HTTP 400 or 422) before any good reply is asked with the next.
    """

    remote = True

    def __init__(
        self, spec: str, sampling: Sampling, concurrency: int, timeout: float, room: int = 0
    ):
        self.name, self.sampling = spec, sampling
        self.model, address = wire.read_address(spec)
        self.url = f"{str(address).rstrip('/')}/chat/completions"
        self.dialect = wire.find_dialect(address)
        self.key = wire.read_key(self.dialect.key)
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT)),
            limits=httpx.Limits(),  # none: the threads are the limit
        )
        self.thinks = bool(THINKS.match(self.model.rpartition("/")[2]))  # MODEL, or VENDOR/MODEL
        self.room = room
        if self.thinks:
            self.room = max(room, ROOM_TO_THINK)
            self.sampling = Sampling(None, None, sampling.max_new_tokens)
        self.offers, self.offer = [{}], 0
        self.warned = False  # was it said that there is no reply yet?
        self.last_good = 0.0  # time of the last good reply, 0 before the first
        self.tokens_a_letter = 0.0  # of the first prompt: what later ones are compared with
        self.busy, self.concurrency = 0, concurrency
        self.threads: list[threading.Thread] = []  # as many as have been needed
        self.asked: SimpleQueue[Ask | None] = SimpleQueue()
        self.done: SimpleQueue[tuple[str, Reply | Exception]] = SimpleQueue()
        self.stopped: Exception | None = None  # raised by the next step, behind the replies in hand

    def start(self, asks: list[Ask]) -> None:
        """Queue replies for the threads: as many as asks, `concurrency` at most."""
        self.busy += len(asks)
        for ask in asks:
            self.asked.put(ask)
            if len(self.threads) < self.concurrency:
                self.threads.append(threading.Thread(target=self._work, daemon=True))
                self.threads[-1].start()

    def step(self, wait: float) -> list[tuple[str, Reply]]:
        """The replies that are in; waits for a first one. Raises InputError where no try helps."""
        replies = []
        with suppress(Empty):
            while self.busy and not self.stopped:
                key, reply = self.done.get(timeout=0 if replies else wait)
                if isinstance(reply, Exception):
                    self.stopped = reply  # still busy: who waits for it must come back to hear it
                else:
                    self.busy -= 1
                    replies.append((key, reply))
        if self.stopped and not replies:
            raise self.stopped
        return replies

    def close(self) -> None:
        """End its threads and connections; nothing may be under way."""
        for _ in self.threads:
            self.asked.put(None)
        for thread in self.threads:
            thread.join()
        self.client.close()

    def _work(self) -> None:
        """One thread: asks in, replies out, until None comes."""
        while ask := self.asked.get():
            try:
                reply = self.reply(ask)
            except Exception as error:  # whatever it is, the main thread must hear of it
                reply = error
            self.done.put((ask.key, reply))

    def reply(self, ask: Ask) -> Reply:
        """One reply, after at most ATTEMPTS calls. A prompt that has none is told from a server
        that gives none."""
        began = time.monotonic()
        reply, fault = self._try(ask, ATTEMPTS)
        if fault is None:
            return reply
        # has nobody had a good reply since? Then this prompt may not be the reason: ask another
        if fault.mend != "nothing" and self.last_good < began:
            self._try(PROBE, PROBES)
        tries = reply.call["attempts"]
        after = f"{tries} {'try' if tries == 1 else 'tries'}: {fault}"
        if fault.mend == "nothing" or self.last_good < began:
            raise InputError(f"{self.name}: no reply in {self._shown(after)}")
        self._warn(f"a turn is lost after {after}")
        return reply

    def _try(self, ask: Ask, attempts: int) -> tuple[Reply, Fault | None]:
        """(reply, what went wrong). Where something did, the reply's status is "error"."""
        for attempt in range(1, attempts + 1):
            offer = self.offer
            try:
                return self._call(ask, attempt)
            except Fault as met:
                fault = met
            except httpx.RequestError as lost:  # no connection, or late, or broken off, or garbled
                fault = Fault(f"{type(lost).__name__} {lost}".strip(), "time")
            # 1. faults that no pause mends
            if fault.mend == "room":
                return Reply("", "context", call={"attempts": attempt}), None
            if fault.mend == "fields" and self._offer_less(offer, fault):
                continue  # at once, with what is offered now
            if fault.mend not in ("time", "seed"):
                break
            # 2. the others: once more, after a pause
            if not (self.last_good or self.warned):
                self.warned = True
                self._warn(f"no reply yet, trying on: {fault}")
            if fault.mend == "seed":
                ask = replace(ask, seed=ask.seed + 1)
            if attempt < attempts:
                # with jitter: not all at once again
                pause = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                time.sleep(min(max(pause, fault.pause), LONGEST_PAUSE))
        return Reply("", "error", call={"attempts": attempt}), fault

    def _offer_less(self, offer: int, fault: Fault) -> bool:
        """Go on to the next set of `offers`, unless good replies show that this one is taken.
        Says whether this thread, or another, has gone on from `offer`."""
        more = offer == self.offer < len(self.offers) - 1
        if more and not self.last_good:
            self.offer = offer + 1
            self._warn(f"asks with fewer fields now: {fault}")
        return offer < self.offer

    def _call(self, ask: Ask, attempt: int) -> tuple[Reply, Fault | None]:
        """One call. A reply without words comes with a fault; another fault is raised."""
        data = wire.read_answer(self.client.post(self.url, json=self.body(ask)))
        reply = wire.read_completion(data, attempt, self._was_cut(ask, data))
        call, fault = reply.call, None
        if "refusal" in call:
            call["refusal"] = self._shown(call["refusal"])
        if reply.status in WITH_WORDS:
            self.last_good = time.monotonic()
        elif reply.status == "error":
            why = f"finish_reason {call['finish']} and no words to use"
            if call["finish"] == "length":
                why += "; if it thinks before it answers, give it --room-to-think"
            fault = Fault(f"refused: {call['refusal']}" if call.get("refusal") else why, "prompt")
        return reply, fault

    def body(self, ask: Ask) -> dict:
        """The request, in the server's dialect."""
        body = {"model": self.model, "messages": ask.messages}
        limit = "max_completion_tokens" if self.thinks else self.dialect.max_tokens
        body[limit] = self.sampling.max_new_tokens + self.room
        if not self.thinks:
            body |= {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        if self.dialect.seed:
            body[self.dialect.seed] = ask.seed % 2**31  # some servers take 32 bits
        return body | self.offers[self.offer]

    def _was_cut(self, ask: Ask, data: dict) -> bool:
        """Did the server read less than the prompt, by the first one's tokens a letter?"""
        prompt_tokens = (data.get("usage") or {}).get("prompt_tokens")
        too_short = ask.messages is PROBE.messages  # to measure by
        if too_short or not self.dialect.cuts_prompts or not prompt_tokens:
            return False
        rate = prompt_tokens / sum(len(message["content"]) for message in ask.messages)
        self.tokens_a_letter = self.tokens_a_letter or rate
        return rate < max(CUT * self.tokens_a_letter, LEAST)

    def _warn(self, what: str) -> None:
        tqdm.write(f"warning: {self.name}: {self._shown(what)}", file=sys.stderr)

    def _shown(self, text: str) -> str:
        """On one line, without the key, and cut only then: no part of a key is left."""
        text = text.replace(self.key, "***") if self.key else text
        return " ".join(text.split())[:SHOWN]
