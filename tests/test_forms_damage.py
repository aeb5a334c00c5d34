"""Trap 21 at random: forms damaged or doubted 30,000 times are read rightly or refused.

Three kinds: edits that write no digit, digits written in, and damage after which no form may be
read at all (a second thought, another item's text, a confidence for a rating, a rating struck out).
What is read is what stood there before.
"""

import json
import random
import re
from dataclasses import replace

import pytest

from act.forms import FORMS, Refused, parse_forms
from tests.test_forms import HEADINGS, LAYOUTS, MORE_HEADINGS, as_json, draw_form

COUNTED = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
SPOKEN = {  # another wording, with stops, signs and words that other rules look for
    "ACT-FM": {
        1: "Therapist demonstrates care: listens, e.g. nods - or waits",
        2: "Therapist's answers suit *this* client's rating of life",
        3: "takes on one feeling or two, not more",
        5: "Lectures? (advises; convinces) / instructs",
        6: "stays with what hurts",
        7: "stays with what hurts the client",
        8: "does not apply techniques by rote; scores no points",
        25: "sees the client\u2019s answer as a final value:",
    },
    "TES": {
        1: "demonstrates concern",
        4: "warm, never cold",
        9: "higher interest \u2013 lower distance = warmth",
    },
}


def worded(form, texts):
    """A form of which some items have other texts."""
    items = tuple(replace(item, text=texts.get(item.number, item.text)) for item in form.items)
    return replace(form, items=items)


OFFICIAL = tuple(worded(form, SPOKEN[form.name]) for form in FORMS)
BEFORE = ("", "", "Here are my ratings.", "```", "<ratings>", "# Evaluation\n\nItems 1-4:")
BEHIND = ("", "", "```", "</ratings>", "---\n\n## Both forms, rated")
WITH_TEXT = [layout for layout, line in LAYOUTS.items() if "{text}" in line]


def draw_text(draw: random.Random, layouts=(*LAYOUTS, "json")):
    """(text, ratings, forms, layout) of a filled form: lines or a JSON object, bare or fenced."""
    layout = draw.choice(layouts)
    forms = draw.choice((FORMS, FORMS, OFFICIAL))
    order = draw.choice((forms, forms[::-1]))
    if layout == "json":
        _, ratings = draw_form(draw, "plain", order=order)
        text = json.dumps(json.loads(as_json(ratings)), indent=draw.choice((None, 1)))
        before = draw.choice(("", "Here is the JSON.\n", "Ratings:\n```json\n"))
        return before + text + draw.choice(("", "\n```\n", "\n---")), ratings, forms, layout
    heading = draw.choice(HEADINGS + MORE_HEADINGS)
    text, ratings = draw_form(draw, layout, heading, order, subscales=draw.random() < 0.3)
    if draw.random() < 0.5:
        text = f"{draw.choice(BEFORE)}\n{text}\n{draw.choice(BEHIND)}"
    return text, ratings, forms, layout


def test_what_is_drawn_is_read():
    draw = random.Random(20)
    for _ in range(200):
        text, ratings, forms, _ = draw_text(draw)
        assert parse_forms(text, forms) == ratings


INSERTED = (" ", "*", "-", ":", ".", "a", "TES", "ACT-FM", "(", "|", "`", "\n\n")
INSERTED += ("<b>", "</old>", " | ", "> ", "not ", '"', "{")


def damage(draw: random.Random, text: str, swap: bool) -> str:
    """One to four edits that never write a digit: what was rated is what it was, or it is gone.

    Only neighbours are swapped, and only where an item and its rating share a line, and no cut
    joins a line to the copy of its neighbour: else ratings would change hands, and nobody could
    see.
    """
    kinds = "cut cut insert newline line double swap join case layout".split()  # noqa: SIM905
    doubled = False
    for _ in range(draw.choice((1, 1, 2, 3, 4))):
        i = draw.randrange(len(text) + 1)
        j = min(len(text), i + draw.choice((1, 1, 2, 5, 30)))
        lines = text.splitlines(keepends=True) or [""]
        k = draw.randrange(len(lines))
        kind = draw.choice(kinds)
        # "3/7" cut to "7" is another rating, not a damaged one
        joins_copies = doubled and "\n" in text[i:j]
        if kind == "cut" and "/" not in text[i:j] and not joins_copies:
            text = text[:i] + text[j:]
        elif kind == "insert":
            text = text[:i] + draw.choice(INSERTED) + text[i:]
        elif kind == "newline":
            text = text[:i] + "\n" + text[i:]
        elif kind == "line":
            text = "".join(lines[:k] + lines[k + 1 :])
        elif kind == "double":
            text, doubled = "".join(lines[: k + 1] + lines[k:]), True
        elif kind == "swap" and swap and k:
            lines[k - 1 : k + 1] = lines[k], lines[k - 1]
            text = "".join(lines)
        elif kind == "join":
            lines[k] = lines[k].replace("\n", draw.choice((" ", "")))
            text = "".join(lines)
        elif kind == "case":
            text = text[:i] + text[i:j].swapcase() + text[j:]
        elif kind == "layout":
            lines[k] = draw.choice(("- ", "> ", "  ", "**", "### ")) + lines[k]
            text = "".join(lines)
    return text


NUMBERS = (  # / is a line's end
    "{d}; {d};{d} ;{d}/;/{d};/{d}/; {d}/;-{d};- {d} ;.{d}; or {d};<br>{d};*{d}*;{d}.;{d}: ;({d})"
    ";, {d};~{d};\u00bd;\u00b2; = {d};: {d};={d}=;/Rating: {d}/;Rating: {d};/Score: {d}/"
    "; Revised score: {d}/;/Revised: {d};{d} (never);| {d} |;/{n}. {d}/;/{n}: {d}/"
    ";/{form} {n}. {d}/; Confidence: {d};/Actually, {d}./;/Item {n}: {d}/; item {n} to {d}"
    ";/item {n} to {d}/;/{form} {n} to {d}/;/{form} {n} - {d}/;/Items {n}-{d}: {d}/; ({n}-{d}) "
    ';{d} turns;<s>{d}</s>;{word};/{word}/;, {word}; ({word});/Item {word}: {word}/;, "{n}": {d}'
    ';"{n}": {d}, ;{{"{n}": {d}}};/item_{n}: {d}/;/- {d}/'
    ";/Items {n}-{d}/;/({d} items)/;/{form}, items {n}-{d}/"  # headings, which rate nothing
)
NUMBERS = [*NUMBERS.replace("/", "\n").replace("<\n", "</").split(";"), "/{d}", "; {d}"]


def second_number(draw: random.Random, text: str) -> str:
    """A number more, one to three times: anywhere, at a line's end, or right before or behind a
    rating."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        ends = [match.start() for match in re.finditer(r"[\n\d]", text)]
        anywhere = draw.randrange(len(text) + 1)
        place = draw.choice([anywhere, draw.choice(ends), draw.choice(ends) + 1])
        n, d, form = draw.randint(1, 25), draw.randint(0, 7), draw.choice(FORMS).name
        number = draw.choice(NUMBERS).format(n=n, d=d, form=form, word=draw.choice(COUNTED))
        text = text[:place] + number + text[place:]
    return text


THOUGHTS = """I would change {item} to {d}.|{item} to {d}|On reflection, {item} is a {d}.
I mean {d}.|I mean, {item} is {d}.|On average, {item} is closer to {d}.
In sum, read {item} as {d}.|({d})|I totally misjudged {item}: it deserves a {d}.|{item} is {d}
The last one is a {d}.|Items {n}-{m}: {d} each.|{item} could also be {d}.|Actually, {d}.
Rating: {d}|Wait - {d}.|Make it {d}.
{item} = {d}|{item}: {d}|{d} for {item}|Overall, {d}.|{item} is not applicable.|{item}: not rated"""
THOUGHTS = [thought for line in THOUGHTS.split("\n") for thought in line.split("|")]
ITEM_NAMES = ("item {n}", "Item {word}", "{form} item {n}", "{form} {n}", "question {n}")
ITEM_NAMES += ("the {form}'s item {word}", "item_{n}")


def second_thought(draw: random.Random) -> tuple[str, tuple]:
    """A sentence about a rating, in digits or in words, behind half of a form or around a JSON
    object."""
    text, _, forms, layout = draw_text(draw)
    form = draw.choice(FORMS)
    n, d = draw.randint(2, len(form.items)), draw.randint(form.low, form.high)
    item = draw.choice(ITEM_NAMES).format(n=n, word=COUNTED[min(n, 12)], form=form.name)
    said = draw.choice(THOUGHTS).format(item=item, n=n, m=n + 2, d=draw.choice((d, COUNTED[d])))
    if layout == "json":
        return draw.choice((f"{said}\n{text}", f"{text}\n{said}")), forms
    lines = text.splitlines()
    lines.insert(draw.randint(len(lines) // 2, len(lines)), said)
    return "\n".join(lines), forms


LABELS = """confidence|turns|turns where {text}|never {text}|{text} (confidence)|{text}, max
not {text}|Not applicable|weight|Rarely|Somewhat|two|the last one|{text}: rarely|minimum
{text} | evidence|page|rating scale|{text} (R)|no rating"""
LABELS = [label for line in LABELS.split("\n") for label in re.split(r"(?<! )\|", line)]


def foreign_text(draw: random.Random) -> tuple[str, tuple]:
    """One item with other words than its own in front of its number, or two with each other's."""
    layout, forms = draw.choice(WITH_TEXT), draw.choice((FORMS, OFFICIAL))
    f = draw.randrange(2)
    a, b = draw.sample(range(len(forms[f].items)), 2)
    texts = {a + 1: forms[f].items[b].text, b + 1: forms[f].items[a].text}
    if draw.random() < 0.5:
        text = draw.choice(LABELS).format(text=forms[f].items[a].text)
        texts = {a + 1: text}
    filled = tuple(worded(form, texts) if k == f else form for k, form in enumerate(forms))
    return draw_form(draw, layout, draw.choice(HEADINGS), filled)[0], forms


def confidence(draw: random.Random) -> tuple[str, tuple]:
    """A table whose only digits are a confidence, by its head or by the words before them, or that
    has two digits."""
    words = ("never", "rarely", "sometimes", "consistently", "not at all", "somewhat")
    heads = (
        "| Item | Text | Confidence | Rating |",
        "| Rating | Text | Confidence |",
        "|#|Score|Turns|",
    )
    kind, layouts, forms = draw.choice(("head", "words", "column")), ["table"], FORMS
    if kind == "words":
        layouts += ["table with stops", "plain"]
        texts = {number: draw.choice(words) for number in range(1, 26)}
        forms = tuple(worded(form, texts) for form in FORMS)
    text, _ = draw_form(draw, draw.choice(layouts), order=forms)
    if kind == "head":
        head = rf"\1\n{draw.choice(heads)}\n|---|---|---|"
        text = re.sub(r"^(ACT-FM|TES)$", head, text, flags=re.MULTILINE)
    if kind == "column":
        text = re.sub(r"\|$", f"| {draw.randint(0, 7)} |", text, flags=re.MULTILINE)
    return text, FORMS


BEHIND_A_RATING = " (N/A)| - not rated|, out of ten| (or more)| - no, higher|, revised| - often"
BEHIND_A_RATING += "| (was eleven)| of nine| - make that twelve|/9| out of 9|.5| 1/2|%|+|?| | 4"
BEHIND_A_RATING += "| -> 2|, 2| (2)| or 2| to 2|\n(2-3)|\nRating: 2|</old>|\u0336|\u00bd|\n2|\n- 2"
BEHIND_A_RATING = re.split(r"(?<! )\|", BEHIND_A_RATING)


def taken_back(draw: random.Random) -> tuple[str, tuple]:
    """One rating with something behind it that makes it another, or that is struck out."""
    layouts = ("plain", "rating on the line", "item, equals", "form in each line", "number only")
    text, _, forms, layout = draw_text(draw, (*layouts, "bullets", "released"))
    lines = text.splitlines()
    is_rated = re.compile(r"\W*(?:Item |item_|ACT-FM |TES )?\d+[.:] (?:.* )?\d").fullmatch
    rated = [i for i, line in enumerate(lines) if is_rated(line)]
    k = draw.choice(rated)
    tag = draw.choice(("del", "s", "strike", "removed", "old", "strikethrough", "sup", "draft"))
    sign = draw.choice(("-", "~", "<", "\u2265", "not ", "(", "1.", "1 or ", "~~"))
    before, digit = lines[k][:-1], lines[k][-1]
    ways = [lines[k] + draw.choice(BEHIND_A_RATING), before + sign + digit]
    ways += [f"<{tag}>{lines[k]}</{tag}>", f"{before}<{tag}>{digit}</{tag}>"]
    lines[k] = draw.choice(ways)
    return "\n".join(lines), forms


def faulty_json(draw: random.Random) -> tuple[str, tuple]:
    """A JSON object with one value or key that is none."""
    _, ratings = draw_form(draw, "plain")
    whole, n = as_json(ratings), draw.randint(1, 25)
    value = re.search(rf'"{n}": (\d)', whole)
    faults = ['"{v}"', "{v}.0", "-1", "8", "null", "true", "[{v}]", "two", '{{"rating": {v}}}']
    new = draw.choice([*faults, '{v}, "{n}": {v}', '{v}, "x": 1'])
    whole = whole[: value.start(1)] + new.format(v=value[1], n=n) + whole[value.end(1) :]
    return whole, FORMS


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["damaged", "second numbers"])
def test_trap_21_damaged_forms_are_read_rightly_or_refused(kind):
    """2 x 10,000 forms, damaged without a digit, or with ratings and digits written in: what is
    read, item by item, is what stood there before."""
    draw = random.Random(21)
    read = 0
    for i in range(10_000):
        text, ratings, forms, layout = draw_text(draw)
        one_line = "\n" not in LAYOUTS.get(layout, "")
        text = damage(draw, text, one_line) if kind == "damaged" else second_number(draw, text)
        try:
            assert parse_forms(text, forms) == ratings, (i, layout, text)
            read += 1
        except Refused as refusal:
            assert str(refusal)
    low, high = {"damaged": (1_000, 8_000), "second numbers": (30, 1_000)}[kind]
    assert low < read < high  # neither all refused nor all undamaged


@pytest.mark.slow
@pytest.mark.parametrize(
    "doubt", [second_thought, foreign_text, confidence, taken_back, faulty_json]
)
def test_trap_21_doubtful_forms_are_refused(doubt):
    """5 x 2,000 forms of which a rating is not what its digit says."""
    draw = random.Random(22)
    for i in range(2_000):
        text, forms = doubt(draw)
        try:
            read = parse_forms(text, forms)
        except Refused as refusal:
            assert str(refusal)
        else:
            pytest.fail(f"{i}: read as {read}: {text}")
