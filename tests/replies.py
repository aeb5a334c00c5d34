"""What tests and benchmarks ask, all of it answered: one reply an ask of a speaker, one a request
of a sampler."""

from act.dialogue.chat import Ask, ChatModel, Reply
from act.model.sampler import Decoded, Request, Sampler


def answer_all(model: ChatModel, asks: list[Ask]) -> list[Reply]:
    """One reply an ask, in order; keys distinct."""
    model.start(asks)
    done: dict[str, Reply] = {}
    while len(done) < len(asks):
        done |= model.step(1.0)
    return [done[ask.key] for ask in asks]


def decode(sampler: Sampler, requests: list[Request]) -> list[Decoded]:
    """One reply a request, in the order of the requests; nothing else may be in the making."""
    sampler.add(requests)
    done: dict[str, Decoded] = {}
    while sampler.pending:
        done |= sampler.step()
    return [done[request.key] for request in requests]
