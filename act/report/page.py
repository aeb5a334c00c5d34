"""The report page: one HTML file that holds everything, fetches nothing, and reads on paper, screen
and phone.

analyze.py calls `write_page` last. The sections are listed here in their order; results.py,
doubts.py and excerpts.py write them, and page.css holds their looks.
"""

import base64
import hashlib
from pathlib import Path

from act.report import doubts, excerpts, prose, results
from act.report.cautions import cautions
from act.report.markup import Html, element, link, listing, paragraph
from act.statistics.analysis import TOTALS

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
TITLE = "Ways to prompt and train an ACT therapist: what the ratings say"
SECTIONS = (  # anchor, heading, what writes it; a section with nothing to say is left out
    ("scores", "Scores by condition", results.scores),
    ("differences", "Which conditions differ?", results.differences),
    ("thinking", "Does thinking first help, and in which training?", results.factorial),
    ("wins", "Head to head, same client", results.wins),
    ("subscales", "All outcomes and subscales", results.subscales),
    ("clients", "Kinds of client", results.clients),
    ("examples", "Example sessions", excerpts.section),
    ("judge", "Can the judge be trusted?", doubts.judge),
    ("failures", "What went wrong", doubts.failures),
    ("replicates", "How far ratings of one session scatter", doubts.replicates),
    ("safety", "Safety", doubts.safety),
    ("model", "The model and its assumptions", doubts.model),
    ("methods", "Methods", doubts.methods),
)


def write_page(path: Path, summary: dict, figures: dict[str, Path], examples: list[dict]) -> None:
    """Write report.html from summary.json's content, the figures' files, which are embedded, and
    example exchanges."""
    report = {"summary": summary, "figures": figures, "examples": examples}
    written = [(anchor, heading, write(report)) for anchor, heading, write in SECTIONS]
    written = [(anchor, heading, content) for anchor, heading, content in written if content]
    contents = element(
        "ol", *(element("li", link(heading, anchor)) for anchor, heading, _ in written)
    )
    body = element(
        "body",
        element(
            "main",
            *top(summary),
            element(
                "nav",
                element("h2", "Contents", id="contents"),
                contents,
                aria_labelledby="contents",
            ),
            *(
                element(
                    "section", element("h2", heading, id=anchor), content, aria_labelledby=anchor
                )
                for anchor, heading, content in written
            ),
        ),
    )
    path.write_text(
        f'<!DOCTYPE html>\n<html lang="en">\n{head()}\n{body}\n</html>\n', encoding="utf-8"
    )


def head() -> Html:
    """The policy lets the page show its own images and style and nothing else: no script, no
    request."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "ACT from scratch: report"),
        element("style", Html(STYLE)),
    )


def top(summary: dict) -> list[Html]:
    """Demonstration or not, the answer, and what not to believe too much."""
    outcomes, inputs = summary["outcomes"], summary["input"]
    result = outcomes["act_fm_total"]
    parts = []
    if prose.is_demonstration(inputs["raters"]):
        parts.append(paragraph(prose.DEMONSTRATION, class_="warning", role="note"))
    parts.append(element("h1", TITLE))
    parts.append(
        element(
            "div",
            *(paragraph(prose.answer(name, outcomes[name])) for name in TOTALS),
            class_="answer",
        )
    )
    parts.append(
        paragraph(
            f"{result['n']} rated sessions of {result['sessions']} simulated clients in {len(result['observed'])} "
            f"conditions; {'raters' if len(inputs['raters']) > 1 else 'rater'}: {prose.enumerated(inputs['raters'])}.",
            class_="small",
        )
    )
    doubt = element("h2", "Before you believe it", id="before")
    parts.append(
        element(
            "section", doubt, listing(cautions(summary)), class_="doubts", aria_labelledby="before"
        )
    )
    return parts
