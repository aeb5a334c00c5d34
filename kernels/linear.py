"""x W' on the fastest float32 matrix product at hand.

On CPUs, F.linear takes MKL's product, which on AMD runs at less than half of the speed of oneDNN's, from four rows to
thousands (docs/log.md). oneDNN comes with PyTorch, but float32 reaches it only through an operator without
a derivative; here is that operator with its derivative. Both are float32 and sum in another order. PyTorch's own
switch chooses: `torch.set_float32_matmul_precision("high")`, as the scripts say, allows oneDNN's; at PyTorch's default,
"highest", and for everything else (CUDA, bfloat16, other builds) this is F.linear to the bit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    allowed = HAS_ONEDNN and torch.get_float32_matmul_precision() != "highest"
    return allowed and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W', (..., in) by (out, in) to (..., out), with gradients to both; equals F.linear up to rounding."""
    if not takes_onednn(x, weight):
        return F.linear(x, weight)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Linear.apply(x, weight)
    return product(x, weight)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x W' without a derivative. `weight` may be a transposed view."""
    if not takes_onednn(x, weight):
        return F.linear(x, weight)
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        # A frozen weight needs no input for its gradient: the activation is not kept.
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        return product(x, weight)

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = product(upstream, weight.t()) if ctx.needs_input_grad[0] else None
        to_weight = product(upstream.flatten(0, -2).t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None
        return to_x, to_weight
