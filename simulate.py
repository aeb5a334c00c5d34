"""Hold the study's sessions: each profile meets a therapist in each of the six conditions.

    simulate.py --model DIR --adapters DIR --profiles profiles.jsonl --client MODEL --turns 25 --out
    sessions.jsonl

The base weights are loaded once and the adapters switched: --adapters is a folder that holds one a
condition, named sft, sft-cot, orpo, orpo-cot; instruct and instruct-cot are the base model. All
conditions share one sampling setting, one client model and, for each profile, the same hidden
twists. A CoT reply out of form is drawn once more, and counted. What ended a session early (a reply
out of form again, a full context) is its status. Sessions already in --out are skipped, so the same
command goes on after any death.

The client may be an endpoint (NAME@URL), and so may --model: its server is then asked for NAME in
the instruct conditions and for models named sft, sft-cot, orpo and orpo-cot in the others (vLLM:
--lora-modules sft=DIR ...). With --client me and one of the --conditions you talk to the therapist
yourself. It is no treatment.
"""

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from act.audit.safety import in_danger
from act.audit.style import describe
from act.cli import Parser, conditions, not_negative, positive, run_script, set_up_device, share
from act.dialogue.chat import ChatModel
from act.dialogue.journal import Journal
from act.dialogue.local import fingerprint
from act.dialogue.person import ME, Ended, Person
from act.dialogue.prompts import check_client
from act.dialogue.session import Speakers, check_held, ends, hold_sessions, new_session
from act.dialogue.speakers import Speaker, check_enforced, open_speaker
from act.model.checkpoint import base_folder, is_endpoint, split_endpoint
from act.model.sampler import Sampling
from act.records import CONDITIONS, InputError, Store, check_session, read_unique


def therapist_of(condition: str, args: Namespace) -> str:
    """The MODEL of a condition's therapist. A server is asked for its adapters by the conditions'
    names."""
    if condition.startswith("instruct"):
        return args.model
    if is_endpoint(args.model):
        return f"{condition}@{split_endpoint(args.model)[1]}"
    return f"{args.model}+{args.adapters / condition}"


def take_therapist(
    condition: str, before: Speaker | None, client: ChatModel, args: Namespace
) -> Speaker:
    """A condition's therapist, behind the one of the condition `before`. Local weights are loaded
    once, and wear the condition's adapter."""
    sampling = Sampling(
        temperature=args.temperature, top_p=args.top_p, max_new_tokens=args.max_new_tokens
    )
    if is_endpoint(args.model):
        if before and before.name == therapist_of(condition, args):
            return before
        if before:
            before.close()
        return open_speaker(therapist_of(condition, args), sampling, args)
    therapist = before or open_speaker(args.model, sampling, args, [client])
    therapist.wear(None if condition.startswith("instruct") else args.adapters / condition)
    return therapist


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="the base model's folder, or NAME@URL"
    )
    parser.add_argument(
        "--adapters", type=Path, metavar="DIR", help="folder of the trained conditions' adapters"
    )
    parser.add_argument("--profiles", help="JSONL file of profiles")
    parser.add_argument(
        "--client", required=True, metavar="MODEL", help='who plays the client, or "me": you do'
    )
    parser.add_argument("--turns", type=positive, default=25, help="turns a session")
    parser.add_argument("--out", required=True, help="JSONL file of sessions")
    parser.add_argument(
        "--conditions", type=conditions, default=",".join(CONDITIONS), help="which, comma-separated"
    )
    parser.add_argument(
        "--format",
        choices=("observe", "enforce"),
        default="observe",
        help="CoT form: left to the model and its failures counted, or enforced in decoding",
    )
    parser.add_argument(
        "--temperature", type=not_negative, default=0.85, help="the therapist's, in every condition"
    )
    parser.add_argument(
        "--top-p", type=share, default=0.9, help="the therapist's, in every condition"
    )
    parser.add_argument(
        "--max-new-tokens", type=positive, default=512, help="longest therapist reply, in tokens"
    )
    parser.add_argument(
        "--client-temperature", type=not_negative, default=0.95, help="the client's"
    )
    parser.add_argument(
        "--client-max-new-tokens", type=positive, default=250, help="longest client turn, in tokens"
    )
    parser.add_argument(
        "--batch",
        type=positive,
        default=24,
        help="sessions held side by side; below --concurrency it caps that",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of all random streams and of the hidden twists"
    )
    parser.add_endpoint_flags()
    parser.add_device_flags()
    args = parser.parse_args()
    set_up_device(args)

    check_enforced(args.format, args.model)
    if not is_endpoint(args.model):
        args.model = str(base_folder(args.model))
        check_adapters(args)
    if args.client == "me":
        profiles = []
    elif args.profiles is None:
        raise InputError("--profiles is needed: a JSONL file of generate.py profiles")
    else:
        profiles = read_unique(args.profiles, check_client)
    with Store(args.out, check_session) as store:
        with Journal(
            store
        ) as journal:  # where nothing is wanted it clears away what a death has left
            if args.client == "me":
                talk_with_me(store, journal, args)
            else:
                simulate(profiles, store, journal, args)
        print(f"{len(store)} sessions in {args.out}: {ends(store.records())}")
        print(describe(store.records()))


def check_adapters(args: Namespace) -> None:
    """Raises InputError unless every trained condition has its adapter."""
    trained = [name for name in args.conditions if not name.startswith("instruct")]
    if trained and args.adapters is None:
        raise InputError(f"--adapters is needed for {', '.join(trained)}")
    for name in trained:
        if not (args.adapters / name / "adapter_model.safetensors").is_file():
            raise InputError(
                f"{args.adapters / name}: no adapter there; train it, or leave {name} out of --conditions"
            )


def simulate(profiles: list[dict], store: Store, journal: Journal, args: Namespace) -> None:
    """Hold the sessions that are missing, condition by condition."""
    wanted = {
        condition: missing
        for condition in args.conditions
        if (
            missing := [
                profile for profile in profiles if f"{condition}/{profile['id']}" not in store
            ]
        )
    }
    if not wanted:
        return
    replies = Sampling(
        temperature=args.client_temperature, top_p=1.0, max_new_tokens=args.client_max_new_tokens
    )
    client = open_speaker(args.client, replies, args)
    therapist = None
    first = next(iter(wanted))
    for condition in [first] if is_endpoint(args.model) else wanted:  # does every adapter fit?
        therapist = take_therapist(condition, therapist, client, args)
    check_store(store, profiles, Speakers(therapist, client), args)
    with tqdm(total=sum(map(len, wanted.values())) * args.turns, unit="turn") as bar:
        for condition, missing in wanted.items():
            bar.set_description(condition)
            therapist = take_therapist(condition, therapist, client, args)
            speakers = Speakers(therapist, client)
            records = (
                new_session(condition, profile, speakers, args.format, args.seed)
                for profile in missing
            )
            hold_sessions(records, speakers, args.turns, journal, bar, args.batch)


def talk_with_me(store: Store, journal: Journal, args: Namespace) -> None:
    """One session with the person at the keyboard; a session that was cut off goes on."""
    if len(args.conditions) != 1:
        raise InputError(
            "--client me talks with one therapist: name one condition with --conditions"
        )
    (condition,) = args.conditions
    number = 1
    while f"{condition}/me-{number}" in store:
        number += 1
    client = Person(args.out, in_danger)
    speakers = Speakers(take_therapist(condition, None, client, args), client)
    record = new_session(condition, ME | {"id": f"me-{number}"}, speakers, args.format, args.seed)
    with tqdm(disable=True) as bar:
        try:
            hold_sessions([record], speakers, args.turns, journal, bar, 1)
        except Ended:
            if record["turns"]:
                store.append(record)
            return
    client.hear(
        record["turns"][-1]["answer"] or f"(no answer: the turn ended as {record['status']})"
    )


def check_store(store: Store, profiles: list[dict], speakers: Speakers, args: Namespace) -> None:
    """Refuse to add sessions to others that were held with other settings: conditions must differ
    in one thing only."""
    clients = {profile["id"]: profile for profile in profiles}
    prints: dict[str, str] = {}  # of the adapters that are there, condition by condition
    for condition in CONDITIONS:
        if args.adapters and (args.adapters / condition / "adapter_model.safetensors").is_file():
            prints[condition] = fingerprint(args.adapters / condition)
    for held in store.records():
        condition, profile = held["condition"], clients.get(held["profile"]["id"], held["profile"])
        new = new_session(condition, profile, speakers, args.format, args.seed)
        new["adapters"].pop("therapist", None)
        if condition.startswith("instruct") or is_endpoint(args.model):
            new["models"]["therapist"] = therapist_of(condition, args)
        elif condition in prints:
            new["models"]["therapist"] = therapist_of(condition, args)
            new["adapters"]["therapist"] = prints[condition]
        else:  # nothing says here which adapter it had
            for name in ("models", "adapters"):
                if "therapist" in held.get(name, {}):
                    new[name]["therapist"] = held[name]["therapist"]
        check_held(args.out, held, new, args.turns)


if __name__ == "__main__":
    run_script(main)
