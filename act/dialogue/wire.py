"""The wire to an OpenAI-compatible server: its address and key, and an HTTP answer read as a
`Reply` or a `Fault`.

What is not said here is OpenAI's chat completions. The words in which servers say the same thing
(a finish, a prompt that is too long, a filter, thoughts, special tokens) are servers.json.
"""

import json
import os
import re
import time
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path

import httpx

from act.dialogue.chat import Reply
from act.model.spec import split_endpoint
from act.records import WITH_WORDS, InputError, read_json

SHOWN = 200  # letters of what a server says

KEYS = {  # HOST, .ENDING or :PORT of a server's address -> the environment variable with its key
    "api.openai.com": "OPENAI_API_KEY",
    ".azure.com": "AZURE_OPENAI_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    ":11434": "OLLAMA_API_KEY",
}
OTHERS = "ACT_API_KEY"  # of vLLM, llama.cpp, whatever else speaks OpenAI's chat completions
VERSION = "api-version"  # the one thing behind a "?" that an address may have: Azure's

MENDS = {  # by HTTP status (Fault); of all others "prompt", and "time" from 500 on
    **dict.fromkeys((301, 302, 303, 307, 308, 401, 402, 404), "nothing"),
    **dict.fromkeys((408, 409, 425), "time"),
    **dict.fromkeys((429, 498, 499, 529), "pace"),
    413: "room",
    501: "prompt",
}

WORDS = read_json(Path(__file__).with_name("servers.json"))


def _any_of(marks: list[str], *patterns: str) -> re.Pattern:
    return re.compile("|".join([*map(re.escape, marks), *patterns]), re.IGNORECASE)


LIMIT = re.compile(r"limit|max|exceed|longer than|at most")
LEAST_CONTEXT = 512  # tokens; a smaller number is no model's limit
OPENED, CLOSED = (_any_of(WORDS["thoughts"][side]) for side in ("open", "close"))
SPECIAL = _any_of(WORDS["special"], r"<[|\uff5c][^<>|\uff5c\s]{1,40}[|\uff5c]>")  # <|im_end|>


class Fault(Exception):
    """An answer without words to use.

    `mend` says what may mend it: a slower "pace" or "time" (`pause`: the seconds that the server
    asks for), another "seed", other "words" or another "prompt", a prompt that leaves "room" or is
    not "refused" by a filter, or "nothing". `code`: of HTTP, 0 for none. `reply`: what is known of
    one whose words cannot be used.
    """

    def __init__(
        self, what: str, mend: str, code: int = 0, pause: float = 0.0, reply: Reply | None = None
    ):
        super().__init__(what)
        self.mend, self.code, self.pause, self.reply = mend, code, pause, reply


def key_variable(url: httpx.URL) -> str:
    """The environment variable that holds the key of the server at an address."""
    for place, variable in KEYS.items():
        ends_so = place[0] == "." and url.host.endswith(place)
        if ends_so or place in (url.host, f":{url.port}"):
            return variable
    return OTHERS


def read_key(variable: str) -> str:
    """The key that an environment variable holds, "" for none."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{variable}: holds characters that no key has; was it copied whole?")
    return key


def read_address(spec: str) -> tuple[str, httpx.URL]:
    """(NAME, URL) of NAME@URL; /chat/completions may stand behind it. Raises InputError, which
    never repeats what may be a key."""
    name, address = split_endpoint(spec)
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise InputError(f"{name}@...: not an address: {error}") from None
    no_key = not url.userinfo and set(url.params) <= {VERSION}
    if not (name and url.host and url.scheme in ("http", "https") and no_key):
        key = "a key belongs in an environment variable"
        raise InputError(f"{name}@...: an endpoint is NAME@http://HOST/v1, or https; {key}")
    path = url.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return name, url.copy_with(path=path, fragment=None)


def read_answer(code: int, headers: httpx.Headers, raw: bytes, tokens: float) -> dict:
    """The chat completion that an HTTP answer to a prompt of some `tokens` holds. Raises Fault for
    any other answer."""
    text = raw.decode(errors="replace")
    if code != 200:
        raise refusal(code, headers, text, tokens)
    try:
        match data := json.loads(raw):
            case {"error": {"code": int(code)}} if type(code) is int:  # a router's
                raise refusal(code, headers, text, tokens)
            case {"choices": [{"message": {}} as choice, *_]}:
                # what is not JSON is no answer: NaN, infinite numbers, half a surrogate pair. Not
                # so of log-probs, which are not stored, and have pieces of letters, odd numbers
                stored = data | {"choices": [choice | {"logprobs": None}]}
                json.dumps(stored, ensure_ascii=False, allow_nan=False).encode()
                ended = isinstance(choice.get("finish_reason"), str | None)
                if ended and isinstance(data.get("usage") or {}, dict):
                    return data
    except UnicodeEncodeError:
        raise Fault("an answer with half a surrogate pair", "seed") from None
    except (ValueError, RecursionError):
        pass  # no JSON
    raise Fault(f"HTTP 200 with no chat completion: {text}", "time")


def refusal(code: int, headers: httpx.Headers, text: str, tokens: float) -> Fault:
    """What a server means by an HTTP status other than 200, and by the words behind it."""
    mend, said = MENDS.get(code, "time" if code >= 500 else "prompt"), text.casefold()
    # other faults pass, whatever words and numbers they hold
    too_large = mend == "pace" and "request too large" in said  # for any minute
    by_prompt = mend == "prompt" or code == 500  # llama.cpp's
    if "location" in headers and 300 <= code < 400:
        there = headers["location"].partition("?")[0].removesuffix("/chat/completions")
        text = f"it has moved; write NAME@{re.sub('//[^/]*@', '//', there)}"  # without keys
    elif "insufficient_quota" in said:
        mend = "nothing"
    elif too_large or (by_prompt and is_too_long(said, tokens)):
        mend = "room"
    elif mend == "prompt" and any(words in said for words in WORDS["filtered"]):
        mend = "refused"
    return Fault(f"HTTP {code}: {text}", mend, code, retry_after(headers))


def is_too_long(said: str, tokens: float) -> bool:
    """Does a server refuse a prompt of some `tokens` for its length? By its words, or by its
    numbers: one is about that many, and one that may be a limit is smaller.

    >>> is_too_long("current length is 9000 while limit is 8192", 8000)
    True
    """
    if any(words in said for words in WORDS["too_long"]):
        return True
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]{2,9}\b", said)]
    about = [number for number in numbers if tokens / 2 <= number <= tokens * 2]
    limits = [number for number in numbers if number >= LEAST_CONTEXT]
    return bool(about and limits and LIMIT.search(said)) and min(limits) < max(about)


def retry_after(headers: httpx.Headers) -> float:
    """Seconds to wait, 0 for none: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    asked = headers.get("retry-after", "")
    for text, unit in ((headers.get("retry-after-ms", ""), 0.001), (asked, 1.0)):
        with suppress(ValueError):
            seconds = float(text) * unit
            return seconds if seconds > 0 else 0.0  # NaN neither
    with suppress(ValueError, OverflowError):
        if date := parsedate_tz(asked):
            return max(mktime_tz(date) - time.time(), 0.0)
    return 0.0


def read_completion(data: dict, attempts: int, prompt_was_cut: bool) -> Reply:
    """The reply in a chat completion. Raises Fault where it has no words to use."""
    choice, usage = data["choices"][0], plain(data.get("usage") or {})
    message, finish = choice["message"], choice.get("finish_reason")
    text, special = read_content(message.get("content"))
    # 1. what is told of the call, kept with the turn
    told = plain({"model": data.get("model"), "fingerprint": data.get("system_fingerprint")})
    call = {"model": None, "fingerprint": None} | told
    call |= {"finish": finish, "usage": usage, "attempts": attempts}
    if special:
        call["cut_at"] = special
    # 2. how it ended
    status = finish_status(finish)
    if status == "lost":
        raise Fault(f"finish_reason {finish}", "time")
    if message.get("refusal"):
        call["refusal"], status = one_line(str(message["refusal"])), "refused"
    if prompt_was_cut:
        status = "context"
    if status == "length" and special:
        status = "ok"  # it had ended; the server did not know its end token, and let it go on
    if status == "ok" and not text:
        raise Fault("empty content", "seed")
    if status == "length" and not text:
        status = "error"
    # 3. its words, if they are any to use
    logprobs = choice.get("logprobs")
    logprobs = logprobs.get("content") if isinstance(logprobs, dict) else None
    tokens = (usage.get(f"{what}_tokens") for what in ("prompt", "completion"))
    tokens = [number if type(number) is int else None for number in tokens]
    reply = Reply(text if status in WITH_WORDS else "", status, *tokens, call, logprobs)
    if status == "refused":
        raise Fault(f"refused: {call.get('refusal', finish)}", "words", reply=reply)
    if status == "error":
        why = f"finish_reason {finish} and no words to use"
        if finish_status(finish) == "length":
            why += "; if it thinks before it answers, give it --room-to-think"
        raise Fault(why, "words", reply=reply)
    return reply


def finish_status(finish: str | None) -> str:
    """A reply's status by the word for how it ended, in many servers' words: none at all is an end,
    an unknown one an "error".

    >>> finish_status("STOP"), finish_status("max_tokens"), finish_status("tool_calls")
    ('ok', 'length', 'error')
    """
    for status, words in WORDS["finish"].items():
        if any(word in (finish or "stop").casefold() for word in words):
            return status
    return "error"


def plain(told: dict) -> dict:
    """Of what a server tells the texts and numbers, also those one level down."""
    kept = {}
    for name, value in told.items():
        if isinstance(value, dict):
            kept[name] = {k: v for k, v in value.items() if isinstance(v, str | int | float)}
        elif isinstance(value, str | int | float):
            kept[name] = value[:SHOWN] if isinstance(value, str) else value
    return kept


def one_line(text: str) -> str:
    """The beginning of what a server says."""
    return " ".join(text.split())[:SHOWN]


def read_content(content: object) -> tuple[str, str | None]:
    """(a message's words, the special token that they were cut at or None), of a text or a list of
    parts. Thoughts are left out: what stands before the last mark that closes some, and behind one
    that opens them."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(str(part.get("text", "")) for part in parts)
    if not isinstance(content, str):
        return "", None
    spoken = OPENED.split(CLOSED.split(content)[-1])[0]
    special = SPECIAL.search(spoken)
    words = spoken[: special.start()] if special else spoken
    return words.strip(), special and special[0]
