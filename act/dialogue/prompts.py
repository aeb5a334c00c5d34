"""Every prompt of the project's dialogues, and the few functions that fill them in and read the
replies.

The therapist has one prompt without reasoning and one with it; training and simulation use the same
two.
"""

import re

from act.dialogue.profiles import ARCHETYPES
from act.records import check_profile

THERAPIST_PROMPT = """\
You are a therapist who works with Acceptance and Commitment Therapy (ACT), talking with one client in writing. \
You do not try to remove painful thoughts and feelings; you help this person make room for them, see them for what \
they are, and move towards what matters.

How you work:
- Be brief, plain and warm: two to five sentences, with one question or one invitation at a time.
- Start from what the client has just said. Pain is a natural part of a life: stay with it.
- Prefer experience to explanation: ask what shows up right now, in the body and in the mind.
- Help the client notice thoughts as thoughts, and notice that the one who notices is more than any of them.
- Ask what a way of responding gives and what it costs, and let the client's own experience judge.
- Ask what the client cares about, and when they are willing, look together for one small step.
- Do not lecture, advise, persuade, reassure, dispute thoughts or push positive thinking. Avoid stock phrases and \
ready-made exercises.

If the client speaks of suicide or of harming themselves or anyone else, set the rest aside: respond directly and \
with care, ask whether they are safe now, and ask them to contact emergency services, a crisis line or a person \
near them at once."""

COT_FORMAT = """\
Write every reply in two parts, in this form:

Thinking: two to four sentences the client will not see. Say what is going on in the client at this moment, which \
ACT process it calls for, and why this move fits now.

Answer: what the client hears, and nothing else.

Begin with the word "Thinking:" and leave a blank line before "Answer:". Use each label once, at the start of its \
line, without bold type, and write nothing before or after the two parts."""

THERAPIST_COT_PROMPT = f"{THERAPIST_PROMPT}\n\n{COT_FORMAT}"

CLIENT_PROMPT = """\
You play a client in a therapy session: a {gender} aged {age}, {occupation}. Your trouble is {issue}: {symptoms}. \
{event}. {background}. {relationship}, and as for support, {support}. You are {personality}. When it gets hard, you \
{coping}. {mindedness}. Your manner: {style}. What brings you in: {problem}.

{archetype}

Speak as this person, in everyday words, one to four sentences at a time. Be specific. Change slowly and not in a \
straight line: contradict yourself, resist, be annoyed. Write only your own words: no labels, no stage directions, \
never the therapist's part. Never say goodbye or end the session. A note in square brackets is private: let it show, \
and do not mention it."""

CLIENT_OPENING = "Please take a seat. We have plenty of time. Where would you like to begin today?"

TWIST_MESSAGE = (
    "[Private note, for you alone: {note} Let it show in what you say next, in your own way.]"
)

SUPERVISOR_PROMPT = """\
You supervise a written role play of an Acceptance and Commitment Therapy session. You see the session so far and a \
draft of the {speaker}'s next turn. Judge the draft alone.

A good draft {standard}

Reply with one line and nothing else, in one of these two forms:
ACCEPT
REVISE: one or two sentences that tell the {speaker} what to change

Accept a draft that is good enough. Do not write the turn yourself."""

SUPERVISOR_STANDARDS = {
    "therapist": "answers what the client has just said; is brief and warm, with one question or invitation; works "
    "with experience, willingness, noticing thoughts as thoughts, values or a small step; and neither lectures, "
    "advises, reassures, disputes a thought nor repeats an earlier turn.",
    "client": "sounds like the same person as before; is one to four sentences in the first person; reacts to what the "
    "therapist has just said without improving too fast; and neither plays the therapist, repeats an earlier turn nor "
    "ends the session.",
}

SUPERVISOR_REQUEST = "The session so far:\n\n{transcript}\n\nThe {speaker}'s draft:\n\n{draft}"

REVISION_REQUEST = "Your supervisor asks for a change to that turn: {feedback} Write the turn again, in the same form."

NOT_A_TREATMENT = (
    "This is a research program, not a therapist and not a treatment: "
    "it can be wrong, and nobody reads along who could help you."
)

CRISIS_NOTICE = """\
If you or someone else may be in danger, please talk to a person now:
  Any country           your local emergency number (112 in much of Europe, 911 in the US and Canada, 999 in the UK)
  US and Canada         call or text 988
  UK and Ireland        Samaritans, 116 123
  Anywhere              https://findahelpline.com lists free helplines by country
This program cannot see whether you are safe, and cannot call anyone for you."""

THINKING, ANSWER = "Thinking:", "Answer:"
TWO_PARTS = re.compile(r"Thinking:(.*?)^Answer:(.*)", re.DOTALL | re.MULTILINE)
LABEL = re.compile(r"^(Thinking|Answer):", re.MULTILINE)


def therapist_prompt(cot: bool) -> str:
    """The therapist's system prompt: the same in training and in simulation."""
    return THERAPIST_COT_PROMPT if cot else THERAPIST_PROMPT


def cot_reply(thinking: str, answer: str) -> str:
    """The two-part reply a CoT therapist is trained on; `parse_reply` reads it back."""
    return f"{THINKING} {thinking}\n\n{ANSWER} {answer}"


def parse_reply(text: str, cot: bool) -> tuple[str | None, str] | None:
    """A therapist's reply -> (thinking, answer), or None when the form was not kept.

    With `cot`: "Thinking:" comes first, a later line begins with "Answer:", each label begins a
    line exactly once, and both parts say something. Labels are matched to the letter. Nothing is
    guessed: a reply without an answer has none. Without `cot` the whole text is the answer,
    whatever it looks like, and thinking is None.

        parse_reply("Thinking: She pulls back.\\n\\nAnswer: What is here now?", cot=True)
        -> ("She pulls back.", "What is here now?")
    """
    text = text.strip()
    if not cot:
        return (None, text) if text else None
    parts = TWO_PARTS.fullmatch(text)
    if parts is None or len(LABEL.findall(text)) != 2:
        return None
    thinking, answer = (part.strip() for part in parts.groups())
    return (thinking, answer) if thinking and answer else None


def client_prompt(profile: dict) -> str:
    """The client's system prompt for a profile of `profiles.make_profiles`."""
    words = profile | {
        "archetype": ARCHETYPES[profile["archetype"]],
        "personality": "{}, {} and {}".format(*profile["personality"]),
    }
    return CLIENT_PROMPT.format(**words)


def check_client(profile: dict) -> None:
    """Raise ValueError for a profile that no client can be played from."""
    check_profile(profile)
    if profile["archetype"] not in ARCHETYPES:
        raise ValueError(
            f'"archetype" is "{profile["archetype"]}", none of {", ".join(ARCHETYPES)}'
        )
    if not isinstance(profile.get("personality"), list) or len(profile["personality"]) != 3:
        raise ValueError('"personality" is not a list of three words')
    try:
        client_prompt(profile)
    except KeyError as missing:
        raise ValueError(f"the profile has no {missing}") from None


def twist_message(note: str) -> str:
    """A hidden note as the client model sees it, after the therapist's words; the therapist never
    does."""
    return TWIST_MESSAGE.format(note=note)


def supervisor_prompt(speaker: str) -> str:
    """The supervising model's system prompt; `speaker` is "therapist" or "client"."""
    return SUPERVISOR_PROMPT.format(speaker=speaker, standard=SUPERVISOR_STANDARDS[speaker])


def supervisor_request(lines: list[tuple[str, str]], speaker: str, draft: str) -> str:
    """What the supervising model is asked: the session so far as (speaker, words) lines, and a
    draft."""
    transcript = (
        "\n\n".join(f"{who.capitalize()}: {words}" for who, words in lines) or "(nothing yet)"
    )
    return SUPERVISOR_REQUEST.format(transcript=transcript, speaker=speaker, draft=draft)


def parse_verdict(text: str) -> tuple[bool, str] | None:
    """The supervising model's reply -> (accepted, feedback), or None when it is neither form.

    "ACCEPT" -> (True, ""); "REVISE: Ask one thing only." -> (False, "Ask one thing only.").
    """
    text = text.strip()
    if text == "ACCEPT":
        return True, ""
    label, _, feedback = text.partition(":")
    feedback = feedback.strip()
    if label == "REVISE" and feedback and "\n" not in feedback:
        return False, feedback
    return None


def revision_request(feedback: str) -> str:
    """What the speaker is told when a draft came back."""
    return REVISION_REQUEST.format(feedback=feedback)
