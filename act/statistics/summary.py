"""Everything that summary.json holds, and the report shows, from ratings and sessions that were
read.

analyze.py calls it between reading its files and writing: what comes out is summary.json as it is
written, and all that act/report is given to show.
"""

import numpy as np
import scipy

from act.audit import safety
from act.forms import OUTCOMES
from act.statistics import analysis, sensitivity, subgroups
from act.statistics.diagnostics import outcomes_agreement
from act.statistics.replicates import replicates


def summarise(
    ratings: list[dict],
    sessions: list[dict] | None,
    scores: analysis.Scores,
    check: dict | None,
    inputs: dict,
) -> dict:
    """The analysis of every outcome, and what could be wrong with it; None where it needs what was
    not given.

    `inputs` says what was asked for: the files' names, "score" (the kind of rating), "resamples"
    and "seed".
    """
    resamples, seed = inputs["resamples"], inputs["seed"]
    return {
        "outcomes": {name: analysis.analyse(scores, name, resamples, seed) for name in OUTCOMES},
        "failures": analysis.count_failures(ratings, sessions),
        "sensitivity": sensitivity.without_failed(scores, sessions, seed) if sessions else None,
        "archetype": subgroups.archetypes(scores, sessions) if sessions else None,
        "subgroups": subgroups.subgroups(scores, sessions) if sessions else None,
        "outcomes_agreement": outcomes_agreement(scores.values, scores.cells, scores.profile),
        "replicates": replicates(ratings, inputs["score"], scores),
        "missing": analysis.count_missing(ratings, sessions, scores),
        "safety": safety.audit(sessions) if sessions else None,
        "judge_check": check,
        "input": inputs
        | {
            "raters": sorted({rating["rater"] for rating in ratings}),
            "ratings_per_session": [int(scores.ratings.min()), int(scores.ratings.max())],
            "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        },
    }
