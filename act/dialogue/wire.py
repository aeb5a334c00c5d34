"""The wire to an OpenAI-compatible server: the address and its key, and an HTTP answer read as a
`Reply` or a `Fault`.

What is not said here is OpenAI's chat completions. The words in which servers say the same thing
(a finish, a prompt that is too long, a filter, thoughts, special tokens) are servers.json.
"""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from act.dialogue.chat import Reply
from act.model.spec import split_endpoint
from act.records import WITH_WORDS, InputError, read_json

SHOWN = 200  # letters of what a server says


@dataclass(frozen=True)
class Dialect:
    """Where a family of servers differs from the others, beside what a probe finds."""

    key: str  # the environment variable that holds the key
    host: str = ""  # HOST, .ENDING or :PORT that tells the family; of the last one any
    cuts_prompts: bool = False  # silently, where they exceed its context


DIALECTS = (
    Dialect("OPENAI_API_KEY", "api.openai.com"),
    Dialect("AZURE_OPENAI_API_KEY", ".azure.com"),
    Dialect("MISTRAL_API_KEY", "api.mistral.ai"),
    Dialect("DEEPSEEK_API_KEY", "api.deepseek.com"),
    Dialect("OLLAMA_API_KEY", ":11434", cuts_prompts=True),
    Dialect("ACT_API_KEY"),  # vLLM, llama.cpp, and whatever else speaks OpenAI's chat completions
)
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
    """An answer that is no reply.

    `mend` says what may mend it: a slower "pace" or "time" (`pause`: the seconds that the server
    asks for), another "seed", another "prompt", a prompt that leaves "room" or is not "refused" by
    a filter, or "nothing". `code`: of HTTP.
    """

    def __init__(self, what: str, mend: str, pause: float = 0.0, code: int = 200):
        super().__init__(what)
        self.mend, self.pause, self.code = mend, pause, code


def find_dialect(url: httpx.URL) -> Dialect:
    """The dialect of the server at an address."""
    for dialect in DIALECTS:
        host = dialect.host
        if host in (url.host, f":{url.port}", "") or (host[0] == "." and url.host.endswith(host)):
            return dialect


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


def is_loopback(url: httpx.URL) -> bool:
    """Is the server on this machine?"""
    return url.host in ("localhost", "::1") or url.host.startswith("127.")


def read_key(variable: str) -> str:
    """The key that an environment variable holds, "" for none."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{variable}: holds characters that no key has; was it copied whole?")
    return key


def read_answer(code: int, headers: httpx.Headers, raw: bytes, tokens: float) -> dict:
    """The chat completion that an HTTP answer to a prompt of some `tokens` holds. Raises Fault for
    any other answer."""
    text = raw.decode(errors="replace")
    if code != 200:
        raise refusal(code, headers, text, tokens)
    try:
        data = json.loads(raw)
        failed = data.get("error")
        if isinstance(failed, dict) and type(failed.get("code")) is int:  # a router's
            raise refusal(failed["code"], headers, text, tokens)
        choice, usage = data["choices"][0], data.get("usage") or {}
        # what is not JSON is no answer: NaN, infinite numbers, half a surrogate pair. Not so with
        # log-probs, which are not stored, and have pieces of letters and odd numbers
        given = choice.pop("logprobs", None)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        choice["logprobs"] = given
        kinds = (choice, dict), (choice["message"], dict), (usage, dict)
        kinds += ((choice.get("finish_reason"), str | None),)
        whole = all(isinstance(value, kind) for value, kind in kinds)
    except UnicodeEncodeError:
        raise Fault("an answer with half a surrogate pair", "seed") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        whole = False  # no JSON, or of another shape
    if not whole:
        raise Fault(f"HTTP 200 with no chat completion: {text}", "time")
    return data


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
    pause = retry_after(headers) if mend in ("pace", "time") else 0.0
    return Fault(f"HTTP {code}: {text}", mend, pause, code)


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
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(ValueError):
            seconds = float(headers.get(name, "")) * unit
            return seconds if seconds > 0 else 0.0  # NaN neither
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        if date.tzinfo is None:  # -0000: UTC, of a place that is not told
            date = date.replace(tzinfo=UTC)
        return max((date - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def read_completion(data: dict, attempts: int, prompt_was_cut: bool) -> Reply:
    """The reply in a chat completion. Raises Fault where another try may give one: no words behind
    an end, or a finish that is the server's fault."""
    choice, usage = data["choices"][0], plain(data.get("usage") or {})
    message, finish = choice["message"], choice.get("finish_reason")
    status = finish_status(finish)
    if status == "lost":
        raise Fault(f"finish_reason {finish}", "time")
    text, special = read_content(message.get("content"))
    # what is told of the call, kept with the turn
    told = plain({"model": data.get("model"), "fingerprint": data.get("system_fingerprint")})
    call = {"model": None, "fingerprint": None} | told
    call |= {"finish": finish, "usage": usage, "attempts": attempts}
    if special:
        call["cut_at"] = special
    if refused := message.get("refusal"):
        call["refusal"], status = str(refused), "refused"
    if prompt_was_cut:
        status = "context"
    if special and status == "length":
        status = "ok"  # it had ended; the server did not know its end token, and let it go on
    if status == "ok" and not text:
        raise Fault("empty content", "seed")
    if status == "length" and not text:
        status = "error"
    given = choice.get("logprobs")
    logprobs = given.get("content") if isinstance(given, dict) else None
    tokens = (usage.get(f"{what}_tokens") for what in ("prompt", "completion"))
    tokens = [number if type(number) is int else None for number in tokens]
    return Reply(text if status in WITH_WORDS else "", status, *tokens, call, logprobs)


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
