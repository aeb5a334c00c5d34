"""Trap 21: filled forms, in every layout and damaged at random: the right ratings or a named refusal, never others."""

import json
import random
from dataclasses import replace

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
        ("7.", "7. stays abstract and theoretical: 1.5", "item 7 is 1, and then '.5'"),
        ("7.", "7. stays abstract and theoretical: 4", "ACT-FM item 7 is 4, outside 0..3"),
        ("7.", "7. stays abstract and theoretical: 3/4", "rated out of 4, not 3"),
        ("7.", "7. stays abstract and theoretical: 3/7", "rated out of 7, not 3"),
        ("7.", "7. stays abstract and theoretical: -1", "no one rating"),
        ("7.", "7. stays abstract and theoretical: 1-2", "no one rating"),
        ("7.", "7. stays abstract and theoretical: 1 or 2", "no one rating"),
        ("7.", "7. stays abstract and theoretical:", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract and theoretical: two", "ACT-FM item 7 has no rating"),
        ("7.", "7. -1", "no one rating"),
        ("7.", "7: -1", "no one rating"),
        ("7.", "7. stays abstract: \u22121", "no one rating"),
        ("7.", "7. stays abstract: > 1", "stands before the number|no one rating"),
        ("7.", "7. stays abstract: ~1", "no one rating"),
        ("7.", "7. stays abstract: ~~1~~", "no one rating"),
        ("7.", "7. stays abstract: <del>1</del>", "no one rating"),
        ("7.", "7. stays abstract: 0<br>2", "no one rating"),
        ("7.", "7. stays abstract: *0*2", "no one rating"),
        ("7.", "7. stays abstract: 1**0**", "no one rating"),
        ("7.", "7. stays abstract: 2\u00bd", "no one rating"),
        ("7.", "7. stays abstract: 2 - and a half", "is 2, and then"),
        ("7.", "7. stays abstract: 2 (or rather three)", "is 2, and then"),
        ("7.", "7. stays abstract: 2 - or 3", "is 2, and then"),
        ("7.", "7. stays abstract: 3 (never)", "is 3, and then '.never.'"),
        ("7.", "7. stays abstract: 12", "no one rating"),
        ("7.", f"7. stays abstract: {'9' * 5000}", "no one rating"),
        ("7.", "7. stays abstract: not rated. Confidence: 3", "stands before the number"),
        ("7.", "7. stays abstract and theoretical, confidence: 3", "stands before the number"),
        ("7.", "7. stays abstract: 1\nRating: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\nRevised score: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\nCorrection: that should be higher", "a rating beside the items"),
        ("7.", "7. stays abstract: 1\n2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\n1-2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\nOn reflection 2 is fairer.", "a number or a rating beside the items"),
        ("7.", "7. stays abstract:\nRating: 1\nRating: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract:\n2. He lectures", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract: 1\nACT-FM: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\nACT-FM item 7: 2", "ACT-FM item 7 is there twice"),
        ("3. echoes", "3.5", "a number or a rating beside the items"),
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
        parse_forms("The therapist demonstrates the ACT stance. 1. Good: 3\n" + text)
    with pytest.raises(Refused, match="ACT-FM is missing"):
        parse_forms("")


@pytest.mark.parametrize(
    "new",
    [
        "7. stays abstract and theoretical: 2 - he lectures at length",
        "7. stays abstract and theoretical: 2. He lectures.",
        "7. stays abstract and theoretical: 2 (sometimes)",
        "7. stays abstract and theoretical - Score: 2/3, two of his replies",
        "7. stays abstract and theoretical. Rating: 2",
        "| 7 | stays abstract and theoretical | 2 | he lectures |",
        "7. stays abstract and theoretical -> 2",
        "7. stays abstract and theoretical:\nRating: 2 - he lectures",
        "7. stays abstract and theoretical: 2\nHe lectures, and hardly asks.",
        "7. stays abstract and theoretical: 2\nOpen, consistent (items 8-10):",
        "7. stays abstract and theoretical: 2\nSubscale total: 6",
    ],
)
def test_remarks_without_numbers_and_headings_are_let_pass(new):
    text, ratings = draw_form(random.Random(1), "plain")
    ratings[ACT_FM.name][6] = 2
    assert parse_forms(changed(text, "7.", new)) == ratings


def as_json(ratings: dict[str, list[int]]) -> str:
    return json.dumps({name: {str(k): value for k, value in enumerate(mine, 1)} for name, mine in ratings.items()})


def test_a_json_object_is_found_in_prose_and_its_faults_are_refused_by_name():
    _, ratings = draw_form(random.Random(2), "plain")
    whole = as_json(ratings)
    assert parse_forms(whole) == parse_forms(as_json({name: ratings[name] for name in ("TES", "ACT-FM")})) == ratings
    assert parse_forms(f"Here is the JSON:\n```json\n{whole}\n```\nThe client was heard.") == ratings
    assert parse_forms(f"Ratings (0-3):\n{whole}") == ratings
    for text, said in (
        (f"{whole}\nTES 3 should be 5, on reflection.", "a number beside the JSON object: 'TES 3"),
        (f"TES 3 is 5.\n{whole}", "a number beside the JSON object"),
        (whole + whole, "not whole JSON"),
        (whole[:-1], "not whole JSON|beside"),
        (whole.replace("}}", '}, "revised": {"7": 1}}'), "'revised' is no form"),
        (whole.replace('"7": ', '"7": 1, "7": ', 1), "7 is there twice"),
        (whole.replace('"7": ', '"26": 1, "7": ', 1), "ACT-FM has no item 26"),
        ('{"ACT-FM": [1], "TES": {}}', "ACT-FM is no object"),
        ('{"ACT-FM": {"1": "2"}}', "ACT-FM item 1 is '2'"),
        ('{"ACT-FM": {"1": true}}', "ACT-FM item 1 is True"),
        ('{"ACT-FM": {"1": 1.0}}', "ACT-FM item 1 is 1.0"),
    ):
        with pytest.raises(Refused, match=said):
            parse_forms(text)


@pytest.mark.parametrize(
    "rubbish",
    [
        "[" * 100_000,
        '{"ACT-FM": ' + "[" * 100_000,
        '{"ACT-FM": {"1": ' + "9" * 5_000 + "}}",
        "TES\n1. warm: " + "9" * 5_000,
        "TES\n" + "1" * 100_000 + ". warm: 3",
        "TES\n1. warm:" + " " * 100_000 + "x",
        '{"',
        '}{"',
        "TES\n1. warm: 3\n" + "(" * 50_000,
    ],
)
def test_rubbish_is_refused_and_ends(rubbish):
    with pytest.raises(Refused):
        parse_forms(rubbish)


def test_official_wording_may_have_stops_of_its_own():
    text, ratings = draw_form(random.Random(3), "plain")
    spoken = "Therapist lectures, e.g. explains: too much - or advises"
    items = tuple(replace(item, text=spoken) if item.number == 5 else item for item in ACT_FM.items)
    forms = (replace(ACT_FM, items=items), TES)
    lines = changed(text, "5.", f"5. {spoken}: {ratings['ACT-FM'][4]}")
    assert parse_forms(lines, forms) == ratings
    with pytest.raises(Refused, match="ACT-FM item 5"):  # without that wording nobody knows where the text ends
        parse_forms(lines)


INSERTED = (" ", "*", "-", ":", ".", "a", "TES", "ACT-FM", "(", "|", "`", "\n\n")


def damage(draw: random.Random, text: str, swap: bool) -> str:
    """One to four edits that never write a digit: what was rated is what it was, or it is gone.

    Only neighbours are swapped, and only where an item and its rating share a line, and no cut joins a line to the copy
    of its neighbour: else ratings would change hands, and nobody could see.
    """
    doubled = False
    for _ in range(draw.randint(1, 4)):
        i = draw.randrange(len(text) + 1)
        j = min(len(text), i + draw.choice((1, 1, 2, 5, 30)))
        lines = text.splitlines(keepends=True)
        k = draw.randrange(len(lines)) if lines else 0
        kind = draw.choice(["cut", "cut", "insert", "newline", "line", "double", "swap", "join"])
        if (
            kind == "cut" and "/" not in text[i:j] and not (doubled and "\n" in text[i:j])
        ):  # "3/7" cut to "7" is another rating, not a damaged one
            text = text[:i] + text[j:]
        elif kind == "insert":
            text = text[:i] + draw.choice(INSERTED) + text[i:]
        elif kind == "newline":
            text = text[:i] + "\n" + text[i:]
        elif kind == "line":
            text = "".join(lines[:k] + lines[k + 1 :])
        elif kind == "double":
            text, doubled = "".join(lines[: k + 1] + lines[k:]), True
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


NUMBERS = (
    "{d}",
    " {d}",
    "{d} ",
    "{d}\n",
    "\n{d}",
    "\n{d}\n",
    " {d}\n",
    "-{d}",
    "- {d} ",
    ".{d}",
    " or {d}",
    "<br>{d}",
    "*{d}*",
)
NUMBERS += (
    "{d}.",
    "{d}: ",
    "({d})",
    "/{d}",
    ", {d}",
    "~{d}",
    "\u00bd",
    "\u00b2",
    "| {d} |",
    " = {d}",
    ": {d}",
    "={d}=",
)
NUMBERS += (
    "\nRating: {d}\n",
    "Rating: {d}",
    "\nScore: {d}\n",
    " Revised score: {d}\n",
    "\nRevised: {d}",
    "{d} (never)",
)
NUMBERS += (
    "\n{n}. {d}\n",
    "\n{n}: {d}\n",
    "\n{form} {n}. {d}\n",
    " Confidence: {d}",
    "\nActually, {d}.\n",
    "\nItem {n}: {d}\n",
)


def second_number(draw: random.Random, text: str) -> str:
    """A number more, one to three times: anywhere, at a line's end, or right before or behind a rating."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        ends = [i for i, c in enumerate(text) if c == "\n" or c.isdigit()]
        place = draw.choice([draw.randrange(len(text) + 1), draw.choice(ends), draw.choice(ends) + 1])
        form = draw.choice(FORMS)
        values = {"d": draw.randint(0, 7), "n": draw.randint(1, 25), "form": form.name}
        text = text[:place] + draw.choice(NUMBERS).format(**values) + text[place:]
    return text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["damaged", "second numbers"])
def test_trap_21_damaged_forms_are_read_rightly_or_refused(kind):
    """2 x 10,000 forms, damaged without a digit, or with ratings and digits written in: what is read, item by item, is
    what stood there before."""
    draw = random.Random(21)
    read = 0
    for i in range(10_000):
        layout = draw.choice(list(LAYOUTS))
        text, ratings = draw_form(draw, layout, draw.choice(HEADINGS), draw.choice((FORMS, FORMS[::-1])))
        one_line = "\n" not in LAYOUTS[layout]
        text = damage(draw, text, one_line) if kind == "damaged" else second_number(draw, text)
        try:
            assert parse_forms(text) == ratings, (i, layout, text)
            read += 1
        except Refused as refusal:
            assert str(refusal)
    low, high = {"damaged": (1_000, 8_000), "second numbers": (30, 1_000)}[kind]
    assert low < read < high  # neither all refused nor all undamaged
