"""Make the study's synthetic data: client profiles, therapy transcripts, preference pairs.

    generate.py profiles --n 50 --seed 0 --out profiles.jsonl
    generate.py sessions --profiles profiles.jsonl --therapist MODEL --client MODEL --turns 25 \\
        --out sessions.jsonl
    generate.py pairs --sessions sessions.jsonl --chosen transcript --rejected MODEL \\
        --out pairs.jsonl

A MODEL is a folder in Hugging Face layout, FOLDER+ADAPTER, or NAME@URL for an OpenAI-compatible
endpoint, whose key comes from the environment (OPENAI_API_KEY, AZURE_OPENAI_API_KEY,
MISTRAL_API_KEY, DEEPSEEK_API_KEY, OLLAMA_API_KEY by address, else ACT_API_KEY). Each command
appends to --out, skips what is already there, and can be killed and started again with the same
words; with other models or settings it refuses. `generate.py COMMAND --help` is each one's manual.
"""

from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

from tqdm import tqdm

from act import records
from act.audit.style import describe
from act.cli import Parser, positive, run_script, set_up_device, stop_unfinished
from act.dialogue.chat import Ask, ChatModel, Reply, Talk, hold_talks, read_reply
from act.dialogue.clients import played
from act.dialogue.journal import Journal, check_made_with, made_with
from act.dialogue.local import check_enforced, open_speaker, unloaded
from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import cot_reply, message, therapist_messages
from act.dialogue.session import TRANSCRIPT, Lost, check_held, ends, hold_all, seed_from, unheld
from act.model.sampler import Sampling
from act.model.spec import split_endpoint
from act.model.tokenizer import Messages
from act.records import InputError, Store, counted, read_unique, require

Opener = Callable[[str, Sampling, Namespace], ChatModel]  # open_speaker, or unloaded
Roles = dict[str, tuple[str | None, Sampling]]  # role -> MODEL, None for nobody; how it speaks
MODEL = {"required": True, "metavar": "MODEL"}  # what a flag that names one has
ATTEMPTS = 3  # how often an answer is drawn before its pair is left out
# what is chosen is learned as it stands; what is rejected may be cut or out of form
KEPT = {"chosen": ("ok",), "rejected": ("ok", "length", "format")}


def make_profiles_file(args: Namespace) -> None:
    """`generate.py profiles`: append the clients that are missing; one that differs is refused."""
    with Store(args.out, records.check_profile) as store:
        held = {profile["id"]: profile for profile in store.records()}
        for profile in make_profiles(args.n, args.seed):
            if profile["id"] not in store:
                store.append(profile)
            elif held[profile["id"]] != profile:
                other = "is another client; was it made with another --seed?"
                raise InputError(f"{args.out}: {profile['id']} {other}")
        print(f"{len(store)} profiles in {args.out}")


def speakers(opened: Opener, roles: Roles, args: Namespace) -> dict[str, ChatModel]:
    """Who speaks, by role."""
    return {role: opened(spec, how, args) for role, (spec, how) in roles.items() if spec}


def make_sessions(args: Namespace) -> None:
    """`generate.py sessions`: hold a session with each client that has none yet, unless the others
    were held with other settings."""
    roles = {  # a supervisor is greedy, and brief
        "therapist": (args.therapist, Sampling(0.8, 1.0, args.max_new_tokens)),
        "client": (args.client, Sampling(0.95, 1.0, args.client_max_new_tokens)),
        "supervisor": (args.supervisor, Sampling(0.0, 1.0, max_new_tokens=200)),
    }
    clients = played(args.profiles)
    check_enforced(args.format, args.therapist)
    # where nothing is wanted, the journal clears away what a death has left
    with Store(args.out, records.check_session) as store, Journal(store) as journal:
        if len(store):
            made = made_with(speakers(unloaded, roles, args), args.format, args.seed)
            check_held(store, lambda held: made, clients, args.turns)
        if wanted := unheld(store, [TRANSCRIPT], clients):
            models = speakers(open_speaker, roles, args)
            hold_all(wanted, lambda condition: models, journal, args)
        print(f"{counted(len(store), 'session')} in {args.out}: {ends(store.records())}")
        print(describe(store.records()))
        left = unheld(store, [TRANSCRIPT], clients).get(TRANSCRIPT, [])
    stop_unfinished(len(left), len(clients), "sessions")


def check_left_out(record: dict) -> None:
    """A context for which no pair was drawn, and how each draw ended."""
    require(record, {"id": str, "prompt": list, "draws": dict})


def make_pairs(args: Namespace) -> None:
    """`generate.py pairs`: draw a pair for each turn; those that give none go to OUT.left-out."""
    chosen = None if args.chosen == TRANSCRIPT else args.chosen
    roles = {
        "chosen": (chosen, Sampling(0.7, 0.8, args.max_new_tokens)),
        "rejected": (args.rejected, Sampling(0.8, 1.0, args.max_new_tokens)),
    }
    contexts = []  # of each session a list
    for session in read_unique(args.sessions, records.check_session):
        contexts.append(pair_contexts(session, args))
    prompts = {context["id"]: context["prompt"] for context in chain(*contexts)}
    for spec in (args.chosen, args.rejected):
        check_enforced(args.format, spec)
    settings = pair_settings(speakers(unloaded, roles, args), args)
    lost = f"{args.out}.left-out"
    with Store(args.out, records.check_pair) as store, Store(lost, check_left_out) as left_out:
        for held in chain(store.records(), left_out.records()):
            check_drawn(held, prompts, args)
            check_made_with(args.out, held, settings)
        there = store.keys | left_out.keys
        wanted = [[one for one in group if one["id"] not in there] for group in contexts]
        if any(wanted):
            models = speakers(open_speaker, roles, args)
            draw_wanted(wanted, models, store, left_out, args)
        print(f"{len(store)} pairs in {args.out}")
        if left_out.keys:
            why = f"no room, no reply, or no usable answer in {ATTEMPTS} draws"
            print(f"{len(left_out)} left out ({why}): delete {lost} to have them drawn again")
    left = sum(name not in store and name not in left_out for name in prompts)
    stop_unfinished(left, len(prompts), "pairs")


def check_drawn(held: dict, prompts: dict[str, Messages], args: Namespace) -> None:
    """Refuse a pair, or what was left out, of another prompt or without "cut"."""
    if prompts.get(held["id"], held["prompt"]) != held["prompt"]:
        other = "has another prompt; of other sessions, or with other --cot?"
        raise InputError(f"{args.out}: {held['id']} {other}")
    cut = "length" in [draws[-1] for draws in held["draws"].values()]
    if cut and "chosen" in held and "cut" not in held:
        old = "was cut, and made before pairs said so; delete it, or take another --out"
        raise InputError(f"{args.out}: {held['id']} {old}")


def pair_contexts(session: dict, args: Namespace) -> list[dict]:
    """The contexts of a session's whole answers, with the transcript's own in the wanted form."""
    contexts = []
    for number, turn in enumerate(session["turns"][: args.turns], 1):
        if turn["status"] != "ok":
            continue  # an answer that was cut off would teach to stop in mid-sentence
        answer, past = turn["answer"], session["turns"][: number - 1]
        if args.cot:
            if not turn["thinking"]:
                where = f"{args.sessions}: {session['id']}, turn {number}"
                raise InputError(f'{where} has no "thinking": no CoT pairs can come from it')
            answer = cot_reply(turn["thinking"], answer)
        context = {"id": f"{session['id']}/{number}", "session": session["id"], "answer": answer}
        context["prompt"] = therapist_messages(past, turn["client"], args.cot)
        contexts.append(context)
    return contexts


def pair_settings(models: dict[str, ChatModel], args: Namespace) -> dict:
    """What pairs are made with."""
    settings = made_with(models, args.format, args.seed)
    settings["models"] = {"chosen": TRANSCRIPT} | settings["models"]  # or the model's name
    return settings


def draw_wanted(
    wanted: list[list[dict]],
    models: dict[str, ChatModel],
    store: Store,
    left_out: Store,
    args: Namespace,
) -> None:
    """Draw the wanted pairs, session by session; each record has its settings. A pair whose server
    gave no reply is put off."""
    settings = pair_settings(models, args)
    for held in chain(store.records(), left_out.records()):
        check_made_with(args.out, held, settings)  # now it is known what servers take, too

    def talk(contexts: list[dict]) -> Talk[None]:
        """A pair for each context of one session, in order: its cache is read on."""
        for context in contexts:
            record = {"id": context["id"], "prompt": context["prompt"]}
            with suppress(Lost):
                record |= yield from draw_pair(context, models, args)
                (store if "chosen" in record else left_out).append(record | settings)
            bar.update()
        for model in models.values():
            model.forget(contexts[0]["session"])

    with tqdm(total=sum(map(len, wanted)), desc="pairs", unit="pair") as bar:
        for model in models.values():
            model.bar = bar
        hold_talks(map(talk, filter(None, wanted)), args.batch)


def draw_pair(context: dict, models: dict[str, ChatModel], args: Namespace) -> Talk[dict]:
    """{"chosen", "rejected", "draws": how each ended} and, where one is there, "cut": the answer
    that was cut at the token limit. Without an answer of either, the draws alone."""
    # chosen: the transcript's own answer, unless a model gives another
    said = {} if "chosen" in models else {"chosen": context["answer"]}
    draws, cut = {}, []
    for role, model in models.items():  # chosen, rejected
        unlike = said.get("chosen", "")
        reply, draws[role] = yield from draw(model, context, args, KEPT[role], unlike)
        if reply is None:
            return {"draws": draws}
        said[role] = reply.text
        if reply.status == "length":
            cut.append(role)
    pair = {role: [message("assistant", answer)] for role, answer in said.items()}
    return pair | {"draws": draws} | ({"cut": cut} if cut else {})


def draw(
    model: ChatModel, context: dict, args: Namespace, kept: tuple[str, ...], unlike: str
) -> Talk[tuple[Reply | None, list[str]]]:
    """(a reply, how each draw ended). Its status is one of `kept`, and it is not `unlike`; None
    where no draw gave one. Raises Lost."""
    draws = []  # a turn's statuses, or "equal" to `unlike`
    name = split_endpoint(model.name)[0] if model.remote else model.name  # wherever it is served
    enforce = args.cot and args.format == "enforce"
    for attempt in range(ATTEMPTS):
        seed = seed_from(args.seed, context["id"], name, attempt)
        reply = yield model, Ask(context["session"], context["prompt"], seed, enforce)
        if reply.status == "lost":
            raise Lost
        status = read_reply(reply, args.cot)[0]
        equal = reply.text and reply.text == unlike
        draws.append("equal" if equal else status)
        if status in ("context", "refused", "error"):
            break  # another draw would end likewise
        if status in kept and not equal:
            return reply, draws
    return None, draws


def main() -> None:
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    about = "Draw synthetic client profiles."
    profiles = commands.add_parser("profiles", help="synthetic clients", description=about)
    add = profiles.add_argument
    add("--n", type=positive, default=50, help="how many; the first m of n are the same for any n")
    add("--seed", type=int, default=0, help="seed of the draw")
    add("--out", required=True, help="JSONL file of profiles")
    profiles.set_defaults(run=make_profiles_file)

    about = "Let a therapist that thinks before it answers and a client talk, a session a profile."
    sessions = commands.add_parser("sessions", help="synthetic transcripts", description=about)
    add = sessions.add_argument
    add("--profiles", required=True, help="JSONL file of profiles")
    add("--therapist", **MODEL, help="who plays the therapist")
    add("--client", **MODEL, help="who plays the client")
    add("--supervisor", metavar="MODEL", help="who may send a turn back, twice at most")
    add("--turns", type=positive, default=25, help="turns a session")
    add("--client-max-new-tokens", type=positive, default=250, help="longest client turn, tokens")
    add("--out", required=True, help="JSONL file of sessions")
    sessions.add_talk_flags(max_new_tokens=750, batch=16)
    sessions.set_defaults(run=make_sessions)

    about = "Make a preference pair of each therapist turn, in TRL's format."
    pairs = commands.add_parser("pairs", help="preference pairs", description=about)
    add = pairs.add_argument
    add("--sessions", required=True, help="JSONL file of sessions")
    add("--chosen", **MODEL, help='a model, or "transcript": the session\'s own answer')
    add("--rejected", **MODEL, help="the model whose samples are rejected: the base")
    add("--turns", type=positive, metavar="N", help="of each session the first N only")
    add("--cot", action="store_true", help="with reasoning: CoT prompt, two-part answers")
    add("--out", required=True, help="JSONL file of pairs")
    pairs.add_talk_flags(max_new_tokens=512, batch=16)
    pairs.set_defaults(run=make_pairs)

    args = parser.parse_args()
    if "device" in args:  # profiles need none
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
