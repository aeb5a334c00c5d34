"""A training step: traps 3 and 5-9, the order of the data, the schedule, the optimiser."""

import math
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import act.training.step
from act.dialogue.chat import Ask
from act.dialogue.local import LocalChat
from act.model.llama import Llama, LlamaConfig
from act.model.lora import attach, lora_layers
from act.model.sampler import Sampling
from act.model.templates import LLAMA3_DATE, llama31
from act.records import InputError
from act.training.examples import Answer, Example, chosen_alone, data_order, hold_out, read_examples
from act.training.losses import log_odds_margin, odds_ratio_loss
from act.training.state import TrainState, learning_rate
from act.training.step import evaluate, run_examples
from tests.tiny import (
    CONFIG,
    conversation,
    drawn_pairs,
    example_of,
    gradients,
    message,
    objective,
    pair_row,
    tiny_llama,
    with_adapter,
    write_rows,
)


@pytest.mark.parametrize("tree_tokens", [1, 40, 80])
@pytest.mark.parametrize("scope", ["response", "sequence"])
@pytest.mark.parametrize("method", ["orpo", "sft"])
def test_trap_03_accumulation_gives_the_same_step(method, scope, tree_tokens):
    """8 pairs in one tree, in trees of a budget and one by one: one loss, one set of metrics, one
    gradient."""
    model, examples = with_adapter(), drawn_pairs(8)
    if method == "sft":
        examples = chosen_alone(examples)
    whole = objective(method=method, nll_scope=scope)
    metrics = run_examples(model, examples, whole, backward=True)
    expected = gradients(model)
    split = run_examples(model, examples, replace(whole, tree_tokens=tree_tokens), backward=True)
    assert split.pop("unique_tokens") > metrics.pop(
        "unique_tokens"
    )  # it was split, and shared less
    assert split == pytest.approx(metrics, rel=1e-5)
    assert (gradients(model) - expected).norm() <= 1e-5 * expected.norm()


def test_trap_03_the_step_is_the_mean_over_its_tokens_and_pairs():
    """The same 8 pairs, one by one through the plain model: NLL over all tokens, odds ratio over
    all pairs."""
    model, examples = with_adapter(), drawn_pairs(8)

    def logps(answer: Answer) -> Tensor:
        ids = torch.tensor(answer.ids)
        whole = (
            torch.log_softmax(model.logits(model(ids[None]))[0, :-1], dim=-1)
            .gather(1, ids[1:, None])
            .squeeze(1)
        )
        return whole[answer.start - 1 :]

    chosen, rejected = [logps(e.chosen) for e in examples], [logps(e.rejected) for e in examples]
    margins = log_odds_margin(
        *(torch.stack([x.mean() for x in side]) for side in (chosen, rejected))
    )
    loss = -torch.cat(chosen).mean() + 0.25 * odds_ratio_loss(margins).mean()
    loss.backward()
    expected = gradients(model)
    metrics = run_examples(model, examples, objective(tree_tokens=60), backward=True)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["margin"] == pytest.approx(margins.mean().item(), rel=1e-4)
    assert metrics["accuracy"] == pytest.approx((margins > 0).float().mean().item())
    assert (gradients(model) - expected).norm() <= 1e-5 * expected.norm()


def test_trap_03_the_order_in_a_step_does_not_matter():
    model, examples = with_adapter(), drawn_pairs(8)
    metrics = run_examples(model, examples, objective(tree_tokens=60), backward=True)
    expected = gradients(model)
    shuffled = random.Random(1).sample(examples, len(examples))
    again = run_examples(model, shuffled, objective(tree_tokens=60), backward=True)
    assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    assert (gradients(model) - expected).norm() <= 1e-5 * expected.norm()


def targets_of(examples: list[Example], monkeypatch, scope: str = "response") -> list[int]:
    """The token ids whose log-probs reach the loss of a step, in order; one that answers share
    counts once."""
    seen: list[int] = []
    kernel = act.training.step.logprob

    def recorded(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        seen.extend(targets.tolist())
        return kernel(hidden, weight, targets)

    monkeypatch.setattr(act.training.step, "logprob", recorded)
    model = Llama(LlamaConfig.from_dict(CONFIG))
    wanted = objective(nll_scope=scope, method="orpo" if examples[0].rejected else "sft")
    metrics = run_examples(model, examples, wanted, backward=False)
    assert metrics["nll"] > 0
    return sorted(seen)


def test_trap_05_the_end_token_is_learned(tokenizer, monkeypatch):
    """The end token closes every answer in the loss, though it also closes the prompt's turns,
    which are not in it."""
    row = pair_row(3)
    example = example_of(row, tokenizer, 512, 512)
    end = tokenizer.end_ids[0]
    assert (
        example.chosen.ids[: example.chosen.start].count(end) == 6
    )  # system, three clients', two replies
    replies = [tokenizer.encode(row[name][0]["content"]) + [end] for name in ("chosen", "rejected")]
    assert targets_of([example], monkeypatch) == sorted(sum(replies, []))


def test_trap_27_no_end_token_is_learned_behind_a_cut_answer(tokenizer, monkeypatch):
    """A rejected answer that was cut at the token limit: its text alone is a target, in training
    and of held-out pairs, and its mean log-prob is over the text's tokens."""
    row = pair_row(3, cut=["rejected"])
    example = example_of(row, tokenizer, 512, 512)
    chosen, rejected = (
        tokenizer.encode(row[name][0]["content"]) for name in ("chosen", "rejected")
    )
    end = tokenizer.end_ids[0]
    assert targets_of([example], monkeypatch) == sorted([*chosen, end, *rejected])
    torch.manual_seed(0)
    model = Llama(LlamaConfig.from_dict(CONFIG))
    metrics = evaluate(model, [example], objective())
    ids = torch.tensor([tokenizer.prompt(row["prompt"]) + rejected])
    logps = model.logits(model(ids)).log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])
    expected = logps[-len(rejected) :].mean().item()
    assert metrics["rejected_logp"] == pytest.approx(expected, abs=1e-5)


def bigram_model() -> Llama:
    """A model without layers over 5 tokens: p(j | i) = ((i + 2j) mod 5 + 1) / 15.

    Every follower has another number. Embeddings are one-hot; the norm makes them sqrt(5) long; the
    head holds log p / sqrt(5).
    """
    sizes = {
        "vocab_size": 5,
        "hidden_size": 5,
        "num_hidden_layers": 0,
        "tie_word_embeddings": False,
    }
    model = Llama(LlamaConfig.from_dict(CONFIG | sizes | {"rms_norm_eps": 0.0, "head_dim": 2}))
    i, j = torch.arange(5)[:, None], torch.arange(5)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(5))
        model.lm_head.weight.copy_((((i + 2 * j) % 5 + 1) / 15).log().T / math.sqrt(5))
    return model


@pytest.mark.parametrize(
    ("scope", "start", "probabilities"),
    [
        ("response", 2, [1, 4, 2]),
        ("response", 4, [2]),
        ("response", 1, [3, 1, 4, 2]),
        ("sequence", 2, [3, 1, 4, 2]),
    ],
)
def test_trap_06_five_tokens_by_hand(scope, start, probabilities):
    """Tokens 0 1 2 3 4. In fifteenths: p(1|0) = (0 + 2) mod 5 + 1 = 3, p(2|1) = 5 mod 5 + 1 = 1,
    p(3|2) = 8 mod 5 + 1 = 4, p(4|3) = 11 mod 5 + 1 = 2. An answer from `start` on has the last."""
    examples = [Example("s", Answer([0, 1, 2, 3, 4], start), None, 0)]
    metrics = run_examples(
        bigram_model(), examples, objective(method="sft", nll_scope=scope), backward=False
    )
    nll = -sum(math.log(p / 15) for p in probabilities) / len(probabilities)
    assert metrics["nll"] == pytest.approx(nll, rel=1e-6)


def test_trap_06_a_pair_by_hand():
    """Prompt 0 1, chosen 2 3 4, rejected 0: p(0|1) = 2/15, odds 2/13; chosen p^3 = 8/15^3, so p is
    2/15 too: margin 0."""
    examples = [Example("s", Answer([0, 1, 2, 3, 4], 2), Answer([0, 1, 0], 2), 0)]
    metrics = run_examples(bigram_model(), examples, objective(), backward=False)
    assert metrics["nll"] == pytest.approx(math.log(15 / 2), rel=1e-6)
    assert metrics["margin"] == pytest.approx(0, abs=1e-5)
    assert metrics["loss"] == pytest.approx(math.log(15 / 2) + 0.25 * math.log(2), rel=1e-5)
    assert (metrics["unique_tokens"], metrics["naive_tokens"]) == (6, 8)


@pytest.mark.parametrize("scope", ["response", "sequence"])
def test_evaluate_by_hand(scope):
    """In fifteenths p(2|1) = 1, p(0|1) = 2, p(3|3) = 5, p(1|3) = 1: odds 1/14 against 2/13, and 1/2
    against 1/14.

    Margins log(13/28) and log(7), one pair of two ranked right; the NLL is that of the answers,
    whatever is trained. One row without a rejected answer, and there are no numbers of pairs.
    """
    pairs = [
        Example("s", Answer([0, 1, 2], 2), Answer([0, 1, 0], 2), 0),
        Example("s", Answer([0, 1, 2, 3, 3], 4), Answer([0, 1, 2, 3, 1], 4), 0),
    ]
    for tree_tokens in (1, 100):
        found = evaluate(bigram_model(), pairs, objective(nll_scope=scope, tree_tokens=tree_tokens))
        expected = {
            "nll": math.log(15 * 3) / 2,
            "margin": (math.log(13 / 28) + math.log(7)) / 2,
            "accuracy": 0.5,
        }
        expected |= {
            "chosen_logp": -expected["nll"],
            "rejected_logp": (math.log(2 / 15) + math.log(1 / 15)) / 2,
        }
        assert found == pytest.approx(expected, rel=1e-5)
        sft = objective(method="sft", nll_scope=scope, tree_tokens=tree_tokens)
        assert evaluate(bigram_model(), pairs, sft) == pytest.approx(expected, rel=1e-5)
    for some in (pairs, pairs[:1], []):
        alone = chosen_alone(some) + pairs[len(some) :]
        found = evaluate(bigram_model(), alone, objective(nll_scope=scope))
        assert found.keys() == ({"nll"} if some else expected.keys())
        assert found["nll"] == pytest.approx(expected["nll"])
    assert evaluate(bigram_model(), [], objective()) == {}


@pytest.mark.parametrize("system", [True, False])
def test_trap_07_training_and_inference_render_the_same_ids(tokenizer, system):
    """A turn's prompt is what the sampler is asked to go on from, and the trained turn the
    beginning of the next one.

    The label that an enforced reply begins with is the beginning of the reply that is trained on.
    """
    row = pair_row(2, chosen=[message("assistant", "Thinking: He is stuck.\n\nAnswer: And then?")])
    row["prompt"] = row["prompt"] if system else row["prompt"][1:]
    example = example_of(row, tokenizer, 512, 512)
    chat = LocalChat(
        "tiny", Llama(LlamaConfig.from_dict(CONFIG)), tokenizer, Sampling(0.0, 1.0, 30)
    )
    chat.start([Ask("this", row["prompt"], seed=0, enforce=True)])
    chat.start([Ask("next", [*row["prompt"], *row["chosen"], message("user", "And now?")], seed=0)])
    this, following = (reply.request for reply in chat.sampler.pending)
    assert example.chosen.ids[: example.chosen.start] == this.prompt
    assert example.chosen.ids[example.chosen.start :][: len(this.forced)] == list(this.forced)
    assert example.chosen.ids == following.prompt[: len(example.chosen.ids)]


def test_trap_07_one_bos_and_a_pinned_date():
    pieces = llama31(conversation(2))
    assert pieces.count("<|begin_of_text|>") == 1 and pieces[0] == "<|begin_of_text|>"
    assert f"Today Date: {LLAMA3_DATE}\n" in "".join(pieces) and LLAMA3_DATE == "26 Jul 2024"


@pytest.mark.parametrize("kind", ["prompt and completion", "messages", "pair for SFT"])
def test_trap_08_only_the_answer_is_learned(tokenizer, tmp_path, monkeypatch, kind):
    """The last message alone, end token included, is the target, in each of the formats that are
    read."""
    row = pair_row(3)
    if kind == "messages":
        row = {"messages": [*row["prompt"], *row["chosen"]]}
    elif kind == "prompt and completion":
        row = {"prompt": row["prompt"], "completion": row["chosen"]}
    examples = read_examples(write_rows(tmp_path / "data.jsonl", [row]), tokenizer, False, 512, 512)
    assert (examples[0].rejected is None) == (kind != "pair for SFT")
    examples = chosen_alone(examples)
    assert targets_of(examples, monkeypatch) == sorted(
        tokenizer.reply("What shows up now, 3 times?")
    )


def test_trap_08_nll_scope_sequence_learns_the_prompt_too(tokenizer, monkeypatch):
    example = example_of(pair_row(2), tokenizer, 512, 512)
    targets = targets_of([example], monkeypatch, "sequence")
    assert targets == sorted(
        [*example.chosen.ids[1:], *example.rejected.ids[example.rejected.start :]]
    )


def test_trap_09_a_bfloat16_model_trains_in_float32():
    """Adapter, moments and log-probs are float32; a step of 1e-6, which bfloat16 would swallow,
    moves the adapter."""
    model = tiny_llama().to(torch.bfloat16)
    attach(model, 4, 8)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.fill_(0.5)  # bfloat16's next number is 0.5 + 2^-8
    state = TrainState(model, weight_decay=0.0, max_grad_norm=1.0)
    logps, _ = act.training.step.answer_logps(model, [e.chosen for e in drawn_pairs(2)])
    torch.cat(logps).sum().backward()
    state.update(1e-6)
    assert all(x.dtype == torch.float32 for x in logps)
    for name, parameter in state.parameters.items():
        assert parameter.dtype == torch.float32
        assert all(
            state.optimiser.state[parameter][m].dtype == torch.float32
            for m in ("exp_avg", "exp_avg_sq")
        )
        if name.endswith("lora_B"):
            assert (parameter != 0.5).any()


@pytest.mark.parametrize("masters", [torch.float32, torch.bfloat16])
def test_trap_09_bfloat16_products_with_float32_masters_do_not_stall(masters):
    """30 steps at 1e-5: the adapter of a bfloat16 base goes as far as that of the same base in
    float32, and in the same direction. One kept in bfloat16 goes a fifth as far."""

    def moved(base: torch.dtype, kept: torch.dtype) -> torch.Tensor:
        model = tiny_llama().to(torch.bfloat16).to(base)
        attach(model, 4, 8)
        for layer in lora_layers(model).values():
            torch.nn.init.normal_(layer.lora_B, std=0.1)
            layer.lora_A.data, layer.lora_B.data = layer.lora_A.to(kept), layer.lora_B.to(kept)
        state = TrainState(model, weight_decay=0.0, max_grad_norm=1.0)
        before = [p.detach().clone() for p in state.parameters.values()]
        for _ in range(30):
            run_examples(model, drawn_pairs(4), objective(), backward=True)
            state.update(1e-5)
        pairs = zip(state.parameters.values(), before, strict=True)
        return torch.cat([(p.detach() - start).float().flatten() for p, start in pairs])

    exact, ours = moved(torch.float32, torch.float32), moved(torch.bfloat16, masters)
    if masters == torch.bfloat16:
        assert ours.norm() < exact.norm() / 3
    else:
        assert torch.cosine_similarity(ours, exact, dim=0) > 0.99
        assert abs(ours.norm() / exact.norm() - 1) < 0.02


def session_examples(sessions: int, turns: int) -> list[Example]:
    """Interleaved: turn 0 of every session, then turn 1 of every session; `cut_turns` tells the
    turn."""
    answer = Answer([1, 2], 1)
    return [
        Example(f"s{s}", answer, answer, turn) for turn in range(turns) for s in range(sessions)
    ]


@pytest.mark.parametrize("order", ["session", "random"])
def test_data_order_is_a_permutation_an_epoch(order):
    examples = session_examples(6, 4)
    out = data_order(examples, order, seed=5, epochs=3)
    epochs = [out[:24], out[24:48], out[48:]]
    for epoch in epochs:
        assert sorted(map(id, epoch)) == sorted(map(id, examples))
    assert (
        len({tuple(map(id, epoch)) for epoch in [*epochs, examples]}) == 4
    )  # no epoch is like another
    assert list(map(id, data_order(examples, order, 5, 3))) == list(map(id, out))
    assert list(map(id, data_order(examples, order, 6, 3))) != list(map(id, out))


def test_order_session_keeps_sessions_together_and_turns_in_order():
    out = data_order(session_examples(6, 4), "session", seed=5, epochs=2)
    for start in range(0, 48, 4):
        block = out[start : start + 4]
        assert len({e.session for e in block}) == 1 and [e.cut_turns for e in block] == [0, 1, 2, 3]


def test_hold_out_splits_by_session():
    examples = session_examples(3, 2)
    kept, held = hold_out(examples, 1)
    assert [e.session for e in kept] == ["s0", "s1", "s0", "s1"] and [e.session for e in held] == [
        "s2",
        "s2",
    ]
    assert hold_out(examples, 0) == (examples, [])
    for n in (3, -1):
        with pytest.raises(InputError, match=f"--held-out-sessions {n}: the data have 3 sessions"):
            hold_out(examples, n)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("linear", {0: 1 / 2, 1: 1, 2: 1, 3: 7 / 8, 6: 1 / 2, 9: 1 / 8}),
        (
            "cosine",
            {0: 1 / 2, 1: 1, 2: 1, 4: (2 + math.sqrt(2)) / 4, 6: 1 / 2, 8: (2 - math.sqrt(2)) / 4},
        ),
    ],
)
def test_learning_rate_by_hand(schedule, rates):
    """10 steps, 2 of warm-up: 1/2, 1; then 8 of decay, at step s by the share done x = (s - 2) / 8:
    1 - x, or (1 + cos(pi x)) / 2, which is (2 + sqrt 2) / 4 at x = 1/4."""
    for step, rate in rates.items():
        assert learning_rate(step, 10, 3e-6, 2, schedule) == pytest.approx(3e-6 * rate, rel=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (5, 0), (5, 5), (40, 4)])
def test_every_step_learns_and_the_peak_is_reached(schedule, steps, warmup):
    rates = [learning_rate(step, steps, 1.0, warmup, schedule) for step in range(steps)]
    assert min(rates) > 0 and max(rates) == 1
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup:] == sorted(
        rates[warmup:], reverse=True
    )


def test_two_steps_of_adamw_by_hand():
    """p = 2, rate 0.1, decay 0.01. Gradient 3 is clipped to 1: p = 2 (1 - 0.001) - 0.1 * 1 / 1 =
    1.898.

    Gradient 0.5: m = 0.9 * 0.1 + 0.1 * 0.5 = 0.14, v = 0.999 * 0.001 + 0.001 * 0.25 = 0.001249;
    corrected by 1 - 0.9^2 and 1 - 0.999^2: 0.736842 and 0.624812; p = 1.898 * 0.999 - 0.1 *
    0.736842 / sqrt(0.624812) = 1.802884.
    """
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    state = TrainState(model, weight_decay=0.01, max_grad_norm=1.0)
    for gradient, after in ((3.0, 1.898), (0.5, 1.802884)):
        model.weight.grad = torch.tensor([[gradient]])
        assert state.update(0.1) == gradient
        assert model.weight.item() == pytest.approx(after, abs=1e-6)
        assert model.weight.grad is None
    assert state.step == 2


def test_a_gradient_that_is_no_number_stops_the_run():
    model = nn.Linear(1, 1, bias=False)
    state = TrainState(model, 0.0, 1.0)
    model.weight.grad = torch.tensor([[math.nan]])
    before = model.weight.item()
    with pytest.raises(FloatingPointError, match="step 1: the gradient is nan"):
        state.update(0.1)
    assert model.weight.item() == before and state.step == 0
