"""What each speaker of a dialogue is told, as messages; and how what it says is read.

The prompts are plain text, in texts/; training and simulation use the same.
"""

import re
from pathlib import Path

from act.dialogue.profiles import ARCHETYPES, ME
from act.model.tokenizer import Messages
from act.records import check_profile

TEXTS = {  # name of the file -> what it says; {names} are filled in
    path.stem: path.read_text(encoding="utf-8").rstrip("\n")
    for path in (Path(__file__).parent / "texts").glob("*.txt")
}

THINKING, ANSWER = "Thinking:", "Answer:"
# from the first word on, and each label at the start of its line, once
TWO_PARTS = re.compile(r"Thinking:(.*?)^Answer:(.*)", re.DOTALL | re.MULTILINE)
LABEL = re.compile(r"^(Thinking|Answer):", re.MULTILINE)


def message(role: str, content: str) -> dict[str, str]:
    """One message of a conversation."""
    return {"role": role, "content": content}


def therapist_prompt(cot: bool, own: str | None = None) -> str:
    """The therapist's system prompt, or your `own` in its place ("": none), and the CoT form."""
    prompt = TEXTS["therapist"] if own is None else own
    return f"{prompt}\n\n{TEXTS['cot_format']}" if cot and prompt else prompt


def therapist_messages(
    turns: list[dict], client: str, cot: bool, own: str | None = None
) -> Messages:
    """What the therapist sees: its prompt, the turns so far, and what the client has just said."""
    system = therapist_prompt(cot, own)
    messages = [message("system", system)] if system else []
    for turn in turns:
        messages += [message("user", turn["client"]), message("assistant", turn["answer"])]
    return [*messages, message("user", client)]


def cot_reply(thinking: str, answer: str) -> str:
    """The two-part reply a CoT therapist is trained on; `parse_reply` reads it back."""
    return f"{THINKING} {thinking}\n\n{ANSWER} {answer}"


def parse_reply(text: str, cot: bool) -> tuple[str | None, str] | None:
    """A therapist's reply -> (thinking, answer), or None when the form was not kept.

    With `cot`: "Thinking:" comes first, a later line begins with "Answer:", each label begins a
    line exactly once, and both parts say something. Nothing is guessed: a reply without an answer
    has none. Without `cot` the whole text is the answer, and thinking is None.

        parse_reply("Thinking: She pulls back.\\n\\nAnswer: What is here now?", cot=True)
        -> ("She pulls back.", "What is here now?")
    """
    text = text.strip()
    if not cot:
        return (None, text) if text else None
    parts = TWO_PARTS.fullmatch(text)
    if parts is None or len(LABEL.findall(text)) != 2:
        return None
    thinking, answer = (part.strip() for part in parts.groups())  # neither may be empty
    return (thinking, answer) if thinking and answer else None


def client_prompt(profile: dict) -> str:
    """The client's system prompt for a profile of `profiles.make_profiles`."""
    words = {"personality": "{}, {} and {}".format(*profile["personality"])}
    words["archetype"] = ARCHETYPES[profile["archetype"]]
    return TEXTS["client"].format(**profile | words)


def check_client(profile: dict) -> None:
    """Raise ValueError for a profile that no client can be played from."""
    check_profile(profile)
    if profile["archetype"] not in ARCHETYPES:
        named = f'"archetype" is "{profile["archetype"]}"'
        raise ValueError(f"{named}, none of {', '.join(ARCHETYPES)}")
    if not isinstance(profile.get("personality"), list) or len(profile["personality"]) != 3:
        raise ValueError('"personality" is not a list of three words')
    try:
        client_prompt(profile)
    except KeyError as missing:
        raise ValueError(f"the profile has no {missing}") from None


def client_messages(profile: dict, turns: list[dict], note: str | None) -> Messages:
    """What the client sees: its prompt (a person needs none), the session from its side, and hidden
    notes behind the therapist's words."""

    def heard(words: str, note: str | None) -> dict[str, str]:
        private = f"\n\n{TEXTS['note'].format(note=note)}" if note else ""
        return message("user", f"{words}{private}")

    played = profile["archetype"] != ME
    messages = [message("system", client_prompt(profile) if played else "")]
    words = TEXTS["client_opening"]  # what the client hears before it speaks
    for turn in turns:
        messages += [heard(words, turn["note"]), message("assistant", turn["client"])]
        words = turn["answer"]
    return [*messages, heard(words, note)]


def supervisor_prompt(speaker: str) -> str:
    """The supervising model's system prompt; `speaker` is "therapist" or "client"."""
    return TEXTS["supervisor"].format(speaker=speaker, standard=TEXTS[f"good_{speaker}_draft"])


def supervisor_messages(lines: list[tuple[str, str]], speaker: str, draft: str) -> Messages:
    """What the supervisor sees: the session's (speaker, words), answers only, and a draft."""
    # "Client: ...", "Therapist: ...", a paragraph each
    said = "\n\n".join(f"{who.capitalize()}: {words}" for who, words in lines) or "(nothing yet)"
    request = TEXTS["supervisor_request"].format(transcript=said, speaker=speaker, draft=draft)
    return [message("system", supervisor_prompt(speaker)), message("user", request)]


def parse_verdict(text: str) -> str | None:
    """The supervisor's feedback, "" where it accepts; None for a reply that is neither form.

    "ACCEPT" -> ""; "REVISE: Ask one thing only." -> "Ask one thing only."
    """
    if text.strip() == "ACCEPT":
        return ""
    revise = re.fullmatch(r"REVISE:\s*(.+)", text.strip())  # one line behind it, nothing else
    return revise[1] if revise else None


def revision_messages(draft: str, feedback: str) -> Messages:
    """What a speaker sees behind all else when its draft came back."""
    request = TEXTS["revision_request"].format(feedback=feedback)
    return [message("assistant", draft), message("user", request)]
