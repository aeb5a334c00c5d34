"""A strict grammar for forms a model or a person has filled in as text: 34 ratings, or a named refusal; never a guess.

A heading names a form ("ACT-FM", "Therapist Empathy Scale", "## TES (1-7):"); or each item does ("TES 3. ...: 5").
An item is its number, its text, and its rating behind a separator at the end of the line or as the next line; a remark
may follow that holds no number, in digits or in words:

    12. wants happier thoughts: 0         12) ... - 0/3 (never)         **12.** ... **Rating:** 0 - he does not

Layout is let pass: fences, bold, bullets, tags, tables, subscale headings, either form first, prose around it. What is
not: an item without a rating, twice, out of range, with two numbers, a sign, a decimal, a form that is missing, and,
once items are rated, any number whose place is not plain, since it may be a second thought.
A JSON object {"ACT-FM": {"1": 0, ...}, "TES": {...}}, bare or in prose, is held to the same rules.
"""

import json
import re
from collections.abc import Sequence

from act.measure.forms import FORMS, Form

NAMES = {"ACT-FM": r"\bACT[- ]?FM\b|\bACT Fidelity Measure\b", "TES": r"\bTES\b|\bTherapist Empathy Scale\b"}
STRUCK = r"(?!(?:del|s|strike)\b)"  # what is struck out was taken back: such a tag stays, and fits no rule
TAG = re.compile(rf"</?{STRUCK}([A-Za-z][\w-]*)\s*/?>", re.IGNORECASE)
DECORATION = re.compile(r"[*_`]+|^\s*#+\s")
ITEM = re.compile(r"(?:item|question|q)?\s*\(?(\d{1,2})\s*(?:[):\]|]|\.(?!\d)|-(?=\s))\s*(.*)", re.IGNORECASE)
LABEL = r"(?:(?:final\s+)?(?:rating|score|answer|value)\s*[:=]?)"
VALUE = r"[\[(]?\s*(\d)\s*[\])]?(?:\s*(?:/|out of)\s*(\d{1,2})\b)?"
REMARK = r"\s*((?:[.;,(|\u2013\u2014]|-\s).*)?"
DASH = r"(?:^|(?<=\s))[\u2013\u2014-](?=\s)"
RATED = re.compile(rf"(.*?)(?:[:=|]|{DASH}|[-=]>|\u2192|\brating\b|\bscore\b)\s*{VALUE}{REMARK}", re.IGNORECASE)
ALONE = re.compile(rf"{LABEL}?\s*{VALUE}{REMARK}", re.IGNORECASE)
NEXT_LINE = re.compile(rf"(?:{LABEL}\s*{VALUE}{REMARK}|{VALUE}\s*(\([^()]*\))?[.;,]?)", re.IGNORECASE)
BETWEEN = re.compile(rf"[\s.:;,|=-]*{LABEL}?[\s.:;,|=-]*", re.IGNORECASE)  # what may stand before a rating's separator
CLAUSES = re.compile(rf"[:=|;.]|{DASH}")
AGAIN = re.compile(
    r"\W*(?:final )?(?:(?:rating|score|answer)\b|revis|correct|actually\b|sorry\b|oops|edit\b|no,)", re.IGNORECASE
)
RANGE = r"\d+\s*(?:-|\u2013|to)\s*\d+"
PLAIN = re.compile(rf"\bitems?\s+{RANGE}|\(\s*(?:items?\s+)?{RANGE}\s*\)|\(?\b\d+ items\b\)?", re.IGNORECASE)
IN_HEADING = re.compile(rf"\b(?:form|part|section)\s+\d\b|\b{RANGE}\b", re.IGNORECASE)
TOTAL = re.compile(r"(?:total|\bsum\b|\bmean\b|\baverage\b)", re.IGNORECASE)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "half")
NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
OBJECT = re.compile(r'\{\s*"')


class Refused(ValueError):
    """The text is not one whole, unambiguous form of each kind."""


def parse_forms(text: str, forms: Sequence[Form] = FORMS) -> dict[str, list[int]]:
    """Text -> {"ACT-FM": 25 ratings, "TES": 9 ratings}. Raises Refused with the reason.

    `forms`: with the wording that was asked for, in which a text may have stops of its own.

    >>> parse_forms(rendered)["TES"]
    [4, 4, 5, 3, 4, 4, 5, 4, 3]
    """
    start = OBJECT.search(text)
    if start:
        end = max(text.rfind("}") + 1, start.start())
        for line in (text[: start.start()] + "\n" + text[end:]).splitlines():
            if has_number(PLAIN.sub("", line)):
                raise Refused(f"a number beside the JSON object: {line.strip()[:80]!r}")
        return _parse_json(text[start.start() : end])
    return _whole(_parse_lines(text, {form.name: form for form in forms}))


def has_number(text: str) -> bool:
    """A digit of any script, or a sign such as one half."""
    return any(c.isnumeric() for c in text)


def _parse_lines(text: str, forms: dict[str, Form]) -> dict[str, dict[int, int]]:
    """form -> item -> rating."""
    found: dict[str, dict[int, int]] = {name: {} for name in forms}
    form: Form | None = None
    open_item: int | None = None  # its rating must be the next line

    def take(number: int, value: str, of: str | None, remark: str | None) -> None:
        if of and int(of) != form.high:
            raise Refused(f"{form.name} item {number} is rated out of {of}, not {form.high}")
        if number in found[form.name]:
            raise Refused(f"{form.name} item {number} is there twice")
        if not form.low <= int(value) <= form.high:
            raise Refused(f"{form.name} item {number} is {value}, outside {form.low}..{form.high}")
        if remark and (has_number(remark) or _contradicts(remark, int(value), form)):
            raise Refused(f"{form.name} item {number} is {value}, and then {remark!r}")
        found[form.name][number] = int(value)

    for line in text.splitlines():
        line = TAG.sub(lambda tag: f" {tag[1]} " if tag[1] in NAMES else " ", line)  # <TES> is a heading
        line = " ".join(DECORATION.sub(" ", line).split()).strip("|").strip()
        line = re.sub(r"^[-\u2022+>] ", "", line)
        if not line or set(line) <= set("-=| :~"):
            continue
        if open_item is not None:
            rating = NEXT_LINE.fullmatch(line)
            if not rating:
                raise Refused(f"{form.name} item {open_item} has no rating")
            value, of, remark = rating.groups()[:3] if rating[1] else rating.groups()[3:]
            take(open_item, value, of, remark)
            open_item = None
            continue
        named = [name for name, pattern in NAMES.items() if re.search(pattern, line)]
        prefix = re.match(rf"(?:{'|'.join(NAMES.values())})[\s,:]*(?=(?:item\s*)?\(?\d)", line)
        item = ITEM.fullmatch(line[prefix.end() :] if prefix else line)
        heading = len(named) == 1 and (prefix or not item)
        plain = item and (heading or not named)  # an item, in whose text no form is named
        if not plain and any(found.values()):
            _check_prose(line, bool(named))
        if heading:
            form = forms[named[0]]
        if not plain or form is None:
            continue
        number, rest = int(item[1]), item[2]
        if not 1 <= number <= len(form.items):
            raise Refused(f"{form.name} has no item {number}")
        wording = form.items[number - 1].text
        known = rest.casefold().startswith(wording.casefold())
        rest = rest[len(wording) :].strip() if known else rest
        rating = ALONE.fullmatch(rest) or RATED.fullmatch(rest)
        if rating is None:
            if has_number(rest):
                raise Refused(f"{form.name} item {number}: no one rating at the end of {rest!r}")
            open_item = number
        elif rating.re is RATED and not _leads_to_rating(rating[1], known):
            raise Refused(f"{form.name} item {number}: {rating[1].strip()!r} stands before the number in {rest!r}")
        else:
            take(number, *rating.groups()[-3:])
    if open_item is not None:
        raise Refused(f"{form.name} item {open_item} has no rating")
    return found


def _leads_to_rating(words: str, known: bool) -> bool:
    """May `words` stand between an item's number, or its known text, and the separator of its rating?"""
    behind = [words] if known else CLAUSES.split(words)[1:]  # the first clause is a text in the judge's own words
    return not has_number(words) and all(BETWEEN.fullmatch(clause) for clause in behind)


def _contradicts(remark: str, value: int, form: Form) -> bool:
    """Does a remark name a number in words, or begin with the anchor of another rating ("3 (never)")?"""
    if any(word.lower() != WORDS[value] for word in NUMBER_WORD.findall(remark)):
        return True
    anchors = [anchor.strip().split(" ", 1) for anchor in form.anchors.split(",")]
    words = re.sub(r"^\W+", "", remark).casefold()
    return any(words.startswith(name) and int(number) != value for number, name in anchors)


def _check_prose(line: str, heading: bool) -> None:
    """Raises Refused for a line among or behind the items that may be a second thought on one of them."""
    again = AGAIN.match(line) and not heading
    rest = PLAIN.sub("", line)
    if heading:
        rest = IN_HEADING.sub("", rest)
    if again or (has_number(rest) and not TOTAL.search(line)):
        raise Refused(f"a number or a rating beside the items: {line[:80]!r}")


def _whole(found: dict[str, dict[int, int]]) -> dict[str, list[int]]:
    """form -> item -> rating, as lists; raises Refused where an item has none."""
    for form in FORMS:
        ratings = found[form.name]
        missing = [item.number for item in form.items if item.number not in ratings]
        if missing:
            raise Refused(f"{form.name}: item {missing[0]} is missing" if ratings else f"{form.name} is missing")
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
    except (ValueError, RecursionError) as error:  # a ValueError too: a number of thousands of digits
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
                raise Refused(f"{form.name} item {number} is {value!r}, no whole number {form.low}..{form.high}")
            found[form.name][int(number)] = value
    return _whole(found)
