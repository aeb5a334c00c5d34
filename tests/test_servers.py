"""Sixteen odd servers, one table: what each takes, and what is sent to it and stored then. Each is
a real HTTP server; simulate.py holds one session of two turns with it on both sides."""

import asyncio
import io
import re
import threading
import time
from types import SimpleNamespace

import pytest

import simulate as simulate_script
from act.cli import run_script
from act.dialogue import endpoint, pace, wire
from act.dialogue.endpoint import Endpoint
from act.dialogue.probe import FOLDED
from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import client_prompt, therapist_prompt
from act.model.sampler import Sampling
from act.records import InputError, check_session, read_jsonl
from tests.fake_server import Fault, completion, serving, status
from tests.replies import answer_all
from tests.test_endpoint import KEY, TALK, ask
from tests.tiny import write_rows

FIELDS = {"max_tokens", "temperature", "seed", "top_p"}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    for module in (endpoint, pace):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.002)
    monkeypatch.setenv("ACT_API_KEY", KEY)


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    """simulate(server, flags...) -> the sessions stored."""

    def simulate(fake, *flags, name="m", n=1, turns=2):
        write_rows(tmp_path / "p.jsonl", make_profiles(n, 0))
        spec = f"{name}@{fake.url}"
        words = ("simulate.py", "--model", spec, "--client", spec, "--profiles", "p.jsonl")
        words += ("--conditions", "instruct", "--turns", turns, "--out", "s.jsonl")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [*map(str, (*words, *flags))])
        run_script(simulate_script.main)
        return list(read_jsonl(tmp_path / "s.jsonl", check_session))

    return simulate


def system_refused(body):
    return body["messages"][0]["role"] == "system"


def error(message, http=400, **more):
    return status(http, {"error": {"message": message} | more})


# server: (model, is a request refused, how) -> (the fields that are sent, what a record says)
LIMIT = "max_completion_tokens"
ODD = {
    "takes all": (lambda b: False, None, FIELDS, {}),
    "no seed (Gemini)": (
        lambda b: "seed" in b or "random_seed" in b,
        error('Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
        FIELDS - {"seed"},
        {"seed": "none"},
    ),
    "a seed of another name, no unknown fields (Mistral)": (
        lambda b: not b.keys() <= {"model", "messages", *FIELDS - {"seed"}, "random_seed"},
        status(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}),
        FIELDS - {"seed"} | {"random_seed"},
        {"seed": "random_seed"},
    ),
    "temperature or top_p (Claude 4.5)": (
        lambda b: "temperature" in b and "top_p" in b,
        error("`temperature` and `top_p` cannot both be specified for this model."),
        FIELDS - {"top_p"},
        {"top_p": "none"},
    ),
    "max_completion_tokens and no sampling (o4-mini, fine-tuned)": (
        lambda b: bool({"max_tokens", "temperature", "top_p"} & b.keys()),
        error("Unsupported parameter: 'max_tokens' is not supported with this model."),
        {LIMIT, "seed"},
        {"limit": LIMIT, "temperature": "none", "top_p": "none"},
    ),
    "temperature of 1 alone (gpt-5 behind another name)": (
        lambda b: b.get("temperature", 1) != 1,
        error("Unsupported value: 'temperature' does not support 0.85 with this model."),
        FIELDS - {"temperature"},
        {"temperature": "none"},
    ),
    "no system role (Gemma 2)": (
        system_refused,
        error("System role not supported"),
        FIELDS,
        {"system": FOLDED},
    ),
    "no system role, said in a template's words with HTTP 500": (
        system_refused,
        status(500, "jinja2.exceptions.TemplateError: roles must alternate user/assistant"),
        FIELDS,
        {"system": FOLDED},
    ),
    "no system role and no top_p": (
        lambda b: system_refused(b) or "top_p" in b,
        error("invalid_request_error"),
        FIELDS - {"top_p"},
        {"system": FOLDED, "top_p": "none"},
    ),
    "no limit at all": (
        lambda b: bool({"max_tokens", LIMIT} & b.keys()),
        error("unknown field", 422),
        FIELDS - {"max_tokens"},
        {"limit": "none"},
    ),
    "nobody serves the seed (a router's 404)": (
        lambda b: "seed" in b or "random_seed" in b,
        error("No endpoints found that can handle the requested parameters.", 404),
        FIELDS - {"seed"},
        {"seed": "none"},
    ),
    "no seed, said with HTTP 403": (
        lambda b: "seed" in b or "random_seed" in b,
        error("Forbidden", 403),
        FIELDS - {"seed"},
        {"seed": "none"},
    ),
    "no seed, said with HTTP 501": (
        lambda b: "seed" in b or "random_seed" in b,
        error("not implemented", 501),
        FIELDS - {"seed"},
        {"seed": "none"},
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_server_refuses_is_left_out_said_and_stored(name, simulate, capsys):
    refuses, answer, sent, served = ODD[name]

    def say(body, n):
        return answer if refuses(body) else f"Fine, {n}."

    with serving(say, probed=say) as fake:
        (session,) = simulate(fake)
        warned = capsys.readouterr().err
    assert session["status"] == "complete" and session["served"] == dict.fromkeys(
        ("therapist", "client"), served
    )
    assert len(fake.requests) == 4  # nothing was refused after the probe
    if (
        "HTTP 500" in name
    ):  # by either side: as it is wanted and with a system role three tries each
        assert len(fake.probes) == 2 * (3 + 1 + 3 + 1 + 1 + 1)
    for request in fake.requests:
        assert request["body"].keys() == {"model", "messages", *sent}
        roles = [message["role"] for message in request["body"]["messages"]]
        turns = ["user", "assistant", "user"][-(len(roles) - ("system" not in served)) :]
        assert roles == [*(["system"] if "system" not in served else []), *turns]
    first = [request["body"]["messages"][0]["content"] for request in fake.requests[:2]]
    wanted = client_prompt(session["profile"]), therapist_prompt(False)
    assert all(map(str.startswith, first, wanted))
    for field, way in served.items():
        assert warned.count(f"asks with {field}: {way}, since HTTP") == 2
    assert warned.count("asks with") == 2 * len(served)


# three more by what they say: server -> (answer, what is stored of the call)
SAYING = {
    "thinks aloud (Kimi)": ("\u25c1think\u25b7Sad.\u25c1/think\u25b7Fine.", {"finish": "stop"}),
    "ends in a word of its own": (completion("Fine.", "eos_token"), {"finish": "eos_token"}),
    "does not know its model's end token": (
        completion("Fine.<|im_end|>\nUser: And yet", "length"),
        {"finish": "length", "cut_at": "<|im_end|>"},
    ),
}


@pytest.mark.parametrize("name", SAYING)
def test_what_a_server_says_is_stored_as_it_was_meant(name, simulate):
    answer, told = SAYING[name]
    with serving(lambda body, n: answer, probed=lambda body, n: answer) as fake:
        (session,) = simulate(fake)
    assert session["status"] == "complete" and not any(session["served"].values())
    for turn in session["turns"]:
        assert (turn["client"], turn["answer"], turn["status"]) == ("Fine.", "Fine.", "ok")
        assert all(told.items() <= call.items() for call in turn["calls"])
    assert len(ODD) + len(SAYING) == 16


def test_a_server_that_takes_five_log_probabilities_gives_five(monkeypatch, tmp_path, capsys):
    """The judge's shape: a schema, and log-probabilities of which 20 are too many."""
    from tests.test_served_judge import (
        CORPUS,
        FORMS,
        RATED,
        as_json,
        check_rating,
        judge_script,
        run_script,
        with_logprobs,
    )

    def say(body, n):
        if body.get("top_logprobs", 0) > 5:
            return error("top_logprobs must be between 0 and 5")
        return with_logprobs(as_json(RATED), RATED)

    with serving(say, probed=say) as fake:
        words = ["judge.py", "rate", "--sessions", CORPUS, "--judge", f"j@{fake.url}"]
        monkeypatch.setattr("sys.argv", [*map(str, words), "--out", str(tmp_path / "r.jsonl")])
        run_script(judge_script.main)
    body = fake.requests[0]["body"]
    assert body["top_logprobs"] == 5 and body["response_format"]["type"] == "json_schema"
    for rating in read_jsonl(tmp_path / "r.jsonl", check_rating):
        assert rating["judge"]["served"] == {"logprobs": "5"}
        assert len(rating["tes_expected"]) == len(FORMS[1].items)
    assert "no expected ratings" not in capsys.readouterr().err


def test_the_first_refusal_of_a_field_is_the_one_that_is_said(simulate, capsys):
    def say(body, n):
        seeds = [field for field in ("seed", "random_seed") if field in body]
        return error(f"what is a {seeds[0]}?") if seeds else "Fine."

    with serving(say, probed=say) as fake:
        simulate(fake)
    assert "asks with seed: none" in (warned := capsys.readouterr().err)
    assert "what is a seed?" in warned and "what is a random_seed?" not in warned


def test_another_way_of_asking_in_the_same_file_is_refused(simulate, tmp_path, capsys):
    """A server that no longer takes the system role under the same name: by then the file has
    sessions of the other kind."""

    def refusing(body, n):
        return error("no system role") if system_refused(body) else "Fine."

    with serving(lambda body, n: "Fine.") as fake:
        (first,) = simulate(fake)
    with serving(refusing, probed=refusing) as fake:
        with pytest.raises(SystemExit) as stop:
            simulate(fake, n=2)
        last = capsys.readouterr().err.splitlines()[-1]
        assert stop.value.code == 2 and not fake.requests
        ways = {role: {"system": FOLDED} for role in ("therapist", "client")}
        assert f"instruct/p001 was made with served {{}}, not {ways}; name another --out" in last
    assert list(read_jsonl(tmp_path / "s.jsonl")) == [first]
    with serving(lambda body, n: "Fine.") as fake:
        assert len(simulate(fake, n=2)) == 2


def test_fields_that_no_probe_finds_are_sent_and_are_a_setting(simulate, refused, tmp_path):
    with serving(lambda body, n: "Fine.") as fake:
        more = ("--fields", '{"chat_template_kwargs": {"enable_thinking": false}, "top_p": null}')
        (session,) = simulate(fake, *more)
        assert session["sampling"]["client"]["fields"]["top_p"] is None
        for request in fake.requests + fake.probes:
            assert request["body"]["chat_template_kwargs"] == {"enable_thinking": False}
            assert "top_p" not in request["body"]
        spec, asked = f"m@{fake.url}", len(fake.probes)
        words = ("simulate.py", "--model", spec, "--client", spec, "--profiles", "p.jsonl")
        words += ("--conditions", "instruct", "--turns", 2, "--out", "s.jsonl")
        assert "was made with sampling" in refused(*words)
        assert simulate(fake, *more) == [session] and len(fake.probes) == asked
        said = refused(*words, "--fields", "[1]")
        assert 'argument --fields: [1] is not a JSON object, as {"top_k": 40}' in said


TOO_LONG = {
    "OpenAI": error("This model's maximum context length is 8192 tokens. However, ..."),
    "OpenAI's code": error("No.", code="context_length_exceeded"),
    "vLLM": error("The decoder prompt is longer than the maximum model length of 4096."),
    "SGLang": error("The input (9000 tokens) is longer than the model's context length (8192)."),
    "llama.cpp": error("the request exceeds the available context size, try increasing it"),
    "llama.cpp's type, HTTP 500": error("No.", 500, type="exceed_context_size_error"),
    "Mistral": error("Prompt contains 9000 tokens, too large for model with 8192 maximum"),
    "Anthropic": error("prompt is too long: 201000 tokens > 200000 maximum"),
    "Gemini": error("The input token count (9) exceeds the maximum number of tokens allowed (8)."),
    "TGI": error("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", 422),
    "Groq, HTTP 413": status(413, "Request Entity Too Large"),
    "Groq, HTTP 429": error("Request too large for model on tokens per minute", 429),
    "Bedrock": error("Input is too long for requested model."),
    "xAI": error("This model's maximum prompt length is 131072 but the request contains 140000"),
    "Cohere": error("too many tokens: total number of tokens in the prompt cannot exceed 4081"),
    "Alibaba": error("Range of input length should be [1, 30720]"),
    "Moonshot": error("Your request exceeded model token limit: 8192"),
    "in no known words, by its numbers": error("Current length is 2100 while limit is 2048"),
}
LONG = [{"role": "user", "content": "x" * 8000}]


@pytest.mark.parametrize("name", TOO_LONG)
def test_trap_19_too_long_in_the_words_of_a_dozen_servers_is_context(name):
    with serving(lambda body, n: TOO_LONG[name]) as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0)
        (reply,) = answer_all(model, [ask(messages=LONG)])
    assert (reply.status, len(fake.requests), len(fake.probes)) == ("context", 1, 0)


def test_numbers_are_compared_with_the_tokens_that_replies_have_told():
    """Of 1,000 letters a reply tells 1,000 tokens, so that of 8,000 are about 8,000, not 2,000."""
    too_long = error("Current length is 8013 while limit is 4096")

    def say(body, n):
        return completion("fine", prompt_tokens=1000) if n == 1 else too_long

    with serving(say) as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0)
        talks = [{"role": "user", "content": "x" * 1000}], LONG
        ends = [answer_all(model, [ask(messages=talk)])[0].status for talk in talks]
    assert ends == ["ok", "context"]


SHORT_ENOUGH = {
    "numbers far from the prompt's": error("at most 4096 images of 8192 pixels are allowed"),
    "no limit below": error("Current length is 2100 while limit is 4096"),
    "no numbers": error("the limit was exceeded"),
}


@pytest.mark.parametrize("name", SHORT_ENOUGH)
def test_other_refusals_are_no_full_context(name):
    with serving(lambda body, n: SHORT_ENOUGH[name]) as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0)
        assert answer_all(model, [ask(messages=LONG)])[0].status == "error"


PASSES = {
    "tokens a minute": error("Rate limit reached: Limit 2100, Used 1900, Requested 2000", 429),
    "Bedrock's 429": error("Too many tokens, please wait before trying again.", 429),
    "a full queue": error("1900 requests are queued, the limit is 1000", 503),
    "a proxy's page": status(522, "<title>522: timed out</title> maximum-scale=1, 2026-11-28"),
}


@pytest.mark.parametrize("name", PASSES)
def test_words_and_numbers_of_a_fault_that_passes_are_no_full_context(name):
    with serving(lambda body, n: PASSES[name] if n == 1 else "fine") as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0)
        assert answer_all(model, [ask(messages=LONG)])[0].status == "ok"


def limited(limit, seconds):
    """A server that takes so many calls in any `seconds`, and says exactly when the next may come.
    Returns (say, the times of the calls it took)."""
    lock, taken = threading.Lock(), []

    def say(body, n):
        with lock:
            now = time.monotonic()
            recent = [moment for moment in taken if moment > now - seconds]
            if len(recent) >= limit:
                again = recent[-limit] + seconds - now
                return status(429, "Rate limit reached", retry_after=f"{again:.4f}")
            taken.append(now)
            return "Fine."

    return say, taken


@pytest.mark.parametrize(("limit", "seconds"), [(10, 0.5), (60, 0.5)])
def test_a_storm_against_a_limit_loses_nothing(limit, seconds, simulate, monkeypatch, capsys):
    """10 and 60 calls a minute of half a second: 16 sessions of 2 turns, 64 calls and 2 probes. No
    session is lost, and no call is a failed try."""
    monkeypatch.setattr(pace, "MINUTE", seconds)
    say, taken = limited(limit, seconds)
    with serving(say, probed=say) as fake:
        sessions = simulate(fake, n=16)
        asked = len(fake.requests) + len(fake.probes)
    calls = [call for s in sessions for turn in s["turns"] for call in turn["calls"]]
    assert len(sessions) == 16 and {s["status"] for s in sessions} == {"complete"}
    assert len(calls) == 64 and {call["attempts"] for call in calls} == {1}
    assert len(taken) == 66
    # refused calls are few: not everybody asks again and again
    assert asked - len(taken) < 66
    assert ("waiting: " in capsys.readouterr().err) == (asked > len(taken))


def test_all_who_call_a_server_share_its_pace():
    urls = ("m@http://host:8000/v1", "n@http://host:8000/v1", "m@http://host:8001/v1")
    one, same, other = (Endpoint(url, Sampling(1, 1, 9), 1, 1.0).pace for url in urls)
    assert one is same and one is not other


@pytest.fixture
def clocked(monkeypatch):
    """A pace by a clock that goes on by what is slept, and the clock: [seconds]."""
    now, asleep = [100.0], asyncio.sleep
    monkeypatch.setattr(pace, "FIRST_PAUSE", 1.0)

    async def sleep(seconds):
        if threading.current_thread() is not threading.main_thread():
            return await asleep(seconds)  # other tests' calls, on their loop
        now[0] += seconds

    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    paced = pace.Pace()
    return paced, now


def turn(paced):
    return asyncio.run(paced.turn())


def test_a_pace_is_what_a_server_took_and_recovers(clocked):
    """Ten replies in the first 5 seconds, then a refusal that asks for 7: the next call is made
    after 7 seconds, the one behind it half a second later, and each reply shortens that by 1.3,
    until after nine there is no waiting: .5 / 1.3^9 = .047 < .05."""
    paced, now = clocked
    for _ in range(10):
        now[0] += 0.5
        assert turn(paced) == now[0]
        paced.reply_came()
    assert paced.said == ""
    paced.too_fast(turn(paced), 7.0)
    assert paced.interval == 0.5 and paced.said == "waiting: 10 calls/min"
    assert turn(paced) == pytest.approx(112.0) and turn(paced) == pytest.approx(112.5)
    paced.reply_came()
    assert paced.interval == pytest.approx(0.5 / 1.3)
    for _ in range(8):
        paced.reply_came()
    assert paced.interval == 0.0


def test_a_pause_doubles_from_refusal_to_refusal_until_a_reply_comes(clocked):
    """Calls under way together are one refusal, and the longest of their pauses holds."""
    paced, now = clocked
    waits = []
    for _ in range(3):
        began = turn(paced)
        now[0] += 0.25
        for pause in (0.0, 0.5, 0.0):
            paced.too_fast(began, pause)
        waits.append(paced.next_at - now[0])
    assert waits == [1.0, 2.0, 4.0]
    paced.too_fast(turn(paced), 5.0)
    assert paced.next_at - now[0] == 5.0
    paced.too_fast(now[0] - 1, 2.0)  # a call that began before
    assert paced.next_at - now[0] == 5.0
    paced.reply_came()
    paced.too_fast(turn(paced), 0.0)
    assert paced.next_at - now[0] == 1.0


@pytest.mark.parametrize("code", [429, 498, 499, 529])
def test_what_is_refused_for_the_pace_alone_for_an_hour_is_put_off(code, monkeypatch):
    """Here after no time at all: of one prompt, whose turn is put off; of all, the run ends."""
    monkeypatch.setattr(endpoint, "PATIENCE", 0.0)
    limit = status(code, "not so fast")
    answered = []

    def say(body, n):
        if body["messages"] == TALK:
            # not before the other has its reply
            deadline = time.monotonic() + 5
            while not answered and time.monotonic() < deadline:
                time.sleep(0.01)
            return limit
        return "fine"

    with serving(lambda body, n: limit) as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0)
        with pytest.raises(InputError, match=f"no reply in 1 try: HTTP {code}: not so fast"):
            answer_all(model, [ask()])
    with serving(say) as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 5.0)
        model.start([ask("a"), ask("b", TALK[1:])])
        replies = {}
        while len(replies) < 2:
            replies |= model.step(1.0)
            answered += replies
    assert (replies["a"].status, replies["b"].status) == ("lost", "ok")


@pytest.mark.parametrize("turns", [1, 3])
def test_a_session_that_a_server_ended_is_not_finished(turns, simulate, tmp_path, capsys):
    """One of four sessions has no reply at its last turn: it is not stored, its turns are kept,
    the exit status is 1 and the last line says so. The same command goes on with it alone."""
    broken, profiles = [True], make_profiles(4, 0)
    first = client_prompt(profiles[2])

    def say(body, n):
        messages = body["messages"]
        fails = messages[0]["content"] == first and len(messages) == 2 * turns
        return status(502, "bad gateway") if fails and broken[0] else f"Fine, {body['seed']}."

    with serving(say) as fake:
        with pytest.raises(SystemExit) as stop:
            simulate(fake, n=4, turns=turns)
        out, err = capsys.readouterr()
        assert stop.value.code == 1
        last = "1 of 4 sessions not finished; the same command goes on"
        assert err.splitlines()[-1] == last and "3 sessions in s.jsonl: 3 complete" in out
        kept = tmp_path / "s.jsonl.part"
        ids = [record["id"] for record in read_jsonl(kept)] if kept.exists() else []
        wanted = [f"instruct/{profiles[2]['id']}#{i + 1}" for i in range(turns - 1)]
        assert [name for name in ids if name.startswith("instruct/p003")] == wanted
        broken[0], asked = False, len(fake.requests)
        sessions = simulate(fake, n=4, turns=turns)
        assert len(fake.requests) - asked == 2  # the turn that was put off, and no other
    assert [len(session["turns"]) for session in sessions] == [turns] * 4
    assert {session["status"] for session in sessions} == {"complete"} and not kept.exists()


def test_a_pair_that_a_server_ended_is_not_finished(run, tmp_path, capsys):
    broken = [True]

    def say(body, n):
        lost = body["model"] == "r" and broken[0] and len(body["messages"]) == 4
        return status(502, "") if lost else f"{body['model']} {body['seed']}"

    profile = {"id": "p1", "archetype": "x"}
    turn = {"client": "hi", "thinking": None, "answer": "so", "status": "ok"}
    session = {"id": "transcript/p1", "condition": "transcript", "profile": profile}
    write_rows(tmp_path / "s.jsonl", [session | {"turns": [turn, turn], "status": "complete"}])
    with serving(say) as fake:
        words = ("generate.py", "pairs", "--sessions", "s.jsonl", "--chosen", "transcript")
        words += ("--rejected", f"r@{fake.url}", "--out", "d.jsonl")
        with pytest.raises(SystemExit) as stop:
            run(*words)
        last = "1 of 2 pairs not finished; the same command goes on"
        assert stop.value.code == 1 and capsys.readouterr().err.splitlines()[-1] == last
        broken[0] = False
        assert "2 pairs in d.jsonl" in run(*words)


def test_a_talk_with_you_that_a_server_ended_goes_on(tmp_path, monkeypatch, capsys):
    """The second answer does not come. What was said before it is kept; your words are asked for
    again."""
    monkeypatch.chdir(tmp_path)
    broken = [True]

    def say(body, n):
        return status(502, "") if n > 1 and broken[0] else f"Fine, {n}."

    with serving(say) as fake:
        words = ["simulate.py", "--model", f"m@{fake.url}", "--client", "me", "--turns", "2"]
        monkeypatch.setattr("sys.argv", [*words, "--conditions", "instruct", "--out", "me.jsonl"])
        for typed in ("I sleep badly.\nAnd today?\n", "Today?\n"):
            stdin = io.TextIOWrapper(io.BytesIO(typed.encode()))
            monkeypatch.setattr("sys.stdin", stdin)
            if broken[0]:
                with pytest.raises(SystemExit) as stop:
                    run_script(simulate_script.main)
                assert stop.value.code == 1
                last = "1 of 1 sessions not finished; the same command goes on"
                assert capsys.readouterr().err.splitlines()[-1] == last
            else:
                run_script(simulate_script.main)
            broken[0] = False
    (session,) = read_jsonl(tmp_path / "me.jsonl", check_session)
    assert [turn["client"] for turn in session["turns"]] == ["I sleep badly.", "Today?"]
    assert session["status"] == "complete"


def slowly(pieces, seconds):
    """An answer that comes in pieces, `seconds` apart."""

    def send(handler):
        handler.wfile.write(b"HTTP/1.1 200 -\r\ncontent-type: application/json\r\n\r\n")
        for _ in range(pieces):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(seconds)
        handler.close_connection = True

    return Fault(send)


def test_the_timeout_is_of_the_whole_reply(monkeypatch):
    """A space every 50 ms would keep a call alive for 5 s."""
    monkeypatch.setattr(endpoint, "ATTEMPTS", 1)
    drip = slowly(100, 0.05)
    with serving(lambda body, n: drip if body["messages"] == TALK else "fine") as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 0.3)
        began = time.monotonic()
        (reply,) = answer_all(model, [ask()])
        assert reply.status == "lost" and time.monotonic() - began < 4


def test_an_answer_without_end_is_not_kept_in_memory(monkeypatch):
    monkeypatch.setattr(endpoint, "ATTEMPTS", 1)
    monkeypatch.setattr(endpoint, "LONGEST_ANSWER", 2000)
    long, short = "x" * 3000, "x" * 1000
    with serving(lambda body, n: long if body["messages"] == TALK else short) as fake:
        model = Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0)
        asks = [ask("a"), ask("b", TALK[1:])]
        assert [reply.status for reply in answer_all(model, asks)] == ["lost", "ok"]


ODD_TYPES = [
    {"model": ["m"], "system_fingerprint": {"a": {"b": 1}}},
    {"model": 1, "usage": {"prompt_tokens": "11", "completion_tokens": 2.5, "odd": [[1]]}},
    {"usage": {"prompt_tokens": True, "details": {"deep": {"deeper": []}, "n": 3}}},
    {"usage": None, "model": "x" * 100_000},
    {"error": {"code": True}},
]


@pytest.mark.parametrize("more", ODD_TYPES)
def test_odd_types_that_are_told_beside_a_reply_are_left_out(more, simulate, tmp_path):
    with serving(lambda body, n: completion("Fine.") | more) as fake:
        (session,) = simulate(fake)
    assert session["status"] == "complete"
    text = (tmp_path / "s.jsonl").read_text()
    assert len(text) < 20_000
    for turn in session["turns"]:
        assert turn["prompt_tokens"] in (None, 11) and turn["response_tokens"] in (None, 5)


ADDRESSES = {
    "@cf/meta/llama@{}/v1": ("@cf/meta/llama", "/v1/chat/completions"),
    "claude-x@20240620@{}/v1": ("claude-x@20240620", "/v1/chat/completions"),
    "m@{}/v1/": ("m", "/v1/chat/completions"),
    "m@{}/v1/chat/completions": ("m", "/v1/chat/completions"),
    "m@{}/v1/chat/completions/": ("m", "/v1/chat/completions"),
    "m@{}": ("m", "/chat/completions"),
    "m@{}/openai/deployments/d?api-version=2024-10-21": (
        "m",
        "/openai/deployments/d/chat/completions?api-version=2024-10-21",
    ),
}


@pytest.mark.parametrize("spec", ADDRESSES)
def test_addresses_that_work(spec):
    model, path = ADDRESSES[spec]
    with serving(lambda body, n: "fine") as fake:
        spec = spec.format(fake.url.removesuffix("/v1"))
        answer_all(Endpoint(spec, Sampling(0.8, 0.9, 64), 4, 1.0), [ask()])
    (request,) = fake.requests
    assert (request["body"]["model"], request["path"]) == (model, path)
    key = {"api-key": KEY} if "api-version" in path else {"Authorization": f"Bearer {KEY}"}
    headers = request["headers"]
    assert {name: headers[name] for name in headers if KEY in headers[name]} == key


def test_an_address_without_v1_is_told_what_to_write():
    with serving(lambda body, n: "never", probed=lambda body, n: status(404, "Not Found")) as fake:
        bare = fake.url.removesuffix("/v1")
        wanted = re.escape(f"; most servers' addresses end in /v1: m@{fake.url}")
        with pytest.raises(InputError, match=wanted):
            Endpoint(f"m@{bare}", Sampling(0.8, 0.9, 64), 4, 1.0).settle()


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_server_that_has_moved_is_not_followed_but_said(code):
    """The key would go to whoever the answer names; what may be one is not shown."""
    moved = status(code, "", location=f"https://me:{KEY}@there/v1/chat/completions?key={KEY}")
    wanted = pytest.raises(InputError, match="it has moved; write NAME@https://there/v1$")
    with serving(lambda body, n: "never", probed=lambda body, n: moved) as fake, wanted as stop:
        Endpoint(f"m@{fake.url}", Sampling(0.8, 0.9, 64), 4, 1.0).settle()
    assert len(fake.probes) == 1 and KEY not in str(stop.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_one_line(proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="^HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: ") as stop:
        Endpoint("m@https://host/v1", Sampling(0.8, 0.9, 64), 4, 1.0)
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_never_goes_through_a_proxy(host, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(lambda body, n: "fine") as fake:
        spec = f"m@http://{host}:{fake.port}/v1"
        (reply,) = answer_all(Endpoint(spec, Sampling(0.8, 0.9, 64), 4, 1.0), [ask()])
    assert reply.text == "fine"


def test_every_word_for_a_finish_is_read_as_the_table_says():
    for wanted, words in wire.WORDS["finish"].items():
        for word in words:
            assert wire.finish_status(word.upper()) == wanted, word
    assert wire.finish_status("incomplete") == "length"  # though "complete" is in it
