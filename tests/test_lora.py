"""LoRA and its adapters: the base at the start, saved, and PEFT's way."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from act.model.adapter import PEFT, load_adapter, save_adapter
from act.model.checkpoint import load_model
from act.model.llama import Llama
from act.model.lora import PROJECTIONS, attach, detach, lora_layers, trainable
from tests.conftest import on_each_device
from tests.tiny import tiny_llama, with_adapter

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@torch.no_grad()
def greedy(model: Llama, ids: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Ids with n more, and the logits (B, n, V) that chose them."""
    steps = []
    for _ in range(n):
        steps.append(model.logits(model(ids))[:, -1])
        ids = torch.cat([ids, steps[-1].argmax(-1, keepdim=True)], dim=1)
    return ids, torch.stack(steps, dim=1)


@torch.no_grad()
def outputs(model: Llama) -> Tensor:
    return model.logits(model(IDS.to(model.device)))


@on_each_device
def test_lora_starts_at_the_base_model_and_detaches_to_it():
    model = tiny_llama()
    base = outputs(model)
    torch.manual_seed(1)
    attach(model, 4, 8)
    assert torch.equal(outputs(model), base)
    assert all(layer.lora_A.any() for layer in lora_layers(model).values())
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_B)
    assert not torch.allclose(outputs(model), base, atol=0.1)
    detach(model)
    assert torch.equal(outputs(model), base) and trainable(model) == 0
    assert model.state_dict().keys() == tiny_llama().state_dict().keys()


def test_lora_trains_the_projections_alone():
    """Rank r adds r (in + out) a projection: q, o 16 + 16; k, v 16 + 8; gate, up, down 16 + 24: 4 *
    232 a layer."""
    model = with_adapter(rank=4)
    assert {name.rpartition(".")[2] for name in lora_layers(model)} == set(PROJECTIONS)
    assert trainable(model) == 2 * 4 * (2 * 32 + 2 * 24 + 3 * 40)
    named = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(name.endswith(("lora_A", "lora_B")) for name in named)


@on_each_device
def test_lora_is_w_plus_alpha_over_r_times_b_a():
    """Equation 3, layer by layer: W + (alpha / r) B A with alpha 8, r 4."""
    x = torch.randn(3, 16)
    layer = with_adapter().model.layers[0].self_attn.q_proj
    torch.testing.assert_close(layer(x), x @ (layer.weight + 2 * layer.lora_B @ layer.lora_A).T)


@on_each_device
def test_products_are_in_the_type_of_x():
    """In float32 to the bit what they always were; of a bfloat16 base bfloat16 alone goes through
    the products, and out and gradients are float32's to some of its roundings."""
    layer = with_adapter().model.layers[0].self_attn.q_proj
    x, upstream = torch.randn(50, 16), torch.randn(50, 16)
    low = F.linear(x, layer.lora_A)
    expected = F.linear(x, layer.weight) + F.linear(2 * low, layer.lora_B)
    assert torch.equal(layer(x), expected)
    exact = torch.autograd.grad(layer(x), (layer.lora_A, layer.lora_B), upstream)
    layer.weight.data = layer.weight.bfloat16()
    out = layer(x.bfloat16())
    found = torch.autograd.grad(out, (layer.lora_A, layer.lora_B), upstream.bfloat16())
    assert out.dtype == torch.bfloat16 and {x.dtype for x in found} == {torch.float32}
    for value, truth in zip((out, *found), (expected, *exact), strict=True):
        assert (value - truth).norm() <= 0.01 * truth.norm()


def test_an_adapter_comes_back_as_it_was(tmp_path):
    model = with_adapter()
    save_adapter(model, tmp_path, "base", rank=4, alpha=8)
    again = tiny_llama()
    load_adapter(again, tmp_path)
    assert torch.equal(outputs(again), outputs(model)) and trainable(again) == 0
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["target_modules"] == sorted(PROJECTIONS)
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
        assert len(list(file.keys())) == 2 * 7 * 2 and file.get_slice(name).get_shape() == [4, 24]


def test_loading_replaces_the_adapter_that_is_there(tmp_path):
    first, second = with_adapter(seed=1), with_adapter(seed=2, rank=8)
    save_adapter(second, tmp_path, "base", rank=8, alpha=8)
    load_adapter(first, tmp_path)
    assert torch.equal(outputs(first), outputs(second))


def test_loading_replaces_an_adapter_on_more_modules(tmp_path):
    first, second = with_adapter(), tiny_llama()
    attach(second, 4, 8, ("q_proj",))
    save_adapter(second, tmp_path, "base", rank=4, alpha=8)
    load_adapter(first, tmp_path)
    assert torch.equal(outputs(first), outputs(second))


@pytest.mark.slow
@pytest.mark.parametrize("targets", [PROJECTIONS, ("q_proj", "v_proj")])
def test_peft_reads_our_adapter_and_we_read_its(folder, tmp_path, targets):
    """Logits equal PEFT's on transformers' Llama of the same folder, from our file and from the one
    PEFT writes."""
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    ours = load_model(folder)
    torch.manual_seed(1)
    attach(ours, 4, 8, targets)
    for layer in lora_layers(ours).values():
        nn.init.normal_(layer.lora_B, std=0.3)
    save_adapter(ours, tmp_path / "ours", str(folder), rank=4, alpha=8)
    theirs = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(folder), tmp_path / "ours")
    with torch.no_grad():
        logits = theirs(IDS).logits
    assert (logits - outputs(load_model(folder))).abs().max() > 0.1  # the adapter counts
    torch.testing.assert_close(outputs(ours), logits, rtol=1e-5, atol=1e-5)
    options = {
        "max_new_tokens": 12,
        "min_new_tokens": 12,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    said = theirs.generate(IDS, do_sample=False, pad_token_id=0, **options)
    ids, steps = greedy(ours, IDS, 12)
    assert said.sequences.tolist() == ids.tolist()
    torch.testing.assert_close(steps, torch.stack(said.logits, dim=1), rtol=1e-4, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    torch.testing.assert_close(
        outputs(load_model(f"{folder}+{tmp_path / 'theirs'}")), logits, rtol=1e-5, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", PEFT["plain"]["init_lora_weights"])
def test_the_starts_that_are_read_leave_the_base_model_alone(folder, tmp_path, start):
    """Every "init_lora_weights" that is let through, from PEFT's own file: the logits are
    PEFT's."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=list(PROJECTIONS), init_lora_weights=start
    )
    torch.manual_seed(1)
    theirs = get_peft_model(LlamaForCausalLM.from_pretrained(folder), config)
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    with torch.no_grad():
        logits = theirs(IDS).logits
    torch.testing.assert_close(
        outputs(load_model(f"{folder}+{tmp_path}")), logits, rtol=1e-5, atol=1e-5
    )
