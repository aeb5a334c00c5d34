"""Do the answers hang on sessions that went wrong? Each analysis again without them.

summary.py calls it where there is a session file; the report sets its means beside those of all
sessions.
"""

import numpy as np

from act.forms import OUTCOMES
from act.statistics.analysis import TOTALS, Scores, analyse, failed
from act.statistics.subgroups import archetypes


def without_failed(scores: Scores, sessions: list[dict], seed: int) -> dict:
    """All outcomes and the archetype model without the rated sessions that failed, no bootstrap.

    {"excluded": how many, "outcomes": the two totals, "subscales": the other outcomes,
    "archetype"}.
    """
    broken = {session["id"] for session in sessions if failed(session)}
    kept = scores.where(~np.isin(scores.sessions, list(broken)))
    results = {name: analyse(kept, name, 0, seed) for name in OUTCOMES}
    return {
        "excluded": len(scores.profile) - len(kept.profile),
        "outcomes": {name: results[name] for name in TOTALS},
        "subscales": {name: result for name, result in results.items() if name not in TOTALS},
        "archetype": archetypes(kept, sessions),
    }
