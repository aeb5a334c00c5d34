"""The methods in one paragraph for a paper: what was done and nothing else; and the forms' sources.

Its parts stand in words.txt, as those of sentences.py do.
"""

from collections.abc import Iterator

from act.forms import FORMS
from act.report.sentences import enumerated, fitted, kinds, say
from act.report.table import within
from act.statistics.ratings import TOTALS


def methods(summary: dict) -> Iterator[str]:
    """The statistics in one paragraph for a paper; says what was done and nothing else."""
    outcomes, inputs = summary["outcomes"], summary["input"]
    fields = inputs | {"kind": say(inputs["score"]), "raters": enumerated(inputs["raters"])}
    fields["wordings"] = enumerated([wording(name) for name in inputs["wordings"]])
    fields["tests"] = "; ".join(map(test_of, fitted(summary), fitted(summary).values()))
    for name, result in kinds(summary).items():
        fields |= {f"{name}_n": result["n"], f"{name}_of": result["sessions"]}
        fields[f"{name}_conditions"] = len(result["observed"])
    # Part of words.txt -> was it done?
    equal = (summary["raters"] or {}).values()
    parts = {
        "preferences": "preference" in outcomes,
        "data": TOTALS[0] in outcomes,
        "style": any(within(name, "style") for name in outcomes),
        "model": fitted(summary, ""),
        "factorial": any(one["factorial"] for one in outcomes.values()),
        "intervals": any(one["icc"] and one["icc"]["ci"] for one in outcomes.values()),
        "length": (summary["sensitivity"] or {}).get("length"),
        "cronbach": summary["cronbach"],
        "archetype": summary["archetype"],
        "subgroups": summary["subgroups"],
        "raters": any(found["outcomes"] for found in equal),
        "versions": True,
    }
    yield " ".join(say(f"methods {part}", **fields) for part, done in parts.items() if done)


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
