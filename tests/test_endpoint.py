"""Models behind an endpoint, against a real HTTP server with each dialect's quirks and faults."""

import asyncio
import gzip
import json
import math
import re
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from act.dialogue import endpoint, pace, wire
from act.dialogue.chat import Ask, hold_talks
from act.dialogue.endpoint import Endpoint
from act.dialogue.profiles import make_profiles
from act.dialogue.wire import key_variable, retry_after
from act.model.sampler import Sampling
from act.records import InputError
from tests import fake_server
from tests.fake_server import HANG, LOADING, QUOTA, Fault, completion, serving, status
from tests.replies import answer_all
from tests.tiny import pair_row, write_rows

KEY = "sk-test-5f2b9c"
TALK = [{"role": "system", "content": "You listen."}, {"role": "user", "content": "It hurts."}]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    for module in (endpoint, pace):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.002)
    monkeypatch.setenv("ACT_API_KEY", KEY)
    for name in ("OPENAI_API_KEY", "MISTRAL_API_KEY", "DEEPSEEK_API_KEY", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def open_at(fake, name="m", timeout=1.0, concurrency=4):
    return Endpoint(f"{name}@{fake.url}", Sampling(0.8, 0.9, 64), concurrency, timeout)


def ask(key="a", messages=TALK, seed=2**62 + 5):
    return Ask(key, messages, seed)


def as_dialect(monkeypatch, name, fake):
    """Make the fake server's port one that tells a dialect."""
    monkeypatch.setitem(wire.KEYS, f":{fake.port}", f"{name.upper()}_API_KEY")


def test_a_reply_keeps_text_tokens_and_what_the_server_returned():
    with serving(lambda body, n: " What is here now? ") as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert (reply.text, reply.status) == ("What is here now?", "ok")
    assert (reply.prompt_tokens, reply.response_tokens) == (11, 5)
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    told = {"model": "fake-2026-11", "fingerprint": "fp_1", "finish": "stop"}
    assert reply.call == told | {"usage": usage, "attempts": 1}
    (request,) = fake.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    body = {"model": "m", "messages": TALK, "max_tokens": 64, "temperature": 0.8, "top_p": 0.9}
    assert request["body"] == body | {"seed": (2**62 + 5) % 2**31}


PASSING = {
    "429 with retry-after in seconds": status(429, "slow down", retry_after="0.3"),
    "429 with retry-after as a date": None,  # made when it is sent
    "429 with retry-after-ms": status(429, "slow down", retry_after_ms="300", retry_after="0"),
    "500": status(500, "oops"),
    "502 with an HTML page": status(502, fake_server.HTML),
    "503 while loading": LOADING,
    "408": status(408, ""),
    "409": status(409, ""),
    "hang": HANG,
    "reset": fake_server.RESET,
    "connection cut in the body": fake_server.CUT,
    "cut JSON": fake_server.CUT_JSON,
    "HTML error page with status 200": fake_server.HTML_PAGE,
    "a body that is not what its header says": status(200, "{}", content_encoding="gzip"),
    "no message": {"choices": [{"message": None, "finish_reason": "stop"}]},
    "usage that is a list": completion("never read") | {"usage": [1]},
    "half a surrogate pair": completion("hi \ud83d"),
    "half a surrogate pair elsewhere": completion("hi") | {"model": "\ud83d"},
    "bytes that are no UTF-8": Fault(lambda handler: handler.send(200, b'{"choices": "\xff"}')),
    "a router's error": {"error": {"code": 502, "message": "Provider returned error"}},
    "NaN": status(200, json.dumps(completion("never read") | {"seed": math.nan})),
    "a number without an end": status(200, json.dumps(completion("x"))[:-1] + ', "n": 1e400}'),
    "100,000 nested brackets": status(200, '{"choices": ' + "[" * 100_000),
    "100,000 nested brackets, closed": status(200, "[" * 100_000 + "]" * 100_000),
    "a finish that is a list": completion("never read", ["stop"]),
    "a choice that is a text": {"choices": ["never read"]},
    "finish error": completion("never read", "error"),
    "finish abort": completion("", "abort"),
    "finish insufficient_system_resource": completion("", "insufficient_system_resource"),
    "empty content": completion(""),
    "no content behind eos_token": completion("", "eos_token"),
    "no content before an end token": completion("<|im_end|>\nUser: so", "length"),
    "content null": completion(None),
    "an answer without choices": {"choices": []},
}


@pytest.mark.parametrize("name", PASSING)
def test_trap_14_a_fault_that_passes_ends_as_a_right_reply(name):
    fault = PASSING[name]

    def say(body, n):
        if n > 2:
            return "right"
        return fault or status(429, "", retry_after=fake_server.retry_after_date(2))

    with serving(say) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    # not so fast is no failed try
    assert reply.call["attempts"] == (1 if name.startswith("429") else 3)
    assert (reply.text, reply.status) == ("right", "ok")
    assert len(fake.requests) == 3  # the server's own log: two faults, one reply, nothing more
    waited = fake.requests[1]["time"] - fake.requests[0]["time"]
    if name.startswith("429"):
        assert waited >= (1 if "date" in name else 0.3)  # a date has whole seconds


STAYING = [name for name in PASSING if name != "hang" and not name.startswith("429")]
OF_THE_MODEL = [name for name in STAYING if "content" in name or "half a surrogate" in name]


@pytest.mark.parametrize("name", STAYING)
def test_trap_14_a_fault_that_stays_with_a_prompt_ends_after_bounded_tries(
    name, monkeypatch, capsys
):
    """Eight seeds without words to use are the model's doing, and final; the server's faults are
    not. The run goes on; the error's text is in no reply. One call more shows: it is up."""
    monkeypatch.setattr(endpoint, "LONGEST_PAUSE", 0.01)
    with serving(lambda body, n: PASSING[name] if body["messages"] == TALK else "fine") as fake:
        model = open_at(fake)
        first, second = answer_all(model, [ask("a", TALK[1:])]) + answer_all(model, [ask("b")])
    ends = "error" if name in OF_THE_MODEL else "lost"
    assert (first.status, second.status, second.text) == ("ok", ends, "")
    assert len(fake.requests) + len(fake.probes) == 1 + endpoint.ATTEMPTS + 1
    assert "m@" in (said := capsys.readouterr().err) and "lost" not in said
    assert "no reply for one prompt after 8 tries: " in said


@pytest.mark.parametrize(
    "name", ["500", "503 while loading", "reset", "409", "HTML error page with status 200"]
)
def test_trap_14_a_server_that_goes_down_stops_the_run_and_loses_no_reply(name, monkeypatch):
    """No turn is stored as an error: the replies in hand come first, then one line."""
    monkeypatch.setattr(endpoint, "LONGEST_PAUSE", 0.01)
    fault = PASSING[name]
    with serving(lambda body, n: "fine" if n <= 2 else fault, probed=lambda body, n: fault) as fake:
        model = open_at(fake, concurrency=1)
        model.start([ask(str(i)) for i in range(6)])
        replies = []
        with pytest.raises(InputError, match="no reply in 8 tries"):
            while True:
                replies += model.step(1.0)
    assert [reply.text for _, reply in replies] == ["fine", "fine"]
    assert len(fake.requests) <= 2 + 2 * endpoint.ATTEMPTS
    assert len(fake.probes) <= 2 * endpoint.PROBES


def test_a_reply_that_cannot_be_used_is_asked_for_with_another_seed(monkeypatch):
    with serving(lambda body, n: "" if n < 3 else "right") as fake:
        answer_all(open_at(fake), [ask(seed=5)])
    assert [request["body"]["seed"] for request in fake.requests] == [5, 6, 7]
    with serving(lambda body, n: status(500, "") if n < 3 else "right") as fake:
        answer_all(open_at(fake), [ask(seed=5)])
    assert [request["body"]["seed"] for request in fake.requests] == [5, 5, 5]


def for_talk(answer):
    """A server that answers TALK with `answer` and any other prompt well."""
    return lambda body, n: answer if body["messages"] == TALK else "fine"


ODD = {
    "content_filter": ("refused", "refused: content_filter"),
    "length": ("error", "finish_reason length and no words"),
    "tool_calls": ("error", "finish_reason tool_calls"),
}


@pytest.mark.parametrize("finish", ODD)
def test_trap_16_an_odd_finish_without_words_is_one_call_and_leaves_its_reason(finish, capsys):
    ends, said = ODD[finish]
    with serving(for_talk(completion("", finish))) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert (reply.status, reply.call["finish"]) == (ends, finish)
    assert len(fake.requests) == len(fake.probes) == 1  # one asks if it is up
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("finish", ODD)
def test_a_server_that_fails_every_prompt_stops_the_run(finish):
    """Also behind a full context: only a reply with words shows that it can give one."""
    odd = completion("", finish)
    answers = [completion("x", "model_length"), odd]
    with serving(lambda body, n: answers[n - 1], probed=lambda body, n: odd) as fake:
        model = open_at(fake)
        assert answer_all(model, [ask("a")])[0].status == "context"
        with pytest.raises(InputError, match=f"no reply in 1 try: {ODD[finish][1]}") as stop:
            answer_all(model, [ask("b")])
    assert ("--room-to-think" in str(stop.value)) == (finish == "length")


def test_a_hang_is_given_up_after_the_timeout(monkeypatch):
    monkeypatch.setattr(endpoint, "ATTEMPTS", 2)
    with serving(lambda body, n: HANG if body["messages"] == TALK else "fine") as fake:
        model = open_at(fake, timeout=0.3)
        answer_all(model, [ask("a", TALK[1:])])
        (reply,) = answer_all(model, [ask("b")])
    # the last shows that the server is up
    assert reply.status == "lost" and (len(fake.requests), len(fake.probes)) == (1 + 2, 1)


def drip(first, piece):
    """An answer that comes a piece every 0.1 s, for 4 s."""

    def send(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + first)
        for _ in range(40):
            handler.wfile.write(piece)
            time.sleep(0.1)

    return Fault(send)


GZIP = b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
DRIPS = {
    "headers": drip(b"", b"x-wait: yes\r\n"),
    "body": drip(b"content-length: 9999\r\n\r\n", b" "),
    "a gzip body of nothing": drip(GZIP, b"14\r\n" + gzip.compress(b"") + b"\r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_trap_18_the_timeout_is_of_the_whole_call_however_the_answer_drips(name, monkeypatch):
    """Two tries of 0.5 s each and a pause of 2 ms, where the answer takes 4 s."""
    monkeypatch.setattr(endpoint, "ATTEMPTS", 2)
    with serving(for_talk(DRIPS[name])) as fake:
        model = open_at(fake, timeout=0.5)
        answer_all(model, [ask("a", TALK[1:])])
        began = time.monotonic()
        (reply,) = answer_all(model, [ask("b")])
        took = time.monotonic() - began
    assert reply.status == "lost" and 1.0 <= took < 2.0


FINAL = {
    "a spent quota": (QUOTA, "insufficient_quota"),
    "a wrong key": (
        status(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}),
        "HTTP 401",
    ),
    "an unknown model": (status(404, "model m does not exist"), "model m does not exist"),
    "an unknown field": (
        status(422, {"detail": "extra fields not permitted: seed"}),
        "extra fields not permitted",
    ),
    "no access": (status(403, "your country is not served"), "HTTP 403"),
}


@pytest.mark.parametrize("name", FINAL)
def test_a_fault_that_no_try_can_help_stops_the_run_at_once_and_shows_no_key(name):
    """What a prompt by itself may get, too, is told from a server's own refusal by one prompt
    more."""
    fault, said = FINAL[name]
    wanted = pytest.raises(InputError, match=re.escape(said))
    with serving(lambda body, n: fault, probed=lambda body, n: fault) as fake, wanted as stop:
        answer_all(open_at(fake), [ask()])
    assert len(fake.requests) == 1
    assert len(fake.probes) == (name in ("an unknown field", "no access"))
    assert KEY not in str(stop.value) and "\n" not in str(stop.value)


def test_a_key_that_a_server_echoes_is_in_no_part_of_a_reply():
    said = completion(f"Use {KEY}.", model=f"m for {KEY}", system_fingerprint=KEY)
    said["choices"][0]["finish_reason"] = f"stop {KEY}"
    said["usage"] |= {"billed to": KEY}
    with serving(lambda body, n: said) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert reply.text == "Use ***." and reply.call["fingerprint"] == "***"
    assert KEY not in repr(reply)


def test_a_placeholder_for_a_key_changes_no_reply(monkeypatch):
    monkeypatch.setenv("ACT_API_KEY", "EMPTY")
    with serving(lambda body, n: "It feels EMPTY.") as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert reply.text == "It feels EMPTY."


def test_a_server_that_only_makes_a_probe_wait_is_named_at_once(capsys):
    with serving(
        lambda body, n: "Fine.", probed=lambda body, n: status(429, "slow") if n < 3 else "OK."
    ) as fake:
        open_at(fake).settle()
    assert capsys.readouterr().err.count("no reply yet, trying on: HTTP 429: slow") == 1


@pytest.mark.parametrize("code", [400, 403, 422])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("said", "ends"), [("content policy", "refused"), ("no such thing", "error")]
)
def test_a_refused_prompt_costs_one_turn_wherever_it_stands(code, place, said, ends):
    """First of all, too: else the same command would end there again and again."""
    with serving(for_talk(status(code, said))) as fake:
        model = open_at(fake)
        talks = [TALK if i == place else TALK[1:] for i in range(3)]
        replies = [answer_all(model, [ask("a", talk)])[0].status for talk in talks]
    assert replies == [ends if i == place else "ok" for i in range(3)]
    assert (len(fake.requests), len(fake.probes)) == (3, 1)


def test_a_busy_server_is_asked_again_whether_it_is_up():
    answers = [LOADING, status(429, ""), LOADING, "fine"]
    with serving(lambda body, n: status(400, "no"), probed=lambda body, n: answers[n - 1]) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert reply.status == "error"
    assert (len(fake.requests), len(fake.probes)) == (1, endpoint.PROBES + 1)  # a 429 is no try


def test_a_quota_spent_in_the_middle_stops_the_run():
    with serving(lambda body, n: "fine" if n <= 2 else QUOTA) as fake:
        model = open_at(fake)
        assert [answer_all(model, [ask(key)])[0].status for key in "ab"] == ["ok", "ok"]
        with pytest.raises(InputError, match="insufficient_quota"):
            answer_all(model, [ask("c")])
    assert len(fake.requests) == 3


class Counted:
    """Talks handed out one by one; who comes back for more without end goes round without waiting
    for anything."""

    def __init__(self, talks):
        self.talks, self.asked = list(talks), 0

    def __iter__(self):
        return self

    def __next__(self):
        self.asked += 1
        assert self.asked < 1000, "goes round and round"
        if not self.talks:
            raise StopIteration
        return self.talks.pop(0)


def test_a_fatal_error_that_comes_in_together_with_a_reply_stops_the_run():
    """Of two talks one is over with its reply; the other waits for the one that will not come."""
    heard = []

    class Late(Endpoint):
        def step(self, wait):
            while self.done.qsize() < 2 and not self.stopped:
                time.sleep(0.01)
            return super().step(wait)

    def talk(key):
        heard.append((yield model, ask(key)))

    with serving(lambda body, n: "fine" if n == 1 else QUOTA) as fake:
        model = Late(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 1, 1.0)
        with pytest.raises(InputError, match="insufficient_quota"):
            hold_talks(Counted(map(talk, "ab")), 3)
    assert [reply.text for reply in heard] == ["fine"]


def test_nobody_there_is_said_at_once_and_stops_the_run(monkeypatch, capsys):
    """One try, where eight of them pause for half a minute at least: .5 (1 + 2 + ... + 64) / 2."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.5)
    with serving(lambda body, n: "x") as fake:
        pass
    cure = "nothing answers there; start the server, or correct the address"
    wanted = f"^m@{fake.url}: no reply in 1 try: ConnectError .*: {cure}$"
    for first in (Endpoint.settle, lambda model: answer_all(model, [ask()])):
        began = time.monotonic()
        with pytest.raises(InputError, match=wanted):
            first(open_at(fake))
        assert time.monotonic() - began < 10
    assert capsys.readouterr().err == ""


def test_a_server_that_has_answered_before_is_waited_for(monkeypatch, capsys):
    """It answers, if only that it is not ready; then it is gone for three tries, and back."""
    with serving(lambda body, n: LOADING if n == 1 else "right") as fake:
        send, calls = Endpoint._send, []

        async def away(model, body):
            calls.append(model.url)
            lost = model.url.copy_with(port=1) if 2 <= len(calls) <= 4 else calls[0]
            monkeypatch.setattr(model, "url", lost)
            return await send(model, body)

        monkeypatch.setattr(Endpoint, "_send", away)
        (reply,) = answer_all(open_at(fake), [ask()])
    assert (reply.text, reply.call["attempts"], len(calls)) == ("right", 5, 5)
    assert capsys.readouterr().err.count("no reply yet, trying on: HTTP 503") == 1


@pytest.mark.parametrize(
    ("finish", "content", "ends"),
    [
        ("length", "cut o", ("length", "cut o")),
        ("MAX_TOKENS", "cut o", ("length", "cut o")),
        ("eos_token", "x", ("ok", "x")),
        ("STOP", "x", ("ok", "x")),
        ("end_turn", "x", ("ok", "x")),
        ("stop_sequence", "x", ("ok", "x")),
        ("stop:<|im_end|>", "x", ("ok", "x")),
        ("", "x", ("ok", "x")),
        (None, "x", ("ok", "x")),
        ("content_filter", "I can", ("refused", "")),
        ("refusal", "I can", ("refused", "")),
        ("SAFETY", "I can", ("refused", "")),
        ("tool_calls", "x", ("error", "")),
        ("model_length", "x", ("context", "")),
        ("model_context_window_exceeded", "x", ("context", "")),
    ],
)
def test_trap_16_a_finish_other_than_stop_is_a_status(finish, content, ends):
    with serving(for_talk(completion(content, finish))) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert (reply.status, reply.text) == ends and len(fake.requests) == 1
    assert len(fake.probes) == (ends[0] in ("error", "refused"))


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "This model's maximum context length is 8192"}},
        {"error": {"code": "context_length_exceeded", "message": "No."}},
        {"message": "Prompt contains 9000 tokens, too large: too many tokens"},
        {"error": {"message": "the request exceeds the available context size", "type": "x"}},
        {"error": {"message": "No.", "type": "exceed_context_size_error"}},
    ],
)
def test_trap_19_a_prompt_too_long_for_the_server_has_status_context(said):
    with serving(lambda body, n: status(400, said)) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert (reply.status, reply.text) == ("context", "") and len(fake.requests) == 1


@pytest.mark.parametrize(
    ("name", "room", "limit"),
    [
        *(("qwen3-8b", 900, 964), ("o3", 900, 2112), ("o3", 5000, 5064)),
        *(("gpt-5-mini", 0, 2112), ("openai/gpt-5-mini", 0, 2112), ("gpt-4.1", 900, 964)),
    ],
)
def test_a_model_that_thinks_gets_room_for_it(name, room, limit):
    """Its thoughts take all of the tokens that were meant for the answer, unless there are more."""

    def say(body, n):
        tokens = body["max_tokens"]
        return f"<think>Hm.</think>{tokens}" if tokens > 64 else completion("<think>Hm", "length")

    with serving(say, probed=say) as fake:
        model = Endpoint(f"{name}@{fake.url}", Sampling(0.8, 0.9, 64), 1, 1.0, room)
        assert answer_all(model, [ask()])[0].text == str(limit)
        with pytest.raises(InputError, match="--room-to-think"):
            answer_all(open_at(fake, name="qwen3-8b"), [ask()])


def test_content_in_parts_is_joined_without_the_thoughts():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, "odd"]
    parts += [{"type": "text", "text": "What hurts"}, {"type": "text", "text": " most?"}]
    with serving(lambda body, n: completion(parts)) as fake:
        assert answer_all(open_at(fake), [ask()])[0].text == "What hurts most?"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7.5"}, 7.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "in a while"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359"}, 0),
        ({}, 0),
    ],
)
def test_trap_14_how_long_a_server_asks_to_wait(headers, seconds):
    assert retry_after(httpx.Headers(headers)) == seconds


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_trap_14_a_date_without_a_place_is_utc(zone, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    when = datetime.now(UTC) + timedelta(seconds=100)
    date = when.strftime(f"%a, %d %b %Y %H:%M:%S {zone}")
    assert 97 < retry_after(httpx.Headers({"retry-after": date})) <= 100


@pytest.mark.parametrize("code", [503, 429])
def test_trap_14_a_server_that_asks_for_an_hour_gets_a_minute_at_most(code, monkeypatch):
    """By a clock that goes on by the seconds slept, on a loop that no other test's calls are on."""
    now, slept, asleep = [1000.0], [], asyncio.sleep
    endpoint._open_loop.cache_clear()

    async def sleep(seconds):
        if asyncio.get_running_loop() is not endpoint._open_loop():
            return await asleep(seconds)
        slept.append(seconds)
        now[0] += seconds

    for module in (endpoint, pace):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    answers = [status(code, "", retry_after="3600"), status(code, "", retry_after="20"), "right"]
    with serving(lambda body, n: answers[n - 1]) as fake:
        answer_all(open_at(fake), [ask()])
    assert slept == [60, 20]


def test_trap_15_a_prompt_that_was_cut_silently_is_found(monkeypatch):
    """Ollama with a context of 40 tokens, at 5 letters a token: the third prompt of 60 tokens is
    read as 40."""

    def ollama(body, n):
        letters = sum(len(message["content"]) for message in body["messages"])
        return completion("fine", prompt_tokens=min(letters // 5, 40))

    with serving(ollama) as fake:
        as_dialect(monkeypatch, "ollama", fake)
        model = open_at(fake)
        talks = [[{"role": "user", "content": "x" * 5 * n}] for n in (20, 40, 60)]
        replies = [answer_all(model, [ask("a", talk)])[0].status for talk in talks]
    assert replies == ["ok", "ok", "context"]


def test_trap_15_the_prompt_that_asks_whether_a_server_is_up_is_no_measure(monkeypatch):
    """It has 7 letters and, with what the template puts around it, 30 tokens: all others would seem
    cut."""

    def ollama(body, n):
        refused = status(400, "not this one") if n == 1 and len(body["messages"]) == 1 else None
        letters = sum(len(message["content"]) for message in body["messages"])
        return refused or completion("fine", prompt_tokens=25 + letters // 5)

    with serving(ollama, probed=ollama) as fake:
        as_dialect(monkeypatch, "ollama", fake)
        model = open_at(fake)
        talk = [{"role": "user", "content": "x" * 500}]
        assert [answer_all(model, [ask("a", talk)])[0].status for _ in range(2)] == ["error", "ok"]
    assert (len(fake.requests), len(fake.probes)) == (2, 1)


HARMONY = "<|channel|>analysis<|message|>He is sad.<|end|><|start|>assistant<|channel|>final"
THOUGHTS = [
    "<think>He is sad.\nI should ask.</think>\n\n",
    "He is sad.</think>",  # some templates open the tag in the prompt
    "<thinking>He is sad.</thinking>",
    "[THINK]He is sad.[/THINK]",
    "\u25c1think\u25b7He is sad.\u25c1/think\u25b7",
    f"{HARMONY}<|message|>",
    f"<|start|>assistant{HARMONY}<|message|>",
    "analysisHe is sad.assistantfinal",
]


@pytest.mark.parametrize("thought", THOUGHTS)
def test_a_served_model_that_thinks_aloud_is_not_quoted(thought):
    said = wire.read_content(f"{thought}What hurts?"), wire.read_content(thought)
    assert said == (("What hurts?", None), ("", None))


@pytest.mark.parametrize("thought", ["<think>He is sad.", "<|channel|>analysis<|message|>He"])
def test_thoughts_that_do_not_end_are_no_words(thought):
    assert wire.read_content(thought)[0] == ""
    assert wire.read_content(f"Hm. {thought}")[0] == "Hm."


TOKENS = ["<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>", "[INST]", "<\uff5cUser\uff5c>"]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_reply_ends_at_a_special_token_in_its_text_and_says_so(token, finish):
    """A server that does not know the token as an end lets the model speak on, for the client,
    too, up to the limit."""
    with serving(lambda body, n: completion(f"What hurts?{token}\nIt does.", finish)) as fake:
        (reply,) = answer_all(open_at(fake), [ask()])
    assert (reply.text, reply.status, reply.call["cut_at"]) == ("What hurts?", "ok", token)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        ("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
        ("http://localhost:11434/v1", "OLLAMA_API_KEY"),
        ("http://gpu-box:8000/v1", "ACT_API_KEY"),
        ("https://api.openai.com.evil.example/v1", "ACT_API_KEY"),
        ("https://me.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"),
        ("https://me.services.ai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"),
        ("https://azure.com.evil.example/v1", "ACT_API_KEY"),
    ],
)
def test_the_address_tells_the_dialect_and_so_which_key_is_sent(url, key):
    assert key_variable(httpx.URL(url)) == key


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("m@ftp://x/v1", "an endpoint is NAME@http"),
        ("@http://x/v1", "an endpoint is NAME@http"),
        ("m@http://", "an endpoint is NAME@http"),
        (f"m@http://user:{KEY}@host/v1", "a key belongs in an environment variable"),
        (f"m@http://host/v1?key={KEY}", "a key belongs in an environment variable"),
        (f"m@http://user:{KEY}@host:port/v1", "not an address"),
        (f"m@ftp://user:{KEY}@x/v1", "an endpoint is NAME@http"),
    ],
)
def test_a_bad_address_is_refused_without_repeating_a_key(spec, said):
    with pytest.raises(InputError, match=said) as stop:
        Endpoint(spec, Sampling(0.8, 0.9, 64), 4, 1.0)
    assert KEY not in str(stop.value)


def test_no_more_than_the_allowed_calls_are_under_way_and_they_are_all_used():
    with serving(lambda body, n: "fine", delay=0.02) as fake:
        replies = answer_all(open_at(fake, concurrency=6), [ask(str(i)) for i in range(60)])
    assert all(reply.status == "ok" for reply in replies) and len(fake.requests) == 60
    assert fake.most_at_once == 6


@pytest.mark.parametrize("key", [f"{KEY}\r\n", f" {KEY}"])
def test_a_key_from_a_file_with_other_line_ends_is_sent_clean(key, monkeypatch):
    monkeypatch.setenv("ACT_API_KEY", key)
    with serving(lambda body, n: "fine") as fake:
        answer_all(open_at(fake), [ask()])
    assert fake.requests[0]["headers"]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [f"{KEY}\u2019", f"{KEY}\nACT=1"])
def test_a_key_that_cannot_be_one_is_refused_without_repeating_it(key, monkeypatch):
    monkeypatch.setenv("ACT_API_KEY", key)
    with pytest.raises(InputError, match="ACT_API_KEY: holds characters that no key has") as stop:
        Endpoint("m@http://host/v1", Sampling(0.8, 0.9, 64), 4, 1.0)
    assert KEY not in str(stop.value)


def test_no_part_of_a_key_is_left_where_a_server_quotes_it_across_the_cut(capsys):
    quoting = status(401, "x" * 190 + f" your key: {KEY}")
    with serving(lambda body, n: quoting) as fake, pytest.raises(InputError) as stop:
        answer_all(open_at(fake), [ask()])
    assert "sk-" not in str(stop.value) + capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("train.py", "--method", "sft", "--data", "d.jsonl", "--out", "o", "--model"),
        ("judge.py", "prefer", "--conditions", "instruct", "--out", "o", "--model"),
        (
            *("generate.py", "sessions", "--profiles", "p.jsonl", "--client", "c@http://h/v1"),
            *("--format", "enforce", "--out", "o", "--therapist"),
        ),
    ],
)
def test_trap_17_an_endpoint_where_a_folder_is_wanted_shows_no_key(refused, tmp_path, words):
    """Its address may hold one: it is refused by its name."""
    (profile,) = make_profiles(1, 0)
    for name, row in (("p.jsonl", profile), ("d.jsonl", pair_row())):
        write_rows(tmp_path / name, [row])
    said = refused(*words, "m@http://sk-secret@h/v1?key=sk-secret")
    assert "m@..." in said and "endpoint" in said and "sk-secret" not in said
