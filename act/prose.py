"""The words on a filled form: which are an item's text, which a heading or a total, which may take
a rating back.

Any number beside a rating may be a second thought ("item seven should be a three"). So the grammar
(grammar.py) lets one stand only where the whole line is a heading or a total of the kinds here, and
words in front of a rating only where they are the item's own; the rest it refuses by name.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from act.forms import FORMS, SUBSCALES, Form, Item

NAMES = {
    "ACT-FM": r"\b(?:ACT[-\u2010\u2011 ]?FM|ACT Fidelity Measure)\b",
    "TES": r"\b(?:TES|Therapist Empathy Scale)\b",
}
NAME = rf"(?:{'|'.join(NAMES.values())})"

COUNTED = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
OTHERS = (
    "nought|nil|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy"
    "|eighty|ninety|hundred|thousand|dozen|half|halve|quarter|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
)
NUMBER_WORD = re.compile(
    rf"\b(?:({'|'.join(COUNTED)}|{OTHERS})(?:e?s)?|(?-i:I{{2,3}}|IV|VI{{1,3}}))\b", re.I
)

TAKEN_BACK = re.compile(  # wherever it stands
    r"""\b(?: n/?a\b | n\.a\. | (?:not|never)\ (?:rated|scored|applicable)\b | unrated\b | no\ (?:rating|score)\b
    | (?:does|do|did)(?:\ not|n['’]t)\ apply\b | (?:can(?:no|['’])t|can\ not|unable\ to)\ (?:be\ )?(?:rate|score)
    | placeholders?\b | on\ reflection\b | second\ thoughts?\b | I\ mean\b | I\ meant\b | oops\b
    | (?:scratch|strike|ignore|disregard)\ (?:the|that|this|my)\b | revis(?:ed?|ing|ion)\b | revers | reconsider | swap
    | misjudg | mistyp | (?:mis|re-?|over-?|under-?)(?:rat|scor)(?:ed?|ing)\b | higher\b | lower\b | too\ (?:high|low)\b
    | (?:maxi|mini)mum\b | (?:high|low)est\b | (?:add|deduct|subtract)\ (?:an?|some|points?)\b
    | should\ (?:be|read|have\ been)\b | (?:I\ would|I['’]d|let\ me|please)\ (?:change|move|raise|make|read|correct)\b
    | chang(?:ed?|ing)\ (?:it|this|that|to|my|the\ (?:rating|score))\b )""",
    re.IGNORECASE | re.VERBOSE,
)
AGAIN = re.compile(  # where a line or a remark begins
    r"\W*(?:(?:final )?(?:rating|score|answer)\b|(?:in)?correct|wrong\b|(?:actually|sorry|wait|edit|update|or)\b"
    r"|not?(?:,|\W*$))",
    re.IGNORECASE,
)

ANCHORS = {  # of all forms: {"never": 0, ...}
    words: int(number)
    for form in FORMS
    for number, words in (anchor.strip().split(" ", 1) for anchor in form.anchors.split(","))
}
TO = r"\s*(?:\([^()\d]{0,60}\)\s*)?(?:-|–|\bto\b)\s*"
SCALE_SAID = re.compile(
    rf"(?:\b(?:scales?|rated|ratings?|scored?|scores)\b(?:(?!items)[^.\d]){{0,60}}|{NAME}[\s:,(–—-]*)(\d{{1,3}}){TO}(\d+)"
    rf"|\b(\d{{1,3}}){TO}(\d{{1,3}})[- ](?:point )?scale",
    re.IGNORECASE,
)
ANCHOR_SAID = re.compile(rf"(\d)\s*[=:(]?\s*({'|'.join(ANCHORS)})\b", re.IGNORECASE)
SCALES = "|".join(rf"{form.low}\s*(?:-|–|to)\s*{form.high}" for form in FORMS)
ITEMS = r"\d+\s*[-–]\s*\d+"
PLACES = re.compile(  # the numbers that a heading may have
    rf"\b(?:form|part|section)\s+\d\b|\bitems\s+{ITEMS}\b|\b\d+ items\b|\(\s*(?:{SCALES})\s*\)"
    rf"|\b(?:{'|'.join(SUBSCALES)}|consistent|style)\W{{0,3}}\({ITEMS}\)",
    re.IGNORECASE,
)
HEADING_WORDS = frozenset(
    f"""act fm tes fidelity measure therapist empathy scale form forms part section subscale {" ".join(SUBSCALES)}
    response style consistent inconsistent item items rating ratings rated score scores statement text description
    behaviour behavior number no comment comments remark remarks note notes evidence reason rationale a b i ii and each
    with of the for on from""".split()
)
TOTAL = re.compile(
    rf"[|\s]*(?:(?:{NAME}|ACT|{'|'.join(SUBSCALES)}|consistent|inconsistent|subscale|overall)[\s,|]+)*"
    r"(?:sub)?(?:total|sum|mean|average)(?: score)?\s*[:=|][|\s]*\d+(?:\.\d+)?(?:\s*(?:/|out of)\s*\d+)?\.?",
    re.IGNORECASE,
)

WORD = re.compile(r"[^\W\d_]+")
ENDING = re.compile(r"(?<=\w{3})(?:ing|e?s|ed?)$")
SMALL = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "of",
        "to",
        "in",
        "on",
        "at",
        "by",
        "for",
        "as",
        "is",
        "are",
        "be",
        "it",
    )
)
SMALL |= {"that", "with", "therapist", "client"}
NEGATIONS = {"not", "no", "nor", "never", "cannot", "without"}
PLAIN = re.compile(
    r"(?:[^\W\d_]|[\s.,;'’\"“”()/&…]|(?<=\w)-(?=\w))*"
)  # no sign that may mean anything


def has_digit(text: str) -> bool:
    """A digit of any script, or a sign such as one half."""
    return any(c.isnumeric() for c in text)


def is_heading(line: str) -> bool:
    """Nothing but names of forms, subscales and columns, with their numbers of items or scales."""
    rest = PLACES.sub(" ", line)
    words = WORD.findall(line.casefold())
    return (
        any(len(word) > 2 for word in words)
        and not has_digit(rest)
        and HEADING_WORDS.issuperset(words)
    )


def may_take_back(line: str) -> bool:
    """May a line among or behind the items, or beside a JSON object, be a second thought on one of
    the ratings?"""
    if TAKEN_BACK.search(line):
        return True
    if is_heading(line) or TOTAL.fullmatch(line):
        return False
    said = has_digit(line) or NUMBER_WORD.search(line) or AGAIN.match(line)
    return bool(said) or not ANCHORS.keys().isdisjoint(_clauses(line))


def says_other_scale(line: str) -> bool:
    """Does a line in front of the items say that they are rated on a scale of its own ("1 to 5", "3
    = never")?"""
    scales = {(str(form.low), str(form.high)) for form in FORMS}
    said = [tuple(filter(None, match.groups())) for match in SCALE_SAID.finditer(line)]
    return not scales.issuperset(said) or any(
        ANCHORS[a.lower()] != int(n) for n, a in ANCHOR_SAID.findall(line)
    )


def contradicts(remark: str, value: int) -> bool:
    """Does a remark hold a number that is not `value`, take it back, or say another rating's anchor
    ("3 (never)")?"""
    if has_digit(remark) or TAKEN_BACK.search(remark) or AGAIN.match(remark):
        return True
    if any(word.lower() != COUNTED[value] for word in NUMBER_WORD.findall(remark)):
        return True
    clauses = _clauses(remark)
    return any(
        n != value and (name in clauses or clauses[0].startswith(name))
        for name, n in ANCHORS.items()
    )


def _clauses(text: str) -> list[str]:
    """What stands between its stops and signs; never empty."""
    return [words.strip() for words in re.split(r"[^\w\s]+", re.sub(r"^\W+", "", text.casefold()))]


def _words(text: str) -> tuple[str, ...]:
    """Its words in order, without their endings."""
    return tuple(ENDING.sub("", word) for word in WORD.findall(re.sub("['’]", "", text.casefold())))


def is_text_of(text: str, item: Item, forms: Sequence[Form]) -> bool:
    """Is `text` the item's, perhaps shortened?

    It is when it has words of the item's text alone, in their order: its beginning, two words or
    more, or more than half of them, no negation left out. Endings and small words (the, and,
    therapist, ...) do not count. And it may not be more like another item's. So "stays abstract"
    is, of "stays abstract and theoretical"; "abstract" is not, nor "never stays abstract", nor
    "turns where he stays abstract and theoretical".
    """
    words, own = ([word for word in _words(t) if word not in SMALL] for t in (text, item.text))
    rest = iter(own)
    begins = len(words) > 1 and words == own[: len(words)]
    enough = (
        all(word in rest for word in words)
        and 2 * len(words) > len(own)
        and not NEGATIONS & {*own} - {*words}
    )
    return (
        (begins or enough)
        and bool(PLAIN.fullmatch(text))
        and not is_text_of_another(text, item, forms)
    )


def is_text_of_another(text: str, item: Item, forms: Sequence[Form]) -> bool:
    """Has `text` half of its words and more in common with an item's text, and more than with this
    `item`'s?"""
    least = max(0.5, _alike(text, item.text))
    return any(_alike(text, other.text) > least for form in forms for other in form.items)


def _alike(a: str, b: str) -> float:
    """The share of the words of either text that both have."""
    both = len(_vocabulary(a) & _vocabulary(b))
    return both and both / len(_vocabulary(a) | _vocabulary(b))


@lru_cache(maxsize=1024)
def _vocabulary(text: str) -> frozenset[str]:
    return frozenset(_words(text))
