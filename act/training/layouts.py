"""A row of training data, in whatever layout it came -> its prompt and its answers.

Read are TRL's layouts: {"prompt", "chosen", "rejected"}, {"prompt", "completion"} and {"messages"},
as text or as lists of messages. A prompt that is text is one user message. "prompt" may be missing
where the answers are whole conversations: what all but their last message say is the prompt. Or
"messages" hold it, beside "chosen" and "rejected". Where a row has the prompt more than once, or a
"system" column, all must say the same. In text that begins with "Human:" the turns are marked, as
Anthropic's hh-rlhf marks them. One row in three layouts:

    {"prompt": "I cannot sleep.", "chosen": "What keeps you up?", "rejected": "Less coffee."}
    {"chosen": [{"role": "user", "content": "I cannot sleep."},
                {"role": "assistant", "content": "What keeps you up?"}], "rejected": [...]}
    {"chosen": "\\n\\nHuman: I cannot sleep.\\n\\nAssistant: What keeps you up?", "rejected": ...}

Columns that would make a row mean something else, and layouts that are not read, are refused by the
names and lines of layouts.json: nothing is learned whose context is in doubt.
"""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from act.model.tokenizer import Messages

KNOWN = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
ROLES = ("system", "user", "assistant")
ABSENT = (None, "", [], {})  # a column that a row does not have, in tables that need a value
TARGETS = ("last", "all")  # of "messages": which of the assistant's messages are learned
ECHO = 4  # words of a prompt that no answer begins with by chance
COLUMNS = ("chosen", "rejected", "completion", "messages")  # that may hold answers
MARK = re.compile(r"(?:^|\n\n)(Human|Assistant):")
SPEAKERS = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True)
class Row:
    """What is learned from: a prompt and the answers to it."""

    prompt: Messages  # user and assistant in turn, the user last, behind one system message at most
    answers: dict[str, str]  # by name: "completion", or "chosen" and "rejected"
    cut: set[str]  # names of those that were cut off when they were written
    session: str  # its name, or "" where the row says none


def read_row(row: dict, targets: str = "last") -> list[Row]:
    """The examples of a row: one, or of "messages" with targets "all" one an assistant message.

    Raises ValueError for a row that is not read, with the way out.
    """
    # 1. what would mean something else
    given = {name: value for name, value in row.items() if value not in ABSENT}
    refuse_other_meaning(given)
    empty = [name for name in COLUMNS if name in row and name not in given]
    columns = answer_columns(given, empty)
    # 2. conversations that end with the answers, taken apart
    talks = {name: conversation(name, given[name], "assistant") for name in columns}
    beginning = shared_beginning(talks)
    answers = {name: talk[-1]["content"].strip() for name, talk in talks.items()}
    if len(set(answers.values())) < len(answers):
        raise ValueError('"chosen" and "rejected" are the same')
    # 3. the prompt: what they begin with, and what other columns say of it
    if not beginning:
        check_echo(given.get("prompt"), answers)
    prompt = whole_prompt(given, answers.get("chosen"), beginning)
    # 4. the example of the last answer, and of those before it
    is_talk = columns == ["messages"]
    if is_talk:
        answers = {"completion": answers["messages"]}
    cut, names = given.get("cut", []), list(answers)
    if not isinstance(cut, list) or not all(name in names for name in cut):
        raise ValueError(f'"cut" is {cut!r}; it is a list of answers, of {", ".join(names)}')
    last = Row(prompt, answers, set(cut), str(given.get("session", "")))
    return [*earlier_turns(last), last] if is_talk and targets == "all" else [last]


def shared_beginning(talks: dict[str, Messages]) -> Messages:
    """What stands before the answers, the last messages: nothing where they are plain text.

    Raises ValueError where one ends with another message, or where it is not the same of both.
    """
    for name, talk in talks.items():
        if talk[-1]["role"] != "assistant":
            raise ValueError(f'"{name}" ends with a {talk[-1]["role"]} message: no answer to learn')
    beginning, *others = (talk[:-1] for talk in talks.values())
    if others and others[0] != beginning:
        alike = "all but the last message must be the same: it is the prompt"
        raise ValueError(f'"chosen" and "rejected" do not begin alike; {alike}')
    return beginning


def check_echo(prompt: object, answers: dict[str, str]) -> None:
    """Raise ValueError where text answers are whole texts, though their prompt is beside them."""
    if not isinstance(prompt, str) or len(prompt.split()) < ECHO:
        return
    if all(answer.startswith(prompt.strip()) for answer in answers.values()):
        raise ValueError("what was asked stands in the answer again: leave it out there")


def answer_columns(row: dict, empty: list[str]) -> list[str]:
    """The columns that hold the answers, of which others are `empty`. Raises ValueError where there
    are none, or too many."""
    here = [name for name in COLUMNS if name in row]
    if here[:2] == ["chosen", "rejected"] and "completion" not in here:
        return here[:2]  # messages beside them hold the prompt
    if here in (["completion"], ["messages"]):
        return here
    for name in empty:
        if not here or {name, *here} == {"chosen", "rejected"}:
            raise ValueError(f'"{name}" is empty')
    needed = '"completion", "messages", or "chosen" and "rejected" hold what is learned'
    why = f"{needed}; here is {quoted(row) or 'nothing'}; {shown('pair')}"
    raise ValueError(other_layout(row) or why)


def earlier_turns(row: Row) -> list[Row]:
    """What the assistant said in a row's prompt, each behind what was said before it."""
    rows = []
    for place, message in enumerate(row.prompt):
        if message["role"] == "assistant":
            answers = {"completion": message["content"].strip()}
            rows.append(replace(row, prompt=row.prompt[:place], answers=answers, cut=set()))
    return rows


def refuse_other_meaning(fields: dict) -> None:
    """Raise ValueError for a field of a row, or of a message, that would change what is learned."""
    for kind in KNOWN["other meaning"]:
        for name in kind["names"]:
            harmless = (*ABSENT, kind.get("unless"))
            beside = kind.get("beside", name)  # the field beside which it has another meaning
            if beside in fields and fields.get(name) not in harmless:
                raise ValueError(f'"{name}": {kind["line"]}')


def shown(kind: str) -> str:
    """A row as it could be, to show; `kind` is "pair" or "example"."""
    return f"a row of {kind}s: {json.dumps(KNOWN['rows'][kind])}"


def quoted(names: Iterable[str]) -> str:
    """Names in quotes, with commas between them."""
    return ", ".join(f'"{name}"' for name in names)


def other_layout(row: dict) -> str | None:
    """What layout of others a row is in, and the line of Python that brings it into one of ours."""
    for layout in KNOWN["other layouts"]:
        if all(name in row for name in layout["columns"]):
            names = quoted(layout["columns"])
            python = f"in Python: {layout['python']}; " if "python" in layout else ""
            return f"{names}: {layout['is']}, not read; {python}{shown(layout['row'])}"
    for name, value in row.items():
        if isinstance(value, list) and isinstance(value[0], dict) and "content" not in value[0]:
            rows = shlex.quote(f".[{json.dumps(name)}][]")
            cure = f"jq -c {rows} FILE > FILE.jsonl"
            return f'rows under "{name}"? A row is an object of its own: {cure}'
    return None


def conversation(name: str, value: object, speaker: str) -> Messages:
    """The messages of a column; text is one message of the `speaker`, if its turns are not marked.

    Raises ValueError, which names the column, for what holds none.
    """
    if isinstance(value, str) and name != "messages":
        return marked_turns(name, value) or [{"role": speaker, "content": plain(name, value)}]
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        value = [with_text(name, message) for message in value]
    check_messages(name, value)
    return [{"role": message["role"], "content": message["content"]} for message in value]


def plain(name: str, text: str) -> str:
    """The text. Raises ValueError where it is a rendered or a spelt conversation."""
    bare = text.strip()
    if not bare:
        raise ValueError(f'"{name}" is empty')
    for mark in KNOWN["rendered"]:
        if bare.startswith(mark) or bare.endswith(mark):
            cure = "give the messages as they were before a chat template"
            raise ValueError(f'"{name}" holds {mark}: {cure}')
    if re.match(r"""\[\s*\{\s*["'](role|from)""", bare):
        cure = f'row["{name}"] = json.loads(row["{name}"])'
        raise ValueError(f'"{name}" is text that spells a list of messages: {cure}')
    return text


def marked_turns(name: str, text: str) -> Messages:
    """The turns of text that begins with "Human:", as hh-rlhf marks them; none of other text.

    A last mark with nothing behind it says where the answer begins.
    """
    if not text.lstrip().startswith("Human:"):
        return []
    _, *pieces = MARK.split(text.strip())  # speaker, words, speaker, words, ...
    turns = zip(pieces[::2], pieces[1::2], strict=True)
    messages = [{"role": SPEAKERS[speaker], "content": words.strip()} for speaker, words in turns]
    if not messages[-1]["content"]:
        messages.pop()
    check_messages(name, messages)
    return messages


def with_text(name: str, message: object) -> object:
    """A message whose content is text, joined of its parts where all of them are text."""
    if not isinstance(message, dict):
        return message
    if "from" in message and "role" not in message:
        raise ValueError(f'"{name}" has "from" for "role"; in Python: {KNOWN["from"]}')
    refuse_other_meaning(message)
    for field, value in message.items():
        if field not in KNOWN["message"]["fields"] and value not in ABSENT:
            raise ValueError(f'"{field}": {KNOWN["message"]["line"]}')
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise ValueError(f'"{name}" has content that is not text; text alone is read')
    return message | {"content": "".join(part["text"] for part in parts)}


def check_messages(name: str, messages: object) -> None:
    """Raise ValueError unless `messages` is a list of {"role", "content"}, with text in each."""
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'"{name}" is empty or not a list of messages')
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(f'"{name}" holds something that has no "content" with text')
        role = message.get("role")
        if role not in ROLES:
            cure = KNOWN["roles"].get(str(role), f"{', '.join(ROLES)} are read")
            raise ValueError(f'"{name}" has role {role!r}; {cure}')
        if not message["content"].strip():
            raise ValueError(f'"{name}" has an empty {role} message')


def whole_prompt(row: dict, chosen: str | None, beginning: Messages) -> Messages:
    """The prompt of a row: how its answers begin, and what its other columns say of it.

    `chosen` is the answer that "messages" beside a pair may end with. Raises ValueError where they
    say different things, where there is nothing, or no order.
    """
    prompt = beginning
    # 1. "messages" beside a pair, and "prompt"
    if "messages" in row and chosen is not None:
        messages = conversation("messages", row["messages"], "user")
        if messages[-1]["role"] == "assistant" and messages.pop()["content"].strip() != chosen:
            raise ValueError('"messages" and "chosen" end with different answers; leave one out')
        prompt = joined("messages", messages, prompt)
    if "prompt" in row:
        prompt = joined("prompt", conversation("prompt", row["prompt"], "user"), prompt)
    if not prompt:
        lost = "the answer would be learned without its context"
        why = f'no "prompt": {lost}; where it ends in plain text cannot be told; {shown("pair")}'
        raise ValueError(other_layout(row) or why)
    # 2. a system message of its own column
    for name in ("system", "system_prompt"):
        if name in row:
            system = {"role": "system", "content": row[name]}
            check_messages(name, [system])
            if prompt[0]["role"] != "system":
                prompt = [system, *prompt]
            elif spoken(prompt[:1]) != spoken([system]):
                raise ValueError(f'"{name}" is not the conversation\'s own system message')
    # 3. who speaks when
    turns = prompt[turns_begin(prompt) :]
    if not in_turn(turns):
        why = "user and assistant in turn, a user message last, after a system one at most"
        if turns and turns[0]["role"] == "assistant":
            cure = "leave its first message out, or put it into the system one"
            why += f"; the assistant begins: {cure}"
        raise ValueError(f"what is said before the answer is not {why}")
    return prompt


def joined(name: str, before: Messages, beginning: Messages) -> Messages:
    """What the column `name` holds and how the answers begin, as one conversation.

    Either may hold the other, or be empty, or the answers go on from where the column ends. Raises
    ValueError where they say different things.
    """
    here, there = spoken(before), spoken(beginning)
    places = range(len(there) - len(here) + 1)
    if any(there[place : place + len(here)] == here for place in places):
        return beginning
    if here[max(0, len(here) - len(there)) :] == there:  # it ends as they begin
        return before
    if before[-1]["role"] != "user":  # its next message is the first of the answers' conversations
        return before + beginning
    cure = "give the conversation once, whole"
    raise ValueError(f'"{name}" is not what is said before the answer; {cure}')


def spoken(messages: Messages) -> list[tuple[str, str]]:
    """Who says what, without the white space around it."""
    return [(message["role"], message["content"].strip()) for message in messages]


def turns_begin(messages: Messages) -> int:
    """The place of the first turn: behind a system prompt, where there is one."""
    return int(messages[0]["role"] == "system")


def in_turn(messages: Messages) -> bool:
    """Do user and assistant speak in turn, the user first and last?"""
    roles = [message["role"] for message in messages]
    return roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
