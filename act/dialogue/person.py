"""A person at the keyboard as the client: you talk to the therapist in the terminal.

simulate.py opens one for `--client me`; the session loop asks it as it asks a model. Words come
from stdin, one line a turn.
"""

import sys
from collections.abc import Callable

from act.dialogue.chat import Ask, ChatModel, Reply
from act.dialogue.profiles import ME
from act.dialogue.prompts import TEXTS
from act.model.sampler import Sampling

END = "/end"
STORED = "ends the session. What you type is stored on this computer, in"


class Person(ChatModel):
    """Asks the person for the client's words. Crisis contacts are shown at the start, and again
    where `in_danger(words)`."""

    name = ME
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
        """Show what the therapist said, wait for a line. Raises EOFError at /end or Ctrl-D."""
        ask = self.asked.pop(0)
        self.hear(ask.messages[-1]["content"])
        while not (words := input("you: ").strip()):
            pass  # an empty line may have been pasted
        if words == END:
            raise EOFError
        print()
        if self.in_danger(words):
            print(f"{TEXTS['crisis_notice']}\n")
        return [(ask.key, Reply(words, "ok"))]

    def hear(self, words: str) -> None:
        """Show what the therapist said."""
        print(f"therapist: {words}\n")
