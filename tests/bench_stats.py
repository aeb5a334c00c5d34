"""`make bench-stats`: 900 ratings analysed with 2,000 resamples an outcome, with and without their
sessions, then 60,000, and one model fit against statsmodels.

A session has 25 turns, drawn from the bundled ones: what is read of texts (danger, conduct) takes
its time, too. Each analysis is the whole command, figures and page included, as a user runs it:
seconds by the clock, seconds of CPU of both its processes (which other work on the machine moves
less), and the larger one's peak memory. One fit is REML with fixed effects, covariance and
log-likelihood from the same arrays: statsmodels' MixedLM.fit() as it comes, and with L-BFGS, the
quicker one of its optimisers. Prints a table and a JSON line.
"""

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import warnings
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import scipy
import statsmodels
from statsmodels.regression.mixed_linear_model import MixedLM

from act.dialogue.profiles import make_profiles
from act.forms import OUTCOMES
from act.records import CONDITIONS, read_jsonl
from act.statistics.mixed import fit
from act.statistics.ratings import score_sessions
from tests.conftest import ROOT
from tests.made_ratings import make_ratings, make_session, write

# Runs a command and says what it took: of its own the kernel would count this process's memory, too
MEASURE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"""
CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"


def seconds(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken)


def make_sessions(clients: int) -> list[dict]:
    """A session of each condition and client, of 25 turns."""
    profiles, draw = make_profiles(clients, 0), random.Random(0)
    turns = [turn for session in read_jsonl(CORPUS) for turn in session["turns"]]
    sessions = []
    for client in range(clients):
        for condition in CONDITIONS:
            session = make_session(condition, client)
            session["profile"] = profiles[client] | {"id": session["profile"]["id"]}
            sessions.append(session | {"turns": draw.sample(turns, 25)})
    return sessions


def whole(resamples: int, **files: list[dict]) -> dict[str, float]:
    """{"seconds", "cpu_s", "peak_mib"} of analyze.py on these records."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", MEASURE, sys.executable, "analyze.py", "--out", folder]
        command += ["--resamples", str(resamples)]
        for name, records in files.items():
            command += [f"--{name}", str(write(Path(folder) / f"{name}.jsonl", records))]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        taken = time.perf_counter() - start
    cpu, peak = map(float, done.stdout.split())
    return {"seconds": round(taken, 1), "cpu_s": round(cpu, 1), "peak_mib": round(peak)}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=150)
    parser.add_argument("--many", type=int, default=10_000, help="clients of the large study")
    parser.add_argument("--resamples", type=int, default=2000)
    args = parser.parse_args()
    ratings, sessions = make_ratings(args.clients), make_sessions(args.clients)
    analyses = {
        f"{len(ratings)} ratings": whole(args.resamples, ratings=ratings),
        "  with their sessions": whole(args.resamples, ratings=ratings, sessions=sessions),
        f"{args.many * 6} ratings": whole(args.resamples, ratings=make_ratings(args.many)),
    }
    scores = score_sessions(ratings, "integer", "ratings")

    X, y, cluster = scores.cells, scores.values["act_fm_total"], scores.profile
    _, code = np.unique(cluster, return_inverse=True)
    ours = seconds(lambda: fit(X, y, code), 50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = seconds(lambda: MixedLM(y, X, groups=code).fit(reml=True), 5)
        fastest = seconds(lambda: MixedLM(y, X, groups=code).fit(reml=True, method="lbfgs"), 5)
    print(f"{len(OUTCOMES)} outcomes, {args.resamples} resamples each")
    for name, used in analyses.items():
        shown = "{seconds:9.1f} s   CPU {cpu_s:6.1f} s   peak {peak_mib:6} MiB".format(**used)
        print(f"analyze.py, {name:<21}{shown}")
    print(f"one fit, ours                    {1e3 * ours:9.3f} ms")
    print(f"statsmodels, as it comes         {1e3 * theirs:9.3f} ms")
    print(f"statsmodels, L-BFGS              {1e3 * fastest:9.3f} ms")
    print(f"ours is {theirs / ours:.0f} and {fastest / ours:.0f} times faster")
    result = {
        "bench": "stats",
        "analyses": {name.strip(): used for name, used in analyses.items()},
        "fit_vs_statsmodels": round(theirs / ours, 1),
        "fit_ms": round(1e3 * ours, 3),
        "statsmodels_ms": round(1e3 * theirs, 1),
        "statsmodels_lbfgs_ms": round(1e3 * fastest, 1),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "statsmodels": statsmodels.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
