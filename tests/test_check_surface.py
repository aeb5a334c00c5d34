"""Judges who go by a text's surface, or by words at random: the check must see nothing in them.

They rate the real texts (act/dialogue/corpus) in fractions, as finely as any judge could.
"""

import re
from statistics import mean

import numpy as np
import pytest

from act.forms import FORMS
from act.judging.check import check, excerpts, graded_sessions
from act.judging.judge import Judgement
from act.judging.known_groups import judge_pairs, judge_sessions, verdict

ITEMS = [item for form in FORMS for item in form.items]
SIGN = np.array([-1 if item.direction == "inconsistent" else 1 for item in ITEMS])
LOW, HIGH = np.repeat([0, 1], (25, 9)), np.repeat([3, 7], (25, 9))
SMALL = """a about all am an and any are as at be been but by can did do does for from get got had has have he her him
his how i if in is it its just like me my no not of off on one or our out she so some that the their them then there
they this to too up us was we were what when where which who why will with would you your"""


def words(text):
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())


def content(text):
    return [word for word in words(text) if word not in SMALL.split() and "'" not in word]


def echoed(client, text):
    mine, theirs = content(text), set(content(client))
    return sum(word in theirs for word in mine) / max(len(mine), 1)


SURFACES = {
    "first sentence echoed": lambda client, reply: echoed(
        client, re.split(r"(?<=[.?!])\s", reply)[0]
    ),
    "content words echoed": echoed,
    "mean word length": lambda client, reply: mean(map(len, words(reply))),
    "commas per word": lambda client, reply: reply.count(",") / len(words(reply)),
    "words": lambda client, reply: len(words(reply)),
}


class SurfaceJudge:
    """Rates every item by one number of the text, up to `sign` and the item's direction."""

    settings: dict = {}

    def __init__(self, name, sign):
        self.name, self.sign = name, sign
        everything = [text for texts in excerpts().values() for text in texts] + list(
            graded_sessions(1)
        )
        values = [self.value(text) for text in everything]
        self.least, self.most = min(values), max(values)

    def value(self, text):
        return mean(SURFACES[self.name](client, reply) for client, reply in text.said)

    def rate(self, texts, items=None):
        for text in texts:
            x = (self.value(text) - self.least) / (self.most - self.least)
            x = np.where(SIGN * self.sign > 0, x, 1 - x)
            ratings = (LOW + x * (HIGH - LOW)).tolist()
            yield text, Judgement("ok", [round(r) for r in ratings], ratings, 1)


@pytest.mark.parametrize("sign", [1, -1], ids=["more is better", "less is better"])
@pytest.mark.parametrize("name", SURFACES)
def test_a_judge_of_the_surface_measures_nothing(name, sign):
    found = check(SurfaceJudge(name, sign), 1)["verdict"]
    assert found["level"] == "nothing", found["line"]


def test_judges_who_weigh_words_at_random_measure_nothing():
    """400 judges: each word of the texts has a random weight, one for all items, or one an item. At
    most 2 of 100 get some credit, and none passes. (A mixed session is made of the others' replies,
    so its score lies between theirs more often than by chance.)"""
    texts, sessions = excerpts(), list(graded_sessions(1))
    everything = [text for some in texts.values() for text in some] + sessions
    vocabulary = {
        w: i
        for i, w in enumerate(
            sorted({w for t in everything for _, reply in t.said for w in words(reply)})
        )
    }

    def shares(some):
        table = np.zeros((len(some), len(vocabulary)))
        for row, text in zip(table, some, strict=True):
            for word in (word for _, reply in text.said for word in words(reply)):
                row[vocabulary[word]] += 1
        return table / table.sum(axis=1, keepdims=True)

    of_items, of_sessions = [shares(texts[i]) for i in range(34)], shares(sessions)
    draw = np.random.default_rng(0)
    levels = []
    for i in range(400):
        weights = draw.standard_normal((34 if i % 2 else 1, len(vocabulary)))
        weights = weights if i % 2 else SIGN[:, None] * weights
        rated = [table @ weights[k] for k, table in enumerate(of_items)]
        pairs = {
            str(k): list(zip(one[::2].tolist(), one[1::2].tolist(), strict=True))
            for k, one in enumerate(rated)
        }
        forms = of_sessions @ weights.T  # (sessions, 34)
        scores = {"ACT-FM": forms[:, :25] @ SIGN[:25], "TES": forms[:, 25:].mean(axis=1)}
        means = {outcome: {} for outcome in scores}
        for outcome, values in scores.items():
            for text, value in zip(sessions, values.tolist(), strict=True):
                means[outcome].setdefault(text.key[0], {})[text.key[1]] = value
        levels.append(
            verdict("noise", judge_pairs(pairs, [(1, 0)] * 100), judge_sessions(means), 0.0)[
                "level"
            ]
        )
    assert levels.count("measures") == 0 and levels.count("partly") <= 8, levels.count("partly")
