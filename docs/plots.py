"""The figures of docs/: `python -m docs.plots` writes orpo.png, kernel.svg, tree.svg, study.png and
errors.png.

The curves are computed by act/training/losses.py and its derivatives by autograd, the tree and its
rectangles by build_tree and rectangles, so that a figure shows what the code does. White ground,
for light and dark pages. study.png shows study.json, the preferences of `make study` with three
seeds, which `--study SUMMARY.json ...` makes of the reports' summary.json; errors.png shows
errors.json, which `make coverage` writes.
"""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from act.model.prefix_tree import build_tree
from act.training.losses import log_odds, log_odds_margin, odds_ratio_loss
from kernels.tree_attention import rectangles

# told apart by the colour-blind
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
STEPS = (  # README's contrasts
    ("orpo", "sft"),
    ("sft", "instruct"),
    ("orpo", "instruct"),
    ("instruct-cot", "instruct"),
    ("sft-cot", "sft"),
    ("orpo-cot", "orpo"),
)
EXAMPLE = torch.tensor([1 / 4, 3 / 4]).log()  # the worked example's two mean log-probs


def loss_curves() -> plt.Figure:
    """L_OR and its gradient against the margin; what reaches a logit; what a margin asks for."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    # 1. (5) and (8), at the worked example's margin
    margin = torch.linspace(-6, 6, 241, requires_grad=True)
    loss = odds_ratio_loss(margin)
    (slope,) = torch.autograd.grad(loss.sum(), margin)
    here, x = log_odds_margin(*EXAMPLE), margin.detach()
    left.plot(x, loss.detach(), color=BLUE, label="L_OR = -log sigmoid(m), (5)")
    left.plot(x, slope, color=GREEN, label="its gradient -sigmoid(-m), (8)")
    left.plot(x[x <= 0], -x[x <= 0], "--", color=GREY, lw=1, label="-m")
    left.plot([here, here], [odds_ratio_loss(here), -torch.sigmoid(-here)], "o", color=ORANGE)
    told = "the worked example:\nln 10"
    left.annotate(told, (here, odds_ratio_loss(here)), (here + 0.4, 2.4), color=ORANGE)
    left.annotate("-9/10", (here, -torch.sigmoid(-here)), (here - 1.9, -0.65), color=ORANGE)
    left.set(title="a pair's loss and its gradient", ylim=(-1.3, 7))
    left.set(xlabel="log odds ratio, the margin m")
    # 2. (12) for answers of one token
    p = torch.linspace(0.001, 0.999, 499, dtype=torch.float64)
    middle.plot(p, to_logit(p, log_odds), color=BLUE, label="of log odds: 1, (12)")
    middle.plot(p, to_logit(p, lambda logp: logp), "--", color=GREY, label="of log p: 1 - p, (11)")
    for logp, name in zip(EXAMPLE, ("p_w", "p_l"), strict=True):
        at = logp.exp()
        middle.plot([at, at], [1, 1 - at], "o", color=ORANGE)
        middle.annotate(f"{name} = {at:.2g}", (at, 1), (at - 0.1, 1.05), color=ORANGE)
    middle.set(title="odds undo the saturation of softmax", ylim=(0, 1.3))
    middle.set(xlabel="p of a one-token answer", ylabel="gradient to its logit")
    # 3. what the log-probs must do for a margin, the rejected answer staying where it is
    x = torch.linspace(0, 4, 200)
    right.plot(x, x, "--", color=GREY, label="a plain ratio")
    for p_l, style in ((0.05, ":"), (0.3, "-"), (0.75, "-.")):
        logp_l = torch.tensor(p_l).log()
        apart = F.logsigmoid(x + log_odds(logp_l)) - logp_l
        right.plot(x, apart, style, color=BLUE, label=f"odds, p_l = {p_l:g}")
    right.plot([2, 2], [2, 0.9295], "o", color=ORANGE)
    right.annotate("2.00", (2, 2), (1.5, 2.1), color=ORANGE)
    right.annotate("0.93", (2, 0.93), (2.05, 1.05), color=ORANGE)
    right.set(title="how far apart must log-probs come?")
    right.set(xlabel="margin M", ylabel="log p_w - log p_l")
    for axes in (left, middle, right):
        axes.axhline(0, color=GREY, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(loc="upper right", frameon=False)
    middle.legend(loc="lower left", frameon=False)
    right.legend(loc="upper left", frameon=False)
    return figure


def to_logit(p: torch.Tensor, score: Callable) -> torch.Tensor:
    """Gradient of an answer's score, a function of log p, to its token's logit, at each p: a
    vocabulary of that token and one other."""
    logits = torch.stack([p, 1 - p], -1).log().requires_grad_()  # (p's, V)
    logps = logits.log_softmax(-1)[:, 0]
    (slopes,) = torch.autograd.grad(score(logps).sum(), logits)
    return slopes[:, 0]


def box(
    axes: Axes, x: float, y: float, width: float, height: float, color: str, text: str = "", **style
) -> None:
    """A rectangle with a text in its middle."""
    axes.add_patch(Rectangle((x, y), width, height, fc=color, ec="black", lw=0.8, **style))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 12, "color": "black", "lw": 1}
    axes.add_patch(FancyArrowPatch(start, end, **style))


def kernel_drawing() -> plt.Figure:
    """A block of the vocabulary at a time: logits, their running sums, and the weighted sum of the
    head's rows."""
    figure, axes = plt.subplots(figsize=(10, 4.4), layout="constrained")
    light = {"alpha": 0.35}
    box(axes, 0, 3, 1, 3, BLUE, "h\n(n, C)", **light)
    for i in range(6):
        x, now = 2 + 1.2 * i, i == 2
        box(axes, x, 7, 1.1, 1.3, GREEN, alpha=0.75 if now else 0.25)
        if now:
            box(axes, x, 3, 1.1, 3, ORANGE, alpha=0.5)
        else:
            box(axes, x, 3, 1.1, 3, "white", ls=":")
    small = {"ha": "center", "va": "center", "fontsize": 9}
    axes.text(4.95, 4.5, "logits of\none block\n(n, v)", **small)
    axes.text(5.6, 8.6, "the head W (V, C), read block by block", ha="center", fontsize=10)
    grey = {"color": GREY, "backgroundcolor": "white"}
    axes.text(7.85, 4.5, "dotted: never kept", **small, **grey)
    arrow(axes, (1, 4.5), (4.4, 4.5))
    arrow(axes, (4.95, 7), (4.95, 6))
    axes.text(1.5, 4.65, "1st product", ha="center", fontsize=8)
    arrow(axes, (4.95, 3), (4.95, 2.35))
    axes.text(5.1, 2.6, "2nd product: exp(logits - top) W", fontsize=8, va="center")
    box(axes, 2, 0.9, 2.2, 1.4, BLUE, "top, total (n, 1)", **light)
    box(axes, 4.35, 0.9, 2.4, 1.4, GREEN, "weighted sum of W's rows (n, C)", **light)
    told = "carried from block to block, rescaled when the top rises"
    axes.text(4.4, 0.45, told, ha="center", fontsize=9)
    arrow(axes, (6.75, 1.6), (7.6, 1.6))
    axes.text(7.7, 1.9, "log p = h W_y - top - log total", fontsize=10, va="center")
    axes.text(7.7, 1.2, "g = W_y - sum / total", fontsize=10, va="center")
    axes.set(xlim=(-0.2, 10.6), ylim=(0.2, 9.1))
    axes.axis("off")
    return figure


def toy_session() -> list[list[int]]:
    """Three turns: each prompt begins with the one before it and has two answers."""
    prompt, out = [], []
    for turn, (more, lengths) in enumerate(((8, (5, 4)), (7, (4, 6)), (7, (6, 4)))):
        prompt = [*prompt, *range(100 * turn, 100 * turn + more)]
        for side, n in enumerate(lengths):
            first = 1000 * (2 * turn + side + 1)  # of an answer's tokens
            out.append([*prompt, *range(first, first + n)])
    return out


def tree_drawing() -> plt.Figure:
    """A toy session as sequences, as a tree, and the rectangles of the tree's attention."""
    sequences = toy_session()
    tree = build_tree(sequences)
    wide = {"figsize": (12, 5.6), "layout": "constrained", "width_ratios": (1.05, 1)}
    figure, (left, right) = plt.subplots(1, 2, **wide)
    colors = []  # of each token of the tree
    for place in range(len(tree.ids)):
        rows = [row for row, places in enumerate(tree.places) if place in places]
        colors.append(BLUE if len(rows) > 1 else (GREEN, ORANGE)[rows[0] % 2])
    for row, places in enumerate(tree.places):
        for position, place in enumerate(places):
            left.add_patch(Rectangle((position, -row), 0.9, 0.8, fc=colors[place], alpha=0.25))
        name = f"turn {row // 2 + 1}, {('chosen', 'rejected')[row % 2]}"
        left.text(len(places) + 0.4, 0.4 - row, name, va="center", fontsize=8)
    for i, run in enumerate(tree.runs):
        row = -8.6 - i * 0.95
        for place in range(run.start, run.stop):
            corner = (run.depth + place - run.start, row)
            left.add_patch(Rectangle(corner, 0.9, 0.75, fc=colors[place], alpha=0.75))
        if i:
            left.plot([run.depth - 0.1, run.depth - 0.1], [row + 0.4, -8.6], color=GREY, lw=0.8)
        middle = run.depth + (run.stop - run.start) / 2
        left.text(middle, row + 0.36, f"run {i}", ha="center", va="center", fontsize=8)
    naive = sum(map(len, sequences))
    left.text(0, 1.3, f"six sequences one by one: {naive} tokens", fontsize=10)
    left.text(0, -7.4, f"the same as a tree: {len(tree.ids)} tokens", fontsize=10)
    left.set(xlim=(-0.5, 34), ylim=(-13.8, 2.2))
    left.axis("off")
    for rows, keys, causal in rectangles(tree.runs):
        corners = [(keys.start, rows.start), (keys.start, rows.stop), (keys.stop, rows.stop)]
        corners += [] if causal else [(keys.stop, rows.start)]
        color, alpha = (colors[rows.start], 0.75) if causal else (GREY, 0.3)
        right.add_patch(Polygon(corners, fc=color, alpha=alpha, ec="black", lw=0.7))
    T = len(tree.ids)
    right.set(xlim=(0, T), ylim=(T, 0), xlabel="key", ylabel="query", aspect="equal")
    right.set_title("attention: triangles (itself) and rectangles (its path)", fontsize=10)
    return figure


def difference(entry: dict, a: str, b: str) -> dict:
    """a minus b of a summary's entry: difference, 95% interval and p by t, adjusted for all
    pairs."""
    row = next(row for row in entry["contrasts"] if {row["a"], row["b"]} == {a, b})
    sign = 1 if row["a"] == a else -1
    ci = sorted(sign * end for end in row["ci_adjusted_satterthwaite"])
    p = row["p_satterthwaite_holm_sidak"]
    return {"difference": sign * row["difference"], "ci": ci, "p": p}


def study_numbers(summaries: list[Path]) -> list[dict]:
    """Of each report what README says of it: means and contrasts, preference being the outcome."""
    numbers = []
    for path in summaries:
        summary = json.loads(path.read_text(encoding="utf-8"))
        found, parts = summary["outcomes"]["preference"], summary["preferences"]
        others = {name.replace("_", " "): one for name, one in parts["sensitivity"].items()}
        others |= {f"{name} items": one for name, one in parts["by_direction"].items()}
        apart = {}  # of which pairs, or how counted -> the first two steps
        for name, entry in others.items():
            apart[name] = {f"{a} - {b}": difference(entry, a, b) for a, b in STEPS[:2]}
        emm = {}
        for name, one in found["emm"].items():
            emm[name] = {"mean": one["mean"], "ci": one["ci_satterthwaite"]}
        steps = {f"{a} - {b}": difference(found, a, b) for a, b in STEPS}
        numbers.append({"omnibus": found["omnibus"], "emm": emm, "contrasts": steps})
        numbers[-1]["apart"] = apart
    return numbers


def study_drawing(seeds: list[dict]) -> plt.Figure:
    """Preference by condition, and what each step of training does to it, a mark a seed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.4), layout="constrained")
    for axes, part, middle in ((left, "emm", "mean"), (right, "contrasts", "difference")):
        names = list(seeds[0][part])
        for i, (seed, mark) in enumerate(zip(seeds, "os^", strict=False)):
            rows = np.arange(len(names)) + 0.2 * (i - 1)
            values = np.array([seed[part][name][middle] for name in names])
            low, high = np.transpose([seed[part][name]["ci"] for name in names])
            bars = {"xerr": [values - low, high - values], "fmt": mark, "color": BLUE}
            axes.errorbar(values, rows, ms=4, lw=1, label=f"seed {i}", **bars)
        axes.axvline(0, color=GREY, lw=0.8, ls="--")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
    left.set_xlabel("preference for the wanted reply, nats a token")
    right.set_xlabel("difference, nats a token")
    right.legend(fontsize=8, loc="lower right")
    return figure


def errors_drawing(found: dict) -> plt.Figure:
    """How often tests say that there is a difference, where there is none (above) and where there
    is one (below), against the number of clients: a column a question and ratio of SDs."""
    columns = [("all six equal", 1.0), ("all six equal", 1.6)]
    columns += [("instruct - orpo", 1.6), ("sft - orpo", 1.6)]
    layout = {"figsize": (10, 4.8), "layout": "constrained", "sharex": True, "sharey": "row"}
    figure, axes = plt.subplots(2, len(columns), **layout)
    styles = {"z, chi-square": (ORANGE, "s"), "t, F": (BLUE, "o"), "paired": (GREEN, "^")}
    for column, (question, ratio) in enumerate(columns):
        rows = [
            row for row in found["rows"] if (row["question"], row["ratio"]) == (question, ratio)
        ]
        for above, part in enumerate(("error", "power")):
            one = axes[above, column]
            for by, (color, mark) in styles.items():
                mine = [row for row in rows if row["by"] == by]
                x, y = ([row[name] for row in mine] for name in ("clients", part))
                one.plot(x, y, color=color, marker=mark, ms=5, lw=1, label=by)
            one.set_xticks([8, 20, 50])
            one.spines[["top", "right"]].set_visible(False)
        axes[0, column].axhline(0.05, color=GREY, lw=0.8, ls="--")
        title = f"{question}, " + ("one spread" if ratio == 1 else f"sft {ratio:g} times as wide")
        axes[0, column].set_title(title, fontsize=9)
        axes[1, column].set_xlabel("clients")
    axes[0, 0].set_ylabel("wrongly found (5% wanted)")
    axes[1, 0].set_ylabel("rightly found")
    axes[0, 0].set_ylim(0)
    axes[1, 0].legend(fontsize=8, frameon=False)
    return figure


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here, help="folder to write to")
    about = "summary.json of each seed's report: their numbers become study.json"
    parser.add_argument("--study", type=Path, nargs="+", metavar="SUMMARY", help=about)
    args = parser.parse_args()
    out = args.out
    if args.study:
        numbers = json.dumps(study_numbers(args.study), indent=1)
        (here / "study.json").write_text(numbers + "\n", encoding="utf-8")
    matplotlib.rcParams |= {"svg.hashsalt": "act", "font.size": 10}
    loss_curves().savefig(out / "orpo.png", dpi=110, facecolor="white")
    seeds = json.loads((here / "study.json").read_text(encoding="utf-8"))
    study_drawing(seeds).savefig(out / "study.png", dpi=110, facecolor="white")
    found = json.loads((here / "errors.json").read_text(encoding="utf-8"))
    errors_drawing(found).savefig(out / "errors.png", dpi=110, facecolor="white")
    for name, draw in (("kernel", kernel_drawing), ("tree", tree_drawing)):
        draw().savefig(out / f"{name}.svg", facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()
