"""ORPO on one page: six pairs, one at a time, no tree and no kernel. docs/orpo.md explains it.

    python -m act.model.embedded --out models/smollm2-135m-instruct   # once: the 135M model
    python -m docs.minimal   # a minute on two slow cores; the curves: runs/minimal.png

train.py takes the same steps, faster: tests/test_minimal.py holds one against the other.
"""

from contextlib import suppress
from pathlib import Path

import torch

from act.model.checkpoint import load_model
from act.model.lora import attach
from act.model.sampler import Request, Sampler, Sampling
from act.model.tokenizer import ChatTokenizer
from act.training.curves import draw_curves
from act.training.losses import log_odds_margin, mean_logp, nll_loss, orpo_loss
from act.training.run_log import shown
from kernels.logprob import naive_logprob

MODEL = Path(__file__).parents[1] / "models/smollm2-135m-instruct"
LAMBDA_OR, LR, RANK, PASSES, SEED = 0.5, 1e-3, 16, 6, 0
NUMBERS = ("loss", "nll", "chosen_logp", "rejected_logp", "margin")
# Both answers to a prompt begin with SORRY. The chosen one then asks, the rejected one soothes, as
# the untrained model does by habit.
SORRY = "I'm sorry to hear that. "
PAIRS = [  # prompt x, chosen answer y_w, rejected answer y_l
    ("I cannot sleep.", "What keeps you up?", "I'm here to help you relax."),
    ("I failed my exam.", "What did it mean to you?", "It's normal to feel disappointed."),
    ("Nobody likes me.", "When is it worst?", "I'm here to help you with that."),
    ("I am so tired of everything.", "What is the heaviest part?", "It's okay to feel that way."),
    ("My dog died last week.", "What do you miss most?", "I'm here to help you."),
    ("I shout at my children.", "What happens before you shout?", "It's important to stay calm."),
]
UNSEEN = ("I hate my job.", "I feel lonely at night.")

model, tokenizer = load_model(MODEL), ChatTokenizer(MODEL)


def prompt_ids(words: str) -> list[int]:
    return tokenizer.prompt([{"role": "user", "content": words}])


def answer_logps(words: str, answer: str) -> torch.Tensor:
    """(1) log p of each token of an answer, its end token included, (|y|,)."""
    x, y = prompt_ids(words), tokenizer.reply(SORRY + answer)
    hidden = model(torch.tensor([x + y]))[0]  # (T, C), no logits yet: each predicts the next token
    return naive_logprob(hidden[len(x) - 1 : -1], model.head, torch.tensor(y))


def say_replies(when: str) -> None:
    """A reply to each prompt that is not learned from: always the likeliest token, at most 20."""
    greedy = Sampling(temperature=0, top_p=1, max_new_tokens=20)
    for words in UNSEEN:
        sampler = Sampler(model, tokenizer.end_ids, greedy)
        (reply,) = sampler.decode([Request("", prompt_ids(words))])
        print(f"{when}: {words}\n    -> {tokenizer.decode(reply.ids)}")


def train() -> list[dict]:
    """PASSES steps, each of all pairs; a record of each."""
    torch.manual_seed(SEED)
    attach(model, RANK, alpha=RANK)  # LoRA: the model itself is frozen
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, LR, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, PASSES)  # the rate, down to 0
    P, N = len(PAIRS), sum(len(tokenizer.reply(SORRY + chosen)) for _, chosen, _ in PAIRS)
    log = []
    for i in range(PASSES):
        sums = torch.zeros(5)
        for words, chosen, rejected in PAIRS:
            logps_w, logps_l = answer_logps(words, chosen), answer_logps(words, rejected)  # (1)
            logp_w, logp_l = mean_logp(logps_w), mean_logp(logps_l)  # (2)
            margin = log_odds_margin(logp_w, logp_l)  # (3) and (4)
            nll = nll_loss(logps_w, N)  # (6), this pair's part
            loss = orpo_loss(nll, margin, LAMBDA_OR, P)  # (5) and (7), this pair's part
            loss.backward()  # (8) to (12); gradients of the pairs add up
            sums += torch.stack([loss, nll, logp_w / P, logp_l / P, margin / P]).detach()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        numbers = dict(zip(NUMBERS, sums.tolist(), strict=True))
        log.append({"step": i + 1, **numbers, "grad_norm": norm.item()})
        print(shown(log[-1]))
    return log


if __name__ == "__main__":
    say_replies("before")
    log = train()
    say_replies("after")
    with suppress(ImportError):  # without matplotlib no curves
        draw_curves(log, Path("runs/minimal.png"))
