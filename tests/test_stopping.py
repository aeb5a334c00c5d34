"""train.py stopped by a signal, in any of its variants, and gone on with: trap 11."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from act.training.state import TrainState
from tests.conftest import EMBEDDED, ROOT
from tests.tiny import VARIANTS, log_of, run_in_process, status_of, train_flags

WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("name", "sent"),
    [("orpo", signal.SIGTERM), *((name, signal.SIGINT) for name in [*VARIANTS, "bfloat16"])],
)
def test_trap_11_a_signal_saves_the_step_under_way(
    folder, tmp_path, data, monkeypatch, capfd, name, sent
):
    """Sent in the second of three steps: its state is saved, and what goes on from it ends as an
    undisturbed run."""
    changes = VARIANTS.get(name, {"dtype": "bfloat16"})
    weights = "model.safetensors" if name == "whole model" else WEIGHTS
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "whole", **changes))
    update = TrainState.update

    def disturbed(self, lr: float) -> float:
        if self.step == 1:
            os.kill(os.getpid(), sent)
        return update(self, lr)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "update", disturbed)
        patch.setattr(
            sys,
            "argv",
            ["train.py", *map(str, train_flags(folder, data, tmp_path / "out", **changes))],
        )
        with pytest.raises(SystemExit) as left:
            runpy.run_path(ROOT / "train.py", run_name="__main__")
    assert left.value.code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert (
        "stopped; the same command with --resume goes on from the last saved step\n"
        in capfd.readouterr().err
    )
    assert len((tmp_path / "out/log.jsonl").read_text().splitlines()) == 3
    with safe_open(tmp_path / "out/state.safetensors", framework="pt") as state:
        assert state.metadata()["step"] == "2"
    assert not (tmp_path / "out" / weights).exists()
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "out", **changes), "--resume")
    assert log_of(tmp_path / "out") == log_of(tmp_path / "whole")
    assert (tmp_path / "out" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_trap_11_a_second_ctrl_c_stops_at_once(folder, tmp_path, data, monkeypatch):
    monkeypatch.setattr(
        TrainState, "update", lambda *_: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]
    )
    assert status_of(monkeypatch, *train_flags(folder, data, tmp_path / "out")) == 130
    assert not (tmp_path / "out/state.safetensors").exists()


def run_script(
    *words: object, threads: int = 1, processes: int = 1, script: Path = ROOT / "train.py"
) -> int:
    """train.py in processes of its own; the exit status. What it said is shown if a test fails."""
    launch = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
        if processes > 1
        else []
    )
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    command = map(str, [sys.executable, *launch, script, *words])
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done.returncode


def killed_in(tmp_path: Path, step: int, rank: int, number: int) -> Path:
    """train.py, whose process `rank` is sent a signal within step `step`."""
    path = tmp_path / f"killed-{number}.py"
    path.write_text(
        "import os\nimport train\nfrom act.training.state import TrainState\n"
        "update = TrainState.update\n"
        "def disturbed(self, lr):\n"
        f"    if self.step == {step} - 1 and os.environ.get('RANK', '0') == '{rank}':\n"
        f"        os.kill(os.getpid(), {number})\n"
        "    return update(self, lr)\n"
        "TrainState.update = disturbed\ntrain.run_script(train.main)\n"
    )
    return path


@pytest.mark.slow
def test_two_processes_train_a_whole_model_and_are_stopped_together(
    folder, tmp_path, data, monkeypatch
):
    """SFT, sequence scope, --lora-rank 0: a signal to one of two stops both, and two go on; the
    steps are one's."""
    changes = {"method": "sft", "nll_scope": "sequence", "lora_rank": 0}
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "one", **changes))
    words = train_flags(folder, data, tmp_path / "two", **changes)
    assert run_script(*words, processes=2, script=killed_in(tmp_path, 2, 1, signal.SIGTERM)) != 0
    assert len((tmp_path / "two/log.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "two/state.safetensors").is_file()
    assert run_script(*words, "--resume", processes=2) == 0
    for ours, line in zip(log_of(tmp_path / "two"), log_of(tmp_path / "one"), strict=True):
        for metric in {"loss", "grad_norm"} & line.keys():
            assert ours[metric] == pytest.approx(line[metric], rel=1e-5), (line["step"], metric)


@pytest.mark.soak
def test_trap_11_the_embedded_model_resumes_to_the_bit_with_two_threads(tmp_path, data):
    words = {"save_every": 1, "held_out_sessions": 1, "lora_rank": 64}
    assert run_script(*train_flags(EMBEDDED, data, tmp_path / "whole", **words), threads=2) == 0
    killed = train_flags(EMBEDDED, data, tmp_path / "out", **words)
    assert (
        run_script(*killed, threads=2, script=killed_in(tmp_path, 2, 0, signal.SIGKILL))
        == -signal.SIGKILL
    )
    assert len((tmp_path / "out/log.jsonl").read_text().splitlines()) == 2
    assert run_script(*killed, "--resume", threads=2) == 0
    assert log_of(tmp_path / "out") == log_of(tmp_path / "whole")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_trap_11_the_log_is_on_the_disk_before_the_state(folder, tmp_path, data, monkeypatch):
    """Whatever the machine loses, a state never has more steps than the log has lines."""
    events, fsync = [], os.fsync

    def recorded(handle: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{handle}")).name
        events.append(name.removesuffix(f"-{os.getpid()}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "out", save_every=2))
    saves = ["log.jsonl", "state.safetensors.part"] * 2  # of steps 2 and 3, the last
    report = ["train.json.part", "adapter_config.json.part", f"{WEIGHTS}.part"]
    written = ["targets.txt.part", *saves, *report]
    assert events[: len(written)] == written
    assert events[len(written) :] in (["curves.png.part"], [])  # where matplotlib is there
