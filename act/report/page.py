"""The report page: one HTML file for paper, screen and phone, which fetches nothing.

page.html is the page with places, {{shows means of style}}: a method of `Report`, what it shows,
and of which group of outcomes (all, where that is not said). Text is escaped here and nowhere else:
a plain str is text, an `Html` is markup, made here.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from act.files import write_text
from act.report import sentences
from act.report.figures import Figure
from act.report.table import Table, within

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
SAYS = vars(sentences)
PLACE = re.compile(r"\{\{(\w+) (\w+)(?: of (\w+))?\}\}")
EMPTY = (  # what its places left without content; the second may follow from the first
    re.compile(r"<(div|details)[^>]*>(?:<summary>[^<]*</summary>)?\s*</\1>"),
    re.compile(r"<section[^>]*>\s*<h2[^>]*>[^<]*</h2>\s*</section>"),
)
LONG = re.compile(r"[^\s-]{18}(?=[^\s-])")  # the beginning of a word that is wider than a column
HEADING = re.compile(r'<section aria-labelledby="(\w+)">\s*<h2[^>]*>(.*?)</h2>')
# columns set left, and wrapped
PROSE = ("sessions ended as", "turns ended as", "note", "words", "client", "therapist")
PROSE += ("highest, or why not tested", "rater")


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
    end = "" if tag == "img" else f"</{tag}>"
    return Html(f"<{tag}{written}>{join(*contents)}{end}")


def greek(line: str) -> str:
    """Our "chi2(5)", which a terminal can show, as a page can; no line breaks within "p < .001"."""
    line = line.replace("chi2(", "χ²(")
    return re.sub(r"(?<=[<=]) (?=[\d.])| (?=[<=] [\d.])", "\u00a0", line)


def breakable(text: str) -> Html:
    """A text whose long words may break, as ids may be: paper has an edge."""
    return Html("<wbr>".join(map(escape, LONG.sub("\\g<0>\0", text).split("\0"))))


def grid(table: Table) -> Html:
    """A table, which scrolls inside itself where it is too wide, and its note. Its first column
    names the row; each cell holds its column's name, for phones, where a row is a card."""
    head, *body = table.to_cells()  # all text
    looks = [{"class_": "text"} if name in PROSE else {} for name in head]
    # heads and cells of prose are set left
    top, rows = [], []
    for name, look in zip(head, looks, strict=True):
        top.append(element("th", breakable(name), scope="col", **look))
    for first, *rest in body:
        cells = [element("th", breakable(first), scope="row")]
        for name, cell, look in zip(head[1:], rest, looks[1:], strict=True):
            shown = breakable(cell) if look else greek(cell)
            cells.append(element("td", shown, data_label=name, **look))
        rows.append(element("tr", *cells))
    # the caption also names the region that scrolls
    parts = element("thead", element("tr", *top)), element("tbody", *rows)
    inner = element("table", element("caption", breakable(table.title)), *parts)
    region = {"class_": "scroll", "role": "region", "tabindex": "0", "aria_label": table.title}
    note = element("p", greek(table.note), class_="small") if table.note else ""
    return join(element("div", inner, **region), note)


@dataclass(frozen=True)
class Report:
    """What the page is made of; its methods fill page.html's places."""

    summary: dict  # summary.json
    tables: dict[str, Table]
    figures: dict[str, Figure]
    images: dict[str, bytes]  # figure's name -> SVG; empty without matplotlib

    def says(self, name: str, group: str) -> Html:
        """A function of sentences.py, a paragraph a line."""
        paragraphs = [element("p", greek(line)) for line in self.lines(name, group)]
        return join(*paragraphs)

    def lists(self, name: str, group: str) -> Html:
        """The same as a bulleted list."""
        items = [element("li", greek(line)) for line in self.lines(name, group)]
        return element("ul", *items)

    def lines(self, name: str, group: str) -> Iterator[str]:
        """What the function says, of a group of outcomes where one is named."""
        return SAYS[name](self.summary, *filter(None, [group]))

    def draws(self, kind: str, group: str) -> Html:
        """The figures of a kind, side by side: each image is inside the page."""
        shown = []
        for name, image in self.images.items():  # none without matplotlib
            figure, data = self.figures[name], base64.b64encode(image).decode()
            if figure.kind == kind and within(figure.outcome, group):
                drawn = element("img", src=f"data:image/svg+xml;base64,{data}", alt=figure.text)
                shown.append(element("figure", drawn, element("figcaption", greek(figure.caption))))
        return element("div", *shown, class_="grid") if shown else Html("")

    def shows(self, name: str, group: str) -> Html:
        """A statistic's tables."""
        return join(*map(grid, self.tables[name].each(group)))

    def folds(self, name: str, group: str) -> Html:
        """The same, each shut on a screen and open on paper."""
        folded = []
        for table in self.tables[name].each(group):
            name = element("summary", table.title)
            folded.append(element("details", name, grid(table), class_="folded"))
        return join(*folded)


def write_page(path: Path, report: Report) -> None:
    """Write report.html: page.html with its places filled, and without what stays empty.

    Its policy lets it show its own images and style and nothing else: no script, no request.
    """
    page = PLACE.sub(lambda place: getattr(report, place[1])(place[2], place[3] or ""), PAGE)
    for empty in EMPTY:
        page = empty.sub("", page)
    # the contents: what is left, in order
    links = [element("a", heading, href=f"#{anchor}") for anchor, heading in HEADING.findall(page)]
    contents = element("ol", *(element("li", link) for link in links))
    # last, so that nothing of a file is taken for one of these places
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    for name, content in (("digest", digest), ("style", STYLE), ("contents", contents)):
        page = page.replace(f"<!-- {name} -->", content, 1)
    write_text(page, path)
