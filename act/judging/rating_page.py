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
from act.records import InputError

TEMPLATE = Path(__file__).with_name("rating_page.html")


def rating_page(
    texts: Sequence[tuple[dict, list[tuple[str, str]]]], forms: Sequence[Form], wording: str
) -> str:
    """The page for (session, its (client, answer) turns) pairs. `wording` names the forms' texts in
    the export.

    Raises InputError where there is no session.
    """
    if not texts:
        raise InputError(
            "no session has an answer to rate: were there any, or did each end in its first turn?"
        )
    sessions = []
    for session, said in texts:
        names = {
            "session": session["id"],
            "condition": session["condition"],
            "profile": session["profile"]["id"],
        }
        sessions.append(
            {"hidden": base64.b64encode(json.dumps(names).encode()).decode(), "said": said}
        )
    sheets = [
        {"name": f.name, "title": f.title, "low": f.low, "high": f.high, "anchors": f.anchors}
        | {"items": [item.text for item in f.items]}
        for f in forms
    ]
    data = {"wording": wording, "forms": sheets, "sessions": sessions}
    data["digest"] = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]
    coded = json.dumps(data, ensure_ascii=False).replace(
        "<", "\\u003c"
    )  # no tag can end the script element
    return TEMPLATE.read_text(encoding="utf-8").replace("{{DATA}}", coded)
