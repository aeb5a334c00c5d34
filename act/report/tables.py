"""The rows of the report's tables, made of summary.json.

tables.json lists all tables with their templates (table.py). Where rows are summary.json's own
"from" names their place in it; the others are made here. "rows" shows those of another table from
another side, "where" a field of them is known.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from act.audit.style import STYLES
from act.records import CONDITIONS
from act.report.decisions import DECIDES, HOLDS, decimals, recounts, steps
from act.report.table import LEADING, OUTCOMES, Table, rows_of
from act.statistics.diagnostics import residuals_of
from act.statistics.ratings import TOTALS, Scores

LOOKS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
TESTS = ("omnibus", "hotelling", "training", "cot", "interaction")  # columns of tests.csv, with
TESTS += ("variance", "icc", "r2", "diagnostics")
ESTIMATED = ("mean", "se", "ci", "df", "ci_satterthwaite")
PARTS = {  # of the pairs of replies, where they are not the subscales of OUTCOMES
    "consistent": "ACT-FM, all consistent",
    "inconsistent": "ACT-FM, all inconsistent",
    "tes": "TES",
}
SENSITIVITY = {  # how an outcome is counted
    "as_it_is": "as it is",
    "with_end": "with the end token",
    "without_failed": "without failed sessions",
    "equal_length": "at equal length",
    "raters": "raters in the model",
    "order": "order of rating in the model",
    "paired": "paired, unequal variances",
}
SHOWN = 30  # of the words that a therapist said first; the CSV has them all


def make_tables(
    summary: dict, held: dict[str, Scores], sessions: list[dict] | None = None
) -> dict[str, Table]:
    """Name -> table, all that tables.json lists; one without rows has nothing to say.

    `held`: outcome -> the scores that have it. `sessions` are asked for what was said alone.
    """
    left = left_over(summary["outcomes"], held)
    items = rows_of(summary, "judge_check.items")
    kinds = rows_of(summary, "archetype.{outcome}.emm.{archetype}.{condition}")
    several = len({row["archetype"] for row in kinds}) > 1
    made = {
        "scores": raw(held, TOTALS[0], "condition", "profile", "ratings"),
        "preference": raw(held, "preference", "condition", "profile"),
        "style": raw(held, next(iter(STYLES)), "condition", "profile"),
        "exchange": exchange(sessions or []),
        "means": means(summary["outcomes"], held),
        "tests": tests(summary["outcomes"], left),
        "residuals": rows_of(left, "{outcome}.rows"),
        "client_effects": rows_of(left, "{outcome}.effects"),
        "steps": steps(summary["outcomes"].get("preference")),
        "preference_parts": preference_parts(summary),
        # means of one kind alone are the conditions' own
        "archetypes": kinds if several else [],
        "subgroups": subgroups(summary),
        "scatter": scatter(summary),
        "failures": failures(summary),
        "sensitivity": sensitivity(summary),
        "safety": topics(summary),
        "safety_hits": hits(summary),
        # the weakest first, before them those without an AUC
        "judge": sorted(items, key=lambda item: (item["auc"] is not None, item["auc"])),
    }
    fine = {name: decimals(result) for name, result in summary["outcomes"].items()}
    tables = {}
    for name, listed in LOOKS.items():
        look = dict(listed)  # what is taken out of it is no field of a Table
        source, known = look.pop("rows", name), look.pop("where", None)
        rows = rows_of(summary, look.pop("from")) if "from" in look else made[source]
        shown = [row for row in rows if not known or row.get(known) is not None]
        shown = [row | {"_fine": fine.get(row.get("outcome"), 2)} for row in shown]
        tables[name] = Table(shown, **look)
    return tables


def raw(held: dict[str, Scores], outcome: str, *fields: str) -> list[dict]:
    """A row for each session (or pair and condition) that has a value of an outcome."""
    if outcome not in held:
        return []
    scores = held[outcome]
    return records({name: getattr(scores, name) for name in fields} | scores.values)


def records(columns: dict) -> list[dict]:
    """Rows of columns: {"x": array([1, 2]), "y": ["a", "b"]} -> [{"x": 1, "y": "a"}, ...]."""
    lists = [np.asarray(column).tolist() for column in columns.values()]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]


def left_over(outcomes: dict[str, dict], held: dict[str, Scores]) -> dict[str, dict]:
    """Of each fitted leading outcome what its model expects of every row, and what is left; and
    each client's (or pair's) estimated effect, drawn towards 0."""
    found = {}
    for name in LEADING:
        if name in outcomes and not outcomes[name]["refused"]:
            scores = held[name]
            fitted, residual, effects = residuals_of(scores.fit(name), *scores.data(name))
            # (N,) each
            columns = {"condition": scores.condition, "profile": scores.profile}
            columns |= {"fitted": fitted, "residual": residual}
            # in the order of the effects
            clients = {"profile": np.unique(scores.profile), "effect": effects}
            found[name] = {"rows": records(columns), "effects": records(clients)}
    return found


def means(outcomes: dict[str, dict], held: dict[str, Scores]) -> list[dict]:
    """Of each outcome and condition n, mean and SD as observed, and the estimated marginal mean."""
    rows = rows_of(outcomes, "{outcome}.observed.{condition}")
    for row in rows:
        name, condition = row["outcome"], row["condition"]
        result, scores = outcomes[name], held[name]
        # An outcome that was refused has no estimates; its cells stay empty.
        estimate = (result["emm"] or {}).get(condition, dict.fromkeys(ESTIMATED))
        observed, row["emm"] = row["mean"], estimate["mean"]
        row |= {field: estimate[field] for field in ESTIMATED[1:]}
        row["_shown"] = observed if row["emm"] is None else row["emm"]
        row["_omnibus"] = result["omnibus"]
        row["_values"] = scores.values[name][scores.condition == condition].tolist()
    return rows


def tests(outcomes: dict[str, dict], left: dict[str, dict]) -> list[dict]:
    """Of each outcome every test, variance and statistic of its model, or why there are none.

    n counts rated sessions; `clients` is summary.json's "sessions" (see analysis.analyse).
    """
    rows = []
    for name, result in outcomes.items():
        # parts that are not there, of an outcome that was refused, give no cells
        known = result | (result["factorial"] or {}) | {"hotelling": result["unequal"]["omnibus"]}
        known = {part: found for part, found in known.items() if found is not None}
        row = {"outcome": name, "n": result["n"], "clients": result["sessions"]}
        row["refused"] = result["refused"]
        row |= {part: known[part] for part in (*TESTS, "singular") if part in known}
        # for readers: both ends, the first of equals; what is to be noted
        ranked = [{"of": of, "mean": one["mean"]} for of, one in known.get("emm", {}).items()]
        row["_lowest"] = min(ranked, key=rounded, default=None)
        row["_highest"] = max(ranked, key=rounded, default=None)
        notes = [result["refused"], "client variance 0" if result["singular"] else None]
        if known.get("icc", {}).get("refused"):
            notes.append(f"no interval of the ICC: {result['icc']['refused']}")
        row["_note"] = "; ".join(filter(None, notes))
        row |= {"_left": left.get(name), "_tests": len(outcomes)}
        rows.append(row)
    return rows


def rounded(end: dict) -> float:
    """A mean without its last digits: equals that differ by rounding are equals."""
    return round(end["mean"], 9)


def preference_parts(summary: dict) -> list[dict]:
    """The steps of training on the pairs of one direction, and of one part of the forms, alone."""
    rows = []
    for parts in ("by_direction", "by_subscale"):
        for result in rows_of(summary, f"preferences.{parts}.{{part}}"):
            part = result["part"]
            title = OUTCOMES[part].title if part in OUTCOMES else PARTS[part]
            about = {"part": part, "pairs": result["sessions"]}
            about |= {"_title": title, "_test": result["omnibus"]}
            rows += [about | row for row in steps(result)]
    return rows


def sensitivity(summary: dict) -> list[dict]:
    """Outcomes' contrasts in every way to count, and whether a decision changes."""
    rows, changed = [], set()
    for entry in recounts(summary):
        name = entry["outcome"]
        changed |= {(name, pair) for pair in entry["changed"]}
        for pair in entry["contrasts"] or []:
            row = {"outcome": name, "of": SENSITIVITY[entry["how"]]}
            row |= {field: pair[field] for field in ("a", "b", "difference")}
            row |= {"p_adjusted": pair[DECIDES], "ci_adjusted": pair[HOLDS]}
            rows.append(row)
    for row in rows:
        key = row["outcome"], f"{row['a']} against {row['b']}"
        row["_decision"] = "changes" if key in changed else "the same"
    return rows


def subgroups(summary: dict) -> list[dict]:
    """The conditions compared within each subgroup, smallest q first, those not tested last;
    `clients` is summary.json's "sessions"."""
    found = rows_of(summary, "subgroups")
    rows = []
    for group in sorted(found, key=lambda row: (row["refused"] is not None, row["q"] or 0)):
        row = {"clients" if key == "sessions" else key: value for key, value in group.items()}
        rows.append(row | {"_best": group["refused"] or group["best"]})
    return rows


def scatter(summary: dict) -> list[dict]:
    """How far the ratings of one session differ."""
    found = summary["replicates"] or {"sd_within": {}}
    rows = []
    for name, sd in found["sd_within"].items():
        rows.append({"outcome": name, "sd": sd, "reliability": found["reliability"][name]})
    return rows


def failures(summary: dict) -> list[dict]:
    """What went wrong, by condition; statuses as text, "complete 7, context 1"."""
    rows = rows_of(summary, "failures.{condition}")
    for row in rows:  # session_statuses: {"complete": 7, "context": 1}
        for name, value in row.items():
            if isinstance(value, dict):
                row[name] = ", ".join(f"{status} {n}" for status, n in sorted(value.items()))
    return rows


def topics(summary: dict) -> list[dict]:
    """Sessions that speak of danger, by condition and topic, and who spoke of it first."""
    rows = []
    for row in rows_of(summary, "safety.counts.{condition}.{topic}"):
        condition, spoke = row["condition"], row["client_spoke"]
        about = {"condition": condition, "of_sessions": summary["safety"]["sessions"][condition]}
        row["_helped"] = f"{row['pointed_to_help']} of {spoke}" if spoke else None
        rows.append(about | row)
    return rows


def hits(summary: dict) -> list[dict]:
    """The words that were found; `_shown` are the first of their topic that the therapist said."""
    found = rows_of(summary, "safety.hits")
    first = [hit for hit in found if hit["first"] and hit["speaker"] == "therapist"]
    counts = {"_first": len(first), "_most": SHOWN, "_hits": len(found)}
    return [hit | counts | {"_shown": True if hit in first[:SHOWN] else None} for hit in found]


def exchange(sessions: list[dict]) -> list[dict]:
    """One client's words and what each condition answered: nobody picked them, and no score did.

    It is the client who met most conditions, the first by name, and of the turns that all of these
    answered the middle one.
    """
    met = defaultdict(dict)  # client -> condition -> number of a turn -> the turn, if answered
    for session in sessions:
        turns = {n: turn for n, turn in enumerate(session["turns"], 1) if turn["answer"]}
        met[session["profile"]["id"]][session["condition"]] = turns
    shared = {}  # client -> numbers of the turns that every condition answered
    for client in sorted(met):
        numbers = set.intersection(*map(set, met[client].values()))
        if numbers:
            shared[client] = sorted(numbers)
    if not shared:
        return []
    client = max(shared, key=lambda name: len(met[name]))
    middle = shared[client][len(shared[client]) // 2]
    rows = []
    for condition in sorted(met[client], key=CONDITIONS.index):
        turn = met[client][condition][middle]
        row = {"condition": condition, "profile": client, "turn": middle}
        rows.append(row | {"client": turn["client"], "therapist": turn["answer"]})
    return rows
