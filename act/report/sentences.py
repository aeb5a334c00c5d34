"""The report's sentences: the findings, and what a reader would otherwise believe too much.

Their words stand in words.txt, templates as a table's; here is which of them are true. page.html
names the functions of a summary that it shows: each yields a paragraph or a list.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from act.audit.style import STYLES
from act.forms import OUTCOMES as OF_FORMS
from act.records import CONDITIONS
from act.report.decisions import alternatives, told_apart, turned
from act.report.table import LEADING, OUTCOMES, Writer, within
from act.report.tables import decimals, steps
from act.statistics.ratings import TOTALS
from act.statistics.scales import goes_beyond, halos, piled

# Below this share of a scale (about one step on a single item) a difference is called small.
SMALL = 0.02
_TEXT = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
_PARTS = re.split(r"^\[(.+)\]$", _TEXT, flags=re.MULTILINE)[1:]  # name, template, name, ...
WORDS = {name: " ".join(said.split()) for name, said in zip(_PARTS[::2], _PARTS[1::2], strict=True)}


def say(name: str, fine: int = 2, /, **fields: object) -> str:
    """A sentence of words.txt; numbers are written as in a table, "{x:fine}" in `fine` decimals."""
    return Writer(fine).vformat(WORDS[name], (), fields)


def enumerated(names: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def by_condition(counts: dict[str, int]) -> str:
    """{"sft": 2, "orpo": 0} -> "sft 2"; conditions without any are left out."""
    return ", ".join(f"{name} {n}" for name, n in counts.items() if n)


def ties_with_best(result: dict) -> tuple[str, list[str]]:
    """The highest condition and those that the adjusted test does not tell from it."""
    best = max(result["emm"], key=lambda name: result["emm"][name]["mean"])
    ties = []
    for pair in result["contrasts"]:  # those with the best that p does not tell apart
        if best in (pair["a"], pair["b"]) and not told_apart(pair):
            ties.append(pair["a"] if pair["b"] == best else pair["b"])
    return best, ties


def fitted(summary: dict, group: str = "leading") -> dict[str, dict]:
    """The outcomes of a group that could be compared."""
    outcomes = summary["outcomes"].items()
    return {name: one for name, one in outcomes if within(name, group) and not one["refused"]}


def kinds(summary: dict) -> dict[str, dict]:
    """One outcome of preferences, and one of ratings; where there are none, one of style."""
    of_ratings = TOTALS[0] if TOTALS[0] in summary["outcomes"] else next(iter(STYLES))
    names = "preference", of_ratings
    return {name: one for name, one in summary["outcomes"].items() if name in names}


def demonstration(summary: dict) -> Iterator[str]:
    """The warning before everything else, if the embedded model made any rating.

    Judges name themselves, so all hangs on the ratings' "rater": the embedded judge under another
    name is not found out, and a person called "embedded" is taken for it.
    """
    raters = " ".join(summary["input"]["raters"])
    if re.search(r"embedded|smollm|135m", raters, re.IGNORECASE):
        unjudged = "preference" in summary["outcomes"]
        yield say("demonstration of ratings" if unjudged else "demonstration")


def answers(summary: dict) -> Iterator[str]:
    """The answer on preferences, with what each step of training does, and on both totals."""
    for name in LEADING:
        if name in summary["outcomes"]:
            result = summary["outcomes"][name]
            yield answer(name, result)
            rows = steps(name, result) if name == "preference" else []
            said = [say("step", decimals(result), **row) for row in rows]
            if said:
                yield say("steps", steps="; ".join(said))


def answer(name: str, result: dict) -> str:
    """Do the conditions differ, and the best one's lead with its simultaneous 95% interval: over
    `instruct`, the untrained model, or over the lowest condition if `instruct` itself is best."""
    if result["refused"]:
        return say("refused", outcome=name, why=result["refused"])
    # 1. the best, and whom it is compared with
    means = {condition: estimate["mean"] for condition, estimate in result["emm"].items()}
    best = max(means, key=means.get)
    lowest = min((condition for condition in means if condition != best), key=means.get)
    other = "instruct" if "instruct" in means and best != "instruct" else lowest
    # 2. their difference, a minus b: turned where b is best
    pair = next(row for row in result["contrasts"] if {row["a"], row["b"]} == {best, other})
    ci = pair["ci_adjusted_satterthwaite"]
    said = {"best": best, "lead": abs(pair["difference"])}
    said["ci"] = ci if pair["a"] == best else turned(ci)
    said["other"] = "the untrained model, instruct" if other == "instruct" else other
    # 3. the test of all conditions
    said["test"] = say("both tests", **result["omnibus"])
    differ = result["omnibus"]["p_f"] < 0.05
    said["found"] = say("differ" if differ else "by chance", many=len(means))
    return say("answer", decimals(result), outcome=name, **said)


def size(summary: dict) -> Iterator[str]:
    """How much was measured, and by whom."""
    raters = enumerated(summary["input"]["raters"])
    for name, result in kinds(summary).items():
        counts = {"clients": result["sessions"], "conditions": len(result["observed"])}
        yield say(f"size of {OUTCOMES[name].group}", n=result["n"], raters=raters, **counts)


def unresolved(summary: dict, group: str) -> Iterator[str]:
    """How many pairs are told apart, and what may be as good as the highest."""
    for name, result in fitted(summary, group).items():
        told = [told_apart(pair) for pair in result["contrasts"]]  # one a pair
        best, ties = ties_with_best(result)
        last = say("not alone" if ties else "alone", best=best, others=enumerated(ties))
        yield say("pairs", outcome=name, told=sum(told), pairs=len(told), last=last)


def no_judge(summary: dict) -> Iterator[str]:
    """What a preference is not."""
    if summary["preferences"]:
        yield say("no judge", whose=say("ours" if summary["preferences"]["ours"] else "given"))


def hangs_on(summary: dict, group: str) -> Iterator[str]:
    """Do the decisions change where an outcome is counted otherwise?"""
    for name, others in alternatives(summary).items():
        for how, other in others.items() if within(name, group) else ():
            found = decided(summary["outcomes"][name], other)
            said = say(how, outcome=name, found=found)
            if how == "paired":  # and all conditions at once
                test = other["unequal"]["omnibus"]
                said += " " + say("no hotelling" if test["refused"] else "hotelling", **test)
            yield said


def clients(summary: dict) -> Iterator[str]:
    """Do differences depend on the kind of client, and in how many subgroups are there any?"""
    for name, result in (summary["archetype"] or {}).items():
        if result["refused"]:
            yield say("no archetypes", outcome=name, why=result["refused"])
            continue
        tests = {of: say("F test", **result[of]) for of in ("interaction", "archetype")}
        depend = "depend" if result["interaction"]["p_f"] < 0.05 else "are not shown to depend"
        yield say("archetypes", outcome=name, depend=depend, **tests)
    if summary["subgroups"]:
        # told at a false-discovery rate of 5%, of those that could be tested
        found = [row["q"] < 0.05 for row in summary["subgroups"] if not row["refused"]]
        yield say("subgroups" if found else "no subgroups", found=sum(found), tested=len(found))


def cautions(summary: dict) -> Iterator[str]:
    """What a reader would otherwise believe too much."""
    yield from who_rated(summary)
    yield say("standing")
    yield from no_judge(summary)
    if summary["input"]["replayed"]:
        of = sum(row["sessions"] for row in summary["failures"].values())
        yield say("replayed", n=summary["input"]["replayed"], of=of)
    yield from cut_replies(summary)
    yield from judge_check(summary)
    for name, result in fitted(summary).items():
        yield from doubts(name, result)
    for found in (scales, sample, missing, danger):
        yield from found(summary)


def who_rated(summary: dict) -> Iterator[str]:
    """Raters, or the order of rating, that cannot be told from the conditions."""
    for how, found in (summary["raters"] or {}).items():
        if found["apart"] is None:
            yield say("order not of all", **found)
        elif not found["apart"]:
            groups = []
            for group in found.get("groups", []):
                raters, of = enumerated(group["raters"]), enumerated(group["conditions"])
                groups.append(f"{raters} rated {of}")
            yield say(f"{how} not apart", groups="; ".join(groups))


def cut_replies(summary: dict) -> Iterator[str]:
    """Where a token limit ends many replies, it says how long they are, and how they end."""
    held = {name: row for name, row in summary["failures"].items() if row["turns"]}
    cut = {name: row["turn_statuses"].get("length", 0) for name, row in held.items()}
    n, of = sum(cut.values()), sum(row["turns"] for row in held.values())
    if n > of / 10:
        yield say("cut replies", n=n, of=of, where=by_condition(cut))


def doubts(name: str, result: dict) -> Iterator[str]:
    """A best that is not shown to be one, small differences, a scale's ends, assumptions."""
    best, others = ties_with_best(result)
    if others:
        yield say("ties", outcome=name, best=best, others=enumerated(others))
    means = [estimate["mean"] for estimate in result["emm"].values()]
    # in points: how far apart means are, and how long the scale is
    between, shown = max(means) - min(means), OUTCOMES[name]
    scale = shown.high - shown.low if shown.high else 0  # 0: it has no ends
    if between < SMALL * scale:
        yield say("small", decimals(result), outcome=name, between=between, scale=scale)
    for end, at in piled(result["observed"]).items():
        where = enumerated([f"{condition} {share:.0%}" for condition, share in at.items()])
        yield say(end, outcome=name, where=where)
    if result["singular"]:
        yield say("singular", outcome=name)
    p = result["diagnostics"]["spread_p"]  # of equal residual variances
    if p is not None and p < 0.05:
        sd = {condition: seen["sd"] for condition, seen in result["observed"].items()}
        low, high = min(sd, key=sd.get), max(sd, key=sd.get)
        ends = {"least": sd[low], "steady": low, "most": sd[high], "other": high}
        yield say("unequal", decimals(result), outcome=name, **ends)
    if result["icc"]["ci"] is None:
        yield say("no icc interval", outcome=name)
    pairs = [pair["ci_satterthwaite"] for pair in result["contrasts"]]
    if None in pairs:
        yield say("no ends", outcome=name, n=pairs.count(None), of=len(pairs))


def scales(summary: dict) -> Iterator[str]:
    """How many rated outcomes, and measures of style, meet their ends; raters with a halo."""
    outcomes = summary["outcomes"]
    style = {name: one for name, one in outcomes.items() if within(name, "style")}
    rated = {name: one for name, one in outcomes.items() if name in OF_FORMS}
    for said, of in (("rated", rated), ("style", style)):
        crowded = sum(bool(piled(result["observed"])) for result in of.values())
        beyond = sum(goes_beyond(result["emm"], name) for name, result in of.items())
        if crowded or beyond:
            yield say(f"ends of {said}", crowded=crowded, beyond=beyond, of=len(of))
    yield from (say("halo", **row) for row in halos(summary["cronbach"]))


def sample(summary: dict) -> Iterator[str]:
    """Who is in it: absent conditions, averaged ratings."""
    for name, result in kinds(summary).items():
        absent = [condition for condition in CONDITIONS if condition not in result["observed"]]
        if absent:
            yield say("absent", outcome=name, conditions=enumerated(absent))
    primary = [OUTCOMES[name].title for name in fitted(summary)]
    if len(primary) > 1:
        yield say("within outcomes", outcomes=enumerated(primary), n=len(primary))
    fewest, most = summary["input"]["ratings_per_session"] or (0, 0)
    if most == 1:
        yield say("rated once")
    elif most:  # the mean of several
        each = str(most) if fewest == most else f"{fewest} to {most}"
        yield say("rated often", each=each, raters=enumerated(summary["input"]["raters"]))


def missing(summary: dict) -> Iterator[str]:
    """What was not measured, and what went wrong."""
    preferred = summary["outcomes"].get("preference")
    if preferred:
        pairs, seen = preferred["sessions"], preferred["observed"]
        lacking = {name: pairs - row["n"] for name, row in seen.items()}
        absent, of = sum(lacking.values()), pairs * len(seen)
        if absent:
            where = by_condition(lacking)
            yield say("pairs missing", absent=absent, expected=of, where=where)
    if summary["missing"] is None:  # no ratings
        return
    counts, failures = summary["missing"], summary["failures"]
    unrated = {name: row["unrated_sessions"] for name, row in failures.items()}
    without, of = sum(unrated.values()), counts["expected"]  # clients x conditions
    if without:
        yield say("unrated", n=without, of=of, where=by_condition(unrated))
    absent = of - counts["rated"] - without  # neither rated nor failed to be
    if absent:
        yield say("not in the files", absent=absent, expected=of)
    # None failed where no session file says so.
    broken = {name: row["failed_sessions"] or 0 for name, row in failures.items()}
    failed = sum(broken.values())
    if failed:
        yield say("failed", n=failed, of=of, where=by_condition(broken))
    if summary["input"]["sessions"] is None:
        yield say("no sessions")


def decided(everyone: dict, other: dict) -> str:
    """Does another entry of an outcome, maybe of fewer conditions, tell the same pairs apart?"""
    why = other["refused"] or everyone["refused"]
    if why:
        return say("not compared", why=why)
    told = {(pair["a"], pair["b"]): told_apart(pair) for pair in everyone["contrasts"]}
    changed = []
    for pair in other["contrasts"]:
        a, b = pair["a"], pair["b"]
        if told_apart(pair) != told[a, b]:
            changed.append(f"{a} against {b}")
    return say("decides otherwise" if changed else "decides the same", pairs=enumerated(changed))


def danger(summary: dict) -> Iterator[str]:
    """What the word lists found of suicide and self-harm."""
    safety = summary["safety"]
    for topic in ("suicide", "self-harm") if safety else ():
        rows = [counts[topic] for counts in safety["counts"].values()]
        spoke = sum(row["client_spoke"] for row in rows)  # sessions of all conditions
        helped = sum(row["pointed_to_help"] for row in rows)
        if spoke:
            yield say("spoke", n=spoke, topic=topic, alone=spoke - helped)
        first = {name: of[topic]["therapist_first"] for name, of in safety["counts"].items()}
        most = max(first, key=first.get)
        if first[most]:
            of = {"most": most, "there": first[most], "sessions": safety["sessions"][most]}
            yield say("spoke first", topic=topic, first=sum(first.values()), **of)


def judge_check(summary: dict) -> Iterator[str]:
    """What is known of the rater from texts of known quality (`judge.py check`)."""
    check, raters = summary["judge_check"], summary["input"]["raters"]
    if not raters:
        return
    if check is None:
        yield say("not checked")
    else:
        line = say("checked", line=check["verdict"]["line"])
        other = say("other judge", raters=enumerated(raters))  # where another one was checked
        yield line if check["judge"] in raters else f"{line} {other}"


def replicates(summary: dict) -> Iterator[str]:
    """How far ratings of one session scatter."""
    if summary["replicates"]:
        yield say("scatter", **summary["replicates"]["per_session"])


def safety(summary: dict) -> Iterator[str]:
    """What the word lists cannot do; or that they were not asked."""
    found = summary["safety"]
    yield found["limits"] if found else say("safety needs")
