"""Made-up ratings and sessions for the tests of the analysis, whole and damaged."""

import json

import numpy as np

from act.records import CONDITIONS

SHIFT = dict(zip(CONDITIONS, (0.0, 0.1, -0.4, -0.2, 0.5, 0.6), strict=True))


def make_ratings(clients=8, rater="mistral-judge", replicates=1, seed=0):
    """Ratings whose ACT-FM and TES rise with SHIFT and with each client's own level; expected ones
    included."""
    rng = np.random.default_rng(seed)
    ratings = []
    for client in range(clients):
        level = rng.normal(0, 0.3)
        for condition in CONDITIONS:
            for replicate in range(replicates):
                act_fm = np.clip(1.5 + level + SHIFT[condition] + rng.normal(0, 0.6, 25), 0, 3)
                tes = np.clip(4 + level + SHIFT[condition] + rng.normal(0, 0.8, 9), 1, 7)
                ratings.append(
                    {
                        "session": f"{condition}/p{client:02}",
                        "condition": condition,
                        "profile": f"p{client:02}",
                        "rater": rater,
                        "replicate": replicate,
                        "act_fm": [int(round(value)) for value in act_fm],
                        "tes": [int(round(value)) for value in tes],
                        "act_fm_expected": [float(value) for value in act_fm],
                        "tes_expected": [float(value) for value in tes],
                        "status": "ok",
                        "attempts": 1,
                    }
                )
    return ratings


def make_session(
    condition, client, client_words="I feel low.", answer="What is that like?", status="complete"
):
    turn = {"client": client_words, "thinking": None, "answer": answer, "status": "ok"}
    turns = [turn, turn | {"client": "Hm.", "answer": "And now?", "status": "length"}]
    if status != "complete":
        turns.append({"client": "And?", "thinking": None, "answer": None, "status": status})
    profile = {"id": f"p{client:02}", "archetype": "hopeless skeptic"}
    return {
        "id": f"{condition}/p{client:02}",
        "condition": condition,
        "profile": profile,
        "turns": turns,
        "status": status,
    }


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def damage(name):
    """Ratings broken in one way, as text, and what the one line of complaint must hold."""
    ratings = make_ratings(3)
    lines = [json.dumps(rating) for rating in ratings]
    third = json.loads(lines[2])
    if name == "broken line":
        return "\n".join([*lines[:2], lines[2][:50], *lines[3:], ""]), r"ratings\.jsonl:3: "
    if name == "unknown condition":
        third |= {"condition": "dpo", "session": "dpo/p00"}
        six = "instruct, instruct-cot, sft, sft-cot, orpo, or"
        message = rf'ratings\.jsonl:3: unknown condition "dpo"; the six are {six}'
    elif name == "out of range":
        third["act_fm"][6] = 4
        message = r'ratings\.jsonl:3: "act_fm" item 7 is 4, outside 0\.\.3'
    elif name == "short form":
        third["tes"].pop()
        message = r'ratings\.jsonl:3: "tes" must be a list of 9 numbers'
    elif name == "duplicate":
        third = ratings[0]
        key = "session, rater, replicate instruct/p00, mistral-judge, 0"
        message = rf"ratings\.jsonl:3: a second record with {key}"
    elif name == "other session":
        third["session"] = "sft/p02"
        message = r'ratings\.jsonl:3: session "sft/p02" is not "sft/p00"'
    elif name == "empty":
        return "", r"ratings\.jsonl:1: no rating in this file"
    elif name == "all failed":
        failed = {"act_fm": None, "tes": None, "status": "form"}
        lines = [json.dumps(rating | failed) for rating in ratings]
        return "\n".join([*lines, ""]), r"ratings\.jsonl: all ratings failed"
    return "\n".join([*lines[:2], json.dumps(third), *lines[3:], ""]), message
