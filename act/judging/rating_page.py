"""The page on which a person rates sessions: one HTML file, nothing fetched, nothing sent.

The rater sees what was said and both forms. Which condition a session belongs to stands in the file
base64-coded: out of a reader's sight, not out of a determined one's. The exported ratings are the
records that all scripts read, so they name it in plain text; the page asks the rater not to open
them before all is rated.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from act.forms import Form
from act.judging.judge import said_in
from act.records import InputError

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
    coded = json.dumps(data, ensure_ascii=False)
    coded = coded.replace("<", "\\u003c")  # no tag can end the script element
    return TEMPLATE.read_text(encoding="utf-8").replace("{{DATA}}", coded)
