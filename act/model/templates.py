"""Chat templates: a conversation as pieces of text and of special tokens, one function a family.

A folder's own template is recognised by its digest (templates.json) and never run; an unknown one
is told by the vocabulary, with a warning, or by --template NAME.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from act.cli import warn
from act.records import InputError, read_json

Messages = list[dict[str, str]]
"""[{"role": "system" | "user" | "assistant", "content": text}, ...]"""

# pinned: Llama 3.2's own template puts today's date here, so prompts change daily
LLAMA3_DATE = "26 Jul 2024"
SMOLLM_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


class Special(str):
    """A piece of a template that is one special token, not text."""


def with_system(messages: Messages, text: str) -> Messages:
    """The messages, with this system prompt where they have none."""
    if messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": text}, *messages]


def fold_system(messages: Messages) -> Messages:
    """The same conversation without a system message: its text stands before the first user's."""
    if messages[0]["role"] != "system":
        return messages
    system, user, *rest = messages
    first = {"role": "user", "content": f"{system['content']}\n\n{user['content']}"}
    return [first, *rest]


def chatml(messages: Messages) -> list[str]:
    """ChatML: <|im_start|>role newline content <|im_end|> newline."""
    pieces = []
    for message in messages:
        head = f"{message['role']}\n{message['content']}"
        pieces += [Special("<|im_start|>"), head, Special("<|im_end|>"), "\n"]
    return [*pieces, Special("<|im_start|>"), "assistant\n"]


def smollm2(messages: Messages) -> list[str]:
    """ChatML with SmolLM2's own system prompt where there is none."""
    return chatml(with_system(messages, SMOLLM_SYSTEM))


def llama3(messages: Messages, dates: str = "") -> list[str]:
    """Llama 3.0 Instruct: one BOS, then each message behind a header, trimmed."""
    pieces: list[str] = [Special("<|begin_of_text|>")]
    for message in [*messages, {"role": "assistant", "content": ""}]:
        pieces += [Special("<|start_header_id|>"), message["role"], Special("<|end_header_id|>")]
        pieces += [f"\n\n{dates}{message['content'].strip()}", Special("<|eot_id|>")]
        dates = ""  # in the first alone
    return pieces[:-1]  # the reply's end is not the prompt's


def llama31(messages: Messages) -> list[str]:
    """Llama 3.1 to 3.3 Instruct: a system header always, with the (pinned) dates."""
    dates = f"Cutting Knowledge Date: December 2023\nToday Date: {LLAMA3_DATE}\n\n"
    return llama3(with_system(messages, ""), dates)


def mistral(messages: Messages) -> list[str]:
    """Mistral Instruct v3, with the system prompt in the first user turn.

    In the last, where Mistral's own code has it, a session's prompts would share no prefix.
    """
    pieces: list[str] = [Special("<s>")]
    for message in fold_system(messages):
        if message["role"] == "user":
            pieces += [Special("[INST]"), message["content"], Special("[/INST]")]
        else:
            pieces += [message["content"], Special("</s>")]
    return pieces


class Template(NamedTuple):
    """A family: how it writes a conversation, and what may end a reply (the first: written)."""

    pieces: Callable[[Messages], list[str]]
    ends: tuple[str, ...]

    def tokens(self) -> list[Special]:
        """The special tokens that it writes."""
        talk = [{"role": role, "content": ""} for role in ("system", "user", "assistant")]
        pieces = self.pieces(talk)
        return list(dict.fromkeys(piece for piece in pieces if isinstance(piece, Special)))


TEMPLATES = {
    "smollm2": Template(smollm2, ("<|im_end|>", "<|endoftext|>")),
    "chatml": Template(chatml, ("<|im_end|>", "<|endoftext|>")),
    "llama3": Template(llama3, ("<|eot_id|>", "<|end_of_text|>")),
    "llama3.1": Template(llama31, ("<|eot_id|>", "<|end_of_text|>")),
    "mistral": Template(mistral, ("</s>",)),
}
# digest of a public model's template -> its name above
KNOWN = {
    digest: name
    for name, models in read_json(Path(__file__).with_name("templates.json")).items()
    for digest in models
}
# a token that only this family has -> its name; the first that a vocabulary has counts
TOLD_BY = {
    "<|im_start|>": "chatml",
    "<|eom_id|>": "llama3.1",
    "<|start_header_id|>": "llama3",
    "[INST]": "mistral",
}


def own_template(folder: Path) -> str | None:
    """The text of a model folder's chat template, where transformers looks for it; None: none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    for file in (folder / "tokenizer_config.json", folder / "chat_template.json"):
        text = read_json(file).get("chat_template") if file.is_file() else None
        try:
            if isinstance(text, list):  # several, by name
                text = {one["name"]: one["template"] for one in text}.get("default")
            if not isinstance(text, str | None):
                raise TypeError
        except (KeyError, TypeError):
            raise InputError(f'{file}: "chat_template" is no text and no list of them') from None
        if text is not None:
            return text
    return None


def choose(
    folder: Path, has: Callable[[str], bool], asked: str | None
) -> tuple[Template, str | None]:
    """A folder's template, and the name of the one that is usual for it.

    Usual is the folder's own, where it is known here, else, with a warning where it is taken, what
    its vocabulary tells: `has` says whether a token is in that. Another may be `asked` for. Raises
    InputError for an unknown name, and where the vocabulary lacks a token of the template.
    """
    all_names = ", ".join(TEMPLATES)
    if asked and asked not in TEMPLATES:
        raise InputError(f"--template {asked}: none of {all_names}")
    own = own_template(folder)
    known = KNOWN.get(hashlib.sha256((own or "").strip().encode()).hexdigest())
    usual = known or next((name for token, name in TOLD_BY.items() if has(token)), None)
    name = asked or usual
    if name is None:
        said = "its vocabulary fits no chat template that is rendered here"
        raise InputError(f"{folder}: {said} ({all_names})")
    for token in TEMPLATES[name].tokens():
        if not has(token):
            said = f"the chat template {name} writes {token}, which its vocabulary lacks"
            raise InputError(f"{folder}: {said}; --template takes another of {all_names}")
    if not asked and not known:
        why = "its own chat template is not known here"
        why = why if own else "it has no chat template (a base model?)"
        warn(f"{folder}: {why}; by its vocabulary {name} is taken, --template decides")
    return TEMPLATES[name], usual
