"""Make the study's synthetic data: client profiles, therapy transcripts, preference pairs.

    generate.py profiles --n 50 --seed 0 --out profiles.jsonl
    generate.py sessions --profiles profiles.jsonl --therapist MODEL --client MODEL --turns 25 --out sessions.jsonl
    generate.py pairs --sessions sessions.jsonl --chosen transcript --rejected MODEL --out pairs.jsonl

A MODEL is a folder in Hugging Face layout, or FOLDER+ADAPTER. Each command appends to --out, skips what is already
there, and can be killed and started again with the same words. `generate.py COMMAND --help` is each one's manual.
"""

from argparse import Namespace
from itertools import zip_longest

from tqdm import tqdm

from act.cli import Parser, positive, run_script, set_up_device
from act.dialogue.chat import Ask, LocalChat, read_reply
from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import check_client, cot_reply
from act.dialogue.session import TRANSCRIPT, hold_and_store, seed_from, therapist_messages
from act.model.sampler import Sampling
from act.records import InputError, Store, check_pair, check_profile, check_session, read_unique

ATTEMPTS = 3  # how often a rejected answer is drawn before its pair is left out


def make_profiles_file(args: Namespace) -> None:
    with Store(args.out, check_profile) as store:
        for profile in make_profiles(args.n, args.seed):
            if profile["id"] not in store:
                store.append(profile)
            elif store.records[profile["id"]] != profile:
                raise InputError(f"{args.out}: {profile['id']} is another client; was it made with another --seed?")
        print(f"{len(store.records)} profiles in {args.out}")


def make_sessions(args: Namespace) -> None:
    profiles = read_unique(args.profiles, check_client)
    with Store(args.out, check_session) as store:
        wanted = [profile for profile in profiles if f"{TRANSCRIPT}/{profile['id']}" not in store]
        if wanted:
            therapist = LocalChat.load(args.therapist, Sampling(0.8, 1.0, args.max_new_tokens), args.device)
            client = LocalChat.load(args.client, Sampling(0.95, 1.0, args.client_max_new_tokens), args.device)
            with tqdm(total=len(wanted) * args.turns, desc="sessions", unit="turn") as bar:
                hold_and_store(
                    TRANSCRIPT, wanted, therapist, client, store, bar, args.turns, args.format, args.seed, args.batch
                )
        print(f"{len(store.records)} sessions in {args.out}")


def make_pairs(args: Namespace) -> None:
    sessions = read_unique(args.sessions, check_session)
    with Store(args.out, check_pair) as store:
        contexts = [pair_contexts(session, args) for session in sessions]
        wanted = [[context for context in group if context["id"] not in store] for group in contexts]
        if any(wanted):
            draw_and_store([group for group in wanted if group], store, args)
        left_out = sum(context["id"] not in store for group in contexts for context in group)
        print(f"{len(store.records)} pairs in {args.out}, {left_out} left out (no usable answer in {ATTEMPTS} draws)")


def draw_and_store(sessions: list[list[dict]], store: Store, args: Namespace) -> None:
    """One pair a context, `batch` sessions side by side; a session's turns in order: its cache is read on."""
    rejecter = LocalChat.load(args.rejected, Sampling(0.8, 1.0, args.max_new_tokens), args.device)
    chooser = None
    if args.chosen != TRANSCRIPT:
        chooser = LocalChat.load(args.chosen, Sampling(0.7, 0.8, args.max_new_tokens), args.device)
    with tqdm(total=sum(map(len, sessions)), desc="pairs", unit="pair") as bar:
        for start in range(0, len(sessions), args.batch):
            for group in by_turn(sessions[start : start + args.batch]):
                chosen = [context["answer"] for context in group]
                if chooser:
                    chosen = draw(chooser, group, [""] * len(group), args, usable=True)
                rejected = draw(rejecter, group, chosen, args, usable=False)
                for context, *answers in zip(group, chosen, rejected, strict=True):
                    bar.update()
                    if all(answers):
                        good, bad = ([{"role": "assistant", "content": text}] for text in answers)
                        pair = {"id": context["id"], "prompt": context["prompt"], "chosen": good, "rejected": bad}
                        store.append(pair)
            rejecter.sampler.forget()
            if chooser:
                chooser.sampler.forget()


def by_turn(sessions: list[list[dict]]) -> list[list[dict]]:
    """The contexts of several sessions, turn by turn: [[a1, a2], [b1]] -> [[a1, b1], [a2]]."""
    return [[c for c in column if c] for column in zip_longest(*sessions)]


def pair_contexts(session: dict, args: Namespace) -> list[dict]:
    """The contexts of a session's whole answers, with the transcript's own answer in the wanted form."""
    contexts = []
    for number, turn in enumerate(session["turns"], 1):
        if turn["status"] != "ok":
            continue  # an answer that was cut off would teach to stop in mid-sentence
        where = f"{args.sessions}: {session['id']}, turn {number}"
        if args.cot and not turn["thinking"]:
            raise InputError(f'{where} has no "thinking": no CoT pairs can come from it')
        contexts.append(
            {
                "id": f"{session['id']}/{number}",
                "session": session["id"],
                "prompt": therapist_messages(session["turns"][: number - 1], turn["client"], args.cot),
                "answer": cot_reply(turn["thinking"], turn["answer"]) if args.cot else turn["answer"],
            }
        )
    return contexts


def draw(model: LocalChat, contexts: list[dict], unlike: list[str], args: Namespace, usable: bool) -> list[str]:
    """An answer a context, neither empty nor equal to `unlike`; "" where ATTEMPTS draws gave none.

    With `usable` it must also be whole and in form: what is chosen is learned from as it stands.
    """
    answers = [""] * len(contexts)
    for attempt in range(ATTEMPTS):
        missing = [i for i, answer in enumerate(answers) if not answer]
        asks = [
            Ask(
                contexts[i]["session"],
                contexts[i]["prompt"],
                seed_from(args.seed, contexts[i]["id"], model.name, attempt),
                args.cot and args.format == "enforce",
            )
            for i in missing
        ]
        for i, reply in zip(missing, model.reply(asks), strict=True):
            status, _, _ = read_reply(reply, args.cot)
            if reply.text != unlike[i] and (status == "ok" or not usable):
                answers[i] = reply.text
    return answers


def add_local_flags(parser: Parser, max_new_tokens: int) -> None:
    parser.add_argument(
        "--format",
        choices=("observe", "enforce"),
        default="observe",
        help="CoT form: left to the model, or enforced in decoding",
    )
    parser.add_argument("--max-new-tokens", type=positive, default=max_new_tokens, help="longest reply, in tokens")
    parser.add_argument("--batch", type=positive, default=16, help="conversations decoded side by side")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random streams")
    parser.add_device_flags()


def main() -> None:
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    profiles = commands.add_parser("profiles", help="synthetic clients", description="Draw synthetic client profiles.")
    profiles.add_argument("--n", type=positive, default=50, help="how many; the first m of n are the same for any n")
    profiles.add_argument("--seed", type=int, default=0, help="seed of the draw")
    profiles.add_argument("--out", required=True, help="JSONL file of profiles")
    profiles.set_defaults(run=make_profiles_file)

    about = "Let a therapist model that thinks before it answers and a client model talk, one session a profile."
    sessions = commands.add_parser("sessions", help="synthetic transcripts", description=about)
    sessions.add_argument("--profiles", required=True, help="JSONL file of profiles")
    sessions.add_argument("--therapist", required=True, metavar="MODEL", help="who plays the therapist")
    sessions.add_argument("--client", required=True, metavar="MODEL", help="who plays the client")
    sessions.add_argument("--turns", type=positive, default=25, help="turns a session")
    sessions.add_argument("--client-max-new-tokens", type=positive, default=250, help="longest client turn, in tokens")
    sessions.add_argument("--out", required=True, help="JSONL file of sessions")
    sessions.set_defaults(run=make_sessions)
    add_local_flags(sessions, max_new_tokens=750)

    about = "Make a preference pair of each therapist turn: prompt, chosen and rejected answer, in TRL's format."
    pairs = commands.add_parser("pairs", help="preference pairs", description=about)
    pairs.add_argument("--sessions", required=True, help="JSONL file of sessions")
    pairs.add_argument(
        "--chosen", required=True, metavar="MODEL", help='a model, or "transcript": the session\'s own answer'
    )
    pairs.add_argument(
        "--rejected", required=True, metavar="MODEL", help="the model whose samples are rejected: the base"
    )
    pairs.add_argument("--cot", action="store_true", help="with reasoning: CoT prompt, two-part answers")
    pairs.add_argument("--out", required=True, help="JSONL file of pairs")
    pairs.set_defaults(run=make_pairs)
    add_local_flags(pairs, max_new_tokens=512)

    args = parser.parse_args()
    if "device" in args:
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
