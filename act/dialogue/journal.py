"""What a killed process goes on from: the turns of sessions that have not ended, in a file beside
the sessions' own.

generate.py and simulate.py open a `Journal` beside the `Store` of whole sessions; session.py's loop
adds each turn to it, and has it give a session begun before the turns it had.
"""

from pathlib import Path

from act.dialogue.settings import SETTINGS, check_settings
from act.records import WITH_WORDS, InputError, Store, require


def check_turn(record: dict) -> None:
    """A turn: {"id": "<session>#<number>", "turn"}; a session's first one also has its empty
    "session"."""
    require(record, {"id": str, "turn": dict})
    if record["id"].endswith("#1"):
        require(record, {"session": dict})


class Journal:
    """FILE.part, one record a turn. Deleted when it is closed and every session begun in it stands
    in FILE, the store of whole sessions."""

    def __init__(self, whole: Store):
        self.path, self.whole = Path(f"{whole.path}.part"), whole

    def __enter__(self) -> "Journal":
        self.store = Store(self.path, check_turn)
        turns = (
            record
            for record in self.store.records()
            if record["id"].rpartition("#")[0] not in self.whole
        )
        self.left = {
            record["id"]: record for record in turns
        }  # by an earlier process, not restored yet
        self.begun = {key.rpartition("#")[0] for key in self.left}
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        if all(session in self.whole for session in self.begun):
            self.path.unlink(missing_ok=True)

    def restore(self, record: dict, turns: int) -> None:
        """Give a new session's record the turns it had; InputError if it was begun with other
        settings or more turns than are wanted now."""
        if first := self.left.get(f"{record['id']}#1"):
            cure = "; finish it with the same command, or delete the file"
            check_settings(self.path, first["session"], record, ("profile", *SETTINGS), cure)
        while kept := self.left.pop(f"{record['id']}#{len(record['turns']) + 1}", None):
            record["turns"].append(kept["turn"])
            if kept["turn"]["status"] not in WITH_WORDS:
                record["status"] = kept["turn"]["status"]
        if len(record["turns"]) > turns:
            raise InputError(
                f"{self.path}: {record['id']} has {len(record['turns'])} turns already, more than --turns {turns}"
            )

    def add(self, record: dict, number: int, turn: dict) -> None:
        """Keep the turn that a session's record has just got."""
        empty = {"session": record | {"turns": [], "status": "complete"}} if number == 1 else {}
        self.store.append({"id": f"{record['id']}#{number}", "turn": turn} | empty)
        self.begun.add(record["id"])
