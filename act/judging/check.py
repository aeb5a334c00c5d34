"""Does a judge measure anything? Its ratings of texts whose quality is known -> a verdict.

For each of the 34 items there are matched pairs of short excerpts (act/dialogue/corpus): the same
client, a therapist who clearly shows the behaviour and one who clearly does not. And there are
whole sessions of high, mixed and low fidelity, the same client in all three. In half of the pairs
of an item, and of the clients, the better text is the longer one; tests/test_check.py shows that
judges who go by other marks of the surface, or by random words, get no credit. A judge who knows
good from bad and nothing else (halo) rates all items alike: so of a pair some other items of the
same direction are rated, too, and the pair's own item must move more. What no such test can rule
out is a judge that goes by some mark nobody thought of: hence `judge.py agree` with people.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from act.forms import FORMS, score, slots
from act.judging.judge import Judge, Judgement, Text, judged, same_judge
from act.judging.prefer import BUNDLED
from act.records import InputError, Store, read_check, read_jsonl
from act.statistics.agreement import ITEMS, mean_rated
from act.statistics.contrasts import auc, wilson

EXCERPTS, GRADED = BUNDLED, BUNDLED.with_name("graded.jsonl")
LEVELS = ("high", "mixed", "low")
ACT_FM_ITEMS = len(FORMS[0].items)

# what "measures" asks for; see `verdict`
GOOD_SHARE = 0.75  # of the pairs, beyond chance
GOOD_AUC, GOOD_ITEMS = 0.75, 0.8  # of an item; share of the items that have it
IN_ORDER, LEAST_CLIENTS = 0.75, 6  # of the clients; fewer are no evidence of an order
PAIRS_SOME = 0.6  # what "partly" asks of the pairs
MOST_UNRATED = 0.05  # of the texts; a judge that answers where it likes is no judge
BY_CHANCE = 12 / 70  # P(AUC >= GOOD_AUC) of 4 texts against 4, rated at random, no two alike


def excerpts(short: bool = False) -> list[Text]:
    """The texts of the matched pairs, keys (id of the pair, "shows" or "lacks"): for each of the 34
    slots in turn four pairs, the two sides side by side. `short`: one pair, of item i the i-th."""
    texts = []
    for number, pair in enumerate(read_jsonl(EXCERPTS)):
        i = ITEMS.index(f"{pair['form']} {pair['item']}")
        if short and number % 4 != i % 4:
            continue
        for side in ("shows", "lacks"):
            said = [(pair["client"], pair[side])]
            texts.append(Text((pair["id"], side), said, items=[i, *others(i)]))
    return texts


def others(i: int) -> list[int]:
    """Two more slots of the same form and direction as slot i, from other parts of the form."""
    kinds = [(form.name, item.direction) for form in FORMS for item in form.items]
    alike = [n for n, kind in enumerate(kinds) if kind == kinds[i]]
    place, third = alike.index(i), len(alike) // 3
    return [alike[(place + step) % len(alike)] for step in (third, 2 * third)]


def graded_turns(script: dict, level: str) -> list[dict]:
    """The replies of one level to a client: all high, all low, or high and low in turn."""
    cycle = ("high", "low") if level == "mixed" else (level, level)
    return [turn[cycle[i % 2]] for i, turn in enumerate(script["turns"])]


def graded_sessions(replicates: int) -> Iterator[Text]:
    """The whole sessions of known fidelity, keys (client, level)."""
    for script in read_jsonl(GRADED):
        clients = [turn["client"] for turn in script["turns"]]
        for level in LEVELS:
            answers = [reply["answer"] for reply in graded_turns(script, level)]
            said = list(zip(clients, answers, strict=True))
            for replicate in range(replicates):
                yield Text((script["id"], level), said, replicate)


def ask(judge: Judge, texts: list[Text], store: Store | None) -> list[Judgement]:
    """The judgement of each text, from `store` or new."""
    found = {}  # the text's id -> its judgement
    for record in store.records() if store else ():
        found[record["id"]] = Judgement(**record["judgement"])
        if "served" in record["judge"]:  # what its server was found to take
            judge.settings["served"] = record["judge"]["served"]
    missing = [text for text in texts if text.id not in found]

    def record(text: Text, judgement: Judgement) -> dict:
        return {"id": text.id, "judge": judge.settings, "judgement": asdict(judgement)}

    new = judged(judge, missing, store, record)
    found |= {text.id: judgement for text, judgement in new}
    return [found[text.id] for text in texts]


def on_one_scale(judgements: list[Judgement]) -> tuple[str, np.ndarray]:
    """("expected" or "whole", ratings (texts, 34), NaN where there are none).

    Probability-weighted ratings where the judge gave them for every text, else whole ones
    throughout: the two are not the same scale, and texts must be.
    """
    rated = [one for one in judgements if one.status == "ok"]
    weighted = bool(rated) and all(one.expected for one in rated)
    nothing = [None] * len(ITEMS)  # NaN, as is a slot that was not asked for
    rows = [(one.expected if weighted else one.ratings) or nothing for one in judgements]
    return "expected" if weighted else "whole", np.array(rows, dtype=float)


def check(
    judge: Judge,
    replicates: int,
    seen: Sequence[str] = (),
    store: Store | None = None,
    short: bool = False,
) -> dict:
    """A judge on the known groups: what `judge.py check` writes, and beside it "unanswered", how
    many texts got no reply, of how many.

    `seen`: clients of the whole sessions whom the judge was tuned on, and who can tell nothing
    about it; InputError for one that there is not. `store` keeps the judgements, so that a check
    that was cut off goes on. `short`: one matched pair an item and no whole sessions, so that
    "partly" is the most it can say.
    """
    # 1. the texts, without clients who can tell nothing
    texts, sessions = excerpts(short), list(graded_sessions(replicates))
    clients = sorted({text.key[0] for text in sessions})
    if unknown := sorted(set(seen) - set(clients)):
        raise InputError(f"--seen: no client {', '.join(unknown)}; there are {', '.join(clients)}")
    sessions = [text for text in sessions if text.key[0] not in seen and not short]
    # 2. the judge's ratings, on one scale
    judgements = ask(judge, [*texts, *sessions], store)
    scores, values = on_one_scale(judgements)  # (texts and sessions, 34)
    unrated = sum(one.status != "ok" for one in judgements)
    # 3. are pairs told apart, are sessions in order?
    pairs = judge_pairs(*rated_pairs(values[: len(texts)]))
    ordered = judge_sessions(session_means(values[len(texts) :], replicates))
    result = {"judge": judge.name, "settings": judge.settings, "scores": scores}
    result["verdict"] = verdict(judge.name, pairs, ordered, unrated / len(values), short)
    result |= pairs | {"sessions": ordered}
    if short:  # of one pair an AUC is 0 or 1, and there are no sessions
        result |= {"items": [], "sessions": {}}
    unanswered = sum(one.status == "error" for one in judgements), len(judgements)
    result |= {"unrated": unrated, "seen": list(seen), "short": short}
    return result | {"unanswered": unanswered}


def read_checks(paths: Sequence[Path], names: Sequence[str]) -> dict[str, dict]:
    """Judge -> its check. Raises InputError for a check of none of the judges `names`."""
    checks = {}
    for path in paths:
        found = read_check(path)
        if found["judge"] not in names:
            raise InputError(f'{path}: a check of "{found["judge"]}", not of {", ".join(names)}')
        if found["judge"] in checks:
            raise InputError(f'{path}: a second check of "{found["judge"]}"')
        checks[found["judge"]] = found
    return checks


def verdict_on(judge: Judge, checked: dict | None) -> str:
    """What its check found of a judge, in a line. Raises InputError for a check of other settings:
    the seed may be another, and what becomes of a long transcript; what its server takes is not
    known yet."""
    if checked is None:
        return f"{judge.name} is not checked here: `judge.py check`, then --check."
    what, free = f"--check: the check of {judge.name}", ("seed", "long", "served")
    held = checked.get("settings", {})
    same_judge(what, held, judge.settings, "; check it as it rates", free)
    return checked["verdict"]["line"]


def rated_pairs(values: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ratings of the excerpts (texts, 34) -> what `judge_pairs` takes."""
    table = values.reshape(len(ITEMS), -1, 2, len(ITEMS))  # (items, pairs, two sides, 34)
    pairs, moved = {}, []
    for i, both in enumerate(table):
        both = both[~np.isnan(both[:, :, i]).any(axis=1)]  # of which both texts were rated
        pairs[ITEMS[i]] = both[:, :, i]
        apart = both[:, 0] - both[:, 1]  # (pairs, 34): shows less lacks
        beside = apart[:, others(i)].mean(axis=1)  # (pairs,)
        moved.append(np.stack([apart[:, i], beside], axis=1))
    return pairs, np.concatenate(moved[:ACT_FM_ITEMS])  # TES items are all of one thing, empathy


def judge_pairs(pairs: dict[str, np.ndarray], moved: np.ndarray) -> dict:
    """The AUC of each item, and how many of all pairs were rated in the right direction.

    `pairs`: item -> (n, 2) ratings of the text that shows it and of the one that lacks it.
    `moved`: (n, 2), of ACT-FM pairs how far the rating of the pair's own item differs between its
    texts, and how far those of other items of its direction do on average.
    """
    items = []
    for name, rated in pairs.items():
        estimate, ci = auc(*np.transpose(rated)) if len(rated) else (None, None)
        items.append({"item": name, "pairs": len(rated), "auc": estimate, "ci": ci})
    everything = list(chain(*pairs.values()))
    return {"items": items, "pairs": larger(everything), "own": larger(moved)}


def larger(pairs: Sequence[Sequence[float]]) -> dict:
    """In how many pairs the first number is the larger one, ties half; Wilson's intervals."""
    n = len(pairs)
    if not n:
        return {"n": 0, "right": 0, "share": None, "ci": None, "ci99": None}
    a, b = np.transpose(pairs)
    right = float((a > b).sum() + (a == b).sum() / 2)
    intervals = {"ci": wilson(right, n, 0.95), "ci99": wilson(right, n, 0.99)}
    return {"n": n, "right": right, "share": right / n} | intervals


def session_means(values: np.ndarray, replicates: int) -> dict[str, np.ndarray]:
    """Ratings of the sessions (texts, 34) -> outcome -> (clients, levels), means of replicates."""
    totals = np.full((len(values), 2), np.nan)
    for i in np.flatnonzero(~np.isnan(values).any(axis=1)):
        scored = score(*np.split(values[i], [ACT_FM_ITEMS]))
        total, against = scored["act_fm_total"], scored["act_fm_inconsistency"]
        totals[i] = total - against, scored["tes_mean"]
    fidelity, empathy = mean_rated(totals.T.reshape(2, -1, len(LEVELS), replicates))
    return {"ACT-FM (consistency less inconsistency)": fidelity, "TES": empathy}


def judge_sessions(means: dict[str, np.ndarray]) -> dict[str, dict]:
    """outcome -> (clients, levels) -> {"means" of the levels, "in_order": clients with high > mixed
    > low, "n", "p" of as many or more by chance}; clients without all levels are left out.

    By chance a client is in order one time in two at most: a mixed session is made of the replies
    of the other two, so that any score tends to lie between theirs, and high > low alone decides.
    """
    result = {}
    for outcome, table in means.items():
        whole = table[~np.isnan(table).any(axis=1)]  # clients of whom all levels were rated
        n, (high, mixed, low) = len(whole), whole.T
        in_order = int(((high > mixed) & (mixed > low)).sum())
        p = float(binomtest(in_order, n, 1 / 2, alternative="greater").pvalue) if n else 1.0
        of_level = {"high": high, "mixed": mixed, "low": low}  # (clients,) each
        means = {name: float(level.mean()) if n else None for name, level in of_level.items()}
        result[outcome] = {"means": means, "in_order": in_order, "n": n, "p": p}
    return result


def verdict(
    judge: str, pairs: dict, sessions: dict[str, dict], unrated: float, short: bool = False
) -> dict:
    """{"level": "measures", "partly" or "nothing", "line": the verdict in words}.

    "measures": more than three quarters of the matched pairs are right beyond chance (95%), four
    fifths of the items have an AUC of .75 or more, in more than half of the ACT-FM pairs (95%)
    their own item moves more than others do, and three quarters of the clients, of six or more,
    have their sessions in order beyond chance (95%), on both outcomes. "partly": more than three
    fifths of the pairs are right (99%), whatever else. (Half is not enough: who weighs words at
    random, but in one way for all items, passes that one time in twenty.) Neither, where more than
    a twentieth of the texts is unrated (`unrated`: their share).
    """
    share, own, items = pairs["pairs"], pairs["own"], pairs["items"]
    told = sum((item["auc"] or 0) >= GOOD_AUC for item in items)
    pairs_right = share["n"] and share["ci"][0] > GOOD_SHARE and told >= GOOD_ITEMS * len(items)
    in_order = True
    for row in sessions.values():
        enough = row["n"] >= LEAST_CLIENTS and row["in_order"] >= IN_ORDER * row["n"]
        in_order &= enough and row["p"] < 0.05
    if unrated > MOST_UNRATED:
        level, says = "nothing", "left too many texts unrated to be believed"
    elif pairs_right and in_order and own["ci"][0] > 0.5:
        level, says = "measures", "tells known groups apart"
    elif share["n"] and share["ci99"][0] > PAIRS_SOME:
        level, says = "partly", "measures some of it, not enough to rely on"
    else:
        level, says = "nothing", "measures nothing that this check can see"
    facts = ", ".join(facts_of(pairs, told, sessions, unrated, short))
    return {"level": level, "line": f"{judge} {says}: {facts}."}


def facts_of(
    pairs: dict, told: int, sessions: dict[str, dict], unrated: float, short: bool
) -> Iterator[str]:
    """The numbers behind a verdict, in words; those of a short check are the pairs'."""
    share, own, items = pairs["pairs"], pairs["own"], len(pairs["items"])
    right = f"{share['right']:g} of {share['n']} matched pairs in the right direction"
    if share["n"]:
        of_95, of_99 = ("{:.0%} to {:.0%}".format(*share[name]) for name in ("ci", "ci99"))
        right += f" ({share['share']:.0%}; 95% interval {of_95}, 99% {of_99})"
    yield right
    yield f"the pair's own item moved most in {own['right']:g} of {own['n']}"
    if short:
        yield "a short check, without whole sessions"
    else:
        by_chance = f"(by chance {BY_CHANCE * items:.0f})"
        yield f"{told} of {items} items with an AUC of {GOOD_AUC} or more {by_chance}"
        ordered = []
        for outcome, row in sessions.items():
            ordered.append(f"{row['in_order']} of {row['n']} clients in order on {outcome}")
        few = max(row["n"] for row in sessions.values()) < LEAST_CLIENTS
        yield " and ".join(ordered) + f" (fewer than {LEAST_CLIENTS} clients show no order)" * few
    if unrated:
        yield f"{unrated:.0%} of the texts unrated"


def in_words(result: dict) -> Iterator[str]:
    """The lines of a check's result, the verdict first."""
    kind = "probability-weighted" if result["scores"] == "expected" else "whole"
    yield result["verdict"]["line"]
    yield f"compared by {kind} ratings"
    if result["unrated"]:
        yield f"{result['unrated']} texts got no valid form and are left out"
    for outcome, row in result["sessions"].items():
        in_order = f"{row['in_order']} of {row['n']} clients in order, p = {row['p']:.3f}"
        levels = "high {high:.2f}, mixed {mixed:.2f}, low {low:.2f}"
        means = levels.format(**row["means"]) if row["n"] else "none"
        yield f"whole sessions, {outcome}: {means}; {in_order}"
    rated = () if result["short"] else zip(result["items"], slots(), strict=True)
    for row, slot in rated:
        told = "none"
        if row["pairs"]:
            told = "{:.2f} [{:.2f}, {:.2f}]".format(row["auc"], *row["ci"])
        yield f"AUC {told:18} {slot.label.rstrip(': ')}"
