"""An adapter merged into its base, and one trained on top of it; adapters on a base of others."""

import json
import shutil
from functools import partial
from weakref import WeakSet

import pytest
import torch
from torch import nn

from act.cli import warn
from act.dialogue import local
from act.dialogue.local import LocalChat, load_base
from act.forms import FORMS
from act.judging.judge import LocalJudge
from act.model.adapter import load_adapter, save_adapter, warn_trained_otherwise
from act.model.checkpoint import load_model
from act.model.lora import attach, detach, lora_layers, merge, trainable
from act.model.sampler import Sampling
from act.model.spec import split_spec
from act.model.tokenizer import ChatTokenizer
from act.model.weights import sampled_sha256
from act.records import InputError
from tests.inputs import told
from tests.tiny import log_of, run_in_process, status_of, tiny_llama, train_flags, with_adapter

TOLD = told("Models and adapters")
METRICS = ("nll", "chosen_logp", "rejected_logp", "margin", "accuracy")


def outputs(model) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model(torch.arange(9)[None]))


def random_adapter(model, rank: int, alpha: int, projections: tuple[str, ...]) -> None:
    attach(model, rank, alpha, projections)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_B, std=0.1)


def test_merged_weights_are_w_plus_s_b_a():
    """alpha 8, r 4: s = 2; and the base's own weights are another tensor, left as they were."""
    model, base = with_adapter(), tiny_llama()
    layer, before = model.model.layers[1].mlp.up_proj, base.model.layers[1].mlp.up_proj.weight
    A, B, worn = layer.lora_A.clone(), layer.lora_B.clone(), outputs(model)
    shared = layer.weight
    merge(model)
    torch.testing.assert_close(layer.weight, before + 2 * B @ A, rtol=0, atol=1e-6)
    assert torch.equal(shared, before) and not lora_layers(model)
    torch.testing.assert_close(outputs(model), worn, rtol=0, atol=1e-5)


def test_an_adapter_stays_under_another():
    """Equation 3 twice, W + 2 B0 A0 + 4 B A; a layer that the first left alone has the second
    alone. Only the second is trained."""
    model = tiny_llama()
    random_adapter(model, 3, 6, ("q_proj",))
    attn, x = model.model.layers[0].self_attn, torch.randn(5, 16)
    A0, B0 = attn.q_proj.lora_A.detach(), attn.q_proj.lora_B.detach()
    random_adapter(model, 2, 8, ("q_proj", "k_proj"))
    for layer, first in ((attn.q_proj, 2 * B0 @ A0), (attn.k_proj, 0)):
        whole = layer.weight + first + 4 * layer.lora_B @ layer.lora_A
        torch.testing.assert_close(layer(x), x @ whole.T, rtol=0, atol=1e-5)
    assert trainable(model) == 2 * 2 * (16 + 16 + 16 + 8)  # two layers, rank 2: q and k
    detach(model)
    assert torch.equal(outputs(model), outputs(tiny_llama()))


def test_two_adapters_are_merged_as_they_are_worn():
    """The second on all projections, the first on some."""
    model = tiny_llama()
    random_adapter(model, 3, 6, ("q_proj", "down_proj"))
    random_adapter(model, 2, 8, ("q_proj", "v_proj", "down_proj"))
    worn = outputs(model)
    merge(model)
    assert not lora_layers(model)
    torch.testing.assert_close(outputs(model), worn, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("first", [("q_proj", "down_proj"), ("v_proj",)])
def test_two_adapters_are_written_as_one(tmp_path, first, dtype):
    """The second on all projections, the first on some, other ranks and scales: on the bare base
    the file gives what both gave one upon the other, whatever the weights are. In bfloat16 both are
    as far from float32's numbers as the bare base, 0.4%."""
    model = tiny_llama().to(dtype)
    random_adapter(model, 3, 6, first)
    random_adapter(model, 2, 8, ("q_proj", "v_proj", "down_proj"))
    save_adapter(model, tmp_path, "base", 2, 8)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (5, 5)
    again, exact = tiny_llama().to(dtype), tiny_llama().to(dtype).float()
    bare, close = outputs(again), {torch.float32: 1e-6, torch.bfloat16: 6e-3}[dtype]
    for other in (again, exact):
        load_adapter(other, tmp_path)
    truth = outputs(exact)
    assert (bare - truth).norm() > 0.1 * truth.norm()
    for found in (outputs(model), outputs(again)):
        assert (found - truth).norm() <= close * truth.norm()


def test_a_small_adapter_is_not_rounded_away_under_another(tmp_path):
    """In bfloat16 W + 2e-3 is W for most of W: what is worn under a new adapter stays all there."""
    model = tiny_llama().bfloat16()
    random_adapter(model, 3, 6, ("q_proj",))
    layer = model.model.layers[0].self_attn.q_proj
    nn.init.normal_(layer.lora_B, std=1e-3)
    delta = layer.scale * layer.lora_B @ layer.lora_A
    rounded = (layer.weight + delta).bfloat16() - layer.weight
    assert (rounded - delta).norm() > 0.1 * delta.norm()  # what merging would lose
    attach(model, 2, 8)
    A, B = layer.below
    torch.testing.assert_close(B @ A, delta)


def test_orpo_on_top_of_sft(folder, data, tmp_path, monkeypatch):
    """ORPO begins where SFT has ended, and its adapter on the bare folder is where it ends."""
    flags = {"held_out_sessions": 1, "epochs": 2}
    sft = train_flags(folder, data, tmp_path / "sft", method="sft", **flags)
    run_in_process(monkeypatch, *sft)
    both = f"{folder}+{tmp_path / 'sft'}"
    orpo = train_flags(both, data, tmp_path / "orpo", **flags)
    run_in_process(monkeypatch, *orpo)
    ended = log_of(tmp_path / "sft")[-1]
    began, *_, learned = log_of(tmp_path / "orpo")
    for name in METRICS:
        assert began[name] == pytest.approx(ended[name], abs=1e-5)
    assert learned["margin"] > began["margin"] + 0.01
    # what is written needs no SFT adapter: an untrained step on top measures the same
    flags["lr"] = 0
    on = f"{folder}+{tmp_path / 'orpo'}"
    run_in_process(monkeypatch, *train_flags(on, data, tmp_path / "again", **flags))
    for name in METRICS:
        assert log_of(tmp_path / "again")[0][name] == pytest.approx(learned[name], abs=1e-5)
    report = json.loads((tmp_path / "orpo/adapter_config.json").read_text())
    assert report["r"] == 4 and report["base_model_name_or_path"] == str(folder)


def test_another_adapter_under_the_same_name_is_not_gone_on_with(
    folder, data, tmp_path, monkeypatch, capsys
):
    for name, seed in (("first", 1), ("second", 2)):
        run_in_process(
            monkeypatch, *train_flags(folder, data, tmp_path / name, method="sft", seed=seed)
        )
    words = train_flags(f"{folder}+{tmp_path / 'first'}", data, tmp_path / "orpo")
    run_in_process(monkeypatch, *words)
    shutil.rmtree(tmp_path / "first")
    (tmp_path / "second").rename(tmp_path / "first")
    assert status_of(monkeypatch, *words, "--resume") == 2
    assert "was made with merged_sha256" in capsys.readouterr().err


def test_the_whole_model_goes_on_from_an_adapter(folder, data, tmp_path, monkeypatch):
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "sft", method="sft"))
    both = f"{folder}+{tmp_path / 'sft'}"
    words = train_flags(both, data, tmp_path / "whole", lora_rank=0, lr=0)
    run_in_process(monkeypatch, *words)
    torch.testing.assert_close(
        outputs(load_model(tmp_path / "whole")), outputs(load_model(both)), rtol=0, atol=1e-5
    )


def test_an_adapter_on_another_base_is_warned_of(folder, data, tmp_path, monkeypatch, capsys):
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "sft", method="sft"))
    capsys.readouterr()
    how = tmp_path / "sft", ChatTokenizer(folder)
    warn_trained_otherwise(folder, *how)
    assert not capsys.readouterr().err
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rope_theta": 5000.0}))
    warn_trained_otherwise(other, *how)
    said = capsys.readouterr().err.strip().replace(f"{folder})", "base)")
    assert said.replace(f"{tmp_path}/", "") == TOLD["an adapter on another base"]


def test_a_plus_may_be_in_either_name(tmp_path):
    for name in ("c++", "base", "a+b", "base+a"):
        (tmp_path / name).mkdir()
    for folder, adapter in [("c++", None), ("base", "a+b"), ("c++", "a+b"), ("base+a", "c++")]:
        spec = str(tmp_path / folder) + (f"+{tmp_path / adapter}" if adapter else "")
        assert split_spec(spec) == (tmp_path / folder, adapter and tmp_path / adapter)


@pytest.mark.parametrize("spec", [spec for spec in TOLD if spec.startswith("--model ")])
def test_a_folder_that_is_not_there(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    for name in ("base", "sft", "orpo"):
        (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "models/model.gguf").touch()
    (tmp_path / "sft").mkdir()
    (tmp_path / "orpo").mkdir()
    with pytest.raises(InputError) as refused:
        split_spec(spec.removeprefix("--model "))
    assert str(refused.value) == TOLD[spec]


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_beside_a_config_has_its_own_checksum(tmp_path, name):
    for file in ("config.json", "adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / file).write_text("{}")
    before = sampled_sha256(tmp_path)
    (tmp_path / name).write_text("{ }")
    assert sampled_sha256(tmp_path) != before


@pytest.mark.parametrize(
    "text", ['{"arguments": []}', '{"arguments": "lr"}', "{}", "[]", "lr: 1", "\xff", None]
)
def test_a_train_json_of_another_program_says_nothing(folder, tmp_path, capsys, text):
    """Not even where it is a folder (None)."""
    file = tmp_path / "train.json"
    file.mkdir() if text is None else file.write_text(text, encoding="latin-1")
    warn_trained_otherwise(folder, tmp_path, ChatTokenizer(folder))
    assert TOLD["train.json of another program"] == "read: passed over"
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("trained", "used", "given"),
    [
        ("chatml", None, "an adapter trained with --template chatml"),
        (None, "chatml", "an adapter trained without --template, used with chatml"),
        ("smollm2", None, None),  # the folder's own
        (None, "smollm2", None),
        ("chatml", "chatml", None),
    ],
)
def test_an_adapter_of_another_template_is_warned_of(
    folder, data, tmp_path, monkeypatch, capsys, trained, used, given
):
    """Wherever one is worn: by a therapist, a judge, and under another in train.py."""
    asked = ["--template", trained] if trained else []
    run_in_process(monkeypatch, *train_flags(folder, data, tmp_path / "sft"), *asked)
    spec = f"{folder}+{tmp_path / 'sft'}"
    words = train_flags(spec, data, tmp_path / "orpo")
    words += ["--template", used] if used else []
    for wear in (
        lambda: LocalChat.load(spec, Sampling(0.0, 1.0, 8), "cpu", used),
        lambda: LocalJudge(spec, FORMS, "refuse", "cpu", used),
        lambda: run_in_process(monkeypatch, *words),
    ):
        warn.cache_clear()
        capsys.readouterr()
        wear()
        lines = capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()
        said = [line for line in lines if "chat template" in line]
        assert said == ([TOLD[given]] if given else [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_therapist_wears_an_adapter_exactly_and_takes_it_off_to_the_bit(
    folder, tmp_path, monkeypatch, dtype
):
    """In float32 merged, within rounding; in bfloat16 beside the weights, which are too coarse for
    it. A second speaker on the same base sees none of it."""
    monkeypatch.setattr("act.dialogue.local.load_model", partial(load_model, dtype=dtype))
    load_base.cache_clear()
    torch.manual_seed(1)
    beside = load_model(folder, dtype=dtype)
    attach(beside, 2, 2)
    for layer in lora_layers(beside).values():
        nn.init.normal_(layer.lora_B, std=0.1 if dtype == torch.float32 else 2e-4)
    save_adapter(beside, tmp_path / "adapters/sft", str(folder), 2, 2)
    chat, other = (LocalChat.load(str(folder), Sampling(0.0, 1.0, 8), "cpu") for _ in range(2))
    bare = {name: tensor.clone() for name, tensor in chat.model.state_dict().items()}
    plain = outputs(chat.model)

    chat.play("sft", tmp_path / "adapters")
    worn, expected = outputs(chat.model), outputs(beside)
    assert torch.equal(outputs(other.model), plain) and not torch.equal(worn, plain)
    assert bool(lora_layers(chat.model)) == (dtype == torch.bfloat16)
    limit = 1e-5 if dtype == torch.float32 else 2**-7 * expected.abs().max()
    torch.testing.assert_close(worn, expected, rtol=0, atol=float(limit))
    assert {p.dtype for p in chat.model.parameters()} == {dtype}

    chat.play("instruct", tmp_path / "adapters")
    assert torch.equal(outputs(chat.model), plain)
    for name, tensor in chat.model.state_dict().items():
        assert torch.equal(tensor, bare[name]), name
        assert tensor.data_ptr() == other.model.state_dict()[name].data_ptr()  # no copy is left
    load_base.cache_clear()


def test_an_adapter_that_is_not_put_on_leaves_the_bare_model(folder, tmp_path, monkeypatch):
    """Ctrl-C while it is merged, behind one layer of them all."""
    chat = LocalChat.load(str(folder), Sampling(0.0, 1.0, 8), "cpu")
    plain, other = outputs(chat.model), load_model(folder)
    random_adapter(other, 2, 2, ("q_proj", "k_proj"))
    save_adapter(other, tmp_path, str(folder), 2, 2)

    def stopped(model):
        layer = next(iter(lora_layers(model).values()))
        layer.weight = nn.Parameter(layer.weight + 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "merge", stopped)
    with pytest.raises(KeyboardInterrupt):
        chat.wear(tmp_path)
    assert chat.name == str(folder) and chat.adapter is None
    assert torch.equal(outputs(chat.model), plain) and chat.sampler.model is chat.model


def test_two_speakers_share_what_memory_holds(folder, monkeypatch):
    """Of 100 tokens each takes 50, asked when the first speaks: both are loaded by then."""
    monkeypatch.setattr(local, "tokens_that_fit", lambda model: 100)
    monkeypatch.setattr(local, "SPEAKERS", WeakSet())
    greedy = Sampling(0.0, 1.0, 8)
    therapist, client = (LocalChat.load(str(folder), greedy, "cpu") for _ in range(2))
    therapist.start([])
    assert therapist.sampler.most == client.room == 50
    therapist.wear(None)
    therapist.start([])
    assert therapist.sampler.most == 50
