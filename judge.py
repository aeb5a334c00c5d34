"""Rate sessions on two clinical forms: ACT-FM (25 items, 0-3: how ACT-like) and TES (9 items, 1-7:
how empathic).

    judge.py check --judge MODEL --out check.json
    judge.py rate --sessions sessions.jsonl --judge MODEL --out ratings.jsonl
    judge.py page --sessions sessions.jsonl --out page.html
    judge.py agree --human human.jsonl --judge ratings.jsonl
    judge.py tune-data --sessions sessions.jsonl --human human.jsonl --out tune.jsonl

A judge is a model folder, FOLDER+ADAPTER, or NAME@URL for an OpenAI-compatible endpoint, whose key
comes from the environment. It sees what was said, answers only, blind to the condition. A small
judge is a demonstration, not an instrument: `check` says whether a judge measures anything, `agree`
how it compares with people. Each rating holds what its judge depends on (weights or address,
wording, temperature, seed): a file takes one setting of a judge and no other.
"""

import json
import sys
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from act.cli import Parser, not_negative, positive, run_script, set_up_device, whole
from act.forms import FORMS, Form
from act.judging.check import check, in_words
from act.judging.families import same_family
from act.judging.judge import Judge, LocalJudge, Text, said_in, wording_digest
from act.judging.rating_page import rating_page
from act.judging.ratings import examples, rating
from act.judging.served import EndpointJudge
from act.judging.settings import rater_names, read_checks, refuse_check_of_another, refuse_others
from act.model.checkpoint import is_endpoint
from act.records import (
    RATING_KEY,
    InputError,
    Store,
    check_rating,
    check_session,
    rating_key,
    read_unique,
    require,
)
from act.statistics.judges import as_table, compare
from act.wording import load_wording


def wording(args: Namespace) -> tuple[Form, Form]:
    """The two forms, in the wording of --form or our paraphrase."""
    return load_wording(args.form) if args.form else FORMS


def wording_of(args: Namespace) -> str:
    """The name under which a rating stores its wording."""
    return args.form.name if args.form else "paraphrase"


def open_judge(spec: str, args: Namespace) -> Judge:
    """The judge that a MODEL argument names."""
    forms = wording(args)
    if is_endpoint(spec):
        served = (
            args.attempts,
            args.temperature,
            args.seed,
            args.concurrency,
            args.timeout,
            args.room_to_think,
        )
        return EndpointJudge.open(spec, forms, *served)
    return LocalJudge(spec, forms, args.long, args.batch, args.device)


def rate(args: Namespace) -> None:
    """`judge.py rate`."""
    names = rater_names(args.judge)
    checks = read_checks(args.check, names)
    sessions = {session["id"]: session for session in read_unique(args.sessions, check_session)}
    for name in names:
        unchecked = f"{name} is not checked here: `judge.py check`, then --check."
        print(checks[name]["verdict"]["line"] if name in checks else unchecked)
    with Store(args.out, check_rating, rating_key) as store:
        unanswered = sum(rate_with(spec, sessions, checks, store, args) for spec in args.judge)
        bad = sum(record["status"] != "ok" for record in store.records())
        print(f"{len(store)} ratings in {args.out}, {bad} of them without forms")
    if unanswered:
        print(
            f"{unanswered} texts got no reply and are not stored: the same command asks for them again"
        )


def rate_with(
    spec: str, sessions: dict[str, dict], checks: dict[str, dict], store: Store, args: Namespace
) -> int:
    """Append one judge's ratings of the sessions that lack them; returns for how many texts there
    was no reply."""
    judge = open_judge(spec, args)
    refuse_others(store, judge.settings, lambda record: record["rater"] == judge.name)
    if judge.name in checks:
        refuse_check_of_another(checks[judge.name], judge.settings)
    for role in same_family(spec, list(sessions.values())):
        warning = f"{judge.name} is of one family with the {role} in {args.sessions}: judges tend to prefer their own"
        print(f"warning: {warning}", file=sys.stderr)
    replicates = args.replicates if is_endpoint(spec) else 1
    if not is_endpoint(spec) and (args.replicates > 1 or args.temperature):
        print(
            f"warning: {judge.name} is a local judge: it says the same each time, once is enough",
            file=sys.stderr,
        )
    texts = [Text((i,), said_in(s), r) for i, s in sessions.items() for r in range(replicates)]
    there = {rating_key(record): record.get("text") for record in store.records()}
    for text in texts:
        if there.get((*text.key, judge.name, text.replicate)) not in (None, text.digest):
            raise InputError(
                f"{args.out}: {text.key[0]} had other words when it was rated; choose another --out"
            )
    texts = [text for text in texts if (*text.key, judge.name, text.replicate) not in there]
    unanswered = 0
    for text, judgement in tqdm(
        judge.rate(texts), desc=f"rate, {judge.name}", total=len(texts), unit="form"
    ):
        if judgement.status == "error":
            unanswered += 1
        else:
            store.append(rating(sessions[text.key[0]], judge, text, judgement, wording_of(args)))
    return unanswered


def run_check(args: Namespace) -> None:
    """`judge.py check`: the verdict, and into --out all it stands on."""
    judge = open_judge(args.judge, args)
    keep = nullcontext()
    if args.out:
        keep = Store(
            args.out.with_suffix(".judgements.jsonl"),
            lambda r: require(r, {"id": str, "judgement": dict}),
        )
    with keep as store:
        if store is not None:
            refuse_others(store, judge.settings)
            open(args.out, "a").close()  # refused before anybody is asked, rather than after
        result = check(judge, args.replicates if is_endpoint(args.judge) else 1, args.seen, store)
    print("\n".join(in_words(result)))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


def agree(args: Namespace) -> None:
    """`judge.py agree`: the table, and into --out its rows."""
    human, judge = (
        read_unique(path, check_rating, *RATING_KEY) for path in (args.human, args.judge)
    )
    field = "" if args.score == "integer" else "_expected"
    expected = {"act_fm_expected", "tes_expected"}
    if field and any(r["status"] == "ok" and not expected <= set(r) for r in judge):
        raise InputError(f"{args.judge}: a judge gave no probabilities; use --score integer")
    if len(names := {r["wording"] for r in (*human, *judge) if "wording" in r}) > 1:
        print(
            f"warning: ratings of items in different wordings: {', '.join(sorted(names))}",
            file=sys.stderr,
        )
    if not {r["session"] for r in human if r["status"] == "ok"} & {
        r["session"] for r in judge if r["status"] == "ok"
    }:
        raise InputError(f"{args.human} and {args.judge}: no session that both rated")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        open(args.out, "a").close()  # refused at once, rather than at the end
    rows = compare(human, judge, field, args.resamples, args.seed, args.cluster)
    print("\n".join(as_table(rows, args.cluster)))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


def tune_data(args: Namespace) -> None:
    """`judge.py tune-data`."""
    sessions = {session["id"]: session for session in read_unique(args.sessions, check_session)}
    human = read_unique(args.human, check_rating, *RATING_KEY)
    human = [r for r in human if r["status"] == "ok" and r["session"] in sessions]
    if not human:
        raise InputError(f"{args.human}: no valid rating of a session in {args.sessions}")
    for record in human:
        if record.get("wording", wording_of(args)) != wording_of(args):
            where = f"{args.human}: {record['session']}, {record['rater']}"
            raise InputError(
                f"{where}: rated in the wording {record['wording']}, not {wording_of(args)}; see --form"
            )
    forms = wording(args)
    settings = {"target": args.target, "wording": wording_digest(forms)}
    with Store(
        args.out, lambda row: require(row, {"id": str, "prompt": list, "completion": list})
    ) as store:
        refuse_others(store, settings)
        for record in human:
            for row in examples(sessions[record["session"]], record, forms, args.target):
                if row["id"] not in store:
                    store.append(row | {"judge": settings})
        print(f"{len(store)} examples in {args.out}, from {len(human)} ratings")


def page(args: Namespace) -> None:
    """`judge.py page`."""
    sessions = read_unique(args.sessions, check_session)
    texts = [(session, said_in(session)) for session in sessions if said_in(session)]
    forms = wording(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(rating_page(texts, forms, wording_of(args)), encoding="utf-8")
    left = len(sessions) - len(texts)
    print(
        f"{len(texts)} sessions in {args.out}"
        + (f"; {left} without an answer left out" if left else "")
    )


def main() -> None:
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run, help: str, about: str) -> Parser:
        command = commands.add_parser(name, help=help, description=about)
        command.set_defaults(run=run)
        return command

    def add_form(command: Parser) -> None:
        command.add_argument(
            "--form",
            type=Path,
            metavar="FILE",
            help='the items\' wording: JSON {"ACT-FM": [25 texts], "TES": [9]}',
        )

    def add_judge_flags(command: Parser) -> None:
        add_form(command)
        command.add_argument(
            "--replicates", type=positive, default=1, help="forms of each text by an endpoint"
        )
        command.add_argument(
            "--attempts",
            type=positive,
            default=3,
            help="forms an endpoint may write until one is valid",
        )
        command.add_argument("--temperature", type=not_negative, default=0.0, help="of an endpoint")
        command.add_argument("--seed", type=int, default=0, help="of an endpoint's random streams")
        command.add_argument(
            "--long",
            choices=("refuse", "last"),
            default="refuse",
            help="a transcript longer than a local judge's context: no rating, or one of the last turns that fit",
        )
        command.add_argument(
            "--batch", type=positive, default=4, help="texts a local judge reads side by side"
        )
        command.add_endpoint_flags()
        command.add_device_flags()

    command = add(
        "rate",
        rate,
        "sessions -> ratings",
        "Rate sessions. Those already rated in --out are skipped. A text without a reply is not stored: the same "
        "command asks for it again. One without a valid form is stored, with its status.",
    )
    command.add_argument("--sessions", type=Path, required=True, help="JSONL file of sessions")
    command.add_argument(
        "--judge",
        required=True,
        nargs="+",
        metavar="MODEL",
        help="FOLDER, FOLDER+ADAPTER or NAME@URL",
    )
    command.add_argument("--out", type=Path, required=True, help="JSONL file of ratings")
    command.add_argument(
        "--check",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="what `check` wrote of these judges: verdicts",
    )
    add_judge_flags(command)

    command = add(
        "check",
        run_check,
        "does a judge measure anything?",
        "Does a judge measure anything? Texts of known quality, rated; a verdict first.",
    )
    command.add_argument(
        "--judge", required=True, metavar="MODEL", help="FOLDER, FOLDER+ADAPTER or NAME@URL"
    )
    command.add_argument(
        "--out",
        type=Path,
        help="JSON file of the result, for `rate --check` and `analyze.py --check`; beside it, in *.judgements.jsonl, "
        "what was judged, from which the same command goes on",
    )
    command.add_argument(
        "--seen",
        nargs="+",
        default=[],
        metavar="ID",
        help="clients of the whole sessions it was tuned on: left out",
    )
    add_judge_flags(command)

    command = add(
        "agree",
        agree,
        "a judge against people, and people among themselves",
        "Judge against humans, and humans among themselves, by outcome and by item: a judge with the mean of the "
        "humans, with each human, and, to compare that with, two humans with one another, averaged over pairs.",
    )
    command.add_argument(
        "--human", type=Path, required=True, help="JSONL file of ratings by people"
    )
    command.add_argument(
        "--judge", type=Path, required=True, help="JSONL file of ratings by one or more judges"
    )
    command.add_argument(
        "--score", choices=("integer", "expected"), default="integer", help="the judge's ratings"
    )
    command.add_argument(
        "--resamples", type=positive, default=2000, help="bootstrap samples of each interval"
    )
    command.add_argument("--seed", type=whole, default=0, help="seed of the bootstrap")
    command.add_argument(
        "--cluster",
        choices=("session", "profile"),
        default="session",
        help="what the bootstrap draws: profile where clients come in several sessions, which are not independent",
    )
    command.add_argument("--out", type=Path, help="JSON file of the same rows")

    command = add(
        "tune-data",
        tune_data,
        "human ratings and sessions -> SFT examples",
        "Human ratings and sessions -> SFT examples for `train.py --method sft`.",
    )
    command.add_argument("--sessions", type=Path, required=True, help="JSONL file of sessions")
    command.add_argument(
        "--human", type=Path, required=True, help="JSONL file of ratings by people"
    )
    command.add_argument("--out", type=Path, required=True, help="JSONL file of examples")
    command.add_argument(
        "--target",
        choices=("slots", "form"),
        default="slots",
        help="34 examples a rating, as a local judge is asked, or one whole form, as a served one is",
    )
    add_form(command)

    command = add(
        "page",
        page,
        "sessions -> a page on which a person rates",
        "A page on which a person rates sessions. One HTML file, nothing fetched, nothing sent.",
    )
    command.add_argument("--sessions", type=Path, required=True, help="JSONL file of sessions")
    command.add_argument("--out", type=Path, required=True, help="HTML file")
    add_form(command)
    args = parser.parse_args()
    if "device" in args:
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
