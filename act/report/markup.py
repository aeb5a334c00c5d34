"""Pieces of HTML. Text is escaped here and nowhere else: a plain str is text, an `Html` is markup,
made here.

The wing's lowest layer: results.py, doubts.py and excerpts.py build their sections of these,
page.py the whole page.
"""

import base64
import re
from html import escape
from pathlib import Path

EMBED = 150_000  # bytes: a larger SVG, one with thousands of marks, is embedded as its PNG


class Html(str):
    """Markup. `element` makes it; whatever is not one is text and gets escaped."""


def html(content: str) -> Html:
    """Text -> markup that shows it; markup stays as it is."""
    return content if isinstance(content, Html) else Html(escape(content))


def element(tag: str, /, *contents: str, **attributes: str) -> Html:
    """element("p", "a < b", id="x") == '<p id="x">a &lt; b</p>'. A name's trailing _ is cut
    (class_), any other becomes a hyphen."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    if tag in ("img", "meta"):
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(*contents)}</{tag}>")


def join(*contents: str) -> Html:
    """Pieces in a row; those that are text are escaped."""
    return Html("".join(html(content) for content in contents))


def listing(lines: list[str]) -> Html:
    """A bulleted list of sentences."""
    return element("ul", *(element("li", greek(line)) for line in lines))


def paragraph(line: str, **attributes: str) -> Html:
    """A paragraph of one or more of our sentences."""
    return element("p", greek(line), **attributes)


def greek(line: str) -> str:
    """Our own sentences say "chi2(5)", which a terminal can show; and no line breaks within "p <
    .001"."""
    if isinstance(line, Html):
        return line
    line = line.replace("chi2(", "\u03c7\u00b2(")
    return re.sub(r"(?<=[<=]) (?=[\d.])| (?=[<=] [\d.])", "\u00a0", line)


def link(text: str, anchor: str) -> Html:
    """To a place on this page."""
    return element("a", text, href=f"#{anchor}")


def table(caption: str, head: list[str], rows: list[list[str]], text: tuple[int, ...] = ()) -> Html:
    """A table that scrolls inside itself. Its first column names the row; `text` are columns of
    prose, set left."""

    def cell(tag: str, content: str, column: int, **more: str) -> Html:
        if column in text:
            return element(tag, content, class_="text", **more)
        return element(tag, greek(content), **more)

    top = element(
        "tr", *(cell("th", name, column, scope="col") for column, name in enumerate(head))
    )
    body = [
        element(
            "tr",
            cell("th", first, 0, scope="row"),
            *(cell("td", content, column) for column, content in enumerate(rest, 1)),
        )
        for first, *rest in rows
    ]
    inner = element(
        "table", element("caption", caption), element("thead", top), element("tbody", *body)
    )
    return element("div", inner, class_="scroll", role="region", tabindex="0", aria_label=caption)


def fold(title: str, *contents: str) -> Html:
    """Closed on screens, open on paper."""
    return element("details", element("summary", title), *contents)


def picture(path: Path, alt: str, caption: str) -> Html:
    """A figure whose image is inside the page: the SVG file, or the PNG beside it where that is
    smaller by far."""
    kind = "svg+xml"
    if path.stat().st_size > EMBED:
        path, kind = path.with_suffix(".png"), "png"
    data = base64.b64encode(path.read_bytes()).decode()
    image = element("img", src=f"data:image/{kind};base64,{data}", alt=alt)
    return element("figure", image, element("figcaption", greek(caption)))


def side_by_side(*contents: str) -> Html:
    """In columns where there is room."""
    kept = [content for content in contents if content]
    return element("div", *kept, class_="grid") if kept else Html("")
