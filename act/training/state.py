"""What a training run carries from step to step: optimiser, schedule, a state file to resume from.

step.py leaves gradients in the parameters; `TrainState.update` makes a step of them at the
schedule's rate. A run that was killed goes on from its last saved state to the bit.
"""

import hashlib
import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from act.model.weights import write_whole
from act.records import InputError, check_settings
from act.training.distributed import is_first, part_of, whole

MOMENTS = ("exp_avg", "exp_avg_sq")
STATE = "state.safetensors"  # its name in --out
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin")


def is_finished(out: Path, base: Path, own: str, resume: bool) -> bool:
    """Does `out` hold `own`, the file that a finished run leaves? Raises InputError for weights of
    anything else, the folder of the base model too: what is trained would lie beside or over them.
    """
    held = {path.name for pattern in WEIGHTS for path in out.glob(pattern)} - {STATE}
    if out.is_dir() and out.samefile(base):
        raise InputError(f"{out}: the folder of --model; choose another --out")
    if held and not (resume and held == {own}):
        there = f"holds weights ({', '.join(sorted(held))})"
        raise InputError(f"{out}: {there}; choose another --out, or remove it")
    return bool(held)


def learning_rate(step: int, steps: int, peak: float, warmup: int, schedule: str) -> float:
    """The rate of step 0..steps-1: linear warm-up to `peak` over `warmup` steps, then decay to 0.

    u falls from 1 at the end of warm-up to 0 after the last step: "linear" peak u, "cosine"
    peak (1 - cos(pi u)) / 2.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    u = 1 - (step - warmup) / max(1, steps - warmup)
    return peak * (u if schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * u))


def sha256_of(tensors: dict[str, Tensor], run: dict[str, str]) -> str:
    """Checksum of the step's number, the settings, and each tensor's name, type and bytes."""
    digest = hashlib.sha256(f"{run['step']} {run['run']}".encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype}".encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class TrainState:
    """AdamW (Loshchilov & Hutter 2019) in float32, with gradient clipping and resume.

    The adapter's start and the data's order follow from the seed, and nothing else is random:
    parameters, moments and the step number are all that a run must remember.
    """

    def __init__(self, model: nn.Module, weight_decay: float, max_grad_norm: float):
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=weight_decay)
        self.max_grad_norm = max_grad_norm
        self.step = 0  # that have been done

    def update(self, lr: float) -> float:
        """One AdamW step on the gradients collected; clears them, returns their norm unclipped.

        Raises FloatingPointError where that is no finite number.
        """
        clipped = nn.utils.clip_grad_norm_(self.parameters.values(), self.max_grad_norm)
        norm = whole(clipped).item()
        if not math.isfinite(norm):
            raise FloatingPointError(f"step {self.step + 1}: the gradient is {norm}")
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return norm

    def save(self, path: Path, settings: dict) -> None:
        """Write everything into one safetensors file; `settings` must be equal to resume.

        Of several processes all must call, since each holds a part; the first writes.
        """
        # 1. what this process holds of each tensor
        parts = {f"parameter.{name}": p.detach() for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            parts |= {f"{moment}.{name}": self.optimiser.state[p][moment] for moment in MOMENTS}
        # 2. gathered one at a time, to the first one's CPU
        tensors = {}
        for name, part in parts.items():
            tensor = whole(part)
            if is_first():
                tensors[name] = tensor.cpu()
        if is_first():
            run = {"step": str(self.step), "run": json.dumps(settings, sort_keys=True)}
            write_whole(tensors, path, run | {"sha256": sha256_of(tensors, run)})

    def load(self, path: Path, settings: dict) -> None:
        """Go on from a state file. Raises InputError for one of other arguments or data."""
        cure = "remove it to begin again"
        try:
            file = safe_open(path, framework="pt")
        except SafetensorError as error:
            raise InputError(f"{path}: not a whole state file ({error}); {cure}") from None
        with file:
            # 1. is it of this run?
            about = file.metadata() or {}
            try:
                run, self.step = dict(json.loads(about["run"])), int(about["step"])
            except (KeyError, TypeError, ValueError, RecursionError):
                said = "no state that train.py saved, or a damaged one"
                raise InputError(f"{path}: {said}; {cure}") from None
            check_settings(path, run, settings)
            # 2. each parameter and its two moments, of this model's shapes
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            for name, p in self.parameters.items():
                for kind in ("parameter", *MOMENTS):
                    if found.get(f"{kind}.{name}") != list(p.shape):
                        lacks = f"holds no {kind}.{name} of shape {tuple(p.shape)}"
                        raise InputError(f"{path}: {lacks}; {cure}")
            tensors = {name: file.get_tensor(name) for name in found}  # memory-mapped
            if sha256_of(tensors, about) != about.get("sha256"):
                raise InputError(f"{path}: damaged: it does not hold what was saved; {cure}")
            # 3. to where they are used
            with torch.no_grad():
                for name, p in self.parameters.items():
                    p.copy_(part_of(tensors[f"parameter.{name}"], p))
                    state = {"step": torch.tensor(float(self.step))}
                    for moment in MOMENTS:
                        state[moment] = part_of(tensors[f"{moment}.{name}"], p)
                    self.optimiser.state[p] = state
