"""The statistics, each as a table: its rows, made of summary.json.

tables.json lists all tables with their templates (table.py): those with a CSV file ("csv"), and
others that show the same rows ("rows", those "where" a field holds) from another side.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from act.audit.style import STYLES
from act.records import CONDITIONS
from act.report.decisions import NOTHING, alternatives, decisions, turned, verdict
from act.report.table import LEADING, OUTCOMES, Table
from act.statistics.diagnostics import residuals_of
from act.statistics.ratings import TOTALS, Scores

LOOKS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
TESTS = ("omnibus", "hotelling", "training", "cot", "interaction")  # columns of tests.csv, with
TESTS += ("variance", "icc", "r2", "diagnostics")
STEPS = (("orpo", "sft"), ("sft", "instruct"), ("orpo", "instruct"))  # of training, less to more
PARTS = {  # of the pairs, where they are not the subscales of OUTCOMES
    "consistent": "ACT-FM, all consistent",
    "inconsistent": "ACT-FM, all inconsistent",
    "tes": "TES",
}
SHOWN = 30  # of the words that a therapist said first; the CSV has them all


def decimals(result: dict) -> int:
    """Decimals that show an outcome's standard errors with two digits: 2 for a person's ratings,
    more for a judge whose expected ratings hardly vary; 5 at most."""
    if result["refused"]:
        return 2
    # se 0.0123 -> 1 - floor(-1.9) = 3 decimals
    smallest = min(estimate["se"] for estimate in result["emm"].values())
    return int(np.clip(1 - np.floor(np.log10(smallest)), 2, 5))


def make_tables(
    summary: dict, held: dict[str, Scores], sessions: list[dict] | None = None
) -> dict[str, Table]:
    """Name -> table, all that tables.json lists; one without rows has nothing to say.

    `held`: outcome -> the scores that have it. `sessions` are asked for what was said alone.
    """
    summary = NOTHING | {part: found for part, found in summary.items() if found is not None}
    outcomes, safety = summary["outcomes"], summary["safety"]
    preferred = summary["preferences"]
    left, items = left_over(outcomes, held), summary["judge_check"]["items"]
    leading = {name: result for name, result in outcomes.items() if name in LEADING}
    rows = {
        "scores": raw(held, TOTALS[0], "condition", "profile", "ratings"),
        "preference": raw(held, "preference", "condition", "profile"),
        "style": raw(held, next(iter(STYLES)), "condition", "profile"),
        "exchange": exchange(sessions or []),
        "means": means(outcomes, held),
        "tests": tests(outcomes),
        "outliers": parts({name: one["diagnostics"] for name, one in leading.items()}, "outliers"),
        "residuals": parts(left, "sessions"),
        "client_effects": parts(left, "clients"),
        "contrasts": contrasts(outcomes),
        "steps": steps("preference", outcomes.get("preference")),
        "thinking": thinking(outcomes),
        "wins": parts(outcomes, "wins"),
        "preference_parts": preference_parts(preferred),
        "preference_right": nested(preferred["right"], "condition"),
        "archetypes": archetypes(summary["archetype"]),
        "subgroups": subgroups(summary["subgroups"]),
        "scatter": scatter(summary["replicates"]),
        "cronbach": summary["cronbach"],
        "failures": failures(summary["failures"]),
        "sensitivity": decisions(outcomes, alternatives(summary)),
        "length": nested(summary["sensitivity"]["length"] or {}, "outcome"),
        "safety": topics(safety),
        "safety_hits": hits(safety["hits"]),
        # the weakest first
        "judge": sorted(items, key=lambda item: (item["auc"] is not None, item["auc"])),
    }
    fine = {name: decimals(result) for name, result in outcomes.items()}
    tables = {}
    for name, listed in LOOKS.items():
        look = dict(listed)  # what is taken out of it is no field of a Table
        source, flags = look.pop("rows", name), look.pop("where", ())
        kept = [row for row in rows[source] if all(row[flag] for flag in flags)]
        tables[name] = Table(kept, fine, **look)
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


def nested(found: dict, *levels: str) -> list[dict]:
    """Rows of dicts in dicts: {"sft": {"abuse": {"hits": 1}}} by "condition" and "topic" ->
    [{"condition": "sft", "topic": "abuse", "hits": 1}]."""
    if not levels:
        return [found]
    level, *deeper = levels  # the outermost dict's keys, and what is inside
    return [{level: key} | row for key, part in found.items() for row in nested(part, *deeper)]


def parts(outcomes: dict[str, dict | None], part: str) -> list[dict]:
    """The rows of one part of every outcome that has it."""
    rows = []
    for name, result in outcomes.items():
        rows += [{"outcome": name} | row for row in (result or {}).get(part) or []]
    return rows


def means(outcomes: dict[str, dict], held: dict[str, Scores]) -> list[dict]:
    """Of each outcome and condition n, mean and SD as observed, and the estimated marginal mean."""
    # An outcome that was refused has no estimates; its cells stay empty.
    unknown = dict.fromkeys(("mean", "se", "ci", "df", "ci_satterthwaite"))
    rows = []
    for name, result in outcomes.items():
        flags = {"_fitted": bool(result["emm"]), "_omnibus": result["omnibus"]}
        for condition, seen in result["observed"].items():
            estimate = unknown | (result["emm"] or {}).get(condition, {})
            row = {"outcome": name, "condition": condition, **seen, "emm": estimate.pop("mean")}
            row["_shown"] = row["mean"] if row["emm"] is None else row["emm"]
            values = held[name].values[name][held[name].condition == condition]
            flags["_ends"] = seen["floor"] is not None  # has the scale any?
            rows.append(row | estimate | flags | {"_values": values.tolist()})
    return rows


def tests(outcomes: dict[str, dict]) -> list[dict]:
    """Of each outcome every test, variance and statistic of its model, or why there are none.

    n counts rated sessions; `clients` is summary.json's "sessions" (see analysis.analyse).
    """
    rows = []
    for name, result in outcomes.items():
        # parts that are not there, of an outcome that was refused, give no cells
        known = {part: found for part, found in result.items() if found is not None}
        known |= known.get("factorial", {}) | {"hotelling": result["unequal"]["omnibus"]}
        row = {"outcome": name, "n": result["n"], "clients": result["sessions"]}
        row["refused"] = result["refused"]
        row |= {part: known.get(part, {}) for part in TESTS}
        if "singular" in known:
            row["singular"] = known["singular"]
        # for readers: both ends as (mean, condition), the first of equals; what is to be noted
        ranked = [(estimate["mean"], of) for of, estimate in known.get("emm", {}).items()]
        row["_lowest"] = min(ranked, key=rounded, default=None)
        row["_highest"] = max(ranked, key=rounded, default=None)
        row["_note"] = known.get("refused", "client variance 0" if known.get("singular") else "")
        if row["icc"].get("refused"):
            notes = row["_note"], f"no interval of the ICC: {row['icc']['refused']}"
            row["_note"] = "; ".join(filter(None, notes))
        row["_outliers"] = len(row["diagnostics"].get("outliers", []))
        rows.append(row | {"_tests": len(outcomes)})
    return rows


def rounded(end: tuple[float, str]) -> float:
    """A mean without its last digits: equals that differ by rounding are equals."""
    return round(end[0], 9)


def contrasts(outcomes: dict[str, dict]) -> list[dict]:
    """All pairs of conditions, with the p and the interval that are adjusted for all of them."""
    return [row | verdict(row) for row in parts(outcomes, "contrasts")]


def steps(name: str, result: dict | None) -> list[dict]:
    """What each step of training does: STEPS, first minus second, of an outcome that has both."""
    rows = []
    for pair in (result or {}).get("contrasts") or []:
        more, less = step = pair["b"], pair["a"]  # the less trained stands first: it is turned
        if step in STEPS:
            row = {"outcome": name, "a": more, "b": less} | verdict(pair)
            row |= {field: -pair[field] for field in ("difference", "z", "d")}
            row["ci"], row["_ci"] = turned(pair["ci_satterthwaite"]), turned(row["_ci"])
            row |= {"df": pair["df"], "p_adjusted": row["_p"], "ci_adjusted": row["_ci"]}
            row["_step"] = f"{more} − {less}"
            rows.append(row)
    return sorted(rows, key=lambda row: STEPS.index((row["a"], row["b"])))


def thinking(outcomes: dict[str, dict]) -> list[dict]:
    """What thinking first does in each training."""
    rows = parts({name: result["factorial"] for name, result in outcomes.items()}, "cot_in")
    return [row | verdict(row) for row in rows]


def preference_parts(preferred: dict) -> list[dict]:
    """The steps of training on the pairs of one direction, and of one part of the forms, alone."""
    rows = []
    for part, result in (preferred["by_direction"] | preferred["by_subscale"]).items():
        title = OUTCOMES[part].title if part in OUTCOMES else PARTS[part]
        about = {"part": part, "_title": title, "pairs": result["sessions"]}
        about["_test"] = result["omnibus"]
        rows += [about | row for row in steps("preference", result)]
    return rows


def archetypes(found: dict[str, dict]) -> list[dict]:
    """The estimated mean of each kind of client in each condition, where there are several."""
    emm = {name: result["emm"] or {} for name, result in found.items()}  # None: refused
    # of one kind they are the conditions' own
    several = {name: kinds for name, kinds in emm.items() if len(kinds) > 1}
    return nested(several, "outcome", "archetype", "condition")


def subgroups(found: list[dict]) -> list[dict]:
    """The conditions compared within each subgroup, smallest q first, those not tested last;
    `clients` is summary.json's "sessions"."""
    rows = []
    for group in sorted(found, key=lambda row: (row["refused"] is not None, row["q"] or 0)):
        row = {"clients" if key == "sessions" else key: value for key, value in group.items()}
        rows.append(row | {"_best": group["refused"] or group["best"]})
    return rows


def scatter(found: dict) -> list[dict]:
    """How far the ratings of one session differ."""
    rows = []
    for name, sd in found.get("sd_within", {}).items():
        rows.append({"outcome": name, "sd": sd, "reliability": found["reliability"][name]})
    return rows


def left_over(outcomes: dict[str, dict], held: dict[str, Scores]) -> dict[str, dict]:
    """Of each fitted leading outcome what its model expects of every row, and what is left; and
    each client's (or pair's) estimated effect, drawn towards 0."""
    found = {}
    for name, scores in held.items():
        if name in LEADING and not outcomes[name]["refused"]:
            fitted, residual, effects = residuals_of(scores.fit(name), *scores.data(name))
            columns = {"condition": scores.condition, "profile": scores.profile}  # (N,) each
            columns |= {"fitted": fitted, "residual": residual}
            clients = sorted(set(scores.profile.tolist()))  # in the order of the effects
            effects = records({"profile": clients, "effect": effects})
            found[name] = {"sessions": records(columns), "clients": effects}
    return found


def failures(found: dict[str, dict]) -> list[dict]:
    """What went wrong, by condition; statuses as text, "complete 7, context 1"."""
    rows = nested(found, "condition")
    for row in rows:  # session_statuses: {"complete": 7, "context": 1}
        for name, value in row.items():
            if isinstance(value, dict):
                row[name] = ", ".join(f"{status} {n}" for status, n in sorted(value.items()))
    return rows


def topics(safety: dict) -> list[dict]:
    """Sessions that speak of danger, by condition and topic, and who spoke of it first."""
    rows = []
    for condition, of in safety["sessions"].items():  # how many it has
        found = {condition: {of: safety["counts"][condition]}}
        rows += nested(found, "condition", "of_sessions", "topic")
    for row in rows:  # None: no client spoke of it
        helped = f"{row['pointed_to_help']} of {row['client_spoke']}"
        row["_helped"] = helped if row["client_spoke"] else None
    return rows


def hits(found: list[dict]) -> list[dict]:
    """The words that were found; `_shown` are the first of their topic that the therapist said."""
    first = [hit for hit in found if hit["first"] and hit["speaker"] == "therapist"]
    counts = {"_first": len(first), "_most": SHOWN, "_hits": len(found)}
    return [hit | counts | {"_shown": hit in first[:SHOWN]} for hit in found]


def exchange(sessions: list[dict]) -> list[dict]:
    """One client's words and what each condition answered: nobody picked them, and no score did."""
    met = defaultdict(dict)  # profile -> condition -> number of a turn -> the turn, if answered
    for session in sessions:
        turns = {n: turn for n, turn in enumerate(session["turns"], 1) if turn["answer"]}
        met[session["profile"]["id"]][session["condition"]] = turns
    # every condition that the client met answered these turns; the client who met most comes first
    shared = {name: sorted(set.intersection(*map(set, of.values()))) for name, of in met.items()}
    answered = filter(shared.get, sorted(shared))
    profile = max(answered, key=lambda name: len(met[name]), default="")
    rows = []
    for condition in filter(met[profile].get, CONDITIONS):
        number_of = shared[profile][len(shared[profile]) // 2]  # the middle one
        turn = met[profile][condition][number_of]
        said = {"client": turn["client"], "therapist": turn["answer"]}
        rows.append({"condition": condition, "profile": profile, "turn": number_of} | said)
    return rows
