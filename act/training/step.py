"""One optimiser step: examples -> trees -> token log-probs -> loss, gradients, and what is logged.

`run_examples` cuts a step's examples into trees that fit. Each tree's loss is divided by the whole
step's counts, so parts add up however the step was cut. docs/tree.md says why a tree gives what its
answers do one by one.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm import tqdm

from act.model.llama import LONG_STRETCH, Llama
from act.model.lora import trainable
from act.model.prefix_tree import Tree, build_tree, read_tree
from act.training.distributed import add_up, from_all, is_first, share_of
from act.training.examples import Answer, Example, chosen_alone
from act.training.losses import log_odds_margin, mean_logp, nll_loss, odds_ratio_loss, orpo_loss
from kernels.logprob import logprob

KEEP_TOKENS = 1024  # of a tree, on a CPU


@dataclass(frozen=True)
class Objective:
    """What is minimised, and how much of it is computed at a time."""

    method: str  # sft | orpo
    lambda_or: float = 0.1
    nll_scope: str = "response"  # response | sequence: the tokens of the NLL term
    tree_tokens: int = 16384  # a tree's limit
    # those whose activations are kept, in whole stretches; others are computed again
    keep_tokens: int | None = KEEP_TOKENS


def tokens_to_keep(model: Llama, tree_tokens: int) -> int:
    """A tree's tokens whose activations a GPU keeps: as many as its free memory holds.

    Bytes a token and layer, with s to a number: what is kept of every token (x, q, k, v, and what
    attention found), and what keeping the rest adds (both norms, in float32 and in the model's own
    type, and the four products of the MLP). Some is there for a moment only, in whatever layer:
    eight times x, found by counting, and a stretch's MLP. A tenth stays free.
    """
    c, s = model.config, model.head.element_size()
    heads = 2 * c.num_attention_heads + 2 * c.num_key_value_heads
    always = s * (c.hidden_size + heads * c.head_dim)
    more = (8 + 2 * s) * c.hidden_size + 4 * s * c.intermediate_size
    free, _ = torch.cuda.mem_get_info(model.device)
    moment = s * (8 * tree_tokens * c.hidden_size + 5 * LONG_STRETCH * c.intermediate_size)
    room = 0.9 * free - moment - 12 * trainable(model)  # gradients and Adam's two moments
    tokens = (room / c.num_hidden_layers - always * tree_tokens) / more
    keep = min(tree_tokens, max(1, int(tokens)))
    if is_first():
        print(f"{free / 2**30:.1f} GiB free: activations of {keep:,} tokens of a tree are kept")
    return keep


def group_by_budget(examples: list[Example], budget: int) -> list[list[Example]]:
    """Consecutive examples, one or more, whose tree has at most `budget` tokens; (T1), tree.md."""
    groups: list[list[Example]] = []
    tree = Tree()
    for example in examples:
        for answer in example.answers:
            tree.add(answer.ids)
        if groups and len(tree.ids) <= budget:
            groups[-1].append(example)
        else:
            groups.append([example])
            tree = build_tree([answer.ids for answer in example.answers])
    return groups


def answer_logps(
    model: Llama, answers: list[Answer], with_prompt: bool = False, keep_tokens: int | None = None
) -> tuple[list[Tensor], int]:
    """Token log-probs of each answer, (its targets,) float32 each, and the number of tokens read.

    Targets are the answer's own tokens; `with_prompt` also the prompt's, all but the first.
    """
    tree = build_tree([answer.ids for answer in answers])
    learned = []  # of each answer, the places in the tree of its targets
    for places, answer in zip(tree.places, answers, strict=True):
        learned.append(places[answer.targets(with_prompt).start :])
    # a token goes through the head once, however many answers have it as a target
    needed = sorted(set().union(*learned))
    ids, parents = ([of[place] for place in needed] for of in (tree.ids, tree.parents))
    which = {place: i for i, place in enumerate(needed)}
    index = [which[place] for places in learned for place in places]
    # to a GPU before it has work: a copy would wait for that
    ids, parents, index = (torch.tensor(x, device=model.device) for x in (ids, parents, index))
    hidden = read_tree(model, tree, keep_tokens)  # (T, C)
    logps = logprob(hidden[parents], model.head, ids)  # (1) of orpo.md
    # backward, this indexing adds up what every answer that has the token hands back
    handed_out = logps[index]
    return list(handed_out.split([len(places) for places in learned])), len(tree.ids)


def step_losses(
    model: Llama, examples: list[Example], objective: Objective, target_tokens: int, pairs: int
) -> tuple[Tensor, dict[str, float]]:
    """(loss, sums to log) of some of a step's examples; the counts are the whole step's."""
    answers = [answer for example in examples for answer in example.answers]
    with_prompt = objective.nll_scope == "sequence"
    logps, unique = answer_logps(model, answers, with_prompt, objective.keep_tokens)
    # answers are chosen, rejected, chosen, ...; without pairs chosen alone
    chosen = logps[:: len(examples[0].answers)]
    loss = nll = nll_loss(torch.cat(chosen), target_tokens)
    shares = {}  # of the step's averages, what these examples add
    if objective.method == "orpo":
        means = []  # the odds are of the answer alone, whatever the NLL is of
        for answer, logp in zip(answers, logps, strict=True):
            means.append(mean_logp(logp[-answer.length :]))
        chosen_logp, rejected_logp = torch.stack(means).view(-1, 2).T  # one a pair of this tree
        margin = log_odds_margin(chosen_logp, rejected_logp)
        loss = orpo_loss(nll, margin, objective.lambda_or, pairs)
        of_pairs = {
            "odds_ratio_loss": odds_ratio_loss(margin),
            "margin": margin,
            "accuracy": margin > 0,
            "chosen_logp": chosen_logp,
            "rejected_logp": rejected_logp,
        }
        shares = {name: x.sum() / pairs for name, x in of_pairs.items()}
    found = {"nll": nll, "loss": loss} | shares
    numbers = torch.stack(list(found.values())).tolist()  # a GPU is waited for once
    sums = dict(zip(found, numbers, strict=True))
    counts = {"unique_tokens": unique, "naive_tokens": sum(len(answer.ids) for answer in answers)}
    return loss, {"nll": sums["nll"]} | counts | sums


def count_targets(examples: list[Example], scope: str) -> int:
    """N: the tokens of the NLL term, of the chosen answers or ("sequence") also of prompts."""
    return sum(len(example.chosen.targets(scope == "sequence")) for example in examples)


def run_examples(
    model: Llama, examples: list[Example], objective: Objective, backward: bool
) -> dict[str, float]:
    """The losses of a step (or of held-out examples), tree by tree; `backward` leaves gradients.

    Of several processes each takes its share of the examples; sums and gradients are those of the
    whole step. All run equally many trees, the last of them empty where a share has fewer.
    """
    totals: dict[str, float] = {}
    target_tokens, pairs = count_targets(examples, objective.nll_scope), len(examples)
    groups = group_by_budget(share_of(examples), objective.tree_tokens)  # each becomes a tree
    groups += [[]] * (max(from_all(len(groups))) - len(groups))
    quiet = backward or not is_first()
    for group in tqdm(groups, desc="held-out", unit="tree", disable=quiet):
        with torch.set_grad_enabled(backward):
            if group:
                loss, sums = step_losses(model, group, objective, target_tokens, pairs)
            else:  # takes part in the others' gathering: 0 by way of every parameter
                logps, _ = answer_logps(model, [Answer([0, 0], 1)])
                loss, sums = 0 * logps[0].sum(), {}
        if backward:
            loss.backward()
        for name, value in sums.items():
            totals[name] = totals.get(name, 0) + value
    return add_up(totals)


def evaluate(model: Llama, examples: list[Example], objective: Objective) -> dict[str, float]:
    """NLL a token of the chosen answers and, of pairs, whatever is trained, averages over them:

    log-odds margin, mean log-probs of either answer, accuracy (the share that is ranked right).
    """
    if not examples:
        return {}
    method = "orpo" if all(example.rejected for example in examples) else "sft"
    if method == "sft":
        examples = chosen_alone(examples)
    of_answers = replace(objective, method=method, nll_scope="response")
    totals = run_examples(model, examples, of_answers, backward=False)
    names = ("nll", "chosen_logp", "rejected_logp", "margin", "accuracy")
    found = {name: totals[name] for name in names if name in totals}
    for name, value in found.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"the held-out {name} is {value}")
    return found
