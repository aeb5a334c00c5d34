"""What each figure says, in words and numbers: the text alternative for whoever does not see it.

results.py and doubts.py hand each of these to the page beside the figure of the same name
(figures.py).
"""

from act.forms import OUTCOMES, SUBSCALES
from act.report.prose import adjusted, decimals, interval, number, p_after, told_apart


def estimates(name: str, result: dict) -> str:
    """Each condition's estimated mean and interval."""
    digits = decimals(result)
    cells = (
        f"{c} {number(e['mean'], digits)} ({interval(e['ci'], digits)})"
        for c, e in result["emm"].items()
    )
    return f"{OUTCOMES[name].title} by condition, mean and 95% interval: {'; '.join(cells)}"


def contrasts(name: str, result: dict) -> str:
    """All pairs' differences with simultaneous intervals, those told from 0 apart from the
    others."""
    digits = decimals(result)

    def listed(told: bool) -> str:
        pairs = (
            f"{pair['a']} minus {pair['b']} {number(pair['difference'], digits)} "
            f"({interval(adjusted(result, pair)[1], digits)})"
            for pair in result["contrasts"]
            if told_apart(result, pair) == told
        )
        return "; ".join(pairs) or "none"

    return (
        f"{OUTCOMES[name].title}: differences with intervals for all pairs at once. Told from 0: {listed(True)}. "
        f"Not told from 0: {listed(False)}."
    )


def interaction(name: str, result: dict) -> str:
    """The means of each training without and with chain of thought."""
    digits, emm = decimals(result), result["emm"]
    cells = (
        f"{training} {number(emm[training]['mean'], digits)} and {number(emm[training + '-cot']['mean'], digits)}"
        for training in ("instruct", "sft", "orpo")
    )
    return f"{OUTCOMES[name].title}, mean answering at once and mean thinking first: {'; '.join(cells)}."


def wins(name: str, result: dict) -> str:
    """Each pair's win rate, in percent of the clients whose sessions differ."""
    cells = (
        f"{pair['a']} over {pair['b']} {100 * pair['rate']:.0f}% of {pair['wins'] + pair['losses']}"
        for pair in result["wins"]
        if pair["rate"] is not None
    )
    return f"{OUTCOMES[name].title}, wins head to head, ties left out: {'; '.join(cells)}."


def profile(outcomes: dict[str, dict], direction: str) -> str:
    """Means on the four subscales of one direction, "consistent" or "inconsistent"."""
    parts = []
    for subscale in SUBSCALES:
        result = outcomes[f"{subscale}_{direction}"]
        if result["emm"]:
            cells = (f"{condition} {number(e['mean'])}" for condition, e in result["emm"].items())
            parts.append(f"{subscale}: {', '.join(cells)}")
    return f"ACT-FM subscales of ACT-{direction} items, means: {'; '.join(parts)}."


def archetypes(name: str, emm: dict[str, dict]) -> str:
    """Means by kind of client; emm[archetype][condition] of each cell that has sessions."""
    parts = []
    for archetype, means in emm.items():
        cells = (f"{condition} {number(mean['mean'])}" for condition, mean in means.items())
        parts.append(f"{archetype}: {', '.join(cells)}")
    return f"{OUTCOMES[name].title} by kind of client, means: {'; '.join(parts)}."


def diagnostics(name: str, result: dict) -> str:
    """What the three drawings of residuals show, and their shape, tests and outliers in numbers."""
    found = result["diagnostics"]
    tests = (("normality_p", "normality"), ("spread_p", "equal spread"))
    told = [
        f"test of {test}, p {p_after(found[field])}"
        for field, test in tests
        if found[field] is not None
    ]
    shape = f"Skew {number(found['skew'])}, excess kurtosis {number(found['excess_kurtosis'])}"
    return (
        f"{OUTCOMES[name].title}: residuals and clients' effects against normal quantiles, and residuals against "
        f"fitted values. {'; '.join([shape, *told])}; {len(found['outliers'])} residuals beyond 3 SD."
    )
