"""The texts of known quality, and a judge's ratings of them; `judge.py check` calls it.

act/judging/known_groups.py says what the ratings mean. The texts are the bundled excerpts and
graded sessions of act/dialogue/corpus.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from act.forms import FORMS, score, slots
from act.judging.judge import Judge, Judgement, Text
from act.judging.known_groups import LEVELS, judge_pairs, judge_sessions, verdict
from act.records import InputError, Store, read_jsonl

CORPUS = Path(__file__).parents[1] / "dialogue/corpus"
EXCERPTS, GRADED = CORPUS / "excerpts.jsonl", CORPUS / "graded.jsonl"


def excerpts() -> dict[int, list[Text]]:
    """slot 0..33 -> its texts, keys (id of the pair, "shows" or "lacks")."""
    place = {(slot.form, slot.number): i for i, slot in enumerate(slots())}
    texts: dict[int, list[Text]] = {i: [] for i in place.values()}
    for pair in read_jsonl(EXCERPTS):
        for side in ("shows", "lacks"):
            texts[place[pair["form"], pair["item"]]].append(
                Text((pair["id"], side), [(pair["client"], pair[side])])
            )
    return texts


def others(i: int) -> list[int]:
    """Two more slots of the same form and direction as slot i, from other parts of the form."""
    kinds = [(form.name, item.direction) for form in FORMS for item in form.items]
    alike = [n for n, kind in enumerate(kinds) if kind == kinds[i]]
    place, third = alike.index(i), len(alike) // 3
    return [alike[(place + step) % len(alike)] for step in (third, 2 * third)]


def graded_turns(script: dict, level: str) -> list[dict]:
    """The therapist's replies of one level to a client: all high, all low, or high and low in
    turn."""
    return [
        turn[("high", "low")[i % 2] if level == "mixed" else level]
        for i, turn in enumerate(script["turns"])
    ]


def graded_sessions(replicates: int) -> Iterator[Text]:
    """The whole sessions of known fidelity, keys (client, level)."""
    for script in read_jsonl(GRADED):
        for level in LEVELS:
            replies = graded_turns(script, level)
            said = [
                (turn["client"], reply["answer"])
                for turn, reply in zip(script["turns"], replies, strict=True)
            ]
            for replicate in range(replicates):
                yield Text((script["id"], level), said, replicate)


def kept(
    judge: Judge, texts: Sequence[Text], items: Sequence[int] | None, store: Store | None
) -> Iterator[tuple[Text, Judgement]]:
    """`judge.rate` that asks only for what `store` does not hold, and keeps there what it gets, if
    any reply came."""
    asked = {record_id(text): text for text in texts}
    if store is not None:
        for record in store.records():
            if record["id"] in asked:
                yield asked.pop(record["id"]), Judgement(**record["judgement"])
    for text, judgement in judge.rate(list(asked.values()), items):
        if store is not None and judgement.status != "error":
            store.append(
                {"id": record_id(text), "judge": judge.settings, "judgement": asdict(judgement)}
            )
        yield text, judgement


def record_id(text: Text) -> str:
    """The key of a judgement that is kept: a text that has changed since is another one."""
    return "/".join((*text.key, str(text.replicate), text.digest))


def check(
    judge: Judge, replicates: int, seen: Sequence[str] = (), store: Store | None = None
) -> dict:
    """A judge on the known groups: {"judge", "settings", "verdict", "scores", "items", "pairs",
    "own", "sessions", "drift", "unrated", "seen"}.

    `seen`: clients of the whole sessions whom the judge was tuned on, and who can tell nothing
    about it; InputError for one that there is not. `store` keeps the judgements, so that a check
    that was cut off goes on. "scores": probability-weighted ratings are compared ("expected") where
    the judge gave them for every text, else its whole ratings throughout ("whole"): the two are not
    the same scale, and texts must be.
    """
    sessions = list(graded_sessions(replicates))
    if unknown := sorted(set(seen) - (clients := {text.key[0] for text in sessions})):
        raise InputError(
            f"--seen: no client {', '.join(unknown)}; there are {', '.join(sorted(clients))}"
        )
    texts = excerpts()
    sessions = [text for text in sessions if text.key[0] not in seen]
    tasks = [*((texts[i], [i, *others(i)]) for i in texts), (sessions, None)]
    rated: dict[tuple, Judgement] = {}
    total = sum(len(some) for some, _ in tasks)
    with tqdm(total=total, desc="check", unit="text") as bar:
        for some, items in tasks:
            for text, judgement in kept(judge, some, items, store):
                bar.update()
                if judgement.status == "ok":
                    rated[*text.key, text.replicate] = judgement
    scores = (
        "expected" if rated and all(judgement.expected for judgement in rated.values()) else "whole"
    )
    values = {
        key: one.expected if scores == "expected" else one.ratings for key, one in rated.items()
    }

    pairs: dict[str, list[tuple[float, float]]] = {}
    moved = []
    for i, slot in enumerate(slots()):
        found = {text.key: values[*text.key, 0] for text in texts[i] if (*text.key, 0) in values}
        ids = [name for name, side in found if side == "shows" and (name, "lacks") in found]
        both = [(found[name, "shows"], found[name, "lacks"]) for name in ids]
        pairs[f"{slot.form} {slot.number}"] = [(shows[i], lacks[i]) for shows, lacks in both]
        if slot.form == "ACT-FM":  # TES items are all of one thing, empathy
            beside = others(i)
            for shows, lacks in both:
                moved.append(
                    (shows[i] - lacks[i], float(np.mean([shows[j] - lacks[j] for j in beside])))
                )
    totalled: dict[tuple, dict[int, dict[str, float]]] = {}
    for text in sessions:
        if (*text.key, text.replicate) in values:
            totalled.setdefault(text.key, {})[text.replicate] = totals(
                values[*text.key, text.replicate]
            )
    means: dict[str, dict] = {outcome: {} for outcome in totals([0] * 25 + [1] * 9)}
    for (client, level), replicated in totalled.items():
        for outcome in means:
            mean = float(np.mean([one[outcome] for one in replicated.values()]))
            means[outcome].setdefault(client, {})[level] = mean
    of_pairs, of_sessions = judge_pairs(pairs, moved), judge_sessions(means)
    unrated = total - len(rated)
    result = {"judge": judge.name, "settings": judge.settings, "scores": scores}
    result |= {"verdict": verdict(judge.name, of_pairs, of_sessions, unrated / total)}
    result |= {**of_pairs, "sessions": of_sessions, "drift": drift(totalled, replicates)}
    return result | {"unrated": unrated, "seen": list(seen)}


def totals(ratings: list[float]) -> dict[str, float]:
    """What the sessions are ordered by: ACT-FM consistency less inconsistency, and TES."""
    scored = score(ratings[:25], ratings[25:])
    fidelity = scored["act_fm_total"] - scored["act_fm_inconsistency"]
    return {"ACT-FM (consistency less inconsistency)": fidelity, "TES": scored["tes_mean"]}


def drift(scores: dict[tuple, dict[int, dict[str, float]]], replicates: int) -> dict | None:
    """Of each outcome, over the whole sessions: how far replicates scatter (standard deviation
    within a session) and how far the last lies above the first on average. None for one
    replicate."""
    whole = [
        list(dict(sorted(one.items())).values())
        for one in scores.values()
        if len(one) == replicates
    ]
    if replicates < 2 or not whole:
        return None
    result = {}
    for outcome in whole[0][0]:
        table = np.array(
            [[one[outcome] for one in replicated] for replicated in whole]
        )  # (sessions, replicates)
        scatter = float(np.sqrt(table.var(axis=1, ddof=1).mean()))
        result[outcome] = {
            "sd": scatter,
            "last_less_first": float((table[:, -1] - table[:, 0]).mean()),
        }
    return result


def in_words(result: dict) -> Iterator[str]:
    """The lines of a check's result, the verdict first."""
    yield result["verdict"]["line"]
    yield f"compared by {'probability-weighted' if result['scores'] == 'expected' else 'whole'} ratings"
    if result["unrated"]:
        yield f"{result['unrated']} texts got no valid form and are left out"
    for outcome, row in result["sessions"].items():
        levels = [
            f"{level} {'none' if mean is None else f'{mean:.2f}'}"
            for level, mean in row["means"].items()
        ]
        in_order = f"{row['in_order']} of {row['n']} clients in order, p = {row['p']:.3f}"
        yield f"whole sessions, {outcome}: {', '.join(levels)}; {in_order}"
    for outcome, row in (result["drift"] or {}).items():
        yield f"replicates, {outcome}: SD {row['sd']:.3f}, the last less the first {row['last_less_first']:+.3f}"
    for row, slot in zip(result["items"], slots(), strict=True):
        told = (
            "none"
            if row["auc"] is None
            else "{:.2f} [{:.2f}, {:.2f}]".format(row["auc"], *row["ci"])
        )
        yield f"AUC {told:18} {slot.label.rstrip(': ')}"
