"""A MODEL argument -> a model of this process (local.py) or behind an endpoint (endpoint.py); and
what a record says of the speakers it was made with.

A file takes no records made with anything else. A model is known by its folder and by its adapter's
weights, since the same path may hold another adapter tomorrow; one behind an endpoint by its name,
since the same server may stand at another address.
"""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from act.dialogue.chat import ChatModel
from act.dialogue.endpoint import Endpoint
from act.dialogue.local import LocalChat
from act.model.checkpoint import is_endpoint, split_endpoint
from act.model.sampler import Sampling
from act.records import InputError, check_settings

Speaker = Endpoint | LocalChat

# What a record says of how its prompts were made.
HISTORY = "answers only"
# What is done where a context fills up: nothing is cut, and the session ends.
CONTEXT = "the whole history; a prompt that leaves no room for a reply has none"
SETTINGS = ("profile", "models", "adapters", "sampling", "seed")  # of a pair: but for the profile


def open_speaker(spec: str, sampling: Sampling, args: Namespace) -> Speaker:
    """The speaker that a MODEL argument names."""
    if is_endpoint(spec):
        return Endpoint(spec, sampling, args.concurrency, args.timeout, args.room_to_think)
    return LocalChat.load(spec, sampling, args.device)


def check_enforced(cot_format: str, spec: str) -> None:
    """Refuse --format enforce for a model whose decoding is out of our hands."""
    if cot_format == "enforce" and is_endpoint(spec):
        ours = "--format enforce works on a model of this process"
        raise InputError(f"{ours}; {spec} is an endpoint")


def made_with(models: Mapping[str, ChatModel], cot_format: str, seed: int) -> dict:
    """The settings of a record, by role: who speaks, with which adapter, how replies are drawn.

    `cot_format` is --format's word: "observe" (left to the model) or "enforce" (in decoding).
    """
    # tokens that a context holds; None: the server's own
    room = {"policy": CONTEXT} | {role: model.context for role, model in models.items()}
    shared = {"format": cot_format, "history": HISTORY, "context": room}
    return {
        "models": {role: model.name for role, model in models.items()},
        "adapters": {role: model.adapter for role, model in models.items() if model.adapter},
        "sampling": {role: asdict(model.sampling) for role, model in models.items()} | shared,
        "seed": seed,
    }


def check_made_with(path: Path | str, held: dict, new: dict, cure: str = "") -> None:
    """Refuse to add to a record that was made otherwise than `new`, what it would be now."""
    check_settings(f"{path}: {held['id']}", _settings(held), _settings(new), cure)


def _settings(record: dict) -> dict:
    """Of each model what it is known by: NAME of NAME@URL, FOLDER of FOLDER+ADAPTER."""
    settings = {name: record[name] for name in SETTINGS if name in record}
    adapters, models = record.get("adapters") or {}, {}  # role -> fingerprint, role -> name
    for role, model in (record.get("models") or {}).items():
        if is_endpoint(model):
            model = split_endpoint(model)[0]  # wherever it is served
        elif role in adapters:
            model = model.rpartition("+")[0]  # its fingerprint stands for the adapter
        models[role] = model
    return settings | {"models": models}
