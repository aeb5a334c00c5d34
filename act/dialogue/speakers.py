"""A MODEL argument -> who speaks: a model of this process (FOLDER, FOLDER+ADAPTER) or an endpoint
(NAME@URL).

generate.py and simulate.py turn their flags into ChatModels here; local.py and endpoint.py are the
two kinds.
"""

from argparse import Namespace
from collections.abc import Iterable

from act.dialogue.chat import ChatModel
from act.dialogue.endpoint import Endpoint
from act.dialogue.local import LocalChat
from act.model.checkpoint import is_endpoint
from act.model.sampler import Sampling
from act.records import InputError

Speaker = Endpoint | LocalChat


def open_speaker(
    spec: str, sampling: Sampling, args: Namespace, others: Iterable[ChatModel] = ()
) -> Speaker:
    """The speaker that a MODEL argument names; `others` may have its base weights already."""
    if is_endpoint(spec):
        return Endpoint(spec, sampling, args.concurrency, args.timeout, args.room_to_think)
    return LocalChat.load(spec, sampling, args.device, others)


def check_enforced(cot_format: str, spec: str) -> None:
    """Refuse --format enforce for a model whose decoding is out of our hands."""
    if cot_format == "enforce" and is_endpoint(spec):
        raise InputError(
            f"--format enforce works on a model of this process; {spec} is an endpoint"
        )
