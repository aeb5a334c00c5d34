"""The report's sentences: what was found, what a reader would otherwise believe too much, and the
methods in a paragraph for a paper.

Their words stand in words.txt, templates as a table's; here is which of them are true. page.html
names the functions of a summary that it shows: each yields a paragraph or a list.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from act.audit.style import STYLES
from act.forms import FORMS
from act.forms import OUTCOMES as OF_FORMS
from act.records import CONDITIONS
from act.report.table import LEADING, OUTCOMES, told, within, write
from act.report.tables import DECIDES, decimals, minus, recounts, steps
from act.statistics.ratings import TOTALS
from act.statistics.scales import goes_beyond, halos, piled

# Below this share of a scale (about one step on a single item) a difference is called small.
SMALL = 0.02
_TEXT = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
_PARTS = re.split(r"^\[(.+)\]$", _TEXT, flags=re.MULTILINE)[1:]  # name, template, name, ...
WORDS = {name: " ".join(said.split()) for name, said in zip(_PARTS[::2], _PARTS[1::2], strict=True)}


def say(name: str, /, **fields: object) -> str:
    """A sentence of words.txt, filled in."""
    return write(WORDS[name], fields)


def lost(name: str, counts: dict[str, int], of: int) -> Iterator[str]:
    """A sentence on how many there are of {of}, by condition; none where there are none."""
    n = sum(counts.values())
    if n:
        yield say(name, n=n, of=of, where=counts)


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
        if name in summary["outcomes"]:
            result = summary["outcomes"][name]
            yield answer(name, result)
            rows = steps(result) if name == "preference" else []
            said = [say("step", **row, _fine=decimals(result)) for row in rows]
            if said:
                yield say("steps", steps="; ".join(said))


def answer(name: str, result: dict) -> str:
    """Do the conditions differ, and the best one's lead with its simultaneous 95% interval: over
    `instruct`, the untrained model, or over the lowest condition if `instruct` itself is best."""
    if result["refused"]:
        return say("refused", outcome=name, why=result["refused"])
    means = {condition: estimate["mean"] for condition, estimate in result["emm"].items()}
    best = max(means, key=means.get)
    others = [condition for condition in means if condition != best]
    other = "instruct" if "instruct" in others else min(others, key=means.get)
    differ = result["omnibus"]["p_f"] < 0.05
    said = minus(result, best, other) | {"outcome": name, "_fine": decimals(result)}
    said["found"] = say("differ" if differ else "by chance", many=len(means))
    said["test"] = say("both tests", **result["omnibus"])
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


def ties_with_best(result: dict) -> tuple[str, list[str]]:
    """The highest condition and those that the adjusted test does not tell from it."""
    best = max(result["emm"], key=lambda name: result["emm"][name]["mean"])
    ties = []
    for pair in result["contrasts"]:
        if best in (pair["a"], pair["b"]) and not told(pair[DECIDES]):
            ties.append(pair["a"] if pair["b"] == best else pair["b"])
    return best, ties


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


def replicates(summary: dict) -> Iterator[str]:
    """How far ratings of one session scatter."""
    if summary["replicates"]:
        yield say("scatter", **summary["replicates"]["per_session"])


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
    """All of them but for that, the first first."""
    yield from who_rated(summary)
    yield say("standing")
    for found in (no_judge, replayed, cut_replies, judge_check, doubts, scales, sample):
        yield from found(summary)
    yield from missing(summary)
    yield from danger(summary)


def who_rated(summary: dict) -> Iterator[str]:
    """Raters, or the order of rating, that cannot be told from the conditions."""
    for how, found in (summary["raters"] or {}).items():
        if found["apart"] is None:
            yield say("order not of all", **found)
        elif not found["apart"]:
            groups = []
            for group in found.get("groups", []):
                groups.append(say("raters of", **group))
            yield say(f"{how} not apart", groups="; ".join(groups))


def no_judge(summary: dict) -> Iterator[str]:
    """What a preference is not."""
    if summary["preferences"]:
        yield say("no judge", whose=say("ours" if summary["preferences"]["ours"] else "given"))


def replayed(summary: dict) -> Iterator[str]:
    """Clients whose lines were recorded."""
    of = sum(row["sessions"] or 0 for row in summary["failures"].values())
    yield from lost("replayed", {"": summary["input"]["replayed"]}, of)


def cut_replies(summary: dict) -> Iterator[str]:
    """Where a token limit ends many replies, it says how long they are, and how they end."""
    held = {name: row for name, row in summary["failures"].items() if row["turns"]}
    cut = {name: row["turn_statuses"].get("length", 0) for name, row in held.items()}
    of = sum(row["turns"] for row in held.values())
    if sum(cut.values()) > of / 10:
        yield from lost("cut replies", cut, of)


def judge_check(summary: dict) -> Iterator[str]:
    """What is known of the rater from texts of known quality (`judge.py check`)."""
    check, raters = summary["judge_check"], summary["input"]["raters"]
    if check:
        line = say("checked", line=check["verdict"]["line"])
        other = say("other judge", raters=raters)  # where another one was checked
        yield line if check["judge"] in raters else f"{line} {other}"
    elif raters:
        yield say("not checked")


def doubts(summary: dict) -> Iterator[str]:
    """Of each leading outcome: a best that is not shown to be one, small differences, a scale's
    ends, assumptions, intervals that are not there."""
    for name, result in fitted(summary).items():
        about = {"outcome": name, "_fine": decimals(result)}
        best, others = ties_with_best(result)
        if others:
            yield say("ties", **about, best=best, others=others)
        means = [estimate["mean"] for estimate in result["emm"].values()]
        # in points: how far apart means are, and how long the scale is, if it has ends
        between, shown = max(means) - min(means), OUTCOMES[name]
        if shown.high and between < SMALL * (shown.high - shown.low):
            yield say("small", **about, between=between, scale=shown.high - shown.low)
        for end, at in piled(result["observed"]).items():
            where = [f"{condition} {share:.0%}" for condition, share in at.items()]
            yield say(end, **about, where=where)
        if result["singular"]:
            yield say("singular", **about)
        p = result["diagnostics"]["spread_p"]  # of equal residual variances
        if told(p):
            sd = {condition: seen["sd"] for condition, seen in result["observed"].items()}
            low, high = min(sd, key=sd.get), max(sd, key=sd.get)
            yield say("unequal", **about, least=sd[low], steady=low, most=sd[high], other=high)
        if result["icc"]["ci"] is None:
            yield say("no icc interval", **about)
        pairs = [pair["ci_satterthwaite"] for pair in result["contrasts"]]
        if None in pairs:
            yield say("no ends", **about, n=pairs.count(None), of=len(pairs))


def scales(summary: dict) -> Iterator[str]:
    """How many rated outcomes, and measures of style, meet their ends; raters with a halo."""
    for said, group in (("rated", OF_FORMS), ("style", STYLES)):
        of = {name: one for name, one in summary["outcomes"].items() if name in group}
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
            yield say("absent", outcome=name, conditions=absent)
    primary = [OUTCOMES[name].title for name in fitted(summary)]
    if len(primary) > 1:
        yield say("within outcomes", outcomes=primary, n=len(primary))
    fewest, most = summary["input"]["ratings_per_session"] or (0, 0)
    if most == 1:
        yield say("rated once")
    elif most:  # the mean of several
        each = str(most) if fewest == most else f"{fewest} to {most}"
        yield say("rated often", each=each, raters=summary["input"]["raters"])


def missing(summary: dict) -> Iterator[str]:
    """What was not measured, and what went wrong."""
    preferred = summary["outcomes"].get("preference")
    if preferred:
        pairs, seen = preferred["sessions"], preferred["observed"]
        lacking = {name: pairs - row["n"] for name, row in seen.items()}
        yield from lost("pairs missing", lacking, pairs * len(seen))
    if summary["missing"]:  # there are ratings
        failures, of = summary["failures"].items(), summary["missing"]["expected"]
        unrated = {name: row["unrated_sessions"] for name, row in failures}
        yield from lost("unrated", unrated, of)
        absent = of - summary["missing"]["rated"] - sum(unrated.values())
        yield from lost("not in the files", {"": absent}, of)
        # None failed where no session file says so.
        yield from lost("failed", {name: row["failed_sessions"] or 0 for name, row in failures}, of)
        if summary["input"]["sessions"] is None:
            yield say("no sessions")


def danger(summary: dict) -> Iterator[str]:
    """What the word lists found of suicide and self-harm."""
    found = summary["safety"] or {"counts": {}}
    for topic in ("suicide", "self-harm") if found["counts"] else ():
        rows = {condition: counts[topic] for condition, counts in found["counts"].items()}
        spoke = sum(row["client_spoke"] for row in rows.values())
        helped = sum(row["pointed_to_help"] for row in rows.values())
        if spoke:
            yield say("spoke", n=spoke, topic=topic, alone=spoke - helped)
        first = {condition: row["therapist_first"] for condition, row in rows.items()}
        most = max(first, key=first.get)
        if first[most]:
            of = {"most": most, "there": first[most], "sessions": found["sessions"][most]}
            yield say("spoke first", topic=topic, first=sum(first.values()), **of)


def methods(summary: dict) -> Iterator[str]:
    """The statistics in one paragraph for a paper; says what was done and nothing else."""
    outcomes, inputs = summary["outcomes"], summary["input"]
    fields = inputs | {"kind": say(inputs["score"])}
    fields["wordings"] = [wording(name) for name in inputs["wordings"]]
    fields["tests"] = "; ".join(map(test_of, fitted(summary), fitted(summary).values()))
    for name, result in kinds(summary).items():
        fields |= {f"{name}_n": result["n"], f"{name}_of": result["sessions"]}
        fields[f"{name}_conditions"] = len(result["observed"])
    raters = (summary["raters"] or {}).values()
    done = {  # part of words.txt -> was it done?
        "preferences": "preference" in outcomes,
        "data": TOTALS[0] in outcomes,
        "style": any(name in STYLES for name in outcomes),
        "model": fitted(summary, ""),
        "factorial": any(one["factorial"] for one in outcomes.values()),
        "intervals": any(one["icc"] and one["icc"]["ci"] for one in outcomes.values()),
        "length": (summary["sensitivity"] or {}).get("length"),
        "cronbach": summary["cronbach"],
        "archetype": summary["archetype"],
        "subgroups": summary["subgroups"],
        "raters": any(found["outcomes"] for found in raters),
        "versions": True,
    }
    yield " ".join(say(f"methods {part}", **fields) for part in done if done[part])


def wording(name: str) -> str:
    """The forms' wording as ratings name it: "paraphrase", a file's name, or nothing."""
    named = name in ("", "paraphrase")
    return say(f"wording {name or 'unknown'}") if named else say("wording file", name=name)


def test_of(name: str, result: dict) -> str:
    """An outcome's tests with their degrees of freedom."""
    df = [pair["df"] for pair in result["contrasts"]]
    ends = [min(df), max(df)]
    of_pairs = ends if round(ends[0], 1) < round(ends[1], 1) else ends[0]
    return say("test", outcome=name, of_pairs=of_pairs, **result["omnibus"])


def sources(_: dict) -> Iterator[str]:
    """Each form's title, paper and DOI."""
    for form in FORMS:
        yield f"{form.name}: {form.title}. {form.source}"
