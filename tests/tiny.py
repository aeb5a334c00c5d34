"""Tiny models, pairs and rows that the tests of training share."""

import json
import random
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import train
from act.cli import run_script
from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach, lora_layers
from act.model.tokenizer import ChatTokenizer
from act.training.examples import Answer, Example, make_example
from act.training.layouts import read_row
from act.training.step import Objective

CONFIG = {
    "model_type": "llama",
    "vocab_size": 49152,  # the embedded tokenizer's
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
TINY = LlamaConfig.from_dict(CONFIG | {"vocab_size": 97})


def tiny_llama(seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    return Llama(TINY)


def with_adapter(seed: int = 0, rank: int = 4) -> Llama:
    """The tiny model under an adapter that is no longer at its start."""
    model = tiny_llama()
    torch.manual_seed(seed)
    attach(model, rank, alpha=8)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_B, std=0.1)
    return model


def drawn_pairs(n: int, seed: int = 0) -> list[Example]:
    """Pairs of unequal lengths; every other prompt goes on from the one before it."""
    stream, examples, prompt = random.Random(seed), [], [1]
    for i in range(n):
        prompt = (prompt if i % 2 else [1]) + [
            stream.randrange(97) for _ in range(stream.randint(1, 12))
        ]
        answers = [
            prompt + [stream.randrange(97) for _ in range(stream.randint(1, 20))] for _ in range(2)
        ]
        examples.append(Example(f"s{i // 2}", *(Answer(ids, len(prompt)) for ids in answers), 0))
    return examples


def drawn_sequences(seed: int, tokens: int, longest: int = 12) -> list[list[int]]:
    """Sequences that branch everywhere: each goes on from a random prefix of one before it."""
    stream = random.Random(seed)
    sequences: list[list[int]] = [[]]
    for _ in range(stream.randint(1, 9)):
        start = stream.choice(sequences)
        start = start[: stream.randint(0, len(start))]
        sequences.append(
            start + [stream.randrange(tokens) for _ in range(stream.randint(1, longest))]
        )
    return sequences[1:]


def objective(**changes) -> Objective:
    return Objective(**{"method": "orpo", "lambda_or": 0.25} | changes)


def gradients(model: Llama) -> Tensor:
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
    model.zero_grad()
    return flat


def message(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def conversation(turns: int, session: int = 0) -> list[dict]:
    """A system prompt, `turns` - 1 exchanges and the client's next words."""
    messages = [message("system", "You listen.")]
    for turn in range(turns):
        messages += [
            message("user", f"Day {session}: {'I worry. ' * (turn + 1)}"),
            message("assistant", "What of it?"),
        ]
    return messages[:-1]


def pair_row(turns: int = 1, session: int = 0, **changes) -> dict:
    chosen = [message("assistant", f"What shows up now, {turns} times?")]
    rejected = [message("assistant", "Do not worry so much, it will pass.")]
    return {
        "prompt": conversation(turns, session),
        "chosen": chosen,
        "rejected": rejected,
    } | changes


def example_of(row: dict, tokenizer: ChatTokenizer, max_length: int, max_prompt: int) -> Example:
    """The one example of a row."""
    (read,) = read_row(row)
    return make_example(read, tokenizer, max_length, max_prompt)


def write_rows(path: Path, rows: list) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )
    return path


def log_of(out: Path) -> list[dict]:
    """The log without what a clock or a machine decides."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("tokens_per_s", "peak_memory_gib")}
        for line in lines
    ]


def run_in_process(monkeypatch, *flags) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, flags)])
    run_script(train.main)


def train_flags(folder: Path, data: Path, out: Path, **changes) -> list:
    """train.py's, of a run with ORPO, two pairs a step, a rank of 2."""
    words = {
        "method": "orpo",
        "model": folder,
        "data": data,
        "out": out,
        "batch": 2,
        "lora-rank": 2,
        "lr": 1e-2,
    }
    return [
        word
        for name, value in (words | changes).items()
        for word in (f"--{name.replace('_', '-')}", value)
    ]


VARIANTS = {
    "orpo": {},
    "sft": {"method": "sft"},
    "sequence": {"nll_scope": "sequence"},
    "whole model": {"lora_rank": 0},
    "random order": {"order": "random", "epochs": 2},
}
"""What a run of train.py may change, by its flags."""


def status_of(monkeypatch, *words) -> int:
    """Run train.py in this process until it leaves; its exit status."""
    with pytest.raises(SystemExit) as left:
        run_in_process(monkeypatch, *words)
    return left.value.code
