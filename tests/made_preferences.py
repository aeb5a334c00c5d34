"""Made-up preferences of the bundled pairs, whose truth is known.

    python -m tests.made_preferences FILE

Margins are MEANS + a pair's effect (SD .5) + the residual (SD .15); no model scored anything. A
reply's logp is about -5, and the margin is shared out between the two.
"""

import sys
from pathlib import Path

import numpy as np

from act.forms import FORMS
from act.records import CONDITIONS
from tests.made_ratings import write

MEANS = dict(zip(CONDITIONS, (-0.22, -0.20, -0.07, -0.06, -0.02, -0.01), strict=True))
PAIR_SD, RESIDUAL_SD = 0.5, 0.15


def make_preferences(each=4, seed=0, means=MEANS, longer=0, per_token=None):
    """One record a condition and pair, `each` pairs of each of the 34 items. The wanted reply is
    `longer` on average, and a token more adds per_token[condition] to the margin."""
    rng = np.random.default_rng(seed)
    records = []
    for form in FORMS:
        for item in form.items:
            for number in range(1, each + 1):
                pair = f"{form.name.lower()}-{item.number:02}-{number}"
                effect, tokens = rng.normal(0, PAIR_SD), rng.integers(30, 90, 2).tolist()
                tokens[0] += longer  # the wanted reply's
                for condition, mean in means.items():
                    slope = (per_token or {}).get(condition, 0.0)
                    margin = mean + effect + rng.normal(0, RESIDUAL_SD)
                    margin += slope * (tokens[0] - tokens[1])
                    sides = []
                    for sign, count in zip((1, -1), tokens, strict=True):
                        end = float(-rng.exponential(2))
                        logp = -5 + sign * margin / 2
                        sides.append({"logp": logp, "tokens": count, "end_logp": end})
                    if item.direction == "inconsistent":
                        sides.reverse()  # the reply that lacks it is wanted
                    records.append(
                        {
                            "id": f"{condition}/{pair}",
                            "condition": condition,
                            "pair": pair,
                            "form": form.name,
                            "item": item.number,
                            "direction": item.direction or None,
                            "shows": sides[0],
                            "lacks": sides[1],
                            "thinking": None,
                            "source": "bundled",
                            "models": {},
                        }
                    )
    return records


if __name__ == "__main__":
    write(Path(sys.argv[1]), make_preferences())
