"""Ratings from a spreadsheet: the same records whatever a program did to the file, and one line for
what is wrong."""

import csv
import io

import pytest

from act.records import InputError
from act.statistics.analysis import count_failures
from act.statistics.ratings import read_ratings, score_sessions
from act.statistics.spreadsheet import ITEMS, is_spreadsheet
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
    notes = [["Notes", "notes"], *(["two\nlines, quoted", ""] for _ in ratings)]
    rows = [[*row, *note] for row, note in zip(rows, notes, strict=True)]
    path = tmp_path / "a.csv"
    path.write_text(text(rows), encoding="utf-8", newline="")
    assert read(path) == [plain(rating) for rating in ratings]
    assert capsys.readouterr().err == f"warning: {path}:1: columns left out: notes\n"


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

    if name == "out of range":
        put("act_fm_7", "4")
        return text(rows), r'a\.csv:4: column "act_fm_7": "4" is outside 0\.\.3'
    if name == "out of range, TES":
        put("tes_9", "0")
        return text(rows), r'a\.csv:4: column "tes_9": "0" is outside 1\.\.7'
    if name == "negative":
        put("act_fm_1", "-1")
        return text(rows), r'a\.csv:4: column "act_fm_1": "-1" is outside 0\.\.3'
    if name == "text":
        put("tes_2", "often")
        return text(rows), r'a\.csv:4: column "tes_2": "often" is not a number'
    if name == "two lines in a cell":
        put("tes_2", "very\noften\x1b[31m")
        return text(rows), r'a\.csv:4: column "tes_2": "very often \[31m" is not a number'
    if name == "Excel's error":
        put("tes_2", "#N/A")
        return text(rows), r'a\.csv:4: column "tes_2": "#N/A" is not a number; leave the cell blank'
    if name == "half a rating":
        put("tes_2", "2,5")
        return text(
            rows, ";"
        ), r'a\.csv:4: column "tes_2": "2,5" is not a whole number; ratings are 1 to 7'
    if name == "decimal comma between commas":
        lines = [",".join(row) for row in rows]
        lines[3] = lines[3] + ",0"
        return "\n".join(
            lines
        ), r"a\.csv:4: 38 cells, but the first row names 37 columns; .*decimal comma"
    if name == "duplicate":
        rows[5] = rows[2]
        first = "instruct-cot/p00, unnamed, 0"
        return text(rows), rf"a\.csv:6: a second record with session, rater, replicate {first}"
    if name == "one session, two clients":
        put("session", rows[1][0])
        return text(
            rows
        ), r'a\.csv:4: session "instruct/p00" is sft/p00 here and instruct/p00 on line 2'
    if name == "one client, two sessions":
        rows[0].append("rater")
        rows[1].append("a")
        rows.append(["again", *rows[1][1:-1], "b"])
        return text(
            rows
        ), r'a\.csv:20: instruct/p00 is session "again" here and "instruct/p00" on line 2'
    if name == "condition with one session":
        rows = [row for row in rows if row[1] != "orpo" or row[2] == "p01"]
        return text(
            rows
        ), r'a\.csv: condition "orpo" has 1 rated session; its variation needs at least 2'
    if name == "unknown condition":
        put("condition", "SFT")
        return text(rows), r'a\.csv:4: unknown condition "SFT"; the six are instruct, instruct-cot'
    if name == "no profile":
        put("profile", "")
        return text(rows), r'a\.csv:4: column "profile" is blank'
    if name == "replicate":
        rows = [
            [*row, cell]
            for row, cell in zip(rows, ["replicate", "1", "first", *"1" * 16], strict=True)
        ]
        return text(rows), r'a\.csv:3: column "replicate": "first" is not a whole number'
    if name == "missing column":
        return text(
            [row[:-3] for row in rows]
        ), r"a\.csv:1: .*there is no tes_7, tes_8, tes_9 \(read as cells between com"
    if name == "no header":
        return text(rows[1:]), r"a\.csv:1: the first row must name the columns .* and 33 more"
    if name == "column twice":
        return text([[*row, row[0]] for row in rows]), r'a\.csv:1: two columns are named "session"'
    if name == "item of no form":
        rows = [[*row, cell] for row, cell in zip(rows, ["act_fm_26", *"1" * 18], strict=True)]
        return text(
            rows
        ), r'a\.csv:1: column "act_fm_26" is of no item: ACT-FM has 25 items, TES has 9'
    if name == "after a cell of two lines":
        rows = [[*row, cell] for row, cell in zip(rows, ["rater", *["Ann\nLee"] * 18], strict=True)]
        put("act_fm_7", "4")
        return text(rows), r'a\.csv:6: column "act_fm_7": "4" is outside'
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
        return text(rows).encode(
            "cp1252"
        ), r'a\.csv:4: byte 0xeb is not UTF-8 text; in Excel, save as "CSV UTF-8"'
    if name == "a workbook":
        return b"PK\x03\x04rest", r'a\.csv: an Excel workbook; save it as "CSV UTF-8"'
    if name == "NUL":
        put("session", "a\0b")
        return text(rows), r"a\.csv:4: a NUL character"


NAMES = """out of range|out of range, TES|negative|text|Excel's error|half a rating
decimal comma between commas|duplicate|one session, two clients|one client, two sessions
condition with one session|unknown condition|no profile|replicate|missing column|no header
column twice|item of no form|after a cell of two lines|open quote|empty|two lines in a cell
only separators|only a header|Windows' letters|a workbook|NUL""".replace("\n", "|").split("|")


@pytest.mark.parametrize("name", NAMES)
def test_one_line_says_what_is_wrong_and_where_and_nothing_is_written(name, tmp_path, refused):
    content, message = broken(name)
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        score_sessions(read(path), "integer", path)
    assert len(refused("analyze.py", "--ratings", path, "--out", tmp_path / "out")) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
