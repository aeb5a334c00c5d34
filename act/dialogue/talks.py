"""Many talks held side by side. A talk is a generator: it yields (model, Ask) and gets the Reply.

So a session is written as it happens, turn by turn, and here it is decided who works next: what many talks ask of one
local model is decoded in one batch, and while it decodes, endpoints answer by themselves.
"""

from collections.abc import Generator, Iterable

from act.dialogue.chat import Ask, ChatModel, Reply

Talk = Generator[tuple[ChatModel, Ask], Reply, None]


def hold_talks(talks: Iterable[Talk], side_by_side: int) -> None:
    """Run all talks, `side_by_side` of them open at a time."""
    fresh = iter(talks)
    asked: dict[ChatModel, dict[str, tuple[Talk, Ask]]] = {}  # what each model has been asked and not answered
    waiting: dict[ChatModel, list[Ask]] = {}
    open_talks = 0
    current = None  # the local model at work: it goes on until its batch is done, and others join it

    def go_on(talk: Talk, reply: Reply | None) -> bool:
        try:
            model, ask = talk.send(reply)
        except StopIteration:
            return False
        asked.setdefault(model, {})[ask.key] = (talk, ask)
        waiting.setdefault(model, []).append(ask)
        return True

    while True:
        while open_talks < side_by_side and (talk := next(fresh, None)):
            open_talks += go_on(talk, None)
        if not open_talks:
            return
        local = [model for model in waiting if not model.remote and (waiting[model] or model.busy)]
        if local and not (current and current.busy):
            current = max(local, key=lambda model: len(waiting[model]))
        for model in waiting:
            if waiting[model] and (model.remote or model is current):
                asks, waiting[model] = waiting[model], []
                model.start(asks)
        at_work = [model for model in waiting if model.busy]
        for model in at_work:
            for key, reply in model.step(0 if local else 0.05 / len(at_work)):
                talk, _ = asked[model].pop(key)
                open_talks -= not go_on(talk, reply)
