"""Log-probs and gradients of a tree are those of each sequence alone, through the plain model."""

import json
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from act.model import llama, prefix_tree
from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach, lora_layers
from act.training.examples import Answer
from act.training.step import answer_logps
from kernels.tree_attention import joined_keys_again, joined_keys_attention
from kernels.tree_levels import level_attention
from tests.conftest import ROOT, on_each_device
from tests.emulated_flash import emulate
from tests.tiny import drawn_sequences

CONFIG = LlamaConfig(
    vocab_size=101,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
)


def tiny_llama(lora: bool) -> Llama:
    """A random model; with LoRA also its B is random, so that the adapter counts."""
    torch.manual_seed(0)
    model = Llama(CONFIG)
    if lora:
        attach(model, rank=4, alpha=8)
        for layer in lora_layers(model).values():
            torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def alone(model: Llama, answer: Answer, whole: bool) -> Tensor:
    """Log-probs of an answer's tokens by the plain model: full logits, causal attention, one
    sequence."""
    ids = torch.tensor(answer.ids)
    logps = torch.log_softmax(model.logits(model(ids[None]))[0, :-1], dim=-1)
    return logps.gather(1, ids[1:, None]).squeeze(1)[0 if whole else answer.start - 1 :]


def gradients(model: Llama, logps: list[Tensor]) -> dict[str, Tensor]:
    """Of a sum in which every token has another weight, so that no two can be taken for each
    other."""
    model.zero_grad()
    flat = torch.cat(logps)
    (flat * torch.linspace(-1, 2, len(flat))).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@on_each_device
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_log_probs_and_gradients_equal_one_by_one(seed, lora, whole):
    """Trees of several levels, float32: log-probs and every parameter's gradient to 1e-5 of the
    plain runs'."""
    model, stream = tiny_llama(lora), random.Random(seed)
    sequences = [[1, *ids] for ids in drawn_sequences(seed, tokens=4, longest=30)]
    answers = [Answer(ids, stream.randint(1, len(ids) - 1)) for ids in sequences]
    answers.append(Answer(answers[0].ids, answers[0].start))  # the same answer twice counts twice
    logps, unique = answer_logps(model, answers, whole)
    plain = [alone(model, answer, whole) for answer in answers]
    assert unique == len({tuple(s[: i + 1]) for s in sequences for i in range(len(s))})
    assert [len(x) for x in logps] == [len(a.ids) - 1 if whole else a.length for a in answers]
    for ours, expected in zip(logps, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    ours, expected = gradients(model, logps), gradients(model, plain)
    assert len(ours) == (42 if lora else 30)
    assert_equal(ours, expected)


@on_each_device
@pytest.mark.parametrize("whole", [False, True])
def test_a_prefix_a_duplicate_and_one_token_answers_have_the_gradients_of_plain_runs(whole):
    """Behind one prompt: an answer, the same again, its beginning, its first token alone, and
    another single token."""
    model, prompt = tiny_llama(lora=True), [1, 2, 3]
    answers = [Answer([*prompt, *ids], 3) for ids in ([4, 5, 6], [4, 5, 6], [4, 5], [4], [9])]
    logps, unique = answer_logps(model, answers, whole)
    assert unique == 7
    ours, expected = (
        gradients(model, logps),
        gradients(model, [alone(model, answer, whole) for answer in answers]),
    )
    assert_equal(ours, expected)


def test_the_way_of_other_devices_has_the_gradients_of_plain_runs(monkeypatch):
    """What neither a CPU nor CUDA is: public calls alone, the joined keys made again for the
    backward pass."""
    model, answers = (
        tiny_llama(lora=True),
        [Answer([1, *ids], 1) for ids in drawn_sequences(2, tokens=4, longest=30)],
    )
    kept = bytes_kept(lambda: answer_logps(model, answers))
    monkeypatch.setattr(llama, "tree_attention", joined_keys_attention)
    kept_joined = bytes_kept(lambda: answer_logps(model, answers))
    monkeypatch.setattr(llama, "tree_attention", joined_keys_again)
    assert bytes_kept(lambda: answer_logps(model, answers)) < min(kept, kept_joined)
    assert_gradients_of_plain_runs(model, answers)


@pytest.mark.parametrize("seed", range(6))
def test_the_way_of_a_gpu_has_the_gradients_of_plain_runs(monkeypatch, seed):
    """Runs in the order of their paths, attention in levels (emulated), and the tokens put back."""
    take_the_way_of_a_gpu(monkeypatch)
    sequences = [[1, *ids] for ids in drawn_sequences(seed, tokens=4, longest=30)]
    assert_gradients_of_plain_runs(tiny_llama(lora=True), [Answer(ids, 1) for ids in sequences])


def take_the_way_of_a_gpu(monkeypatch) -> None:
    emulate(monkeypatch)
    monkeypatch.setattr(prefix_tree, "takes_cuda", lambda x: True)
    monkeypatch.setattr(llama, "tree_attention", level_attention)


def assert_equal(ours: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Each parameter's gradient to 1e-5."""
    assert ours.keys() == expected.keys()
    for name in expected:
        assert (ours[name] - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


def assert_gradients_of_plain_runs(model: Llama, answers: list[Answer]) -> None:
    ours = gradients(model, answer_logps(model, answers)[0])
    assert_equal(ours, gradients(model, [alone(model, answer, False) for answer in answers]))


@pytest.mark.slow
def test_real_pairs_have_the_gradients_of_plain_runs(embedded, tokenizer, monkeypatch):
    """Three pairs of a bundled session through the embedded model, two layers of it, with an
    adapter."""
    with open(ROOT / "act/dialogue/corpus/sessions.jsonl") as file:
        turns = json.loads(file.readline())["turns"][:3]
    prompt, answers = [{"role": "system", "content": "You are a therapist."}], []
    for turn in turns:
        prompt = [*prompt, {"role": "user", "content": turn["client"]}]
        ids = tokenizer.prompt(prompt)
        answers += [
            Answer(ids + tokenizer.reply(text), len(ids))
            for text in (turn["answer"], turn["thinking"])
        ]
        prompt = [*prompt, {"role": "assistant", "content": turn["answer"]}]
    model = Llama(replace(embedded.config, num_hidden_layers=2))
    model.load_state_dict(
        {name: embedded.state_dict()[name].clone() for name in model.state_dict()}
    )
    torch.manual_seed(0)
    attach(model, rank=8, alpha=8)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.02)
    expected = gradients(model, [alone(model, answer, False) for answer in answers])
    assert_equal(gradients(model, answer_logps(model, answers)[0]), expected)
    take_the_way_of_a_gpu(monkeypatch)
    assert_equal(gradients(model, answer_logps(model, answers)[0]), expected)


@pytest.mark.parametrize("keep", [None, 0, 7, 20])
@pytest.mark.parametrize("lora", [False, True])
def test_stretches_and_recomputing_change_nothing(monkeypatch, device, lora, keep):
    """Stretches of 7 tokens, whose activations are kept, computed again, or both: gradients to
    1e-6."""
    model, answers = (
        tiny_llama(lora),
        [Answer([1, *ids], 1) for ids in drawn_sequences(3, tokens=4, longest=30)],
    )
    expected = gradients(model, answer_logps(model, answers)[0])
    monkeypatch.setattr(llama, "STRETCH", {device: 7})
    found = gradients(model, answer_logps(model, answers, keep_tokens=keep)[0])
    for name in expected:
        assert (found[name] - expected[name]).norm() <= 1e-6 * expected[name].norm(), name


def bytes_kept(function) -> int:
    """Bytes that autograd keeps for the backward pass of `function()`, shared storage counted
    once."""
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(sizes.values())


def test_recomputed_stretches_keep_only_their_inputs(monkeypatch):
    model, answers = tiny_llama(lora=True), [Answer(list(range(1, 91)), 1)]
    monkeypatch.setattr(llama, "STRETCH", {"cpu": 10})
    everything, inputs = (
        bytes_kept(lambda k=k: answer_logps(model, answers, keep_tokens=k)) for k in (None, 0)
    )
    assert inputs < everything / 2


@on_each_device
def test_the_order_of_answers_does_not_matter():
    model, answers = (
        tiny_llama(lora=True),
        [Answer(ids, 1) for ids in ([1, 2, 3, 4], [1, 2, 9], [5, 6], [1, 2])],
    )
    there, _ = answer_logps(model, answers)
    back, _ = answer_logps(model, answers[::-1])
    for x, y in zip(there, back[::-1], strict=True):
        torch.testing.assert_close(x, y)
