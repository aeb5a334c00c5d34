"""A strict grammar for forms a model or a person has filled in as text: 34 ratings, or a named
refusal; never a guess.

A heading names a form ("ACT-FM", "Therapist Empathy Scale", "## TES (1 - 7):"); or each item does
("TES 3. ...: 5"). An item is its number, its text, and its rating behind a separator at the end of
the line or as the next line; a remark may follow that holds no other number, in digits or in words,
and does not take the rating back:

    12. wants happier thoughts: 0         12) ... - 0/3 (never)         **12.** ... **Rating:** 0 - he does not

The text is the item's own, whole or shortened (`is_text_of`), or left out: a number behind other
words may be no rating ("confidence: 3"), and one whose text is another item's is nobody's. Layout
is let pass: fences, bold, bullets, tags, tables, subscale headings, either form first, prose around
it. What is not: an item without a rating, twice, out of range, on another scale, with two numbers,
a sign, a decimal, a tag that may strike out, a form that is missing, and, once items are rated, any
number, in digits or in words, whose place is not plain, and any word of change (prose.py), since it
may be a second thought. A JSON object {"ACT-FM": {"1": 0, ...}, "TES": {...}}, bare or in prose, is
held to the same rules.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from act.forms import FORMS, Form, Item
from act.prose import (
    NAME,
    NAMES,
    NUMBER_WORD,
    contradicts,
    has_digit,
    is_heading,
    is_text_of,
    is_text_of_another,
    may_take_back,
    says_other_scale,
)

TAG = re.compile(r"</?([A-Za-z][\w-]*)\s*/?>")
TAGS = re.compile(  # any other may strike out what it holds: it stays, and fits no rule
    r"b|strong|i|em|u|p|br|hr|li|ul|ol|div|span|code|pre|table|thead|tbody|tr|td|th|h[1-6]|forms?|items?|ratings?|scores?"
    r"|(?:final_)?answers?|response|reply|output|results?|values?|numbers?|text|json|evaluation|assessment|judge?ment"
    r"|think|thinking|reasoning|analysis|summary|comments?|explanation|rationale|section|details|html|body|xml",
    re.IGNORECASE,
)
RULE = re.compile(r"[-=|: ]*|~{3,}\w*")
DECORATION = re.compile(r"[*_`]+|^\s*#+\s")
BULLET = re.compile(r"[-\u2022+>] (?!\W*\d\W*$)")  # "- 2" may be minus two
ITEM = re.compile(
    r"(?:item|question|q)?\s*\(?(\d{1,2})\s*(?:(?:[):\]]|\.(?!\d))\s*\|?|\||-(?=\s))\s*(.*)",
    re.IGNORECASE,
)
PREFIX = re.compile(rf"{NAME}[\s,:|]*(?=(?:item\s*)?\(?\d)")
LABEL = r"(?P<label>\b(?:(?:my|final)\s+)?(?:rating|score|answer|value)\b)"
SEPARATOR = r"(?:(?::\s*)?\||[:=]|(?:^|(?<=\s))[\u2013\u2014-](?=\s)|[-=]>|\u2192)"
VALUE = r"(?P<open>[\[(]\s*)?(?P<value>\d)(?(open)\s*[\])])(?:\s*(?:/|out of)\s*(?P<of>\d{1,2})\b)?"
REMARK = r"\s*(?P<remark>(?:[.;,(|\u2013\u2014]|-\s).*)?"
LEAD = rf"(?P<lead>(?:{SEPARATOR}\s*)?{LABEL}\s*{SEPARATOR}?|{SEPARATOR})?"
RATED = re.compile(rf"(?P<text>.*?)[\s.,;]*{LEAD}\s*{VALUE}{REMARK}", re.IGNORECASE)
NEXT_LINE = re.compile(rf"(?:{LABEL}\s*{SEPARATOR}?)?\s*{VALUE}{REMARK}", re.IGNORECASE)
COLUMN = re.compile(rf"{LABEL}\s*(?:\(.*\))?", re.IGNORECASE)
BRACKETED = re.compile(r"(?:\([^()]*\))?[.;,]?")
ONE_ITEM = re.compile(
    rf"(?:\b(?:item|question)\s*|{NAME}\s+)#?(?:\d+\b|{NUMBER_WORD.pattern})(?!\s*(?:[-\u2013]|items))",
    re.IGNORECASE,
)
OBJECT = re.compile(r'\{\s*"')
LONGEST = 1000  # characters of an item; a pattern may take the square of it


class Refused(ValueError):
    """The text is not one whole, unambiguous form of each kind."""


def parse_forms(text: str, forms: Sequence[Form] = FORMS) -> dict[str, list[int]]:
    """Text -> {"ACT-FM": 25 ratings, "TES": 9 ratings}. Raises Refused with the reason.

    `forms`: with the wording that was asked for.

    >>> parse_forms(rendered)["TES"]
    [4, 4, 5, 3, 4, 4, 5, 4, 3]
    """
    start = OBJECT.search(text)
    if start:
        end = max(text.rfind("}") + 1, start.start())
        for line in _lines(text[: start.start()] + "\n" + text[end:]):
            if may_take_back(line):
                raise Refused(f"a number or a rating beside the JSON object: {line[:80]!r}")
        return _parse_json(text[start.start() : end])
    return _whole(_parse_lines(text, {form.name: form for form in forms}))


def _clean(line: str) -> str:
    """A line without its layout."""

    def words(tag: re.Match) -> str:
        name = next(
            (
                name
                for name, pattern in NAMES.items()
                if re.fullmatch(pattern, tag[1], re.IGNORECASE)
            ),
            "",
        )
        return f" {name} " if name or TAGS.fullmatch(tag[1]) else tag[0]  # <TES> is a heading

    line = " ".join(DECORATION.sub(" ", TAG.sub(words, line)).split()).strip("|").strip()
    return BULLET.sub("", line, count=1) if BULLET.match(line) else line


@lru_cache(maxsize=1024)
def _wording(item: Item) -> str:
    """Its text as a line would have it."""
    return _clean(item.text)


def _lines(text: str) -> Iterator[str]:
    """The lines that say something, without their layout."""
    for line in map(_clean, text.splitlines()):
        if RULE.fullmatch(line):
            continue
        if line.startswith(("<", "~~")):
            raise Refused(f"a tag that may strike out what it holds: {line[:80]!r}")
        yield line


def _parse_lines(text: str, forms: dict[str, Form]) -> dict[str, dict[int, int]]:
    """form -> item -> rating."""
    found: dict[str, dict[int, int]] = {name: {} for name in forms}
    form: Form | None = None
    open_item: tuple[int, str] | None = (
        None  # its number and text: its rating must be the next line
    )
    columns: set[int] = set()  # where a table's head says that ratings stand

    for line in _lines(text):
        if open_item is not None:
            number, begun = open_item
            rating = NEXT_LINE.fullmatch(line) if len(line) <= LONGEST else None
            if not rating or not (rating["label"] or BRACKETED.fullmatch(rating["remark"] or "")):
                raise Refused(f"{form.name} item {number} has no rating")
            found[form.name][number] = _rating(
                form, number, f"{begun.rstrip(': ')}: {line}", forms.values()
            )
            open_item = None
            continue
        named = [name for name, pattern in NAMES.items() if re.search(pattern, line)]
        if len(named) == 1:
            line = _without_scale(line, forms[named[0]], bool(found[named[0]]))
        prefix = PREFIX.match(line)
        item = ITEM.fullmatch(line[prefix.end() :] if prefix else line)
        if item and named and not prefix and is_heading(item[2]):  # "1. ACT-FM"
            line, item = item[2], None
        heading = len(named) == 1 and (prefix or not item)
        if heading:
            form = forms[named[0]]
        if (
            not item or not (heading or not named) or form is None
        ):  # no item, or one in whose text a form is named
            _check_prose(line, bool(named), any(found.values()), item)
            cells = line.split("|")
            columns = {
                i for i, cell in enumerate(cells) if i and COLUMN.fullmatch(cell.strip())
            } or columns
            continue
        number, rest = int(item[1]), item[2]
        if not 1 <= number <= len(form.items):
            raise Refused(f"{form.name} has no item {number}")
        if number in found[form.name]:
            raise Refused(f"{form.name} item {number} is there twice")
        value = _rating(form, number, rest, forms.values())
        if value is None:
            open_item = number, rest
            continue
        cells = line.split("|")
        if (
            columns
            and len(cells) > 1
            and not any(has_digit(cells[i]) for i in columns if i < len(cells))
        ):
            raise Refused(
                f"{form.name} item {number} has its number in another column than the ratings'"
            )
        found[form.name][number] = value
    if open_item is not None:
        raise Refused(f"{form.name} item {open_item[0]} has no rating")
    return found


def _without_scale(line: str, form: Form, rated: bool) -> str:
    """A line that names `form`, without its scale or its items' range: "TES (1 - 7)" is no rating
    of item 1."""
    if form.low and re.fullmatch(
        rf"{NAMES[form.name]}[\s,:]*{form.low}\s+-\s+{form.high}\W*", line
    ):
        raise Refused(f"{line!r} may be a heading or a rating")
    ends = (
        rf"{low}\s*(?:-|\u2013|\bto\b)\s*{high}"
        for low, high in ((form.low, form.high), (1, len(form.items)))
    )
    ends, anchors = "|".join(ends), r"\W+".join(re.findall(r"\w+", form.anchors))
    scale = rf"\(\s*(?:{ends})\s*\)|\b{anchors}\b" + ("" if rated else rf"|\b(?:{ends})\b")
    return " ".join(re.sub(scale, " ", line).split())


def _check_prose(line: str, named: bool, rated: bool, item: re.Match | None) -> None:
    """Raises Refused for a line beside the items that may rate one of them.

    Before the first rating, when a form is still to come, that is a line that tells one item's
    rating, or a scale that is not the forms', no more.
    """
    if rated and may_take_back(line):
        raise Refused(f"a number or a rating beside the items: {line[:80]!r}")
    if not rated and says_other_scale(line):
        raise Refused(f"another scale than the forms': {line[:80]!r}")
    if not rated and (one := ONE_ITEM.search(line)):
        rest = line[: one.start()] + line[one.end() :]
        if has_digit(rest) or NUMBER_WORD.search(rest):
            raise Refused(f"a rating before the items: {line[:80]!r}")
    if not named and item and RATED.fullmatch(item[2][:LONGEST]):
        raise Refused(f"an item before any form is named: {line[:80]!r}")


def _rating(form: Form, number: int, rest: str, forms: Collection[Form]) -> int | None:
    """The rating in what stands behind an item's number; None where nothing there is a number."""
    item, where = form.items[number - 1], f"{form.name} item {number}"
    match = exact = None
    if len(rest) <= LONGEST:
        known = _wording(item)
        behind = (
            RATED.fullmatch(rest[len(known) :])
            if rest.casefold().startswith(known.casefold())
            else None
        )
        exact = behind and behind["lead"] and not behind["text"]
        match = behind if exact else RATED.fullmatch(rest)
    if match is None or match["text"] and not match["lead"]:
        if has_digit(rest):
            raise Refused(f"{where}: no one rating at the end of {rest!r}")
        return None
    text, lead, value, remark = (
        match["text"],
        match["lead"] or "",
        int(match["value"]),
        match["remark"] or "",
    )
    if not (
        exact
        or (is_text_of(text, item, forms) if text else match["label"] or lead in ("", ":", "="))
    ):
        raise Refused(f"{where}: {(text or lead)!r} stands before the number in {rest!r}")
    if match["of"] and int(match["of"]) != form.high:
        raise Refused(f"{where} is rated out of {match['of']}, not {form.high}")
    if not form.low <= value <= form.high:
        raise Refused(f"{where} is {value}, outside {form.low}..{form.high}")
    if remark and (contradicts(remark, value) or is_text_of_another(remark, item, forms)):
        raise Refused(f"{where} is {value}, and then {remark!r}")
    return value


def _whole(found: dict[str, dict[int, int]]) -> dict[str, list[int]]:
    """form -> item -> rating, as lists; raises Refused where an item has none."""
    for form in FORMS:
        ratings = found[form.name]
        missing = [item.number for item in form.items if item.number not in ratings]
        if missing:
            raise Refused(
                f"{form.name}: item {missing[0]} is missing"
                if ratings
                else f"{form.name} is missing"
            )
    return {name: [ratings[i] for i in sorted(ratings)] for name, ratings in found.items()}


def _parse_json(text: str) -> dict[str, list[int]]:
    def once(pairs: list[tuple[str, object]]) -> dict:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise Refused(f"{name} is there twice")
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=once)
    except Refused:
        raise
    except (
        ValueError,
        RecursionError,
    ) as error:  # a ValueError too: a number of thousands of digits
        raise Refused(f"not whole JSON: {error}") from None
    for name in data:
        if name not in NAMES:
            raise Refused(f"{name!r} is no form")
    found: dict[str, dict[int, int]] = {}
    for form in FORMS:
        ratings = data.get(form.name, {})
        if not isinstance(ratings, dict):
            raise Refused(f"{form.name} is no object of items")
        found[form.name] = {}
        for number, value in ratings.items():
            if number not in {str(item.number) for item in form.items}:
                raise Refused(f"{form.name} has no item {number}")
            if type(value) is not int or not form.low <= value <= form.high:
                raise Refused(
                    f"{form.name} item {number} is {value!r}, no whole number {form.low}..{form.high}"
                )
            found[form.name][int(number)] = value
    return _whole(found)
