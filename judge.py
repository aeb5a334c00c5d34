"""Rate sessions on two clinical forms: ACT-FM (25 items, 0-3: how ACT-like) and TES (9 items, 1-7: how empathic).

    judge.py rate --sessions sessions.jsonl --judge MODEL --out ratings.jsonl
    judge.py agree --human human.jsonl --judge ratings.jsonl

A judge reads the transcript (answers only, blind to the condition) and fills in both forms, each slot by itself: of
its allowed digits the most probable one is the rating, and their probability-weighted mean the expected rating.
Turns without an answer are not shown to it; a session without any, or too long for the judge, gets no rating but a
status. Sessions already rated in --out are skipped. A small judge is a demonstration, not an instrument.
"""

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from act.cli import Parser, positive, run_script, set_up_device
from act.measure.forms import instructions, slots
from act.measure.judges import compare
from act.model.checkpoint import load_model, split_spec
from act.model.slots import Filled, fill_slots
from act.model.tokenizer import ChatTokenizer, Messages
from act.records import InputError, Store, check_rating, check_session, rating_key, read_jsonl, read_unique

REQUEST = "The transcript of the session:\n\n{transcript}\n\nFill in both forms for the therapist."


def judge_messages(session: dict) -> Messages:
    """What the judge sees of a session: what was said, and nothing of who said it under which condition."""
    said = [(turn["client"], turn["answer"]) for turn in session["turns"] if turn["answer"]]
    transcript = "\n\n".join(f"Client: {client}\n\nTherapist: {answer}" for client, answer in said)
    user = REQUEST.format(transcript=transcript)
    return [{"role": "system", "content": instructions()}, {"role": "user", "content": user}]


def rating(session: dict, rater: str, status: str, filled: Filled | None = None) -> dict:
    """A rating record; its forms are null unless the judge filled them."""
    record = {
        "session": session["id"],
        "condition": session["condition"],
        "profile": session["profile"]["id"],
        "rater": rater,
        "replicate": 0,
        "act_fm": None,
        "tes": None,
        "status": status,
        "attempts": 1 if filled else 0,
    }
    if filled:
        record |= {"act_fm": filled.digits[:25], "tes": filled.digits[25:]}
        record |= {"act_fm_expected": filled.expected[:25], "tes_expected": filled.expected[25:]}
    return record


def rate(args: Namespace) -> None:
    sessions = read_unique(args.sessions, check_session)
    rater = "+".join(path.resolve().name for path in split_spec(args.judge) if path)
    with Store(args.out, check_rating, rating_key) as store:
        wanted = [session for session in sessions if (session["id"], rater, 0) not in store]
        if wanted:
            rate_and_store(wanted, rater, store, args)
        bad = sum(record["status"] != "ok" for record in store.records())
        print(f"{len(store)} ratings in {args.out}, {bad} of them without forms")


def rate_and_store(sessions: list[dict], rater: str, store: Store, args: Namespace) -> None:
    model, tokenizer = load_model(args.judge, args.device), ChatTokenizer(split_spec(args.judge)[0])
    form = [(slot.label, slot.digits) for slot in slots()]
    room = model.config.max_position_embeddings - max(len(tokenizer.encode(label)) for label, _ in form)
    readable = []
    for session in sessions:
        prompt = tokenizer.prompt(judge_messages(session))
        if not any(turn["answer"] for turn in session["turns"]):
            store.append(rating(session, rater, "empty"))
        elif len(prompt) > room:
            store.append(rating(session, rater, "context"))
        else:
            readable.append((session, prompt))
    with tqdm(total=len(readable), desc="rate", unit="session") as bar:
        for start in range(0, len(readable), args.batch):
            group = readable[start : start + args.batch]
            forms = fill_slots(model, tokenizer, [prompt for _, prompt in group], form)
            for (session, _), filled in zip(group, forms, strict=True):
                store.append(rating(session, rater, "ok", filled))
                bar.update()


def agree(args: Namespace) -> None:
    human, judge = (list(read_ratings_of_anyone(path)) for path in (args.human, args.judge))
    field = "" if args.score == "integer" else "_expected"
    if field and any(r["status"] == "ok" and "act_fm_expected" not in r for r in judge):
        raise InputError(f"{args.judge}: a judge gave no probabilities; use --score integer")
    if not {r["session"] for r in human if r["status"] == "ok"} & {r["session"] for r in judge if r["status"] == "ok"}:
        raise InputError(f"{args.human} and {args.judge}: no session that both rated")
    rows = compare(human, judge, field, args.resamples, args.seed)
    print(
        f"{'of':22}{'raters':28}{'statistic':22}{'sessions':>8}{'estimate':>10}  95% interval (bootstrap over sessions)"
    )
    for row in rows:
        estimate = "none" if row["estimate"] is None else f"{row['estimate']:.3f}"
        interval = "" if row["ci"] is None else "[{:.3f}, {:.3f}]".format(*row["ci"])
        print(f"{row['of']:22}{row['raters']:28}{row['statistic']:22}{row['sessions']:8}{estimate:>10}  {interval}")
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


def read_ratings_of_anyone(path: Path) -> Iterator[dict]:
    """Ratings of any sessions, each session, rater and replicate once."""
    seen = set()

    def check(record: dict) -> None:
        check_rating(record)
        if rating_key(record) in seen:
            raise ValueError("a second rating with session, rater, replicate {}, {}, {}".format(*rating_key(record)))
        seen.add(rating_key(record))

    return read_jsonl(path, check)


def main() -> None:
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "Rate sessions with a local judge."
    command = commands.add_parser("rate", help="rate sessions", description=about)
    command.add_argument("--sessions", type=Path, required=True, help="JSONL file of sessions")
    command.add_argument("--judge", required=True, metavar="MODEL", help="a model folder, or FOLDER+ADAPTER")
    command.add_argument("--out", type=Path, required=True, help="JSONL file of ratings")
    command.add_argument("--batch", type=positive, default=4, help="sessions read side by side")
    command.add_device_flags()
    command.set_defaults(run=rate)

    about = "Agreement of a judge with humans, and of humans among themselves, by outcome and by item."
    command = commands.add_parser("agree", help="judge against humans", description=about)
    command.add_argument("--human", type=Path, required=True, help="JSONL file of ratings by people")
    command.add_argument("--judge", type=Path, required=True, help="JSONL file of ratings by one or more judges")
    command.add_argument("--score", choices=("integer", "expected"), default="integer", help="the judge's ratings")
    command.add_argument("--resamples", type=positive, default=2000, help="bootstrap samples of each interval")
    command.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    command.add_argument("--out", type=Path, help="JSON file of the same rows")
    command.set_defaults(run=agree)
    args = parser.parse_args()
    if "device" in args:
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
