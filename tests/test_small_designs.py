"""A few hundred of the small studies and sparse designs of small_designs.py, and the cases that
were met: four ratings, and a likelihood with two maxima."""

import csv
import json

import numpy as np
import pytest

from act.statistics.mixed import Clusters, criterion, fit, solve_ratio
from tests.conftest import ROOT
from tests.small_designs import FINE, analysed, is_best
from tests.test_analyze import run
from tests.test_mixed import simulate

CASES = ROOT / "tests/cases"


@pytest.mark.slow
def test_trap_33_300_small_studies_have_no_traceback_no_nan_and_no_warning():
    outcomes = [analysed(seed) for seed in range(300)]
    assert min(outcomes.count(word) for word in ("all", "some", "none")) > 10


def test_trap_33_what_is_found_in_400_sparse_designs_is_never_below_a_fine_grid():
    found = [one for one in map(is_best, range(400)) if one]
    assert len(found) > 250 and all(good for good, _ in found)
    assert sum(minima > 1 for _, minima in found) >= 2


def test_trap_33_of_two_maxima_the_higher_one_is_found():
    """A real design: at 0 the criterion is 174.847, and 174.810 at its other minimum, 1.935; a
    search from 0, .01, .03, .1, .3, 1, 3 ... took the first."""
    with open(CASES / "two_maxima.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    y = np.array([float(row["y"]) for row in rows])
    cell, cluster = (np.array([row[name] for row in rows]) for name in ("cond", "profile"))
    X = np.equal.outer(cell, np.unique(cell)).astype(float)
    model = fit(X, y, cluster)
    ratio = model.variance_cluster / model.variance_residual
    assert not model.singular and ratio == pytest.approx(1.93522, abs=1e-5)
    clusters = Clusters.of(X, y, cluster)
    moments = clusters.pool(np.ones((1, len(clusters.sizes))))
    values = criterion(moments.take(np.zeros(len(FINE), int)), FINE).value
    assert criterion(moments, solve_ratio(moments)).value <= values.min()
    assert values[0] == pytest.approx(values[1], abs=1e-3) and values[1] > values[0]  # a minimum


def test_trap_33_four_ratings_are_a_whole_report_without_estimates(tmp_path):
    """anna instruct, anna sft, ben instruct, cem sft: rank [X Z] = 3 clients + 1 = 4 = n. Observed
    means and wins are there, and every estimate is null."""
    path, out = CASES / "four_ratings.csv", tmp_path / "out"
    done = run("--ratings", path, "--resamples", 20, "--out", out)
    assert done.returncode == 0 and done.stderr == ""
    why = "conditions and clusters have as many parameters as there are rows, 4: nothing is left"
    assert f"ACT-FM consistency: {why} to estimate the residual variance from" in done.stdout
    text = (out / "summary.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    for one in json.loads(text)["outcomes"].values():
        assert one["refused"].startswith(why)
        assert one["omnibus"] is one["emm"] is one["contrasts"] is one["variance"] is None
        assert one["observed"]["sft"]["n"] == 2 and one["wins"][0]["wins"] in (0, 1)
        assert one["unequal"]["contrasts"][0]["refused"] == "1 client(s) met both conditions"
    assert why in (out / "report.html").read_text()


def test_trap_33_the_rank_decides_and_not_the_values():
    """6 clients who each met one condition of two, and one who met both: one row more than [X Z]
    has columns is needed, whatever the values."""
    X = np.eye(2)[[0, 1, 0, 1, 0, 1, 0, 1]]
    cluster = np.array([0, 1, 2, 3, 4, 5, 6, 6])
    for seed in range(20):
        y = np.random.default_rng(seed).normal(size=9)
        with pytest.raises(ValueError, match="as many parameters as there are rows, 8: nothing"):
            fit(X, y[:8], cluster)
        more = fit(np.vstack([X, X[:1]]), y, np.append(cluster, 6))
        assert more.variance_residual > 0 and np.isfinite(more.covariance).all()


def test_intervals_by_t_need_a_degree_of_freedom():
    """Three clusters, nearly flat: contrasts with less than one degree of freedom have a p, and no
    interval."""
    from act.statistics.contrasts import interval

    assert interval(1.0, 2.0, 0.99) is None
    assert interval(1.0, 2.0, 1.0) == pytest.approx([1 - 25.4124, 1 + 25.4124], abs=1e-3)
    X, y, cluster = simulate(2, m=10)
    assert fit(X, y, cluster).freedom_of(np.eye(6)[0] - np.eye(6)[1]) == pytest.approx(45)


def test_trap_35_a_ceiling_has_no_warning_and_no_interval_that_says_nothing(tmp_path):
    """10 clients, nearly all ratings at the top: what the ICC's interval would hold is all or
    nothing for most outcomes, and then there is none."""
    out = tmp_path / "out"
    done = run("--ratings", CASES / "ceiling.csv", "--resamples", 200, "--out", out)
    assert done.returncode == 0 and done.stderr == ""
    outcomes = json.loads((out / "summary.json").read_text())["outcomes"].values()
    found = [one["icc"]["ci"] for one in outcomes if one["icc"]]
    assert None in found
    for low, high in filter(None, found):
        assert 0 <= low < high <= 1 and high - low < 1
