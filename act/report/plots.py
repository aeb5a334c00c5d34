"""The drawings of the report, each on a matplotlib figure that it is given: numbers of summary.json
in, marks out.

Nothing is told by colour alone: training is colour (Okabe & Ito's palette, apart for every common
kind of colour vision) with a name or a shape beside it, chain of thought is a filled mark where
none is hollow, and every cell of a matrix holds its number.
"""

import numpy as np
from scipy import stats

from act.forms import OUTCOMES, SUBSCALES
from act.report.prose import adjusted, told_apart

COLOURS = {"instruct": "#0072B2", "sft": "#D55E00", "orpo": "#009E73"}
SHAPES = {"instruct": "o", "sft": "s", "orpo": "^"}
LINES = {"instruct": "-", "sft": "--", "orpo": "-."}
TYPES = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#999999",
)  # kinds of client, in the order of the file
TYPE_SHAPES = ("o", "v", "s", "D", "P", "X")
GOLDEN = 0.6180339887498949


def jitter(n: int, width: float) -> np.ndarray:
    """n offsets in (-width/2, width/2), spread evenly and the same each time: multiples of the
    golden ratio."""
    return (np.arange(1, n + 1) * GOLDEN % 1 - 0.5) * width


def colour(condition: str) -> str:
    """Of a condition's training, with or without chain of thought."""
    return COLOURS[condition.removesuffix("-cot")]


def mark(condition: str, size: float) -> dict:
    """A condition's mark, everywhere: training by shape and colour, filled where it thinks
    first."""
    cot, own = condition.endswith("-cot"), colour(condition)
    shape = SHAPES[condition.removesuffix("-cot")]
    face = own if cot else "white"
    return {
        "marker": shape,
        "color": own,
        "markerfacecolor": face,
        "markersize": size,
        "markeredgewidth": 1.5,
    }


def rows(axes, names: list[str]) -> None:
    """One row a name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def estimates(name: str, values: dict[str, np.ndarray], emm: dict[str, dict], figure) -> None:
    """Each condition's raw sessions; below them its estimated mean with 95% interval; a line where
    `instruct` is."""
    axes = figure.subplots()
    for row, (condition, estimate) in enumerate(emm.items()):
        raw = values[condition]
        offsets = row - 0.15 + jitter(len(raw), 0.42)
        axes.scatter(raw, offsets, s=10, color=colour(condition), alpha=0.3, linewidths=0, zorder=1)
        axes.hlines(row + 0.23, *estimate["ci"], color="black", linewidth=2, zorder=3)
        axes.plot(estimate["mean"], row + 0.23, zorder=4, **mark(condition, 5.5))
    if "instruct" in emm:
        axes.axvline(
            emm["instruct"]["mean"], color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=2
        )
    rows(axes, list(emm))
    axes.set_xlabel(scale(name))


def forest(name: str, result: dict, figure) -> None:
    """Every pair's difference: thick, its own 95% interval; thin with end caps, the interval that
    holds with all others at once. A filled marker is a difference that the adjusted test tells from
    0."""
    axes = figure.subplots()
    for row, pair in enumerate(result["contrasts"]):
        reach = np.abs(np.array(adjusted(result, pair)[1])[:, None] - pair["difference"])
        axes.errorbar(
            pair["difference"], row, xerr=reach, color="#444444", elinewidth=1, capsize=3, zorder=2
        )
        axes.hlines(row, *pair["ci"], color="#0072B2", linewidth=3.2, zorder=3)
        shape = (
            {"marker": "o"} if told_apart(result, pair) else {"marker": "x", "markeredgewidth": 2}
        )
        axes.plot(pair["difference"], row, color="black", markersize=6, zorder=4, **shape)
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    rows(axes, [f"{pair['a']} \u2212 {pair['b']}" for pair in result["contrasts"]])
    axes.set_xlabel(f"{OUTCOMES[name].title}: first minus second")


def interaction(name: str, result: dict, figure) -> None:
    """The mean of each training without and with chain of thought; parallel lines would be no
    interaction."""
    axes, emm, ends = figure.subplots(), result["emm"], []
    for place, training in enumerate(COLOURS):
        cells = [emm[training], emm[f"{training}-cot"]]
        x = np.arange(2) + (place - 1) * 0.045
        means = [cell["mean"] for cell in cells]
        reach = np.abs(np.array([cell["ci"] for cell in cells]).T - means)
        line = {"color": COLOURS[training], "linestyle": LINES[training], "linewidth": 1.8}
        axes.errorbar(x, means, yerr=reach, capsize=3, **line)
        for place_x, mean, condition in zip(x, means, (training, f"{training}-cot"), strict=True):
            axes.plot(place_x, mean, zorder=4, **mark(condition, 7.5))
        ends.append((means[1], training))
    low, high = axes.get_ylim()
    spread = apart([end for end, _ in ends], 0.06 * (high - low))
    for (_, training), place in zip(ends, spread, strict=True):
        label = training if training == "instruct" else training.upper()
        axes.text(1.15, place, label, va="center", color=COLOURS[training], fontweight="bold")
    axes.set_xticks([0, 1], ["answers at once", "thinks first (CoT)"])
    axes.set_xlim(-0.25, 1.55)
    axes.set_ylabel(scale(name))
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def apart(places: list[float], least: float) -> list[float]:
    """Labels' places moved up, where they must, so that none is nearer to another than `least`;
    order kept."""
    result = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for below, above in zip(order, order[1:], strict=False):
        result[above] = max(result[above], result[below] + least)
    return result


def win_matrix(name: str, result: dict, figure) -> None:
    """Of the clients that tell two conditions apart, the share with the row above the column; ties
    are left out."""
    axes, names = figure.subplots(), list(result["observed"])
    share = np.full((len(names), len(names)), np.nan)
    sure = np.zeros(share.shape, bool)
    for pair in result["wins"]:
        if pair["rate"] is not None:
            i, j = names.index(pair["a"]), names.index(pair["b"])
            share[i, j], share[j, i] = pair["rate"], 1 - pair["rate"]
            sure[i, j] = sure[j, i] = pair["p"] < 0.05
    axes.imshow(share, cmap="PuOr_r", vmin=0, vmax=1)
    for i, j in np.ndindex(share.shape):
        if i == j:
            axes.text(j, i, "\u2013", ha="center", va="center", color="#777777")
        elif np.isfinite(share[i, j]):
            ink = "white" if abs(share[i, j] - 0.5) > 0.3 else "black"
            star, weight = ("*", "bold") if sure[i, j] else ("", "normal")
            written = f"{100 * share[i, j]:.0f}%{star}"
            axes.text(
                j, i, written, ha="center", va="center", color=ink, fontsize=9, fontweight=weight
            )
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(f"{OUTCOMES[name].title}: row rated above column", fontsize=10)


def profile(outcomes: dict[str, dict], direction: str, figure) -> None:
    """The four subscales of one direction: each condition's mean with its 95% interval, side by
    side."""
    axes = figure.subplots()
    shown = [name for name in SUBSCALES if outcomes[f"{name}_{direction}"]["emm"]]
    for row, subscale in enumerate(shown):
        emm = outcomes[f"{subscale}_{direction}"]["emm"]
        for place, (condition, estimate) in enumerate(emm.items()):
            y = row + (place - (len(emm) - 1) / 2) * 0.13
            axes.hlines(y, *estimate["ci"], color=colour(condition), linewidth=1.6, zorder=2)
            label = condition if row == 0 else None
            axes.plot(
                estimate["mean"], y, linestyle="none", label=label, zorder=3, **mark(condition, 5.5)
            )
    rows(axes, shown)
    better = "more is better" if direction == "consistent" else "less is better"
    axes.set_xlabel(f"ACT-{direction} items, scale 0\u20139 ({better})")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.13), ncols=3, frameon=False, fontsize=9)


def archetypes(name: str, emm: dict[str, dict[str, dict]], conditions: list[str], figure) -> None:
    """The mean of each kind of client in each condition, with its 95% interval."""
    axes = figure.subplots()
    for place, (archetype, means) in enumerate(emm.items()):
        here = [row for row, condition in enumerate(conditions) if condition in means]
        cells = [means[conditions[row]] for row in here]
        y = np.array(here) + (place - (len(emm) - 1) / 2) * 0.17
        own = TYPES[place % len(TYPES)]
        axes.hlines(
            y, *np.array([cell["ci"] for cell in cells]).T, color=own, linewidth=1.6, zorder=2
        )
        axes.plot(
            [cell["mean"] for cell in cells],
            y,
            TYPE_SHAPES[place % len(TYPE_SHAPES)],
            markersize=5.5,
            color=own,
            markeredgecolor="black",
            markeredgewidth=0.7,
            label=archetype[:28],
            zorder=3,
        )
    rows(axes, conditions)
    axes.set_xlabel(scale(name))
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.35, -0.11), ncols=2, frameon=False, fontsize=9
    )


def diagnostics(fitted: np.ndarray, residual: np.ndarray, effects: np.ndarray, figure) -> None:
    """Two quantile plots and residuals against fitted values; arguments as `analysis.residuals`
    gives them."""
    axes = figure.subplot_mosaic([["sessions", "clients"], ["spread", "spread"]])
    quantiles(axes["sessions"], residual, "Residuals of sessions")
    quantiles(axes["clients"], effects, "Effects of clients")
    spread(axes["spread"], fitted, residual)


def quantiles(axes, values: np.ndarray, title: str) -> None:
    """Ordered values in SDs against a normal's quantiles: on the line where the model's assumption
    holds."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("expected if normal")
    axes.set_ylabel("found, in SDs")
    n, sd = len(values), values.std()
    reach = 1.05 * float(stats.norm.isf(0.625 / (n + 0.25)))
    axes.plot([-reach, reach], [-reach, reach], color="black", linewidth=1)
    if sd > 0:  # on the boundary all clients' effects are 0
        expected = stats.norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))  # Blom (1958)
        axes.plot(
            expected,
            np.sort((values - values.mean()) / sd),
            "o",
            markersize=2.2,
            color="#0072B2",
            alpha=0.6,
        )


def spread(axes, fitted: np.ndarray, residual: np.ndarray) -> None:
    """Residuals against fitted values: a level band of even width where the assumptions hold."""
    axes.plot(fitted, residual, "o", markersize=2.2, color="#0072B2", alpha=0.5)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xlabel("fitted value")
    axes.set_ylabel("residual")
    axes.set_title("Residuals against fitted", fontsize=10)


def scale(name: str) -> str:
    """An axis's label: the outcome and the ends of its scale."""
    outcome = OUTCOMES[name]
    return f"{outcome.title} (scale {outcome.low}\u2013{outcome.high})"
