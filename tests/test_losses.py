"""The losses: numbers by hand, float64 and mpmath truths, and TRL's own numbers (tests/truths)."""

import json
import math

import pytest
import torch
from mpmath import mp
from torch import Tensor

import act.training.step
from act.model.llama import Llama, LlamaConfig
from act.training.examples import Answer, Example
from act.training.losses import log_odds, log_odds_margin, nll_loss, odds_ratio_loss, orpo_loss
from act.training.step import Objective, answer_logps, count_targets, step_losses
from tests.conftest import on_each_device
from tests.truths.make_trl_truths import TRUTHS, tiny_weights, trl_numbers

TRL = json.loads(TRUTHS.read_text())


def log(p: float | list[float]) -> Tensor:
    return torch.tensor(p).log()


@on_each_device
def test_orpo_by_hand():
    """Mean log-probs ln 1/2 (odds 1) and ln 1/4 (odds 1/3): margin ln 1 - ln 1/3 = ln 3.

    L_OR = -log sigmoid(ln 3) = -ln(3/4) = ln 4/3. The chosen answer has 3 tokens of probability
    1/2: NLL is ln 2 a token. With lambda 0.1: L = ln 2 + 0.1 ln 4/3.
    """
    margin = log_odds_margin(log([0.5]), log([0.25]))
    nll = nll_loss(log([0.5, 0.5, 0.5]), target_tokens=3)
    torch.testing.assert_close(margin, log([3.0]))
    torch.testing.assert_close(odds_ratio_loss(margin), log([4 / 3]))
    torch.testing.assert_close(nll, log(2.0))
    torch.testing.assert_close(orpo_loss(nll, margin, 0.1, pairs=1), log(2.0) + 0.1 * log(4 / 3))


@on_each_device
def test_micro_batches_add_up_to_the_step():
    """Two pairs with L_OR a and b, 1 and 3 target tokens: the parts' losses sum to the step's,
    whatever the split."""
    margins, logps = torch.tensor([1.0, -2.0]), torch.tensor([-1.0, -2.0, -3.0, -5.0])
    whole = orpo_loss(nll_loss(logps, 4), margins, 0.1, pairs=2)
    parts = [
        orpo_loss(nll_loss(logps[a:b], 4), margins[i : i + 1], 0.1, 2)
        for i, (a, b) in enumerate([(0, 1), (1, 4)])
    ]
    torch.testing.assert_close(sum(parts), whole)
    odds_ratio = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2
    assert whole.item() == pytest.approx(11 / 4 + 0.1 * odds_ratio)


@on_each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", [-1e-8, -1e-6, -1e-4, -0.1, -math.log(2), -1.0, -10.0, -50.0, -1e4])
def test_trap_01_log_odds_near_certainty(at, dtype):
    """Against mpmath with 60 digits, at the very number the tensor holds: log(p / (1 - p)),
    derivative 1 / (1 - p)."""
    x = torch.tensor(at, dtype=dtype, requires_grad=True)
    value = log_odds(x)
    value.backward()
    with mp.workdps(60):
        p = mp.exp(mp.mpf(x.item()))
        true, slope = mp.mpf(x.item()) - mp.log1p(-p), 1 / (1 - p)
    digits = 1e-6 if dtype == torch.float32 else 1e-14
    assert value.item() == pytest.approx(float(true), rel=digits, abs=digits)
    assert x.grad.item() == pytest.approx(float(slope), rel=digits)


@on_each_device
def test_trap_01_certainty_itself():
    """At log p = 0 the odds are infinite: the documented limit, -ln 1e-12 = 27.63, and a gradient
    of 1."""
    x = torch.zeros(1, requires_grad=True)
    value = log_odds(x)
    value.backward()
    assert value.item() == pytest.approx(-math.log(1e-12), rel=1e-6)
    assert x.grad.item() == 1


@on_each_device
@pytest.mark.parametrize("rejected", [0.0, -1e-8, -1.0, -200.0])
@pytest.mark.parametrize("chosen", [0.0, -1e-8, -1.0, -200.0])
def test_trap_01_the_loss_is_finite_at_every_end(chosen, rejected):
    answers = (
        torch.tensor([chosen], requires_grad=True),
        torch.tensor([rejected], requires_grad=True),
    )
    loss = odds_ratio_loss(log_odds_margin(*answers)).sum()
    loss.backward()
    assert loss.isfinite() and all(x.grad.isfinite() for x in answers)
    assert answers[0].grad <= 0 <= answers[1].grad


@on_each_device
def test_the_odds_ratio_loss_is_a_line_far_from_zero():
    """-log sigmoid(-200) = 200 with derivative -1, where sigmoid itself is 0 in float32; at 200
    both are 0."""
    margin = torch.tensor([-200.0, 200.0], requires_grad=True)
    loss = odds_ratio_loss(margin)
    loss.sum().backward()
    assert loss.tolist() == [200, 0] and margin.grad.tolist() == [-1, 0]


def by_naive_orpo(chosen: list[Tensor], rejected: list[Tensor], lambda_or: float) -> Tensor:
    """Equations 3 to 7 word for word, with p itself; for float64 and answers that are not too
    likely."""
    p_w, p_l = (torch.stack([logps.mean().exp() for logps in side]) for side in (chosen, rejected))
    ratio = (p_w / (1 - p_w)) / (p_l / (1 - p_l))
    return -torch.cat(chosen).mean() - lambda_or * torch.log(torch.sigmoid(torch.log(ratio))).mean()


def losses_of(
    chosen: list[Tensor], rejected: list[Tensor], monkeypatch, scope: str = "response"
) -> tuple:
    """step_losses on token log-probs in place of a model; with scope "sequence" each prompt has two
    tokens."""
    sides = list(zip(chosen, rejected, strict=True))
    logps = [x for pair in sides for x in pair]
    prompt = 3 if scope == "sequence" else 1
    answers = [Answer([0] * (len(x) + 1), prompt) for x in logps]
    examples = [Example("s", answers[i], answers[i + 1], 0) for i in range(0, len(answers), 2)]
    monkeypatch.setattr(act.training.step, "answer_logps", lambda *arguments: (logps, 0))
    return step_losses(
        None, examples, Objective("orpo", 0.25, scope), sum(map(len, chosen)), len(chosen)
    )


@on_each_device
def test_orpo_equals_float64(monkeypatch):
    """The training step's loss and its gradient to every token's log-prob, for 5 pairs of 1 to 9
    tokens."""
    torch.manual_seed(0)
    lengths = [(3, 5), (1, 9), (4, 4), (7, 1), (2, 6)]
    tokens = [[-3 * torch.rand(n) - 1e-3 for n in pair] for pair in lengths]
    ours = [[x.clone().requires_grad_() for x in pair] for pair in tokens]
    true = [[x.double().requires_grad_() for x in pair] for pair in tokens]
    loss, sums = losses_of(*zip(*ours, strict=True), monkeypatch)
    expected = by_naive_orpo(*zip(*true, strict=True), 0.25)
    loss.backward(), expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert sums["loss"] == pytest.approx(sums["nll"] + 0.25 * sums["odds_ratio_loss"])
    for x, y in zip(sum(ours, []), sum(true, []), strict=True):
        torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-5, atol=1e-7)


@on_each_device
@pytest.mark.parametrize("scope", ["response", "sequence"])
def test_trap_02_mean_not_sum(monkeypatch, scope):
    """Chosen tokens 1/2 and 1/8: geometric mean 1/4, odds 1/3; rejected one token 1/2: odds 1;
    margin -ln 3.

    L_OR = -log sigmoid(-ln 3) = ln 4. A sum would give 1/16, odds 1/15, ln 16. The NLL of a whole
    sequence has the prompt's tokens too (here two of probability 1/1024): they do not enter the
    odds.
    """
    prompt = [1 / 1024] * 2 if scope == "sequence" else []
    loss, sums = losses_of(
        [log([*prompt, 1 / 2, 1 / 8])], [log([*prompt, 1 / 2])], monkeypatch, scope
    )
    nll = (math.log(2) + math.log(8) + len(prompt) * math.log(1024)) / (2 + len(prompt))
    assert sums["margin"] == pytest.approx(-math.log(3), rel=1e-6)
    assert sums["odds_ratio_loss"] == pytest.approx(math.log(4), rel=1e-6)
    assert sums["accuracy"] == 0
    assert sums["nll"] == pytest.approx(nll, rel=1e-6)
    assert loss.item() == pytest.approx(nll + 0.25 * math.log(4), rel=1e-6)


def trl_model() -> Llama:
    model = Llama(LlamaConfig.from_dict(TRL["config"]))
    model.load_state_dict(
        tiny_weights({name: tuple(p.shape) for name, p in model.named_parameters()})
    )
    return model


def trl_answers(ids: list[list[int]], labels: list[list[int]]) -> list[Answer]:
    """TRL's padded rows back as sequences: an answer begins at the first label and ends with the
    last."""
    answers = []
    for row, targets in zip(ids, labels, strict=True):
        places = [i for i, target in enumerate(targets) if target != -100]
        answers.append(Answer(row[: places[-1] + 1], places[0]))
    return answers


def assert_gradients_are_trls(model: Llama, truths: dict) -> None:
    for name, parameter in model.named_parameters():
        true = truths[name]
        assert parameter.grad.norm().item() == pytest.approx(true["norm"], rel=1e-5), name
        assert parameter.grad.flatten()[-6:].tolist() == pytest.approx(
            true["last"], abs=1e-5 * true["norm"]
        ), name


@on_each_device
def test_orpo_equals_trls():
    """TRL's NLL covers prompt and answer: nll-scope "sequence". Also a mixed batch, and padding
    that is EOS."""
    truths, model = TRL["orpo"], trl_model()
    sides = [
        trl_answers(*(truths["batch"][f"{s}_{k}"] for k in ("input_ids", "labels")))
        for s in ("chosen", "rejected")
    ]
    examples = [Example("s", *pair, 0) for pair in zip(*sides, strict=True)]
    answers = [answer for example in examples for answer in example.answers]

    means = torch.stack([logps.mean() for logps in answer_logps(model, answers)[0]])
    assert means[::2].tolist() == pytest.approx(truths["chosen_logps"], rel=1e-5)
    assert means[1::2].tolist() == pytest.approx(truths["rejected_logps"], rel=1e-5)

    objective = Objective("orpo", TRL["lambda_or"], "sequence")
    loss, sums = step_losses(
        model, examples, objective, count_targets(examples, "sequence"), len(examples)
    )
    loss.backward()
    metrics = truths["metrics"]
    assert loss.item() == pytest.approx(truths["loss"], rel=1e-5)
    assert sums["nll"] == pytest.approx(metrics["nll_loss"], rel=1e-5)
    assert sums["odds_ratio_loss"] == pytest.approx(-metrics["log_odds_ratio"], rel=1e-5)
    assert sums["margin"] == pytest.approx(metrics["log_odds_chosen"], rel=1e-5)
    assert sums["accuracy"] == pytest.approx(metrics["rewards/accuracies"], rel=1e-5)
    assert_gradients_are_trls(model, truths["gradients"])


@on_each_device
def test_sft_equals_trls():
    """TRL's SFT on the completions of prompt-completion rows."""
    truths, model = TRL["sft"], trl_model()
    answers = trl_answers(truths["batch"]["input_ids"], truths["batch"]["labels"])
    examples = [Example("s", answer, None, 0) for answer in answers]
    loss, _ = step_losses(model, examples, Objective("sft"), count_targets(examples, "response"), 0)
    loss.backward()
    assert loss.item() == pytest.approx(truths["loss"], rel=1e-5)
    assert_gradients_are_trls(model, truths["gradients"])


@pytest.mark.slow
def test_trl_still_says_so():
    """The installed TRL, run anew, gives the numbers kept in trl.json."""
    pytest.importorskip("trl")
    now = trl_numbers()
    for method in ("orpo", "sft"):
        assert now[method]["batch"] == TRL[method]["batch"]
        assert now[method]["loss"] == pytest.approx(TRL[method]["loss"], rel=1e-5)
        norms = [
            {name: g["norm"] for name, g in x[method]["gradients"].items()} for x in (now, TRL)
        ]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
