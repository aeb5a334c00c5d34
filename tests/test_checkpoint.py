"""Weights in: every fault of a folder is one InputError that names the file and the tensor (TRAPS
13)."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from act.files import write_json
from act.model.adapter import load_adapter, save_adapter
from act.model.checkpoint import load_model, save_model
from act.model.embedded import halves_layout, hf_name
from act.model.lora import attach, detach, lora_layers
from act.model.spec import split_spec
from act.model.weights import sampled_sha256, write_whole
from act.records import InputError
from tests.inputs import told
from tests.test_llama import tiny_checkpoint

TOLD = told("Models and adapters")

NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path):
    tiny_checkpoint(tmp_path / "tiny", tied=False)
    return tmp_path / "tiny"


def damage(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(NAME), f"tensor {NAME} is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "tensor extra has no place"),
        (
            lambda t: t.update({NAME: torch.zeros(3, 5)}),
            rf"{NAME} has shape \(3, 5\), config.json says \(256, 96\)",
        ),
        (lambda t: t.update({NAME: t[NAME].to(torch.int32)}), f"{NAME} is torch.int32"),
    ],
)
def test_trap_13_a_wrong_tensor_is_named(folder, change, said):
    damage(folder, change)
    with pytest.raises(InputError, match=said):
        load_model(folder)


def test_trap_13_tensors_of_two_dtypes_are_refused(folder):
    """They would end in an error of the first product; a dtype asked for makes them one."""
    damage(folder, lambda t: t.update({NAME: t[NAME].to(torch.bfloat16)}))
    with pytest.raises(InputError, match="tiny: its tensors are bfloat16 and float32; .* --dtype"):
        load_model(folder)
    model = load_model(folder, dtype=torch.float32)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_trap_13_a_truncated_file_is_named(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="model.safetensors: not a whole safetensors file"):
        load_model(folder)


def test_trap_13_a_missing_shard_is_named(tmp_path):
    tiny_checkpoint(tmp_path, True, shard_size="100KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(InputError, match=f"{shard.name}: no such file"):
        load_model(tmp_path)


def test_trap_13_a_shard_that_lacks_its_tensor_is_named(tmp_path):
    tiny_checkpoint(tmp_path, True, shard_size="100KB")
    index = tmp_path / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    first, second = sorted(set(table["weight_map"].values()))[:2]
    moved = next(name for name, shard in table["weight_map"].items() if shard == first)
    table["weight_map"][moved] = second
    index.write_text(json.dumps(table))
    with pytest.raises(InputError, match=f"lacks {moved}"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "not valid JSON"),
        ('{"model_type": "llama"}', '"vocab_size" is missing'),
        ("[]", "not a JSON object"),
    ],
)
def test_a_broken_config_is_named(folder, config, said):
    (folder / "config.json").write_text(config)
    with pytest.raises(InputError, match=f"config.json: {said}"):
        load_model(folder)


def test_model_argument(tmp_path):
    for name in ("base", "adapter", "c++"):
        (tmp_path / name).mkdir()
    assert split_spec(tmp_path / "base") == (tmp_path / "base", None)
    assert split_spec(f"{tmp_path}/base+{tmp_path}/adapter") == (
        tmp_path / "base",
        tmp_path / "adapter",
    )
    assert split_spec(tmp_path / "c++") == (tmp_path / "c++", None)
    with pytest.raises(InputError, match="gone: no such folder"):
        split_spec(f"{tmp_path}/base+{tmp_path}/gone")


def random_adapter(model):
    attach(model, rank=4, alpha=8, projections=("q_proj", "down_proj"))
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)


def test_switching_adapters_leaves_no_trace(folder):
    model, ids = load_model(folder), torch.arange(20)[None]
    base = model(ids)
    random_adapter(model)
    adapted = model(ids)
    save_adapter(model, folder / "adapter", "base", 4, 8)
    assert not torch.equal(adapted, base)
    detach(model)
    assert torch.equal(model(ids), base)
    load_adapter(model, folder / "adapter")
    assert torch.equal(model(ids), adapted)
    assert torch.equal(load_model(f"{folder}+{folder}/adapter")(ids), adapted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        (
            {"init_lora_weights": "pissa"},
            "init_lora_weights = 'pissa'",
        ),  # PEFT takes these starts from the base model
        ({"init_lora_weights": "olora"}, "init_lora_weights = 'olora'"),
        ({"alora_invocation_tokens": [1, 2]}, r"alora_invocation_tokens = \[1, 2\]"),
        ({"layers_to_transform": 0}, "layers_to_transform = 0"),  # layer 0 alone
        ({"of_a_later_peft": 1}, "of_a_later_peft"),
        ({"target_modules": "all-linear"}, "target_modules"),
        ({"target_modules": ["q_proj"]}, "has no place in this model"),
        ({"r": 8}, "r = 8, its tensors are of rank 4"),
        ({"r": 10**12}, "r = 1000000000000, its tensors are of rank 4"),  # 16 TB, if they were made
        ({"r": True}, "needs r, above 0"),
        ({"target_modules": [["q_proj"]]}, "target_modules"),
    ],
)
def test_an_adapter_that_would_be_applied_wrongly_is_refused(folder, change, said):
    model = load_model(folder)
    random_adapter(model)
    save_adapter(model, folder / "adapter", "base", 4, 8)
    config = folder / "adapter/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    detach(model)
    with pytest.raises(InputError, match=said):
        load_adapter(model, folder / "adapter")


def test_a_whole_model_takes_every_file_of_its_tokenizer_along(folder, tmp_path):
    """Newer folders keep the chat template and the special tokens in files of their own."""
    names = (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    )
    for name in names:
        (folder / name).write_text(f"of {name}")
    save_model(load_model(folder), tmp_path / "saved", folder)
    assert [(tmp_path / "saved" / name).read_text() for name in names] == [
        f"of {name}" for name in names
    ]


def test_trap_29_what_is_written_beside_shards_is_what_is_read(folder, tmp_path):
    """A folder that held another model's shards: model.safetensors counts, as in transformers."""
    tiny_checkpoint(tmp_path / "out", False, shard_size="100KB", initializer_range=0.1)
    model = load_model(folder)
    save_model(model, tmp_path / "out", folder)
    assert (tmp_path / "out/model.safetensors.index.json").is_file()
    ids = torch.arange(20)[None]
    assert torch.equal(load_model(tmp_path / "out")(ids), model(ids))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    torch.testing.assert_close(model.logits(model(ids)), theirs(ids).logits, rtol=0, atol=1e-4)


def test_a_folders_checksum_covers_its_chat_template(folder):
    """Ratings by a judge with another template are another judge's."""
    before = sampled_sha256(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert sampled_sha256(folder) != before


def test_trap_31_a_head_of_its_own_under_a_tied_config_is_computed_and_kept(tmp_path, capsys):
    """Logits are the head's; what is saved says so, and is read without a word. One that repeats
    the embedding is none."""
    tiny_checkpoint(tmp_path / "tiny", tied=True)
    tied = load_model(tmp_path / "tiny")
    head = torch.randn(500, 96, generator=torch.Generator().manual_seed(3))
    damage(tmp_path / "tiny", lambda t: t.update({"lm_head.weight": head}))
    model, ids = load_model(tmp_path / "tiny"), torch.arange(20)[None]
    assert "but its own differs: taken" in capsys.readouterr().err
    assert torch.equal(model(ids), tied(ids))
    torch.testing.assert_close(model.logits(model(ids)), tied(ids) @ head.T)
    save_model(model, tmp_path / "saved", tmp_path / "tiny")
    assert torch.equal(load_model(tmp_path / "saved").head, head)
    embedding = tied.head.detach().clone()
    damage(tmp_path / "tiny", lambda t: t.update({"lm_head.weight": embedding}))
    assert load_model(tmp_path / "tiny").config.tie_word_embeddings
    assert capsys.readouterr().err == ""


def test_the_line_that_converts_pickled_weights_does(folder, tmp_path):
    """The command that is said, word for word."""
    ids = torch.arange(20)[None]
    hidden = load_model(folder)(ids)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError) as refused:
        load_model(folder)
    words = shlex.split(str(refused.value).partition("convert them: ")[2])
    subprocess.run([sys.executable, *words[1:]], check=True, cwd=tmp_path, capture_output=True)
    assert torch.equal(load_model(folder)(ids), hidden)


@pytest.mark.parametrize(
    "write", [lambda path: write_whole({"x": torch.ones(2)}, path), lambda p: write_json({}, p)]
)
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, write):
    """A machine that goes down behind the rename must find the bytes, which only fsync promises."""
    seen, fsync = [], os.fsync

    def recorded(handle: int) -> None:
        assert os.fstat(handle).st_size > 0
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    write(tmp_path / "file")
    assert seen == [["file.part"]]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_gguf_rows_are_put_back_into_halves():
    """One head of width 4: GGUF keeps Hugging Face's rows 0, 2 and 1, 3 side by side."""
    gguf = torch.tensor([[0.0], [2.0], [1.0], [3.0]])
    assert halves_layout(gguf, heads=1).flatten().tolist() == [0, 1, 2, 3]
    assert hf_name("blk.3.attn_q.weight") == "model.layers.3.self_attn.q_proj.weight"
