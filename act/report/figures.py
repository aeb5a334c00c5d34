"""The figures of the report, each drawn from the rows of a table, whose words are its text.

Nothing is told by colour alone: training is colour (Okabe & Ito's palette) with a name or a shape
beside it, chain of thought is a filled mark where none is hollow. `Figure.render` alone needs
matplotlib: the rest of the report does without.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from act.files import whole_file
from act.report.decisions import DECIDES, HOLDS
from act.report.sentences import say
from act.report.table import OUTCOMES, SPECS, Table, scale, told

COLOURS = {"instruct": "#0072B2", "sft": "#D55E00", "orpo": "#009E73"}
SHAPES = {"instruct": "o", "sft": "s", "orpo": "^"}
GOLDEN = 0.6180339887498949
WIDTH = 4.8  # inches: 460 pixels, so that text of 10 points can still be read on a phone's 360
STYLE = Path(__file__).with_suffix(".mplstyle")


@dataclass(frozen=True)
class Figure:
    """A drawing on a matplotlib figure, the same in words, and what is printed under it."""

    kind: str
    draw: Callable
    text: str
    caption: str
    outcome: str = ""

    def render(self, kind: str) -> bytes:
        """The content of a file, "svg" or "png". Raises ImportError without matplotlib."""
        import matplotlib
        from matplotlib import figure

        file = BytesIO()
        undated = {"Date": None, "Creator": None} if kind == "svg" else None
        with matplotlib.rc_context(fname=STYLE):
            canvas = figure.Figure(figsize=(WIDTH, 4), layout="constrained")
            self.draw(canvas)
            canvas.savefig(file, format=kind, dpi=200, metadata=undated)
        return file.getvalue()


def make_figures(tables: dict[str, Table]) -> dict[str, Figure]:
    """File's name, <outcome> or <outcome>_<kind>, -> figure: what there are numbers for."""
    figures = {}
    for kind, (draw, group) in DRAWN.items():
        for table in tables[kind].each(group):
            row = table.rows[0]
            name = row["outcome"] if draw is estimates else f"{row['outcome']}_{kind}"
            caption, drawing = say(f"{kind} figure", **row), partial(draw, table.rows)
            figures[name] = Figure(kind, drawing, table.to_text(), caption, row["outcome"])
    return figures


def render_all(figures: dict[str, Figure], kind: str) -> dict[str, bytes]:
    """Name -> its file's content. Raises ImportError without matplotlib."""
    return {name: figure.render(kind) for name, figure in figures.items()}


def write_figures(
    folder: Path, names: Iterable[str], files: dict[str, bytes], kind: str | None
) -> None:
    """Each figure's file, <name>.svg or .png, if it has one. Those of an older analysis go."""
    for name, one in product(names, ("svg", "png")):
        path = folder / f"{name}.{one}"
        if one == kind and name in files:
            with whole_file(path) as part:
                part.write_bytes(files[name])
        else:
            path.unlink(missing_ok=True)


def jitter(n: int, width: float) -> np.ndarray:
    """n offsets in (-width/2, width/2), even and the same each time: golden ratio's multiples."""
    return (np.arange(1, n + 1) * GOLDEN % 1 - 0.5) * width


def mark(condition: str, size: float = 5.5) -> dict:
    """A condition's mark: training by shape and colour, filled where it thinks first."""
    training, _, cot = condition.partition("-")  # "sft-cot"
    own = COLOURS[training]
    face = {"markerfacecolor": own if cot else "white", "markeredgewidth": 1.5}
    return {"marker": SHAPES[training], "color": own, "markersize": size, "zorder": 4} | face


def lines_of(axes, names: list[str], label: str) -> None:
    """One line a name, the first on top, over an axis with a label."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=8)
    axes.grid(axis="x")
    axes.set_xlabel(label)


def estimates(rows: list[dict], figure) -> None:
    """What was observed in each condition, and below that its estimated mean with 95% interval."""
    figure.set_figheight(0.5 * len(rows) + 0.8)
    axes = figure.subplots()
    for y, row in enumerate(rows):
        condition = row["condition"]
        # the sessions above the mean, spread evenly; pixels: thousands of shapes are a large file
        above = y - 0.15 + jitter(len(row["_values"]), 0.42)
        faint = {"s": 10, "alpha": 0.3, "linewidths": 0, "rasterized": True}
        axes.scatter(row["_values"], above, color=mark(condition)["color"], **faint)
        # the mean and its interval below them
        if row["ci_satterthwaite"]:
            ends = row["ci_satterthwaite"]
            axes.hlines(y + 0.23, *ends, color="black", linewidth=2, zorder=3)
        axes.plot(row["emm"], y + 0.23, **mark(condition))
        if condition == "instruct":  # the untrained model's mean, through all rows
            axes.axvline(row["emm"], color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    lines_of(axes, [row["condition"] for row in rows], scale(rows[0]["outcome"]))


def forest(rows: list[dict], figure) -> None:
    """Every pair's difference: thick, its own 95% interval; thin with end caps, the interval that
    holds with all others at once. A circle is a difference that the adjusted test tells from 0."""
    figure.set_figheight(0.27 * len(rows) + 1)
    axes = figure.subplots()
    for y, row in enumerate(rows):
        x = row["difference"]
        if row[HOLDS]:  # adjusted for all pairs; its own interval is thick
            low, high = row[HOLDS]
            thin = {"color": "#444444", "elinewidth": 1, "capsize": 3, "zorder": 2}
            axes.errorbar(x, y, xerr=[[x - low], [high - x]], **thin)
            axes.hlines(y, *row["ci_satterthwaite"], color="#0072B2", linewidth=3.2, zorder=3)
        shape = {"marker": "o"} if told(row[DECIDES]) else {"marker": "x", "markeredgewidth": 2}
        axes.plot(x, y, color="black", markersize=6, zorder=4, **shape)
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    names = [f"{row['a']} − {row['b']}" for row in rows]
    lines_of(axes, names, f"first minus second, {OUTCOMES[rows[0]['outcome']].unit}")


def diagnostics(rows: list[dict], figure) -> None:
    """Two quantile plots, and residuals against fitted values: a level band of even width where the
    assumptions hold."""
    left, whose = rows[0]["_left"], SPECS["of"](rows[0]["outcome"])
    residual = [row["residual"] for row in left["rows"]]
    effects = [row["effect"] for row in left["effects"]]
    normal = {"Residuals": residual, f"Effects of {whose}s": effects}
    axes = figure.subplot_mosaic([list(normal), ["spread", "spread"]])
    for title, values in normal.items():
        # ordered values against a normal's quantiles, with their line
        stats.probplot(values, plot=axes[title])
        axes[title].set(xlabel="expected if normal", ylabel="found", title=title)
    axes["spread"].plot([row["fitted"] for row in left["rows"]], residual, "bo")
    axes["spread"].axhline(0, color="red")
    axes["spread"].set(xlabel="fitted value", ylabel="residual", title="Residuals against fitted")
    for one in axes.values():  # dots as pixels, too
        one.lines[0].set(markersize=2.2, alpha=0.5, rasterized=True)


DRAWN = {  # a table with its name says it in words -> what draws it, of which outcomes
    "estimates": (estimates, ""),
    "contrasts": (forest, "leading"),
    "diagnostics": (diagnostics, "leading"),
}
