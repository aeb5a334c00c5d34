"""Measurements in, answer out: tables, figures and a report page on how the six conditions compare.

    analyze.py --ratings ratings.jsonl --preferences preferences.jsonl --sessions sessions.jsonl \\
        --out report
    analyze.py --ratings spreadsheet.csv --out report

One or more of three files, each measured in its own way; a mixed model (condition fixed, client or
pair random) is fitted to every outcome:

--preferences, JSONL as `judge.py prefer` writes it: which of two replies to the same client a
condition finds likelier. No judge has a say in it, so it leads the report.

--ratings, JSONL as judge.py and its rating page write it, or a spreadsheet saved as CSV (UTF-8;
commas, semicolons or tabs), one row a rating, whose first row names the columns
    session, condition, profile, act_fm_1 to act_fm_25 (0 to 3), tes_1 to tes_9 (1 to 7); if you
    like rater, replicate, order (a rating's number among its rater's)
Both forms are scored, ratings of one session averaged. Failed ratings are counted and left out: a
session without a valid one is missing, never zero. A blank rating makes its row an incomplete form,
which counts as missing. A profile is a client: the same name in every condition.

--sessions, JSONL: how the therapists speak, counted; what each condition answered to one client;
failures, safety. With ratings, which all must be of these sessions, also the analysis without
failed sessions and at equal length of the replies, and kinds of client.

Where a condition is not there, training x chain of thought is not tested; with one alone nothing
is compared, and the page holds the rest. Into --out go:
    summary.json   every number
    report.html    the page to read, print and send: one file, nothing fetched from outside; its
                   figures need matplotlib, without it the rest is done
    *.csv          the page's tables and more: preference, style, scores, means, tests, ...
    *.svg, *.png   each figure, with --figures

analyze.py plan says how many profiles a study needs (analyze.py plan --help).

The exit status is 2 when a file or a flag is wrong: one line says where and why, and nothing is
written.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

from act.audit import safety
from act.audit.style import COUNTS, STYLES, count_conduct, style
from act.cli import Parser, beside, conditions, not_negative, positive, run_script, share, whole
from act.files import only_writer, write_text
from act.records import CONDITIONS, InputError, read_check
from act.report import terminal
from act.report.figures import Figure, make_figures, render_all, write_figures
from act.report.page import Report, write_page
from act.report.table import Table
from act.report.tables import make_tables
from act.statistics import analysis
from act.statistics.contrasts import ALPHA, MOST, Study, profiles_needed
from act.statistics.preferences import explore, read_preferences, score_preferences
from act.statistics.ratings import Scores, read_ratings, read_sessions, score_sessions

PLAN = """How many profiles a study needs, to find a difference of two conditions often enough.

    analyze.py plan --contrast orpo,sft --difference 2 --variance-session 10 --variance-residual 25

Variances are those of an earlier study's summary.json ("variance" of the outcome). Power is that of
the report's t test, by the noncentral t distribution. Two numbers come back: for this contrast
alone, and as one of all pairs, the harder test (Sidak's level: Holm-Sidak's first step)."""


def plan(words: list[str]) -> None:
    """`analyze.py plan`: print how many profiles are needed."""
    parser = Parser(prog="analyze.py plan", description=PLAN)
    add = parser.add_argument
    add("--contrast", required=True, metavar="A,B", help="the two conditions that are compared")
    add("--difference", required=True, type=float, help="theirs, in points of the outcome")
    add("--variance-session", required=True, type=not_negative, help="variance between clients")
    add("--variance-residual", required=True, type=float, help="variance within a client")
    add("--power", type=float, default=0.8, help="how often the difference should be found")
    add("--conditions", type=conditions, default=list(CONDITIONS), help="those of the study")
    add("--missing", type=share, default=0.0, help="share of the sessions without a rating")
    args = parser.parse_args(words)
    check_plan(args)
    k = len(set(args.conditions))  # sessions a profile
    study = Study(k, args.difference, args.variance_session, args.variance_residual, args.missing)
    pairs, levels = k * (k - 1) // 2, {"this contrast alone": ALPHA}
    if pairs > 1:
        levels[f"as one of {pairs} pairs"] = 1 - (1 - ALPHA) ** (1 / pairs)
    answers = {label: profiles_needed(study, args.power, alpha) for label, alpha in levels.items()}
    most = f"more than {MOST:,}"
    if not any(answers.values()):
        raise InputError(f"--difference {args.difference:g}: {most} profiles are needed")
    said = " minus ".join(args.contrast.split(","))
    print(f"{said} = {args.difference:g}, found with power {args.power:g}:")
    print(f"{'':<24}{'level':>8}{'profiles':>10}{'sessions':>10}{'power':>8}")
    for label, answer in answers.items():
        found = f"  {most}"
        if answer:
            profiles, reached = answer
            found = f"{profiles:>10}{profiles * k:>10}{reached:>8.3f}"
        print(f"{label:<24}{levels[label]:>8.4f}{found}")


def check_plan(args: argparse.Namespace) -> None:
    """Raises InputError for a study that nothing can be planned for."""
    names = args.contrast.split(",")
    others = [name for name in names if name not in args.conditions]
    if len(names) != 2:
        raise InputError(f"--contrast {args.contrast}: two conditions with a comma between them")
    if others:
        known = ", ".join(args.conditions)
        raise InputError(f'--contrast: "{others[0]}" is none of the conditions {known}')
    if names[0] == names[1]:
        raise InputError(f'--contrast: "{names[0]}" against itself differs by nothing')
    if not math.isfinite(args.difference) or args.difference == 0:
        raise InputError(f"--difference {args.difference:g}: a number of points other than 0")
    if not 0 < args.variance_residual < math.inf:
        raise InputError(f"--variance-residual {args.variance_residual:g}: a variance above 0")
    if not ALPHA < args.power < 1:
        raise InputError(f"--power {args.power:g}: between {ALPHA:g}, the test's level, and 1")
    if args.missing > 0.9:
        raise InputError(f"--missing {args.missing:g}: at most 0.9 of the sessions")


def main() -> None:
    """Read, analyse, and write summary.json, tables, figures and the page; or plan."""
    if sys.argv[1:2] == ["plan"]:
        return plan(sys.argv[2:])
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--ratings", metavar="R", help="JSONL, or CSV from a spreadsheet")
    add("--preferences", metavar="P", help="JSONL of `judge.py prefer`")
    add("--sessions", metavar="S", help="JSONL of the sessions, rated or not")
    kinds = ("integer", "expected")
    add("--score", choices=kinds, default="integer", help="digits, or probability-weighted")
    add("--check", metavar="FILE", help="of `judge.py check` on the judge: the report repeats it")
    add("--out", required=True, metavar="DIR", help="folder of everything that is written")
    add("--figures", choices=("png", "svg"), help="each figure as a file too, beside the page's")
    add("--resamples", type=positive, default=2000, help="of the ICC's bootstrap")
    add("--seed", type=whole, default=0, help="seed of the bootstrap")
    args = parser.parse_args()

    if not (args.ratings or args.preferences or args.sessions):
        raise InputError("nothing to analyse: give --preferences, --ratings or --sessions")
    if args.check and not args.ratings:
        raise InputError("--check says whether the judge of --ratings can be trusted: give both")
    ratings = given(args.ratings, read_ratings, args.score)
    preferences = given(args.preferences, read_preferences)
    sessions = given(args.sessions, read_sessions, ratings or [])
    held = {}  # outcome -> the scores that have it, in the order of the report
    if preferences:
        held["preference"] = score_preferences(preferences)
    if ratings:
        scores = score_sessions(ratings, args.score, args.ratings)
        held |= dict.fromkeys(scores.values, scores)
    # searched by another process while the models are fitted here
    audit = beside(safety.audit, sessions) if sessions else lambda: None
    held |= score_style(sessions or [])
    check = given(args.check, read_check)
    out = Path(args.out)
    asked = ("ratings", "preferences", "sessions", "score", "resamples", "seed")
    inputs = {name: getattr(args, name) for name in asked}
    with only_writer(out):
        summary = analysis.summarise(ratings, sessions, held, inputs) | {"judge_check": check}
        summary["preferences"] = explore(preferences, held["preference"]) if preferences else None
        add_conduct(summary, sessions)
        summary["safety"] = audit()
        tables = make_tables(summary, held, sessions)
        refuse_inputs(args, tables)
        write_all(out, summary, tables, args.figures)
    print(*terminal.answer(summary, tables), sep="\n")
    print(f"report: {out / 'report.html'}")


def given(path: str | None, read: Callable, *more: object) -> object:
    """What is read of a file; None where none was given."""
    return read(path, *more) if path else None


def write_all(out: Path, summary: dict, tables: dict[str, Table], kind: str | None) -> None:
    """Numbers, tables, figures (`kind`: as files, too) and the page."""
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(text + "\n", out / "summary.json")
    for name, table in tables.items():
        if table.csv:
            table.to_csv(out / f"{name}.csv")
    figures = make_figures(tables)
    images = draw(figures, "svg")
    files = draw(figures, "png") if kind == "png" else images
    write_figures(out, figures, files, kind)
    write_page(out / "report.html", Report(summary, tables, figures, images))


def refuse_inputs(args: argparse.Namespace, tables: dict[str, Table]) -> None:
    """Raises InputError where a table would take the place of a file that was read."""
    written = [(Path(args.out) / f"{name}.csv").resolve() for name in tables]
    for name in ("ratings", "preferences", "sessions"):
        path = getattr(args, name)
        if path and Path(path).resolve() in written:
            raise InputError(f"--{name} {path}: a table would overwrite it; choose another --out")


def score_style(sessions: list[dict]) -> dict[str, Scores]:
    """What is counted of how the therapists speak, of every session with a reply."""
    counted = {(one["profile"]["id"], one["condition"]): style(one) for one in sessions}
    found = {key: counts for key, counts in counted.items() if counts}
    return dict.fromkeys(STYLES, Scores.of(found)) if found else {}


def add_conduct(summary: dict, sessions: list[dict] | None) -> None:
    """How the speakers kept to their parts, among the "failures"."""
    for condition, row in summary["failures"].items():
        held = [session for session in sessions or [] if session["condition"] == condition]
        row |= count_conduct(held) if sessions else dict.fromkeys(COUNTS)


def draw(figures: dict[str, Figure], kind: str) -> dict[str, bytes]:
    """Name -> its file's content, every second figure drawn by another process; none without
    matplotlib, which says so."""
    try:
        import matplotlib.figure  # noqa: F401 (here, so that the other process has it, too)
    except ImportError:
        print("figures are left out: matplotlib is not installed (see requirements-dev.txt)")
        return {}
    halves = [{name: figures[name] for name in list(figures)[start::2]} for start in (0, 1)]
    others = beside(render_all, halves[1], kind)
    drawn = render_all(halves[0], kind) | others()
    return {name: drawn[name] for name in figures}


if __name__ == "__main__":
    run_script(main)
