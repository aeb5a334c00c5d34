"""Hold the study's sessions: each profile meets a therapist in each of the six conditions.

    simulate.py --model DIR --adapters DIR --profiles profiles.jsonl --client MODEL --turns 25 --out sessions.jsonl

The base weights are loaded once and the adapters switched: --adapters is a folder that holds one a condition, named
sft, sft-cot, orpo, orpo-cot; instruct and instruct-cot are the base model. All conditions share one sampling setting,
one client model and, for each profile, the same hidden twists. Sessions already in --out are skipped, so the
same command goes on after any death. What ended a session early (a reply out of form, a full context) is its status.
"""

from argparse import Namespace
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from act.cli import Parser, conditions, not_negative, positive, run_script, set_up_device, share
from act.dialogue.chat import LocalChat
from act.dialogue.prompts import check_client
from act.dialogue.session import hold_and_store, new_session
from act.model.checkpoint import base_folder, load_adapter
from act.model.lora import detach
from act.model.sampler import Sampling
from act.records import CONDITIONS, InputError, Store, check_session, read_unique


def switch_adapter(therapist: LocalChat, condition: str, base: str, adapters: Path | None) -> None:
    """Make the therapist's model that of a condition."""
    detach(therapist.model)
    therapist.name = base
    if not condition.startswith("instruct"):
        load_adapter(therapist.model, adapters / condition)
        therapist.name = f"{base}+{adapters / condition}"


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="DIR", help="the base model's folder")
    parser.add_argument("--adapters", type=Path, metavar="DIR", help="folder of the trained conditions' adapters")
    parser.add_argument("--profiles", required=True, help="JSONL file of profiles")
    parser.add_argument("--client", required=True, metavar="MODEL", help="who plays the client")
    parser.add_argument("--turns", type=positive, default=25, help="turns a session")
    parser.add_argument("--out", required=True, help="JSONL file of sessions")
    parser.add_argument("--conditions", type=conditions, default=",".join(CONDITIONS), help="which, comma-separated")
    parser.add_argument(
        "--format",
        choices=("observe", "enforce"),
        default="observe",
        help="CoT form: left to the model and its failures counted, or enforced in decoding",
    )
    parser.add_argument("--temperature", type=not_negative, default=0.85, help="the therapist's, in every condition")
    parser.add_argument("--top-p", type=share, default=0.9, help="the therapist's, in every condition")
    parser.add_argument("--max-new-tokens", type=positive, default=512, help="longest therapist reply, in tokens")
    parser.add_argument("--client-temperature", type=not_negative, default=0.95, help="the client's")
    parser.add_argument("--client-max-new-tokens", type=positive, default=250, help="longest client turn, in tokens")
    parser.add_argument("--batch", type=positive, default=24, help="sessions held side by side")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random streams and of the hidden twists")
    parser.add_device_flags()
    args = parser.parse_args()
    set_up_device(args)

    profiles = read_unique(args.profiles, check_client)
    base_folder(args.model)
    trained = [name for name in args.conditions if not name.startswith("instruct")]
    if trained and args.adapters is None:
        raise InputError(f"--adapters is needed for {', '.join(trained)}")
    for name in trained:
        if not (args.adapters / name / "adapter_model.safetensors").is_file():
            raise InputError(f"{args.adapters / name}: no adapter there; train it, or leave {name} out of --conditions")

    with Store(args.out, check_session) as store:
        wanted = {
            condition: missing
            for condition in args.conditions
            if (missing := [profile for profile in profiles if f"{condition}/{profile['id']}" not in store])
        }
        if wanted:
            simulate(wanted, store, args)
        ended = Counter(session["status"] for session in store.records.values())
        print(
            f"{len(store.records)} sessions in {args.out}: {', '.join(f'{n} {status}' for status, n in ended.items())}"
        )


def simulate(wanted: dict[str, list[dict]], store: Store, args: Namespace) -> None:
    """Hold the sessions of each condition's profiles."""
    therapist = LocalChat.load(args.model, Sampling(args.temperature, args.top_p, args.max_new_tokens), args.device)
    client_sampling = Sampling(args.client_temperature, 1.0, args.client_max_new_tokens)
    client = LocalChat.load(args.client, client_sampling, args.device)
    check_settings(store, therapist, client, args)
    for condition in wanted:  # an adapter that does not fit is found before the first session
        switch_adapter(therapist, condition, args.model, args.adapters)
    with tqdm(total=sum(map(len, wanted.values())) * args.turns, unit="turn") as bar:
        for condition, profiles in wanted.items():
            bar.set_description(condition)
            switch_adapter(therapist, condition, args.model, args.adapters)
            hold_and_store(
                condition, profiles, therapist, client, store, bar, args.turns, args.format, args.seed, args.batch
            )


def check_settings(store: Store, therapist: LocalChat, client: LocalChat, args: Namespace) -> None:
    """Refuse to add sessions to others that were held with other settings: conditions must differ in one thing only."""
    for held in store.records.values():
        new = new_session(held["condition"], held["profile"], therapist, client, args.format, args.seed)
        for name in ("sampling", "seed"):
            if held[name] != new[name]:
                raise InputError(f"{args.out}: {held['id']} was held with {name} {held[name]}, not {new[name]}")
        if held["status"] == "complete" and len(held["turns"]) != args.turns:
            raise InputError(f"{args.out}: {held['id']} has {len(held['turns'])} turns, not {args.turns}")
        if held["models"]["client"] != client.name:
            raise InputError(f"{args.out}: {held['id']} had the client {held['models']['client']}, not {client.name}")


if __name__ == "__main__":
    run_script(main)
