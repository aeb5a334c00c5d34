"""What a training run carries from step to step: optimiser, schedule, and a state file to resume
from.

step.py leaves gradients in the parameters; `TrainState.update` makes a step of them at the
schedule's rate. train.py saves the state every --save-every steps, and a run that was killed goes
on from it to the bit.
"""

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from act.model.checkpoint import write_whole
from act.records import InputError
from act.training.distributed import gather, is_first, part_of, whole

MOMENTS = ("exp_avg", "exp_avg_sq")


def learning_rate(step: int, steps: int, peak: float, warmup: int, schedule: str) -> float:
    """The rate of step 0..steps-1: linear warm-up to `peak` over `warmup` steps, then decay towards
    0.

    u falls from 1 at the end of warm-up to 0 after the last step: "linear" peak u, "cosine" peak (1
    - cos(pi u)) / 2.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    u = 1 - (step - warmup) / max(1, steps - warmup)
    return peak * (u if schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * u))


def check_same_run(path: Path, before: dict, settings: dict) -> None:
    """Raise InputError if `path` comes of a run with other arguments or data."""
    for name in sorted(settings.keys() | before.keys()):
        if settings.get(name) != before.get(name):
            raise InputError(
                f"{path}: was made with {name} = {before.get(name)!r}, not {settings.get(name)!r}"
            )


class TrainState:
    """AdamW (Loshchilov & Hutter 2019) over the trainable parameters, in float32, with gradient
    clipping and resume.

    No part of a step is random but the start of the adapter and the order of the data, and both
    follow from the seed: parameters, moments and the step number are all that a run must remember
    to go on to the bit.
    """

    def __init__(self, model: nn.Module, weight_decay: float, max_grad_norm: float):
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=weight_decay)
        self.max_grad_norm = max_grad_norm
        self.step = 0  # steps done

    def update(self, lr: float) -> float:
        """One AdamW step on the gradients collected; clears them and returns their 2-norm before
        clipping.

        Raises InputError where that is no finite number.
        """
        norm = whole(nn.utils.clip_grad_norm_(self.parameters.values(), self.max_grad_norm))
        if not torch.isfinite(norm):
            raise InputError(
                f"step {self.step + 1}: the gradient is {norm.item()}; is the learning rate too high?"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return norm.item()

    def save(self, path: Path, settings: dict) -> None:
        """Write everything into one safetensors file, whole or not at all. `settings` must be equal
        to resume.

        Of several processes all must call; the first gathers whole tensors and writes what one
        process would.
        """
        tensors = {f"parameter.{name}": p.detach() for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            tensors |= {f"{moment}.{name}": self.optimiser.state[p][moment] for moment in MOMENTS}
        tensors = gather(tensors)
        if is_first():
            write_whole(
                tensors, path, {"step": str(self.step), "run": json.dumps(settings, sort_keys=True)}
            )

    def load(self, path: Path, settings: dict) -> None:
        """Go on from a state file; raises InputError if it is of a run with other arguments or
        data."""
        try:
            file = safe_open(path, framework="pt")
        except SafetensorError as error:
            raise InputError(
                f"{path}: not a whole state file ({error}); remove it to begin again"
            ) from None
        with file:
            before = json.loads(file.metadata()["run"])
            check_same_run(path, before, settings)
            self.step = int(file.metadata()["step"])
            with torch.no_grad():
                for name, p in self.parameters.items():
                    p.copy_(part_of(file.get_tensor(f"parameter.{name}"), p))
                    moments = {
                        moment: part_of(file.get_tensor(f"{moment}.{name}"), p)
                        for moment in MOMENTS
                    }
                    self.optimiser.state[p] = {"step": torch.tensor(float(self.step)), **moments}
