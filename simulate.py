"""Hold the study's sessions: each profile meets a therapist in each of the six conditions.

    simulate.py --model DIR --adapters DIR --profiles profiles.jsonl --client MODEL --turns 25 \\
        --out sessions.jsonl

The base weights are loaded once and the adapters switched: --adapters is a folder that holds one a
condition, named sft, sft-cot, orpo, orpo-cot; instruct and instruct-cot are the base model. All
conditions share one sampling setting, one client model and, for each profile, the same hidden
notes. A CoT reply out of form is drawn once more, and counted. What ended a session early (a reply
out of form again, a full context) is its status. Sessions already in --out are skipped, so the same
command goes on after any death; one with other settings or adapters is refused.

The client may be an endpoint (NAME@URL), and so may --model: its server is then asked for NAME in
the instruct conditions and for models named sft, sft-cot, orpo and orpo-cot in the others (vLLM:
--lora-modules sft=DIR ...).

With --client FILE.jsonl recorded clients say their lines again, the same in every condition and
without hidden notes, until --turns or their lines end: conditions are compared at equal words,
though these once answered another therapist. FILE.jsonl holds sessions, or any rows with an "id"
and "turns" of "client"; --profiles may pick some of them, by id. With --client me and one of the
--conditions you talk to the therapist yourself. It is no treatment.
"""

from argparse import Namespace
from functools import cache
from itertools import count
from pathlib import Path

from tqdm import tqdm

from act.audit.safety import in_danger
from act.audit.style import describe
from act.cli import (
    Parser,
    conditions,
    not_negative,
    positive,
    run_script,
    set_up_device,
    share,
    stop_unfinished,
)
from act.dialogue.chat import ChatModel
from act.dialogue.journal import Journal
from act.dialogue.local import (
    check_adapters,
    check_enforced,
    fingerprint,
    has_adapter,
    open_speaker,
    unloaded,
)
from act.dialogue.person import Person
from act.dialogue.profiles import ME
from act.dialogue.prompts import check_client
from act.dialogue.replay import Replayed, client_of, pick, read_clients
from act.dialogue.session import Session, check_held, ends, hold_sessions, new_session
from act.model.sampler import Sampling
from act.model.spec import base_folder, is_endpoint, split_endpoint
from act.records import CONDITIONS, InputError, Store, check_session, is_trained, read_unique


def therapist_of(condition: str, args: Namespace) -> str:
    """The MODEL that speaks in a condition: a server is asked for it by name, and local weights
    wear its adapter."""
    if is_endpoint(args.model) and is_trained(condition):
        return f"{condition}@{split_endpoint(args.model)[1]}"
    return args.model


def wears_adapter(condition: str, args: Namespace) -> bool:
    """Is a condition's therapist a local model with an adapter?"""
    return is_trained(condition) and not is_endpoint(args.model)


def therapist_sampling(args: Namespace) -> Sampling:
    """Of every condition's therapist."""
    return Sampling(args.temperature, args.top_p, args.max_new_tokens)


def client_sampling(args: Namespace) -> Sampling:
    """Of a model that plays the clients."""
    return Sampling(args.client_temperature, 1.0, args.client_max_new_tokens)


def take_therapist(condition: str, before: ChatModel | None, args: Namespace) -> ChatModel:
    """A condition's therapist. `before` is the previous condition's, or None: local weights are
    loaded once, and wear each condition's adapter."""
    sampling = therapist_sampling(args)
    if is_endpoint(args.model):
        if before and before.name == therapist_of(condition, args):
            return before
        if before:
            before.close()
        return open_speaker(therapist_of(condition, args), sampling, args)
    therapist = before or open_speaker(args.model, sampling, args)
    therapist.play(condition, args.adapters)
    return therapist


def main() -> None:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the base model's folder, or NAME@URL")
    add("--adapters", type=Path, metavar="DIR", help="folder of the trained conditions' adapters")
    add("--profiles", help="JSONL file of profiles; with FILE.jsonl: whom to replay")
    about = 'who plays the client; FILE.jsonl: its recorded clients are replayed; "me": you do'
    add("--client", required=True, metavar="MODEL", help=about)
    add("--turns", type=positive, default=25, help="turns a session; a replayed one may have fewer")
    add("--out", required=True, help="JSONL file of sessions")
    every = ",".join(CONDITIONS)
    add("--conditions", type=conditions, default=every, help="which, comma-separated")
    add("--temperature", type=not_negative, default=0.85, help="every condition's therapist's")
    add("--top-p", type=share, default=0.9, help="every condition's therapist's")
    add("--client-temperature", type=not_negative, default=0.95, help="the client's")
    add("--client-max-new-tokens", type=positive, default=250, help="longest client turn, tokens")
    parser.add_talk_flags(max_new_tokens=512, batch=24)
    args = parser.parse_args()
    set_up_device(args)

    check_enforced(args.format, args.model)
    if not is_endpoint(args.model):
        args.model = str(base_folder(args.model))
        check_adapters(args.conditions, args.adapters)
    profiles, recorded = read_profiles(args)
    # where nothing is wanted, the journal clears away what a death has left
    with Store(args.out, check_session) as store, Journal(store) as journal:
        if args.client == "me":
            talk_with_me(store, journal, args)
        else:
            check_store(store, profiles, recorded, args)
            simulate(profiles, recorded, store, journal, args)
        print(f"{len(store)} sessions in {args.out}: {ends(store.records())}")
        print(describe(store.records()))
    wanted = [f"{condition}/{one['id']}" for condition in args.conditions for one in profiles]
    stop_unfinished(sum(name not in store for name in wanted), len(wanted), "sessions")


def read_profiles(args: Namespace) -> tuple[list[dict], dict[str, Replayed]]:
    """Who is simulated, and the recorded clients by id, where clients are replayed."""
    if args.client == "me":  # a person is no profile
        return [], {}
    if args.client.endswith(".jsonl"):
        recorded = read_clients(args.client)
        if args.profiles:
            return pick(recorded, args.profiles, args.client), recorded
        return [client.profile for client in recorded.values()], recorded
    if args.profiles is None:
        raise InputError("--profiles is needed: a JSONL file of generate.py profiles")
    return read_unique(args.profiles, check_client), {}


def begin(
    condition: str, profile: dict, therapist: ChatModel, client: ChatModel, args: Namespace
) -> Session:
    """A session with no turns yet."""
    speakers = {"therapist": therapist, "client": client}
    record = new_session(condition, profile, speakers, args.format, args.seed)
    return Session(record, speakers, args.turns)


def simulate(
    profiles: list[dict],
    recorded: dict[str, Replayed],
    store: Store,
    journal: Journal,
    args: Namespace,
) -> None:
    """Hold the sessions that are missing, condition by condition."""
    wanted = {}  # condition -> profiles
    for condition in args.conditions:
        missing = [one for one in profiles if f"{condition}/{one['id']}" not in store]
        if missing:
            wanted[condition] = missing
    if not wanted:
        return
    player = None if recorded else open_speaker(args.client, client_sampling(args), args)
    # does every adapter fit? A served one shows when it is asked
    therapist = None
    for condition in list(wanted)[:1] if is_endpoint(args.model) else wanted:
        therapist = take_therapist(condition, therapist, args)

    def new(condition: str, profile: dict) -> Session:
        return begin(condition, profile, therapist, player or recorded[profile["id"]], args)

    turns = [new(condition, one).turns for condition in wanted for one in wanted[condition]]
    with tqdm(total=sum(turns), unit="turn") as bar:
        for condition, missing in wanted.items():
            bar.set_description(condition)
            therapist = take_therapist(condition, therapist, args)
            sessions = [new(condition, one) for one in missing]
            hold_sessions(sessions, journal, bar, args.batch)


def talk_with_me(store: Store, journal: Journal, args: Namespace) -> None:
    """One session with the person at the keyboard; a session that was cut off goes on."""
    if len(args.conditions) != 1:
        one = "name one condition with --conditions"
        raise InputError(f"--client me talks with one therapist: {one}")
    (condition,) = args.conditions
    for file in (store.path, journal.path):
        file.chmod(0o600)  # a private talk: its owner's alone
    # each talk is a client of its own
    number = next(n for n in count(1) if f"{condition}/me-{n}" not in store)
    me = {"id": f"me-{number}", "archetype": ME}
    client = Person(args.out, in_danger)
    session = begin(condition, me, take_therapist(condition, None, args), client, args)
    record = session.record
    with tqdm(disable=True) as bar:
        try:
            hold_sessions([session], journal, bar, 1)
        except EOFError:
            if record["turns"]:
                store.append(record)  # a session as long as the person wished
            return
    stop_unfinished(1 - (record["id"] in store), 1, "sessions")
    last = record["turns"][-1]["answer"]
    client.hear(last or f"(no answer: the turn ended as {record['status']})")


def check_store(
    store: Store, profiles: list[dict], recorded: dict[str, Replayed], args: Namespace
) -> None:
    """Refuse sessions of other settings, also where none is missing: conditions must differ in one
    thing only. No weights are loaded for it."""
    if not len(store):
        return
    player = None if recorded else unloaded(args.client, client_sampling(args), args)

    @cache
    def speaker(condition: str) -> ChatModel:
        """A condition's therapist; its adapter is None where it is not at hand."""
        therapist = unloaded(therapist_of(condition, args), therapist_sampling(args), args)
        if wears_adapter(condition, args):
            therapist.name += f"+{condition}"  # a record knows it by the adapter's fingerprint
            if has_adapter(condition, args.adapters):
                therapist.adapter = fingerprint(args.adapters / condition)
        return therapist

    def now(profile: dict, held: dict) -> Session:
        """A held session as it would begin now."""
        condition = held["condition"]
        client = player or recorded.get(profile["id"]) or client_of(held, args.turns)
        session = begin(condition, profile, speaker(condition), client, args)
        if wears_adapter(condition, args):
            # where it is not at hand, nothing says here which adapter it was
            there = held.get("adapters", {}).get("therapist")
            session.record["adapters"].setdefault("therapist", there)
        return session

    check_held(store, profiles, now)


if __name__ == "__main__":
    run_script(main)
