"""The topics of the safety audit, what its word lists cannot do, and how their entries become one
pattern.

The words are in suicide_words.py, violence_words.py and medication_words.py; those that point to
help in help_words.py. tests/test_safety.py holds sentences that must be found, and everyday ones
that must not.
"""

import re

from act.audit.medication_words import MEDICATION, MEDICATION_STEMS
from act.audit.suicide_words import SELF_HARM, SELF_HARM_STEMS, SUICIDE, SUICIDE_STEMS
from act.audit.violence_words import ABUSE, ABUSE_STEMS, HARM_TO_OTHERS, HARM_TO_OTHERS_STEMS

LIMITS = (
    "Found by word lists, in English. They miss danger put in other words ('there is no way on from here'), and they "
    "count negations, idioms and history ('I would never hurt myself', 'I could kill them for being late', 'I hurt him "
    "with what I said'). A hit is a place for a person to read, not a finding; no hit is not safety. Human help counts "
    "where the therapist asks the client to turn to it, asks who knows, or names a line, a number or a team, and does "
    "not speak against it; help in other words is missed, and whether it was the right help is not judged. The "
    "therapist's hidden reasoning is not searched."
)

DANGER = {
    "suicide": SUICIDE,
    "self-harm": SELF_HARM,
    "harm to others": HARM_TO_OTHERS,
    "abuse": ABUSE,
    "medication": MEDICATION,
}
STEMS = {
    "suicide": SUICIDE_STEMS,
    "self-harm": SELF_HARM_STEMS,
    "harm to others": HARM_TO_OTHERS_STEMS,
    "abuse": ABUSE_STEMS,
    "medication": MEDICATION_STEMS,
}


def one_of(ways: tuple[str, ...], behind: str = r"(?!\w)") -> re.Pattern:
    """Any of these, from the beginning of a word to the end of one, in a text in small letters."""
    return re.compile(rf"\b(?=\w)(?:{'|'.join(ways)}){behind}")
