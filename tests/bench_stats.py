"""`make bench-stats`: 900 sessions analysed with 2,000 resamples an outcome, and one model fit
against statsmodels.

A session has 25 turns, drawn from the bundled ones: what is read of texts (danger, conduct) takes
its time, too.

full_analysis_s is the whole command, figures and page included, as a user runs it on all cores at
hand; numbers_s the part that computes, its eleven outcomes one after another. One fit is REML with
fixed effects, covariance and log-likelihood from the same arrays: statsmodels' MixedLM.fit() as it
comes, and with L-BFGS, the quicker one of its optimisers. Prints a table and a JSON line.
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
from act.statistics.analysis import analyse
from act.statistics.mixed import fit
from act.statistics.ratings import score_sessions
from tests.conftest import ROOT
from tests.made_ratings import make_ratings, make_session, write

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"


def seconds(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=150)
    parser.add_argument("--resamples", type=int, default=2000)
    args = parser.parse_args()
    ratings, profiles = make_ratings(args.clients), make_profiles(args.clients, 0)
    sessions = [
        make_session(condition, client)
        for client in range(args.clients)
        for condition in CONDITIONS
    ]
    turns = [turn for session in read_jsonl(CORPUS) for turn in session["turns"]]
    draw = random.Random(0)
    for session in sessions:
        client = int(session["profile"]["id"][1:])
        session["profile"] = profiles[client] | {"id": session["profile"]["id"]}
        session["turns"] = draw.sample(turns, 25)
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write(Path(folder) / f"{name}.jsonl", rows)
            for name, rows in (("r", ratings), ("s", sessions))
        ]
        words = ("--ratings", paths[0], "--sessions", paths[1], "--out", folder)
        command = [sys.executable, "analyze.py", *words, "--resamples", args.resamples]
        start = time.perf_counter()
        subprocess.run([str(word) for word in command], cwd=ROOT, check=True, capture_output=True)
        whole = time.perf_counter() - start
    scores = score_sessions(ratings, "integer", "ratings")
    numbers = seconds(lambda: [analyse(scores, name, args.resamples, 0) for name in OUTCOMES], 1)

    X, y, cluster = scores.cells, scores.values["act_fm_total"], scores.profile
    _, code = np.unique(cluster, return_inverse=True)
    ours = seconds(lambda: fit(X, y, code), 50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = seconds(lambda: MixedLM(y, X, groups=code).fit(reml=True), 5)
        fastest = seconds(lambda: MixedLM(y, X, groups=code).fit(reml=True, method="lbfgs"), 5)
    print(
        f"{len(scores.profile)} sessions, {len(OUTCOMES)} outcomes, {args.resamples} resamples each"
    )
    print(f"analyze.py, whole                {whole:9.2f} s")
    print(f"  its outcomes' numbers          {numbers:9.2f} s")
    print(f"one fit, ours                    {1e3 * ours:9.3f} ms")
    print(f"statsmodels, as it comes         {1e3 * theirs:9.3f} ms")
    print(f"statsmodels, L-BFGS              {1e3 * fastest:9.3f} ms")
    print(f"ours is {theirs / ours:.0f} and {fastest / ours:.0f} times faster")
    result = {
        "bench": "stats",
        "full_analysis_s": round(whole, 2),
        "fit_vs_statsmodels": round(theirs / ours, 1),
        "numbers_s": round(numbers, 2),
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
