"""Make the study's synthetic data: client profiles, therapy transcripts, preference pairs.

    generate.py profiles --n 50 --seed 0 --out profiles.jsonl generate.py sessions --profiles
    profiles.jsonl --therapist MODEL --client MODEL --turns 25 --out sessions.jsonl generate.py
    pairs --sessions sessions.jsonl --chosen transcript --rejected MODEL --out pairs.jsonl

A MODEL is a folder in Hugging Face layout, FOLDER+ADAPTER, or NAME@URL for an OpenAI-compatible
endpoint, whose key comes from the environment (OPENAI_API_KEY, MISTRAL_API_KEY, DEEPSEEK_API_KEY,
OLLAMA_API_KEY by address, else ACT_API_KEY). Each command appends to --out, skips what is already
there, and can be killed and started again with the same words; with other models or settings it
refuses. `generate.py COMMAND --help` is each one's manual.
"""

from argparse import Namespace
from collections.abc import Generator
from itertools import chain

from tqdm import tqdm

from act.audit.style import describe
from act.cli import Parser, positive, run_script, set_up_device
from act.dialogue.chat import Ask, ChatModel, Reply, read_reply
from act.dialogue.journal import Journal
from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import check_client, cot_reply
from act.dialogue.session import (
    TRANSCRIPT,
    Speakers,
    check_held,
    ends,
    hold_sessions,
    new_session,
    seed_from,
    therapist_messages,
)
from act.dialogue.settings import check_settings, made_with
from act.dialogue.speakers import check_enforced, open_speaker
from act.dialogue.talks import Talk, hold_talks
from act.model.sampler import Sampling
from act.records import (
    InputError,
    Store,
    check_pair,
    check_profile,
    check_session,
    read_unique,
    require,
)

ATTEMPTS = 3  # how often an answer is drawn before its pair is left out
VERDICT_TOKENS = 200


def make_profiles_file(args: Namespace) -> None:
    """`generate.py profiles`: append the clients that are missing. Raises InputError where one is
    there and differs."""
    with Store(args.out, check_profile) as store:
        held = {profile["id"]: profile for profile in store.records()}
        for profile in make_profiles(args.n, args.seed):
            if profile["id"] not in store:
                store.append(profile)
            elif held[profile["id"]] != profile:
                raise InputError(
                    f"{args.out}: {profile['id']} is another client; was it made with another --seed?"
                )
        print(f"{len(store)} profiles in {args.out}")


def make_sessions(args: Namespace) -> None:
    """`generate.py sessions`: hold a session with each client that has none yet."""
    profiles = read_unique(args.profiles, check_client)
    with Store(args.out, check_session) as store:
        wanted = [profile for profile in profiles if f"{TRANSCRIPT}/{profile['id']}" not in store]
        with Journal(
            store
        ) as journal:  # where nothing is wanted it clears away what a death has left
            if wanted:
                hold_wanted(wanted, profiles, store, journal, args)
        print(f"{len(store)} sessions in {args.out}: {ends(store.records())}")
        print(describe(store.records()))


def hold_wanted(
    wanted: list[dict], profiles: list[dict], store: Store, journal: Journal, args: Namespace
) -> None:
    """Hold the sessions of the wanted profiles. Raises InputError if the store's were held with
    other settings."""
    check_enforced(args.format, args.therapist)
    replies = Sampling(temperature=0.8, top_p=1.0, max_new_tokens=args.max_new_tokens)
    therapist = open_speaker(args.therapist, replies, args)
    replies = Sampling(temperature=0.95, top_p=1.0, max_new_tokens=args.client_max_new_tokens)
    client = open_speaker(args.client, replies, args, [therapist])
    supervisor = None
    if args.supervisor:
        verdicts = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=VERDICT_TOKENS)
        supervisor = open_speaker(args.supervisor, verdicts, args, [therapist, client])
    speakers = Speakers(therapist, client, supervisor)

    def new(profile: dict) -> dict:
        return new_session(TRANSCRIPT, profile, speakers, args.format, args.seed)

    clients = {profile["id"]: profile for profile in profiles}
    for held in store.records():
        profile = held["profile"]
        check_held(args.out, held, new(clients.get(profile["id"], profile)), args.turns)
    with tqdm(total=len(wanted) * args.turns, unit="turn") as bar:
        hold_sessions(map(new, wanted), speakers, args.turns, journal, bar, args.batch)


def make_pairs(args: Namespace) -> None:
    """`generate.py pairs`: draw a pair for each turn that has none; those that gave none go to
    OUT.left-out."""
    sessions = read_unique(args.sessions, check_session)
    with (
        Store(args.out, check_pair) as store,
        Store(f"{args.out}.left-out", check_left_out) as left_out,
    ):
        contexts = [pair_contexts(session, args) for session in sessions]
        prompts = {context["id"]: context["prompt"] for group in contexts for context in group}
        for held in chain(store.records(), left_out.records()):
            if prompts.get(held["id"], held["prompt"]) != held["prompt"]:
                raise InputError(
                    f"{args.out}: {held['id']} has another prompt; of other sessions, or with other --cot?"
                )
        wanted = [
            [
                context
                for context in group
                if context["id"] not in store and context["id"] not in left_out
            ]
            for group in contexts
        ]
        if any(wanted):
            draw_wanted(wanted, store, left_out, args)
        print(f"{len(store)} pairs in {args.out}")
        if left_out.keys:
            why = f"no room, no reply, or no usable answer in {ATTEMPTS} draws"
            print(
                f"{len(left_out)} left out ({why}): {left_out.path}; delete it to have them drawn again"
            )


def check_left_out(record: dict) -> None:
    """A context that has no pair: {"id", "prompt", "draws": how each ended, ...}."""
    require(record, {"id": str, "prompt": list, "draws": dict})


def draw_wanted(wanted: list[list[dict]], store: Store, left_out: Store, args: Namespace) -> None:
    """Draw the pairs of the wanted contexts, session by session.

    Raises InputError if those in the store were drawn with other settings.
    """
    for spec in (args.chosen, args.rejected):
        check_enforced(args.format, spec)
    samples = Sampling(temperature=0.8, top_p=1.0, max_new_tokens=args.max_new_tokens)
    rejecter = open_speaker(args.rejected, samples, args)
    models = {"rejected": rejecter}
    if args.chosen != TRANSCRIPT:
        answers = Sampling(temperature=0.7, top_p=0.8, max_new_tokens=args.max_new_tokens)
        chooser = open_speaker(args.chosen, answers, args, [rejecter])
        models = {"chosen": chooser} | models
    settings = made_with(models, args.format, args.seed)
    settings["models"] = {"chosen": TRANSCRIPT} | settings["models"]
    for held in chain(store.records(), left_out.records()):
        check_settings(args.out, held, settings)
    with tqdm(total=sum(map(len, wanted)), desc="pairs", unit="pair") as bar:
        talks = (
            draw_pairs(group, models, settings, store, left_out, bar, args)
            for group in wanted
            if group
        )
        hold_talks(talks, args.batch)


def draw_pairs(
    contexts: list[dict],
    models: dict[str, ChatModel],
    settings: dict,
    store: Store,
    left_out: Store,
    bar: tqdm,
    args: Namespace,
) -> Talk:
    """A pair for each context of one session, in order: its cache is read on."""
    for context in contexts:
        chosen, rejected, draws = context["answer"], "", {}
        if "chosen" in models:
            chosen, draws["chosen"] = yield from draw(
                models["chosen"], context, "", args, usable=True
            )
        if chosen:
            rejected, draws["rejected"] = yield from draw(
                models["rejected"], context, chosen, args, usable=False
            )
        record = {"id": context["id"], "prompt": context["prompt"]}
        if rejected:
            good, bad = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
            store.append(record | {"chosen": good, "rejected": bad, "draws": draws} | settings)
        else:
            left_out.append(record | {"draws": draws} | settings)
        bar.update()
    for model in models.values():
        model.forget(contexts[0]["session"])


def pair_contexts(session: dict, args: Namespace) -> list[dict]:
    """The contexts of a session's whole answers, with the transcript's own answer in the wanted
    form."""
    contexts = []
    for number, turn in enumerate(session["turns"][: args.turns], 1):
        if turn["status"] != "ok":
            continue  # an answer that was cut off would teach to stop in mid-sentence
        where = f"{args.sessions}: {session['id']}, turn {number}"
        if args.cot and not turn["thinking"]:
            raise InputError(f'{where} has no "thinking": no CoT pairs can come from it')
        contexts.append(
            {
                "id": f"{session['id']}/{number}",
                "session": session["id"],
                "prompt": therapist_messages(
                    session["turns"][: number - 1], turn["client"], args.cot
                ),
                "answer": cot_reply(turn["thinking"], turn["answer"])
                if args.cot
                else turn["answer"],
            }
        )
    return contexts


def draw(
    model: ChatModel, context: dict, unlike: str, args: Namespace, usable: bool
) -> Generator[tuple[ChatModel, Ask], Reply, tuple[str, list[str]]]:
    """(an answer, how each draw ended). The answer is neither empty nor equal to `unlike`; "" where
    no draw gave one.

    With `usable` it must also be whole and in form: what is chosen is learned from as it stands.
    """
    draws, name = (
        [],
        model.name.partition("@")[0] if model.remote else model.name,
    )  # wherever it is served
    for attempt in range(ATTEMPTS):
        seed = seed_from(args.seed, context["id"], name, attempt)
        reply = yield (
            model,
            Ask(context["session"], context["prompt"], seed, args.cot and args.format == "enforce"),
        )
        status = read_reply(reply, args.cot)[0]
        draws.append("equal" if reply.text and reply.text == unlike else status)
        if status in ("context", "error"):
            break  # another draw would end likewise
        if reply.text != unlike and (status == "ok" or not usable):
            return reply.text, draws
    return "", draws


def add_model_flags(parser: Parser, max_new_tokens: int) -> None:
    """The flags that `sessions` and `pairs` share."""
    parser.add_argument(
        "--format",
        choices=("observe", "enforce"),
        default="observe",
        help="CoT form: left to the model, or enforced in decoding",
    )
    parser.add_argument(
        "--max-new-tokens", type=positive, default=max_new_tokens, help="longest reply, in tokens"
    )
    parser.add_argument(
        "--batch",
        type=positive,
        default=16,
        help="conversations held side by side; below --concurrency it caps that",
    )
    parser.add_endpoint_flags()
    parser.add_argument("--seed", type=int, default=0, help="seed of all random streams")
    parser.add_device_flags()


def main() -> None:
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    profiles = commands.add_parser(
        "profiles", help="synthetic clients", description="Draw synthetic client profiles."
    )
    profiles.add_argument(
        "--n", type=positive, default=50, help="how many; the first m of n are the same for any n"
    )
    profiles.add_argument("--seed", type=int, default=0, help="seed of the draw")
    profiles.add_argument("--out", required=True, help="JSONL file of profiles")
    profiles.set_defaults(run=make_profiles_file)

    about = "Let a therapist model that thinks before it answers and a client model talk, one session a profile."
    sessions = commands.add_parser("sessions", help="synthetic transcripts", description=about)
    sessions.add_argument("--profiles", required=True, help="JSONL file of profiles")
    sessions.add_argument(
        "--therapist", required=True, metavar="MODEL", help="who plays the therapist"
    )
    sessions.add_argument("--client", required=True, metavar="MODEL", help="who plays the client")
    sessions.add_argument(
        "--supervisor",
        metavar="MODEL",
        help="who accepts each turn or sends it back, twice at most",
    )
    sessions.add_argument("--turns", type=positive, default=25, help="turns a session")
    sessions.add_argument(
        "--client-max-new-tokens", type=positive, default=250, help="longest client turn, in tokens"
    )
    sessions.add_argument("--out", required=True, help="JSONL file of sessions")
    sessions.set_defaults(run=make_sessions)
    add_model_flags(sessions, max_new_tokens=750)

    about = "Make a preference pair of each therapist turn: prompt, chosen and rejected answer, in TRL's format."
    pairs = commands.add_parser("pairs", help="preference pairs", description=about)
    pairs.add_argument("--sessions", required=True, help="JSONL file of sessions")
    pairs.add_argument(
        "--chosen",
        required=True,
        metavar="MODEL",
        help='a model, or "transcript": the session\'s own answer',
    )
    pairs.add_argument(
        "--rejected",
        required=True,
        metavar="MODEL",
        help="the model whose samples are rejected: the base",
    )
    pairs.add_argument(
        "--turns",
        type=positive,
        help="pairs of the first N turns of each session only; default all",
    )
    pairs.add_argument(
        "--cot", action="store_true", help="with reasoning: CoT prompt, two-part answers"
    )
    pairs.add_argument("--out", required=True, help="JSONL file of pairs")
    pairs.set_defaults(run=make_pairs)
    add_model_flags(pairs, max_new_tokens=512)

    args = parser.parse_args()
    if "device" in args:
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
