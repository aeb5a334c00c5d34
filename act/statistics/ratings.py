"""From rating and session files to scores: reading, checking, one row a rated session.

analyze.py reads its files with `read_ratings`, JSONL or anyone's spreadsheet, and `read_sessions`;
`score_sessions` makes of them the `Scores` that every analysis takes.
"""

import csv
import io
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from statistics import fmean

import numpy as np

from act.forms import ACT_FM, OUTCOMES, TES, score
from act.records import (
    CONDITIONS,
    FORMS,
    RATING_KEY,
    InputError,
    check_rating,
    check_session,
    once,
    read_jsonl,
    read_unique,
)
from act.statistics.mixed import Fit, fit
from act.statistics.names import check_names, warn_alike, warn_of_names

# Of ACT-FM the consistent half alone (forms.OUTCOMES).
TOTALS = tuple(name for name, outcome in OUTCOMES.items() if outcome.group == "totals")
# Kind of rating -> what its fields' names end with
SUFFIX = {"integer": "", "expected": "_expected"}
# Columns that a spreadsheet must have; those of an item with the form and its range
NAMES = ("session", "condition", "profile")
ITEMS = {
    f"{form}_{number}": (form, low, high)
    for form, (size, low, high) in FORMS.items()
    for number in range(1, size + 1)
}
KNOWN = {*NAMES, *ITEMS, "rater", "replicate", "order"}
MOST = 999_999_999  # replicates, or ratings before one


@dataclass(frozen=True)
class Scores:
    """One row per rated session (its ratings averaged), sorted by profile and condition."""

    condition: np.ndarray  # (N,) text
    profile: np.ndarray  # (N,) text
    values: dict[str, np.ndarray]  # outcome -> (N,)
    ratings: np.ndarray  # (N,) how many ratings were averaged

    @classmethod
    def of(cls, found: dict[tuple[str, str], dict[str, float]]) -> "Scores":
        """Those of (profile, condition) -> outcome -> value, one value each."""
        keys = sorted(found, key=lambda key: (key[0], CONDITIONS.index(key[1])))
        profile, condition = np.array(keys, str).reshape(-1, 2).T
        values = {name: np.array([found[key][name] for key in keys]) for name in found[keys[0]]}
        return cls(condition, profile, values, np.ones(len(keys), int))

    def where(self, keep: np.ndarray) -> "Scores":
        """The rows where keep (N,) is true."""
        values = {name: column[keep] for name, column in self.values.items()}
        return Scores(self.condition[keep], self.profile[keep], values, self.ratings[keep])

    def data(self, outcome: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `mixed.fit` takes: cells (N, conditions), y (N,) and the client of each row (N,)."""
        return self.cells, self.values[outcome], self.profile

    def table(self, outcome: str) -> np.ndarray:
        """An outcome by client and condition, NaN where a client did not meet one."""
        clients, row = np.unique(self.profile, return_inverse=True)
        names = self.conditions
        table = np.full((len(clients), len(names)), np.nan)
        table[row, [names.index(name) for name in self.condition]] = self.values[outcome]
        return table

    def fit(self, outcome: str) -> Fit:
        """The model of an outcome; raises ValueError where it has no answer."""
        return fit(*self.data(outcome))

    def rows_of(self, ratings: list[dict]) -> tuple[list[dict], np.ndarray]:
        """The M ratings that did not fail, and the row of the session that each is of (M,)."""
        row = {key: i for i, key in enumerate(zip(self.profile, self.condition, strict=True))}
        valid = [rating for rating in ratings if rating["status"] == "ok"]
        places = [row[rating["profile"], rating["condition"]] for rating in valid]
        return valid, np.array(places)

    @property
    def sessions(self) -> list[str]:
        """Ids of the N sessions, "<condition>/<profile>"."""
        pairs = zip(self.condition, self.profile, strict=True)
        return [f"{condition}/{profile}" for condition, profile in pairs]

    @property
    def cells(self) -> np.ndarray:
        """(N, conditions) of zeros and ones: one column a condition."""
        names = np.array(self.conditions, str)
        return np.equal.outer(self.condition, names).astype(float)

    @property
    def conditions(self) -> list[str]:
        """The conditions that have a row, in the study's order."""
        return [name for name in CONDITIONS if name in self.condition]


def read_any(path: str | Path, check: Callable[[dict], None] = check_rating) -> list[dict]:
    """The ratings of a JSONL file or a spreadsheet, those of one session, rater and replicate
    once. Raises InputError with file and line for one that `check` refuses, and for no rating."""
    read = read_spreadsheet if is_spreadsheet(path) else read_jsonl
    ratings = list(read(path, once(check, *RATING_KEY)))
    if not ratings:
        raise InputError(f"{path}:1: no rating in this file")
    return ratings


def read_ratings(path: str | Path, kind: str) -> list[dict]:
    """The ratings of a study, read by `read_any`; kind is "integer" or "expected".

    Raises InputError with file and line for an unknown condition, too, or an expected rating that
    is not there: integers never stand in for it.
    """
    wanted = ("act_fm_expected", "tes_expected") if kind == "expected" else ()

    def check(record: dict) -> None:
        check_rating(record)
        check_names(record["session"], record["condition"], record["profile"])
        for field in wanted:
            if record["status"] == "ok" and field not in record:
                cause = "this judge gave no probabilities; use --score integer"
                raise ValueError(f'"{field}" is missing: {cause}')

    ratings = read_any(path, check)
    warn_of_names(path, ratings)
    return ratings


def read_sessions(path: str | Path, ratings: list[dict]) -> list[dict]:
    """The sessions of a file, checked; every rating, if there are any, belongs to one of them."""

    def check(record: dict) -> None:
        check_session(record)
        check_names(record["id"], record["condition"], record["profile"]["id"])

    sessions = read_unique(path, check)
    warn_alike(path, "client", [session["profile"]["id"] for session in sessions])
    lost = {rating["session"] for rating in ratings} - {session["id"] for session in sessions}
    if lost:
        rated = f'no session "{min(lost)}", which was rated'
        raise InputError(f"{path}: {rated}; is it the same study's file?")
    return sessions


def outcomes_of(rating: dict, suffix: str) -> dict[str, float]:
    """All outcomes of a rating that did not fail, by its fields that end with a SUFFIX."""
    return score(rating[f"act_fm{suffix}"], rating[f"tes{suffix}"])


def score_sessions(ratings: list[dict], kind: str, path: str | Path) -> Scores:
    """Score each rating that did not fail, average a session's over raters and replicates.

    Raises InputError where none is left. With too few to be compared the outcomes say so.
    """
    rated = defaultdict(list)  # (profile, condition) -> the outcomes of each of its ratings
    for rating in ratings:
        if rating["status"] == "ok":
            outcomes = outcomes_of(rating, SUFFIX[kind])
            rated[rating["profile"], rating["condition"]].append(outcomes)
    if not rated:
        raise InputError(f"{path}: all ratings failed: nothing to analyse")
    found = {}
    for key, each in rated.items():
        found[key] = {name: fmean(one[name] for one in each) for name in OUTCOMES}
    scores = Scores.of(found)
    rows = zip(scores.profile.tolist(), scores.condition.tolist(), strict=True)
    return replace(scores, ratings=np.array([len(rated[row]) for row in rows]))


def is_spreadsheet(path: str | Path) -> bool:
    """By its name or, where that says neither, its first character: JSONL begins with a brace."""
    path = Path(path)
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson") or not path.is_file():
        return False
    with open(path, "rb") as file:
        return not file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def read_spreadsheet(path: str | Path, check: Callable[[dict], None]) -> Iterator[dict]:
    """Yield a rating record for each row; `check` raises ValueError for one it refuses.

    Names stand in any order and case; commas, semicolons or tabs, quoted cells, Excel's byte-order
    mark, UTF-16, "sep=;" line and empty rows are understood. Raises InputError("file:line: ...")
    for what cannot be read, a line being one of the file as a text editor counts.
    """
    lines = list(io.StringIO(decode(Path(path)), newline=""))
    # Above the names may stand Excel's "sep=;", which names the delimiter, and empty rows.
    above = re.compile(r'("?sep=.)?[\s,;"]*', re.IGNORECASE)
    start = next((i for i, line in enumerate(lines) if not above.fullmatch(line)), len(lines))
    delimiter = max(",;\t", key="".join(lines[start : start + 1]).count)
    rows = csv.reader(lines[start:], delimiter=delimiter, strict=True)
    header, taken, line = [], {}, start + 1
    try:
        for cells in rows:
            cells = [cell.strip() for cell in cells]
            if not header:
                header = read_header(cells, f"{path}:{line}")
            elif any(cells):
                record = read_row(header, cells)
                claim(taken, record["session"], cells[header.index("session")], line)
                check(record)
                yield record
            line = start + rows.line_num + 1
    except (ValueError, csv.Error) as error:
        # A cell may hold line breaks; an error is one line.
        said = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(error))
        raise InputError(f"{path}:{line}: {said}") from None


def decode(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark. Raises InputError for any other."""
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f'{path}: an Excel workbook; save it as "CSV UTF-8" and give that file')
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start]
        said = f'byte 0x{byte:02x} is not UTF-8 text; in Excel, save as "CSV UTF-8"'
        raise InputError(f"{path}:{line}: {said}") from None
    before, nul, _ = text.partition("\0")
    if nul:
        said = "a NUL character: this is no text file, or a damaged one"
        raise InputError(f"{path}:{before.count(chr(10)) + 1}: {said}")
    return text


def read_header(cells: list[str], where: str) -> list[str]:
    """The columns' names in small letters; says on stderr which ones are left out.

    Raises ValueError for a name that is missing or there twice, or is of an item that no form has.
    """
    names = [cell.lower() for cell in cells]
    missing = [name for name in (*NAMES, *ITEMS) if name not in names]
    if missing:
        wanted = "session, condition, profile, act_fm_1 to act_fm_25, tes_1 to tes_9"
        without = f"without {len(missing)} of these names: {', '.join(missing[:4])}"
        lost = f"it has {len(cells)} cells, {without}"
        raise ValueError(f"the first row must name the columns {wanted}; {lost}")
    for name in names:
        if name in KNOWN and names.count(name) > 1:
            raise ValueError(f'two columns are named "{name}"')
    others = [name for name in dict.fromkeys(names) if name and name not in KNOWN]
    for name in others:
        if re.fullmatch(rf"({'|'.join(FORMS)})_\d+", name):
            sizes = ", ".join(f"{form.name} has {len(form.items)} items" for form in (ACT_FM, TES))
            raise ValueError(f'column "{name}" is of no item: {sizes}')
    if others:
        print(f"warning: {where}: columns left out: {', '.join(others)}", file=sys.stderr)
    return names


def read_row(header: list[str], cells: list[str]) -> dict:
    """One row's rating record; with a blank rating its status is "incomplete", and it has none.

    Raises ValueError that names column and value.
    """
    width = max(place for place, name in enumerate(header, 1) if name)
    if any(cells[width:]):
        cause = "is a number written with a decimal comma, or a separator too many?"
        raise ValueError(f"{len(cells)} cells, but the first row names {width} columns; {cause}")
    row = dict(zip_longest(header, cells, fillvalue=""))  # a short row ends with blanks
    for name in NAMES:
        if not row[name]:
            raise ValueError(f'column "{name}" is blank')
    ratings = {form: [] for form in FORMS}
    for name, (form, low, high) in ITEMS.items():
        if row[name]:
            ratings[form].append(whole(name, row[name], low, high))
    complete = all(row[name] for name in ITEMS)
    record = {
        "session": f"{row['condition']}/{row['profile']}",
        "condition": row["condition"],
        "profile": row["profile"],
        "rater": row.get("rater") or "unnamed",
        "replicate": whole("replicate", row.get("replicate") or "0", 0, MOST),
        "status": "ok" if complete else "incomplete",
    }
    if row.get("order"):
        record["order"] = whole("order", row["order"], 0, MOST)
    return record | (ratings if complete else dict.fromkeys(FORMS))


def whole(name: str, cell: str, low: int, high: int) -> int:
    """A cell's number: digits, and where a program added decimals, zeros alone ("2.0", or "2,0" in
    some countries). Raises ValueError for any other, and for one that is out of range."""
    number = re.fullmatch(r"([+-]?[0-9]{1,9})([.,]0*)?", cell)
    if not number or not low <= int(number[1]) <= high:
        cure = "leave the cell blank where a rating is missing"
        raise ValueError(f'column "{name}": "{cell}" is no whole number {low} to {high}; {cure}')
    return int(number[1])


def claim(taken: dict[tuple, tuple], session: str, name: str, line: int) -> None:
    """The session column may name a session otherwise than "<condition>/<profile>", but each has
    one name, and each name one session; `taken` keeps the row that said so first. Raises ValueError
    that names that row's line."""
    for key in (("session", session), ("name", name)):
        before = taken.setdefault(key, (session, name, line))
        if before[:2] != (session, name):
            there = '{} is "{}" on line {}'.format(*before)
            raise ValueError(f'{session} is session "{name}" here, and {there}: one name a session')
