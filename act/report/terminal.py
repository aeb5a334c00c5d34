"""The answer in short, as a terminal shows it: preferences, style, then ratings and their judge.

All tests are by F and t, and intervals by t; chi-square, which the study published, stands behind
F. Differences' intervals and p are adjusted for one another.
"""

from collections.abc import Iterator

from act.report import sentences
from act.report.decisions import DECIDES, HOLDS, decimals
from act.report.sentences import say
from act.report.table import OUTCOMES, Table, p_value, scale
from act.statistics.ratings import TOTALS


def answer(summary: dict, tables: dict[str, Table]) -> Iterator[str]:
    """Means with 95% intervals, tests, what each training does; and what is left out."""
    for line in sentences.demonstration(summary):
        yield f"warning: {line}\n"
    outcomes = summary["outcomes"]
    if "preference" in outcomes:
        yield from means({"preference": outcomes["preference"]})
        yield from effects(outcomes["preference"], tables["steps"].rows)
        yield from sentences.hangs_on(summary, "preference")
        yield " ".join(sentences.no_judge(summary)) + "\n"
    for table in tables["tests"].each("style"):
        yield "How the therapists speak (tests not adjusted for one another):"
        for row in table.rows:
            yield style(row)
        yield ""
    if TOTALS[0] in outcomes:
        yield from sentences.who_rated(summary)
        yield " ".join(sentences.judge_check(summary)) + "\n"
        yield from means({name: outcomes[name] for name in TOTALS})
    failures = summary["failures"].values()
    failed = sum(row["failed_ratings"] or 0 for row in failures)
    if failed:
        of = sum(row["ratings"] for row in failures)
        yield f"{failed} of {of} ratings failed or are incomplete: left out, not counted as zero"


def means(outcomes: dict[str, dict]) -> Iterator[str]:
    """A line a condition with the mean of each outcome and its 95% interval, then the tests."""
    titles = "".join(f"  {scale(name):<34}" for name in outcomes)
    yield f"{'condition':<14}{'n':>5}{titles}".rstrip()
    first = next(iter(outcomes.values()))  # all have the same conditions
    for condition, seen in first["observed"].items():
        line = f"{condition:<14}{seen['n']:>5}"
        for result in outcomes.values():
            observed = {"mean": result["observed"][condition]["mean"], "ci_satterthwaite": None}
            mean = (result["emm"] or {}).get(condition, observed)
            cell = interval(mean["mean"], mean["ci_satterthwaite"], decimals(result))
            line += f"  {cell:<34}"  # under its title
        yield line.rstrip()
    for name, result in outcomes.items():
        tested = result["refused"] or say("both tests", **result["omnibus"])
        yield f"{OUTCOMES[name].title}: {tested}"


def interval(value: float, ci: list[float] | None, d: int) -> str:
    """0.123 [0.100, 0.146]."""
    if ci is None:
        return f"{value:z.{d}f} (no interval)"
    return f"{value:z.{d}f} [{ci[0]:z.{d}f}, {ci[1]:z.{d}f}]"


def effects(result: dict, steps: list[dict]) -> Iterator[str]:
    """What each step of training does to preferences, and thinking first in each training: the
    interval and the p that are adjusted for all pairs, or for all three trainings."""
    factorial = result["factorial"] or {"cot_in": []}
    named = [(f"{row['a']} - {row['b']}", row, "ci_adjusted", "p_adjusted") for row in steps]
    for row in factorial["cot_in"]:
        named.append((f"thinking first in {row['training']}", row, HOLDS, DECIDES))
    for name, row, ci, p in named:
        said = interval(row["difference"], row[ci], decimals(result))
        yield f"  {name:<28}{said}, p {p_value(row[p])}, adjusted"
    if result["factorial"]:
        tested = say("both tests", **factorial["interaction"])
        yield f"  {'training x thinking first':<28}{tested}"


def style(row: dict) -> str:
    """A measure's test, and the conditions with the highest and the lowest mean."""
    title = OUTCOMES[row["outcome"]].title
    if row["refused"]:
        return f"{title}: not compared: {row['refused'].partition(':')[0]}"
    tested, d = say("F test", **row["omnibus"]), row["_fine"]
    ends = [f"{end['of']} {end['mean']:z.{d}f}" for end in (row["_highest"], row["_lowest"])]
    return f"{title}: {tested}; highest {ends[0]}, lowest {ends[1]}"
