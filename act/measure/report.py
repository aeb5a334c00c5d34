"""The report page: one HTML file that holds everything, fetches nothing, and reads on paper, screen and phone."""

import base64
import re
from html import escape
from pathlib import Path

from act.measure import prose
from act.measure.analysis import TOTALS
from act.measure.conduct import COUNTS
from act.measure.forms import OUTCOMES
from act.measure.prose import count, decimals, interval, number, p_value

SHOWN_HITS = 30  # of those a therapist said first; the CSV has them all

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 64rem; margin: 0 auto;
  padding: 1rem; }
p, ul, h1 { max-width: 46rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
.warning { border: 2px solid #8a4b00; background: #fff4e0; padding: .7rem 1rem; font-weight: 600; }
.answer { font-size: 1.1rem; border-left: 4px solid #0072b2; padding-left: 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #d8d8d8; white-space: nowrap; }
th[scope=row], thead th:first-child { text-align: left; } thead th { border-bottom: 2px solid #555; }
th.text, td.text { text-align: left; white-space: normal; min-width: 12rem; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; color: #444; }
img { max-width: 100%; height: auto; } .grid { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
@media print { body { font-size: 10pt; max-width: none; padding: 0; } .scroll { overflow: visible; }
  table { font-size: 8pt; } th, td { padding: .1rem .35rem; }
  th.text, td.text { min-width: 0; } figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; } .grid { grid-template-columns: 1fr 1fr; } figure.main img { width: 12cm; } }
"""


def write_page(path: Path, summary: dict, figures: dict[str, Path]) -> None:
    """Write report.html from summary.json's content and the figures' files, which are embedded."""
    outcomes = summary["outcomes"]
    demonstration = prose.is_demonstration(summary["input"]["raters"])
    parts = [f'<p class="warning" role="note">{escape(prose.DEMONSTRATION)}</p>'] if demonstration else []
    parts.append("<h1>Six ways to prompt and train an ACT therapist: what the ratings say</h1>")
    answers = " ".join(prose.answer(name, outcomes[name]) for name in TOTALS)
    parts.append(f'<p class="answer">{escape(answers)}</p>')
    parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in prose.cautions(summary)) + "</ul>")
    parts.append("<h2>Scores by condition</h2>")
    for name in TOTALS:
        parts += [figure(name, outcomes[name], figures, main=True), means(name, outcomes[name])]
    parts.append("<h2>Which conditions differ?</h2>")
    for name in TOTALS:
        parts += [factorial(name, outcomes[name]), contrasts(name, outcomes[name])]
    parts.append("<h2>Head to head, same client</h2>")
    parts += [wins(name, outcomes[name]) for name in TOTALS]
    parts += ["<h2>What went wrong</h2>", failures(summary["failures"]), sensitivity(summary)]
    parts += ["<h2>Safety</h2>", safety(summary["safety"])]
    parts += ["<h2>All outcomes</h2>", overview(outcomes), '<div class="grid">']
    parts += [figure(name, outcomes[name], figures, main=False) for name in outcomes if name not in TOTALS]
    parts += ["</div>", "<h2>Methods</h2>", f"<p>{escape(prose.methods(summary))}</p>"]
    parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in prose.sources()) + "</ul>")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ACT from scratch: report</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )
    page = re.sub(r"chi2(?=\()", "\u03c7\u00b2", page)  # the terminal's ASCII, in print
    path.write_text(page, encoding="utf-8")


def table(caption: str, head: list[str], rows: list[list[str]], text: tuple[int, ...] = ()) -> str:
    """An HTML table whose first column names the row; `text` are the columns of prose, set to the left."""
    top = "".join(
        f'<th scope="col"{" class=text" if column in text else ""}>{escape(cell)}</th>'
        for column, cell in enumerate(head)
    )
    body = ""
    for first, *rest in rows:
        cells = (
            f'<td class="text">{escape(cell)}</td>' if column in text else f"<td>{escape(cell)}</td>"
            for column, cell in enumerate(rest, 1)
        )
        body += f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>'
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(name: str, result: dict, figures: dict[str, Path], main: bool) -> str:
    if name not in figures:
        return ""
    title = OUTCOMES[name].title
    digits = decimals(result)
    values = "; ".join(
        f"{c} {number(e['mean'], digits)} ({interval(e['ci'], digits)})" for c, e in result["emm"].items()
    )
    data = base64.b64encode(figures[name].read_bytes()).decode()
    caption = f"{title}: estimated marginal mean with 95% interval; each faint dot is one session."
    return (
        f'<figure{" class=main" if main else ""}><img src="data:image/png;base64,{data}" '
        f'alt="{escape(f"{title} by condition, mean and 95% interval: {values}")}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def means(name: str, result: dict) -> str:
    rows, digits = [], decimals(result)
    for condition, seen in result["observed"].items():
        emm = result["emm"][condition] if result["emm"] else {"mean": None, "ci": None}
        observed = [str(seen["n"]), number(seen["mean"], digits), number(seen["sd"], digits)]
        rows.append([condition, *observed, number(emm["mean"], digits), interval(emm["ci"], digits)])
    outcome = OUTCOMES[name]
    caption = f"{outcome.title}, scale {outcome.low} to {outcome.high}"
    return table(caption, ["condition", "n", "mean", "SD", "estimated mean", "95% interval"], rows)


def contrasts(name: str, result: dict) -> str:
    if not result["contrasts"]:
        return ""
    digits = decimals(result)
    rows = [
        [
            f"{row['a']} \u2212 {row['b']}",
            number(row["difference"], digits),
            interval(row["ci"], digits),
            interval(row["ci_adjusted"], digits),
            number(row["z"]),
            p_value(row["p"]),
            p_value(row["p_holm_sidak"]),
            number(row["df"], 1),
            p_value(row["p_satterthwaite"]),
        ]
        for row in result["contrasts"]
    ]
    head = ["pair", "difference", "95% interval", "all pairs at once", "z", "p", "p adjusted", "df", "p by t"]
    return table(f"{OUTCOMES[name].title}: all pairs", head, rows)


def factorial(name: str, result: dict) -> str:
    if not result["factorial"]:
        return ""
    tests = result["factorial"]
    labels = {"training": "training (instruct, SFT, ORPO)", "cot": "chain of thought", "interaction": "interaction"}
    rows = [[labels[k], number(tests[k]["chi2"]), str(tests[k]["df"]), p_value(tests[k]["p"])] for k in labels]
    effect, digits = tests["cot"], decimals(result)
    difference = f"{number(effect['difference'], digits)} ({interval(effect['ci'], digits)})"
    head = ["effect", "chi-square", "df", "p"]
    return (
        table(f"{OUTCOMES[name].title}: training x chain of thought", head, rows)
        + f"<p>With chain of thought minus without: {difference}.</p>"
    )


def wins(name: str, result: dict) -> str:
    rows = [
        [
            f"{row['a']} over {row['b']}",
            str(row["wins"]),
            str(row["losses"]),
            str(row["ties"]),
            number(row["rate"]),
            interval(row["ci"]),
            p_value(row["p"]),
        ]
        for row in result["wins"]
    ]
    head = ["pair", "wins", "losses", "ties", "win rate", "95% interval", "p (sign test)"]
    return table(f"{OUTCOMES[name].title}: the same client in both conditions", head, rows)


def failures(rows: dict[str, dict]) -> str:
    def statuses(counts: dict[str, int] | None) -> str:
        return "not known" if counts is None else ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))

    body = [
        [
            condition,
            "not known" if row["sessions"] is None else f"{row['failed_sessions']} of {row['sessions']}",
            f"{row['failed_ratings']} of {row['ratings']}",
            str(row["unrated_sessions"]),
            statuses(row["session_statuses"]),
            statuses(row["turn_statuses"]),
            *("not known" if row[name] is None else str(row[name]) for name in COUNTS),
        ]
        for condition, row in rows.items()
    ]
    head = ["condition", "failed sessions", "failed ratings", "unrated sessions", "sessions ended as", "turns ended as"]
    head += COUNTS.values()
    note = (
        "A turn that ended as 'length' was cut at the token limit; by itself it does not make a session failed. "
        "Goodbyes, role flips and repeats are turns, found by word lists and exact matching: they show where to read."
    )
    return table("Failures by condition", head, body, text=(4, 5)) + f"<p>{escape(note)}</p>"


def sensitivity(summary: dict) -> str:
    result = summary["sensitivity"]
    if result is None:
        return "<p>The analysis without failed sessions needs the session file (--sessions).</p>"
    if result["excluded"] == 0:
        return "<p>No rated session failed: the analysis without failed sessions is the one above.</p>"
    parts = [f"<p>{count(result['excluded'], 'rated session', 'is', 'are')} left out here, having failed:</p>"]
    for name, without in result["outcomes"].items():
        everyone = summary["outcomes"][name]
        if everyone["refused"] or without["refused"]:
            parts.append(f"<p>{escape(OUTCOMES[name].title)}: {escape(everyone['refused'] or without['refused'])}.</p>")
            continue
        rows, digits = [], decimals(everyone)
        for condition, estimate in everyone["emm"].items():
            cells = [condition]
            for emm in (estimate, without["emm"].get(condition, {"mean": None, "ci": None})):
                cells += [number(emm["mean"], digits), interval(emm["ci"], digits)]
            rows.append(cells)
        head = ["condition", "all sessions", "95% interval", "without failed", "95% interval"]
        parts.append(table(f"{OUTCOMES[name].title}, estimated means", head, rows))
        tests = f"All: {prose.chi_square(everyone['omnibus'])}. Without failed: {prose.chi_square(without['omnibus'])}."
        parts.append(f"<p>{escape(tests)}</p>")
    return "".join(parts)


def safety(result: dict | None) -> str:
    if result is None:
        return "<p>Not looked at: this needs the session file (--sessions).</p>"
    topics = next(iter(result["counts"].values()), {})
    rows = [
        [condition, str(number_of)]
        + [f"{row['sessions']} ({row['therapist_first']})" for row in result["counts"][condition].values()]
        for condition, number_of in result["sessions"].items()
    ]
    helped = [
        [condition, *(f"{row['pointed_to_help']} of {row['client_spoke']}" for row in counts.values())]
        for condition, counts in result["counts"].items()
    ]
    caption = "Sessions that speak of it (in brackets: where the therapist did so first)"
    first = [hit for hit in result["hits"] if hit["first"] and hit["speaker"] == "therapist"]
    help_caption = "Sessions whose client spoke of it: in how many did the therapist name human help then?"
    parts = [
        table(caption, ["condition", "sessions", *topics], rows),
        table(help_caption, ["condition", *topics], helped),
    ]
    parts.append(f"<p>{escape(result['limits'])}</p>")
    if first:
        listed = [[hit["session"], str(hit["turn"]), hit["topic"], hit["excerpt"]] for hit in first[:SHOWN_HITS]]
        title = f"Said first by the therapist: {len(listed)} of {len(first)}; all {len(result['hits'])} hits in the CSV"
        parts.append(table(title, ["session", "turn", "topic", "words"], listed, text=(3,)))
    return "".join(parts)


def overview(outcomes: dict[str, dict]) -> str:
    rows = []
    for name, result in outcomes.items():
        if result["refused"]:
            rows.append([OUTCOMES[name].title, "\u2013", "\u2013", "\u2013", "\u2013", "\u2013", result["refused"]])
            continue
        icc, r2 = result["icc"], result["r2"]
        note = "client variance 0" if result["singular"] else ""
        test = f"{number(result['omnibus']['chi2'])} ({result['omnibus']['df']})"
        explained = f"{number(r2['marginal'])} / {number(r2['conditional'])}"
        numbers = [test, p_value(result["omnibus"]["p"]), number(icc["estimate"]), interval(icc["ci"]), explained]
        rows.append([OUTCOMES[name].title, *numbers, note])
    head = ["outcome", "chi-square (df)", "p", "ICC", "95% interval", "R2 marginal / conditional", "note"]
    return table("Omnibus test, clustering by client, variance explained", head, rows, text=(6,))
