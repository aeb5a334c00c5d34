"""What decides whether two conditions differ, and whether another way to count decides otherwise.

One rule at any number of clients: t on Satterthwaite's degrees of freedom, adjusted for all pairs.
A pair is one of the contrasts of an outcome's entry in summary.json, or of another such entry.
"""

from collections import defaultdict

from act.statistics.ratings import TOTALS

NOTHING = {  # what stands for a part that is None: it needs another file
    "raters": {},
    "archetype": {},
    "subgroups": [],
    "preferences": {"by_direction": {}, "by_subscale": {}, "right": {}, "sensitivity": {}},
    "sensitivity": {"excluded": 0, "outcomes": {}, "length": {}},
    "replicates": {},
    "safety": {"sessions": {}, "hits": []},
    "judge_check": {"items": []},
}
SENSITIVITY = {
    "": "as it is",
    "with_end": "with the end token",
    "without_failed": "without failed sessions",
    "equal_length": "at equal length",
    "raters": "raters in the model",
    "order": "order of rating in the model",
    "paired": "paired, unequal variances",
}


def told_apart(pair: dict) -> bool:
    """Does the test that decides tell the conditions of a pair (or thinking first) from 0? It is by
    t, adjusted for all pairs (or all three trainings)."""
    p = pair["p_satterthwaite_holm_sidak"]
    return p is not None and p < 0.05


def verdict(pair: dict) -> dict:
    """That, its p and its simultaneous interval, as fields of a table's row."""
    told = told_apart(pair)
    return {
        "_p": pair["p_satterthwaite_holm_sidak"],
        "_ci": pair["ci_adjusted_satterthwaite"],
        "_star": "*" if told else "",
        "_told": "told from 0" if told else "not told from 0",
    }


def turned(ci: list[float] | None) -> list[float] | None:
    """The interval of a minus b as that of b minus a; None where it has no ends."""
    return ci and [-ci[1], -ci[0]]


def alternatives(summary: dict) -> dict[str, dict]:
    """Outcome -> how it was counted otherwise (SENSITIVITY) -> its entry then."""
    parts = ("sensitivity", "preferences", "raters")
    scored, preferred, raters = (summary[of] or NOTHING[of] for of in parts)
    without = {"without_failed": scored["outcomes"] if scored["excluded"] else None}
    others = without | {"equal_length": scored["length"]}
    others |= {how: part["outcomes"] for how, part in raters.items()}
    found = {"preference": dict(preferred["sensitivity"])}
    for name in TOTALS:
        found[name] = {how: of[name] for how, of in others.items() if of}
    outcomes = summary["outcomes"]
    there = {name: of for name, of in found.items() if name in outcomes}
    for name, of in there.items():
        of["paired"] = paired(outcomes[name]["unequal"])
    return there


def paired(unequal: dict) -> dict:
    """The paired tests of an outcome as an entry beside its model's: those that could be made."""
    rows, why = [], "one condition only"
    for row in unequal["contrasts"]:
        decides = {"p_satterthwaite_holm_sidak": row["p_holm_sidak"]}
        if row["refused"]:
            why = row["refused"]
        else:
            rows.append(row | decides | {"ci_adjusted_satterthwaite": None})
    return {"refused": None if rows else why, "contrasts": rows, "unequal": unequal}


def decisions(outcomes: dict[str, dict], others: dict[str, dict]) -> list[dict]:
    """Outcomes' contrasts beside those of their other entries (`others`: outcome -> how -> entry),
    and whether a decision changes."""
    rows, told = [], defaultdict(set)  # (outcome, a, b) -> the decisions
    for name, entries in others.items():
        for how, result in ({"": outcomes[name]} | entries).items():
            for pair in result["contrasts"] or []:
                row = {"outcome": name, "of": SENSITIVITY[how]}
                row |= {field: pair[field] for field in ("a", "b", "difference")} | verdict(pair)
                row |= {"p_adjusted": row["_p"], "ci_adjusted": row["_ci"]}
                told[name, row["a"], row["b"]].add(row["_told"])
                rows.append(row)
    for row in rows:
        several = len(told[row["outcome"], row["a"], row["b"]]) > 1
        row["_decision"] = "changes" if several else "the same"
    return rows
