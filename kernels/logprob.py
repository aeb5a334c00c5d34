"""Fused linear + log-prob: log p(y | h) under softmax(h W'), without ever holding all logits.

    log p(y) = h . W_y - lse(h W')            d log p(y) / dh = W_y - softmax(h W') W

The second term of the gradient needs the same logits as the value, so one pass over chunks of tokens gives both:
with a frozen head (LoRA) the forward pass saves g = W_y - softmax(h W') W, of h's shape, and backward is an
elementwise product. Any loss that is a function of token log-probs (SFT, ORPO, DPO) sits on top unchanged.
"""

import torch
from torch import Tensor

from kernels.linear import product

CHUNK_LOGITS = 2**24  # logits held at a time, in elements: 64 MiB of float32


def naive_logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """What `logprob` replaces: the same numbers from the full (N, V) logits. For reading and for tests."""
    return torch.log_softmax((hidden @ weight.T).float(), dim=-1).gather(1, targets[:, None]).squeeze(1)


def logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target token, (N,) float32.

    hidden (N, C): hidden states at the positions that have a target; weight (V, C): the head; targets (N,): ids.
    Gradients reach `hidden`, and `weight` if it is trainable. Raises ValueError where the shapes do not fit.
    """
    if hidden.ndim != 2 or weight.ndim != 2 or targets.shape != hidden.shape[:1] or hidden.shape[1] != weight.shape[1]:
        shapes = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, targets {tuple(targets.shape)}"
        raise ValueError(f"{shapes}: want (N, C), (V, C), (N,)")
    return _LogProb.apply(hidden, weight, targets)


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        logps = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        needs_gradient = hidden.requires_grad or weight.requires_grad
        g = torch.empty_like(hidden) if needs_gradient else None
        for rows, logits in _chunks(hidden, weight):
            top = logits.amax(-1, keepdim=True)
            target = logits.gather(1, targets[rows, None]) - top
            exps = logits.sub_(top).exp_()
            total = exps.sum(-1, keepdim=True)
            logps[rows] = (target - total.log()).squeeze(1)
            if needs_gradient:
                g[rows] = weight[targets[rows]] - (product(exps.to(weight.dtype), weight.t()) / total).to(weight.dtype)
        ctx.save_for_backward(hidden, weight, targets, g)
        return logps

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, weight, targets, g = ctx.saved_tensors
        to_hidden = (upstream[:, None] * g).to(hidden.dtype) if ctx.needs_input_grad[0] else None
        to_weight = None
        if ctx.needs_input_grad[1]:  # d log p(y) / dW = (onehot(y) - softmax)' h, recomputed by chunks
            to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
            for rows, logits in _chunks(hidden, weight):
                residual = logits.softmax(-1).neg_()
                residual[torch.arange(len(residual), device=residual.device), targets[rows]] += 1
                to_weight += product((upstream[rows, None] * residual).t(), hidden[rows].float().t())
            to_weight = to_weight.to(weight.dtype)
        return to_hidden, to_weight, None


def _chunks(hidden: Tensor, weight: Tensor):
    """Yield (rows, float32 logits of those rows), CHUNK_LOGITS elements at a time."""
    size = max(1, CHUNK_LOGITS // len(weight))
    for start in range(0, len(hidden), size):
        rows = slice(start, start + size)
        yield rows, product(hidden[rows], weight).float()
