"""Which family of models a name belongs to: a judge may prefer the words of its own kind
(Panickssery et al. 2024).

`judge.py rate` warns where a judge and a speaker of the rated sessions are of one family. Families
are told by names, of a folder also by the name in its config.json: a renamed model is not
recognised.
"""

import re
from pathlib import Path

from act.records import read_json

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
    """The family of a MODEL argument by its name (of a folder, the name its config.json holds too),
    or the bare name.

    >>> family_of("ministral-8b@https://api.mistral.ai/v1"),
    family_of("models/smollm2-135m-instruct+runs/sft") ('Mistral', 'SmolLM')
    """
    name = re.split(r"[@+]", spec)[0].rstrip("/")
    config = Path(name) / "config.json"
    known = name.rpartition("/")[2]
    if config.is_file():
        known += f" {read_json(config).get('_name_or_path') or ''}"
    for family, pattern in FAMILIES.items():
        if re.search(pattern, known, re.IGNORECASE):
            return family
    return known.strip()


def same_family(judge: str, sessions: list[dict]) -> list[str]:
    """The roles ("therapist", "client") in which a model of the judge's family speaks in some
    session.

    Sessions from elsewhere may say nothing of their models, or not in our way: of those nothing is
    known.
    """
    mine, models = family_of(judge), [session.get("models") for session in sessions]
    spoken = {
        pair
        for some in models
        if isinstance(some, dict)
        for pair in some.items()
        if isinstance(pair[1], str)
    }
    return sorted(
        {role for role, name in spoken if role != "supervisor" and name and family_of(name) == mine}
    )
