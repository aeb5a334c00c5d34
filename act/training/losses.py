"""SFT and ORPO, one line an equation. `python -m act.training.losses` prints a worked example.

ORPO (odds ratio preference optimization; Hong, Lee & Thorne 2024, arXiv 2403.07691) adds to the NLL
(negative log-likelihood) of the chosen answer a term on the odds that the model gives chosen (w)
and rejected (l), where p is the geometric mean of the answer's token probabilities:

                                                                          ours          the paper's
    log p = mean_t log p(y_t | x, y_<t)                                   (2)           3
    log odds = log p - log(1 - p)                                         (3)           4
    L_OR = -log sigmoid(margin), margin = log odds_w - log odds_l         (4) and (5)   5 and 7
    L = L_NLL + lambda_or mean L_OR                                       (7)           6

Our numbers are those of docs/orpo.md, which derives them; (1) is kernels/logprob.py's. lambda_or is
the paper's lambda, `beta` in TRL and Liger, `alpha` in the authors' code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_DOUBT = 1e-12  # 1 - p is not let below this: at p = 1 the odds are infinite


def mean_logp(logps: Tensor) -> Tensor:
    """(2) log p of an answer, from the log-probs of its tokens (..., |y|)."""
    return logps.mean(-1)


def log_odds(logp: Tensor) -> Tensor:
    """(3) log(p / (1 - p)) of log p <= 0, any shape.

    1 - p = -expm1(log p) keeps its digits near p = 1 (13). Above log p = -1e-12 the second term
    stands still, so that log odds(0) = 27.63, with gradient 1, is finite.
    """
    return logp - torch.log(-torch.expm1(logp.clamp(max=-SMALLEST_DOUBT)))


def log_odds_margin(chosen_logp: Tensor, rejected_logp: Tensor) -> Tensor:
    """(4) log odds_w - log odds_l of (2), (pairs,) each; above 0: ranked right."""
    return log_odds(chosen_logp) - log_odds(rejected_logp)


def odds_ratio_loss(margin: Tensor) -> Tensor:
    """(5) L_OR = -log sigmoid(margin) of each pair, (pairs,)."""
    return -F.logsigmoid(margin)


def nll_loss(logps: Tensor, target_tokens: int) -> Tensor:
    """(6) -sum(log p) / target_tokens: with the whole step's count, parts add up to its mean."""
    return -logps.sum() / target_tokens


def orpo_loss(nll: Tensor, margin: Tensor, lambda_or: float, pairs: int) -> Tensor:
    """(7) L = L_NLL + lambda_or sum(L_OR) / pairs, with the whole step's number of pairs."""
    return nll + lambda_or * odds_ratio_loss(margin).sum() / pairs


def main() -> None:
    """Print the worked example of docs/orpo.md: tokens a, b, c and end; answers "a." and "b."."""
    after_x, after_a, after_b = [2, 12, 1, 1], [4, 2, 2, 8], [2, 1, 1, 12]  # 16 p(a, b, c, end)
    logits = torch.tensor([after_x, after_a, after_b], dtype=torch.float64).log().requires_grad_()
    table = logits.log_softmax(-1)  # (3, V)
    # (2, |y|): "a." and "b.", each behind x
    logps = torch.stack([table[[0, 1], [0, 3]], table[[0, 2], [1, 3]]])
    means = mean_logp(logps)
    odds = log_odds(means)
    margin = log_odds_margin(means[:1], means[1:])
    nll = nll_loss(logps[0], target_tokens=2)
    loss = orpo_loss(nll, margin, lambda_or=0.1, pairs=1)
    (to_margin,) = torch.autograd.grad(odds_ratio_loss(margin).sum(), margin, retain_graph=True)
    (to_means,) = torch.autograd.grad(odds.sum(), means, retain_graph=True)
    to_logps, to_logits = torch.autograd.grad(loss, (logps, logits))
    shown = {
        "(1)  log p of the tokens of a.": logps[0],
        "     log p of the tokens of b.": logps[1],
        "(2)  mean log p of a. and b.": means,
        "(3)  log odds of a. and b.": odds,
        "(4)  margin": margin,
        "(5)  L_OR": odds_ratio_loss(margin),
        "(6)  L_NLL": nll,
        "(7)  L, lambda_or = 0.1": loss,
        "(8)  d L_OR / d margin": to_margin,
        "(9)  d log odds / d log p": to_means,
        "(10) d L / d log p of the tokens of a.": to_logps[0],
        "     d L / d log p of the tokens of b.": to_logps[1],
        "(11) d L / d logits after x": to_logits[0],
        "     d L / d logits after x a": to_logits[1],
        "     d L / d logits after x b": to_logits[2],
        # a token's own logit moves its log p by 1 - p_t (11)
        "(12) d log odds / d own logits": to_means * (1 - logps.exp()).mean(-1),
    }
    for name, tensor in shown.items():
        numbers = [round(number, 5) + 0 for number in tensor.flatten().tolist()]  # + 0: no -0
        print(f"{name:38}" + "".join(f"{number:10.5f}" for number in numbers))


if __name__ == "__main__":
    main()
