"""From rating and session files to scores: reading, checking, one row a rated session.

analyze.py reads its files with `read_ratings` and `read_sessions`; `score_sessions` makes of them
the `Scores` that every analysis takes.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
from act.statistics.mixed import Fit, fit
from act.statistics.spreadsheet import is_spreadsheet, read_spreadsheet

# Of ACT-FM the consistent half alone (forms.OUTCOMES).
TOTALS = ("act_fm_total", "tes_mean")


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

    def data(self, outcome: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `mixed.fit` takes: cells (N, conditions), y (N,) and the client of each row (N,)."""
        return self.cells, self.values[outcome], self.profile

    def fit(self, outcome: str) -> Fit:
        """The model of an outcome; raises ValueError where it has no answer."""
        if len(self.conditions) < 2:
            raise ValueError(f"sessions of {len(self.conditions)} condition(s) only")
        return fit(*self.data(outcome))

    @property
    def sessions(self) -> list[str]:
        """Ids of the N sessions, "<condition>/<profile>"."""
        pairs = zip(self.condition, self.profile, strict=True)
        return [f"{condition}/{profile}" for condition, profile in pairs]

    @property
    def cells(self) -> np.ndarray:
        """(N, conditions) of zeros and ones: one column a condition."""
        names = np.array(self.conditions, str)
        return np.equal.outer(self.condition, names).astype(float)

    @property
    def conditions(self) -> list[str]:
        """The conditions that have a row, in the study's order."""
        return [name for name in CONDITIONS if name in self.condition]


def _check_names(session: str, condition: str, profile: str) -> None:
    if condition not in CONDITIONS:
        six = ", ".join(CONDITIONS)
        raise ValueError(f'unknown condition "{condition}"; the six are {six}')
    if session != f"{condition}/{profile}":
        raise ValueError(f'session "{session}" is not "{condition}/{profile}"')


def read_ratings(path: str | Path, kind: str) -> list[dict]:
    """The ratings of a JSONL file or a spreadsheet; kind is "integer" or "expected".

    Raises InputError with file and line for a bad rating, a duplicate, an unknown condition, or an
    expected rating that is not there: integers never stand in for it.
    """

    def check(record: dict) -> None:
        check_rating(record)
        _check_names(record["session"], record["condition"], record["profile"])
        if kind == "expected" and record["status"] == "ok":
            for field in ("act_fm_expected", "tes_expected"):
                if field not in record:
                    cause = "this judge gave no probabilities; use --score integer"
                    raise ValueError(f'"{field}" is missing: {cause}')

    read = read_spreadsheet if is_spreadsheet(path) else read_jsonl
    ratings = list(read(path, once(check, *RATING_KEY)))
    if not ratings:
        raise InputError(f"{path}:1: no rating in this file")
    return ratings


def read_sessions(path: str | Path, ratings: list[dict]) -> list[dict]:
    """The sessions of a file, checked; every rating must belong to one of them."""

    def check(record: dict) -> None:
        check_session(record)
        _check_names(record["id"], record["condition"], record["profile"]["id"])

    sessions = read_unique(path, check)
    ids = {session["id"] for session in sessions}
    for rating in ratings:
        if rating["session"] not in ids:
            lost = f'no session "{rating["session"]}", which was rated'
            raise InputError(f"{path}: {lost}; is it the same study's file?")
    return sessions


def scores_by_session(
    ratings: list[dict], kind: str
) -> dict[tuple[str, str], list[tuple[str, dict]]]:
    """(profile, condition) -> (rater, all outcomes) of each of its ratings that did not fail."""
    field = "" if kind == "integer" else "_expected"
    by_session: dict[tuple[str, str], list[tuple[str, dict]]] = {}
    for rating in ratings:
        if rating["status"] == "ok":
            key = rating["profile"], rating["condition"]
            outcomes = score(rating[f"act_fm{field}"], rating[f"tes{field}"])
            by_session.setdefault(key, []).append((rating["rater"], outcomes))
    return by_session


def score_sessions(ratings: list[dict], kind: str, path: str | Path) -> Scores:
    """Score each rating that did not fail, average a session's over raters and replicates.

    Raises InputError where no comparison is possible: fewer than 2 conditions or profiles, a
    condition rated once.
    """
    by_session = scores_by_session(ratings, kind)
    # (profile, condition) of the N sessions
    keys = sorted(by_session, key=lambda key: (key[0], CONDITIONS.index(key[1])))
    profile = np.array([profile for profile, _ in keys])
    condition = np.array([condition for _, condition in keys])
    # Is there something to compare?
    counts = Counter(condition.tolist())
    if len(counts) < 2:
        lost = f"rated sessions of {len(counts)} condition(s)"
        raise InputError(f"{path}: {lost}; a comparison needs at least 2")
    for name, number in counts.items():
        if number < 2:
            lost = f'condition "{name}" has 1 rated session'
            raise InputError(f"{path}: {lost}; its variation needs at least 2")
    if len(set(profile.tolist())) < 2:
        lost = f'all ratings are of one profile, "{profile[0]}"'
        raise InputError(f"{path}: {lost}; at least 2 are needed")
    held = [[outcomes for _, outcomes in by_session[key]] for key in keys]
    values = {}
    for name in OUTCOMES:
        means = [np.mean([outcomes[name] for outcomes in each]) for each in held]
        values[name] = np.array(means)
    return Scores(condition, profile, values, np.array(list(map(len, held))))
