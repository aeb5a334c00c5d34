"""The session loop of generate.py and simulate.py: a client and a therapist, turn by turn.

A turn is: the client speaks, the therapist thinks (or not) and answers. Both see the history of
answers only; thinking is never shown again, in training or here. A client may be recorded
(clients.py): it is not asked, its lines are said again. A supervising model may send either's draft
back. Every turn is stored as it ends (journal.py), and a session goes on from there after any
death.
"""

import hashlib
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain

from tqdm import tqdm

from act.dialogue import prompts
from act.dialogue.chat import Ask, ChatModel, Reply, Talk, hold_talks, read_reply
from act.dialogue.clients import Client
from act.dialogue.journal import Journal, check_made_with, made_with
from act.dialogue.profiles import ME, draw_twists
from act.model.tokenizer import Messages
from act.records import WITH_WORDS, InputError, Store

TRANSCRIPT = "transcript"  # the condition of sessions made to train on: the therapist thinks first
CURE = "; name another --out"  # where sessions have other settings
REVISIONS = 2  # how often a draft may be sent back

Speakers = dict[str, ChatModel]  # "therapist", "client" and, where drafts are read, "supervisor"


class Lost(Exception):
    """A reply did not come, by a server's fault: the turn is put off."""


def seed_from(*parts: object) -> int:
    """A seed that is the same on every machine and in every run: the first 63 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]) >> 1


class Session:
    """One session being held: a talk that adds turns to its record (records.check_session). It has
    `turns` of them, or as many as a replayed client has lines.

    `system`: a therapist's prompt of your own, "" for none; it is kept in the record's "sampling".
    """

    def __init__(
        self,
        condition: str,
        client: Client,
        speakers: Speakers,
        cot_format: str,
        seed: int,
        turns: int,
        system: str | None = None,
    ):
        self.speakers, self.system, self.lines = speakers, system, client.lines
        self.turns, profile = client.turns(turns), client.profile
        self.record = {"id": f"{condition}/{profile['id']}", "condition": condition}
        self.record |= {"profile": profile, "turns": [], "status": "complete"}
        if client.lines:
            self.record["client_words"] = client.words
        self.record |= made_with(speakers, cot_format, seed)
        if system is not None:
            self.record["sampling"]["system"] = system
        thinks = condition == TRANSCRIPT or condition.endswith("-cot")
        self.cot = {"therapist": thinks, "client": False}  # whose replies have two parts
        self.enforce = cot_format == "enforce"
        # what each seed is drawn from, beside what it is for
        self.seed = (seed, condition, profile["id"])
        self.turn: dict = {}  # in the making
        self.number = 0  # its number, from 1

    def hold(self, save: Callable[[dict], None]) -> Talk[None]:
        """Go on with the session; `save(record)` is called when a turn has ended. A turn that is
        neither "ok" nor "length" ends it, and its status is the session's. Raises Lost."""
        record, client = self.record, self.record["profile"]
        notes = {}  # turn -> note
        if client["archetype"] != ME and not self.lines:
            notes = draw_twists(record["seed"], client["id"], self.turns)
        try:
            while len(record["turns"]) < self.turns and record["status"] == "complete":
                self.number = len(record["turns"]) + 1
                yield from self.take_turn(notes.get(self.number))
                record["turns"].append(self.turn)
                if self.turn["status"] not in WITH_WORDS:
                    record["status"] = self.turn["status"]
                save(record)
        finally:
            for speaker in ("client", "therapist"):
                self.speakers[speaker].forget(record["id"])
                if "supervisor" in self.speakers:
                    self.speakers["supervisor"].forget(f"{record['id']} {speaker}")

    def take_turn(self, note: str | None) -> Talk[None]:
        """One turn. Where a speaker fails, its status is the turn's, and no answer is kept."""
        past, turn = self.record["turns"], {"client": "", "thinking": None, "answer": None}
        turn |= {"status": "ok", "prompt_tokens": None, "response_tokens": None, "note": note}
        self.turn = turn
        # 1. the client speaks
        if self.lines:
            words = Reply(self.lines[self.number - 1], "ok")
        else:
            seen = prompts.client_messages(self.record["profile"], past, note)
            words = yield from self.speak("client", seen)
        if words.status not in WITH_WORDS:
            turn["status"] = words.status
            return
        turn["client"] = words.text
        if words.status == "length":
            turn["client_cut"] = True
        # 2. the therapist answers
        seen = prompts.therapist_messages(past, words.text, self.cot["therapist"], self.system)
        reply = yield from self.speak("therapist", seen)
        turn["status"], turn["thinking"], turn["answer"] = read_reply(reply, self.cot["therapist"])
        turn["prompt_tokens"], turn["response_tokens"] = reply.prompt_tokens, reply.response_tokens

    def speak(self, speaker: str, messages: Messages) -> Talk[Reply]:
        """One speaker's turn: a draft, sent back at most REVISIONS times by the supervisor.

        Drafts sent back are kept, in turn["drafts"]. Where a revision fails, the draft before it
        stands; how it ended is kept beside that, as "revision".
        """
        draft = yield from self.draft(speaker, messages, 0)
        _, _, words = read_reply(draft, self.cot[speaker])  # None: it failed, nobody reads it
        if "supervisor" not in self.speakers or words is None:
            return draft
        for revision in range(1, REVISIONS + 1):
            feedback = yield from self.supervise(speaker, words, revision)
            if not feedback:
                return draft
            sent_back = {"speaker": speaker, "text": draft.text, "feedback": feedback}
            self.turn.setdefault("drafts", []).append(sent_back)
            # the draft and the feedback are seen this once: no later prompt has them
            seen = [*messages, *prompts.revision_messages(draft.text, feedback)]
            revised = yield from self.draft(speaker, seen, revision)
            status, _, words = read_reply(revised, self.cot[speaker])
            if words is None:
                sent_back["revision"] = status
                return draft
            draft = revised
        return draft

    def draft(self, speaker: str, messages: Messages, revision: int) -> Talk[Reply]:
        """One reply; where it breaks the CoT form, one more, which stands. How many broke it is
        kept as the turn's "out_of_form"."""
        enforce = self.cot[speaker] and self.enforce
        for attempt in ("first", "again"):
            seed = seed_from(*self.seed, speaker, self.number, revision, attempt)
            reply = yield from self.ask(speaker, Ask(self.record["id"], messages, seed, enforce))
            if read_reply(reply, self.cot[speaker])[0] != "format":
                break
            self.turn["out_of_form"] = self.turn.get("out_of_form", 0) + 1
        return reply

    def supervise(self, speaker: str, words: str, revision: int) -> Talk[str | None]:
        """Feedback. Without any the draft stands; marked, if the verdict is cut or out of form."""
        lines = []  # (speaker, words) of the session so far
        for turn in self.record["turns"]:
            lines += [("client", turn["client"]), ("therapist", turn["answer"])]
        if speaker == "therapist":
            lines.append(("client", self.turn["client"]))
        seen = prompts.supervisor_messages(lines, speaker, words)
        seed = seed_from(*self.seed, "supervisor", speaker, self.number, revision)
        key = f"{self.record['id']} {speaker}"  # a talk about each: the prompts differ
        reply = yield from self.ask("supervisor", Ask(key, seen, seed))
        # not asked for again: a supervisor is greedy, and would say the same
        feedback = prompts.parse_verdict(reply.text) if reply.status == "ok" else None
        if feedback is None:
            self.turn.setdefault("unsupervised", []).append(speaker)
        return feedback

    def ask(self, role: str, ask: Ask) -> Talk[Reply]:
        """One reply of a model; an endpoint's account of the call is kept in the turn's "calls"."""
        reply = yield self.speakers[role], ask  # to hold_talks, which sends the reply
        if reply.status == "lost":
            raise Lost
        if reply.call:
            self.turn.setdefault("calls", []).append({"role": role} | reply.call)
        return reply


def unheld(
    store: Store, conditions: Iterable[str], clients: dict[str, Client]
) -> dict[str, list[Client]]:
    """Condition -> the clients who have no session in it yet, where there are any."""
    missing = {}
    for condition in conditions:
        left = [clients[name] for name in clients if f"{condition}/{name}" not in store]
        if left:
            missing[condition] = left
    return missing


def check_held(
    store: Store, made: Callable[[dict], dict], clients: dict[str, Client], turns: int
) -> None:
    """Refuse a store whose sessions have other settings: `made(held)` is what a session like one
    that is held is made with now."""
    for held in store.records():
        new, client = made(held), clients.get(held["profile"]["id"])
        # a client of the same id must be the same; others in the file need not be wanted here
        if client:
            new = new | {"profile": client.profile}
            new |= {"client_words": client.words} if client.lines else {}
        check_made_with(store.path, held, new, CURE)
        # a replayed client has as many turns as lines; of one that is not at hand the fingerprint
        # says whether these were all
        said = client or Client(held["profile"], [turn["client"] for turn in held["turns"]])
        known = said.words == held.get("client_words")
        there, wanted = len(held["turns"]), said.turns(turns) if known else turns
        if held["status"] == "complete" and there != wanted:
            raise InputError(f"{store.path}: {held['id']} has {there} turns, not {wanted}{CURE}")


def hold_all(
    wanted: dict[str, list[Client]],
    take: Callable[[str], Speakers],
    journal: Journal,
    args: Namespace,
) -> None:
    """Hold a session with each client that is wanted in a condition; `take` gives its speakers."""
    turns = [client.turns(args.turns) for client in chain(*wanted.values())]
    with tqdm(total=sum(turns), unit="turn") as bar:
        for condition, clients in wanted.items():
            bar.set_description(condition)
            how = take(condition), args.format, args.seed, args.turns
            sessions = [Session(condition, client, *how) for client in clients]
            hold_sessions(sessions, journal, bar, args.batch)


def hold_sessions(sessions: Iterable[Session], journal: Journal, bar: tqdm, batch: int) -> None:
    """Hold sessions whose records are empty, `batch` side by side; store each that is done. Of one
    whose server gave no reply the journal keeps the turns."""
    whole = {held["condition"]: held for held in journal.whole.records()}

    def talk(session: Session) -> Talk[None]:
        record = session.record
        if held := whole.get(record["condition"]):
            served = {"served": record.get("served", {})}
            check_made_with(journal.whole.path, held, served, CURE)
        for speaker in session.speakers.values():
            speaker.bar = bar
        journal.restore(record, session.turns)
        bar.update(len(record["turns"]))  # those of a killed process
        with suppress(Lost):
            yield from session.hold(save)
            journal.whole.append(record)
        bar.update(session.turns - len(record["turns"]))  # a session that ended early

    def save(record: dict) -> None:
        journal.add(record)
        bar.update()

    hold_talks(map(talk, sessions), batch)


def ends(sessions: Iterable[dict]) -> str:
    """How sessions ended: "148 complete, 2 format"."""
    counts = Counter(session["status"] for session in sessions)
    return ", ".join(f"{n} {status}" for status, n in counts.items())
