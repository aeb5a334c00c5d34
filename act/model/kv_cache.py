"""What each row of a batch has read so far: keys and values of all layers, kept between turns.

act/model/sampler.py decides which conversation owns which row; the model sees the cache as just
another `Attention`. A *row* is one conversation's place in the batch, index B of the arrays below,
a *slot* the place of one token in a row, index S; a beginning that rows share, the *trunk*, is kept
once. Who is not interested in decoding can skip both files.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from act.model.llama import Attention, LlamaConfig
from kernels.cached_attention import cached_attention

ROOM = 256  # slots more than asked for, when room is made, so that it is made seldom


class KVCache:
    """Keys and values of what each row has read so far; an `Attention` that appends and attends.

    Row b holds `lengths[b]` tokens, the trunk's first if it is on it, the others in own slots from
    0 on. New tokens are written behind them, right-padded: a pad's slot lies behind the row's
    length, is masked, and is overwritten by the row's next token. Taking tokens back is setting a
    smaller length; the caller raises it after each forward pass by the real tokens fed.
    """

    def __init__(
        self, config: LlamaConfig, rows: int, slots: int, device: torch.device, dtype: torch.dtype
    ):
        layers, K, D = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        self.k = torch.zeros(layers, rows, K, slots, D, device=device, dtype=dtype)
        self.v = torch.zeros_like(self.k)
        self.trunk = (self.k.new_zeros(layers, K, 0, D),) * 2  # keys and values (layers, K, P, D)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)  # (B,)
        self.on_trunk = torch.zeros_like(self.lengths)  # (B,) 0 or 1

    def positions(self, rows: slice, T: int) -> Tensor:
        """Positions (B, T) that the next T tokens of `rows` take."""
        return self.lengths[rows, None] + torch.arange(T, device=self.lengths.device)

    def grow(self, rows: int = 0, slots: int = 0) -> None:
        """Make room for `rows` rows of `slots` own tokens."""
        _, B, _, S, _ = self.k.shape
        more_rows = max(0, rows - B)
        more_slots = slots + ROOM - S if slots > S else 0
        if more_rows or more_slots:
            more = (0, 0, 0, more_slots, 0, 0, 0, more_rows)  # behind D, S, K and B
            self.k = F.pad(self.k, more)  # the old keys are gone when the values come
            self.v = F.pad(self.v, more)
            by_row = (self.lengths, self.on_trunk)
            self.lengths, self.on_trunk = (F.pad(x, (0, more_rows)) for x in by_row)

    def own(self, row: int) -> int:
        """How many of a row's tokens stand in its own slots."""
        return int(self.lengths[row] - self.on_trunk[row] * self.trunk[0].shape[2])

    def swap(self, a: int, b: int) -> None:
        """Exchange two rows."""
        n = max(self.own(a), self.own(b))
        for x in (self.k[:, :, :, :n], self.v[:, :, :, :n]):
            x[:, [a, b]] = x[:, [b, a]]
        for x in (self.lengths, self.on_trunk):
            x[[a, b]] = x[[b, a]]

    def copy(self, source: int, row: int, tokens: int) -> None:
        """Make a row's tokens the first of row `source`, at least all that it has on the trunk."""
        n = tokens - (int(self.lengths[source]) - self.own(source))
        for x in (self.k, self.v):
            x[:, row, :, :n] = x[:, source, :, :n]
        self.lengths[row], self.on_trunk[row] = tokens, self.on_trunk[source]

    def plant(self, row: int, tokens: int) -> None:
        """Make a row's first tokens the trunk, and put the row on it."""
        n = int(self.lengths[row])
        self.trunk = tuple(x[:, row, :, :tokens].clone() for x in (self.k, self.v))
        for x in (self.k, self.v):
            x[:, row, :, : n - tokens] = x[:, row, :, tokens:n].clone()
        self.on_trunk[row] = 1

    def shorten(self, tokens: int) -> None:
        """Keep the trunk's first tokens alone; the rows on it take the others into own slots."""
        rows = self.on_trunk.nonzero().flatten().tolist()
        own = {row: self.own(row) for row in rows}
        rest = self.trunk[0].shape[2] - tokens
        self.grow(slots=max(own.values()) + rest)
        for x, trunk in zip((self.k, self.v), self.trunk, strict=True):
            for row, n in own.items():
                x[:, row, :, rest : rest + n] = x[:, row, :, :n].clone()
                x[:, row, :, :rest] = trunk[:, :, tokens:]
        self.trunk = tuple(trunk[:, :, :tokens].clone() for trunk in self.trunk)

    def attend(self, rows: slice, positions: Tensor) -> Attention:
        """The attention of one forward pass over the new tokens of `rows` at `positions` (B, T)."""
        on_trunk = self.on_trunk[rows]
        slots = positions - on_trunk[:, None] * self.trunk[0].shape[2]  # (B, T)
        S = int(slots.max()) + 1
        self.grow(slots=S)
        row = torch.arange(rows.start, rows.stop, device=slots.device)[:, None]  # (B, 1)
        seen = torch.arange(S, device=slots.device) <= slots[:, :, None]  # (B, T, S)
        mask = torch.zeros(seen.shape, device=slots.device, dtype=self.k.dtype)
        mask.masked_fill_(~seen, -torch.inf)
        used = bool(on_trunk.any())

        def attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.k[layer][row, :, slots] = k.transpose(1, 2)  # (B, T, K, D)
            self.v[layer][row, :, slots] = v.transpose(1, 2)
            keys, values = self.k[layer, rows, :, :S], self.v[layer, rows, :, :S]  # (B, K, S, D)
            trunk = (self.trunk[0][layer], self.trunk[1][layer]) if used else None  # (K, P, D)
            return cached_attention(q, keys, values, mask, trunk, on_trunk)

        return attention
