"""Ratings with the length of replies as a covariate: against statsmodels, by the identities that
the two ways of centring have, and with a known truth."""

import json
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from act.records import CONDITIONS
from act.statistics.covariates import equal_length, with_length
from act.statistics.ratings import TOTALS, Scores, score_sessions
from tests.made_ratings import make_ratings, make_session
from tests.test_report import page_of
from tests.test_report import summarise as summary_of

LENGTHS = dict(zip(CONDITIONS, (40, 42, 60, 65, 50, 55), strict=True))  # mean words a reply


def make_scores(slope=0.2, keep=0.85, clients=40, seed=0):
    """Scores that rise by `slope` a word and in no other way by condition; lengths (N,)."""
    rng = np.random.default_rng(seed)
    rows = [(c, k) for c in range(clients) for k in range(6) if rng.random() < keep]
    client, condition = np.array(rows).T
    length = np.array(list(LENGTHS.values()))[condition] + rng.normal(0, 8, len(rows))
    y = 10 + slope * length + rng.normal(0, 1, clients)[client] + rng.normal(0, 2, len(rows))
    names, profile = np.array(CONDITIONS)[condition], np.array([f"p{c:02}" for c in client])
    return Scores(names, profile, dict.fromkeys(TOTALS, y), np.ones(len(y), int)), length


def mixed(scores, covariate):
    """statsmodels' coefficients, the covariate last, and (X' V^-1 X)^-1 at its variances."""
    X = np.column_stack([scores.cells, covariate])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = scores.values["tes_mean"]
        fitted = MixedLM(y, X, groups=scores.profile).fit(reml=True, method=["powell"])
    same = np.equal.outer(scores.profile, scores.profile)
    V = fitted.scale * np.eye(len(y)) + fitted.cov_re[0, 0] * same
    return fitted.fe_params, np.linalg.inv(X.T @ np.linalg.solve(V, X))


def test_both_ways_of_centring_are_one_model_and_statsmodels():
    """Centred in its condition length has the same slope and error as about the grand mean; the
    contrast at equal length is that model's difference less slope x the difference of lengths."""
    scores, length = make_scores()
    found = with_length(scores, length)["tes_mean"]
    means = np.array([length[scores.condition == name].mean() for name in CONDITIONS])
    inside = length - means[scores.cells.argmax(1)]
    beta, covariance = mixed(scores, inside)
    assert found["within"]["slope"] == pytest.approx(beta[6], rel=1e-4)
    assert found["within"]["se"] == pytest.approx(covariance[6, 6] ** 0.5, rel=1e-3)
    joint, joint_covariance = mixed(scores, length - length.mean())
    for i, name in enumerate(CONDITIONS):
        assert found["emm"][name]["mean"] == pytest.approx(joint[i], rel=1e-5)
        assert found["emm"][name]["se"] == pytest.approx(joint_covariance[i, i] ** 0.5, rel=1e-3)
        assert found["length"][name] == pytest.approx(means[i])
    for row in found["contrasts"]:
        i, j = CONDITIONS.index(row["a"]), CONDITIONS.index(row["b"])
        difference = beta[i] - beta[j] - beta[6] * (means[i] - means[j])
        c = np.zeros(7)
        c[i], c[j], c[6] = 1, -1, means[j] - means[i]  # on the model centred in its condition
        assert row["difference"] == pytest.approx(difference, abs=1e-4)
        assert row["se"] == pytest.approx((c @ covariance @ c) ** 0.5, rel=1e-3)


def test_a_difference_that_is_all_length_goes_at_equal_length():
    scores, length = make_scores(keep=1.0)
    found = with_length(scores, length)["tes_mean"]
    within, between = found["within"], found["between"]
    assert within["ci"][0] < 0.2 < within["ci"][1] and within["p"] < 1e-6
    assert between["slope"] == pytest.approx(0.2, abs=0.05)
    seen = [scores.values["tes_mean"][scores.condition == name].mean() for name in CONDITIONS]
    lengths = list(found["length"].values())
    fitted = stats.linregress(lengths, seen)
    assert between["slope"] == pytest.approx(fitted.slope)
    assert between["spearman"] == pytest.approx(stats.spearmanr(lengths, seen).statistic)
    assert found["omnibus"]["p"] > 0.01
    assert max(abs(row["z"]) for row in found["contrasts"]) < 3.5
    plain = scores.fit("tes_mean").beta
    assert plain[3] - plain[0] > 4  # 25 words more


def test_lengths_that_do_not_vary_are_refused():
    """Nor where they differ by condition alone, or by one same number of tokens in all pairs."""
    scores, length = make_scores(clients=4)
    same, by_condition = np.full(len(length), 9.0), 40.0 + scores.cells.argmax(1)
    found = [equal_length(scores, "tes_mean", same), equal_length(scores, "tes_mean", by_condition)]
    found.append(with_length(scores, by_condition)["tes_mean"])
    for one in found:
        assert one["refused"] == "what is held equal does not vary within the conditions"
    found = with_length(scores, np.full(len(length), 30.0))["tes_mean"]
    assert found["refused"] == "what is held equal does not vary within the conditions"
    assert found["within"] is None
    assert found["between"] is None and found["emm"] is None
    one = scores.where(scores.condition == "sft")
    found = with_length(one, length[scores.condition == "sft"])["tes_mean"]
    assert found["refused"] == "1 condition(s) only"
    rows = np.isin(scores.profile, ["p00", "p01"])
    found = equal_length(scores.where(rows), "tes_mean", length[rows])
    few = f"{rows.sum()} rows cannot tell {2 * len(scores.where(rows).conditions)} fixed effects"
    assert found["refused"] == f"{few} from noise"


def test_length_of_rated_sessions_goes_into_the_summary_and_on_the_page(tmp_path):
    """One session is not rated, one has no reply: neither is in the model."""
    ratings = make_ratings(8)
    sessions = []
    for number, rating in enumerate(ratings):
        answer = "word " * (20 + 7 * (number % 5))
        client = int(rating["profile"][1:])
        sessions.append(make_session(rating["condition"], client, answer=answer))
    ratings[3] |= {"act_fm": None, "tes": None, "status": "form"}
    sessions[9]["turns"] = [{"client": "?", "thinking": None, "answer": None, "status": "error"}]
    summary, held = summary_of(ratings, sessions)
    found = summary["sensitivity"]["length"]
    assert set(found) == set(TOTALS) and found["tes_mean"]["n"] == 46
    # the same from scores and words a reply; the second reply, "And now?", has two words
    scores = score_sessions(ratings, "integer", "r")
    kept = scores.where(np.array(scores.sessions) != sessions[9]["id"])
    words = {s["id"]: len((s["turns"][0]["answer"] or "").split()) / 2 + 1 for s in sessions}
    alone = with_length(kept, np.array([words[name] for name in kept.sessions]))
    assert json.loads(json.dumps(alone)) == found
    page = page_of(summary, held, tmp_path, sessions)
    assert "What a word more in the mean reply goes with" in page
    assert "TES empathy: at equal length of the replies, the adjusted test" in page
    assert "unless what a word more goes with within a condition" in page
    assert f"{found['tes_mean']['within']['slope']:.4f}".replace("-", "\u2212") in page
    without, held = summary_of(ratings)
    assert without["sensitivity"] is None
    assert "What a word more" not in page_of(without, held, tmp_path)
