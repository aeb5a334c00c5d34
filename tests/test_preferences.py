"""Preferences: margins by hand, their models against statsmodels and paired t, files that are
refused, and the way from a file to the report."""

import csv
import json
import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from act.records import CONDITIONS, InputError
from act.report import sentences
from act.report.sentences import methods
from act.report.table import number, p_value
from act.report.tables import make_tables
from act.report.terminal import answer
from act.statistics.analysis import analyse, summarise
from act.statistics.preferences import explore, read_preferences, score_preferences
from tests.made_preferences import MEANS, PAIR_SD, RESIDUAL_SD, make_preferences
from tests.made_ratings import make_session, write
from tests.test_analyze import Page, run


def reply(logp, tokens, end_logp):
    return {"logp": logp, "tokens": tokens, "end_logp": end_logp}


def record(condition="sft", pair="a", **more):
    """Anybody's pair, which says neither form nor direction."""
    made = {"id": f"{condition}/{pair}", "condition": condition, "pair": pair}
    sides = {"shows": reply(-2.0, 3, -1.0), "lacks": reply(-3.5, 4, -6.0)}
    return made | sides | {"form": None, "item": None, "direction": None} | more


def mixed(y, X, pair):
    """statsmodels' REML fit: coefficients, their errors, variances between pairs and within."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = MixedLM(y, X, groups=pair).fit(reml=True, method=["powell"])
    k = X.shape[1]
    return fitted.fe_params, np.asarray(fitted.cov_params())[:k, :k], fitted.cov_re[0, 0], fitted


def test_a_margin_is_of_the_wanted_reply_by_hand():
    """shows: -2.0 a token; lacks: -3.5. Wanted is `shows`, so 1.5, 3 - 4 tokens; where the item is
    inconsistent with ACT `lacks` is, so -1.5, 4 - 3 tokens. With end tokens the replies have
    (-2.0 x 3 - 1) / 4 = -1.75 and (-3.5 x 4 - 6) / 5 = -4."""
    about = {"form": "ACT-FM", "item": 5, "direction": "inconsistent"}
    records = [record(c, pair) for c in ("instruct", "sft") for pair in "ab"]
    records += [record(c, "c", **about) for c in ("instruct", "sft")]
    scores = score_preferences(records)
    assert scores.profile.tolist() == ["a", "a", "b", "b", "c", "c"]
    assert scores.condition.tolist() == ["instruct", "sft"] * 3
    assert scores.values["preference"].tolist() == [1.5] * 4 + [-1.5] * 2
    assert scores.values["with_end"].tolist() == [2.25] * 4 + [-2.25] * 2
    assert scores.values["longer"].tolist() == [-1.0] * 4 + [1.0] * 2


@pytest.mark.parametrize(
    "broken, said",
    [
        ({"condition": "dpo", "id": "dpo/a"}, 'unknown condition "dpo"'),
        ({"id": "sft/b"}, '"sft/b" is not "sft/a"'),
        ({"shows": None}, '"shows" is NoneType, not dict'),
        ({"lacks": {"logp": -1.0, "tokens": 3}}, '"lacks": "end_logp" is missing'),
        ({"shows": reply(0.5, 3, -1.0)}, '"shows": "logp" is 0.5, no log-probability'),
        ({"shows": reply(math.nan, 3, -1.0)}, '"shows": "logp" is NoneType, not int | float'),
        ({"shows": reply(-1.0, 3, -math.inf)}, '"shows": "end_logp" is NoneType, not int | float'),
        ({"lacks": reply(-1.0, 0, -1.0)}, '"lacks": "tokens" is 0; a reply has 1 to 1,000,000'),
        ({"lacks": reply(-1.0, 2.0, -1.0)}, '"lacks": "tokens" is float, not int'),
        ({"lacks": reply("-1", 2, -1.0)}, '"lacks": "logp" is str, not int | float'),
        ({"lacks": reply(False, 2, -1.0)}, '"lacks": "logp" is False'),
        ({"lacks": reply(-(10**400), 2, -1.0)}, '"lacks": "logp" is -1000'),
        ({"form": "MITI", "item": 1}, "\"form\" is 'MITI', none of ACT-FM, TES"),
        ({"form": [], "item": 1}, '"form" is [], none of ACT-FM, TES'),
        ({"form": "TES", "item": 10}, '"item" is 10; TES has items 1 to 9'),
        ({"form": "TES", "item": True}, '"item" is True; TES has items 1 to 9'),
        ({"item": 3}, '"form" is None, none of ACT-FM, TES'),
        ({"form": "TES", "item": 1, "direction": "consistent"}, "and TES item 1 is without one"),
        ({"pair": "b", "id": "sft/b", "text": "x1"}, 'pair "b" has text x1 here, and None in'),
        ({"direction": "good"}, "\"direction\" is 'good', none of consistent, inconsistent"),
        (
            {"pair": "b", "id": "sft/b", "direction": "inconsistent"},
            'pair "b" has direction inconsistent here',
        ),
        ({"condition": "orpo", "id": "orpo/a"}, "a second record with id orpo/a"),
    ],
)
def test_a_bad_preference_gives_one_line(broken, said, tmp_path):
    records = [record("orpo", "b"), record("orpo"), record() | broken]
    path = write(tmp_path / "p.jsonl", records)
    with pytest.raises(InputError) as caught:
        read_preferences(path)
    assert str(caught.value).startswith(f"{path}:3: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_condition_is_not_compared_and_its_right_pairs_are_counted(tmp_path):
    summary, tables = summary_of([record(), record(pair="b")])
    result = summary["outcomes"]["preference"]
    assert result["refused"] == "1 condition(s) only" and result["contrasts"] is None
    no_ends = {"floor": None, "ceiling": None}
    assert result["observed"] == {"sft": {"n": 2, "mean": 1.5, "sd": 0.0} | no_ends}
    assert summary["preferences"]["right"]["sft"]["right"] == 2
    (said,) = sentences.answers(summary)
    assert said == "Preference for the wanted reply could not be compared: 1 condition(s) only."
    lines = list(answer(summary, tables))
    assert "sft               2  1.50 (no interval)" in lines
    with pytest.raises(InputError, match="no records"):
        read_preferences(write(tmp_path / "p.jsonl", []))


def test_the_model_of_preferences_is_statsmodels_where_pairs_are_missing():
    """A fifth of 816 records lost at random: means, errors, variances and contrasts, by REML."""
    keep = np.random.default_rng(1).random(816) < 0.8
    records = [one for one, kept in zip(make_preferences(), keep, strict=True) if kept]
    scores = score_preferences(records)
    result = analyse(scores, "preference", 0, 0)
    assert (result["n"], result["sessions"]) == (len(records), 136) and len(records) < 680
    beta, covariance, between, fitted = mixed(*scores.data("preference")[1::-1], scores.profile)
    assert result["variance"]["session"] == pytest.approx(between, rel=1e-4)
    assert result["variance"]["residual"] == pytest.approx(fitted.scale, rel=1e-4)
    for i, emm in enumerate(result["emm"].values()):
        assert emm["mean"] == pytest.approx(beta[i], abs=1e-6)
        assert emm["se"] == pytest.approx(covariance[i, i] ** 0.5, rel=1e-4)
    for row in result["contrasts"]:
        i, j = CONDITIONS.index(row["a"]), CONDITIONS.index(row["b"])
        se = (covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]) ** 0.5
        assert row["difference"] == pytest.approx(beta[i] - beta[j], abs=1e-6)
        assert row["se"] == pytest.approx(se, rel=1e-4)


def test_balanced_preferences_have_the_truth_and_the_paired_t():
    """Of two conditions the model's t is that of the paired differences, on pairs - 1 df; of six
    the difference is theirs, and its error, from all conditions, is sqrt(2 / pairs) x residual SD.
    """
    records = make_preferences()
    scores = score_preferences(records)
    result = analyse(scores, "preference", 0, 0)
    table = scores.values["preference"].reshape(136, 6)
    assert result["variance"]["session"] ** 0.5 == pytest.approx(PAIR_SD, rel=0.15)
    assert result["variance"]["residual"] ** 0.5 == pytest.approx(RESIDUAL_SD, rel=0.06)
    for row in result["contrasts"]:
        i, j = CONDITIONS.index(row["a"]), CONDITIONS.index(row["b"])
        assert row["difference"] == pytest.approx((table[:, i] - table[:, j]).mean())
        assert row["se"] == pytest.approx((2 / 136 * result["variance"]["residual"]) ** 0.5)
        truth = MEANS[row["a"]] - MEANS[row["b"]]
        assert abs(row["difference"] - truth) < 3.5 * row["se"]
        won = (table[:, i] > table[:, j]).sum()
        wins = next(w for w in result["wins"] if (w["a"], w["b"]) == (row["a"], row["b"]))
        assert (wins["wins"], wins["losses"], wins["ties"]) == (won, 136 - won, 0)
    two = [one for one in records if one["condition"] in ("sft", "orpo")]
    (row,) = analyse(score_preferences(two), "preference", 0, 0)["contrasts"]
    paired = stats.ttest_rel(table[:, 2], table[:, 4])
    assert row["z"] == pytest.approx(paired.statistic, rel=1e-9)
    assert row["df"] == pytest.approx(135) and paired.df == 135
    assert row["p_satterthwaite"] == pytest.approx(paired.pvalue, rel=1e-6)


LONGER = {"longer": 25, "per_token": {"orpo": 0.01}}  # 0.25 of orpo's mean margin is length alone


def test_at_equal_length_the_model_is_statsmodels_and_has_the_truth():
    """sft and orpo of one true mean; orpo's margin grows by .01 a token, and wanted replies are 25
    tokens longer. As it is orpo lies .25 above sft, at equal length they are the same."""
    means = MEANS | {"orpo": MEANS["sft"]}
    records = make_preferences(means=means, **LONGER)[:-40]  # not balanced
    scores = score_preferences(records)
    found = explore(records, scores)["sensitivity"]["equal_length"]
    longer = scores.values["longer"]
    X = np.hstack([scores.cells, scores.cells * longer[:, None]])
    beta, covariance, *_ = mixed(scores.values["preference"], X, scores.profile)
    for i, (name, emm) in enumerate(found["emm"].items()):
        assert emm["mean"] == pytest.approx(beta[i], abs=1e-5)
        assert emm["se"] == pytest.approx(covariance[i, i] ** 0.5, rel=1e-3)
        assert abs(emm["mean"] - means[name]) < 3.5 * emm["se"]
    pair = next(r for r in found["contrasts"] if (r["a"], r["b"]) == ("sft", "orpo"))
    se = (covariance[2, 2] + covariance[4, 4] - 2 * covariance[2, 4]) ** 0.5
    assert pair["difference"] == pytest.approx(beta[2] - beta[4], abs=1e-5)
    assert pair["se"] == pytest.approx(se, rel=1e-3) and abs(pair["z"]) < 2.5
    as_it_is = analyse(scores, "preference", 0, 0)
    pair = next(r for r in as_it_is["contrasts"] if (r["a"], r["b"]) == ("sft", "orpo"))
    assert pair["difference"] == pytest.approx(-0.01 * longer.mean(), abs=4 * pair["se"])
    assert pair["z"] < -8


def summary_of(records):
    """What analyze.py makes of preferences alone: summary and tables."""
    scores = score_preferences(records)
    held = {"preference": scores}
    inputs = {"score": "integer", "resamples": 0, "seed": 0, "sessions": None}
    summary = summarise(None, None, held, inputs) | {"judge_check": None, "safety": None}
    summary["preferences"] = explore(records, scores)
    return json.loads(json.dumps(summary, allow_nan=False)), make_tables(summary, held)


def test_a_reader_sees_which_decisions_hang_on_length():
    means = MEANS | {"orpo": MEANS["sft"]}
    summary, tables = summary_of(make_preferences(means=means, **LONGER))
    hows = ("with_end", "equal_length", "paired")
    said = dict(zip(hows, sentences.hangs_on(summary, "preference"), strict=True))
    assert said["equal_length"].startswith(
        "Preference for the wanted reply: at equal length of the replies, the adjusted test says "
        "otherwise of "
    )
    assert "sft against orpo" in said["equal_length"]
    _, *rows = tables["sensitivity"].to_cells()
    decision = {row[0]: row[1] for row in rows}
    assert decision["sft \u2212 orpo"] == "changes" and len(decision) == 15
    assert decision["instruct \u2212 sft"] == "the same"
    summary, tables = summary_of([record(c, p) for c in ("sft", "orpo") for p in "abc"])
    assert "could not be compared: the response" in " ".join(
        sentences.hangs_on(summary, "preference")
    )
    assert "the word of whoever wrote the pairs" in " ".join(sentences.cautions(summary))


def test_steps_of_training_are_the_contrasts_turned_round():
    summary, tables = summary_of(make_preferences())
    emm = summary["outcomes"]["preference"]["emm"]
    rows = tables["steps"].rows
    steps = [("orpo", "sft"), ("sft", "instruct"), ("orpo", "instruct")]
    assert [(row["a"], row["b"]) for row in rows] == steps
    for row in rows:
        assert row["difference"] == pytest.approx(emm[row["a"]]["mean"] - emm[row["b"]]["mean"])
        assert row["ci"][0] < row["difference"] < row["ci"][1]
        low, high = row["ci_adjusted"]
        assert low < row["ci"][0] and row["ci"][1] < high
        assert (row["z"] > 0) == (row["difference"] > 0)


def test_steps_and_thinking_first_are_judged_by_t_everywhere():
    """12 pairs, all of direction consistent. The interval and the p beside it are of one kind."""
    records = [one for one in make_preferences() if one["pair"].startswith("act-fm-01")]
    records += [one for one in make_preferences() if one["pair"].startswith("act-fm-02")]
    records += [one for one in make_preferences() if one["pair"].startswith("act-fm-03")]
    summary, tables = summary_of(records)
    result, lines = summary["outcomes"]["preference"], "\n".join(answer(summary, tables))
    assert result["sessions"] == 12
    pair = next(row for row in result["contrasts"] if (row["a"], row["b"]) == ("instruct", "sft"))
    thinking = result["factorial"]["cot_in"][0]
    assert pair["ci"] != pair["ci_adjusted"] != pair["ci_adjusted_satterthwaite"]
    d = tables["steps"].rows[0]["_fine"]
    for name, row, sign in (
        ("sft - instruct", pair, -1),
        ("thinking first in instruct", thinking, 1),
    ):
        low, high = sorted(sign * end for end in row["ci_adjusted_satterthwaite"])
        p = p_value(row["p_satterthwaite_holm_sidak"])
        said = f"{sign * row['difference']:.{d}f} [{low:.{d}f}, {high:.{d}f}], p {p}, adjusted"
        assert f"  {name:<28}{said}" in lines
    low, high = sorted(-end for end in pair["ci_adjusted_satterthwaite"])
    head, _, step, _ = tables["steps"].to_cells()
    cells = dict(zip(head, step, strict=True))
    assert cells["95% interval, all pairs at once"] == number([low, high], d)
    assert cells["adjusted p"] == p_value(pair["p_satterthwaite_holm_sidak"])
    head, first, *_ = tables["thinking"].to_cells()
    cells = dict(zip(head, first, strict=True))
    adjusted = number(thinking["ci_adjusted_satterthwaite"], d)
    assert cells["all three at once"] == adjusted


def test_pairs_that_a_condition_lacks_are_said():
    """orpo lacks 96 of 136 pairs: 720 margins of 816."""
    records = make_preferences()
    lacking = {one["id"] for one in records if one["condition"] == "orpo"}
    lacking = set(sorted(lacking)[:96])
    summary, _ = summary_of([one for one in records if one["id"] not in lacking])
    said = " ".join(sentences.cautions(summary))
    assert (
        "96 of 816 preferences (every pair in every condition) are not in the file (orpo 96)"
        in said
    )
    (said,) = methods(summary)
    assert "of 136 matched pairs were scored in 6 conditions (720 margins)" in said
    whole, _ = summary_of(records)
    assert "not in the file" not in " ".join(sentences.cautions(whole))


def test_parts_are_the_analysis_of_their_pairs_alone_and_right_ones_are_counted():
    records = make_preferences()
    scores = score_preferences(records)
    found = explore(records, scores)
    sizes = {name: part["sessions"] for name, part in found["by_subscale"].items()}
    halves = [f"{s}_{d}" for s in ("stance", "open", "aware", "engaged") for d in DIRECTIONS]
    assert sizes == {name: 12 for name in halves} | {"stance_consistent": 16, "tes": 36}
    sizes = {name: part["sessions"] for name, part in found["by_direction"].items()}
    assert sizes == {"consistent": 52, "inconsistent": 48} and found["pairs"] == 136
    mine = np.array([f"act-fm-{n:02}" in pair for pair in scores.profile for n in (5, 6, 7)])
    alone = analyse(scores.where(mine.reshape(-1, 3).any(1)), "preference", 0, 0)
    assert alone["contrasts"] == found["by_subscale"]["stance_inconsistent"]["contrasts"]
    margins = scores.values["preference"].reshape(136, 6)
    for i, name in enumerate(CONDITIONS):
        right = found["right"][name]
        assert right["right"] == (margins[:, i] > 0).sum() and right["n"] == 136
        assert right["share"] == right["right"] / 136
        low, high = right["ci"]  # Wilson's: |share - end| = z sqrt(end (1 - end) / n)
        for end in (low, high):
            half = 1.959964 * (end * (1 - end) / 136) ** 0.5
            assert abs(right["share"] - end) == pytest.approx(half, abs=1e-6)


DIRECTIONS = ("consistent", "inconsistent")


def test_from_preferences_alone_to_the_report(tmp_path):
    path = write(tmp_path / "p.jsonl", make_preferences()[3:])
    done = run("--preferences", path, "--resamples", 100, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    text = (tmp_path / "out/summary.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    summary = json.loads(text)
    result = summary["outcomes"]["preference"]
    assert list(summary["outcomes"]) == ["preference"] and result["n"] == 813
    assert result["icc"]["ci"][0] < result["icc"]["estimate"] < result["icc"]["ci"][1]
    assert summary["failures"] == {} and summary["missing"] is None
    # the terminal
    for name, emm in result["emm"].items():
        line = next(one for one in done.stdout.splitlines() if one.split()[:1] == [name])
        low, high = emm["ci_satterthwaite"]
        assert f"{emm['mean']:.3f} [{low:.3f}, {high:.3f}]" in line
    chi2, f = result["omnibus"]["chi2"], result["omnibus"]["f"]
    assert f" = {f:.2f}, p < .001; chi2(5) = {chi2:.2f}, p < .001" in done.stdout
    emm = result["emm"]
    # a step is a contrast turned round, thinking first one of three: both with what is adjusted
    pair = next(row for row in result["contrasts"] if (row["a"], row["b"]) == ("instruct", "sft"))
    low, high = (-end for end in reversed(pair["ci_adjusted_satterthwaite"]))
    told = f"{-pair['difference']:.3f} [{low:.3f}, {high:.3f}], p "
    told += p_value(pair["p_satterthwaite_holm_sidak"])
    assert f"  sft - instruct              {told}, adjusted\n" in done.stdout
    row = result["factorial"]["cot_in"][2]
    low, high = row["ci_adjusted_satterthwaite"]
    told = f"{row['difference']:.3f} [{low:.3f}, {high:.3f}], p "
    told += p_value(row["p_satterthwaite_holm_sidak"])
    assert f"  thinking first in orpo      {told}, adjusted\n" in done.stdout
    assert "no clinician has read" in done.stdout
    # the page
    page = Page((tmp_path / "out/report.html").read_text())
    said = " ".join(page.words)
    pair = next(row for row in result["contrasts"] if (row["a"], row["b"]) == ("sft", "orpo"))
    low, high = (number(-end, 3) for end in reversed(pair["ci_adjusted_satterthwaite"]))
    told = "not " * (pair["p_satterthwaite_holm_sidak"] >= 0.05)
    step = f"orpo \u2212 sft {number(-pair['difference'], 3)} ({low} to {high}), {told}told from 0"
    assert step in said and "a studentised cluster bootstrap, 100 resamples of clients" in said
    for there in ("What the therapists prefer", "is not what it says", "nats a token above"):
        assert there in said
    for absent in ("judge of what follows", "Scores by condition", "speak", "went wrong", "rater"):
        assert absent not in said, absent
    assert page.alts[0].startswith("Preference for the wanted reply, mean and 95% interval: ")
    assert f"sft {emm['sft']['mean']:.3f} (".replace("-", "\u2212") in page.alts[0]
    # the tables
    with open(tmp_path / "out/preference.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 813 and set(rows[0]) == {
        "condition", "profile", "preference", "with_end", "longer"
    }  # fmt: skip
    part = summary["preferences"]["by_direction"]["consistent"]["contrasts"]
    pair = next(row for row in part if (row["a"], row["b"]) == ("sft", "orpo"))
    with open(tmp_path / "out/preference_parts.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["part"], row["a"], row["b"]) == ("consistent", "orpo", "sft")
    assert float(row["p_adjusted"]) == pair["p_satterthwaite_holm_sidak"]
    assert float(row["ci_adjusted_low"]) == -pair["ci_adjusted_satterthwaite"][1]
    for name in ("preference_right", "sensitivity"):
        assert (tmp_path / f"out/{name}.csv").exists()


def test_from_replayed_sessions_alone_to_the_report(tmp_path):
    """Words a reply differ by condition, and no rating is there; clients are replayed."""
    rng = np.random.default_rng(0)
    sessions = []
    for client in range(6):
        for place, condition in enumerate(CONDITIONS):
            answer = "word " * int(20 + 5 * place + rng.integers(5))
            session = make_session(condition, client, answer=answer)
            sessions.append(session | {"models": {"client": "replayed"}})
    path = write(tmp_path / "s.jsonl", sessions)
    done = run("--sessions", path, "--resamples", 50, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["input"]["replayed"] == 36 and summary["failures"]["sft"]["ratings"] is None
    means = {
        name: emm["mean"] for name, emm in summary["outcomes"]["words_per_reply"]["emm"].items()
    }
    words = [
        [len(s["turns"][0]["answer"].split()) / 2 + 1 for s in sessions if s["condition"] == name]
        for name in CONDITIONS  # the second reply, "And now?", has two
    ]
    assert list(means.values()) == pytest.approx(np.mean(words, axis=1))
    # F on the terminal and on the page
    test = summary["outcomes"]["words_per_reply"]["omnibus"]
    f = f"F(5, {test['df2']:.1f}) = {test['f']:.2f}"
    assert f"Words a reply: {f}, p < .001; highest orpo-cot" in done.stdout
    page = " ".join(Page((tmp_path / "out/report.html").read_text()).words).replace("\xa0", " ")
    assert "In 36 of 36 sessions the client is replayed" in page and f in page
    # no page shows an interval of style's ICC: it is not drawn, and methods do not say so
    assert summary["outcomes"]["words_per_reply"]["icc"]["ci"] is None
    assert "Head-to-head wins leave ties out" in page and "bootstrap, 50 resamples" not in page
    assert "36 sessions of 6 clients in 6 conditions, not rated." in page
    assert "How the therapists speak" in page and "Scores by condition" not in page
    assert "What each condition answered to one client: p00, turn 2" in page


def test_nothing_to_analyse_is_one_line(tmp_path, refused):
    said = refused("analyze.py", "--out", tmp_path / "out")
    assert "nothing to analyse: give --preferences, --ratings or --sessions" in said
    assert not (tmp_path / "out").exists()
