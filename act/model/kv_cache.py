"""What each row of a batch has read so far: keys and values of all layers, kept between the turns
of a session.

act/model/sampler.py decides which conversation owns which row and feeds it only what is new; the
model sees the cache as just another `Attention`. A beginning that all rows share, the trunk, is
kept once.

A *row* is one conversation's place in the batch: index B of the arrays below. A *slot* is a place
for one token in a row: index S. Who is not interested in decoding can skip both files.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from act.model.llama import Attention, LlamaConfig
from kernels.cached_attention import cached_attention

ROOM = 256  # slots more than asked for, when room is made, so that it is made seldom


class KVCache:
    """Keys and values of what each row has read so far; an `Attention` that appends and attends.

    Row b holds `lengths[b]` tokens. Those of a row on the trunk begin with the trunk's tokens,
    which are kept once for all rows; the others stand in the row's own slots, from 0 on. New tokens
    are written behind them, right-padded where rows have unequal numbers of new ones: a pad's slot
    lies behind the row's length, is masked, and is overwritten by the row's next token. Taking
    tokens back is setting a smaller length. The caller sets `lengths` after each forward pass by
    the number of real tokens fed.
    """

    def __init__(
        self, config: LlamaConfig, rows: int, slots: int, device: torch.device, dtype: torch.dtype
    ):
        shape = (config.num_hidden_layers, rows, config.num_key_value_heads, slots, config.head_dim)
        self.k = torch.zeros(shape, device=device, dtype=dtype)  # (layers, B, K, S, D)
        self.v = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)  # (B,)
        self.on_trunk = torch.zeros(rows, dtype=torch.long, device=device)  # (B,) 0 or 1
        self.trunk: tuple[Tensor, Tensor] | None = None  # keys and values, (layers, K, P, D)

    def positions(self, rows: slice, T: int) -> Tensor:
        """Positions (B, T) that the next T tokens of `rows` take."""
        return self.lengths[rows, None] + torch.arange(T, device=self.lengths.device)

    def grow(self, rows: int = 0, slots: int = 0) -> None:
        """Make room for `rows` rows of `slots` own tokens."""
        _, B, _, S, _ = self.k.shape
        more_rows = max(0, rows - B)
        more_slots = slots + ROOM - S if slots > S else 0
        if more_rows or more_slots:
            self.k = F.pad(
                self.k, (0, 0, 0, more_slots, 0, 0, 0, more_rows)
            )  # one, then the other: the old keys
            self.v = F.pad(
                self.v, (0, 0, 0, more_slots, 0, 0, 0, more_rows)
            )  # are gone when the values come
            self.lengths, self.on_trunk = (
                F.pad(x, (0, more_rows)) for x in (self.lengths, self.on_trunk)
            )

    def own(self, row: int) -> int:
        """How many of a row's tokens stand in its own slots."""
        trunk = self.trunk[0].shape[2] if self.trunk else 0
        return int(self.lengths[row] - self.on_trunk[row] * trunk)

    def swap(self, a: int, b: int) -> None:
        """Exchange two rows."""
        n = max(self.own(a), self.own(b))
        for x in (self.k[:, :, :, :n], self.v[:, :, :, :n]):
            x[:, [a, b]] = x[:, [b, a]]
        for x in (self.lengths, self.on_trunk):
            x[[a, b]] = x[[b, a]]

    def copy(self, source: int, row: int, tokens: int) -> None:
        """Make a row's tokens the first ones of row `source`; all of the trunk's if it is on the
        trunk."""
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
        """Keep only the trunk's first tokens as trunk; the rows on it take the others into their
        own slots."""
        rows = self.on_trunk.nonzero().flatten().tolist()
        own = [self.own(row) for row in rows]
        rest = self.trunk[0].shape[2] - tokens
        self.grow(slots=max(own) + rest)
        for x, trunk in zip((self.k, self.v), self.trunk, strict=True):
            for row, n in zip(rows, own, strict=True):
                x[:, row, :, rest : rest + n] = x[:, row, :, :n].clone()
                x[:, row, :, :rest] = trunk[:, :, tokens:]
        self.trunk = tuple(trunk[:, :, :tokens].clone() for trunk in self.trunk)

    def attend(self, rows: slice, positions: Tensor) -> Attention:
        """The attention of one forward pass over the new tokens of `rows` at `positions` (B, T)."""
        on_trunk = self.on_trunk[rows]
        used = self.trunk is not None and bool(on_trunk.any())
        slots = positions - on_trunk[:, None] * self.trunk[0].shape[2] if used else positions
        S = int(slots.max()) + 1
        self.grow(slots=S)
        row = torch.arange(rows.start, rows.stop, device=positions.device)[:, None]
        seen = torch.arange(S, device=positions.device) <= slots[:, :, None]  # (B, T, S)
        mask = torch.zeros(seen.shape, device=seen.device, dtype=self.k.dtype).masked_fill_(
            ~seen, -torch.inf
        )

        def attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.k[layer][row, :, slots] = k.transpose(1, 2)
            self.v[layer][row, :, slots] = v.transpose(1, 2)
            keys, values = self.k[layer, rows, :, :S], self.v[layer, rows, :, :S]
            trunk = (self.trunk[0][layer], self.trunk[1][layer]) if used else None
            return cached_attention(q, keys, values, mask, trunk, on_trunk)

        return attention
