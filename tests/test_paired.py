"""Paired differences and Hotelling's T2 against a book's example, scipy, and by hand."""

import numpy as np
import pytest
from scipy import stats

from act.statistics.contrasts import holm_sidak, joint_test
from act.statistics.mixed import fit
from act.statistics.paired import unequal
from tests.test_mixed import NAMES, simulate

# Johnson & Wichern, Applied Multivariate Statistical Analysis, Table 6.2: milliseconds between
# heartbeats of 19 dogs under four treatments: high and low carbon dioxide, then both with halothane
DOGS = """
426 609 556 600  253 236 392 395  359 433 349 357  432 431 522 600  405 426 513 513  324 438 507 539
310 312 410 456  326 326 350 504  375 447 547 548  286 286 403 422  349 382 473 497  429 410 488 547
348 377 447 514  412 473 472 446  347 326 455 468  434 458 637 524  364 367 432 469  420 395 508 531
397 556 645 625
"""


def test_hotellings_t2_of_the_sleeping_dogs():
    """Example 6.2 there: means 368.21, 404.63, 479.26, 502.89, and T2 = 116 on 18 df, which is to
    be compared with 18 (3) / 16 F(3, 16)."""
    table = np.array(DOGS.split(), float).reshape(19, 4)
    assert table.mean(0) == pytest.approx([368.21, 404.63, 479.26, 502.89], abs=0.005)
    names = NAMES[:4]
    found = unequal(table, names)["omnibus"]
    assert round(found["t2"]) == 116 and (found["n"], found["df"], found["df2"]) == (19, 3, 16)
    assert found["t2"] == pytest.approx(18 * 3 / 16 * found["f"])
    assert found["p"] == pytest.approx(stats.f.sf(found["f"], 3, 16)) and found["refused"] is None
    # whichever condition is the first
    turned = unequal(table[:, ::-1], names)["omnibus"]
    assert turned["t2"] == pytest.approx(found["t2"], rel=1e-9)


def test_trap_34_each_pair_is_the_paired_t_of_the_clients_who_met_both():
    """scipy's ttest_rel, pair by pair, one condition spreading five times as wide and some sessions
    missing; two conditions alone: T2 = t2."""
    rng = np.random.default_rng(3)
    table = rng.normal(20, 1, (12, 1)) + rng.normal(0, [1, 1, 5, 1, 1, 1], (12, 6))
    table[rng.random((12, 6)) < 0.2] = np.nan
    found = unequal(table, NAMES)
    rows, p = found["contrasts"], []
    assert len(rows) == 15
    for row in rows:
        pair = table[:, [NAMES.index(row["a"]), NAMES.index(row["b"])]]
        pair = pair[np.isfinite(pair).all(1)]
        truth = stats.ttest_rel(*pair.T)
        assert (row["n"], row["df"]) == (len(pair), len(pair) - 1)
        assert row["difference"] == pytest.approx(np.subtract(*pair.T).mean())
        assert [row["t"], row["p"]] == pytest.approx([truth.statistic, truth.pvalue])
        p.append(truth.pvalue)
    assert [row["p_holm_sidak"] for row in rows] == pytest.approx(holm_sidak(p))
    whole = np.isfinite(table).all(1).sum()
    assert found["omnibus"]["n"] == whole < 6
    said = f"{whole} client(s) met all 6 conditions, and it takes 6"
    assert found["omnibus"]["refused"] == said and found["omnibus"]["p"] is None
    two = unequal(table[:, :2], NAMES[:2])
    (pair,) = two["contrasts"]
    assert two["omnibus"]["t2"] == pytest.approx(pair["t"] ** 2)
    assert two["omnibus"]["p"] == pytest.approx(pair["p"])


def test_trap_34_a_condition_that_spreads_wide_misleads_the_model_and_not_the_pairs():
    """400 studies of 10 clients without any difference, the last of three conditions five times as
    wide: by the model 1 - 2, two steady conditions, hardly ever differ, and 1 - 3 do too often; by
    pairs each does in 5%. With equal variances F errs in 5%, and chi-square in twice as many."""
    rng, wrong, equal = np.random.default_rng(0), np.zeros(4), np.zeros(2)
    X, client = np.tile(np.eye(3), (10, 1)), np.repeat(np.arange(10), 3)
    c = np.array([[1, -1, 0], [1, 0, -1]])
    for _ in range(400):
        noise, level = rng.normal(size=(10, 3)), rng.normal(size=(10, 1))
        y = (level + noise * [1, 1, 5]).ravel()
        model = fit(X, y, client)
        rows = unequal(y.reshape(10, 3), NAMES[:3])["contrasts"]
        p = [joint_test(model, row[None])["p_f"] for row in c] + [row["p"] for row in rows[:2]]
        wrong += np.array(p) < 0.05
        test = joint_test(fit(X, (level + noise).ravel(), client), c)
        equal += np.array([test["p_f"], test["p"]]) < 0.05
    model_12, model_13, pairs_12, pairs_13 = wrong / 400
    assert model_12 < 0.01 and model_13 > 0.065
    assert 0.03 < pairs_12 < 0.075 and 0.03 < pairs_13 < 0.075
    by_f, by_chi2 = equal / 400
    assert 0.03 < by_f < 0.07 and by_chi2 > 0.075


def test_what_cannot_be_had_is_none_and_says_why():
    """A pair nobody met twice, one who did, all the same difference (but for rounding), one
    condition; and differences that depend on one another."""
    table = np.array([[0.1, 0.3, np.nan], [0.2, 0.4, np.nan], [0.3, 0.5, 1], [1, np.nan, np.nan]])
    names = NAMES[:3]
    found = unequal(table, names)
    first, second, _ = found["contrasts"]
    assert (first["n"], first["refused"]) == (3, "all clients differ by the same")
    assert first["difference"] == pytest.approx(-0.2)
    assert (second["n"], second["refused"]) == (1, "1 client(s) met both conditions")
    for row in (first, second):
        assert row["t"] is row["df"] is row["p"] is row["p_holm_sidak"] is None
    assert found["omnibus"]["refused"] == "1 client(s) met all 3 conditions, and it takes 3"
    two = unequal(table[:2, :2].repeat(2, 1)[:, :3], names)["omnibus"]
    assert two["refused"] == "2 client(s) met all 3 conditions, and it takes 3"
    alone = unequal(table[:, :1], names[:1])
    assert alone["contrasts"] == [] and alone["omnibus"]["refused"] == "1 condition(s) only"
    _, y, client = simulate(1, m=20)
    table = y.reshape(20, 6)[:, :3]
    table[:, 2] = 2 * table[:, 1] - table[:, 0]
    found = unequal(table, names)["omnibus"]
    assert found["refused"] == "the clients' differences do not vary, or depend on one another"
