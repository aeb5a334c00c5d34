"""The report's sentences on what was found, and how numbers are written. Numbers in, plain text
out.

The page's sections, the figures' text alternatives and what analyze.py prints take their numbers
and sentences from here, so that one number looks the same in all three.
"""

import re

import numpy as np

from act.forms import OUTCOMES

DEMONSTRATION = (
    "Demonstration, not a measurement: the judge is the embedded 135-million-parameter model, which is no instrument, "
    "and the clients and the training transcripts are synthetic. This is research software and not a treatment."
)

FEW_CLIENTS = 30  # below this the normal approximation is visibly too sure


def is_demonstration(raters: list[str]) -> bool:
    """Was any rating made by the embedded model? Judges name themselves; its names hold one of
    these words.

    So all hangs on the ratings' "rater": the embedded judge under another name is not found out,
    and a person called "embedded" is taken for it.
    """
    return any(re.search(r"embedded|smollm|135m", rater, re.IGNORECASE) for rater in raters)


def number(value: float | None, digits: int = 2) -> str:
    """-1.234 -> "\u22121.23" with a real minus sign; None -> a dash."""
    return "\u2013" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def interval(ci: list[float] | None, digits: int = 2) -> str:
    """[1.2, 3.4] -> "1.20 to 3.40"; None -> a dash."""
    return "\u2013" if ci is None else f"{number(ci[0], digits)} to {number(ci[1], digits)}"


def p_value(p: float | None) -> str:
    """.0004 -> "< .001"; .0312 -> ".031"; 1.0 -> "1.000"; None, a test that could not be made, -> a
    dash."""
    if p is None:
        return "\u2013"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def chi_square(test: dict) -> str:
    """A Wald or likelihood-ratio test: "chi2(5) = 12.34, p = .030"."""
    return f"chi2({test['df']}) = {test['chi2']:.2f}, p {p_after(test['p'])}"


def p_after(p: float) -> str:
    """What follows "p ": "< .001" or "= .031"."""
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"


def decimals(result: dict) -> int:
    """Decimals that show an outcome's standard errors with two digits: 2 for a person's ratings,
    more for a judge whose expected ratings hardly vary; 5 at most."""
    if result["refused"]:
        return 2
    smallest = min(estimate["se"] for estimate in result["emm"].values())
    return int(np.clip(1 - np.floor(np.log10(smallest)), 2, 5))


def count(number_of: int, noun: str, does: str, do: str) -> str:
    """count(1, "session", "has", "have") = "1 session has"; 2 -> "2 sessions have"."""
    return f"1 {noun} {does}" if number_of == 1 else f"{number_of} {noun}s {do}"


def answer(outcome: str, result: dict) -> str:
    """One sentence: do the conditions differ, and the best one's lead with its simultaneous 95%
    interval.

    The lead is over `instruct`, the untrained model, or over the lowest condition if `instruct`
    itself is best. Where clients are few the test is F and the interval by t.
    """
    title = OUTCOMES[outcome].title
    if result["refused"]:
        return f"{title} could not be compared: {result['refused']}."
    emm = result["emm"]
    best = max(emm, key=lambda name: emm[name]["mean"])
    lowest = min((name for name in emm if name != best), key=lambda name: emm[name]["mean"])
    other = "instruct" if "instruct" in emm and best != "instruct" else lowest
    test = result["omnibus_f"] if few(result) else result["omnibus"]
    written, by_t = (f_test(**test), " by t") if few(result) else (chi_square(test), "")
    pair = next(row for row in result["contrasts"] if {row["a"], row["b"]} == {best, other})
    lead = abs(pair["difference"])
    ends = adjusted(result, pair)[1]
    low, high = ends if pair["a"] == best else [-bound for bound in reversed(ends)]
    differs = (
        f"differs between the {len(emm)} conditions"
        if test["p"] < 0.05
        else f"shows differences between the {len(emm)} conditions that chance alone could make"
    )
    known = "the untrained model, " if other == "instruct" else ""
    digits = decimals(result)
    return (
        f"{title} {differs} ({written}): {best} is highest, {number(lead, digits)} points above "
        f"{known}{other} (95% interval {interval([low, high], digits)}{by_t}, adjusted for all pairs)."
    )


def on_scale(name: str) -> str:
    """A table's caption: the outcome and the ends of its scale."""
    outcome = OUTCOMES[name]
    return f"{outcome.title}, scale {outcome.low} to {outcome.high}"


def enumerated(names: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def few(result: dict) -> bool:
    """Are an outcome's clients too few for the normal approximation? ("sessions" counts them: see
    `analyse`.)"""
    return result["sessions"] < FEW_CLIENTS


def adjusted(result: dict, pair: dict) -> tuple[float, list[float]]:
    """A pair's p-value and interval adjusted for all pairs: by t where the outcome's clients are
    few, else by z."""
    if few(result):
        return pair["p_satterthwaite_holm_sidak"], pair["ci_adjusted_satterthwaite"]
    return pair["p_holm_sidak"], pair["ci_adjusted"]


def told_apart(result: dict, pair: dict) -> bool:
    """Does the adjusted test tell the two conditions of a pair apart?"""
    return adjusted(result, pair)[0] < 0.05


def ties_with_best(result: dict) -> tuple[str, list[str]]:
    """The highest condition and those that the adjusted test does not tell from it."""
    best = max(result["emm"], key=lambda name: result["emm"][name]["mean"])
    pairs = [
        pair
        for pair in result["contrasts"]
        if best in (pair["a"], pair["b"]) and not told_apart(result, pair)
    ]
    return best, [pair["a"] if pair["b"] == best else pair["b"] for pair in pairs]


def unresolved(name: str, result: dict) -> str:
    """How many pairs are told apart, and what may be as good as the highest."""
    told = sum(told_apart(result, pair) for pair in result["contrasts"])
    test = "adjusted test by t" if few(result) else "adjusted test"
    best, ties = ties_with_best(result)
    last = (
        f"The highest, {best}, cannot be told from {enumerated(ties)}."
        if ties
        else f"{best} is above all others."
    )
    return f"{OUTCOMES[name].title}: the {test} tells {told} of {len(result['contrasts'])} pairs apart. {last}"


def interaction(name: str, result: dict) -> str:
    """Whether the effect of chain of thought depends on the training, and its size in each."""
    tests, digits = result["factorial"], decimals(result)
    test = tests["interaction"]
    depends = (
        "depends on the training"
        if test["p"] < 0.05
        else "is not shown to depend on the training, which is no proof that it does not"
    )
    average = f"{signed(tests['cot']['difference'], digits)} points ({interval(tests['cot']['ci'], digits)})"
    within = "; ".join(
        f"{row['training']} {signed(row['difference'], digits)} ({interval(row['ci'], digits)})"
        for row in tests["cot_in"]
    )
    return (
        f"{OUTCOMES[name].title}: what thinking first does {depends} (interaction: {chi_square(test)}). With it minus "
        f"without, on average {average}; by training: {within}."
    )


def signed(value: float, digits: int) -> str:
    """A number with its sign, also where it is plus."""
    return ("+" if value > 0 else "") + number(value, digits)


def archetypes(name: str, result: dict) -> str:
    """Whether the conditions' differences depend on the kind of client."""
    depends = "depend" if result["interaction"]["p_f"] < 0.05 else "are not shown to depend"
    interaction, kinds = (
        f_test(test["chi2"] / test["df"], test["df"], test["df2"], test["p_f"])
        for test in (result["interaction"], result["archetype"])
    )
    return (
        f"{OUTCOMES[name].title}: the differences between conditions {depends} on the kind of client "
        f"(condition x archetype: {interaction}; archetype: {kinds})."
    )


def f_test(f: float, df: int, df2: float, p: float) -> str:
    """An F test, F = chi2 / df: "F(5, 240.1) = 3.21, p = .008"."""
    return f"F({df}, {df2:.1f}) = {f:.2f}, p {p_after(p)}"


def subgroups(rows: list[dict]) -> str:
    """How many subgroups show a difference at a false-discovery rate of 5%, and what that does not
    say."""
    tested = [row for row in rows if not row["refused"]]
    if not tested:
        return "No subgroup has clients enough to be tested by itself."
    found = [row for row in tested if row["q"] < 0.05]
    return (
        f"Exploratory: in {len(found)} of {len(tested)} subgroups that could be tested the conditions differ at a "
        "false-discovery rate of 5%. That a test succeeds in one subgroup and not in another does not say that the two "
        "differ."
    )
