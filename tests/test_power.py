"""Planning: power by hand and in simulated studies, what missing sessions cost, what is refused."""

import numpy as np
import pytest
from scipy import stats

from act.statistics.contrasts import ALPHA, Study, power_of, profiles_needed
from act.statistics.mixed import fit

STUDY = Study(6, 4.0, 10.0, 25.0)
FLAGS = "--contrast orpo,sft --difference 4 --variance-session 10 --variance-residual 25"


def test_profiles_are_those_of_the_normal_formula_and_a_little_more():
    """2 s2 ((z.975 + z.8) / 4)^2 = 24.5 for a known s2; t on 5 (m - 1) df takes a fraction more."""
    formula = 2 * 25 * ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 4) ** 2
    assert formula == pytest.approx(24.5, abs=0.1)
    profiles, power = profiles_needed(STUDY, 0.8, ALPHA)
    assert profiles == 25 and power == pytest.approx(0.8012, abs=5e-5)
    assert power_of(STUDY, np.array([24]), ALPHA)[0] < 0.8
    # Half the difference: 98.1 by the formula.
    assert profiles_needed(Study(6, 2.0, 10.0, 25.0), 0.8, ALPHA)[0] == 99
    assert profiles_needed(Study(6, 2.0, 10.0, 25.0), 0.8, 1 - 0.95 ** (1 / 15))[0] == 179


def test_power_of_two_clients_by_hand():
    """2 conditions, 2 clients: df 1, where t is Cauchy's. difference 4, s2 8: se = sqrt(2 x 8 / 2),
    shift sqrt 2. T > c where Z + shift > c |Y|, Z and Y normal: by integration over Y."""
    shift, c = 2**0.5, np.tan(np.pi * 0.475)  # Cauchy's 97.5% quantile, 12.706
    y = (np.arange(400_000) + 0.5) * 2e-5  # 0 to 8, midpoints
    upper, lower = (stats.norm.sf(c * y + side * shift) for side in (-1, 1))
    by_hand = 2 * 2e-5 * (stats.norm.pdf(y) * (upper + lower)).sum()
    found = power_of(Study(2, -4.0, 3.0, 8.0), np.array([2]), ALPHA)
    assert found[0] == pytest.approx(by_hand, abs=1e-6)


def test_information_of_two_conditions_with_missing_sessions_by_hand():
    """k = 2, half missing, lambda 1: a client with both sessions (1 in 4) tells 1, with one (1 in
    2) (1 / 2)(1 - 1/2) = 1/4, with none 0; so 3/8, and df = m (1 - 3/4) - 1."""
    m, information = 40, 1 / 4 + 1 / 8
    shift, df = 3 / (2 * 9 / (m * information)) ** 0.5, m / 4 - 1
    c = stats.t.ppf(0.975, df)
    by_hand = stats.nct.sf(c, df, shift) + stats.nct.cdf(-c, df, shift)
    found = power_of(Study(2, 3.0, 9.0, 9.0, missing=0.5), np.array([m]), ALPHA)
    assert found[0] == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize(("missing", "between"), [(0.0, 10.0), (0.3, 2.0)])
def test_power_is_that_of_simulated_studies(missing, between):
    """400 studies of 20 clients, each fitted by the model: within 3 Monte Carlo SEs."""
    study, rng, found = Study(6, 5.0, between, 25.0, missing), np.random.default_rng(3), 0
    client, cell = np.repeat(np.arange(20), 6), np.tile(np.arange(6), 20)
    contrast = np.array([1.0, 0, 0, -1, 0, 0])
    for _ in range(400):
        keep = rng.random(120) >= missing
        y = (
            5.0 * (cell == 0)
            + between**0.5 * rng.normal(size=20)[client]
            + 5 * rng.normal(size=120)
        )
        model = fit(np.eye(6)[cell[keep]], y[keep], client[keep])
        t = model.beta @ contrast / np.sqrt(contrast @ model.covariance @ contrast)
        found += abs(t) > stats.t.isf(ALPHA / 2, model.freedom_of(contrast))
    power = power_of(study, np.array([20]), ALPHA)[0]
    assert abs(found / 400 - power) < 3 * (power * (1 - power) / 400) ** 0.5


def test_missing_sessions_and_the_many_pairs_cost_profiles():
    lost = profiles_needed(Study(6, 4.0, 10.0, 25.0, missing=0.3), 0.8, ALPHA)
    strict = profiles_needed(STUDY, 0.8, 1 - 0.95 ** (1 / 15))
    assert lost[0] > 31 and 42 < strict[0] < 50
    assert profiles_needed(Study(6, 0.1, 10.0, 25.0), 0.8, ALPHA) is None
    for clear in (500.0, 1e9):
        assert profiles_needed(Study(2, clear, 10.0, 25.0), 0.8, ALPHA) == (2, pytest.approx(1.0))


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
    ],
)
def test_bad_plans_get_one_line(refused, flags, said):
    assert said in refused("analyze.py", "plan", *FLAGS.split(), *flags.split())


def test_plan_prints_both_numbers(script):
    done = script("analyze.py", "plan", *FLAGS.split())
    lines = done.stdout.splitlines()
    assert lines[0] == "orpo minus sft = 4, found with power 0.8:"
    assert lines[1].split() == ["level", "profiles", "sessions", "power"]
    alone, pair = (line.split() for line in lines[2:])
    assert alone == ["this", "contrast", "alone", "0.0500", "25", "150", "0.801"]
    assert pair[:5] == ["as", "one", "of", "15", "pairs"] and int(pair[6]) > int(alone[4])


@pytest.mark.slow
def test_plan_has_a_manual(script):
    assert "--variance-session" in script("analyze.py", "plan", "--help").stdout
