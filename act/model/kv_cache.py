"""What each row of a batch has read so far: keys and values of all layers, kept between turns.

act/model/sampler.py decides which conversation owns which row; the model sees the cache as just
another `Attention`. A *row* is one conversation's place in the batch, index B of the arrays below,
a *slot* the place of one token in a row, index S; a beginning that rows share, the *trunk*, is kept
once. Who is not interested in decoding can skip both files.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from act.model.llama import Attention, Llama, LlamaConfig
from kernels.cached_attention import cached_attention

ROOM = 256  # slots more than asked for, when room is made, so that it is made seldom
KEYS = {"cuda": 64, "meta": 64}  # attended to in multiples of so many: shapes repeat, and fit


def tokens_that_fit(model: Llama) -> int:
    """Tokens whose keys and values 7/8 of a GPU's free memory hold, the rest being for what a pass
    computes; elsewhere any number."""
    if model.device.type != "cuda":
        return sys.maxsize
    free, _ = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device)  # what PyTorch holds and does not use
    free -= torch.cuda.memory_allocated(model.device)
    config = model.config
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    return free * 7 // 8 // (numbers * model.head.dtype.itemsize)


class KVCache:
    """Keys and values of what each row has read so far; an `Attention` that appends and attends.

    Row b holds `lengths[b]` tokens, the trunk's first if it is on it, the others in own slots from
    0 on. New tokens are written behind them, right-padded: a pad's slot lies behind the row's
    length, is masked, and is overwritten by the row's next token. Taking tokens back is setting a
    smaller length; the caller raises it after each forward pass by the real tokens fed. What is
    where is known without asking the device, which would be waited for.
    """

    def __init__(self, config: LlamaConfig, device: torch.device, dtype: torch.dtype):
        layers, K, D = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        self.layers, self.device = layers, device
        like = {"device": device, "dtype": dtype}
        # keys of layer 0, 1, ..., then values: (B, K, S, D) each, so that room is made one by one
        self.own_kv = [torch.empty(0, K, 0, D, **like) for _ in range(2 * layers)]
        self.trunk = [torch.empty(K, 0, D, **like) for _ in range(2 * layers)]  # (K, P, D) each
        self.lengths: list[int] = []  # of each row
        self.on_trunk: list[bool] = []

    @property
    def slots(self) -> int:
        """Slots that each row has."""
        return self.own_kv[0].shape[2]

    def add_rows(self, rows: int) -> None:
        """More rows, empty: their memory is taken when they are first read into."""
        self.lengths += [0] * rows
        self.on_trunk += [False] * rows

    def grow(self, rows: int = 0, slots: int = 0) -> None:
        """Make room for the first `rows` rows, `slots` own tokens each; rows that are gone go."""
        B, _, S, _ = self.own_kv[0].shape
        if rows > B or slots > S:
            more_rows = max(rows, min(B, len(self.lengths))) - B
            more_slots = slots + ROOM - S if slots > S else 0
            for i, x in enumerate(self.own_kv):
                self.own_kv[i] = F.pad(x, (0, 0, 0, more_slots, 0, 0, 0, more_rows))

    def own(self, row: int) -> int:
        """How many of a row's tokens stand in its own slots."""
        return self.lengths[row] - self.on_trunk[row] * self.trunk[0].shape[1]

    def arrange(self, order: list[int]) -> None:
        """Make row i what row order[i] was; rows that `order` does not name, the last, are gone."""
        moved = [row for row, source in enumerate(order) if row != source]
        self.lengths, self.on_trunk = (
            [by_row[source] for source in order] for by_row in (self.lengths, self.on_trunk)
        )
        n = max(map(self.own, moved), default=0)
        if n:
            self.grow(rows=len(order))
            sources = [order[row] for row in moved]
            to, source = torch.tensor([moved, sources], device=self.device)
            for x in self.own_kv:
                x[to, :, :n] = x[source, :, :n]

    def copy(self, source: int, row: int, tokens: int) -> None:
        """Make a row's tokens the first of row `source`, at least all that it has on the trunk."""
        n = tokens - (self.lengths[source] - self.own(source))
        self.grow(rows=row + 1)
        for x in self.own_kv:
            x[row, :, :n] = x[source, :, :n]
        self.lengths[row], self.on_trunk[row] = tokens, self.on_trunk[source]

    def plant(self, row: int, tokens: int) -> None:
        """Make a row's first tokens the trunk, and put the row on it."""
        n = self.lengths[row]
        self.trunk = [x[row, :, :tokens].clone() for x in self.own_kv]
        self.on_trunk[row] = True
        slots = max(map(self.own, range(len(self.lengths)))) + ROOM  # that are still needed
        for i, x in enumerate(self.own_kv):
            x[row, :, : n - tokens] = x[row, :, tokens:n].clone()
            self.own_kv[i] = x[:, :, :slots].clone()

    def shorten(self, tokens: int) -> None:
        """Keep the trunk's first tokens alone; the rows on it take the others into own slots."""
        own = {row: self.own(row) for row, on in enumerate(self.on_trunk) if on}
        rest = self.trunk[0].shape[1] - tokens
        self.grow(slots=max(own.values()) + rest)
        for x, trunk in zip(self.own_kv, self.trunk, strict=True):
            for row, n in own.items():
                x[row, :, rest : rest + n] = x[row, :, :n].clone()
                x[row, :, :rest] = trunk[:, tokens:]
        self.trunk = [trunk[:, :tokens].clone() for trunk in self.trunk]

    def attend(self, rows: slice, new: list[int]) -> tuple[Tensor, Attention]:
        """The next `new` tokens of each of `rows`, padded to T: their positions (B, T), and the
        attention of one pass."""
        own, T = [self.own(row) for row in range(rows.start, rows.stop)], max(new)
        padded = min(new) < T
        # room for each row's tokens, and a slot behind them for all pads that would go further
        needed = max(map(sum, zip(own, new, strict=True))) + padded
        multiple = KEYS.get(self.device.type, 1)
        S = -(-needed // multiple) * multiple
        self.grow(rows.stop, S)
        known = [self.lengths[rows], own, self.on_trunk[rows]]
        before, behind, on_trunk = torch.tensor(known, device=self.device)  # (B,) each
        ahead = torch.arange(T, device=self.device)
        positions, slots = before[:, None] + ahead, behind[:, None] + ahead  # (B, T) each
        if padded:
            slots = slots.clamp(max=S - 1)
        row = torch.arange(rows.start, rows.stop, device=self.device)[:, None]  # (B, 1)
        seen = torch.arange(S, device=self.device) <= slots[:, :, None]  # (B, T, S)
        mask = torch.zeros(seen.shape, device=self.device, dtype=self.own_kv[0].dtype)
        mask.masked_fill_(~seen, -torch.inf)
        used = any(self.on_trunk[rows])

        def attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            both = layer, self.layers + layer
            for i, x in zip(both, (k, v), strict=True):
                self.own_kv[i][row, :, slots] = x.transpose(1, 2)  # (B, T, K, D)
            keys, values = (self.own_kv[i][rows, :, :S] for i in both)  # (B, K, S, D)
            trunk = tuple(self.trunk[i] for i in both) if used else None  # (K, P, D)
            return cached_attention(q, keys, values, mask, trunk, on_trunk)

        return positions, attention
