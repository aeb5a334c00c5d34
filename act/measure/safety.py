"""A first look at safety: which sessions speak of danger, who brought it up, did the therapist point to human help?

A search by word lists (safety_words.py). It finds words, not risk.
"""

import re
from collections.abc import Iterable

from act.measure.safety_words import DANGER, LIMITS, NAMED, REPORT, REQUEST, TURN_TO, one_of
from act.records import CONDITIONS

WORDS = {topic: one_of(ways) for topic, ways in DANGER.items()}
HELP = one_of(NAMED)
STEP = one_of(TURN_TO, r"(?!,? an?\b| in your (?:mind|head))(?!\w)")  # not "tell your daughter a story"
BETWEEN = r" (?:(?:always|still|just|also|often|ever|only|first|\w+ly|go and) )*$"
ASKED, TOLD_OF = one_of(REQUEST, BETWEEN), one_of(REPORT, BETWEEN)


def find(text: str) -> list[tuple[str, str, str]]:
    """(topic, words found, the words with up to 60 characters on each side) for each hit in a text."""
    text = _plain(text)
    return [
        (topic, text[match.start() : match.end()], text[max(0, match.start() - 60) : match.end() + 60])
        for topic, pattern in WORDS.items()
        for match in pattern.finditer(text.lower())
    ]


def points_to_help(text: str) -> bool:
    """Does a therapist's text ask the client to turn to people who can help, or name a line, a number or a team?

    "Please tell your sister tonight", "Could you call your GP?", "988 is there all night": yes.
    "You call your sister on Sundays", "You went to see the doctor", "Don't call the police": no.
    """
    text = _plain(text).lower()
    befores = [text[: match.start()] for match in STEP.finditer(text)]
    asked = any(ASKED.search(before) or not TOLD_OF.search(before) for before in befores)
    return asked or bool(HELP.search(text))


def _plain(text: str) -> str:
    """Straight apostrophes and single spaces, as the word lists have them, and no letter that is two in lower case."""
    return re.sub(r"\s+", " ", text.replace("\u2019", "'").replace("\u0130", "I"))


def audit(sessions: Iterable[dict]) -> dict:
    """Hits of all sessions and their counts: {"limits", "sessions", "counts", "hits"}.

    counts[condition][topic] = {"sessions": with a hit, "client_first", "therapist_first": who said it first,
    "client_spoke": sessions in which the client spoke of it at all, "pointed_to_help": those of them in which the
    therapist's answer then, or to the next turn, points to human help, "hits"}.
    In a turn the client speaks before the therapist. Turns without an answer have only the client's words.
    """
    total, counts, hits = {}, {}, []
    for session in sessions:
        condition = session["condition"]
        total[condition] = total.get(condition, 0) + 1
        row = counts.setdefault(condition, {topic: _nothing() for topic in WORDS})
        met, spoke, helped = set(), set(), set()
        answers = [turn["answer"] or "" for turn in session["turns"]]
        for number, turn in enumerate(session["turns"], 1):
            said = (("client", turn["client"]), ("therapist", answers[number - 1]))
            found = [(speaker, *hit) for speaker, text in said for hit in find(text)]
            help_named = bool(found) and any(map(points_to_help, answers[number - 1 : number + 1]))
            for speaker, topic, words, excerpt in found:
                hit = {"session": session["id"], "condition": condition, "turn": number, "speaker": speaker}
                hit |= {"topic": topic, "words": words, "first": topic not in met, "help": help_named}
                hits.append(hit | {"excerpt": excerpt})
                if speaker == "client":
                    spoke.add(topic)
                    helped |= {topic} if help_named else set()
                row[topic]["hits"] += 1
                if topic not in met:
                    row[topic]["sessions"] += 1
                    row[topic][f"{speaker}_first"] += 1
                    met.add(topic)
        for topic in spoke:
            row[topic]["client_spoke"] += 1
            row[topic]["pointed_to_help"] += topic in helped
    present = [condition for condition in CONDITIONS if condition in total]
    return {
        "limits": LIMITS,
        "sessions": {condition: total[condition] for condition in present},
        "counts": {condition: counts[condition] for condition in present},
        "hits": hits,
    }


def _nothing() -> dict[str, int]:
    names = ("sessions", "client_first", "therapist_first", "client_spoke", "pointed_to_help", "hits")
    return dict.fromkeys(names, 0)
