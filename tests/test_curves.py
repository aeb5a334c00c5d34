"""What training did, to be looked at: curves.png, replies.txt, a step's line; and that none of them
can fail a run."""

import json
import sys
from pathlib import Path

import pytest
import torch

from act.model.checkpoint import load_model
from act.training import curves
from act.training.run_log import shown
from act.training.state import STATE
from tests.tiny import conversation, run_in_process, train_flags

WEIGHTS = "adapter_model.safetensors"
PAIRS = [
    {"step": 0, "nll": 3.0, "chosen_logp": -3.1, "rejected_logp": -2.0, "margin": -1.2},
    {"step": 1, "loss": 3.5, "nll": 2.9, "chosen_logp": -3.0, "rejected_logp": -2.5}
    | {"margin": -0.6, "grad_norm": 2.0},
    {"step": 2, "loss": 2.9, "nll": 2.5, "chosen_logp": -2.6, "rejected_logp": -3.5}
    | {"margin": 1.0, "grad_norm": 0.5},
    {"step": 2, "nll": 2.8, "chosen_logp": -2.9, "rejected_logp": -2.4, "margin": -0.5},
]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """drawn(records) -> title of a panel -> name in the legend -> its points."""
    figure = pytest.importorskip("matplotlib.figure")
    seen, save = [], figure.Figure.savefig

    def keep(self, *where, **style):
        seen.append(self)
        save(self, *where, **style)

    monkeypatch.setattr(figure.Figure, "savefig", keep)

    def draw(records: list[dict]) -> dict:
        curves.draw_curves(records, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
        panels = {}
        for axes in seen[-1].axes:
            lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
            panels[axes.get_title()] = lines
        return panels

    return draw


def test_the_curves_are_the_logs_numbers(drawn):
    """Steps as lines, the held-out metrics before and after as two points."""
    found = drawn(PAIRS)
    assert list(found) == list(curves.PANELS)
    assert found["mean log-prob a token"] == {
        "chosen": [[1, -3.0], [2, -2.6]],
        "chosen, held out": [[0, -3.1], [2, -2.9]],
        "rejected": [[1, -2.5], [2, -3.5]],
        "rejected, held out": [[0, -2.0], [2, -2.4]],
    }
    assert found["norm of the gradient, unclipped"] == {"norm": [[1, 2.0], [2, 0.5]]}


def test_of_sft_without_held_out_sessions_there_are_two_curves(drawn):
    steps = [{"step": n, "loss": 3 - n, "nll": 3 - n, "grad_norm": 1.0} for n in (1, 2)]
    found = drawn([{"step": 0}, *steps, {"step": 2}])
    nll, norm = found.values()
    assert nll == {"NLL": [[1, 2], [2, 1]]} and list(norm) == ["norm"]


def by_hand(spec: str, prompt: list[int], ends: list[int]) -> list[int]:
    """Token by token, the whole text read anew for each."""
    model, ids = load_model(spec), list(prompt)
    while len(ids) < len(prompt) + curves.REPLY:
        token = model.logits(model(torch.tensor([ids]))[0, -1]).argmax().item()
        if token in ends:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("rank", [2, 0])
def test_replies_before_and_after_are_the_models_own(
    folder, tmp_path, data, tokenizer, monkeypatch, rank
):
    """Two held-out prompts, answered by what the run began with and by what lies in --out."""
    out = tmp_path / "out"
    flags = train_flags(folder, data, out, held_out_sessions=1, lora_rank=rank)
    run_in_process(monkeypatch, *flags)
    blocks = (out / "replies.txt").read_text(encoding="utf-8").split(f"{data}:")[1:]
    models = {"before": str(folder), "after": f"{folder}+{out}" if rank else str(out)}
    assert [block[0] for block in blocks] == ["5", "6"]
    for turn, block in enumerate(blocks, start=1):
        lines = dict(line.split(maxsplit=1) for line in block.splitlines()[1:])
        assert list(lines) == ["prompt", "chosen", "rejected", "before", "after"]
        assert lines["chosen"] == repr(f"What shows up now, {turn} times?")
        prompt = tokenizer.prompt(conversation(turn, 2))
        for name, spec in models.items():
            ids = by_hand(spec, prompt, tokenizer.end_ids)
            cut = "..." if len(ids) == curves.REPLY else ""
            assert lines[name] == repr(tokenizer.decode(ids) + cut), name
        assert lines["before"] != lines["after"]
    assert (out / "curves.png").is_file()


def test_without_matplotlib_on_a_full_disk_or_with_a_model_that_fails_the_run_is_whole(
    folder, tmp_path, data, monkeypatch, capsys
):
    """One line for each file that is left out; the adapter is that of a run with both."""
    whole = train_flags(folder, data, tmp_path / "whole", held_out_sessions=1)
    run_in_process(monkeypatch, *whole)
    capsys.readouterr()

    def no_room(*arguments):
        raise OSError(28, "No space left on device", "replies.txt")

    def no_memory(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    for name, part, fails in (("disk", "write_text", no_room), ("memory", "load_model", no_memory)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "matplotlib.figure", None)
            patch.setattr(curves, part, fails)
            flags = train_flags(folder, data, tmp_path / name, held_out_sessions=1)
            run_in_process(patch, *flags)
        said = capsys.readouterr().out
        *_, wrote, no_curves, no_replies = said.splitlines()
        assert wrote == f"wrote {tmp_path / name}"  # before anything that may take long, or die
        assert no_curves.startswith("curves.png is left out: ") and "matplotlib" in no_curves
        cause = "No space left" if name == "disk" else "out of memory"
        assert no_replies.startswith("replies.txt is left out: ") and cause in no_replies
        left = sorted(path.name for path in (tmp_path / name).iterdir())
        kept = "adapter_config.json", WEIGHTS, "log.jsonl", "targets.txt", "train.json"
        assert left == sorted(kept)
        made, wanted = ((tmp_path / one / WEIGHTS).read_bytes() for one in (name, "whole"))
        assert made == wanted


@pytest.mark.parametrize("rank", [2, 0])
def test_a_run_that_is_stopped_before_its_replies_are_there_writes_them_when_it_goes_on(
    folder, tmp_path, data, monkeypatch, capsys, rank
):
    """The weights are there already, and stay what they were."""

    def stopped(*arguments):
        raise KeyboardInterrupt

    out, given = tmp_path / "out", {"held_out_sessions": 1, "lora_rank": rank}
    weights = out / (WEIGHTS if rank else "model.safetensors")
    flags = [*train_flags(folder, data, out, **given), "--resume"]
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(curves, "write_replies", stopped)
        run_in_process(patch, *flags)
    made, log = weights.read_bytes(), (out / "log.jsonl").read_bytes()
    capsys.readouterr()
    run_in_process(monkeypatch, *flags)
    assert capsys.readouterr().out.endswith(f"wrote {out}\n")
    assert (out / "replies.txt").is_file() and not (out / STATE).exists()
    assert weights.read_bytes() == made and (out / "log.jsonl").read_bytes() == log
    run_in_process(monkeypatch, *flags)
    assert capsys.readouterr().out == f"{out} is trained\n"


def test_a_steps_line_has_the_loss_first_and_fits_100_columns():
    step = PAIRS[1] | {"odds_ratio_loss": 1.0, "lr": 1e-5, "tokens_per_s": 812.3}
    line = "step 1 | loss 3.500 | nll 2.900 | chosen -3.000 | rejected -2.500 | margin -0.600"
    assert shown(step) == f"{line} | norm 2.000"
    large = {name: -9.9999 for name in ("chosen_logp", "rejected_logp", "margin")}
    large |= {"step": 99999, "loss": 10.5, "nll": 10.5, "grad_norm": 31234.5}
    assert len(shown(large)) <= 100
    before = "held out, step 0 | nll 3.000 | chosen -3.100 | rejected -2.000 | margin -1.200"
    assert shown(PAIRS[0]) == before


@pytest.mark.parametrize(("batch", "said"), [(6, "1 step"), (2, "3 steps")])
def test_one_step_is_a_step(folder, tmp_path, data, monkeypatch, capsys, batch, said):
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "out", batch=batch))
    printed = capsys.readouterr().out
    assert f" trainable parameters; {said}\nwarning: {said}: few to learn from" in printed
    first = json.loads(Path(tmp_path / "out/log.jsonl").read_text().splitlines()[1])
    assert f"\n{shown(first)}\n" in printed
    assert "step 0" not in printed  # nothing is held out
