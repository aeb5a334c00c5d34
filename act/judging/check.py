"""The texts of known quality, and a judge's ratings of them (act/measure/known_groups.py says what they mean)."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from act.judging.judge import Judge, Judgement, Text
from act.measure.forms import score, slots
from act.measure.known_groups import LEVELS, judge_pairs, judge_sessions, verdict

CORPUS = Path(__file__).parents[1] / "dialogue/corpus"
EXCERPTS, GRADED = CORPUS / "excerpts.jsonl", CORPUS / "graded.jsonl"


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def excerpts() -> dict[int, list[Text]]:
    """slot 0..33 -> its texts, keys (id of the pair, "shows" or "lacks")."""
    place = {(slot.form, slot.number): i for i, slot in enumerate(slots())}
    texts: dict[int, list[Text]] = {i: [] for i in place.values()}
    for pair in read(EXCERPTS):
        for side in ("shows", "lacks"):
            texts[place[pair["form"], pair["item"]]].append(Text((pair["id"], side), [(pair["client"], pair[side])]))
    return texts


def graded_turns(script: dict, level: str) -> list[dict]:
    """The therapist's replies of one level to a client: all high, all low, or high and low in turn."""
    return [turn[("high", "low")[i % 2] if level == "mixed" else level] for i, turn in enumerate(script["turns"])]


def graded_sessions(replicates: int) -> Iterator[Text]:
    """The whole sessions of known fidelity, keys (client, level)."""
    for script in read(GRADED):
        for level in LEVELS:
            replies = graded_turns(script, level)
            said = [(turn["client"], reply["answer"]) for turn, reply in zip(script["turns"], replies, strict=True)]
            for replicate in range(replicates):
                yield Text((script["id"], level), said, replicate)


def value(judgement: Judgement, slot: int) -> float:
    """The rating of one slot, the expected one where there is one."""
    return judgement.expected[slot] if judgement.expected else judgement.ratings[slot]


def check(judge: Judge, replicates: int, seen: Sequence[str] = ()) -> dict:
    """A judge on the known groups: {"judge", "verdict", "items", "pairs", "sessions", "drift", "unrated"}.

    `seen`: clients of the whole sessions whom the judge was tuned on, and who can tell nothing about it.
    """
    texts = excerpts()
    sessions = [text for text in graded_sessions(replicates) if text.key[0] not in seen]
    unrated = 0
    pairs: dict[str, list[tuple[float, float]]] = {}
    with tqdm(total=sum(map(len, texts.values())) + len(sessions), desc="check", unit="text") as bar:
        for i, slot in enumerate(slots()):
            found = {}
            for text, judgement in judge.rate(texts[i], [i]):
                bar.update()
                if judgement.status == "ok":
                    found[text.key] = value(judgement, i)
            unrated += len(texts[i]) - len(found)
            ids = dict.fromkeys(key[0] for key in found)
            both = [(found[n, "shows"], found[n, "lacks"]) for n in ids if {(n, "shows"), (n, "lacks")} <= set(found)]
            pairs[f"{slot.form} {slot.number}"] = both
        scores: dict[tuple, dict[int, dict[str, float]]] = {}
        for text, judgement in judge.rate(sessions):
            bar.update()
            if judgement.status != "ok":
                unrated += 1
                continue
            ratings = judgement.expected or judgement.ratings
            scores.setdefault(text.key, {})[text.replicate] = totals(ratings)
    means: dict[str, dict] = {outcome: {} for outcome in totals([0] * 25 + [1] * 9)}
    for (client, level), replicated in scores.items():
        for outcome in means:
            mean = float(np.mean([one[outcome] for one in replicated.values()]))
            means[outcome].setdefault(client, {})[level] = mean
    of_pairs, of_sessions = judge_pairs(pairs), judge_sessions(means)
    result = {"judge": judge.name, "verdict": verdict(judge.name, of_pairs, of_sessions), **of_pairs}
    return result | {"sessions": of_sessions, "drift": drift(scores, replicates), "unrated": unrated}


def totals(ratings: list[float]) -> dict[str, float]:
    """What the sessions are ordered by: ACT-FM consistency less inconsistency, and TES."""
    scored = score(ratings[:25], ratings[25:])
    fidelity = scored["act_fm_total"] - scored["act_fm_inconsistency"]
    return {"ACT-FM (consistency less inconsistency)": fidelity, "TES": scored["tes_mean"]}


def drift(scores: dict[tuple, dict[int, dict[str, float]]], replicates: int) -> dict | None:
    """Of each outcome, over the whole sessions: how far replicates scatter (standard deviation within a session) and
    how far the last lies above the first on average. None for one replicate."""
    whole = [list(dict(sorted(one.items())).values()) for one in scores.values() if len(one) == replicates]
    if replicates < 2 or not whole:
        return None
    result = {}
    for outcome in whole[0][0]:
        table = np.array([[one[outcome] for one in replicated] for replicated in whole])  # (sessions, replicates)
        scatter = float(np.sqrt(table.var(axis=1, ddof=1).mean()))
        result[outcome] = {"sd": scatter, "last_less_first": float((table[:, -1] - table[:, 0]).mean())}
    return result
