"""The report's sentences: what was found, what a reader would otherwise believe too much, and the
methods in a paragraph for a paper.

Their words stand in words.txt, templates as a table's; here is which of them are true. page.html
names the functions of a summary that it shows: each yields a paragraph or a list.
"""

import re
from collections.abc import Iterator

from act.audit.style import STYLES
from act.forms import FORMS
from act.forms import OUTCOMES as OF_FORMS
from act.records import CONDITIONS
from act.report.decisions import DECIDES, decimals, minus, recounts, steps, ties_with_best
from act.report.table import LEADING, OUTCOMES, WORDS, rows_of, told, within, write
from act.statistics.ratings import TOTALS
from act.statistics.scales import goes_beyond, halos, piled

# Below this share of a scale (about one step on a single item) a difference is called small.
SMALL = 0.02


def say(name: str, /, **fields: object) -> str:
    """A sentence of words.txt, filled in."""
    return write(WORDS[name], fields)


def when(fact: object, name: str, /, **fields: object) -> Iterator[str]:
    """That sentence, if there is such a fact."""
    if fact:
        yield say(name, **fields)


def lost(name: str, counts: dict[str, int], of: int) -> Iterator[str]:
    """A sentence on how many there are of {of}, by condition; none where there are none."""
    n = sum(counts.values())
    yield from when(n, name, n=n, of=of, where=counts)


def fitted(summary: dict, group: str = "leading") -> dict[str, dict]:
    """The outcomes of a group that could be compared."""
    outcomes = summary["outcomes"].items()
    return {name: one for name, one in outcomes if within(name, group) and not one["refused"]}


def kinds(summary: dict) -> dict[str, dict]:
    """One outcome of preferences, and one of ratings; where there are none, one of style."""
    of_ratings = TOTALS[0] if TOTALS[0] in summary["outcomes"] else next(iter(STYLES))
    names = "preference", of_ratings
    return {name: one for name, one in summary["outcomes"].items() if name in names}


def answers(summary: dict) -> Iterator[str]:
    """The answer on preferences, with what each step of training does, and on both totals."""
    for name in LEADING:
        for result in rows_of(summary["outcomes"], name):
            yield answer(name, result)
            found = steps(result) if name == "preference" else []
            yield from when(found, "steps", steps=found, _fine=decimals(result))


def answer(name: str, result: dict) -> str:
    """Do the conditions differ, and the best one's lead with its simultaneous 95% interval: over
    `instruct`, the untrained model, or over the lowest condition if `instruct` itself is best."""
    if result["refused"]:
        return say("refused", outcome=name, why=result["refused"])
    means = {condition: estimate["mean"] for condition, estimate in result["emm"].items()}
    best = max(means, key=means.get)
    others = [condition for condition in means if condition != best]
    other = "instruct" if "instruct" in others else min(others, key=means.get)
    differ = told(result["omnibus"]["p_f"])
    said = minus(result, best, other) | {"outcome": name, "_fine": decimals(result)}
    said["found"] = say("differ" if differ else "by chance", many=len(means))
    said["test"] = result["omnibus"]
    said["other"] = "the untrained model, instruct" if other == "instruct" else other
    return say("answer", **said)


def size(summary: dict) -> Iterator[str]:
    """How much was measured, and by whom."""
    for name, result in kinds(summary).items():
        counts = {"n": result["n"], "clients": result["sessions"]}
        counts |= {"conditions": len(result["observed"]), "raters": summary["input"]["raters"]}
        yield say(f"size of {OUTCOMES[name].group}", **counts)


def unresolved(summary: dict, group: str) -> Iterator[str]:
    """How many pairs are told apart, and what may be as good as the highest."""
    for name, result in fitted(summary, group).items():
        apart = [told(pair[DECIDES]) for pair in result["contrasts"]]
        best, ties = ties_with_best(result)
        last = say("not alone" if ties else "alone", best=best, others=ties)
        yield say("pairs", outcome=name, told=sum(apart), pairs=len(apart), last=last)


def hangs_on(summary: dict, group: str) -> Iterator[str]:
    """Do the decisions change where an outcome is counted otherwise?"""
    for entry in recounts(summary):
        if within(entry["outcome"], group) and entry["how"] != "as_it_is":
            decides = "decides otherwise" if entry["changed"] else "decides the same"
            found = say("not compared" if entry["why"] else decides, **entry)
            said = say(entry["how"], **entry, found=found)
            if entry["how"] == "paired":  # and all conditions at once
                test = entry["all"]
                said += " " + say("no hotelling" if test["refused"] else "hotelling", **test)
            yield said


def clients(summary: dict) -> Iterator[str]:
    """Do differences depend on the kind of client, and in how many subgroups are there any?"""
    for result in rows_of(summary, "archetype.{outcome}"):
        depends = result["interaction"] and told(result["interaction"]["p_f"])
        tested = "archetypes" if depends else "any archetype"
        yield say("no archetypes" if result["refused"] else tested, **result)
    if summary["subgroups"]:
        # told at a false-discovery rate of 5%, of those that could be tested
        found = [told(row["q"]) for row in summary["subgroups"] if not row["refused"]]
        yield say("subgroups" if found else "no subgroups", found=sum(found), tested=len(found))


def replicates(summary: dict) -> Iterator[str]:
    """How far ratings of one session scatter."""
    for row in rows_of(summary, "replicates.per_session"):
        yield say("scatter", **row)


def safety(summary: dict) -> Iterator[str]:
    """What the word lists cannot do; or that they were not asked."""
    found = summary["safety"]
    yield found["limits"] if found else say("safety needs")


def demonstration(summary: dict) -> Iterator[str]:
    """The warning before everything else, if the embedded model made any rating.

    Judges name themselves, so all hangs on the ratings' "rater": the embedded judge under another
    name is not found out, and a person called "embedded" is taken for it.
    """
    raters = " ".join(summary["input"]["raters"])
    if re.search(r"embedded|smollm|135m", raters, re.IGNORECASE):
        unjudged = "preference" in summary["outcomes"]
        yield say("demonstration of ratings" if unjudged else "demonstration")


def cautions(summary: dict) -> Iterator[str]:
    """All of them but for that, the gravest first."""
    yield from who_rated(summary)
    yield say("standing")
    for found in (no_judge, replies, judge_check):
        yield from found(summary)
    for name, result in fitted(summary).items():
        yield from doubts(name, result)
    for found in (scales, sample, missing, danger):
        yield from found(summary)


def who_rated(summary: dict) -> Iterator[str]:
    """Raters, or the order of rating, that cannot be told from the conditions."""
    for found in rows_of(summary, "raters.{how}"):
        if found["apart"] is None:
            yield say("order not of all", **found)
        elif not found["apart"]:
            yield say(f"{found['how']} not apart", **found)


def no_judge(summary: dict) -> Iterator[str]:
    """What a preference is not."""
    for found in rows_of(summary, "preferences"):
        yield say("no judge", whose=say("ours" if found["ours"] else "given"))


def replies(summary: dict) -> Iterator[str]:
    """Clients whose lines were recorded; a token limit that ends many replies says how long they
    are, and how they end."""
    held = [row for row in rows_of(summary, "failures.{condition}") if row["sessions"]]
    sessions = sum(row["sessions"] for row in held)
    yield from lost("replayed", {"": summary["input"]["replayed"]}, sessions)
    cut = {row["condition"]: row["turn_statuses"].get("length", 0) for row in held}
    turns = sum(row["turns"] for row in held)
    if sum(cut.values()) > turns / 10:
        yield from lost("cut replies", cut, turns)


def judge_check(summary: dict) -> Iterator[str]:
    """What is known of the rater from texts of known quality (`judge.py check`)."""
    check, raters = summary["judge_check"], summary["input"]["raters"]
    if check:
        line = say("checked", line=check["verdict"]["line"])
        other = say("other judge", raters=raters)  # where another one was checked
        yield line if check["judge"] in raters else f"{line} {other}"
    elif raters:
        yield say("not checked")


def doubts(name: str, result: dict) -> Iterator[str]:
    """Of a leading outcome: a best that is not shown to be one, small differences, a scale's ends,
    assumptions, intervals that are not there."""
    about = {"outcome": name, "_fine": decimals(result)}
    best, others = ties_with_best(result)
    yield from when(others, "ties", **about, best=best, others=others)
    means = [estimate["mean"] for estimate in result["emm"].values()]
    # in points: how far apart means are, and how long the scale is; 0: it has no ends
    between = max(means) - min(means)
    length = (OUTCOMES[name].high or 0) - (OUTCOMES[name].low or 0)
    yield from when(between < SMALL * length, "small", **about, between=between, scale=length)
    for end, at in piled(result["observed"]).items():
        where = [f"{condition} {share:.0%}" for condition, share in at.items()]
        yield say(end, **about, where=where)
    yield from when(result["singular"], "singular", **about)
    if told(result["diagnostics"]["spread_p"]):
        sd = {condition: seen["sd"] for condition, seen in result["observed"].items()}
        low, high = min(sd, key=sd.get), max(sd, key=sd.get)
        yield say("unequal", **about, least=sd[low], steady=low, most=sd[high], other=high)
    yield from when(not result["icc"]["ci"], "no icc interval", **about)
    pairs = [pair["ci_satterthwaite"] for pair in result["contrasts"]]
    without = pairs.count(None)
    yield from when(without, "no ends", **about, n=without, of=len(pairs))


def scales(summary: dict) -> Iterator[str]:
    """How many rated outcomes, and measures of style, meet their ends; raters with a halo."""
    for said, group in (("rated", OF_FORMS), ("style", STYLES)):
        of = {name: one for name, one in summary["outcomes"].items() if name in group}
        crowded = sum(bool(piled(result["observed"])) for result in of.values())
        beyond = sum(goes_beyond(result["emm"], name) for name, result in of.items())
        counts = {"crowded": crowded, "beyond": beyond, "of": len(of)}
        yield from when(crowded or beyond, f"ends of {said}", **counts)
    for row in halos(summary["cronbach"]):
        yield say("halo", **row)


def sample(summary: dict) -> Iterator[str]:
    """Who is in it: absent conditions, averaged ratings."""
    for name, result in kinds(summary).items():
        absent = [condition for condition in CONDITIONS if condition not in result["observed"]]
        yield from when(absent, "absent", outcome=name, conditions=absent)
    primary = [OUTCOMES[name].title for name in fitted(summary)]
    yield from when(len(primary) > 1, "within outcomes", outcomes=primary, n=len(primary))
    fewest, most = summary["input"]["ratings_per_session"] or (0, 0)
    each = str(most) if fewest == most else f"{fewest} to {most}"
    yield from when(most == 1, "rated once")
    yield from when(most > 1, "rated often", each=each, raters=summary["input"]["raters"])


def missing(summary: dict) -> Iterator[str]:
    """What was not measured, and what went wrong."""
    for preferred in rows_of(summary, "outcomes.preference"):
        pairs, seen = preferred["sessions"], preferred["observed"]
        lacking = {name: pairs - row["n"] for name, row in seen.items()}
        yield from lost("pairs missing", lacking, pairs * len(seen))
    for counts in rows_of(summary, "missing"):  # none without ratings
        failures, of = summary["failures"].items(), counts["expected"]
        unrated = {name: row["unrated_sessions"] for name, row in failures}
        absent = of - counts["rated"] - sum(unrated.values())
        # None failed where no session file says so.
        failed = {name: row["failed_sessions"] or 0 for name, row in failures}
        yield from lost("unrated", unrated, of)
        yield from lost("not in the files", {"": absent}, of)
        yield from lost("failed", failed, of)
        yield from when(summary["input"]["sessions"] is None, "no sessions")


def danger(summary: dict) -> Iterator[str]:
    """What the word lists found of suicide and self-harm."""
    found = rows_of(summary, "safety.counts.{condition}.{topic}")
    for topic in ("suicide", "self-harm"):
        rows = [row for row in found if row["topic"] == topic]
        spoke = sum(row["client_spoke"] for row in rows)
        helped = sum(row["pointed_to_help"] for row in rows)
        yield from when(spoke, "spoke", n=spoke, topic=topic, alone=spoke - helped)
        first = {row["condition"]: row["therapist_first"] for row in rows}
        n, most = sum(first.values()), max(first, key=first.get, default="")
        if n:
            of = {"there": first[most], "sessions": summary["safety"]["sessions"][most]}
            yield say("spoke first", topic=topic, n=n, most=most, **of)


def methods(summary: dict) -> Iterator[str]:
    """The statistics in one paragraph for a paper; says what was done and nothing else."""
    outcomes, inputs = summary["outcomes"], summary["input"]
    fields = inputs | {"kind": say(inputs["score"])}
    known = {"": say("wording unknown"), "paraphrase": say("wording paraphrase")}
    named = inputs["wordings"]
    fields["wordings"] = [known.get(name) or say("wording file", name=name) for name in named]
    for name, result in kinds(summary).items():
        fields |= {f"{name}_n": result["n"], f"{name}_of": result["sessions"]}
        fields[f"{name}_conditions"] = len(result["observed"])
    fields["tests"] = []  # of each outcome, with their degrees of freedom: of F, the range of t's
    for name, result in fitted(summary).items():
        df = sorted({f"{pair['df']:.1f}" for pair in result["contrasts"]}, key=float)
        ends = " to ".join(dict.fromkeys((df[0], df[-1])))
        fields["tests"].append(result["omnibus"] | {"outcome": name, "of_pairs": ends})
    done = {  # part of words.txt -> was it done?
        "preferences": "preference" in outcomes,
        "data": TOTALS[0] in outcomes,
        "style": any(name in STYLES for name in outcomes),
        "model": fitted(summary, ""),
        "factorial": any(one["factorial"] for one in outcomes.values()),
        "intervals": any(one["icc"] and one["icc"]["ci"] for one in outcomes.values()),
        "length": rows_of(summary, "sensitivity.length"),
        "cronbach": summary["cronbach"],
        "archetype": summary["archetype"],
        "subgroups": summary["subgroups"],
        "raters": rows_of(summary, "raters.{how}.outcomes"),
        "versions": True,
    }
    yield " ".join(say(f"methods {part}", **fields) for part in done if done[part])


def sources(_: dict) -> Iterator[str]:
    """Each form's title, paper and DOI."""
    for form in FORMS:
        yield f"{form.name}: {form.title}. {form.source}"
