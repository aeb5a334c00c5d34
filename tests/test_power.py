"""Planning: power against the formula for known variances, the test's level, seeds, and what is
refused."""

import numpy as np
import pytest
from scipy import stats

from act.records import CONDITIONS
from act.statistics.power import ALPHA, Answer, Study, detections, profiles_needed

STUDY = Study(CONDITIONS, "orpo", "sft", 4.0, 10.0, 25.0)
FLAGS = "--contrast orpo,sft --difference 4 --variance-session 10 --variance-residual 25"


def test_profiles_are_those_of_the_normal_formula_and_a_little_more():
    """2 s2 ((z.975 + z.8) / 4)^2 = 24.5 for a known s2; t on 5 (m - 1) df instead of z takes a
    fraction of one more."""
    formula = 2 * 25 * ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 4) ** 2
    assert formula == pytest.approx(24.5, abs=0.1)
    answer = profiles_needed(STUDY, 0.8, ALPHA, 1000, 0)
    assert abs(answer.profiles - formula) <= 2
    assert answer.power >= 0.8 and answer.ci[0] < 0.8 < answer.ci[1]
    assert answer.ci[1] - answer.ci[0] == pytest.approx(
        2 * 1.96 * (0.8 * 0.2 / 1000) ** 0.5, rel=0.05
    )
    assert profiles_needed(STUDY, 0.8, ALPHA, 1000, 0) == answer
    assert detections(STUDY, 24, ALPHA, 500, 0) != detections(STUDY, 24, ALPHA, 500, 1)


def test_power_is_that_of_the_noncentral_t():
    """Balanced: the contrast's t has 5 (m - 1) df and noncentrality 4 / sqrt(2 s2 / m), whatever
    the clients."""
    m, df = 15, 70
    noncentrality, critical = 4 / (2 * 25 / m) ** 0.5, stats.t.ppf(0.975, df)
    power = stats.nct.sf(critical, df, noncentrality) + stats.nct.cdf(-critical, df, noncentrality)
    found = detections(STUDY, m, ALPHA, 4000, 3) / 4000
    assert abs(found - power) < 3 * (power * (1 - power) / 4000) ** 0.5


def test_level_of_the_test_with_missing_sessions_and_hardly_any_client_variance():
    """No difference worth the name, a quarter of the sessions lost: found in 5% of the studies (3
    Monte Carlo SEs)."""
    nothing = Study(CONDITIONS, "orpo", "sft", 1e-9, 0.5, 25.0, missing=0.25)
    assert detections(nothing, 12, ALPHA, 3000, 1) / 3000 == pytest.approx(0.05, abs=0.012)


def test_missing_sessions_and_the_many_pairs_cost_profiles():
    lost = profiles_needed(
        Study(CONDITIONS, "orpo", "sft", 4.0, 10.0, 25.0, missing=0.3), 0.8, ALPHA, 600, 0
    )
    strict = profiles_needed(STUDY, 0.8, 1 - 0.95 ** (1 / 15), 600, 0)
    assert lost.profiles > 31 and 42 < strict.profiles < 50
    assert (
        profiles_needed(Study(CONDITIONS, "orpo", "sft", 0.1, 10.0, 25.0), 0.8, ALPHA, 1000, 0)
        is None
    )
    assert profiles_needed(
        Study(("sft", "orpo"), "orpo", "sft", 500.0, 10.0, 25.0), 0.8, ALPHA, 100, 0
    ) == Answer(2, 1.0, pytest.approx([0.963, 1.0], abs=0.001), ALPHA)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--contrast orpo", "--contrast orpo: two conditions with a comma between them"),
        (
            "--contrast orpo,dpo",
            '--contrast: "dpo" is none of the conditions instruct, instruct-cot',
        ),
        ("--contrast sft,sft", '"sft" against itself'),
        ("--conditions sft,sft-cot", '"orpo" is none of the conditions sft, sft-cot'),
        ("--difference 0", "--difference 0: a number of points other than 0"),
        ("--difference nan", "--difference nan: a number of points"),
        ("--difference 0.01", "more than 2,000 profiles are needed"),
        ("--variance-residual 0", "--variance-residual 0: a variance above 0"),
        ("--variance-residual inf", "--variance-residual inf: a variance above 0"),
        ("--variance-session -1", "-1 is not 0 or more"),
        ("--power 1", "--power 1: between 0.05"),
        ("--power 0.04", "--power 0.04: between 0.05"),
        ("--missing 0.95", "--missing 0.95: at most 0.9"),
        ("--simulations 0", "0 is not 1 or more"),
        ("--seed -1", "--seed: -1 is not 0 or more"),
    ],
)
def test_bad_plans_get_one_line(refused, flags, said):
    assert said in refused("analyze.py", "plan", *FLAGS.split(), *flags.split())


@pytest.mark.slow
def test_plan_prints_both_numbers(script):
    done = script("analyze.py", "plan", *FLAGS.split(), "--simulations", 400)
    lines = done.stdout.splitlines()
    assert lines[0] == "orpo minus sft = 4, found with power 0.8:"
    alone, pair = (line.split() for line in lines[2:])
    assert alone[:4] == ["this", "contrast", "alone", "0.0500"] and 20 <= int(alone[4]) <= 30
    assert pair[:5] == ["as", "one", "of", "15", "pairs"] and int(pair[6]) > int(alone[4])
    assert int(alone[5]) == 6 * int(alone[4])
    assert np.mean([float(number.strip("[],")) for number in alone[7:]]) == pytest.approx(
        float(alone[6]), abs=0.01
    )


@pytest.mark.slow
def test_plan_has_a_manual(script):
    assert "--variance-session" in script("analyze.py", "plan", "--help").stdout
