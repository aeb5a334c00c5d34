"""Preferences: which of two replies to the same client does a condition find likelier?

`judge.py prefer` scores both replies of matched pairs, one of which shows a behaviour that the
other lacks. Of the two one is wanted: the one that lacks it where the behaviour is inconsistent
with ACT, else the one that shows it. With logp the mean log-probability of a reply's tokens,

    margin = logp(wanted) - logp(unwanted)      nats a token

is the condition's preference on the pair. A pair takes the place that a client has in ratings: it
meets every condition, and is random in the model.
"""

from pathlib import Path

import numpy as np

from act.forms import DIRECTIONS, FORMS, named_item
from act.records import read_unique, require
from act.statistics.contrasts import compare, wilson
from act.statistics.covariates import equal_length
from act.statistics.names import check_names, warn_alike
from act.statistics.ratings import Scores

SIDES = ("shows", "lacks")
MOST = 1_000_000  # tokens, and nats below 0
# (form, item) -> the part of the forms it belongs to: a half of ACT-FM ("stance_consistent"), "tes"
PARTS = {
    (form.name, item.number): f"{item.subscale}_{item.direction}" if item.direction else "tes"
    for form in FORMS
    for item in form.items
}


def check_preference(record: dict) -> None:
    """{"id": "<condition>/<pair>", "condition", "pair", "form", "item", "direction", "shows":
    {"logp", "tokens", "end_logp"}, "lacks": {...}, ...}: mean log-prob of a reply's tokens, how
    many, log-prob of the end token behind them. Pairs about no item have null for form and item."""
    require(record, {name: str for name in ("id", "condition", "pair")})
    check_names(record["id"], record["condition"], record["pair"])
    for side in SIDES:
        require(record, {side: dict})
        try:
            check_reply(record[side])
        except ValueError as error:
            raise ValueError(f'"{side}": {error}') from None
    named_item(record)


def check_reply(found: dict) -> None:
    """Raises ValueError for one side of a preference that cannot be."""
    require(found, {"tokens": int, "logp": int | float, "end_logp": int | float})
    if not 1 <= found["tokens"] <= MOST:
        raise ValueError(f'"tokens" is {found["tokens"]}; a reply has 1 to {MOST:,}')
    for name in ("logp", "end_logp"):
        value = found[name]
        if value is False or not -MOST <= value <= 0:  # NaN is neither
            raise ValueError(f'"{name}" is {value}, no log-probability: finite, at most 0')


def read_preferences(path: str | Path) -> list[dict]:
    """The preferences of a file. Raises InputError with file and line for a bad record, a second
    one of a pair and condition, and a pair that is about something else in another condition."""
    pairs: dict[str, dict] = {}  # pair -> what it is about, and its words' digest

    def check(record: dict) -> None:
        check_preference(record)
        mine = named_item(record) | {"text": record.get("text")}
        there = pairs.setdefault(record["pair"], mine)
        for name, value in mine.items():
            if there[name] != value:
                said = f"{name} {value} here, and {there[name]} in another condition"
                raise ValueError(f'pair "{record["pair"]}" has {said}: one set of pairs a file')

    records = read_unique(path, check)
    warn_alike(path, "pair", pairs)
    return records


def score_preferences(records: list[dict]) -> Scores:
    """Preferences as scores, a pair being a `profile`: "preference", the margin; "with_end", the
    same with each reply's end token counted; and "longer", tokens(wanted) - tokens(unwanted)."""
    found = {}
    for record in records:
        wanted, unwanted = record["shows"], record["lacks"]
        if named_item(record)["direction"] == "inconsistent":
            wanted, unwanted = unwanted, wanted
        found[record["pair"], record["condition"]] = {
            "preference": wanted["logp"] - unwanted["logp"],
            "with_end": ended(wanted) - ended(unwanted),
            "longer": float(wanted["tokens"] - unwanted["tokens"]),
        }
    return Scores.of(found)


def ended(reply: dict) -> float:
    """The mean log-probability of a reply's tokens and of the end token behind them."""
    return (reply["logp"] * reply["tokens"] + reply["end_logp"]) / (reply["tokens"] + 1)


def explore(records: list[dict], scores: Scores) -> dict:
    """summary.json's "preferences": what there is beside the outcome's own entry.

    "by_direction" (of ACT-FM's items) and "by_subscale" (its eight halves, and "tes") compare the
    conditions on the pairs of that part alone; "right" counts the pairs whose margin is above 0;
    "sensitivity" asks whether the answer hangs on the end token, or on the replies' lengths.
    """
    part_of = {}  # pair -> part of the forms, "" where it is about none
    for record in records:
        part_of[record["pair"]] = PARTS.get((record.get("form"), record.get("item")), "")
    part = np.array([part_of[pair] for pair in scores.profile])  # (N,)
    directions = {name: np.char.endswith(part, f"_{name}") for name in DIRECTIONS}
    subscales = {name: part == name for name in dict.fromkeys(PARTS.values())}
    return {
        "pairs": len(part_of),
        "ours": all(record.get("source") == "bundled" for record in records),
        "by_direction": compare_within(scores, directions),
        "by_subscale": compare_within(scores, subscales),
        "right": {name: count_right(scores, name) for name in scores.conditions},
        "sensitivity": {
            "with_end": compare(scores, "with_end")[0],
            "equal_length": equal_length(scores, "preference", scores.values["longer"]),
        },
    }


def compare_within(scores: Scores, members: dict[str, np.ndarray]) -> dict[str, dict]:
    """The conditions compared on the rows of each group that has any, members (N,) each."""
    some = {name: scores.where(rows) for name, rows in members.items() if rows.any()}
    return {name: compare(of, "preference")[0] for name, of in some.items()}


def count_right(scores: Scores, condition: str) -> dict:
    """How many pairs a condition has a margin above 0 on: n, right, share, 95% interval."""
    margins = scores.values["preference"][scores.condition == condition]
    n, right = len(margins), int((margins > 0).sum())
    return {"n": n, "right": right, "share": right / n, "ci": wilson(right, n)}
