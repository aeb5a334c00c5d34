"""What a step takes at Llama-3.2-3B's shape, counted on meta tensors; and the counting itself."""

import pytest
import torch

from act.model.lora import attach
from act.training.step import answer_logps, tokens_to_keep
from tests.budget import GIB, Budget, decoding_step, meta_model, session, training_step


def test_launches_and_memory_by_hand():
    """y = x + x (a launch; 400 bytes more), z = y * 2 (another), a view and an empty tensor (none);
    y is dropped before w = z + 1 is made: x, z and w live, 1,200 bytes, as did x, y and z."""
    x, budget = torch.zeros(100, device="meta"), Budget()
    budget.watch([x])
    with budget:
        y = x + x
        z = (y * 2).view(10, 10)
        torch.empty_like(z)
        del y
        w = z + 1
        assert budget.live == 1200
        assert bool((w > 0).all()) and not bool((w > 0).any())  # a check passes
    assert budget.launches == {"add": 2, "mul": 1, "gt": 2, "all": 1, "any": 1}
    assert budget.peak == 1600 and budget.waits == 2
    assert budget.bytes["add"] == 3 * 400 + 2 * 400 and budget.bytes["mul"] == 2 * 400


def whole_model(tokens: int) -> tuple[float, float]:
    """(peak in bytes, launches) of all 28 layers, from what four have more than two."""
    (_, two), (_, four) = (training_step(tokens, layers) for layers in (2, 4))
    pairs = (two.peak, four.peak), (two.launches.total(), four.launches.total())
    peak, launches = (a + 13 * (b - a) for a, b in pairs)
    return peak, launches


@pytest.mark.parametrize(
    ("tokens", "gib", "launches"), [(11_000, 15, 35_000), (16_000, 18, 45_000)]
)
def test_a_step_of_a_session_fits(tokens, gib, launches):
    """bfloat16 base, LoRA 64, AdamW's moments: found 14.3 and 17.6 GiB, 29,000 and 38,000."""
    found_bytes, found_launches = whole_model(tokens)
    assert found_bytes <= gib * GIB and found_launches <= launches


@pytest.mark.slow
def test_layers_are_alike():
    """28 layers counted, at 4,000 tokens; the host waits three times, for the check of the targets,
    the losses and the gradient's norm."""
    T, step = training_step(4_000)
    peak, launches = whole_model(4_000)
    assert abs(T - 4_000) < 20 and step.waits == 3
    assert abs(peak / step.peak - 1) < 0.01
    assert abs(launches / step.launches.total() - 1) < 0.02


def test_a_tree_is_on_the_gpu_before_its_work_begins(monkeypatch):
    """Numbers that are sent there wait for the kernels before them: none are launched yet."""
    model, budget, launched = meta_model(1), Budget(), []
    real = torch.tensor

    def counted(*args, **kwargs) -> torch.Tensor:
        if "device" in kwargs:
            launched.append(budget.launches.total())
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "tensor", counted)
    with budget:
        answer_logps(model, [answer for e in session(1_000) for answer in e.answers])
    assert budget.launches.total() > 40 and launched == [0, 0, 0, 0, 0]


def test_no_float32_copy_of_a_layer_and_no_joined_keys():
    """Of a layer at 11,000 tokens, what two have more than one: 0.46 GiB (0.52 with joined keys),
    1,017 launches (2,132), and eight flash calls each way."""
    (_, one), (_, two) = (training_step(11_000, layers) for layers in (1, 2))
    assert two.peak - one.peak <= 0.47 * GIB
    assert two.launches.total() - one.launches.total() <= 1_100
    for name in ("_flash_attention_forward", "_flash_attention_backward"):
        assert two.launches[name] - one.launches[name] == 8
    products = [layers.bytes["mm"] for layers in (one, two)]
    assert (products[1] - products[0]) / GIB < 10


@pytest.mark.parametrize("free", [2.5, 3.5, 4.5])
def test_kept_activations_fit_the_free_memory(monkeypatch, capsys, free):
    """Two layers of the shape, a tree of 16,000 tokens: beside the weights a step takes at most the
    GiB that were free, and where these are more, more is kept."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * GIB), 0))
    model = meta_model(2)
    attach(model, rank=64, alpha=64)
    keep = tokens_to_keep(model, tree_tokens=16_000)
    assert capsys.readouterr().out.startswith(f"{free} GiB free: activations of {keep:,} tokens")
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    _, step = training_step(16_000, 2, keep)
    assert step.peak - weights <= free * GIB
    assert keep // 4096 == {2.5: 0, 3.5: 1, 4.5: 2}[free]  # whole stretches


def test_a_token_of_32_rows():
    """Launches of two layers more than of one, 44, with an adapter 86; times the host waits."""
    plain, worn = ([decoding_step(n, adapter) for n in (1, 2)] for adapter in (False, True))
    assert plain[1].launches.total() - plain[0].launches.total() <= 44
    assert worn[1].launches.total() - worn[0].launches.total() <= 86
    assert plain[0].waits <= 5
