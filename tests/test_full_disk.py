"""Full disks and damaged files (TRAPS 29, 36): one line, status 2, nothing half written, nothing
lost, and the same command goes on where there is room again.

docs/inputs.md, "Damage and full disks", holds the lines that are expected here.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from act.cli import run_script
from act.dialogue.profiles import make_profiles
from act.dialogue.wire import Fault, read_answer
from act.files import whole_file, write_text
from act.model.weights import sampled_sha256
from tests.conftest import ROOT
from tests.inputs import told
from tests.made_study import make_study
from tests.tiny import pair_row, run_in_process, status_of, train_flags, write_rows

TOLD = told("Damage and full disks")
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory) -> Path:
    """Sessions, two raters' ratings, profiles and training data, and a model beside them."""
    place = tmp_path_factory.mktemp("study")
    ratings, sessions = make_study(4)
    write_rows(place / "s.jsonl", sessions)
    write_rows(place / "r.jsonl", ratings)
    write_rows(place / "h.jsonl", [rating | {"rater": "a person"} for rating in ratings])
    write_rows(place / "p.jsonl", make_profiles(2, 0))
    rows = [pair_row(turn, session) for session in range(3) for turn in (1, 2)]
    write_rows(place / "d.jsonl", rows)
    (place / "model").symlink_to(folder)
    return place


TALK = "--max-new-tokens 60 --client-max-new-tokens 60 --format enforce --turns 2 --batch 1"
TRAIN = "train.py --resume --method orpo --model model --data d.jsonl --batch 2"
TRAIN += " --held-out-sessions 1 --out out/a"
JUDGE_ALL = "judge.py check --short --judge model"
COMMANDS = {  # given -> (the command, a limit of bytes that its first long write exceeds)
    "profiles": ("generate.py profiles --n 30 --out out/o.jsonl", 9000),
    "synthetic sessions": (
        f"generate.py sessions --profiles p.jsonl --therapist model --client model {TALK}"
        " --out out/o.jsonl",
        1500,
    ),
    "preference pairs": (
        "generate.py pairs --sessions s.jsonl --chosen transcript --rejected model --turns 1"
        " --max-new-tokens 20 --batch 1 --out out/o.jsonl",
        9000,
    ),
    "the log of a training": (f"{TRAIN} --lora-rank 2", 500),
    "a training's state": (f"{TRAIN} --lora-rank 2", 3000),
    "a training's model": (f"{TRAIN} --lora-rank 0", 3_200_000),
    "the study's sessions": (
        f"simulate.py --model model --profiles p.jsonl --client model {TALK}"
        " --conditions instruct --out out/o.jsonl",
        1500,
    ),
    "ratings": ("judge.py rate --sessions s.jsonl --judge model --out out/o.jsonl", 3000),
    "a judge's check": (f"{JUDGE_ALL} --out out/o.json", 400),
    "a table of agreement": (
        "judge.py agree --human h.jsonl --judge r.jsonl --resamples 20 --out out/o.json",
        9000,
    ),
    "a rating page": ("judge.py page --sessions s.jsonl --out out/o.html", 9000),
    "examples for a judge": (
        "judge.py tune-data --sessions s.jsonl --human h.jsonl --out out/o.jsonl",
        9000,
    ),
    "preferences": (
        "judge.py prefer --model model --conditions instruct --max-new-tokens 32 --out out/o.jsonl",
        9000,
    ),
    "the analysis": ("analyze.py --ratings r.jsonl --resamples 20 --out out/a", 9000),
    "the report": ("analyze.py --ratings r.jsonl --resamples 20 --out out/a", 500_000),
    "a figure": ("analyze.py --ratings r.jsonl --resamples 20 --figures png --out out/a", 500_000),
}


def run_in(place: Path, command: str, limit: int | None = None) -> tuple[int, str]:
    """(exit status, what is said after "error: " and the folders) of a command of whose files
    none may be larger than `limit` bytes."""
    words = [sys.executable, str(ROOT / command.split()[0]), *command.split()[1:]]
    cap = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)) if limit else None
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told_to = {"cwd": place, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(words, **told_to, preexec_fn=cap, timeout=600)
    assert "Traceback" not in done.stderr and done.stderr.count("error: ") <= 1, done.stderr
    return done.returncode, done.stderr.rpartition("error: ")[2].strip().removeprefix("out/")


def written(place: Path) -> dict[str, bytes]:
    """Every file under out/, each of them whole; the journal alone is named .part."""
    files = {}
    for path in sorted(place.glob("out/**/*")):
        if path.is_file():
            files[path.name] = content = path.read_bytes()
            assert ".part" not in path.name or path.name == "o.jsonl.part", path
            if path.suffix in (".jsonl", ".part"):
                assert not content or content.endswith(b"\n"), path
                assert all(map(json.loads, content.splitlines())), path
            elif path.suffix == ".json":
                json.loads(content)
            elif path.suffix == ".safetensors":
                load_file(path)
            elif path.suffix == ".html":
                assert content.rstrip().endswith(b"</html>"), path
    return files


@pytest.mark.slow
@pytest.mark.parametrize("given", COMMANDS)
def test_trap_36_every_write_of_every_script_fails_in_one_line(study, tmp_path, given):
    """A limit on the size of files stands for the disk. The command goes on where it is lifted,
    and keeps what was there."""
    for name in ("s.jsonl", "r.jsonl", "h.jsonl", "p.jsonl", "d.jsonl", "model"):
        (tmp_path / name).symlink_to((study / name).resolve())
    command, limit = COMMANDS[given]
    status, said = run_in(tmp_path, command, limit)
    line = said.rpartition("/")[2]
    assert (status, line) == (2, TOLD[given].replace("No space left on device", "File too large"))
    left = written(tmp_path)
    assert run_in(tmp_path, command)[0] == 0
    after = written(tmp_path)
    for name, content in left.items():
        if name.endswith(".jsonl") and name != "log.jsonl":
            assert after[name].startswith(content), name
    assert {name.removesuffix(".part") for name in left} <= {*after, "state.safetensors"}
    assert not [name for name in after if name.endswith(".part")]


def test_trap_36_a_full_disk(tmp_path, study):
    """Real ENOSPC, on a file system of 8 KiB: the state of a training, by way of a library."""
    disk = tmp_path / "out"
    disk.mkdir()
    for name in ("d.jsonl", "model"):
        (tmp_path / name).symlink_to((study / name).resolve())
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        command = COMMANDS["a training's state"][0]
        said = TOLD["a training's state"]
        assert run_in(tmp_path, command) == (2, f"a/{said}")
        assert set(written(tmp_path)) == {"log.jsonl", "targets.txt"}
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        assert run_in(tmp_path, command)[0] == 0
        assert "adapter_model.safetensors" in written(tmp_path)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("streams", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("n", [0, 3])
def test_trap_36_what_is_printed_onto_a_full_disk(tmp_path, streams, n):
    """/dev/full has no room. Without an error (n = 3) stderr gets nothing that could fail."""
    command = [sys.executable, str(ROOT / "generate.py"), "profiles", "--n", str(n), "--out", "p"]
    with open("/dev/full", "w") as full:
        out, err = (full if streams in (name, "both") else None for name in ("stdout", "stderr"))
        pipe = subprocess.PIPE
        done = subprocess.run(
            command, cwd=tmp_path, stdout=out or pipe, stderr=err or pipe, text=True
        )
    assert done.returncode == (0 if n and streams == "stderr" else 2)
    if streams == "stdout" and n:
        assert done.stderr == f"error: {TOLD['a line of output']}\n"


def test_trap_36_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep/report.json"
    write_text("old", path)
    with pytest.raises(OSError, match="report.json") as raised, whole_file(path) as partial:
        partial.write_text("half")
        raise OSError(28, "No space left on device")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old" and os.listdir(path.parent) == ["report.json"]
    link = tmp_path / "link"
    link.symlink_to(path)
    write_text("new", link)
    assert link.is_symlink() and path.read_text() == "new"
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        write_text("x", out)
    said = f"{raised.value.filename}: {raised.value.strerror}"
    assert said == f"{tmp_path}/{TOLD['--out that is a folder']}"


@pytest.mark.parametrize("rank", [0, 2])
def test_trap_29_a_folder_with_weights_is_not_trained_into(
    folder, tmp_path, data, refused, rank, monkeypatch
):
    """Also where --out is --model under another name, or holds a shard alone."""
    words = {"lora_rank": rank}
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    (tmp_path / "same").symlink_to(model)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    for out in (model, tmp_path / "same"):
        for more in ([], ["--resume"]):
            line = refused("train.py", *train_flags(model, data, out, **words), *more)
            assert line == f"error: {out.parent}/{TOLD['--out that is --model']}".replace(
                "model:", f"{out.name}:"
            )
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    shards = tmp_path / "shards"
    shards.mkdir()
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "x.bin"):
        (shards / name).write_text("")
        line = refused("train.py", *train_flags(model, data, shards, **words), "--resume")
        assert line.endswith(TOLD["--out with shards"].replace("x.safetensors", name)), line
        (shards / name).unlink()
    assert os.listdir(shards) == []


def test_trap_29_what_was_trained_is_what_is_read_back(folder, tmp_path, data, monkeypatch):
    """The whole model's checksum is of what load_model reads: neither a state file beside it nor
    another file of weights changes it, and a shard does."""
    out = tmp_path / "out"
    run_in_process(monkeypatch, *train_flags(folder, data, out, lora_rank=0))
    trained = sampled_sha256(out)
    assert trained != sampled_sha256(folder)
    for name in ("state.safetensors", "consolidated.safetensors"):
        (out / name).write_bytes(b"x")
    assert sampled_sha256(out) == trained
    for name in ("generation_config.json", "chat_template.jinja"):
        (out / name).write_text("{}")
        assert sampled_sha256(out) != trained
        (out / name).unlink()
    # the same in two shards: an index, and what it names
    tensors = load_file(out / "model.safetensors")
    (out / "model.safetensors").unlink()
    save_file(tensors, out / "one.safetensors")
    index = out / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors, "one.safetensors")}))
    sharded = sampled_sha256(out)
    (out / "two.safetensors").write_bytes(b"x")
    assert sampled_sha256(out) == sharded != trained
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, out / "one.safetensors")
    assert sampled_sha256(out) != sharded


def damaged(folder: Path, place: Path, **changes) -> Path:
    """A copy of a model's folder in which a first value of these tensors is another."""
    copy = Path(shutil.copytree(folder, place))
    tensors = load_file(copy / "model.safetensors")
    for name, value in changes.items():
        tensors[name.replace("__", ".")].view(-1)[0] = value
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    return copy


def test_a_byte_order_mark_in_any_json_is_no_fault(folder, tmp_path, data, monkeypatch):
    model = damaged(folder, tmp_path / "model")
    config = model / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert TOLD["config.json with a byte-order mark"] == "read: as without it"
    run_in_process(monkeypatch, *train_flags(model, data, tmp_path / "out"))
    assert (tmp_path / "out/adapter_model.safetensors").is_file()


def test_json_of_any_depth_is_one_line(folder, tmp_path, data, refused):
    model = damaged(folder, tmp_path / "model")
    (model / "config.json").write_text(DEEP)
    line = refused("train.py", *train_flags(model, data, tmp_path / "out"))
    assert line == f"error: {model}/{TOLD['config.json of 100,000 brackets']}"

    with pytest.raises(Fault, match="no chat completion"):
        read_answer(200, {}, DEEP.encode(), 0)


def state_of(monkeypatch, folder: Path, data: Path, out: Path) -> list:
    """The flags of a run that ended before its adapter was written."""
    words = train_flags(folder, data, out, save_every=1)
    with monkeypatch.context() as patch:
        patch.setattr("train.save_adapter", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert status_of(patch, *words) == 130
    return [*words, "--resume"]


@pytest.mark.parametrize(
    "given",
    [
        "a state file without metadata",
        "a state file of another kind",
        "a state file of brackets",
        "a state file of another shape",
        "a state file that lacks a tensor",
    ],
)
def test_a_damaged_state_file_is_one_line(folder, tmp_path, data, monkeypatch, refused, given):
    words = state_of(monkeypatch, folder, data, tmp_path / "out")
    path = tmp_path / "out/state.safetensors"
    tensors = load_file(path)
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    about, name = header["__metadata__"], "exp_avg.model.layers.0.mlp.up_proj.lora_A"
    match given.rpartition(" ")[2]:
        case "metadata":
            about = None
        case "kind":
            about = {"format": "pt"}
        case "brackets":
            about["run"] = DEEP
        case "shape":
            tensors[name] = torch.zeros(3, 3)
        case "tensor":
            del tensors[name]
    save_file(tensors, path, about)
    assert refused("train.py", *words) == f"error: {path.parent}/{TOLD[given]}"


def test_a_damaged_log_is_cut_off_where_the_damage_begins(folder, tmp_path, data, monkeypatch):
    words = state_of(monkeypatch, folder, data, tmp_path / "out")
    log = tmp_path / "out/log.jsonl"
    first, rest = log.read_bytes().split(b"\n", 1)
    for line in (b"[]", b'{"step": "1"}', b"{}", b"\0" * 9, DEEP.encode()):
        log.write_bytes(first + b"\n" + line + b"\n" + rest)
        state = (tmp_path / "out/state.safetensors").read_bytes()
        run_in_process(monkeypatch, *words)
        assert log.read_bytes().startswith(first + b"\n") and line not in log.read_bytes()
        (tmp_path / "out/adapter_model.safetensors").unlink()
        (tmp_path / "out/state.safetensors").write_bytes(state)


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """said(words...) runs a script in this process, asserts exit status 2, and returns the last
    line, behind those of the progress."""

    def run(*words: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as stop:
            run_script(import_module(str(words[0]).removesuffix(".py")).main)
        told_all = capsys.readouterr().err
        assert stop.value.code == 2 and told_all.count("error: ") == 1, told_all
        return told_all.strip().splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ("rank", "held_out", "value"), [(0, 0, "nan"), (2, 0, "inf"), (0, 1, "inf"), (2, 1, "nan")]
)
def test_weights_that_are_no_numbers_are_named(folder, tmp_path, data, said, rank, held_out, value):
    """Before the first step where there is held-out data, else at it; nothing is left to resume."""
    value = float(value)
    model = damaged(folder, tmp_path / "model", model__layers__1__mlp__up_proj__weight=value)
    words = train_flags(model, data, tmp_path / "out", lora_rank=rank, held_out_sessions=held_out)
    line = said("train.py", *words)
    assert line == f"error: {tmp_path}/{TOLD['NaN in a base model, trained on']}"
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_learning_rate_that_is_too_high_is_still_that(folder, tmp_path, data, said):
    words = train_flags(folder, data, tmp_path / "out", lr=1e30)
    assert said("train.py", *words) == f"error: {TOLD['--lr 1e30']}"


SPEAK = "--client model --turns 1 --max-new-tokens 4 --client-max-new-tokens 4 --out o.jsonl"


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (f"simulate.py --model model --profiles p --conditions instruct {SPEAK}", "talked to"),
        (f"generate.py sessions --therapist model --profiles p {SPEAK}", "talked to"),
        ("judge.py rate --sessions s --judge model --out o.jsonl", "as a judge"),
        (
            "judge.py prefer --pairs pairs --model model --conditions instruct-cot --out o.jsonl",
            "as a judge",
        ),
    ],
)
def test_a_model_of_nan_says_nothing(folder, tmp_path, said, command, given):
    """No token is drawn from NaN, and no digit rated."""
    model = damaged(folder, tmp_path / "model", model__norm__weight=float("nan"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
    write_rows(tmp_path / "p", make_profiles(1, 0))
    write_rows(tmp_path / "s", make_study(1)[1][:1])
    pair = {"id": "p1", "client": "I never sleep.", "shows": "That hurts.", "lacks": "Cheer up."}
    write_rows(tmp_path / "pairs", [pair])
    line = said(*command.split())
    assert line.endswith(TOLD[f"NaN in a base model, {given}"]), line
    assert not (tmp_path / "o.jsonl").exists()


def test_an_adapter_of_nan_is_refused_when_it_is_read(folder, tmp_path, data, monkeypatch, refused):
    adapters = tmp_path / "adapters"
    run_in_process(monkeypatch, *train_flags(folder, data, adapters / "orpo"))
    path = adapters / "orpo/adapter_model.safetensors"
    tensors = load_file(path)
    tensors["base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"][1, 2] = torch.nan
    save_file(tensors, path)
    words = ["judge.py", "prefer", "--model", folder, "--adapters", adapters, "--out", "o.jsonl"]
    words += ["--max-new-tokens", 32]
    line = refused(*words, "--conditions", "orpo")
    assert line == f"error: {adapters}/{TOLD['NaN in an adapter']}"


def test_an_output_that_is_an_input_is_refused(study, tmp_path, refused):
    for name in ("s.jsonl", "r.jsonl", "h.jsonl"):
        shutil.copy(study / name, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    line = refused("judge.py", "page", "--sessions", "s.jsonl", "--out", "./s.jsonl")
    assert line == f"error: {TOLD['--out that is an input']}"
    (tmp_path / "scores.csv").write_text("x")
    shutil.copy(tmp_path / "r.jsonl", tmp_path / "means.csv")
    words = ("--ratings", "means.csv", "--out", ".", "--resamples", 9)
    assert refused("analyze.py", *words) == f"error: {TOLD['a table that is an input']}"
    assert (tmp_path / "means.csv").read_bytes() == before[tmp_path / "r.jsonl"]
    assert all(path.read_bytes() == content for path, content in before.items())
