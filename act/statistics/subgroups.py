"""Which clients does it work for? Condition x archetype as one model, and each group of clients by
itself.

summary.py calls both where there is a session file, since only sessions hold the clients' profiles.
What comes out is summary.json's "archetype" and "subgroups": the first a planned comparison, the
second exploratory.
"""

import numpy as np

from act.statistics import contrasts
from act.statistics.analysis import TOTALS, Scores
from act.statistics.mixed import Fit, fit

FEWEST = 5  # clients of a group that is tested by itself
MOST = 12  # values of a profile field that makes groups: more are descriptions of single clients


def archetypes(scores: Scores, sessions: list[dict]) -> dict[str, dict]:
    """Both totals in a model of condition x archetype: {outcome: {"interaction", "archetype",
    "condition", "emm"}}.

    One mean per archetype and condition, client random. Each test has Wald's chi2, df and p, and
    beside them the F test's df2 and p_f (contrasts.f_test): archetypes are compared between
    clients, of whom there may be few. In a main effect every cell weighs the same. emm: mean, se,
    95% interval (normal) and n of each cell that has sessions. "refused" says why there are no
    tests: an empty cell, one archetype alone, a profile without one.
    """
    of = {session["profile"]["id"]: session["profile"].get("archetype") for session in sessions}
    group = np.array([str(of[profile]) if of[profile] else "" for profile in scores.profile])
    return {outcome: crossed(scores, outcome, group) for outcome in TOTALS}


def crossed(scores: Scores, outcome: str, group: np.ndarray) -> dict:
    """One outcome by condition x group, group (N,) of text, "" for none (see `archetypes`)."""
    result = dict.fromkeys(("interaction", "archetype", "condition", "emm", "refused"))
    names, groups = scores.conditions, sorted(set(group.tolist()))
    if not groups:
        return result | {"refused": "no rated session is left"}
    if "" in groups:
        lacking = len(set(scores.profile[group == ""].tolist()))
        return result | {"refused": f"{lacking} profile(s) have no archetype"}
    every = [(g, name) for g in groups for name in names]
    present = np.array([((group == g) & (scores.condition == name)).any() for g, name in every])
    cells = np.column_stack(
        [(group == g) & (scores.condition == name) for g, name in every]
    ).astype(float)
    try:
        model = fit(cells[:, present], scores.values[outcome], scores.profile)
    except ValueError as reason:
        return result | {"refused": str(reason)}
    result["emm"] = {g: {} for g in groups}
    held = [cell for cell, there in zip(every, present, strict=True) if there]
    for i, (g, name) in enumerate(held):
        mean, se = float(model.beta[i]), float(np.sqrt(model.covariance[i, i]))
        n = int(((group == g) & (scores.condition == name)).sum())
        result["emm"][g][name] = {
            "mean": mean,
            "se": se,
            "ci": contrasts.normal_interval(mean, se),
            "n": n,
        }
    if not present.all():
        g, name = every[int(np.argmin(present))]
        return result | {
            "refused": f'no rated session of archetype "{g}" in condition {name}: no tests'
        }
    if len(groups) < 2:
        return result | {"refused": f'all clients are of one archetype, "{groups[0]}"'}
    a, k = len(groups), len(names)
    between, within = contrasts.all_equal(a), contrasts.all_equal(k)
    return result | {
        "interaction": tested(model, np.kron(between, within)),
        "archetype": tested(model, np.kron(between, np.full((1, k), 1 / k))),
        "condition": tested(model, np.kron(np.full((1, a), 1 / a), within)),
    }


def tested(model: Fit, L: np.ndarray) -> dict:
    """Wald's test of L beta = 0 with the F test's df2 and p_f beside it."""
    f = contrasts.f_test(model, L)
    return contrasts.wald(model, L) | {"df2": f["df2"], "p_f": f["p"]}


def subgroups(scores: Scores, sessions: list[dict]) -> list[dict]:
    """Do the conditions differ among these clients? One row per total, profile field and value.

    Fields are those with 2 to 12 values; a list (personality) makes a group of each of its entries.
    Each row tests the conditions within its group: chi2, df, p; df2 and p_f of the F test, which
    knows that the group is small. q is Benjamini & Hochberg's (1995) false discovery rate over all
    rows, from p_f. n counts rated sessions, sessions the clients they share; best is the condition
    with the highest mean. A group of fewer than 5 clients is not tested.
    """
    profiles = {session["profile"]["id"]: session["profile"] for session in sessions}
    rows = []
    for outcome in TOTALS:
        for field, groups in fields(profiles).items():
            for value, members in groups.items():
                kept = scores.where(np.isin(scores.profile, members))
                rows.append(
                    {"outcome": outcome, "field": field, "value": value}
                    | _tested_alone(kept, outcome)
                )
    tests = [row["p_f"] for row in rows if row["p_f"] is not None]
    q = iter(benjamini_hochberg(np.array(tests)).tolist())
    return [row | {"q": next(q) if row["p_f"] is not None else None} for row in rows]


def fields(profiles: dict[str, dict]) -> dict[str, dict[str, list[str]]]:
    """Field -> value -> ids of the clients who have it, for fields that make 2 to 12 groups."""
    found: dict[str, dict[str, list[str]]] = {}
    for key, profile in profiles.items():
        for field, value in profile.items():
            for one in value if isinstance(value, list) else [value]:
                if field != "id" and isinstance(one, str | int):
                    found.setdefault(field, {}).setdefault(str(one), []).append(key)
    return {
        field: dict(sorted(groups.items()))
        for field, groups in found.items()
        if 2 <= len(groups) <= MOST
    }


def _tested_alone(scores: Scores, outcome: str) -> dict:
    row = {"n": len(scores.profile), "sessions": len(set(scores.profile.tolist()))}
    row |= dict.fromkeys(("chi2", "df", "p", "df2", "p_f", "best", "refused"))
    try:
        if row["sessions"] < FEWEST:
            raise ValueError(f"fewer than {FEWEST} clients")
        if len(scores.conditions) < 2:
            raise ValueError(f"sessions of {len(scores.conditions)} condition(s) only")
        model = fit(scores.cells, scores.values[outcome], scores.profile)
    except ValueError as reason:
        return row | {"refused": str(reason)}
    best = scores.conditions[int(np.argmax(model.beta))]
    return row | tested(model, contrasts.all_equal(len(model.beta))) | {"best": best}


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q_(j) = min over i >= j of p_(i) k / i, p_(1) <= .. <= p_(k). Of [.01, .04, .03]: [.03, .04,
    .04]."""
    order = np.argsort(p, kind="stable")
    k = len(p)
    q = np.empty(k)
    q[order] = np.minimum.accumulate((p[order] * k / np.arange(1, k + 1))[::-1])[::-1]
    return q
