"""Rows of JSONL -> token ids and where the target begins, some held out, the others in order.

layouts.py says which rows are read, and takes each apart into prompt and answers; here they are cut
to the lengths that fit. A pair, one line:

    {"prompt": [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": "I cannot sleep."}],
     "chosen": [{"role": "assistant", "content": "What keeps you up?"}],
     "rejected": [{"role": "assistant", "content": "Drink less coffee."}]}

"cut": ["rejected"] beside them names answers that were cut off while they were written: their end
is not there, so no end token is learned, or unlearned, behind them.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

from act.model.tokenizer import ChatTokenizer, Messages
from act.records import InputError, counted, read_placed
from act.training.layouts import Row, read_row, shown, turns_begin


@dataclass(frozen=True)
class Answer:
    """One sequence: ids of prompt and answer; the answer begins at `start`, its end token is the
    last id unless it was cut."""

    ids: list[int]
    start: int  # >= 1: nothing comes before the first token that could predict it
    cut: int = 0  # tokens dropped here from its end
    ends: bool = True  # with an end token: it was cut neither here nor where it was written

    @property
    def length(self) -> int:
        """|y|: the number of the answer's tokens, its end included where it has one."""
        return len(self.ids) - self.start

    def targets(self, with_prompt: bool) -> range:
        """The places in `ids` that are learned: the answer's, `with_prompt` the prompt's too."""
        return range(1 if with_prompt else self.start, len(self.ids))


@dataclass(frozen=True)
class Example:
    """A chosen answer and, in a pair, the rejected one."""

    session: str  # equal for the turns of one session
    chosen: Answer
    rejected: Answer | None
    cut_turns: int  # dropped from the front of the prompt
    place: str = ""  # "file:line"

    @property
    def answers(self) -> list[Answer]:
        """Chosen and, in a pair, rejected, in this order."""
        return [self.chosen, self.rejected] if self.rejected else [self.chosen]


def chosen_alone(examples: list[Example]) -> list[Example]:
    """The same without rejected answers: what SFT learns from."""
    return [replace(example, rejected=None) for example in examples]


def counts(examples: list[Example]) -> dict[str, int]:
    """How many there are, and what was cut from them."""
    answers = [answer for example in examples for answer in example.answers]
    return {
        "examples": len(examples),
        "cut_turns": sum(example.cut_turns for example in examples),
        "cut_answer_tokens": sum(answer.cut for answer in answers),
        "answers_without_end": sum(not answer.ends for answer in answers),
    }


def show_targets(example: Example, tokenizer: ChatTokenizer, scope: str) -> str:
    """Prompt and chosen answer, a line a token, with a mark at those that the NLL is taken of."""
    targets = example.chosen.targets(scope == "sequence")
    marks = ["*" if i in targets else " " for i in range(len(example.chosen.ids))]
    pieces = map(tokenizer.piece, example.chosen.ids)
    return "".join(f"{mark} {piece!r}\n" for mark, piece in zip(marks, pieces, strict=True))


def fit_prompt(
    messages: Messages, tokenizer: ChatTokenizer, limit: int, wish: int
) -> tuple[list[int], int]:
    """(ids, turns cut): the oldest turns go, whole, until the rest has at most `limit` tokens.

    `wish` is a limit too as long as there are turns to cut. System prompt and last message stay;
    ValueError where they alone are too long.
    """
    first = turns_begin(messages)
    system, turns, cut = messages[:first], messages[first:], 0
    while True:
        ids = tokenizer.prompt(system + turns)
        is_last = len(turns) < 3  # there is no turn left to cut
        if len(ids) <= (limit if is_last else min(limit, wish)):
            return ids, cut
        if is_last:
            takes = f"system prompt and last message take {len(ids)} tokens"
            raise ValueError(f"{takes}; --max-prompt is {limit}")
        turns, cut = turns[2:], cut + 1


def make_example(row: Row, tokenizer: ChatTokenizer, max_length: int, max_prompt: int) -> Example:
    """Token ids of a row. Old turns go before answers; an answer that is cut has no end token.

    The prompt is cut so that the chosen answer, or the completion, fits, whatever is trained: SFT
    and ORPO read the same. A rejected answer that is longer is cut at its end, and takes nothing
    from the other's context. Limits are in tokens. Raises ValueError for a row that does not fit.
    """
    replies = {name: tokenizer.reply(text) for name, text in row.answers.items()}
    for name in row.cut:
        del replies[name][-1]  # the end token
    wanted = len(next(iter(replies.values())))  # of the chosen answer, or the completion
    prompt, cut_turns = fit_prompt(row.prompt, tokenizer, max_prompt, max_length - wanted)
    room = max_length - len(prompt)
    if room < 1:
        takes = f"the prompt takes {len(prompt)} tokens of {max_length}"
        raise ValueError(f"{takes}: no room for an answer")
    answers = []
    for name, reply in replies.items():
        over = max(0, len(reply) - room)  # tokens that do not fit
        ends = not over and name not in row.cut
        answers.append(Answer(prompt + reply[:room], len(prompt), over, ends))
    chosen, rejected = [*answers, None][:2]
    if rejected and chosen.ids == rejected.ids:
        raise ValueError(f'"chosen" and "rejected" are the same in {room} tokens (--max-length)')
    # a session is known by how it begins, system prompt and first turn, where its row has no name
    beginning = row.prompt[: turns_begin(row.prompt) + 1]
    begins = "\n".join(message["content"] for message in beginning)
    return Example(row.session or begins, chosen, rejected, cut_turns)


def read_examples(
    path: str | Path,
    tokenizer: ChatTokenizer,
    pairs: bool,
    max_length: int,
    max_prompt: int,
    targets: str = "last",
) -> list[Example]:
    """The examples of a file of rows, a line or a JSON array; `pairs` refuses others.

    `targets` is layouts.read_row's. InputError names the line.
    """
    examples: list[Example] = []
    for place, record in read_placed(path, arrays=True):
        try:
            for row in read_row(record, targets):
                example = make_example(row, tokenizer, max_length, max_prompt)
                if pairs and not example.rejected:
                    raise ValueError(f'no "rejected": ORPO learns from pairs; {shown("pair")}')
                examples.append(replace(example, place=place))
        except ValueError as error:
            raise InputError(f"{place}: {error}") from None
    if not examples:
        raise InputError(f"{path}: no records")
    return examples


def hold_out(examples: list[Example], n: int) -> tuple[list[Example], list[Example]]:
    """(examples to train on, those of the last n sessions): no session is on both sides."""
    sessions = list(dict.fromkeys(example.session for example in examples))
    if not 0 <= n < len(sessions):
        there = counted(len(sessions), "session")
        alike = 'rows that name one "session", or begin alike, are one'
        limit = f"the data have {there} ({alike}), and one must be left to train on"
        raise InputError(f"--held-out-sessions {n}: {limit}")
    last = set(sessions[len(sessions) - n :])
    sides: tuple[list[Example], list[Example]] = [], []
    for example in examples:
        sides[example.session in last].append(example)
    return sides


def data_order(examples: list[Example], order: str, seed: int, epochs: int) -> list[Example]:
    """The examples of all epochs: shuffled ("random"), or whole sessions in order ("session")."""
    stream = random.Random(seed)
    out: list[Example] = []
    sessions = list(dict.fromkeys(example.session for example in examples))
    for _ in range(epochs):
        stream.shuffle(sessions)
        rank = {session: i for i, session in enumerate(sessions)}
        epoch = sorted(examples, key=lambda example, rank=rank: rank[example.session])
        if order == "random":
            epoch = list(examples)  # shuffled as they lie in the file
            stream.shuffle(epoch)
        out += epoch
    return out
