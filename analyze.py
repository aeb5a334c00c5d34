"""Ratings in, answer out: tables, figures and a report page on how the six conditions compare.

    analyze.py --ratings ratings.jsonl --sessions sessions.jsonl --out report
    analyze.py --ratings spreadsheet.csv --out report

Scores both forms, fits a mixed model (condition fixed, client random) to every outcome, and writes
what it found. Ratings of one session by several raters, or several times, are averaged. Failed
ratings are counted and left out: a session without a valid rating is missing, never zero.
Conditions that are not there are left out, and with them the training x chain-of-thought tests,
which need all six.

--ratings is a JSONL file as judge.py and its rating page write it, or a spreadsheet saved as CSV
(UTF-8; commas, semicolons or tabs), one row a rating, whose first row names the columns
    session, condition, profile, act_fm_1 to act_fm_25 (0 to 3), tes_1 to tes_9 (1 to 7); if you
    like rater, replicate
A blank rating makes its row an incomplete form, which counts as missing. A profile is a client: the
same name in every condition. --sessions adds failed sessions and the analysis without them, safety,
kinds of client, excerpts.

Into --out go:
    summary.json   every number, per outcome: tests, variances, ICC, R2, means, contrasts, wins,
                   diagnostics
    report.html    the page to read, print and send: one file, nothing fetched from outside; its
                   figures need matplotlib, without it the rest is done
    *.csv          scores, means, tests, contrasts, thinking (what chain of thought does in each
                   training), wins, residuals, client_effects, failures; where there is something
                   to say also replicates, archetypes, subgroups, safety, safety_hits
    *.svg, *.png   each figure, with --figures

    analyze.py plan --contrast orpo,sft --difference 2 --variance-session 10 --variance-residual 25

says how many profiles a study needs (analyze.py plan --help).

The exit status is 2 when a file or a flag is wrong: one line says where and why, and nothing is
written.
"""

import json
import sys
from pathlib import Path

from act.audit import safety
from act.audit.style import COUNTS, count_conduct
from act.cli import Parser, conditions, not_negative, positive, run_script, share, whole
from act.forms import OUTCOMES
from act.records import CONDITIONS, InputError, read_json, require
from act.report import sentences
from act.report.figures import make_figures, write_figures
from act.report.page import Report, write_page
from act.report.tables import decimals, examples, make_tables
from act.statistics import analysis, power
from act.statistics.summary import summarise

PLAN = """How many profiles a study needs: studies are simulated, each is fitted by the mixed model, and profiles are
added until one contrast is found often enough.

    analyze.py plan --contrast orpo,sft --difference 2 --variance-session 10 --variance-residual 25 --power 0.8

Variances are those of an earlier study's summary.json ("variance" of the outcome that is planned for). Two numbers come
back: for this contrast alone, and for it as one of all pairs, which is the harder test (Sidak's level: the first
step of the report's Holm-Sidak). The same seed gives the same numbers."""


def main() -> None:
    if sys.argv[1:2] == ["plan"]:
        plan(sys.argv[2:])
    else:
        analyze()


def plan(words: list[str]) -> None:
    """`analyze.py plan`: simulate studies and print how many profiles are needed."""
    parser = Parser(prog="analyze.py plan", description=PLAN)
    parser.add_argument(
        "--contrast", required=True, metavar="A,B", help="the two conditions that are compared"
    )
    parser.add_argument(
        "--difference", required=True, type=float, help="their difference, in points of the outcome"
    )
    parser.add_argument(
        "--variance-session", required=True, type=not_negative, help="variance between clients"
    )
    parser.add_argument(
        "--variance-residual", required=True, type=float, help="variance within a client"
    )
    parser.add_argument(
        "--power", type=float, default=0.8, help="how often the difference should be found"
    )
    parser.add_argument(
        "--conditions", type=conditions, default=list(CONDITIONS), help="those of the study"
    )
    parser.add_argument(
        "--missing", type=share, default=0.0, help="share of the sessions without a rating"
    )
    parser.add_argument(
        "--simulations",
        type=positive,
        default=4000,
        help="simulated studies for each number of profiles",
    )
    parser.add_argument("--seed", type=whole, default=0, help="seed of the simulation")
    args = parser.parse_args(words)
    names = args.contrast.split(",")
    if len(names) != 2:
        raise InputError(
            f"--contrast {args.contrast}: two conditions with a comma between them are wanted"
        )
    study = power.Study(
        [name for name in CONDITIONS if name in args.conditions],
        *names,
        args.difference,
        args.variance_session,
        args.variance_residual,
        args.missing,
    )
    power.check(study, args.power)
    pairs = len(study.conditions) * (len(study.conditions) - 1) // 2
    rows = {"this contrast alone": power.ALPHA}
    if pairs > 1:
        rows[f"as one of {pairs} pairs"] = 1 - (1 - power.ALPHA) ** (1 / pairs)
    answers = {
        (label, alpha): power.profiles_needed(study, args.power, alpha, args.simulations, args.seed)
        for label, alpha in rows.items()
    }
    if not any(answers.values()):
        raise InputError(
            f"--difference {args.difference:g}: more than {power.MOST:,} profiles are needed; too small to plan for"
        )
    print(f"{names[0]} minus {names[1]} = {args.difference:g}, found with power {args.power:g}:")
    print(f"{'':<24}{'level':>8}{'profiles':>10}{'sessions':>10}  simulated power [95% interval]")
    for (label, alpha), answer in answers.items():
        if answer:
            sessions, (low, high) = answer.profiles * len(study.conditions), answer.ci
            found = (
                f"{answer.profiles:>10}{sessions:>10}  {answer.power:.3f} [{low:.3f}, {high:.3f}]"
            )
        else:
            found = f"  more than {power.MOST:,}"
        print(f"{label:<24}{alpha:>8.4f}{found}")


def analyze() -> None:
    """Read, analyse, and write summary.json, tables, figures and the page."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--ratings", required=True, metavar="R", help="JSONL, or CSV from a spreadsheet")
    add("--sessions", metavar="S", help="JSONL of the rated sessions: adds what is said above")
    kinds = "the rated digits, or the probability-weighted ratings of a judge that gives them"
    add("--score", choices=("integer", "expected"), default="integer", help=kinds)
    add("--check", metavar="FILE", help="of `judge.py check` on the judge: the report repeats it")
    add("--out", required=True, metavar="DIR", help="folder of everything that is written")
    add("--figures", choices=("png", "svg"), help="each figure as a file too, beside the page's")
    resamples = "bootstrap resamples for the intervals of ICC and R2"
    add("--resamples", type=positive, default=2000, help=resamples)
    add("--seed", type=whole, default=0, help="seed of the bootstrap")
    args = parser.parse_args()

    ratings = analysis.read_ratings(args.ratings, args.score)
    sessions = analysis.read_sessions(args.sessions, ratings) if args.sessions else None
    scores = analysis.score_sessions(ratings, args.score, args.ratings)
    check = read_check(args.check) if args.check else None
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{out}: this is a file, or lies in one; --out names a folder") from None

    asked = ("ratings", "sessions", "score", "resamples", "seed")
    inputs = {name: getattr(args, name) for name in asked}
    summary = summarise(ratings, sessions, scores, check, inputs)
    add_audit(summary, sessions)
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (out / "summary.json").write_text(text + "\n", encoding="utf-8")
    fitted = [name for name in analysis.TOTALS if not summary["outcomes"][name]["refused"]]
    residuals = {name: analysis.residuals(scores, name) for name in fitted}
    tables = make_tables(summary, scores, residuals)
    for name, table in tables.items():
        if table.csv:
            table.to_csv(out / f"{name}.csv")
    figures = make_figures(tables)
    try:
        write_figures(out, figures, args.figures)
        images = {name: figure.render() for name, figure in figures.items()}
    except ImportError:
        missing = "matplotlib is not installed (pip install -r requirements-dev.txt)"
        print(f"figures are left out: {missing}")
        images = {}
    shown = examples(tables["scores"].rows, sessions or [])
    write_page(out / "report.html", Report(summary, tables, figures, images, shown))
    print_answer(summary)
    print(f"report: {out / 'report.html'}")


def add_audit(summary: dict, sessions: list[dict] | None) -> None:
    """What the word lists find in the sessions: "safety", and conduct among the "failures"."""
    summary["safety"] = safety.audit(sessions) if sessions else None
    for condition, row in summary["failures"].items():
        held = [session for session in sessions or [] if session["condition"] == condition]
        row |= count_conduct(held) if sessions else dict.fromkeys(COUNTS)


def read_check(path: str) -> dict:
    """What `judge.py check` wrote. Raises InputError for a file of another shape."""
    check = read_json(Path(path))
    try:
        require(check, {"judge": str, "verdict": dict, "items": list})
        require(check["verdict"], {"line": str})
        for item in check["items"]:
            require(item, {"item": str, "pairs": int, "auc": float | int | None, "ci": list | None})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file that `judge.py check` wrote: {error}") from None
    return check


def print_answer(summary: dict) -> None:
    """Means with 95% intervals on both totals, the omnibus tests, and what is left out."""
    for line in sentences.demonstration(summary):
        print(f"warning: {line}\n")
    print(sentences.judge_check(summary) + "\n")
    outcomes = {name: summary["outcomes"][name] for name in analysis.TOTALS}
    titles = "".join(f"  {OUTCOMES[name].title:<26}" for name in outcomes)
    print(f"{'condition':<14}{'n':>5}{titles}".rstrip())
    for condition, seen in outcomes["act_fm_total"]["observed"].items():
        line = f"{condition:<14}{seen['n']:>5}"
        for result in outcomes.values():
            if result["refused"]:
                cell = f"{result['observed'][condition]['mean']:.2f} (no interval)"
            else:
                emm, d = result["emm"][condition], decimals(result)
                cell = f"{emm['mean']:.{d}f} [{emm['ci'][0]:.{d}f}, {emm['ci'][1]:.{d}f}]"
            line += f"  {cell:<26}"
        print(line.rstrip())
    for name, result in outcomes.items():
        tested = result["refused"] or sentences.say("omnibus", **result["omnibus"])
        print(f"{OUTCOMES[name].title}: {tested}")
    failures = summary["failures"].values()
    failed, of = (sum(row[name] for row in failures) for name in ("failed_ratings", "ratings"))
    if failed:
        print(f"{failed} of {of} ratings failed or are incomplete: left out, not counted as zero")


if __name__ == "__main__":
    run_script(main)
