"""What tests and benchmarks ask, all of it answered: one reply an ask of a speaker, one a request
of a sampler."""

from act.dialogue.chat import Ask, ChatModel, Reply
from act.model.sampler import Sampler


def answer_all(model: ChatModel, asks: list[Ask]) -> list[Reply]:
    """One reply an ask, in order; keys distinct."""
    model.start(asks)
    done: dict[str, Reply] = {}
    while len(done) < len(asks):
        done |= model.step(1.0)
    return [done[ask.key] for ask in asks]


decode = Sampler.decode  # one reply a request, in the order of the requests
