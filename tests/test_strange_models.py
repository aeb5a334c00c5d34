"""Other people's models: each row of docs/inputs.md is made, and gets the line that it shows."""

import shutil

import pytest

from act.model.checkpoint import load_model
from act.model.tokenizer import ChatTokenizer
from act.records import InputError
from tests.inputs import told
from tests.strange_models import STRANGE

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
    assert "\n" not in line
    return line.replace(f"{folder.parent}/", "")


@pytest.mark.parametrize("given", STRANGE)
def test_trap_31_a_strange_folder_gets_the_line_of_the_page(tiny, capsys, given):
    STRANGE[given](tiny)
    line = said(tiny, capsys)
    assert line == TOLD[given] or TOLD[given].startswith("read") and line == "read"


def test_the_good_folder_is_read_without_a_word(tiny, capsys):
    assert said(tiny, capsys) == "read"
