"""What a killed process goes on from: the turns of sessions that have not ended, in FILE.part.

generate.py and simulate.py open a `Journal` beside the `Store` of whole sessions; session.py's loop
adds each turn to it, and has it give a session begun before the turns it had.
"""

from pathlib import Path

from act.dialogue.speakers import check_made_with
from act.records import WITH_WORDS, InputError, Store, require


def check_turn(record: dict) -> None:
    """{"id": "<session>#<number>", "turn"}; a session's first turn also has the empty "session"."""
    require(record, {"id": str, "turn": dict})
    if record["id"].endswith("#1"):
        require(record, {"session": dict})


def session_of(turn_id: str) -> str:
    """The session of a turn's id."""
    return turn_id.rpartition("#")[0]


class Journal:
    """FILE.part, one record a turn. Deleted on closing, where every session begun in it stands in
    FILE, the store of whole sessions."""

    def __init__(self, whole: Store):
        self.path, self.whole = Path(f"{whole.path}.part"), whole

    def __enter__(self) -> "Journal":
        self.store = Store(self.path, check_turn)
        self.left = {}  # turn's id -> record: by an earlier process, not restored yet
        for record in self.store.records():
            if session_of(record["id"]) not in self.whole:
                self.left[record["id"]] = record
        self.begun = set(map(session_of, self.left))
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        if all(session in self.whole for session in self.begun):
            self.path.unlink(missing_ok=True)

    def restore(self, record: dict, turns: int) -> None:
        """Give a new session's record the turns it had. Raises InputError if it was begun with
        other settings, or has more turns than are wanted now."""
        if first := self.left.get(f"{record['id']}#1"):
            cure = "; finish it with the same command, or delete the file"
            check_made_with(self.path, first["session"], record, cure)
        # turn by turn, in order, as far as they go
        while kept := self.left.pop(f"{record['id']}#{len(record['turns']) + 1}", None):
            record["turns"].append(kept["turn"])
            if kept["turn"]["status"] not in WITH_WORDS:
                record["status"] = kept["turn"]["status"]
        if (there := len(record["turns"])) > turns:
            has = f"{self.path}: {record['id']} has {there} turns already"
            raise InputError(f"{has}, more than --turns {turns}")

    def add(self, record: dict) -> None:
        """Keep the turn that a session's record has just got."""
        number = len(record["turns"])
        kept = {"id": f"{record['id']}#{number}", "turn": record["turns"][-1]}
        if number == 1:
            # says with which settings the session was begun
            kept["session"] = record | {"turns": [], "status": "complete"}
        self.store.append(kept)
        self.begun.add(record["id"])
