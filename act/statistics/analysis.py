"""From rating and session files to the numbers of the report: reading, scoring, every outcome's
analysis.

analyze.py reads ratings and sessions with it, and summary.py has each outcome analysed: scores
(forms.py), the model (mixed.py), what it says (contrasts.py), its intervals (bootstrap.py). The
report takes the dicts that come out.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from act.audit.style import COUNTS, count_conduct
from act.forms import OUTCOMES, score
from act.records import (
    CONDITIONS,
    RATING_KEY,
    InputError,
    check_rating,
    check_session,
    once,
    read_jsonl,
    read_unique,
)
from act.statistics import contrasts
from act.statistics.bootstrap import cluster_intervals, parametric_intervals
from act.statistics.diagnostics import diagnose, residuals_of
from act.statistics.likelihood import maximum_likelihood
from act.statistics.mixed import fit
from act.statistics.spreadsheet import is_spreadsheet, read_spreadsheet
from act.statistics.wins import head_to_head

TOTALS = ("act_fm_total", "tes_mean")  # act_fm_total: the consistent half alone (forms.OUTCOMES)
Residuals = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # of sessions: fitted values, residuals; of clients: effects
BROKEN = (
    "format",
    "context",
    "error",
)  # turn statuses that make a session a failed one; "length" is counted only


@dataclass(frozen=True)
class Scores:
    """One row per rated session (its ratings averaged), sorted by profile and condition."""

    condition: np.ndarray  # (N,) text
    profile: np.ndarray  # (N,) text
    values: dict[str, np.ndarray]  # outcome -> (N,)
    ratings: np.ndarray  # (N,) how many ratings were averaged

    def where(self, keep: np.ndarray) -> "Scores":
        """The rows where keep (N,) is true."""
        values = {name: column[keep] for name, column in self.values.items()}
        return Scores(self.condition[keep], self.profile[keep], values, self.ratings[keep])

    @property
    def sessions(self) -> list[str]:
        """Ids of the N sessions, "<condition>/<profile>"."""
        return [
            f"{condition}/{profile}"
            for condition, profile in zip(self.condition, self.profile, strict=True)
        ]

    @property
    def cells(self) -> np.ndarray:
        """(N, conditions) of zeros and ones: one column a condition."""
        return np.equal.outer(self.condition, self.conditions).astype(float)

    @property
    def conditions(self) -> list[str]:
        """The conditions that have a row, in the study's order."""
        return [name for name in CONDITIONS if name in self.condition]


def check_condition(name: str) -> None:
    """Raises ValueError for a name that is none of the six."""
    if name not in CONDITIONS:
        raise ValueError(f'unknown condition "{name}"; the six are {", ".join(CONDITIONS)}')


def read_ratings(path: str | Path, kind: str) -> list[dict]:
    """The ratings of a JSONL file or a spreadsheet, checked; kind is "integer" or "expected"
    (probability-weighted).

    Raises InputError with file and line for a bad rating, a duplicate, an unknown condition, or an
    expected rating that is not there: integers never stand in for it.
    """

    def check(record: dict) -> None:
        check_rating(record)
        check_condition(record["condition"])
        if record["session"] != f"{record['condition']}/{record['profile']}":
            raise ValueError(
                f'session "{record["session"]}" is not "{record["condition"]}/{record["profile"]}"'
            )
        if kind == "expected" and record["status"] == "ok":
            for field in ("act_fm_expected", "tes_expected"):
                if field not in record:
                    raise ValueError(
                        f'"{field}" is missing: this judge gave no probabilities; use --score integer'
                    )

    read = read_spreadsheet if is_spreadsheet(path) else read_jsonl
    ratings = list(read(path, once(check, *RATING_KEY)))
    if not ratings:
        raise InputError(f"{path}:1: no rating in this file")
    return ratings


def read_sessions(path: str | Path, ratings: list[dict]) -> list[dict]:
    """The sessions of a file, checked; every rating must belong to one of them."""

    def check(record: dict) -> None:
        check_session(record)
        check_condition(record["condition"])
        if record["id"] != f"{record['condition']}/{record['profile']['id']}":
            raise ValueError(
                f'id "{record["id"]}" is not "{record["condition"]}/{record["profile"]["id"]}"'
            )

    sessions = read_unique(path, check)
    ids = {session["id"] for session in sessions}
    for rating in ratings:
        if rating["session"] not in ids:
            raise InputError(
                f'{path}: no session "{rating["session"]}", which was rated; is it the same study\'s file?'
            )
    return sessions


def scores_by_session(
    ratings: list[dict], kind: str
) -> dict[tuple[str, str], list[tuple[str, dict]]]:
    """(profile, condition) -> (rater, all outcomes) of each of its ratings; ratings that failed are
    left out."""
    field = "" if kind == "integer" else "_expected"
    by_session: dict[tuple[str, str], list[tuple[str, dict]]] = {}
    for rating in ratings:
        if rating["status"] == "ok":
            outcome = score(rating[f"act_fm{field}"], rating[f"tes{field}"])
            by_session.setdefault((rating["profile"], rating["condition"]), []).append(
                (rating["rater"], outcome)
            )
    return by_session


def score_sessions(ratings: list[dict], kind: str, path: str | Path) -> Scores:
    """Score each rating, average a session's ratings over raters and replicates; ratings that
    failed are left out.

    Raises InputError where no comparison is possible: fewer than 2 conditions or profiles, a
    condition rated once.
    """
    by_session = scores_by_session(ratings, kind)
    keys = sorted(by_session, key=lambda key: (key[0], CONDITIONS.index(key[1])))
    profile, condition = np.array([key[0] for key in keys]), np.array([key[1] for key in keys])
    count = Counter(condition.tolist())
    if len(count) < 2:
        raise InputError(
            f"{path}: rated sessions of {len(count)} condition(s); a comparison needs at least 2"
        )
    for name, number in count.items():
        if number < 2:
            raise InputError(
                f'{path}: condition "{name}" has 1 rated session; its variation needs at least 2'
            )
    if len(set(profile.tolist())) < 2:
        raise InputError(
            f'{path}: all ratings are of one profile, "{profile[0]}"; at least 2 are needed'
        )
    values = {
        name: np.array([np.mean([one[name] for _, one in by_session[key]]) for key in keys])
        for name in OUTCOMES
    }
    return Scores(condition, profile, values, np.array([len(by_session[key]) for key in keys]))


def analyse(scores: Scores, outcome: str, resamples: int, seed: int) -> dict:
    """One outcome's entry in summary.json.

    `n` counts rated sessions; `sessions` counts CLIENTS and variance `session` is the variance
    between clients: the published analysis's names. Where the model has no answer (constant
    ratings, ...) "refused" says why and its numbers are None.
    """
    y, names = scores.values[outcome], scores.conditions
    result = {
        "n": len(y),
        "sessions": len(np.unique(scores.profile)),
        "observed": {},
        "refused": None,
    }
    for name in names:
        rows = y[scores.condition == name]
        sd = float(rows.std(ddof=1)) if len(rows) > 1 else None
        result["observed"][name] = {"n": len(rows), "mean": float(rows.mean()), "sd": sd}
    result |= dict.fromkeys(
        ("omnibus", "omnibus_f", "variance", "icc", "r2", "emm", "contrasts", "factorial", "ml")
    )
    result |= dict.fromkeys(("diagnostics", "singular"))
    result["wins"] = head_to_head(y, scores.condition, scores.profile, names)
    try:
        if len(names) < 2:
            raise ValueError(f"sessions of {len(names)} condition(s) only")
        model = fit(scores.cells, y, scores.profile)
    except ValueError as reason:
        return result | {"refused": str(reason)}
    data = (scores.cells, y, scores.profile)
    none = dict.fromkeys(("icc", "marginal", "conditional"))
    by_cluster = cluster_intervals(*data, resamples, seed) if resamples else none
    by_model = parametric_intervals(*data, resamples, seed) if resamples else none
    marginal, conditional = model.r2
    return result | {
        "omnibus": contrasts.omnibus(model),
        "omnibus_f": contrasts.f_test(model, contrasts.all_equal(len(names))),
        "variance": {"session": model.variance_cluster, "residual": model.variance_residual},
        "icc": {"estimate": model.icc, "ci": by_cluster["icc"], "ci_parametric": by_model["icc"]},
        "r2": {
            "marginal": marginal,
            "conditional": conditional,
            "marginal_ci": by_cluster["marginal"],
            "conditional_ci": by_cluster["conditional"],
            "marginal_ci_parametric": by_model["marginal"],
            "conditional_ci_parametric": by_model["conditional"],
        },
        "emm": contrasts.means(model, names),
        "contrasts": contrasts.pairwise(model, names),
        "factorial": contrasts.factorial(model, names),
        "ml": maximum_likelihood(*data),
        "diagnostics": diagnose(model, *data, scores.sessions),
        "singular": model.singular,
    }


def residuals(scores: Scores, outcome: str) -> Residuals:
    """Fitted values (N,), residuals (N,) and the clients' effects (sorted profiles) of an outcome
    that was analysed.

    Raises ValueError where `analyse` says "refused".
    """
    data = (scores.cells, scores.values[outcome], scores.profile)
    return residuals_of(fit(*data), *data)


def failed(session: dict) -> bool:
    """A session that ended early or holds a turn that failed; it is rated, and analysed, on what
    there is of it.

    Four words, never mixed: a session *failed* as said here. A *failed rating* is one whose status
    is not "ok": the judge gave no whole form, so it has no score. A session is *unrated* if none of
    its ratings is "ok". *Missing* is what has no score for whatever reason: unrated, or not in the
    files at all.
    """
    return session["status"] != "complete" or any(
        turn["status"] in BROKEN for turn in session["turns"]
    )


def count_failures(ratings: list[dict], sessions: list[dict] | None) -> dict[str, dict]:
    """What went wrong, per condition. Without a session file the session and turn counts are
    None."""
    result = {}
    for name in CONDITIONS:
        mine = [rating for rating in ratings if rating["condition"] == name]
        rated = {rating["session"] for rating in mine if rating["status"] == "ok"}
        row = {
            "ratings": len(mine),
            "failed_ratings": sum(rating["status"] != "ok" for rating in mine),
            "rating_statuses": dict(Counter(rating["status"] for rating in mine)),
            "unrated_sessions": len({rating["session"] for rating in mine} - rated),
        }
        row |= dict.fromkeys(
            ("sessions", "failed_sessions", "session_statuses", "turns", "turn_statuses", *COUNTS)
        )
        if sessions is not None:
            held = [session for session in sessions if session["condition"] == name]
            turns = [turn for session in held for turn in session["turns"]]
            row |= {
                "unrated_sessions": len({session["id"] for session in held} - rated),
                "sessions": len(held),
                "failed_sessions": sum(failed(session) for session in held),
                "session_statuses": dict(Counter(session["status"] for session in held)),
                "turns": len(turns),
                "turn_statuses": dict(Counter(turn["status"] for turn in turns)),
                **count_conduct(held),
            }
        if row["ratings"] or row["sessions"]:
            result[name] = row
    return result


def count_missing(ratings: list[dict], sessions: list[dict] | None, scores: Scores) -> dict:
    """How many of the study's sessions have a rating: "expected" = profiles x conditions, "rated",
    and by condition.

    Profiles and conditions are those of the ratings, failed ones too, and of the session file if
    there is one. The model uses every rated session: right where a rating's absence does not depend
    on what it would have been.
    """
    held = [(rating["profile"], rating["condition"]) for rating in ratings]
    held += [(session["profile"]["id"], session["condition"]) for session in sessions or []]
    profiles, names = len({profile for profile, _ in held}), {condition for _, condition in held}
    by_condition = {}
    for name in CONDITIONS:
        if name in names:
            rated = int((scores.condition == name).sum())
            by_condition[name] = {"expected": profiles, "rated": rated, "missing": profiles - rated}
    return {
        "expected": profiles * len(names),
        "rated": len(scores.profile),
        "profiles": profiles,
        "by_condition": by_condition,
    }
