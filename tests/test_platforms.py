"""Other systems than this one: without fcntl and resource (Windows), memory in bytes (macOS), and a
device that has PyTorch's public operators alone (mps)."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from act import files
from act.dialogue.local import LocalChat, load_base
from act.files import only_writer, whole_file, write_text
from act.judging.prefer import measure, read_pairs
from act.model.prefix_tree import slot_probs
from act.model.sampler import Request, Sampler, Sampling
from act.records import InputError, Store
from act.training import run_log
from act.training.run_log import peak_memory_gib
from act.training.step import run_examples
from tests.conftest import ROOT
from tests.fake_mps import MPS, FakeMPS
from tests.replies import decode
from tests.test_house import SCRIPTS
from tests.test_prefer import ROWS
from tests.tiny import (
    drawn_pairs,
    gradients,
    log_of,
    objective,
    run_in_process,
    tiny_llama,
    train_flags,
    with_adapter,
    write_rows,
)

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


def test_without_fcntl_a_file_is_held_under_all_of_its_names(windows, tmp_path, monkeypatch):
    """A link's lock is that of its file; "." has no name beside which one could lie."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    Path("s.jsonl").write_text("")
    Path("link.jsonl").symlink_to("s.jsonl")
    with Store("s.jsonl", lambda record: None) as store:
        with pytest.raises(InputError, match=r"or remove s\.jsonl\.lock"):
            Store("link.jsonl", lambda record: None)
        store.append({"id": "a"})
    second = pytest.raises(OSError, match=r"or remove out\.lock")
    with only_writer(Path(".")), second, only_writer(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_memory_is_bytes_on_macos_and_kib_on_linux(monkeypatch):
    """3 GiB each."""
    for system, told in (("darwin", 3 * 2**30), ("linux", 3 * 2**20)):
        used = SimpleNamespace(getrusage=lambda _, told=told: SimpleNamespace(ru_maxrss=told))
        monkeypatch.setattr(run_log, "resource", SimpleNamespace(RUSAGE_SELF=0, **vars(used)))
        monkeypatch.setattr(run_log.sys, "platform", system)
        assert peak_memory_gib("mps") == 3
    monkeypatch.setattr(run_log, "resource", None)
    assert peak_memory_gib("cpu") == 0


def test_the_made_up_device_has_public_operators_and_no_float64():
    q = torch.ones(1, 1, 2, 8)
    with FakeMPS():
        assert torch.zeros(3, device="mps").device == q.device == MPS
        with pytest.raises(NotImplementedError, match="for the device mps"):
            torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, q, q)
        with pytest.raises(NotImplementedError, match="for the device mps"):
            torch.ops.mkldnn._linear_pointwise(q[0, 0], q[0, 0], None, "none", [], "")
        with pytest.raises(TypeError, match="float64"):
            q.double()


def test_a_step_on_mps_has_the_cpus_gradients():
    """Trees, the log-prob kernel, activations computed again."""
    model, examples = with_adapter(), drawn_pairs(6)

    def step():
        sums = run_examples(model, examples, objective(keep_tokens=8), backward=True)
        return sums["loss"], gradients(model)

    loss, expected = step()
    with FakeMPS():
        found_loss, found = step()
    assert found_loss == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_decoding_on_mps_says_what_the_cpu_says():
    """Ten conversations over a trunk of 80 tokens, drawn from a nucleus."""
    model = tiny_llama().requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    trunk = torch.randint(1, 97, (80,), generator=draw).tolist()
    requests = [Request(str(i), [*trunk, i + 1, 5], i) for i in range(10)]

    def replies():
        sampler = Sampler(model, [0], Sampling(0.8, 0.9, 20))
        return decode(sampler, requests), len(sampler.trunk)

    expected = replies()
    with FakeMPS():
        assert replies() == expected
    assert expected[1] == 80


def test_preferences_and_ratings_on_mps_are_the_cpus(folder, tokenizer, tmp_path):
    pairs = read_pairs(write_rows(tmp_path / "p.jsonl", ROWS))
    prompts = [tokenizer.encode(f"Rate {words}.") for words in ("this", "that, too")]

    def numbers(device):
        load_base.cache_clear()
        chat = LocalChat.load(str(folder), Sampling(0.0, 1.0, 32), device)
        probs = slot_probs(chat.model, tokenizer, prompts, [("0", "1", "2")] * 2)
        found = [*measure(chat, pairs, cot=False), *measure(chat, pairs, cot=True)]
        logps = [one[side]["logp"] for one in found for side in ("shows", "lacks")]
        return torch.cat([*probs, torch.tensor(logps)]), [one["thinking"] for one in found]

    expected, thinking = numbers("cpu")
    with FakeMPS():
        found, thought = numbers("mps")
    load_base.cache_clear()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert thought == thinking


def test_train_on_mps_ends_as_on_the_cpu(folder, data, tmp_path, monkeypatch):
    """The script, its state, its log and the adapter it writes."""
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "cpu"))
    with FakeMPS():
        run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "mps", device="mps"))
    losses = {}
    for device in ("cpu", "mps"):
        losses[device] = [line["loss"] for line in log_of(tmp_path / device) if "loss" in line]
    assert len(losses["cpu"]) == 3
    assert losses["mps"] == pytest.approx(losses["cpu"], rel=1e-5)
