"""What a killed process goes on from: the turns of sessions that have not ended, in a file beside the sessions' own."""

from pathlib import Path

from act.records import InputError, Store

GOES_ON = ("ok", "length")  # turn statuses behind which a session goes on


class Journal:
    """FILE.part, with records {"id": "<session>#0", "session": the empty record}, {"id": "<session>#3", "turn": {...}}.

    Deleted when it is left without an exception: then every session of it has ended and stands in FILE.
    """

    def __init__(self, sessions: str | Path):
        self.path = Path(f"{sessions}.part")

    def __enter__(self) -> "Journal":
        self.store = Store(self.path, lambda record: None)
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.store.file.close()
        if kind is None:
            self.path.unlink()

    def restore(self, record: dict) -> None:
        """Give a new session's record the turns it had; InputError if it was begun with other settings."""
        begun = self.store.records.get(f"{record['id']}#0")
        if begun is None:
            self.store.append({"id": f"{record['id']}#0", "session": record})
            return
        for name, value in begun["session"].items():
            if record[name] != value:
                raise InputError(
                    f"{self.path}: {record['id']} was begun with {name} {value}, not {record[name]}; "
                    "finish it with the same command, or delete the file"
                )
        while turn := self.store.records.pop(f"{record['id']}#{len(record['turns']) + 1}", None):
            record["turns"].append(turn["turn"])
            if turn["turn"]["status"] not in GOES_ON:
                record["status"] = turn["turn"]["status"]

    def add(self, session: str, number: int, turn: dict) -> None:
        self.store.append({"id": f"{session}#{number}", "turn": turn})
        del self.store.records[f"{session}#{number}"]  # it is in the file: memory stays flat
