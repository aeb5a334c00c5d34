"""How the speakers kept to their parts: goodbyes, swapped roles, verbatim repeats, and to the form,
per session.

By word lists and exact matching, in English: they miss what is put in other words, and a client who
tells of a goodbye may be counted. A count shows where to read, not what happened.
"""

import re
from collections import Counter
from collections.abc import Iterable

COUNTS = {
    "goodbyes": "client's goodbyes",
    "role_flips": "role flips",
    "repeats": "verbatim repeats",
    "out_of_form": "replies out of form",
}
# For small letters. What begins with a word shares one boundary: a third of the time of one each.
GOODBYE = re.compile(
    r"\b(?:good[- ]?bye|bye(?:-bye)?|see you (?:next|then|soon|later|again)"
    r"|until next (?:time|week|session)|talk to you (?:soon|later|next)"
    r"|take care(?: of yourself)?[.!]?$|have a (?:good|nice|great|lovely) (?:day|week|one)"
    r"|(?:end|close|finish|wrap up) (?:the|this|our|today's) session"
    r"|thanks? (?:you )?for (?:the|this|today's|your) (?:session|time)"
    r"|i (?:should|have to|need to|must) (?:go|leave) now)",
    re.MULTILINE,
)
# A client who plays the therapist says, and a therapist who plays the client:
FLIPPED = {
    "client": re.compile(
        r"^\W*(?:therapist|counsell?or|assistant)\W*:"
        r"|\b(?:as (?:your|a) (?:therapist|counsell?or)|as an ai"
        r"|(?:i'm|i am) (?:here|glad) to (?:help|support|listen to) you"
        r"|how (?:does|did) that make you feel|what (?:brings|brought) you (?:in|here)"
        r"|your (?:client|patient)s?|how can i help you"
        r"|i (?:hear|understand) (?:that )?you(?:'re| are) (?:feeling|struggling|going through))\b",
        re.MULTILINE,
    ),
    "therapist": re.compile(
        r"^\W*client\W*:"
        r"|\b(?:my therapist|(?:you're|you are) (?:my|the) (?:therapist|counsell?or))\b",
        re.MULTILINE,
    ),
}


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
            text = text.lower().replace("\u2019", "'")
            words = " ".join(re.findall(r"\w+", text))
            if not words:
                continue
            counts["goodbyes"] += speaker == "client" and bool(GOODBYE.search(text))
            counts["role_flips"] += bool(FLIPPED[speaker].search(text))
            counts["repeats"] += words in said
            said.add(words)
    return counts


def count_conduct(sessions: Iterable[dict]) -> dict[str, int]:
    """`conduct`, summed over sessions."""
    total = Counter(dict.fromkeys(COUNTS, 0))
    for session in sessions:
        total.update(conduct(session))
    return dict(total)


def describe(sessions: Iterable[dict]) -> str:
    """ "client's goodbyes 3, role flips 0, verbatim repeats 12, replies out of form 1"."""
    return ", ".join(f"{COUNTS[name]} {n}" for name, n in count_conduct(sessions).items())


# STUB of a colleague's work, to be replaced at the merge: its contract is `STYLES` and `style`.
STYLES = {
    "words_per_reply": "Words a reply",
    "questions_per_reply": "Questions a reply",
    "ends_in_question": "Share of replies that end in a question",
    "advice_per_reply": "Advice a reply",
    "reassurance_per_reply": "Reassurance a reply",
    "list_share": "Share of replies with a list",
    "repeat_share": "Share of replies that repeat an earlier one",
    "echo_share": "Share of words that are the client's",
}


def style(session: dict) -> dict[str, float] | None:
    """How the therapist of a session speaks, STYLES's numbers; None without a reply."""
    replies = [turn["answer"] for turn in session["turns"] if turn["answer"]]
    if not replies:
        return None
    found = dict.fromkeys(STYLES, 0.0)
    found["words_per_reply"] = sum(len(reply.split()) for reply in replies) / len(replies)
    found["questions_per_reply"] = sum(reply.count("?") for reply in replies) / len(replies)
    ends = [reply.strip().endswith("?") for reply in replies]
    found["ends_in_question"] = sum(ends) / len(replies)
    return found
