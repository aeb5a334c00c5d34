"""From scores to the numbers of the report: every outcome's analysis, and what could be wrong.

`summarise` is what analyze.py calls between reading its files and writing: the model (mixed.py) of
each outcome, what it says (contrasts.py), ICC's interval (bootstrap.py), clients, raters, failures.
"""

from collections import Counter

import numpy as np
import scipy

from act.forms import OUTCOMES
from act.records import CONDITIONS, WITH_WORDS
from act.statistics.bootstrap import icc_interval
from act.statistics.clients import archetypes, subgroups
from act.statistics.contrasts import compare, factorial
from act.statistics.covariates import by_rater, with_length
from act.statistics.diagnostics import diagnose, replicates
from act.statistics.mixed import Fit
from act.statistics.paired import head_to_head, unequal
from act.statistics.ratings import SUFFIX, TOTALS, Scores
from act.statistics.scales import alike, at_ends, consistency

# What an outcome's entry has of its model beside `compare`'s: None where "refused" says why
OF_THE_MODEL = ("variance", "icc", "r2", "factorial", "diagnostics", "singular")
PARTS = ("raters", "sensitivity", "archetype", "subgroups", "replicates", "missing")
LENGTH = "words_per_reply"  # the outcome of style that is a session's length
DRAWN = ("preference", *OUTCOMES)  # outcomes whose ICC has an interval: those of style have none


def summarise(
    ratings: list[dict] | None, sessions: list[dict] | None, held: dict[str, Scores], inputs: dict
) -> dict:
    """summary.json's content; None where it needs a file that there is not.

    `held`: outcome -> the scores that have it, in the order of the report. `inputs` says what was
    asked for: the files' names, "score" (the kind of rating), "resamples" and "seed". analyze.py
    adds what is known of preferences and of the judge, and what act/audit finds.
    """
    resamples, seed = inputs["resamples"], inputs["seed"]
    outcomes = {}
    for name, scores in held.items():
        outcomes[name] = analyse(scores, name, resamples if name in DRAWN else 0, seed)
    made = {
        "raters": sorted({rating["rater"] for rating in ratings or []}),
        "wordings": sorted({str(rating.get("wording") or "") for rating in ratings or []}),
        "ratings_per_session": None,
        "replayed": sum(map(replayed, sessions or [])),
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
    }
    summary = {
        "outcomes": outcomes,
        "failures": count_failures(ratings, sessions),
        **dict.fromkeys(PARTS),
        "input": inputs | made,
        "cronbach": consistency(ratings or [], SUFFIX[inputs["score"]]),
    }
    if ratings:
        scores = held[TOTALS[0]]
        summary["replicates"] = replicates(ratings, inputs["score"], scores)
        summary["raters"] = by_rater(ratings, scores)
        summary["missing"] = count_missing(ratings, sessions, scores)
        each = [int(scores.ratings.min()), int(scores.ratings.max())]
        summary["input"]["ratings_per_session"] = each
    if ratings and sessions:
        summary["sensitivity"] = without_failed(scores, sessions)
        summary["sensitivity"]["length"] = by_length(scores, held.get(LENGTH))
        summary["archetype"] = archetypes(scores, sessions)
        summary["subgroups"] = subgroups(scores, sessions)
    return summary


def by_length(scores: Scores, spoken: Scores | None) -> dict | None:
    """`with_length` of the rated sessions whose replies have a length; None where none has."""
    words = dict(zip(spoken.sessions, spoken.values[LENGTH], strict=True)) if spoken else {}
    kept = scores.where(np.isin(scores.sessions, list(words)))
    if not len(kept.profile):
        return None
    return with_length(kept, np.array([words[name] for name in kept.sessions]))


def replayed(session: dict) -> bool:
    """Were the client's lines recorded, the same whatever the therapist says?"""
    models = session.get("models")
    return isinstance(models, dict) and models.get("client") == "replayed"


def analyse(scores: Scores, outcome: str, resamples: int, seed: int) -> dict:
    """One outcome's entry in summary.json.

    `n` counts rated sessions; `sessions` counts CLIENTS and variance `session` is that between
    clients: the published analysis's names. Of "preference" it is pairs, and `n` counts margins.
    Where the model has no answer "refused" says why.
    """
    names, data, table = scores.conditions, scores.data(outcome), scores.table(outcome)
    result, model = compare(scores, outcome)
    # What was observed, won, and differs client by client: without the model.
    result["observed"] = {}
    for name, column in zip(names, table.T, strict=True):
        result["observed"][name] = observed(column[np.isfinite(column)], outcome)
    result |= {"wins": head_to_head(table, names), "unequal": unequal(table, names)}
    if model is None:
        return result | dict.fromkeys(OF_THE_MODEL)
    return result | {
        "variance": {"session": model.variance_cluster, "residual": model.variance_residual},
        "icc": icc_of(model, data, resamples, seed),
        "r2": dict(zip(("marginal", "conditional"), model.r2, strict=True)),
        "factorial": factorial(model, names),
        "diagnostics": diagnose(model, *data, scores.sessions),
        "singular": model.singular,
    }


def observed(y: np.ndarray, outcome: str) -> dict:
    """The scores of one condition without a model: n, mean, SD, shares at the scale's ends."""
    sd = float(y.std(ddof=1)) if len(y) > 1 else None
    return {"n": len(y), "mean": float(y.mean()), "sd": sd} | at_ends(y, outcome)


def icc_of(model: Fit, data: tuple, resamples: int, seed: int) -> dict:
    """The ICC of a model of `data` (Scores.data), its interval, and why there is none if one was
    asked for."""
    found = {"estimate": model.icc, "ci": None, "refused": None}
    if not resamples:
        return found
    found["refused"] = alike(data[1])
    if not found["refused"]:
        ci = icc_interval(*data, resamples, seed)
        found["refused"] = tells_nothing(ci)
        found["ci"] = None if found["refused"] else ci
    return found


def tells_nothing(ci: list[float] | None) -> str | None:
    """Why an interval of the ICC is not shown."""
    if ci is None:
        return "too few clients for a bootstrap"
    reads = [round(end, 2) for end in ci]
    if reads == [0, 1]:
        return "it would span all that is possible, 0.00 to 1.00"
    return "it would read 0.00 to 0.00, nothing but 0" if reads == [0, 0] else None


def failed(session: dict) -> bool:
    """A session that ended early or holds a turn that failed; it is rated on what there is of it.

    Four words, never mixed: a session *failed* as said here. A *failed rating* has a status other
    than "ok": the judge gave no whole form, so there is no score. A session is *unrated* if none of
    its ratings is "ok". *Missing* is what has no score: unrated, or not in the files at all.
    """
    broken = any(turn["status"] not in WITH_WORDS for turn in session["turns"])
    return broken or session["status"] != "complete"


def without_failed(scores: Scores, sessions: list[dict]) -> dict:
    """Do the answers hang on sessions that went wrong? Both totals without them, no bootstrap."""
    broken = [session["id"] for session in sessions if failed(session)]
    kept = scores.where(~np.isin(scores.sessions, broken))
    return {
        "excluded": len(scores.profile) - len(kept.profile),
        "outcomes": {name: analyse(kept, name, 0, 0) for name in TOTALS},
    }


def count_failures(ratings: list[dict] | None, sessions: list[dict] | None) -> dict[str, dict]:
    """What went wrong, per condition; None where there is no file that would tell."""
    result = {}
    for name in CONDITIONS:
        mine = [rating for rating in ratings or [] if rating["condition"] == name]
        held = [session for session in sessions or [] if session["condition"] == name]
        if not mine and not held:
            continue
        known = {rating["session"] for rating in mine} | {session["id"] for session in held}
        rated = {rating["session"] for rating in mine if rating["status"] == "ok"}
        turns = [turn for session in held for turn in session["turns"]]
        statuses = Counter(rating["status"] for rating in mine)
        of_ratings = {
            "ratings": len(mine),
            "failed_ratings": len(mine) - statuses["ok"],
            "rating_statuses": statuses,
            "unrated_sessions": len(known - rated),
        }
        of_sessions = {
            "sessions": len(held),
            "failed_sessions": sum(map(failed, held)),
            "session_statuses": Counter(session["status"] for session in held),
            "turns": len(turns),
            "turn_statuses": Counter(turn["status"] for turn in turns),
        }
        of_ratings = of_ratings if ratings is not None else dict.fromkeys(of_ratings)
        of_sessions = of_sessions if sessions is not None else dict.fromkeys(of_sessions)
        result[name] = of_ratings | of_sessions
    return result


def count_missing(ratings: list[dict], sessions: list[dict] | None, scores: Scores) -> dict:
    """How many of the study's sessions, profiles x conditions, have a rating that did not fail.

    Profiles and conditions are those of all ratings and of the session file. The model uses every
    rated session: right where a rating's absence does not depend on what it would have been.
    """
    held = sessions or []
    profiles = {rating["profile"] for rating in ratings}
    profiles = len(profiles | {session["profile"]["id"] for session in held})
    conditions = {record["condition"] for record in ratings + held}
    by_condition = {}
    for name in filter(conditions.__contains__, CONDITIONS):
        rated = int((scores.condition == name).sum())
        by_condition[name] = {"expected": profiles, "rated": rated, "missing": profiles - rated}
    return {
        "expected": profiles * len(conditions),
        "rated": len(scores.profile),
        "profiles": profiles,
        "by_condition": by_condition,
    }
