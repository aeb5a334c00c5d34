"""Llama 3.2 by hand: token ids in, hidden states out; the head is applied by whoever needs logits.

What attends to what is passed in as `attention`: `causal` for plain text, `branching`, a prefix
tree's, in training, or a cache's in decoding. Parameter names are Hugging Face's, so a checkpoint
loads by name alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from act.records import require
from kernels.linear import linear
from kernels.runs import Run
from kernels.tree_attention import tree_attention

STRETCH = {"cpu": 1024}  # tokens; on other devices
LONG_STRETCH = 4096
COMPUTED = {  # of config.json, what is computed; the first where none is given, but for model_type
    "model_type": ("llama", "mistral"),
    "rope_type": ("default", "llama3"),
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1.0,),
}
EACH = {"architectures": "...ForCausalLM", "layer_types": "full_attention"}  # ends so
LIMITS = {"num_hidden_layers": 1000, "num_attention_heads": 1000, "rope_theta": 10**15}
LARGEST = 10_000_000  # of all other numbers
UNQUANTISED = "take the model's own folder, in bfloat16 or float32"
MAY_BE_0 = ("rms_norm_eps", "num_hidden_layers")
ROPE_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")

Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, q (B, H, T, D), k (B, K, T, D), v (B, K, T, D)) -> (B, H, T, D): B texts of T tokens, H
query and K key heads of D numbers. `layer` tells a cache whose keys these are."""


@dataclass(frozen=True)
class LlamaConfig:
    """The fields of `config.json` that change the computation, under their Hugging Face names."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict | None = None
    tie_word_embeddings: bool = False

    @classmethod
    def from_dict(cls, raw: dict) -> "LlamaConfig":
        """Of a `config.json` with `rope_scaling` or, newer, `rope_parameters`.

        Raises ValueError for another architecture, a setting this model does not compute, and a
        field that is missing, of another type or out of range.
        """
        # 1. is it computed here?
        if quantised := raw.get("quantization_config"):
            method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
            raise ValueError(f"its weights are quantised ({method}); {UNQUANTISED}")
        rope_name = "rope_parameters" if raw.get("rope_parameters") else "rope_scaling"
        rope = raw.get(rope_name) or {}
        require({rope_name: rope}, {rope_name: dict})
        if any(isinstance(value, dict) for value in rope.values()):
            raise ValueError(f"{rope_name} tells kinds of layers apart; one for all is read")
        rope_type = rope.get("rope_type", rope.get("type", "default"))
        # without a model_type (None) it is refused: it may be of another architecture
        check_computed({"model_type": None} | raw | rope | {"rope_type": rope_type})
        # 2. all fields: the class's own values are the defaults, and two may be null
        values = vars(cls) | raw
        values["rope_theta"] = rope.get("rope_theta", values["rope_theta"])
        values["rope_scaling"] = None
        if rope_type == "llama3":
            require(rope, dict.fromkeys(ROPE_SCALING, float | int))
            values["rope_scaling"] = {name: rope[name] for name in ROPE_SCALING}
        H, C = values.get("num_attention_heads"), values.get("hidden_size")
        if values.get("num_key_value_heads") is None:
            values["num_key_value_heads"] = H
        if values.get("head_dim") is None and isinstance(H, int) and isinstance(C, int):
            values["head_dim"] = C // max(H, 1)
        # 3. are they of their types, and possible?
        numbers = {int: int, float: float | int}
        kinds = {field.name: numbers.get(field.type, field.type) for field in fields(cls)}
        require(values, kinds)
        config = cls(**{name: values[name] for name in kinds})
        config.check_numbers()
        if raw["model_type"] == "mistral":
            # without the key transformers takes 4096; null: none
            config.check_window(raw.get("sliding_window", 4096))
        return config

    def check_numbers(self) -> None:
        """Raises ValueError for numbers that no model can have."""
        scaling = self.rope_scaling or {}
        for name, value in (vars(self) | scaling).items():
            if name in ("rope_scaling", "tie_word_embeddings"):  # no numbers
                continue
            largest = LIMITS.get(name, LARGEST)
            allowed = 0 < value <= largest or (value == 0 and name in MAY_BE_0)
            if not allowed:
                limits = f"above 0, {largest:,} at most"
                raise ValueError(f'"{name}" is {value}, out of range: {limits}')
        if scaling and scaling["low_freq_factor"] >= (high := scaling["high_freq_factor"]):
            said = f"low_freq_factor is {scaling['low_freq_factor']}"
            raise ValueError(f"{said}, not below high_freq_factor, {high}")
        H, K, D = self.num_attention_heads, self.num_key_value_heads, self.head_dim
        if H % K or D % 2:
            said = f"{H} heads of {D} numbers, and {K} for keys and values"
            raise ValueError(f"{said}: those must share these evenly, and each be of an even width")

    def check_window(self, window: int | None) -> None:
        """Raises ValueError where attention slides within the context: this model's does not."""
        require({"sliding_window": window}, {"sliding_window": int | None})
        L = self.max_position_embeddings
        if window is not None and window < L:
            said = f"sliding_window is {window}, below max_position_embeddings, {L}"
            raise ValueError(f"{said}: not computed; with {window} for both it is the same")


def check_computed(said: dict) -> None:
    """Raises ValueError for a setting of a config.json that is not computed here."""
    for name, computed in COMPUTED.items():
        value = said.get(name, computed[0])
        if value not in computed:
            readable = " or ".join(map(repr, computed))
            raise ValueError(f"{name} is {value!r}; only {readable} is read")
    for name, end in EACH.items():
        values = said.get(name)
        require({name: values}, {name: list | None})
        for value in values or ():
            if not str(value).endswith(end.lstrip(".")):
                raise ValueError(f"{name} holds {value!r}; only {end} is read")


def rope_frequencies(config: LlamaConfig) -> Tensor:
    """Angle per position of each pair of dimensions, theta^(-2i/D), (D/2,) float32.

    With `rope_scaling` llama3 (transformers' modeling_rope_utils): wavelengths longer than
    L/low_freq_factor are slowed by `factor`, shorter than L/high_freq_factor stay; between,
    linearly in L/wavelength.
    """
    D = config.head_dim
    frequencies = 1.0 / config.rope_theta ** (torch.arange(0, D, 2, dtype=torch.int64).float() / D)
    if config.rope_scaling is None:
        return frequencies
    scaling = config.rope_scaling
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    L = scaling["original_max_position_embeddings"]
    turns = L * frequencies / (2 * math.pi)  # L / wavelength
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return keep * frequencies + (1 - keep) * frequencies / scaling["factor"]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021, eq. 34), of pairs (x_i, x_{i + D/2}): halves.

    x (B, T, H, D), cos and sin (B, T, 1, D/2).
    """
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


def causal(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Plain causal attention. Right padding needs no mask: what stands to the right is not seen."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def branching(runs: list[Run]) -> Attention:
    """Causal attention along each branch of a prefix tree (act/model/prefix_tree.py)."""
    return lambda layer, q, k, v: tree_attention(q, k, v, runs)


class Linear(nn.Linear):
    """x W', without a bias."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, in float32 (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:  # the same as one kernel
            return self.weight * F.rms_norm(x, x.shape[-1:], eps=self.eps)
        x32 = x.float()
        # (B, T, 1): one over the root of each token's mean square
        scale = torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * (x32 * scale).to(x.dtype)


class SelfAttention(nn.Module):
    """Grouped-query attention: H query heads share K key/value heads (Ainslie et al. 2023)."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        C, self.D = config.hidden_size, config.head_dim
        H, K = config.num_attention_heads, config.num_key_value_heads
        self.q_proj = Linear(C, H * self.D)
        self.k_proj = Linear(C, K * self.D)
        self.v_proj = Linear(C, K * self.D)
        self.o_proj = Linear(H * self.D, C)


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (Shazeer 2020, eq. 6)."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def by_stretches(
    part: Callable[..., tuple[Tensor, ...]], tensors: tuple[Tensor, ...], keep: int | None
) -> tuple[Tensor, ...]:
    """`part`, which treats each token alone, of tensors (B, T, ...), over stretches of tokens.

    On a CPU a stretch's activations stay in its cache. Stretches that end after token `keep` (None:
    none) are computed again in the backward pass (activation checkpointing, Chen et al. 2016).
    """
    stretch = STRETCH.get(tensors[0].device.type, LONG_STRETCH)
    outs, end = [], 0  # of each stretch
    for pieces in zip(*(x.split(stretch, dim=1) for x in tensors), strict=True):
        # a stretch of each tensor, (B, stretch, ...)
        end += pieces[0].shape[1]
        if keep is None or end <= keep or not torch.is_grad_enabled():
            outs.append(part(*pieces))
        else:
            outs.append(checkpoint(part, *pieces, use_reentrant=False, preserve_rng_state=False))
    if len(outs) == 1:
        return outs[0]
    return tuple(torch.cat(pieces, dim=1) for pieces in zip(*outs, strict=True))


class Block(nn.Module):
    """One layer: x + o_proj(attention(norm(x))), then x + mlp(norm(x))."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = SelfAttention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def before(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        """Each token before attention: q (B, T, H, D), k and v (B, T, K, D) of x (B, T, C)."""
        x, attn = self.input_layernorm(x), self.self_attn
        projections = (attn.q_proj, attn.k_proj, attn.v_proj)
        q, k, v = (proj(x).unflatten(-1, (-1, attn.D)) for proj in projections)
        return rotate(q, cos, sin), rotate(k, cos, sin), v  # q and k know their positions

    def after(self, x: Tensor, out: Tensor) -> tuple[Tensor]:
        """Each token after it: x (B, T, C) with attention's out (B, T, H, D) and the MLP added."""
        x = x + self.self_attn.o_proj(out.flatten(2))
        return (x + self.mlp(self.post_attention_layernorm(x)),)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, i: int, attention: Attention, keep: int | None
    ) -> Tensor:
        # 1. q (B, T, H, D), k and v (B, T, K, D) of each token; this is layer i
        q, k, v = by_stretches(self.before, (x, cos, sin), keep)
        # 2. tokens look at one another: heads first, (B, H, T, D)
        out = attention(i, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        # 3. each token takes what it found, and thinks
        return by_stretches(self.after, (x, out.transpose(1, 2)), keep)[0]


class Body(nn.Module):
    """Everything under the head; named `model` in Hugging Face's checkpoints."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(nn.Module):
    """A decoder-only Llama: `model.logits(model(ids))` are (B, T, V) of ids (B, T)."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.model = Body(config)
        if not config.tie_word_embeddings:
            self.lm_head = Linear(config.hidden_size, config.vocab_size)

    @property
    def head(self) -> Tensor:
        """The output matrix, (V, C): the embedding itself where the two are tied."""
        tied = self.config.tie_word_embeddings
        return self.model.embed_tokens.weight if tied else self.lm_head.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of all tokens, (..., V), of hidden states (..., C); for decoding."""
        return linear(hidden, self.head)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and so where token ids must be."""
        return self.head.device

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        attention: Attention = causal,
        keep: int | None = None,
    ) -> Tensor:
        """Hidden states after the last norm, (B, T, C), of token ids (B, T).

        `positions` (B, T) or (1, T) are the tokens' places in their text, by default 0..T-1. `keep`
        tokens' activations are kept for the backward pass (None: all); see `by_stretches`.
        """
        _, T = ids.shape
        if positions is None:
            positions = torch.arange(T, device=ids.device)[None]
        x = self.model.embed_tokens(ids)  # (B, T, C)
        frequencies = rope_frequencies(self.config).to(ids.device)
        angles = positions[:, :, None, None].float() * frequencies  # (B, T, 1, D/2)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for i, block in enumerate(self.model.layers):
            x = block(x, cos, sin, i, attention, keep)
        return self.model.norm(x)
