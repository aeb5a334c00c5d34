"""SFT and ORPO, one line an equation, on token log-probs.

ORPO (Hong, Lee & Thorne 2024, arXiv 2403.07691) adds to the NLL of the chosen answer a term on the odds that the
model gives chosen (w) and rejected (l), where p is the geometric mean of the answer's token probabilities:

    log p = mean_t log p(y_t | x, y_<t)                                   (eq. 3, length-normalised)
    log odds = log p - log(1 - p)                                         (eq. 4)
    L_OR = -log sigmoid(log odds_w - log odds_l)                          (eqs. 5, 7)
    L = L_NLL + lambda_or L_OR                                            (eq. 6)

lambda_or is the paper's lambda, `beta` in TRL and Liger, `alpha` in the authors' code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_DOUBT = 1e-12  # 1 - p is not let below this: at p = 1 the odds are infinite


def log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) of log p <= 0, any shape; eq. 4.

    1 - p = -expm1(log p) keeps its digits near p = 1. Above log p = -1e-12 the second term stands still, so that
    log odds(0) = 27.63 and its gradient there is 1: finite, where the limit itself is infinite.
    """
    return logp - torch.log(-torch.expm1(logp.clamp(max=-SMALLEST_DOUBT)))


def log_odds_margin(chosen_logp: Tensor, rejected_logp: Tensor) -> Tensor:
    """log odds_w - log odds_l of mean log-probs (P,); positive where the pair is ranked right."""
    return log_odds(chosen_logp) - log_odds(rejected_logp)


def odds_ratio_loss(margin: Tensor) -> Tensor:
    """L_OR = -log sigmoid(margin) of each pair, (P,)."""
    return -F.logsigmoid(margin)


def nll_loss(logps: Tensor, target_tokens: int) -> Tensor:
    """-sum(log p) / target_tokens: with the whole step's count, micro-batches add up to the step's mean."""
    return -logps.sum() / target_tokens


def orpo_loss(nll: Tensor, margin: Tensor, lambda_or: float, pairs: int) -> Tensor:
    """L = L_NLL + lambda_or sum(L_OR) / pairs, with the whole step's number of pairs."""
    return nll + lambda_or * odds_ratio_loss(margin).sum() / pairs
