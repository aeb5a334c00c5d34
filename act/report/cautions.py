"""What a reader would otherwise believe too much, and how the numbers were made. Numbers in, plain
text out.

page.py puts `cautions` under the answer, at the top of the page; doubts.py and analyze.py say some
of them again, and `methods` is the paragraph of the page's last section. All take summary.json's
content.
"""

from act.forms import FORMS, OUTCOMES
from act.records import CONDITIONS
from act.report.prose import count, decimals, enumerated, few, number, ties_with_best, told_apart
from act.statistics.analysis import TOTALS

STANDING = (
    "All clients here are simulated and all scores come from a rater reading text: nothing on this page says that a "
    "person would be helped or kept safe. This is research software and not a treatment."
)
SMALL = 0.02  # of the scale: about one step on a single item


def cautions(summary: dict) -> list[str]:
    """What a reader would otherwise believe too much, one line each."""
    outcomes = summary["outcomes"]
    lines = [STANDING, judge_check(summary["judge_check"], summary["input"]["raters"])]
    fitted = [name for name in TOTALS if not outcomes[name]["refused"]]
    ties = [
        f"on {OUTCOMES[name].title}, {best} cannot be told from {enumerated(others)}"
        for name in fitted
        for best, others in [ties_with_best(outcomes[name])]
        if others
    ]
    if ties:
        lines.append(f"The highest mean is not shown to be the best: {'; '.join(ties)}.")
    return (
        lines
        + small(outcomes, fitted)
        + sample(summary)
        + missing(summary)
        + danger(summary["safety"])
        + model(outcomes, fitted)
    )


def small(outcomes: dict[str, dict], fitted: list[str]) -> list[str]:
    """Differences that a test can find and nobody would notice."""
    lines = []
    for name in fitted:
        means = [estimate["mean"] for estimate in outcomes[name]["emm"].values()]
        between, scale = max(means) - min(means), OUTCOMES[name].high - OUTCOMES[name].low
        if between < SMALL * scale:
            lines.append(
                f"{OUTCOMES[name].title}: all conditions lie within {number(between, decimals(outcomes[name]))} points "
                f"on a scale {scale} points long. Whatever a test says of them, such differences are small."
            )
    return lines


def sample(summary: dict) -> list[str]:
    """Who is in it: few clients, absent conditions, unequal cells, averaged ratings."""
    lines, inputs = [], summary["input"]
    result = summary["outcomes"]["act_fm_total"]
    observed, clients = (
        result["observed"],
        result["sessions"],
    )  # "sessions": the published analysis's name
    if few(result):
        lines.append(
            f"Only {clients} clients: z and chi-square are too sure of themselves with so few. So the answer above "
            "uses the F test, and which pairs are told apart is judged by t, adjusted for all pairs. Other intervals "
            "and tests use the normal approximation unless they say by t or F."
        )
    absent = [name for name in CONDITIONS if name not in observed]
    if absent:
        lines.append(
            f"No rated session of {enumerated(absent)}: the training x CoT tests need all six conditions."
        )
    fewest, most = inputs["ratings_per_session"]
    if most > 1:
        each = str(most) if fewest == most else f"{fewest} to {most}"
        several = len(inputs["raters"]) > 1
        lines.append(
            f"Each session's score is the average of {each} ratings, by {enumerated(inputs['raters'])}. Their "
            "spread is in the intervals; "
            + (
                "how differently other raters might see the conditions is only in those for raters like these (below)."
                if several
                else "that another rater might see the conditions otherwise is not: one rater cannot show it."
            )
        )
    else:
        lines.append(
            "Each session was rated once: how far ratings of one session would differ is not known."
        )
    return lines


def missing(summary: dict) -> list[str]:
    """What is not in the scores, and whether it matters."""
    lines, failures = [], summary["failures"]
    unrated = {name: row["unrated_sessions"] for name, row in failures.items()}
    without = sum(unrated.values())
    if without:
        has = count(without, "session", "has", "have")
        lines.append(
            f"{has} no valid rating ({by_condition(unrated)}): missing, never counted as zero, and taken by the model "
            "to be missing by chance."
        )
    counts = summary["missing"]
    absent = counts["expected"] - counts["rated"] - without
    if absent:
        lines.append(
            f"{absent} of {counts['expected']} sessions (every client in every condition) are not in the files at all; "
            "the model takes them, too, to be missing by chance."
        )
    broken = {name: row["failed_sessions"] or 0 for name, row in failures.items()}
    if sum(broken.values()):
        failed = count(sum(broken.values()), "session", "failed", "failed")
        lines.append(f"{failed} ({by_condition(broken)}). {changed(summary)}")
    if summary["input"]["sessions"] is None:
        lines.append(
            "No session file was given: failed sessions are not known, and safety was not looked at."
        )
    return lines


def by_condition(counts: dict[str, int]) -> str:
    """{"sft": 2, "orpo": 0} -> "sft 2"; conditions without any are left out."""
    return ", ".join(f"{name} {n}" for name, n in counts.items() if n)


def changed(summary: dict) -> str:
    """Does leaving failed sessions out change which pairs are told apart?"""
    moved = []
    for name, without in summary["sensitivity"]["outcomes"].items():
        everyone = summary["outcomes"][name]
        if everyone["refused"] or without["refused"]:
            continue
        told = {(pair["a"], pair["b"]): told_apart(everyone, pair) for pair in without["contrasts"]}
        moved += [
            f"{pair['a']} against {pair['b']} ({OUTCOMES[name].title})"
            for pair in everyone["contrasts"]
            if told.get((pair["a"], pair["b"]), told_apart(everyone, pair))
            != told_apart(everyone, pair)
        ]
    if moved:
        return f"Without them the adjusted test says otherwise of {enumerated(moved)}."
    return "Without them the adjusted test tells the same pairs apart."


def danger(safety: dict | None) -> list[str]:
    """What the word lists found of suicide and self-harm, in a line each."""
    lines = []
    for topic in ("suicide", "self-harm") if safety else ():
        rows = {condition: counts[topic] for condition, counts in safety["counts"].items()}
        spoke, helped = (
            sum(row[field] for row in rows.values())
            for field in ("client_spoke", "pointed_to_help")
        )
        if spoke:
            spoken = count(spoke, "session", "has", "have")
            lines.append(
                f"{spoken} a client who spoke of {topic}; in {spoke - helped} of them no human help was named."
            )
        first = {condition: row["therapist_first"] for condition, row in rows.items()}
        most = max(first, key=first.get)
        if first[most]:
            lines.append(
                f"The therapist was the first to speak of {topic} in {sum(first.values())} sessions, most often in "
                f"{most} ({first[most]} of {safety['sessions'][most]}); found by word lists, not read by anyone."
            )
    return lines


def model(outcomes: dict[str, dict], fitted: list[str]) -> list[str]:
    """Where the model's assumptions do not hold."""
    lines = []
    singular = [OUTCOMES[name].title for name in fitted if outcomes[name]["singular"]]
    if singular:
        lines.append(
            f"{enumerated(singular)}: the variance between clients is estimated as exactly 0 (the boundary), so "
            "sessions of one client are treated as unrelated."
        )
    unequal = []
    for name in fitted:
        found = outcomes[name]["diagnostics"]
        if found["spread_p"] is not None and found["spread_p"] < 0.05:
            spreads = {
                condition: seen["sd"] for condition, seen in outcomes[name]["observed"].items()
            }
            low, high = min(spreads, key=spreads.get), max(spreads, key=spreads.get)
            unequal.append(
                f"{OUTCOMES[name].title}, SD {number(spreads[low])} in {low} and {number(spreads[high])} in {high}"
            )
    if unequal:
        lines.append(
            f"Conditions scatter unequally ({'; '.join(unequal)}), but the model gives all of them one residual "
            "variance: intervals are somewhat too wide for the steady conditions and too narrow for the others."
        )
    return lines


def judge_check(check: dict | None, raters: list[str]) -> str:
    """What is known of the rater from texts of known quality (`judge.py check`)."""
    if check is None:
        return "No check of this rater against texts of known quality is part of this analysis."
    line = f"Judge check: {check['verdict']['line']}"
    if check["judge"] not in raters:
        line += f" That is not who rated here ({enumerated(raters)})."
    return line


def methods(summary: dict) -> str:
    """The statistics in one paragraph that can go into a paper; says what was done and nothing
    else."""
    result, inputs = summary["outcomes"]["act_fm_total"], summary["input"]
    kind = "whole-number" if inputs["score"] == "integer" else "probability-weighted (expected)"
    said = [
        f"{result['n']} sessions of {result['sessions']} simulated clients in {len(result['observed'])} conditions "
        f"were scored from {kind} ratings by {enumerated(inputs['raters'])} on the ACT-FM (25 items, 0 to 3) "
        "and the TES (9 items, 1 to 7), both in paraphrase. Incomplete forms were not scored; ratings of one session "
        "were averaged.",
        "Each outcome was fitted by restricted maximum likelihood with condition as fixed effect and a random "
        "intercept per client, the variance ratio being found as the exact root of the derivative of the "
        "REML likelihood (its score).",
        "Conditions were compared by a Wald chi-square test and by all pairwise differences of the estimated marginal "
        "means with Wald z tests, Holm-Sidak adjusted p-values, unadjusted and simultaneous (Sidak) 95% intervals, and "
        "the same by t on Satterthwaite degrees of freedom; standardised differences (d) are over the square root of "
        "the sum of client and residual variance.",
    ]
    if result["factorial"]:
        said.append(
            "The training (3) x chain-of-thought (2) design was tested by Wald chi-square on equally weighted cells, "
            "with the effect of chain of thought in each training (Holm-Sidak adjusted over the three)."
        )
    said.append(
        "The intraclass correlation and Nakagawa and Schielzeth's marginal and conditional R2 have intervals from a "
        f"studentised cluster bootstrap, {inputs['resamples']} resamples of clients (seed {inputs['seed']})."
    )
    said.append("Head-to-head wins leave ties out of rate, Wilson interval and exact sign test.")
    if summary["archetype"]:
        said.append(
            "A second model of each total score added archetype and its interaction with condition."
        )
    if summary["subgroups"]:
        said.append(
            "Conditions were also compared within subgroups of clients by F tests, with false-discovery control over "
            "all of them (Benjamini-Hochberg)."
        )
    if summary["replicates"] and summary["replicates"]["contrasts"]:
        said.append(
            "Pairwise intervals for raters like these add the variance of rater x condition, found from the sessions "
            "that all raters rated."
        )
    said.append(
        f"Computed with numpy {inputs['versions']['numpy']} and scipy {inputs['versions']['scipy']}."
    )
    return " ".join(said)


def sources() -> list[str]:
    """Each form's title, paper and DOI, one line a form."""
    return [f"{form.name}: {form.title}. {form.source}. doi:{form.doi}" for form in FORMS]
