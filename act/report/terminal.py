"""The answer in short, as a terminal shows it: preferences, style, then ratings and their judge.

All tests are by F and t, and intervals by t; chi-square, which the study published, stands behind
F. Differences' intervals and p are adjusted for one another.
"""

from collections.abc import Iterator, Sequence

from act.report import sentences
from act.report.decisions import DECIDES, HOLDS
from act.report.sentences import say
from act.report.table import OUTCOMES, Table, p_value, scale
from act.statistics.ratings import TOTALS


def answer(summary: dict, tables: dict[str, Table]) -> Iterator[str]:
    """Means with 95% intervals, tests, what each training does; and what is left out."""
    for line in sentences.demonstration(summary):
        yield f"warning: {line}\n"
    if "preference" in summary["outcomes"]:
        yield from means(summary, tables, ["preference"])
        yield from effects(summary, tables)
        yield from sentences.hangs_on(summary, "preference")
        yield " ".join(sentences.no_judge(summary)) + "\n"
    for table in tables["tests"].each("style"):
        yield "How the therapists speak (tests not adjusted for one another):"
        for row in table.rows:
            why = (row["refused"] or "").partition(":")[0]
            line = say("measure not compared" if why else "measure", **row, why=why)
            yield line.replace("−", "-")
        yield ""
    if TOTALS[0] in summary["outcomes"]:
        yield from sentences.who_rated(summary)
        yield " ".join(sentences.judge_check(summary)) + "\n"
        yield from means(summary, tables, TOTALS)
    failures = summary["failures"].values()
    failed = sum(row["failed_ratings"] or 0 for row in failures)
    if failed:
        of = sum(row["ratings"] for row in failures)
        yield f"{failed} of {of} ratings failed or are incomplete: left out, not counted as zero"


def means(summary: dict, tables: dict[str, Table], names: Sequence[str]) -> Iterator[str]:
    """A line a condition with the mean of each outcome and its 95% interval, then the tests."""
    titles = "".join(f"  {scale(name):<34}" for name in names)
    yield f"{'condition':<14}{'n':>5}{titles}".rstrip()
    lines = {}  # condition -> its line, a cell more with each outcome
    for row in tables["means"].rows:
        if row["outcome"] in names:
            condition = row["condition"]
            line = lines.get(condition, f"{condition:<14}{row['n']:>5}")
            cell = interval(row["_shown"], row["ci_satterthwaite"], row["_fine"])
            lines[condition] = f"{line}  {cell:<34}"
    for line in lines.values():
        yield line.rstrip()
    for name in names:
        result = summary["outcomes"][name]
        tested = result["refused"] or say("both tests", **result["omnibus"])
        yield f"{OUTCOMES[name].title}: {tested}"


def interval(value: float, ci: list[float] | None, d: int) -> str:
    """0.123 [0.100, 0.146]."""
    ends = f"[{ci[0]:z.{d}f}, {ci[1]:z.{d}f}]" if ci else "(no interval)"
    return f"{value:z.{d}f} {ends}"


def effects(summary: dict, tables: dict[str, Table]) -> Iterator[str]:
    """What each step of training does to preferences, and thinking first in each training: the
    interval and the p that are adjusted for all pairs, or for all three trainings."""
    rows = []  # what it is, the difference, its interval and p
    for row in tables["steps"].rows:
        rows.append((f"{row['a']} - {row['b']}", row, row["ci_adjusted"], row["p_adjusted"]))
    for table in tables["thinking"].each("preference"):
        for row in table.rows:
            rows.append((f"thinking first in {row['training']}", row, row[HOLDS], row[DECIDES]))
    for name, row, ci, p in rows:
        said = interval(row["difference"], ci, row["_fine"])
        yield f"  {name:<28}{said}, p {p_value(p)}, adjusted"
    factorial = summary["outcomes"]["preference"]["factorial"]
    if factorial:
        tested = say("both tests", **factorial["interaction"])
        yield f"  {'training x thinking first':<28}{tested}"
