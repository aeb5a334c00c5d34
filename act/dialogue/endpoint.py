"""A model behind an OpenAI-compatible endpoint as a ChatModel: NAME@URL, over httpx.

Every fault ends in one of four ways: a right reply after another try; a typed status ("length",
"context", "refused", "error"), where the fault is this prompt's or the model's; "lost", where it is
the server's, and the same command asks again; or one line that stops the run, where no reply can
come at all (a wrong key or name, a spent quota, a server that is down).
"""

import asyncio
import random
import re
import sys
import threading
import time
from argparse import Namespace
from contextlib import suppress
from dataclasses import replace
from functools import cache
from queue import Empty, SimpleQueue

import httpx
from tqdm import tqdm

from act.dialogue import probe, wire
from act.dialogue.chat import Ask, ChatModel, Reply
from act.dialogue.pace import pace_of
from act.dialogue.wire import Fault
from act.model.sampler import Sampling
from act.model.templates import fold_system
from act.records import WITH_WORDS, InputError

ATTEMPTS = 8
PROBES = 3  # tries of a prompt that any model can answer
PROBE = Ask("probe", probe.QUESTION, 0)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds; a pause doubles from try to try
CONNECT = 9.0  # seconds for a connection
PATIENCE = 3600.0  # seconds in which a reply is refused for the pace alone
LONGEST_ANSWER = 2**26  # bytes: what a server sends on and on does not fill the memory
LEAST_KEY = 12  # letters; a shorter one is a placeholder, as "EMPTY", and may be a word
STATUSES = {"room": "context", "refused": "refused", "time": "lost", "pace": "lost"}  # by mend

# OpenAI's models that think first, wherever they are served
THINKS = re.compile(r"gpt-5|o\d")
ROOM_TO_THINK = 2048  # tokens such a model may spend before its answer, at least

A_LETTER = 1 / 4  # tokens, until a reply has told how many a prompt had
# a prompt was cut where less than 0.7 of its tokens were read, or less than a token in 8 letters
CUT, LEAST = 0.7, 1 / 8


class Endpoint(ChatModel):
    """A served model. `concurrency` calls at most are under way at a time; a reply that is not
    whole after `timeout` seconds is lost.

    `room`: tokens it may spend on thoughts, beside `max_new_tokens`. `fields`: what else a request
    holds; one that is None is left out. `options`: the ways to ask (probe.py), of which `taken` are
    in use; `served`: those of them that are not the best, None until the server was asked.
    """

    remote = True

    def __init__(
        self,
        spec: str,
        sampling: Sampling,
        concurrency: int,
        timeout: float,
        room: int = 0,
        fields: dict | None = None,
    ):
        self.name, self.sampling, self.fields = spec, sampling, fields or {}
        self.model, self.address = wire.read_address(spec)
        path = f"{self.address.path.rstrip('/')}/chat/completions"
        self.url = self.address.copy_with(path=path)
        variable = wire.key_variable(self.address)
        self.key, self.timeout = wire.read_key(variable), timeout
        self.cuts_prompts = variable == "OLLAMA_API_KEY"  # silently, beyond its context
        thinks = THINKS.match(self.model.rpartition("/")[2])  # MODEL, or VENDOR/MODEL
        self.room = max(room, ROOM_TO_THINK) if thinks else room
        self.options = probe.options(sampling, sampling.max_new_tokens + self.room)
        self.taken: probe.Taken = {}
        self.pace = pace_of(f"{self.address.scheme}://{self.address.netloc.decode()}")
        self.shown = ""  # what the bar says of the pace
        self.warned = False  # was it said that there is no reply yet?
        self.last_good = 0.0  # time of the last good reply, 0 before the first
        self.tokens_a_letter = 0.0  # of the first prompt: what later ones are compared with
        # calls are made on a loop of their own, and their replies queue up for `step`
        self.client, self.loop = self._open_client(), _open_loop()
        self.free = asyncio.Semaphore(concurrency)
        self.busy = 0
        self.done: SimpleQueue[tuple[str, Reply | Exception]] = SimpleQueue()
        self.stopped: Exception | None = None  # raised by the next step, behind the replies in hand

    def _open_client(self) -> httpx.AsyncClient:
        """Connections with the key. Raises InputError for a proxy that httpx cannot use."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if self.key and wire.VERSION in self.address.params:
            headers = {"api-key": self.key}
        host = self.address.host
        is_here = host in ("localhost", "::1") or host.startswith("127.")
        try:
            return httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(None, connect=CONNECT),  # the rest: see _send
                limits=httpx.Limits(),  # none: `free` is the limit
                trust_env=not is_here,  # no proxy to one's own machine
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            said = str(error).partition(". ")[0]
            cure = "http://HOST:PORT is read; set it so, or unset it"
            raise InputError(f"HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: {said}; {cure}") from None

    def settle(self) -> "Endpoint":
        """Learn what the server takes; what it does not take is said, a line each. Raises
        InputError where it gives no reply."""
        best = probe.best(self.options)
        try:
            self.taken, refused = probe.settle(self.options, self._ask_with)
        except Fault as fault:
            raise self._stop(f"it refuses any request: {fault}", fault) from None
        for name, fault in refused.items():
            self._warn(f"asks with {name}: {self.taken[name]}, since {fault}")
        self.served = {name: way for name, way in self.taken.items() if way != best[name]}
        return self

    def _ask_with(self, taken: probe.Taken) -> Fault | None:
        """The refusal of a request of this shape, or None. Raises InputError for other faults."""
        self.taken = taken
        probing = asyncio.run_coroutine_threadsafe(self._try(PROBE, ATTEMPTS), self.loop)
        reply, fault = probing.result()
        if fault is None or fault.mend in ("seed", "words"):  # an answer, if not one to use
            return None
        if fault.code in probe.REFUSALS:
            return fault
        raise self._stop(f"no reply in {_tries(reply)}: {fault}", fault)

    def start(self, asks: list[Ask]) -> None:
        """Begin replies; those beyond `concurrency` wait for their turn."""
        self.busy += len(asks)
        for ask in asks:
            asyncio.run_coroutine_threadsafe(self._answer(ask), self.loop)

    def step(self, wait: float) -> list[tuple[str, Reply]]:
        """The replies that are in; waits for a first one. Raises InputError where no try helps."""
        if self.bar is not None and self.shown != self.pace.said:
            self.shown = self.pace.said
            self.bar.set_postfix_str(self.shown)
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

    async def _answer(self, ask: Ask) -> None:
        """The reply, or what stops the run, for `step`."""
        try:
            async with self.free:
                reply = await self._reply(ask)
        except Exception as error:  # whatever it is, the main thread must hear of it
            reply = error
        self.done.put((ask.key, reply))

    async def _reply(self, ask: Ask) -> Reply:
        """One reply, after at most ATTEMPTS calls. A prompt that has none is told from a server
        that gives none."""
        began = time.monotonic()
        reply, fault = await self._try(ask, ATTEMPTS)
        if fault is None:
            return reply
        # has nobody had a good reply since? Then this prompt may not be the reason: ask another
        if fault.mend not in ("nothing", "pace") and self.last_good < began:
            await self._try(PROBE, PROBES)
        after = f"{_tries(reply)}: {fault}"
        if fault.mend == "nothing" or self.last_good < began:
            raise self._stop(f"no reply in {after}", fault)
        self._warn(f"no reply for one prompt after {after}")
        return reply

    async def _try(self, ask: Ask, attempts: int) -> tuple[Reply, Fault | None]:
        """(reply, what went wrong). Where something did, the reply has no words: its status is
        "lost" if the server is at fault, else "error"."""
        probing = ask is PROBE
        for attempt in range(1, attempts + 1):
            try:
                return await self._call(ask, attempt), None
            except Fault as met:
                fault = met
            # 1. faults that no pause mends
            refused = fault.code in probe.REFUSALS and attempt == PROBES
            if fault.mend not in ("time", "seed") or attempt == attempts:
                break
            if probing and (refused or fault.mend == "seed"):
                break
            # 2. the others: once more, after a pause, with jitter: not all at once again
            self._say_once(fault)
            if fault.mend == "seed":
                ask = replace(ask, seed=ask.seed + 1)
            pause = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            await asyncio.sleep(min(max(pause, fault.pause), LONGEST_PAUSE))
        call = {"attempts": attempt}
        if fault.mend == "refused":
            call["refusal"] = self._shown(str(fault))
        reply = fault.reply or Reply("", STATUSES.get(fault.mend, "error"), call=call)
        return reply, None if fault.mend == "room" else fault

    async def _call(self, ask: Ask, attempt: int) -> Reply:
        """One call. Raises Fault where it gives no words; but for a full context, a reply without
        any. Where the server wants to be asked more slowly it is, by everybody: that is no failed
        try."""
        letters = sum(len(message["content"]) for message in ask.messages)
        tokens = letters * (self.tokens_a_letter or A_LETTER)
        first = time.monotonic()
        while True:
            began = await self.pace.turn()
            try:
                data = wire.read_answer(*await self._send(self.body(ask)), tokens)
                break
            except Fault as fault:
                if fault.mend != "pace" or began - first > PATIENCE:
                    raise
                self.pace.too_fast(began, fault.pause)
                self._say_once(fault)
        self.pace.reply_came()
        reply = wire.read_completion(data, attempt, self._was_cut(ask, data))
        if reply.status in WITH_WORDS:
            self.last_good = time.monotonic()
        return reply

    async def _send(self, body: dict) -> tuple[int, httpx.Headers, bytes]:
        """(HTTP status, headers, all bytes). Raises Fault where they do not come, are late or too
        many."""
        raw = bytearray()
        try:
            async with (
                asyncio.timeout(self.timeout),  # of the whole call, however it drips
                self.client.stream("POST", self.url, json=body) as answer,
            ):
                self.pace.answered = True
                async for piece in answer.aiter_bytes():
                    raw += piece
                    if len(raw) > LONGEST_ANSWER:
                        raise Fault(f"an answer of more than {LONGEST_ANSWER} bytes", "time")
        except TimeoutError:
            raise Fault(f"no whole reply in {self.timeout} s (--timeout)", "time") from None
        except httpx.RequestError as error:  # no connection, or broken off, or garbled
            said = f"{type(error).__name__} {error}".strip()
            unmade = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if unmade and not self.pace.answered:
                cure = "nothing answers there; start the server, or correct the address"
                raise Fault(f"{said}: {cure}", "nothing") from None
            raise Fault(said, "time") from None
        if len(self.key) >= LEAST_KEY:  # what it echoes of the key is stored nowhere
            raw = raw.replace(self.key.encode(), b"***")
        return answer.status_code, answer.headers, bytes(raw)

    def body(self, ask: Ask) -> dict:
        """The request, as the server takes it."""
        taken = probe.best(self.options) | self.taken
        folded = taken["system"] == probe.FOLDED
        messages = fold_system(ask.messages) if folded else ask.messages
        body = {"model": self.model, "messages": messages}
        for name, ways in self.options.items():
            for field, value in ways[taken[name]].items():
                # some servers take seeds of 32 bits
                body[field] = ask.seed % 2**31 if value is probe.SEED else value
        body |= self.fields
        return {field: value for field, value in body.items() if value is not None}

    def _was_cut(self, ask: Ask, data: dict) -> bool:
        """Did the server read less than the prompt, by the first one's tokens a letter?"""
        prompt_tokens = (data.get("usage") or {}).get("prompt_tokens")
        too_short = ask.messages is PROBE.messages  # to measure by
        if too_short or type(prompt_tokens) is not int or not prompt_tokens:
            return False
        rate = prompt_tokens / sum(len(message["content"]) for message in ask.messages)
        self.tokens_a_letter = self.tokens_a_letter or rate
        return self.cuts_prompts and rate < max(CUT * self.tokens_a_letter, LEAST)

    def _stop(self, what: str, fault: Fault) -> InputError:
        """What ends the run."""
        hint = ""
        if fault.code in (404, 405) and self.address.path.strip("/") == "":
            hint = f"; most servers' addresses end in /v1: {self.model}@{self.address.join('/v1')}"
        return InputError(f"{self.name}: {self._shown(what)}{hint}")

    def _say_once(self, fault: Fault) -> None:
        """Why there is no reply yet, before the first one: a probe has no bar."""
        if not (self.last_good or self.warned):
            self.warned = True
            self._warn(f"no reply yet, trying on: {fault}")

    def _warn(self, what: str) -> None:
        tqdm.write(f"warning: {self.name}: {self._shown(what)}", file=sys.stderr)

    def _shown(self, text: str) -> str:
        """On one line, without the key, and cut only then: no part of a key is left."""
        text = text.replace(self.key, "***") if self.key else text
        return wire.one_line(text)


@cache
def _open_loop() -> asyncio.AbstractEventLoop:
    """The loop of all requests: unlike a thread's, any wait on it can be ended."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _tries(reply: Reply) -> str:
    tries = reply.call["attempts"]
    return f"{tries} {'try' if tries == 1 else 'tries'}"


def open_endpoint(spec: str, sampling: Sampling, args: Namespace) -> Endpoint:
    """The endpoint that a MODEL argument names, with the flags of act/cli.py. It is not asked yet
    what it takes."""
    how = args.concurrency, args.timeout, args.room_to_think, args.fields
    return Endpoint(spec, sampling, *how)
