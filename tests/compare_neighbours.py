"""`make compare-neighbours`: does a session depend on who is decoded beside it? By rounding alone,
and how often?

The embedded model in float32 answers the first turns of the bundled sessions' clients: each session
by itself, then all of them side by side, with the same seeds. A batch of another size adds numbers
up in another order, so two tokens whose probabilities all but tie (or a draw that falls on their
border) may be decided otherwise; from there on the texts differ. Prints, for greedy decoding and
for sampling, how many replies are equal and how many tokens lie between two such breaks. Ends with
a JSON line.
"""

import json
import os
from argparse import ArgumentParser
from pathlib import Path

import torch
from tqdm import tqdm

from act.dialogue.chat import Ask
from act.dialogue.local import LocalChat
from act.dialogue.prompts import therapist_messages
from act.dialogue.session import seed_from
from act.model.sampler import Sampling
from tests.conftest import EMBEDDED, ROOT
from tests.replies import answer_all


def ask(session: list[dict], number: int, turn: int) -> Ask:
    messages = therapist_messages(session[:turn], session[turn]["client"], cot=False)
    return Ask(str(number), messages, seed_from(number, turn))


def first_difference(a: str, b: str, chat: LocalChat) -> int | None:
    """The number of equal tokens before two texts differ; None where they do not."""
    if a == b:
        return None
    pairs = zip(chat.tokenizer.encode(a), chat.tokenizer.encode(b), strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), 0)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument(
        "--alone", type=int, default=12, help="sessions that are also decoded by themselves"
    )
    parser.add_argument(
        "--turns",
        type=int,
        default=2,
        help="turns of each session, with the bundled answers behind them",
    )
    parser.add_argument("--new-tokens", type=int, default=64)
    args = parser.parse_args()
    lines = (ROOT / "act/dialogue/corpus/sessions.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = [json.loads(line)["turns"] for line in lines]
    sessions = [turns[start : start + args.turns] for start in (0, 4) for turns in corpus][:25]
    result = {
        "bench": "neighbours",
        "cores": os.cpu_count(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        for name, sampling in (("greedy", (0, 1)), ("sampled", (0.85, 0.9))):
            chat = LocalChat.load(args.model, Sampling(*sampling, args.new_tokens), "cpu")
            together = [
                answer_all(chat, [ask(session, i, turn) for i, session in enumerate(sessions)])
                for turn in range(args.turns)
            ]
            equal, tokens, breaks = 0, 0, 0
            for i in tqdm(range(args.alone), desc=f"{precision}, {name}"):
                chat.forget_all()
                for turn in range(args.turns):
                    (alone,) = answer_all(chat, [ask(sessions[i], i, turn)])
                    at = first_difference(alone.text, together[turn][i].text, chat)
                    equal += at is None
                    breaks += at is not None
                    tokens += alone.response_tokens if at is None else at + 1
            n = args.alone * args.turns
            said = f"{equal} of {n} replies equal; {breaks} breaks in {tokens} tokens"
            print(f"{precision:8} {name:8} {said}")
            figures = {"replies": n, "equal": equal, "tokens": tokens, "breaks": breaks}
            result[f"{precision}_{name}"] = figures
    print(json.dumps(result))


if __name__ == "__main__":
    main()
