"""The report page from the inside: what is escaped, which words and numbers it shows, which
sessions it quotes."""

import copy
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import analyze
from act.audit.safety import audit
from act.audit.style import COUNTS
from act.records import CONDITIONS
from act.report import page as pages
from act.report import sentences, terminal
from act.report.decisions import DECIDES, decimals, paired, ties_with_best
from act.report.figures import jitter, make_figures
from act.report.page import Html, Report, element, grid, join, write_page
from act.report.sentences import methods
from act.report.table import SPECS, Table, flat, number, rows_of, told, write
from act.report.tables import LOOKS, exchange, make_tables, rounded
from act.statistics import analysis
from act.statistics.ratings import score_sessions
from tests.made_ratings import make_ratings, make_session
from tests.made_study import make_study

HOSTILE = (
    "\"'><script>alert(1)</script></style></title><img src=//evil.example/x onerror=alert(1)>&lt;"
)
TAGS = re.findall(
    r"\w+",
    """html head meta title style body main nav section article div a p img h1 h2 h3 h4 ul ol li dl
    dt dd blockquote figure figcaption details summary table caption thead tbody tr th td wbr""",
)


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
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


def summarise(ratings, sessions=None, check=None):
    """summary.json's content and each outcome's scores, as analyze.py makes them, with few
    resamples."""
    scores = score_sessions(ratings, "integer", "ratings")
    held = dict.fromkeys(scores.values, scores) | analyze.score_style(sessions or [])
    inputs = {
        "ratings": "ratings",
        "sessions": sessions and "sessions",
        "score": "integer",
        "resamples": 20,
        "seed": 0,
    }
    summary = analysis.summarise(ratings, sessions, held, inputs)
    summary |= {"judge_check": check, "preferences": None}
    analyze.add_conduct(summary, sessions)
    summary["safety"] = audit(sessions) if sessions else None
    return json.loads(json.dumps(summary, allow_nan=False)), held


def page_of(summary, held, folder, sessions=()):
    """The page without images, which have a test of their own."""
    tables = make_tables(summary, held, list(sessions))
    write_page(folder / "report.html", Report(summary, tables, make_figures(tables), {}))
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made():
    """30 clients in six conditions: (summary, scores of each outcome, sessions)."""
    ratings, sessions = make_study(clients=30)
    return *summarise(ratings, sessions), sessions


def test_text_is_escaped_and_markup_is_not_escaped_twice():
    assert join('a < b & "c"') == "a &lt; b &amp; &quot;c&quot;" and join(Html("<b>")) == "<b>"
    made = element("p", "a < b", element("b", "&"), id='"x"')
    assert made == '<p id="&quot;x&quot;">a &lt; b<b>&amp;</b></p>'
    rows = [{"r": "<r>", "p": 0.0001, "note": "{r}"}]
    made = grid(Table(rows, caption="<c>", columns={"<h>": "{r}", "p": "{p:p}", "note": "{note}"}))
    assert "<c>" not in made and "<h>" not in made and "<r>" not in made
    assert "&lt;\u00a0.001" in made and '<td data-label="note" class="text">{r}</td>' in made
    assert 'aria-label="&lt;c&gt;"' in made and '<th scope="row">' in made


def test_nothing_that_comes_from_a_file_becomes_markup(tmp_path):
    """Ids, raters, statuses, transcripts and a judge's verdict that try to break out of wherever
    they stand."""
    ratings = make_ratings(4, rater=HOSTILE)
    sessions = [
        make_session(r["condition"], client=0, client_words=HOSTILE, answer=f"suicide {HOSTILE}")
        for r in ratings
    ]
    for place, (rating, session) in enumerate(zip(ratings, sessions, strict=True)):
        profile = rating["profile"] + HOSTILE
        rating |= {"profile": profile, "session": f"{rating['condition']}/{profile}"}
        session |= {"id": rating["session"], "profile": {"id": profile, "archetype": HOSTILE}}
        session["status"] = "complete" if place % 5 else HOSTILE
    check = {
        "judge": HOSTILE,
        "verdict": {"line": HOSTILE},
        "items": [{"item": HOSTILE, "pairs": 1, "auc": 0.5, "ci": None}],
    }
    summary, scores = summarise(ratings, sessions, check)
    page = page_of(summary, scores, tmp_path, sessions)
    seen = Seen(page)
    assert not seen.open and set(seen.tags) <= set(TAGS)
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
    seen = Seen(page_of(summary, scores, tmp_path, sessions))
    places = seen.values("id")
    assert len(set(places)) == len(places)
    assert {link[1:] for link in seen.values("href")} <= set(places)
    assert {value for value in seen.values("aria-labelledby")} <= set(places)
    assert len(seen.values("href")) > 10


def test_the_policy_allows_this_pages_own_style_and_images_alone(made, tmp_path):
    import base64
    import hashlib

    page = page_of(*made[:2], tmp_path)
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert (
        "url(" not in style
        and "@import" not in style
        and "@media print" in style
        and "<" not in style
    )


def test_every_condition_answers_the_same_client_in_the_same_turn():
    """Client 0 was not met by orpo-cot, client 1 had no third answer from sft: of two turns that
    all answered the second is the middle one."""
    sessions = [make_session(name, client) for client in range(2) for name in CONDITIONS]
    del sessions[5]
    for session in sessions:
        session["turns"] = [
            {"client": f"words {n}", "answer": f"{session['id']} {n}", "status": "ok"}
            for n in range(1, 4)
        ]
    sessions[7]["turns"][2]["answer"] = None
    assert sessions[7]["id"] == "sft/p01"
    rows = exchange(sessions)
    assert [row["condition"] for row in rows] == list(CONDITIONS)
    for row in rows:
        assert (row["profile"], row["turn"], row["client"]) == ("p01", 2, "words 2")
        assert row["therapist"] == f"{row['condition']}/p01 2"
    for session in sessions:  # a session in which nothing was answered has no words to show
        session["turns"] = [{"client": "?", "answer": None}]
    assert exchange(sessions) == exchange([]) == []


def test_text_alternatives_state_the_numbers(made):
    summary, scores, _ = made
    outcomes = summary["outcomes"]
    result = outcomes["act_fm_total"]
    texts = {
        name: figure.text for name, figure in make_figures(make_tables(summary, scores)).items()
    }
    for condition, estimate in result["emm"].items():
        low, high = estimate["ci_satterthwaite"]
        mean = f"{condition} {estimate['mean']:.2f} ({low:.2f} to {high:.2f})"
        assert mean in texts["act_fm_total"]
    groups = re.findall(r"(not )?told from 0: (.*?)[;.](?= ACT|$)", texts["act_fm_total_contrasts"])
    listed = {bool(not_told): said for not_told, said in groups}
    assert set(listed) == {True, False}
    for pair in result["contrasts"]:
        name = f"{pair['a']} minus {pair['b']} {number(pair['difference'])} ("
        told = pair["p_satterthwaite_holm_sidak"] < 0.05
        assert name in listed[not told] and name not in listed[told]
    result = outcomes["stance_inconsistent"]
    sft = number(result["emm"]["sft"]["mean"], decimals(result))
    assert "ACT-FM stance, inconsistent, mean and 95% interval: " in texts["stance_inconsistent"]
    assert f"sft {sft} (" in texts["stance_inconsistent"]
    skew = outcomes["tes_mean"]["diagnostics"]["skew"]
    assert f"skew {number(skew)}," in texts["tes_mean_diagnostics"]
    words = outcomes["words_per_reply"]
    sft = number(words["emm"]["sft"]["mean"], decimals(words))
    assert f"sft {sft} (" in texts["words_per_reply"]


def test_jitter_is_even_and_the_same_each_time():
    offsets = jitter(100, 0.5)
    assert (offsets == jitter(100, 0.5)).all() and np.abs(offsets).max() <= 0.25
    found = np.histogram(offsets, bins=5, range=(-0.25, 0.25))[0].tolist()
    assert found == pytest.approx([20] * 5, abs=2)


def test_each_place_of_the_page_has_what_fills_it():
    places = pages.PLACE.findall(pages.PAGE)
    assert len(places) > 35
    for method, name, group in places:
        assert group in ("", "leading", "preference", "totals", "subscales", "style")
        assert hasattr(Report, method)
        assert method not in ("says", "lists") or name in pages.SAYS
    assert set(COUNTS.values()) <= set(LOOKS["failures"]["columns"])  # what style.py counts


def test_what_a_reader_would_believe_too_much(made):
    summary = copy.deepcopy(made[0])
    said = " ".join(sentences.cautions(summary))
    assert "simulated, made up or recorded" in said and "No check of this rater" in said
    assert "client is replayed" not in said
    best, ties = ties_with_best(summary["outcomes"]["act_fm_total"])
    others = SPECS["and"](ties)
    assert f"on ACT-FM consistency, {best} cannot be told from {others}" in said
    failed = {name: row["failed_sessions"] for name, row in summary["failures"].items()}
    where = SPECS["each"](failed)
    assert f"{sum(failed.values())} of 180 sessions failed ({where})" in said
    spoke = [row["suicide"]["therapist_first"] for row in summary["safety"]["counts"].values()]
    assert f"first to speak of suicide in {sum(spoke)} sessions" in said
    for held, p in (("sensitivity", 0.5), ("", 0.01)):
        outcomes = (summary[held] if held else summary)["outcomes"]
        for pair in outcomes["tes_mean"]["contrasts"]:
            if (pair["a"], pair["b"]) == ("sft", "orpo"):
                pair["p_satterthwaite_holm_sidak"] = p
    without = [line for line in sentences.hangs_on(summary, "totals") if "without failed" in line]
    assert re.search("test says otherwise of .*sft against orpo[, .]", without[1])
    assert "1 of 180 sessions have no valid rating (orpo-cot 1)" in said
    assert "not in the files" not in said and "on a scale" not in said
    summary["failures"]["sft"]["unrated_sessions"], summary["missing"]["rated"] = 2, 175
    for estimate in summary["outcomes"]["tes_mean"]["emm"].values():
        estimate["mean"] = 5.0
    summary["outcomes"]["tes_mean"]["emm"]["orpo"]["mean"] = 5.1
    said = " ".join(sentences.cautions(summary))
    assert "3 of 180 sessions have no valid rating (sft 2, orpo-cot 1)" in said
    assert "2 of 180 sessions (every client" in said
    assert "TES empathy: all conditions lie within 0.10 points on a scale 6 points long" in said
    summary["judge_check"] = {"judge": "other", "verdict": {"line": "other measures nothing."}}
    for raters, more in ((["a", "b"], " That is not who rated here (a and b)."), (["other"], "")):
        summary["input"]["raters"] = raters
        line = f"Judge check: other measures nothing.{more}"
        assert list(sentences.judge_check(summary)) == [line]


def test_recorded_clients_are_counted_and_not_called_simulated(tmp_path):
    """Those of two conditions are replayed: 6 of 18 sessions."""
    ratings, sessions = make_ratings(3), []
    for rating in ratings:
        session = make_session(rating["condition"], int(rating["profile"][1:]))
        client = "replayed" if rating["condition"] in ("sft", "orpo") else "models/smollm2"
        sessions.append(session | {"models": {"client": client}})
    summary, held = summarise(ratings, sessions)
    assert summary["input"]["replayed"] == 6
    page = Seen(page_of(summary, held, tmp_path, sessions)).text
    assert "In 6 of 18 sessions the client is replayed: the client's lines were recorded" in page
    assert "18 rated sessions of 3 clients in 6 conditions" in page
    assert page.count("simulated") == 1 and "The clients are simulated, made up or recorded" in page


def test_replies_that_a_token_limit_ended_are_said(tmp_path):
    """One turn of the two in each of sft's three sessions: 3 of 36 replies are few; with orpo's 6
    of 36 are more than a tenth."""
    ratings = make_ratings(3)
    for conditions, said in ((["sft"], False), (["sft", "orpo"], True)):
        sessions = []
        for rating in ratings:
            session = make_session(rating["condition"], int(rating["profile"][1:]))
            is_cut = rating["condition"] in conditions
            for turn, status in zip(
                session["turns"], ("length" if is_cut else "ok", "ok"), strict=True
            ):
                turn["status"] = status
            sessions.append(session)
        page = Seen(page_of(*summarise(ratings, sessions), tmp_path, sessions)).text
        line = "6 of 36 replies were cut at the token limit (sft 3, orpo 3): there words a reply"
        assert (line in page) == ("replies were cut at the token limit" in page) == said


def test_a_page_without_figures_sessions_or_a_single_fitted_outcome_says_why(tmp_path):
    ratings = make_ratings(3)
    for rating in ratings:
        rating |= {"act_fm": [1] * 25, "tes": [4] * 9}
    seen = Seen(page_of(*summarise(ratings), tmp_path))
    assert "could not be compared: the response does not vary" in seen.text
    assert "img" not in seen.tags and "details" in seen.tags
    assert "Not looked at: this needs the session file" in seen.text
    for absent in ("answered to one client", "raw sessions", "prefer", "speak"):
        assert absent not in seen.text


@pytest.mark.parametrize(
    "rater, first",
    [("SmolLM2-135M-Instruct", "Demonstration, not a measurement"), ("anna", "Ways to prompt")],
)
def test_the_demonstration_warning_stands_before_the_title(rater, first, tmp_path):
    page = page_of(*summarise(make_ratings(3, rater=rater)), tmp_path)
    body = page.partition("<main>")[2]
    assert re.sub("<[^>]*>", "", body).strip().startswith(first)
    assert ('class="warning"' in body) == first.startswith("Demonstration")


def test_tables_flatten_intervals_and_defuse_formulas(tmp_path):
    row = {"ci": [1, 2], "d_ci": None, "icc": {"estimate": 3, "ci_adjusted": [4, 5]}}
    assert flat(row | {"outliers": [6, 7, 8], "_shown": True}) == {
        "ci_low": 1, "ci_high": 2, "d_ci_low": None, "d_ci_high": None, "icc_estimate": 3,
        "icc_ci_adjusted_low": 4, "icc_ci_adjusted_high": 5, "outliers": 3,
    }  # fmt: skip
    Table([{"a": "=1+1", "b": -1.5}, {"a": "-x", "c": None}]).to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines() == ["a,b,c", "'=1+1,-1.5,", "'-x,,"]
    for start in ("=", "+", "-", "@", " =", "\t=", "\n+", "\r\n@", "＝", "＋"):
        assert flat(f"{start}1", "a") == {"a": f"'{start}1"}
    assert flat("a=1", "a") == {"a": "a=1"}
    Table([]).to_csv(tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_table_is_written_by_its_templates():
    """In decimals of the outcome where it says so, side by side and on its side; unknown parts as a
    dash."""
    rows = [
        {"outcome": "tes_mean", "of": of, "mean": mean, "ci": [mean - 1, mean + 1], "_fine": 3}
        for of, mean in (("all", 4.5678), ("kept", -4.0))
    ]
    looks = {
        "columns": {"outcome": "{outcome:title}"},
        "across": "of",
        "cell": "{mean:fine} ({ci})",
    }
    table = Table(rows, **looks)
    cells = ["TES empathy", "4.568 (3.57 to 5.57)", "\u22124.000 (\u22125.00 to \u22123.00)"]
    assert table.to_cells() == [["outcome", "all", "kept"], cells]
    turned = Table(rows, columns={"": "{of}", "mean": "{mean:1}"}, turned=True)
    assert turned.to_cells() == [("", "all", "kept"), ("mean", "4.6", "\u22124.0")]
    row = {"p": 0.0004, "q": 0.0312, "rate": 0.625, "test": None, "n": 3}
    assert write("{p:p} {q:p} {q:=p} {rate:%} {n} {test[chi2]}", row, "-") == (
        "< .001 .031 = .031 62% 3 \u2013"
    )
    assert write("{test[chi2]} ({test[df]})", row, "not known") == "not known"
    assert write("no field", row, "not known") == "no field"
    assert write("{q:star}{rate:star} {q:told}, {rate:told}, {test:told}", row) == (
        "* told from 0, not told from 0, not told from 0"
    )
    with pytest.raises(KeyError, match="misspelt"):
        write("{misspelt}", row)


def test_one_is_said_in_the_singular_and_names_are_listed():
    row = {"one": 1, "two": 2, "none": 0, "names": ["a", "b", "c"], "of": {"sft": 2, "orpo": 0}}
    said = "{one:+session}, {two:+client}, {none:+pair}: {names:and} ({of:each})"
    assert write(said, row) == "1 session, 2 clients, 0 pairs: a, b and c (sft 2)"
    assert [SPECS["and"](names) for names in ([], ["a"], ["a", "b"])] == ["", "a", "a and b"]


def test_a_field_is_filled_by_a_template_of_its_own_once_or_for_each_of_a_list():
    test = {"df": 5, "df2": 49.04, "f": 3.5, "p_f": 0.0091, "chi2": 17.5, "p": 0.0004}
    said = "F(5, 49.0) = 3.50, p = .009"
    assert write("{test:F test}", {"test": test}, "-") == said
    assert write("{test:both tests}.", {"test": test}) == f"{said}; chi2(5) = 17.50, p < .001."
    assert write("{test:F test}", {"test": None}, "not known") == "not known"
    row = {"_step": "orpo \u2212 sft", "difference": 0.1234, "ci_adjusted": [0, 0.25]}
    rows = [row | {"p_adjusted": 0.01}, row | {"p_adjusted": None, "difference": -0.5}]
    assert write("{steps:step}", {"steps": rows, "_fine": 3}) == (
        "orpo \u2212 sft 0.123 (0.000 to 0.250), told from 0; "
        "orpo \u2212 sft \u22120.500 (0.000 to 0.250), not told from 0"
    )


def test_rows_are_found_at_their_place_and_none_where_a_part_is_not_there():
    found = {"outcomes": {"tes": {"pairs": [{"n": 1}, {"n": 2}]}, "act": {"pairs": None}}}
    rows = [{"outcome": "tes", "n": 1}, {"outcome": "tes", "n": 2}]
    assert rows_of(found, "outcomes.{outcome}.pairs") == rows
    assert rows_of(found, "outcomes.{of}.pairs")[0] == {"of": "tes", "n": 1}
    assert rows_of(found, "safety.{condition}") == rows_of(None, "") == []
    assert rows_of(found, "outcomes.tes") == [found["outcomes"]["tes"]]


def test_the_answer_does_not_claim_what_chance_could_make():
    emm = {
        name: {"mean": 20.0 + i, "se": 1.0, "ci": [19.0 + i, 21.0 + i]}
        for i, name in enumerate(("instruct", "sft"))
    }
    pair = {"a": "instruct", "b": "sft", "difference": -1.0, "ci_adjusted": [-3.0, 1.0]}
    pair |= {"ci_adjusted_satterthwaite": [-3.2, 1.2], "p_holm_sidak": 0.3173}
    pair |= {"p_satterthwaite_holm_sidak": 0.3506, "z": -1.0, "d": -0.5, "df": 7.0}
    pair["ci_satterthwaite"] = [-3.1, 1.1]
    result = {"refused": None, "emm": emm, "contrasts": [pair], "sessions": 30}
    result["omnibus"] = {"chi2": 1.0, "df": 1, "p": 0.0173, "f": 1.0, "df2": 7.0, "p_f": 0.3506}
    assert sentences.answer("act_fm_total", result) == (
        "ACT-FM consistency shows differences between the 2 conditions that chance alone could "
        "make (F(1, 7.0) = 1.00, p = .351; chi2(1) = 1.00, p = .017): sft is highest, 1.00 points "
        "above the untrained model, instruct (95% interval \u22121.20 to 3.20, adjusted for all "
        "pairs)."
    )
    pair["ci_adjusted_satterthwaite"] = None  # less than one degree of freedom
    assert "(95% interval \u2013, adjusted" in sentences.answer("act_fm_total", result)
    refused = sentences.answer("tes_mean", {"refused": "the response does not vary"})
    assert refused == "TES empathy could not be compared: the response does not vary."


def test_pairs_are_told_apart_by_t_at_any_number_of_clients():
    emm = {"instruct": {"mean": 20.0}, "sft": {"mean": 22.0}}
    pair = {"a": "instruct", "b": "sft", "p_holm_sidak": 0.04, "p_satterthwaite_holm_sidak": 0.06}
    result = {"emm": emm, "contrasts": [pair], "refused": None}
    summary = {"outcomes": dict.fromkeys(analysis.TOTALS, result)}
    for result["sessions"] in (5, 29, 30, 3000):
        assert ties_with_best(result) == ("sft", ["instruct"])
        said = "the adjusted test tells 0 of 1 pairs apart. The highest, sft, cannot"
        assert said in next(sentences.unresolved(summary, "totals"))


def test_a_decision_changes_at_p_of_5_percent_adjusted_by_pairs_too():
    """Of the paired tests the adjusted p counts, and a pair that has none says nothing."""
    for p, is_told in ((0.0499, True), (0.05, False), (None, False)):
        assert told(p) == is_told
    row = {"a": "sft", "b": "orpo", "difference": 1.0, "p": 0.01, "p_holm_sidak": 0.06}
    other = row | {"b": "orpo-cot", "p": None, "p_holm_sidak": None, "refused": "why"}
    entry = paired({"contrasts": [row | {"refused": None}, other], "omnibus": {}})
    assert [told(pair[DECIDES]) for pair in entry["contrasts"]] == [False]
    assert (
        entry["refused"] is None
        and paired({"contrasts": [other], "omnibus": {}})["refused"] == "why"
    )
    assert paired({"contrasts": [], "omnibus": {}})["refused"] == "one condition only"


def test_of_equal_means_the_first_is_the_highest_and_the_lowest_whatever_rounding_did():
    means = {"instruct": 1e-17, "sft": 0.0, "orpo": 0.5, "orpo-cot": 0.5 + 1e-15}
    rows = [{"of": name, "mean": mean} for name, mean in means.items()]
    assert min(rows, key=rounded)["of"] == "instruct" and max(rows, key=rounded)["of"] == "orpo"


def test_decimals_follow_the_standard_errors_and_demonstrations_are_known_by_the_raters_name():
    emm = {name: {"se": 0.0123} for name in ("instruct", "sft")}
    assert decimals({"refused": None, "emm": emm}) == 3
    for raters, warnings in ((["mistral-large", "anna"], 0), (["SmolLM2-135M-Instruct"], 1)):
        summary = {"input": {"raters": raters}, "outcomes": {}}
        assert len(list(sentences.demonstration(summary))) == warnings


def test_methods_name_the_wording_the_raters_and_each_test_with_its_degrees_of_freedom(made):
    summary = copy.deepcopy(made[0])
    (said,) = methods(summary)
    result = summary["outcomes"]["tes_mean"]
    df, df2 = [pair["df"] for pair in result["contrasts"]], result["omnibus"]["df2"]
    assert f"TES empathy: F(5, {df2:.1f}), t on {min(df):.1f}" in said
    assert "ratings by mistral-large-tuned on the ACT-FM" in said
    assert "in a wording that the ratings do not name. Incomplete" in said
    for test in ("F test", "t tests on Satterthwaite's", "Paired t tests", "Hotelling's T2"):
        assert test in said
    assert "same F tests on equally weighted cells" in said and "Raters (" not in said
    summary["input"]["wordings"] = ["official.json", "paraphrase"]
    summary["input"]["raters"] = ["anna", "ben"]
    (said,) = methods(summary)
    assert "ratings by anna and ben on the ACT-FM" in said
    assert "in the wording of official.json and this project's own paraphrase. Incomplete" in said


def test_no_number_is_minus_nothing(tmp_path):
    """What rounds to 0 has no sign, on the page, in words and on the terminal; -0.0 has none in a
    CSV file."""
    assert number(-0.001) == "0.00" and number([-0.004, -0.0]) == "0.00 to 0.00"
    assert terminal.interval(-0.001, [-0.004, 0.1], 2) == "0.00 [0.00, 0.10]"
    assert flat({"difference": -0.0, "ci": [-0.0, 1.0]})["difference"] == 0
    Table([{"x": -0.0, "ci": [-0.0, 1.0]}]).to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines() == ["x,ci_low,ci_high", "0.0,0.0,1.0"]
