"""The report page in a real browser, at a desk, on a phone and on paper: nothing is fetched, cut
off or left untold."""

import json
import os
from pathlib import Path

import pytest

import analyze
from act.cli import run_script
from tests.browser import browser, in_a_browser, watched
from tests.made_ratings import write
from tests.made_study import make_study

SIZES = {
    "desktop": (1280, 900),
    "phone": (390, 844),
    "print": (680, 960),
}  # A4 less 15 mm margins is 680 pixels wide
pytestmark = [in_a_browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a study of 150 clients: as much as it will have to hold."""
    folder = tmp_path_factory.mktemp("report")
    ratings, sessions = make_study()
    paths = write(folder / "ratings.jsonl", ratings), write(folder / "sessions.jsonl", sessions)
    words = ["--ratings", paths[0], "--sessions", paths[1], "--resamples", 50]
    words += ["--out", folder / "out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["analyze.py", *map(str, words)])
        run_script(analyze.main)
    return folder / "out/report.html"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_fetched_nothing_overflows_and_every_image_is_shown_and_told(
    report, tmp_path, size
):
    width = SIZES[size][0]
    with browser(SIZES[size]) as context:
        page, requests, errors = watched(context, report)
        if size == "print":
            page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = "[...document.querySelectorAll('main *')]"
        wide += ".filter(e => !e.closest('.scroll') && !e.closest('details'))"
        wide += f".filter(e => e.getBoundingClientRect().right > {width})"
        wide += ".map(e => e.outerHTML.slice(0, 80))"
        assert page.evaluate(wide) == []
        images = page.evaluate(
            "[...document.images].map(i => [i.complete && i.naturalWidth, i.alt])"
        )
        assert len(images) > 15
        for natural, alt in images:
            assert natural > 300 and sum(character.isdigit() for character in alt) > 10
        assert {url.partition(":")[0] for url in requests} <= {"file", "data"} and not errors
        assert [url for url in requests if url.startswith("file")] == [report.as_uri()]
        folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
        page.screenshot(path=folder / f"report-{size}.png", full_page=True)
    assert report.stat().st_size < 5e6


def test_folded_tables_are_shut_on_screen_and_open_on_paper(report):
    shown = "[...document.querySelectorAll('details table')]"
    shown += ".map(t => t.checkVisibility({contentVisibilityAuto: true}))"
    with browser() as context:
        page, *_ = watched(context, report)
        screen = page.evaluate(shown)
        page.emulate_media(media="print")
        # the browser styles the page anew before its next frame, which a busy machine puts off
        page.wait_for_function(f"{shown}.every(Boolean)")
        paper = page.evaluate(shown)
        assert len(screen) > 10 and not any(screen) and all(paper)
        assert (
            page.evaluate(
                "Math.max(...[...document.querySelectorAll('table')].map(t => t.scrollWidth))"
            )
            <= 1056
        )


def test_the_page_can_be_walked_by_headings_and_by_keyboard(report):
    with browser(SIZES["phone"]) as context:
        page, *_ = watched(context, report)
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])"
        )
        assert levels.count(1) == 1 and levels[0] == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.hash") == "#style"
        page.keyboard.press("Enter")
        assert page.url.endswith("#style") and page.evaluate("window.scrollY") > 300
        page.set_viewport_size({"width": 700, "height": 900})
        page.focus("#style ~ .scroll")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        # a wide table scrolls by the arrow keys where rows are no cards
        assert page.evaluate("document.activeElement.scrollLeft") > 0
        named = page.evaluate(
            "[...document.querySelectorAll('table')].every(t => t.caption && t.tHead.rows.length)"
        )
        assert named and page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [1200, 390])
def test_no_table_is_cut_off(report, width):
    """With all of them unfolded none is wider than its place: on a phone a row is a card, whose
    cells name their columns."""
    with browser((width, 900)) as context:
        page, *_ = watched(context, report)
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        wide = "[...document.querySelectorAll('.scroll')]"
        wide += ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)"
        assert page.evaluate(wide) == []
        cell = "getComputedStyle(document.querySelector('tbody td'), '::before').content"
        assert (page.evaluate(cell) == "none") == (width == 1200)


BROKEN = """[...document.querySelectorAll('th')].flatMap(cell => {
  const text = cell.firstChild, broken = [];
  for (const word of text ? text.data.matchAll(/[\\w.]+/g) : []) {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    if (range.getClientRects().length > 1) broken.push(word[0]);
  }
  return broken;
})"""


def test_print_margins_hold_every_table_and_no_word_of_a_heading_is_broken(report):
    with browser(SIZES["print"]) as context:
        page, *_ = watched(context, report)
        page.emulate_media(media="print")
        right = "[...document.querySelectorAll('table')].map(t => t.getBoundingClientRect().right)"
        assert max(page.evaluate(right)) <= 680
        assert page.evaluate(BROKEN) == []
        # a folded table is named once, by what unfolds it
        named = "[...document.querySelectorAll('details.folded')].map(d => d.innerText"
        named += ".split(d.querySelector('summary').innerText).length - 1)"
        assert set(page.evaluate(named)) == {1}


@pytest.mark.parametrize("size", ["phone", "print"])
def test_ids_of_any_length_stay_on_the_page(tmp_path, monkeypatch, size):
    """A client, a rater and kinds of client of over 70 letters without a place to break."""
    paths = []
    for name, rows in zip("rs", make_study(12), strict=True):
        text = json.dumps(rows).replace("p0", "x" * 70 + "p0")
        for word in ("mistral-large-tuned", "hopeless-skeptic", "intellectualiser"):
            text = text.replace(word, word.replace("-", "") * 5)
        paths.append(write(tmp_path / f"{name}.jsonl", json.loads(text)))
    words = ["--ratings", paths[0], "--sessions", paths[1], "--resamples", 50, "--out", tmp_path]
    monkeypatch.setattr("sys.argv", ["analyze.py", *map(str, words)])
    run_script(analyze.main)
    with browser(SIZES[size]) as context:
        page, *_ = watched(context, tmp_path / "report.html")
        page.emulate_media(media="print" if size == "print" else "screen")
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        right = "document.querySelectorAll('table')].map(t => t.getBoundingClientRect().right)"
        right = f"Math.max(document.documentElement.scrollWidth, ...[...{right})"
        assert page.evaluate(right) <= SIZES[size][0]
