"""The report's tables, once as data: written as CSV for spreadsheets and shown as HTML on the page."""

import csv
from pathlib import Path

from act.measure.analysis import Scores
from act.measure.forms import OUTCOMES
from act.measure.safety import WORDS


def means_table(outcomes: dict[str, dict]) -> list[dict]:
    """One row per outcome and condition: n, mean and SD as observed; estimated marginal mean with interval."""
    rows = []
    for name, result in outcomes.items():
        for condition, seen in result["observed"].items():
            emm = result["emm"][condition] if result["emm"] else {"mean": None, "se": None, "ci": (None, None)}
            low, high = emm["ci"]
            row = {"outcome": name, "condition": condition, **seen, "emm": emm["mean"], "se": emm["se"]}
            rows.append(row | {"ci_low": low, "ci_high": high})
    return rows


def tests_table(outcomes: dict[str, dict]) -> list[dict]:
    """One row per outcome: the omnibus test, the three factorial tests, variances, ICC, R2, or why there are none."""
    rows = []
    for name, result in outcomes.items():
        row = {"outcome": name, "n": result["n"], "sessions": result["sessions"], "refused": result["refused"]}
        tests = {"omnibus": result["omnibus"]} | (result["factorial"] or {})
        for test in ("omnibus", "training", "cot", "interaction"):
            for field in ("chi2", "df", "p"):
                row[f"{test}_{field}"] = tests[test][field] if tests.get(test) else None
        for part, fields in (("variance", ("session", "residual")), ("r2", ("marginal", "conditional"))):
            for field in fields:
                row[f"{part}_{field}"] = result[part][field] if result[part] else None
        row["icc"] = result["icc"]["estimate"] if result["icc"] else None
        row["icc_low"], row["icc_high"] = (result["icc"] and result["icc"]["ci"]) or (None, None)
        rows.append(row | {"singular": result["singular"]})
    return rows


def pairs_table(outcomes: dict[str, dict], part: str) -> list[dict]:
    """One row per outcome and pair, for part = "contrasts" or "wins"; intervals as two columns."""
    rows = []
    for name, result in outcomes.items():
        for pair in result[part] or []:
            row = {"outcome": name}
            for field, value in pair.items():
                if field.startswith("ci"):
                    row[f"{field}_low"], row[f"{field}_high"] = value or (None, None)
                else:
                    row[field] = value
            rows.append(row)
    return rows


def failures_table(failures: dict[str, dict]) -> list[dict]:
    """One row per condition; statuses as text, "complete 7, context 1"."""
    rows = []
    for condition, row in failures.items():
        flat = {
            field: ", ".join(f"{status} {n}" for status, n in sorted(value.items()))
            if isinstance(value, dict)
            else value
            for field, value in row.items()
        }
        rows.append({"condition": condition, **flat})
    return rows


def safety_table(safety: dict) -> list[dict]:
    """One row per condition and topic: sessions with a hit and who said it first."""
    return [
        {"condition": condition, "of_sessions": number, "topic": topic, **safety["counts"][condition][topic]}
        for condition, number in safety["sessions"].items()
        for topic in WORDS
    ]


def scores_table(scores: Scores) -> list[dict]:
    """One row per rated session with all its outcomes."""
    return [
        {"condition": scores.condition[i], "profile": scores.profile[i], "ratings": int(scores.ratings[i])}
        | {name: float(scores.values[name][i]) for name in OUTCOMES}
        for i in range(len(scores.profile))
    ]


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write rows of equal keys; numbers in full, None as an empty cell. No rows: no file."""
    path.unlink(missing_ok=True)  # an older analysis in the same folder
    if rows:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def write_tables(folder: Path, scores: Scores, summary: dict) -> None:
    """Write scores.csv, means.csv, tests.csv, contrasts.csv, wins.csv, failures.csv, safety.csv, safety_hits.csv."""
    outcomes, safety = summary["outcomes"], summary["safety"]
    write_csv(folder / "scores.csv", scores_table(scores))
    write_csv(folder / "means.csv", means_table(outcomes))
    write_csv(folder / "tests.csv", tests_table(outcomes))
    write_csv(folder / "contrasts.csv", pairs_table(outcomes, "contrasts"))
    write_csv(folder / "wins.csv", pairs_table(outcomes, "wins"))
    write_csv(folder / "failures.csv", failures_table(summary["failures"]))
    if safety:
        write_csv(folder / "safety.csv", safety_table(safety))
        write_csv(folder / "safety_hits.csv", safety["hits"])
