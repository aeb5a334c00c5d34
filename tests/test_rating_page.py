"""The rating page in a real browser: rated by keyboard, reloaded, exported, imported, and fed to `agree`."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

import judge
from act.cli import run_script
from act.measure.forms import FORMS
from act.measure.rating_page import rating_page
from act.records import check_rating, read_jsonl
from tests.conftest import ROOT

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_a_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt install chromium)")
ITEMS = [f"{form.name} {item.number}" for form in FORMS for item in form.items]


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["judge.py", *map(str, words)])
    run_script(judge.main)


@pytest.fixture
def page_file(tmp_path, monkeypatch):
    """A page of three sessions, one of them hostile to a page's own code."""
    sessions = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()[:3]]
    sessions[1]["turns"][0]["client"] = (
        '</script><script>document.title = "broken"</script> {{DATA}} \u2028 <b>bold</b>'
    )
    for session, condition in zip(sessions, ("orpo-cot", "sft", "instruct"), strict=True):
        session |= {"condition": condition, "id": f"{condition}/{session['profile']['id']}"}
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(session) + "\n" for session in sessions))
    run(monkeypatch, "page", "--sessions", tmp_path / "s.jsonl", "--out", tmp_path / "page.html")
    return tmp_path / "page.html"


@contextmanager
def browser(size=(1280, 900)):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        yield context
        chromium.close()


def watched(context, path):
    """A page whose requests and errors are counted; (page, requests, errors)."""
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(path.as_uri())
    return page, requests, errors


def begin(page, rater):
    page.fill("#rater", rater)
    page.keyboard.press("Enter")
    page.wait_for_selector("#work:not([hidden])")


def shown_session(page):
    """The place in the file of the session that is shown."""
    return page.evaluate("order[place]")


def exported(page, folder, name):
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(folder / name)
    return folder / name


def test_the_page_is_one_file_without_addresses_and_names_no_condition(page_file):
    text = page_file.read_text(encoding="utf-8")
    assert "http://" not in text and "https://" not in text and "src=" not in text
    assert "default-src 'none'" in text
    assert "orpo" not in text and '"sft' not in text
    assert not any(mark in text for mark in ("inconsistent", 'consistent"'))  # no item tells its direction
    assert rating_page([], FORMS, "paraphrase").count("<script") == 2


@in_a_browser
@pytest.mark.slow
def test_two_sessions_by_keyboard_with_a_reload_in_the_middle_then_export_agree_and_import(
    page_file, tmp_path, monkeypatch, capsys
):
    wanted = {}
    with browser() as context:
        page, requests, errors = watched(context, page_file)
        begin(page, "anna b.")
        assert "sft" not in page.inner_text("body") and page.title() == "Rate sessions"
        for number in range(2):
            session = shown_session(page)
            digits = [str((number + i) % 4) for i in range(25)] + [str(1 + (number + i) % 7) for i in range(9)]
            wanted[session] = [int(digit) for digit in digits]
            for i, digit in enumerate(digits):
                page.keyboard.press(digit)
                if (number, i) == (1, 12):
                    page.reload()
                    begin(page, "anna b.")
                    assert shown_session(page) == session and "Going on as anna b." in page.inner_text("#message")
            assert "This session is complete" in page.inner_text("#message")
            assert page.inner_text("#count") == f"{number + 1} of 3 rated"
            page.keyboard.press("n")
        page.keyboard.press("9")  # no such rating
        assert page.inner_text("#message") == "ACT-FM 1 takes 0 to 3."
        page.keyboard.press("3")
        path = exported(page, tmp_path, "anna.jsonl")

        records = {record["session"]: record for record in read_jsonl(path, check_rating)}
        ids = [json.loads(line)["id"] for line in (tmp_path / "s.jsonl").read_text().splitlines()]
        for session, ratings in wanted.items():
            record = records[ids[session]]
            assert (record["status"], record["rater"], record["wording"]) == ("ok", "anna b.", "paraphrase")
            assert record["act_fm"] + record["tes"] == ratings and record["condition"] == ids[session].split("/")[0]
        (third,) = (record for record in records.values() if record["status"] != "ok")
        assert third["partial"] == {"ACT-FM 1": 3} and third["act_fm"] is None

        page.evaluate("localStorage.clear()")
        page.reload()
        begin(page, "ben")
        page.set_input_files("#import", path)
        page.locator("#message", has_text="cannot be read").wait_for()
        assert "ratings by anna b., not by ben" in page.inner_text("#message")
        page.reload()
        begin(page, "anna b.")
        page.keyboard.press("0")  # differs from what the file holds of one session
        page.set_input_files("#import", path)
        page.locator("#message", has_text="ratings read").wait_for()
        said = page.inner_text("#message")
        first = shown_session(page)
        differs = first not in wanted or wanted[first][0] != 0
        assert said == (
            "68 ratings read; 1 that differ from yours here were left out." if differs else "69 ratings read."
        )
        assert page.inner_text("#count") == "2 of 3 rated"
        again = [json.loads(line) for line in exported(page, tmp_path, "again.jsonl").read_text().splitlines()]
        assert len(again) == 3
        assert set(requests) == {page_file.as_uri()} | {url for url in requests if url.startswith("blob:")}
        assert not errors
    capsys.readouterr()
    run(monkeypatch, "agree", "--human", path, "--judge", path, "--resamples", 50)
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("act_fm_total") and "mean absolute error" in line)
    assert row.split()[-4:][0] != "none" and " 0.000" in row


@in_a_browser
@pytest.mark.slow
def test_hostile_text_is_shown_as_text_and_every_input_has_a_name(page_file):
    with browser() as context:
        page, _, errors = watched(context, page_file)
        begin(page, "x")
        for _ in range(3):
            if "{{DATA}}" in page.inner_text("#transcript"):
                assert '</script><script>document.title = "broken"</script>' in page.inner_text("#transcript")
            unnamed = page.evaluate(
                "[...document.querySelectorAll('input')].filter(i => !i.labels.length && !i.ariaLabel).length"
            )
            groups = page.evaluate(
                "[...document.querySelectorAll('fieldset')].map(f => f.querySelector('legend').innerText)"
            )
            assert unnamed == 0 and len(groups) == len(ITEMS) and all(groups)
            page.click("#next") if page.is_enabled("#next") else None
        assert page.title() == "Rate sessions" and not errors


@in_a_browser
@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_nothing_overflows_and_touch_works(page_file, tmp_path, size):
    with browser(size) as context:
        page, _, errors = watched(context, page_file)
        begin(page, "a rater with quite a long name of forty c")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        page.click('label:has(input[name="ACT-FM 3"][value="2"])')
        assert "Saved. 33 of 34 items to go" in page.inner_text("#message")
        height = page.evaluate("document.querySelector('.digits label').getBoundingClientRect().height")
        assert height >= 32 and not errors
        folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
        page.screenshot(path=folder / f"page-{size[0]}.png")


@in_a_browser
@pytest.mark.slow
def test_two_raters_have_orders_of_their_own_and_a_second_tab_is_taken_over_from(page_file):
    with browser() as context:
        page, *_ = watched(context, page_file)
        orders = page.evaluate("['anna', 'ben', 'cleo', 'dora'].map(name => shuffled(12, name).join())")
        assert len(set(orders)) == 4 and all(sorted(map(int, order.split(","))) == list(range(12)) for order in orders)
        begin(page, "anna")
        other, *_ = watched(context, page_file)
        begin(other, "anna")
        page.keyboard.press("2")
        other.locator("#message", has_text="another tab").wait_for()
        assert other.evaluate("mine()['ACT-FM 1']") == 2
