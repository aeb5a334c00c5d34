"""What a judge's ratings depend on beside the text: kept with each of them, so that two judges are
never taken for one.

A rater is known by a short name. The same name with another adapter, wording, temperature or seed
is another judge: its ratings belong into another file, and a check of the one says nothing of the
other.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from act.model.checkpoint import model_name
from act.records import InputError, Store, read_json


def rater_names(specs: Sequence[str]) -> list[str]:
    """The names of several judges. Raises InputError where two have the same: nobody could tell
    their ratings apart."""
    names = [model_name(spec) for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f'--judge: two judges would both rate as "{name}"; give each an --out of its own'
            )
    return names


def digest(texts: Sequence[str]) -> str:
    """Twelve letters that stand for some texts in their order."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:12]


def difference(there: object, now: dict) -> str | None:
    """The first setting that differs, in words; None where all are equal."""
    if not isinstance(there, dict):
        return "settings that were not recorded"
    for name in {**there, **now}:
        if there.get(name) != now.get(name):
            return f"{name} {there.get(name, 'unknown')} there, {now.get(name, 'unknown')} now"
    return None


def refuse_others(
    store: Store, settings: dict, mine: Callable[[dict], bool] = lambda record: True
) -> None:
    """Raises InputError where a record of `store` that is `mine` has another "judge" than
    `settings`."""
    for record in store.records():
        if mine(record) and (what := difference(record.get("judge"), settings)):
            raise InputError(
                f"{store.path}: holds records of other settings ({what}); choose another --out"
            )


def read_checks(paths: Sequence[Path], names: Sequence[str]) -> dict[str, dict]:
    """Rater -> what `judge.py check` wrote of it. Raises InputError for a check of somebody who
    does not rate."""
    checks = {}
    for path in paths:
        check = read_json(path)
        if not isinstance(check.get("verdict"), dict) or not isinstance(
            check["verdict"].get("line"), str
        ):
            raise InputError(f"{path}: not a file that `judge.py check` wrote")
        if check.get("judge") not in names:
            raise InputError(
                f"{path}: a check of {json.dumps(check.get('judge'))}, not of {', '.join(names)}"
            )
        if check["judge"] in checks:
            raise InputError(f'{path}: a second check of "{check["judge"]}"')
        checks[check["judge"]] = check
    return checks


def refuse_check_of_another(check: dict, settings: dict) -> None:
    """Raises InputError where a judge was checked under other settings than it rates with. How it
    draws and what it does with long transcripts may differ."""
    free = ("seed", "long")
    there = check.get("settings")
    if isinstance(there, dict):
        there = {name: value for name, value in there.items() if name not in free}
    if what := difference(
        there, {name: value for name, value in settings.items() if name not in free}
    ):
        raise InputError(
            f"--check: {check['judge']} was checked as another judge ({what}); check it as it rates"
        )
