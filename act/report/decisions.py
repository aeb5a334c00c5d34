"""What decides whether two conditions differ, and whether another way to count decides otherwise.

A pair is two conditions of an outcome's entry in summary.json, or of another such entry, compared.
One rule decides at any number of clients: t on Satterthwaite's degrees of freedom, adjusted for all
pairs.
"""

import numpy as np

from act.report.table import LEADING, rows_of, told

# Of a pair, or of thinking first in a training: the p that decides, and the interval of its kind
DECIDES, HOLDS = "p_satterthwaite_holm_sidak", "ci_adjusted_satterthwaite"
WITHOUT_FAILED = {"how": "without_failed"}
OTHERWISE = {  # where summary.json has entries that are counted otherwise: what these do not say
    "preferences.sensitivity.{how}": {"outcome": "preference"},
    "sensitivity.outcomes.{outcome}": WITHOUT_FAILED,
    "sensitivity.length.{outcome}": {"how": "equal_length"},
    "raters.{how}.outcomes.{outcome}": {},
}
STEPS = (("orpo", "sft"), ("sft", "instruct"), ("orpo", "instruct"))  # of training, less to more


def decimals(result: dict) -> int:
    """Decimals that show an outcome's standard errors with two digits: 2 for a person's ratings,
    more for a judge whose expected ratings hardly vary; 5 at most."""
    if result["refused"]:
        return 2
    # se 0.0123 -> 1 - floor(-1.9) = 3 decimals
    smallest = min(estimate["se"] for estimate in result["emm"].values())
    return int(np.clip(1 - np.floor(np.log10(smallest)), 2, 5))


def ties_with_best(result: dict) -> tuple[str, list[str]]:
    """The highest condition and those that the adjusted test does not tell from it."""
    best = max(result["emm"], key=lambda name: result["emm"][name]["mean"])
    ties = []
    for pair in result["contrasts"]:
        if best in (pair["a"], pair["b"]) and not told(pair[DECIDES]):
            ties.append(pair["a"] if pair["b"] == best else pair["b"])
    return best, ties


def minus(result: dict, a: str, b: str) -> dict | None:
    """Condition a minus condition b of an outcome's entry; None where that has not both."""
    for pair in result["contrasts"] or []:
        if {pair["a"], pair["b"]} == {a, b}:
            sign = 1 if pair["a"] == a else -1
            row = {"a": a, "b": b, "_step": f"{a} − {b}"}
            row |= {field: sign * pair[field] for field in ("difference", "z", "d")}
            own, adjusted = pair["ci_satterthwaite"], pair[HOLDS]  # None where it has no ends
            row |= {"ci": own and sorted(sign * end for end in own), "df": pair["df"]}
            row["p_adjusted"] = pair[DECIDES]
            row["ci_adjusted"] = adjusted and sorted(sign * end for end in adjusted)
            return row
    return None


def steps(entry: dict | None) -> list[dict]:
    """What each step of training does to preferences."""
    found = [minus(entry, more, less) for more, less in STEPS] if entry else []
    return [{"outcome": "preference"} | row for row in found if row]


def recounts(summary: dict) -> list[dict]:
    """The entries of the leading outcomes, as they are and counted otherwise ("how").

    "changed" are the pairs on which one decides otherwise than its outcome as it is; "why" says why
    nothing is compared.
    """
    excluded = (summary["sensitivity"] or {}).get("excluded")
    found = []
    for place, about in OTHERWISE.items():
        if excluded or about != WITHOUT_FAILED:  # without none it is as it is
            found += [about | entry for entry in rows_of(summary, place)]
    entries = []
    for name in LEADING:
        for result in rows_of(summary["outcomes"], name):
            others = [entry for entry in found if entry["outcome"] == name]
            before = verdicts(result["contrasts"] or [])
            for entry in (result | {"how": "as_it_is"}, *others, paired(result["unequal"])):
                why = entry["refused"] or result["refused"]
                after = {} if why else verdicts(entry["contrasts"])
                changed = [pair for pair in after if after[pair] != before[pair]]
                entries.append(entry | {"outcome": name, "why": why, "changed": changed})
    return entries


def paired(unequal: dict) -> dict:
    """The paired tests of an outcome as an entry beside its model's: those that could be made."""
    rows, why = [], "one condition only"
    for row in unequal["contrasts"]:
        if row["refused"]:
            why = row["refused"]
        else:
            rows.append(row | {DECIDES: row["p_holm_sidak"], HOLDS: None})
    refused = None if rows else why
    return {"how": "paired", "refused": refused, "contrasts": rows, "all": unequal["omnibus"]}


def verdicts(contrasts: list[dict]) -> dict[str, bool]:
    """{"sft against orpo": True}: which pairs the adjusted test tells apart."""
    return {f"{pair['a']} against {pair['b']}": told(pair[DECIDES]) for pair in contrasts}
