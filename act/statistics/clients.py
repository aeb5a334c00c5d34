"""Which clients does it work for? Condition x archetype as one model, a planned comparison, and
each group of clients by itself, exploratory. Both need the session file, since only sessions hold
the clients' profiles.
"""

from itertools import product

import numpy as np
from scipy import stats

from act.statistics.contrasts import all_equal, compare, joint_test, means
from act.statistics.mixed import fit
from act.statistics.ratings import TOTALS, Scores

FEWEST = 5  # clients of a group that is tested by itself
MOST = 12  # values of a profile field that makes groups: more describe single clients
TEST = ("f", "df", "df2", "p_f", "chi2", "p")  # of `joint_test`
MEAN = ("mean", "se", "ci", "ci_satterthwaite")  # of `means`


def archetypes(scores: Scores, sessions: list[dict]) -> dict[str, dict]:
    """Both totals in a model of one mean per archetype and condition, client random.

    {outcome: {"interaction", "archetype", "condition", "emm", "refused"}}: three tests
    (`contrasts.joint_test`), in a main effect every cell weighing the same; mean, se, 95% intervals
    (t, and normal) and n of each cell with sessions; why there are no tests: an empty cell, one
    archetype, a profile without one.
    """
    profiles = [session["profile"] for session in sessions]
    kinds = {profile["id"]: profile["archetype"] for profile in profiles}
    group = np.array([kinds[profile] for profile in scores.profile])
    return {outcome: crossed(scores, outcome, group) for outcome in TOTALS}


def crossed(scores: Scores, outcome: str, group: np.ndarray) -> dict:
    """One outcome by condition x group, group (N,) of text, "" for none (see `archetypes`)."""
    result = dict.fromkeys(("interaction", "archetype", "condition", "emm", "refused"))
    names, groups = scores.conditions, sorted(set(group.tolist()))
    a, k = len(groups), len(names)
    if k < 2:
        return result | {"refused": f"{k} condition(s) only"}
    if "" in groups:
        lacking = len(set(scores.profile[group == ""].tolist()))
        return result | {"refused": f"{lacking} profile(s) have no archetype"}
    every = list(product(groups, names))
    # (N, a k): one column a cell, in the order of `every`; some may be empty
    member = np.equal.outer(group, groups)
    cells = (member[:, :, None] * scores.cells[:, None]).reshape(-1, a * k)
    counts = cells.sum(0).astype(int)
    present = np.flatnonzero(counts)
    try:
        model = fit(cells[:, present], scores.values[outcome], scores.profile)
    except ValueError as reason:
        return result | {"refused": str(reason)}
    result["emm"] = {g: {} for g in groups}
    for i, mean in means(model, present.tolist()).items():
        g, name = every[i]
        result["emm"][g][name] = {field: mean[field] for field in MEAN} | {"n": int(counts[i])}
    if not counts.all():
        g, name = every[counts.argmin()]
        lost = f'no rated session of archetype "{g}" in condition {name}'
        return result | {"refused": f"{lost}: no tests"}
    if a < 2:
        return result | {"refused": f'all clients are of one archetype, "{groups[0]}"'}
    # Differences of archetypes (a - 1, a) and conditions (k - 1, k), and the means of either
    between, within = all_equal(a), all_equal(k)
    any_archetype, any_condition = np.full((1, a), 1 / a), np.full((1, k), 1 / k)
    return result | {
        "interaction": joint_test(model, np.kron(between, within)),
        "archetype": joint_test(model, np.kron(between, any_condition)),
        "condition": joint_test(model, np.kron(any_archetype, within)),
    }


def subgroups(scores: Scores, sessions: list[dict]) -> list[dict]:
    """Do the conditions differ among these clients? One row per total, profile field and value.

    Each row has the test of the conditions within its group, and as q Benjamini &
    Hochberg's (1995) false discovery rate over all rows, from p_f. n counts rated sessions,
    sessions the clients they share; best is the condition with the highest mean. A group of fewer
    than 5 clients is not tested.
    """
    rows = []
    for outcome, (field, values) in product(TOTALS, groups_of(sessions).items()):
        for value, members in values.items():
            row = {"outcome": outcome, "field": field, "value": value}
            row |= tested(scores.where(np.isin(scores.profile, list(members))), outcome)
            rows.append(row)
    # All tests that could be made are one family.
    tests = [row for row in rows if row["refused"] is None]
    if tests:
        q = stats.false_discovery_control([row["p_f"] for row in tests])
        for row, rate in zip(tests, q.tolist(), strict=True):
            row["q"] = rate
    return rows


def tested(scores: Scores, outcome: str) -> dict:
    """The conditions compared among one group, as fields of its row; "q" comes later."""
    clients = len(set(scores.profile.tolist()))
    row = {"n": len(scores.profile), "sessions": clients}
    row |= dict.fromkeys((*TEST, "best", "refused", "q"))
    if clients < FEWEST:
        return row | {"refused": f"fewer than {FEWEST} clients"}
    found, _ = compare(scores, outcome)
    if found["refused"]:
        return row | {"refused": found["refused"]}
    best = max(found["emm"], key=lambda name: found["emm"][name]["mean"])
    return row | found["omnibus"] | {"best": best}


def groups_of(sessions: list[dict]) -> dict[str, dict[str, set[str]]]:
    """Field -> value -> ids of the clients who have it, for fields that make 2 to 12 groups; of a
    list (personality) each entry is a value."""
    found: dict[str, dict[str, set[str]]] = {}
    for profile in (session["profile"] for session in sessions):
        for field, value in profile.items():
            for one in value if isinstance(value, list) else [value]:
                if field != "id" and isinstance(one, str | int):
                    found.setdefault(field, {}).setdefault(str(one), set()).add(profile["id"])
    several = {field: values for field, values in found.items() if 2 <= len(values) <= MOST}
    return {field: dict(sorted(values.items())) for field, values in several.items()}
