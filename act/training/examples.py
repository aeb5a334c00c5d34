"""JSONL rows -> token ids and where the target begins; too long prompts lose their oldest turns,
whole.

Reads TRL's conversational formats: pairs {"prompt", "chosen", "rejected"}, examples {"prompt",
"completion"}, and {"messages"}, whose last message is the completion. A row the model could not be
conditioned on stops the run. A pair, one line in the file:

    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "I cannot
    sleep."}],
     "chosen": [{"role": "assistant", "content": "What keeps you up?"}],
     "rejected": [{"role": "assistant", "content": "Drink less coffee."}]}

From here on training knows token ids alone; step.py takes the examples.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from act.model.tokenizer import ChatTokenizer, Messages
from act.records import InputError, read_jsonl


@dataclass(frozen=True)
class Answer:
    """One sequence: ids of prompt and answer; the answer, end token included, begins at `start` >=
    1."""

    ids: list[int]
    start: int
    cut: int = 0  # tokens dropped from its end

    @property
    def length(self) -> int:
        """|y|: the number of the answer's tokens, its end included."""
        return len(self.ids) - self.start

    def targets(self, with_prompt: bool) -> range:
        """The places in `ids` of the tokens that are learned: the answer's, `with_prompt` the
        prompt's too."""
        return range(1 if with_prompt else self.start, len(self.ids))


@dataclass(frozen=True)
class Example:
    """A chosen answer and, in a pair, the rejected one. `session` is equal for turns of one
    session."""

    session: str
    chosen: Answer
    rejected: Answer | None
    cut_turns: int  # turns dropped from the front of the prompt

    @property
    def answers(self) -> list[Answer]:
        """Chosen and, in a pair, rejected, in this order."""
        return [self.chosen, self.rejected] if self.rejected else [self.chosen]

    @property
    def cut_tokens(self) -> int:
        """Tokens dropped from the end of its answers."""
        return sum(answer.cut for answer in self.answers)


def chosen_alone(examples: list[Example]) -> list[Example]:
    """The same without rejected answers: what SFT learns from."""
    return [replace(example, rejected=None) for example in examples]


def counts(examples: list[Example]) -> dict[str, int]:
    """How many there are, and what was cut from them."""
    cut = {
        "cut_turns": sum(e.cut_turns for e in examples),
        "cut_answer_tokens": sum(e.cut_tokens for e in examples),
    }
    return {"examples": len(examples)} | cut


def show_targets(example: Example, tokenizer: ChatTokenizer, scope: str) -> str:
    """The prompt and the chosen answer, a line a token, with a mark at those that the NLL is taken
    of."""
    targets = example.chosen.targets(scope == "sequence")
    lines = (
        f"{'*' if i in targets else ' '} {tokenizer.piece(id)!r}"
        for i, id in enumerate(example.chosen.ids)
    )
    return "\n".join(lines) + "\n"


def check_messages(name: str, messages: object, roles: tuple[str, ...]) -> None:
    """Raise ValueError unless `messages` is a non-empty list of {"role", "content"} with text in
    each."""
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'"{name}" is empty or not a list of messages')
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(
                f'"{name}" holds something that is not {{"role", "content"}} with text'
            )
        if message.get("role") not in roles:
            raise ValueError(
                f'"{name}" has role {message.get("role")!r}; {", ".join(roles)} are read'
            )
        if not message["content"].strip():
            raise ValueError(f'"{name}" has an empty {message["role"]} message')


def checked_row(row: dict, pairs: bool) -> dict:
    """The row, with "messages" as "prompt" and "completion". Raises ValueError if it could not be
    trained on."""
    if "messages" in row:
        check_messages("messages", row["messages"], ("system", "user", "assistant"))
        row = row | {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}
    if "prompt" not in row:
        raise ValueError(
            'no "prompt" (nor "messages"): the answer would be learned without its context'
        )
    check_messages("prompt", row["prompt"], ("system", "user", "assistant"))
    roles = [message["role"] for message in row["prompt"]]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        raise ValueError(
            '"prompt" is not user and assistant in turn, a user message last, after a system one at most'
        )
    answers = [name for name in ("chosen", "rejected", "completion") if name in row]
    if answers not in (["completion"], ["chosen", "rejected"]):
        raise ValueError('neither "completion" nor both "chosen" and "rejected"')
    if pairs and "rejected" not in row:
        raise ValueError('no "rejected": ORPO learns from pairs')
    for name in answers:
        check_messages(name, row[name], ("assistant",))
        if len(row[name]) != 1:
            raise ValueError(f'"{name}" has {len(row[name])} messages, not one')
    if (
        "chosen" in row
        and row["chosen"][0]["content"].strip() == row["rejected"][0]["content"].strip()
    ):
        raise ValueError('"chosen" and "rejected" are the same')
    return row


def chosen_text(row: dict) -> str:
    """The text of a checked row's completion, or of its chosen answer."""
    return (row["completion"] if "completion" in row else row["chosen"])[0]["content"]


def read_examples(
    path: str | Path,
    tokenizer: ChatTokenizer,
    pairs: bool,
    max_length: int,
    max_prompt: int,
    check_text: Callable[[str], None] = lambda text: None,
) -> list[Example]:
    """The examples of a JSONL file; `pairs` refuses those that are none.

    `check_text` raises ValueError for a completion or chosen answer of another form than is asked
    for. Raises InputError with file and line for it, and for a row that could not be trained on.
    """
    examples: list[Example] = []

    def take(row: dict) -> None:
        row = checked_row(row, pairs)
        check_text(chosen_text(row))
        examples.append(make_example(row, tokenizer, max_length, max_prompt, check_text))

    # read_jsonl names file and line of a ValueError that is raised in its check, so examples are
    # made in there.
    for _ in read_jsonl(path, take):
        pass
    if not examples:
        raise InputError(f"{path}: no records")
    return examples


def make_example(
    row: dict,
    tokenizer: ChatTokenizer,
    max_length: int,
    max_prompt: int,
    check_text: Callable[[str], None] = lambda text: None,
) -> Example:
    """Token ids of a checked row. Old turns go before answers; an answer that is cut keeps its end
    token.

    A pair's prompt is cut so that the longer of its answers fits, whatever is trained: SFT and ORPO
    read the same.

    Limits are in tokens; `check_text` looks at what is left of a chosen answer that was cut. Raises
    ValueError where the limits leave no room for an answer, or make a pair's answers equal.
    """
    texts = [chosen_text(row)]
    texts += [row["rejected"][0]["content"]] if "rejected" in row else []
    replies = [tokenizer.reply(text) for text in texts]
    prompt, cut_turns = fit_prompt(
        row["prompt"], tokenizer, max_prompt, max_length - max(map(len, replies))
    )
    room = max_length - len(prompt)
    if room < 2:
        raise ValueError(
            f"the prompt takes {len(prompt)} tokens of {max_length}: no room for an answer"
        )
    kept = [reply if len(reply) <= room else [*reply[: room - 1], reply[-1]] for reply in replies]
    if len(kept) == 2 and kept[0] == kept[1]:
        raise ValueError(
            f'"chosen" and "rejected" are the same in the {room} tokens that --max-length leaves them'
        )
    if kept[0] != replies[0]:
        try:
            check_text(tokenizer.decode(kept[0][:-1]))
        except ValueError as error:
            raise ValueError(
                f"cut to the {room} tokens that --max-length leaves it, {error}"
            ) from None
    cuts = [len(reply) - len(rest) for reply, rest in zip(replies, kept, strict=True)]
    chosen, *rejected = (
        Answer(prompt + rest, len(prompt), cut) for rest, cut in zip(kept, cuts, strict=True)
    )
    # A session is known by the row's name for it, or by how it begins: the system prompt, if any,
    # and the first turn.
    beginning = row["prompt"][: 2 if row["prompt"][0]["role"] == "system" else 1]
    session = str(row.get("session") or "") or "\n".join(
        message["content"] for message in beginning
    )
    return Example(session, chosen, rejected[0] if rejected else None, cut_turns)


def fit_prompt(
    messages: Messages, tokenizer: ChatTokenizer, limit: int, wish: int
) -> tuple[list[int], int]:
    """(ids, turns cut): the oldest turns go, whole, until `limit` tokens hold; system prompt and
    last message stay.

    `wish` is a limit too as long as there are turns to cut. Raises ValueError where those two alone
    are too long.
    """
    system, turns = (
        (messages[:1], messages[1:]) if messages[0]["role"] == "system" else ([], messages)
    )
    cut = 0
    while True:
        ids = tokenizer.prompt(system + turns)
        if len(ids) <= min(limit, wish) or (len(turns) < 3 and len(ids) <= limit):
            return ids, cut
        if len(turns) < 3:
            raise ValueError(
                f"system prompt and last message take {len(ids)} tokens; --max-prompt is {limit}"
            )
        turns, cut = turns[2:], cut + 1
