"""Train one condition: SFT or ORPO, a LoRA adapter or the whole model (--lora-rank 0).

    train.py --method orpo --model DIR --data pairs.jsonl --out adapters/orpo
    train.py --method sft --cot --model DIR --data cot.jsonl --held-out-sessions 2 --out sft-cot

Data are JSONL, or a JSON array, in TRL's layouts (README, "Your own pairs"): pairs, of which SFT
takes the chosen answer, prompt + completion, or messages. A row of pairs:

    {"prompt": "I cannot sleep.", "chosen": "What keeps you up?", "rejected": "Less coffee."}

Defaults are the study's own values but for --order and --nll-scope: SFT: 4
examples a step at 5e-6, cosine; ORPO: 8 pairs a step at 8e-6, linear. --out becomes an adapter in
PEFT's layout, with log.jsonl (a line a step), curves.png (which draws it, with matplotlib),
train.json (what made it, metrics), targets.txt (the first example's tokens, a mark at those that
are learned) and replies.txt (to held-out prompts, before and after). --model DIR+ADAPTER goes on
from an adapter (ORPO on top of SFT): what is written holds both, for DIR. Ctrl-C and SIGTERM save
the state after the step under way. On N GPUs: torchrun --nproc-per-node N train.py ..., with the
same result up to rounding; faster where a step spans several sessions, as with --batch 25*N.
"""

import math
import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from act.cli import (
    Parser,
    bits,
    not_negative,
    positive,
    rate,
    run_script,
    set_up_device,
    share,
    stop_asked,
)
from act.dialogue.prompts import THINKING, parse_reply
from act.files import only_writer, write_json, write_text
from act.model.adapter import save_adapter, warn_trained_otherwise
from act.model.checkpoint import load_model, save_model
from act.model.llama import Llama
from act.model.lora import attach, merge, trainable
from act.model.spec import split_spec
from act.model.tokenizer import ChatTokenizer
from act.model.weights import finite, sampled_sha256, sha256
from act.records import InputError, check_settings, read_json
from act.training import curves, distributed, examples
from act.training.examples import Example
from act.training.layouts import TARGETS
from act.training.run_log import RunLog, announce, peak_memory_gib, provenance
from act.training.state import STATE, TrainState, is_finished, learning_rate
from act.training.step import (
    KEEP_TOKENS,
    Objective,
    count_targets,
    evaluate,
    run_examples,
    tokens_to_keep,
)

STUDY = {  # what the two methods do not share; schedule and weight_decay have no flag
    "sft": {"lr": 5e-6, "schedule": "cosine", "batch": 4, "weight_decay": 0.01},
    "orpo": {"lr": 8e-6, "schedule": "linear", "batch": 8, "weight_decay": 0.0},
}


def parse_arguments() -> Namespace:
    """The flags, with the study's values for those that depend on the method."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    # 1. from what to what
    add("--method", choices=("sft", "orpo"), required=True, help="what to train with")
    add("--cot", action="store_true", help="answers begin with reasoning; that is checked")
    about = "base model, in Hugging Face layout; DIR+ADAPTER: that adapter goes on, too"
    add("--model", required=True, metavar="DIR", help=about)
    add("--data", required=True, help="JSONL, or a JSON array, of pairs or (sft) of examples")
    about = "the last N are not learned but measured, before and after; rows that name one "
    about += '"session", or begin alike, are one'
    add("--held-out-sessions", type=int, default=0, metavar="N", help=about)
    add("--out", type=Path, required=True, metavar="ADAPTER", help="folder to write")
    about = "go on from --out's last saved state, if any; a finished adapter is left alone"
    add("--resume", action="store_true", help=about)
    add("--save-every", type=positive, default=50, metavar="STEPS", help="to save the state")
    # 2. how it learns
    sft, orpo = STUDY["sft"], STUDY["orpo"]
    about = f"peak learning rate; if not given {sft['lr']} (sft), {orpo['lr']} (orpo)"
    add("--lr", type=rate, help=about)
    about = f"examples or pairs a step; if not given {sft['batch']} (sft), {orpo['batch']} (orpo)"
    add("--batch", type=positive, help=about)
    add("--epochs", type=positive, default=1, help="passes over the data")
    add("--warmup", type=share, default=0.1, help="share of the steps with a rising rate")
    add("--max-grad-norm", type=not_negative, default=1.0, help="clips gradients; 0: not")
    add("--lambda-or", type=not_negative, default=0.1, help="weight of ORPO's odds-ratio term")
    about = "tokens of the NLL term: the answer's, or the prompt's too (the authors' code, TRL)"
    add("--nll-scope", choices=("response", "sequence"), default="response", help=about)
    about = 'which of the assistant\'s "messages" are learned; all: an example of each'
    add("--targets", choices=TARGETS, default="last", help=about)
    about = "session by session, so that most steps' examples come from one; or shuffled"
    add("--order", choices=("session", "random"), default="session", help=about)
    add("--lora-rank", type=int, default=64, help="r; 0: the whole model, in float32")
    add("--lora-alpha", type=not_negative, default=64, help="scales by alpha / r")
    add("--seed", type=bits, default=3407, help="of the adapter's start and the data's order")
    # 3. what fits
    add("--max-length", type=positive, default=9000, help="tokens; answers are cut")
    add("--max-prompt", type=positive, default=5400, help="tokens; oldest turns are cut")
    add("--tree-tokens", type=positive, default=16384, help="tokens computed together, at most")
    about = (
        "of a tree, whose activations are kept (in whole stretches); others' computed again. If "
    )
    about += f"not given {KEEP_TOKENS}, on a GPU what its free memory holds"
    add("--keep-tokens", type=positive, help=about)
    about = "of a frozen base model; if not given its files'. All that is trained is float32"
    add("--dtype", choices=("float32", "bfloat16"), help=about)
    parser.add_device_flags()
    args = parser.parse_args()
    if args.lora_rank < 0:
        raise InputError(f"--lora-rank {args.lora_rank}: LoRA's r, or 0 for the whole model")
    if args.lora_rank and not args.lora_alpha:
        raise InputError("--lora-alpha 0: the adapter would change nothing")
    if args.lora_rank == 0 and args.dtype == "bfloat16":
        raise InputError("--dtype bfloat16 with --lora-rank 0: stalls Adam; take float32")
    if args.keep_tokens is None and not args.device.startswith("cuda"):
        args.keep_tokens = KEEP_TOKENS
    for name, value in STUDY[args.method].items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    return args


def check_form(example: Example, tokenizer: ChatTokenizer, cot: bool) -> None:
    """Raise InputError for a chosen answer without reasoning with --cot, or the other way round."""
    chosen = example.chosen
    text = tokenizer.decode(chosen.ids[chosen.start :])  # no special token is shown
    where = f"{example.place}: "
    if chosen.cut:
        where += f"cut to the {chosen.length} tokens that --max-length leaves it, "
    if cot and parse_reply(text, cot=True) is None:
        form = '"Thinking: ..." and "Answer: ..."'
        raise InputError(f"{where}the answer is not {form}, but --cot is given")
    if text.startswith(THINKING) and not cot:
        raise InputError(f'{where}the answer begins with "{THINKING}": is --cot missing?')


def read_data(
    args: Namespace, tokenizer: ChatTokenizer, context: int
) -> tuple[list[Example], list[Example]]:
    """(examples to train on, held-out ones), cut to what a model of this context can read."""
    is_pairs, length = args.method == "orpo", min(args.max_length, context)
    limits = length, args.max_prompt, args.targets
    rows = examples.read_examples(args.data, tokenizer, is_pairs, *limits)
    for example in rows:
        check_form(example, tokenizer, args.cot)
    kept, held_out = examples.hold_out(rows, args.held_out_sessions)
    # held-out ones stay pairs: what becomes of the rejected answers is measured
    return (kept if is_pairs else examples.chosen_alone(kept)), held_out


@dataclass
class Run:
    """A run between its flags and its adapter."""

    model: Llama
    tokenizer: ChatTokenizer
    objective: Objective
    batches: list[list[Example]]  # a step each
    held_out: list[Example]
    data: dict  # how many examples there are, and what was cut from them
    state: TrainState
    log: RunLog


def prepare(args: Namespace, device: str, settings: dict) -> Run:
    """Model, data, optimiser and log, as they were at the last saved step."""
    # 1. the model and the data
    folder, adapter = split_spec(args.model)
    is_whole, first = args.lora_rank == 0, distributed.is_first()
    dtype = torch.float32 if is_whole else args.dtype and getattr(torch, args.dtype)
    model, tokenizer = load_model(args.model, device, dtype), ChatTokenizer(folder, args.template)
    if adapter:
        warn_trained_otherwise(folder, adapter, tokenizer)
    if model.head.dtype == torch.float16:
        raise InputError(f"{folder}: float16 overflows; give --dtype bfloat16 or float32")
    kept, held_out = read_data(args, tokenizer, model.config.max_position_embeddings)
    order = examples.data_order(kept, args.order, args.seed, args.epochs)
    batches = [order[i : i + args.batch] for i in range(0, len(order), args.batch)]
    # 2. what is trained
    torch.manual_seed(args.seed)
    if is_whole:
        merge(model)  # the adapter of --model, if there is one
        model.requires_grad_(True)
    else:
        attach(model, args.lora_rank, args.lora_alpha)  # on top of it
    distributed.shard(model)
    state = TrainState(model, args.weight_decay, args.max_grad_norm or math.inf)
    limits = args.tree_tokens, args.keep_tokens or tokens_to_keep(model, args.tree_tokens)
    objective = Objective(args.method, args.lambda_or, args.nll_scope, *limits)
    # 3. where a run before this one has stopped
    saved = args.out / STATE
    if saved.is_file():
        if not args.resume:
            raise InputError(f"{args.out}: an unfinished run; go on with --resume, or remove it")
        state.load(saved, settings)
    distributed.wait()  # all have read the state that the first will write and remove
    # 4. what a user sees before the first step
    data = {"trained_on": examples.counts(kept), "held_out": examples.counts(held_out)}
    if first:
        marked = examples.show_targets(kept[0], tokenizer, args.nll_scope)
        write_text(marked, args.out / "targets.txt")
        announce(data, trainable(model), len(batches), args.batch)
    log = RunLog(args.out / "log.jsonl" if first else None, state.step)
    return Run(model, tokenizer, objective, batches, held_out, data, state, log)


def loop(args: Namespace, device: str, settings: dict, run: Run) -> None:
    """Every step that is left: gradients, update, a line of the log, now and then the state."""
    state, steps = run.state, len(run.batches)
    warmup = math.ceil(args.warmup * steps)
    if state.step == 0:
        run.log.write({"step": 0} | evaluate(run.model, run.held_out, run.objective))
    bar = {"initial": state.step, "total": steps, "desc": args.out.name}
    to_do = tqdm(range(state.step, steps), **bar, disable=not distributed.is_first())
    with stop_asked() as asked:
        for step in to_do:
            # 1. gradients, and a step of them
            batch, start = run.batches[step], time.perf_counter()
            metrics = run_examples(run.model, batch, run.objective, backward=True)
            lr = learning_rate(step, steps, args.lr, warmup, args.schedule)
            norm = state.update(lr)  # clip, AdamW, clear
            # 2. a line of the log
            seconds = time.perf_counter() - start
            prompts = [example.chosen.start for example in batch]  # tokens of each
            metrics |= {
                "grad_norm": norm,
                "lr": lr,
                "prompt_tokens_per_example": sum(prompts) / len(batch),
                "target_tokens": count_targets(batch, args.nll_scope),
                "tokens_per_s": metrics["unique_tokens"] / seconds,
                "peak_memory_gib": max(distributed.from_all(peak_memory_gib(device))),
            }
            run.log.write({"step": step + 1} | metrics)
            # 3. what a run that ends here goes on from
            stop = any(distributed.from_all(asked()))
            if stop or (step + 1) % args.save_every == 0 or step + 1 == steps:
                run.log.sync()
                state.save(args.out / STATE, settings)
            if stop:
                distributed.wait()  # until the first has saved
                raise KeyboardInterrupt


def finish(args: Namespace, settings: dict, run: Run) -> None:
    """What was learned: the last line of the log, train.json, and the adapter or the model."""
    last = {"step": len(run.batches)} | evaluate(run.model, run.held_out, run.objective)
    after, before = run.log.write(last), run.log.before
    distributed.unshard(run.model)
    if not distributed.is_first():
        return
    # 1. what made it, and what became of it
    metrics = {"before": before, "last_step": run.log.last_step, "after": after}
    report = {"arguments": settings, **provenance(), "data": run.data, **metrics}
    write_json(report, args.out / "train.json")
    # 2. the weights, which say that the run is finished
    folder, _ = split_spec(args.model)
    if args.lora_rank == 0:
        save_model(run.model, args.out, folder)
    else:
        save_adapter(run.model, args.out, str(folder), args.lora_rank, args.lora_alpha)
    for name in list(after)[1:]:  # all but the step
        was = before.get(name, math.nan)
        print(f"held-out {name}: {was:.4f} before, {after[name]:.4f} after")
    print(f"wrote {args.out}", flush=True)
    # 3. what it did, to be looked at; a run that is ended here goes on from its last state
    written = str(args.out) if args.lora_rank == 0 else f"{folder}+{args.out}"
    models = {"before": args.model, "after": written}
    curves.show(args.out, models, run.tokenizer, run.held_out, like=run.model.head)
    (args.out / STATE).unlink(missing_ok=True)


def main() -> None:
    args = parse_arguments()
    device = set_up_device(args)
    # what must be equal to go on with a run: its arguments, and what its files hold
    free = ["out", "resume", "save_every"]
    if args.template is None:  # the folder decides
        free += ["template"]
    settings = {name: value for name, value in vars(args).items() if name not in free}
    settings["data_sha256"] = sha256(args.data)
    folder, adapter = split_spec(args.model)
    settings["model_sampled_sha256"] = sampled_sha256(folder)
    if adapter:
        settings["merged_sha256"] = sampled_sha256(adapter)  # its scale, too
    own = "adapter_model.safetensors" if args.lora_rank else "model.safetensors"
    if is_finished(args.out, folder, own, args.resume):
        report = args.out / "train.json"  # says what made it
        check_settings(report, read_json(report).get("arguments", {}), settings)
        if not (args.out / STATE).is_file():
            print(f"{args.out} is trained")
            return
    distributed.start(device)
    cause = "is the learning rate too high, or do the weights overflow?"
    with only_writer(args.out) if distributed.is_first() else nullcontext():
        run = prepare(args, device, settings)
        with finite(folder, cause):
            loop(args, device, settings, run)
            finish(args, settings, run)
    distributed.stop()


if __name__ == "__main__":
    run_script(main, again="the same command with --resume goes on from the last saved step")
