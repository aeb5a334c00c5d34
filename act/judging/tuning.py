"""People's ratings of sessions -> examples on which a judge is tuned.

`train.py --method sft` learns them: the prompts are those that a judge reads when it rates.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from act.forms import Form, render, slots
from act.judging.judge import form_messages, said_in, slot_messages
from act.records import InputError, check_session, read_unique
from act.statistics.names import warn_alike
from act.statistics.ratings import read_any


def rated_sessions(human: Path, sessions: Path, wording: str) -> list[tuple[dict, dict]]:
    """(session, rating) of each valid rating in the file `human` of one of these sessions. Raises
    InputError where there are none, and for one in another wording."""
    there = {one["id"]: one for one in read_unique(sessions, check_session)}
    ratings = read_any(human)
    clients = [session["profile"]["id"] for session in there.values()]
    warn_alike(f"{human} and {sessions}", "client", clients + [r["profile"] for r in ratings])
    pairs = []
    for rating in ratings:
        if rating["status"] == "ok" and rating["session"] in there:
            if rating.get("wording", wording) != wording:
                where = f"{human}: {rating['session']}, {rating['rater']}"
                what = f"rated in the wording {rating['wording']}, not {wording}"
                raise InputError(f"{where}: {what}; see --form")
            pairs.append((there[rating["session"]], rating))
    if not pairs:
        raise InputError(f"{human}: no valid rating of a session in {sessions}")
    return pairs


def examples(session: dict, record: dict, forms: Sequence[Form], target: str) -> Iterator[dict]:
    """SFT examples of one rating: 34 "slots" as a local judge is asked, or one "form"."""
    said, ratings = said_in(session), [*record["act_fm"], *record["tes"]]
    name = f"{record['session']}/{record['rater']}/{record['replicate']}"
    if target == "form":
        asked = {name: (form_messages(said, forms), render(ratings, forms))}
    else:
        each = zip(slots(forms), map(str, ratings), strict=True)
        asked = {f"{name}/{s.form} {s.number}": (slot_messages(said, s), r) for s, r in each}
    for key, (prompt, text) in asked.items():
        completion = [{"role": "assistant", "content": text}]
        yield {"id": key, "session": session["id"], "prompt": prompt, "completion": completion}
