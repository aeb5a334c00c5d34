"""Which family of models a name belongs to: a judge may prefer the words of its own kind (Panickssery et al. 2024)."""

import json
import re
from pathlib import Path

FAMILIES = {
    "Llama": r"llama|vicuna",
    "SmolLM": r"smollm",
    "Mistral": r"mistral|mixtral|ministral|magistral",
    "Qwen": r"qwen|qwq",
    "GPT": r"gpt|\bo[134]\b",
    "Claude": r"claude",
    "Gemini": r"gemini|gemma",
    "DeepSeek": r"deepseek",
    "Phi": r"\bphi",
    "Command": r"command-|aya",
}


def family_of(spec: str) -> str:
    """The family of a MODEL argument by its name (of a folder, the name its config.json holds too), or the bare name.

    >>> family_of("ministral-8b@https://api.mistral.ai/v1"), family_of("models/smollm2-135m-instruct+runs/sft")
    ('Mistral', 'SmolLM')
    """
    name = re.split(r"[@+]", spec)[0].rstrip("/")
    config = Path(name) / "config.json"
    known = name.rpartition("/")[2]
    if config.is_file():
        known += f" {json.loads(config.read_text()).get('_name_or_path') or ''}"
    for family, pattern in FAMILIES.items():
        if re.search(pattern, known, re.IGNORECASE):
            return family
    return known.strip()


def same_family(judge: str, sessions: list[dict]) -> list[str]:
    """The roles ("therapist", "client") in which a model of the judge's family speaks in some session."""
    mine, roles = family_of(judge), set()
    for session in sessions:
        for role, model in session.get("models", {}).items():
            if role != "supervisor" and model and family_of(model) == mine:
                roles.add(role)
    return sorted(roles)
