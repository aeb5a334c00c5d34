"""One statistic as one table, read in three ways: as a CSV file, on the page, as a figure's words.

A row is a dict of raw numbers, as summary.json holds them. What people read of it is a template
over the row, "{a} − {b}" or "{d} ({d_ci})": tables.json holds each table's, and `write` alone
decides how a number looks. A field that begins with _ is for readers: no CSV has it.
"""

import csv
import io
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from act.audit.style import STYLES
from act.files import write_text
from act.forms import OUTCOMES as OF_FORMS
from act.forms import Outcome
from act.records import counted

DASH = "–"
FIELD = re.compile(r"\{(\w+)(?:\[(\w+)\])?(?::([^}]+))?\}")  # {name}, {name[part]:spec}
FORMULA = tuple("=+-@＝＋－＠")  # what a spreadsheet may run begins with one, spaces aside
_TEXT = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
_PARTS = re.split(r"^\[(.+)\]$", _TEXT, flags=re.MULTILINE)[1:]  # name, template, name, ...
# Templates that more than one place uses, and the report's sentences
WORDS = {name: " ".join(said.split()) for name, said in zip(_PARTS[::2], _PARTS[1::2], strict=True)}
# Every outcome there is, in the order of the report
PREFERENCE = Outcome("Preference for the wanted reply", unit="nats a token", group="preference")
OUTCOMES = {"preference": PREFERENCE, **OF_FORMS, **STYLES}
# outcomes that are shown in full
LEADING = [name for name, one in OUTCOMES.items() if one.group in ("preference", "totals")]


def told(p: float | None) -> bool:
    """Does a test tell a difference from 0? None: it could not be made."""
    return p is not None and p < 0.05


def number(value: float | list[float] | None, digits: int = 2) -> str:
    """-1.234 -> "−1.23" with a real minus sign; [1.2, 3.4] -> "1.20 to 3.40"; None -> a dash."""
    if value is None:
        return DASH
    if isinstance(value, list):  # an interval
        return " to ".join(number(end, digits) for end in value)
    return f"{value:z.{digits}f}".replace("-", "−")  # z: what rounds to 0 has no sign


def p_value(p: float | None) -> str:
    """.0004 -> "< .001"; .0312 -> ".031"; None, a test that could not be made, -> a dash."""
    if p is None:
        return DASH
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def scale(name: str) -> str:
    """An outcome's name and the ends of its scale, or its unit."""
    shown = OUTCOMES[name]
    ends = f"scale {shown.low} to {shown.high}" if shown.high else shown.unit
    return f"{shown.title}, {ends}" if ends else shown.title


def within(outcome: str, group: str) -> bool:
    """Is an outcome of this group? "leading" are those shown in full, "" are all."""
    return outcome in LEADING if group == "leading" else group in ("", OUTCOMES[outcome].group)


SPECS = {
    # of a p
    "p": p_value,
    "=p": lambda p: f"= {p_value(p)}".replace("= <", "<"),
    "star": lambda p: "*" if told(p) else "",
    "told": lambda p: "told from 0" if told(p) else "not told from 0",
    # of a share
    "%": lambda share: DASH if share is None else f"{100 * share:.0f}%",
    # of lists and dicts
    "and": lambda names: " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])),
    "each": lambda counts: ", ".join(f"{name} {n}" for name, n in counts.items() if n),
    "count": lambda rows: str(len(rows or [])),
    # of an outcome: whose the random intercepts are is "of", what was measured is "row"
    "title": lambda name: OUTCOMES[name].title,
    "scale": scale,
    "unit": lambda name: OUTCOMES[name].unit,
    "of": lambda name: "pair" if name == "preference" else "client",
    "row": lambda name: "pair of replies" if name == "preference" else "session",
}


def written(value: object, spec: str, fine: int) -> str:
    """One value as a reader sees it: in "2" decimals, in `fine` of them, by one of SPECS; a dict,
    or each of a list, by a template of WORDS."""
    if spec in SPECS:
        return SPECS[spec](value)
    if spec in WORDS and value is not None:
        rows = value if isinstance(value, list) else [value]
        return "; ".join(write(WORDS[spec], {"_fine": fine} | row, DASH) for row in rows)
    if spec.startswith("+"):
        return counted(value, spec[1:])
    if isinstance(value, str) or (isinstance(value, int) and not spec):
        return str(value)
    return number(value, int(spec) if spec.isdigit() else fine if spec == "fine" else 2)


def write(template: str, row: dict, unknown: str = "") -> str:
    """A template filled from a row; `unknown`, if that is given, where nothing of it is known.

    "{z}" is in two decimals, "{df:1}" in one, "{ci:fine}" in the row's "_fine". Two numbers are an
    interval, None is a dash, "{n:+session}" is "1 session" or "2 sessions". "{icc[ci]}" is a part
    of "icc", None where that is not there. Of SPECS, "{p:=p}" is "= .031" or "< .001"; of WORDS,
    "{omnibus:F test}" is that template, filled from the omnibus test.
    """
    known = []

    def fill(place: re.Match) -> str:
        name, part, spec = place.groups(default="")
        value = (row.get(name) or {}).get(part) if part else row[name]
        said = written(value, spec, row.get("_fine", 2))
        known.append(value is not None and said != DASH)
        return said

    filled = FIELD.sub(fill, template)
    is_unknown = known and not any(known)
    return unknown if unknown and is_unknown else filled


def rows_of(found: object, place: str) -> list[dict]:
    """The rows at a place of summary.json, none where it has no such part.

    rows_of({"a": {"x": [{"n": 1}, {"n": 2}]}}, "{of}.x") = [{"of": "a", "n": 1}, {"of": "a",
    "n": 2}]: a name in braces is a field, which takes each of the keys there.
    """
    if found is None:
        return []
    if not place:
        return found if isinstance(found, list) else [found]
    name, _, inside = place.partition(".")
    if not name.startswith("{"):
        return rows_of(found.get(name), inside)
    rows = []
    for key, part in found.items():
        rows += [{name[1:-1]: key} | row for row in rows_of(part, inside)]
    return rows


@dataclass(frozen=True)
class Table:
    """Rows of raw numbers, and the templates of tables.json by which people read them."""

    rows: list[dict]
    csv: bool = False  # is there a file of it?
    caption: str = ""  # filled from the first row
    note: str = ""  # in small print below it
    per: str = ""  # a field: on the page there is a table for each of its values
    turned: bool = False  # on its side there: a column a row
    columns: dict[str, str] = field(default_factory=dict)  # head -> cell
    across: str = ""  # a field: rows of one `columns` stand side by side, a column a value,
    cell: str = ""  # with this in it
    say: str = ""  # a row in words, for those who cannot see the figure
    by: str = ""  # and what heads each group of such rows
    unknown: str = DASH  # the cell of which nothing is known

    def each(self, group: str = "") -> list["Table"]:
        """As on the page: one table, or one for each value of `per`, of the outcomes of a group
        (`within`); none without rows."""
        parts: dict[object, list[dict]] = {}  # value -> its rows, in their order
        for row in self.rows:
            if not group or within(row["outcome"], group):
                parts.setdefault(row.get(self.per), []).append(row)
        return [replace(self, rows=rows) for rows in parts.values()]

    @property
    def title(self) -> str:
        """The caption, filled in."""
        return write(self.caption, self.rows[0], self.unknown)

    def to_cells(self) -> list[list[str]]:
        """The page's table, its heads first. With `across` rows of equal first cells are one row,
        with a dash where one of its values is missing."""
        head, templates = list(self.columns), self.columns.values()
        body = [[write(cell, row, self.unknown) for cell in templates] for row in self.rows]
        if self.across:
            met: dict[tuple, dict[str, str]] = {}  # first cells -> value -> cell
            for first, row in zip(body, self.rows, strict=True):
                cells = met.setdefault(tuple(first), {})
                cells[row[self.across]] = write(self.cell, row, self.unknown)
            values = list(dict.fromkeys(row[self.across] for row in self.rows))
            head += values
            body = [[*first, *(of.get(one, DASH) for one in values)] for first, of in met.items()]
        return list(zip(head, *body, strict=True)) if self.turned else [head, *body]

    def to_text(self) -> str:
        """The rows in words, group by group."""
        groups: dict[str, list[str]] = {}
        for row in self.rows:
            groups.setdefault(write(self.by, row), []).append(write(self.say, row))
        return "; ".join(f"{head}: {', '.join(said)}" for head, said in groups.items()) + "."

    def to_csv(self, path: Path) -> None:
        """Numbers in full, None as an empty cell. No rows: no file, and no older one."""
        if not self.rows:
            path.unlink(missing_ok=True)
            return
        rows = [flat(row) for row in self.rows]
        # columns of all rows: a refused outcome has fewer than others
        columns = dict.fromkeys(key for row in rows for key in row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_text(text.getvalue(), path)


def flat(value: object, name: str = "") -> dict:
    """{"ci": [1, 2], "icc": {"estimate": 3}} -> {"ci_low": 1, "ci_high": 2, "icc_estimate": 3}.

    A list under a name without "ci" is counted; what readers alone see is left out. Text that a
    spreadsheet would run as a formula gets an apostrophe in front.
    """
    if name.startswith("_"):
        return {}
    if isinstance(value, dict):
        cells: dict = {}
        for key, part in value.items():
            cells |= flat(part, f"{name}_{key}" if name else key)
        return cells
    if "ci" in name.split("_"):
        low, high = value or (None, None)
        return {f"{name}_low": unsigned(low), f"{name}_high": unsigned(high)}
    if isinstance(value, str) and value.lstrip().startswith(FORMULA):
        return {name: f"'{value}"}
    return {name: len(value) if isinstance(value, list) else unsigned(value)}


def unsigned(value: object) -> object:
    """A value, 0.0 if it is -0.0."""
    return value + 0.0 if isinstance(value, float) else value
