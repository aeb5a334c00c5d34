"""How often the report's intervals hold the truth, and its tests err and find what is there.

    make coverage   (python -m tests.coverage [--studies 2000] [--designs 5000] [--processes 2])

Every number comes from the functions that write summary.json. Truth: the means that were published
for ACT-FM, clients' variance 6, residual variance 32 (ICC .158).

Intervals: 2,000 studies of 150 clients, and of 30 who lost a fifth of their sessions at random.

Tests: studies of 8, 20 and 50 clients in which sft's residual SD is that of the others or 1.6 times
it; without any difference (error), and with the published ones times sqrt(8 / clients) (power), so
that a test of known variances would find as much at every size. By chi-square and z, by F and t,
and client by client (Hotelling's T2, paired t). docs/errors.json keeps them; docs/plots.py draws.
Two tables for people; the last line is JSON.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread a process

import argparse
import json
import platform
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from multiprocessing import Pool

import numpy as np
import scipy
from tqdm import tqdm

from act.records import CONDITIONS
from act.statistics import contrasts
from act.statistics.bootstrap import icc_interval
from act.statistics.mixed import fit
from act.statistics.paired import unequal
from tests.conftest import ROOT

MEANS = np.array([26.26, 26.87, 22.12, 24.79, 29.48, 29.56])
SESSION, RESIDUAL = 6.0, 32.0
SIZES = {"150 x 6": (150, 0.0), "30 x 6, a fifth missing": (30, 0.2)}
INTERVAL, LEVEL, FAMILY = (0.93, 0.97), (0.04, 0.06), (0.0, 0.055)
CLIENTS, RATIOS = (8, 20, 50), (1.0, 1.6)
# A pair whose spreads are the same, and one with sft
PAIRS = {"instruct - orpo": ("instruct", "orpo"), "sft - orpo": ("sft", "orpo")}
BY = ("z, chi-square", "t, F", "paired")
NAMES = list(CONDITIONS)


def noise(rng: np.random.Generator, clients: int, ratio: float = 1.0) -> np.ndarray:
    """Clients' effects and residuals, (clients, 6); sft's residual SD is `ratio` times as wide."""
    spread = np.where(np.array(NAMES) == "sft", ratio, 1.0)
    effect = SESSION**0.5 * rng.standard_normal((clients, 1))
    return effect + RESIDUAL**0.5 * spread * rng.standard_normal((clients, 6))


def study(seed: int, size: str, resamples: int) -> dict[str, float]:
    """What one simulated study got right (intervals) and wrong (families of tests): quantity ->
    share of its chances."""
    clients, missing = SIZES[size]
    rng = np.random.default_rng([seed, clients])
    drawn = noise(rng, clients)
    cluster, cell = np.nonzero(rng.random((clients, 6)) >= missing)
    error, X = drawn[cluster, cell], np.eye(6)[cell]
    model, null = fit(X, MEANS[cell] + error, cluster), fit(X, error, cluster)
    means, pairs = contrasts.means(model, NAMES).values(), contrasts.pairwise(model, NAMES)
    truth = dict(zip(NAMES, MEANS, strict=True))
    differences = np.array([truth[row["a"]] - truth[row["b"]] for row in pairs])
    total = SESSION + RESIDUAL
    result = {}
    for by, end in (("normal", ""), ("t", "_satterthwaite")):
        result[f"means, {by}"] = share([row[f"ci{end}"] for row in means], MEANS)
        result[f"contrasts, {by}"] = share([row[f"ci{end}"] for row in pairs], differences)
        every = share([row[f"ci_adjusted{end}"] for row in pairs], differences)
        result[f"all contrasts at once, {by}"] = float(every == 1)
    tests = {"omnibus": contrasts.joint_test(null, contrasts.all_equal(6))}
    tests["interaction"] = contrasts.factorial(null, NAMES)["interaction"]
    for title, test in tests.items():
        result[f"{title} F"] = float(test["p_f"] < 0.05)
        result[f"{title} chi-square, normal"] = float(test["p"] < 0.05)
    d = share([row["d_ci"] for row in pairs], differences / total**0.5)
    ci = icc_interval(X, model.beta[cell] + error, cluster, resamples, seed)
    result["standardised contrasts d"] = d
    result["ICC"] = float(ci is not None and ci[0] <= SESSION / total <= ci[1])
    # of the second three pairs are equal, the other twelve differ
    no_cot = fit(X, error + MEANS[cell // 2 * 2], cluster)
    families = {"all equal": null, "CoT without effect": no_cot}
    for title, one in families.items():
        rows = contrasts.pairwise(one, NAMES)
        false = [row for row in rows if one is null or row["b"] == f"{row['a']}-cot"]
        wrong = [row["p_satterthwaite_holm_sidak"] < 0.05 for row in false]
        result[f"family of 15 by t, {title}"] = float(any(wrong))
    return result


def share(intervals: list[list[float]], truths: np.ndarray) -> float:
    low, high = np.array(intervals).T
    return float(((low <= truths) & (truths <= high)).mean())


def found_in(y: np.ndarray) -> dict[tuple[str, str], bool]:
    """(question, by what) -> does the test say that there is a difference? y (clients, 6)."""
    clients = len(y)
    cluster, cell = np.repeat(np.arange(clients), 6), np.tile(np.arange(6), clients)
    model = fit(np.eye(6)[cell], y.ravel(), cluster)
    test = contrasts.joint_test(model, contrasts.all_equal(6))
    pairs = contrasts.pairwise(model, NAMES)
    alone = unequal(y, NAMES)
    p = {"all six equal": (test["p"], test["p_f"], alone["omnibus"]["p"])}
    for title, names in PAIRS.items():
        place = next(i for i, row in enumerate(pairs) if (row["a"], row["b"]) == names)
        row = pairs[place]
        p[title] = (row["p"], row["p_satterthwaite"], alone["contrasts"][place]["p"])
    return {(title, by): p[title][i] < 0.05 for title, (i, by) in product(p, enumerate(BY))}


def design(seed: int, clients: int, ratio: float) -> list[tuple[bool, bool]]:
    """Of each question and test: found without any difference, found with the published ones."""
    drawn = noise(np.random.default_rng([seed, clients, int(10 * ratio)]), clients, ratio)
    null, true = found_in(drawn), found_in(drawn + MEANS * (8 / clients) ** 0.5)
    return [(null[key], true[key]) for key in null]


def simulated(work: Callable, times: int, title: str, processes: int) -> list:
    with Pool(processes) as pool:
        results = pool.imap(work, range(times), chunksize=8)
        return list(tqdm(results, total=times, desc=title, file=sys.stderr))


def coverage(args: argparse.Namespace) -> list[dict]:
    """A row a quantity of each size, printed as a table."""
    rows = []
    for size in SIZES:
        work = partial(study, size=size, resamples=args.resamples)
        results = simulated(work, args.studies, size, args.processes)
        for title in results[0]:
            values = np.array([result[title] for result in results])
            # Normal intervals stand beside those by t, and promise nothing.
            test = title.startswith(("omnibus", "interaction"))
            low, high = FAMILY if title.startswith("family") else LEVEL if test else INTERVAL
            promised = not title.endswith("normal")
            inside = bool(low <= values.mean() <= high) or not promised
            row = {"study": size, "quantity": title, "rate": round(float(values.mean()), 4)}
            error = round(float(values.std(ddof=1) / len(values) ** 0.5), 4)
            rows.append(row | {"monte_carlo_se": error, "low": low, "high": high, "inside": inside})
    print("| study | quantity | rate | Monte Carlo SE | wanted | |\n|---|---|---|---|---|---|")
    for row in rows:
        low, high = 100 * row["low"], 100 * row["high"]
        wanted = f"{low:g}-{high:g}%" if low else f"at most {high:g}%"
        error, mark = f"{100 * row['monte_carlo_se']:.1f}", "" if row["inside"] else "outside"
        cells = [row["study"], row["quantity"], f"{100 * row['rate']:.1f}%", error, wanted, mark]
        print("| " + " | ".join(cells) + " |")
    return rows


def errors(args: argparse.Namespace) -> list[dict]:
    """A row a question and test of each size and ratio of SDs, printed as a table."""
    rows = []
    for clients, ratio in product(CLIENTS, RATIOS):
        work = partial(design, clients=clients, ratio=ratio)
        title = f"{clients} clients, SD ratio {ratio:g}"
        rates = np.mean(simulated(work, args.designs, title, args.processes), axis=0)
        for (question, by), rate in zip(product(("all six equal", *PAIRS), BY), rates, strict=True):
            row = {"clients": clients, "ratio": ratio, "question": question, "by": by}
            rows.append(row | dict(zip(("error", "power"), rate.round(4).tolist(), strict=True)))
    print("\n| clients | SD ratio | question | by | error | power |\n|---|---|---|---|---|---|")
    for row in rows:
        cells = [row["clients"], row["ratio"], row["question"], row["by"]]
        cells += [f"{100 * row[name]:.1f}%" for name in ("error", "power")]
        print("| " + " | ".join(map(str, cells)) + " |")
    kept = {"designs": args.designs, "rows": rows}
    text = json.dumps(kept, indent=1)
    (ROOT / "docs/errors.json").write_text(text + "\n", encoding="utf-8")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=999)
    parser.add_argument("--designs", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    rows, tests = coverage(args), errors(args)
    outside = sum(not row["inside"] for row in rows)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    settings = {"studies": args.studies, "resamples": args.resamples, "designs": args.designs}
    found = {"outside": outside, "rows": rows, "tests": tests, "versions": versions}
    print(json.dumps({"bench": "coverage", **settings, **found}))
    sys.exit(outside > 0)


if __name__ == "__main__":
    main()
