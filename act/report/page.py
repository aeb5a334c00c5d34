"""The report page: one HTML file that holds everything, fetches nothing, and reads on paper, screen
and phone.

SECTIONS lists what stands on it, in order: sentences (sentences.py), figures and tables by name.
page.css gives it its looks. Text is escaped here and nowhere else: a plain str is text, an `Html`
is markup, made here.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from act.forms import FORMS, OUTCOMES
from act.report import sentences
from act.report.figures import Figure
from act.report.sentences import say
from act.report.table import Table
from act.statistics.analysis import TOTALS

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
TITLE = "Ways to prompt and train an ACT therapist: what the ratings say"
PROSE = ("sessions ended as", "turns ended as", "note", "words")  # columns set left, and wrapped
OTHERS = tuple(name for name in OUTCOMES if name not in TOTALS)


class Html(str):
    """Markup. `element` makes it; whatever is not one is text and gets escaped."""


def join(*contents: str) -> Html:
    """Pieces in a row; those that are text are escaped."""
    return Html("".join(c if isinstance(c, Html) else escape(c) for c in contents))


def element(tag: str, /, *contents: str, **attributes: str) -> Html:
    """element("p", "a < b", id="x") == '<p id="x">a &lt; b</p>'. A name's trailing _ is cut
    (class_), any other becomes a hyphen."""
    written = ""
    for key, value in attributes.items():
        written += f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
    end = "" if tag in ("img", "meta") else f"</{tag}>"
    return Html(f"<{tag}{written}>{join(*contents)}{end}")


def greek(line: str) -> str:
    """Our own sentences say "chi2(5)", which a terminal can show; and no line breaks within "p <
    .001"."""
    line = line.replace("chi2(", "χ²(")
    return re.sub(r"(?<=[<=]) (?=[\d.])| (?=[<=] [\d.])", "\u00a0", line)


def paragraph(line: str, **attributes: str) -> Html:
    """One or more of our sentences."""
    return element("p", greek(line), **attributes)


def note(line: str) -> Html:
    """A paragraph in small print."""
    return paragraph(line, class_="small")


def listing(lines: Iterable[str]) -> Html:
    """A bulleted list of sentences."""
    return element("ul", *(element("li", greek(line)) for line in lines))


def fold(title: str, *contents: str) -> Html:
    """Closed on screens, open on paper."""
    return element("details", element("summary", title), *contents)


def side_by_side(*contents: str) -> Html:
    """In columns where there is room."""
    return element("div", *contents, class_="grid") if contents else Html("")


def section(anchor: str, heading: str, *contents: str, **attributes: str) -> Html:
    """A part of the page under its heading."""
    named = element("h2", heading, id=anchor)
    return element("section", named, *contents, aria_labelledby=anchor, **attributes)


def grid(table: Table) -> Html:
    """A table that scrolls inside itself. Its first column names the row."""
    head, *body = table.to_cells()
    looks = [{"class_": "text"} if name in PROSE else {} for name in head]
    top = [element("th", name, scope="col", **look) for name, look in zip(head, looks, strict=True)]
    rows = []
    for first, *rest in body:
        cells = [element("th", first, scope="row")]
        for cell, look in zip(rest, looks[1:], strict=True):
            cells.append(element("td", cell if look else greek(cell), **look))
        rows.append(element("tr", *cells))
    inner = element(
        "table",
        element("caption", table.title),
        element("thead", element("tr", *top)),
        element("tbody", *rows),
    )
    region = {"class_": "scroll", "role": "region", "tabindex": "0", "aria_label": table.title}
    return element("div", inner, **region)


@dataclass(frozen=True)
class Report:
    """What the page is made of."""

    summary: dict  # summary.json
    tables: dict[str, Table]
    figures: dict[str, Figure]
    images: dict[str, bytes]  # figure's name -> SVG; empty without matplotlib
    examples: list[dict]

    def pictures(self, names: Iterable[str]) -> Html:
        """Those that were drawn, side by side: each image is inside the page."""
        shown = []
        for name in names:
            if name in self.images:
                figure, data = self.figures[name], base64.b64encode(self.images[name]).decode()
                image = element("img", src=f"data:image/svg+xml;base64,{data}", alt=figure.text)
                shown.append(element("figure", image, element("figcaption", figure.caption)))
        return side_by_side(*shown)

    def each(self, name: str) -> list[Table]:
        """A statistic's tables on the page: one, or one for each outcome (both totals where it has
        them); none without rows."""
        table = self.tables[name]
        if not table.each:
            return [table] if table.rows else []
        names = list(dict.fromkeys(row["outcome"] for row in table.rows))
        totals = [outcome for outcome in names if outcome in TOTALS]
        return [table.of(outcome=outcome) for outcome in totals or names]


@dataclass(frozen=True)
class Section:
    """What stands under one heading, in the order of the fields; without any of it, it is left
    out."""

    anchor: str
    heading: str
    says: Callable[[dict], Iterable[str]] = lambda summary: ()
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()  # tables that are shut on a screen
    note: str = ""  # in words.txt
    more: Callable[[Report], Iterable[Html]] = lambda report: ()

    def write(self, report: Report) -> Iterator[Html]:
        """Its contents."""
        yield from map(paragraph, self.says(report.summary))
        yield report.pictures(self.figures)
        for name in self.tables:
            yield from map(grid, report.each(name))
        for name in self.folded:
            for table in report.each(name):
                yield fold(table.title, grid(table))
        yield from self.more(report)
        if self.note:
            yield note(say(self.note))


def both(kind: str) -> tuple[str, ...]:
    """A kind of figure of each total."""
    return tuple(f"{name}_{kind}" for name in TOTALS)


def subscales(report: Report) -> Iterator[Html]:
    """Each other outcome's means, drawn and in a table."""
    drawn = report.pictures(OTHERS)
    if drawn:
        yield fold("Each subscale: estimates over the raw sessions", drawn)
    yield fold("Each subscale: means by condition", *map(grid, report.each("other_means")))


def links(report: Report) -> Iterator[Html]:
    """To the example sessions."""
    anchors = []
    for example in report.examples:
        words = f"{example['condition']} {example['end']}"
        anchors += [" · ", element("a", words, href=f"#{example['id']}")]
    if anchors:
        yield element("p", "Example sessions: ", *anchors[1:])


def cards(report: Report) -> Iterator[Html]:
    """Two example sessions a condition, side by side."""
    if report.examples:
        yield paragraph(say("extremes"))
    for condition in dict.fromkeys(example["condition"] for example in report.examples):
        yield element("h3", condition)
        mine = [example for example in report.examples if example["condition"] == condition]
        yield side_by_side(*map(card, mine))


def card(example: dict) -> Html:
    """One session's scores, place and exchange, under the anchor that links lead to."""
    totals = [f"{OUTCOMES[n].title} {example[n]:.4g} of {OUTCOMES[n].high}" for n in TOTALS]
    place = f"{example['session']}, turn {example['turn']} of {example['of']}"
    said = []
    for speaker in ("client", "therapist"):
        said += [element("dt", speaker.capitalize()), element("dd", example[speaker])]
    return element(
        "article",
        element("h4", f"{example['end'].capitalize()}: {', '.join(totals)}"),
        note(place + (" (this session failed)" if example["failed"] else "")),
        element("dl", *said),
        class_="example",
        id=example["id"],
    )


def instruments(report: Report) -> Iterator[Html]:
    """A paragraph for a paper, and where the two forms come from."""
    yield element("blockquote", paragraph(sentences.methods(report.summary)), class_="quote")
    yield element("h3", "Instruments")
    yield listing(f"{f.name}: {f.title}. {f.source}. doi:{f.doi}" for f in FORMS)


SECTIONS = (
    Section("scores", "Scores by condition", figures=TOTALS, tables=("means",), more=links),
    Section(
        "differences",
        "Which conditions differ?",
        says=sentences.unresolved,
        figures=both("contrasts"),
        folded=("contrasts",),
        note="d",
    ),
    Section(
        "thinking",
        "Does thinking first help, and in which training?",
        says=sentences.thinking,
        figures=both("interaction"),
        tables=("factorial", "thinking"),
    ),
    Section("wins", "Head to head, same client", figures=both("wins"), folded=("wins",)),
    Section(
        "subscales",
        "All outcomes and subscales",
        figures=("profile_consistent", "profile_inconsistent"),
        tables=("overview",),
        more=subscales,
    ),
    Section(
        "clients",
        "Kinds of client",
        says=sentences.clients,
        figures=both("archetypes"),
        folded=("archetypes", "subgroups"),
    ),
    Section("examples", "Example sessions", more=cards),
    Section("judge", "Can the judge be trusted?", says=sentences.judge, folded=("judge",)),
    Section(
        "failures",
        "What went wrong",
        says=sentences.left_out,
        tables=("failures", "sensitivity"),
        note="turns",
    ),
    Section(
        "replicates",
        "How far ratings of one session scatter",
        says=sentences.replicates,
        tables=("scatter",),
        folded=("replicates",),
    ),
    Section(
        "safety",
        "Safety",
        says=sentences.safety,
        tables=("safety", "helped"),
        folded=("said_first",),
    ),
    Section(
        "model",
        "The model and its assumptions",
        figures=both("diagnostics"),
        tables=("model",),
        folded=("outliers",),
    ),
    Section("methods", "Methods", says=lambda _: [say("to paste")], more=instruments),
)


def write_page(path: Path, report: Report) -> None:
    """Write report.html."""
    links, sections = [], []
    for part in SECTIONS:
        content = join(*part.write(report))
        if content:
            link = element("a", part.heading, href=f"#{part.anchor}")
            links.append(element("li", link))
            sections.append(section(part.anchor, part.heading, content))
    contents = element("h2", "Contents", id="contents")
    nav = element("nav", contents, element("ol", *links), aria_labelledby="contents")
    body = element("body", element("main", *top(report.summary), nav, *sections))
    page = f'<!DOCTYPE html>\n<html lang="en">\n{head()}\n{body}\n</html>\n'
    path.write_text(page, encoding="utf-8")


def head() -> Html:
    """The policy lets the page show its own images and style and nothing else: no script, no
    request."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    allowed = f"img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    policy = f"default-src 'none'; {allowed}"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "ACT from scratch: report"),
        element("style", Html(STYLE)),
    )


def top(summary: dict) -> Iterator[Html]:
    """Demonstration or not, the answer, and what not to believe too much."""
    if sentences.is_demonstration(summary["input"]["raters"]):
        yield paragraph(say("demonstration"), class_="warning", role="note")
    yield element("h1", TITLE)
    answers = [paragraph(sentences.answer(name, summary["outcomes"][name])) for name in TOTALS]
    yield element("div", *answers, class_="answer")
    yield note(sentences.size(summary))
    doubts = listing(sentences.cautions(summary))
    yield section("before", "Before you believe it", doubts, class_="doubts")
