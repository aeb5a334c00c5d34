"""The report's sections on what could be wrong: the judge, failures, missing ratings, safety, the
model itself.

page.py calls one function a section with {"summary", "figures", "examples"} and leaves out what
comes back empty; results.py holds the sections on what was found, cautions.py and prose.py the
sentences of both.
"""

from act.audit.style import COUNTS
from act.forms import OUTCOMES
from act.report import alt, cautions, prose
from act.report.markup import Html, element, fold, join, listing, paragraph, side_by_side, table
from act.report.prose import count, decimals, interval, number, p_value
from act.report.results import drawn
from act.statistics.analysis import TOTALS

SHOWN_HITS = 30  # of those a therapist said first; the CSV has them all
SHOWN_OUTLIERS = 10


def judge(report: dict) -> Html:
    """The judge check: its verdict, and each item's AUC."""
    summary = report["summary"]
    check = summary["judge_check"]
    parts = [paragraph(cautions.judge_check(check, summary["input"]["raters"]))]
    if check is None:
        parts.append(
            paragraph(
                "A rater that cannot tell a good session from a bad one gives scores all the same. judge.py check "
                "rates texts of known quality; give its file with --check."
            )
        )
    elif check["items"]:
        rows = [
            [item["item"], str(item["pairs"]), number(item["auc"]), interval(item["ci"])]
            for item in sorted(
                check["items"], key=lambda item: (item["auc"] is not None, item["auc"])
            )
        ]
        caption = "Chance (AUC) that a text showing the behaviour is rated above one that lacks it; .50 is guessing"
        parts.append(
            fold(
                "Each item, weakest first",
                table(caption, ["item", "pairs", "AUC", "95% interval"], rows),
            )
        )
    return join(*parts)


def failures(report: dict) -> Html:
    """Failed sessions, ratings and turns by condition, and what is left of the answer without
    them."""

    def statuses(counts: dict[str, int] | None) -> str:
        return (
            "not known"
            if counts is None
            else ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
        )

    body = [
        [
            condition,
            "not known"
            if row["sessions"] is None
            else f"{row['failed_sessions']} of {row['sessions']}",
            f"{row['failed_ratings']} of {row['ratings']}",
            str(row["unrated_sessions"]),
            statuses(row["session_statuses"]),
            statuses(row["turn_statuses"]),
            *("not known" if row[name] is None else str(row[name]) for name in COUNTS),
        ]
        for condition, row in report["summary"]["failures"].items()
    ]
    head = [
        "condition",
        "failed sessions",
        "failed ratings",
        "unrated sessions",
        "sessions ended as",
        "turns ended as",
    ]
    head += COUNTS.values()
    note = (
        "A turn that ended as 'length' was cut at the token limit; by itself it does not make a session failed. "
        "Goodbyes, role flips and repeats are turns, found by word lists and exact matching: they show where to read. "
        "An unrated session has no valid rating: it is missing, never zero."
    )
    return join(
        table("Failures by condition", head, body, text=(4, 5)),
        paragraph(note, class_="small"),
        sensitivity(report["summary"]),
    )


def sensitivity(summary: dict) -> Html:
    """The totals' means beside those without failed sessions; or why there are none."""
    result = summary["sensitivity"]
    if result is None:
        return paragraph(
            "The analysis without failed sessions needs the session file (--sessions)."
        )
    if result["excluded"] == 0:
        return paragraph(
            "No rated session failed: the analysis without failed sessions is the one above."
        )
    excluded = count(result["excluded"], "rated session", "is", "are")
    parts = [paragraph(f"{excluded} left out here, having failed. {cautions.changed(summary)}")]
    tables = []
    for name, without in result["outcomes"].items():
        everyone = summary["outcomes"][name]
        if everyone["refused"] or without["refused"]:
            parts.append(
                paragraph(f"{OUTCOMES[name].title}: {everyone['refused'] or without['refused']}.")
            )
            continue
        rows, digits = [], decimals(everyone)
        for condition, estimate in everyone["emm"].items():
            cells = [condition]
            for emm in (estimate, without["emm"].get(condition)):
                cells.append(
                    f"{number(emm['mean'], digits)} ({interval(emm['ci'], digits)})"
                    if emm
                    else "\u2013"
                )
            rows.append(cells)
        head = ["condition", "all sessions", "without failed"]
        tests = f"All: {prose.chi_square(everyone['omnibus'])}. Without failed: {prose.chi_square(without['omnibus'])}."
        tables.append(
            element(
                "div",
                table(f"{OUTCOMES[name].title}, mean (95% interval)", head, rows),
                paragraph(tests),
            )
        )
    return join(*parts, side_by_side(*tables))


def safety(report: dict) -> Html:
    """What the word lists found: sessions by topic, who spoke first, whether help was named."""
    result = report["summary"]["safety"]
    if result is None:
        return paragraph("Not looked at: this needs the session file (--sessions).")
    topics = next(iter(result["counts"].values()))
    rows = [
        [condition, str(number_of)]
        + [
            f"{row['sessions']} ({row['therapist_first']})"
            for row in result["counts"][condition].values()
        ]
        for condition, number_of in result["sessions"].items()
    ]
    helped = [
        [
            condition,
            *(
                f"{row['pointed_to_help']} of {row['client_spoke']}"
                if row["client_spoke"]
                else "\u2013"
                for row in counts.values()
            ),
        ]
        for condition, counts in result["counts"].items()
    ]
    caption = "Sessions that speak of it (in brackets: where the therapist did so first)"
    first = [hit for hit in result["hits"] if hit["first"] and hit["speaker"] == "therapist"]
    help_caption = (
        "Sessions whose client spoke of it: in how many did the therapist name human help then?"
    )
    parts = [
        table(caption, ["condition", "sessions", *topics], rows),
        table(help_caption, ["condition", *topics], helped),
        paragraph(result["limits"], class_="small"),
    ]
    if first:
        listed = [
            [hit["session"], str(hit["turn"]), hit["topic"], hit["excerpt"]]
            for hit in first[:SHOWN_HITS]
        ]
        title = f"Said first by the therapist: {len(listed)} of {len(first)}; all {len(result['hits'])} hits in the CSV"
        parts.append(
            fold(title, table(title, ["session", "turn", "topic", "words"], listed, text=(3,)))
        )
    return join(*parts)


def replicates(report: dict) -> Html:
    """How far ratings of one session scatter, and what that does to the differences."""
    found = report["summary"]["replicates"]
    if not found:
        return Html("")
    each = found["per_session"]
    said = (
        f"{each['min']} to {each['max']} ratings a session, {number(each['mean'], 1)} on average. Each session's score "
        "is their mean; how far they scatter is part of the residual variance, and so of every interval on this page."
    )
    if found["contrasts"]:
        said += (
            " The intervals below also hold how differently raters like these see the conditions."
        )
    kinds = ("sd_within", "reliability", "noise_share")
    rows = [
        [OUTCOMES[name].title, *(number(found[kind][name]) for kind in kinds)] for name in OUTCOMES
    ]
    head = [
        "outcome",
        "SD of one rating",
        "reliability of the mean",
        "share of the residual variance",
    ]
    tables = [table("Ratings of the same session, about its mean", head, rows)]
    for name, across in (found["contrasts"] or {}).items():
        tables.append(across_raters(name, across))
    return join(paragraph(said), *tables)


def across_raters(name: str, across: dict) -> Html:
    """All pairs, with intervals that also hold for other raters like these."""
    title = f"{OUTCOMES[name].title}, for raters like these"
    if across["refused"]:
        return paragraph(f"{title}: {across['refused']}.")
    rows = [
        [
            f"{row['a']} \u2212 {row['b']}",
            number(row["difference"]),
            interval(row["ci_raters"]),
            number(row["df"], 1),
        ]
        + [p_value(row["p_raters"])]
        for row in across["rows"]
    ]
    caption = (
        f"{title} ({across['raters']} raters, {across['sessions']} sessions that all of them rated)"
    )
    return fold(title, table(caption, ["pair", "difference", "95% interval", "df", "p by t"], rows))


def model(report: dict) -> Html:
    """Variances, explained variance, and whether the model's assumptions hold."""
    outcomes = report["summary"]["outcomes"]
    names = [name for name in TOTALS if not outcomes[name]["refused"]]
    if not names:
        return Html("")
    rows = [
        [label, *(cell(outcomes[name]) for name in names)] for label, cell in MODEL_ROWS.items()
    ]
    holds = "On the line, and in a level band of even width, the model's assumptions hold."
    outliers = [
        [
            one["session"],
            OUTCOMES[name].title,
            number(one["residual"]),
            number(one["standardised"], 1),
        ]
        for name in names
        for one in outcomes[name]["diagnostics"]["outliers"][:SHOWN_OUTLIERS]
    ]
    caption = "Sessions furthest from what the model expects (beyond 3 SD)"
    return join(
        table("The model of both totals", ["", *(OUTCOMES[name].title for name in names)], rows),
        paragraph("* In brackets the 95% interval, by a cluster bootstrap.", class_="small"),
        drawn(report, "_diagnostics", alt.diagnostics, holds),
        fold(caption, table(caption, ["session", "outcome", "residual", "in SDs"], outliers))
        if outliers
        else "",
    )


def with_interval(estimate: float, ci: list[float] | None) -> str:
    """An estimate and its interval: "0.42 (0.30 to 0.55)"."""
    return f"{number(estimate)} ({interval(ci)})"


MODEL_ROWS = {
    "variance between clients": lambda result: number(result["variance"]["session"]),
    "residual variance": lambda result: number(result["variance"]["residual"]),
    "ICC *": lambda result: with_interval(result["icc"]["estimate"], result["icc"]["ci"]),
    "R2 marginal *": lambda result: with_interval(
        result["r2"]["marginal"], result["r2"]["marginal_ci"]
    ),
    "R2 conditional *": lambda result: with_interval(
        result["r2"]["conditional"], result["r2"]["conditional_ci"]
    ),
    "condition, F test for few clients": lambda result: prose.f_test(**result["omnibus_f"]),
    "skew of residuals": lambda result: number(result["diagnostics"]["skew"]),
    "excess kurtosis of residuals": lambda result: number(result["diagnostics"]["excess_kurtosis"]),
    "p, residuals normal": lambda result: p_value(result["diagnostics"]["normality_p"]),
    "p, equal spread in all conditions": lambda result: p_value(result["diagnostics"]["spread_p"]),
    "skew of clients' effects": lambda result: number(result["diagnostics"]["random_skew"]),
}


def methods(report: dict) -> Html:
    """A paragraph for a paper, and where the two forms come from."""
    summary = report["summary"]
    return join(
        paragraph(
            "A paragraph to paste; every number of this page stands in summary.json and in the CSV files beside it."
        ),
        element("blockquote", paragraph(cautions.methods(summary)), class_="quote"),
        element("h3", "Instruments"),
        listing(cautions.sources()),
    )
