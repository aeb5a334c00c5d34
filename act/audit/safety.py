"""A first look at safety: which sessions speak of danger, who brought it up, did the therapist
point to human help?

A search by word lists (safety_words.py, help_words.py). It finds words, not risk.
"""

import re
from collections.abc import Iterable
from itertools import groupby

from act.audit.help_words import CLAUSE, CONDITION, DENIAL, NAMED, REPORT, REQUEST, TURN_TO, USELESS
from act.audit.safety_words import DANGER, LIMITS, STEMS, one_of
from act.records import CONDITIONS

WORDS = {topic: one_of(ways) for topic, ways in DANGER.items()}
RANK = {topic: rank for rank, topic in enumerate(WORDS)}
SENTENCE_END = re.compile(r"[.?!]+|$")
STEMS_OF = {topic: re.findall(r"[^|\s][^|\n]*", stems) for topic, stems in STEMS.items()}
# The topics that a stem speaks for: those of all stems that begin alike, since a match of one hides
# the others.
TOPICS = {
    stem: {
        topic
        for topic, stems in STEMS_OF.items()
        if any(s.startswith(stem) or stem.startswith(s) for s in stems)
    }
    for stem in sorted(set().union(*STEMS_OF.values()))
}
# By first letters, so that most words are passed over at a glance.
BY_LETTER = [
    (letter, "|".join(stem[1:] for stem in stems))
    for letter, stems in groupby(TOPICS, key=lambda stem: stem[0])
]
STEM = re.compile(rf"\b(?=({'|'.join(f'{letter}(?:{rest})' for letter, rest in BY_LETTER)}))")
HELP = one_of(NAMED)
STEP = one_of(
    TURN_TO, r"(?!,? an?\b| in your (?:mind|head))(?!\w)"
)  # not "tell your daughter a story"
BETWEEN = r" (?:(?:always|still|just|also|often|ever|only|first|\w+ly|go and) )*$"
ASKED, TOLD_OF = one_of(REQUEST, BETWEEN), one_of(REPORT, BETWEEN)
DENIED, IF, CLAUSES, BELITTLED = one_of(DENIAL), *map(re.compile, (CONDITION, CLAUSE, USELESS))

# What writers and word processors put for an apostrophe and a hyphen, and what is not seen: marks
# of emphasis as well.
APOSTROPHES, HYPHENS = "\u2018\u2019\u02bc\u00b4`", "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
UNSEEN = "\u00ad\u200b\u200c\u200d\u2060\ufeff*_"
PLAIN = str.maketrans(
    dict.fromkeys(APOSTROPHES, "'") | dict.fromkeys(HYPHENS, "-") | dict.fromkeys(UNSEEN, "")
)
PLAIN |= {ord("\u0130"): "I"}  # the one letter that is two in lower case


def find(text: str) -> list[tuple[str, str, str]]:
    """(topic, words found, the words with up to 60 characters on each side) for each hit in a text,
    made plain."""
    text = _plain(text)
    small = text.lower()
    places = {
        (topic, *_sentence(small, stem.start()))
        for stem in STEM.finditer(small)
        for topic in TOPICS[stem[1]]
    }
    return [
        (
            topic,
            text[match.start() : match.end()],
            text[max(0, match.start() - 60) : match.end() + 60],
        )
        for topic, start, end in sorted(places, key=lambda place: (RANK[place[0]], place[1]))
        for match in WORDS[topic].finditer(small, start, end)
    ]


def _sentence(text: str, at: int) -> tuple[int, int]:
    """Where the sentence begins and ends that holds a place."""
    return max(text.rfind(mark, 0, at) for mark in ".?!") + 1, SENTENCE_END.search(text, at).end()


def points_to_help(text: str) -> bool:
    """Does a therapist's text ask the client to turn to people who can help, or name a line, a
    number or a team?

    "Please tell your sister tonight", "Have you told your GP?", "988 is there all night": yes. "You
    call your sister on Sundays", "You went to see the doctor", "You don't need a crisis line": no.
    """
    text = _plain(text).lower()
    for match in STEP.finditer(text):
        before = text[: match.start()]
        if not _denied(before) and (ASKED.search(before) or not TOLD_OF.search(before)):
            return True
    named = HELP.finditer(text)
    return any(
        not _denied(text[: match.start()]) and not BELITTLED.match(text, match.end())
        for match in named
    )


def _denied(before: str) -> bool:
    """Is what comes next denied, by the words before it in its clause?"""
    clause = CLAUSES.split(before)[-1]
    denial = DENIED.search(clause)
    return bool(denial) and not IF.search(clause[: denial.start()])


def _plain(text: str) -> str:
    """Straight apostrophes, plain hyphens, single spaces, as the word lists have them; nothing
    unseen, no emphasis."""
    return " ".join(text.translate(PLAIN).split())


def audit(sessions: Iterable[dict]) -> dict:
    """Hits of all sessions and their counts: {"limits", "sessions", "counts", "hits"}.

    Conditions come in the study's order, then others ("transcript") by name.

    counts[condition][topic] = {"sessions": with a hit, "client_first", "therapist_first": who said
    it first, "client_spoke": sessions in which the client spoke of it at all, "pointed_to_help":
    those of them in which the therapist's answer then, or to the next turn, points to human help,
    "hits"}. In a turn the client speaks before the therapist. Turns without an answer have only the
    client's words.
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
                hit = {
                    "session": session["id"],
                    "condition": condition,
                    "turn": number,
                    "speaker": speaker,
                }
                hit |= {
                    "topic": topic,
                    "words": words,
                    "first": topic not in met,
                    "help": help_named,
                }
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
    present = sorted(
        total,
        key=lambda name: (CONDITIONS.index(name) if name in CONDITIONS else len(CONDITIONS), name),
    )
    return {
        "limits": LIMITS,
        "sessions": {condition: total[condition] for condition in present},
        "counts": {condition: counts[condition] for condition in present},
        "hits": hits,
    }


def _nothing() -> dict[str, int]:
    names = (
        "sessions",
        "client_first",
        "therapist_first",
        "client_spoke",
        "pointed_to_help",
        "hits",
    )
    return dict.fromkeys(names, 0)
