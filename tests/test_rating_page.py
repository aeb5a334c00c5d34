"""The rating page in a real browser: rated by keyboard, reloaded, exported, imported, and fed to
`agree`."""

import json
import os
from pathlib import Path

import pytest

import judge
from act.cli import run_script
from act.forms import FORMS
from act.records import check_rating, read_jsonl
from tests.browser import chromium, in_a_browser, watched
from tests.conftest import ROOT

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
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


@pytest.fixture(scope="module")
def running():
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(running):
    """A browser profile of its own: nothing kept from another test."""
    with running.new_context(
        viewport={"width": 1280, "height": 900}, accept_downloads=True
    ) as context:
        yield context


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
    assert all(f"{what} 'none'" in text for what in ("default-src", "form-action", "base-uri"))
    assert "orpo" not in text and '"sft' not in text
    assert not any(
        mark in text for mark in ("inconsistent", 'consistent"')
    )  # no item tells its direction
    assert text.count("<script") == 2
    assert (
        "Do not open the exported file" in text
    )  # a record names its condition, and its format is fixed


def test_a_page_without_a_session_to_rate_is_refused(tmp_path, refused):
    session = json.loads(CORPUS.read_text(encoding="utf-8").splitlines()[0])
    turn = {
        "client": "Hello.",
        "thinking": None,
        "answer": None,
        "status": "error",
        "note": "no reply",
    }
    session |= {"turns": [turn], "status": "error"}
    (tmp_path / "s.jsonl").write_text(json.dumps(session) + "\n")
    assert "no session has an answer to rate" in refused(
        "judge.py", "page", "--sessions", "s.jsonl", "--out", "p.html"
    )
    assert not (tmp_path / "p.html").exists()


@in_a_browser
@pytest.mark.slow
def test_two_sessions_by_keyboard_with_a_reload_in_the_middle_then_export_agree_and_import(
    context, page_file, tmp_path, monkeypatch, capsys
):
    wanted = {}
    page, requests, errors = watched(context, page_file)
    begin(page, "anna b.")
    assert "sft" not in page.inner_text("body") and page.title() == "Rate sessions"
    for number in range(2):
        session = shown_session(page)
        digits = [str((number + i) % 4) for i in range(25)] + [
            str(1 + (number + i) % 7) for i in range(9)
        ]
        wanted[session] = [int(digit) for digit in digits]
        for i, digit in enumerate(digits):
            page.keyboard.press(digit)
            if (number, i) == (1, 12):
                page.reload()
                begin(page, "anna b.")
                assert shown_session(page) == session and "Going on as anna b." in page.inner_text(
                    "#message"
                )
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
        assert (record["status"], record["rater"], record["wording"]) == (
            "ok",
            "anna b.",
            "paraphrase",
        )
        assert (
            record["act_fm"] + record["tes"] == ratings
            and record["condition"] == ids[session].split("/")[0]
        )
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
        "68 ratings read; 1 that differ from yours here were left out."
        if differs
        else "69 ratings read."
    )
    assert page.inner_text("#count") == "2 of 3 rated"
    again = [
        json.loads(line)
        for line in exported(page, tmp_path, "again.jsonl").read_text().splitlines()
    ]
    assert len(again) == 3
    assert set(requests) == {page_file.as_uri()} | {
        url for url in requests if url.startswith("blob:")
    }
    assert not errors
    capsys.readouterr()
    run(monkeypatch, "agree", "--human", path, "--judge", path, "--resamples", 50)
    lines = capsys.readouterr().out.splitlines()
    row = next(
        line for line in lines if line.startswith("act_fm_total") and "mean absolute error" in line
    )
    assert row.split()[-4:][0] != "none" and " 0.000" in row


@in_a_browser
@pytest.mark.slow
def test_hostile_text_is_shown_as_text_and_every_input_has_a_name(context, page_file):
    page, _, errors = watched(context, page_file)
    begin(page, "x")
    for _ in range(3):
        if "{{DATA}}" in page.inner_text("#transcript"):
            assert '</script><script>document.title = "broken"</script>' in page.inner_text(
                "#transcript"
            )
        every = "[...document.querySelectorAll('{}')]".format
        bare = "filter(i => !i.labels.length && !i.ariaLabel)"
        unnamed = page.evaluate(f"{every('input')}.{bare}.length")
        legend = "map(f => f.querySelector('legend').innerText)"
        groups = page.evaluate(f"{every('fieldset')}.{legend}")
        assert unnamed == 0 and len(groups) == len(ITEMS) and all(groups)
        page.click("#next") if page.is_enabled("#next") else None
    assert page.title() == "Rate sessions" and not errors


@in_a_browser
@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_nothing_overflows_and_touch_works(context, page_file, tmp_path, size):
    page, _, errors = watched(context, page_file)
    page.set_viewport_size({"width": size[0], "height": size[1]})
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
def test_two_raters_have_orders_of_their_own_and_a_second_tab_is_taken_over_from(
    context, page_file
):
    page, *_ = watched(context, page_file)
    orders = page.evaluate("['anna', 'ben', 'cleo', 'dora'].map(name => shuffled(12, name).join())")
    assert len(set(orders)) == 4 and all(
        sorted(map(int, order.split(","))) == list(range(12)) for order in orders
    )
    begin(page, "anna")
    other, *_ = watched(context, page_file)
    begin(other, "anna")
    other.focus("#TES-5 input >> nth=0")
    where = other.evaluate("find('forms').scrollTop")
    page.keyboard.press("2")
    other.locator("#message", has_text="another tab").wait_for()
    assert other.evaluate("mine()['ACT-FM 1']") == 2 and other.is_checked(
        'input[name="ACT-FM 1"][value="2"]'
    )
    assert focus(other) == "TES-5" and other.evaluate("find('forms').scrollTop") == where > 0


def focus(page):
    """The id of what has the focus, or of the item around it."""
    return page.evaluate(
        "(document.activeElement.closest('fieldset') ?? document.activeElement).id"
    )


@in_a_browser
@pytest.mark.slow
def test_keys_rate_only_where_the_rater_is_and_can_be_switched_off(context, page_file):
    page, *_ = watched(context, page_file)
    begin(page, "anna")
    page.keyboard.down("1")
    for _ in range(10):
        page.keyboard.down("1")  # held: the browser repeats it
    page.keyboard.up("1")
    assert page.evaluate("mine()") == {"ACT-FM 1": 1} and focus(page) == "ACT-FM-2"

    page.focus("#TES-9 input >> nth=0")
    page.keyboard.press("7")
    assert focus(page) == "next"
    for digit in "3", "2":
        page.keyboard.press(digit)  # one too many
        page.focus("#export")
    assert page.evaluate("mine()") == {"ACT-FM 1": 1, "TES 9": 7}

    page.uncheck("#keys")
    page.focus("#ACT-FM-2 input >> nth=0")
    for key in "n", "2", "p":
        page.keyboard.press(key)
    assert page.evaluate("place") == 0 and page.evaluate("Object.keys(mine()).length") == 2
    page.reload()
    begin(page, "anna")
    assert not page.is_checked("#keys")
    page.check("#keys")
    for place in 1, 2:
        page.keyboard.press("n")
        assert page.evaluate("place") == place and focus(page) == "transcript"
    page.focus("#TES-9 input >> nth=0")
    page.keyboard.press("7")
    assert focus(page) == "export"  # behind the last session there is no next one


@in_a_browser
@pytest.mark.slow
def test_a_browser_that_keeps_nothing_says_so_and_asks_before_ratings_are_lost(
    context, page_file, tmp_path
):
    context.add_init_script("Storage.prototype.setItem = () => { throw Error('full') }")
    page, *_ = watched(context, page_file)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    begin(page, "anna")
    assert "This browser keeps nothing" in page.inner_text("#unsaved")
    page.keyboard.press("1")
    page.keyboard.press("n")
    assert "This browser keeps nothing" in page.inner_text("#unsaved")
    page.keyboard.press("2")
    assert page.inner_text("#message").startswith("Not saved.")
    with page.expect_event("dialog"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"]
    exported(page, tmp_path, "anna.jsonl")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


@in_a_browser
@pytest.mark.slow
def test_names_with_ratings_are_offered_and_found_in_any_case(context, page_file):
    page, *_ = watched(context, page_file)
    begin(page, "bob")
    page.keyboard.press("2")
    page.reload()
    begin(page, "Carla")  # rates nothing
    page.reload()
    assert page.evaluate("[...document.querySelectorAll('#names option')].map(o => o.value)") == [
        "bob"
    ]
    begin(page, "Bob")
    assert page.inner_text("#message") == "Going on as bob." and page.evaluate("mine()") == {
        "ACT-FM 1": 2
    }
    assert page.is_hidden("#unsaved")


@in_a_browser
@pytest.mark.slow
def test_a_file_of_another_shape_or_wording_is_not_taken_in(context, page_file, tmp_path):
    session = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[0])["id"]
    record = {
        "session": session,
        "rater": "anna",
        "act_fm": [1] * 25,
        "tes": [2] * 9,
        "wording": "paraphrase",
    }
    page, *_ = watched(context, page_file)
    begin(page, "anna")
    for change, answer in (
        (
            {"wording": "official.json"},
            'rated with the wording "official.json", and this page has "paraphrase"',
        ),
        ({"act_fm": [1] * 24}, "ACT-FM has 24 ratings, not 25"),
        ({"act_fm": [1] * 26, "tes": [2] * 8}, "ACT-FM has 26 ratings, not 25"),
        ({"tes": [2] * 10}, "TES has 10 ratings, not 9"),
        ({"act_fm": None}, "ACT-FM has 0 ratings, not 25"),
        ({}, "34 ratings read."),
    ):
        (tmp_path / "r.jsonl").write_text(json.dumps(record | change))
        page.set_input_files("#import", tmp_path / "r.jsonl")
        page.locator("#message", has_text=answer).wait_for(timeout=5000)
        assert page.evaluate("Object.keys(ratings).length") == (0 if change else 1)
