"""Other systems than this one: without fcntl and resource (Windows), memory in bytes (macOS), and a
device that has PyTorch's public operators alone (mps)."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from act import files
from act.files import only_writer, whole_file, write_text
from act.records import InputError, Store
from act.training import run_log
from act.training.run_log import peak_memory_gib
from tests.conftest import ROOT
from tests.test_house import SCRIPTS

WITHOUT = "import sys; sys.modules.update(fcntl=None, resource=None)\n"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_starts_without_fcntl_and_resource(script, tmp_path):
    program = (
        f"{WITHOUT}import runpy; runpy.run_path({str(ROOT / script) + '.py'!r}, None, '__main__')"
    )
    command = [sys.executable, "-c", program, "--help"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)


def test_without_fcntl_a_lock_file_holds_a_store_a_file_and_a_folder(windows, tmp_path):
    """Who comes second is told which file to remove, should a death have left it; nothing of it is
    left behind the first."""
    path = tmp_path / "s.jsonl"
    with Store(path, lambda record: None) as store:
        store.append({"id": "a"})
        said = r"another process is writing here.*or remove s.jsonl.lock"
        with pytest.raises(InputError, match=said):
            Store(path, lambda record: None)
    with Store(path, lambda record: None) as store:
        assert list(store.keys) == ["a"]
    with Store(tmp_path / "empty.jsonl", lambda record: None):
        pass
    with whole_file(tmp_path / "t.txt") as partial:
        with pytest.raises(OSError, match="another process is writing here"):
            write_text("theirs", tmp_path / "t.txt")
        partial.write_text("ours")
    with pytest.raises(ValueError), whole_file(tmp_path / "u.txt"):
        raise ValueError
    with only_writer(tmp_path / "out"):
        with pytest.raises(OSError, match="or remove out.lock"), only_writer(tmp_path / "out"):
            pass
        (tmp_path / "out/log.jsonl").write_text("")
    assert (tmp_path / "t.txt").read_text() == "ours"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s.jsonl", "t.txt"]


def test_memory_is_bytes_on_macos_and_kib_on_linux(monkeypatch):
    """3 GiB each."""
    for system, told in (("darwin", 3 * 2**30), ("linux", 3 * 2**20)):
        used = SimpleNamespace(getrusage=lambda _, told=told: SimpleNamespace(ru_maxrss=told))
        monkeypatch.setattr(run_log, "resource", SimpleNamespace(RUSAGE_SELF=0, **vars(used)))
        monkeypatch.setattr(run_log.sys, "platform", system)
        assert peak_memory_gib("mps") == 3
    monkeypatch.setattr(run_log, "resource", None)
    assert peak_memory_gib("cpu") == 0
