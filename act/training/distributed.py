"""Several processes, one step: `torchrun --nproc-per-node N train.py ...` trains as one process would, only faster.

Every process holds the model and takes a share of each step's examples; losses are divided by the whole step's counts,
so the sum of the processes' gradients is the step's gradient. With one process all of this is nothing.
"""

import os

import torch
import torch.distributed as dist
from torch import nn


def start(device: str) -> str:
    """Join torchrun's other processes, if there are any; the device of this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return device


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that writes files and prints."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def largest(*values: float) -> list[float]:
    """The largest of each value over the processes."""
    if not dist.is_initialized():
        return list(values)
    all_values: list[tuple[float, ...]] = [()] * dist.get_world_size()
    dist.all_gather_object(all_values, values)
    return [max(each) for each in zip(*all_values, strict=True)]


def share_of(examples: list) -> list:
    """This process's examples of a step: a stretch of them, since neighbours share their prefixes."""
    if not dist.is_initialized():
        return examples
    rank, world = dist.get_rank(), dist.get_world_size()
    return examples[len(examples) * rank // world : len(examples) * (rank + 1) // world]


def add_up(model: nn.Module, totals: dict[str, float], gradients: bool) -> dict[str, float]:
    """Sums over the processes of what each has logged and, in place, of the trainable parameters' gradients."""
    if not dist.is_initialized():
        return totals
    all_totals: list[dict[str, float]] = [{}] * dist.get_world_size()
    dist.all_gather_object(all_totals, totals)
    for parameter in model.parameters() if gradients else ():
        if parameter.requires_grad:
            if parameter.grad is None:  # a process without examples
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
    names = max(all_totals, key=len)
    return {name: sum(each.get(name, 0) for each in all_totals) for name in names}
