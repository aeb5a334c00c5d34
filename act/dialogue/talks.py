"""Many talks held side by side. A talk is a generator: it yields (model, Ask) and gets the Reply.

So a session is written as it happens, turn by turn, and here it is decided who works next: what
many talks ask of one local model is decoded in one batch, and while it decodes, endpoints answer by
themselves.
"""

from collections.abc import Generator, Iterable

from act.dialogue.chat import Ask, ChatModel, Reply

Talk = Generator[tuple[ChatModel, Ask], Reply, None]

# seconds a round that endpoints are waited for, shared between them, where there is nothing to
# decode here
WAIT = 0.05


def hold_talks(talks: Iterable[Talk], side_by_side: int) -> None:
    """Run all talks, `side_by_side` of them open at a time: begun and not ended."""
    fresh = iter(talks)
    asking: dict[ChatModel, dict[str, Talk]] = {}  # by key: who has not been answered
    waiting: dict[ChatModel, list[Ask]] = {}  # asks that have not been started
    open_talks = 0
    current = (
        None  # the local model at work: it goes on until its batch is done, and others join it
    )

    def go_on(talk: Talk, reply: Reply | None) -> bool:
        """Give a talk its reply (None: let it begin) and note what it asks next. False: it has
        ended."""
        try:
            model, ask = talk.send(reply)
        except StopIteration:
            return False
        asking.setdefault(model, {})[ask.key] = talk
        waiting.setdefault(model, []).append(ask)
        return True

    while True:
        while open_talks < side_by_side and (talk := next(fresh, None)):
            if go_on(talk, None):
                open_talks += 1
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
            for key, reply in model.step(0 if local else WAIT / len(at_work)):
                if not go_on(asking[model].pop(key), reply):
                    open_talks -= 1
