"""The wire to an OpenAI-compatible server: the address and its key, the few things in which
servers differ, and an HTTP answer read as a `Reply` or a `Fault`. What DIALECTS does not say is
OpenAI's chat completions.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from act.dialogue.chat import Reply
from act.model.spec import split_endpoint
from act.records import InputError


@dataclass(frozen=True)
class Dialect:
    """Where a family of servers differs from the others."""

    key: str  # the environment variable that holds the key
    host: str = ""  # HOST or :PORT that tells the family; of the last one any
    max_tokens: str = "max_tokens"
    seed: str | None = "seed"
    cuts_prompts: bool = False  # silently, where they exceed its context
    schemas: bool = True  # may be asked for JSON of a schema, and
    logprobs: bool = True  # for the log-probabilities of its tokens


DIALECTS = (
    Dialect("OPENAI_API_KEY", "api.openai.com", max_tokens="max_completion_tokens"),
    Dialect("MISTRAL_API_KEY", "api.mistral.ai", seed="random_seed", logprobs=False),
    Dialect("DEEPSEEK_API_KEY", "api.deepseek.com", seed=None, schemas=False),
    Dialect("OLLAMA_API_KEY", ":11434", cuts_prompts=True, logprobs=False),
    Dialect("ACT_API_KEY"),  # vLLM, llama.cpp, and whatever else speaks OpenAI's chat completions
)

MENDS = {  # by HTTP status (Fault); of all others "prompt", and "time" from 500 on
    **dict.fromkeys((401, 402, 404), "nothing"),
    **dict.fromkeys((408, 409, 425, 429), "time"),
    # what a field that a server does not know gets, and also a prompt that it does not like
    **dict.fromkeys((400, 422), "fields"),
    413: "room",
}
# what servers say under 400 or 422 of a prompt that leaves no room
NO_ROOM = re.compile(
    r"(?i)context.?(length|size|window)|maximum context|too many tokens|prompt is too long"
)
# some templates open it in the prompt
REASONING = re.compile(r"\A(?:.*?</think>|\s*<think>.*\Z)", re.DOTALL)


class Fault(Exception):
    """An answer that is no reply.

    `mend` says what may mend it: "time" (`pause`: the seconds that the server asks for), another
    "seed", other "fields" or another prompt, another "prompt", a prompt that leaves "room", or
    "nothing".
    """

    def __init__(self, what: str, mend: str, pause: float = 0.0):
        super().__init__(what)
        self.mend, self.pause = mend, pause


def find_dialect(url: httpx.URL) -> Dialect:
    """The dialect of the server at an address."""
    return next(dialect for dialect in DIALECTS if dialect.host in (url.host, f":{url.port}", ""))


def read_address(spec: str) -> tuple[str, httpx.URL]:
    """(NAME, URL) of NAME@URL. Raises InputError, which never repeats what may be a key."""
    name, address = split_endpoint(spec)
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise InputError(f"{name}@...: not an address: {error}") from None
    no_key = not url.userinfo and not url.query
    if not (name and url.host and url.scheme in ("http", "https") and no_key):
        key = "a key belongs in an environment variable"
        raise InputError(f"{name}@...: an endpoint is NAME@http://HOST/v1, or https; {key}")
    return name, url


def read_key(variable: str) -> str:
    """The key that an environment variable holds, "" for none."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{variable}: holds characters that no key has; was it copied whole?")
    return key


def read_answer(answer: httpx.Response) -> dict:
    """The chat completion that an HTTP answer holds. Raises Fault for any other answer."""
    code, text = answer.status_code, answer.text
    if code != 200:
        mend = MENDS.get(code, "time" if code >= 500 else "prompt")
        if mend == "fields" and NO_ROOM.search(text):
            mend = "room"
        if code == 429 and "insufficient_quota" in text:
            mend = "nothing"
        pause = retry_after(answer.headers) if mend == "time" else 0.0
        raise Fault(f"HTTP {code}: {text}", mend, pause)
    try:
        data = answer.json()
        message, usage = data["choices"][0]["message"], data.get("usage") or {}
    # no JSON, nested too deep, or of another shape
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        message = usage = None
    if not (isinstance(message, dict) and isinstance(usage, dict)):
        raise Fault(f"HTTP 200 with no chat completion: {text}", "time")
    return data


def retry_after(headers: httpx.Headers) -> float:
    """Seconds to wait, 0 for none: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(ValueError):
            return float(headers.get(name, "")) * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return 0.0
    if date.tzinfo is None:  # -0000: UTC, of a place that is not told
        date = date.replace(tzinfo=UTC)
    return (date - datetime.now(UTC)).total_seconds()


def read_completion(data: dict, attempts: int, prompt_was_cut: bool) -> Reply:
    """A finish other than "stop" is a status of the Reply; a "stop" without content is a Fault."""
    usage, choice = data.get("usage") or {}, data["choices"][0]
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    finish, refusal = choice.get("finish_reason"), choice["message"].get("refusal")
    # what is told of the call, kept with the turn
    call = {"model": data.get("model"), "fingerprint": data.get("system_fingerprint")}
    call |= {"finish": finish, "usage": usage, "attempts": attempts}
    if finish == "model_length" or prompt_was_cut:
        return Reply("", "context", *tokens, call)
    # what was said, if it can be used
    text = read_content(choice["message"].get("content"))
    if refusal:
        call["refusal"] = str(refusal)
    elif finish == "stop" and not text:
        raise Fault("empty content", "seed")
    if text.encode(errors="replace").decode() != text:
        raise Fault("content with half a surrogate pair", "seed")
    if finish not in ("stop", "length") or not text or refusal:
        return Reply("", "error", *tokens, call)
    given = choice.get("logprobs")
    logprobs = given.get("content") if isinstance(given, dict) else None
    return Reply(text, "ok" if finish == "stop" else "length", *tokens, call, logprobs)


def read_content(content: object) -> str:
    """A message's words, "" for none: of a text or a list of parts, without the thoughts."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(str(part.get("text", "")) for part in parts)
    return REASONING.sub("", content).strip() if isinstance(content, str) else ""
