"""Every figure of the report as two files, SVG and PNG. Needs matplotlib, which the rest of the
report does without.

analyze.py calls `write_figures`; page.py embeds the files. Here it is decided which figures there
are and how large; plots.py draws them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from act.forms import OUTCOMES
from act.report import plots
from act.statistics.analysis import TOTALS, Residuals, Scores

WIDTH = 4.8  # inches: 460 pixels, so that text of 10 points can still be read on a phone's 360
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "svg.hashsalt": "act",  # with no date in it, the same numbers give the same file
}


def write_figures(
    folder: Path, scores: Scores, summary: dict, residuals: dict[str, Residuals]
) -> dict[str, Path]:
    """Draw what there are numbers for; figure's name -> its SVG file, with the PNG beside it.

    For every outcome <outcome>, and <outcome>_contrasts, _interaction, _wins, _archetypes,
    _diagnostics for the two totals; profile_consistent and profile_inconsistent. Older files of
    these names go first. Raises ImportError without matplotlib.
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
    """The name of every figure that there can be."""
    more = ("contrasts", "interaction", "wins", "archetypes", "diagnostics")
    profiles = ("profile_consistent", "profile_inconsistent")
    return [*OUTCOMES, *(f"{name}_{kind}" for name in TOTALS for kind in more), *profiles]


def plan(
    scores: Scores, summary: dict, residuals: dict[str, Residuals]
) -> dict[str, tuple[float, Callable]]:
    """Figure's name -> its height in inches, and what draws it on a matplotlib figure."""
    outcomes, drawings = summary["outcomes"], {}
    for name, result in outcomes.items():
        if result["emm"]:
            raw = {
                condition: scores.values[name][scores.condition == condition]
                for condition in result["emm"]
            }
            drawings[name] = (
                0.5 * len(raw) + 0.8,
                partial(plots.estimates, name, raw, result["emm"]),
            )
    for name in TOTALS:
        result = outcomes[name]
        if result["contrasts"]:
            drawings[f"{name}_contrasts"] = (
                0.27 * len(result["contrasts"]) + 1,
                partial(plots.forest, name, result),
            )
        if result["factorial"]:
            drawings[f"{name}_interaction"] = 3.3, partial(plots.interaction, name, result)
        conditions = list(result["observed"])
        drawings[f"{name}_wins"] = (
            0.45 * len(conditions) + 1.2,
            partial(plots.win_matrix, name, result),
        )
        kinds = summary["archetype"][name]["emm"] if summary["archetype"] else None
        if kinds and len(kinds) > 1:
            drawings[f"{name}_archetypes"] = 5.0, partial(plots.archetypes, name, kinds, conditions)
        if name in residuals:
            drawings[f"{name}_diagnostics"] = 4.4, partial(plots.diagnostics, *residuals[name])
    for direction in ("consistent", "inconsistent"):
        if any(outcomes[name]["emm"] for name in OUTCOMES if name.endswith(f"_{direction}")):
            drawings[f"profile_{direction}"] = 4.6, partial(plots.profile, outcomes, direction)
    return drawings
