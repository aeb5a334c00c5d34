"""One token a row of logits: the most probable, or one drawn from the nucleus (Holtzman et al.
2019), the fewest tokens that reach top_p together. Each reply draws from a random stream of its own
seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

NUCLEUS = 1024  # most probable tokens among which a nucleus is looked for first: sorting is slow


@dataclass(frozen=True)
class Sampling:
    """0 is greedy; top_p keeps the fewest tokens that reach it. None: not ours to set."""

    temperature: float | None
    top_p: float | None
    max_new_tokens: int | None


def uniforms(seed: int) -> Iterator[float]:
    """A random stream of numbers in [0, 1)."""
    stream = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.rand(32, generator=stream).tolist()


def pick(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> Tensor:
    """One token a row, (B,), of logits (B, V): greedy, or the nucleus's inverse CDF at `uniforms`
    (B,) in [0, 1)."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probs = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p >= 1:
        return _draw(probs, uniforms)
    top, ids = probs.topk(min(NUCLEUS, probs.shape[-1]))
    if (top.sum(-1) < sampling.top_p).any():  # a flat distribution: its nucleus is wider
        top, ids = probs.sort(-1, descending=True)
    before = top.cumsum(-1) - top  # (B, n): how probable the tokens before each are together
    nucleus = top.masked_fill((before >= sampling.top_p) & (before > 0), 0)
    return ids.gather(-1, _draw(nucleus, uniforms)[:, None]).squeeze(-1)


def _draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One index a row, (B,), with probability in proportion to `weights` (B, N)."""
    cdf = weights.cumsum(-1)
    chosen = (cdf <= uniforms[:, None].to(cdf) * cdf[:, -1:]).sum(-1)
    behind = (weights > 0).flip(-1).int().argmax(-1)  # zeros at the end
    last = weights.shape[-1] - 1 - behind
    return torch.minimum(chosen, last)  # u * total may round up to the total
