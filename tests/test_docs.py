"""The docs: each numbered equation of orpo.md, its printed example, what every page points to, and
its commands."""

import ast
import importlib
import json
import math
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import act.training.step
from act.training import losses
from act.training.examples import Answer, Example
from act.training.losses import log_odds, log_odds_margin, nll_loss, odds_ratio_loss, orpo_loss
from act.training.step import Objective, step_losses
from kernels.logprob import logprob
from tests.conftest import ROOT

ORPO = (ROOT / "docs/orpo.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SIXTEENTHS = torch.tensor(
    [[2, 12, 1, 1], [4, 2, 2, 8], [2, 1, 1, 12]]
)  # of the worked example: after x, x a, x b


def logs(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


CHOSEN, REJECTED = logs(1 / 8, 1 / 2), logs(3 / 4, 3 / 4)  # the worked example's tokens


def seeded(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def drawn(n: int) -> Tensor:
    """Log-probs from -4 to just below 0, float64, with gradients."""
    torch.manual_seed(n)
    return (-4 * torch.rand(n, dtype=torch.float64) - 1e-3).requires_grad_()


def test_equation_1_a_logit_and_a_log_sum_exp():
    """Hidden states e_1, e_2, e_3 and a head of the logarithms of the sixteenths: logits are those,
    p their share."""
    logps = logprob(torch.eye(3), SIXTEENTHS.float().log().T.contiguous(), torch.tensor([0, 3, 1]))
    torch.testing.assert_close(logps.double(), logs(2 / 16, 8 / 16, 1 / 16))


def test_equation_2_the_mean_of_the_tokens(monkeypatch):
    """p_w = sqrt(1/8 1/2) = 1/4, p_l = sqrt(3/4 3/4) = 3/4: margin ln 1/3 - ln 3; a product would
    give ln 7/135."""
    pair = [Answer([0] * 3, 1), Answer([0] * 3, 1)]
    monkeypatch.setattr(act.training.step, "answer_logps", lambda *_: ([CHOSEN, REJECTED], 0))
    loss, sums = step_losses(
        None, [Example("s", *pair, 0)], Objective("orpo"), target_tokens=2, pairs=1
    )
    assert sums["margin"] == pytest.approx(-math.log(9), rel=1e-12)
    assert loss.item() == pytest.approx(math.log(4) + 0.1 * math.log(10), rel=1e-12)


def test_equation_3_log_odds():
    torch.testing.assert_close(log_odds(logs(1 / 4, 1 / 2, 3 / 4)), logs(1 / 3, 1, 3))
    logp = drawn(50)
    torch.testing.assert_close(log_odds(logp), (logp.exp() / (1 - logp.exp())).log())


def test_equation_4_the_margin_is_the_log_of_the_odds_ratio():
    torch.testing.assert_close(log_odds_margin(logs(1 / 4), logs(3 / 4)), logs(1 / 9))
    w, l = drawn(50), drawn(51)[:50]  # noqa: E741 (the page's letters)
    assert torch.equal(log_odds_margin(w, l) > 0, w > l) and 0 < (w > l).sum() < 50


def test_equation_5_the_loss_of_a_pair():
    torch.testing.assert_close(odds_ratio_loss(logs(1 / 9)), logs(10))
    odds_w, odds_l = drawn(50).exp(), drawn(51)[:50].exp()
    torch.testing.assert_close(
        odds_ratio_loss((odds_w / odds_l).log()), torch.log1p(odds_l / odds_w)
    )


def test_equation_6_the_nll_of_a_step():
    """The example's two tokens; and the same as part of a step of five, where the others are to be
    added."""
    assert nll_loss(CHOSEN, 2).item() == pytest.approx(math.log(4))
    assert nll_loss(CHOSEN, 5).item() == pytest.approx(math.log(16) / 5)


def test_equation_7_the_whole_loss():
    """One pair; and two, of margins ln 1/9 and 0: the mean of ln 10 and ln 2."""
    nll = nll_loss(CHOSEN, 2)
    assert orpo_loss(nll, logs(1 / 9), 0.1, 1).item() == pytest.approx(
        math.log(4) + 0.1 * math.log(10)
    )
    assert orpo_loss(nll, logs(1 / 9, 1), 0.1, 2).item() == pytest.approx(
        math.log(4) + 0.05 * math.log(20)
    )


def test_equation_8_the_gradient_to_the_margin():
    margin = torch.cat([logs(1 / 9), 4 * drawn(50) + 8]).detach().requires_grad_()
    (slope,) = torch.autograd.grad(odds_ratio_loss(margin).sum(), margin)
    torch.testing.assert_close(slope, -1 / (1 + margin.exp()))
    assert slope[0].item() == pytest.approx(-9 / 10)


def test_equation_9_the_slope_of_log_odds():
    logp = torch.cat([logs(1 / 4, 3 / 4), drawn(50)]).detach().requires_grad_()
    (slope,) = torch.autograd.grad(log_odds(logp).sum(), logp)
    torch.testing.assert_close(slope, 1 / (1 - logp.exp()))
    assert slope[:2].tolist() == pytest.approx([4 / 3, 4])


@pytest.mark.parametrize("lengths", [[(2, 2)], [(1, 4), (3, 2), (5, 1)]])
def test_equation_10_the_gradient_to_a_tokens_log_prob(lengths):
    """The page's formula against autograd; for the worked example's pair also by hand: -0.56 and
    0.18."""
    pairs = [(drawn(10 + n), drawn(20 + m)) for n, m in lengths]
    if len(pairs) == 1:
        pairs = [(CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_())]
    N, P, weight = sum(n for n, _ in lengths), len(pairs), 0.1
    pairs = [(w[:n], l[:m]) for (w, l), (n, m) in zip(pairs, lengths, strict=True)]  # noqa: E741
    margin = log_odds_margin(
        *(torch.stack([side.mean() for side in sides]) for sides in zip(*pairs, strict=True))
    )
    loss = orpo_loss(nll_loss(torch.cat([w for w, _ in pairs]), N), margin, weight, P)
    found = torch.autograd.grad(loss, [side for pair in pairs for side in pair])
    for i, (w, l) in enumerate(pairs):  # noqa: E741
        p_w, p_l = w.mean().exp(), l.mean().exp()
        delta = 1 / (1 + p_w / (1 - p_w) / (p_l / (1 - p_l)))
        chosen = -1 / N - weight / P * delta / ((1 - p_w) * len(w))
        rejected = weight / P * delta / ((1 - p_l) * len(l))
        torch.testing.assert_close(found[2 * i], chosen.expand(len(w)))
        torch.testing.assert_close(found[2 * i + 1], rejected.expand(len(l)))
    if len(pairs) == 1:
        assert [g[0].item() for g in found] == pytest.approx([-0.56, 0.18])


def test_equation_11_the_gradient_to_logits_and_hidden_state():
    """The kernel's gradients; and at the end of the example's prompt -0.56 (e_a - q) + 0.18 (e_b -
    q), by hand."""
    torch.manual_seed(0)
    hidden, head, y = (
        torch.randn(5, 3, requires_grad=True),
        torch.randn(7, 3),
        torch.tensor([0, 6, 2, 2, 5]),
    )
    logits = (hidden @ head.T).detach().requires_grad_()
    rows = torch.arange(5)
    (to_logits,) = torch.autograd.grad(logits.log_softmax(-1)[rows, y].sum(), logits)
    torch.testing.assert_close(to_logits, torch.eye(7)[y] - logits.softmax(-1))
    (to_hidden,) = torch.autograd.grad(logprob(hidden, head, y).sum(), hidden)
    torch.testing.assert_close(to_hidden, head[y] - logits.softmax(-1) @ head)

    after_x = (
        torch.eye(3)[[0, 0]]
    ).requires_grad_()  # the prompt's last place, once for each answer
    logps = logprob(after_x, SIXTEENTHS.float().log().T.contiguous(), torch.tensor([0, 1]))
    (to_after_x,) = torch.autograd.grad((logps * torch.tensor([-0.56, 0.18])).sum(), after_x)
    through_head = torch.tensor([-0.5125, 0.465, 0.02375, 0.02375]) @ SIXTEENTHS.float().log().T
    torch.testing.assert_close(to_after_x.sum(0), through_head)


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.75, 0.99, 1 - 1e-6])
def test_equation_12_odds_undo_the_saturation_of_softmax(p):
    """A vocabulary of two, in float64: log odds = z_y - z_other, to 1 by z_y at every p; log p to
    1 - p. By (9) alone it would be 1 / (1 - p)."""
    logits = logs(p, 1 - p)[None].requires_grad_()  # (1, V)
    (logp,) = logits.log_softmax(-1)[:, 0]
    (plain,) = torch.autograd.grad(logp, logits, retain_graph=True)
    (odds,) = torch.autograd.grad(log_odds(logp), logits)
    assert plain[0, 0].item() == pytest.approx(1 - p, rel=1e-8)
    assert odds[0].tolist() == pytest.approx([1, -1], rel=1e-8)


def test_equation_12_of_a_longer_answer():
    """The own logits of all its tokens together get (1 - mean p_t) / (1 - p), at most 1; 1 where
    the tokens are equally likely. The example's answers by hand: 11/12 and 1."""
    for seed in range(50):
        logits = 4 * torch.randn(1 + seed % 7, 5, dtype=torch.float64, generator=seeded(seed))
        logits.requires_grad_()
        logps = logits.log_softmax(-1)[:, 0]
        (slope,) = torch.autograd.grad(log_odds(logps.mean()), logits)
        p = logps.exp()
        own = (1 - p.mean()) / (1 - logps.mean().exp())
        torch.testing.assert_close(slope[:, 0].sum(), own)
        assert own <= 1 + 1e-12 and (len(p) > 1 or own.item() == pytest.approx(1))
    for logps, told in ((CHOSEN, 11 / 12), (REJECTED, 1)):
        p = logps.exp()
        assert (1 - p.mean()) / (1 - logps.mean().exp()) == pytest.approx(told)


def test_the_gradient_of_a_sure_answer_stays_small():
    """Hidden states ever closer to what makes the rejected answer certain, rows of the head of
    length 1: the kernel's float32 gradient, summed over the answer's tokens, is at most 2, where
    the slope (9) of log odds goes beyond 1e7. The page says 1.13, which rounding decides."""
    norms, steepest = [], 0.0
    for seed in range(20):
        stream = seeded(seed)
        head = torch.nn.functional.normalize(torch.randn(50, 16, generator=stream))
        y = torch.randint(50, (4,), generator=stream)
        noise = 0.05 * torch.randn(4, 16, generator=stream)
        for scale in (1, 3, 5, 8, 10, 12, 14, 16, 17, 18, 19, 20, 25, 30, 40, 60):
            hidden = (scale * (head[y] + noise)).requires_grad_()
            logp = logprob(hidden, head, y).mean()[None]
            loss = odds_ratio_loss(log_odds_margin(torch.tensor([-2.0]), logp)).sum()
            (to_hidden,) = torch.autograd.grad(loss, hidden)
            norms.append(to_hidden.norm(dim=1).sum().item())
            if logp < 0:
                steepest = max(steepest, -1 / math.expm1(logp.item()))
    assert len(norms) == 320 and 0.5 < max(norms) < 1.5
    assert steepest > 1e7


def test_how_far_apart_a_margin_asks_log_probs_to_be():
    """p_l = 0.3 and a margin of 2: odds_w = e^2 3/7, p_w = 0.76, log-probs 0.93 apart. A plain
    ratio wants 2.00, more than the 1.20 that p_w = 1 would give: p_l must fall below e^-2."""
    odds = math.exp(2) * 3 / 7
    p = odds / (1 + odds)
    assert log_odds_margin(logs(p), logs(0.3)).item() == pytest.approx(2)
    assert (round(p, 2), round(math.log(p / 0.3), 2)) == (0.76, 0.93)
    assert round(-math.log(0.3), 2) == 1.2 and round(math.exp(-2), 3) == 0.135
    assert "log-probs 0.93 apart" in ORPO and "0.76" in ORPO and "0.135" in ORPO


def test_the_share_of_the_odds_ratio_term():
    """0.1 9/10 4/3 = 0.12 of the NLL's part; with 96.5% prompt 29 times that, 3.4."""
    share = 0.1 * 9 / 10 * 4 / 3
    assert (round(share, 2), round(1 / 0.035), round(share / 0.035, 1)) == (0.12, 29, 3.4)
    assert "the share is 29 times\n  larger, 3.4." in ORPO


def test_equation_13_the_limit_at_certainty():
    """log(1 - p) to all digits at log p = -1e-8 (p is 1 in float32: ln(1e-8 - 5e-17)), and its
    limit at log p = 0."""
    assert log_odds(torch.tensor(-1e-8)).item() == pytest.approx(8 * math.log(10), rel=1e-6)
    at_one = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(log_odds(at_one), at_one)
    assert (round(log_odds(at_one).item(), 2), slope.item()) == (27.63, 1)


def test_every_equation_of_the_page_has_its_test():
    numbered = re.findall(r"^\*\*\((\d+)\)\*\*", ORPO, flags=re.MULTILINE)
    tested = [name.split("_")[2] for name in globals() if name.startswith("test_equation_")]
    assert numbered == list(dict.fromkeys(tested)) == [str(n) for n in range(1, 14)]


def test_exercise_1_the_slope_by_hand():
    """p = 0.99: 0.01 to the logit from log p, 100 times that from log odds."""
    logits = logs(0.99, 0.01)[None].requires_grad_()
    logp = logits.log_softmax(-1)[0, 0]
    (plain,) = torch.autograd.grad(logp, logits, retain_graph=True)
    (odds,) = torch.autograd.grad(log_odds(logp), logits)
    assert (plain[0, 0].item(), odds[0, 0].item()) == pytest.approx((0.01, 1))


def test_exercise_2_a_weight_of_1_by_hand():
    """ln 4 + ln 10 = 3.68888, tokens -1.1 and 1.8."""
    chosen, rejected = (x.clone().requires_grad_() for x in (CHOSEN, REJECTED))
    margin = log_odds_margin(chosen.mean()[None], rejected.mean()[None])
    loss = orpo_loss(nll_loss(chosen, 2), margin, 1, 1)
    assert round(loss.item(), 5) == 3.68888
    to_chosen, to_rejected = torch.autograd.grad(loss, (chosen, rejected))
    assert to_chosen.tolist() == pytest.approx([-1.1, -1.1])
    assert to_rejected.tolist() == pytest.approx([1.8, 1.8])


def test_exercise_3_the_sum_for_the_mean():
    """Products 1/16 and 9/16: margin ln 7/135; three tokens of 1/2 against ten: 0 by the mean,
    ln 1023/7 by the sum."""
    summed = log_odds_margin(CHOSEN.sum(), REJECTED.sum())
    assert summed.item() == pytest.approx(math.log(7 / 135)) == pytest.approx(-2.959, abs=5e-4)
    short, long = logs(*[0.5] * 3), logs(*[0.5] * 10)
    assert log_odds_margin(losses.mean_logp(short), losses.mean_logp(long)).item() == 0
    by_length = log_odds_margin(short.sum(), long.sum()).item()
    assert by_length == pytest.approx(math.log(1023 / 7)) == pytest.approx(4.985, abs=5e-4)


def test_exercise_4_a_margin_that_grows_while_both_answers_fall():
    margins = [log_odds_margin(logs(a), logs(b)) for a, b in ((0.5, 0.4), (0.3, 0.15))]
    assert [round(m.item(), 3) for m in margins] == [0.405, 0.887]
    before, after = (odds_ratio_loss(m).item() for m in margins)
    paid = math.log(0.5 / 0.3)  # of the NLL
    assert (round(paid, 3), round(before, 3), round(after, 3)) == (0.511, 0.511, 0.345)
    assert round(paid / (before - after), 2) == 3.08


def test_exercise_5_the_weight_of_another_scope():
    """28.6 times as many tokens of the NLL: the same ratio of the two parts of a token's gradient
    (10) at 0.1 / 28.6."""
    parts = []
    for N, weight in ((7, 0.1), (7 / 0.035, 0.1 * 0.035)):
        chosen = logs(*[0.25] * 7).requires_grad_()
        margin = log_odds_margin(losses.mean_logp(chosen)[None], logs(0.75))
        (nll,) = torch.autograd.grad(nll_loss(chosen, N), chosen)
        (odds,) = torch.autograd.grad(weight * odds_ratio_loss(margin).sum(), chosen)
        parts.append((odds / nll)[0].item())
    assert parts[0] == pytest.approx(parts[1]) == pytest.approx(0.12)
    assert round(0.1 * 0.035, 4) == 0.0035


def test_every_exercise_has_its_test_and_its_answer():
    asked = re.findall(r"^\*\*Exercise (\d)\.\*\*", ORPO, flags=re.MULTILINE)
    tested = [name.split("_")[2] for name in globals() if name.startswith("test_exercise_")]
    assert asked == tested == list("12345")
    assert ORPO.count("<details><summary>answer</summary>") == ORPO.count("</details>") == 5


def test_the_page_shows_what_the_example_prints(capsys):
    losses.main()
    command = "python -m act.training.losses"
    (shown,) = re.findall(rf"{command}\n```\n\n```text\n(.*?)```", ORPO, flags=re.DOTALL)
    assert capsys.readouterr().out == shown


@pytest.mark.slow
def test_the_example_runs_as_the_page_says(capsys):
    losses.main()
    command = [sys.executable, "-m", "act.training.losses"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == capsys.readouterr().out


def test_the_preferences_shown_are_those_of_three_runs():
    """Every mean, difference and interval of study.json, which `python -m docs.plots --study` made
    of three reports, stands in results.md in its seed's column, and the first seed's means in
    README's output."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    table = {}  # first cell -> the three others
    for line in text.splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        table.setdefault(name, cells)
    seeds = json.loads((ROOT / "docs/study.json").read_text(encoding="utf-8"))
    assert len(seeds) == 3
    for column, seed in enumerate(seeds):
        found = seed["emm"] | seed["contrasts"]
        for part, steps in seed["apart"].items():
            found |= {f"{part}: {step}": value for step, value in steps.items()}
        assert len(found) == 6 + 6 + 4 * 2
        if column == 0:
            means = [f"{one['mean']:z.3f} [" for one in seed["emm"].values()]
            shown = re.findall(r"136 +(\S+ \[)", (ROOT / "README.md").read_text(encoding="utf-8"))
            assert shown == means
        for name, value in found.items():
            low, high = value["ci"]
            middle = value["mean"] if "mean" in value else value["difference"]
            assert table[name][column].startswith(f"{middle:z.3f} [{low:z.3f}, {high:z.3f}]"), name
        test = seed["omnibus"]
        assert f"{test['f']:.1f}, p" in table["all equal? F(5, 675)"][column]
        assert f"{test['chi2']:.1f}, p" in table["all equal? chi2(5)"][column]


@pytest.mark.slow
def test_the_figures_are_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    plots = importlib.import_module("docs.plots")
    monkeypatch.setattr(sys, "argv", ["plots", "--out", str(tmp_path)])
    plots.main()
    for name in ("orpo.png", "study.png", "errors.png", "kernel.svg", "tree.svg"):
        made, kept = ((folder / name).read_bytes() for folder in (tmp_path, ROOT / "docs"))
        assert made[:4] == kept[:4] and len(made) > 10_000
    assert [len(s) for s in plots.toy_session()] == [
        13,
        12,
        19,
        21,
        28,
        26,
    ]  # 119 tokens, as the drawing says


@cache
def named(path: Path) -> dict[str, str]:
    """The source of every function, class, method (Class.method) and constant of a file, by
    name."""
    source, found = path.read_text(encoding="utf-8"), {}
    lines = source.splitlines()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = prefix + node.name
                walk(node.body, f"{name}.")
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = prefix + node.targets[0].id
            else:
                continue
            found[name] = "\n".join(lines[node.lineno - 1 : node.end_lineno])

    walk(ast.parse(source).body, "")
    return found


def test_every_pointer_holds():
    """A link leads to a file; one to a name, [`name`](file.py), to a file that defines it; a line
    quoted behind it, [`name`](file.py): `line`, stands in that definition."""
    names = lines = 0
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for label, target, line in re.findall(
            r"\[([^\[\]]*)\]\(([^()\s]+)\)(?:: `([^`]+)`)?", text
        ):
            if "://" in target:
                continue
            path = (page.parent / target.partition("#")[0]).resolve()
            assert path.exists(), f"{page.name}: {target} is not there"
            name = re.fullmatch(r"`([A-Za-z_][\w.]*)`", label)
            if name and path.suffix == ".py":
                defined = named(path)
                assert name[1] in defined, f"{page.name}: {target} has no {name[1]}"
                assert line in defined[name[1]], f"{page.name}: {name[1]} has no line {line!r}"
                names, lines = names + 1, lines + bool(line)
    assert names > 80 and lines >= 15


def test_every_equation_of_every_page_points_to_code():
    for page, mark in (("orpo", r"\d+"), ("kernel", r"K\d+"), ("tree", r"T\d+")):
        text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
        parts = re.split(rf"^\*\*\((?:{mark})\)\*\*", text, flags=re.MULTILINE)[1:]
        assert len(parts) >= 5 and all("\n→ " in part for part in parts), page


def numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)}


@pytest.mark.parametrize("page", ["kernel", "tree"])
def test_measured_figures_stand_in_the_log(page):
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    assert len(rows) >= 6
    assert numbers("".join(rows)) <= numbers((ROOT / "docs/log.md").read_text(encoding="utf-8"))


class Parsed(BaseException):
    """Raised in place of a script's work, once its arguments are read."""


def commands() -> list[tuple[str, list[str]]]:
    """(where, words) of every line in a bash block of README and docs, and of what `make study`
    would run."""
    blocks = [
        (page.name, block)
        for page in PAGES
        for block in re.findall(
            r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL
        )
    ]
    done = subprocess.run(
        ["make", "-nB", "study"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    recipe = done.stdout.replace("\\\n", " ")
    blocks.append(
        (
            "Makefile",
            "\n".join(re.findall(r"^(?:time )?\S*(python \w+\.py .*)", recipe, flags=re.MULTILINE)),
        )
    )
    lines = [
        (where, line) for where, block in blocks for line in block.replace("\\\n", " ").splitlines()
    ]
    return [(where, words) for where, line in lines if (words := shlex.split(line, comments=True))]


def test_every_command_of_the_pages_is_understood(monkeypatch):
    """Scripts and modules read the arguments as they stand there, and make has the target. Nothing
    is computed."""
    targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    parse, seen = ArgumentParser.parse_args, []

    def parse_only(parser: ArgumentParser, *arguments):
        parse(parser, *arguments)
        raise Parsed

    monkeypatch.setattr(ArgumentParser, "parse_args", parse_only)
    for where, words in commands():
        seen.append(words[0])
        if words[0] == "make":
            assert set(words[1:]) <= set(targets), f"{where}: {words}"
            continue
        assert words[0] == "python", f"{where}: {words}"
        module, arguments = (
            (words[2], words[3:]) if words[1] == "-m" else (words[1].removesuffix(".py"), words[2:])
        )
        if module in ("act.training.losses", "docs.minimal"):  # without arguments
            assert arguments == []
            continue
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(Parsed):
            importlib.import_module(module).main()
    assert seen.count("python") >= 20 and seen.count("make") >= 4


def test_every_flag_that_is_spoken_of_exists():
    sources = [
        *ROOT.glob("*.py"),
        ROOT / "act/cli.py",
        ROOT / "act/model/embedded.py",
        *ROOT.glob("tests/*.py"),
    ]
    defined = {
        flag
        for path in sources
        for flag in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))
    }
    for page in PAGES:
        for span in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
            unknown = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", span)) - defined
            assert unknown <= {"--help", "--nproc-per-node", "--local-dir"}, f"{page.name}: {span}"
