"""Rating records: made of judgements, and turned into examples to tune a judge on.

judge.py writes them (`rate`), and gives the examples (`tune-data`) to train.py.
"""

from collections.abc import Iterator, Sequence

from act.forms import Form, render, slots
from act.judging.judge import Judge, Judgement, Text, said_in, slot_messages
from act.judging.served import form_messages


def rating(session: dict, judge: Judge, text: Text, judgement: Judgement, wording: str) -> dict:
    """A rating record; its forms are null unless the judge filled them."""
    ratings, expected = judgement.ratings, judgement.expected
    record = {
        "session": session["id"],
        "condition": session["condition"],
        "profile": session["profile"]["id"],
        "rater": judge.name,
        "replicate": text.replicate,
        "act_fm": ratings and ratings[:25],
        "tes": ratings and ratings[25:],
        "status": judgement.status,
        "attempts": judgement.attempts,
        "wording": wording,
        "text": text.digest,
        "judge": judge.settings,
    }
    if expected:
        record |= {"act_fm_expected": expected[:25], "tes_expected": expected[25:]}
    return record | judgement.more


def examples(session: dict, record: dict, forms: Sequence[Form], target: str) -> Iterator[dict]:
    """SFT examples of one rating: "slots", 34 as a local judge is asked, or "form", one as a served
    judge is."""
    said, ratings = said_in(session), [*record["act_fm"], *record["tes"]]
    if target == "slots":
        each = zip(slots(forms), ratings, strict=True)
        rows = {f"/{s.form} {s.number}": (slot_messages(said, s), str(value)) for s, value in each}
    else:
        rows = {"": (form_messages(said, forms), render(ratings, forms))}
    for item, (prompt, text) in rows.items():
        yield {
            "id": f"{record['session']}/{record['rater']}/{record['replicate']}{item}",
            "session": record["session"],
            "prompt": prompt,
            "completion": [{"role": "assistant", "content": text}],
        }
