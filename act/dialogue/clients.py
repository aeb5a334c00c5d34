"""Clients who are no model: recorded ones, and a person at the keyboard.

A recorded client says the words of a session again, line by line, whatever the therapist answers,
and so the same in every condition. A file of them is JSONL. A row is one client: a session
(records.check_session), or anything that has an "id", or a "profile" with one, and in "turns" the
"client"'s words:

    {"id": "g01", "issue": "panic on the bus", "turns": [{"client": "It happened on the bus."}]}
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from act.dialogue.chat import Ask, ChatModel, Reply
from act.dialogue.profiles import ME
from act.dialogue.prompts import TEXTS, check_client
from act.model.sampler import Sampling
from act.records import WITH_WORDS, InputError, digest, read_placed, read_unique, require

REPLAYED = "replayed"  # in a session's "models"; the archetype of who has none in the file
END = "/end"
STORED = "ends the session. What you type is stored on this computer, in"
# what stands before the second column of a line of the crisis contacts; nothing of other lines
FIRST_COLUMN = re.compile(r"(?: +\S.*? {2,})?")


@dataclass(frozen=True)
class Client:
    """Who comes to a session. `lines`: what a recorded client says; None for one who is played."""

    profile: dict
    lines: list[str] | None = None

    @property
    def words(self) -> str | None:
        """The fingerprint of its lines, by which a session knows them again."""
        return digest(self.lines) if self.lines else None

    def turns(self, most: int) -> int:
        """How many turns its session has."""
        return min(most, len(self.lines)) if self.lines else most


class Replayed(ChatModel):
    """The speaker of recorded clients. Nothing is asked of it: a session takes their lines."""

    name = REPLAYED
    sampling = Sampling(None, None, None)


def read_clients(path: str | Path) -> dict[str, Client]:
    """Id -> client, in the file's order. Of several rows of one client that say the same as far as
    they go (sessions of other conditions, some of which ended early) the longest is taken.

    Raises InputError, with file and line, for a row without words or an id, and where one client
    says different things.
    """
    found: dict[str, tuple[str, Client]] = {}  # id -> where, and who
    for place, row in read_placed(path):
        try:
            new = Client(profile_of(row), lines_of(row))
        except ValueError as error:
            raise InputError(f"{place}: {error}") from None
        name = new.profile["id"]
        there, held = found.setdefault(name, (place, new))
        shared = min(len(held.lines), len(new.lines))
        if held.lines[:shared] != new.lines[:shared]:
            other = f"client {name} says other words than in {there}"
            cure = "keep the sessions of one condition, or give each client an id of its own"
            raise InputError(f"{place}: {other}; {cure}")
        if len(new.lines) > len(held.lines):
            found[name] = place, new
    if not found:
        raise InputError(f"{path}: no records")
    return {name: client for name, (_, client) in found.items()}


def profile_of(row: dict) -> dict:
    """A session's own profile; of other rows the id and, where it is told, the issue."""
    profile = row.get("profile") or {}
    if not isinstance(profile, dict):
        raise ValueError('"profile" is not an object')
    told = {name: row[name] for name in ("id", "issue") if name in row}
    profile = told | {"archetype": REPLAYED} | profile
    require(profile, {"id": str, "archetype": str})
    if not profile["id"].strip():
        raise ValueError('"id" is empty')
    return profile


def lines_of(row: dict) -> list[str]:
    """What the client says, turn by turn. A last turn that failed before the client spoke has no
    words, and is left out."""
    require(row, {"turns": list})
    lines = []
    for number, turn in enumerate(row["turns"], 1):
        if not isinstance(turn, dict):
            raise ValueError(f"turn {number} is not an object")
        if not isinstance(turn.get("client"), str):
            raise ValueError(f'turn {number} has no "client" with the client\'s words')
        failed = turn.get("status", "ok") not in WITH_WORDS
        if turn["client"].strip():
            lines.append(turn["client"])
        elif not failed or number < len(row["turns"]):
            raise ValueError(f'turn {number}: "client" is empty')
    if not lines:
        raise ValueError("the client says nothing in it; leave the line out")
    return lines


def pick(clients: dict[str, Client], path: str | Path, source: str) -> dict[str, Client]:
    """Those clients of `source` whose ids stand in a file of profiles."""
    picked = {}
    for row in read_unique(path, lambda row: require(row, {"id": str})):
        if row["id"] not in clients:
            raise InputError(f"{path}: client {row['id']} is not in {source}")
        picked[row["id"]] = clients[row["id"]]
    return picked


def played(path: str | Path) -> dict[str, Client]:
    """Id -> client, of a file of profiles that a model can play."""
    return {row["id"]: Client(row) for row in read_unique(path, check_client)}


class Person(ChatModel):
    """You, in the terminal: a line of stdin is a turn. Crisis contacts are shown at the start, and
    again where `in_danger(words)`; `opens`: the study's therapist speaks first."""

    name = ME
    sampling = Sampling(None, None, None)

    def __init__(self, out: str, in_danger: Callable[[str], bool], opens: bool = True):
        self.in_danger, self.opens = in_danger, opens
        self.asked: list[Ask] = []
        sys.stdin.reconfigure(errors="replace")  # what is typed may not be UTF-8
        show(TEXTS["not_a_treatment"])
        show(TEXTS["crisis_notice"])
        show(f"{END}, or Ctrl-D, {STORED} {out}.")

    @property
    def busy(self) -> int:
        """Turns that the person has yet to say."""
        return len(self.asked)

    def start(self, asks: list[Ask]) -> None:
        """Note what is asked; the person is asked by `step`."""
        self.asked += asks

    def step(self, wait: float = 0) -> list[tuple[str, Reply]]:
        """Show what the therapist said, wait for a line. Raises EOFError at /end or Ctrl-D."""
        ask = self.asked.pop(0)
        heard = ask.messages[-1]["content"]
        if self.opens or heard != TEXTS["client_opening"]:
            self.hear(heard)
        while not (words := input("you: ").strip()):
            pass  # an empty line may have been pasted
        if words == END:
            raise EOFError
        print()
        if self.in_danger(words):
            show(TEXTS["crisis_notice"])
        return [(ask.key, Reply(words, "ok"))]

    def hear(self, words: str) -> None:
        """Show what the therapist said."""
        show(f"therapist: {words}")


def show(text: str) -> None:
    """Print a text, and an empty line, without breaking a word at the terminal's edge."""
    width = shutil.get_terminal_size().columns
    words = {"break_long_words": False, "break_on_hyphens": False}
    for line in text.splitlines():
        indent = " " * min(FIRST_COLUMN.match(line).end(), width // 2)
        print(textwrap.fill(line, width, subsequent_indent=indent, **words))
    print()
