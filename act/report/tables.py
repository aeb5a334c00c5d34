"""The analysis as CSV files for spreadsheets, one row a thing that was measured.

analyze.py calls `write_tables`; each *_table takes a part of summary.json and gives one dict a row.
The page's own tables, rounded and in words, are results.py's and doubts.py's.
"""

import csv
from pathlib import Path

from act.forms import OUTCOMES
from act.statistics.analysis import Residuals, Scores


def flat(value: object, name: str) -> dict:
    """{"ci": [1, 2], "icc": {"estimate": 3}} under name "x" -> {"x_ci_low": 1, "x_ci_high": 2,
    "x_icc_estimate": 3}.

    An interval is a list of two numbers under a name with "ci" in it. Other lists are counted.
    """
    if isinstance(value, dict):
        cells = [flat(part, f"{name}_{key}" if name else key) for key, part in value.items()]
        return {key: cell for row in cells for key, cell in row.items()}
    if "ci" in name.split("_") and (value is None or isinstance(value, list)):
        return dict(zip((f"{name}_low", f"{name}_high"), value or (None, None), strict=True))
    return {name: len(value) if isinstance(value, list) else value}


def means_table(outcomes: dict[str, dict]) -> list[dict]:
    """One row per outcome and condition: n, mean and SD as observed; estimated marginal mean with
    interval."""
    rows = []
    for name, result in outcomes.items():
        for condition, seen in result["observed"].items():
            emm = (
                dict(result["emm"][condition])
                if result["emm"]
                else {"mean": None, "se": None, "ci": None}
            )
            row = {"outcome": name, "condition": condition, **seen, "emm": emm.pop("mean")}
            rows.append(row | flat(emm, ""))
    return rows


def tests_table(outcomes: dict[str, dict]) -> list[dict]:
    """One row per outcome: every test, variance and statistic of its model, or why there are none.

    n counts rated sessions. summary.json's "sessions", which counts clients, is the column
    `clients` here, and the variance "session", which is the one between clients, stays
    `variance_session` (see analysis.analyse).
    """
    rows = []
    for name, result in outcomes.items():
        row = {
            "outcome": name,
            "n": result["n"],
            "clients": result["sessions"],
            "refused": result["refused"],
        }
        for part in (
            "omnibus",
            "omnibus_f",
            "factorial",
            "variance",
            "icc",
            "r2",
            "diagnostics",
            "singular",
        ):
            if result[part] is not None:
                row |= flat(result[part], "" if part == "factorial" else part)
        row.pop("cot_in", None)  # has a table of its own
        rows.append(row)
    return rows


def pairs_table(outcomes: dict[str, dict], part: str) -> list[dict]:
    """One row per outcome and pair, for part = "contrasts" or "wins"; intervals as two columns."""
    return [
        {"outcome": name} | flat(pair, "")
        for name, result in outcomes.items()
        for pair in result[part] or []
    ]


def thinking_table(outcomes: dict[str, dict]) -> list[dict]:
    """One row per outcome and training: what chain of thought does there."""
    return [
        {"outcome": name} | flat(row, "")
        for name, result in outcomes.items()
        if result["factorial"]
        for row in result["factorial"]["cot_in"]
    ]


def archetype_table(archetype: dict | None) -> list[dict]:
    """One row per total, archetype and condition: the estimated mean."""
    return [
        {"outcome": name, "archetype": kind, "condition": condition} | flat(mean, "")
        for name, result in (archetype or {}).items()
        for kind, means in (result["emm"] or {}).items()
        for condition, mean in means.items()
    ]


def replicates_table(found: dict | None) -> list[dict]:
    """One row per total and pair of conditions: the difference for raters like these. Only where
    several rated."""
    contrasts = found["contrasts"] if found else None
    return [
        {"outcome": name} | flat(row, "")
        for name, across in (contrasts or {}).items()
        for row in across["rows"] or []
    ]


def subgroups_table(subgroups: list[dict] | None) -> list[dict]:
    """One row per total, profile field and value: n counts rated sessions, `clients` is
    summary.json's "sessions"."""
    return [
        {"clients" if key == "sessions" else key: cell for key, cell in row.items()}
        for row in subgroups or []
    ]


def failures_table(failures: dict[str, dict]) -> list[dict]:
    """One row per condition; statuses as text, "complete 7, context 1"."""
    rows = []
    for condition, row in failures.items():
        cells = {
            field: ", ".join(f"{status} {n}" for status, n in sorted(value.items()))
            if isinstance(value, dict)
            else value
            for field, value in row.items()
        }
        rows.append({"condition": condition, **cells})
    return rows


def safety_table(safety: dict) -> list[dict]:
    """One row per condition and topic: sessions with a hit and who said it first."""
    return [
        {"condition": condition, "of_sessions": number, "topic": topic, **counts}
        for condition, number in safety["sessions"].items()
        for topic, counts in safety["counts"][condition].items()
    ]


def scores_table(scores: Scores) -> list[dict]:
    """One row per rated session with all its outcomes."""
    return [
        {
            "condition": scores.condition[i],
            "profile": scores.profile[i],
            "ratings": int(scores.ratings[i]),
        }
        | {name: float(scores.values[name][i]) for name in OUTCOMES}
        for i in range(len(scores.profile))
    ]


def residuals_table(scores: Scores, residuals: dict[str, Residuals]) -> list[dict]:
    """One row per total and rated session: what the model expects, and what is left."""
    return [
        {"outcome": name, "condition": scores.condition[i], "profile": scores.profile[i]}
        | {"fitted": float(fitted[i]), "residual": float(residual[i])}
        for name, (fitted, residual, _) in residuals.items()
        for i in range(len(scores.profile))
    ]


def clients_table(scores: Scores, residuals: dict[str, Residuals]) -> list[dict]:
    """One row per total and client: the client's estimated effect, drawn towards 0."""
    profiles = sorted(set(scores.profile.tolist()))
    return [
        {"outcome": name, "profile": profile, "effect": float(effect)}
        for name, (_, _, effects) in residuals.items()
        for profile, effect in zip(profiles, effects, strict=True)
    ]


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write rows; numbers in full, None as an empty cell. No rows: no file."""
    path.unlink(missing_ok=True)  # an older analysis in the same folder
    if rows:
        columns = dict.fromkeys(column for row in rows for column in row)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns), restval="")
            writer.writeheader()
            writer.writerows({column: safe(cell) for column, cell in row.items()} for row in rows)


def safe(cell: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front, and stays
    text."""
    return (
        f"'{cell}"
        if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        else cell
    )


def write_tables(
    folder: Path, scores: Scores, summary: dict, residuals: dict[str, Residuals]
) -> None:
    """Write every table that there is something for."""
    outcomes, safety = summary["outcomes"], summary["safety"]
    tables = {
        "scores": scores_table(scores),
        "means": means_table(outcomes),
        "tests": tests_table(outcomes),
        "contrasts": pairs_table(outcomes, "contrasts"),
        "thinking": thinking_table(outcomes),
        "wins": pairs_table(outcomes, "wins"),
        "archetypes": archetype_table(summary["archetype"]),
        "subgroups": subgroups_table(summary["subgroups"]),
        "replicates": replicates_table(summary["replicates"]),
        "residuals": residuals_table(scores, residuals),
        "client_effects": clients_table(scores, residuals),
        "failures": failures_table(summary["failures"]),
        "safety": safety_table(safety) if safety else [],
        "safety_hits": safety["hits"] if safety else [],
    }
    for name, rows in tables.items():
        write_csv(folder / f"{name}.csv", rows)
