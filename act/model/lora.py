"""LoRA: a frozen weight plus a trained low-rank one, W + (alpha/r) B A (Hu et al. 2021, eq. 3).

train.py attaches adapters to a model's seven projections and trains them alone;
act/model/checkpoint.py writes and reads them in PEFT's layout, and simulate.py switches them
between conditions on one base model.
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
    the base model. Both are float32 whatever the weight is: bfloat16 adapters stall Adam.
    """

    lora_A: nn.Parameter
    lora_B: nn.Parameter
    scale: float

    def adapt(self, rank: int, alpha: float) -> None:
        """Freeze the weight (out, in) and put A and B beside it, scaled by alpha / rank."""
        W = self.weight.requires_grad_(False)
        self.lora_A = nn.Parameter(W.new_empty(rank, self.in_features, dtype=torch.float32))
        self.lora_B = nn.Parameter(W.new_zeros(self.out_features, rank, dtype=torch.float32))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        low = linear(x.to(self.lora_A.dtype), self.lora_A)  # (B, T, r)
        delta = linear(self.scale * low, self.lora_B)  # (B, T, out)
        # Last, since a frozen product saves no tensor: activation checkpointing stops recomputing
        # at the last saved one, and so skips it (see kernels/linear.py).
        return linear(x, self.weight) + delta.to(x.dtype)


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of a model, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}


def attach(
    model: Llama, rank: int, alpha: float, projections: tuple[str, ...] = PROJECTIONS
) -> None:
    """Freeze the model and put an adapter on every linear layer named in `projections`."""
    model.requires_grad_(False)
    for name, layer in model.named_modules():
        if name.rpartition(".")[2] in projections:
            layer.__class__ = LoRALinear  # the same weight, under the same name
            layer.adapt(rank, alpha)


def detach(model: Llama) -> None:
    """Take the adapters off: the base model again, exactly."""
    for layer in lora_layers(model).values():
        del layer.lora_A, layer.lora_B
        layer.__class__ = Linear


def trainable(model: nn.Module) -> int:
    """The number of parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
