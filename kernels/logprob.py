"""Fused linear + log-prob: log p(y | h) under softmax(h W'), without ever holding all logits.

    log p(y) = h . W_y - lse(h W')            d log p(y) / dh = W_y - softmax(h W') W

The second term of the gradient is attention with query h and keys = values = W, the first its
log-sum-exp, so one pass over blocks of the vocabulary gives both, with the running maximum and sum
of flash attention (Dao et al. 2022, alg. 1): two matrix products, a block of logits small enough
for the cache between them. With a frozen head (LoRA) that is all: g = W_y - softmax(h W') W, of h's
shape, is saved, and backward is an elementwise product. A trainable head computes the blocks once
more for d log p(y) / dW = (onehot(y) - softmax)' h. Any loss that is a function of token log-probs
(SFT, ORPO, DPO) sits on top unchanged. docs/kernel.md derives it, with a drawing and the measured
table.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from kernels.linear import product, takes_float32

LOG2_E = math.log2(math.e)
ROWS = 1024  # tokens that go through the head together
BLOCK_LOGITS = {
    "cpu": 2**21,
    "cuda": 2**24,
}  # logits held at a time, in elements: 8 and 64 MiB of float32


def naive_logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """What `logprob` replaces, same arguments and numbers, by way of the full (N, V) logits; for
    reading and tests."""
    return (
        torch.log_softmax((hidden @ weight.T).float(), dim=-1)
        .gather(1, targets[:, None])
        .squeeze(1)
    )


def logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target token in nats, (N,) float32: h . W_y - lse(h W'), (K1) of
    docs/kernel.md.

    hidden (N, C): hidden states at the positions that have a target; weight (V, C): the head;
    targets (N,): ids. Gradients reach `hidden`, and `weight` if it is trainable. Raises ValueError
    where the shapes do not fit.
    """
    if (
        hidden.ndim != 2
        or weight.ndim != 2
        or targets.shape != hidden.shape[:1]
        or hidden.shape[1] != weight.shape[1]
    ):
        shapes = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, targets {tuple(targets.shape)}"
        raise ValueError(f"{shapes}: want (N, C), (V, C), (N,)")
    return _LogProb.apply(hidden, weight, targets, torch.is_grad_enabled() and hidden.requires_grad)


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, with_g: bool) -> Tensor:
        logps, tops, totals = (
            torch.empty(len(hidden), dtype=torch.float32, device=hidden.device) for _ in range(3)
        )
        g = torch.empty_like(hidden) if with_g else None
        for rows in _slices(len(hidden), ROWS):
            h, y = hidden[rows], targets[rows, None]
            target_logit, top, total, weighted = (
                None,
                None,
                None,
                None,
            )  # of the row so far: z_y, a, s, u of (K3), (K4)
            for block, W in _blocks(weight, len(h)):
                logits = _logits(h, W)
                here, inside = _in_block(y, block)
                block_top = logits.amax(1, keepdim=True)
                new_top = block_top if top is None else torch.maximum(top, block_top)
                picked = logits.gather(1, here)
                target_logit = (
                    picked if target_logit is None else torch.where(inside, picked, target_logit)
                )
                exps = _exp(logits.sub_(new_top))
                block_total = exps.sum(1, keepdim=True)
                block_weighted = (
                    product(exps.to(W.dtype), W.t()).float() if g is not None else None
                )  # exps W
                if top is None:
                    total, weighted = block_total, block_weighted
                else:
                    shrink = (top - new_top).exp_()
                    total = total * shrink + block_total  # (K3)
                    weighted = weighted.mul_(shrink).add_(block_weighted) if g is not None else None
                top = new_top
            logps[rows] = (target_logit - top - total.log()).squeeze(1)  # (K4)
            tops[rows], totals[rows] = top.squeeze(1), total.squeeze(1)
            if g is not None:
                g[rows] = weight[targets[rows]] - weighted.div_(total)  # (K2), (11) of docs/orpo.md
        # A frozen head's gradient needs g alone: g takes the place of the hidden states.
        kept = hidden if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(kept, weight, targets, tops, totals, g)
        return logps

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, targets, tops, totals, g = ctx.saved_tensors
        to_hidden = (upstream[:, None] * g).to(g.dtype) if ctx.needs_input_grad[0] else None
        to_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        for block, W in _blocks(weight, len(targets)) if to_weight is not None else ():
            gradient = None
            for rows in _slices(len(targets), ROWS):
                here, inside = _in_block(targets[rows, None], block)
                r = upstream[rows, None]  # (K5)
                residual = _exp(_logits(hidden[rows], W).sub_(tops[rows, None]))
                residual.mul_(-r / totals[rows, None])  # -r softmax
                residual.scatter_add_(1, here, r * inside)  # (K6): r (onehot(y) - softmax)
                part = product(residual.to(W.dtype).t(), hidden[rows].to(W.dtype).t())
                gradient = part if gradient is None else gradient.float().add_(part)
            to_weight[block] = 0 if gradient is None else gradient
        return to_hidden, to_weight, None, None


def _logits(h: Tensor, W: Tensor) -> Tensor:
    """h W' in float32, (n, v), a tensor of its own; on a CPU with bfloat16 arithmetic rounded to
    that on its way."""
    if h.dtype == torch.bfloat16 and h.device.type == "cuda":
        return torch.mm(h, W.t(), out_dtype=torch.float32)
    if h.dtype == W.dtype:
        return product(h, W).float()
    return product(h.float(), W)


def _exp(x: Tensor) -> Tensor:
    """e^x in place, as 2^(x log2 e): PyTorch's exp on a CPU takes 3 times as long, and 40 where
    results underflow."""
    return x.mul_(LOG2_E).exp2_()


def _in_block(targets: Tensor, block: slice) -> tuple[Tensor, Tensor]:
    """(place of each target in the block, whether it is there); the place of one that is not is
    any."""
    here = targets - block.start
    return here.clamp(0, block.stop - block.start - 1), (here >= 0) & (targets < block.stop)


def _blocks(weight: Tensor, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows of the head, their weights): `rows` tokens' logits on them fit BLOCK_LOGITS, they
    4 times that."""
    room = BLOCK_LOGITS.get(weight.device.type, 2**24)
    size = max(1, min(room // max(1, min(rows, ROWS)), 4 * room // weight.shape[1]))
    for block in _slices(len(weight), size):
        yield block, weight[block].float() if takes_float32(weight) else weight[block]


def _slices(n: int, size: int) -> list[slice]:
    """0..n cut into stretches of `size`."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
