"""Causal attention over a prefix tree: sequences that begin alike share the tokens, keys and work of that beginning.

The tree's tokens lie flat in one row, run after run. A run is a stretch of tokens that follow one another; what comes
before it on its path from the root are pieces of earlier runs, each a contiguous slice of the row.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right


@dataclass(frozen=True)
class Run:
    """Tokens start..stop-1 of the flat row; `path` are the slices of the row that come before them, root first."""

    start: int
    stop: int
    path: tuple[tuple[int, int], ...] = ()

    @property
    def depth(self) -> int:
        """Position of the run's first token in its text."""
        return sum(stop - start for start, stop in self.path)


def tree_attention(q: Tensor, k: Tensor, v: Tensor, runs: list[Run]) -> Tensor:
    """Each token attends to its path and, causally, to its own run: q (1, H, T, D), k and v (1, K, T, D).

    Equals plain causal attention on every root-to-leaf sequence. Keys of the path are joined to the run's own, and
    the causal bias is aligned lower right: query i of t sees the first S - t + i + 1 of S keys.
    """
    out = []
    for run in runs:
        queries = q[:, :, run.start : run.stop]
        if not run.path:
            keys, values = k[:, :, run.start : run.stop], v[:, :, run.start : run.stop]
            out.append(F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True))
            continue
        slices = [*run.path, (run.start, run.stop)]
        keys, values = (torch.cat([x[:, :, a:b] for a, b in slices], dim=2) for x in (k, v))
        bias = causal_lower_right(queries.shape[2], keys.shape[2])
        out.append(F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, enable_gqa=True))
    return torch.cat(out, dim=2)
