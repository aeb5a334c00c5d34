"""What a server takes of a request is learned at the start, by one question of the real shape.

Servers refuse what they do not know, or what their model does not have: a seed, a temperature
beside top_p, a system role, a JSON schema. What is refused is left out for the whole run, never for
one prompt: records say so, and a file holds what was asked in one way.
"""

from collections.abc import Callable

from act.dialogue.wire import Fault
from act.model.sampler import Sampling

SEED = object()  # in a field's place: the seed of whatever is asked
NONE = "none"
OWN, FOLDED = "message", "in the first user turn"  # places of a system prompt
# HTTP statuses of a request whose fields may be at fault, or whose roles; words for it are many
REFUSALS = (400, 403, 404, 422, 500, 501)
QUESTION = [  # of any model; with a system message and turns, as all others have
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "Say OK."},
    {"role": "assistant", "content": "OK."},
    {"role": "user", "content": "Say OK once more."},
]

Options = dict[str, dict[str, dict]]  # name -> ways to ask for it, the best first: way -> fields
Taken = dict[str, str]  # name -> way


def options(sampling: Sampling, limit: int) -> Options:
    """The ways to ask for a reply of `limit` tokens."""
    limits, seeds = ("max_tokens", "max_completion_tokens"), ("seed", "random_seed")
    return {
        "limit": {name: {name: limit} for name in limits} | {NONE: {}},
        "system": {OWN: {}, FOLDED: {}},
        "temperature": {"sent": {"temperature": sampling.temperature}, NONE: {}},
        "seed": {name: {name: SEED} for name in seeds} | {NONE: {}},
        "top_p": {"sent": {"top_p": sampling.top_p}, NONE: {}},
    }


def best(offered: Options) -> Taken:
    """The first way of each."""
    return {name: next(iter(ways)) for name, ways in offered.items()}


def settle(
    offered: Options, ask: Callable[[Taken], Fault | None]
) -> tuple[Taken, dict[str, Fault]]:
    """The best ways that a server takes, and why others were refused: name -> the first refusal.

    `ask` asks once and returns what was refused, or None. Raises its Fault where even the barest
    request is refused.
    """
    # 1. all as it is wanted
    if ask(best(offered)) is None:
        return best(offered), {}
    # 2. from the least on, one by one; the limit first, of which some way must be taken
    taken = {name: list(ways)[-1] for name, ways in offered.items()}
    refused: dict[str, Fault] = {}
    for name, ways in offered.items():
        for way in ways:
            known = name != "limit" and way == taken[name]
            fault = None if known else ask(taken | {name: way})
            if fault is None:
                taken[name] = way
                break
            refused.setdefault(name, fault)
        else:
            raise refused[name]
    return taken, refused
