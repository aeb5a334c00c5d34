"""`make bench-train`: one ORPO session of 25 turns, ours against TRL's ORPOTrainer on the same
pairs, in one run.

The pairs have the lengths of the study's real sessions: a system prompt of 1,118 tokens, client
turns of 95, answers of 64 with 57 of thinking before them, no thinking in the history (3,120 tokens
of prompt at turn 13). Both train the embedded model, LoRA 64 on seven projections, float32, with
the same loss (NLL of the whole sequence, as TRL has it). Each runs in a process of its own, which
gives its peak memory. TRL, at half an hour and more a session, is measured on turns 1-7, 13, 19 and
25, one pair at a time with gradient checkpointing, and summed by linear interpolation. Prints a
table and a JSON line.
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

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
# tokens of text, to which the template adds 5 a message
TURNS, SYSTEM, CLIENT, THINKING, ANSWER = 25, 1118, 90, 57, 59
TRL_TURNS = (1, 2, 3, 4, 5, 6, 7, 13, 19, 25)
LAMBDA_OR = 0.1


def session_pairs(model: Path) -> list[dict]:
    """The pairs of one session, whose texts are words of the bundled transcripts cut to the real
    lengths."""
    from act.model.tokenizer import ChatTokenizer

    tokenizer = ChatTokenizer(model)
    with open(ROOT / "act/dialogue/corpus/sessions.jsonl") as file:
        turns = [turn for line in file for turn in json.loads(line)["turns"]]
    words = cycle(
        " ".join(f"{turn['client']} {turn['answer']} {turn['thinking']}" for turn in turns).split()
    )

    def text(tokens: int) -> str:
        made = ""
        while len(tokenizer.encode(made)) < tokens:
            made = f"{made} {next(words)}".strip()
        return made

    prompt, pairs = [{"role": "system", "content": text(SYSTEM)}], []
    for _ in range(TURNS):
        prompt = [*prompt, {"role": "user", "content": text(CLIENT)}]
        answer = text(ANSWER)
        replies = [f"Thinking: {text(THINKING)}\nAnswer: {said}" for said in (answer, text(ANSWER))]
        chosen, rejected = ([{"role": "assistant", "content": reply}] for reply in replies)
        pairs.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
        prompt = [*prompt, {"role": "assistant", "content": answer}]
    return pairs


def run_ours(args: Namespace) -> dict:
    """Seconds of a step (forward, backward, update) on turns 1-5, 1-6 and all, as train.py takes
    it."""
    import train
    from act.model.checkpoint import load_model
    from act.model.lora import attach
    from act.model.tokenizer import ChatTokenizer
    from act.training.examples import read_examples
    from act.training.state import TrainState
    from act.training.step import Objective, run_examples

    torch.set_float32_matmul_precision("high")
    sys.argv = ["train.py", "--method", "orpo", "--model", str(args.model)]
    sys.argv += ["--data", str(args.data), "--out", "unused"]
    settings = train.parse_arguments()
    model, tokenizer = load_model(args.model), ChatTokenizer(args.model)
    examples = read_examples(args.data, tokenizer, True, settings.max_length, settings.max_prompt)
    objective = Objective("orpo", LAMBDA_OR, "sequence", settings.tree_tokens, settings.keep_tokens)
    attach(model, settings.lora_rank, settings.lora_alpha)
    state = TrainState(model, 0.0, 1.0)
    first = run_examples(model, examples[:1], objective, backward=False)["loss"]

    tokens: dict[int, int] = {}
    naive: dict[int, int] = {}

    def step(n: int) -> float:
        start = time.perf_counter()
        totals = run_examples(model, examples[:n], objective, backward=True)
        tokens[n], naive[n] = totals["unique_tokens"], totals["naive_tokens"]
        state.update(0.0)
        return time.perf_counter() - start

    step(1)
    seconds = {n: median(step(n) for _ in range(args.rounds)) for n in (5, 6, TURNS)}
    counted = {"unique_tokens": tokens, "naive_tokens": naive[TURNS]}
    return {"seconds": seconds, "first": first} | counted


def run_trl(args: Namespace) -> dict:
    """Seconds of each measured turn's pair, a step of TRL's own training loop each; the first pair
    also warms up."""
    from datasets import Dataset
    from peft import LoraConfig
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    from act.model.lora import PROJECTIONS

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    pairs = [json.loads(line) for line in args.data.read_text().splitlines()]
    order = [1, *TRL_TURNS]
    rows, as_text = [], {"tokenize": False, "add_generation_prompt": True}
    for pair in (pairs[turn - 1] for turn in order):
        answers = {name: pair[name][0]["content"] for name in ("chosen", "rejected")}
        prompt = tokenizer.apply_chat_template(pair["prompt"], **as_text)
        rows.append({"prompt": prompt} | answers)
    losses, times = [], []

    class Watch(TrainerCallback):
        def on_step_begin(self, *_, **__):
            times.append(-time.perf_counter())

        def on_step_end(self, *_, **__):
            times[-1] += time.perf_counter()
            turn = order[len(times) - 1]
            print(f"TRL, turn {turn}: {times[-1]:.1f} s", file=sys.stderr, flush=True)

    class Trainer(ORPOTrainer):
        def _get_train_sampler(self, *_):
            return SequentialSampler(self.train_dataset)

        def training_step(self, *arguments, **options):
            loss = super().training_step(*arguments, **options)
            losses.append(loss.item())
            return loss

    with tempfile.TemporaryDirectory() as folder:
        settings = ORPOConfig(
            output_dir=folder,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            num_train_epochs=1,
            per_device_train_batch_size=1,
            gradient_checkpointing=True,
            bf16=False,
            max_length=9000,
            beta=LAMBDA_OR,
            learning_rate=0.0,
        )
        lora = {"r": 64, "lora_alpha": 64, "target_modules": list(PROJECTIONS)}
        trainer = Trainer(
            AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32),
            settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(task_type="CAUSAL_LM", **lora),
            callbacks=[Watch()],
        )
        trainer.train()
    return {"seconds": dict(zip(TRL_TURNS, times[1:], strict=True)), "first": losses[0]}


def run_apart(side: str, args: Namespace, data: Path) -> dict:
    """One side's measurements in a process of its own, with its peak memory in GiB."""
    command = [sys.executable, "-m", "tests.bench_train", "--model", args.model]
    command += ["--rounds", str(args.rounds), "--side", side, "--data", data]
    environment = os.environ | {"TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"}
    options = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run of {side} failed")
    result = json.loads(lines[-1])
    print(side, lines[-1], file=sys.stderr, flush=True)
    result["seconds"] = {int(n): s for n, s in result["seconds"].items()}
    return result | {"peak_gib": usage.ru_maxrss / 2**20}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    add, embedded = parser.add_argument, ROOT / "models/smollm2-135m-instruct"
    add("--model", type=Path, default=embedded, help="the embedded model")
    about = "runs behind each median of ours; TRL's, which are long, run once"
    add("--rounds", type=int, default=3, help=about)
    add("--side", choices=("ours", "trl"), help="measure one side only, in this process")
    add("--data", type=Path, help="pairs, with --side")
    args = parser.parse_args()
    if args.side:
        print(json.dumps((run_ours if args.side == "ours" else run_trl)(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pairs.jsonl"
        data.write_text("".join(json.dumps(pair) + "\n" for pair in session_pairs(args.model)))
        ours, trl = run_apart("ours", args, data), run_apart("trl", args, data)
    turns = sorted(trl["seconds"])
    measured = [trl["seconds"][turn] for turn in turns]
    trl_session = float(np.interp(range(1, TURNS + 1), turns, measured).sum())
    trl_first6 = sum(trl["seconds"][turn] for turn in range(1, 7))
    per_token = {
        n: seconds / ours["unique_tokens"][str(n)] for n, seconds in ours["seconds"].items()
    }
    machine = platform.processor() or platform.machine()
    result = {
        "bench": "train",
        "speedup_session": trl_session / ours["seconds"][TURNS],
        "speedup_first6": trl_first6 / ours["seconds"][6],
        "memory_ratio": ours["peak_gib"] / trl["peak_gib"],
        "loss_difference": abs(ours["first"] - trl["first"]),
        "per_token_growth": per_token[TURNS] / per_token[5],
        "ours_session_s": ours["seconds"][TURNS],
        "trl_session_s": trl_session,
        "machine": f"{os.cpu_count()} cores, {machine}, torch {torch.__version__}",
    }
    print(
        f"tokens: {ours['unique_tokens'][str(TURNS)]:,} unique for {ours['naive_tokens']:,} naive"
    )
    print(f"{'':24}{'ours':>10}{'TRL':>10}{'ratio':>8}")
    for name, a, b in (
        ("25 turns, s", ours["seconds"][TURNS], trl_session),
        ("turns 1-6, s", ours["seconds"][6], trl_first6),
        ("peak memory, GiB", ours["peak_gib"], trl["peak_gib"]),
    ):
        print(f"{name:24}{a:10.1f}{b:10.1f}{b / a:8.1f}")
    print(f"first losses differ by {result['loss_difference']:.1e} (limit 1e-4)")
    growth = f"{result['per_token_growth']:.2f} times at 25 turns what they are at 5 (goal 1.6)"
    print(f"seconds per unique token: {growth}")
    print(json.dumps(result))
    if result["loss_difference"] > 1e-4:
        raise SystemExit("the two did not train on the same loss: the ratios mean nothing")


if __name__ == "__main__":
    main()
