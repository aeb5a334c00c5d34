"""Ratings from a spreadsheet: the same records whatever a program did to the file, and one line for
what is wrong."""

import csv
import io
import zipfile

import pytest

from act.records import InputError
from act.statistics.analysis import count_failures
from act.statistics.ratings import ITEMS, is_spreadsheet, read_ratings, score_sessions
from tests.made_ratings import make_ratings, write

HEAD = ["session", "condition", "profile", *ITEMS]


def table(ratings, extra=()):
    """Rows of text: the header, then one row a rating; `extra` names optional columns."""
    rows = [[*HEAD, *extra]]
    for rating in ratings:
        names = [rating["session"], rating["condition"], rating["profile"]]
        values = [*rating["act_fm"], *rating["tes"], *(rating[name] for name in extra)]
        rows.append([*names, *map(str, values)])
    return rows


def text(rows, delimiter=",", **options):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, **options).writerows(rows)
    return out.getvalue()


def read(path):
    return read_ratings(path, "integer")


def plain(rating, **changes):
    fields = ("session", "condition", "profile", "rater", "replicate", "act_fm", "tes", "status")
    return {name: rating[name] for name in fields} | changes


def as_excel(rows):
    """Windows line ends, a mark, semicolons, and below the table the empty rows that were once
    filled."""
    return b"\xef\xbb\xbf" + (text(rows, ";") + ";" * 36 + "\r\n" + "\r\n").encode()


def decimal_commas(rows):
    return text(
        [rows[0], *([*row[:3], *(f"{cell},0" for cell in row[3:])] for row in rows[1:])], ";"
    ).encode()


WAYS = {
    "plain": lambda rows: text(rows).encode(),
    "Excel": as_excel,
    "tabs, every cell quoted": lambda rows: text(rows, "\t", quoting=csv.QUOTE_ALL).encode(),
    "Unicode text": lambda rows: text(rows, "\t").encode("utf-16"),
    "sep line": lambda rows: b"\xef\xbb\xbfsep=;\r\n" + text(rows, ";").encode(),
    "decimal commas that say nothing": decimal_commas,
    "other order and case": lambda rows: text(
        [[c.upper() for c in rows[0]][::-1], *(r[::-1] for r in rows[1:])]
    ).encode(),
    "spaces, old Macintosh": lambda rows: text(
        [[f" {cell} " for cell in r] for r in rows], lineterminator="\r"
    ).encode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_means_the_same_however_it_was_saved(way, tmp_path, capsys):
    ratings = make_ratings(2)
    path = tmp_path / "ratings.csv"
    path.write_bytes(WAYS[way](table(ratings)))
    assert read(path) == [plain(rating, rater="unnamed") for rating in ratings]
    assert capsys.readouterr().err == ""


def test_rater_and_replicate_are_read_and_other_columns_named(tmp_path, capsys):
    ratings = make_ratings(2, rater='Zoë; "Z", the 2nd', replicates=2)
    rows = table(ratings, ("rater", "replicate"))
    notes = [["Notes", "notes", "mood"], *(["two\nlines, quoted", "", "3"] for _ in ratings)]
    rows = [[*row, *note] for row, note in zip(rows, notes, strict=True)]
    path = tmp_path / "a.csv"
    path.write_text(text(rows), encoding="utf-8", newline="")
    assert read(path) == [plain(rating) for rating in ratings]
    assert capsys.readouterr().err == f"warning: {path}:1: columns left out: notes, mood\n"


def test_jsonl_is_told_from_a_spreadsheet_by_name_or_else_by_its_first_character(tmp_path):
    ratings = make_ratings(2)
    for name in ("a.jsonl", "a.csv", "a"):
        assert not is_spreadsheet(write(tmp_path / name, ratings))
        assert read(tmp_path / name) == ratings
    (tmp_path / "b").write_text(text(table(ratings)))
    assert is_spreadsheet(tmp_path / "b") and len(read(tmp_path / "b")) == 12


def test_a_blank_rating_makes_the_form_incomplete_which_is_missing_and_never_zero(tmp_path):
    ratings = make_ratings(3)
    rows = table(ratings)
    rows[4][HEAD.index("act_fm_7")] = " "
    rows[9] = rows[9][:-2]  # a short row: its last cells are blank
    path = tmp_path / "a.csv"
    path.write_text(text(rows))
    got = read(path)
    assert [i for i, rating in enumerate(got) if rating["status"] != "ok"] == [3, 8]
    assert got[3] == plain(ratings[3], rater="unnamed", act_fm=None, tes=None, status="incomplete")
    scores = score_sessions(got, "integer", path)
    kept = [rating for i, rating in enumerate(ratings) if i not in (3, 8)]
    assert (
        scores.values["tes_mean"] == score_sessions(kept, "integer", "").values["tes_mean"]
    ).all()
    assert len(scores.profile) == 16
    failures = count_failures(got, None)
    assert failures[ratings[3]["condition"]]["rating_statuses"] == {"ok": 2, "incomplete": 1}
    assert sum(row["unrated_sessions"] for row in failures.values()) == 2


def test_sessions_may_be_named_by_the_rater(tmp_path):
    rows = table(make_ratings(2))
    for number, row in enumerate(rows[1:]):
        row[0] = f"tape {number}"
    path = tmp_path / "a.csv"
    path.write_text(text(rows))
    assert [rating["session"] for rating in read(path)] == [r["session"] for r in make_ratings(2)]


def broken(name):
    """A spreadsheet's bytes broken in one way, and what the one line of complaint must hold."""
    rows = table(make_ratings(3))
    place = HEAD.index

    def put(column, cell, row=3):
        rows[row][place(column)] = cell

    def has(column, cell, row=4):
        high = 3 if column.startswith("act_fm") else 7
        low = high // 7
        wanted = f"no whole number {low} to {high}; leave the cell blank where a rating is missing"
        return rf'a\.csv:{row}: column "{column}": "{cell}" is {wanted}'

    if name == "out of range":
        put("act_fm_7", "4")
        return text(rows), has("act_fm_7", "4")
    if name == "out of range, TES":
        put("tes_9", "0")
        return text(rows), has("tes_9", "0")
    if name == "negative":
        put("act_fm_1", "-1")
        return text(rows), has("act_fm_1", "-1")
    if name == "text":
        put("tes_2", "often")
        return text(rows), has("tes_2", "often")
    if name == "two lines in a cell":
        put("tes_2", "very\noften\x1b[31m")
        return text(rows), has("tes_2", r"very often \[31m")
    if name == "Excel's error":
        put("tes_2", "#N/A")
        return text(rows), has("tes_2", "#N/A")
    if name == "half a rating":
        put("tes_2", "2,5")
        return text(rows, ";"), has("tes_2", "2,5")
    if name == "decimal comma between commas":
        lines = [",".join(row) for row in rows]
        lines[3] = lines[3] + ",0"
        cells = r"a\.csv:4: 38 cells, but the first row names 37 columns; .*decimal comma"
        return "\n".join(lines), cells
    if name == "duplicate":
        rows[5] = rows[2]
        first = "instruct-cot/p00, unnamed, 0"
        return text(rows), rf"a\.csv:6: a second record with session, rater, replicate {first}"
    if name == "one session, two clients":
        put("session", rows[1][0])
        here, there = 'sft/p00 is session "instruct/p00"', 'instruct/p00 is "instruct/p00"'
        return text(rows), rf"a\.csv:4: {here} here, and {there} on line 2"
    if name == "one client, two sessions":
        rows[0].append("rater")
        rows[1].append("a")
        rows.append(["again", *rows[1][1:-1], "b"])
        here, there = 'instruct/p00 is session "again"', 'instruct/p00 is "instruct/p00"'
        return text(rows), rf"a\.csv:20: {here} here, and {there} on line 2"
    if name == "unknown condition":
        put("condition", "SFT")
        return text(rows), r'a\.csv:4: unknown condition "SFT"; the six are instruct, instruct-cot'
    if name == "no profile":
        put("profile", "")
        return text(rows), r'a\.csv:4: column "profile" is blank'
    if name == "replicate":
        cells = ["replicate", "1", "first", *"1" * 16]
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
        return text(rows), r'a\.csv:3: column "replicate": "first" is no whole number 0 to'
    if name == "missing column":
        lost = "it has 34 cells, without 3 of these names: tes_7, tes_8, tes_9"
        return text([row[:-3] for row in rows]), rf"a\.csv:1: the first row must .*; {lost}"
    if name == "no header":
        return text(rows[1:]), r"a\.csv:1: the first row must name the columns .* without 37 of"
    if name == "other delimiter":
        return text(rows, "|"), r"a\.csv:1: the first row must .* it has 1 cells"
    if name == "column twice":
        return text([[*row, row[0]] for row in rows]), r'a\.csv:1: two columns are named "session"'
    if name == "item of no form":
        rows = [[*row, cell] for row, cell in zip(rows, ["act_fm_26", *"1" * 18], strict=True)]
        wanted = 'column "act_fm_26" is of no item: ACT-FM has 25 items, TES has 9'
        return text(rows), rf"a\.csv:1: {wanted}"
    if name == "NUL":
        put("session", "a\0b")
        return text(rows), r"a\.csv:4: a NUL character"
    if name == "after a cell of two lines":
        rows = [[*row, cell] for row, cell in zip(rows, ["rater", *["Ann\nLee"] * 18], strict=True)]
        put("act_fm_7", "4")
        return text(rows), has("act_fm_7", "4", row=6)
    if name == "after empty rows":
        put("act_fm_7", "4")
        lines = text(rows).splitlines(keepends=True)
        return ",,\r\n\r\n" + lines[0] + "\r\n" + "".join(lines[1:]), has("act_fm_7", "4", row=7)
    if name == "open quote":
        return text(rows) + '"sft/p99,sft', r"a\.csv:20: unexpected end of data"
    if name == "empty":
        return "", r"a\.csv:1: no rating in this file"
    if name == "only separators":
        return ";;;\r\n;;;\r\n", r"a\.csv:1: no rating in this file"
    if name == "only a header":
        return text(rows[:1]), r"a\.csv:1: no rating in this file"
    if name == "Windows' letters":
        put("session", "Zoë")
        cure = 'byte 0xeb is not UTF-8 text; in Excel, save as "CSV UTF-8"'
        return text(rows).encode("cp1252"), rf"a\.csv:4: {cure}"
    if name == "a workbook":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
            book.writestr("xl/worksheets/sheet1.xml", text(rows))
        return out.getvalue(), r'a\.csv: an Excel workbook; save it as "CSV UTF-8"'


NAMES = """out of range|out of range, TES|negative|text|Excel's error|half a rating
decimal comma between commas|duplicate|one session, two clients|one client, two sessions
unknown condition|no profile|replicate|missing column|no header
other delimiter|column twice|after a cell of two lines|after empty rows|open quote|empty
two lines in a cell|only separators|only a header|Windows' letters|a workbook
item of no form|NUL""".splitlines()


@pytest.mark.parametrize("name", "|".join(NAMES).split("|"))
def test_one_line_says_what_is_wrong_and_where_and_nothing_is_written(name, tmp_path, refused):
    content, message = broken(name)
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        score_sessions(read(path), "integer", path)
    assert len(refused("analyze.py", "--ratings", path, "--out", tmp_path / "out")) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
