"""`make tune-judge`: does fine-tuning a judge work? Constructed sessions with known ratings, split by client.

Each client of the whole sessions of known fidelity (act/dialogue/corpus/graded.jsonl) comes with a high and a low reply
to every turn. A constructed session draws one of them for each turn; its ratings follow from what these replies show:
an ACT-FM item shown in 0, 1, 2-3 or more of 6 turns is rated 0, 1, 2, 3, and every TES item is the replies' mean
empathy. Sessions of six clients are tuned on through `tune-data` and `train.py`, two clients' are held out. Prints the
agreement on these before and after, and both checks. Known ratings are a rule's, not a person's: what this shows is
that the path works and what a 135M model can learn on it.
"""

import json
import random
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

from act.judging.check import GRADED, read
from act.measure.forms import FORMS
from tests.conftest import ROOT

HELD_OUT = ("g07", "g08")  # in one the high replies are the longer ones, in the other the low ones


def known_ratings(replies: list[dict]) -> tuple[list[int], list[int]]:
    """(ACT-FM, TES) of a session by its replies' labels."""
    shown = [sum(item.number in reply["shows"] for reply in replies) for item in FORMS[0].items]
    empathy = round(sum(reply["tes"] for reply in replies) / len(replies))
    return [(0, 1, 2, 2, 3, 3, 3)[n] for n in shown], [empathy] * 9


def constructed(script: dict, levels: list[str], number: int) -> tuple[dict, dict]:
    """(session, rating) of one client with a level for each turn."""
    replies = [turn[level] for turn, level in zip(script["turns"], levels, strict=True)]
    turns = [
        {"client": turn["client"], "thinking": None, "answer": reply["answer"], "status": "ok"}
        for turn, reply in zip(script["turns"], replies, strict=True)
    ]
    name = f"{script['id']}-{number:02}"
    profile = {"id": name, "archetype": "constructed"}
    session = {"id": f"graded/{name}", "condition": "graded", "profile": profile, "turns": turns, "status": "complete"}
    act_fm, tes = known_ratings(replies)
    rating = {"session": session["id"], "condition": "graded", "profile": name, "rater": "rule", "replicate": 0}
    return session, rating | {"act_fm": act_fm, "tes": tes, "status": "ok", "attempts": 1}


def draw(script: dict, n: int, seed: int) -> list[tuple[dict, dict]]:
    """All high, all low, and n - 2 drawn patterns, from nearly all low to nearly all high."""
    stream, turns = random.Random(f"{seed}/{script['id']}"), len(script["turns"])
    patterns = [["high"] * turns, ["low"] * turns]
    while len(patterns) < n:
        high = 1 + len(patterns) % (turns - 1)
        levels = ["high"] * high + ["low"] * (turns - high)
        stream.shuffle(levels)
        patterns.append(levels)
    return [constructed(script, levels, i) for i, levels in enumerate(patterns)]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=12, help="constructed of each client")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--epochs", type=int, default=1)
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
    held = [pair for script in scripts if script["id"] in HELD_OUT for pair in draw(script, 2 * args.sessions, 0)]
    sessions, human = write("sessions.jsonl", [s for s, _ in tuned]), write("human.jsonl", [r for _, r in tuned])
    held_out, known = write("held-out.jsonl", [s for s, _ in held]), write("known.jsonl", [r for _, r in held])

    run("judge.py", "tune-data", "--sessions", sessions, "--human", human, "--out", args.out / "tune.jsonl")
    run("train.py", "--method", "sft", "--model", args.model, "--data", args.out / "tune.jsonl",
        "--epochs", args.epochs, "--lr", args.lr, "--batch", 34, "--resume",
        "--max-length", 4000, "--max-prompt", 3900, "--out", args.out / "judge")  # fmt: skip
    seen = [script["id"] for script in scripts if script["id"] not in HELD_OUT]
    for name, judge, flags in (
        ("before", args.model, ()),
        ("after", f"{args.model}+{args.out / 'judge'}", ("--seen", *seen)),
    ):
        checked = run("judge.py", "check", "--judge", judge, "--out", args.out / f"check-{name}.json", *flags)
        print(checked.splitlines()[0])
        ratings = args.out / f"ratings-{name}.jsonl"
        run("judge.py", "rate", "--sessions", held_out, "--judge", judge, "--out", ratings)
        table = run("judge.py", "agree", "--human", known, "--judge", ratings, "--score", "expected",
                    "--out", args.out / f"agree-{name}.json")  # fmt: skip
        wanted = ("act_fm_total", "act_fm_inconsistency", "tes_mean")
        print("\n".join(line for line in table.splitlines() if line.startswith(wanted) and "third" not in line))


if __name__ == "__main__":
    main()
