"""How often the intervals of agreement.py hold the truth, with few sessions: by F and by percentile
bootstrap, the same simulated studies.

    python -m tests.coverage_agreement [--studies 5000] [--resamples 999]

A rating is a session's level + a rater's leniency + error, all normal, all drawn anew in each
study; so the truths are ratios of their variances. And Feldt's interval of Cronbach's alpha, of as
many sessions and nine items. A table for people; the last line is JSON.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from functools import partial
from itertools import product

import numpy as np

from act.statistics.agreement import ICCS, Rows, icc_by_f, of_mean
from act.statistics.scales import cronbach

LEVEL, LENIENCY, ERROR = 1.0, 0.1, 0.5  # variances
SESSIONS, RATERS, ITEMS = (8, 15, 30), (2, 3), 9


def truth(statistic: str, raters: int) -> float:
    """The ICC of these variances."""
    if statistic == "ICC(C,1)":
        return LEVEL / (LEVEL + ERROR)
    single = LEVEL / (LEVEL + LENIENCY + ERROR)
    return single if statistic == "ICC(A,1)" else of_mean(single, raters)


def draw(rng: np.random.Generator, n: int, k: int, leniency: float = LENIENCY) -> np.ndarray:
    """(n, k): one study's ratings."""
    levels = LEVEL**0.5 * rng.standard_normal((n, 1)) + leniency**0.5 * rng.standard_normal(k)
    return levels + ERROR**0.5 * rng.standard_normal((n, k))


def covered(seed: int, n: int, k: int, resamples: int) -> dict[tuple[str, str], bool]:
    """(statistic, how) -> does the interval of this study hold the truth? None counts as no."""
    rng = np.random.default_rng([seed, n, k])
    table, found = draw(rng, n, k), {}
    for name, statistic in ICCS.items():
        drawn = Rows(np.arange(n), resamples, seed).drawn(statistic, table, np.arange(n))
        for how, ci in (("F", icc_by_f(table, name[4:-1])), ("bootstrap", drawn)):
            found[name, how] = ci is not None and ci[0] <= truth(name, k) <= ci[1]
    low, high = cronbach(draw(rng, n, ITEMS))["ci"]
    return found | {("Cronbach's alpha", "F"): low <= of_mean(truth("ICC(C,1)", 0), ITEMS) <= high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=999)
    args = parser.parse_args()
    rows = []
    for n, k in product(SESSIONS, RATERS):
        one = partial(covered, n=n, k=k, resamples=args.resamples)
        studies = [one(seed) for seed in range(args.studies)]
        for name, how in studies[0]:
            rate = float(np.mean([study[name, how] for study in studies]))
            rows.append({"sessions": n, "raters": k, "of": name, "by": how, "rate": round(rate, 4)})
    print("| sessions | raters | of | by | holds the truth |\n|---|---|---|---|---|")
    for row in rows:
        print("| {sessions} | {raters} | {of} | {by} | {rate:.1%} |".format(**row))
    print(json.dumps({"bench": "coverage of agreement", "studies": args.studies, "rows": rows}))


if __name__ == "__main__":
    main()
