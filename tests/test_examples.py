"""Rows to token ids: traps 4 and 12, what is cut and what is refused."""

import json
import sys
from pathlib import Path

import pytest

import train
from act.records import InputError
from act.training.examples import counts, fit_prompt, hold_out, read_examples
from act.training.layouts import shown
from tests.tiny import (
    conversation,
    example_of,
    message,
    pair_row,
    run_in_process,
    train_flags,
    write_rows,
)


def test_trap_04_oldest_turns_go_whole_and_are_counted(tokenizer):
    """At every limit from the whole prompt down: the ids are those of the system prompt and the
    newest turns."""
    messages = conversation(5)
    prompts = [tokenizer.prompt(messages[:1] + messages[1 + 2 * cut :]) for cut in range(5)]
    for cut, prompt in enumerate(prompts):
        assert fit_prompt(messages, tokenizer, len(prompt), 512) == (prompt, cut)
        if cut < 4:
            shorter = fit_prompt(messages, tokenizer, len(prompt) - 1, 512)
            assert shorter == (prompts[cut + 1], cut + 1)
        assert tokenizer.decode(prompt).startswith("system\nYou listen.")
    least = len(prompts[4])
    with pytest.raises(ValueError, match=f"take {least} tokens; --max-prompt is {least - 1}"):
        fit_prompt(messages, tokenizer, least - 1, 512)
    example = example_of(pair_row(5), tokenizer, 512, len(prompts[2]))
    assert example.cut_turns == 2 and example.chosen.cut == example.rejected.cut == 0
    # known by its uncut start
    assert example.session == example_of(pair_row(3), tokenizer, 512, 512).session


def test_trap_04_without_a_system_prompt_the_first_turn_may_go(tokenizer):
    messages = conversation(3)[1:]
    ids, cut = fit_prompt(messages, tokenizer, len(tokenizer.prompt(messages)) - 1, 512)
    assert (ids, cut) == (tokenizer.prompt(messages[2:]), 1)


def test_trap_27_an_answer_that_does_not_fit_has_no_end(tokenizer):
    """At every length that leaves room for a token; what is cut, the end too, is counted in
    tokens."""
    row = pair_row()
    prompt = tokenizer.prompt(row["prompt"])
    replies = [tokenizer.reply(row[name][0]["content"]) for name in ("chosen", "rejected")]
    for room in range(1, 20):
        example = example_of(row, tokenizer, len(prompt) + room, 512)
        for answer, reply in zip(example.answers, replies, strict=True):
            assert answer.ids == prompt + reply[:room] and answer.start == len(prompt)
            assert answer.ends == (answer.ids[-1] == tokenizer.end_ids[0]) == (len(reply) <= room)
            assert answer.cut == max(0, len(reply) - room)
    said = f"the prompt takes {len(prompt)} tokens of {len(prompt)}: no room"
    with pytest.raises(ValueError, match=said):
        example_of(row, tokenizer, len(prompt), 512)


@pytest.mark.parametrize("cut", [None, [], ["chosen"], ["rejected"] * 2, ["chosen", "rejected"]])
def test_trap_27_an_answer_that_was_cut_when_written_has_no_end(tokenizer, cut):
    row = pair_row(cut=cut)
    example = example_of(row, tokenizer, 512, 512)
    for name, answer in zip(("chosen", "rejected"), example.answers, strict=True):
        text = tokenizer.encode(row[name][0]["content"])
        end = [] if name in (cut or []) else [tokenizer.end_ids[0]]
        assert answer.ids[answer.start :] == text + end
        assert (answer.length, answer.ends) == (len(text) + len(end), bool(end))
    assert counts([example])["answers_without_end"] == len(set(cut or []))
    assert counts([example])["cut_answer_tokens"] == 0


@pytest.mark.parametrize("other", [1, 400])
def test_trap_04_old_turns_go_before_answers(tokenizer, other):
    """A length that holds the prompt of three turns, but not with the chosen answer: turns go until
    that is whole, however long the other answer is.

    With no turn left to go the answer is cut.
    """
    row, messages = pair_row(3, rejected=[message("assistant", "so " * other)]), conversation(3)
    prompts = [tokenizer.prompt(messages[:1] + messages[n:]) for n in (1, 3, 5)]
    chosen = len(tokenizer.reply(row["chosen"][0]["content"]))
    for cut, prompt in enumerate(prompts):
        example = example_of(row, tokenizer, len(prompt) + chosen, 512)
        assert (example.cut_turns, example.chosen.cut) == (cut, 0)
        assert example.chosen.ids[: example.chosen.start] == prompt
    example = example_of(row, tokenizer, len(prompts[2]) + chosen - 1, 512)
    assert (example.cut_turns, example.chosen.cut) == (2, 1)


def test_trap_28_a_long_rejected_answer_is_cut_and_takes_nothing_from_the_context(tokenizer):
    """A rejected answer of 401 tokens where 300 are left behind a whole prompt of three turns: it
    keeps 300 and no end, 101 are counted; prompt and chosen answer are what they are without it."""
    row = pair_row(3, rejected=[message("assistant", "so " * 400)])
    prompt = tokenizer.prompt(row["prompt"])
    reply = tokenizer.reply(row["rejected"][0]["content"])
    assert len(reply) == 401
    example = example_of(row, tokenizer, len(prompt) + 300, 512)
    alone = {"prompt": row["prompt"], "completion": row["chosen"]}
    assert example.chosen == example_of(alone, tokenizer, len(prompt) + 300, 512).chosen
    assert example.chosen.ids[: example.chosen.start] == prompt and example.chosen.ends
    assert example.rejected.ids == prompt + reply[:300]
    assert (example.cut_turns, example.rejected.cut, example.rejected.ends) == (0, 101, False)
    counted = {"cut_turns": 0, "cut_answer_tokens": 101, "answers_without_end": 1}
    assert counts([example]) == {"examples": 1} | counted


def test_trap_04_a_cut_answer_keeps_its_form(tokenizer, tmp_path):
    """Reasoning whose "Answer:" is cut off would teach replies without an answer: refused; with a
    word of it, taken."""
    text = "Thinking: He is stuck.\n\nAnswer: And then? What came?"
    path = write_rows(tmp_path / "data.jsonl", [pair_row(chosen=[message("assistant", text)])])
    prompt = len(tokenizer.prompt(conversation(1)))
    least = len(tokenizer.encode(text.removesuffix(" then? What came?")))
    (example,) = read_examples(path, tokenizer, True, prompt + least, 512)
    train.check_form(example, tokenizer, cot=True)
    assert tokenizer.decode(example.chosen.ids[prompt:]) == "Thinking: He is stuck.\n\nAnswer: And"
    (example,) = read_examples(path, tokenizer, True, prompt + least - 1, 512)
    said = f"jsonl:1: cut to the {least - 1} tokens that --max-length leaves it, .*--cot"
    with pytest.raises(InputError, match=said):
        train.check_form(example, tokenizer, cot=True)


@pytest.mark.parametrize("system", [True, False])
def test_turns_of_one_session_are_known_by_how_it_begins(tokenizer, system):
    """Rows without a "session" of their own: every turn of one is one session, another first
    message is another."""
    rows = [pair_row(turn, session) for session in (0, 1) for turn in (1, 2, 3)]
    for row in rows if not system else ():
        row["prompt"] = row["prompt"][1:]
    examples = [example_of(row, tokenizer, 512, 512) for row in rows]
    kept, held_out = hold_out(examples, 1)
    assert (kept, held_out) == (examples[:3], examples[3:])


def without(name: str) -> dict:
    return {key: value for key, value in pair_row().items() if key != name}


BAD_PAIRS = {
    "no prompt": (without("prompt"), 'no "prompt"'),
    "empty prompt": (pair_row(prompt=[]), 'no "prompt"'),
    "prompt of another type": (pair_row(prompt=3), '"prompt" is empty or not a list'),
    "prompt without client": (
        pair_row(prompt=[message("user", "a"), message("assistant", "b")]),
        "is not user and assistant in turn",
    ),
    "system prompt alone": (
        pair_row(prompt=[message("system", "a")]),
        "is not user and assistant in turn",
    ),
    "blank message": (
        pair_row(prompt=[message("user", " \n")]),
        '"prompt" has an empty user message',
    ),
    "content of a wrong type": (pair_row(prompt=[message("user", 3)]), '"prompt" holds something'),
    "message as text": (pair_row(prompt=["Hi"]), '"prompt" holds something'),
    "role nobody has": (pair_row(prompt=[message("client", "Hi")]), "role 'client'"),
    "no rejected": (without("rejected"), '; here is "prompt", "chosen"; a row of pairs: {'),
    "no chosen": (without("chosen"), '; here is "prompt", "rejected"; a row of pairs: {'),
    "rejected null": (pair_row(rejected=None), '"rejected" is empty'),
    "empty chosen": (
        pair_row(chosen=[message("assistant", "")]),
        '"chosen" has an empty assistant message',
    ),
    "chosen by the user": (
        pair_row(chosen=[message("user", "Hi")]),
        '"chosen" ends with a user message: no answer',
    ),
    "two chosen messages": (
        pair_row(chosen=[message("assistant", "a")] * 2),
        '"chosen" and "rejected" do not begin alike',
    ),
    "chosen equal to rejected": (
        pair_row(chosen=[message("assistant", "So?")], rejected=[message("assistant", " So?\n")]),
        "are the same",
    ),
    "completion and pair": (
        pair_row(completion=[message("assistant", "a")]),
        '; here is "prompt", "chosen", "rejected", "completion"; a row of pairs: {',
    ),
    "completion for ORPO": (
        {"prompt": conversation(1), "completion": [message("assistant", "a")]},
        'no "rejected"',
    ),
    "messages for ORPO": (
        {"messages": [*conversation(1), message("assistant", "a")]},
        'no "rejected"',
    ),
    "messages without answer": (
        {"messages": conversation(2)},
        '"messages" ends with a user message: no answer',
    ),
    "messages of one": ({"messages": [message("assistant", "a")]}, 'no "prompt"'),
    "cut of no answer": (pair_row(cut=["completion"]), "\"cut\" is ['completion']"),
    "cut as a flag": (pair_row(cut=True), '"cut" is True; it is a list of answers'),
    "too long a prompt": (pair_row(prompt=[message("user", "so " * 600)]), "--max-prompt is 300"),
    "not an object": ([1, 2], "not a JSON object"),
    "not JSON": ('{"prompt": [}', "Expecting value"),
}


@pytest.mark.parametrize("name", BAD_PAIRS)
def test_trap_12_bad_rows_stop_the_run_with_file_and_line(tokenizer, tmp_path, name):
    row, reason = BAD_PAIRS[name]
    path = write_rows(tmp_path / "data.jsonl", [pair_row(), pair_row(2), row, pair_row(3)])
    with pytest.raises(InputError) as raised:
        read_examples(path, tokenizer, True, 512, 300)
    assert str(raised.value).startswith(f"{path}:3: ") and reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_trap_12_text_that_is_no_unicode(tokenizer, tmp_path):
    """JSON can spell half a surrogate pair, "\\ud800", which is no character."""
    path = write_rows(tmp_path / "data.jsonl", [pair_row(chosen=[message("assistant", "\ud800")])])
    with pytest.raises(InputError, match="data.jsonl:1: "):
        read_examples(path, tokenizer, True, 512, 300)


def test_trap_12_answers_that_are_equal_once_cut(tokenizer, tmp_path):
    """With room for 3 tokens "one two three" is left of both answers: a pair with nothing to
    prefer."""
    answers = {
        name: [message("assistant", f"one two three {name}")] for name in ("chosen", "rejected")
    }
    path = write_rows(tmp_path / "data.jsonl", [pair_row(**answers)])
    with pytest.raises(InputError, match="data.jsonl:1: "):
        read_examples(path, tokenizer, True, len(tokenizer.prompt(conversation(1))) + 3, 300)


def test_trap_12_no_rows(tokenizer, tmp_path):
    with pytest.raises(InputError, match="data.jsonl: no records"):
        read_examples(write_rows(tmp_path / "data.jsonl", []), tokenizer, True, 512, 512)


@pytest.mark.parametrize("cot", [False, True])
def test_trap_12_reasoning_where_none_is_meant_and_none_where_it_is(tokenizer, tmp_path, cot):
    plain = pair_row()
    thought = pair_row(chosen=[message("assistant", "Thinking: He is stuck.\n\nAnswer: And then?")])
    right, wrong = (thought, plain) if cot else (plain, thought)
    path = write_rows(tmp_path / "data.jsonl", [right, wrong])
    good, bad = read_examples(path, tokenizer, True, 512, 512)
    train.check_form(good, tokenizer, cot)
    with pytest.raises(InputError, match=r"data.jsonl:2: the answer .*--cot"):
        train.check_form(bad, tokenizer, cot)


@pytest.mark.parametrize("fault", ["row", "form", "sessions", "folder", "flag"])
def test_trap_12_status_2_and_one_line(folder, tmp_path, monkeypatch, capsys, fault):
    thought = pair_row(chosen=[message("assistant", "Thinking: He is stuck.\n\nAnswer: So?")])
    second = {"row": without("prompt"), "form": thought}.get(fault, pair_row(2))
    data = write_rows(tmp_path / "data.jsonl", [pair_row(), second])
    flags = {"--method": "orpo", "--model": folder, "--data": data, "--out": tmp_path / "out"}
    wrong = {"sessions": {"--held-out-sessions": 1}, "folder": {"--model": "none"}}
    flags |= (wrong | {"flag": {"--batch": 0}}).get(fault, {})
    with pytest.raises(SystemExit) as raised:
        run_in_process(monkeypatch, *(x for flag in flags.items() for x in flag))
    assert raised.value.code == 2
    lost = "the answer would be learned without its context"
    text = f"where it ends in plain text cannot be told; {shown('pair')}"
    alike = 'rows that name one "session", or begin alike, are one'
    left = f"the data have 1 session ({alike}), and one must be left to train on"
    line = {
        "row": f'{data}:2: no "prompt": {lost}; {text}',
        "form": f'{data}:2: the answer begins with "Thinking:": is --cot missing?',
        "sessions": f"--held-out-sessions 1: {left}",
        "folder": "none: no such folder",
        "flag": f"argument --batch: 0 is not 1 or more (see {Path(sys.argv[0]).name} --help)",
    }
    assert capsys.readouterr().err == f"error: {line[fault]}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_trap_12_status_2_of_the_script(folder, tmp_path, refused):
    data = write_rows(
        tmp_path / "data.jsonl", [pair_row(), pair_row(chosen=[message("assistant", "")])]
    )
    line = refused(
        "train.py", "--method", "orpo", "--model", folder, "--data", data, "--out", "out"
    )
    assert line == f'error: {data}:2: "chosen" has an empty assistant message'


def test_trap_12_the_log_counts_the_prompts_tokens(folder, tokenizer, tmp_path, monkeypatch):
    """A trainer that loses its prompts shows in its log: there stands their mean length, step by
    step."""
    rows = [pair_row(turns) for turns in (1, 2, 4)]
    data, out = write_rows(tmp_path / "data.jsonl", rows), tmp_path / "out"
    run_in_process(monkeypatch, *train_flags(folder, data, out))
    logged = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()][1:3]
    lengths = [len(tokenizer.prompt(row["prompt"])) for row in rows]
    means = [line["prompt_tokens_per_example"] for line in logged]
    assert means == [sum(lengths[:2]) / 2, lengths[2]]
