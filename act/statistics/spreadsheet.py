"""Ratings from anyone's spreadsheet: one row a rating, one column an item, saved as CSV.

    session,condition,profile,act_fm_1,...,act_fm_25,tes_1,...,tes_9      and, if you like: rater,replicate

The names may stand in any order and case, and other columns beside them. Commas, semicolons or
tabs, quoted cells, Excel's byte-order mark, its UTF-16 "Unicode text", its "sep=;" line and its
rows of empty cells are understood.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from act.forms import FORMS
from act.records import CONDITIONS, InputError, rating_key

NAMES = ("session", "condition", "profile")
ITEMS = {  # column -> its form, in the order of the items
    f"{form.name.lower().replace('-', '_')}_{item.number}": form
    for form in FORMS
    for item in form.items
}
KNOWN = {*NAMES, *ITEMS, "rater", "replicate"}
UNNAMED = "unnamed"  # the rater, where there is no such column or its cell is blank
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def is_spreadsheet(path: str | Path) -> bool:
    """By its name or, where that says neither, by its first character: JSONL begins with a
    brace."""
    path = Path(path)
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson") or not path.is_file():
        return False
    with open(path, "rb") as file:
        return not file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def read_spreadsheet(
    path: str | Path, check: Callable[[dict], None] = lambda record: None
) -> Iterator[dict]:
    """Yield a rating record for each row that is not empty; `check` raises ValueError for one it
    refuses.

    A row with a blank rating is an incomplete form: its record has status "incomplete" and no
    ratings, so it is counted and never scored. The record's session is "<condition>/<profile>"; the
    session column may name it otherwise, as long as each name is one client in one condition.
    Raises InputError("file:line: ...") for what cannot be read, a line being one of the file as a
    text editor counts.
    """
    lines = list(io.StringIO(decode(Path(path)), newline=""))
    skipped = 1 if lines and re.fullmatch(r'"?sep=."?\s*', lines[0], re.IGNORECASE) else 0
    first = next((line for line in lines[skipped:] if line.strip(' ,;\t\r\n"')), "")
    if not first:
        return
    delimiter = max(DELIMITERS, key=lambda mark: len(known(first.split(mark))))
    rows = csv.reader(lines[skipped:], delimiter=delimiter, strict=True)
    columns: dict[str, int] = {}
    taken = Taken()
    line = skipped + 1
    while True:
        try:
            cells = [cell.strip() for cell in next(rows)]
            if any(cells) and not columns:
                columns = read_header(cells, delimiter, f"{path}:{line}")
            elif any(cells):
                record = read_row(cells, columns, delimiter)
                taken.claim(record, cells[columns["session"]], line)
                check(record)
                yield record
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            said = re.sub(
                r"[\x00-\x1f\x7f-\x9f]+", " ", str(error)
            )  # a cell may hold line breaks; an error is one line
            raise InputError(f"{path}:{line}: {said}") from None
        line = skipped + rows.line_num + 1


class Taken:
    """What the rows so far have used up: each rating is there once, each session under one name."""

    def __init__(self):
        self.ratings: dict[tuple, int] = {}
        self.sessions: dict[
            str, tuple[str, int]
        ] = {}  # name in the file -> client and condition, line
        self.names: dict[str, tuple[str, int]] = {}  # and the other way round

    def claim(self, record: dict, name: str, line: int) -> None:
        """Raises ValueError that names the line of the first."""
        session, key = record["session"], rating_key(record)
        if key in self.ratings:
            rating = "session {}, rater {}, replicate {}".format(*key)
            raise ValueError(
                f"a second rating with {rating}; line {self.ratings[key]} has the first"
            )
        before, first = self.sessions.setdefault(name, (session, line))
        if before != session:
            raise ValueError(f'session "{name}" is {session} here and {before} on line {first}')
        before, first = self.names.setdefault(session, (name, line))
        if before != name:
            one = "one session a client and condition"
            raise ValueError(
                f'{session} is session "{name}" here and "{before}" on line {first}: {one}'
            )
        self.ratings[key] = line


def decode(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark. Raises InputError for any other."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f'{path}: an Excel workbook; save it as "CSV UTF-8" and give that file')
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        save = 'in Excel, save as "CSV UTF-8"'
        raise InputError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text; {save}"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{path}:{line}: a NUL character: this is no text file, or a damaged one")
    return text


def known(cells: list[str]) -> set[str]:
    """The names of our columns among a row's cells, in small letters."""
    return {cell.strip(' "\r\n').lower() for cell in cells} & KNOWN


def read_header(cells: list[str], delimiter: str, where: str) -> dict[str, int]:
    """Column name -> its place. Raises ValueError for a column that is missing, twice there, or of
    an item that no form has; says on stderr which others are left out."""
    missing = [name for name in (*NAMES, *ITEMS) if name not in known(cells)]
    if missing:
        shown = ", ".join(missing[:4]) + (
            f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        )
        raise ValueError(
            f"the first row must name the columns session, condition, profile, act_fm_1 to act_fm_25, tes_1 to tes_9; "
            f"there is no {shown} (read as cells between {DELIMITERS[delimiter]})"
        )
    columns: dict[str, int] = {}
    for place, name in enumerate(cell.lower() for cell in cells):
        if name in columns and name in KNOWN:
            raise ValueError(f'two columns are named "{name}"')
        if re.fullmatch(r"(act_fm|tes)_\d+", name) and name not in ITEMS:
            sizes = ", ".join(f"{form.name} has {len(form.items)} items" for form in FORMS)
            raise ValueError(f'column "{name}" is of no item: {sizes}')
        if name:
            columns[name] = place
    others = [name for name in columns if name not in KNOWN]
    if others:
        print(f"warning: {where}: columns left out: {', '.join(others)}", file=sys.stderr)
    return columns


def read_row(cells: list[str], columns: dict[str, int], delimiter: str) -> dict:
    """One row's rating record. Raises ValueError that names column, value and limit."""
    width = max(columns.values()) + 1
    if any(cells[width:]):
        cause = (
            "is a number written with a decimal comma?"
            if delimiter == ","
            else "is there a separator too many?"
        )
        raise ValueError(f"{len(cells)} cells, but the first row names {width} columns; {cause}")
    row = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
    for name in NAMES:
        if not row[name]:
            raise ValueError(f'column "{name}" is blank')
    if row["condition"] not in CONDITIONS:
        raise ValueError(
            f'column "condition": "{row["condition"]}" is none of the six: {", ".join(CONDITIONS)}'
        )
    replicate = row.get("replicate") or "0"
    if not re.fullmatch(r"[0-9]{1,9}", replicate):
        raise ValueError(f'column "replicate": "{replicate}" is not a whole number of 0 or more')
    ratings = {form.name: [] for form in FORMS}
    for name, form in ITEMS.items():
        if row[name]:
            ratings[form.name].append(whole(name, row[name], form.low, form.high))
    complete = all(len(ratings[form.name]) == len(form.items) for form in FORMS)
    return {
        "session": f"{row['condition']}/{row['profile']}",
        "condition": row["condition"],
        "profile": row["profile"],
        "rater": row.get("rater") or UNNAMED,
        "replicate": int(replicate),
        "act_fm": ratings["ACT-FM"] if complete else None,
        "tes": ratings["TES"] if complete else None,
        "status": "ok" if complete else "incomplete",
    }


def whole(name: str, cell: str, low: int, high: int) -> int:
    """A cell's rating: digits, and where a program added decimals, zeros alone ("2.0", or "2,0" in
    some countries)."""
    number = re.fullmatch(r"([+-]?[0-9]+)(?:[.,]([0-9]*))?", cell)
    if not number:
        raise ValueError(
            f'column "{name}": "{cell}" is not a number; leave the cell blank where a rating is missing'
        )
    if (number[2] or "").strip("0"):
        raise ValueError(
            f'column "{name}": "{cell}" is not a whole number; ratings are {low} to {high}'
        )
    if not low <= int(number[1]) <= high:
        raise ValueError(f'column "{name}": "{cell}" is outside {low}..{high}')
    return int(number[1])
