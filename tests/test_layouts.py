"""Rows in other people's layouts: what each is read as, and what is refused (trap 32)."""

import gzip
import json
import random
import re
import subprocess
import sys

import pytest

from act.records import InputError, Store, read_jsonl
from act.training.examples import hold_out, read_examples
from act.training.layouts import KNOWN, Row, read_row
from tests.conftest import EMBEDDED, ROOT
from tests.inputs import told
from tests.test_docs import commands
from tests.tiny import (
    conversation,
    log_of,
    message,
    pair_row,
    run_in_process,
    train_flags,
    write_rows,
)

PAGE = {given.replace("\0", "|"): now for given, now in told("Rows of training data").items()}
ROWS = {given: now for given, now in PAGE.items() if given.startswith("{")}
SAID, CHOSEN, REJECTED = "I cannot sleep.", "What keeps you up?", "Drink less coffee."
ASKED = [message("user", SAID)]
EARLIER = [message("user", SAID), message("assistant", "When do you wake?")]
PAIR = Row(ASKED, {"chosen": CHOSEN, "rejected": REJECTED}, set(), "")
EXAMPLE = Row(ASKED, {"completion": CHOSEN}, set(), "")
LEARNED = ("nll", "chosen_logp", "rejected_logp", "margin", "accuracy")
READ = {
    "read: the pair": PAIR,
    "read: the example": EXAMPLE,
    "read: the pair, as the answer to what came later": Row(
        [*EARLIER, message("user", "At three.")], PAIR.answers, set(), ""
    ),
    "read: the example, behind its system message": Row(
        [message("system", "Be brief."), *ASKED], EXAMPLE.answers, set(), ""
    ),
    "read: the pair, behind its system message": Row(
        [message("system", "Be brief."), *ASKED], PAIR.answers, set(), ""
    ),
}
EXPLICIT = {
    "prompt": ASKED,
    "chosen": [message("assistant", CHOSEN)],
    "rejected": [message("assistant", REJECTED)],
}


@pytest.mark.parametrize("given", ROWS)
def test_trap_32_each_row_of_the_page_is_read_or_refused_as_it_says(given, tokenizer, tmp_path):
    row, now = json.loads(given), ROWS[given]
    if now in READ:
        assert read_row(row) == [READ[now]]
        return
    with pytest.raises(InputError) as raised:
        path = write_rows(tmp_path / "rows.jsonl", [given])
        read_examples(path, tokenizer, "chosen" in row, 512, 512)
    assert str(raised.value).replace(f"{tmp_path}/", "") == now


def test_the_page_shows_every_name_that_is_refused():
    """So that no line of layouts.json goes unseen, siblings of one line excepted."""
    refused = "\n".join(now for now in ROWS.values() if now not in READ)
    for kind in KNOWN["other meaning"]:
        assert kind["line"] in refused
    for layout in KNOWN["other layouts"]:
        assert layout["is"] in refused and KNOWN["rows"][layout["row"]]


@pytest.mark.parametrize("name", [n for kind in KNOWN["other meaning"] for n in kind["names"]])
@pytest.mark.parametrize("in_message", [False, True])
def test_trap_32_no_name_is_overlooked_in_a_row_or_in_a_message(name, in_message):
    """With a value it is refused; as tables fill it where it is absent it is not."""
    for value, fine in ((None, True), ([], True), ("", True), (False, False), (0, False)):
        row = json.loads(json.dumps(EXPLICIT))
        (row["chosen"][0] if in_message else row)[name] = value
        if fine:
            assert read_row(row) == [PAIR]
        else:
            with pytest.raises(ValueError, match=f'^"{name}": '):
                read_row(row)


@pytest.mark.parametrize("place", ["prompt", "chosen", "messages"])
@pytest.mark.parametrize("name", ["turn", "weights", "input", "from"])
def test_trap_32_a_message_has_no_field_that_is_not_known(name, place):
    """Whatever it is called; the line of Python keeps what is read."""
    row = json.loads(json.dumps(EXPLICIT | {"messages": ASKED}))
    talk = row[place]
    for value in (None, "", [], {}):
        talk[0][name] = value
        assert read_row(row) == [PAIR]
    for value in (0, False, "x", [0]):
        talk[0][name] = value
        with pytest.raises(ValueError, match=f'^"{name}": ') as refused:
            read_row(row)
    found = {"message": talk[0]}
    exec(str(refused.value).partition("in Python: ")[2], found)
    talk[0] = found["message"]
    assert read_row(row) == [PAIR]


@pytest.mark.parametrize(("name", "fine"), [("weight", 1), ("train", True), ("loss", True)])
def test_a_mark_that_says_learn_this_is_no_fault(name, fine):
    row = EXPLICIT | {"chosen": [EXPLICIT["chosen"][0] | {name: fine}], name: fine}
    assert read_row(row) == [PAIR]


MADE = {  # columns of a layout with a line of Python -> a row of it
    "conversations": {
        "conversations": [{"from": "human", "value": SAID}, {"from": "gpt", "value": CHOSEN}]
    },
    "output": {"instruction": SAID, "input": "", "output": CHOSEN},
    "non_preferred_output": {
        "input": {"messages": ASKED},
        "preferred_output": EXPLICIT["chosen"],
        "non_preferred_output": EXPLICIT["rejected"],
    },
    "rejected": {name: SAID for name in ("instruction", "question", "input")}
    | {"chosen": CHOSEN, "rejected": REJECTED},
    "answer": {"question": SAID, "answer": CHOSEN},
    "response": {"prompt": SAID, "instruction": SAID, "response": CHOSEN},
}


@pytest.mark.parametrize("layout", [kind for kind in KNOWN["other layouts"] if "python" in kind])
def test_the_line_of_python_makes_a_row_that_is_read(layout):
    names = layout["columns"]
    row = MADE[names[-1]] if names != ["input", "output"] else {"input": SAID, "output": CHOSEN}
    row = {name: value for name, value in row.items() if name in names}
    found = {"row": {"input": None, "system": "Be brief."} | row}
    exec(layout["python"], found)
    (read,) = read_row(found["row"])
    assert read.prompt == [message("system", "Be brief."), *ASKED], "what else there was stays"
    assert read.answers == (PAIR if layout["row"] == "pair" else EXAMPLE).answers


def test_sharegpts_messages_become_ours_by_their_line():
    """And keep what would have them refused."""
    found = {"message": {"from": "gpt", "value": CHOSEN, "weight": 0}}
    exec(KNOWN["from"], found)
    assert found["message"] == message("assistant", CHOSEN) | {"weight": 0}


def test_sharegpts_pairs_become_ours_by_the_lines_they_get():
    """Of each answer, then of the conversation before them, which holds the prompt."""
    row = {"conversations": [{"from": "human", "value": SAID}]}
    row |= {"chosen": {"from": "gpt", "value": CHOSEN}}
    row |= {"rejected": {"from": "gpt", "value": REJECTED}}
    for name in ("chosen", "rejected"):
        with pytest.raises(ValueError, match=f'^"{name}" has "from"') as refused:
            read_row(row)
        found = {"message": row[name]}
        exec(str(refused.value).partition("in Python: ")[2], found)
        row[name] = found["message"]
    with pytest.raises(ValueError, match='^"conversations": ') as refused:
        read_row(row)
    found = {"row": row}
    exec(str(refused.value).partition("in Python: ")[2].partition("; ")[0], found)
    assert read_row(found["row"]) == [PAIR]


BEHIND = [message("system", "Be brief."), *ASKED]


@pytest.mark.parametrize(
    ("prompt", "beginning", "read"),
    [
        (BEHIND, BEHIND, BEHIND),
        (BEHIND, ASKED, BEHIND),  # the answers' conversation is the end of the prompt
        (BEHIND[:1], BEHIND, BEHIND),  # ... goes on from its beginning
        (BEHIND[:1], ASKED, BEHIND),  # ... goes on from its end
        (EARLIER, [message("user", "At three.")], [*EARLIER, message("user", "At three.")]),
        (SAID, BEHIND, BEHIND),
        (ASKED, BEHIND, BEHIND),  # ... is in the answers' conversation
        ([message("user", f"{SAID} ")], BEHIND, BEHIND),
        (EARLIER, [*BEHIND[:1], *EARLIER, message("user", "At three.")], None),
        ([*ASKED, message("assistant", "Hm?"), message("user", "At three.")], ASKED, False),
        ("At three. ", [*EARLIER, message("user", "At three.")], None),
        ("When do you wake?", [*EARLIER, message("user", "At three.")], False),
        ("Be brief.", BEHIND, False),
        (ASKED, [message("user", "At three.")], False),
        (ASKED, [message("assistant", "Hm?"), message("user", "At three.")], False),
        ([message("system", "Be long.")], BEHIND, False),
    ],
)
def test_trap_32_a_prompt_said_twice_says_the_same(prompt, beginning, read):
    """`read` None: the beginning; False: refused."""
    row = {name: [*beginning, *EXPLICIT[name]] for name in ("chosen", "rejected")}
    row["prompt"] = prompt
    if read is False:
        with pytest.raises(ValueError, match="said before the answer"):
            read_row(row)
    else:
        (found,) = read_row(row)
        assert found.prompt == (read or beginning) and found.answers == PAIR.answers


@pytest.mark.parametrize(
    ("messages", "read"),
    [
        (EARLIER[:1], True),
        ([*ASKED, message("assistant", f" {CHOSEN}")], True),
        (BEHIND, True),  # the pair's own prompt is the end of it
        ([*ASKED, message("assistant", REJECTED)], False),
        ([message("user", "At three.")], False),
        ([message("user", "At three."), message("assistant", CHOSEN)], False),
    ],
)
@pytest.mark.parametrize("beside", ["prompt", "conversations", "nothing"])
def test_trap_32_messages_beside_a_pair_hold_its_prompt_or_say_the_same(messages, read, beside):
    row = {"messages": messages, "chosen": CHOSEN, "rejected": REJECTED}
    if beside == "prompt":
        row["prompt"] = SAID
    if beside == "conversations":
        row |= {name: [*ASKED, *EXPLICIT[name]] for name in ("chosen", "rejected")}
    if read or (beside == "nothing" and messages[-1]["content"] != REJECTED):
        prompt = messages if messages[-1]["role"] == "user" else messages[:-1]
        assert read_row(row) == [Row(prompt, PAIR.answers, set(), "")]
    else:
        with pytest.raises(ValueError, match='^"(messages|prompt)" '):
            read_row(row)


def test_marked_turns():
    """hh-rlhf's: words are stripped, marks in the middle of a line are words, and text that does
    not begin with one is no conversation."""
    said = "\n\nHuman: I cannot sleep.\n\nAssistant:  When do\n\nyou wake? Human: no mark."
    said += "\n\nHuman: At"
    rows = read_row(
        {"chosen": f"{said}\n\nAssistant: Hm?", "rejected": f"{said}\n\nAssistant: Oh."}
    )
    talk = [*ASKED, message("assistant", "When do\n\nyou wake? Human: no mark.")]
    assert rows == [
        Row([*talk, message("user", "At")], {"chosen": "Hm?", "rejected": "Oh."}, set(), "")
    ]
    plain = "He said:\n\nHuman: no."
    (row,) = read_row({"prompt": plain, "completion": "So?"})
    assert row.prompt == [message("user", plain)]
    with pytest.raises(ValueError, match="ends with a user message"):
        read_row({"chosen": f"{said}\n\nAssistant:", "rejected": f"{said}\n\nAssistant: Oh."})


def test_trap_32_an_answer_may_begin_as_a_short_prompt_does():
    """ "Hi." is no sign that the answer holds the prompt; nor is it where one answer alone does."""
    assert read_row({"prompt": "Hi", "completion": "Hi, what brings you here?"})
    long = "Why can I not sleep?"
    assert read_row({"prompt": long, "chosen": f"{long} Hm.", "rejected": "Drink less coffee."})


TALK = [*conversation(3), message("assistant", "Thinking: Worry.\n\nAnswer: What then?")]


def test_targets_all_are_the_rows_of_each_turn(tokenizer, tmp_path):
    """Three examples of one row: the same as three rows of prompt and completion, one session, one
    place; an answer that was cut when it was written is the last alone."""
    row = {"messages": TALK, "cut": ["completion"]}
    path = write_rows(tmp_path / "rows.jsonl", [row, {"messages": conversation(4, 1)[:-1]}])
    found = read_examples(path, tokenizer, False, 512, 512, "all")
    ends = [2, 4, 6]
    apart = [{"prompt": TALK[:end], "completion": TALK[end : end + 1]} for end in ends]
    apart[-1]["cut"] = ["completion"]
    wanted = read_examples(write_rows(tmp_path / "apart.jsonl", apart), tokenizer, False, 512, 512)
    assert [one.chosen for one in found[:3]] == [one.chosen for one in wanted]
    assert [one.chosen.ends for one in found[:3]] == [True, True, False]
    assert [one.place for one in found] == [f"{path}:1"] * 3 + [f"{path}:2"] * 3
    assert hold_out(found, 1) == (found[:3], found[3:])
    (last,) = read_row(row)
    assert (last.prompt, last.answers["completion"]) == (TALK[:-1], TALK[-1]["content"])


@pytest.mark.parametrize("row", [EXPLICIT, {"prompt": TALK[:-1], "completion": "What then?"}])
def test_targets_all_change_nothing_of_rows_with_a_prompt(row):
    assert read_row(row, "all") == read_row(row)


def test_targets_all_are_each_checked_for_their_form(folder, tmp_path, refused):
    """TALK thinks in its last answer alone."""
    data = write_rows(tmp_path / "rows.jsonl", [{"messages": TALK}])
    flags = [
        *train_flags(folder, data, tmp_path / "out", method="sft"),
        "--cot",
        "--targets",
        "all",
    ]
    line = refused("train.py", *flags)
    form = 'the answer is not "Thinking: ..." and "Answer: ...", but --cot is given'
    assert line == f"error: {data}:1: {form}"


def test_no_row_whatever_it_holds_raises_anything_but_its_line():
    """4,000 rows of columns that are known, filled with whatever JSON can hold."""
    stream = random.Random(0)
    values = [None, 0, 1.5, True, "", "x", "Human:", "[{", [], {}, [[]], [1], ["x"], [None]]
    values += [
        [{}],
        {"role": "user"},
        ASKED,
        TALK,
        EXPLICIT["chosen"],
        [{"role": [], "content": "x"}],
    ]
    values += [[{"from": 1}], [{"role": "user", "content": [1]}], [{"role": "user", "content": []}]]
    names = ["prompt", "chosen", "rejected", "completion", "messages", "system", "cut", "session"]
    names += ["conversations", "text", "label", "data"]
    read = 0
    for _ in range(4000):
        row = {name: stream.choice(values) for name in stream.sample(names, stream.randint(0, 5))}
        try:
            read += len(read_row(row, stream.choice(["last", "all"])))
        except ValueError as error:
            assert str(error) and "\n" not in str(error)
    assert read > 20


LINE = json.dumps({"prompt": SAID, "chosen": CHOSEN, "rejected": REJECTED})
FILES = {
    "an array that breaks off": f"[{LINE}, {LINE}".encode(),
    "an array of texts": b'["I cannot sleep."]',
    "one object over several lines": json.dumps(json.loads(LINE), indent=1).encode(),
    "Parquet": b"PAR1\x15\x04\x15\x90",
    "Feather": b"ARROW1\x00\x00\xff",
    "an Arrow stream": b"\xff\xff\xff\xff\x10\x01",
    "a zip archive, or xlsx": b"PK\x03\x04\x14\x00",
    "gzip": gzip.compress(LINE.encode()),
    "gzip, my rows.jsonl": gzip.compress(LINE.encode()),
    "zstd": b"(\xb5/\xfd$\x00",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh91AY",
    "UTF-16": LINE.encode("utf-16"),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a web page": b"<!DOCTYPE html>\n<html>",
    "CSV, rows.csv": f"prompt,chosen,rejected\n{SAID},{CHOSEN},{REJECTED}\n".encode(),
}


def test_the_page_has_every_file():
    assert {given for given in PAGE if given not in ROWS} == {"a JSON array", *FILES}


def name_of(given: str) -> str:
    """The name of a file of the page."""
    name = given.rpartition(", ")[2]
    return name if "rows." in name else "rows.jsonl"


@pytest.mark.parametrize("given", FILES)
def test_other_formats_are_known_by_their_first_bytes(given, tokenizer, tmp_path):
    path = tmp_path / name_of(given)
    path.write_bytes(FILES[given])
    with pytest.raises(InputError) as raised:
        read_examples(path, tokenizer, True, 512, 512)
    assert str(raised.value).replace(f"{tmp_path}/", "") == PAGE[given]


@pytest.mark.parametrize("name", ["", 'Ann\'s "$rows"'])
@pytest.mark.parametrize("given", ["gzip", "UTF-16", "CSV, rows.csv", "one object over several"])
def test_the_command_makes_jsonl_of_the_file(given, name, tokenizer, tmp_path):
    """Those whose programs every machine has, in folders of any name."""
    (known,) = [one for one in FILES if one == given or one.startswith(f"{given} ")]
    path = tmp_path / name / name_of(known)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(FILES[known])
    with pytest.raises(InputError) as refused:
        read_examples(path, tokenizer, True, 512, 512)
    command = re.split("to JSONL: |to UTF-8: ", str(refused.value))[1]
    command = command.replace("python ", f"{sys.executable} ")
    subprocess.run(command, shell=True, check=True)
    (example,) = read_examples(f"{path}.jsonl", tokenizer, True, 512, 512)
    assert tokenizer.decode(example.rejected.ids).endswith(f"{SAID}\nassistant\n{REJECTED}")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n "])
def test_a_json_array_is_read_as_its_lines_are(tokenizer, tmp_path, mark):
    rows = [pair_row(), pair_row(2), pair_row(1, 1)]
    lines = write_rows(tmp_path / "rows.jsonl", rows)
    array = tmp_path / "rows.json"
    array.write_bytes(mark + json.dumps(rows, indent=1).encode())
    found, wanted = (read_examples(path, tokenizer, True, 512, 512) for path in (array, lines))
    assert [one.answers for one in found] == [one.answers for one in wanted]
    assert [one.place for one in found] == [f"{array}: row {n}" for n in (1, 2, 3)]
    rows[1]["label"] = False
    array.write_text(json.dumps(rows))
    with pytest.raises(InputError, match='rows.json: row 2: "label": '):
        read_examples(array, tokenizer, True, 512, 512)


def test_nothing_is_appended_to_an_array_or_to_a_file_of_another_format(tmp_path):
    """A store appends lines: what is none is refused and left as it was."""
    for content in (b'[{"id": "a"}]', b'[{"id": "a"}', b"PAR1 and more"):
        file = tmp_path / "s.jsonl"
        file.write_bytes(content)
        with pytest.raises(InputError, match="s.jsonl: (begins as a JSON array|Parquet)"):
            Store(file, lambda record: None)
        assert file.read_bytes() == content
    with pytest.raises(InputError, match=r"to JSONL: jq -c '\.\[\]' "):
        list(read_jsonl(write_rows(tmp_path / "s.jsonl", [[{"id": "a"}]])))


def whole(row: dict, name: str) -> list[dict]:
    return row["prompt"] + row[name]


def marked(row: dict, name: str) -> str:
    marks = {"user": "Human", "assistant": "Assistant"}
    return "".join(f"\n\n{marks[one['role']]}: {one['content']}" for one in whole(row, name))


def ultrafeedback(row: dict) -> dict:
    answers = {name: whole(row, name) for name in ("chosen", "rejected")}
    prompt = {"prompt": row["prompt"][0]["content"], "prompt_id": "0f"}
    return (
        prompt | answers | {"messages": answers["chosen"], "score_chosen": 8.5, "score_rejected": 4}
    )


def orpo_mix(row: dict) -> dict:
    answers = {name: whole(row, name) for name in ("chosen", "rejected")}
    last = row["prompt"][-1]["content"]
    return {"source": "ours"} | answers | {"prompt": last, "question": None}


def hh_rlhf(row: dict) -> dict:
    return {name: marked(row, name) for name in ("chosen", "rejected")}


PUBLIC = {  # layout -> how it is made of an explicit row, and the turns of its conversations
    "UltraFeedback-binarized": (ultrafeedback, [1, 1]),
    "orpo-dpo-mix": (orpo_mix, [1, 3]),
    "hh-rlhf": (hh_rlhf, [2, 3]),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_layouts_train_as_the_same_pairs_in_ours(name, folder, tmp_path, monkeypatch):
    """One step of each: every number of the log is that of {"prompt", "chosen", "rejected"}."""
    layout, turns = PUBLIC[name]
    rows = [pair_row(n, session) for session, n in enumerate(turns)]
    for row in rows:
        row["prompt"] = [
            one | {"content": one["content"].strip()}
            for one in row["prompt"]
            if one["role"] != "system"
        ]
    logs = []
    for made in (rows, [layout(row) for row in rows]):
        data, out = write_rows(tmp_path / f"{len(logs)}.jsonl", made), tmp_path / f"out-{len(logs)}"
        run_in_process(monkeypatch, *train_flags(folder, data, out))
        logs.append(log_of(out))
    assert (
        logs[0] == logs[1]
        and logs[0][1]["loss"] > 0
        and logs[0][1]["prompt_tokens_per_example"] > 30
    )


@pytest.mark.parametrize(("epochs", "warned"), [(9, True), (10, False)])
def test_a_run_of_few_steps_says_so_before_the_first(
    folder, tmp_path, monkeypatch, capsys, epochs, warned
):
    data = write_rows(tmp_path / "rows.jsonl", [pair_row()])
    run_in_process(
        monkeypatch, *train_flags(folder, data, tmp_path / "out", batch=1, epochs=epochs)
    )
    said = capsys.readouterr().out
    line = (
        f"warning: {epochs} steps: few to learn from; --epochs N makes more, --lr LR larger ones\n"
    )
    assert (line in said) == warned == ("few to learn from" in said)
    if warned:
        assert said.index(line) < said.index("loss ")


def test_help_shows_a_row_that_is_read(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_in_process(monkeypatch, "--help")
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith('    {"')]
    assert read_row(json.loads(row))[0].answers["chosen"] == CHOSEN


@pytest.mark.slow
def test_readmes_own_pairs_are_learned_as_it_says(run_script_in, tmp_path):
    """The command as it stands there: held-out numbers of the page to 0.05, in under ten minutes on
    whatever machine; NLL falls by more than 0.3 and the margin doubles."""
    ((_, words),) = [one for one in commands() if "docs/pairs.jsonl" in one[1]]
    words[words.index("--model") + 1] = EMBEDDED
    words[words.index("--data") + 1] = ROOT / "docs/pairs.jsonl"
    done = run_script_in(tmp_path, *words[1:])
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^held-out (\w+): (.*)$", done.stdout, flags=re.MULTILINE))
    page = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own pairs\n")[2]
    shown = dict(re.findall(r"^held-out (\w+): (.*)$", page, flags=re.MULTILINE))
    assert found.keys() == shown.keys() == {*LEARNED}
    numbers = {}
    for name in LEARNED:
        ours, theirs = (re.findall(r"-?\d+\.\d+", said[name]) for said in (found, shown))
        numbers[name] = [float(number) for number in ours]
        assert numbers[name] == pytest.approx([float(number) for number in theirs], abs=0.05)
    assert numbers["nll"][1] < numbers["nll"][0] - 0.3
    assert numbers["margin"][1] > 2 * numbers["margin"][0] > 0
