"""Make the study's synthetic data: client profiles, therapy transcripts, preference pairs.

    generate.py profiles --n 50 --seed 0 --out profiles.jsonl
    generate.py sessions --profiles profiles.jsonl --therapist MODEL --client MODEL --turns 25 --out sessions.jsonl
    generate.py pairs --sessions sessions.jsonl --chosen transcript --rejected MODEL --out pairs.jsonl

A MODEL is a folder in Hugging Face layout, or FOLDER+ADAPTER. Each command appends to --out, skips what is already
there, and can be killed and started again with the same words. `generate.py COMMAND --help` is each one's manual.
"""

from argparse import Namespace

from tqdm import tqdm

from act.cli import Parser, positive, run_script, set_up_device
from act.dialogue.chat import Ask, LocalChat
from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import cot_reply
from act.dialogue.session import hold_sessions, new_session, seed_from, therapist_messages
from act.model.sampler import Sampling
from act.records import InputError, Store, check_profile, check_session, read_jsonl

ATTEMPTS = 3  # how often a rejected answer is drawn before its pair is left out


def make_profiles_file(args: Namespace) -> None:
    with Store(args.out) as store:
        for profile in make_profiles(args.n, args.seed):
            if profile["id"] not in store:
                store.append(profile)
        print(f"{len(store.records)} profiles in {args.out}")


def make_sessions(args: Namespace) -> None:
    profiles = list(read_jsonl(args.profiles, check_profile))
    with Store(args.out) as store:
        profiles = [profile for profile in profiles if f"transcript/{profile['id']}" not in store]
        if profiles:
            hold_and_store(profiles, store, args)
        print(f"{len(store.records)} sessions in {args.out}")


def hold_and_store(profiles: list[dict], store: Store, args: Namespace) -> None:
    therapist = LocalChat.load(args.therapist, Sampling(0.8, 1.0, args.max_new_tokens), args.device)
    client = LocalChat.load(args.client, Sampling(0.95, 1.0, args.client_max_new_tokens), args.device)
    with tqdm(total=len(profiles) * args.turns, desc="sessions", unit="turn") as bar:
        for start in range(0, len(profiles), args.batch):
            group = [
                new_session("transcript", profile, therapist, client, args.format, args.seed)
                for profile in profiles[start : start + args.batch]
            ]
            for _ in hold_sessions(group, therapist, client, args.turns, cot=True):
                bar.update(len(group))
            for session in group:
                store.append(session)
            therapist.sampler.forget(), client.sampler.forget()


def make_pairs(args: Namespace) -> None:
    sessions = list(read_jsonl(args.sessions, check_session))
    with Store(args.out) as store:
        contexts = [c for s in sessions for c in pair_contexts(s, args.cot) if c["id"] not in store]
        if contexts:
            draw_and_store(contexts, store, args)
        left_out = sum(len(pair_contexts(s, args.cot)) for s in sessions) - len(store.records)
        print(f"{len(store.records)} pairs in {args.out}, {left_out} left out (no usable answer in {ATTEMPTS} draws)")


def draw_and_store(contexts: list[dict], store: Store, args: Namespace) -> None:
    """One pair a context. The turns of a session are taken one after another, so that its cache is read on."""
    rejecter = LocalChat.load(args.rejected, Sampling(0.8, 1.0, args.max_new_tokens), args.device)
    chooser = None
    if args.chosen != "transcript":
        chooser = LocalChat.load(args.chosen, Sampling(0.7, 0.8, args.max_new_tokens), args.device)
    with tqdm(total=len(contexts), desc="pairs", unit="pair") as bar:
        for turn in sorted({context["turn"] for context in contexts}):
            now = [context for context in contexts if context["turn"] == turn]
            for start in range(0, len(now), args.batch):
                group = now[start : start + args.batch]
                chosen = [context["answer"] for context in group]
                if chooser:
                    chosen = draw(chooser, group, [""] * len(group), args)
                rejected = draw(rejecter, group, chosen, args)
                for context, *answers in zip(group, chosen, rejected, strict=True):
                    bar.update()
                    if all(answers):
                        good, bad = ([{"role": "assistant", "content": text}] for text in answers)
                        store.append(
                            {"id": context["id"], "prompt": context["prompt"], "chosen": good, "rejected": bad}
                        )


def pair_contexts(session: dict, cot: bool) -> list[dict]:
    """The contexts of a session's answered turns, with the transcript's own answer in the wanted form."""
    contexts = []
    for number, turn in enumerate(session["turns"], 1):
        if turn["answer"] is None:
            break
        if cot and not turn["thinking"]:
            raise InputError(f'session {session["id"]}, turn {number} has no "thinking": no CoT pairs can come from it')
        prompt = therapist_messages(session["turns"][: number - 1], turn["client"], cot)
        answer = cot_reply(turn["thinking"], turn["answer"]) if cot else turn["answer"]
        contexts.append(
            {
                "id": f"{session['id']}/{number}",
                "session": session["id"],
                "turn": number,
                "prompt": prompt,
                "answer": answer,
            }
        )
    return contexts


def draw(model: LocalChat, contexts: list[dict], unlike: list[str], args: Namespace) -> list[str]:
    """An answer a context that is neither empty nor equal to `unlike`; "" where ATTEMPTS draws gave none."""
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
            answers[i] = "" if reply.text == unlike[i] else reply.text
    return answers


def add_local_flags(parser: Parser) -> None:
    parser.add_argument(
        "--format",
        choices=("observe", "enforce"),
        default="observe",
        help="CoT form: left to the model, or enforced in decoding",
    )
    parser.add_argument("--max-new-tokens", type=positive, default=512, help="longest reply, in tokens")
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
    add_local_flags(sessions)

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
    add_local_flags(pairs)

    args = parser.parse_args()
    if "device" in args:
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
