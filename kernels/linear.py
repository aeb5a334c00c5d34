"""x W' (W transposed, as F.linear) on the fastest exact product at hand, with its derivative.

Two CPU paths that F.linear does not take by itself:

- float32 through oneDNN, twice as fast as F.linear's MKL on CPUs with AVX-512 (docs/log.md), and
  reached only through an operator without a derivative. It sums in another order, so PyTorch's
  switch, `torch.set_float32_matmul_precision("high")` in the scripts, has to allow it.
- bfloat16 through float32: exacter, and eight times as fast on a CPU without bfloat16 arithmetic.

Everything else (CUDA, PyTorch's default precision "highest") is F.linear to the bit.
"""

import os

import torch
import torch.nn.functional as F
from torch import Tensor

# oneDNN, and PyTorch's layer over it, keep 1,024 compiled products, half a megabyte each, unless
# told otherwise before the first. Decoding comes with ever new shapes (docs/log.md).
for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(cache, "256")

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
ONEDNN_IS_FASTER = HAS_ONEDNN and torch.cpu._is_avx512_supported()  # AVX2 alone: MKL (docs/log.md)
HAS_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()  # amx machines have it too


def takes_cuda(x: Tensor) -> bool:
    """Whether x goes CUDA's ways; a meta tensor does, which has no numbers: to be counted."""
    return x.device.type in ("cuda", "meta")


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether x W' goes through oneDNN: float32 on a CPU, where it is faster and allowed."""
    allowed = ONEDNN_IS_FASTER and torch.get_float32_matmul_precision() != "highest"
    return allowed and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32


def takes_float32(x: Tensor) -> bool:
    """Whether products of x are better done in float32 than in its own type."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and not HAS_BFLOAT16


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W', (..., in) by (out, in) to (..., out), with gradients to both: F.linear's, rounded."""
    if not takes_onednn(x, weight) and not takes_float32(x):
        return F.linear(x, weight)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Linear.apply(x, weight)
    return product(x, weight)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x W' without a derivative, otherwise as `linear`. `weight` may be a transposed view."""
    if takes_float32(x):
        return product(x.float(), weight.float()).to(x.dtype)
    if takes_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return F.linear(x, weight)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        # A frozen weight needs no input for its gradient, and is there anyway: where nothing is
        # saved, activation checkpointing, which repeats what comes before that, stops sooner.
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(x, weight)
        else:
            ctx.weight = weight
        return product(x, weight)

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors if ctx.needs_input_grad[1] else (None, ctx.weight)
        to_x = product(upstream, weight.t()) if ctx.needs_input_grad[0] else None
        if x is None:
            return to_x, None
        upstream, x = upstream.flatten(0, -2), x.flatten(0, -2)  # (N, out), (N, in)
        return to_x, product(upstream.t(), x.t())
