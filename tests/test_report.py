"""The report page from the inside: what is escaped, which words and numbers it shows, which
sessions it quotes."""

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from act.report import alt, cautions, excerpts, prose, tables
from act.report.markup import EMBED, Html, element, html, picture, table
from act.report.page import write_page
from act.statistics import analysis
from act.statistics.ratings import score_sessions
from analyze import with_audit
from tests.made_ratings import make_ratings, make_session
from tests.made_study import make_study

HOSTILE = (
    "\"'><script>alert(1)</script></style></title><img src=//evil.example/x onerror=alert(1)>&lt;"
)
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "nav",
    "section",
    "article",
    "div",
    "a",
    "p",
    "img",
}
TAGS |= {
    "h1",
    "h2",
    "h3",
    "h4",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "blockquote",
    "figure",
    "figcaption",
    "details",
}
TAGS |= {"summary", "table", "caption", "thead", "tbody", "tr", "th", "td"}


class Seen(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


def summarise(ratings, sessions=None, check=None):
    """summary.json's content and the scores, as analyze.py makes them, with few resamples."""
    scores = score_sessions(ratings, "integer", "ratings")
    inputs = {
        "ratings": "ratings",
        "sessions": sessions and "sessions",
        "score": "integer",
        "resamples": 20,
        "seed": 0,
    }
    summary = with_audit(analysis.summarise(ratings, sessions, scores, check, inputs), sessions)
    return json.loads(json.dumps(summary)), scores


def page_of(summary, folder, examples=(), figures=None):
    write_page(folder / "report.html", summary, figures or {}, list(examples))
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made():
    """30 clients in six conditions: (summary, scores, sessions)."""
    ratings, sessions = make_study(clients=30)
    return *summarise(ratings, sessions), sessions


def test_text_is_escaped_and_markup_is_not_escaped_twice():
    assert html('a < b & "c"') == "a &lt; b &amp; &quot;c&quot;" and html(Html("<b>")) == "<b>"
    assert (
        element("p", "a < b", element("b", "&"), id='"x"')
        == '<p id="&quot;x&quot;">a &lt; b<b>&amp;</b></p>'
    )
    made = table("<c>", ["<h>", "p"], [["<r>", "< .001"]], text=(0,))
    assert (
        "<c>" not in made and "<h>" not in made and "<r>" not in made and "&lt;\u00a0.001" in made
    )
    assert 'aria-label="&lt;c&gt;"' in made and '<th class="text" scope="row">' in made


def test_nothing_that_comes_from_a_file_becomes_markup(tmp_path):
    """Ids, raters, statuses, transcripts and a judge's verdict that try to break out of wherever
    they stand."""
    ratings = make_ratings(4, rater=HOSTILE)
    sessions = [
        make_session(r["condition"], client=0, client_words=HOSTILE, answer=f"suicide {HOSTILE}")
        for r in ratings
    ]
    for number, (rating, session) in enumerate(zip(ratings, sessions, strict=True)):
        profile = rating["profile"] + HOSTILE
        rating |= {"profile": profile, "session": f"{rating['condition']}/{profile}"}
        session |= {"id": rating["session"], "profile": {"id": profile, "archetype": HOSTILE}}
        session["status"] = "complete" if number % 5 else HOSTILE
    check = {
        "judge": HOSTILE,
        "verdict": {"line": HOSTILE},
        "items": [{"item": HOSTILE, "pairs": 1, "auc": 0.5, "ci": None}],
    }
    summary, scores = summarise(ratings, sessions, check)
    page = page_of(summary, tmp_path, excerpts.examples(scores, sessions))
    seen = Seen(page)
    assert not seen.open and set(seen.tags) <= TAGS
    assert not [
        key
        for _, key, _ in seen.attributes
        if key.startswith("on") or key in ("style", "srcset", "action")
    ]
    assert all(value.startswith("data:image/") for value in seen.values("src"))
    assert all(value.startswith("#") for value in seen.values("href"))
    assert (
        seen.text.count("alert(1)") > 40
        and page.count("<script") == 0
        and page.count("<style") == 1
    )
    assert seen.text.count(HOSTILE) > 20  # shown as it was written


def test_every_link_leads_to_a_place_on_the_page_and_every_place_has_one_name(made, tmp_path):
    summary, scores, sessions = made
    seen = Seen(page_of(summary, tmp_path, excerpts.examples(scores, sessions)))
    places = seen.values("id")
    assert len(set(places)) == len(places)
    assert {link[1:] for link in seen.values("href")} <= set(places)
    assert {value for value in seen.values("aria-labelledby")} <= set(places)
    assert (
        sum(link.startswith("#example-") for link in seen.values("href")) == 24
    )  # two ends, six conditions, two tables


def test_the_policy_allows_this_pages_own_style_and_images_alone(made, tmp_path):
    import base64
    import hashlib

    page = page_of(made[0], tmp_path)
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert (
        "url(" not in style
        and "@import" not in style
        and "@media print" in style
        and "<" not in style
    )


def test_examples_are_the_extremes_by_score_with_the_middle_exchange(made):
    summary, scores, sessions = made
    found = excerpts.examples(scores, sessions)
    assert [(one["condition"], one["end"]) for one in found[:3]] == [
        ("instruct", "highest"),
        ("instruct", "lowest"),
        ("instruct-cot", "highest"),
    ]
    by_id = {session["id"]: session for session in sessions}
    for one in found:
        mine = scores.values["act_fm_total"][scores.condition == one["condition"]]
        assert one["act_fm_total"] == (mine.max() if one["end"] == "highest" else mine.min())
        turns = [turn for turn in by_id[one["session"]]["turns"] if turn["answer"]]
        middle = turns[len(turns) // 2]
        assert one["answer"].removesuffix(" [\u2026]") in middle["answer"]
        assert (
            len(one["client"]) <= excerpts.CLIENT + 4 and len(one["answer"]) <= excerpts.ANSWER + 4
        )
        assert one["failed"] == analysis.failed(by_id[one["session"]])
    assert (
        excerpts.clip("one two three", 9) == "one two [\u2026]"
        and excerpts.clip(" one ", 9) == "one"
    )
    for session in sessions:  # a session in which nothing was answered has no words to show
        if session["id"] == found[0]["session"]:
            emptied = session | {
                "turns": [{"client": "?", "thinking": None, "answer": None, "status": "error"}]
            }
    others = [emptied if session["id"] == emptied["id"] else session for session in sessions]
    assert excerpts.examples(scores, others)[0]["session"] != found[0]["session"]


def test_text_alternatives_state_the_numbers(made):
    outcomes = made[0]["outcomes"]
    result = outcomes["act_fm_total"]
    for condition, estimate in result["emm"].items():
        low, high = estimate["ci"]
        assert f"{condition} {estimate['mean']:.2f} ({low:.2f} to {high:.2f})" in alt.estimates(
            "act_fm_total", result
        )
    told, not_told = alt.contrasts("act_fm_total", result).split("Not told from 0: ")
    for pair in result["contrasts"]:
        name = f"{pair['a']} minus {pair['b']} {prose.number(pair['difference'])} ("
        assert (name in told) == (pair["p_holm_sidak"] < 0.05) and (name in told) != (
            name in not_told
        )
    sft = f"sft {result['emm']['sft']['mean']:.2f} and {result['emm']['sft-cot']['mean']:.2f}"
    assert sft in alt.interaction("act_fm_total", result)
    pair = result["wins"][0]
    assert f"{100 * pair['rate']:.0f}% of {pair['wins'] + pair['losses']}" in alt.wins(
        "act_fm_total", result
    )
    assert f"sft {outcomes['stance_inconsistent']['emm']['sft']['mean']:.2f}" in alt.profile(
        outcomes, "inconsistent"
    )


def test_a_large_svg_is_embedded_as_its_png(tmp_path):
    path = tmp_path / "a.svg"
    path.with_suffix(".png").write_bytes(b"png")
    path.write_text("<svg/>")
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in picture(path, "1 < 2", "c")
    path.write_text(" " * (EMBED + 1))
    shown = picture(path, "1 < 2", "c")
    assert 'src="data:image/png;base64,cG5n"' in shown and 'alt="1 &lt; 2"' in shown


def test_what_a_reader_would_believe_too_much(made):
    summary = copy.deepcopy(made[0])
    said = " ".join(cautions.cautions(summary))
    assert "simulated" in said and "No check of this rater" in said
    best, ties = prose.ties_with_best(summary["outcomes"]["act_fm_total"])
    assert f"on ACT-FM consistency, {best} cannot be told from {prose.enumerated(ties)}" in said
    failed = {name: row["failed_sessions"] for name, row in summary["failures"].items()}
    assert f"{sum(failed.values())} sessions failed ({cautions.by_condition(failed)})" in said
    spoke = sum(
        counts["suicide"]["therapist_first"] for counts in summary["safety"]["counts"].values()
    )
    assert f"first to speak of suicide in {spoke} sessions" in said
    for pair in summary["sensitivity"]["outcomes"]["tes_mean"]["contrasts"]:
        pair["p_holm_sidak"] = (
            0.5 if (pair["a"], pair["b"]) == ("sft", "orpo") else pair["p_holm_sidak"]
        )
    for pair in summary["outcomes"]["tes_mean"]["contrasts"]:
        pair["p_holm_sidak"] = (
            0.01 if (pair["a"], pair["b"]) == ("sft", "orpo") else pair["p_holm_sidak"]
        )
    assert "sft against orpo (TES empathy)" in cautions.changed(summary)
    assert "1 session has no valid rating (orpo-cot 1)" in said
    assert "not in the files" not in said and "on a scale" not in said
    summary["failures"]["sft"]["unrated_sessions"], summary["missing"]["rated"] = 2, 175
    for estimate in summary["outcomes"]["tes_mean"]["emm"].values():
        estimate["mean"] = 5.0
    summary["outcomes"]["tes_mean"]["emm"]["orpo"]["mean"] = 5.1
    said = " ".join(cautions.cautions(summary))
    assert (
        "3 sessions have no valid rating (sft 2, orpo-cot 1)" in said
        and "2 of 180 sessions" in said
    )
    assert "TES empathy: all conditions lie within 0.10 points on a scale 6 points long" in said
    check = {"judge": "other", "verdict": {"line": "other measures nothing."}}
    assert cautions.judge_check(check, ["a", "b"]) == (
        "Judge check: other measures nothing. That is not who rated here (a and b)."
    )
    assert cautions.judge_check(check, ["other"]) == "Judge check: other measures nothing."


def test_a_page_without_figures_sessions_or_a_single_fitted_outcome_says_why(tmp_path):
    ratings = make_ratings(3)
    for rating in ratings:
        rating |= {"act_fm": [1] * 25, "tes": [4] * 9}
    summary, _ = summarise(ratings)
    seen = Seen(page_of(summary, tmp_path))
    assert (
        "could not be compared: the response does not vary" in seen.text and "img" not in seen.tags
    )
    assert (
        "Not looked at: this needs the session file" in seen.text
        and "Example sessions" not in seen.text
    )


def test_the_demonstration_warning_stands_before_the_title(tmp_path):
    for rater, first in (
        ("SmolLM2-135M-Instruct", "Demonstration, not a measurement"),
        ("anna", "Ways to prompt"),
    ):
        summary, _ = summarise(make_ratings(3, rater=rater))
        body = page_of(summary, tmp_path).partition("<main>")[2]
        assert re.sub("<[^>]*>", "", body).startswith(first)


def test_tables_flatten_intervals_and_defuse_formulas(tmp_path):
    row = {
        "ci": [1, 2],
        "d_ci": None,
        "icc": {"estimate": 3, "ci_adjusted": [4, 5]},
        "outliers": [6, 7, 8],
    }
    assert tables.flat(row, "") == {
        "ci_low": 1, "ci_high": 2, "d_ci_low": None, "d_ci_high": None, "icc_estimate": 3,
        "icc_ci_adjusted_low": 4, "icc_ci_adjusted_high": 5, "outliers": 3,
    }  # fmt: skip
    tables.write_csv(tmp_path / "a.csv", [{"a": "=1+1", "b": -1.5}, {"a": "-x", "c": None}])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["a,b,c", "'=1+1,-1.5,", "'-x,,"]
