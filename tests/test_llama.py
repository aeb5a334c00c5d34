"""The hand-written Llama against transformers, on the embedded model and on tiny random
checkpoints."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers import LlamaConfig as HFConfig

from act.model.checkpoint import load_model
from act.model.kv_cache import KVCache
from act.model.llama import Llama, LlamaConfig, rope_frequencies
from act.model.lora import attach, trainable
from act.model.sampler import Request, Sampler, Sampling
from tests.conftest import EMBEDDED
from tests.llama_3b import LLAMA3_ROPE, LLAMA_3B
from tests.replies import decode

PROMPTS = (
    "What is the capital of France?",
    "Name three colours.",
    "I could not get up this morning, and I do not know why.",
    "Write one sentence about the sea.",
    "Who was Ada Lovelace?",
)


@pytest.fixture(scope="module")
def reference():
    return AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)


def tiny_checkpoint(folder, tied: bool, shard_size: str = "5GB", **changes) -> LlamaForCausalLM:
    """A random transformers checkpoint of Llama 3.2's shape in small: grouped heads, llama3 rope
    scaling."""
    torch.manual_seed(0)
    rope = LLAMA3_ROPE | {"original_max_position_embeddings": 64, "factor": 8.0}
    shape = {
        "vocab_size": 500,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "rope_parameters": rope,
        "initializer_range": 0.2,
    }
    model = LlamaForCausalLM(HFConfig(**(shape | {"tie_word_embeddings": tied} | changes))).eval()
    model.save_pretrained(folder, max_shard_size=shard_size)
    return model


@torch.no_grad()
def largest_difference(ours: Llama, theirs, ids) -> float:
    return (ours.logits(ours(ids)) - theirs(ids).logits).abs().max().item()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard_size", ["5GB", "100KB"])
def test_logits_equal_transformers_on_tiny_checkpoints(device, tmp_path, tied, shard_size):
    theirs = tiny_checkpoint(tmp_path, tied, shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard_size == "100KB")
    ids = torch.randint(500, (2, 200), generator=torch.Generator(device).manual_seed(1))
    assert largest_difference(load_model(tmp_path, device), theirs, ids) <= 1e-4


def test_logits_equal_transformers_without_rope_scaling_and_with_as_many_key_heads(
    device, tmp_path
):
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    theirs = tiny_checkpoint(
        tmp_path, False, rope_parameters=rope, num_key_value_heads=6, head_dim=16
    )
    assert largest_difference(load_model(tmp_path, device), theirs, torch.arange(100)[None]) <= 1e-4


def test_logits_of_mistral_without_a_sliding_window_equal_transformers(device, tmp_path):
    """The same mathematics under another name, in 128 tokens; a window as long as the context is
    none. One that is shorter changes transformers' logits, and is refused here."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": 500,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
    }
    theirs = MistralForCausalLM(MistralConfig(**shape, sliding_window=None)).eval()
    theirs.save_pretrained(tmp_path)
    ids = torch.randint(500, (2, 128), generator=torch.Generator(device).manual_seed(1))
    assert largest_difference(load_model(tmp_path, device), theirs, ids) <= 1e-4
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "mistral" and config["sliding_window"] is None
    assert LlamaConfig.from_dict(config | {"sliding_window": 128}) == LlamaConfig.from_dict(config)
    with pytest.raises(ValueError, match="sliding_window is 127, below max_position_embeddings"):
        LlamaConfig.from_dict(config | {"sliding_window": 127})
    del config["sliding_window"]  # transformers' own default counts
    with pytest.raises(ValueError, match="sliding_window is 4096"):
        LlamaConfig.from_dict(
            config | {"max_position_embeddings": MistralConfig().sliding_window + 1}
        )
    assert LlamaConfig.from_dict(config).max_position_embeddings == 128


def test_a_null_that_follows_from_other_fields_is_read():
    bare = {name: value for name, value in LLAMA_3B.items() if name != "head_dim"}
    bare |= {"head_dim": None, "num_key_value_heads": None, "rope_scaling": None}
    config = LlamaConfig.from_dict(bare)
    assert (config.head_dim, config.num_key_value_heads) == (128, 24)
    assert LlamaConfig.from_dict(bare | {"quantization_config": None}) == config


def test_old_and_new_config_layouts_give_one_model():
    new = {name: value for name, value in LLAMA_3B.items() if not name.startswith("rope")}
    assert LlamaConfig.from_dict(new | {"rope_parameters": LLAMA3_ROPE}) == LlamaConfig.from_dict(
        LLAMA_3B
    )


def test_llama3_rope_bands():
    """Wavelength below L/4 stays, above L/1 is slowed 32-fold, between is blended: L = 8192, 2 pi /
    f = wavelength."""
    plain = rope_frequencies(LlamaConfig.from_dict(LLAMA_3B | {"rope_scaling": None}))
    scaled = rope_frequencies(LlamaConfig.from_dict(LLAMA_3B))
    wavelength = 2 * torch.pi / plain
    short, long = wavelength < 8192 / 4, wavelength > 8192
    assert torch.equal(scaled[short], plain[short])
    torch.testing.assert_close(scaled[long], plain[long] / 32)
    between = ~(short | long)
    assert between.any() and bool(((scaled < plain) & (scaled > plain / 32))[between].all())


def test_logits_of_the_embedded_model_equal_transformers(embedded, reference, tokenizer):
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer.prompt([{"role": "user", "content": prompt}])])
        assert largest_difference(embedded, reference, ids) <= 1e-4


@torch.no_grad()
def test_logits_of_a_long_text_equal_transformers_to_the_bit(embedded, reference, tokenizer):
    """... and with the fast product up to rounding: logits reach 43, float32 sums in another order
    differ by about 1e-4, transformers' own from float64 by 0.7e-4."""
    ids = torch.tensor([tokenizer.encode("A long line of text, said again. " * 60)])
    theirs = reference(ids).logits
    assert torch.equal(embedded.logits(embedded(ids)), theirs)
    torch.set_float32_matmul_precision("high")
    assert (embedded.logits(embedded(ids)) - theirs).abs().max() <= 3e-4


@pytest.mark.slow
@torch.no_grad()
def test_greedy_decoding_equals_transformers_over_two_turns(embedded, reference, tokenizer):
    """64 tokens for five prompts at once, and again behind a second user message, from the living
    cache: each is the argmax of transformers' logits on all before it, and so is what ended it."""
    talks = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    sampler = Sampler(embedded, tokenizer.end_ids, Sampling(0, 1, 64))
    for _ in range(2):
        prompts = [tokenizer.prompt(talk) for talk in talks]
        requests = [Request(str(i), prompt) for i, prompt in enumerate(prompts)]
        for talk, prompt, decoded in zip(talks, prompts, decode(sampler, requests), strict=True):
            logits = reference(torch.tensor([prompt + decoded.ids])).logits[0]
            theirs = logits.argmax(-1)[len(prompt) - 1 :].tolist()
            assert decoded.ids == theirs[:-1]
            assert len(decoded.ids) == 64 or theirs[-1] in tokenizer.end_ids
            talk += [
                {"role": "assistant", "content": tokenizer.decode(decoded.ids)},
                {"role": "user", "content": "Why?"},
            ]


def test_cache_gives_the_logits_of_a_whole_pass(tmp_path):
    """Rows of 3, 7 and 5 tokens, then 4, 1 and 6 more: right padding, unequal lengths, growing
    slots."""
    tiny_checkpoint(tmp_path, True)
    model = load_model(tmp_path)
    first, then = (3, 7, 5), (4, 1, 6)
    texts = [
        torch.randint(500, (a + b,), generator=torch.Generator().manual_seed(a))
        for a, b in zip(first, then, strict=True)
    ]
    cache = KVCache(model.config, model.device, torch.float32)
    cache.add_rows(3)
    cache.grow(rows=3, slots=2)
    with torch.no_grad():
        for counts, starts in ((first, (0, 0, 0)), (then, first)):
            ids = torch.zeros(3, max(counts), dtype=torch.long)
            for row, (text, start, n) in enumerate(zip(texts, starts, counts, strict=True)):
                ids[row, :n] = text[start : start + n]
            hidden = model(ids, *cache.attend(slice(0, 3), counts))
            cache.lengths = [n + more for n, more in zip(cache.lengths, counts, strict=True)]
        for row, text in enumerate(texts):
            torch.testing.assert_close(
                hidden[row, then[row] - 1], model(text[None])[0, -1], atol=1e-5, rtol=1e-5
            )


def test_3b_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = Llama(LlamaConfig.from_dict(LLAMA_3B))
        assert sum(p.numel() for p in model.parameters()) == 3_212_749_824
        attach(model, rank=64, alpha=64)
    assert trainable(model) == 97_255_424


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "qwen2"}, "model_type"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_type"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
    ],
)
def test_a_model_that_would_be_computed_wrongly_is_refused(change, named):
    with pytest.raises(ValueError, match=named):
        LlamaConfig.from_dict(LLAMA_3B | change)


def test_checkpoint_config_round_trip(tmp_path):
    tiny_checkpoint(tmp_path, True)
    config = LlamaConfig.from_dict(json.loads((tmp_path / "config.json").read_text()))
    assert (config.num_key_value_heads, config.head_dim, config.tie_word_embeddings) == (
        2,
        32,
        True,
    )
    assert config.rope_scaling["factor"] == 8.0
