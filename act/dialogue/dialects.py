"""Where OpenAI-compatible servers differ: one small table, chosen by address, and what differs by
model or answer.

endpoint.py looks its server up here and writes each request accordingly; the judge's endpoint
(act/judging/served.py) reads `schemas` and `logprobs`. What none of these rows says is taken to be
OpenAI's chat completions.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx


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

# Models of OpenAI's, wherever they are served, that think before they answer and refuse max_tokens,
# temperature, top_p.
THINKS = re.compile(r"gpt-5|o\d")
ROOM_TO_THINK = 2048  # tokens such a model may spend before its answer, at least


def find_dialect(url: httpx.URL) -> Dialect:
    """The dialect of the server at an address."""
    return next(dialect for dialect in DIALECTS if dialect.host in (url.host, f":{url.port}", ""))


def retry_after(headers: httpx.Headers) -> float:
    """Seconds a server asks for: `retry-after-ms`, or `retry-after` in seconds or as a date; 0 for
    none."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d+\.?\d*|\.\d+", value):
            return float(value) * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return 0.0
    date = (
        date if date.tzinfo else date.replace(tzinfo=UTC)
    )  # -0000: UTC, of a place that is not told
    return (date - datetime.now(UTC)).total_seconds()
