"""What the scripts share: the device and its products, one line for an error, and for Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace

import pytest
import torch

from act.cli import Parser, beside, run_script, set_up_device
from act.records import InputError


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("--device cpu", "high"),
        ("--device cuda", "highest"),
        ("--device cuda:1 --precision high", "high"),
    ],
)
def test_the_precision_follows_from_the_device_that_is_used(monkeypatch, flags, precision):
    """Not from the machine's: on one with a GPU, --device cpu has the CPU's fast products."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch, "empty", lambda *_, device: None
    )  # this machine may have no such device
    parser = Parser()
    parser.add_device_flags()
    args = parser.parse_args(flags.split())
    set_up_device(args)
    assert args.precision == torch.get_float32_matmul_precision() == precision


def test_a_process_of_torchrun_touches_its_own_gpu_alone(monkeypatch):
    touched = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: touched.append(device))
    monkeypatch.setenv("LOCAL_RANK", "3")
    for device in ("cuda", "cuda:0", "cpu"):
        args = Namespace(device=device, precision=None)
        assert set_up_device(args) == touched[-1]
        assert args.device == device  # the run's own argument, equal in every process
    assert touched == ["cuda:3", "cuda:3", "cpu"]


def test_attention_on_a_gpu_is_not_left_to_cudnn(monkeypatch):
    """Trap 37: a plan for each new shape. A CPU's run leaves the switch alone."""
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)
    asked = []
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", asked.append)
    set_up_device(Namespace(device="cpu", precision=None))
    assert asked == []
    set_up_device(Namespace(device="cuda", precision=None))
    assert asked == [False]


def wrong() -> None:
    raise InputError("data.jsonl:3: no prompt")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("main", "status", "line"),
    [
        (wrong, 2, "error: data.jsonl:3: no prompt\n"),
        (interrupted, 130, "stopped; with --resume\n"),
    ],
)
def test_one_line_of_the_first_process_alone(monkeypatch, capsys, tmp_path, main, status, line):
    """Of torchrun's processes the second leaves it to torchrun's report, from which it is not
    lost."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    for rank, said in (("0", line), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as stopped:
            run_script(main, "with --resume")
        assert stopped.value.code == status and capsys.readouterr().err == said
        assert (tmp_path / "error.json").is_file() == (rank == "1")
    told = json.loads((tmp_path / "error.json").read_text())["message"]["message"]
    assert told == (
        "InputError: data.jsonl:3: no prompt" if main is wrong else "KeyboardInterrupt: "
    )


def test_a_long_line_loses_its_middle_and_says_so(capsys):
    """What is wrong stands at the beginning, the way out at the end: 1,000 letters of each stay."""

    def main():
        raise InputError("a" * 993 + "b" + "c" * 2000 + "d" * 1000)

    with pytest.raises(SystemExit):
        run_script(main)
    assert capsys.readouterr().err == f"error: {'a' * 993} [...] {'d' * 1000}\n"


def test_a_second_process_works_meanwhile_and_one_that_is_killed_is_one_line():
    result, killed = beside(divmod, 17, 5), beside(signal.raise_signal, signal.SIGKILL)
    own = beside(os.getpid)
    assert result() == (3, 2) and own() != os.getpid()
    with pytest.raises(ChildProcessError) as caught:
        killed()
    assert caught.value.filename == "the second process"


def test_the_second_process_ends_where_the_first_is_killed():
    """Its 10 MB go into a pipe that nobody reads: it must not wait for ever."""
    script = "import os, signal, time; from act.cli import beside; beside(os.getpid)(); "
    script += "beside(bytes, 10**7); print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        time.sleep(0.5)
        first.send_signal(signal.SIGKILL)
        # the end of the output: no process holds it open any more
        assert first.communicate(timeout=30)[0] == b""


def test_help_is_wrapped_to_the_terminal_and_its_commands_are_not(monkeypatch):
    """At 40 columns, of which argparse leaves two free."""
    monkeypatch.setenv("COLUMNS", "40")
    about = (
        "One two three four five six seven eight\nnine ten.\n\n    a.py --model DIR --data FILE "
    )
    about += "--out DIR\n    b.py\n\nEleven\ntwelve."
    shown = Parser(prog="x", description=about).format_help()
    command = "    a.py --model DIR --data FILE --out DIR\n    b.py"
    said = f"One two three four five six seven\neight nine ten.\n\n{command}\n\nEleven twelve.\n"
    assert shown.partition("\n\n")[2].startswith(said)
