"""Does a judge measure anything? The texts of known quality, the statistics, and judges whose worth
is known: some understand everything, some go by a text's surface or weigh words at random.
"""

import json
import random
import re
from statistics import mean

import numpy as np
import pytest

import judge as judge_script
from act.cli import run_script
from act.forms import ACT_FM, FORMS
from act.judging.check import (
    EXCERPTS,
    GRADED,
    LEVELS,
    check,
    excerpts,
    graded_sessions,
    graded_turns,
    in_words,
    judge_pairs,
    judge_sessions,
    others,
    verdict,
)
from act.judging.judge import Judge, Judgement
from act.records import InputError, Store, read_jsonl
from act.statistics.contrasts import auc, wilson
from tests.fake_server import serving
from tests.test_served_judge import as_json
from tests.tune_judge import OTHERS, draw

ITEMS = [(form.name, item.number) for form in FORMS for item in form.items]
INCONSISTENT = {
    ("ACT-FM", item.number) for item in ACT_FM.items if item.direction == "inconsistent"
}


def words(text):
    return len(text.split())


def echo(client, reply):
    """Share of the reply's content words (four letters or more) that the client has used."""
    said, heard = (re.findall("[a-z']{4,}", text.lower()) for text in (reply, client))
    return sum(word in heard for word in said) / len(said) if said else 0.0


def first_sentence(reply):
    return re.split(r"(?<=[.!?])\s", reply)[0]


def letters_a_word(reply):
    return float(np.mean([len(word) for word in re.findall("[a-z']+", reply.lower())]))


# judges that understand nothing: one number a text, turned round on the inconsistent items
SURFACE = {
    "echo at first": lambda client, reply: echo(client, first_sentence(reply)),
    "echo": echo,
    "short words": lambda client, reply: -letters_a_word(reply),
    "commas": lambda client, reply: reply.count(",") / words(reply),
}


def test_every_item_has_four_matched_pairs_that_length_does_not_tell_apart():
    pairs = list(read_jsonl(EXCERPTS))
    assert len({pair["id"] for pair in pairs}) == len(pairs) == 4 * 34
    for form, item in ITEMS:
        mine = [pair for pair in pairs if (pair["form"], pair["item"]) == (form, item)]
        assert len(mine) == 4
        assert sum(words(pair["shows"]) > words(pair["lacks"]) for pair in mine) == 2
        assert not any(words(pair["shows"]) == words(pair["lacks"]) for pair in mine)
    replies = [pair[side] for pair in pairs for side in ("shows", "lacks")]
    assert len(set(replies)) == len(replies) and min(map(words, replies)) >= 15
    assert len({pair["client"] for pair in pairs}) == len(pairs)
    forms_words = {item.text for form in FORMS for item in form.items}
    assert not any(text in reply for text in forms_words for reply in replies)


def test_whole_sessions_have_one_client_in_three_levels_and_length_does_not_tell_them_apart():
    scripts = list(read_jsonl(GRADED))
    longer = []
    consistent = {item.number for item in ACT_FM.items if item.direction == "consistent"}
    for script in scripts:
        totals = {
            level: sum(words(reply["answer"]) for reply in graded_turns(script, level))
            for level in LEVELS
        }
        longer.append(totals["high"] > totals["low"])
        for turn in script["turns"]:
            assert (
                set(turn["high"]["shows"]) <= consistent
                and not set(turn["low"]["shows"]) & consistent
            )
            assert turn["high"]["tes"] > 4 > turn["low"]["tes"]
    assert len(scripts) == 8 and sum(longer) == 4
    shown = {
        n
        for script in scripts
        for turn in script["turns"]
        for level in ("high", "low")
        for n in turn[level]["shows"]
    }
    assert shown == set(range(1, 26))


def surface_pairs(surface):
    """{"item": [(rating of the text that shows it, of the one that lacks it)]} by a surface
    judge."""
    rated = {item: [] for item in ITEMS}
    for pair in read_jsonl(EXCERPTS):
        item = (pair["form"], pair["item"])
        sign = -1 if item in INCONSISTENT else 1
        rated[item].append(
            tuple(sign * surface(pair["client"], pair[side]) for side in ("shows", "lacks"))
        )
    return rated


def surface_sessions(surface):
    """(clients, levels): mean over the replies by a surface judge."""
    means = [np.mean([surface(*turn) for turn in text.said]) for text in graded_sessions(1)]
    return np.reshape(means, (-1, len(LEVELS)))


@pytest.mark.parametrize("name", SURFACE)
def test_style_does_not_tell_the_matched_pairs_apart(name):
    rated = surface_pairs(SURFACE[name])
    groups = {
        "inconsistent ACT-FM": [item for item in ITEMS if item in INCONSISTENT],
        "consistent ACT-FM": [
            item for item in ITEMS if item[0] == "ACT-FM" and item not in INCONSISTENT
        ],
        "TES": [item for item in ITEMS if item[0] == "TES"],
    }
    for group, items in groups.items():
        share = judge_pairs({item: rated[item] for item in items}, [])["pairs"]["share"]
        assert 0.35 <= share <= 0.65, (group, share)
    assert 0.4 <= judge_pairs(rated, [])["pairs"]["share"] <= 0.6


@pytest.mark.parametrize("name", SURFACE)
def test_style_does_not_tell_the_whole_sessions_apart(name):
    sessions = surface_sessions(SURFACE[name])
    assert 2 <= sum(high > low for high, _, low in sessions) <= 6


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", SURFACE)
def test_a_judge_of_style_measures_nothing(name, sign):
    def surface(client, reply):
        return sign * SURFACE[name](client, reply)

    sessions = judge_sessions({outcome: surface_sessions(surface) for outcome in ("ACT-FM", "TES")})
    found = verdict(name, judge_pairs(surface_pairs(surface), [(1, 0)] * 100), sessions, 0.0)
    assert found["level"] == "nothing", found["line"]


SIGN = np.array([-1 if item in INCONSISTENT else 1 for item in ITEMS])
LOW, HIGH = np.repeat([0, 1], (25, 9)), np.repeat([3, 7], (25, 9))
SMALL = """a about all am an and any are as at be been but by can did do does for from get got had
has have he her him his how i if in is it its just like me my no not of off on one or our out she so
some that the their them then there they this to too up us was we were what when where which who
why will with would you your"""


def spoken(text):
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())


def content(text):
    return [word for word in spoken(text) if word not in SMALL.split() and "'" not in word]


def echoed(client, text):
    mine, theirs = content(text), set(content(client))
    return sum(word in theirs for word in mine) / max(len(mine), 1)


SURFACES = {
    "first sentence echoed": lambda client, reply: echoed(
        client, re.split(r"(?<=[.?!])\s", reply)[0]
    ),
    "content words echoed": echoed,
    "mean word length": lambda client, reply: mean(map(len, spoken(reply))),
    "commas per word": lambda client, reply: reply.count(",") / len(spoken(reply)),
    "words": lambda client, reply: len(spoken(reply)),
}


class SurfaceJudge(Judge):
    """Rates every item by one number of the text, up to `sign` and the item's direction."""

    settings: dict = {}

    def __init__(self, name, sign):
        self.name, self.sign = name, sign
        values = [self.value(text) for text in (*excerpts(), *graded_sessions(1))]
        self.least, self.most = min(values), max(values)

    def value(self, text):
        return mean(SURFACES[self.name](client, reply) for client, reply in text.said)

    def rate(self, texts):
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
    known = sorted({w for t in (*texts, *sessions) for _, reply in t.said for w in spoken(reply)})
    vocabulary = {word: i for i, word in enumerate(known)}

    def shares(some):
        table = np.zeros((len(some), len(vocabulary)))
        for row, text in zip(table, some, strict=True):
            for word in (word for _, reply in text.said for word in spoken(reply)):
                row[vocabulary[word]] += 1
        return table / table.sum(axis=1, keepdims=True)

    of_items = [shares(texts[8 * i : 8 * i + 8]) for i in range(34)]  # four pairs of each
    of_sessions = shares(sessions)
    draw = np.random.default_rng(0)
    levels = []
    for i in range(400):
        weights = draw.standard_normal((34 if i % 2 else 1, len(vocabulary)))
        weights = weights if i % 2 else SIGN[:, None] * weights
        rated = [table @ weights[k] for k, table in enumerate(of_items)]
        pairs = {str(k): one.reshape(-1, 2) for k, one in enumerate(rated)}
        forms = of_sessions @ weights.T  # (sessions, 34)
        scores = {"ACT-FM": forms[:, :25] @ SIGN[:25], "TES": forms[:, 25:].mean(axis=1)}
        means = {outcome: values.reshape(-1, len(LEVELS)) for outcome, values in scores.items()}
        judged = judge_pairs(pairs, [(1, 0)] * 100), judge_sessions(means)
        levels.append(verdict("noise", *judged, 0.0)["level"])
    assert levels.count("measures") == 0 and levels.count("partly") <= 8, levels.count("partly")


def test_auc_is_the_share_of_right_pairs_and_its_interval_keeps_its_width_at_the_ends():
    draw = np.random.default_rng(0)
    for _ in range(20):
        a, b = draw.integers(0, 4, 7), draw.integers(0, 4, 5)
        truth = np.mean([(x > y) + (x == y) / 2 for x in a for y in b])
        estimate, (low, high) = auc(a, b)
        assert estimate == pytest.approx(truth) and 0 <= low <= estimate <= high <= 1
    estimate, (low, high) = auc([3, 3, 3, 3], [0, 0, 0, 0])
    assert estimate == 1 == high and 0.3 < low < 0.8
    assert auc([0] * 4, [3] * 4)[1] == pytest.approx([0, 1 - low])
    assert auc(range(100), range(50, 150))[1][1] < 0.25  # and narrows with more texts


def test_auc_interval_covers_the_truth():
    """Drawn from two normals whose AUC is .76: the 95% interval holds it about 95 times in 100, n =
    20 a group."""
    draw = np.random.default_rng(1)
    truth, covered = 0.7602, 0  # Phi(1 / sqrt 2)
    for _ in range(400):
        low, high = auc(draw.normal(1, 1, 20), draw.normal(0, 1, 20))[1]
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_wilson_equals_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    assert wilson(37, 50, 0.95) == pytest.approx(proportion_confint(37, 50, method="wilson"))


def test_a_client_without_all_levels_is_left_out_and_no_session_at_all_is_no_evidence():
    rows = judge_sessions(
        {"TES": np.array([[3, 2, 1], [3, np.nan, 1]]), "ACT": np.empty((0, len(LEVELS)))}
    )
    assert rows["TES"]["n"] == rows["TES"]["in_order"] == 1 and rows["TES"]["p"] == 0.5
    nothing = dict.fromkeys(LEVELS)
    assert rows["ACT"] == {"means": nothing, "in_order": 0, "n": 0, "p": 1.0}
    assert verdict("j", judge_pairs({}, []), rows, 0.0)["level"] == "nothing"


def clients(n, in_order=None):
    """n clients of whom `in_order` have their sessions in order, on both outcomes."""
    right = n if in_order is None else in_order
    table = np.array([[3, 2, 1]] * right + [[1, 2, 3]] * (n - right), float)
    return judge_sessions({"ACT": table, "TES": table})


def pairs_right(n, own=100):
    """136 pairs of 34 items, n of them in the right direction; in `own` of 100 the pair's own item
    moves most."""
    right = [i < n for i in np.random.default_rng(0).permutation(136)]
    rated = {str(k): [(1, 0) if r else (0, 1) for r in right[4 * k : 4 * k + 4]] for k in range(34)}
    return judge_pairs(rated, [(1, 0)] * own + [(0, 0)] * (100 - own))


@pytest.mark.parametrize(
    ("right", "sessions", "level"),
    [
        (136, clients(8), "measures"),
        (136, clients(8, 7), "measures"),  # 7 or more of 8 by chance, one in two: .035
        (136, clients(8, 6), "partly"),  # .14
        (136, clients(5), "partly"),  # five clients show no order
        # one outcome alone does not count
        (136, clients(8) | {"TES": clients(8, 4)["TES"]}, "partly"),
        (94, clients(8), "nothing"),  # 69%, 99% interval from .58
        (94, clients(5), "nothing"),
        (68, clients(8), "nothing"),  # sessions alone do not count
        (98, clients(8, 0), "partly"),  # 72%, from .61
        (0, clients(8, 0), "nothing"),
    ],
)
def test_verdicts_need_pairs_and_sessions(right, sessions, level):
    found = verdict("j", pairs_right(right), sessions, 0.0)
    assert found["level"] == level, found["line"]
    assert ("fewer than 6 clients" in found["line"]) == (sessions["ACT"]["n"] == 5)
    assert "unrated" not in found["line"]


def test_a_judge_must_tell_behaviours_apart_and_answer():
    """Ties of all items are 50 of 100: halo. Of 100 pairs 20 won and 80 tied are 60, the interval
    from .502."""
    assert verdict("j", pairs_right(136, 0), clients(8), 0.0)["level"] == "partly"
    assert verdict("j", pairs_right(136, 19), clients(8), 0.0)["level"] == "partly"
    enough = verdict("j", pairs_right(136, 20), clients(8), 0.05)
    assert enough["level"] == "measures" and "own item moved most in 60 of 100" in enough["line"]
    assert "(by chance 6)" in enough["line"] and ", 5% of the texts unrated." in enough["line"]
    silent = verdict("j", pairs_right(136), clients(8), 0.06)
    assert silent["level"] == "nothing"
    assert "j left too many texts unrated to be believed" in silent["line"]


def test_items_that_a_pair_is_rated_on_too_are_of_its_kind_and_never_its_own():
    kinds = [(form.name, item.direction) for form in FORMS for item in form.items]
    for i in range(34):
        assert len({i, *others(i)}) == 3 and {kinds[j] for j in others(i)} == {kinds[i]}


def known_texts():
    """What a perfect judge knows: the therapist's words of a text -> ratings of the 34 slots that
    are known."""
    known = {}
    for pair in read_jsonl(EXCERPTS):
        slot = ITEMS.index((pair["form"], pair["item"]))
        low, high = (0, 3) if pair["form"] == "ACT-FM" else (1, 7)
        known[pair["shows"]], known[pair["lacks"]] = {slot: high}, {slot: low}
    for script in read_jsonl(GRADED):
        for level in LEVELS:
            good = {"high": 3, "mixed": 2, "low": 0}[level]
            act_fm = {
                i: good if item.direction == "consistent" else 3 - good
                for i, item in enumerate(ACT_FM.items)
            }
            whole = "\n".join(reply["answer"] for reply in graded_turns(script, level))
            known[whole] = act_fm | {25 + i: 1 + 2 * good for i in range(9)}
    return known


def therapist_words(body):
    transcript = body["messages"][1]["content"].split("Fill in both forms")[0]
    return [part.split("\n\nClient: ")[0].strip() for part in transcript.split("Therapist: ")[1:]]


MIDDLE = [1] * 25 + [4] * 9


def perfect(body, known):
    ratings = known["\n".join(therapist_words(body))]
    return [ratings.get(i, MIDDLE[i]) for i in range(34)]


def at_random(body, known):
    draw = random.Random("\n".join(therapist_words(body)))
    return [draw.randint(0, 3) for _ in range(25)] + [draw.randint(1, 7) for _ in range(9)]


def halo(body, known):
    """Knows good from bad, and no behaviour from another: the consistent items alike, the
    inconsistent ones turned."""
    good = known["\n".join(therapist_words(body))]
    slot, rating = next(iter(good.items()))
    good = rating > (1 if slot < 25 else 4)
    good = good != (slot < 25 and ACT_FM.items[slot].direction == "inconsistent")
    act_fm = [3 * (good == (item.direction == "consistent")) for item in ACT_FM.items]
    return act_fm + [7 if good else 1] * 9


def always_2(body, known):
    return [2] * 34


def by_length(body, known):
    size = sum(map(words, therapist_words(body))) / len(therapist_words(body))
    return [min(3, int(size / 20))] * 25 + [max(1, min(7, int(size / 9)))] * 9


def backwards(body, known):
    return [3 - r for r in perfect(body, known)[:25]] + [8 - r for r in perfect(body, known)[25:]]


def check_by_script(server, folder, monkeypatch, *flags):
    """The result that `judge.py check` writes."""
    out = str(folder / "check.json")
    words = ["judge.py", "check", "--judge", f"fake@{server.url}", "--out", out, *flags]
    monkeypatch.setattr("sys.argv", words)
    run_script(judge_script.main)
    return json.loads((folder / "check.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "level"),
    [
        (perfect, "measures"),
        (halo, "partly"),
        (at_random, "nothing"),
        (always_2, "nothing"),
        (by_length, "nothing"),
        (backwards, "nothing"),
    ],
)
def test_a_served_judge_whose_worth_is_known_gets_the_right_verdict(
    rate, level, tmp_path, monkeypatch, capsys
):
    known = known_texts()
    with serving(lambda body, n: as_json(rate(body, known))) as server:
        result = check_by_script(server, tmp_path, monkeypatch)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == result["verdict"]["line"] and result["verdict"]["level"] == level, first
    assert len(result["items"]) == 34 and all(row["pairs"] == 4 for row in result["items"])
    opening = {
        "measures": "tells known groups apart",
        "partly": "measures some of it, not enough to rely on",
        "nothing": "measures nothing that this check can see",
    }
    assert re.match(f"fake {opening[level]}: .* of 136 matched pairs", first)
    assert result["unrated"] == 0


@pytest.mark.slow
def test_texts_without_a_form(tmp_path, monkeypatch, capsys):
    """A judge that never rates the texts of one item."""
    silent = {pair["shows"] for pair in read_jsonl(EXCERPTS) if pair["id"].startswith("tes-9-")}

    def say(body, n):
        text = "\n".join(therapist_words(body))
        if text in silent:
            return "I would rather not."
        return as_json([2] * 25 + [3] * 9)

    with serving(say) as server:
        flags = ["--replicates", "3", "--concurrency", "1", "--seen", "g01", "g02"]
        result = check_by_script(server, tmp_path, monkeypatch, *flags)
    assert result["sessions"]["TES"]["n"] == 6 and result["unrated"] == 4
    assert result["items"][33] == {"item": "TES 9", "pairs": 0, "auc": None, "ci": None}
    assert "AUC none" in capsys.readouterr().out


class SameDigits(Judge):
    """Rates everything alike, and now and then has probabilities, which lean to what is right."""

    name, settings = "same", {"of": "this test"}

    def __init__(self, with_probabilities, status="ok"):
        self.with_probabilities, self.status, self.asked = with_probabilities, status, 0

    def rate(self, texts):
        for text in texts:
            self.asked += 1
            lean = 0.3 if text.key[1] in ("shows", "high") else 0.0
            expected = [1 + lean] * 25 + [4 + lean] * 9
            has = self.with_probabilities(self.asked)
            yield text, Judgement(self.status, [1] * 25 + [4] * 9, expected if has else None, 1)


def test_trap_23_expected_and_whole_ratings_are_never_compared_with_one_another():
    """The same digits for every text. With probabilities for every second one a mix would show
    differences."""
    mixed = check(SameDigits(lambda n: n % 2 == 1), 1)
    found = mixed["scores"], mixed["verdict"]["level"], mixed["pairs"]["share"]
    assert found == ("whole", "nothing", 0.5)
    assert {row["in_order"] for row in mixed["sessions"].values()} == {0}
    one_missing = check(SameDigits(lambda n: n != 200), 1)
    assert one_missing["scores"] == "whole" and one_missing["pairs"]["share"] == 0.5
    always = check(SameDigits(lambda n: True), 1)
    assert always["scores"] == "expected" and always["pairs"]["share"] == 1
    assert check(SameDigits(lambda n: False), 1)["scores"] == "whole"
    nobody = check(SameDigits(lambda n: True, "format"), 1)
    found = nobody["scores"], nobody["unrated"], nobody["verdict"]["level"]
    assert found == ("whole", 296, "nothing")


def test_clients_that_were_tuned_on_are_known_ones_and_recorded():
    assert check(SameDigits(lambda n: True), 1, ["g02"])["seen"] == ["g02"]
    with pytest.raises(InputError, match="--seen: no client G01, zzz; there are g01, g02,"):
        check(SameDigits(lambda n: True), 1, ["zzz", "g02", "G01"])


def test_judgements_are_kept_and_nothing_is_asked_twice(tmp_path):
    def keep():
        return Store(tmp_path / "kept.jsonl", lambda record: None)

    with keep() as store:
        first = check(SameDigits(lambda n: n % 2 == 1), 1, (), store)
    lines = (tmp_path / "kept.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 296
    (tmp_path / "kept.jsonl").write_text(
        "".join(lines[:100]) + lines[100][:20]
    )  # as a kill would leave it
    again = SameDigits(lambda n: n % 2 == 1)
    with keep() as store:
        assert check(again, 1, (), store) == first and again.asked == 196
    unanswered = SameDigits(lambda n: True, "error")
    with Store(tmp_path / "none.jsonl", lambda record: None) as store:
        assert check(unanswered, 1, (), store)["unrated"] == 296 and len(store) == 0


class Knows(Judge):
    """Rates 3 or 7 what shows an item, 0 or 1 what lacks it, and nothing else."""

    name, settings = "knows", {}

    def __init__(self):
        self.asked = []

    def rate(self, texts):
        for text in texts:
            self.asked.append(text.key[0])
            good = text.key[1] in ("shows", "high")
            yield text, Judgement("ok", [3 * good] * 25 + [1 + 6 * good] * 9, None, 1)


def test_a_short_check_has_a_pair_an_item_and_says_partly_at_most(tmp_path):
    """34 pairs of 34 items, in half of them (18) the better text is the longer one; the full check
    goes on from its judgements."""
    short, full = Knows(), Knows()
    with Store(tmp_path / "kept.jsonl", lambda record: None) as store:
        result = check(short, 1, (), store, short=True)
        check(full, 1, (), store)
    assert (len(short.asked), len(full.asked)) == (68, 296 - 68)
    by_id = {pair["id"]: pair for pair in read_jsonl(EXCERPTS)}
    pairs = [by_id[name] for name in dict.fromkeys(short.asked)]
    assert len({(pair["form"], pair["item"]) for pair in pairs}) == len(pairs) == 34
    assert sum(len(pair["shows"].split()) > len(pair["lacks"].split()) for pair in pairs) == 18
    assert result["pairs"]["right"] == 34 and result["verdict"]["level"] == "partly"
    assert result["verdict"]["line"].endswith("a short check, without whole sessions.")
    assert (result["items"], result["sessions"], result["short"]) == ([], {}, True)
    assert "AUC" not in "".join(in_words(result))


def test_sessions_to_tune_on_are_all_different_and_rated_by_what_their_replies_show():
    for script in read_jsonl(GRADED):
        made = draw(script, 10, 0)
        answers = [tuple(turn["answer"] for turn in session["turns"]) for session, _ in made]
        assert len(set(answers)) == len({session["id"] for session, _ in made}) == 10
        assert {session["profile"]["id"] for session, _ in made} == {script["id"]}
        high, low = made[0][1], made[1][1]
        assert (
            high["tes"][0] > 4 > low["tes"][0]
            and len({rating["tes"][0] for _, rating in made}) >= 3
        )
        for item in ACT_FM.items:
            shown = sum(item.number in turn["high"]["shows"] for turn in script["turns"])
            assert high["act_fm"][item.number - 1] == [0, 1, 2, 2, 3, 3, 3][shown]
    assert len(OTHERS) == len(list(read_jsonl(GRADED))) / 2
    longer = 0
    for script in read_jsonl(GRADED):
        if script["id"] in OTHERS:
            high, low = (
                sum(words(turn[level]["answer"]) for turn in script["turns"])
                for level in ("high", "low")
            )
            longer += high > low
    assert longer == 2
