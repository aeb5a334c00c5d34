"""People as raters: the page on which they rate, what a judge is compared on with them, and
examples of their ratings on which one is tuned.

The page is one HTML file. A rater sees what was said and both forms. Which condition a session
belongs to stands in the file base64-coded: out of a reader's sight, not out of a determined one's.
The exported ratings are the records that all scripts read, so they name it in plain text; the page
asks the rater not to open them before all is rated.

The examples are for `train.py --method sft`: their prompts are those that a judge reads when it
rates.
"""

import base64
import hashlib
import json
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from act.forms import Form, render, slots
from act.judging.judge import form_messages, said_in, slot_messages
from act.records import InputError, check_rating, check_session, read_unique
from act.statistics.names import warn_alike
from act.statistics.ratings import read_any

TEMPLATE = Path(__file__).with_name("rating_page.html")


def rating_page(sessions: Sequence[dict], forms: Sequence[Form], wording: str) -> str:
    """The page for sessions with answers. `wording` names the forms' texts in the export."""
    if not sessions:
        cause = "were there any, or did each end in its first turn?"
        raise InputError(f"no session has an answer to rate: {cause}")
    shown = []
    for session in sessions:
        names = {"session": session["id"], "condition": session["condition"]}
        hidden = json.dumps(names | {"profile": session["profile"]["id"]}).encode()
        shown.append({"hidden": base64.b64encode(hidden).decode(), "said": said_in(session)})
    sheets = []  # what a rater sees of the forms: no item's direction
    for form in forms:
        sheet = {"name": form.name, "title": form.title, "low": form.low, "high": form.high}
        sheet |= {"anchors": form.anchors, "items": [item.text for item in form.items]}
        sheets.append(sheet)
    data = {"wording": wording, "forms": sheets, "sessions": shown}
    data["digest"] = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]
    # no tag can end the script element
    coded = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("{{DATA}}", coded)


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


def read_forms(path: Path, suffix: str, wordings: set[str]) -> list[dict]:
    """The ratings of a file, and of each only what `judge.py agree` compares, a form a few dozen
    bytes: a million take half a GiB. `suffix` ("_expected") names probability-weighted ratings that
    are wanted, too; wordings that are named are added to `wordings`."""

    def cut_down(record: dict) -> None:
        check_rating(record)
        if isinstance(record.get("wording"), str):
            wordings.add(record["wording"])
        names = ("session", "condition", "profile", "rater", "status")
        kept = {name: sys.intern(record[name]) for name in names}
        kept["replicate"] = record["replicate"]
        if record["status"] == "ok":
            kept |= {form: bytes(record[form]) for form in ("act_fm", "tes")}
            for expected in ("act_fm_expected", "tes_expected") if suffix else ():
                if expected not in record:
                    raise ValueError("a judge gave no probabilities; use --score integer")
                kept[expected] = array("d", record[expected])
        record.clear()
        record.update(kept)

    return read_any(path, cut_down)


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
