"""The report's sections on what was found: scores, differences, thinking first, wins, subscales,
kinds of client.

page.py calls one function a section with {"summary", "figures", "examples"}; doubts.py holds the
sections on what could be wrong. Numbers stand in tables, what they mean in sentences of prose.py.
"""

from collections.abc import Callable, Sequence

from act.forms import OUTCOMES
from act.report import alt, prose
from act.report.markup import Html, fold, join, link, paragraph, picture, side_by_side, table
from act.report.prose import adjusted, decimals, few, interval, number, p_value
from act.statistics.analysis import TOTALS

BY_STUDENT = ["df", "p by t", "adjusted p by t"]  # columns beside z where clients are few


def show(name: str, report: dict, text: str, caption: str) -> Html:
    """A figure, if it was drawn."""
    return (
        picture(report["figures"][name], text, caption) if name in report["figures"] else Html("")
    )


def drawn(
    report: dict, kind: str, say: Callable[..., str], caption: str, names: Sequence[str] = TOTALS
) -> Html:
    """The figures <outcome><kind> that were drawn, side by side; `say(name, result)` gives their
    words (alt.py)."""
    outcomes, figures = report["summary"]["outcomes"], report["figures"]
    return side_by_side(
        *(
            picture(
                figures[name + kind],
                say(name, outcomes[name]),
                f"{OUTCOMES[name].title}. {caption}".rstrip(),
            )
            for name in names
            if name + kind in figures
        )
    )


def scores(report: dict) -> Html:
    """Both totals by condition: raw sessions, means and intervals, with links to the example
    sessions."""
    outcomes = report["summary"]["outcomes"]
    caption = "Each faint dot is one session; below them the estimated mean with its 95% interval (filled: thinks first)."
    if "instruct" in outcomes["act_fm_total"]["observed"]:
        caption += " The dashed line is at the untrained model's mean."
    linked = {example["id"].rpartition("-")[0] for example in report["examples"]}
    return join(
        drawn(report, "", alt.estimates, caption),
        *(means(name, outcomes[name], linked) for name in TOTALS),
    )


def means(name: str, result: dict, linked: set[str] = frozenset()) -> Html:
    """One outcome's table of conditions; `linked` holds the anchors of those that have examples on
    the page."""
    rows, digits = [], decimals(result)
    by_t = bool(result["emm"]) and few(result)  # else t is as good as normal; the CSV has it
    for condition, seen in result["observed"].items():
        emm = result["emm"][condition] if result["emm"] else {"mean": None, "se": None, "ci": None}
        row = [condition, str(seen["n"]), number(emm["mean"], digits), interval(emm["ci"], digits)]
        row += [number(emm["se"], digits), number(seen["mean"], digits), number(seen["sd"], digits)]
        if by_t:
            row += [number(emm["df"], 1), interval(emm["ci_satterthwaite"], digits)]
        if linked:
            anchor = f"example-{condition}"
            ends = [link(end, f"{anchor}-{end}") for end in ("highest", "lowest")]
            row.append(join(ends[0], ", ", ends[1]) if anchor in linked else "")
        rows.append(row)
    head = ["condition", "n", "estimated mean", "95% interval", "SE", "raw mean", "SD"]
    head += ["df", "95% interval by t"] if by_t else []
    head += ["example sessions"] if linked else []
    return table(prose.on_scale(name), head, rows)


def differences(report: dict) -> Html:
    """All pairs of conditions on both totals."""
    outcomes = report["summary"]["outcomes"]
    by_t = " (by t)" if few(outcomes["act_fm_total"]) else ""
    caption = (
        "Thick bar: 95% interval of that pair alone. Thin bar with ends: 95% interval that holds for all pairs at "
        f"once{by_t}. Circle: the adjusted test{by_t} tells it from 0; cross: it does not. Right of 0 the pair's first "
        "is higher."
    )
    names = [name for name in TOTALS if outcomes[name]["contrasts"]]
    return join(
        *(paragraph(prose.unresolved(name, outcomes[name])) for name in names),
        drawn(report, "_contrasts", alt.contrasts, caption),
        *(
            fold(f"{OUTCOMES[n].title}: the numbers of all pairs", contrasts(n, outcomes[n]))
            for n in names
        ),
    )


def contrasts(name: str, result: dict) -> Html:
    """One outcome's table of pairs. t beside z where clients are few."""
    digits, by_t, rows = decimals(result), few(result), []
    for pair in result["contrasts"]:
        row = [
            f"{pair['a']} \u2212 {pair['b']}",
            number(pair["difference"], digits),
            interval(pair["ci"], digits),
        ]
        row += [interval(adjusted(result, pair)[1], digits)]
        row += [f"{number(pair['d'])} ({interval(pair['d_ci'])})"]
        row += [number(pair["z"]), p_value(pair["p"]), p_value(pair["p_holm_sidak"])]
        rows.append(row + (by_student(pair) if by_t else []))
    head = ["pair", "difference", "95% interval", "all pairs at once" + (" (by t)" if by_t else "")]
    head += ["d (95% interval)", "z", "p", "adjusted p"] + (BY_STUDENT if by_t else [])
    note = "d is the difference in SDs of a session within its condition (variances of clients and residuals together)."
    return join(
        table(f"{OUTCOMES[name].title}: all pairs", head, rows), paragraph(note, class_="small")
    )


def by_student(row: dict) -> list[str]:
    """The cells of BY_STUDENT of a difference."""
    return [
        number(row["df"], 1),
        p_value(row["p_satterthwaite"]),
        p_value(row["p_satterthwaite_holm_sidak"]),
    ]


def factorial(report: dict) -> Html:
    """Training x chain of thought on both totals; "" unless all six conditions are there."""
    outcomes = report["summary"]["outcomes"]
    names = [name for name in TOTALS if outcomes[name]["factorial"]]
    caption = "Mean with 95% interval. Parallel lines would mean that thinking first does the same in every training."
    return join(
        *(paragraph(prose.interaction(name, outcomes[name])) for name in names),
        drawn(report, "_interaction", alt.interaction, caption),
        side_by_side(*(factorial_table(name, outcomes[name]) for name in names)),
        *(simple_effects(name, outcomes[name]) for name in names),
    )


def factorial_table(name: str, result: dict) -> Html:
    """The three Wald tests of one outcome."""
    tests = result["factorial"]
    labels = {
        "training": "training (instruct, SFT, ORPO)",
        "cot": "chain of thought",
        "interaction": "interaction",
    }
    rows = [
        [labels[k], number(tests[k]["chi2"]), str(tests[k]["df"]), p_value(tests[k]["p"])]
        for k in labels
    ]
    return table(
        f"{OUTCOMES[name].title}: training x chain of thought",
        ["effect", "\u03c7\u00b2", "df", "p"],
        rows,
    )


def simple_effects(name: str, result: dict) -> Html:
    """The effect of chain of thought on average and within each training."""
    tests, digits, by_t = result["factorial"], decimals(result), few(result)
    head = [
        "in",
        "CoT minus none",
        "95% interval",
        "d",
        "z",
        "p",
        "adjusted p",
        *(BY_STUDENT if by_t else []),
    ]
    average = [
        "on average",
        number(tests["cot"]["difference"], digits),
        interval(tests["cot"]["ci"], digits),
    ]
    rows = [average + [""] * (len(head) - len(average))]
    for row in tests["cot_in"]:
        cells = [
            row["training"],
            number(row["difference"], digits),
            interval(row["ci"], digits),
            number(row["d"]),
        ]
        cells += [number(row["z"]), p_value(row["p"]), p_value(row["p_holm_sidak"])]
        rows.append(cells + (by_student(row) if by_t else []))
    return table(f"{OUTCOMES[name].title}: what thinking first does", head, rows)


def wins(report: dict) -> Html:
    """Head to head on both totals: the matrix, and under it the counts."""
    outcomes = report["summary"]["outcomes"]
    caption = (
        "Of the clients whose two sessions differ, the share with the row's condition rated above the column's. A "
        "star: p < .05 by an exact sign test of that pair alone."
    )
    return join(
        drawn(report, "_wins", alt.wins, caption),
        *(
            fold(f"{OUTCOMES[n].title}: wins, losses and ties", wins_table(n, outcomes[n]))
            for n in TOTALS
        ),
    )


def wins_table(name: str, result: dict) -> Html:
    """One outcome's wins, losses and ties of every pair."""
    rows = [
        [
            f"{pair['a']} over {pair['b']}",
            *(str(pair[field]) for field in ("wins", "losses", "ties")),
        ]
        + [number(pair["rate"]), interval(pair["ci"]), p_value(pair["p"])]
        for pair in result["wins"]
    ]
    head = ["pair", "wins", "losses", "ties", "win rate", "95% interval", "p (sign test)"]
    return table(f"{OUTCOMES[name].title}: the same client in both conditions", head, rows)


def subscales(report: dict) -> Html:
    """The eight subscales and ACT-FM inconsistency: profiles, one table of tests, each one's
    means."""
    outcomes = report["summary"]["outcomes"]
    caption = "Hollow: answers at once; filled: thinks first. Bars are 95% intervals."
    ways = {
        "consistent": "What fits ACT (more is better)",
        "inconsistent": "What goes against ACT (less is better)",
    }
    profiles = [
        show(f"profile_{way}", report, alt.profile(outcomes, way), f"{what}. {caption}")
        for way, what in ways.items()
    ]
    others = [name for name in outcomes if name not in TOTALS]
    each = drawn(report, "", alt.estimates, "", others)
    return join(
        side_by_side(*profiles),
        overview(outcomes),
        fold("Each subscale: estimates over the raw sessions", each) if each else "",
        fold(
            "Each subscale: means by condition", *(means(name, outcomes[name]) for name in others)
        ),
    )


def overview(outcomes: dict[str, dict]) -> Html:
    """One row an outcome: its test, highest and lowest condition, ICC, R2; or why it was
    refused."""
    rows = []
    for name, result in outcomes.items():
        if result["refused"]:
            rows.append([OUTCOMES[name].title, *["\u2013"] * 6, result["refused"]])
            continue
        emm, test, digits = result["emm"], result["omnibus"], decimals(result)
        low = min(emm, key=lambda condition: emm[condition]["mean"])
        high = max(emm, key=lambda condition: emm[condition]["mean"])
        rows.append(
            [
                OUTCOMES[name].title,
                f"{number(test['chi2'])} ({test['df']})",
                p_value(test["p"]),
                f"{high} {number(emm[high]['mean'], digits)}",
                f"{low} {number(emm[low]['mean'], digits)}",
                number(result["icc"]["estimate"]),
                number(result["r2"]["marginal"]),
                "client variance 0" if result["singular"] else "",
            ]
        )
    head = ["outcome", "\u03c7\u00b2 (df)", "p", "highest", "lowest", "ICC", "R2 marginal", "note"]
    caption = f"Every outcome: do the conditions differ? ({len(outcomes)} tests, not adjusted for one another)"
    return table(caption, head, rows, text=(7,))


def clients(report: dict) -> Html:
    """Condition x archetype, and subgroups of clients."""
    said, figures, folds = [], [], []
    for name, result in (report["summary"]["archetype"] or {}).items():
        title, kinds, refused = OUTCOMES[name].title, result["emm"] or {}, result["refused"]
        said.append(
            paragraph(
                f"{title} by archetype: {refused}." if refused else prose.archetypes(name, result)
            )
        )
        if len(kinds) > 1:
            caption = f"{title} by kind of client: mean and 95% interval."
            figures.append(show(f"{name}_archetypes", report, alt.archetypes(name, kinds), caption))
            folds.append(
                fold(f"{title}: the numbers by kind of client", archetype_table(name, kinds))
            )
    groups = report["summary"]["subgroups"]
    if groups:
        folds += [paragraph(prose.subgroups(groups)), fold("All subgroups", subgroup_table(groups))]
    return join(*said, side_by_side(*figures), *folds)


def archetype_table(name: str, kinds: dict[str, dict]) -> Html:
    """One outcome's means, a row a condition and a column a kind of client."""
    rows = []
    for condition in dict.fromkeys(condition for means in kinds.values() for condition in means):
        cells = [kinds[kind].get(condition) for kind in kinds]  # an empty cell is not there
        written = (
            f"{number(cell['mean'])} ({interval(cell['ci'])})" if cell else "\u2013"
            for cell in cells
        )
        rows.append([condition, *written])
    return table(f"{OUTCOMES[name].title}, mean (95% interval)", ["condition", *kinds], rows)


def subgroup_table(subgroups: list[dict]) -> Html:
    """Every subgroup's test, smallest q first, those that were not tested last."""
    rows = []
    for row in sorted(subgroups, key=lambda row: (row["refused"] is not None, row["q"] or 0)):
        cells = [
            f"{row['field']}: {row['value']}",
            OUTCOMES[row["outcome"]].title,
            str(row["sessions"]),
            str(row["n"]),
        ]
        if row["refused"]:
            rows.append([*cells, row["refused"], "", "", ""])
        else:
            rows.append(
                [
                    *cells,
                    row["best"],
                    f"{number(row['chi2'])} ({row['df']})",
                    *map(p_value, (row["p_f"], row["q"])),
                ]
            )
    head = [
        "subgroup",
        "outcome",
        "clients",
        "sessions",
        "highest",
        "\u03c7\u00b2 (df)",
        "p by F",
        "q",
    ]
    caption = "Do the conditions differ within a subgroup? q: false-discovery rate (Benjamini-Hochberg) over all rows"
    return table(caption, head, rows)
