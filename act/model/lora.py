"""LoRA: a frozen weight plus a trained low-rank one, W + (alpha/r) B A (Hu et al. 2021, eq. 3).

train.py trains adapters on a model's seven projections; adapter.py writes and reads them in PEFT's
layout, and simulate.py switches them between conditions on one base model.
"""

import math

import torch
from torch import Tensor, nn

from act.model.llama import Linear, Llama
from kernels.linear import linear

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoRALinear(Linear):
    """A bias-free linear layer with an adapter beside its frozen weight.

    A (r, in) starts as PEFT's does, uniform in +-1/sqrt(in), B (out, r) at zero: training starts at
    the base model. Both are float32 whatever the weight is, since bfloat16 adapters stall Adam;
    products are in the type of x, for which A and B are rounded anew each time.
    """

    lora_A: nn.Parameter
    lora_B: nn.Parameter
    scale: float  # alpha / r
    # A (r0, in) and scale * B (out, r0) of an adapter that stays, frozen, under this one
    below: tuple[Tensor, Tensor] | None

    def forward(self, x: Tensor) -> Tensor:
        low = linear(x, self.lora_A.to(x.dtype))  # (B, T, r)
        delta = linear(self.scale * low, self.lora_B.to(x.dtype))  # (B, T, out)
        if self.below:
            A, B = (matrix.to(x.dtype) for matrix in self.below)
            delta = delta + linear(linear(x, A), B)
        # Last, since a frozen product saves no tensor: activation checkpointing stops recomputing
        # at the last saved one, and so skips it (see kernels/linear.py).
        return linear(x, self.weight) + delta


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of a model, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}


def attach(
    model: Llama, rank: int, alpha: float, projections: tuple[str, ...] = PROJECTIONS
) -> None:
    """Freeze the model and put an adapter on every linear layer named in `projections`.

    One that is worn, on some of these layers, stays under it. It is not merged into the weights,
    which in bfloat16 would round most of it away.
    """
    model.requires_grad_(False)
    worn = lora_layers(model)
    r0 = max((len(layer.lora_A) for layer in worn.values()), default=0)
    for name, layer in model.named_modules():
        if name.rpartition(".")[2] in projections:
            out, inputs = layer.weight.shape
            like = {"dtype": torch.float32, "device": layer.weight.device}
            below = None
            if name in worn:
                below = layer.lora_A.detach(), layer.scale * layer.lora_B.detach()
            elif worn:  # nothing, of the same rank
                below = torch.zeros(r0, inputs, **like), torch.zeros(out, r0, **like)
            layer.__class__ = LoRALinear  # the same weight W (out, in), under the same name
            layer.below = below
            layer.lora_A = nn.Parameter(torch.empty(rank, inputs, **like))
            layer.lora_B = nn.Parameter(torch.zeros(out, rank, **like))
            layer.scale = alpha / rank
            nn.init.kaiming_uniform_(layer.lora_A, a=math.sqrt(5))


def detach(model: Llama) -> None:
    """Take the adapters off: the base model again, exactly."""
    for layer in lora_layers(model).values():
        del layer.lora_A, layer.lora_B, layer.below
        layer.__class__ = Linear


@torch.no_grad()
def merge(model: Llama) -> None:
    """Add the adapter that is worn to the weights, W + (alpha/r) B A, and take it off; one that
    lies under it, too."""
    for layer in lora_layers(model).values():
        weight = layer.weight + layer.scale * layer.lora_B @ layer.lora_A
        if layer.below:
            A, B = layer.below
            weight = weight + B @ A
        layer.weight = nn.Parameter(weight)
    detach(model)


def trainable(model: nn.Module) -> int:
    """The number of parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
