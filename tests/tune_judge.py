"""`make tune-judge`: does fine-tuning a judge work? Constructed sessions with known ratings, split by client.

Each client of the whole sessions of known fidelity (act/dialogue/corpus/graded.jsonl) comes with a high and a low reply
to every turn. A constructed session draws one of them for each turn, no two sessions of a client alike; its ratings
follow from what these replies show: an ACT-FM item shown in 0, 1, 2-3 or more of 6 turns is rated 0, 1, 2, 3, and every
TES item is the replies' mean empathy. Sessions of four clients are tuned on through `tune-data` and `train.py`, the
other four are held out. Prints, before and after, the agreement on these, and the check without the tuned clients.

What it cannot show: known ratings are a rule's, not a person's. Four held-out clients are 48 different replies, however
many sessions are made of them, so that intervals draw clients, and four of them are few: what each client says stands
beside them. And of four clients the check takes no order, so its verdict rests on the pairs.
"""

import json
import random
import subprocess
import sys
from argparse import ArgumentParser
from itertools import product
from pathlib import Path

from act.judging.check import GRADED, read
from act.measure.forms import FORMS, score
from act.records import read_jsonl
from tests.conftest import ROOT

HELD_OUT = ("g05", "g06", "g07", "g08")  # in two the high replies are the longer ones, in two the low ones
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
    session = {"id": f"graded/{script['id']}-{number:02}", "condition": "graded", "profile": profile, "turns": turns}
    act_fm, tes = known_ratings(replies)
    rating = {"session": session["id"], "condition": "graded", "profile": script["id"], "rater": "rule", "replicate": 0}
    rating |= {"act_fm": act_fm, "tes": tes, "status": "ok", "attempts": 1}
    return session | {"status": "complete"}, rating


def draw(script: dict, n: int, seed: int) -> list[tuple[dict, dict]]:
    """All high, all low, and n - 2 other patterns, no two alike, from nearly all low to nearly all high in turn."""
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
        if r["status"] == "ok":
            found = score(r["act_fm_expected"], r["tes_expected"])[outcome]
            apart.setdefault(r["profile"], []).append(abs(found - truth[r["session"]]))
    return {client: sum(some) / len(some) for client, some in apart.items()}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=10, help="tuned on, of each of four clients: a step each")
    parser.add_argument("--held-out", type=int, default=6, help="rated, of each of the other four")
    parser.add_argument("--lr", type=float, default=5e-4)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    def write(name: str, records: list[dict]) -> Path:
        (args.out / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return args.out / name

    def run(*words: object) -> str:
        print("$", *words, flush=True)
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    scripts = read(GRADED)
    tuned = [pair for script in scripts if script["id"] not in HELD_OUT for pair in draw(script, args.sessions, 0)]
    held = [pair for script in scripts if script["id"] in HELD_OUT for pair in draw(script, args.held_out, 1)]
    sessions, human = write("sessions.jsonl", [s for s, _ in tuned]), write("human.jsonl", [r for _, r in tuned])
    held_out, known = write("held-out.jsonl", [s for s, _ in held]), write("known.jsonl", [r for _, r in held])

    run("judge.py", "tune-data", "--sessions", sessions, "--human", human, "--out", args.out / "tune.jsonl")
    run("train.py", "--method", "sft", "--model", args.model, "--data", args.out / "tune.jsonl",
        "--epochs", 1, "--lr", args.lr, "--batch", 34, "--resume",
        "--max-length", 4000, "--max-prompt", 3900, "--out", args.out / "judge")  # fmt: skip
    seen = [script["id"] for script in scripts if script["id"] not in HELD_OUT]
    rows: dict[tuple[str, str, str], dict] = {}
    for name, judge in (("before", args.model), ("after", f"{args.model}+{args.out / 'judge'}")):
        check = ("judge.py", "check", "--judge", judge, "--out", args.out / f"check-{name}.json")
        print(run(*check, "--seen", *seen).splitlines()[0])
        ratings = args.out / f"ratings-{name}.jsonl"
        run("judge.py", "rate", "--sessions", held_out, "--judge", judge, "--out", ratings)
        run("judge.py", "agree", "--human", known, "--judge", ratings, "--score", "expected", "--cluster", "profile",
            "--out", args.out / f"agree-{name}.json")  # fmt: skip
        for row in json.loads((args.out / f"agree-{name}.json").read_text()):
            if row["of"] in OUTCOMES and row["statistic"] in STATISTICS and "each" not in row["raters"]:
                rows[name, row["of"], row["statistic"]] = row

    replies = len({turn["answer"] for session, _ in held for turn in session["turns"]})
    print(f"\nheld out: {len(held)} sessions of {len(HELD_OUT)} clients, {replies} different replies; 95% by client")
    result = {"bench": "tune-judge", "tuned": len(tuned), "held_out": len(held), "clients": len(HELD_OUT)}
    for outcome in OUTCOMES:
        for statistic in STATISTICS:
            shown = []
            for name in ("before", "after"):
                row = rows[name, outcome, statistic]
                ci = row["ci"] or [float("nan")] * 2
                shown.append(
                    "none" if row["estimate"] is None else "{:.2f} [{:.2f}, {:.2f}]".format(row["estimate"], *ci)
                )
                result[f"{outcome} {statistic} {name}"] = row["estimate"]
            print(f"{outcome:22}{statistic:22}{shown[0]:24} -> {shown[1]}")
        before, after = (
            errors_by_client([r for _, r in held], args.out / f"ratings-{name}.jsonl", outcome)
            for name in ("before", "after")
        )
        moved = ", ".join(f"{client} {before[client]:.2f} -> {after[client]:.2f}" for client in before)
        print(f"{outcome:22}mean error by client  {moved}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
