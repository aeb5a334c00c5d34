"""JSONL rows -> token ids and where the target begins, some held out, the others in order.

Reads TRL's conversational formats: pairs {"prompt", "chosen", "rejected"}, examples {"prompt",
"completion"}, and {"messages"}, whose last message is the completion. A pair, one line:

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
from act.records import InputError, read_placed

ROLES = ("system", "user", "assistant")


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


def check_messages(name: str, messages: object, roles: tuple[str, ...]) -> None:
    """Raise ValueError unless `messages` is a list of {"role", "content"}, with text in each."""
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'"{name}" is empty or not a list of messages')
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(f'"{name}" holds something that has no "content" with text')
        role = message.get("role")
        if role not in roles:
            raise ValueError(f'"{name}" has role {role!r}; {", ".join(roles)} are read')
        if not message["content"].strip():
            raise ValueError(f'"{name}" has an empty {role} message')


def turns_begin(messages: Messages) -> int:
    """The place of the first turn: behind a system prompt, where there is one."""
    return int(messages[0]["role"] == "system")


def in_turn(messages: Messages) -> bool:
    """Do user and assistant speak in turn, the user first and last?"""
    roles = [message["role"] for message in messages]
    return roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def checked_row(row: dict) -> tuple[Messages, dict[str, str], set[str]]:
    """(prompt, answers by name, names of those that were cut off) of a row; the answers are the
    completion, or the chosen one and the rejected."""
    # 1. the prompt
    if "messages" in row:
        check_messages("messages", row["messages"], ROLES)
        row = row | {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}
    if "prompt" not in row:
        lost = "the answer would be learned without its context"
        raise ValueError(f'no "prompt" (nor "messages"): {lost}')
    check_messages("prompt", row["prompt"], ROLES)
    if not in_turn(row["prompt"][turns_begin(row["prompt"]) :]):
        wanted = "user and assistant in turn, a user message last, after a system one at most"
        raise ValueError(f'"prompt" is not {wanted}')
    # 2. the answers
    names = [name for name in ("chosen", "rejected", "completion") if name in row]
    if names not in (["completion"], ["chosen", "rejected"]):
        raise ValueError('neither "completion" nor both "chosen" and "rejected"')
    for name in names:
        check_messages(name, row[name], ("assistant",))
        if len(row[name]) != 1:
            raise ValueError(f'"{name}" has {len(row[name])} messages, not one')
    answers = {name: row[name][0]["content"].strip() for name in names}
    if len(set(answers.values())) < len(answers):
        raise ValueError('"chosen" and "rejected" are the same')
    # 3. which of them have no end
    cut = row.get("cut") or []
    if not isinstance(cut, list) or not all(name in names for name in cut):
        raise ValueError(f'"cut" is {cut!r}; it is a list of answers, of {", ".join(names)}')
    return row["prompt"], answers, set(cut)


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


def make_example(row: dict, tokenizer: ChatTokenizer, max_length: int, max_prompt: int) -> Example:
    """Token ids of a row. Old turns go before answers; an answer that is cut has no end token.

    A pair's prompt is cut so that the longer of its answers fits, whatever is trained: SFT and ORPO
    read the same. Limits are in tokens. Raises ValueError for a row that cannot be trained on.
    """
    messages, texts, cut = checked_row(row)
    replies = {name: tokenizer.reply(text) for name, text in texts.items()}  # ids, the end's last
    for name in cut:
        del replies[name][-1]
    longest = max(map(len, replies.values()))
    prompt, cut_turns = fit_prompt(messages, tokenizer, max_prompt, max_length - longest)
    room = max_length - len(prompt)
    if room < 1:
        takes = f"the prompt takes {len(prompt)} tokens of {max_length}"
        raise ValueError(f"{takes}: no room for an answer")
    answers = []
    for name, reply in replies.items():
        over = max(0, len(reply) - room)  # tokens that do not fit
        ends = not over and name not in cut
        answers.append(Answer(prompt + reply[:room], len(prompt), over, ends))
    chosen, rejected = [*answers, None][:2]
    if rejected and chosen.ids == rejected.ids:
        raise ValueError(f'"chosen" and "rejected" are the same in {room} tokens (--max-length)')
    # a session is known by its name in the row, or by how it begins: system prompt and first turn
    beginning = messages[: turns_begin(messages) + 1]
    begins = "\n".join(message["content"] for message in beginning)
    return Example(str(row.get("session") or begins), chosen, rejected, cut_turns)


def read_examples(
    path: str | Path, tokenizer: ChatTokenizer, pairs: bool, max_length: int, max_prompt: int
) -> list[Example]:
    """The examples of a JSONL file; `pairs` refuses others. InputError names the line."""
    examples: list[Example] = []
    for place, row in read_placed(path):
        try:
            example = make_example(row, tokenizer, max_length, max_prompt)
            if pairs and not example.rejected:
                raise ValueError('no "rejected": ORPO learns from pairs')
        except ValueError as error:
            raise InputError(f"{place}: {error}") from None
        examples.append(replace(example, place=place))
    if not examples:
        raise InputError(f"{path}: no records")
    return examples


def hold_out(examples: list[Example], n: int) -> tuple[list[Example], list[Example]]:
    """(examples to train on, those of the last n sessions): no session is on both sides."""
    sessions = list(dict.fromkeys(example.session for example in examples))
    if not 0 <= n < len(sessions):
        limit = f"the data have {len(sessions)} sessions, and one must be left to train on"
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
