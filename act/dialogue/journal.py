"""What the same command goes on from: the settings that a record was made with, and the turns of
sessions that have not ended, in FILE.part.

A file takes no records made with anything else. A model is known by its folder and by its adapter's
weights, since the same path may hold another adapter tomorrow; one behind an endpoint by its name,
since the same server may stand at another address.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from act.dialogue.chat import ChatModel
from act.model.spec import is_endpoint, split_endpoint
from act.records import WITH_WORDS, InputError, Store, check_settings, require

HISTORY = "answers only"  # what a prompt has of the session so far
# what is done where a context fills up: nothing is cut, and the session ends
CONTEXT = "the whole history; a prompt that leaves no room for a reply has none"
# a pair has no profile, and only a replayed client's words are given beforehand
SETTINGS = ("profile", "models", "adapters", "sampling", "seed", "client_words", "served")


def made_with(models: Mapping[str, ChatModel], cot_format: str, seed: int) -> dict:
    """The settings of a record, by role: who speaks, with which adapter, how replies are drawn.

    `cot_format` is --format's word: "observe" (left to the model) or "enforce" (in decoding).
    """
    # tokens that a context holds; None: the server's own
    room = {"policy": CONTEXT} | {role: model.context for role, model in models.items()}
    sampling = {"format": cot_format, "history": HISTORY, "context": room}
    # the template that a local model's folder does not decide
    if asked := {role: model.template for role, model in models.items() if model.template}:
        sampling["template"] = asked
    for role, model in models.items():
        sampling[role] = asdict(model.sampling) | ({"fields": model.fields} if model.fields else {})
    made = {
        "models": {role: model.name for role, model in models.items()},
        "adapters": {role: model.adapter for role, model in models.items() if model.adapter},
        "sampling": sampling,
        "seed": seed,
    }
    # of endpoints that were asked
    served = {role: model.served for role, model in models.items() if model.served is not None}
    return made | ({"served": served} if served else {})


def check_made_with(path: Path | str, held: dict, new: dict, cure: str = "") -> None:
    """Refuse to add to a record whose settings are not those that `new` has."""
    there, now = comparable({"served": {}} | held), comparable(new)
    there = {name: there[name] for name in now if name in there}
    check_settings(f"{path}: {held['id']}", there, now, cure)


def comparable(record: dict) -> dict:
    """A record's settings, each model as it is known, and who was asked otherwise than wanted."""
    settings = {name: record[name] for name in SETTINGS if name in record}
    adapters = record.get("adapters") or {}
    if isinstance(models := record.get("models"), dict):  # else damaged, and of no model
        known = {role: known_as(model, role in adapters) for role, model in models.items()}
        settings["models"] = known
    if served := record.get("served"):
        settings["served"] = {role: ways for role, ways in served.items() if ways}
    return settings


def known_as(model: object, has_adapter: bool) -> object:
    """NAME of NAME@URL; FOLDER of FOLDER+ADAPTER, whose fingerprint stands beside it."""
    if not isinstance(model, str):  # damaged
        return model
    if is_endpoint(model):
        return split_endpoint(model)[0]
    return model.rpartition("+")[0] if has_adapter else model


def check_turn(record: dict) -> None:
    """{"id": "<session>#<number>", "turn"}; a session's first turn also has the empty "session"."""
    require(record, {"id": str, "turn": dict})
    if record["id"].endswith("#1"):
        require(record, {"session": dict})


class Journal(AbstractContextManager):
    """FILE.part, one record a turn. Deleted on closing, where every session begun in it stands in
    FILE, the store of whole sessions."""

    def __init__(self, whole: Store):
        self.path, self.whole = Path(f"{whole.path}.part"), whole
        self.store = Store(self.path, check_turn)
        # turn's id -> record: by an earlier process, not restored yet
        self.left = {turn["id"]: turn for turn in self.store.records() if self._open(turn["id"])}

    def __exit__(self, *_: object) -> None:
        self.store.close()
        if not any(map(self._open, self.store.keys)):
            self.path.unlink(missing_ok=True)

    def _open(self, turn_id: str) -> bool:
        """Has the session of this turn not ended?"""
        return turn_id.rpartition("#")[0] not in self.whole

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
        if number == 1:  # with which settings the session was begun
            kept["session"] = record | {"turns": [], "status": "complete"}
        self.store.append(kept)
