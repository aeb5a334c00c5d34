"""Plain phrases as regular expressions: safety.txt holds them, and explains how they are written.

    {self} = myself|yourself
    [suicide]
    kill|killing {self}               a phrase of this topic
    - kill|killing {self} laughing    an everyday phrase that holds it
    wish i was|were                   two that begin alike
        dead
        - dead tired
"""

import re
from dataclasses import dataclass

SPACE, WORD, CLAUSE_END = "[ -]", r"[\w']+", r"(?= ?(?:[^\w\s']|$))"


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
    end = CLAUSE_END if word.endswith(".") else ""
    regex = re.sub("'(?!s)", "'?", word.rstrip(".").replace("*", r"\w*"))
    return re.sub(r"\{(.+?)\}", lambda name: groups[name[1]], regex) + end


@dataclass(frozen=True)
class Topic:
    """The phrases of one topic, from the beginning of a word to the end of one."""

    any: re.Pattern
    first: re.Pattern  # what begins first, and everyday phrases first; these are group 1

    def hits(self, text: str) -> list[tuple[int, int]]:
        """Where they stand in a text in small letters."""
        if not self.any.search(text):  # so most texts take two thirds of the time
            return []
        return [match.span() for match in self.first.finditer(text) if match[1] is None]


def read_topics(text: str) -> dict[str, Topic]:
    """The topics of a text like safety.txt."""
    groups, topics = {"number": r"\d+"}, {}
    for line, block in re.findall(r"^([^#\n].*)((?:\n +.*)*)", text, re.MULTILINE):
        name, is_group, members = line.partition(" = ")
        if line.startswith("["):
            phrases, everyday = topics[line[1:-1]] = [], []
        elif is_group:
            groups[name[1:-1]] = one_of(members, groups)
        elif block:
            ends = [end.strip() for end in block.strip().splitlines()]
            begin = _phrase(line, groups)
            phrases += _lines(begin, [end for end in ends if not end.startswith("- ")], groups)
            everyday += _lines(begin, [end[2:] for end in ends if end.startswith("- ")], groups)
        elif line.startswith("- "):
            everyday.append(_phrase(line[2:], groups))
        else:
            phrases.append(_phrase(line, groups))
    return {name: _topic(*lists) for name, lists in topics.items()}


def _lines(begin: str, ends: list[str], groups: dict[str, str]) -> list[str]:
    """Phrases that begin alike, as one: that is tried once."""
    regexes = "|".join(_phrase(end, groups) for end in ends)
    return [f"{begin}{SPACE}(?:{regexes})"] if ends else []


def _topic(phrases: list[str], everyday: list[str]) -> Topic:
    phrase, other = "|".join(phrases), "|".join(everyday) or "(?!)"
    any_of = re.compile(rf"\b(?=\w)(?:{phrase})(?!\w)")
    return Topic(any_of, re.compile(rf"\b(?=\w)(?:({other})|{phrase})(?!\w)"))
