"""`make tune-judge`: does fine-tuning a judge work? Constructed sessions with known ratings, some
of them held out.

Each client of the whole sessions of known fidelity (act/dialogue/corpus/graded.jsonl) comes with a
high and a low reply to every turn. A constructed session draws one of them for each turn, no two
sessions of a client alike; its ratings follow from what these replies show: an ACT-FM item shown in
0, 1, 2-3 or more of 6 turns is rated 0, 1, 2, 3, and every TES item is the replies' mean empathy.
Sessions of four clients are tuned on through `tune-data` and `train.py`. Held out are other
sessions of these clients (new mixtures of replies that were seen: has it learned what it was
taught?) and sessions of the other four (nothing seen: does it carry over?). Prints, before and
after, the agreement on both, and the check without the tuned clients.

What it cannot show: known ratings are a rule's, not a person's. Four clients are 48 different
replies, however many sessions are made of them, so that intervals draw clients, and four of them
are few: what each client says stands beside them. And of four clients the check takes no order, so
its verdict rests on the pairs.
"""

import json
import random
import subprocess
import sys
from argparse import ArgumentParser
from itertools import product
from pathlib import Path

from act.forms import FORMS, score
from act.judging.check import GRADED
from act.records import read_jsonl
from tests.conftest import ROOT

OTHERS = (
    "g05",
    "g06",
    "g07",
    "g08",
)  # in two the high replies are the longer ones, in two the low ones
OUTCOMES = ("act_fm_total", "act_fm_inconsistency", "tes_mean")
STATISTICS = ("ICC(A,1)", "ICC(C,1)", "Spearman", "mean absolute error", "bias")


def known_ratings(replies: list[dict]) -> tuple[list[int], list[int]]:
    """(ACT-FM, TES) of a session by its replies' labels."""
    shown = [sum(item.number in reply["shows"] for reply in replies) for item in FORMS[0].items]
    empathy = round(sum(reply["tes"] for reply in replies) / len(replies))
    return [(0, 1, 2, 2, 3, 3, 3)[n] for n in shown], [empathy] * 9


def constructed(script: dict, levels: tuple[str, ...], number: int) -> tuple[dict, dict]:
    """(session, rating) of one client with a level for each turn."""
    replies = [turn[level] for turn, level in zip(script["turns"], levels, strict=True)]
    turns = [
        {"client": turn["client"], "thinking": None, "answer": reply["answer"], "status": "ok"}
        for turn, reply in zip(script["turns"], replies, strict=True)
    ]
    profile = {"id": script["id"], "archetype": "constructed"}
    session = {
        "id": f"graded/{script['id']}-{number:02}",
        "condition": "graded",
        "profile": profile,
        "turns": turns,
    }
    act_fm, tes = known_ratings(replies)
    rating = {
        "session": session["id"],
        "condition": "graded",
        "profile": script["id"],
        "rater": "rule",
        "replicate": 0,
    }
    rating |= {"act_fm": act_fm, "tes": tes, "status": "ok", "attempts": 1}
    return session | {"status": "complete"}, rating


def draw(script: dict, n: int, seed: int) -> list[tuple[dict, dict]]:
    """All high, all low, and n - 2 other patterns, no two alike, from nearly all low to nearly all
    high in turn."""
    stream, turns = random.Random(f"{seed}/{script['id']}"), len(script["turns"])
    left = {high: [] for high in range(turns + 1)}  # patterns by their number of high replies
    for levels in product(("high", "low"), repeat=turns):
        left[levels.count("high")].append(levels)
    for some in left.values():
        stream.shuffle(some)
    patterns = [left[turns].pop(), left[0].pop()]
    while len(patterns) < n:
        patterns += [some.pop() for some in left.values() if some][: n - len(patterns)]
    return [constructed(script, levels, i) for i, levels in enumerate(patterns)]


def errors_by_client(known: list[dict], ratings: Path, outcome: str) -> dict[str, float]:
    """client -> mean |judge - rule| of an outcome, by expected ratings."""
    truth = {r["session"]: score(r["act_fm"], r["tes"])[outcome] for r in known}
    apart: dict[str, list[float]] = {}
    for r in read_jsonl(ratings):
        if r["status"] == "ok" and r["session"] in truth:
            found = score(r["act_fm_expected"], r["tes_expected"])[outcome]
            apart.setdefault(r["profile"], []).append(abs(found - truth[r["session"]]))
    return {client: sum(some) / len(some) for client, some in apart.items()}


def in_words(row: dict) -> str:
    """An estimate with its interval."""
    if row["estimate"] is None:
        return "none"
    return "{:.2f} [{:.2f}, {:.2f}]".format(row["estimate"], *(row["ci"] or [float("nan")] * 2))


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--sessions", type=int, default=6, help="tuned on, of each of four clients: a step each"
    )
    parser.add_argument("--held-out", type=int, default=4, help="rated, of each of all eight")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=5e-4)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    def write(name: str, records: list[dict]) -> Path:
        (args.out / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return args.out / name

    def run(*words: object) -> str:
        print("$", *words, flush=True)
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    scripts = list(read_jsonl(GRADED))
    seen = [script["id"] for script in scripts if script["id"] not in OTHERS]
    tuned, held = [], {"sessions of clients tuned on": [], "sessions of other clients": []}
    for script in scripts:
        if script["id"] in seen:
            made = draw(script, args.sessions + args.held_out, 0)
            tuned += made[: args.sessions]
            held["sessions of clients tuned on"] += made[args.sessions :]
        else:
            held["sessions of other clients"] += draw(script, args.held_out, 1)
    sessions, human = (
        write("sessions.jsonl", [s for s, _ in tuned]),
        write("human.jsonl", [r for _, r in tuned]),
    )
    held_out = write("held-out.jsonl", [s for pairs in held.values() for s, _ in pairs])

    run(
        "judge.py",
        "tune-data",
        "--sessions",
        sessions,
        "--human",
        human,
        "--out",
        args.out / "tune.jsonl",
    )
    run("train.py", "--method", "sft", "--model", args.model, "--data", args.out / "tune.jsonl",
        "--epochs", args.epochs, "--lr", args.lr, "--batch", 34, "--resume",
        "--max-length", 4000, "--max-prompt", 3900, "--out", args.out / "judge")  # fmt: skip
    found: dict[tuple[str, str, str, str], dict] = {}
    for when, judge in (("before", args.model), ("after", f"{args.model}+{args.out / 'judge'}")):
        check = ("judge.py", "check", "--judge", judge, "--out", args.out / f"check-{when}.json")
        print(run(*check, "--seen", *seen).splitlines()[0])
        ratings = args.out / f"ratings-{when}.jsonl"
        run("judge.py", "rate", "--sessions", held_out, "--judge", judge, "--out", ratings)
        for number, (of, pairs) in enumerate(held.items()):
            known, rows = (
                write(f"known-{number}.jsonl", [r for _, r in pairs]),
                args.out / f"agree-{when}-{number}.json",
            )
            run("judge.py", "agree", "--human", known, "--judge", ratings, "--score", "expected",
                "--cluster", "profile", "--out", rows)  # fmt: skip
            for row in json.loads(rows.read_text()):
                if (
                    row["of"] in OUTCOMES
                    and row["statistic"] in STATISTICS
                    and "each" not in row["raters"]
                ):
                    found[of, row["of"], row["statistic"], when] = row

    result = {
        "bench": "tune-judge",
        "tuned": len(tuned),
        "epochs": args.epochs,
        "held_out": args.held_out,
    }
    for of, pairs in held.items():
        clients = len({r["profile"] for _, r in pairs})
        print(f"\n{len(pairs)} {of} ({clients}); 95% intervals draw clients")
        for outcome in OUTCOMES:
            for statistic in STATISTICS:
                rows = [found[of, outcome, statistic, when] for when in ("before", "after")]
                print(f"{outcome:22}{statistic:22}{in_words(rows[0]):26} -> {in_words(rows[1])}")
                result[f"{of}, {outcome}, {statistic}"] = [row["estimate"] for row in rows]
            before, after = (
                errors_by_client([r for _, r in pairs], args.out / f"ratings-{when}.jsonl", outcome)
                for when in ("before", "after")
            )
            moved = ", ".join(
                f"{client} {before[client]:.2f} -> {after[client]:.2f}" for client in before
            )
            print(f"{outcome:22}mean error by client  {moved}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
