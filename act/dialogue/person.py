"""A person at the keyboard as the client: you talk to the therapist in the terminal.

simulate.py opens one for `--client me`; the session loop asks it as it asks a model. Words come
from stdin, one line a turn, and leaving early raises `Ended`.
"""

import sys
from collections.abc import Callable

from act.dialogue.chat import Ask, Reply
from act.dialogue.profiles import ME
from act.dialogue.prompts import TEXTS
from act.model.sampler import Sampling

END = "/end"
STORED = "ends the session. What you type is stored on this computer, in"


class Ended(Exception):
    """The person has had enough."""


class Person:
    """Asks the person for the client's words. Crisis contacts are shown at the start, and again
    where `in_danger(words)`."""

    remote = False
    name = ME
    adapter = context = None
    sampling = Sampling(None, None, None)

    def __init__(self, out: str, in_danger: Callable[[str], bool]):
        self.in_danger = in_danger
        self.asked: list[Ask] = []
        sys.stdin.reconfigure(errors="replace")  # what is typed may not be UTF-8
        print(f"{TEXTS['not_a_treatment']}\n\n{TEXTS['crisis_notice']}\n")
        print(f"{END}, or Ctrl-D, {STORED} {out}.\n")

    @property
    def busy(self) -> int:
        """Turns that the person has yet to say."""
        return len(self.asked)

    def start(self, asks: list[Ask]) -> None:
        """Note what is asked; the person is asked by `step`."""
        self.asked += asks

    def step(self, wait: float = 0) -> list[tuple[str, Reply]]:
        """Show what the therapist said, wait for a line. Raises Ended at /end or its end."""
        ask = self.asked.pop(0)
        self.hear(ask.messages[-1]["content"])
        words = ""
        while not words:  # an empty line may have been pasted
            print("you: ", end="", flush=True)
            line = sys.stdin.readline()
            words = line.strip()
            if not line or words == END:  # no line: Ctrl-D
                raise Ended
        print()
        if self.in_danger(words):
            print(f"{TEXTS['crisis_notice']}\n")
        return [(ask.key, Reply(words, "ok"))]

    def hear(self, words: str) -> None:
        """Show what the therapist said."""
        print(f"therapist: {words}\n")

    def forget(self, key: str) -> None:
        """Nothing is kept of a conversation."""
