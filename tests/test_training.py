"""Training's traps (TRAPS 3-9, 11, 12), the schedule, the state, the adapter, and train.py killed and resumed."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import act.training.tree
import train
from act.cli import run_script
from act.model.checkpoint import load_adapter, load_model, save_adapter
from act.model.llama import Llama, LlamaConfig
from act.model.lora import PROJECTIONS, attach, detach, lora_layers, merge, trainable
from act.model.tokenizer import LLAMA3_DATE, llama3
from act.records import InputError
from act.training.examples import Answer, Example, fit_prompt, make_example, read_examples
from act.training.losses import log_odds_margin, odds_ratio_loss
from act.training.state import TrainState, learning_rate
from tests.conftest import EMBEDDED, ROOT

CONFIG = {
    "model_type": "llama",
    "vocab_size": 49152,  # the embedded tokenizer's
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
TINY = LlamaConfig.from_dict(CONFIG | {"vocab_size": 97})


def tiny_llama(seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    return Llama(TINY)


def with_adapter(seed: int = 0, rank: int = 4) -> Llama:
    """The tiny model under an adapter that is no longer at its start."""
    model = tiny_llama()
    torch.manual_seed(seed)
    attach(model, rank, alpha=8)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_B, std=0.1)
    return model


def drawn_pairs(n: int, seed: int = 0) -> list[Example]:
    """Pairs of unequal lengths; every other prompt goes on from the one before it."""
    stream, examples, prompt = random.Random(seed), [], [1]
    for i in range(n):
        prompt = (prompt if i % 2 else [1]) + [stream.randrange(97) for _ in range(stream.randint(1, 12))]
        answers = [prompt + [stream.randrange(97) for _ in range(stream.randint(1, 20))] for _ in range(2)]
        examples.append(Example(f"s{i // 2}", *(Answer(ids, len(prompt)) for ids in answers), 0, 0))
    return examples


def arguments(**changes) -> Namespace:
    return Namespace(**{"method": "orpo", "nll_scope": "response", "lambda_or": 0.25, "tree_tokens": 10**6} | changes)


def gradients(model: Llama) -> Tensor:
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
    model.zero_grad()
    return flat


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint folder with random weights and the embedded tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_file(Llama(LlamaConfig.from_dict(CONFIG)).state_dict(), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(EMBEDDED / name, folder)
    return folder


def message(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def conversation(turns: int, session: int = 0) -> list[dict]:
    """A system prompt, `turns` - 1 exchanges and the client's next words."""
    messages = [message("system", "You listen.")]
    for turn in range(turns):
        messages += [message("user", f"Day {session}: {'I worry. ' * (turn + 1)}"), message("assistant", "What of it?")]
    return messages[:-1]


def pair_row(turns: int = 1, session: int = 0, **changes) -> dict:
    chosen = [message("assistant", f"What shows up now, {turns} times?")]
    rejected = [message("assistant", "Do not worry so much, it will pass.")]
    return {"prompt": conversation(turns, session), "chosen": chosen, "rejected": rejected} | changes


def write_rows(path: Path, rows: list) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("tree_tokens", [1, 40, 80])
@pytest.mark.parametrize("scope", ["response", "sequence"])
@pytest.mark.parametrize("method", ["orpo", "sft"])
def test_trap_03_accumulation_gives_the_same_step(method, scope, tree_tokens):
    """8 pairs in one tree, in trees of a budget and one by one: one loss, one set of metrics, one gradient."""
    model, examples = with_adapter(), drawn_pairs(8)
    if method == "sft":
        examples = [Example(e.session, e.chosen, None, 0, 0) for e in examples]
    args = arguments(method=method, nll_scope=scope)
    metrics = train.run_examples(model, examples, args, backward=True)
    expected = gradients(model)
    args.tree_tokens = tree_tokens
    split = train.run_examples(model, examples, args, backward=True)
    assert split.pop("unique_tokens") > metrics.pop("unique_tokens")  # it was split, and shared less
    assert split == pytest.approx(metrics, rel=1e-5)
    assert (gradients(model) - expected).norm() <= 1e-5 * expected.norm()


def test_trap_03_the_step_is_the_mean_over_its_tokens_and_pairs():
    """The same 8 pairs, one by one through the plain model: NLL over all tokens, odds ratio over all pairs."""
    model, examples = with_adapter(), drawn_pairs(8)

    def logps(answer: Answer) -> Tensor:
        ids = torch.tensor(answer.ids)
        whole = torch.log_softmax(model.logits(model(ids[None]))[0, :-1], dim=-1).gather(1, ids[1:, None]).squeeze(1)
        return whole[answer.start - 1 :]

    chosen, rejected = [logps(e.chosen) for e in examples], [logps(e.rejected) for e in examples]
    margins = log_odds_margin(*(torch.stack([x.mean() for x in side]) for side in (chosen, rejected)))
    loss = -torch.cat(chosen).mean() + 0.25 * odds_ratio_loss(margins).mean()
    loss.backward()
    expected = gradients(model)
    metrics = train.run_examples(model, examples, arguments(tree_tokens=60), backward=True)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["margin"] == pytest.approx(margins.mean().item(), rel=1e-4)
    assert metrics["accuracy"] == pytest.approx((margins > 0).float().mean().item())
    assert (gradients(model) - expected).norm() <= 1e-5 * expected.norm()


def test_trap_03_the_order_in_a_step_does_not_matter():
    model, examples = with_adapter(), drawn_pairs(8)
    metrics = train.run_examples(model, examples, arguments(tree_tokens=60), backward=True)
    expected = gradients(model)
    shuffled = random.Random(1).sample(examples, len(examples))
    again = train.run_examples(model, shuffled, arguments(tree_tokens=60), backward=True)
    assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    assert (gradients(model) - expected).norm() <= 1e-5 * expected.norm()


def test_trap_04_oldest_turns_go_whole_and_are_counted(tokenizer):
    """At every limit from the whole prompt down: the ids are those of the system prompt and the newest turns."""
    messages = conversation(5)
    prompts = [tokenizer.prompt(messages[:1] + messages[1 + 2 * cut :]) for cut in range(5)]
    for cut, prompt in enumerate(prompts):
        assert fit_prompt(messages, tokenizer, len(prompt)) == (prompt, cut)
        if cut < 4:
            assert fit_prompt(messages, tokenizer, len(prompt) - 1) == (prompts[cut + 1], cut + 1)
        assert tokenizer.decode(prompt).startswith("system\nYou listen.")
    with pytest.raises(ValueError, match=f"take {len(prompts[4])} tokens; --max-prompt is {len(prompts[4]) - 1}"):
        fit_prompt(messages, tokenizer, len(prompts[4]) - 1)
    example = make_example(pair_row(5), tokenizer, True, 512, len(prompts[2]))
    assert example.cut_turns == 2 and example.cut_tokens == 0
    assert example.session == make_example(pair_row(3), tokenizer, True, 512, 512).session  # known by its uncut start


def test_trap_04_without_a_system_prompt_the_first_turn_may_go(tokenizer):
    messages = conversation(3)[1:]
    ids, cut = fit_prompt(messages, tokenizer, len(tokenizer.prompt(messages)) - 1)
    assert (ids, cut) == (tokenizer.prompt(messages[2:]), 1)


def test_trap_04_cut_answers_keep_their_end(tokenizer):
    """At every length that leaves room for a token and the end; what is cut is counted in tokens."""
    row = pair_row()
    prompt = tokenizer.prompt(row["prompt"])
    replies = [tokenizer.reply(row[name][0]["content"]) for name in ("chosen", "rejected")]
    for room in range(2, 20):
        example = make_example(row, tokenizer, True, len(prompt) + room, 512)
        for answer, reply in zip(example.answers, replies, strict=True):
            kept = reply if len(reply) <= room else reply[: room - 1] + reply[-1:]
            assert answer.ids == prompt + kept and answer.start == len(prompt)
            assert answer.tokens >= 2 and answer.ids[-1] == tokenizer.end_ids[0]
        assert example.cut_tokens == sum(max(0, len(reply) - room) for reply in replies)
    with pytest.raises(ValueError, match=f"the prompt takes {len(prompt)} tokens of {len(prompt) + 1}"):
        make_example(row, tokenizer, True, len(prompt) + 1, 512)


def targets_of(examples: list[Example], monkeypatch, scope: str = "response") -> list[int]:
    """The token ids whose log-probs reach the loss of a step."""
    seen: list[int] = []
    kernel = act.training.tree.logprob

    def recorded(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        seen.extend(targets.tolist())
        return kernel(hidden, weight, targets)

    monkeypatch.setattr(act.training.tree, "logprob", recorded)
    model = Llama(LlamaConfig.from_dict(CONFIG))
    args = arguments(nll_scope=scope, method="orpo" if examples[0].rejected else "sft")
    metrics = train.run_examples(model, examples, args, backward=False)
    assert metrics["nll"] > 0
    return seen


def test_trap_05_the_end_token_is_learned(tokenizer, monkeypatch):
    """The end token closes every answer in the loss, though it also closes the prompt's turns, which are not in it."""
    row = pair_row(3)
    example = make_example(row, tokenizer, True, 512, 512)
    end = tokenizer.end_ids[0]
    assert example.chosen.ids[: example.chosen.start].count(end) == 6  # system, three clients', two replies
    replies = [tokenizer.encode(row[name][0]["content"]) + [end] for name in ("chosen", "rejected")]
    assert targets_of([example], monkeypatch) == sum(replies, [])


def bigram_model() -> Llama:
    """A model without layers over 5 tokens: p(j | i) = ((i + 2j) mod 5 + 1) / 15, another number for every follower.

    Embeddings are one-hot; the norm makes them sqrt(5) long; the head holds log p / sqrt(5).
    """
    sizes = {"vocab_size": 5, "hidden_size": 5, "num_hidden_layers": 0, "tie_word_embeddings": False}
    model = Llama(LlamaConfig.from_dict(CONFIG | sizes | {"rms_norm_eps": 0.0, "head_dim": 2}))
    i, j = torch.arange(5)[:, None], torch.arange(5)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(5))
        model.lm_head.weight.copy_((((i + 2 * j) % 5 + 1) / 15).log().T / math.sqrt(5))
    return model


@pytest.mark.parametrize(
    ("scope", "start", "probabilities"),
    [("response", 2, [1, 4, 2]), ("response", 4, [2]), ("response", 1, [3, 1, 4, 2]), ("sequence", 2, [3, 1, 4, 2])],
)
def test_trap_06_five_tokens_by_hand(scope, start, probabilities):
    """Tokens 0 1 2 3 4. In fifteenths: p(1|0) = (0 + 2) mod 5 + 1 = 3, p(2|1) = 5 mod 5 + 1 = 1,
    p(3|2) = 8 mod 5 + 1 = 4, p(4|3) = 11 mod 5 + 1 = 2. An answer from `start` on has the last of them."""
    examples = [Example("s", Answer([0, 1, 2, 3, 4], start), None, 0, 0)]
    metrics = train.run_examples(bigram_model(), examples, arguments(method="sft", nll_scope=scope), backward=False)
    nll = -sum(math.log(p / 15) for p in probabilities) / len(probabilities)
    assert metrics["nll"] == pytest.approx(nll, rel=1e-6)


def test_trap_06_a_pair_by_hand():
    """Prompt 0 1, chosen 2 3 4, rejected 0: p(0|1) = 2/15, odds 2/13; chosen p^3 = 8/15^3, p = 2/15 too: margin 0."""
    examples = [Example("s", Answer([0, 1, 2, 3, 4], 2), Answer([0, 1, 0], 2), 0, 0)]
    metrics = train.run_examples(bigram_model(), examples, arguments(), backward=False)
    assert metrics["nll"] == pytest.approx(math.log(15 / 2), rel=1e-6)
    assert metrics["margin"] == pytest.approx(0, abs=1e-5)
    assert metrics["loss"] == pytest.approx(math.log(15 / 2) + 0.25 * math.log(2), rel=1e-5)
    assert (metrics["unique_tokens"], metrics["naive_tokens"]) == (6, 8)


def test_trap_07_training_and_inference_render_the_same_ids(tokenizer):
    """A turn's prompt is what the sampler reads; the trained session so far is the next turn's prefix."""
    row = pair_row(2)
    example = make_example(row, tokenizer, True, 512, 512)
    assert example.chosen.ids[: example.chosen.start] == tokenizer.prompt(row["prompt"])
    after = tokenizer.prompt([*row["prompt"], *row["chosen"], message("user", "And now?")])
    assert after[: len(example.chosen.ids)] == example.chosen.ids


def test_trap_07_one_bos_and_a_pinned_date():
    pieces = llama3(conversation(2))
    assert pieces.count("<|begin_of_text|>") == 1 and pieces[0] == "<|begin_of_text|>"
    assert f"Today Date: {LLAMA3_DATE}\n" in "".join(pieces) and LLAMA3_DATE == "26 Jul 2024"


@pytest.mark.parametrize("kind", ["prompt and completion", "messages", "pair for SFT"])
def test_trap_08_only_the_answer_is_learned(tokenizer, tmp_path, monkeypatch, kind):
    """The last message alone, end token included, is the target, in each of the formats that are read."""
    row = pair_row(3)
    if kind == "messages":
        row = {"messages": [*row["prompt"], *row["chosen"]]}
    elif kind == "prompt and completion":
        row = {"prompt": row["prompt"], "completion": row["chosen"]}
    examples = read_examples(write_rows(tmp_path / "data.jsonl", [row]), tokenizer, False, 512, 512)
    assert examples[0].rejected is None
    assert targets_of(examples, monkeypatch) == tokenizer.reply("What shows up now, 3 times?")


def test_trap_08_nll_scope_sequence_learns_the_prompt_too(tokenizer, monkeypatch):
    example = make_example(pair_row(2), tokenizer, True, 512, 512)
    targets = targets_of([example], monkeypatch, "sequence")
    assert targets == [*example.chosen.ids[1:], *example.rejected.ids[1:]]


def test_trap_09_a_bfloat16_model_trains_in_float32():
    """Adapter, moments and log-probs are float32; a step of 1e-6, which bfloat16 would swallow, moves the adapter."""
    model = tiny_llama().to(torch.bfloat16)
    attach(model, 4, 8)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.fill_(0.5)  # bfloat16's next number is 0.5 + 2^-8
    state = TrainState(model, weight_decay=0.0, max_grad_norm=1.0)
    logps, _ = act.training.tree.answer_logps(model, [e.chosen for e in drawn_pairs(2)])
    torch.cat(logps).sum().backward()
    state.update(1e-6)
    assert all(x.dtype == torch.float32 for x in logps)
    for name, parameter in state.parameters.items():
        assert parameter.dtype == torch.float32
        assert all(state.optimiser.state[parameter][m].dtype == torch.float32 for m in ("exp_avg", "exp_avg_sq"))
        if name.endswith("lora_B"):
            assert (parameter != 0.5).any()


def without(name: str) -> dict:
    return {key: value for key, value in pair_row().items() if key != name}


BAD_PAIRS = {
    "no prompt": (without("prompt"), 'no "prompt"'),
    "empty prompt": (pair_row(prompt=[]), '"prompt" is empty'),
    "prompt as text": (pair_row(prompt="Hi"), '"prompt" is empty or not a list'),
    "prompt without client": (
        pair_row(prompt=[message("user", "a"), message("assistant", "b")]),
        "is not user and assistant in turn",
    ),
    "system prompt alone": (pair_row(prompt=[message("system", "a")]), "is not user and assistant in turn"),
    "blank message": (pair_row(prompt=[message("user", " \n")]), '"prompt" has an empty user message'),
    "content of a wrong type": (pair_row(prompt=[message("user", 3)]), '"prompt" holds something'),
    "message as text": (pair_row(prompt=["Hi"]), '"prompt" holds something'),
    "role nobody has": (pair_row(prompt=[message("client", "Hi")]), "role 'client'"),
    "no rejected": (without("rejected"), 'neither "completion" nor both'),
    "no chosen": (without("chosen"), 'neither "completion" nor both'),
    "rejected null": (pair_row(rejected=None), '"rejected" is empty'),
    "empty chosen": (pair_row(chosen=[message("assistant", "")]), '"chosen" has an empty assistant message'),
    "chosen by the user": (pair_row(chosen=[message("user", "Hi")]), "\"chosen\" has role 'user'"),
    "two chosen messages": (pair_row(chosen=[message("assistant", "a")] * 2), '"chosen" has 2 messages'),
    "chosen equal to rejected": (
        pair_row(chosen=[message("assistant", "So?")], rejected=[message("assistant", " So?\n")]),
        "are the same",
    ),
    "completion and pair": (pair_row(completion=[message("assistant", "a")]), 'neither "completion" nor both'),
    "completion for ORPO": ({"prompt": conversation(1), "completion": [message("assistant", "a")]}, 'no "rejected"'),
    "messages for ORPO": ({"messages": [*conversation(1), message("assistant", "a")]}, 'no "rejected"'),
    "messages without answer": ({"messages": conversation(2)}, '"prompt" is not user and assistant in turn'),
    "messages of one": ({"messages": [message("assistant", "a")]}, '"prompt" is empty'),
    "too long a prompt": (pair_row(prompt=[message("user", "so " * 600)]), "--max-prompt is 300"),
    "not an object": ([1, 2], "not a JSON object"),
    "not JSON": ('{"prompt": [}', "Expecting value"),
}


@pytest.mark.parametrize("name", BAD_PAIRS)
def test_trap_12_bad_rows_stop_the_run_with_file_and_line(tokenizer, tmp_path, name):
    row, reason = BAD_PAIRS[name]
    path = write_rows(tmp_path / "data.jsonl", [pair_row(), pair_row(2), row, pair_row(3)])
    with pytest.raises(InputError) as raised:
        read_examples(path, tokenizer, True, 512, 300)
    assert str(raised.value).startswith(f"{path}:3: ") and reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_trap_12_text_that_is_no_unicode(tokenizer, tmp_path):
    """JSON can spell half a surrogate pair, "\\ud800", which is no character."""
    path = write_rows(tmp_path / "data.jsonl", [pair_row(chosen=[message("assistant", "\ud800")])])
    with pytest.raises(InputError, match="data.jsonl:1: "):
        read_examples(path, tokenizer, True, 512, 300)


def test_trap_12_answers_that_are_equal_once_cut(tokenizer, tmp_path):
    """With room for 4 tokens "one two three" is left of both answers: a pair with nothing to prefer."""
    answers = {name: [message("assistant", f"one two three {name}")] for name in ("chosen", "rejected")}
    path = write_rows(tmp_path / "data.jsonl", [pair_row(**answers)])
    with pytest.raises(InputError, match="data.jsonl:1: "):
        read_examples(path, tokenizer, True, len(tokenizer.prompt(conversation(1))) + 4, 300)


def test_trap_12_no_rows(tokenizer, tmp_path):
    with pytest.raises(InputError, match="data.jsonl: no records"):
        read_examples(write_rows(tmp_path / "data.jsonl", []), tokenizer, True, 512, 512)


@pytest.mark.parametrize("cot", [False, True])
def test_trap_12_reasoning_where_none_is_meant_and_none_where_it_is(tokenizer, tmp_path, cot):
    plain = pair_row()
    thought = pair_row(chosen=[message("assistant", "Thinking: He is stuck.\n\nAnswer: And then?")])
    right, wrong = (thought, plain) if cot else (plain, thought)
    check = partial(train.check_form, cot=cot)
    good, bad = (write_rows(tmp_path / name, [row]) for name, row in (("good", right), ("bad", wrong)))
    assert len(read_examples(good, tokenizer, True, 512, 512, check)) == 1
    with pytest.raises(InputError, match=r"bad:1: the answer .*--cot"):
        read_examples(bad, tokenizer, True, 512, 512, check)


def run_in_process(monkeypatch, *flags) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, flags)])
    run_script(train.main)


@pytest.mark.parametrize("fault", ["row", "sessions", "folder", "flag"])
def test_trap_12_status_2_and_one_line(folder, tmp_path, monkeypatch, capsys, fault):
    data = write_rows(tmp_path / "data.jsonl", [pair_row(), without("prompt") if fault == "row" else pair_row(2)])
    flags = {"--method": "orpo", "--model": folder, "--data": data, "--out": tmp_path / "out"}
    flags |= {"sessions": {"--held-out-sessions": 1}, "folder": {"--model": "none"}, "flag": {"--batch": 0}}.get(
        fault, {}
    )
    with pytest.raises(SystemExit) as raised:
        run_in_process(monkeypatch, *(x for flag in flags.items() for x in flag))
    assert raised.value.code == 2
    line = {
        "row": f'error: {data}:2: no "prompt" (nor "messages"): the answer would be learned without its context\n',
        "sessions": "error: --held-out-sessions 1: the data have 1 sessions, and one must be left to train on\n",
        "folder": "error: none: no such folder\n",
        "flag": f"error: argument --batch: 0 is not 1 or more (see {Path(sys.argv[0]).name} --help)\n",
    }
    assert capsys.readouterr().err == line[fault]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_trap_12_status_2_of_the_script(folder, tmp_path, refused):
    data = write_rows(tmp_path / "data.jsonl", [pair_row(), pair_row(chosen=[message("assistant", "")])])
    line = refused("train.py", "--method", "orpo", "--model", folder, "--data", data, "--out", "out")
    assert line == f'error: {data}:2: "chosen" has an empty assistant message'


def session_examples(sessions: int, turns: int) -> list[Example]:
    """Interleaved: turn 0 of every session, then turn 1 of every session; `cut_turns` tells the turn."""
    answer = Answer([1, 2], 1)
    return [Example(f"s{s}", answer, answer, turn, 0) for turn in range(turns) for s in range(sessions)]


@pytest.mark.parametrize("order", ["session", "random"])
def test_data_order_is_a_permutation_an_epoch(order):
    examples = session_examples(6, 4)
    out = train.data_order(examples, order, seed=5, epochs=3)
    epochs = [out[:24], out[24:48], out[48:]]
    for epoch in epochs:
        assert sorted(map(id, epoch)) == sorted(map(id, examples))
    assert len({tuple(map(id, epoch)) for epoch in [*epochs, examples]}) == 4  # no epoch is like another
    assert list(map(id, train.data_order(examples, order, 5, 3))) == list(map(id, out))
    assert list(map(id, train.data_order(examples, order, 6, 3))) != list(map(id, out))


def test_order_session_keeps_sessions_together_and_turns_in_order():
    out = train.data_order(session_examples(6, 4), "session", seed=5, epochs=2)
    for start in range(0, 48, 4):
        block = out[start : start + 4]
        assert len({e.session for e in block}) == 1 and [e.cut_turns for e in block] == [0, 1, 2, 3]


def test_hold_out_splits_by_session():
    examples = session_examples(3, 2)
    kept, held = train.hold_out(examples, 1)
    assert [e.session for e in kept] == ["s0", "s1", "s0", "s1"] and [e.session for e in held] == ["s2", "s2"]
    assert train.hold_out(examples, 0) == (examples, [])
    for n in (3, -1):
        with pytest.raises(InputError, match=f"--held-out-sessions {n}: the data have 3 sessions"):
            train.hold_out(examples, n)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("linear", {0: 1 / 2, 1: 1, 2: 1, 3: 7 / 8, 6: 1 / 2, 9: 1 / 8}),
        ("cosine", {0: 1 / 2, 1: 1, 2: 1, 4: (2 + math.sqrt(2)) / 4, 6: 1 / 2, 8: (2 - math.sqrt(2)) / 4}),
    ],
)
def test_learning_rate_by_hand(schedule, rates):
    """10 steps, 2 of warm-up: 1/2, 1; then 8 of decay, at step s by the share done x = (s - 2) / 8: 1 - x, or
    (1 + cos(pi x)) / 2, which is (2 + sqrt 2) / 4 at x = 1/4."""
    for step, rate in rates.items():
        assert learning_rate(step, 10, 3e-6, 2, schedule) == pytest.approx(3e-6 * rate, rel=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (5, 0), (5, 5), (40, 4)])
def test_every_step_learns_and_the_peak_is_reached(schedule, steps, warmup):
    rates = [learning_rate(step, steps, 1.0, warmup, schedule) for step in range(steps)]
    assert min(rates) > 0 and max(rates) == 1
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_two_steps_of_adamw_by_hand():
    """p = 2, rate 0.1, decay 0.01. Gradient 3 is clipped to 1: p = 2 (1 - 0.001) - 0.1 * 1 / 1 = 1.898.

    Gradient 0.5: m = 0.9 * 0.1 + 0.1 * 0.5 = 0.14, v = 0.999 * 0.001 + 0.001 * 0.25 = 0.001249; corrected by
    1 - 0.9^2 and 1 - 0.999^2: 0.736842 and 0.624812; p = 1.898 * 0.999 - 0.1 * 0.736842 / sqrt(0.624812) = 1.802884.
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
    with pytest.raises(InputError, match="step 1: the gradient is nan"):
        state.update(0.1)
    assert model.weight.item() == before and state.step == 0


def steps_of(model: Llama, state: TrainState, until: int) -> None:
    examples = drawn_pairs(12)
    for step in range(state.step, until):
        train.run_examples(model, examples[2 * step : 2 * step + 2], arguments(), backward=True)
        state.update(learning_rate(step, 6, 1e-2, 2, "cosine"))


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_trap_11_resumed_equals_uninterrupted_to_the_bit(tmp_path, stop):
    model = with_adapter()
    state = TrainState(model, 0.01, 1.0)
    steps_of(model, state, 6)

    first = with_adapter()
    half = TrainState(first, 0.01, 1.0)
    steps_of(first, half, stop)
    half.save(tmp_path / "state.safetensors", {"lr": 1e-2})
    second = with_adapter(seed=99)  # another start, so that nothing is right by chance
    resumed = TrainState(second, 0.01, 1.0)
    resumed.load(tmp_path / "state.safetensors", {"lr": 1e-2})
    assert resumed.step == stop
    steps_of(second, resumed, 6)
    for name, parameter in state.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name]), name
        for moment in ("exp_avg", "exp_avg_sq", "step"):
            ours, theirs = (s.optimiser.state[s.parameters[name]][moment] for s in (state, resumed))
            assert torch.equal(ours, theirs), (name, moment)


def test_trap_11_a_state_of_another_run_is_refused(tmp_path):
    model = with_adapter()
    state = TrainState(model, 0.01, 1.0)
    steps_of(model, state, 1)
    path = tmp_path / "state.safetensors"
    state.save(path, {"lr": 0.01, "seed": 1})
    for run, name in (({"lr": 0.02, "seed": 1}, "lr = 0.01, not 0.02"), ({"lr": 0.01}, "seed = 1, not None")):
        with pytest.raises(InputError, match=f"was made with {name}"):
            TrainState(with_adapter(), 0.01, 1.0).load(path, run)


def log_of(out: Path) -> list[dict]:
    """The log without what a clock or a machine decides."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("tokens_per_s", "peak_memory_gib")} for line in lines]


def test_trap_11_a_state_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    state = TrainState(with_adapter(), 0.01, 1.0)
    path.write_bytes(b"\x10\0\0\0")
    with pytest.raises(InputError, match="state.safetensors: "):
        state.load(path, {})


def test_trap_11_a_torn_line_of_the_log_is_left_out(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 0}\n{"step": 1}\n{"step": 2, "nl')
    with train.open_log(tmp_path / "log.jsonl", 1) as log:
        assert log.read() == '{"step": 0}\n{"step": 1}\n'


def test_trap_11_killed_behind_the_last_step(folder, tmp_path, monkeypatch):
    """The state is of the last step, the log has the last evaluation, the adapter is not there yet."""
    data = write_rows(tmp_path / "data.jsonl", [pair_row(turn, session) for session in range(3) for turn in (1, 2)])
    flags = ["--method", "sft", "--model", folder, "--data", data, "--batch", 2, "--save-every", 1, "--lora-rank", 2]
    flags += ["--held-out-sessions", 1]
    run_in_process(monkeypatch, *flags, "--out", tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(train, "save_adapter", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run_in_process(patch, *flags, "--out", tmp_path / "killed")
    run_in_process(monkeypatch, *flags, "--resume", "--out", tmp_path / "killed")
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")


@pytest.mark.slow
def test_trap_11_killed_and_resumed_equals_uninterrupted(folder, tmp_path):
    """train.py, killed by SIGKILL in the middle and started again with --resume: the same adapter, byte for byte."""
    rows = [pair_row(turn, session) for session in range(7) for turn in range(1, 7)]
    data = write_rows(tmp_path / "data.jsonl", rows)

    def command(out: str) -> list:
        flags = [
            "--held-out-sessions",
            1,
            "--epochs",
            2,
            "--batch",
            1,
            "--save-every",
            5,
            "--lora-rank",
            2,
            "--lr",
            1e-2,
        ]
        files = ["--model", folder, "--data", data, "--out", tmp_path / out]
        return [*map(str, [sys.executable, "train.py", "--method", "orpo", "--resume", *files, *flags])]

    options = {"cwd": ROOT, "env": os.environ | {"OMP_NUM_THREADS": "1"}, "stderr": subprocess.DEVNULL}
    subprocess.run(command("whole"), check=True, stdout=subprocess.DEVNULL, **options)

    log, killed = tmp_path / "killed" / "log.jsonl", subprocess.Popen(command("killed"), **options)
    while killed.poll() is None and not (log.is_file() and log.read_text().count("\n") > 12):
        time.sleep(0.001)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert (tmp_path / "killed" / "state.safetensors").is_file()
    assert not (tmp_path / "killed" / "adapter_model.safetensors").exists()

    done = subprocess.run(command("killed"), check=True, stdout=subprocess.PIPE, text=True, **options)
    whole, resumed = tmp_path / "whole", tmp_path / "killed"
    assert log_of(resumed) == log_of(whole) and len(log_of(whole)) == 74  # before, 6 x 6 x 2 steps, after
    weights = "adapter_model.safetensors"
    assert (resumed / weights).read_bytes() == (whole / weights).read_bytes()
    reports = [json.loads((out / "train.json").read_text()) for out in (resumed, whole)]
    assert reports[0] == reports[1]
    assert reports[0]["after"]["nll"] < reports[0]["before"]["nll"] - 0.1  # and it has learned
    assert f"held-out nll: {reports[0]['before']['nll']:.4f} before" in done.stdout
    assert not (resumed / "state.safetensors").exists()

    again = subprocess.run(command("killed"), check=True, stdout=subprocess.PIPE, text=True, **options)
    assert again.stdout == f"{resumed} is trained\n"


IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@torch.no_grad()
def outputs(model: Llama) -> Tensor:
    return model.logits(model(IDS))


def test_lora_starts_at_the_base_model_and_detaches_to_it():
    model = tiny_llama()
    base = outputs(model)
    torch.manual_seed(1)
    attach(model, 4, 8)
    assert torch.equal(outputs(model), base)
    assert all(layer.lora_A.any() for layer in lora_layers(model).values())
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_B)
    assert not torch.allclose(outputs(model), base, atol=0.1)
    detach(model)
    assert torch.equal(outputs(model), base) and trainable(model) == 0
    assert model.state_dict().keys() == tiny_llama().state_dict().keys()


def test_lora_trains_the_projections_alone():
    """Rank r adds r (in + out) a projection: q, o 16 + 16; k, v 16 + 8; gate, up, down 16 + 24: 4 * 232 a layer."""
    model = with_adapter(rank=4)
    assert {name.rpartition(".")[2] for name in lora_layers(model)} == set(PROJECTIONS)
    assert trainable(model) == 2 * 4 * (2 * 32 + 2 * 24 + 3 * 40)
    named = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(name.endswith(("lora_A", "lora_B")) for name in named)


def test_lora_is_w_plus_alpha_over_r_times_b_a():
    """Equation 3, layer by layer: W + (alpha / r) B A with alpha 8, r 4."""
    x = torch.randn(3, 16)
    layer = with_adapter().model.layers[0].self_attn.q_proj
    torch.testing.assert_close(layer(x), x @ (layer.weight + 2 * layer.lora_B @ layer.lora_A).T)


def test_merged_equals_unmerged():
    model = with_adapter()
    expected = outputs(model)
    merge(model)
    assert not lora_layers(model)
    torch.testing.assert_close(outputs(model), expected, rtol=1e-5, atol=1e-5)


def test_an_adapter_comes_back_as_it_was(tmp_path):
    model = with_adapter()
    save_adapter(model, tmp_path, "base", rank=4, alpha=8)
    again = tiny_llama()
    load_adapter(again, tmp_path)
    assert torch.equal(outputs(again), outputs(model)) and trainable(again) == 0
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["target_modules"] == sorted(PROJECTIONS)
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
        assert len(list(file.keys())) == 2 * 7 * 2 and file.get_slice(name).get_shape() == [4, 24]


def test_loading_replaces_the_adapter_that_is_there(tmp_path):
    first, second = with_adapter(seed=1), with_adapter(seed=2, rank=8)
    save_adapter(second, tmp_path, "base", rank=8, alpha=8)
    load_adapter(first, tmp_path)
    assert torch.equal(outputs(first), outputs(second))


def test_loading_replaces_an_adapter_on_more_modules(tmp_path):
    first, second = with_adapter(), tiny_llama()
    attach(second, 4, 8, ("q_proj",))
    save_adapter(second, tmp_path, "base", rank=4, alpha=8)
    load_adapter(first, tmp_path)
    assert torch.equal(outputs(first), outputs(second))


@pytest.mark.slow
@pytest.mark.parametrize("targets", [PROJECTIONS, ("q_proj", "v_proj")])
def test_peft_reads_our_adapter_and_we_read_its(folder, tmp_path, targets):
    """Logits equal PEFT's on transformers' Llama of the same folder, from our file and from the one PEFT writes."""
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    ours = load_model(folder)
    torch.manual_seed(1)
    attach(ours, 4, 8, targets)
    for layer in lora_layers(ours).values():
        nn.init.normal_(layer.lora_B, std=0.3)
    save_adapter(ours, tmp_path / "ours", str(folder), rank=4, alpha=8)
    theirs = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(folder), tmp_path / "ours")
    with torch.no_grad():
        logits = theirs(IDS).logits
    assert (logits - outputs(load_model(folder))).abs().max() > 0.1  # the adapter counts
    torch.testing.assert_close(outputs(ours), logits, rtol=1e-5, atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")
    torch.testing.assert_close(outputs(load_model(f"{folder}+{tmp_path / 'theirs'}")), logits, rtol=1e-5, atol=1e-5)
