"""What a killed process goes on from: the turns of sessions that have not ended, in a file beside the sessions' own."""

from pathlib import Path

from act.records import InputError, Store

GOES_ON = ("ok", "length")  # turn statuses behind which a session goes on


class Journal:
    """FILE.part, with records {"id": "<session>#0", "session": the empty record}, {"id": "<session>#3", "turn": {...}}.

    Deleted when it is closed and every session begun in it stands in FILE, the store of whole sessions.
    """

    def __init__(self, whole: Store):
        self.path, self.whole = Path(f"{whole.path}.part"), whole

    def __enter__(self) -> "Journal":
        self.store = Store(self.path, lambda record: None)
        self.left = {record["id"]: record for record in self.store.records()}  # by an earlier process, not restored yet
        self.begun = {key.removesuffix("#0") for key in self.left if key.endswith("#0")}
        return self

    def __exit__(self, *_: object) -> None:
        self.store.file.close()
        if all(session in self.whole for session in self.begun):
            self.path.unlink()

    def restore(self, record: dict, turns: int) -> None:
        """Give a new session's record the turns it had; InputError if it was begun with other settings or more turns
        than are wanted now."""
        begun = self.left.pop(f"{record['id']}#0", None)
        if begun is None:
            self.begun.add(record["id"])
            self.store.append({"id": f"{record['id']}#0", "session": record})
            return
        for name, value in begun["session"].items():
            if record[name] != value and f"{record['id']}#1" not in self.left:
                break  # nothing was said under the other settings
            if record[name] != value:
                raise InputError(
                    f"{self.path}: {record['id']} was begun with {name} {value}, not {record[name]}; "
                    "finish it with the same command, or delete the file"
                )
        while turn := self.left.pop(f"{record['id']}#{len(record['turns']) + 1}", None):
            record["turns"].append(turn["turn"])
            if turn["turn"]["status"] not in GOES_ON:
                record["status"] = turn["turn"]["status"]
        if len(record["turns"]) > turns:
            raise InputError(
                f"{self.path}: {record['id']} has {len(record['turns'])} turns already, more than --turns {turns}"
            )

    def add(self, session: str, number: int, turn: dict) -> None:
        self.store.append({"id": f"{session}#{number}", "turn": turn})
