"""Several processes, one step: `torchrun --nproc-per-node N train.py ...` steps as one would.

torch's own FSDP2 (`fully_shard`): each process keeps a part of every trained tensor, its gradient
and its two Adam moments; whole tensors are gathered for a pass, and gradients summed as they are
scattered to their keepers. Losses are divided by the whole step's counts, so these sums are the
step's gradient. Full fine-tuning gathers block by block: 16 bytes a parameter, 51 GB at 3B, lie
spread over all GPUs. LoRA shards the adapter alone: sending the frozen base would cost more.

Each process reads the trunk of its examples' sessions: of turns 18 to 25 of one session, one reads
6,965 tokens, the slowest of eight 5,271. Several pay off where a step spans several sessions, as
with `--batch 25*N` (N = 2: 11,079 tokens each, 21,040 for one process alone). Collectives wait for
everyone, so all run equally many passes.
"""

import os
import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from act.model.llama import Llama
from act.training.examples import Example


def start(device: str) -> None:
    """Join torchrun's other processes, if there are any; `device` is this one's."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")


def stop() -> None:
    """Leave the other processes, if there are any: the last thing that a process does.

    It ends here, without Python's own way out: a thread of gloo that lets go of a tensor while the
    interpreter shuts down aborts the process, whose work is done (one run in 25 under load).
    """
    if dist.is_initialized():
        wait()
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and prints."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def from_all(value: object) -> list:
    """What each process has for this value, which all must ask for."""
    values = [value] * processes()
    if dist.is_initialized():
        dist.all_gather_object(values, value)
    return values


def add_up(totals: dict[str, float]) -> dict[str, float]:
    """Sums over the processes of what each has logged, and the tokens of the one with the most."""
    if not dist.is_initialized():
        return totals
    each = from_all(totals)
    names = max(each, key=len)  # one without a tree has logged nothing
    sums = {name: sum(one.get(name, 0) for one in each) for name in names}
    return sums | {"slowest_rank_tokens": max(one.get("unique_tokens", 0) for one in each)}


def shares(examples: list[Example], n: int) -> list[list[Example]]:
    """A step's examples, session by session, in n stretches of equal length up to one example.

    A cut inside a session costs its trunk once more.
    """
    examples = sorted(examples, key=lambda example: example.session)
    ends = [len(examples) * i // n for i in range(n + 1)]
    return [examples[ends[i] : ends[i + 1]] for i in range(n)]


def share_of(examples: list[Example]) -> list[Example]:
    """This process's examples of a step."""
    return shares(examples, processes())[dist.get_rank()] if dist.is_initialized() else examples


def shard(model: Llama) -> None:
    """Spread the trained parameters over the processes, before the optimiser is made.

    Frozen ones stay whole on each. A tied head, used at both ends, is gathered with the root.
    """
    if not dist.is_initialized():
        return
    mesh = init_device_mesh(model.device.type, (processes(),))
    frozen = {p for p in model.parameters() if not p.requires_grad}
    for module in [model] if frozen else [*model.model.layers, model]:
        fully_shard(module, mesh=mesh, ignored_params=frozen)
        module.set_gradient_divide_factor(1.0)  # a sum: the losses are already parts of the step's
        module.set_force_sum_reduction_for_comms(True)


def unshard(model: nn.Module) -> None:
    """Gather the parameters of a trained model, whole, on every process."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.unshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor, gathered where each process holds a part of it; then all must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process keeps of a whole tensor, on the device and in the layout of `like`."""
    tensor = tensor.to(like.device)
    if not isinstance(like, DTensor):
        return tensor
    # no source rank: every process has read the tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
