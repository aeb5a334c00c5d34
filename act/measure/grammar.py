"""A strict grammar for forms a model or a person has filled in as text: 34 ratings, or a named refusal; never a guess.

A heading names a form ("ACT-FM", "Therapist Empathy Scale", "## TES (1-7):"); or each item does ("TES 3. ...: 5").
An item is its number, its text, and its rating behind a separator at the end of the line or as the next line:

    12. pushes for more positive thoughts: 0          12) ... - 0/3          **12.** ... **Rating:** 0 (never)

Layout is let pass: fences, bold, bullets, tags, tables, subscale headings, either form first, prose around it. What is
not: an item without a rating, twice, out of range, with two numbers, a decimal, a form that is missing.
A JSON object {"ACT-FM": {"1": 0, ...}, "TES": {...}} is held to the same rules.
"""

import json
import re

from act.measure.forms import FORMS, Form

NAMES = {"ACT-FM": r"\bACT[- ]?FM\b|\bACT Fidelity Measure\b", "TES": r"\bTES\b|\bTherapist Empathy Scale\b"}
FENCE = re.compile(r"```\w*")
TAG = re.compile(r"</?([A-Za-z][\w-]*)/?>")
DECORATION = re.compile(r"[*_`#~]+")
ITEM = re.compile(r"(?:item|question|q)?\s*\(?(\d+)\s*[.):\]|-]\s*(.*)", re.IGNORECASE)
VALUE = r"[\[(]?\s*(\d+)\s*[\])]?(?:\s*(?:/|out of)\s*(\d+))?"
REMARK = r"\s*(?:\([^()\d]*\))?\s*[.;,]?"
RATED = re.compile(rf"(.*?)(?:[:=|>\u2013\u2014-]|\brating\b|\bscore\b)\s*{VALUE}{REMARK}", re.IGNORECASE)
ALONE = re.compile(rf"(?:(?:rating|score|answer)\s*[:=]?\s*)?{VALUE}{REMARK}", re.IGNORECASE)


class Refused(ValueError):
    """The text is not one whole, unambiguous form of each kind."""


def parse_forms(text: str) -> dict[str, list[int]]:
    """Text -> {"ACT-FM": 25 ratings, "TES": 9 ratings}. Raises Refused with the reason.

    >>> parse_forms(rendered)["TES"]
    [4, 4, 5, 3, 4, 4, 5, 4, 3]
    """
    bare = FENCE.sub("", text).strip()
    if bare.startswith("{"):
        return _parse_json(bare)
    forms = {form.name: form for form in FORMS}
    found: dict[str, dict[int, int]] = {name: {} for name in forms}
    form: Form | None = None
    open_item: int | None = None  # its rating must be the next line

    def take(number: int, value: str, of: str | None) -> None:
        if of and int(of) != form.high:
            raise Refused(f"{form.name} item {number} is rated out of {of}, not {form.high}")
        if number in found[form.name]:
            raise Refused(f"{form.name} item {number} is there twice")
        if not form.low <= int(value) <= form.high:
            raise Refused(f"{form.name} item {number} is {value}, outside {form.low}..{form.high}")
        found[form.name][number] = int(value)

    for line in text.splitlines():
        line = TAG.sub(lambda tag: tag[1] if tag[1] in NAMES else "", line)  # <TES> is a heading
        line = DECORATION.sub("", line).strip().strip("|").strip()
        line = re.sub(r"^[-\u2022+>]\s+", "", line)
        if not line or set(line) <= set("-=| :"):
            continue
        if open_item is not None:
            rating = ALONE.fullmatch(line)
            if not rating:
                raise Refused(f"{form.name} item {open_item} has no rating")
            take(open_item, *rating.groups())
            open_item = None
            continue
        named = [name for name, pattern in NAMES.items() if re.search(pattern, line)]
        prefix = re.match(rf"(?:{'|'.join(NAMES.values())})\s*(?=\(?\d)", line)
        item = ITEM.fullmatch(line[prefix.end() :] if prefix else line)
        if named and (prefix or not item):
            if len(named) > 1:
                continue  # a sentence about both forms
            form = forms[named[0]]
        if not item or form is None or (named and not prefix):
            continue
        number, rest = int(item[1]), item[2]
        if not 1 <= number <= len(form.items):
            raise Refused(f"{form.name} has no item {number}")
        rating = RATED.fullmatch(rest) or ALONE.fullmatch(rest)
        if rating is None:
            if re.search(r"\d", rest):
                raise Refused(f"{form.name} item {number}: no one rating at the end of {rest!r}")
            open_item = number
        elif rating.re is RATED and re.search(r"\d|[:=|>]\s*$", rating[1]):  # "1-2", ": -1"
            raise Refused(f"{form.name} item {number}: more than one number in {rest!r}")
        else:
            take(number, *rating.groups()[-2:])
    if open_item is not None:
        raise Refused(f"{form.name} item {open_item} has no rating")
    return _whole(found)


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
    except json.JSONDecodeError as error:
        raise Refused(f"not whole JSON: {error}") from None
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
