"""How often the report's intervals hold the truth, and its tests err: 2,000 simulated studies each
of two sizes.

    make coverage   (python -m tests.coverage [--studies 2000] [--resamples 999] [--processes 2])

Every number comes from the functions that write summary.json. Truth: the means that were published
for ACT-FM, clients' variance 6, residual variance 32 (ICC .158). "small" is 30 clients who each
lost a fifth of their sessions at random, a new pattern in each study. A table for people; the last
line is JSON.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread a process

import argparse
import json
import platform
import sys
from functools import partial
from multiprocessing import Pool

import numpy as np
import scipy
from tqdm import tqdm

from act.records import CONDITIONS
from act.statistics import contrasts
from act.statistics.bootstrap import icc_interval
from act.statistics.mixed import fit

MEANS = np.array([26.26, 26.87, 22.12, 24.79, 29.48, 29.56])
SESSION, RESIDUAL = 6.0, 32.0
SIZES = {"150 x 6": (150, 0.0), "30 x 6, a fifth missing": (30, 0.2)}
INTERVAL, LEVEL, FAMILY = (0.93, 0.97), (0.04, 0.06), (0.0, 0.055)


def study(seed: int, size: str, resamples: int) -> dict[str, float]:
    """What one simulated study got right (intervals) and wrong (tests): quantity -> share of its
    chances."""
    clients, missing = SIZES[size]
    rng = np.random.default_rng([seed, clients])
    cluster, cell = np.repeat(np.arange(clients), 6), np.tile(np.arange(6), clients)
    noise = np.sqrt(SESSION) * rng.standard_normal(clients)[cluster] + np.sqrt(
        RESIDUAL
    ) * rng.standard_normal(len(cell))
    keep = rng.random(len(cell)) >= missing
    cluster, cell, noise = cluster[keep], cell[keep], noise[keep]
    X, names = np.eye(6)[cell], list(CONDITIONS)
    y = MEANS[cell] + noise
    model, null = fit(X, y, cluster), fit(X, noise, cluster)
    truth = dict(zip(names, MEANS, strict=True))
    means, pairs = contrasts.means(model, names), contrasts.pairwise(model, names)
    differences = [truth[row["a"]] - truth[row["b"]] for row in pairs]
    total = SESSION + RESIDUAL
    result = {
        "means, normal": share([row["ci"] for row in means.values()], MEANS),
        "means, t": share([row["ci_satterthwaite"] for row in means.values()], MEANS),
        "contrasts, normal": share([row["ci"] for row in pairs], differences),
        "contrasts, t": share(
            [contrasts.interval(row["difference"], row["se"], row["df"]) for row in pairs],
            differences,
        ),
        "standardised contrasts d": share(
            [row["d_ci"] for row in pairs], np.array(differences) / total**0.5
        ),
        "all contrasts at once": float(
            share([row["ci_adjusted"] for row in pairs], differences) == 1
        ),
    }
    ci = icc_interval(X, y, cluster, resamples, seed)
    result["ICC"] = float(ci is not None and ci[0] <= SESSION / total <= ci[1])
    every = contrasts.all_equal(6)
    families = {
        "family of 15, all equal": contrasts.pairwise(null, names),
        "family of 15, CoT without effect": contrasts.pairwise(
            fit(X, noise + MEANS[cell // 2 * 2], cluster), names
        ),  # three pairs are equal, the other twelve differ
    }
    result |= {
        "omnibus chi-square": float(contrasts.wald(null, every)["p"] < 0.05),
        "omnibus F": float(contrasts.f_test(null, every)["p"] < 0.05),
        "interaction chi-square": float(
            contrasts.factorial(null, names)["interaction"]["p"] < 0.05
        ),
    }
    for title, rows in families.items():
        false = [row for row in rows if title.endswith("equal") or row["b"] == f"{row['a']}-cot"]
        result[title] = float(any(row["p_holm_sidak"] < 0.05 for row in false))
    return result


def share(intervals: list[list[float]], truths: np.ndarray) -> float:
    low, high = np.array(intervals).T
    return float(((low <= truths) & (truths <= high)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=999)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    rows, outside = [], 0
    for size in SIZES:
        one = partial(study, size=size, resamples=args.resamples)
        with Pool(args.processes) as pool:
            studies = pool.imap(one, range(args.studies), chunksize=8)
            results = list(tqdm(studies, total=args.studies, desc=size, file=sys.stderr))
        for title in results[0]:
            values = np.array([result[title] for result in results])
            test = title.startswith(("omnibus", "interaction"))
            low, high = FAMILY if title.startswith("family") else LEVEL if test else INTERVAL
            inside = bool(low <= values.mean() <= high)
            outside += not inside
            row = {"study": size, "quantity": title, "rate": round(float(values.mean()), 4)}
            error = round(float(values.std(ddof=1) / len(values) ** 0.5), 4)
            rows.append(row | {"monte_carlo_se": error, "low": low, "high": high, "inside": inside})
    print("| study | quantity | rate | Monte Carlo SE | wanted | |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        low, high = 100 * row["low"], 100 * row["high"]
        wanted = f"{low:g}-{high:g}%" if low else f"at most {high:g}%"
        error, mark = f"{100 * row['monte_carlo_se']:.1f}", "" if row["inside"] else "outside"
        cells = [row["study"], row["quantity"], f"{100 * row['rate']:.1f}%", error, wanted, mark]
        print("| " + " | ".join(cells) + " |")
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    settings = {"studies": args.studies, "resamples": args.resamples, "outside": outside}
    print(json.dumps({"bench": "coverage", **settings, "rows": rows, "versions": versions}))
    sys.exit(outside > 0)


if __name__ == "__main__":
    main()
