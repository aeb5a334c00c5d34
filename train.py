"""Train one condition: SFT or ORPO, a LoRA adapter on a frozen base model, or the whole model
(--lora-rank 0).

    train.py --method orpo --model DIR --data pairs.jsonl --out adapters/orpo train.py --method sft
    --cot --model DIR --data pairs-cot.jsonl --held-out-sessions 2 --out adapters/sft-cot

Data are JSONL in TRL's conversational formats (pairs, prompt + completion, messages); SFT takes a
pair's chosen answer. Defaults are the study's own values but for --order and --nll-scope: LoRA 64
on seven projections, one epoch, warm-up 10%, AdamW, seed 3407; SFT: 4 examples a step at 5e-6,
cosine; ORPO: 8 pairs a step at 8e-6, linear, lambda 0.1. --out becomes an adapter in PEFT's layout,
with log.jsonl (a line a step), train.json (arguments, checksums of data and base model, versions,
what was cut, metrics) and targets.txt (the first example's tokens, a mark at those that are
learned). Ctrl-C and SIGTERM save the state after the step under way. On N GPUs: torchrun
--nproc-per-node N train.py ..., with the same arguments and the same result, up to rounding. Turns
of one session share what they have read, so it is faster only where a step spans several sessions,
as with --batch 25*N.
"""

import math
import random
import time
from argparse import Namespace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from act.cli import Parser, not_negative, positive, run_script, set_up_device, share, stop_asked
from act.dialogue.prompts import THINKING, parse_reply
from act.model.checkpoint import (
    base_folder,
    load_model,
    sampled_sha256,
    save_adapter,
    save_model,
    sha256,
    write_json,
)
from act.model.lora import attach, trainable
from act.model.tokenizer import ChatTokenizer
from act.records import InputError, read_json
from act.training import distributed
from act.training.examples import Example, chosen_alone, counts, read_examples, show_targets
from act.training.provenance import provenance
from act.training.run_log import RunLog, peak_memory_gib
from act.training.state import TrainState, check_same_run, learning_rate
from act.training.step import Objective, count_targets, evaluate, run_examples

STUDY = {  # what the study's two methods do not share
    "sft": {"lr": 5e-6, "schedule": "cosine", "batch": 4, "weight_decay": 0.01},
    "orpo": {"lr": 8e-6, "schedule": "linear", "batch": 8, "weight_decay": 0.0},
}


def hold_out(examples: list[Example], n: int) -> tuple[list[Example], list[Example]]:
    """(examples to train on, those of the last n sessions): no session is on both sides."""
    sessions = list(dict.fromkeys(example.session for example in examples))
    if not 0 <= n < len(sessions):
        raise InputError(
            f"--held-out-sessions {n}: the data have {len(sessions)} sessions, and one must be left to train on"
        )
    held = set(sessions[len(sessions) - n :])
    return [e for e in examples if e.session not in held], [
        e for e in examples if e.session in held
    ]


def data_order(examples: list[Example], order: str, seed: int, epochs: int) -> list[Example]:
    """The examples of all epochs: "random", or "session" by session with the turns in order."""
    stream, out = random.Random(seed), []
    by_session: dict[str, list[Example]] = {}
    for example in examples:
        by_session.setdefault(example.session, []).append(example)
    sessions = list(by_session)
    for _ in range(epochs):
        stream.shuffle(sessions)
        epoch = (
            [e for session in sessions for e in by_session[session]]
            if order == "session"
            else list(examples)
        )
        if order == "random":
            stream.shuffle(epoch)
        out += epoch
    return out


def check_form(text: str, cot: bool) -> None:
    """Raise ValueError for an answer with reasoning without --cot, and for one without it with
    --cot."""
    if parse_reply(text, cot=True) is None and cot:
        raise ValueError('the answer is not "Thinking: ..." and "Answer: ...", but --cot is given')
    if text.startswith(THINKING) and not cot:
        raise ValueError(f'the answer begins with "{THINKING}": is --cot missing?')


def parse_arguments() -> Namespace:
    """The flags, with the study's values for those that depend on the method. Raises InputError for
    wrong ones."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--method", choices=("sft", "orpo"), required=True, help="what to train with"
    )
    parser.add_argument(
        "--cot",
        action="store_true",
        help="the data have reasoning before each answer; the chosen ones are checked",
    )
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="base model: a folder in Hugging Face layout"
    )
    parser.add_argument("--data", required=True, help="JSONL of pairs or of examples")
    parser.add_argument(
        "--held-out-sessions",
        type=int,
        default=0,
        metavar="N",
        help="the data's last N sessions are for evaluation only",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="ADAPTER", help="folder to write"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from --out's last saved state, if there is one; a finished adapter is left alone",
    )
    parser.add_argument(
        "--save-every",
        type=positive,
        default=50,
        metavar="STEPS",
        help="how often to save the state",
    )
    parser.add_argument(
        "--lr",
        type=not_negative,
        help="peak learning rate; the study's for the method if not given",
    )
    parser.add_argument(
        "--schedule", choices=("cosine", "linear"), help="decay; the study's for the method"
    )
    parser.add_argument(
        "--batch", type=positive, help="examples or pairs a step; the study's for the method"
    )
    parser.add_argument(
        "--weight-decay", type=not_negative, help="AdamW's; the study's for the method"
    )
    parser.add_argument("--epochs", type=positive, default=1, help="passes over the data")
    parser.add_argument(
        "--warmup", type=share, default=0.1, help="share of the steps, 0 to 1, with a rising rate"
    )
    parser.add_argument(
        "--max-grad-norm",
        type=not_negative,
        default=1.0,
        help="gradients are clipped to this norm; 0: not at all",
    )
    parser.add_argument(
        "--lambda-or", type=not_negative, default=0.1, help="weight of ORPO's odds-ratio term"
    )
    parser.add_argument(
        "--nll-scope",
        choices=("response", "sequence"),
        default="response",
        help="tokens of the NLL term: the answer's, or the prompt's too (the authors' code, TRL)",
    )
    parser.add_argument(
        "--order",
        choices=("session", "random"),
        default="session",
        help="session: lays pairs out session by session, so that most steps' come from one; random: shuffles them",
    )
    parser.add_argument(
        "--lora-rank", type=int, default=64, help="LoRA's r; 0 trains the whole model, in float32"
    )
    parser.add_argument(
        "--lora-alpha",
        type=not_negative,
        default=64,
        help="LoRA's alpha; its output is scaled by alpha / r",
    )
    parser.add_argument(
        "--max-length",
        type=positive,
        default=9000,
        help="tokens of prompt and answer; answers are cut",
    )
    parser.add_argument(
        "--max-prompt", type=positive, default=5400, help="tokens of a prompt; oldest turns are cut"
    )
    parser.add_argument(
        "--tree-tokens", type=positive, default=16384, help="tokens computed together, at most"
    )
    parser.add_argument(
        "--keep-tokens",
        type=positive,
        default=1024,
        help="tokens of a tree whose activations are kept for the backward pass, in whole stretches (1,024 tokens on a "
        "CPU, 4,096 elsewhere); those of others are computed again",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="of the frozen base model; its files' if not given. Adapters and log-probs are float32 always",
    )
    parser.add_argument(
        "--seed", type=int, default=3407, help="of the adapter's start and the data's order"
    )
    parser.add_device_flags()
    args = parser.parse_args()
    if args.lora_rank < 0:
        raise InputError(f"--lora-rank {args.lora_rank}: LoRA's r, or 0 for the whole model")
    if args.lora_rank and not args.lora_alpha:
        raise InputError("--lora-alpha 0: the adapter would change nothing")
    if args.lora_rank == 0 and args.dtype == "bfloat16":
        raise InputError(
            "--dtype bfloat16 with --lora-rank 0: the whole model trains in float32; bfloat16 stalls Adam"
        )
    for name, value in STUDY[args.method].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def main() -> None:
    args = parse_arguments()
    device = set_up_device(args)
    settings = {
        name: value
        for name, value in vars(args).items()
        if name not in ("out", "resume", "save_every")
    }
    if not Path(args.data).is_file():
        raise InputError(f"{args.data}: no such file")
    settings["data_sha256"] = sha256(args.data)
    folder, full = base_folder(args.model), args.lora_rank == 0
    settings["model_sampled_sha256"] = sampled_sha256(folder)
    saved = args.out / "state.safetensors"
    if any(
        (args.out / name).is_file() for name in ("adapter_model.safetensors", "model.safetensors")
    ):
        if not args.resume:
            raise InputError(
                f"{args.out}: already holds a trained model; choose another --out, or remove it"
            )
        check_same_run(
            args.out / "train.json",
            read_json(args.out / "train.json").get("arguments", {}),
            settings,
        )
        saved.unlink(missing_ok=True)
        print(f"{args.out} is trained")
        return
    distributed.start(device)
    first = distributed.is_first()
    dtype = torch.float32 if full else args.dtype and getattr(torch, args.dtype)
    model, tokenizer = load_model(folder, device, dtype), ChatTokenizer(folder)
    if model.head.dtype == torch.float16:
        raise InputError(
            f"{folder}: float16, whose range training leaves; give --dtype bfloat16 or float32"
        )
    examples = read_examples(
        args.data,
        tokenizer,
        pairs=args.method == "orpo",
        max_length=min(args.max_length, model.config.max_position_embeddings),
        max_prompt=args.max_prompt,
        check_text=partial(check_form, cot=args.cot),
    )
    examples, held_out = hold_out(examples, args.held_out_sessions)
    if (
        args.method == "sft"
    ):  # held-out ones stay pairs: what becomes of the rejected answers is measured
        examples = chosen_alone(examples)

    torch.manual_seed(args.seed)
    model.requires_grad_(True) if full else attach(model, args.lora_rank, args.lora_alpha)
    distributed.shard(model)
    state = TrainState(model, args.weight_decay, args.max_grad_norm or math.inf)
    objective = Objective(
        args.method, args.lambda_or, args.nll_scope, args.tree_tokens, args.keep_tokens
    )
    order = data_order(examples, args.order, args.seed, args.epochs)
    steps = math.ceil(len(order) / args.batch)
    warmup = math.ceil(args.warmup * steps)
    args.out.mkdir(parents=True, exist_ok=True)
    if saved.is_file():
        if not args.resume:
            raise InputError(
                f"{args.out}: holds an unfinished run; go on with --resume, or remove it"
            )
        state.load(saved, settings)
    # until every process has read the state that the first will write and remove
    distributed.wait()
    data = {"trained_on": counts(examples), "held_out": counts(held_out)}
    if first:
        if args.batch < distributed.processes():
            print(
                f"warning: --batch {args.batch} leaves some of the {distributed.processes()} processes without work"
            )
        (args.out / "targets.txt").write_text(
            show_targets(examples[0], tokenizer, args.nll_scope), encoding="utf-8"
        )
        for name, count in data.items():
            told = ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in count.items())
            print(f"{name.replace('_', ' ')}: {told}")
        print(f"{trainable(model):,} trainable parameters; {steps} steps", flush=True)

    log = RunLog(args.out / "log.jsonl" if first else None, state.step)
    if state.step == 0:
        log.write({"step": 0} | evaluate(model, held_out, objective))
    to_do = tqdm(
        range(state.step, steps),
        initial=state.step,
        total=steps,
        desc=args.out.name,
        disable=not first,
    )
    with stop_asked() as asked:
        for step in to_do:
            batch = order[step * args.batch : (step + 1) * args.batch]
            start = time.perf_counter()
            metrics = run_examples(model, batch, objective, backward=True)
            lr = learning_rate(step, steps, args.lr, warmup, args.schedule)
            norm = state.update(lr)  # clip, AdamW, clear
            metrics |= {"grad_norm": norm, "lr": lr}
            metrics["prompt_tokens_per_example"] = sum(e.chosen.start for e in batch) / len(batch)
            metrics["target_tokens"] = count_targets(batch, args.nll_scope)
            metrics["tokens_per_s"] = metrics["unique_tokens"] / (time.perf_counter() - start)
            metrics["peak_memory_gib"], stop = distributed.largest(peak_memory_gib(device), asked())
            log.write({"step": step + 1} | metrics)
            if stop or (step + 1) % args.save_every == 0 or step + 1 == steps:
                log.sync()
                state.save(saved, settings)
            if stop:
                distributed.wait()  # until the first has saved
                raise KeyboardInterrupt
    after = log.write({"step": steps} | evaluate(model, held_out, objective))
    distributed.unshard(model)
    if first:
        metrics = {"before": log.before, "last_step": log.last_step, "after": after}
        write_json(
            {"arguments": settings, **provenance(), "data": data, **metrics},
            args.out / "train.json",
        )
        if full:
            save_model(model, args.out, folder)
        else:
            save_adapter(model, args.out, args.model, args.lora_rank, args.lora_alpha)
        saved.unlink(missing_ok=True)
        for name in [name for name in after if name != "step"]:
            print(
                f"held-out {name}: {log.before.get(name, math.nan):.4f} before, {after[name]:.4f} after"
            )
        print(f"wrote {args.out}")
    distributed.stop()


if __name__ == "__main__":
    run_script(main, again="the same command with --resume goes on from the last saved step")
