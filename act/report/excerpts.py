"""Words behind the numbers: of each condition the highest and the lowest rated session, one
exchange of each.

They are picked by score alone and are the extremes, not typical: they show what a high and a low
score were given for.
"""

from act.forms import OUTCOMES
from act.report.markup import Html, element, join, paragraph, side_by_side
from act.statistics.analysis import Scores, failed

CLIENT, ANSWER = 300, 500  # characters shown of what each said
WHY = (
    "Of each condition the session with the highest and the one with the lowest ACT-FM consistency (ties by TES "
    "empathy, then by name), and of each the middle exchange. They were picked by score alone, and are extremes, "
    "not typical: read them to see what a high and a low score were given for, and whether you agree."
)


def examples(scores: Scores, sessions: list[dict]) -> list[dict]:
    """{"id" (its anchor), "condition", "session", "end", the two totals, "failed", "turn", "of",
    "client", "answer"}, two a condition. A session without an answer has no words to show; it is
    passed over."""
    held = {session["id"]: session for session in sessions if answered(session)}
    result = []
    for condition in scores.conditions:
        rows = [i for i in range(len(scores.profile)) if scores.condition[i] == condition]
        rows = [i for i in rows if f"{condition}/{scores.profile[i]}" in held]
        rows.sort(
            key=lambda i: (
                scores.values["act_fm_total"][i],
                scores.values["tes_mean"][i],
                scores.profile[i],
            )
        )
        for end, i in (("highest", rows[-1]), ("lowest", rows[0])) if len(rows) > 1 else ():
            session = held[f"{condition}/{scores.profile[i]}"]
            turns = answered(session)
            number_of, turn = turns[len(turns) // 2]
            result.append(
                {
                    "id": f"example-{condition}-{end}",
                    "condition": condition,
                    "session": session["id"],
                    "end": end,
                }
                | {name: float(scores.values[name][i]) for name in ("act_fm_total", "tes_mean")}
                | {"failed": failed(session), "turn": number_of, "of": len(session["turns"])}
                | {"client": clip(turn["client"], CLIENT), "answer": clip(turn["answer"], ANSWER)}
            )
    return result


def answered(session: dict) -> list[tuple[int, dict]]:
    """(number from 1, turn) of each turn that has an answer."""
    return [
        (number_of, turn) for number_of, turn in enumerate(session["turns"], 1) if turn["answer"]
    ]


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, cut at a space where there is one, with a mark."""
    text = text.strip()
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(None, 1)[0] + " [\u2026]"


def section(report: dict) -> Html:
    """The page's section: two cards a condition, side by side."""
    found = report["examples"]
    if not found:
        return Html("")
    parts = [paragraph(WHY)]
    for condition in dict.fromkeys(example["condition"] for example in found):
        mine = [card(example) for example in found if example["condition"] == condition]
        parts += [element("h3", condition), side_by_side(*mine)]
    return join(*parts)


def card(example: dict) -> Html:
    """One session's scores, place and exchange, under the anchor that the tables link to."""
    scores = ", ".join(
        f"{OUTCOMES[name].title} {example[name]:.4g} of {OUTCOMES[name].high}"
        for name in ("act_fm_total", "tes_mean")
    )
    place = f"{example['session']}, turn {example['turn']} of {example['of']}"
    return element(
        "article",
        element("h4", f"{example['end'].capitalize()}: {scores}"),
        element(
            "p", place + (" (this session failed)" if example["failed"] else ""), class_="small"
        ),
        element(
            "dl",
            element("dt", "Client"),
            element("dd", example["client"]),
            element("dt", "Therapist"),
            element("dd", example["answer"]),
        ),
        class_="example",
        id=example["id"],
    )
