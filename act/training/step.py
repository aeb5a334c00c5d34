"""One optimiser step: examples -> trees -> token log-probs -> loss and gradients, and the numbers
that are logged.

train.py hands over a step's examples; `run_examples` cuts them into trees that fit, tree.py gives
their log-probs, losses.py the loss. Every part is divided by the whole step's counts, so parts add
up however the step was cut.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm import tqdm

from act.model.llama import Llama
from act.training.distributed import add_up, is_first, largest, share_of
from act.training.examples import Answer, Example, chosen_alone
from act.training.losses import log_odds_margin, nll_loss, odds_ratio_loss, orpo_loss
from act.training.tree import answer_logps, group_by_budget


@dataclass(frozen=True)
class Objective:
    """What is minimised, and how much of it is computed at a time."""

    method: str  # sft | orpo
    lambda_or: float = 0.1
    nll_scope: str = "response"  # response | sequence: the tokens of the NLL term
    tree_tokens: int = 16384  # a tree's limit
    keep_tokens: int | None = (
        1024  # those whose activations are kept, in whole stretches; others are computed again
    )


def step_losses(
    model: Llama, examples: list[Example], objective: Objective, target_tokens: int, pairs: int
) -> tuple[Tensor, dict[str, float]]:
    """(loss, sums to log) of some of a step's examples; `target_tokens` and `pairs` count the whole
    step's.

    Here the answers' log-probs become means, (2) of docs/orpo.md; the rest is losses.py.
    """
    answers = [answer for example in examples for answer in example.answers]
    logps, unique = answer_logps(
        model, answers, objective.nll_scope == "sequence", objective.keep_tokens
    )
    # answers are chosen, rejected, chosen, ...; without pairs chosen alone
    chosen = logps[:: len(examples[0].answers)]
    nll = nll_loss(torch.cat(chosen), target_tokens)
    sums = {
        "nll": nll.item(),
        "unique_tokens": unique,
        "naive_tokens": sum(len(a.ids) for a in answers),
    }
    if objective.method == "sft":
        return nll, sums | {"loss": nll.item()}
    # With scope "sequence" an answer's log-probs begin with the prompt's; the odds are of the
    # answer alone.
    means = torch.stack(
        [logp[-answer.length :].mean() for logp, answer in zip(logps, answers, strict=True)]
    )  # (2)
    chosen_logp, rejected_logp = means[::2], means[1::2]  # (P,) each
    margin = log_odds_margin(chosen_logp, rejected_logp)
    loss = orpo_loss(nll, margin, objective.lambda_or, pairs)
    of_pairs = {
        "odds_ratio_loss": odds_ratio_loss(margin),
        "margin": margin,
        "accuracy": margin > 0,
    }
    of_pairs |= {"chosen_logp": chosen_logp, "rejected_logp": rejected_logp}
    return loss, sums | {"loss": loss.item()} | {
        name: (x.sum() / pairs).item() for name, x in of_pairs.items()
    }


def no_loss(model: Llama) -> tuple[Tensor, dict[str, float]]:
    """A loss of 0 by way of every parameter: a process without a tree takes part in gathering those
    of the others."""
    logps, _ = answer_logps(model, [Answer([0, 0], 1)])
    return 0 * logps[0].sum(), {}


def count_targets(examples: list[Example], scope: str) -> int:
    """N: the tokens of the NLL term, the chosen answers' or, with scope "sequence", the prompts'
    too but the first."""
    return sum(len(example.chosen.targets(scope == "sequence")) for example in examples)


def run_examples(
    model: Llama, examples: list[Example], objective: Objective, backward: bool
) -> dict[str, float]:
    """The losses of a step (or of held-out examples), tree by tree; with `backward` gradients are
    collected.

    Of several processes each takes its share of the examples; sums and gradients are those of the
    whole step. All run equally many trees, the last of them empty where a share has fewer.
    """
    totals: dict[str, float] = {}
    targets = count_targets(examples, objective.nll_scope)
    groups = group_by_budget(share_of(examples), objective.tree_tokens)
    groups += [[]] * (largest(len(groups))[0] - len(groups))
    for group in (
        groups if backward else tqdm(groups, desc="held-out", unit="tree", disable=not is_first())
    ):
        with torch.set_grad_enabled(backward):
            loss, sums = (
                step_losses(model, group, objective, targets, len(examples))
                if group
                else no_loss(model)
            )
        if backward:
            loss.backward()
        for name, value in sums.items():
            totals[name] = totals.get(name, 0) + value
    return add_up(totals)


def evaluate(model: Llama, examples: list[Example], objective: Objective) -> dict[str, float]:
    """NLL a token of the chosen answers; of pairs, whatever is trained, also log-odds margin and
    mean log-probs (2) of either answer, averaged over the pairs, and accuracy, the share of pairs
    ranked right.
    """
    if not examples:
        return {}
    method = "orpo" if all(example.rejected for example in examples) else "sft"
    if method == "sft":
        examples = chosen_alone(examples)
    totals = run_examples(
        model, examples, replace(objective, method=method, nll_scope="response"), backward=False
    )
    names = ("nll", "chosen_logp", "rejected_logp", "margin", "accuracy")
    return {name: totals[name] for name in names if name in totals}
