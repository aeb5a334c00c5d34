"""The two rating forms, ACT-FM (25 items, 0..3) and TES (9 items, 1..7): asked, read and scored.

Their official wording is copyrighted: forms.json holds this project's own short paraphrases, and
`load_wording` reads the authors' texts from a file of that format.

What a judge writes is read by a strict grammar, line by line: 34 ratings or a named refusal, never
a guess. Case, bold, list marks, a table's outer bars and a few tags (TAG) are mere layout.

    forms   = { blank | heading | item | object }      each item of each form once, in any order
    heading = { name | word | sign | "items" n "-" n | n "items" }
              and, until its form has a rating: its scale, anchors, items ("TES (1-7)"), "Form 1"
    item    = [name] ["item"] number ("." | ":" | ")" | "|") [text [mark]] [line break] rating
    mark    = ":" | "=" | "|" | "-" | "->"
    rating  = ["Rating" [":"] | "Score" [":"]] digit ["/" highest]
    object  = {"ACT-FM": {"1": digit, ...}, "TES": {...}}                              in JSON
    name    = "ACT-FM" | "ACT Fidelity Measure" | "TES" | "Therapist Empathy Scale" | <name>

`text` is the item's own, whole: a number behind other words may be no rating ("confidence: 3"), and
words behind a rating may take it back ("3, or less"). Both are refused; the judge is asked again.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from act.records import InputError, read_json

SUBSCALES = ("stance", "open", "aware", "engaged")
DIRECTIONS = ("consistent", "inconsistent")  # with ACT


@dataclass(frozen=True)
class Item:
    """One statement that a rater gives a number to."""

    number: int
    text: str  # ours: at most ten words, since a small judge reads it before each rating
    subscale: str  # ACT-FM: one of SUBSCALES
    direction: str  # ACT-FM: one of DIRECTIONS


@dataclass(frozen=True)
class Form:
    """A rating form: its items, and the range low..high and the anchors that all of them share."""

    name: str
    title: str
    low: int
    high: int
    anchors: str
    source: str  # the paper
    items: tuple[Item, ...]

    @property
    def digits(self) -> tuple[str, ...]:
        """The ratings an item may get, as text: ("0", "1", "2", "3") for ACT-FM."""
        return tuple(str(value) for value in range(self.low, self.high + 1))


# title, range, anchors and paper of each form
BLANK = read_json(Path(__file__).with_name("blank_forms.json"))
HALVES = [(subscale, direction) for subscale in SUBSCALES for direction in DIRECTIONS]
KINDS = {
    # of items 1 to 25: three a half, but four where a stance is consistent
    "ACT-FM": [HALVES[0], *(half for half in HALVES for _ in range(3))],
    "TES": [("", "")] * 9,
}


def _read_texts(path: Path) -> Iterator[Form]:
    """The forms with the texts of a file {"ACT-FM": [25 texts], "TES": [9 texts]}."""
    texts = read_json(path)
    for name, kinds in KINDS.items():
        mine = texts.get(name)
        if not isinstance(mine, list) or len(mine) != len(kinds):
            raise InputError(f'{path}: "{name}" must be a list of {len(kinds)} texts')
        items = []
        for number, (text, kind) in enumerate(zip(mine, kinds, strict=True), 1):
            is_line = str(text).splitlines() == [text]  # and no other type
            if not is_line or not re.fullmatch(r"\D*[^\W\d_]\D*", text):
                where = f"{path}: {name} item {number}"
                raise InputError(f"{where} must be one line of words without digits")
            items.append(Item(number, text.strip(), *kind))
        yield Form(name, **BLANK[name], items=tuple(items))


FORMS = ACT_FM, TES = tuple(_read_texts(Path(__file__).with_name("forms.json")))


def named_item(record: dict) -> dict:
    """{"form", "item", "direction"} that a record names, each None where it names none.

    An item brings its own direction; what is about no item may say one. Raises ValueError for an
    item of no form, and for another direction than the item's.
    """
    form, item, direction = record.get("form"), record.get("item"), record.get("direction") or None
    if direction not in (None, *DIRECTIONS):
        raise ValueError(f'"direction" is {direction!r}, none of {", ".join(DIRECTIONS)}')
    if form is None and item is None:
        return {"form": None, "item": None, "direction": direction}
    known = {one.name: [item.direction or None for item in one.items] for one in FORMS}
    if not isinstance(form, str) or form not in known:
        raise ValueError(f'"form" is {form!r}, none of {", ".join(known)}')
    if type(item) is not int or not 1 <= item <= len(known[form]):
        raise ValueError(f'"item" is {item!r}; {form} has items 1 to {len(known[form])}')
    own = known[form][item - 1]
    if direction not in (None, own):
        said = f"{form} item {item} is {own or 'without one'}"
        raise ValueError(f'"direction" is {direction!r}, and {said}')
    return {"form": form, "item": item, "direction": own}


@dataclass(frozen=True)
class Outcome:
    """What is analysed: its name for readers, the ends of its scale where it has any, its unit, and
    the outcomes that it is shown with."""

    title: str
    low: float | None = None
    high: float | None = None
    unit: str = "points"
    group: str = "subscales"


# act_fm_total is the published name of ACT-FM's consistency; no score joins it to inconsistency
OUTCOMES = {
    "act_fm_total": Outcome("ACT-FM consistency", 0, 36, group="totals"),
    "tes_mean": Outcome("TES empathy", 1, 7, group="totals"),
    "act_fm_inconsistency": Outcome("ACT-FM inconsistency", 0, 36),
} | {
    f"{subscale}_{direction}": Outcome(f"ACT-FM {subscale}, {direction}", 0, 9)
    for direction in DIRECTIONS
    for subscale in SUBSCALES
}


def score(act_fm: Sequence[float], tes: Sequence[float]) -> dict[str, float]:
    """All outcomes of one session from its 25 ACT-FM and 9 TES ratings (whole or expected ones).

    A subscale has 3 items and is their sum, 0..9; stance-consistent has 4 and is its sum times 3/4.
    act_fm_total = the four consistent subscales (more is better), act_fm_inconsistency = the other
    four (less is better), tes_mean = the mean of nine. Missing is missing: raises ValueError for a
    form with an item left out, not a number, or out of range.
    """
    for form, ratings in ((ACT_FM, act_fm), (TES, tes)):
        if len(ratings) != len(form.items):
            raise ValueError(f"{form.name} has {len(form.items)} items, not {len(ratings)}")
        for number, value in enumerate(ratings, 1):
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number or not form.low <= value <= form.high:  # NaN is not, either
                where = f"{form.name} item {number} is {value!r}"
                raise ValueError(f"{where}, outside {form.low}..{form.high}: no score")
    rated = defaultdict(list)  # subscale and direction -> its ratings
    for item, value in zip(ACT_FM.items, act_fm, strict=True):
        rated[f"{item.subscale}_{item.direction}"].append(value)
    result = {name: 3 * sum(values) / len(values) for name, values in rated.items()}
    result["act_fm_total"] = sum(result[f"{name}_consistent"] for name in SUBSCALES)
    result["act_fm_inconsistency"] = sum(result[f"{name}_inconsistent"] for name in SUBSCALES)
    result["tes_mean"] = sum(tes) / len(tes)
    return {name: float(result[name]) for name in OUTCOMES}


@dataclass(frozen=True)
class Slot:
    """One place on a filled form that waits for a digit."""

    form: str
    number: int
    label: str  # what a judge reads up to its digit: "ACT-FM 7. stays abstract and theoretical: "
    digits: tuple[str, ...]


def slots(forms: Sequence[Form] = FORMS) -> list[Slot]:
    """The 34 places where a judge puts a digit, ACT-FM 1..25 then TES 1..9."""
    return [
        Slot(form.name, item.number, f"{form.name} {item.number}. {item.text}: ", form.digits)
        for form in forms
        for item in form.items
    ]


def render(ratings: Sequence[int | str], forms: Sequence[Form] = FORMS) -> str:
    """Both forms filled in, a line an item, as `parse_forms` reads them. `ratings`: 34 in order."""
    filled = zip(slots(forms), ratings, strict=True)
    return "\n".join(f"{slot.label}{rating}" for slot, rating in filled)


def instructions() -> str:
    """What a judge is told about both forms before it rates: the rubric, under 200 words."""
    rubric = Path(__file__).with_name("forms.txt").read_text(encoding="utf-8")
    return rubric.strip().format(act_fm=ACT_FM, tes=TES)


class Refused(ValueError):
    """The text is not one whole, unambiguous form of each kind."""


NAMES = {
    "ACT-FM": r"(?i:\bACT[-\u2010\u2011 ]?FM\b|\bACT Fidelity Measure\b)",
    "TES": r"(?i:\bTES\b|\bTherapist Empathy Scale\b)",
}
NAME = rf"(?:{'|'.join(NAMES.values())})"
# any other tag may strike out what it holds: it stays, and fits no rule
TAG = re.compile(
    rf"(?i)</?(?:b|strong|i|em|p|li|items?|ratings?|scores?|forms?|output|answer|({NAME}))>"
)
ITEM = re.compile(  # the form's name or "", the item's number, and text and rating
    rf"(?i)[\s|#+\u2022-]*+({NAME}|)[\s,:|]*+(?:item ?)?([0-9]{{1,2}})"
    rf"(?:[:)]|\.(?=\s|$)|(?= ?\|))(?!\W*{NAME}) ?\|? ?(.*?)(?: ?\|)?"
)
MARK = re.compile(r"^\.*(?: ?[:=|\u2192] ?| (?:[-\u2013\u2014=]>? )?|)")  # "- 2" is 2, "-2" is not
RATING = re.compile(r"(?i)^(?:rating|score)\b ?[:=|]? ?")
ALONE = re.compile(  # a line that is no more than a rating
    r"(?im)\n(?:[-+\u2022] (?=\D))?(?:(?:rating|score)\b ?[:=|]? ?)?([0-9](?:/[0-9])?)$"
)
HEADING_WORDS = (
    "act|and|are|assessment|both|each|evaluation|final|for|form|forms|from|here|is|item|"
    "items|json|my|of|on|output|part|rated|rating|ratings|response|result|results|scale|"
    "score|scores|section|statement|style|subscale|text|the|these|they|with|"
    + "|".join(SUBSCALES + DIRECTIONS)
)


def _heading(*numbers: str) -> re.Pattern:
    """A line of names, words and signs alone, and of such numbers as are no ratings."""
    words, signs = rf"\b(?:{HEADING_WORDS})\b", r"[\s:,.()|&/+=#\u2013\u2014-]"
    items = r"\bitems \d+ ?[-\u2013] ?\d+\b|\b\d+ items\b"
    kinds = "|".join([*numbers, items, NAME, words, signs])
    return re.compile(f"(?i)(?:{kinds})*+")  # *+ never goes back, so that any line ends soon


HEADING = _heading()
FIRST_HEADING = {  # of a form without a rating
    form.name: _heading(
        rf"\b{form.low}(?:-|\u2013| to | - (?=\d\))){form.high}\b",  # "TES 1 - 7" may be a rating
        rf"\b1[-\u2013]{len(form.items)}\b",
        re.escape(form.anchors),
        rf"\b(?:form|part) \d\b|^\d\. (?={NAMES[form.name]})",
    )
    for form in FORMS
}


def parse_forms(text: str, forms: Sequence[Form] = FORMS) -> dict[str, list[int]]:
    """Text -> {"ACT-FM": 25 ratings, "TES": 9 ratings}. Raises Refused: which line, and why.

    `forms`: with the wording that was asked for.
    """
    # 1. without layout, each rating in its item's line
    text = ALONE.sub(r" Rating: \1", _plain(_unfolded(text)))
    # 2. each line is an item or a heading
    found = {form.name: [None] * len(form.items) for form in forms}  # form -> ratings
    form = None  # the one that was named last
    for line in text.split("\n"):
        item = ITEM.fullmatch(line)
        form = _named(item[1] if item else line, forms) or form
        is_first = form and set(found[form.name]) == {None}
        heading = FIRST_HEADING[form.name] if is_first else HEADING
        if item and form:
            _fill_in(form, found[form.name], int(item[2]), item[3])
        elif not heading.fullmatch(line):
            raise Refused(f"neither a heading nor an item of a named form: {line[:80]!r}")
    # 3. and no item is left out
    for name, ratings in found.items():
        if None in ratings:
            raise Refused(f"{name} item {ratings.index(None) + 1} is missing")
    return found


def _unfolded(text: str) -> str:
    """The text; a JSON object in it as lines, "ACT-FM 1: 0"."""
    match = re.match(r"([^{]*^[ \t]*)(\{.*\})", text, re.DOTALL | re.MULTILINE)
    if not match:
        return text
    lines = [match[1]]
    try:
        # pairs, not a dict: a key that is there twice stays twice
        for name, ratings in json.loads(match[2], object_pairs_hook=list):
            for number, value in ratings:
                lines.append(" ".join(f"{name} {number}: {json.dumps(value)}".split()))
    # a ValueError too: a number of thousands of digits
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"not whole JSON of forms and their items: {error}") from None
    return "\n".join([*lines, text[match.end() :]])


def _plain(text: str) -> str:
    """The lines that say something, without bold, code marks, harmless tags; item_7 is item 7."""
    text = TAG.sub(r" \1 ", text.replace("_", " ").replace("*", "").replace("`", ""))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return "\n".join(filter(None, lines))


def _named(text: str, forms: Sequence[Form]) -> Form | None:
    """The one form that is named in a text."""
    named = [form for form in forms if re.search(NAMES[form.name], text)]
    return named[0] if len(named) == 1 else None


def _fill_in(form: Form, ratings: list[int | None], number: int, behind: str) -> None:
    """Writes an item's rating into `ratings`, from what stands behind its number: text, rating."""
    where = f"{form.name} item {number}"
    if not 1 <= number <= len(ratings):
        raise Refused(f"{form.name} has no item {number}")
    if ratings[number - 1] is not None:
        raise Refused(f"{where} is there twice")
    text, written = _plain(form.items[number - 1].text), behind
    if behind[: len(text)].casefold() == text.casefold():
        written = MARK.sub("", behind[len(text) :])
    digit = RATING.sub("", written).removesuffix(f"/{form.high}")
    if digit not in form.digits:
        raise Refused(f"{where} is {written[:80]!r}, not one of {form.low}..{form.high} alone")
    ratings[number - 1] = int(digit)


def load_wording(path: Path) -> tuple[Form, Form]:
    """Both forms with their items' texts from a JSON file, forms.json's format: the official ones.

    Raises InputError for a file of another shape, for a text that is no line of words, and where a
    form that is filled in with the texts could not be read.
    """
    forms = tuple(_read_texts(path))
    try:
        parse_forms(render([form.high for form in forms for _ in form.items], forms), forms)
    except Refused as refusal:
        raise InputError(f"{path}: a form filled in with it could not be read: {refusal}") from None
    return forms
