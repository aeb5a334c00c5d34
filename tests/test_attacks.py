"""Someone who wants to break it: odd places for --out, two processes on one folder, files that lie.

docs/inputs.md, "Damage and full disks", holds the lines that are expected here.
"""

import json
import os
import struct
from io import FileIO

import pytest
import torch

from act.cli import run_script
from act.dialogue.journal import check_made_with
from act.files import append_whole, only_writer, whole_file, write_text
from act.model.checkpoint import load_model
from act.model.weights import read_tensors, write_whole
from act.records import InputError, Store, check_rating, check_session, read_jsonl
from act.training.layouts import read_row
from act.training.state import TrainState
from tests.inputs import told
from tests.made_study import make_study
from tests.tiny import CONFIG, train_flags, write_rows

TOLD = told("Damage and full disks")


@pytest.fixture
def study(tmp_path):
    """Ratings and sessions of four clients, in files."""
    ratings, sessions = make_study(4)
    write_rows(tmp_path / "r.jsonl", ratings)
    write_rows(tmp_path / "s.jsonl", sessions)
    os.mkfifo(tmp_path / "pipe")


OUTS = {  # given -> --out
    "--out a pipe": "pipe",
    "--out /dev/full": "/dev/full",
    "--out a folder": "folder",
    "--out in a file": "s.jsonl/o",
}


@pytest.mark.parametrize("given", OUTS)
def test_what_can_never_be_written_is_refused_in_one_line(study, tmp_path, refused, given):
    (tmp_path / "folder").mkdir()
    line = TOLD[given]
    profiles = refused("generate.py", "profiles", "--n", 1, "--out", OUTS[given])
    assert profiles == f"error: {line}"
    page = refused("judge.py", "page", "--sessions", "s.jsonl", "--out", OUTS[given])
    assert page == f"error: {line}".replace("cannot be written: ", "")
    assert os.listdir(tmp_path / "folder") == []


@pytest.mark.parametrize("out", ["pipe", "/dev/full", "r.jsonl"])
def test_a_folder_is_wanted(study, tmp_path, refused, out, folder, data):
    for words in (
        ("analyze.py", "--ratings", "r.jsonl", "--resamples", 9, "--out", out),
        ("train.py", *train_flags(folder, data, out)),
    ):
        line = refused(*words)
        assert line == f"error: {out}/log.jsonl: lies in a file, where a folder is wanted"


def test_two_processes_cannot_fill_one_folder(study, tmp_path, refused, folder, data):
    held, line = tmp_path / "out", TOLD["--out of a process at work"]
    with only_writer(held):
        words = "--ratings", "r.jsonl", "--resamples", 9, "--out", "out"
        assert refused("analyze.py", *words) == f"error: {line}"
        assert refused("train.py", *train_flags(folder, data, "out")) == f"error: {line}"
    assert not held.exists()  # nothing was written


def test_two_processes_cannot_write_one_file_whole(tmp_path):
    """The second is refused, and leaves the first's half alone."""
    path = tmp_path / "o.json"
    with whole_file(path) as partial:
        partial.write_text("mine")
        with pytest.raises(OSError, match="another process is writing here"):
            write_text("theirs", path)
    assert path.read_text() == "mine" and os.listdir(tmp_path) == ["o.json"]


def test_weights_can_be_read_by_whoever_reads_the_files_beside_them(tmp_path):
    """safetensors writes 0600: a server under another user could not load an adapter."""
    before = os.umask(0o027)
    try:
        write_whole({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o640


def safetensors(header: dict, size: int | None = None) -> bytes:
    """A file of eight bytes of numbers; its header is told to be `size` bytes long."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + bytes(8)


def tensor(start: int, end: int, shape: tuple = (1,)) -> dict:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


LIES = {
    "a header of 2^60 bytes": safetensors({"a": tensor(0, 4), "b": tensor(4, 8)}, 2**60),
    "tensors that overlap": safetensors({"a": tensor(0, 4), "b": tensor(0, 8, (2,))}),
    "an offset below 0": safetensors({"a": tensor(-4, 0), "b": tensor(0, 8, (2,))}),
    "an offset beyond the end": safetensors({"a": tensor(0, 2**50, (2**48,))}),
    "a shape of 2^120": safetensors({"a": tensor(0, 8, (2**60, 2**60))}),
    "bytes of no tensor": safetensors({"a": tensor(0, 4)}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(tmp_path, lie):
    (tmp_path / "w.safetensors").write_bytes(LIES[lie])
    with pytest.raises(InputError, match="w.safetensors: not a whole safetensors file"):
        read_tensors(tmp_path / "w.safetensors")


def test_a_model_of_1e9_layers_takes_no_memory(folder, tmp_path):
    """A hang of minutes and gigabytes before; 1e9 wide was refused by its shapes."""
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    for name in ("num_hidden_layers", "hidden_size"):
        (tmp_path / "config.json").unlink()
        (tmp_path / "config.json").write_text(json.dumps(CONFIG | {name: 10**9}))
        with pytest.raises(InputError, match=f'"{name}" is 1000000000, out of range'):
            load_model(tmp_path)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ('{"id": NaN, "x": [-Infinity, 1e400, -1e400, 1e300]}', [None, [None, None, None, 1e300]]),
        ('{"id": "a", "x": {"y": 1, "z": 2, "y": 3}}', '"y" is there twice'),
        ('{"id": "a", "id": "a", "x": 1}', '"id" is there twice'),
        ('{"id": ' + "[" * 100_000 + "1" + "]" * 100_000 + "}", "nested too deep"),
    ],
)
def test_what_is_no_strict_json(tmp_path, line, read):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{line}\n")
    if isinstance(read, str):
        with pytest.raises(InputError) as raised:
            list(read_jsonl(path))
        assert str(raised.value) == f"{path}:1: {read}"
    else:
        assert [list(record.values()) for record in read_jsonl(path)] == [read]


def test_fields_of_another_type_are_refused(study, tmp_path):
    _, (session, *_) = make_study(4)
    session["turns"][0]["out_of_form"] = "text"
    with pytest.raises(ValueError, match='"out_of_form" is str, not int'):
        check_session(session)
    failed = dict(session["turns"][0]) | {"status": "error", "answer": None, "out_of_form": 0}
    whole = failed | {"status": "ok", "answer": "And now?"}
    check_session(session | {"turns": [whole, failed]})
    with pytest.raises(ValueError, match='turn 2 is "error", and only the last turn'):
        check_session(session | {"turns": [whole, failed, whole]})
    rating = next(read_jsonl(tmp_path / "r.jsonl")) | {"replicate": True}
    with pytest.raises(ValueError, match='"replicate" is bool, not int'):
        check_rating(rating)
    for models in (["x"], {"client": 3}, 7):
        with pytest.raises(InputError, match="a was made with models"):
            check_made_with("s.jsonl", {"id": "a", "models": models}, {"models": {"client": "m"}})


def test_a_record_is_on_the_disk_before_the_next_is_begun(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def seen(handle: int) -> None:
        fsync(handle)
        synced.append((tmp_path / "a.jsonl").read_text().count("\n"))

    monkeypatch.setattr(os, "fsync", seen)
    with Store(tmp_path / "a.jsonl", lambda record: None) as store:
        for number in range(3):
            store.append({"id": number})
    assert synced == [1, 2, 3]


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path):
    class Full(FileIO):
        def write(self, data) -> int:
            if len(data) < 6:
                raise OSError(28, "No space left on device")
            return super().write(data[:3])

    (tmp_path / "a").write_bytes(b"one\n")
    with Full(tmp_path / "a", "ab") as file, pytest.raises(OSError, match="No space left"):
        append_whole(file, b"second\n", sync=False)
    assert (tmp_path / "a").read_bytes() == b"one\n"


def test_a_question_of_four_words_that_stands_in_both_answers_is_an_echo():
    """Three words may well be said again."""
    for words, echo in (("I sleep badly", False), ("I sleep so badly", True)):
        row = {"prompt": words, "chosen": f"{words}. Why?", "rejected": f"{words}: drink less."}
        if echo:
            with pytest.raises(ValueError, match="what was asked stands in the answer again"):
                read_row(row)
        else:
            (read,) = read_row(row)
            assert read.answers["chosen"] == "I sleep badly. Why?"


def test_words_of_models_and_files_cannot_steer_a_terminal(capsys):
    """Neither on stdout nor on stderr; tabs, lines and a bar's return stay."""

    def main() -> None:
        print("therapist: a\x1b[2J\x1b]0;b\x07\x9b1m\tc\r\n")
        raise InputError("\x1b[8mhidden\x7f")

    with pytest.raises(SystemExit):
        run_script(main)
    out, err = capsys.readouterr()
    assert out == "therapist: a\ufffd[2J\ufffd]0;b\ufffd\ufffd1m\tc\r\n\n"
    assert err == "error: \ufffd[8mhidden\ufffd\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError("Unable to allocate 9 PiB"), "Unable to allocate 9 PiB"),
        (RuntimeError("CPU: can't allocate memory: 9\nat x.cpp"), "CPU: can't allocate memory: 9"),
        (torch.OutOfMemoryError("CUDA: Tried to allocate 9"), "CUDA: Tried to allocate 9"),
    ],
)
def test_without_memory_for_it_there_is_one_line(capsys, error, line):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        run_script(main)
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: not enough memory: {line}\n"


def test_a_rate_or_a_seed_that_torch_cannot_hold(folder, tmp_path, data, refused):
    for flag, said in (("lr", "1e38 is not between 0 and 1e30"), ("seed", "of 64 bits")):
        words = train_flags(folder, data, "out", **{flag: "1e38" if flag == "lr" else 2**63})
        assert said in refused("train.py", *words)
    assert not (tmp_path / "out").exists()


def test_a_gradient_of_nan_leaves_the_saved_state(folder, tmp_path, data, refused, monkeypatch):
    """At step 3: the state of step 2 and its log stay, and what goes on from them is trained."""
    words = train_flags(folder, data, "out", save_every=2, epochs=2)
    update = TrainState.update

    def spoiled(self, lr: float) -> float:
        if self.step == 2:
            next(iter(self.parameters.values())).grad.fill_(torch.nan)
        return update(self, lr)

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "update", spoiled)
        patch.setattr("tqdm.tqdm.display", lambda *_, **__: None)  # one line on stderr
        assert "step 3: the gradient is nan" in refused("train.py", *words)
    assert sorted(os.listdir(tmp_path / "out")) == ["log.jsonl", "state.safetensors", "targets.txt"]
    assert len((tmp_path / "out/log.jsonl").read_text().splitlines()) == 3
