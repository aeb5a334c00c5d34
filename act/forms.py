"""The two rating forms: ACT-FM (25 items, 0..3) and TES (9 items, 1..7), as data: their wording,
rendering and scoring.

The official wording of both forms is copyrighted. The texts here are this project's own short
paraphrases of what each item is about; for clinical work use the authors' forms (wording.py reads
them from a file).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real


@dataclass(frozen=True)
class Item:
    """One statement that a rater gives a number to."""

    number: int
    text: str  # our paraphrase, at most ten words: a small judge reads it before each rating
    subscale: str = ""  # ACT-FM: stance, open, aware, engaged
    direction: str = ""  # ACT-FM: consistent or inconsistent with ACT


@dataclass(frozen=True)
class Form:
    """A rating form: its items, and the range low..high and the anchors that all of them share."""

    name: str
    title: str
    low: int
    high: int
    anchors: str
    source: str
    doi: str
    items: tuple[Item, ...]

    @property
    def digits(self) -> tuple[str, ...]:
        """The ratings an item may get, as text: ("0", "1", "2", "3") for ACT-FM."""
        return tuple(str(value) for value in range(self.low, self.high + 1))


ACT_FM = Form(
    name="ACT-FM",
    title="ACT Fidelity Measure",
    low=0,
    high=3,
    anchors="0 never, 1 rarely, 2 sometimes, 3 consistently",
    source="O'Neill, Latchford, McCracken & Graham (2019), Journal of Contextual Behavioral Science",
    doi="10.1016/j.jcbs.2019.08.008",
    items=(
        Item(1, "suits the work to this client and moment", "stance", "consistent"),
        Item(2, "invites trying and sensing, not only explaining", "stance", "consistent"),
        Item(3, "treats hurting as an ordinary part of living", "stance", "consistent"),
        Item(4, "stays beside the client's pain, unhurried", "stance", "consistent"),
        Item(5, "lectures, advises or tries to convince", "stance", "inconsistent"),
        Item(6, "hurries to comfort, fix or change the subject", "stance", "inconsistent"),
        Item(7, "stays abstract and theoretical", "stance", "inconsistent"),
        Item(8, "helps see a thought as just a thought", "open", "consistent"),
        Item(9, "asks how the client responds to inner experiences", "open", "consistent"),
        Item(10, "makes room for pain where something valued needs it", "open", "consistent"),
        Item(11, "makes getting rid of distress the aim", "open", "inconsistent"),
        Item(12, "pushes for more positive thoughts", "open", "inconsistent"),
        Item(13, "calls avoiding or believing thoughts plainly wrong", "open", "inconsistent"),
        Item(14, "brings attention to here and now", "aware", "consistent"),
        Item(15, "helps catch what carries attention off", "aware", "consistent"),
        Item(16, "points to a self wider than its experiences", "aware", "consistent"),
        Item(17, "offers mindfulness to control feelings", "aware", "inconsistent"),
        Item(18, "uses mindfulness to prove thoughts false", "aware", "inconsistent"),
        Item(19, "runs exercises by rote", "aware", "inconsistent"),
        Item(20, "explores which of the client's responses work", "engaged", "consistent"),
        Item(21, "helps the client say what matters to them", "engaged", "consistent"),
        Item(22, "builds steps that follow from the client's values", "engaged", "consistent"),
        Item(23, "presses the therapist's values on the client", "engaged", "inconsistent"),
        Item(24, "urges action before feelings are explored", "engaged", "inconsistent"),
        Item(25, "backs plans that cannot work in practice", "engaged", "inconsistent"),
    ),
)

TES = Form(
    name="TES",
    title="Therapist Empathy Scale",
    low=1,
    high=7,
    anchors="1 not at all, 4 somewhat, 7 extensively",
    source="Decker, Nich, Carroll & Martino (2014), Behavioural and Cognitive Psychotherapy",
    doi="10.1017/S1352465813000039",
    items=(
        Item(1, "shows care about the client"),
        Item(2, "speaks with life and feeling"),
        Item(3, "echoes the client's feelings in tone"),
        Item(4, "is warm and kind"),
        Item(5, "is in tune with the client's inner life"),
        Item(6, "grasps how the client sees things"),
        Item(7, "grasps what the client feels"),
        Item(8, "lets the client's feelings be as they are"),
        Item(9, "answers to what the client just brought"),
    ),
)

FORMS = (ACT_FM, TES)
SUBSCALES = ("stance", "open", "aware", "engaged")


@dataclass(frozen=True)
class Outcome:
    """A score that is analysed: its name for readers, and the ends of its scale in points."""

    title: str
    low: float
    high: float


# act_fm_total is the total of the four consistent subscales only (the published analysis's name);
# what goes against ACT is act_fm_inconsistency, and no score joins the two.
OUTCOMES = {
    "act_fm_total": Outcome("ACT-FM consistency", 0, 36),
    "tes_mean": Outcome("TES empathy", 1, 7),
    "act_fm_inconsistency": Outcome("ACT-FM inconsistency", 0, 36),
} | {
    f"{subscale}_{direction}": Outcome(f"ACT-FM {subscale}, {direction}", 0, 9)
    for direction in ("consistent", "inconsistent")
    for subscale in SUBSCALES
}


def score(act_fm: Sequence[float], tes: Sequence[float]) -> dict[str, float]:
    """All outcomes of one session from its 25 ACT-FM and 9 TES ratings (whole or expected ones).

    A subscale has 3 items and is their sum, 0..9; stance-consistent has 4 and is its sum times 3/4.
    act_fm_total = the four consistent subscales (0..36, more is better), act_fm_inconsistency = the
    four inconsistent ones (0..36, less is better), tes_mean = the mean of nine (1..7). Missing is
    missing: raises ValueError for a form with an item left out, not a number, or out of range.
    """
    for form, ratings in ((ACT_FM, act_fm), (TES, tes)):
        _check(form, ratings)
    result = {}
    for direction in ("consistent", "inconsistent"):
        for subscale in SUBSCALES:
            values = [
                value
                for item, value in zip(ACT_FM.items, act_fm, strict=True)
                if (item.subscale, item.direction) == (subscale, direction)
            ]
            result[f"{subscale}_{direction}"] = 3 * sum(values) / len(values)
    result["act_fm_total"] = sum(result[f"{subscale}_consistent"] for subscale in SUBSCALES)
    result["act_fm_inconsistency"] = sum(
        result[f"{subscale}_inconsistent"] for subscale in SUBSCALES
    )
    result["tes_mean"] = sum(tes) / len(tes)
    return {name: float(result[name]) for name in OUTCOMES}


def _check(form: Form, ratings: Sequence[float]) -> None:
    if len(ratings) != len(form.items):
        raise ValueError(f"{form.name} has {len(form.items)} items, not {len(ratings)}: no score")
    for item, value in zip(form.items, ratings, strict=True):
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"{form.name} item {item.number} is {value!r}, not a number: no score")
        if not form.low <= value <= form.high:
            raise ValueError(
                f"{form.name} item {item.number} is {value!r}, outside {form.low}..{form.high}"
            )


@dataclass(frozen=True)
class Slot:
    """One place on a filled form that waits for a digit."""

    form: str
    number: int
    label: str  # the text a judge reads, up to where its digit goes
    digits: tuple[str, ...]


def slots(forms: Sequence[Form] = FORMS) -> list[Slot]:
    """The 34 places where a judge puts a digit, ACT-FM 1..25 then TES 1..9.

    slots()[4] == Slot("ACT-FM", 5, "ACT-FM 5. lectures, advises or tries to convince: ", ("0", "1",
    "2", "3"))
    """
    return [
        Slot(form.name, item.number, f"{form.name} {item.number}. {item.text}: ", form.digits)
        for form in forms
        for item in form.items
    ]


def render(ratings: Sequence[int | str], forms: Sequence[Form] = FORMS) -> str:
    """Both forms filled in, one line an item: what `parse_forms` reads back. `ratings`: 34, ACT-FM
    first."""
    return "\n".join(
        f"{slot.label}{rating}" for slot, rating in zip(slots(forms), ratings, strict=True)
    )


def instructions() -> str:
    """What a judge is told about both forms before it rates: the rubric, under 200 words."""
    return (
        "You rate the therapist in a session of Acceptance and Commitment Therapy (ACT). Rate what the therapist "
        "does in the transcript, not what you would like to see, and not the client.\n\n"
        f"{ACT_FM.name}, 25 items: how steadily did the therapist do this? {ACT_FM.anchors}. Items 1-4, 8-10, 14-16 "
        "and 20-22 fit ACT: room for pain, thoughts held lightly, presence, the client's own values and "
        "workable steps. Items 5-7, 11-13, 17-19 and 23-25 go against ACT: persuading, fixing, controlling "
        "feelings, imposing values. For those a high number means the fault was there often; a good "
        "session has low ones.\n\n"
        f"{TES.name}, 9 items: how much empathy did the therapist's words show? {TES.anchors}. Praise alone, or "
        "repeating the client's words, is not empathy.\n\n"
        "Use the whole scale. Rate each item by itself. Give one whole number per item and nothing else."
    )
