"""One statistic as one table, read in three ways: as a CSV file, on the page, as a figure's words.

A row is a dict of raw numbers, as summary.json holds them. What people read of it is a template
over the row, "{a} − {b}" or "{d} ({d_ci})": tables.json holds each table's, and `Writer` alone
decides how a number looks. A field that begins with _ is for readers: no CSV has it.
"""

import csv
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter

from act.audit.style import STYLES
from act.files import write_text
from act.forms import OUTCOMES as OF_FORMS
from act.forms import Outcome

DASH = "–"
FORMULA = tuple("=+-@＝＋－＠")  # what a spreadsheet may run begins with one, spaces aside
# Every outcome there is, in the order of the report
PREFERENCE = Outcome("Preference for the wanted reply", unit="nats a token", group="preference")
OUTCOMES = {"preference": PREFERENCE}
OUTCOMES |= OF_FORMS | STYLES
# outcomes that are shown in full
LEADING = [name for name, one in OUTCOMES.items() if one.group in ("preference", "totals")]


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


SPECS = {
    "p": p_value,
    "=p": lambda p: f"= {p_value(p)}".replace("= <", "<"),
    "%": lambda share: DASH if share is None else f"{100 * share:.0f}%",
    "title": lambda name: OUTCOMES[name].title,
    "scale": lambda name: scale(OUTCOMES[name]),
    "unit": lambda name: OUTCOMES[name].unit,
    "of": lambda name: "pair" if name == "preference" else "client",
    "row": lambda name: "pair of replies" if name == "preference" else "session",
}


def scale(outcome: Outcome) -> str:
    """An outcome's name and the ends of its scale, or its unit."""
    ends = f"scale {outcome.low} to {outcome.high}" if outcome.high else outcome.unit
    return ", ".join(filter(None, [outcome.title, ends]))


def within(outcome: str, group: str) -> bool:
    """Is an outcome of this group? "leading" are those shown in full, "" are all."""
    return outcome in LEADING if group == "leading" else group in ("", OUTCOMES[outcome].group)


class Writer(Formatter):
    """Fills a template: "{z}" in two decimals, "{df:1}" in one, "{ci:fine}" in `fine` of them.

    Two numbers are an interval, None is a dash. Of SPECS, "{p:=p}" writes "= .031" or "< .001" and
    "{outcome:scale}" an outcome's name and the ends of its scale, or its unit; "{outcome:of}" is
    whose the random intercepts are, "{outcome:row}" what was measured.
    """

    def __init__(self, fine: int = 2):
        self.fine = fine
        self.known = False  # was anything but None written?

    def get_field(self, name: str, args: tuple, row: dict) -> tuple:
        """A part that is not there is None: "{icc[ci]}" of an outcome that was refused."""
        try:
            return super().get_field(name, args, row)
        except (KeyError, TypeError):
            if "[" not in name:
                raise
            return None, name

    def format_field(self, value: object, spec: str) -> str:
        """One value as a reader sees it."""
        self.known |= value is not None
        if spec in SPECS:
            return SPECS[spec](value)
        if isinstance(value, str) or (isinstance(value, int) and not spec):
            return str(value)
        return number(value, self.fine if spec == "fine" else int(spec or 2))


@dataclass(frozen=True)
class Table:
    """Rows of raw numbers, and the templates of tables.json by which people read them."""

    rows: list[dict]
    fine: dict[str, int] = field(default_factory=dict)  # outcome -> its decimals
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

    def of(self, name: str, value: object) -> "Table":
        """The rows in which a field has this value."""
        return replace(self, rows=[row for row in self.rows if row[name] == value])

    def each(self, group: str = "") -> list["Table"]:
        """As on the page: one table, or one for each value of `per`, of the outcomes of a group
        (`within`); none without rows."""
        rows = [row for row in self.rows if not group or within(row["outcome"], group)]
        kept = replace(self, rows=rows)
        if not self.per:
            return [kept] if rows else []
        # in the order of the rows
        return [kept.of(self.per, value) for value in dict.fromkeys(row[self.per] for row in rows)]

    def write(self, template: str, row: dict) -> str:
        """A template filled from a row; `unknown` where every field of it is None."""
        writer = Writer(self.fine.get(row.get("outcome"), 2))
        written = writer.vformat(template, (), row)
        return written if writer.known or "{" not in template else self.unknown

    @property
    def title(self) -> str:
        """The caption, filled in."""
        return self.write(self.caption, self.rows[0])

    def to_cells(self) -> list[list[str]]:
        """The page's table, its heads first. With `across` rows of equal first cells are one row,
        with a dash where one of its values is missing."""
        head = list(self.columns)
        body = [[self.write(cell, row) for cell in self.columns.values()] for row in self.rows]
        if self.across:
            cells: dict[tuple, dict[str, str]] = {}  # first cells -> value -> cell
            for first, row in zip(body, self.rows, strict=True):
                cells.setdefault(tuple(first), {})[row[self.across]] = self.write(self.cell, row)
            values = list(dict.fromkeys(row[self.across] for row in self.rows))
            head += values
            body = [[*first, *(of.get(v, DASH) for v in values)] for first, of in cells.items()]
        return list(zip(head, *body, strict=True)) if self.turned else [head, *body]

    def to_text(self) -> str:
        """The rows in words, group by group."""
        groups: dict[str, list[str]] = {}
        for row in self.rows:
            groups.setdefault(self.write(self.by, row), []).append(self.write(self.say, row))
        return "; ".join(f"{head}: {', '.join(said)}" for head, said in groups.items()) + "."

    def to_csv(self, path: Path) -> None:
        """Numbers in full, None as an empty cell. No rows: no file, and no older one."""
        rows = [flat(row) for row in self.rows]
        # columns of all rows: a refused outcome has fewer than others
        columns = list(dict.fromkeys(key for row in rows for key in row))
        if not columns:
            path.unlink(missing_ok=True)
            return
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
    return 0.0 if isinstance(value, float) and value == 0 else value
