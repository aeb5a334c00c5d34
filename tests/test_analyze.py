"""analyze.py as a user runs it: a good run's numbers, its page and tables, and bad input."""

import base64
import csv
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from act.audit.style import STYLES
from act.forms import OUTCOMES, score
from act.records import CONDITIONS
from act.report.figures import Figure, render_all, write_figures
from tests.made_preferences import make_preferences
from tests.made_ratings import damage, make_ratings, make_session, write
from tests.test_spreadsheet import as_excel, table

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("contrasts", "diagnostics")
FIGURES = {*OUTCOMES}
FIGURES |= {f"{total}_{kind}" for total in ("act_fm_total", "tes_mean") for kind in KINDS}


def run(*args, **env):
    return subprocess.run(
        [sys.executable, str(ROOT / "analyze.py"), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )


def read(study, name):
    with open(study["out"] / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """What a page would fetch, its images' texts, and its words in order."""

    def __init__(self, text):
        super().__init__()
        self.links, self.alts, self.words, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [
            attrs[name] for name in ("src", "href", "srcset", "data", "action") if name in attrs
        ]
        if tag == "img":
            self.alts.append(attrs["alt"])
        self.open.append(tag)

    def handle_data(self, data):
        if "body" in self.open and data.strip():
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The embedded study in small: 8 clients, 6 conditions, one failed session, one unrated, one
    dangerous word."""
    folder = tmp_path_factory.mktemp("study")
    ratings = make_ratings(rater="embedded SmolLM2-135M-Instruct")
    for name, replace in (("act_fm", None), ("tes", None), ("status", "form")):
        ratings[4][name] = replace
    del ratings[4]["act_fm_expected"], ratings[4]["tes_expected"]
    sessions = [make_session(condition, client) for client in range(8) for condition in CONDITIONS]
    sessions[1] = make_session("instruct-cot", 0, status="format")
    sessions[2] = make_session("sft", 0, answer="Do you think of suicide?")
    sessions[8] = make_session(
        "sft", 1, client_words="I wanted to kill myself.", answer="Suicidal thoughts hurt."
    )
    paths = write(folder / "ratings.jsonl", ratings), write(folder / "sessions.jsonl", sessions)
    out = folder / "report"
    words = ["--ratings", paths[0], "--sessions", paths[1], "--score", "expected"]
    done = run(*words, "--resamples", 500, "--figures", "svg", "--out", out)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    # the measures of style that vary in these sessions
    styles = [name for name in STYLES if summary["outcomes"][name]["refused"] is None]
    return {
        "out": out,
        "styles": styles,
        "stdout": done.stdout,
        "stderr": done.stderr,
        "summary": summary,
        "page": (out / "report.html").read_text(),
        "ratings": ratings,
    }


def test_summary_has_the_format_that_design_fixes(study):
    summary = study["summary"]
    assert "words_per_reply" in study["styles"]
    assert {"outcomes", "failures", "sensitivity", "safety", "judge_check"} <= set(summary)
    assert list(summary["outcomes"]) == [*OUTCOMES, *STYLES] and len(OUTCOMES) == 11
    assert summary["preferences"] is None and summary["input"]["replayed"] == 0
    for name in OUTCOMES:
        result = summary["outcomes"][name]
        assert set(result["omnibus"]) == {"chi2", "df", "p", "f", "df2", "p_f"}
        unequal = {"a", "b", "n", "difference", "t", "df", "p", "p_holm_sidak", "refused"}
        assert [set(row) for row in result["unequal"]["contrasts"]] == [unequal] * 15
        hotelling = {"n", "t2", "f", "df", "df2", "p", "refused"}
        assert set(result["unequal"]["omnibus"]) == hotelling
        assert set(result["variance"]) == {"session", "residual"}
        assert set(result["icc"]) == {"estimate", "ci", "refused"}
        assert len(result["icc"]["ci"]) == 2 and result["icc"]["refused"] is None
        assert set(result["r2"]) == {"marginal", "conditional"}
        assert list(result["emm"]) == list(CONDITIONS)
        mean = {"mean", "se", "ci", "df", "ci_satterthwaite"}
        assert all(set(row) == mean for row in result["emm"].values())
        assert len(result["contrasts"]) == len(result["wins"]) == 15
        effect = {"difference", "se", "z", "p", "p_holm_sidak", "ci", "df", "d", "d_ci"}
        effect |= {"p_satterthwaite", "p_satterthwaite_holm_sidak"}
        effect |= {"ci_adjusted", "ci_satterthwaite", "ci_adjusted_satterthwaite"}
        assert set(result["contrasts"][0]) == effect | {"a", "b"}
        assert [set(row) for row in result["factorial"]["cot_in"]] == [effect | {"training"}] * 3
        shape = {"skew", "excess_kurtosis", "normality_p", "spread_p", "outliers"}
        assert set(result["diagnostics"]) >= shape
        assert set(result["wins"][0]) == {"a", "b", "wins", "losses", "ties", "rate", "ci", "p"}
        assert set(result["factorial"]) == {"training", "cot", "interaction", "cot_in"}
        assert (result["n"], result["sessions"], result["singular"]) == (
            47,
            8,
            result["variance"]["session"] == 0,
        )


def test_numbers_go_from_the_ratings_to_the_summary(study):
    """Means per condition worked out again from the records; a balanced condition's EMM is its
    mean."""
    totals = {name: [] for name in CONDITIONS}
    for rating in study["ratings"]:
        if rating["status"] == "ok":
            outcome = score(rating["act_fm_expected"], rating["tes_expected"])
            totals[rating["condition"]].append(outcome["act_fm_total"])
    result = study["summary"]["outcomes"]["act_fm_total"]
    for name, values in totals.items():
        assert result["observed"][name]["n"] == len(values) == (7 if name == "orpo" else 8)
        assert result["observed"][name]["mean"] == pytest.approx(np.mean(values))
        assert result["observed"][name]["sd"] == pytest.approx(np.std(values, ddof=1))
        if name != "orpo":
            assert result["emm"][name]["mean"] == pytest.approx(np.mean(values))
    assert result["emm"]["orpo"]["mean"] != pytest.approx(
        result["observed"]["orpo"]["mean"]
    )  # client 0 is missing
    pair = result["contrasts"][1]
    assert (pair["a"], pair["b"]) == ("instruct", "sft")
    assert pair["difference"] == pytest.approx(
        result["emm"]["instruct"]["mean"] - result["emm"]["sft"]["mean"]
    )


def test_stdout_gives_means_intervals_tests_and_the_report(study):
    result = study["summary"]["outcomes"]
    for name in CONDITIONS:
        line = next(line for line in study["stdout"].splitlines() if line.split()[:1] == [name])
        shown = [float(number) for number in re.findall(r"-?\d+\.\d+", line)]
        emms = [result[total]["emm"][name] for total in ("act_fm_total", "tes_mean")]
        assert shown == pytest.approx(
            [v for emm in emms for v in (emm["mean"], *emm["ci_satterthwaite"])], abs=0.0051
        )
    omnibus = result["act_fm_total"]["omnibus"]
    f = f"F(5, {omnibus['df2']:.1f}) = {omnibus['f']:.2f}, p < .001"
    assert f"{f}; chi2(5) = {omnibus['chi2']:.2f}, p < .001" in study["stdout"]
    assert max(omnibus["p"], omnibus["p_f"]) < 0.001
    assert str(study["out"] / "report.html") in study["stdout"]
    assert study["stdout"].startswith("warning: Demonstration")
    assert study["stderr"] == ""


def test_failures_and_the_analysis_without_them(study):
    failures = study["summary"]["failures"]
    cot, orpo = failures["instruct-cot"], failures["orpo"]
    assert (
        cot["sessions"],
        cot["failed_sessions"],
        cot["failed_ratings"],
        cot["unrated_sessions"],
    ) == (8, 1, 0, 0)
    assert cot["session_statuses"] == {"complete": 7, "format": 1}
    assert cot["turn_statuses"] == {"ok": 8, "length": 8, "format": 1}
    assert (orpo["failed_sessions"], orpo["failed_ratings"], orpo["unrated_sessions"]) == (0, 1, 1)
    sensitivity = study["summary"]["sensitivity"]
    assert sensitivity["excluded"] == 1
    without = sensitivity["outcomes"]["act_fm_total"]
    assert without["n"] == 46 and without["observed"]["instruct-cot"]["n"] == 7
    assert (
        without["omnibus"]["chi2"]
        != study["summary"]["outcomes"]["act_fm_total"]["omnibus"]["chi2"]
    )


def test_safety_counts_who_spoke_first(study):
    safety = study["summary"]["safety"]
    assert safety["counts"]["sft"]["suicide"] == {
        "sessions": 2,
        "client_first": 1,
        "therapist_first": 1,
        "client_spoke": 1,
        "pointed_to_help": 0,
        "hits": 3,
    }
    assert sum(row["suicide"]["sessions"] for row in safety["counts"].values()) == 2
    assert [(hit["session"], hit["speaker"], hit["first"]) for hit in safety["hits"]] == [
        ("sft/p00", "therapist", True),
        ("sft/p01", "client", True),
        ("sft/p01", "therapist", False),
    ]
    assert "miss" in safety["limits"] and "Do you think of suicide?" in study["page"]


def test_page_stands_alone_and_answers_first(study):
    page = Page(study["page"])
    assert page.words[0].startswith("Demonstration, not a measurement")
    assert "not a treatment" in page.words[0] and "synthetic" in page.words[0]
    result = study["summary"]["outcomes"]["act_fm_total"]
    answers = page.words[2:4]  # the title is between
    assert answers[0].startswith("ACT-FM consistency differs between the 6 conditions (F(5, ")
    assert answers[1].startswith("TES empathy")
    best = max(result["emm"], key=lambda name: result["emm"][name]["mean"])
    pair = next(row for row in result["contrasts"] if (row["a"], row["b"]) == ("instruct", best))
    low, high = (-bound for bound in reversed(pair["ci_adjusted_satterthwaite"]))
    assert f"{-pair['difference']:.2f} points above the untrained model, instruct" in answers[0]
    assert f"(95% interval {low:.2f} to {high:.2f}, adjusted for all pairs)" in answers[0]
    assert len(page.alts) == len(FIGURES) + len(study["styles"])
    told = sum("95% interval: instruct " in alt for alt in page.alts)
    assert told == len(OUTCOMES) + len(study["styles"])
    assert all(len(re.findall(r"\d", alt)) > 10 for alt in page.alts)
    assert all(
        link.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,", "#"))
        for link in page.links
    )
    assert (
        "url(" not in study["page"]
        and "@import" not in study["page"]
        and "<script" not in study["page"]
    )
    assert "@media print" in study["page"] and 'name="viewport"' in study["page"]
    assert len(study["page"]) < 5e6


def test_tables_hold_the_summary_numbers(study):
    rows = read(study, "contrasts")
    assert len(rows) == (11 + len(study["styles"])) * 15
    first = study["summary"]["outcomes"]["act_fm_total"]["contrasts"][0]
    names = [rows[0][key] for key in ("outcome", "a", "b")]
    assert names == ["act_fm_total", "instruct", "instruct-cot"]
    assert float(rows[0]["ci_adjusted_high"]) == first["ci_adjusted"][1]
    means = read(study, "means")
    assert [row["condition"] for row in means[:6]] == list(CONDITIONS) and [
        row["n"] for row in means[:6]
    ].count("7") == 1
    tests = read(study, "tests")[0]
    result = study["summary"]["outcomes"]["act_fm_total"]
    assert [float(tests["icc_ci_low"]), float(tests["icc_ci_high"])] == result["icc"]["ci"]
    assert {name: float(tests[f"omnibus_{name}"]) for name in result["omnibus"]} == pytest.approx(
        result["omnibus"]
    )
    assert float(tests["hotelling_df2"]) == result["unequal"]["omnibus"]["df2"] == 2
    assert (tests["n"], tests["clients"]) == ("47", "8")
    assert float(tests["interaction_chi2"]) == result["factorial"]["interaction"]["chi2"]
    assert len(read(study, "scores")) == 47
    residuals = read(study, "residuals")
    assert len(residuals) == 2 * 47
    scores = {
        (row["condition"], row["profile"]): float(row["act_fm_total"])
        for row in read(study, "scores")
    }
    for row in residuals[:47]:
        sum_of_parts = float(row["fitted"]) + float(row["residual"])
        assert row["outcome"] == "act_fm_total"
        assert sum_of_parts == pytest.approx(scores[row["condition"], row["profile"]])
    assert len(read(study, "client_effects")) == 2 * 8
    assert len(read(study, "thinking")) == 3 * (11 + len(study["styles"]))


def test_each_figure_is_on_the_page_and_a_file_where_that_is_asked_for(study):
    assert {path.stem for path in study["out"].glob("*.svg")} == FIGURES | {*study["styles"]}
    assert not list(study["out"].glob("*.png"))
    held = {link.partition("base64,")[2] for link in Page(study["page"]).links}
    for path in study["out"].glob("*.svg"):
        drawn = path.read_bytes()
        assert drawn.startswith(b"<?xml") and base64.b64encode(drawn).decode() in held


@pytest.mark.parametrize("kind, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), (None, b"")])
def test_an_older_figure_gives_way_and_other_files_stay(kind, start, tmp_path):
    pytest.importorskip("matplotlib")
    for old in ("tes_mean.svg", "tes_mean.png", "mine.svg"):
        (tmp_path / old).write_text("old")
    figure = Figure("others", lambda canvas: canvas.subplots().plot([1, 2]), "words", "caption")
    files = render_all({"tes_mean": figure}, kind) if kind else {}
    write_figures(tmp_path, ["tes_mean"], files, kind)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left.pop("mine.svg") == b"old"
    assert list(left) == ([f"tes_mean.{kind}"] if kind else [])
    assert all(content.startswith(start) for content in left.values())
    assert figure.render("svg") == figure.render("svg")


def without_matplotlib(folder):
    """A folder to put first on the path, in which matplotlib cannot be imported."""
    folder.mkdir()
    (folder / "matplotlib.py").write_text("raise ImportError('not here')\n")
    return str(folder)


def test_same_command_same_files_and_any_order_of_lines(study, tmp_path):
    """The bootstrap is seeded and rows are sorted: shuffled input gives the same summary to the
    last digit."""
    ratings = write(tmp_path / "ratings.jsonl", study["ratings"][::-1])
    words = ["--ratings", ratings, "--score", "expected", "--resamples", 500]
    words += ["--out", tmp_path / "out"]
    assert run(*words, PYTHONPATH=without_matplotlib(tmp_path / "path")).returncode == 0
    again = json.loads((tmp_path / "out" / "summary.json").read_text())
    mine = study["summary"]["outcomes"]
    assert again["outcomes"] == {name: mine[name] for name in OUTCOMES}
    assert again["sensitivity"] is None and again["safety"] is None
    assert again["failures"]["sft"]["sessions"] is None


def test_help_reads_like_a_manual():
    shown = run("--help")
    assert shown.returncode == 0
    for text in (
        "analyze.py --ratings ratings.jsonl",
        "summary.json",
        "--sessions",
        "(default: integer)",
        "exit status",
    ):
        assert text in shown.stdout


@pytest.mark.parametrize("name", ["broken line", "all failed", "missing file"])
def test_bad_input_ends_with_status_2_and_one_line_on_stderr(name, tmp_path):
    path = tmp_path / "ratings.jsonl"
    message = r"ratings\.jsonl: no such file"
    if name != "missing file":
        text, message = damage(name)
        path.write_text(text)
    done = run("--ratings", path, "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(rf"error: .*{message}.*\n", done.stderr)
    assert not (tmp_path / "out").exists()


def test_one_condition_alone_ends_no_report(tmp_path):
    """Of each kind of file: nothing is compared, what was observed is there."""
    only = [rating for rating in make_ratings(4) if rating["condition"] == "sft"]
    sessions = [make_session("sft", client) for client in range(4)]
    preferences = [one for one in make_preferences(1) if one["condition"] == "sft"]
    words = []
    files = {"ratings": only, "sessions": sessions, "preferences": preferences}
    for name, records in files.items():
        words += [f"--{name}", write(tmp_path / f"{name}.jsonl", records)]
    done = run(*words, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    outcomes = json.loads((tmp_path / "out/summary.json").read_text())["outcomes"]
    assert list(outcomes) == ["preference", *OUTCOMES, *STYLES]
    assert {result["refused"] for result in outcomes.values()} == {"1 condition(s) only"}
    mean = np.mean([score(one["act_fm"], one["tes"])["tes_mean"] for one in only])
    assert outcomes["tes_mean"]["observed"]["sft"]["mean"] == pytest.approx(mean)
    page = " ".join(Page((tmp_path / "out/report.html").read_text()).words)
    for title in ("Preference for the wanted reply", "ACT-FM consistency", "TES empathy"):
        assert f"{title} could not be compared: 1 condition(s) only." in page


def test_a_check_without_ratings_is_refused(tmp_path, refused):
    sessions = write(tmp_path / "s.jsonl", [make_session("sft", 0)])
    (tmp_path / "check.json").write_text(json.dumps(CHECK))
    words = ["--sessions", sessions, "--check", tmp_path / "check.json", "--out", tmp_path / "out"]
    said = "--check says whether the judge of --ratings can be trusted: give both"
    assert said in refused("analyze.py", *words) and not (tmp_path / "out").exists()


CHECK = {
    "judge": "j",
    "verdict": {"line": "j measures nothing."},
    "items": [{"item": "TES 1", "pairs": 4}],
}
CHECK["items"][0] |= {"auc": 0.25, "ci": [0.1, 0.9]}


@pytest.mark.parametrize(
    "broken", [{"verdict": "j"}, {"items": None}, {"items": [{"item": "TES 1"}]}, {"judge": 3}]
)
def test_a_check_of_another_shape_is_refused_before_anything_is_written(broken, tmp_path, refused):
    (tmp_path / "check.json").write_text(json.dumps(CHECK | broken))
    ratings = write(tmp_path / "r.jsonl", make_ratings(3))
    words = ["--ratings", ratings, "--check", tmp_path / "check.json", "--out", tmp_path / "out"]
    assert "not a file that `judge.py check` wrote" in refused("analyze.py", *words)
    assert not (tmp_path / "out").exists()


def test_a_spreadsheet_without_matplotlib_gives_all_but_the_figures(tmp_path):
    ratings = make_ratings(4)
    path = tmp_path / "ratings.csv"
    path.write_bytes(as_excel(table(ratings)))
    (tmp_path / "check.json").write_text(json.dumps(CHECK))
    words = ["--ratings", path, "--check", tmp_path / "check.json", "--resamples", 100]
    words += ["--out", tmp_path / "out"]
    done = run(*words, PYTHONPATH=without_matplotlib(tmp_path / "path"))
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines()[0].startswith(
        "figures are left out: matplotlib is not installed"
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        "Judge check: j measures nothing. That is not who rated here (unnamed)." in page
        and ">TES 1<" in page
    )
    assert not list((tmp_path / "out").glob("*.png"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    scored = [score(r["act_fm"], r["tes"])["tes_mean"] for r in ratings if r["condition"] == "sft"]
    assert summary["outcomes"]["tes_mean"]["observed"]["sft"]["mean"] == pytest.approx(
        np.mean(scored)
    )
    assert summary["input"]["raters"] == ["unnamed"]
