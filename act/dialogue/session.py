"""The session loop: a client and a therapist, turn by turn; generate.py and simulate.py both run
it.

A turn is: the client speaks, the therapist thinks (or not) and answers. Both see the history of
answers only; thinking is never shown again, in training or here. A supervising model may send
either's draft back. Every turn is stored as it ends, in a file beside the sessions' own, so that a
session goes on from there after any death.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from tqdm import tqdm

from act.dialogue.chat import Ask, ChatModel, Reply, read_reply
from act.dialogue.journal import Journal
from act.dialogue.person import ME
from act.dialogue.profiles import draw_twists
from act.dialogue.prompts import (
    CLIENT_OPENING,
    client_prompt,
    parse_verdict,
    revision_request,
    supervisor_prompt,
    supervisor_request,
    therapist_prompt,
    twist_message,
)
from act.dialogue.settings import SETTINGS, check_settings, made_with
from act.dialogue.talks import Talk, hold_talks
from act.model.tokenizer import Messages
from act.records import WITH_WORDS, InputError

TRANSCRIPT = "transcript"  # the condition of sessions made to train on: the therapist thinks first
REVISIONS = 2  # how often a draft may be sent back

Asking = Generator[tuple[ChatModel, Ask], Reply, Reply]


@dataclass(frozen=True)
class Speakers:
    """Who speaks in a session; without a supervisor every draft stands."""

    therapist: ChatModel
    client: ChatModel
    supervisor: ChatModel | None = None

    def by_role(self) -> dict[str, ChatModel]:
        """Role -> model, of those that are there."""
        roles = {"therapist": self.therapist, "client": self.client, "supervisor": self.supervisor}
        return {role: model for role, model in roles.items() if model}


def seed_from(*parts: object) -> int:
    """A seed that is the same on every machine and in every run: the first 63 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]) >> 1


def therapist_messages(turns: list[dict], client: str, cot: bool) -> Messages:
    """What the therapist sees: its prompt, the turns so far, and what the client has just said."""
    messages = [{"role": "system", "content": therapist_prompt(cot)}]
    for turn in turns:
        messages += [
            {"role": "user", "content": turn["client"]},
            {"role": "assistant", "content": turn["answer"]},
        ]
    return [*messages, {"role": "user", "content": client}]


def client_messages(profile: dict, turns: list[dict], note: str | None) -> Messages:
    """What the client sees: its profile, the session from its side, and a hidden note where there
    is one."""
    played = profile["archetype"] != ME["archetype"]  # a person at the keyboard needs no prompt
    messages = [{"role": "system", "content": client_prompt(profile) if played else ""}]
    heard = CLIENT_OPENING
    for turn in turns:
        messages += [
            _as_message(heard, turn["note"]),
            {"role": "assistant", "content": turn["client"]},
        ]
        heard = turn["answer"]
    return [*messages, _as_message(heard, note)]


def _as_message(words: str, note: str | None) -> dict[str, str]:
    """What the client hears, as a message of the other side, a hidden note behind it."""
    return {"role": "user", "content": f"{words}\n\n{twist_message(note)}" if note else words}


def supervisor_messages(
    turns: list[dict], said: list[tuple[str, str]], speaker: str, draft: str
) -> Messages:
    """What the supervising model sees: the session so far, answers only, and a draft of the next
    turn."""
    lines = [
        line
        for turn in turns
        for line in (("client", turn["client"]), ("therapist", turn["answer"]))
    ]
    return [
        {"role": "system", "content": supervisor_prompt(speaker)},
        {"role": "user", "content": supervisor_request([*lines, *said], speaker, draft)},
    ]


def new_session(
    condition: str, profile: dict, speakers: Speakers, cot_format: str, seed: int
) -> dict:
    """An empty session record (records.check_session); cot_format is "observe" or "enforce"
    (settings.made_with)."""
    return {
        "id": f"{condition}/{profile['id']}",
        "condition": condition,
        "profile": profile,
        "turns": [],
        "status": "complete",
    } | made_with(speakers.by_role(), cot_format, seed)


def check_held(path: object, held: dict, new: dict, number_of_turns: int) -> None:
    """Refuse to add to sessions that were held with other settings: `new` is what the record would
    be now."""
    check_settings(path, held, new, ("profile", *SETTINGS))
    if held["status"] == "complete" and len(held["turns"]) != number_of_turns:
        raise InputError(
            f"{path}: {held['id']} has {len(held['turns'])} turns, not {number_of_turns}"
        )


class Session:
    """One session being held: a talk that adds turns to its record."""

    def __init__(self, record: dict, speakers: Speakers, number_of_turns: int):
        self.record, self.speakers, self.number_of_turns = record, speakers, number_of_turns
        self.cot = record["condition"] == TRANSCRIPT or record["condition"].endswith("-cot")

    def hold(self, save: Callable[[dict, int, dict], None]) -> Talk:
        """Go on with the session; `save(record, number, turn)` is called for each turn that has
        ended.

        A session goes on while its turns are "ok" or "length". Any other status ends it and becomes
        its own: the failed turn is kept without an answer.
        """
        record, past = self.record, self.record["turns"]
        twists = draw_twists(record["seed"], record["profile"]["id"], self.number_of_turns)
        if record["profile"]["archetype"] == ME["archetype"]:
            twists = {}
        while len(past) < self.number_of_turns and record["status"] == "complete":
            number = len(past) + 1
            turn = yield from self.take_turn(number, twists.get(number))
            past.append(turn)
            if turn["status"] not in WITH_WORDS:
                record["status"] = turn["status"]
            save(record, number, turn)
        for model in (self.speakers.client, self.speakers.therapist):
            model.forget(record["id"])
        if self.speakers.supervisor:
            for speaker in ("client", "therapist"):
                self.speakers.supervisor.forget(self.supervised(speaker))

    def take_turn(
        self, number: int, note: str | None
    ) -> Generator[tuple[ChatModel, Ask], Reply, dict]:
        """One turn's record. Where a speaker fails, its status is the turn's; what was not said is
        empty or None."""
        turn = {"client": "", "thinking": None, "answer": None, "status": "ok"}
        turn |= {"prompt_tokens": None, "response_tokens": None, "note": note}
        past = self.record["turns"]
        words = yield from self.speak(
            turn, number, "client", client_messages(self.record["profile"], past, note)
        )
        if words.status not in WITH_WORDS:
            return turn | {"status": words.status}
        turn["client"] = words.text
        if words.status == "length":
            turn["client_cut"] = True
        reply = yield from self.speak(
            turn, number, "therapist", therapist_messages(past, words.text, self.cot)
        )
        turn["status"], turn["thinking"], turn["answer"] = read_reply(reply, self.cot)
        turn["prompt_tokens"], turn["response_tokens"] = reply.prompt_tokens, reply.response_tokens
        return turn

    def speak(self, turn: dict, number: int, speaker: str, messages: Messages) -> Asking:
        """One speaker's turn: a draft, sent back at most REVISIONS times by the supervisor. Drafts
        sent back are kept.

        Where a revision fails, out of form or lost, the draft before it stands; how the revision
        ended is kept beside that draft, in turn["drafts"], as "revision".
        """
        draft = yield from self.draft(turn, number, speaker, messages, 0)
        for revision in range(1, REVISIONS + 1):
            words = self.heard(speaker, draft)
            if self.speakers.supervisor is None or words is None:
                return draft
            verdict = yield from self.supervise(turn, number, speaker, words, revision)
            if verdict is None or verdict[0]:
                return draft
            turn.setdefault("drafts", []).append(
                {"speaker": speaker, "text": draft.text, "feedback": verdict[1]}
            )
            sent_back = [
                {"role": "assistant", "content": draft.text},
                {"role": "user", "content": revision_request(verdict[1])},
            ]
            revised = yield from self.draft(
                turn, number, speaker, [*messages, *sent_back], revision
            )
            if self.heard(speaker, revised) is None:
                status = revised.status if speaker == "client" else read_reply(revised, self.cot)[0]
                turn["drafts"][-1]["revision"] = status
                return draft
            draft = revised
        return draft

    def draft(
        self, turn: dict, number: int, speaker: str, messages: Messages, revision: int
    ) -> Asking:
        """One reply. A therapist's reply that breaks the CoT form is asked for once more, and then
        stays broken.

        How many broke it is kept as the turn's "out_of_form".
        """
        model = self.speakers.client if speaker == "client" else self.speakers.therapist
        enforce = (
            speaker == "therapist" and self.cot and self.record["sampling"]["format"] == "enforce"
        )
        for attempt in ("first", "again"):
            seed = self.seed(speaker, number, revision, attempt)
            reply = yield from self.ask(
                turn, speaker, model, Ask(self.record["id"], messages, seed, enforce)
            )
            if speaker == "client" or read_reply(reply, self.cot)[0] != "format":
                break
            turn["out_of_form"] = turn.get("out_of_form", 0) + 1
        return reply

    def supervise(
        self, turn: dict, number: int, speaker: str, words: str, revision: int
    ) -> Generator[tuple[ChatModel, Ask], Reply, tuple[bool, str] | None]:
        """(accepted, feedback). Where the verdict is out of form or cut off, the draft stands, and
        is marked."""
        said = [("client", turn["client"])] if speaker == "therapist" else []
        messages = supervisor_messages(self.record["turns"], said, speaker, words)
        ask = Ask(
            self.supervised(speaker), messages, self.seed("supervisor", speaker, number, revision)
        )
        reply = yield from self.ask(turn, "supervisor", self.speakers.supervisor, ask)
        verdict = parse_verdict(reply.text) if reply.status == "ok" else None
        if verdict is None:
            turn["unsupervised"] = [*turn.get("unsupervised", []), speaker]
        return verdict

    def supervised(self, speaker: str) -> str:
        """The supervisor's conversation about one speaker: each has a prompt of its own, read
        once."""
        return f"{self.record['id']} {speaker}"

    def ask(self, turn: dict, role: str, model: ChatModel, ask: Ask) -> Asking:
        """One reply of a model; an endpoint's account of the call is kept in the turn's "calls"."""
        reply = yield model, ask
        if reply.call:
            turn.setdefault("calls", []).append({"role": role} | reply.call)
        return reply

    def heard(self, speaker: str, draft: Reply) -> str | None:
        """What the other side would hear of a draft; None where it failed."""
        if speaker == "client":
            return draft.text if draft.status in WITH_WORDS else None
        return read_reply(draft, self.cot)[2]

    def seed(self, *what: object) -> int:
        """The seed of one draw, from the session's seed, condition and client, and `what` it is
        for."""
        return seed_from(
            self.record["seed"], self.record["condition"], self.record["profile"]["id"], *what
        )


def hold_sessions(
    records: Iterable[dict],
    speakers: Speakers,
    number_of_turns: int,
    journal: Journal,
    bar: tqdm,
    batch: int,
) -> None:
    """Hold a session for each empty record, `batch` side by side; each is stored when it is
    done."""

    def talk(record: dict) -> Talk:
        journal.restore(record, number_of_turns)
        bar.update(len(record["turns"]))
        yield from Session(record, speakers, number_of_turns).hold(save)
        bar.update(number_of_turns - len(record["turns"]))  # a session that ended early
        journal.whole.append(record)

    def save(record: dict, number: int, turn: dict) -> None:
        journal.add(record, number, turn)
        bar.update()

    hold_talks(map(talk, records), batch)


def ends(sessions: Iterable[dict]) -> str:
    """How sessions ended: "148 complete, 2 format"."""
    counts = Counter(session["status"] for session in sessions)
    return ", ".join(f"{n} {status}" for status, n in counts.items())
