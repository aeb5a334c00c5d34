"""`make bench-generate`: 24 sessions of 8 turns decoded side by side, against transformers and
llama.cpp turn by turn.

The prompts have the lengths of the study's real sessions: a system prompt of 1,118 tokens, client
turns of 95; replies are greedy and of at most 96 new tokens, with answers as they come. All three
read the same text of the embedded model: ours in float32, batched, over a cache that lives on;
transformers' `generate` in float32 on the whole history, one turn after another, as the published
code does; llama.cpp (llama-cpp-python) in Q4_1 with its prompt cache on. The two peers are measured
on a few sessions (--peer-sessions) and compared by turns a minute. Prints a table and a JSON line.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from itertools import cycle
from pathlib import Path
from statistics import median

import torch

ROOT = Path(__file__).parent.parent
SYSTEM, CLIENT, NEW_TOKENS = 1118, 90, 96  # tokens of text; the template adds 5 a message


def texts(model: Path, sessions: int, turns: int) -> tuple[str, list[list[str]]]:
    """A system prompt and each session's client turns: words of the bundled transcripts, cut to the
    real lengths."""
    from act.model.tokenizer import ChatTokenizer

    tokenizer = ChatTokenizer(model)
    with open(ROOT / "act/dialogue/corpus/sessions.jsonl") as file:
        said = [turn["client"] for line in file for turn in json.loads(line)["turns"]]
    words = cycle(" ".join(said).split())

    def text(tokens: int) -> str:
        ids = tokenizer.encode(" ".join(next(words) for _ in range(tokens)))
        return tokenizer.decode(ids[:tokens]).strip()

    return text(SYSTEM), [[text(CLIENT) for _ in range(turns)] for _ in range(sessions)]


def conversation(system: str, client: list[str], answers: list[str]) -> list[dict]:
    messages = [{"role": "system", "content": system}]
    for i, words in enumerate(client[: len(answers) + 1]):
        messages.append({"role": "user", "content": words})
        if i < len(answers):
            messages.append({"role": "assistant", "content": answers[i]})
    return messages


def run_ours(args: Namespace) -> dict:
    """Seconds of each round of turns, all sessions side by side."""
    from act.dialogue.chat import Ask
    from act.dialogue.local import LocalChat
    from act.model.sampler import Sampling
    from tests.replies import answer_all

    torch.set_float32_matmul_precision("high")
    system, clients = texts(args.model, args.sessions, args.turns)
    chat = LocalChat.load(args.model, Sampling(0, 1, NEW_TOKENS), "cpu")
    runs = []
    for _ in range(args.rounds):
        chat.forget_all()
        answers: list[list[str]] = [[] for _ in clients]
        seconds, tokens = [], 0
        for _ in range(args.turns):
            start = time.perf_counter()
            asks = [
                Ask(str(i), conversation(system, client, said), 0)
                for i, (client, said) in enumerate(zip(clients, answers, strict=True))
            ]
            for said, reply in zip(answers, answer_all(chat, asks), strict=True):
                said.append(reply.text)
                tokens += reply.response_tokens
            seconds.append(time.perf_counter() - start)
        print(
            f"ours: {sum(seconds):.1f} s, by turn {[round(s, 1) for s in seconds]}",
            file=sys.stderr,
            flush=True,
        )
        runs.append(seconds)
    seconds = [median(column) for column in zip(*runs, strict=True)]
    return {
        "turns": args.sessions * args.turns,
        "seconds": sum(seconds),
        "by_turn": seconds,
        "tokens": tokens,
    }


def run_transformers(args: Namespace) -> dict:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    system, clients = texts(args.model, args.peer_sessions, args.turns)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)

    def answer(messages: list[dict]) -> tuple[str, int]:
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt"
        )
        prompt = prompt["input_ids"] if hasattr(prompt, "keys") else prompt
        ids = model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False)[
            0, prompt.shape[1] :
        ]
        return tokenizer.decode(ids, skip_special_tokens=True).strip(), len(ids)

    return one_by_one(system, clients, answer)


def run_llama_cpp(args: Namespace) -> dict:
    from llama_cpp import Llama

    from act.model.embedded import fetch

    system, clients = texts(args.model, args.peer_sessions, args.turns)
    with tempfile.TemporaryDirectory() as folder:
        model = Llama(str(fetch(Path(folder))), n_ctx=8192, n_threads=os.cpu_count(), verbose=False)

    def answer(messages: list[dict]) -> tuple[str, int]:
        reply = model.create_chat_completion(messages, max_tokens=NEW_TOKENS, temperature=0)
        return reply["choices"][0]["message"]["content"].strip(), reply["usage"][
            "completion_tokens"
        ]

    return one_by_one(system, clients, answer)


def one_by_one(system: str, clients: list[list[str]], answer) -> dict:
    """One session after another, turn by turn. Its cache, if it has one, holds the session so
    far."""
    by_turn, tokens = [0.0] * len(clients[0]), 0
    for client in clients:
        said: list[str] = []
        for turn in range(len(client)):
            start = time.perf_counter()
            text, n = answer(conversation(system, client, said))
            by_turn[turn] += time.perf_counter() - start
            said.append(text)
            tokens += n
    print(f"by turn {[round(s, 1) for s in by_turn]}", file=sys.stderr, flush=True)
    return {
        "turns": len(clients) * len(clients[0]),
        "seconds": sum(by_turn),
        "by_turn": by_turn,
        "tokens": tokens,
    }


SIDES = {"ours": run_ours, "transformers": run_transformers, "llama_cpp": run_llama_cpp}


def run_apart(side: str, args: Namespace) -> dict | None:
    """One side in a process of its own; None where its package is not installed."""
    words = [sys.executable, "-m", "tests.bench_generate", "--side", side]
    for name in ("model", "sessions", "turns", "rounds", "peer_sessions"):
        words += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode == 3:
        return None
    if done.returncode:
        raise SystemExit(f"the run of {side} failed")
    result = json.loads(done.stdout.splitlines()[-1])
    return result | {"turns_per_min": 60 * result["turns"] / result["seconds"]}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "models/smollm2-135m-instruct",
        help="the embedded model",
    )
    parser.add_argument("--sessions", type=int, default=24)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="runs of ours behind the median")
    parser.add_argument(
        "--peer-sessions", type=int, default=2, help="sessions a peer is measured on"
    )
    parser.add_argument("--side", choices=SIDES, help="measure one side only, in this process")
    args = parser.parse_args()
    if args.side:
        try:
            print(json.dumps(SIDES[args.side](args)))
        except ModuleNotFoundError as missing:
            print(f"{args.side}: {missing}; left out", file=sys.stderr)
            sys.exit(3)
        return
    results = {side: run_apart(side, args) for side in SIDES}
    ours = results["ours"]
    print(f"{'':14}{'turns/min':>10}{'tokens/turn':>12}{'ours is':>9}{'last/first turn':>17}")
    for side, result in results.items():
        if result:
            speed, tokens = result["turns_per_min"], result["tokens"] / result["turns"]
            growth = result["by_turn"][-1] / result["by_turn"][0]
            faster = ours["turns_per_min"] / speed
            print(f"{side:14}{speed:10.1f}{tokens:12.1f}{faster:8.1f}x{growth:17.2f}")

    def times(side: str) -> float | None:
        return results[side] and ours["turns_per_min"] / results[side]["turns_per_min"]

    cpu = platform.processor() or platform.machine()
    summary = {
        "bench": "generate",
        "turns_per_min": ours["turns_per_min"],
        "vs_transformers": times("transformers"),
        "vs_llama_cpp": times("llama_cpp"),
        "by_turn_s": ours["by_turn"],
        "machine": f"{os.cpu_count()} cores, {cpu}, torch {torch.__version__}",
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
