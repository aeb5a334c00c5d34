"""The forms in another wording, read from a file: the official texts, which belong to their
authors.

A wording is taken only if a form that is filled in with it can be read back, item by item: a text
may hold the name of a form, a line break in disguise or a tag, and no judge behind an endpoint
could ever answer with it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from act.forms import FORMS, Form, Item, render
from act.grammar import Refused, parse_forms
from act.records import InputError, read_json


def load_wording(path: Path) -> tuple[Form, Form]:
    """Both forms with their items' texts from a JSON file {"ACT-FM": [25 texts], "TES": [9 texts]}.

    Numbers, subscales, directions and ranges stay as they are in forms.py. Raises InputError for a
    file of another shape, and for a text that would make a filled form ambiguous: empty, with a
    digit, or not to be read back.
    """
    texts, forms = read_json(path), []
    for form in FORMS:
        mine = texts.get(form.name)
        if not isinstance(mine, list) or len(mine) != len(form.items):
            raise InputError(f'{path}: "{form.name}" must be a list of {len(form.items)} texts')
        for number, text in enumerate(mine, 1):
            if (
                not isinstance(text, str)
                or not text.strip()
                or any(map(str.isdigit, text))
                or text.splitlines()[1:]
            ):
                raise InputError(
                    f"{path}: {form.name} item {number} must be one line of text without digits"
                )
        items = tuple(
            replace(item, text=text.strip()) for item, text in zip(form.items, mine, strict=True)
        )
        forms.append(replace(form, items=items))
    for form in forms:
        for item in form.items:
            _check_read_back(
                [_with_item(other, form.name, item) for other in FORMS],
                f"{path}: {form.name} item {item.number}",
            )
    _check_read_back(forms, str(path))
    return tuple(forms)


def _with_item(form: Form, name: str, item: Item) -> Form:
    """`form`, and if it has this name, with this item in place of its own of that number."""
    if form.name != name:
        return form
    return replace(
        form, items=tuple(item if mine.number == item.number else mine for mine in form.items)
    )


def _check_read_back(forms: Sequence[Form], where: str) -> None:
    """Raises InputError unless a form filled in with these texts is read as it was filled in."""
    filled = {
        form.name: [form.low + i % (form.high - form.low + 1) for i in range(len(form.items))]
        for form in forms
    }
    try:
        if (
            parse_forms(
                render([value for ratings in filled.values() for value in ratings], forms), forms
            )
            == filled
        ):
            return
        reason = "with other ratings"
    except Refused as refusal:
        reason = str(refusal)
    raise InputError(f"{where}: a form filled in with this text could not be read back ({reason})")
