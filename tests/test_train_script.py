"""train.py as a whole: what a run leaves behind, what it refuses."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import train
from act.model import weights
from act.training.examples import counts, data_order
from act.training.run_log import peak_memory_gib, shown
from tests.tiny import (
    VARIANTS,
    conversation,
    example_of,
    log_of,
    message,
    pair_row,
    run_in_process,
    status_of,
    train_flags,
    write_rows,
)

WEIGHTS = "adapter_model.safetensors"


def test_a_run_says_what_made_it(folder, tmp_path, data, tokenizer, monkeypatch, capsys):
    """train.json and log.jsonl of two steps, the second pair's prompt cut by a turn, a held-out
    one's by another."""
    limit = len(tokenizer.prompt(conversation(2))) - 1  # two turns do not fit
    words = train_flags(
        folder, data, tmp_path / "out", held_out_sessions=1, max_prompt=limit, nll_scope="sequence"
    )
    run_in_process(monkeypatch, *words)
    report = json.loads((tmp_path / "out/train.json").read_text())
    assert report["arguments"]["data_sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert report["arguments"]["model_sampled_sha256"] == weights.sampled_sha256(folder)
    wanted = {"nll_scope": "sequence", "targets": "last", "lora_rank": 2, "seed": 3407}
    wanted |= {"max_prompt": limit, "precision": "high"}
    assert {name: report["arguments"][name] for name in wanted} == wanted
    packages = ["python", "torch", "safetensors", "tokenizers", "sentencepiece"]
    assert list(report["versions"]) == packages
    assert report["versions"]["torch"] == torch.__version__ and report["processes"] == 1
    trained = {"examples": 4, "cut_turns": 2, "cut_answer_tokens": 0}
    trained |= {"answers_without_end": 0}
    held_out = {"examples": 2, "cut_turns": 1, "cut_answer_tokens": 0}
    held_out |= {"answers_without_end": 0}
    assert report["data"] == {"trained_on": trained, "held_out": held_out}

    log = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [0, 1, 2, 2]
    assert report["before"] == log[0] and report["after"] == log[3]
    losses = "loss nll odds_ratio_loss chosen_logp rejected_logp margin accuracy"
    assert report["last_step"] == {name: log[2][name] for name in losses.split()}
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    examples = [example_of(row, tokenizer, 512, limit) for row in rows]
    order = data_order(examples[:4], "session", 3407, 1)
    for line, batch in zip(log[1:3], (order[:2], order[2:]), strict=True):
        assert line["prompt_tokens_per_example"] == sum(e.chosen.start for e in batch) / 2
        assert line["target_tokens"] == sum(len(e.chosen.ids) - 1 for e in batch)
        assert line["naive_tokens"] == sum(len(a.ids) for e in batch for a in e.answers)
        assert 0 < line["unique_tokens"] < line["naive_tokens"]
        assert line["tokens_per_s"] > 0 and 0.05 < line["peak_memory_gib"] < 100
        assert line["loss"] == pytest.approx(line["nll"] + 0.1 * line["odds_ratio_loss"], rel=1e-5)
    said = capsys.readouterr().out
    assert "trained on: examples 4, cut turns 2\n" in said
    assert f"\n{shown(log[1])}\n" in said


def test_sft_learns_the_same_from_pairs_as_from_their_chosen_answers(
    folder, tmp_path, data, monkeypatch
):
    """To the bit; and of held-out pairs it is known what became of the rejected answers."""
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    alone = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    files = {"pairs": data, "alone": write_rows(tmp_path / "alone.jsonl", alone)}
    reports = {}
    for name, file in files.items():
        flags = train_flags(folder, file, tmp_path / name, method="sft", held_out_sessions=1)
        run_in_process(monkeypatch, *flags)
        reports[name] = json.loads((tmp_path / name / "train.json").read_text())
    weights = [(tmp_path / name / WEIGHTS).read_bytes() for name in files]
    pairs, alone = reports.values()
    assert weights[0] == weights[1] and pairs["last_step"] == alone["last_step"]
    of_pairs = {"chosen_logp", "rejected_logp", "margin", "accuracy"}
    assert pairs["after"].keys() - alone["after"].keys() == of_pairs
    assert pairs["after"]["nll"] == pytest.approx(alone["after"]["nll"], rel=1e-5)


def test_counts_of_what_was_cut(tokenizer):
    """No room for a whole answer of 31 tokens: the old turn goes, then of the answer all but 20
    tokens."""
    row = pair_row(2, chosen=[message("assistant", "so " * 30)])
    limit = len(tokenizer.prompt(row["prompt"][:1] + row["prompt"][3:])) + 20
    assert len(tokenizer.reply(row["chosen"][0]["content"])) == 31
    examples = [example_of(row, tokenizer, limit, 512), example_of(pair_row(), tokenizer, 512, 512)]
    counted = {"cut_turns": 1, "cut_answer_tokens": 11, "answers_without_end": 1}
    assert counts(examples) == {"examples": 2} | counted


@pytest.mark.parametrize("scope", ["response", "sequence"])
def test_trap_08_tokens_and_mask_side_by_side(
    folder, tmp_path, data, tokenizer, monkeypatch, scope
):
    """targets.txt of the first example: each token once, marked where its log-prob enters the
    NLL."""
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "out", nll_scope=scope))
    lines = (tmp_path / "out/targets.txt").read_text(encoding="utf-8").splitlines()
    prompt = tokenizer.prompt(conversation(1))
    reply = tokenizer.reply("What shows up now, 1 times?")
    assert len(lines) == len(prompt) + len(reply)
    assert lines[0] == "  '<|im_start|>'" and lines[-1] == "* '<|im_end|>'"
    assert lines[len(prompt)] == "* 'What'" and lines[len(prompt) + 1] == "* 'Ġshows'"
    unmarked = 1 if scope == "sequence" else len(prompt)
    assert [line[0] for line in lines] == [" "] * unmarked + ["*"] * (len(lines) - unmarked)


def test_peak_memory_is_of_the_device_that_is_used(monkeypatch):
    """With --device cpu on a machine with a GPU that of the process, with cuda:1 that of cuda:1."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda device: {"cuda:1": 3 * 2**30}[device]
    )
    assert 0.05 < peak_memory_gib("cpu") < 100 and peak_memory_gib("cuda:1") == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"warmup": 10}, "argument --warmup: 10 is not between 0 and 1"),
        ({"lora-alpha": "nan"}, "argument --lora-alpha: nan is not 0 or more"),
        ({"lora-alpha": 0}, "--lora-alpha 0: the adapter would change nothing"),
    ],
)
def test_flags_that_would_be_taken_wrongly(folder, tmp_path, data, refused, changes, said):
    assert said in refused("train.py", *train_flags(folder, data, tmp_path / "out", **changes))


def test_max_grad_norm_0_does_not_clip(folder, tmp_path, data, monkeypatch):
    """The same as a norm that is never reached; clipped to 0 no gradient would be left."""
    for norm in (0, 1e6):
        run_in_process(
            monkeypatch, *train_flags(folder, data, tmp_path / str(norm), max_grad_norm=norm)
        )
    first, second = (load_file(tmp_path / norm / WEIGHTS) for norm in ("0", "1000000.0"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(x.any() for name, x in first.items() if "lora_B" in name)


@pytest.fixture
def other_folder(folder, tmp_path) -> Path:
    """The folder's model as one of its own, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


def test_a_float16_base_is_not_trained(other_folder, tmp_path, data, refused):
    tensors = load_file(other_folder / "model.safetensors")
    save_file(
        {name: tensor.half() for name, tensor in tensors.items()},
        other_folder / "model.safetensors",
    )
    assert "float16" in refused("train.py", *train_flags(other_folder, data, tmp_path / "out"))


def test_another_base_model_at_the_same_path_is_not_gone_on_with(
    other_folder, tmp_path, data, monkeypatch, refused
):
    words = train_flags(other_folder, data, tmp_path / "out", save_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(train, "save_adapter", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert status_of(patch, *words) == 130
    tensors = load_file(other_folder / "model.safetensors")
    tensors["model.norm.weight"][3] += 1
    save_file(tensors, other_folder / "model.safetensors", {"format": "pt"})
    assert "was made with model_sampled_sha256 " in refused("train.py", *words, "--resume")


def test_a_sampled_checksum_sees_every_part_of_a_large_file(tmp_path, monkeypatch):
    """Files of 40 bytes by 4 pieces of 4: a byte in the first, the last and a middle piece, a name,
    a size."""
    monkeypatch.setattr(weights, "PIECE", 4)
    monkeypatch.setattr(weights, "PIECES", 4)
    large, small = tmp_path / "model.safetensors", tmp_path / "config.json"

    def digest(
        changed: dict[int, bytes] | None = None, size: int = 40, config: bytes = b"{}"
    ) -> str:
        content = bytearray(size)
        for place, byte in (changed or {}).items():
            content[place : place + 1] = byte
        large.write_bytes(content)
        small.write_bytes(config)
        return weights.sampled_sha256(tmp_path)

    same = [
        digest(),
        digest(),
        digest({6: b"x"}),
    ]  # pieces begin at 0, 12, 24, 36: byte 6 is not read
    others = [digest({place: b"x"}) for place in (0, 14, 24, 39)] + [
        digest(size=41),
        digest(config=b"{ }"),
    ]
    assert len(set(same)) == 1 and len({same[0], *others}) == 7
    large.rename(tmp_path / "model-1.safetensors")
    small.write_bytes(b"{}")
    assert weights.sampled_sha256(tmp_path) not in (same[0], *others)


@pytest.mark.parametrize("name", VARIANTS)
def test_trap_03_trees_take_the_same_steps_in_every_variant(
    folder, tmp_path, data, monkeypatch, name
):
    """Each answer in a tree of its own, its activations computed again, against one tree a step."""
    logs = []
    for trees in ({}, {"tree_tokens": 1, "keep_tokens": 1}):
        out = tmp_path / f"out-{len(logs)}"
        run_in_process(
            monkeypatch,
            *train_flags(folder, data, out, held_out_sessions=1, **VARIANTS[name], **trees),
        )
        logs.append(log_of(out))
    for ours, line in zip(*logs, strict=True):
        for metric in {"loss", "nll", "margin", "grad_norm"} & line.keys():
            assert ours[metric] == pytest.approx(line[metric], rel=1e-5, abs=1e-5), (
                line["step"],
                metric,
            )


@pytest.mark.parametrize(("device", "keep"), [("cpu", 1024), ("cuda:1", None)])
def test_how_much_is_kept_where_it_is_not_said(monkeypatch, device, keep):
    """1,024 tokens' activations on a CPU; a GPU's free memory is asked once the model is there."""
    words = ["train.py", *train_flags("model", "data", "out", device=device)]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    assert train.parse_arguments().keep_tokens == keep
    sys.argv += ["--keep-tokens", "5"]
    assert train.parse_arguments().keep_tokens == 5
