"""The statistics, each as a table: its rows, made of summary.json.

tables.json lists all tables with their templates (table.py): those with a CSV file ("csv"), and the
others, which show the same rows ("rows", of them those "where" a field holds) from another side.
Rows of an outcome hold its name, those of a pair of conditions `a` and `b`.
"""

import json
from pathlib import Path

import numpy as np

from act.forms import OUTCOMES, SUBSCALES
from act.records import CONDITIONS
from act.report.table import DASH, Table
from act.statistics.analysis import TOTALS, Scores, failed
from act.statistics.diagnostics import Residuals

LOOKS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
FEW_CLIENTS = 30  # below this the normal approximation is visibly too sure
NOTHING = {  # what stands for a part that is None: it needs sessions, raters or a check
    "archetype": {},
    "subgroups": [],
    "sensitivity": {"excluded": 0, "outcomes": {}},
    "replicates": {"contrasts": None},
    "safety": {"sessions": {}, "hits": []},
    "judge_check": {"items": []},
}
SHOWN = 30  # of the words that a therapist said first; the CSV has them all


def few(result: dict) -> bool:
    """Are an outcome's clients too few for the normal approximation? ("sessions" counts them.)"""
    return result["sessions"] < FEW_CLIENTS


def adjusted(result: dict, pair: dict) -> tuple[float, list[float]]:
    """A pair's p and interval adjusted for all pairs: by t where clients are few, else by z."""
    if few(result):
        return pair["p_satterthwaite_holm_sidak"], pair["ci_adjusted_satterthwaite"]
    return pair["p_holm_sidak"], pair["ci_adjusted"]


def decimals(result: dict) -> int:
    """Decimals that show an outcome's standard errors with two digits: 2 for a person's ratings,
    more for a judge whose expected ratings hardly vary; 5 at most."""
    if result["refused"]:
        return 2
    # se 0.0123 -> 1 - floor(-1.9) = 3 decimals
    smallest = min(estimate["se"] for estimate in result["emm"].values())
    return int(np.clip(1 - np.floor(np.log10(smallest)), 2, 5))


def make_tables(summary: dict, scores: Scores, residuals: dict[str, Residuals]) -> dict[str, Table]:
    """Name -> table, all that tables.json lists; one without rows has nothing to say."""
    summary = NOTHING | {part: found for part, found in summary.items() if found is not None}
    outcomes, safety = summary["outcomes"], summary["safety"]
    rows = {
        "scores": sessions(scores),
        "means": means(outcomes),
        "tests": tests(outcomes),
        "outliers": parts({name: outcomes[name]["diagnostics"] for name in TOTALS}, "outliers"),
        "residuals": left_over(scores, residuals),
        "client_effects": client_effects(scores, residuals),
        "contrasts": contrasts(outcomes),
        "thinking": parts({name: one["factorial"] for name, one in outcomes.items()}, "cot_in"),
        "wins": parts(outcomes, "wins"),
        "archetypes": archetypes(summary["archetype"]),
        "subgroups": subgroups(summary["subgroups"]),
        "replicates": across_raters(summary["replicates"]["contrasts"]),
        "scatter": scatter(summary["replicates"]),
        "failures": failures(summary["failures"]),
        "sensitivity": sensitivity(outcomes, summary["sensitivity"]),
        "safety": topics(safety),
        "safety_hits": hits(safety["hits"]),
        "judge": judged(summary["judge_check"]["items"]),
    }
    # How numbers are written: an outcome's own decimals, and tests by t where clients are few.
    fine = {name: decimals(result) for name, result in outcomes.items()}
    by_t = few(outcomes["act_fm_total"])  # every outcome is of the same clients
    return {name: view(rows, name, fine, by_t) for name in LOOKS}


def view(rows: dict[str, list[dict]], name: str, fine: dict[str, int], by_t: bool) -> Table:
    """A table of tables.json: its rows, those of them that it wants, and its templates."""
    look = dict(LOOKS[name])  # what is taken out of it is no field of a Table
    kept = rows[look.pop("rows", name)]
    for flag in look.pop("where", ()):  # fields that must hold
        kept = [row for row in kept if row[flag]]
    more = look.pop("by_t", {})  # columns for few clients
    if by_t:
        look["columns"] = look.get("columns", {}) | more
    return Table(kept, fine, **look)


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


def sessions(scores: Scores) -> list[dict]:
    """Every rated session with all its outcomes."""
    rows = []
    for i, (condition, profile) in enumerate(zip(scores.condition, scores.profile, strict=True)):
        row = {"condition": condition, "profile": profile, "ratings": int(scores.ratings[i])}
        rows.append(row | {name: float(scores.values[name][i]) for name in OUTCOMES})
    return rows


def means(outcomes: dict[str, dict]) -> list[dict]:
    """Of each outcome and condition n, mean and SD as observed, and the estimated marginal mean."""
    # An outcome that was refused has no estimates; its cells stay empty.
    unknown = dict.fromkeys(("mean", "se", "ci", "df", "ci_satterthwaite"))
    rows = []
    for name, result in outcomes.items():
        subscale, _, way = name.partition("_")  # "stance_consistent" is of a profile
        flags = {"_total": name in TOTALS, "_other": name not in TOTALS}
        flags |= {"_fitted": bool(result["emm"]), "_way": subscale in SUBSCALES and way}
        flags["_crossed"] = name in TOTALS and bool(result["factorial"])
        for condition, seen in result["observed"].items():
            estimate = unknown | (result["emm"] or {}).get(condition, {})
            row = {"outcome": name, "condition": condition, **seen, "emm": estimate.pop("mean")}
            rows.append(row | estimate | flags)
    return rows


def tests(outcomes: dict[str, dict]) -> list[dict]:
    """Of each outcome every test, variance and statistic of its model, or why there are none.

    n counts rated sessions. summary.json's "sessions", which counts clients, is the column
    `clients` here; the variance between clients stays `variance_session` (see analysis.analyse).
    """
    rows = []
    for name, result in outcomes.items():
        # n and refusal, then parts: {} where refused, so that the file has no cells of them.
        known = {part: found for part, found in result.items() if found is not None}
        row = {"outcome": name, "n": result["n"], "clients": result["sessions"]}
        row |= {"refused": result["refused"]}
        row |= {part: known.get(part, {}) for part in ("omnibus", "omnibus_f")}
        factorial = known.get("factorial", {})
        row |= {part: factorial.get(part, {}) for part in ("training", "cot", "interaction")}
        row |= {part: known.get(part, {}) for part in ("variance", "icc", "r2", "diagnostics")}
        if "singular" in known:
            row["singular"] = known["singular"]
        rows.append(row | ends(known))
    many = {"_tests": len(rows)}
    return [row | many | {"_total": row["outcome"] in TOTALS} for row in rows]


def ends(known: dict) -> dict:
    """Of one outcome the lowest and the highest (mean, condition), and what is to be noted."""
    # (mean, condition), the first of equals wins
    ranked = [(estimate["mean"], name) for name, estimate in known.get("emm", {}).items()]
    singular = "client variance 0" if known.get("singular") else ""
    return {
        "_lowest": min(ranked, key=lambda end: end[0], default=None),
        "_highest": max(ranked, key=lambda end: end[0], default=None),
        "_note": known.get("refused", singular),
        "_outliers": len(known.get("diagnostics", {}).get("outliers", [])),
    }


def contrasts(outcomes: dict[str, dict]) -> list[dict]:
    """All pairs of conditions, with the p and the interval that are adjusted for all of them."""
    rows = parts(outcomes, "contrasts")
    for row in rows:
        result = outcomes[row["outcome"]]
        row["_p"], row["_ci"] = adjusted(result, row)  # what decides, and what is drawn
        row["_told"] = "told from 0" if row["_p"] < 0.05 else "not told from 0"
        row["_by_t"] = " by t" if few(result) else ""
    return rows


def archetypes(found: dict[str, dict]) -> list[dict]:
    """The estimated mean of each kind of client in each condition."""
    emm = {name: result["emm"] or {} for name, result in found.items()}  # None: refused
    rows = nested(emm, "outcome", "archetype", "condition")
    several = len({row["archetype"] for row in rows}) > 1  # else there is nothing to draw
    return [row | {"_several": several} for row in rows]


def subgroups(found: list[dict]) -> list[dict]:
    """The conditions compared within each subgroup, smallest q first, those not tested last;
    `clients` is summary.json's "sessions"."""
    rows = []
    for group in found:
        row = {"clients" if key == "sessions" else key: value for key, value in group.items()}
        rows.append(row | {"_best": group["refused"] or group["best"]})
    return sorted(rows, key=lambda row: (row["refused"] is not None, row["q"] or 0))


def across_raters(found: dict[str, dict] | None) -> list[dict]:
    """All pairs of both totals, with intervals for raters like these; none with one rater."""
    rows = parts(found or {}, "rows")
    for row in rows:
        across = found[row["outcome"]]
        row |= {"_raters": across["raters"], "_sessions": across["sessions"]}
    return rows


def scatter(found: dict) -> list[dict]:
    """How far the ratings of one session differ."""
    kinds = [kind for kind in ("sd_within", "reliability", "noise_share") if kind in found]
    rows = [{"outcome": name} | {kind: found[kind][name] for kind in kinds} for name in OUTCOMES]
    return rows if kinds else []


def judged(items: list[dict]) -> list[dict]:
    """The judge check's items, the weakest first."""
    return sorted(items, key=lambda item: (item["auc"] is not None, item["auc"]))


def left_over(scores: Scores, residuals: dict[str, Residuals]) -> list[dict]:
    """What the model expects of each total and rated session, and what is left."""
    rows = []
    for name, (fitted, residual, _) in residuals.items():  # (N,) both, N rated sessions
        for i, (expected, left) in enumerate(zip(fitted, residual, strict=True)):
            row = {"outcome": name, "condition": scores.condition[i], "profile": scores.profile[i]}
            rows.append(row | {"fitted": float(expected), "residual": float(left)})
    return rows


def client_effects(scores: Scores, residuals: dict[str, Residuals]) -> list[dict]:
    """Each client's estimated effect on each total, drawn towards 0."""
    rows = []
    for name, (_, _, effects) in residuals.items():  # one a client, clients sorted
        for profile, effect in zip(sorted(set(scores.profile.tolist())), effects, strict=True):
            rows.append({"outcome": name, "profile": profile, "effect": float(effect)})
    return rows


def failures(found: dict[str, dict]) -> list[dict]:
    """What went wrong, by condition; statuses as text, "complete 7, context 1"."""
    rows = nested(found, "condition")
    for row in rows:  # session_statuses: {"complete": 7, "context": 1}
        for name, value in row.items():
            if isinstance(value, dict):
                row[name] = ", ".join(f"{status} {n}" for status, n in sorted(value.items()))
    return rows


def sensitivity(outcomes: dict[str, dict], without: dict) -> list[dict]:
    """The totals' means beside those without failed sessions, where any failed and both fit."""
    emm = {}  # outcome -> of which sessions -> condition -> estimate
    for name, result in without["outcomes"].items():
        both = {"all sessions": outcomes[name]["emm"], "without failed": result["emm"]}
        emm[name] = both if without["excluded"] and all(both.values()) else {}
    return nested(emm, "outcome", "of", "condition")


def topics(safety: dict) -> list[dict]:
    """Sessions that speak of danger, by condition and topic, and who spoke of it first."""
    rows = []
    for condition, of_sessions in safety["sessions"].items():
        for row in nested(safety["counts"][condition], "topic"):
            helped = f"{row['pointed_to_help']} of {row['client_spoke']}"
            row["_helped"] = helped if row["client_spoke"] else DASH
            rows.append({"condition": condition, "of_sessions": of_sessions} | row)
    return rows


def hits(found: list[dict]) -> list[dict]:
    """The words that were found; `_shown` are the first of their topic that the therapist said."""
    first = [hit for hit in found if hit["first"] and hit["speaker"] == "therapist"]
    counts = {"_first": len(first), "_most": SHOWN, "_hits": len(found)}
    return [hit | counts | {"_shown": hit in first[:SHOWN]} for hit in found]


def examples(scored: list[dict], sessions: list[dict]) -> list[dict]:
    """Of each condition the highest and the lowest rated session, with its middle exchange.

    By ACT-FM consistency, ties by TES empathy, then by name. A session without an answer has no
    words to show; it is passed over.
    """
    # 1. what was answered in each session, and the sessions by score
    held = {session["id"]: session for session in sessions}
    answered = {}  # id -> (number from 1, turn) of each turn that has an answer
    for name, session in held.items():
        answered[name] = [(n, t) for n, t in enumerate(session["turns"], 1) if t["answer"]]
    ranked = sorted(scored, key=lambda row: (*(row[name] for name in TOTALS), row["profile"]))
    # 2. both ends of each condition
    rows = []
    for condition in CONDITIONS:
        ids = [(f"{condition}/{r['profile']}", r) for r in ranked if r["condition"] == condition]
        mine = [(name, row) for name, row in ids if answered.get(name)]
        ends = {"highest": mine[-1], "lowest": mine[0]} if len(mine) > 1 else {}
        for end, (name, row) in ends.items():
            number_of, turn = answered[name][len(answered[name]) // 2]  # the middle one
            place = {"session": name, "turn": number_of, "of": len(held[name]["turns"])}
            said = {"client": clip(turn["client"], 300), "therapist": clip(turn["answer"], 500)}
            example = {"id": f"example-{condition}-{end}", "end": end, "failed": failed(held[name])}
            rows.append(row | example | place | said)
    return rows


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, cut at a space where there is one, with a mark."""
    text = text.strip()
    return text if len(text) <= limit else text[:limit].rsplit(None, 1)[0] + " […]"
