"""Random small studies through the whole analysis, from ratings to the page.

    make small-designs   (python -m tests.small_designs [--designs 20000] [--processes 2])

2 to 12 clients and 1 to 6 conditions, sessions missing at random, integer scales, some constant or
nearly so, several raters, replicates, preferences. Each must come to strict JSON, a page and a
terminal's answer, without traceback or warning; what cannot be estimated is null and has a reason.
Beside them sparse designs, whose restricted likelihood may have two maxima: what `fit` finds is
never below the highest of 2,000 points.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread a process

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from tqdm import tqdm

import analyze
from act.audit.safety import audit
from act.records import CONDITIONS
from act.report import terminal
from act.report.figures import make_figures
from act.report.page import Report, write_page
from act.report.tables import make_tables
from act.statistics import analysis
from act.statistics.mixed import Clusters, criterion, fit, solve_ratio
from act.statistics.preferences import explore, score_preferences
from act.statistics.ratings import score_sessions
from tests.made_ratings import make_session

FINE = np.concatenate([[0], np.logspace(-4, 5, 1999)])


def small_study(seed):
    """(ratings, sessions or None, preferences or None)."""
    rng = np.random.default_rng([18, seed])
    clients, conditions = int(rng.integers(2, 13)), rng.permutation(6)[: rng.integers(1, 7)]
    missing, spread = rng.choice([0, 0.2, 0.5, 0.8]), rng.choice([0, 0.05, 0.3, 1.0])
    raters, replicates = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2]))
    centre, by_client = rng.choice([0.0, 1.5, 3.0]), rng.choice([0, 0.3, 3]) * rng.normal(size=12)
    ratings, sessions, preferences = [], [], []
    for client in range(clients):
        for condition in [CONDITIONS[i] for i in sorted(conditions)]:
            session = make_session(condition, client, answer="Yes. " * int(rng.integers(1, 4)))
            session["profile"]["archetype"] = ("a", "b")[client % 2]
            session["status"] = "context" if rng.random() < 0.1 else "complete"
            sessions.append(session)
            if rng.random() < missing and (ratings or client < clients - 1):
                continue
            names = {"session": session["id"], "condition": condition}
            for replicate in range(replicates):
                level = centre + by_client[client] + spread * rng.normal(size=34)
                act_fm = np.clip(level[:25].round(), 0, 3).astype(int).tolist()
                tes = np.clip(4 + level[25:].round(), 1, 7).astype(int).tolist()
                rater = f"r{(client + replicate) % raters if seed % 2 else rng.integers(raters)}"
                one = {"rater": rater, "replicate": replicate, "status": "ok", "order": client}
                one |= {"profile": session["profile"]["id"], "act_fm": act_fm, "tes": tes}
                ratings.append(names | one)
            side = {"logp": -1.0, "tokens": 5 + client, "end_logp": -1.0}
            shows = side | {"logp": -1 - round(abs(level[0]), int(rng.integers(3)))}
            about = {"form": "TES", "item": 1, "direction": None, "pair": f"p{client}"}
            about |= {"id": f"{condition}/p{client}", "condition": condition}
            preferences.append(about | {"shows": shows, "lacks": side})
    return ratings, sessions if seed % 3 else None, preferences if seed % 4 else None


def analysed(seed):
    """What became of it: a word; raises for anything that must not be."""
    ratings, sessions, preferences = small_study(seed)
    if not ratings:
        return "no ratings"
    held = {"preference": score_preferences(preferences)} if preferences else {}
    scores = score_sessions(ratings, "integer", "ratings")
    held |= dict.fromkeys(scores.values, scores) | analyze.score_style(sessions or [])
    inputs = {"ratings": "r", "sessions": sessions and "s", "score": "integer"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = analysis.summarise(
            ratings, sessions, held, inputs | {"resamples": 20, "seed": seed}
        )
        summary |= {"judge_check": None, "preferences": None}
        if preferences:
            summary["preferences"] = explore(preferences, held["preference"])
        analyze.add_conduct(summary, sessions)
        summary["safety"] = audit(sessions) if sessions else None
        text = json.dumps(summary, allow_nan=False)
        tables = make_tables(summary, held, sessions)
        said = "\n".join(terminal.answer(summary, tables))
        figures = make_figures(tables)
        for figure in figures.values() if seed % 100 == 7 else ():  # they take their time
            assert figure.render("svg")
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            write_page(page, Report(summary, tables, figures, {}))
            said += page.read_text()
            for table in tables.values():
                if table.csv:
                    table.to_csv(Path(folder) / "table.csv")
    assert not {"nan", "inf"} & set(said.replace("−", " ").split()), seed
    for minus in "-−":
        assert f"{minus}0.00 " not in said and f"{minus}0.00<" not in said, seed
    outcomes = summary["outcomes"].values()
    for one in outcomes:
        # null with a reason, or there; and no reason is a library's
        assert (one["emm"] is None) == bool(one["refused"]), seed
        assert all(
            bool(row["refused"]) == (row["p"] is None) for row in one["unequal"]["contrasts"]
        )
    assert "Singular matrix" not in text, seed
    fitted = sum(one["refused"] is None for one in outcomes)
    return "all" if fitted == len(outcomes) else "some" if fitted else "none"


def sparse(seed):
    """A design of 4 to 30 clients who each met a few conditions: X, y and the rows' clusters."""
    rng = np.random.default_rng([2, seed])
    m, k = int(rng.integers(4, 31)), int(rng.integers(2, 7))
    cluster, cell = np.repeat(np.arange(m), k), np.tile(np.arange(k), m)
    keep = rng.random(m * k) < rng.uniform(0.15, 0.6)
    cluster, cell = cluster[keep], cell[keep]
    y = 25 + rng.choice([0.3, 1, 3]) * rng.normal(size=m)[cluster] + 5 * rng.normal(size=len(cell))
    X = np.eye(k)[cell]
    return X[:, X.any(0)], (4 * y).round() / 4, cluster


def is_best(seed):
    """None where the model is refused; else is its criterion no higher than at any of FINE, and
    how many minima are there?"""
    X, y, cluster = sparse(seed)
    try:
        fit(X, y, cluster)
    except ValueError:
        return None
    clusters = Clusters.of(X, y, cluster)
    moments = clusters.pool(np.ones((1, len(clusters.sizes))))
    found = criterion(moments, solve_ratio(moments)).value[0]
    values = criterion(moments.take(np.zeros(len(FINE), int)), FINE).value
    walled = np.concatenate([[np.inf], values, [np.inf]])
    minima = ((values < walled[:-2]) & (values <= walled[2:])).sum()
    return bool(found <= values.min() + 1e-9 * abs(values.min())), int(minima)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", type=int, default=20_000)
    parser.add_argument("--sparse", type=int, default=5_000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with Pool(args.processes) as pool:
        work = pool.imap(analysed, range(args.designs), chunksize=20)
        outcomes = Counter(tqdm(work, total=args.designs, file=sys.stderr))
        best = [one for one in pool.imap(is_best, range(args.sparse), chunksize=50) if one]
    several, worse = sum(n > 1 for _, n in best), sum(not good for good, _ in best)
    print(f"{args.designs} small designs, no traceback, NaN or warning; of their outcomes fitted:")
    print(dict(outcomes))
    print(f"{len(best)} of {args.sparse} sparse designs have an answer, {several} two minima")
    print(f"{worse} answers lie above a grid of {len(FINE)} points")
    print(json.dumps({"bench": "small designs", "designs": args.designs, "worse": worse}))
    sys.exit(worse > 0)


if __name__ == "__main__":
    main()
