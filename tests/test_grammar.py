"""Trap 21: filled forms, in every layout and damaged at random: the right ratings or a named refusal, never others."""

import random

import pytest

from act.measure.forms import ACT_FM, FORMS, TES
from act.measure.grammar import Refused, parse_forms

LAYOUTS = {
    "plain": "{n}. {text}: {value}",
    "brackets": "{n}) {text} - {value}",
    "rating on the line": "{n}. {text} Rating: {value}",
    "rating on the next line": "{n}. {text}\nRating: {value}",
    "number alone on the next line": "{n}. {text}\n{value}",
    "bold": "**{n}.** {text}: **{value}**",
    "bullets": "- {n}. {text}: {value}",
    "item, equals": "Item {n}: {text} = {value}",
    "out of": "{n}. {text}: {value}/{high}",
    "anchor behind it": "{n}. {text}: {value} (as it says)",
    "table": "| {n} | {text} | {value} |",
    "form in each line": "{form} {n}. {text}: {value}",
    "number only": "{n}: {value}",
    "tags": "<item>{n}. {text}: <b>{value}</b></item>",
}
HEADINGS = ("{name}", "## {title} ({name})", "**{name}:**", "<{name}>", "{title}", "{name} ratings ({low}-{high}):")


def draw_form(draw: random.Random, layout: str, heading: str = "{name}", order=FORMS, subscales=False):
    """(text, ratings) of both forms in a layout."""
    ratings, lines = {}, []
    for form in order:
        ratings[form.name] = [draw.randint(form.low, form.high) for _ in form.items]
        lines.append(heading.format(name=form.name, title=form.title, low=form.low, high=form.high))
        for item, value in zip(form.items, ratings[form.name], strict=True):
            if subscales and item.subscale and item.number in (5, 8, 14, 20):
                lines.append(f"### {item.subscale.capitalize()}, {item.direction}")
            words = {"n": item.number, "text": item.text, "value": value, "high": form.high, "form": form.name}
            lines.append(LAYOUTS[layout].format(**words))
        lines.append("")
    return "\n".join(lines), ratings


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_21_every_layout_is_read(layout, heading):
    draw = random.Random(f"{layout}{heading}")
    for order in (FORMS, FORMS[::-1]):
        text, ratings = draw_form(draw, layout, heading, order, subscales=True)
        assert parse_forms(text) == ratings
        around = f"I have read it. The therapist demonstrates warmth.\n```\n{text}\n```\nThat is my view of both."
        assert parse_forms(around) == ratings


def changed(text: str, number: str, new: str) -> str:
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(number))
    return "\n".join(lines[:place] + ([new] if new else []) + lines[place + 1 :])


@pytest.mark.parametrize(
    ("number", "new", "said"),
    [
        ("7.", "7. stays abstract and theoretical: 1.5", "more than one number|no one rating"),
        ("7.", "7. stays abstract and theoretical: 4", "ACT-FM item 7 is 4, outside 0..3"),
        ("7.", "7. stays abstract and theoretical: 3/4", "rated out of 4, not 3"),
        ("7.", "7. stays abstract and theoretical: 3/7", "rated out of 7, not 3"),
        ("7.", "7. stays abstract and theoretical: -1", "outside|no one rating|more than one"),
        ("7.", "7. stays abstract and theoretical: 1-2", "more than one number"),
        ("7.", "7. stays abstract and theoretical: 1 or 2", "no one rating"),
        ("7.", "7. stays abstract and theoretical:", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract and theoretical: two", "ACT-FM item 7 has no rating"),
        ("7.", "6. hurries to comfort: 1", "ACT-FM item 6 is there twice"),
        ("7.", "", "ACT-FM: item 7 is missing"),
        ("7.", "27. stays abstract: 1", "ACT-FM has no item 27"),
        ("TES", "", "ACT-FM item 1 is there twice"),
    ],
)
def test_trap_21_what_is_not_a_form_is_refused_by_name(number, new, said):
    text, _ = draw_form(random.Random(1), "plain")
    with pytest.raises(Refused, match=said):
        parse_forms(changed(text, number, new))


def test_trap_21_a_missing_form_is_refused():
    text, _ = draw_form(random.Random(1), "plain", order=(ACT_FM,))
    with pytest.raises(Refused, match="TES is missing"):
        parse_forms(text)
    text, _ = draw_form(random.Random(1), "plain", order=(TES,))
    with pytest.raises(Refused, match="ACT-FM is missing"):
        parse_forms(text + "\nThe therapist demonstrates the ACT stance. 1. Good: 3")
    with pytest.raises(Refused, match="ACT-FM is missing"):
        parse_forms("")


INSERTED = (" ", "*", "-", ":", ".", "a", "TES", "ACT-FM", "(", "|", "`", "\n\n")


def damage(draw: random.Random, text: str, swap: bool) -> str:
    """One to four edits that never write a digit: what was rated is what it was, or it is gone.

    Only neighbours are swapped, and only where an item and its rating share a line: else ratings would change hands,
    and nobody could see.
    """
    for _ in range(draw.randint(1, 4)):
        i = draw.randrange(len(text) + 1)
        j = min(len(text), i + draw.choice((1, 1, 2, 5, 30)))
        lines = text.splitlines(keepends=True)
        k = draw.randrange(len(lines)) if lines else 0
        kind = draw.choice(["cut", "cut", "insert", "newline", "line", "double", "swap", "join"])
        if kind == "cut" and "/" not in text[i:j]:  # "3/7" cut to "7" is another rating, not a damaged one
            text = text[:i] + text[j:]
        elif kind == "insert":
            text = (
                text[:i]
                + draw.choice((" ", "*", "-", ":", ".", "a", "TES", "ACT-FM", "(", "|", "`", "\n\n"))
                + text[i:]
            )
        elif kind == "newline":
            text = text[:i] + "\n" + text[i:]
        elif kind == "line":
            text = "".join(lines[:k] + lines[k + 1 :])
        elif kind == "double":
            text = "".join(lines[: k + 1] + lines[k:])
        elif kind == "swap" and swap and len(lines) > 1:
            other = max(k - 1, 0)
            lines[k], lines[other] = lines[other], lines[k]
            text = "".join(lines)
        elif kind == "join":
            text = (
                text.replace("\n", draw.choice((" ", "")), 1)
                if draw.random() < 0.5
                else "".join(line.rstrip("\n") + (" " if n == k else "\n") for n, line in enumerate(lines))
            )
    return text


@pytest.mark.slow
def test_trap_21_damaged_forms_are_read_rightly_or_refused():
    """20,000 damaged forms. What is read is what was written, item by item."""
    draw = random.Random(21)
    read = 0
    for i in range(20_000):
        layout = draw.choice(list(LAYOUTS))
        text, ratings = draw_form(draw, layout, draw.choice(HEADINGS), draw.choice((FORMS, FORMS[::-1])))
        damaged = damage(draw, text, "\n" not in LAYOUTS[layout])
        try:
            assert parse_forms(damaged) == ratings, (i, layout, damaged)
            read += 1
        except Refused as refusal:
            assert str(refusal)
    assert 3_000 < read < 16_000  # neither all refused nor all undamaged
