"""Names of conditions, clients and raters: checked, and a warning where one is spelled in two ways.

A client is its name: "Anna" and "anna " would be two, each with a part of the ratings, and a mixed
model of clients who missed conditions takes it without a word.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable

from act.records import CONDITIONS, counted


def check_names(session: str, condition: str, profile: str) -> None:
    """Raises ValueError for an unknown condition, or an id that is not "<condition>/<profile>"."""
    if condition not in CONDITIONS:
        six = ", ".join(CONDITIONS)
        raise ValueError(f'unknown condition "{condition}"; the six are {six}')
    if session != f"{condition}/{profile}":
        raise ValueError(f'session "{session}" is not "{condition}/{profile}"')


def letters(name: str) -> str:
    """A name without what tells no two people apart: case, spaces, invisible characters, and
    Unicode's several forms of one letter."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf")


def warn_alike(where: object, kind: str, names: Iterable[str]) -> None:
    """A line on stderr where some names of one kind (clients) have the same `letters`."""
    spelled: dict[str, list[str]] = {}  # letters -> the names
    for name in sorted(set(names)):
        spelled.setdefault(letters(name), []).append(name)
    twice = [some for some in spelled.values() if len(some) > 1]
    if twice:
        # names that look the same in print are shown by their characters' numbers
        numbers = len({"".join(name.casefold().split()) for name in twice[0]}) > 1
        first = " and ".join(json.dumps(name, ensure_ascii=numbers) for name in twice[0])
        said = f"{kind}s {first} differ only in case, spaces or Unicode form, and count as several"
        others = len(twice) - 1
        more = f"; {counted(others, f'more such {kind}')}" if others else ""
        print(f"warning: {where}: {said}{more}", file=sys.stderr)


def warn_of_names(where: object, ratings: list[dict]) -> None:
    """`warn_alike` of all names that ratings hold."""
    for kind, field in (("client", "profile"), ("condition", "condition"), ("rater", "rater")):
        warn_alike(where, kind, [rating[field] for rating in ratings])
