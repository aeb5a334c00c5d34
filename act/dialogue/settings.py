"""What sessions and pairs were made with, kept in each record; a file takes no records made with
anything else.

A model is known by its folder and by its adapter's weights, since the same path may hold another
adapter tomorrow; one behind an endpoint by its name, since the same server may stand at another
address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from act.dialogue.chat import ChatModel
from act.model.checkpoint import is_endpoint
from act.records import InputError

HISTORY = "answers only"
# What is done where a context fills up: nothing is cut, and the session ends.
CONTEXT = "the whole history; a prompt that leaves no room for a reply has none"
SETTINGS = ("models", "adapters", "sampling", "seed")


def made_with(models: Mapping[str, ChatModel], cot_format: str, seed: int) -> dict:
    """The settings of a record, by role: who speaks, the adapters' fingerprints, how replies are
    drawn.

    cot_format is --format's word: "observe" (left to the model) or "enforce" (in decoding).
    """
    sampling = {role: asdict(model.sampling) for role, model in models.items()}
    room = {role: model.context for role, model in models.items()}  # tokens; None: the server's own
    return {
        "models": {role: model.name for role, model in models.items()},
        "adapters": {role: model.adapter for role, model in models.items() if model.adapter},
        "sampling": sampling
        | {"format": cot_format, "history": HISTORY, "context": {"policy": CONTEXT} | room},
        "seed": seed,
    }


def check_settings(
    path: Path | str, held: dict, new: dict, names: Sequence[str] = SETTINGS, cure: str = ""
) -> None:
    """Refuse to add to records that were made otherwise: `new` is what the record would be now."""
    for name in names:
        if _known_by(held, name) != _known_by(new, name):
            raise InputError(
                f"{path}: {held['id']} was made with {name} {held.get(name)}, not {new[name]}{cure}"
            )


def _known_by(record: dict, name: str) -> object:
    if name != "models":
        return record.get(name)
    models, adapters = record.get("models") or {}, record.get("adapters") or {}
    return {role: _without_place(model, role in adapters) for role, model in models.items()}


def _without_place(model: str, adapted: bool) -> str:
    """NAME of NAME@URL, FOLDER of FOLDER+ADAPTER."""
    return (
        model.partition("@")[0]
        if is_endpoint(model)
        else model.rpartition("+")[0]
        if adapted
        else model
    )
