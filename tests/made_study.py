"""A made-up study of the published one's shape: its means and spreads (METHOD.md), its failures,
four archetypes.

    python -m tests.made_study FOLDER [CLIENTS] [REPLICATES]

writes ratings.jsonl and sessions.jsonl there.

Nothing in it was rated by anyone: it is there to look at the report and to test it at full size.
"""

import json
import sys
from pathlib import Path

import numpy as np

from act.forms import ACT_FM
from act.records import CONDITIONS
from tests.made_ratings import write

CORPUS = Path(__file__).parents[1] / "act/dialogue/corpus/sessions.jsonl"
PUBLISHED = {  # condition -> mean and SD of the ACT-FM total and of the TES mean
    "instruct": (26.26, 5.84, 5.45, 0.90),
    "instruct-cot": (26.87, 6.12, 5.29, 0.95),
    "sft": (22.12, 8.00, 4.71, 1.34),
    "sft-cot": (24.79, 6.55, 5.07, 1.03),
    "orpo": (29.48, 5.02, 5.76, 0.82),
    "orpo-cot": (29.56, 5.46, 5.68, 0.88),
}
FAILED = {"instruct-cot": 35 / 150, "sft-cot": 8 / 150, "sft": 5 / 150, "orpo-cot": 4 / 150}
ARCHETYPES = (
    "hopeless-skeptic",
    "intellectualiser",
    "anxious-fortune-teller",
    "overwhelmed-avoider",
)
ISSUES = ("low mood", "worry", "chronic pain", "grief", "burnout")


def make_study(clients=150, replicates=1, seed=0, rater="mistral-large-tuned"):
    """(ratings, sessions), `clients` in each of the six conditions."""
    rng = np.random.default_rng(seed)
    corpus = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    ratings, sessions = [], []
    for client in range(clients):
        profile = {
            "id": f"p{client + 1:03}",
            "archetype": ARCHETYPES[client % 4],
            "gender": ("woman", "man", "non-binary")[int(rng.choice(3, p=[0.48, 0.46, 0.06]))],
            "age": ("18-29", "30-44", "45-59", "60-74")[int(rng.integers(4))],
            "issue": ISSUES[int(rng.integers(len(ISSUES)))],
        }
        level = rng.normal(0, 0.4) - 0.25 * (client % 4 == 0)  # skeptics are harder to work with
        for condition in CONDITIONS:
            mean, sd, tes_mean, tes_sd = PUBLISHED[condition]
            z = level + rng.normal(0, 0.9)
            broke = rng.random() < FAILED.get(condition, 0)
            fidelity = mean + sd * (z - 1.2 * broke)
            empathy = tes_mean + tes_sd * (0.8 * z + 0.6 * rng.normal() - 1.2 * broke)
            names = {
                "session": f"{condition}/{profile['id']}",
                "condition": condition,
                "profile": profile["id"],
            }
            for replicate in range(replicates):
                ratings.append(
                    names
                    | {"rater": rater, "replicate": replicate}
                    | rate(rng, fidelity, empathy, condition.startswith("sft"))
                    | {"status": "ok", "attempts": 1}
                )
            sessions.append(make_session(rng, corpus, names["session"], condition, profile, broke))
    for rating in ratings[5::397]:
        rating.update(act_fm=None, tes=None, status="form")
    return ratings, sessions


def rate(rng, fidelity, empathy, lectures):
    """Whole ratings of all items about a session's own level."""
    act_fm = []
    for item in ACT_FM.items:
        centre = fidelity / 12 + (
            0.25 if item.subscale == "open" else -0.15 if item.subscale == "aware" else 0
        )
        if item.direction == "inconsistent":
            centre = 1.3 - fidelity / 30 + 0.5 * (lectures and item.subscale == "stance")
        act_fm.append(int(np.clip(round(centre + rng.normal(0, 0.45)), 0, 3)))
    tes = [int(np.clip(round(empathy + rng.normal(0, 0.6)), 1, 7)) for _ in range(9)]
    return {"act_fm": act_fm, "tes": tes}


def make_session(rng, corpus, name, condition, profile, broke):
    turns = []
    said = corpus[int(rng.integers(len(corpus)))]["turns"]
    for number in range(10):
        turn = said[number % len(said)]
        thinking = turn["thinking"] if condition.endswith("-cot") else None
        turns.append(
            {
                "client": turn["client"],
                "thinking": thinking,
                "answer": turn["answer"],
                "status": "ok",
            }
        )
    if rng.random() < (0.2 if condition == "sft" else 0.05):
        turns[3] = turns[3] | {
            "answer": "Have you been having thoughts of suicide? I would ask anyone in your place."
        }
    if rng.random() < 0.08:
        turns[5] = turns[5] | {
            "client": "Some nights I think everyone would be better off if I took all my pills."
        }
    status = "complete"
    if broke:
        status = "format" if condition.endswith("-cot") else "context"
        turns[-1] = turns[-1] | {"thinking": None, "answer": None, "status": status}
    return {
        "id": name,
        "condition": condition,
        "profile": profile,
        "turns": turns,
        "status": status,
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    made = make_study(*map(int, sys.argv[2:4]))
    for name, records in zip(("ratings", "sessions"), made, strict=True):
        write(folder / f"{name}.jsonl", records)
