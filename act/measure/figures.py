"""One figure per outcome: the conditions' estimates with 95% intervals over the raw sessions."""

from pathlib import Path

import numpy as np

from act.measure.analysis import Scores
from act.measure.forms import OUTCOMES

# Okabe & Ito's palette, told apart by every common kind of colour vision; training by colour, CoT by shape.
COLOURS = {"instruct": "#0072B2", "sft": "#D55E00", "orpo": "#009E73"}
GOLDEN = 0.6180339887498949


def jitter(n: int, width: float = 0.5) -> np.ndarray:
    """n offsets in (-width/2, width/2), spread evenly and the same each time: multiples of the golden ratio."""
    return (np.arange(1, n + 1) * GOLDEN % 1 - 0.5) * width


def write_figures(folder: Path, scores: Scores, outcomes: dict[str, dict]) -> dict[str, Path]:
    """Write <outcome>.png for every outcome that has estimates. Raises ImportError without matplotlib."""
    import matplotlib  # here and not above: the rest of the report does without it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = {}
    for name, result in outcomes.items():
        if result["emm"] is None:
            continue
        with pyplot.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
            figure, axes = pyplot.subplots(figsize=(5.4, 0.46 * len(result["emm"]) + 1.2), dpi=150)
            draw(axes, scores, scores.values[name], result["emm"])
            outcome = OUTCOMES[name]
            axes.set_xlabel(f"{outcome.title} (scale {outcome.low}\u2013{outcome.high})")
            figure.tight_layout()
            paths[name] = folder / f"{name}.png"
            figure.savefig(paths[name])
            pyplot.close(figure)
    return paths


def draw(axes, scores: Scores, y: np.ndarray, emm: dict[str, dict]) -> None:
    for row, (condition, estimate) in enumerate(emm.items()):
        colour = COLOURS[condition.removesuffix("-cot")]
        raw = y[scores.condition == condition]
        axes.scatter(raw, row + jitter(len(raw)), s=14, color=colour, alpha=0.35, linewidths=0, zorder=1)
        axes.hlines(row, *estimate["ci"], color="black", linewidth=2.2, zorder=2)
        shape = "D" if condition.endswith("-cot") else "o"
        axes.plot(estimate["mean"], row, shape, markersize=7, color=colour, markeredgecolor="black", zorder=3)
    axes.set_yticks(range(len(emm)), list(emm))
    axes.set_ylim(len(emm) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
