"""How the speakers kept to their parts, and how the therapist writes, counted per session.

`conduct` counts goodbyes, swapped roles, verbatim repeats and replies out of form; `style` measures
length, questions, advice, reassurance, lists, repeats and echoes. By the phrases of style.txt and
exact matching, in English: what is put in other words is missed, and a client who tells of a
goodbye, or a therapist who quotes advice, may be counted. A count is of words, not of what they
mean: it shows where to read, not what happened.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from act.audit.phrases import plain, read_topics
from act.forms import Outcome

COUNTS = {
    "goodbyes": "client's goodbyes",
    "role_flips": "role flips",
    "repeats": "verbatim repeats",
    "out_of_form": "replies out of form",
}
# What is measured of a reply: how many there are of something, or a share of the replies
count = partial(Outcome, low=0, unit="", group="style")
share = partial(count, high=1)
STYLES = {
    "words_per_reply": count("Words a reply"),
    "questions_per_reply": count("Questions a reply"),
    "ends_in_question": share("Replies that end in a question"),
    "advice_per_reply": count("Advice phrases a reply"),
    "reassurance_per_reply": count("Reassuring phrases a reply"),
    "list_share": share("Replies with a list"),
    "repeat_share": share("Replies that repeat an earlier one"),
    "echo_share": share("Replies that repeat the client's words"),
}
PHRASES = read_topics(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"))
# A client who plays the therapist says, and a therapist who plays the client:
FLIPPED = {"client": PHRASES["client as therapist"], "therapist": PHRASES["therapist as client"]}
LABEL = {  # or begins a line with the other's name
    "client": re.compile(r"^\W*(?:therapist|counsell?or|assistant)\W*:", re.M | re.I),
    "therapist": re.compile(r"^\W*client\W*:", re.M | re.I),
}
# "e.g", "don't", "well-being" and "3.5" are one word each, what a dash parts is two
WORD = re.compile(r"[^\W_]+(?:['.\u2010\u2011-][^\W_]+)*")
# A list's mark at the start of its line: "1.", "1)", "-", "*" and a space, or a bullet
ITEM = re.compile(r"^[ \t]*(?:(?:\d{1,2}[.)]|[-*\u2013])[ \t]|\u2022)", re.M)
# "?", "??", "?!" or "!?" and what closes behind it, unless the sentence goes on in small letters
QUESTION = re.compile(
    r"\?[?!.\u2026]*+[\"'\u2019\u201d)\]*_]*+(?![ \t]*(?:[\u2013\u2014-]+[ \t]*)?[a-z,;:])"
)
# Words in a row that are an echo. Of 192 bundled replies, which quote the client on purpose, 7
# share 7 or more with the turn they answer ("If I stop I won't start again") and one of them 8; of
# 48 replies of an untrained 135M model 10 share 8 or more.
ECHO = 8


def conduct(session: dict) -> dict[str, int]:
    """Turns of one session in which the client said goodbye, either spoke as the other, or either
    repeated a turn.

    A repeat is a turn that equals, but for case, spaces and punctuation, an earlier one of either
    speaker. And "out_of_form": the therapist's replies that broke the CoT form, also where the next
    try kept it.
    """
    counts = dict.fromkeys(COUNTS, 0)
    said: set[str] = set()
    for turn in session["turns"]:
        counts["out_of_form"] += turn.get("out_of_form", 0)
        for speaker, text in (("client", turn["client"]), ("therapist", turn["answer"] or "")):
            same = letters(text)
            if not same:
                continue
            lower = plain(text).lower()
            flipped = LABEL[speaker].search(text) or FLIPPED[speaker].hits(lower)
            counts["goodbyes"] += speaker == "client" and bool(PHRASES["goodbye"].hits(lower))
            counts["role_flips"] += bool(flipped)
            counts["repeats"] += same in said
            said.add(same)
    return counts


def style(session: dict) -> dict[str, float] | None:
    """How the therapist writes in one session: means over its n replies; None where n = 0.

    With f(i) counted in reply i, each number is (1/n) sum_i f(i); a share is one of f in {0, 1}.

        words_per_reply        words; a list's marks are none
        questions_per_reply    question marks that end a sentence; one in a quotation that goes on
                               ('You asked "why me?" and left.') does not
        ends_in_question       is there no word behind the last question mark?
        advice_per_reply       phrases of style.txt's [advice] ("you should", "make sure to")
        reassurance_per_reply  phrases of its [reassurance] ("don't worry", "you'll be fine")
        list_share             are there two or more lines with a list's mark?
        repeat_share           does it equal an earlier reply, but for case, spaces, punctuation?
        echo_share             are there ECHO words in a row of the client's turn just answered?
    """
    total = dict.fromkeys(STYLES, 0)
    said: list[str] = []
    for turn in session["turns"]:
        if not (text := turn["answer"]):
            continue
        lower, own, same = plain(text).lower(), words(ITEM.sub("", text)), letters(text)
        total["words_per_reply"] += len(own)
        total["questions_per_reply"] += len(QUESTION.findall(text))
        total["ends_in_question"] += bool(re.search(r"\?[\W_]*\Z", text))
        total["advice_per_reply"] += len(PHRASES["advice"].hits(lower))
        total["reassurance_per_reply"] += len(PHRASES["reassurance"].hits(lower))
        total["list_share"] += len(ITEM.findall(text)) > 1
        total["repeat_share"] += same in said
        total["echo_share"] += not runs(own).isdisjoint(runs(words(turn["client"])))
        said.append(same)
    return {name: n / len(said) for name, n in total.items()} if said else None


def letters(text: str) -> str:
    """A text without case, spaces and punctuation: where two are equal, one repeats the other."""
    return re.sub(r"[\W_]+", "", text.lower())


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return WORD.findall(text.lower().replace("\u2019", "'"))


def runs(said: list[str]) -> set[tuple[str, ...]]:
    """All runs of ECHO words."""
    return {tuple(said[i : i + ECHO]) for i in range(len(said) - ECHO + 1)}


def count_conduct(sessions: Iterable[dict]) -> dict[str, int]:
    """`conduct`, summed over sessions."""
    total = Counter(dict.fromkeys(COUNTS, 0))
    for session in sessions:
        total.update(conduct(session))
    return dict(total)


def describe(sessions: Iterable[dict]) -> str:
    """ "client's goodbyes 3, role flips 0, verbatim repeats 12, replies out of form 1"."""
    return ", ".join(f"{COUNTS[name]} {n}" for name, n in count_conduct(sessions).items())
