"""Other people's models: each row of docs/inputs.md is made, and gets the line that it shows."""

import json
import shutil

import pytest

from act.dialogue.local import LocalChat
from act.dialogue.profiles import make_profiles
from act.forms import FORMS
from act.judging.judge import LocalJudge
from act.model.checkpoint import load_model
from act.model.sampler import Sampling
from act.model.templates import TEMPLATES
from act.model.tokenizer import ChatTokenizer
from act.records import InputError, read_jsonl
from tests.inputs import told
from tests.made_ratings import make_session
from tests.strange_models import STRANGE, config
from tests.tiny import pair_row, run_in_process, status_of, train_flags, write_rows

TOLD = told("Models and adapters")


@pytest.fixture
def tiny(folder, tmp_path):
    """A good folder to change."""
    return shutil.copytree(folder, tmp_path / "tiny")


def said(folder, capsys) -> str:
    """What is said of a folder as the scripts load it: a line, a warning, or nothing ("read")."""
    try:
        load_model(folder)
        ChatTokenizer(folder)
        line = capsys.readouterr().err.strip() or "read"
    except InputError as error:
        line = str(error)
    except OSError as error:  # as run_script says it
        line = f"{error.filename}: {error.strerror}"
    assert "\n" not in line
    return line.replace(f"{folder.parent}/", "")


@pytest.mark.parametrize("given", STRANGE)
def test_trap_31_a_strange_folder_gets_the_line_of_the_page(tiny, capsys, given):
    STRANGE[given](tiny)
    line = said(tiny, capsys)
    assert line == TOLD[given] or TOLD[given].startswith("read") and line == "read"


def test_the_good_folder_is_read_without_a_word(tiny, capsys):
    assert said(tiny, capsys) == "read"


@pytest.fixture
def profiles(tmp_path):
    """p.jsonl: two clients."""
    write_rows(tmp_path / "p.jsonl", make_profiles(2, 0))


def test_trap_31_sessions_of_another_template_are_not_mixed(
    run, refused, profiles, folder, tmp_path
):
    """--template stands in the record; without it the file is of the folder's own."""
    words = ("generate.py", "sessions", "--profiles", "p.jsonl", "--turns", 1, "--out", "s.jsonl")
    words += ("--therapist", folder, "--client", folder, "--max-new-tokens", 4)
    run(*words, "--template", "chatml")
    for session in read_jsonl(tmp_path / "s.jsonl"):
        assert session["sampling"]["template"] == {"therapist": "chatml", "client": "chatml"}
    assert "was made with sampling" in refused(*words)
    assert "was made with sampling" in refused(*words, "--template", "smollm2")
    run(*words, "--template", "chatml")
    (tmp_path / "s.jsonl").unlink()
    run(*words)
    assert all("template" not in s["sampling"] for s in read_jsonl(tmp_path / "s.jsonl"))
    assert "was made with sampling" in refused(*words, "--template", "chatml")


def test_trap_31_preferences_and_ratings_of_another_template_are_not_mixed(
    run, refused, tiny, tmp_path
):
    config(max_position_embeddings=4096)(tiny)  # room for the system prompts
    pair = {"id": "p", "client": "I never sleep.", "shows": "That hurts.", "lacks": "Cheer up."}
    write_rows(tmp_path / "pairs.jsonl", [pair])
    prefer = ("judge.py", "prefer", "--model", tiny, "--pairs", "pairs.jsonl")
    prefer += ("--conditions", "instruct", "--out", "preferences.jsonl", "--max-new-tokens", 9)
    write_rows(tmp_path / "s.jsonl", [make_session("sft", 0)])
    rate = ("judge.py", "rate", "--sessions", "s.jsonl", "--judge", tiny, "--out", "r.jsonl")
    for words in (prefer, rate):
        run(*words, "--template", "chatml")
        run(*words, "--template", "chatml")
        assert "was made with" in refused(*words)
    (rating,) = read_jsonl(tmp_path / "r.jsonl")
    assert rating["judge"]["template"] == "chatml"


def test_trap_31_a_run_of_another_template_is_another_run(monkeypatch, capsys, folder, tmp_path):
    """train.json has it, --resume compares it, and the prompts are rendered by it: without a system
    prompt in the data SmolLM2's own, "... named SmolLM ...", is there or not."""
    rows = [pair_row(turn) for turn in (1, 2)]
    for row in rows:
        row["prompt"] = row["prompt"][1:]
    data = write_rows(tmp_path / "data.jsonl", rows)
    plain, own = (train_flags(folder, data, tmp_path / name) for name in ("plain", "own"))
    run_in_process(monkeypatch, *own)
    run_in_process(monkeypatch, *plain, "--template", "chatml")
    shown = [(tmp_path / name / "targets.txt").read_text() for name in ("plain", "own")]
    assert ["named" in targets for targets in shown] == [False, True]
    reports = [json.loads((tmp_path / f"{n}/train.json").read_text()) for n in ("plain", "own")]
    assert [report["arguments"].get("template") for report in reports] == ["chatml", None]
    run_in_process(monkeypatch, *plain, "--template", "chatml", "--resume")
    assert status_of(monkeypatch, *plain, "--resume") == 2
    assert "was made with template chatml" in capsys.readouterr().err


def test_trap_31_speakers_and_judges_are_rendered_by_the_template(folder):
    chat = LocalChat.load(str(folder), Sampling(0.0, 1.0, 8), "cpu", "chatml")
    judge = LocalJudge(str(folder), FORMS, "refuse", "cpu", "chatml")
    assert chat.tokenizer.template == judge.tokenizer.template == TEMPLATES["chatml"]
