"""Plain phrases as regular expressions: safety.txt and style.txt hold them, and the former says how
they are written; `plain` makes a text one they are searched in.

{self} = myself|yourself
[suicide]
kill|killing {self}               a phrase of this topic
- kill|killing {self} laughing    an everyday phrase that holds it
wish i was|were                   two that begin alike
    dead
    - dead tired
"""

import re
from collections import defaultdict

SPACE, WORD = "[ -]", r"[\w']+"
NOTHING = "(?!)"  # matches nowhere
# a line that is no comment, and those that go on from it
LINE = re.compile(r"^([^#\n].*)((?:\n +.*)*)", re.MULTILINE)
MARKED = re.compile(r"^ *([-+]?) *(.+)", re.MULTILINE)
FIRST = re.compile(r"\(\?:([^()]*)\)(?!\?)(.*)")  # the choices of a phrase's first word; the rest
CLAUSE_END = r"(?= ?(?:[^\w\s']|$))"  # a mark comes next, or nothing
# What writers and word processors put for an apostrophe and a hyphen, and what is not seen: marks
# of emphasis as well.
PLAIN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff*_", "")
    | {"\u0130": "I"}  # the one letter that is two in lower case
)


def plain(text: str) -> str:
    """Straight apostrophes, plain hyphens, single spaces; nothing unseen, no emphasis."""
    return " ".join(text.translate(PLAIN).split())


def one_of(phrases: str, groups: dict[str, str]) -> str:
    """A regular expression for any of some phrases: "killing|killed {self}|die."."""
    choices = re.split(r"\|(?![^(]*\))", phrases)  # not at a "|" within brackets
    return "(?:" + "|".join(_phrase(choice, groups) for choice in choices) + ")"


def _phrase(phrase: str, groups: dict[str, str]) -> str:
    regex, space = "", ""  # no space in front of the first word
    for part in re.findall(r"\([^)]*\)|\S+", phrase):
        words = part.strip("()")
        if part == "...":
            regex += f"(?:{SPACE}{WORD}){{0,3}}"
            continue
        found = one_of(words, groups) if re.search(r"[ |]", words) else _word(words, groups)
        if part == words:
            regex += space + found
            space = SPACE
        else:  # in brackets: it may be missing
            regex += f"(?:{space}{found})?" if space else f"(?:{found}{SPACE})?"
    return regex


def _word(word: str, groups: dict[str, str]) -> str:
    if word == "_":
        return WORD
    # "don't" may be "dont", while "kids" is not "kid's"
    end = CLAUSE_END if word.endswith(".") else ""
    regex = re.sub("'(?!s)", "'?", word.rstrip(".").replace("*", r"\w*"))
    return re.sub(r"\{(.+?)\}", lambda name: groups[name[1]], regex) + end


def by_letter(regexes: list[str]) -> str:
    """A regular expression for any of some phrases, in which a letter leads to those that begin
    with it: trying all of them at every word takes twice the time. Their order is lost."""
    found = defaultdict(list)  # first letter, "" where it may be any -> regular expressions
    for regex in regexes:
        # "(?:kill|end)ing" -> kill and end, ing
        flat = FIRST.fullmatch(regex)
        firsts, rest = (flat[1].split("|"), flat[2]) if flat else ([regex], "")
        same = defaultdict(list)
        for first in firsts:
            same[first[0] if first[0].isalnum() else ""].append(first)
        for letter, words in same.items():
            found[letter].append(f"(?:{'|'.join(words)}){rest}")
    return "|".join(f"(?:{'|'.join(of)})" for of in found.values()) or NOTHING


class Topic:
    """The phrases of one topic, from the beginning of a word to the end of one; `lines` are their
    regular expressions by mark: "+", "-" or none."""

    def __init__(self, lines: dict[str, list[str]]):
        self.lines = lines
        certain, everyday, other = ("|".join(lines[mark]) or NOTHING for mark in ("+", "-", ""))
        # compiled where a text is searched, and then kept by `re`; not at every start of a script
        self.any = rf"\b(?=\w)(?:{by_letter(lines['+'] + lines[''])})(?!\w)"
        # where some begin at the same word, this one is read; group 1 is everyday
        self.first = rf"\b(?=\w)(?:{certain}|({everyday})|{other})(?!\w)"

    def hits(self, text: str) -> list[tuple[int, int]]:
        """Where its phrases stand in a text in small letters."""
        if not re.search(self.any, text):  # nearly always, in half of the time
            return []
        return [match.span() for match in re.finditer(self.first, text) if match[1] is None]


def read_topics(text: str) -> dict[str, Topic]:
    """The topics of a text like safety.txt."""
    groups, topics = {"number": r"\d+", "phone": r"\+?\d[\d ()-]{4,}\d"}, {}
    for line, block in LINE.findall(text):
        name, is_group, members = line.partition(" = ")
        if line.startswith("["):
            topic = topics[line[1:-1]] = {"+": [], "-": [], "": []}
        elif is_group:
            groups[name[1:-1]] = one_of(members, groups)
        elif block:
            ends = MARKED.findall(block)
            for mark, lines in topic.items():
                regexes = "|".join(_phrase(end, groups) for kind, end in ends if kind == mark)
                if regexes:  # in one, so that their beginning is tried once
                    lines.append(f"{_phrase(line, groups)}{SPACE}(?:{regexes})")
        else:
            ((mark, phrase),) = MARKED.findall(line)
            topic[mark].append(_phrase(phrase, groups))
    return {name: Topic(lines) for name, lines in topics.items()}
