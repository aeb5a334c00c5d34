"""Rate sessions on two clinical forms: ACT-FM (25 items, 0-3: how ACT-like) and TES (9 items, 1-7:
how empathic).

    judge.py prefer --model DIR --adapters DIR --out preferences.jsonl
    judge.py check --judge MODEL --out check.json
    judge.py rate --sessions sessions.jsonl --judge MODEL --out ratings.jsonl
    judge.py page --sessions sessions.jsonl --out page.html
    judge.py agree --human human.jsonl --judge ratings.jsonl
    judge.py tune-data --sessions sessions.jsonl --human human.jsonl --out tune.jsonl

A judge is a model folder, FOLDER+ADAPTER, or NAME@URL for an OpenAI-compatible endpoint, whose key
comes from the environment. It sees what was said, answers only, blind to the condition. A small
judge is a demonstration, not an instrument: `check` says whether a judge measures anything, `agree`
how it compares with people. Each rating holds what its judge depends on (weights or name,
wording, temperature, seed): a file takes one setting of a judge and no other.
"""

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from inspect import getdoc
from pathlib import Path

from act.cli import (
    Parser,
    conditions,
    not_negative,
    positive,
    run_script,
    set_up_device,
    stop_unfinished,
    whole,
)
from act.dialogue.local import LocalChat, check_adapters
from act.files import whole_file, write_json, write_text
from act.forms import FORMS, load_wording
from act.judging import check as known_groups
from act.judging.judge import rate_missing, refuse_others, said_in, same_family, wording_digest
from act.judging.people import examples, rated_sessions, rating_page, read_forms
from act.judging.prefer import BUNDLED, add_preferences, check_held, read_pairs, settings_of
from act.judging.served import open_judge
from act.model.sampler import Sampling
from act.model.spec import base_folder, is_endpoint, model_name
from act.records import (
    CONDITIONS,
    InputError,
    Store,
    check_rating,
    check_session,
    counted,
    rating_key,
    read_unique,
    require,
)
from act.statistics.agreement import as_table, compare
from act.statistics.names import warn_of_names
from act.statistics.preferences import check_preference
from act.statistics.ratings import SUFFIX


def rate(args: Namespace) -> None:
    """Rate sessions; those already rated in --out are skipped.

    A text without a reply is not stored: the same command asks for it again. One without a valid
    form is stored, with its status.
    """
    names = [model_name(spec) for spec in args.judge]  # the raters of the records
    often = max(names, key=names.count)
    if names.count(often) > 1:  # nobody could tell their ratings apart
        both = f'two judges would both rate as "{often}"'
        raise InputError(f"--judge: {both}; give each an --out of its own")
    checks, wanted, unanswered = known_groups.read_checks(args.check, names), 0, 0
    sessions = {one["id"]: one for one in read_unique(args.sessions, check_session)}
    with Store(args.out, check_rating, rating_key) as store:
        for spec, name in zip(args.judge, names, strict=True):
            # 1. is it the judge that the file and the check know?
            judge = open_judge(spec, args)
            refuse_others(store, judge.settings, name)
            print(known_groups.verdict_on(judge, checks.get(name)))
            # 2. may it like its own words better?
            for role in same_family(spec, sessions.values()):
                kin = f"warning: {name} is of one family with the {role} in {args.sessions}"
                print(f"{kin}: judges tend to prefer their own", file=sys.stderr)
            if not is_endpoint(spec) and (args.replicates > 1 or args.temperature):
                once = f"warning: {name} is a local judge: it says the same each time"
                print(f"{once}, once is enough", file=sys.stderr)
            # 3. the ratings
            unanswered += rate_missing(judge, sessions, store, args.wording)
            wanted += len(sessions) * judge.replicates
        bad = sum(record["status"] != "ok" for record in store.records())
        print(f"{len(store)} ratings in {args.out}, {bad} of them without forms")
    stop_unfinished(unanswered, wanted, "ratings")


def prefer(args: Namespace) -> None:
    """Without a judge: of two replies, which does each condition's therapist find likelier?

    The mean log-probability a token of either reply of every matched pair, read behind the
    condition's own system prompt, with chain of thought behind its own greedy reasoning. A line of
    --pairs: {"id": "p1", "client": "I never sleep.", "shows": "That hurts.", "lacks": "Cheer up."};
    "prompt", messages, may stand for "client"; "form" ("ACT-FM") and "item" say what it is about.
    "shows" is wanted, unless the item, or "direction", is "inconsistent".
    What a model finds likely is not what it says. Endpoints give no log-probs of a text that they
    did not write.
    """
    folder = base_folder(args.model)
    check_adapters(args.conditions, args.adapters)
    pairs = read_pairs(args.pairs or BUNDLED)
    with Store(args.out, check_preference) as store:
        sampling = Sampling(0.0, 1.0, args.max_new_tokens)
        settings = settings_of(folder, sampling, args)
        check_held(store, pairs, settings)
        therapist = None
        for condition in args.conditions:
            wanted = [pair for pair in pairs if f"{condition}/{pair.id}" not in store]
            if wanted:
                how = str(folder), sampling, args.device, args.template
                therapist = therapist or LocalChat.load(*how)
                therapist.play(condition, args.adapters)
                add_preferences(therapist, condition, wanted, store, settings[condition])
        print(f"{len(store)} preferences in {args.out}")


def check(args: Namespace) -> None:
    """Does a judge measure anything? Texts of known quality, rated; a verdict first."""
    judge = open_judge(args.judge, args)
    how = judge, judge.replicates, args.seen
    if args.out is None:  # only to be seen
        result = known_groups.check(*how, short=args.short)
        unanswered = result.pop("unanswered")
    else:
        # what was judged is kept beside the result, so that the same command goes on from there
        kept = args.out.with_suffix(".judgements.jsonl")
        fields = {"id": str, "judgement": dict}
        with (
            Store(kept, lambda record: require(record, fields)) as store,
            whole_file(args.out) as partial,  # refused now where it could not be written then
        ):
            refuse_others(store, judge.settings)
            result = known_groups.check(*how, store, args.short)
            unanswered = result.pop("unanswered")
            write_json(result, partial)
    print("\n".join(known_groups.in_words(result)))
    stop_unfinished(*unanswered, "texts")


def agree(args: Namespace) -> None:
    """A judge against people, and people among themselves, by outcome and by item.

    A judge with the mean of the humans, with each human, and, to compare that with, two humans with
    one another, averaged over pairs. Intraclass correlations have their exact intervals by F where
    nobody missed a session; what else has one has it by bootstrap. Of each rater Cronbach's alpha:
    does it rate item by item, or all of them alike?
    """
    # 1. can they be compared?
    wordings: set[str] = set()
    human = read_forms(args.human, "", wordings)
    judge = read_forms(args.judge, SUFFIX[args.score], wordings)
    warn_of_names(f"{args.human} and {args.judge}", human + judge)
    if len(wordings) > 1:
        they = ", ".join(sorted(wordings))
        print(f"warning: ratings of items in different wordings: {they}", file=sys.stderr)
    both = {record["session"] for record in human if record["status"] == "ok"}
    both &= {record["session"] for record in judge if record["status"] == "ok"}
    if not both:
        raise InputError(f"{args.human} and {args.judge}: no session that both rated")
    # 2. outcome by outcome, item by item; what has no answer is counted, not listed
    rows = compare(human, judge, SUFFIX[args.score], args.resamples, args.seed, args.cluster)
    told = [row for row in rows if row["estimate"] is not None]
    if left := Counter(row["refused"] for row in rows if row["estimate"] is None):
        causes = ", ".join(f"{cause} ({n})" for cause, n in left.items())
        of = f"{counted(len(both), 'session')} that both rated"
        print(f"{of}: {left.total()} of {len(rows)} statistics have no answer: {causes}.")
    if told:
        print("\n".join(as_table(told, args.cluster)))
    clients, sessions = ({record[of] for record in human} for of in ("profile", "session"))
    if args.cluster == "session" and len(clients) < len(sessions):
        they = f"{len(sessions)} sessions are of {counted(len(clients), 'client')}"
        print(f"Caution: {they}; intervals take them as independent (else --cluster profile).")
    if args.out:
        write_json(rows, args.out)


def tune_data(args: Namespace) -> None:
    """Human ratings and sessions -> SFT examples for `train.py --method sft`."""
    # 1. valid ratings of these sessions, in this wording
    rated = rated_sessions(args.human, args.sessions, args.wording)
    # 2. the examples that are not there yet; a file holds one kind, in one wording
    settings = {"target": args.target, "wording": wording_digest(args.forms)}
    fields = {"id": str, "prompt": list, "completion": list}
    with Store(args.out, lambda row: require(row, fields)) as store:
        refuse_others(store, settings)
        for session, rating in rated:
            for row in examples(session, rating, args.forms, args.target):
                if row["id"] not in store:
                    store.append(row | {"judge": settings})
        print(f"{len(store)} examples in {args.out}, from {len(rated)} ratings")


def page(args: Namespace) -> None:
    """A page on which a person rates sessions: one HTML file, nothing fetched, nothing sent."""
    sessions = read_unique(args.sessions, check_session)
    answered = [session for session in sessions if said_in(session)]
    content = rating_page(answered, args.forms, args.wording)
    write_text(content, args.out)
    left = len(sessions) - len(answered)
    without = f"; {left} without an answer left out" if left else ""
    print(f"{len(answered)} sessions in {args.out}{without}")


def main() -> None:
    # 1. the commands, each with the files that it needs and flags of its own
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable, **files: str) -> Parser:
        # the function's name and docstring are the command's; `files` are those that it needs
        name, about = run.__name__.replace("_", "-"), getdoc(run)
        added = commands.add_parser(name, help=about.splitlines()[0], description=about)
        added.set_defaults(run=run)
        for file, what in files.items():
            added.add_argument(f"--{file}", type=Path, required=True, help=what)
        return added

    model, sessions = "FOLDER, FOLDER+ADAPTER or NAME@URL", "JSONL file of sessions"
    people = "ratings by people, JSONL or a spreadsheet's CSV (analyze.py --help)"
    rates = command(rate, sessions=sessions, out="JSONL file of ratings")
    add, about = rates.add_argument, "what `check` wrote of these judges: verdicts"
    add("--judge", required=True, nargs="+", metavar="MODEL", help=model)
    add("--check", type=Path, nargs="+", default=[], metavar="FILE", help=about)

    prefers = command(prefer, out="JSONL file of preferences")
    add, every = prefers.add_argument, ",".join(CONDITIONS)
    add("--model", required=True, metavar="DIR", help="the base model's folder")
    add("--adapters", type=Path, metavar="DIR", help="folder of the trained conditions' adapters")
    add("--conditions", type=conditions, default=every, help="which, comma-separated")
    add("--pairs", type=Path, help="JSONL file of matched pairs; if not given the bundled 136")
    about = "of a CoT reply, half of it at most reasoning"
    add("--max-new-tokens", type=positive, default=512, help=about)
    prefers.add_device_flags()

    checks = command(check)
    add = checks.add_argument
    add("--judge", required=True, metavar="MODEL", help=model)
    about = "JSON file of the result, for `rate --check` and `analyze.py --check`; beside it, in "
    about += "*.judgements.jsonl, what was judged, from which the same command goes on"
    add("--out", type=Path, help=about)
    about = "clients of the whole sessions it was tuned on: left out"
    add("--seen", nargs="+", default=[], metavar="ID", help=about)
    about = 'one matched pair an item, no whole sessions: a verdict of "partly" at most'
    add("--short", action="store_true", help=about)

    agrees = command(agree, human=people, judge="the same by one or more judges")
    add, scores = agrees.add_argument, ("integer", "expected")
    add("--score", choices=scores, default="integer", help="the judge's ratings")
    add("--resamples", type=positive, default=2000, help="bootstrap samples of each interval")
    add("--seed", type=whole, default=0, help="seed of the bootstrap")
    about = "what the bootstrap draws: profile where clients come in several sessions, which are "
    about += "not independent"
    add("--cluster", choices=("session", "profile"), default="session", help=about)
    add("--out", type=Path, help="JSON file of the same rows")

    tunes = command(tune_data, sessions=sessions, human=people, out="JSONL file of examples")
    about = "34 examples a rating, as a local judge is asked, or one whole form, as a served one"
    tunes.add_argument("--target", choices=("slots", "form"), default="slots", help=about)

    # 2. flags that commands share
    for judging in (rates, checks):
        add, most = judging.add_argument, "forms an endpoint may write until one is valid"
        add("--replicates", type=positive, default=1, help="forms of each text by an endpoint")
        add("--attempts", type=positive, default=3, help=most)
        add("--temperature", type=not_negative, default=0.0, help="of an endpoint")
        add("--seed", type=int, default=0, help="of an endpoint's random streams")
        about = "a transcript longer than a local judge's context: no rating, or one of the last "
        about += "turns that fit"
        add("--long", choices=("refuse", "last"), default="refuse", help=about)
        judging.add_endpoint_flags()
        judging.add_device_flags()
    for asking in (rates, checks, tunes, command(page, sessions=sessions, out="HTML file")):
        about = 'the items\' wording: JSON {"ACT-FM": [25 texts], "TES": [9]}'
        asking.add_argument("--form", type=Path, metavar="FILE", help=about)

    # 3. the forms in their wording, the device, and go
    args = parser.parse_args()
    for name, path in vars(args).items():
        read = name != "out" and isinstance(path, Path) and path.is_file()
        if read and args.out and args.out.exists() and args.out.samefile(path):
            raise InputError(f"--out {args.out}: that is --{name}; choose another")
    if "form" in args:
        args.forms = load_wording(args.form) if args.form else FORMS
        args.wording = args.form.name if args.form else "paraphrase"
    if "device" in args:
        set_up_device(args)
    args.run(args)


if __name__ == "__main__":
    run_script(main)
