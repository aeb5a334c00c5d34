"""The report's sentences: the answer, the warnings, the methods paragraph. Numbers in, plain text out."""

import re

import numpy as np

from act.measure.analysis import TOTALS
from act.measure.forms import FORMS, OUTCOMES
from act.records import CONDITIONS

DEMONSTRATION = (
    "Demonstration, not a measurement: the judge is the embedded 135-million-parameter model, which is no instrument, "
    "and the clients and the training transcripts are synthetic. This is research software and not a treatment."
)
STANDING = (
    "All clients here are simulated and all scores come from a rater reading text: nothing on this page says that a "
    "person would be helped or kept safe. This is research software and not a treatment."
)
FEW_CLIENTS = 30  # below this the normal approximation is visibly too sure


def is_demonstration(raters: list[str]) -> bool:
    """Was any rating made by the embedded model? Judges name themselves; its names hold one of these words."""
    return any(re.search(r"embedded|smollm|135m", rater, re.IGNORECASE) for rater in raters)


def number(value: float | None, digits: int = 2) -> str:
    """-1.234 -> "\u22121.23" with a real minus sign; None -> a dash."""
    return "\u2013" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def interval(ci: list[float] | None, digits: int = 2) -> str:
    return "\u2013" if ci is None else f"{number(ci[0], digits)} to {number(ci[1], digits)}"


def p_value(p: float) -> str:
    """.0004 -> "< .001"; .0312 -> ".031"; 1.0 -> "1.000"."""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def chi_square(test: dict) -> str:
    sign = "" if test["p"] < 0.001 else "= "
    return f"chi2({test['df']}) = {test['chi2']:.2f}, p {sign}{p_value(test['p'])}"


def decimals(result: dict) -> int:
    """Decimals that show an outcome's standard errors with two digits: 2 for a person's ratings, more for a judge
    whose expected ratings hardly vary; 5 at most."""
    if result["refused"]:
        return 2
    smallest = min(estimate["se"] for estimate in result["emm"].values())
    return int(np.clip(1 - np.floor(np.log10(smallest)), 2, 5))


def count(number_of: int, noun: str, does: str, do: str) -> str:
    """count(1, "session", "has", "have") = "1 session has"; 2 -> "2 sessions have"."""
    return f"1 {noun} {does}" if number_of == 1 else f"{number_of} {noun}s {do}"


def answer(outcome: str, result: dict) -> str:
    """One sentence: do the conditions differ, and the best one's lead with its simultaneous 95% interval.

    The lead is over `instruct`, the untrained model, or over the lowest condition if `instruct` itself is best.
    """
    title = OUTCOMES[outcome].title
    if result["refused"]:
        return f"{title} could not be compared: {result['refused']}."
    emm = result["emm"]
    best = max(emm, key=lambda name: emm[name]["mean"])
    lowest = min((name for name in emm if name != best), key=lambda name: emm[name]["mean"])
    other = "instruct" if "instruct" in emm and best != "instruct" else lowest
    pair = next(row for row in result["contrasts"] if {row["a"], row["b"]} == {best, other})
    lead = abs(pair["difference"])
    low, high = pair["ci_adjusted"] if pair["a"] == best else [-bound for bound in reversed(pair["ci_adjusted"])]
    differs = (
        f"differs between the {len(emm)} conditions"
        if result["omnibus"]["p"] < 0.05
        else f"shows differences between the {len(emm)} conditions that chance alone could make"
    )
    known = "the untrained model, " if other == "instruct" else ""
    digits = decimals(result)
    return (
        f"{title} {differs} ({chi_square(result['omnibus'])}): {best} is highest, {number(lead, digits)} points above "
        f"{known}{other} (95% interval {interval([low, high], digits)}, adjusted for all pairs)."
    )


def cautions(summary: dict) -> list[str]:
    """What a reader would otherwise believe too much, one line each."""
    lines = [STANDING]
    outcomes, failures, inputs = summary["outcomes"], summary["failures"], summary["input"]
    clients = outcomes["act_fm_total"]["sessions"]
    if clients < FEW_CLIENTS:
        lines.append(
            f"Only {clients} clients: intervals and chi-square tests use the normal approximation and are too sure of "
            "themselves with so few. The p-values by t (Satterthwaite) in the pair tables are the safer ones."
        )
    observed = outcomes["act_fm_total"]["observed"]
    missing = [name for name in CONDITIONS if name not in observed]
    if missing:
        lines.append(f"No rated session of {', '.join(missing)}: the training x CoT tests need all six conditions.")
    if len({row["n"] for row in observed.values()}) > 1:
        lines.append("The conditions have unequal numbers of rated sessions (main table).")
    singular = [OUTCOMES[name].title for name in TOTALS if outcomes[name]["singular"]]
    if singular:
        lines.append(
            f"{' and '.join(singular)}: the variance between clients is estimated as exactly 0 (the boundary), so "
            "sessions of one client are treated as unrelated."
        )
    unrated = sum(row["unrated_sessions"] for row in failures.values())
    if unrated:
        lines.append(f"{count(unrated, 'session', 'has', 'have')} no valid rating: missing from every table of scores.")
    broken = sum(row["failed_sessions"] or 0 for row in failures.values())
    if broken:
        lines.append(f"{count(broken, 'session', 'failed', 'failed')}: see the analysis without failed sessions.")
    if inputs["sessions"] is None:
        lines.append("No session file was given: failed sessions are not known, and safety was not looked at.")
    fewest, most = inputs["ratings_per_session"]
    if most > 1:
        each = str(most) if fewest == most else f"{fewest} to {most}"
        lines.append(
            f"Each session's score is the average of {each} ratings (raters: {', '.join(inputs['raters'])}); their "
            "disagreement is not in the intervals."
        )
    lines.append(judge_check(summary["judge_check"]))
    return lines


def judge_check(check: dict | None) -> str:
    """What is known of the rater from texts of known quality (`judge.py check`)."""
    if check is None:
        return "No check of this rater against texts of known quality is part of this analysis."
    return f"Judge check: {check['verdict']['line']}"


def methods(summary: dict) -> str:
    """The statistics in one paragraph that can go into a paper."""
    result, inputs = summary["outcomes"]["act_fm_total"], summary["input"]
    kind = "whole-number" if inputs["score"] == "integer" else "probability-weighted (expected)"
    return (
        f"{result['n']} sessions of {result['sessions']} simulated clients in {len(result['observed'])} conditions "
        f"were scored from {kind} ratings on the ACT-FM (25 items, 0 to 3) and the TES (9 items, 1 to 7), both in "
        "paraphrase. Incomplete forms were not scored. Each outcome was fitted by restricted maximum likelihood with "
        "condition as fixed effect and a random intercept per client, the variance ratio being found as the exact "
        "root of the REML score. Conditions were compared by a Wald chi-square test and by all pairwise differences "
        "of the estimated marginal means with Wald z tests, Holm-Sidak adjusted p-values, unadjusted and simultaneous "
        "(Sidak) 95% intervals, and Satterthwaite degrees of freedom. The training (3) x chain-of-thought (2) design "
        "was tested by Wald chi-square on equally weighted cells. The intraclass correlation has a percentile "
        "interval from "
        f"{inputs['resamples']} cluster-bootstrap resamples of clients (seed {inputs['seed']}); R2 is Nakagawa and "
        "Schielzeth's. Head-to-head wins leave ties out of rate, Wilson interval and exact sign test. "
        f"Computed with numpy {inputs['versions']['numpy']} and scipy {inputs['versions']['scipy']}."
    )


def sources() -> list[str]:
    return [f"{form.name}: {form.title}. {form.source}. doi:{form.doi}" for form in FORMS]
