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
and "turns" of "client"; --profiles may pick some of them, by id.

With --client me and one of the --conditions you talk to the therapist yourself. It is no treatment.
--model may then be FOLDER+ADAPTER, whatever was trained there, and --system the file of a system
prompt of your own, or none.
"""

from argparse import Namespace
from collections.abc import Callable
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
from act.dialogue.clients import Client, Person, Replayed, pick, played, read_clients
from act.dialogue.journal import Journal, made_with
from act.dialogue.local import check_adapters, check_enforced, has_adapter, open_speaker, unloaded
from act.dialogue.profiles import ME
from act.dialogue.session import (
    Session,
    Speakers,
    check_held,
    ends,
    hold_all,
    hold_sessions,
    unheld,
)
from act.model.sampler import Sampling
from act.model.spec import base_folder, is_endpoint, split_endpoint, split_spec
from act.records import CONDITIONS, InputError, Store, check_session, counted, is_trained


def therapist_of(condition: str, args: Namespace) -> str:
    """The MODEL that speaks in a condition: a server has each trained one under its name, a folder
    its adapter, if that is at hand."""
    if not is_trained(condition):
        return args.model
    if is_endpoint(args.model):
        return f"{condition}@{split_endpoint(args.model)[1]}"
    at_hand = has_adapter(condition, args.adapters)
    return f"{args.model}+{args.adapters / condition}" if at_hand else args.model


def therapists(args: Namespace) -> Callable[[str], ChatModel]:
    """Condition -> its therapist. Each model is opened once; local weights wear the adapter of the
    condition that was asked for last."""

    @cache
    def opened(spec: str) -> ChatModel:
        return open_speaker(spec, args.replies, args)

    def take(condition: str) -> ChatModel:
        if is_endpoint(args.model):
            return opened(therapist_of(condition, args))
        therapist = opened(args.model)
        if split_spec(args.model)[1] is None:
            therapist.play(condition, args.adapters)
        return therapist

    return take


def main() -> None:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the base model's folder, or NAME@URL")
    add("--adapters", type=Path, metavar="DIR", help="folder of the trained conditions' adapters")
    add("--profiles", help="JSONL file of profiles; with FILE.jsonl: whom to replay")
    about = 'who plays the client; FILE.jsonl: its recorded clients are replayed; "me": you do'
    add("--client", required=True, metavar="MODEL", help=about)
    about = "with --client me: file of the therapist's system prompt, or none"
    add("--system", metavar="FILE", help=about)
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
    # every condition's therapist, and a model that plays the clients
    args.replies = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    args.words = Sampling(args.client_temperature, 1.0, args.client_max_new_tokens)

    check_enforced(args.format, args.model)
    with_me = args.client == "me"
    if args.system and not with_me:
        raise InputError("--system is for --client me; the conditions differ in their training")
    # the study's adapters are told by --adapters; only you may talk to any other
    if not is_endpoint(args.model) and not (with_me and split_spec(args.model)[1]):
        args.model = str(base_folder(args.model))
        if with_me and args.adapters is None and any(map(is_trained, args.conditions)):
            raise InputError("whose adapter? --model FOLDER+ADAPTER, or --adapters DIR, says it")
        check_adapters(args.conditions, args.adapters)
    clients = read_wanted(args)
    # where nothing is wanted, the journal clears away what a death has left
    with Store(args.out, check_session) as store, Journal(store) as journal:
        if with_me:
            talk_with_me(store, journal, args)
        else:
            check_store(store, clients, args)
            simulate(clients, store, journal, args)
        print(f"{counted(len(store), 'session')} in {args.out}: {ends(store.records())}")
        print(describe(store.records()))
        left = unheld(store, args.conditions, clients)
    wanted = len(args.conditions) * len(clients)
    stop_unfinished(sum(map(len, left.values())), wanted, "sessions")


def read_wanted(args: Namespace) -> dict[str, Client]:
    """Whose sessions are wanted, by id; a person at the keyboard is no client of a file."""
    if args.client == "me":
        return {}
    if args.client.endswith(".jsonl"):
        clients = read_clients(args.client)
        return pick(clients, args.profiles, args.client) if args.profiles else clients
    if args.profiles is None:
        raise InputError("--profiles is needed: a JSONL file of generate.py profiles")
    return played(args.profiles)


def player(opened: Callable[..., ChatModel], args: Namespace) -> ChatModel:
    """Who speaks for the clients. `opened`: open_speaker, or unloaded."""
    return Replayed() if args.client.endswith(".jsonl") else opened(args.client, args.words, args)


def simulate(clients: dict[str, Client], store: Store, journal: Journal, args: Namespace) -> None:
    """Hold the sessions that are missing, condition by condition."""
    wanted = unheld(store, args.conditions, clients)
    if not wanted:
        return
    client, therapist_in = player(open_speaker, args), therapists(args)
    if not is_endpoint(args.model):
        for condition in wanted:  # does every adapter fit?
            therapist_in(condition)

    def take(condition: str) -> Speakers:
        return {"therapist": therapist_in(condition), "client": client}

    hold_all(wanted, take, journal, args)


def check_store(store: Store, clients: dict[str, Client], args: Namespace) -> None:
    """Refuse sessions of other settings, also where none is missing: conditions must differ in one
    thing only. No weights are loaded for it."""
    if not len(store):
        return
    client = player(unloaded, args)

    @cache
    def settings(condition: str) -> dict:
        therapist = unloaded(therapist_of(condition, args), args.replies, args)
        speakers = {"therapist": therapist, "client": client}
        return made_with(speakers, args.format, args.seed)

    def made(held: dict) -> dict:
        condition = held["condition"]
        now, spec = settings(condition), therapist_of(condition, args)
        if is_endpoint(spec) or not is_trained(condition) or spec != args.model:
            return now
        # its adapter is not at hand: nothing says here which it was
        there = held.get("adapters", {}).get("therapist")
        models = now["models"] | {"therapist": f"{spec}+{condition}"}
        return now | {"models": models, "adapters": now["adapters"] | {"therapist": there}}

    check_held(store, made, clients, args.turns)


def talk_with_me(store: Store, journal: Journal, args: Namespace) -> None:
    """One session with the person at the keyboard; a session that was cut off goes on."""
    if len(args.conditions) != 1:
        one = "name one condition with --conditions (of an adapter of yours: orpo)"
        raise InputError(f"--client me talks with one therapist: {one}")
    (condition,) = args.conditions
    system = own_prompt(args.system)
    for file in (store.path, journal.path):
        file.chmod(0o600)  # a private talk: its owner's alone
    # each talk is a client of its own
    number = next(n for n in count(1) if f"{condition}/me-{n}" not in store)
    me = Client({"id": f"me-{number}", "archetype": ME})
    therapist, person = therapists(args)(condition), Person(args.out, in_danger, system is None)
    speakers = {"therapist": therapist, "client": person}
    session = Session(condition, me, speakers, args.format, args.seed, args.turns, system)
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
    person.hear(last or f"(no answer: the turn ended as {record['status']})")


def own_prompt(system: str | None) -> str | None:
    """The system prompt that --system names: a file's text, "" for none; None: the study's."""
    if system in (None, "none"):
        return system and ""
    try:
        text = Path(system).read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InputError(f"{system}: not a text in UTF-8") from None
    if not text:
        raise InputError(f"{system}: is empty; --system none asks without a system prompt")
    return text


if __name__ == "__main__":
    run_script(main)
