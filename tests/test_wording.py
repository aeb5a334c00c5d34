"""The forms in another wording: read from a file, and refused where a form filled in with it could
not be read back."""

import json

import pytest

from act.forms import FORMS, render, slots
from act.grammar import parse_forms
from act.records import InputError
from act.wording import load_wording
from tests.test_grammar_damage import OFFICIAL

TEXTS = {
    form.name: [
        f"official text of {'abcdefghijklmnopqrstuvwxyz'[i]}" for i in range(len(form.items))
    ]
    for form in FORMS
}


@pytest.fixture
def load(tmp_path):
    def write_and_load(texts):
        path = tmp_path / "official.json"
        path.write_text(json.dumps(texts))
        return load_wording(path)

    return write_and_load


def test_wording_comes_from_a_file_and_a_bad_one_is_refused(load):
    forms = load(TEXTS)
    assert (
        slots(forms)[30].label == "TES 6. official text of f: "
        and forms[0].items[5].direction == "inconsistent"
    )
    for name, wrong in (
        ("TES", TEXTS["TES"][:8]),
        ("ACT-FM", ["has 2 digits", *TEXTS["ACT-FM"][1:]]),
        ("ACT-FM", ["has two\u2028lines", *TEXTS["ACT-FM"][1:]]),
        ("TES", None),
    ):
        with pytest.raises(InputError, match=f"official.json: .*{name}"):
            load(TEXTS | {name: wrong})


def test_a_wording_with_stops_and_signs_is_loaded_and_read(load):
    forms = load({form.name: [item.text for item in form.items] for form in OFFICIAL})
    assert forms == OFFICIAL
    texts = TEXTS | {
        "ACT-FM": [
            "(warm",
            "*too* warm",
            "too_warm",
            "<client> - warm: or  cold",
            *TEXTS["ACT-FM"][4:],
        ]
    }
    rated = [1] * 25 + [4] * 9
    assert parse_forms(render(rated, load(texts)), load(texts)) == {
        "ACT-FM": rated[:25],
        "TES": rated[25:],
    }


@pytest.mark.parametrize("text", ["as in TES, is warm", "warm |", "- warm", '{"warm": kind}'])
def test_a_text_that_could_not_be_read_back_is_refused_with_its_item(load, text):
    texts = TEXTS | {"ACT-FM": [*TEXTS["ACT-FM"][:4], text, *TEXTS["ACT-FM"][5:]]}
    with pytest.raises(
        InputError, match="official.json: ACT-FM item 5: .* could not be read back"
    ) as refused:
        load(texts)
    assert "\n" not in str(refused.value)
