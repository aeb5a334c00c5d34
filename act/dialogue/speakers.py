"""A MODEL argument -> who speaks: a model of this process (FOLDER, FOLDER+ADAPTER) or an endpoint (NAME@URL)."""

from argparse import Namespace

from act.dialogue.chat import ChatModel
from act.dialogue.endpoint import Endpoint
from act.dialogue.local import LocalChat
from act.model.checkpoint import is_endpoint
from act.model.sampler import Sampling
from act.records import InputError


def open_speaker(spec: str, sampling: Sampling, args: Namespace) -> ChatModel:
    if is_endpoint(spec):
        return Endpoint(spec, sampling, args.concurrency, args.timeout, args.room_to_think)
    return LocalChat.load(spec, sampling, args.device)


def check_enforced(form: str, model: ChatModel) -> None:
    """Refuse --format enforce for a model whose decoding is out of our hands."""
    if form == "enforce" and model.remote:
        raise InputError(f"--format enforce works on a model of this process; {model.name} is an endpoint")
