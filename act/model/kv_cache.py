"""What each row of a batch has read so far: keys and values of all layers, kept between the turns of a session."""

import torch
import torch.nn.functional as F
from torch import Tensor

from act.model.llama import Attention, LlamaConfig


class KVCache:
    """Keys and values of what each row has read so far; an `Attention` that appends and attends.

    Row b of a batch holds `lengths[b]` tokens in slots 0..lengths[b]-1. New tokens are written behind them,
    right-padded where rows have unequal numbers of new ones: a pad's slot lies behind the row's length, is
    masked, and is overwritten by the row's next token. Taking tokens back is setting a smaller length.
    The caller sets `lengths` after each forward pass by the number of real tokens fed.
    """

    def __init__(self, config: LlamaConfig, rows: int, slots: int, device: torch.device, dtype: torch.dtype):
        shape = (config.num_hidden_layers, rows, config.num_key_value_heads, slots, config.head_dim)
        self.k = torch.zeros(shape, device=device, dtype=dtype)  # (layers, B, K, S, D)
        self.v = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)  # (B,)

    def positions(self, rows: slice, T: int) -> Tensor:
        """Positions (B, T) that the next T tokens of `rows` take."""
        return self.lengths[rows, None] + torch.arange(T, device=self.lengths.device)

    def grow(self, rows: int = 0, slots: int = 0) -> None:
        """Make room for `rows` rows of `slots` tokens; slots at least double, so that growing is rare."""
        _, B, _, S, _ = self.k.shape
        more_rows = max(0, rows - B)
        more_slots = max(slots, 2 * S) - S if slots > S else 0
        if more_rows or more_slots:
            self.k, self.v = (F.pad(x, (0, 0, 0, more_slots, 0, 0, 0, more_rows)) for x in (self.k, self.v))
            self.lengths = F.pad(self.lengths, (0, more_rows))

    def swap(self, a: int, b: int) -> None:
        """Exchange two rows."""
        for x in (self.k[:, :, :, : int(self.lengths.max())], self.v[:, :, :, : int(self.lengths.max())]):
            x[:, [a, b]] = x[:, [b, a]]
        self.lengths[[a, b]] = self.lengths[[b, a]]

    def copy(self, source: int, row: int, tokens: int) -> None:
        """Make a row's first tokens those of row `source`, and all it holds."""
        for x in (self.k, self.v):
            x[:, row, :, :tokens] = x[:, source, :, :tokens]
        self.lengths[row] = tokens

    def attend(self, rows: slice, positions: Tensor) -> Attention:
        """The attention of one forward pass over the new tokens of `rows` at `positions` (B, T)."""
        S = int(positions.max()) + 1
        self.grow(slots=S)
        row = torch.arange(rows.start, rows.stop, device=positions.device)[:, None]
        mask = torch.arange(S, device=positions.device) <= positions[:, None, :, None]  # (B, 1, T, S)

        def attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.k[layer][row, :, positions] = k.transpose(1, 2)
            self.v[layer][row, :, positions] = v.transpose(1, 2)
            keys, values = self.k[layer, rows, :, :S], self.v[layer, rows, :, :S]
            return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=True)

        return attention
