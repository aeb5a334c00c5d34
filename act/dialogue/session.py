"""The session loop: a client and a therapist, turn by turn, many sessions side by side.

generate.py and simulate.py both run it. A turn is: the client speaks, the therapist thinks (or not) and answers.
Both see the history of answers only; thinking is never shown again, in training or here.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict

from tqdm import tqdm

from act.dialogue.chat import Ask, ChatModel, LocalChat, Reply, read_reply
from act.dialogue.profiles import draw_twists
from act.dialogue.prompts import CLIENT_OPENING, client_prompt, therapist_prompt, twist_message
from act.model.tokenizer import Messages
from act.records import Store

HISTORY = "answers only"
TRANSCRIPT = "transcript"  # the condition of sessions made to train on: the therapist thinks first


def seed_from(*parts: object) -> int:
    """A seed that is the same on every machine and in every run: the first 63 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]) >> 1


def therapist_messages(turns: list[dict], client: str, cot: bool) -> Messages:
    """What the therapist sees: its prompt, the turns so far, and what the client has just said."""
    messages = [{"role": "system", "content": therapist_prompt(cot)}]
    for turn in turns:
        messages += [{"role": "user", "content": turn["client"]}, {"role": "assistant", "content": turn["answer"]}]
    return [*messages, {"role": "user", "content": client}]


def client_messages(profile: dict, turns: list[dict], note: str | None) -> Messages:
    """What the client sees: its profile, the session from its side, and a hidden note where there is one."""
    messages = [{"role": "system", "content": client_prompt(profile)}]
    heard = CLIENT_OPENING
    for turn in turns:
        messages += [_heard(heard, turn["note"]), {"role": "assistant", "content": turn["client"]}]
        heard = turn["answer"]
    return [*messages, _heard(heard, note)]


def _heard(words: str, note: str | None) -> dict[str, str]:
    return {"role": "user", "content": f"{words}\n\n{twist_message(note)}" if note else words}


def new_session(condition: str, profile: dict, therapist: ChatModel, client: ChatModel, form: str, seed: int) -> dict:
    """An empty session record (DESIGN.md, "Records")."""
    return {
        "id": f"{condition}/{profile['id']}",
        "condition": condition,
        "profile": profile,
        "turns": [],
        "status": "complete",
        "models": {"therapist": therapist.name, "client": client.name},
        "sampling": {
            "therapist": asdict(therapist.sampling),
            "client": asdict(client.sampling),
            "format": form,
            "history": HISTORY,
        },
        "seed": seed,
    }


def hold_and_store(
    condition: str,
    profiles: list[dict],
    therapist: LocalChat,
    client: LocalChat,
    store: Store,
    bar: tqdm,
    turns: int,
    form: str,
    seed: int,
    batch: int,
) -> None:
    """Hold a session with each profile, `batch` side by side, and store each group when it is done."""
    cot = condition == TRANSCRIPT or condition.endswith("-cot")
    for start in range(0, len(profiles), batch):
        group = [
            new_session(condition, profile, therapist, client, form, seed)
            for profile in profiles[start : start + batch]
        ]
        for _ in hold_sessions(group, therapist, client, turns, cot):
            bar.update(len(group))
        for session in group:
            store.append(session)
        therapist.sampler.forget()
        client.sampler.forget()


def hold_sessions(
    sessions: list[dict], therapist: ChatModel, client: ChatModel, turns: int, cot: bool
) -> Iterator[list[dict]]:
    """Hold the sessions side by side, adding turns in place; yields those still going on after each turn.

    A session goes on while its turns are "ok" or "length". Any other status ends it and becomes its own: the
    failed turn is kept without an answer. A reply that breaks the CoT form is asked for once more, then is "format".
    """
    twists = {s["id"]: draw_twists(s["seed"], s["profile"]["id"], turns) for s in sessions}
    going = sessions
    for number in range(1, turns + 1):
        notes = [twists[s["id"]].get(number) for s in going]
        heard = client.reply(
            [
                Ask(s["id"], client_messages(s["profile"], s["turns"], note), _turn_seed(s, "client", number))
                for s, note in zip(going, notes, strict=True)
            ]
        )
        for session, words, note in zip(going, heard, notes, strict=True):
            status = "ok" if words.status == "length" else words.status
            _add_turn(session, words.text if status == "ok" else "", status, note)
        spoken = [s for s in going if s["turns"][-1]["status"] == "ok"]
        for attempt in ("first", "again"):
            open_turns = [s for s in spoken if attempt == "first" or s["turns"][-1]["status"] == "format"]
            asks = [_therapist_ask(s, cot, _turn_seed(s, "therapist", number, attempt)) for s in open_turns]
            for session, reply in zip(open_turns, therapist.reply(asks), strict=True):
                _set_reply(session["turns"][-1], reply, cot)
        for session in going:
            if session["turns"][-1]["status"] not in ("ok", "length"):
                session["status"] = session["turns"][-1]["status"]
        going = [s for s in going if s["status"] == "complete"]
        yield going
        if not going:
            return


def _turn_seed(session: dict, *what: object) -> int:
    return seed_from(session["seed"], session["condition"], session["profile"]["id"], *what)


def _therapist_ask(session: dict, cot: bool, seed: int) -> Ask:
    *past, now = session["turns"]
    enforce = cot and session["sampling"]["format"] == "enforce"
    return Ask(session["id"], therapist_messages(past, now["client"], cot), seed, enforce)


def _add_turn(session: dict, client: str, status: str, note: str | None) -> None:
    unanswered = {"thinking": None, "answer": None, "status": status, "prompt_tokens": None, "response_tokens": None}
    session["turns"].append({"client": client} | unanswered | {"note": note})


def _set_reply(turn: dict, reply: Reply, cot: bool) -> None:
    turn["status"], turn["thinking"], turn["answer"] = read_reply(reply, cot)
    turn["prompt_tokens"], turn["response_tokens"] = reply.prompt_tokens, reply.response_tokens
