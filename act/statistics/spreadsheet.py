"""Ratings from anyone's spreadsheet: one row a rating, one column an item, saved as CSV.

    session,condition,profile,act_fm_1,...,act_fm_25,tes_1,...,tes_9
    and, if you like: rater,replicate

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

from act.forms import FORMS, Form
from act.records import InputError

NAMES = ("session", "condition", "profile")
ITEMS = {  # column -> its form, in the order of the items
    f"{form.name.lower().replace('-', '_')}_{item.number}": form
    for form in FORMS
    for item in form.items
}
KNOWN = {*NAMES, *ITEMS, "rater", "replicate"}
# The rater, where there is no such column or its cell is blank.
UNNAMED = "unnamed"
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def is_spreadsheet(path: str | Path) -> bool:
    """By its name or, where that says neither, by its first character: JSONL begins with a
    brace."""
    path = Path(path)
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson") or not path.is_file():
        return False
    with open(path, "rb") as file:
        return not file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def read_spreadsheet(path: str | Path, check: Callable[[dict], None]) -> Iterator[dict]:
    """Yield a rating record for each row that is not empty; `check` raises ValueError for one it
    refuses.

    A row with a blank rating is an incomplete form: its record has status "incomplete" and no
    ratings, so it is counted and never scored. The record's session is "<condition>/<profile>"; the
    session column may name it otherwise, as long as each name is one client in one condition.
    Raises InputError("file:line: ...") for what cannot be read, a line being one of the file as a
    text editor counts.
    """
    lines = list(io.StringIO(decode(Path(path)), newline=""))
    # Excel's first line may name the delimiter.
    skipped = 1 if lines and re.fullmatch(r'"?sep=."?\s*', lines[0], re.IGNORECASE) else 0
    first = next((line for line in lines[skipped:] if line.strip(' ,;\t\r\n"')), "")
    if not first:
        return
    # The one that makes most of our names of the first row that holds anything.
    delimiter = max(DELIMITERS, key=lambda mark: len(known(first.split(mark))))
    rows = csv.reader(lines[skipped:], delimiter=delimiter, strict=True)
    header: list[str] = []
    taken: dict[tuple, tuple[str, int]] = {}
    line = skipped + 1
    while True:
        try:
            cells = [cell.strip() for cell in next(rows)]
            if any(cells) and not header:
                header = read_header(cells, delimiter, f"{path}:{line}")
            elif any(cells):
                row = name_cells(header, cells, delimiter)
                record = read_row(row)
                claim(taken, record["session"], row["session"], line)
                check(record)
                yield record
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            # A cell may hold line breaks; an error is one line.
            said = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(error))
            raise InputError(f"{path}:{line}: {said}") from None
        line = skipped + rows.line_num + 1


def decode(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark. Raises InputError for any other."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f'{path}: an Excel workbook; save it as "CSV UTF-8" and give that file')
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start]
        said = f'byte 0x{byte:02x} is not UTF-8 text; in Excel, save as "CSV UTF-8"'
        raise InputError(f"{path}:{line}: {said}") from None


def known(cells: list[str]) -> set[str]:
    """The names of our columns among a row's cells, in small letters."""
    return {cell.strip(' "\r\n').lower() for cell in cells} & KNOWN


def read_header(cells: list[str], delimiter: str, where: str) -> list[str]:
    """The columns' names in small letters. Raises ValueError for one that is missing, twice there,
    or of an item that no form has; says on stderr which others are left out."""
    missing = [name for name in (*NAMES, *ITEMS) if name not in known(cells)]
    if missing:
        wanted = "session, condition, profile, act_fm_1 to act_fm_25, tes_1 to tes_9"
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        lost = f"there is no {', '.join(missing[:4])}{more}"
        read_as = f"read as cells between {DELIMITERS[delimiter]}"
        raise ValueError(f"the first row must name the columns {wanted}; {lost} ({read_as})")
    names = [cell.lower() for cell in cells]
    for name in names:
        if name in KNOWN and names.count(name) > 1:
            raise ValueError(f'two columns are named "{name}"')
        if re.fullmatch(r"(act_fm|tes)_\d+", name) and name not in ITEMS:
            sizes = ", ".join(f"{form.name} has {len(form.items)} items" for form in FORMS)
            raise ValueError(f'column "{name}" is of no item: {sizes}')
    others = dict.fromkeys(name for name in names if name and name not in KNOWN)
    if others:
        print(f"warning: {where}: columns left out: {', '.join(others)}", file=sys.stderr)
    return names


def name_cells(header: list[str], cells: list[str], delimiter: str) -> dict[str, str]:
    """Column -> cell, "" where a row is short. Raises ValueError for one that is too long."""
    width = max(place for place, name in enumerate(header, 1) if name)
    if any(cells[width:]):
        cause = "is there a separator too many?"
        if delimiter == ",":
            cause = "is a number written with a decimal comma?"
        raise ValueError(f"{len(cells)} cells, but the first row names {width} columns; {cause}")
    return dict.fromkeys(header, "") | dict(zip(header, cells, strict=False))


def read_row(row: dict[str, str]) -> dict:
    """One row's rating record. Raises ValueError that names column and value."""
    for name, cell in row.items():
        if "\0" in cell:
            raise ValueError("a NUL character: this is no text file, or a damaged one")
        if name in NAMES and not cell:
            raise ValueError(f'column "{name}" is blank')
    replicate = row.get("replicate") or "0"
    if not re.fullmatch(r"[0-9]{1,9}", replicate):
        raise ValueError(f'column "replicate": "{replicate}" is not a whole number of 0 or more')
    complete = all(row[name] for name in ITEMS)
    ratings = {form.name: [] for form in FORMS}
    for name, form in ITEMS.items():
        if row[name]:
            ratings[form.name].append(whole(name, row[name], form))
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


def whole(name: str, cell: str, form: Form) -> int:
    """A cell's rating: digits, and where a program added decimals, zeros alone ("2.0", or "2,0" in
    some countries). Raises ValueError for any other, and for one that is out of range."""
    number = re.fullmatch(r"([+-]?[0-9]+)(?:[.,]([0-9]*))?", cell)
    low, high = form.low, form.high
    if not number:
        wrong = "is not a number; leave the cell blank where a rating is missing"
    elif (number[2] or "").strip("0"):
        wrong = f"is not a whole number; ratings are {low} to {high}"
    elif not low <= int(number[1]) <= high:
        wrong = f"is outside {low}..{high}"
    else:
        return int(number[1])
    raise ValueError(f'column "{name}": "{cell}" {wrong}')


def claim(taken: dict[tuple, tuple[str, int]], session: str, name: str, line: int) -> None:
    """Each session has one name, each name one session. `taken` keeps which of the rows before has
    which, and its line. Raises ValueError that names that line."""
    before, first = taken.setdefault(("name", name), (session, line))
    if before != session:
        raise ValueError(f'session "{name}" is {session} here and {before} on line {first}')
    before, first = taken.setdefault(("session", session), (name, line))
    if before != name:
        both = f'{session} is session "{name}" here and "{before}" on line {first}'
        raise ValueError(f"{both}: one session a client and condition")
