"""The log-prob kernel and the linear product: values and gradients against float64, and what they
keep in memory."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import linear as linear_module
from kernels import logprob as logprob_module
from kernels.linear import linear, product
from kernels.logprob import logprob, naive_logprob
from tests.conftest import on_each_device


def made(
    N: int, C: int, V: int, scale: float = 0.3, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, ...]:
    """Hidden states, head, targets and an upstream gradient that differs from token to token."""
    torch.manual_seed(N + V)
    hidden, weight = scale * torch.randn(N, C), torch.randn(V, C)
    return hidden.to(dtype), weight.to(dtype), torch.randint(V, (N,)), torch.randn(N)


def run(
    function, hidden: Tensor, weight: Tensor, targets: Tensor, upstream: Tensor, trainable: bool
) -> list[Tensor]:
    """[log-probs, gradient to hidden, and to weight if trainable]."""
    hidden, weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_(trainable)
    logps = function(hidden, weight, targets)
    logps.backward(upstream.to(logps.dtype))
    return [logps.detach(), hidden.grad, *([weight.grad] if trainable else [])]


def truth(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The definition, in the precision of its inputs."""
    return torch.log_softmax(hidden @ weight.T, dim=-1).gather(1, targets[:, None]).squeeze(1)


def error(value: Tensor, true: Tensor) -> float:
    """Root mean square error relative to the truth's root mean square."""
    return ((value.double() - true).norm() / true.norm()).item()


def kept(function) -> list[Tensor]:
    """The tensors that autograd keeps for the backward pass of `function()`."""
    tensors: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: (tensors.append(tensor), tensor)[1], lambda x: x
    ):
        function()
    return tensors


@pytest.fixture(params=["running sum", "softmax"])
def any_way(request, monkeypatch) -> str:
    """The CPU's way through the head's blocks, and a GPU's."""
    if request.param == "softmax":
        monkeypatch.setattr(logprob_module, "_by_running_sum", logprob_module._by_softmax)
    return request.param


@on_each_device
def test_by_hand(any_way):
    """h = (1, 0), W = ((0, 0), (ln 3, 0)): logits (0, ln 3), so p = (1/4, 3/4).

    log p(1) = ln 3/4; d/dh = W_1 - p W = (ln 3 - 3/4 ln 3, 0) = (ln(3) / 4, 0);
    d/dW = (onehot(1) - p)' h = ((-1/4, 0), (1/4, 0)).
    """
    hidden, weight = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    logps, to_hidden, to_weight = run(
        logprob, hidden, weight, torch.tensor([1]), torch.ones(1), trainable=True
    )
    torch.testing.assert_close(logps, torch.tensor([math.log(3 / 4)]))
    torch.testing.assert_close(to_hidden, torch.tensor([[math.log(3) / 4, 0.0]]))
    torch.testing.assert_close(to_weight, torch.tensor([[-0.25, 0.0], [0.25, 0.0]]))


@on_each_device
@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_float32_errs_no_more_than_the_naive_code(any_way, scale, trainable):
    """Logits of standard deviation 0.8, 8 and 80: nearly uniform, sharp, and almost always certain.

    A GPU's log-sum-exp is z - log p, of two numbers of up to 500 at the sharpest: twice as coarse.
    """
    hidden, weight, targets, upstream = made(60, 64, 500, scale)
    true = run(truth, hidden.double(), weight.double(), targets, upstream, trainable)
    naive = run(naive_logprob, hidden, weight, targets, upstream, trainable)
    ours = run(logprob, hidden, weight, targets, upstream, trainable)
    for value, plain, exact in zip(ours, naive, true, strict=True):
        assert value.dtype == torch.float32
        times = 4 if any_way == "softmax" else 2
        assert error(value, exact) <= times * error(plain, exact) + 1e-7
        assert error(value, exact) < 1e-5


@on_each_device
@pytest.mark.parametrize("trainable", [False, True])
def test_bfloat16_errs_no_more_than_the_naive_code(any_way, trainable):
    hidden, weight, targets, upstream = made(60, 64, 500, dtype=torch.bfloat16)
    true = run(truth, hidden.double(), weight.double(), targets, upstream, trainable)
    naive = run(naive_logprob, hidden, weight, targets, upstream, trainable)
    ours = run(logprob, hidden, weight, targets, upstream, trainable)
    assert [x.dtype for x in ours] == [torch.float32] + [torch.bfloat16] * (1 + trainable)
    for value, plain, exact in zip(ours, naive, true, strict=True):
        assert error(value, exact) <= 2 * error(plain, exact)
        assert error(value, exact) < 0.01


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 60])
@pytest.mark.parametrize("tokens", [0.5, 1, 7, 49])
def test_blocks_equal_one(any_way, device, monkeypatch, rows, tokens, trainable):
    """60 rows at once, or 7 (the last has 4) or 1 at a time; 50 tokens in blocks of 1 (the least),
    1, 7 and 49."""
    inputs = made(60, 16, 50)
    whole = run(logprob, *inputs, trainable)
    monkeypatch.setattr(logprob_module, "ROWS", rows)
    monkeypatch.setattr(logprob_module, "BLOCK_LOGITS", {device: int(rows * tokens)})
    for value, expected in zip(run(logprob, *inputs, trainable), whole, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@on_each_device
def test_a_certain_token_and_an_impossible_one_stay_finite(any_way):
    """Logits (0, 1e4): log p = (-1e4, 0) and the gradients W_y - W_1 = (-1e4, 0), in float32 as in
    the limit."""
    hidden, weight = torch.ones(2, 1), torch.tensor([[0.0], [1e4]])
    logps, to_hidden = run(
        logprob, hidden, weight, torch.tensor([0, 1]), torch.ones(2), trainable=False
    )
    assert logps.tolist() == [-1e4, 0.0]
    assert to_hidden.tolist() == [[-1e4], [0.0]]


def test_trap_10_logits_are_never_whole(monkeypatch):
    """No product is larger than a block, and of matrices autograd keeps the head and one of
    hidden's size."""
    hidden, weight, targets, _ = made(60, 16, 50)
    monkeypatch.setattr(logprob_module, "BLOCK_LOGITS", {"cpu": 60 * 20})
    sizes = []
    monkeypatch.setattr(
        logprob_module, "product", lambda *x: (sizes.append((y := product(*x)).numel()), y)[1]
    )
    hidden.requires_grad_()
    saved = kept(lambda: logprob(hidden, weight, targets))
    assert max(sizes) == 60 * 20
    assert sorted(x.numel() for x in saved) == [60, 60, 60, 50 * 16, 60 * 16]  # 3 a row; head and g


@on_each_device
def test_no_targets_no_numbers(any_way):
    hidden, weight, targets, upstream = made(0, 4, 5)
    logps, to_hidden, to_weight = run(logprob, hidden, weight, targets, upstream, trainable=True)
    assert logps.shape == (0,) and to_hidden.shape == (0, 4) and not to_weight.any()


@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 4), (5, 3), (3,)),
        ((3, 4), (5, 4), (2,)),
        ((1, 3, 4), (5, 4), (3,)),
        ((3, 4), (5, 4), (3, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes):
    hidden, weight, targets = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError) as raised:
        logprob(hidden, weight, targets.long())
    named = dict(zip(("hidden", "weight", "targets"), shapes, strict=True))
    assert (
        str(raised.value)
        == ", ".join(f"{k} {v}" for k, v in named.items()) + ": want (N, C), (V, C), (N,)"
    )


@pytest.fixture(params=["onednn", "plain"])
def way(request) -> str:
    """Run a test on oneDNN's product and on F.linear."""
    if request.param == "onednn":
        if not linear_module.HAS_ONEDNN:
            pytest.skip("this build of PyTorch has no oneDNN")
        request.getfixturevalue("fast_product")
        request.getfixturevalue("monkeypatch").setattr(linear_module, "ONEDNN_IS_FASTER", True)
    return request.param


@pytest.mark.parametrize("frozen", ["", "x", "weight"])
@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (1, 12), (3, 1, 12)])
def test_linear_equals_torch(way, shape, frozen):
    torch.manual_seed(0)
    tensors = {"x": torch.randn(shape), "weight": torch.randn(9, 12)}
    upstream = torch.randn(*shape[:-1], 9)

    def gradients(function, dtype: torch.dtype) -> list[Tensor | None]:
        x, weight = (
            t.to(dtype, copy=True).requires_grad_(name != frozen) for name, t in tensors.items()
        )
        out = function(x, weight)
        out.backward(upstream.to(dtype))
        return [out.detach(), x.grad, weight.grad]

    for value, expected in zip(
        gradients(linear, torch.float32), gradients(F.linear, torch.float64), strict=True
    ):
        assert (value is None) == (expected is None)
        if value is not None:
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)


def test_linear_takes_views(way):
    """Inputs and gradients that are transposed or sliced views, as attention hands them over."""
    torch.manual_seed(0)
    x, weight = (
        torch.randn(2, 12, 5).transpose(1, 2).requires_grad_(),
        torch.randn(12, 18)[:, ::2].t(),
    )
    out = linear(x, weight)
    (to_x,) = torch.autograd.grad(out.transpose(1, 2).square().sum(), x)
    torch.testing.assert_close(out, x @ weight.t())
    torch.testing.assert_close(to_x, 2 * (x @ weight.t()) @ weight)


def test_linear_without_gradients(way):
    x, weight = torch.randn(4, 6), torch.randn(3, 6, requires_grad=True)
    with torch.no_grad():
        out = linear(x, weight)
    assert not out.requires_grad
    torch.testing.assert_close(out, F.linear(x, weight).detach())


def test_linear_in_float64_is_torchs_own(way):
    x, weight = torch.randn(4, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


@pytest.mark.parametrize("has_bfloat16", [False, True])
def test_bfloat16_through_float32_where_it_is_faster(monkeypatch, has_bfloat16):
    """Both ways round the same sums to bfloat16, gradients too; float32's are right to its last
    digit."""
    monkeypatch.setattr(linear_module, "HAS_BFLOAT16", has_bfloat16)
    torch.manual_seed(0)
    x, weight = (torch.randn(shape).bfloat16() for shape in ((2, 5, 64), (9, 64)))
    upstream = torch.randn(2, 5, 9).bfloat16()
    out = []
    for dtype in (torch.bfloat16, torch.float64):
        a, b = x.to(dtype, copy=True).requires_grad_(), weight.to(dtype, copy=True).requires_grad_()
        y = linear(a, b)
        out.append([y.detach(), *torch.autograd.grad(y, (a, b), upstream.to(dtype))])
    for value, exact in zip(*out, strict=True):
        assert value.dtype == torch.bfloat16
        torch.testing.assert_close(value.double(), exact, rtol=2**-8, atol=1e-2)
        if not has_bfloat16:
            assert torch.equal(value, exact.bfloat16())


@pytest.mark.parametrize("has_bfloat16", [False, True])
@pytest.mark.parametrize("trainable", [False, True])
def test_log_probs_of_bfloat16_on_any_cpu(monkeypatch, has_bfloat16, trainable):
    """Without bfloat16 arithmetic the log-probs of bfloat16 inputs are float32's own."""
    monkeypatch.setattr(linear_module, "HAS_BFLOAT16", has_bfloat16)
    hidden, weight, targets, upstream = made(60, 64, 500, dtype=torch.bfloat16)
    true = run(truth, hidden.double(), weight.double(), targets, upstream, trainable)
    ours = run(logprob, hidden, weight, targets, upstream, trainable)
    assert error(ours[0], true[0]) < (1e-2 if has_bfloat16 else 1e-6)
    assert all(error(value, exact) < 0.01 for value, exact in zip(ours, true, strict=True))


def test_a_frozen_weight_keeps_no_activation(way):
    """Under LoRA most products have a frozen weight: at most that weight is kept, which is there
    anyway."""
    x, weight = torch.randn(50, 6, requires_grad=True), torch.randn(3, 6)
    assert all(t.data_ptr() == weight.data_ptr() for t in kept(lambda: linear(x, weight)))


@on_each_device
@pytest.mark.parametrize("function", [logprob, naive_logprob])
@pytest.mark.parametrize("target", [-1, -100, 5, 2**40])
def test_a_target_outside_the_vocabulary_is_refused_by_both(function, target):
    """V = 5: ids are 0 to 4. Ids at both ends are read: with equal logits log p = -ln 5."""
    hidden, weight = torch.zeros(3, 4), torch.ones(5, 4)
    with pytest.raises(ValueError, match=f"^target 1 is {target}, outside 0..4: "):
        function(hidden, weight, torch.tensor([0, target, 4]))
    ends = function(hidden, weight, torch.tensor([0, 4, 4]))
    torch.testing.assert_close(ends, torch.full((3,), -math.log(5)))
