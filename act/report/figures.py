"""Every figure of the report as two files, SVG and PNG. Needs matplotlib, which the rest of the report does without.

analyze.py calls `write_figures`; page.py embeds the files. Here it is decided which figures there are and how large;
plots.py draws them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from act.measure.analysis import TOTALS, Residuals, Scores
from act.measure.forms import OUTCOMES
from act.report import plots

WIDTH = 4.8  # inches: 460 pixels, so that text of 10 points can still be read on a phone's 360
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "svg.hashsalt": "act",  # with no date in it, the same numbers give the same file
}


def write_figures(folder: Path, scores: Scores, summary: dict, residuals: dict[str, Residuals]) -> dict[str, Path]:
    """Draw what there are numbers for; figure's name -> its SVG file, with the PNG beside it.

    For every outcome <outcome>, and <outcome>_contrasts, _interaction, _wins, _archetypes, _diagnostics for the two
    totals; profile_consistent and profile_inconsistent. Older files of these names go first. Raises ImportError without
    matplotlib.
    """
    for name in names():
        for kind in ("svg", "png"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    import matplotlib  # here and not above: without it only this fails

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawings = plan(scores, summary, residuals)
    paths = {}
    for name, (height, draw) in drawings.items():
        with pyplot.rc_context(STYLE):
            figure = pyplot.figure(figsize=(WIDTH, height), layout="constrained")
            draw(figure)
            paths[name] = folder / f"{name}.svg"
            figure.savefig(paths[name], metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # what was laid out once stays
            figure.savefig(paths[name].with_suffix(".png"), dpi=200)
            pyplot.close(figure)
    return paths


def names() -> list[str]:
    """Of every figure that there can be."""
    more = ("contrasts", "interaction", "wins", "archetypes", "diagnostics")
    profiles = ("profile_consistent", "profile_inconsistent")
    return [*OUTCOMES, *(f"{name}_{kind}" for name in TOTALS for kind in more), *profiles]


def plan(scores: Scores, summary: dict, residuals: dict[str, Residuals]) -> dict[str, tuple[float, Callable]]:
    """Figure's name -> its height in inches, and what draws it on a matplotlib figure."""
    outcomes, drawings = summary["outcomes"], {}
    for name, result in outcomes.items():
        if result["emm"]:
            drawings[name] = 0.5 * len(result["emm"]) + 0.8, estimates(scores, name, result["emm"])
    for name in TOTALS:
        result = outcomes[name]
        if result["contrasts"]:
            drawings[f"{name}_contrasts"] = 0.27 * len(result["contrasts"]) + 1, forest(name, result)
        if result["factorial"]:
            drawings[f"{name}_interaction"] = 3.3, interaction(name, result["emm"])
        if result["wins"]:
            drawings[f"{name}_wins"] = 0.45 * len(result["observed"]) + 1.2, wins(name, result)
        kinds = (summary["archetype"] or {name: {"emm": None}})[name]["emm"]
        if kinds and len(kinds) > 1:
            drawings[f"{name}_archetypes"] = 5.0, archetypes(name, kinds, list(result["observed"]))
        if name in residuals:
            drawings[f"{name}_diagnostics"] = 4.4, diagnostics(*residuals[name])
    for direction in ("consistent", "inconsistent"):
        if any(outcomes[name]["emm"] for name in OUTCOMES if name.endswith(f"_{direction}")):
            drawings[f"profile_{direction}"] = 4.6, profile(outcomes, direction)
    return drawings


def estimates(scores: Scores, name: str, emm: dict[str, dict]) -> Callable:
    """Draws raw sessions and estimated means by condition (plots.estimates)."""

    def draw(figure) -> None:
        axes = figure.subplots()
        plots.estimates(axes, {c: scores.values[name][scores.condition == c] for c in emm}, emm)
        axes.set_xlabel(plots.scale(name))

    return draw


def forest(name: str, result: dict) -> Callable:
    """Draws all pairs' differences (plots.forest)."""

    def draw(figure) -> None:
        axes = figure.subplots()
        plots.forest(axes, result)
        axes.set_xlabel(f"{OUTCOMES[name].title}: first minus second")

    return draw


def interaction(name: str, emm: dict[str, dict]) -> Callable:
    """Draws training by chain of thought (plots.interaction)."""
    return lambda figure: plots.interaction(figure.subplots(), emm, plots.scale(name))


def wins(name: str, result: dict) -> Callable:
    """Draws the matrix of win rates (plots.win_matrix)."""

    def draw(figure) -> None:
        axes = figure.subplots()
        plots.win_matrix(axes, result["wins"], list(result["observed"]))
        axes.set_title(f"{OUTCOMES[name].title}: row rated above column", fontsize=10)

    return draw


def archetypes(name: str, emm: dict, conditions: list[str]) -> Callable:
    """Draws means by kind of client and condition (plots.archetypes)."""

    def draw(figure) -> None:
        axes = figure.subplots()
        plots.archetypes(axes, emm, conditions)
        axes.set_xlabel(plots.scale(name))

    return draw


def diagnostics(fitted: np.ndarray, residual: np.ndarray, effects: np.ndarray) -> Callable:
    """Draws two quantile plots and residuals against fitted values; arguments as `analysis.residuals` gives them."""

    def draw(figure) -> None:
        axes = figure.subplot_mosaic([["sessions", "clients"], ["spread", "spread"]])
        plots.quantiles(axes["sessions"], residual, "Residuals of sessions")
        plots.quantiles(axes["clients"], effects, "Effects of clients")
        plots.spread(axes["spread"], fitted, residual)

    return draw


def profile(outcomes: dict[str, dict], direction: str) -> Callable:
    """Draws the subscales of one direction (plots.profile)."""

    def draw(figure) -> None:
        axes = figure.subplots()
        plots.profile(axes, outcomes, direction)
        better = "more is better" if direction == "consistent" else "less is better"
        axes.set_xlabel(f"ACT-{direction} items, scale 0\u20139 ({better})")

    return draw
