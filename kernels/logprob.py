"""Fused linear + log-prob: log p(y | h) under softmax(h W'), without ever holding all logits.

    log p(y) = h . W_y - lse(h W')            d log p(y) / dh = W_y - softmax(h W') W

The gradient's last term is attention with query h and keys = values = W, the value's last its
log-sum-exp, so one pass over blocks of the vocabulary gives both, with the running maximum and sum
of flash attention (Dao et al. 2022, alg. 1). With a frozen head (LoRA) that is all: g, the gradient
above, is saved, and backward is an elementwise product. A trainable head computes the blocks once
more for d log p(y) / dW = (onehot(y) - softmax)' h. docs/kernel.md derives it.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from kernels.linear import product, takes_cuda, takes_float32

LOG2_E = math.log2(math.e)
ROWS = 1024  # tokens that go through the head together
BLOCK_LOGITS = {"cpu": 2**21, "cuda": 2**24}  # logits at a time: 8 and 64 MiB of float32


def naive_logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """What `logprob` replaces, by way of all logits (N, V) at once; for reading and tests."""
    _check(hidden, weight, targets)
    logps = torch.log_softmax((hidden @ weight.T).float(), dim=-1)  # (N, V)
    return logps.gather(1, targets[:, None]).squeeze(1)


def logprob(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target token in nats, (N,) float32; (K1) of docs/kernel.md.

    hidden (N, C): hidden states at the positions that have a target; weight (V, C): the head;
    targets (N,): ids 0..V-1. Gradients reach `hidden`, and `weight` if it is trainable. Raises
    ValueError where the shapes do not fit, and for a target that is no row of the head.
    """
    _check(hidden, weight, targets)
    return _LogProb.apply(hidden, weight, targets, torch.is_grad_enabled() and hidden.requires_grad)


def _check(hidden: Tensor, weight: Tensor, targets: Tensor) -> None:
    matrices = hidden.ndim == weight.ndim == 2
    if not matrices or targets.shape != hidden.shape[:1] or hidden.shape[1] != weight.shape[1]:
        shapes = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}"
        raise ValueError(f"{shapes}, targets {tuple(targets.shape)}: want (N, C), (V, C), (N,)")
    outside = (targets < 0) | (targets >= len(weight))
    if outside.any():  # a GPU is waited for, once a call
        first = int(outside.int().argmax())
        said = f"target {first} is {targets[first].item()}, outside 0..{len(weight) - 1}"
        raise ValueError(f"{said}: leave out what has no target, -100 too")


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, with_g: bool) -> Tensor:
        logps, tops, totals = (torch.empty_like(targets, dtype=torch.float32) for _ in range(3))
        g = torch.empty_like(hidden) if with_g else None  # (N, C)
        read_head = _by_softmax if takes_cuda(hidden) else _by_running_sum
        for rows in _slices(len(hidden), ROWS):
            h, y = hidden[rows], targets[rows, None]  # (n, C), (n, 1)
            # (n, 1): z_y of (K4), s and a of (K3); (n, C): u
            target_logit, top, total, weighted = read_head(h, weight, y, with_g)
            logps[rows] = (target_logit - top - total.log()).squeeze(1)  # (K4)
            tops[rows], totals[rows] = top.squeeze(1), total.squeeze(1)
            if with_g:  # (K2), (11) of docs/orpo.md
                g[rows] = weight[targets[rows]] - weighted.div_(total)
        # A frozen head's gradient needs g alone: g takes the place of the hidden states.
        kept = hidden if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(kept, weight, targets, tops, totals, g)
        return logps

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, targets, tops, totals, g = ctx.saved_tensors
        to_hidden = (upstream[:, None] * g).to(g.dtype) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_hidden, None, None, None
        to_weight = torch.empty_like(weight)  # (V, C)
        for block, W in _blocks(weight, len(targets)):
            gradient = 0  # of the block's weights, (v, C)
            for rows in _slices(len(targets), ROWS):
                here, inside = _in_block(targets[rows, None], block)
                r = upstream[rows, None]  # (n, 1), (K5)
                # (n, v): -r softmax, then (K6), r (onehot(y) - softmax)
                residual = _exp(_product32(hidden[rows], W).sub_(tops[rows, None]))
                residual.mul_(-r / totals[rows, None])
                residual.scatter_add_(1, here, r * inside)
                part = product(residual.to(W.dtype).t(), hidden[rows].to(W.dtype).t())
                gradient = gradient.float().add_(part) if rows.start else part
            to_weight[block] = gradient
        return to_hidden, to_weight, None, None


def _by_running_sum(h: Tensor, weight: Tensor, y: Tensor, with_g: bool) -> tuple[Tensor, ...]:
    """z_y, a, s (n, 1 each) and u (n, C) of (K3) after all blocks; without `with_g` no u."""
    target_logit = total = h.new_zeros(len(h), 1, dtype=torch.float32)
    top = torch.full_like(total, -torch.inf)
    weighted = torch.zeros_like(h, dtype=torch.float32) if with_g else None
    for block, W in _blocks(weight, len(h)):
        logits = _product32(h, W)  # (n, v)
        target_logit = _with_targets(target_logit, logits, y, block)
        new_top = torch.maximum(top, logits.amax(1, keepdim=True))
        shrink = (top - new_top).exp_()  # 0 at the first block
        exps = _exp(logits.sub_(new_top))
        total = total * shrink + exps.sum(1, keepdim=True)  # (K3)
        if with_g:
            weighted.mul_(shrink).add_(_product32(exps.to(W.dtype), W.t()))
        top = new_top
    return target_logit, top, total, weighted


def _by_softmax(h: Tensor, weight: Tensor, y: Tensor, with_g: bool) -> tuple[Tensor, ...]:
    """The same for a GPU, on which every pass over a block's logits counts: one fused log_softmax.

    Blocks are joined by (T3) and (T4) of docs/tree.md: a is the log-sum-exp so far, s is 1.
    """
    target_logit = h.new_zeros(len(h), 1, dtype=torch.float32)
    top = torch.full_like(target_logit, -torch.inf)
    mean = torch.zeros_like(h, dtype=torch.float32) if with_g else None
    for block, W in _blocks(weight, len(h)):
        logits = _product32(h, W)  # (n, v)
        target_logit = _with_targets(target_logit, logits, y, block)
        log_p = logits.log_softmax(1)  # within the block
        block_lse = logits[:, :1] - log_p[:, :1]  # z - log p is the same for every token
        if with_g:
            p = torch.exp(log_p, out=torch.empty_like(log_p, dtype=W.dtype))  # in one pass
            mean.lerp_(_product32(p, W.t()), torch.sigmoid(block_lse - top))
        top = torch.logaddexp(top, block_lse)
    return target_logit, top, torch.ones_like(top), mean


def _with_targets(target_logit: Tensor, logits: Tensor, y: Tensor, block: slice) -> Tensor:
    """z_y (n, 1) of (K4), with those whose target is in this block of logits (n, v)."""
    here, inside = _in_block(y, block)
    return torch.where(inside, logits.gather(1, here), target_logit)


def _product32(h: Tensor, W: Tensor) -> Tensor:
    """h W' in float32, (n, v), a tensor of its own; a CPU's bfloat16 product is rounded first."""
    if h.dtype == torch.bfloat16 and takes_cuda(h):
        return torch.mm(h, W.t(), out_dtype=torch.float32)
    if h.dtype == W.dtype:
        return product(h, W).float()
    return product(h.float(), W)


def _exp(x: Tensor) -> Tensor:
    """e^x in place, as 2^(x log2 e): a CPU's exp takes 3 times as long, 40 where it underflows."""
    return x.mul_(LOG2_E).exp2_()


def _in_block(targets: Tensor, block: slice) -> tuple[Tensor, Tensor]:
    """(place of each target in the block, whether it is there); any place if it is not."""
    here = targets - block.start
    return here.clamp(0, block.stop - block.start - 1), (here >= 0) & (targets < block.stop)


def _blocks(weight: Tensor, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """(rows of the head, their weights): `rows` tokens' logits fit BLOCK_LOGITS, W 4 times that."""
    room = BLOCK_LOGITS.get(weight.device.type, 2**24)
    size = max(1, min(room // max(1, min(rows, ROWS)), 4 * room // weight.shape[1]))
    for block in _slices(len(weight), size):
        yield block, weight[block].float() if takes_float32(weight) else weight[block]


def _slices(n: int, size: int) -> list[slice]:
    """0..n cut into stretches of `size`."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
