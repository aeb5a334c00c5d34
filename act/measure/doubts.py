"""The report's sections on what could be wrong: the judge, failures, missing ratings, safety, the model itself."""

from act.measure import alt, cautions, prose
from act.measure.analysis import TOTALS
from act.measure.conduct import COUNTS
from act.measure.forms import OUTCOMES
from act.measure.markup import Html, element, fold, join, listing, paragraph, side_by_side, table
from act.measure.prose import count, decimals, interval, number, p_value
from act.measure.results import show

SHOWN_HITS = 30  # of those a therapist said first; the CSV has them all
SHOWN_OUTLIERS = 10


def judge(report: dict) -> Html:
    summary = report["summary"]
    check = summary["judge_check"]
    parts = [paragraph(cautions.judge_check(check, summary["input"]["raters"]))]
    if check is None:
        parts.append(
            paragraph(
                "A rater that cannot tell a good session from a bad one gives scores all the same. `judge.py check` "
                "rates texts of known quality; give its file with --check."
            )
        )
    elif check.get("items"):
        rows = [
            [item["item"], str(item["pairs"]), number(item["auc"]), interval(item["ci"])]
            for item in sorted(check["items"], key=lambda item: (item["auc"] is not None, item["auc"]))
        ]
        caption = "Chance (AUC) that a text showing the behaviour is rated above one that lacks it; .50 is guessing"
        parts.append(fold("Each item, weakest first", table(caption, ["item", "pairs", "AUC", "95% interval"], rows)))
    return join(*parts)


def failures(report: dict) -> Html:
    def statuses(counts: dict[str, int] | None) -> str:
        return "not known" if counts is None else ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))

    body = [
        [
            condition,
            "not known" if row["sessions"] is None else f"{row['failed_sessions']} of {row['sessions']}",
            f"{row['failed_ratings']} of {row['ratings']}",
            str(row["unrated_sessions"]),
            statuses(row["session_statuses"]),
            statuses(row["turn_statuses"]),
            *("not known" if row[name] is None else str(row[name]) for name in COUNTS),
        ]
        for condition, row in report["summary"]["failures"].items()
    ]
    head = ["condition", "failed sessions", "failed ratings", "unrated sessions", "sessions ended as", "turns ended as"]
    head += ["client's goodbyes", "role flips", "verbatim repeats"]
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
    result = summary["sensitivity"]
    if result is None:
        return paragraph("The analysis without failed sessions needs the session file (--sessions).")
    if result["excluded"] == 0:
        return paragraph("No rated session failed: the analysis without failed sessions is the one above.")
    excluded = count(result["excluded"], "rated session", "is", "are")
    parts = [paragraph(f"{excluded} left out here, having failed. {cautions.changed(summary)}")]
    tables = []
    for name, without in result["outcomes"].items():
        everyone = summary["outcomes"][name]
        if everyone["refused"] or without["refused"]:
            parts.append(paragraph(f"{OUTCOMES[name].title}: {everyone['refused'] or without['refused']}."))
            continue
        rows, digits = [], decimals(everyone)
        for condition, estimate in everyone["emm"].items():
            cells = [condition]
            for emm in (estimate, without["emm"].get(condition)):
                cells.append(f"{number(emm['mean'], digits)} ({interval(emm['ci'], digits)})" if emm else "\u2013")
            rows.append(cells)
        head = ["condition", "all sessions", "without failed"]
        tests = f"All: {prose.chi_square(everyone['omnibus'])}. Without failed: {prose.chi_square(without['omnibus'])}."
        tables.append(
            element("div", table(f"{OUTCOMES[name].title}, mean (95% interval)", head, rows), paragraph(tests))
        )
    return join(*parts, side_by_side(*tables))


def safety(report: dict) -> Html:
    result = report["summary"]["safety"]
    if result is None:
        return paragraph("Not looked at: this needs the session file (--sessions).")
    topics = next(iter(result["counts"].values()), {})
    rows = [
        [condition, str(number_of)]
        + [f"{row['sessions']} ({row['therapist_first']})" for row in result["counts"][condition].values()]
        for condition, number_of in result["sessions"].items()
    ]
    helped = [
        [condition, *(f"{row['pointed_to_help']} of {row['client_spoke']}" for row in counts.values())]
        for condition, counts in result["counts"].items()
    ]
    caption = "Sessions that speak of it (in brackets: where the therapist did so first)"
    first = [hit for hit in result["hits"] if hit["first"] and hit["speaker"] == "therapist"]
    help_caption = "Sessions whose client spoke of it: in how many did the therapist name human help then?"
    parts = [
        table(caption, ["condition", "sessions", *topics], rows),
        table(help_caption, ["condition", *topics], helped),
        paragraph(result["limits"], class_="small"),
    ]
    if first:
        listed = [[hit["session"], str(hit["turn"]), hit["topic"], hit["excerpt"]] for hit in first[:SHOWN_HITS]]
        title = f"Said first by the therapist: {len(listed)} of {len(first)}; all {len(result['hits'])} hits in the CSV"
        parts.append(fold(title, table(title, ["session", "turn", "topic", "words"], listed, text=(3,))))
    return join(*parts)


def replicates(report: dict) -> Html:
    """How far ratings of one session scatter."""
    found = report["summary"].get("replicates")
    if not found:
        return Html("")
    rows = [
        [OUTCOMES[name].title, number(found["sd_within"][name]), number(found["reliability"][name])]
        for name in OUTCOMES
        if found["sd_within"].get(name) is not None
    ]
    head = ["outcome", "SD of one rating", "reliability of the mean"]
    return table("Ratings of the same session, about its mean", head, rows)


def outcomes_agreement(report: dict) -> Html:
    """How far the outcomes rank sessions alike."""
    found = report["summary"].get("outcomes_agreement")
    if not found:
        return Html("")
    titles = [OUTCOMES[name].title.removeprefix("ACT-FM ") for name in found["names"]]

    def matrix(kind: str, caption: str) -> Html:
        rows = [[f"{n} {titles[n - 1]}", *map(number, row)] for n, row in enumerate(found[kind], 1)]
        return table(caption, ["outcome", *map(str, range(1, len(titles) + 1))], rows)

    both = [found["names"].index(name) for name in TOTALS]
    between, within = (found[kind][both[0]][both[1]] for kind in ("between", "within"))
    said = (
        f"ACT-FM consistency and TES empathy rank sessions alike with Spearman's rho {number(between)}, and "
        f"{number(within)} once each client's and each condition's mean is taken out. Two forms filled by one rater "
        "share that rater's habits, so agreement between them is no second witness."
    )
    return join(
        paragraph(said),
        fold(
            "All outcomes against each other",
            matrix("between", "Spearman's correlation over sessions"),
            matrix("within", "The same, client and condition means taken out"),
        ),
    )


def model(report: dict) -> Html:
    """Variances, explained variance, and whether the model's assumptions hold."""
    outcomes = report["summary"]["outcomes"]
    names = [name for name in TOTALS if not outcomes[name]["refused"]]
    rows = [
        [label, *(cell(outcomes[name]) for name in names)]
        for label, cell in MODEL_ROWS.items()
        if any(cell(outcomes[name]) for name in names)
    ]
    drawn = []
    for name in names:
        found = outcomes[name].get("diagnostics")
        caption = (
            f"{OUTCOMES[name].title}. On the line, and in a level band of even width, the model's assumptions hold."
        )
        drawn.append(show(f"{name}_diagnostics", report, alt.diagnostics(name, found), caption))
    outliers = [
        [one["session"], OUTCOMES[name].title, number(one["residual"]), number(one["standardised"], 1)]
        for name in names
        for one in (outcomes[name].get("diagnostics") or {}).get("outliers", [])[:SHOWN_OUTLIERS]
    ]
    caption = "Sessions furthest from what the model expects (beyond 3 SD)"
    return join(
        table("The model of both totals", ["", *(OUTCOMES[name].title for name in names)], rows) if rows else "",
        side_by_side(*drawn),
        fold(caption, table(caption, ["session", "outcome", "residual", "in SDs"], outliers)) if outliers else "",
    )


def with_interval(estimate: float | None, ci: list[float] | None) -> str:
    return number(estimate) + (f" ({interval(ci)})" if ci else "")


def f_test(result: dict) -> str:
    test = result.get("omnibus_f")
    return f"F({test['df']}, {test['df2']:.1f}) = {test['f']:.2f}, p {prose.p_after(test['p'])}" if test else ""


def likelihood(result: dict) -> str:
    ml = result.get("ml")
    return prose.chi_square(ml["condition"]) if ml else ""


def criteria(result: dict) -> str:
    ml = result.get("ml")
    return f"{number(ml['aic'], 1)}, {number(ml['bic'], 1)}" if ml else ""


def diagnostic(*fields: str):
    def cell(result: dict) -> str:
        found = result.get("diagnostics")
        if not found or any(found.get(field) is None for field in fields):
            return ""
        return ", ".join(p_value(found[f]) if f.endswith("_p") else number(found[f]) for f in fields)

    return cell


MODEL_ROWS = {
    "variance between clients": lambda result: number(result["variance"]["session"]),
    "residual variance": lambda result: number(result["variance"]["residual"]),
    "ICC (cluster bootstrap)": lambda result: with_interval(result["icc"]["estimate"], result["icc"]["ci"]),
    "ICC (parametric bootstrap)": lambda result: (
        interval(result["icc"]["ci_parametric"]) if result["icc"].get("ci_parametric") else ""
    ),
    "R2 marginal": lambda result: with_interval(result["r2"]["marginal"], result["r2"].get("marginal_ci")),
    "R2 conditional": lambda result: with_interval(result["r2"]["conditional"], result["r2"].get("conditional_ci")),
    "condition, F test for few clients": f_test,
    "condition, likelihood ratio (ML)": likelihood,
    "AIC, BIC (ML)": criteria,
    "skew, excess kurtosis of residuals": diagnostic("skew", "excess_kurtosis"),
    "p, residuals normal": diagnostic("normality_p"),
    "p, equal spread over conditions": diagnostic("spread_p"),
    "skew of client effects": diagnostic("random_skew"),
}


def methods(report: dict) -> Html:
    summary = report["summary"]
    return join(
        paragraph(
            "A paragraph to paste; every number of this page stands in summary.json and in the CSV files beside it."
        ),
        element("blockquote", paragraph(cautions.methods(summary)), class_="quote"),
        element("h3", "Instruments"),
        listing(cautions.sources()),
    )
