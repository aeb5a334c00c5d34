"""Train one condition: SFT or ORPO, a LoRA adapter on a frozen base model.

    train.py --method orpo --model DIR --data pairs.jsonl --out adapters/orpo
    train.py --method sft --cot --model DIR --data pairs-cot.jsonl --held-out-sessions 2 --out adapters/sft-cot

Data are JSONL in TRL's conversational formats (pairs, prompt + completion, messages); SFT takes a pair's chosen
answer. Defaults are the study's own values: LoRA 64 on seven projections, one epoch, warm-up 10%, AdamW, seed 3407;
SFT: 4 examples a step at 5e-6, cosine; ORPO: 8 pairs a step at 8e-6, linear, lambda 0.1. --out becomes an adapter in
PEFT's layout, with log.jsonl (a line a step) and train.json (arguments, data checksum, versions, metrics).
"""

import hashlib
import json
import math
import os
import platform
import random
import resource
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

from act.cli import Parser, not_negative, positive, run_script, set_up_device
from act.dialogue.prompts import THINKING, parse_reply
from act.model.checkpoint import base_folder, load_model, read_json, save_adapter
from act.model.llama import Llama
from act.model.lora import attach, trainable
from act.model.tokenizer import ChatTokenizer
from act.records import InputError
from act.training.examples import Example, read_examples
from act.training.losses import log_odds_margin, nll_loss, odds_ratio_loss, orpo_loss
from act.training.state import TrainState, check_same_run, learning_rate
from act.training.tree import answer_logps, group_by_budget

STUDY = {  # what the study's two methods do not share
    "sft": {"lr": 5e-6, "schedule": "cosine", "batch": 4, "weight_decay": 0.01},
    "orpo": {"lr": 8e-6, "schedule": "linear", "batch": 8, "weight_decay": 0.0},
}


def step_losses(model: Llama, examples: list[Example], args: Namespace, targets: int, pairs: int) -> tuple:
    """(loss, sums to log) of some of a step's examples; `targets` and `pairs` count the whole step's."""
    answers = [answer for example in examples for answer in example.answers]
    logps, unique = answer_logps(model, answers, whole=args.nll_scope == "sequence")
    chosen = logps[:: len(examples[0].answers)]
    nll = nll_loss(torch.cat(chosen), targets)
    sums = {"nll": nll.item(), "unique_tokens": unique, "naive_tokens": sum(len(a.ids) for a in answers)}
    if args.method == "sft":
        return nll, sums | {"loss": nll.item()}
    means = [logp[-answer.tokens :].mean() for logp, answer in zip(logps, answers, strict=True)]
    margin = log_odds_margin(torch.stack(means[::2]), torch.stack(means[1::2]))
    loss = orpo_loss(nll, margin, args.lambda_or, pairs)
    sums |= {"loss": loss.item(), "odds_ratio_loss": (odds_ratio_loss(margin).sum() / pairs).item()}
    return loss, sums | {"margin": (margin.sum() / pairs).item(), "accuracy": ((margin > 0).sum() / pairs).item()}


def target_tokens(examples: list[Example], whole: bool) -> int:
    return sum(len(e.chosen.ids) - 1 if whole else e.chosen.tokens for e in examples)


def run_examples(model: Llama, examples: list[Example], args: Namespace, backward: bool) -> dict:
    """The losses of a step (or of held-out examples), tree by tree; with `backward` gradients are collected."""
    totals: dict[str, float] = {}
    targets = target_tokens(examples, args.nll_scope == "sequence")
    groups = group_by_budget(examples, args.tree_tokens)
    for group in groups if backward else tqdm(groups, desc="held-out", unit="tree"):
        with torch.set_grad_enabled(backward):
            loss, sums = step_losses(model, group, args, targets, len(examples))
        if backward:
            loss.backward()
        for name, value in sums.items():
            totals[name] = totals.get(name, 0) + value
    return totals


def evaluate(model: Llama, examples: list[Example], args: Namespace) -> dict:
    """NLL a token of the chosen answers; for pairs also log-odds margin and accuracy (share of pairs ranked right)."""
    if not examples:
        return {}
    pairs = examples[0].rejected is not None
    as_orpo = Namespace(**{**vars(args), "method": "orpo" if pairs else "sft", "nll_scope": "response"})
    totals = run_examples(model, examples, as_orpo, backward=False)
    return {name: totals[name] for name in ("nll", "margin", "accuracy") if name in totals}


def hold_out(examples: list[Example], n: int) -> tuple[list[Example], list[Example]]:
    """(examples to train on, those of the last n sessions): no session is on both sides."""
    sessions = list(dict.fromkeys(example.session for example in examples))
    if not 0 <= n < len(sessions):
        raise InputError(
            f"--held-out-sessions {n}: the data have {len(sessions)} sessions, and one must be left to train on"
        )
    held = set(sessions[len(sessions) - n :])
    return [e for e in examples if e.session not in held], [e for e in examples if e.session in held]


def data_order(examples: list[Example], order: str, seed: int, epochs: int) -> list[Example]:
    """The examples of all epochs: "random", or "session" by session with the turns in order."""
    stream, out = random.Random(seed), []
    sessions = list(dict.fromkeys(example.session for example in examples))
    for _ in range(epochs):
        stream.shuffle(sessions)
        epoch = sorted(examples, key=lambda e: sessions.index(e.session)) if order == "session" else list(examples)
        if order == "random":
            stream.shuffle(epoch)
        out += epoch
    return out


def check_form(text: str, cot: bool) -> None:
    """Raise ValueError for an answer with reasoning without --cot, and for one without it with --cot."""
    if parse_reply(text, cot=True) is None and cot:
        raise ValueError('the answer is not "Thinking: ..." and "Answer: ...", but --cot is given')
    if text.startswith(THINKING) and not cot:
        raise ValueError(f'the answer begins with "{THINKING}": is --cot missing?')


def open_log(path: Path, done: int) -> TextIO:
    """The log file at its beginning, with the held-out line and those of the first `done` steps: line i is step i."""
    kept = path.read_text().splitlines(keepends=True)[: done + 1] if done else []
    path.write_text("".join(kept))
    return open(path, "r+")  # noqa: SIM115 (held for the whole run)


def write_line(log: TextIO, record: dict) -> dict:
    """Append a line to the log and show it."""
    log.write(json.dumps(record) + "\n")
    log.flush()
    tqdm.write(" | ".join(f"{name} {value:.4g}" for name, value in record.items()))
    return record


def peak_memory_gib() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def parse_arguments() -> Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--method", choices=("sft", "orpo"), required=True, help="what to train with")
    parser.add_argument("--cot", action="store_true", help="the data have reasoning before each answer; checked")
    parser.add_argument("--model", required=True, metavar="DIR", help="base model: a folder in Hugging Face layout")
    parser.add_argument("--data", required=True, help="JSONL of pairs or of examples")
    parser.add_argument(
        "--held-out-sessions",
        type=int,
        default=0,
        metavar="N",
        help="the data's last N sessions are for evaluation only",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="ADAPTER", help="folder to write")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from --out's last saved state, if there is one; a finished adapter is left alone",
    )
    parser.add_argument("--save-every", type=positive, default=50, metavar="STEPS", help="how often to save the state")
    parser.add_argument("--lr", type=not_negative, help="peak learning rate; the study's for the method if not given")
    parser.add_argument("--schedule", choices=("cosine", "linear"), help="decay; the study's for the method")
    parser.add_argument("--batch", type=positive, help="examples or pairs a step; the study's for the method")
    parser.add_argument("--weight-decay", type=not_negative, help="AdamW's; the study's for the method")
    parser.add_argument("--epochs", type=positive, default=1, help="passes over the data")
    parser.add_argument("--warmup", type=not_negative, default=0.1, help="share of the steps with a rising rate")
    parser.add_argument("--max-grad-norm", type=not_negative, default=1.0, help="gradients are clipped to this norm")
    parser.add_argument("--lambda-or", type=not_negative, default=0.1, help="weight of ORPO's odds-ratio term")
    parser.add_argument(
        "--nll-scope",
        choices=("response", "sequence"),
        default="response",
        help="tokens of the NLL term: the answer's (the paper), or the prompt's too (TRL's ORPO)",
    )
    parser.add_argument(
        "--order", choices=("session", "random"), default="session", help="a step's turns from one session, or any"
    )
    parser.add_argument("--lora-rank", type=positive, default=64, help="LoRA's r")
    parser.add_argument("--lora-alpha", type=float, default=64, help="LoRA's alpha; its output is scaled by alpha / r")
    parser.add_argument(
        "--max-length", type=positive, default=9000, help="tokens of prompt and answer; answers are cut"
    )
    parser.add_argument("--max-prompt", type=positive, default=5400, help="tokens of a prompt; oldest turns are cut")
    parser.add_argument("--tree-tokens", type=positive, default=6144, help="tokens computed together: bounds memory")
    parser.add_argument("--seed", type=int, default=3407, help="of the adapter's start and the data's order")
    parser.add_device_flags()
    args = parser.parse_args()
    set_up_device(args)
    for name, value in STUDY[args.method].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def main() -> None:
    args = parse_arguments()
    run = {name: value for name, value in vars(args).items() if name not in ("out", "resume", "save_every")}
    if not Path(args.data).is_file():
        raise InputError(f"{args.data}: no such file")
    run["data_sha256"] = hashlib.sha256(Path(args.data).read_bytes()).hexdigest()
    if (args.out / "adapter_model.safetensors").is_file():
        if not args.resume:
            raise InputError(f"{args.out}: already holds a trained adapter; choose another --out, or remove it")
        check_same_run(args.out / "train.json", read_json(args.out / "train.json").get("arguments", {}), run)
        print(f"{args.out} is trained")
        return
    folder = base_folder(args.model)
    model, tokenizer = load_model(folder, args.device), ChatTokenizer(folder)
    limits = (min(args.max_length, model.config.max_position_embeddings), args.max_prompt)
    in_form = partial(check_form, cot=args.cot)
    examples = read_examples(args.data, tokenizer, args.method == "orpo", *limits, check_text=in_form)
    examples, held_out = hold_out(examples, args.held_out_sessions)

    torch.manual_seed(args.seed)
    attach(model, args.lora_rank, args.lora_alpha)
    state = TrainState(model, args.weight_decay, args.max_grad_norm)
    order = data_order(examples, args.order, args.seed, args.epochs)
    steps = math.ceil(len(order) / args.batch)
    warmup = math.ceil(args.warmup * steps)
    args.out.mkdir(parents=True, exist_ok=True)
    saved = args.out / "state.safetensors"
    if args.resume and saved.is_file():
        state.load(saved, run)
    cut = f"{sum(e.cut_turns for e in examples)} turns and {sum(e.cut_tokens for e in examples)} answer tokens cut"
    print(f"{len(examples)} examples, {cut}; {trainable(model):,} trainable parameters; {steps} steps", flush=True)

    log = open_log(args.out / "log.jsonl", state.step)
    before = (
        json.loads(log.readline()) if state.step else write_line(log, {"step": 0} | evaluate(model, held_out, args))
    )
    log.seek(0, os.SEEK_END)
    for step in tqdm(range(state.step, steps), initial=state.step, total=steps, desc=args.out.name, unit="step"):
        batch = order[step * args.batch : (step + 1) * args.batch]
        start = time.perf_counter()
        metrics = run_examples(model, batch, args, backward=True)
        lr = learning_rate(step, steps, args.lr, warmup, args.schedule)
        metrics |= {"grad_norm": state.update(lr), "lr": lr}
        metrics["prompt_tokens_per_example"] = sum(e.chosen.start for e in batch) / len(batch)
        metrics["target_tokens"] = target_tokens(batch, args.nll_scope == "sequence")
        metrics["tokens_per_s"] = metrics["unique_tokens"] / (time.perf_counter() - start)
        write_line(log, {"step": step + 1} | metrics | {"peak_memory_gib": peak_memory_gib()})
        if (step + 1) % args.save_every == 0:
            state.save(saved, run)
    after = write_line(log, {"step": steps} | evaluate(model, held_out, args))
    for name in [name for name in after if name != "step"]:
        print(f"held-out {name}: {before[name]:.4f} before, {after[name]:.4f} after")
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    report = {"arguments": run, "versions": versions, "before": before, "after": after}
    (args.out / "train.json").write_text(json.dumps(report, indent=2, default=str) + "\n")
    save_adapter(model, args.out, args.model, args.lora_rank, args.lora_alpha)
    saved.unlink(missing_ok=True)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    run_script(main)
