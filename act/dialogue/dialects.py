"""Where OpenAI-compatible servers differ: one small table, chosen by address."""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Dialect:
    """Where a family of servers differs from the others."""

    key: str  # the environment variable that holds the key
    hosts: tuple[str, ...] = ()  # HOST or :PORT that tells the family
    max_tokens: str = "max_tokens"
    seed: str | None = "seed"
    cuts_prompts: bool = False  # silently, where they exceed its context
    fixed_sampling: str = r"\Z."  # names of models that refuse temperature and top_p, and think before they answer
    room_to_think: int = 0  # tokens such a model may spend before its answer
    schemas: bool = True  # may be asked for JSON of a schema, and
    logprobs: bool = True  # for the log-probabilities of its tokens


DIALECTS = {
    "openai": Dialect(
        "OPENAI_API_KEY",
        ("api.openai.com",),
        max_tokens="max_completion_tokens",
        fixed_sampling=r"gpt-5|o\d",
        room_to_think=2048,
    ),
    "mistral": Dialect("MISTRAL_API_KEY", ("api.mistral.ai",), seed="random_seed", logprobs=False),
    "deepseek": Dialect("DEEPSEEK_API_KEY", ("api.deepseek.com",), seed=None, schemas=False),
    "ollama": Dialect("OLLAMA_API_KEY", (":11434",), cuts_prompts=True, logprobs=False),
    "other": Dialect("ACT_API_KEY"),  # vLLM, llama.cpp, and whatever else speaks OpenAI's chat completions
}


def find_dialect(url: httpx.URL) -> str:
    """The name of the family of servers at an address."""
    places = (url.host, f":{url.port}")
    return next((name for name, dialect in DIALECTS.items() if set(places) & set(dialect.hosts)), "other")
