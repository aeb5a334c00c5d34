"""ACT-FM and TES: scores worked out by hand, what a judge is shown, and what is read of its answer.

Trap 21: filled forms, in every layout and with every fault we know, give the right ratings or a
named refusal; test_forms_damage.py does the same to forms damaged at random.
"""

import json
import math
import random
from dataclasses import replace
from string import ascii_lowercase

import pytest

from act.forms import (
    ACT_FM,
    FORMS,
    OUTCOMES,
    SUBSCALES,
    TES,
    Refused,
    instructions,
    load_wording,
    parse_forms,
    render,
    score,
    slots,
)
from act.judging.judge import form_messages
from act.records import InputError

# ACT-FM with item k rated k mod 4: 1 2 3 0 | 1 2 3 | 0 1 2 | 3 0 1 | 2 3 0 | 1 2 3 | 0 1 2 | 3 0 1
RATED = [k % 4 for k in range(1, 26)]


def test_score_by_hand():
    """Subscale by subscale from the row above; stance-consistent is (1 + 2 + 3 + 0) x 3/4 = 4.5.

    consistent: 4.5 + (0 + 1 + 2) + (2 + 3 + 0) + (0 + 1 + 2) = 4.5 + 3 + 5 + 3 = 15.5
    inconsistent: (1 + 2 + 3) + (3 + 0 + 1) + (1 + 2 + 3) + (3 + 0 + 1) = 6 + 4 + 6 + 4 = 20
    TES 1..7, 7, 7: (28 + 14) / 9.
    """
    result = score(RATED, [1, 2, 3, 4, 5, 6, 7, 7, 7])
    assert result == {
        "act_fm_total": 15.5,
        "tes_mean": 42 / 9,
        "act_fm_inconsistency": 20.0,
        "stance_consistent": 4.5,
        "open_consistent": 3.0,
        "aware_consistent": 5.0,
        "engaged_consistent": 3.0,
        "stance_inconsistent": 6.0,
        "open_inconsistent": 4.0,
        "aware_inconsistent": 6.0,
        "engaged_inconsistent": 4.0,
    }


@pytest.mark.parametrize(("act_fm", "tes", "ends"), [(0, 1, "low"), (3, 7, "high")])
def test_the_ends_of_the_scales_are_the_ends_of_the_outcomes(act_fm, tes, ends):
    result = score([act_fm] * 25, [tes] * 9)
    assert result == {name: getattr(outcome, ends) for name, outcome in OUTCOMES.items()}


def test_one_item_moves_its_own_subscale_and_no_other():
    """Raising item k by 1 raises its subscale by 1 (stance-consistent by 3/4), and the total of its
    direction."""
    for k in range(25):
        rated = [1] * 25
        rated[k] += 1
        before, after = score([1] * 25, [4] * 9), score(rated, [4] * 9)
        moved = {
            name: after[name] - before[name] for name in OUTCOMES if after[name] != before[name]
        }
        step = 0.75 if k < 4 else 1.0
        consistent = k + 1 in (1, 2, 3, 4, 8, 9, 10, 14, 15, 16, 20, 21, 22)
        subscale = next(
            name for name, last in zip(SUBSCALES, (7, 13, 19, 25), strict=True) if k + 1 <= last
        )
        direction, total = (
            ("consistent", "act_fm_total")
            if consistent
            else ("inconsistent", "act_fm_inconsistency")
        )
        assert moved == {f"{subscale}_{direction}": step, total: step}


def test_expected_ratings_score_like_whole_ones():
    assert score([1.25] * 25, [4.5] * 9)["act_fm_total"] == pytest.approx(15.0)
    assert score([1.25] * 25, [4.5] * 9)["tes_mean"] == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("act_fm", "tes", "message"),
    [
        (RATED[:24], [4] * 9, "ACT-FM has 25 items, not 24"),
        (RATED, [4] * 8, "TES has 9 items, not 8"),
        ([None] + RATED[1:], [4] * 9, "ACT-FM item 1 is None"),
        (RATED, [4] * 8 + [math.nan], "TES item 9 is nan"),
        (RATED, [4] * 8 + [0], "TES item 9 is 0, outside 1..7"),
        ([4] + RATED[1:], [4] * 9, "ACT-FM item 1 is 4, outside 0..3"),
        ([True] + RATED[1:], [4] * 9, "ACT-FM item 1 is True"),
    ],
)
def test_missing_is_missing_and_wrong_is_refused(act_fm, tes, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        score(act_fm, tes)


def test_slots_are_the_34_items_in_order_with_their_digits():
    places = slots()
    assert [(slot.form, slot.number) for slot in places] == [
        *(("ACT-FM", k) for k in range(1, 26)),
        *(("TES", k) for k in range(1, 10)),
    ]
    assert all(slot.digits == tuple("0123") for slot in places[:25])
    assert all(slot.digits == tuple("1234567") for slot in places[25:])
    assert places[4].label == "ACT-FM 5. lectures, advises or tries to convince: "
    assert max(len(item.text.split()) for form in (ACT_FM, TES) for item in form.items) <= 10
    assert len({slot.label for slot in places}) == 34


def test_instructions_explain_both_scales_briefly():
    text = instructions()
    assert len(text.split()) <= 200
    assert (
        "0 never" in text
        and "3 consistently" in text
        and "1 not at all" in text
        and "7 extensively" in text
    )
    for low, high in ((1, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19), (20, 22), (23, 25)):
        assert f"{low}-{high}" in text


LAYOUTS = {
    "plain": "{n}. {text}: {value}",
    "brackets": "{n}) {text} - {value}",
    "rating on the line": "{n}. {text} Rating: {value}",
    "rating on the next line": "{n}. {text}\nRating: {value}",
    "number alone on the next line": "{n}. {text}\n{value}",
    "bold": "**{n}.** {text}: **{value}**",
    "bullets": "- {n}. {text}: {value}",
    "item, equals": "Item {n}: {text} = {value}",
    "out of": "{n}. {text}: {value}/{high}",
    "table": "| {n} | {text} | {value} |",
    "table with stops": "| {n}. | {text}. | **{value}** |",
    "table without texts": "| {n} | {value} |",
    "form in each line": "{form} {n}. {text}: {value}",
    "form in each row": "| {form} | {n} | {text} | {value} |",
    "number only": "{n}: {value}",
    "tags": "<item>{n}. {text}: <b>{value}</b></item>",
    "released": "item_{n}: {value}",
    "released, with a word": "item_{n}: Rating: {value}",
}
HEADINGS = (
    "{name}",
    "## {title} ({name})",
    "**{name}:**",
    "<{name}>",
    "{title}",
    "{name} ratings ({low}-{high}):",
    "<{tag}>",
    "Output Form: {title}",
)
MORE_HEADINGS = (
    "## {name} ({low} - {high})",
    "{name}: {low} to {high}",
    "Here is the {name}, rated from {low}\u2013{high}:",
    "Form 1: {name}",
    "2. {name} ({items} items)",
    "{name} scale: {anchors}",
    "{name} (items 1-{items}, rated {low}-{high})",
    "{name} 1-{items}",
)
PAIRS = [(layout, heading) for layout in LAYOUTS for heading in HEADINGS]
PAIRS += [
    (layout, heading)
    for layout in ("plain", "table", "rating on the next line")
    for heading in MORE_HEADINGS
]


def draw_form(draw, layout="plain", heading="{name}", order=FORMS, subscales=False):
    """(text, ratings) of both forms in a layout."""
    ratings, lines = {}, []
    for form in order:
        ratings[form.name] = [draw.randint(form.low, form.high) for _ in form.items]
        words = {"name": form.name, "title": form.title, "low": form.low, "high": form.high}
        words |= {"tag": form.title.replace(" ", "_"), "anchors": form.anchors}
        lines.append(heading.format(**words, items=len(form.items)))
        for item, value in zip(form.items, ratings[form.name], strict=True):
            if subscales and item.subscale and item.number in (5, 8, 14, 20):
                items = " (items 8-10)" * (item.number == 8)
                lines.append(f"### {item.subscale.capitalize()}, {item.direction}{items}")
            words = {"n": item.number, "text": item.text, "value": value}
            lines.append(LAYOUTS[layout].format(**words, high=form.high, form=form.name))
        lines.append("")
    return "\n".join(lines), ratings


def as_json(ratings):
    sheets = {name: {str(k): v for k, v in enumerate(mine, 1)} for name, mine in ratings.items()}
    return json.dumps(sheets)


@pytest.mark.parametrize(("layout", "heading"), PAIRS)
def test_trap_21_every_layout_is_read(layout, heading):
    draw = random.Random(f"{layout}{heading}")
    for order in (FORMS, FORMS[::-1]):
        text, ratings = draw_form(draw, layout, heading, order, subscales=True)
        assert parse_forms(text) == ratings
        assert parse_forms(f"# Evaluation\nHere they are.\n```\n{text}\n```") == ratings


def test_trap_21_items_may_stand_in_any_order():
    draw = random.Random(5)
    for layout in ("plain", "form in each line", "table without texts"):
        text, ratings = draw_form(draw, layout)
        first, second = (part.splitlines() for part in text.split("\nTES\n"))
        shuffled = draw.sample(first[1:], len(first) - 1), draw.sample(second, len(second))
        assert parse_forms("\n".join(["ACT-FM", *shuffled[0], "TES", *shuffled[1]])) == ratings


def plain_with(line_7: str) -> str:
    """A form whose line of ACT-FM item 7 is another; {t} in it is the item's text."""
    lines = draw_form(random.Random(1))[0].splitlines()
    lines[7] = line_7.replace("{t}", ACT_FM.items[6].text)
    return "\n".join(lines)


NO_RATING = r"""{t}: 1.5|{t}: 4|{t}: 3/4|{t}: 3/7|{t}: -1|{t}: 1-2|{t}: 1 or 2|{t}: two|-1
{t}: −1|{t}: > 1|{t}: ~1|{t}: ~~1~~|{t}: <del>1</del>|{t}: 0<br>2|{t}: *0*2|{t}: 1**0**|{t}: 2½
{t}: 2 - and a half|{t}: 2 (or rather three)|{t}: 2 - or 3|{t}: 3 (never)|{t}: 12
{t}: not rated. Confidence: 3|{t}, confidence: 3|{t}: - 1|- 1|{t} >= 1|{t}: (1
{t}:\n2. He lectures|{t}:\n- 1|{t}:\n> 1|{t}\n|{t}: <removed>1</removed>
{t}: <strikethrough>1</strikethrough>|{t}: 1 (out of ten)|{t}: 1 - eight
{t}: 1, out of a hundred|{t}: 1 - changed to II|{t}: 1 (N/A)|{t}: 1 - not rated
{t}: 1 (or higher)|{t}: 1 - no, more|{t}: 1 (i.e. never)|{t}: 1 - revised
1 - helps see a thought as just a thought|{t}: 2 - he lectures at length|{t}: 2. He lectures.
{t}: 2 (sometimes)|{t}\nRating: 2 - he lectures|{t}: two out of 3|{t}: 1 out of 3|{t}: [1]
stays abstract: 1|The therapist {t}: 1|{t} (R): 1|{t}? 1|never {t}: 1|{t} (never): 1"""
NO_RATING = [words for line in NO_RATING.split("\n") for words in line.split("|")]


@pytest.mark.parametrize("words", [*NO_RATING, "{t}: " + "9" * 5000])
def test_trap_21_what_is_not_a_rating_alone_is_refused_by_name(words):
    with pytest.raises(Refused, match=r"ACT-FM item 7 is '.*', not one of 0\.\.3 alone"):
        parse_forms(plain_with("7. " + words.replace("\\n", "\n")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("6. hurries to comfort, fix or change the subject: 1", "ACT-FM item 6 is there twice"),
        ("", "ACT-FM item 7 is missing"),
        ("27. {t}: 1", "ACT-FM has no item 27"),
        ("0. {t}: 1", "ACT-FM has no item 0"),
        ("7. {t}: 1\n7. {t}: 1", "ACT-FM item 7 is there twice"),
        ("7. {t}: 1\nACT-FM item 7: 2", "ACT-FM item 7 is there twice"),
        ("7. {t}: 1\n2", "ACT-FM item 7 is '1 Rating: 2'"),
        ("| 7 | | 1 |", "ACT-FM item 7 is '. 1'"),
        ("| 7 | {t} | | 1 |", "ACT-FM item 7 is '. 1'"),
        ("| 7 | {t} | 1 | as seen |", "ACT-FM item 7 is '1 . as seen'"),
        ("| 7 | {t} | Rarely | 1 |", "ACT-FM item 7 is 'Rarely . 1'"),
        ("| 7 | 1 | {t} |", "ACT-FM item 7 is"),
        ("<old>7. {t}: 1</old>", "neither a heading nor an item of a named form: '<old>7"),
        ("<!-- 7. {t}: 1 -->", "neither a heading nor an item"),
        ("> 7. {t}: 1", "neither a heading nor an item"),
        ("7 {t}: 1", "neither a heading nor an item"),
        ("7.1", "neither a heading nor an item"),
    ],
)
def test_trap_21_what_is_not_an_item_is_refused_by_name(line, said):
    with pytest.raises(Refused, match=said):
        parse_forms(plain_with(line))


def test_trap_21_a_missing_form_is_refused():
    act_fm, tes = draw_form(random.Random(1))[0].split("\nTES\n")
    for text, said in (
        (act_fm, "TES item 1 is missing"),
        (f"TES\n{tes}", "ACT-FM item 1 is missing"),
        ("", "ACT-FM item 1 is missing"),
        (f"{act_fm}\n{tes}", "ACT-FM item 1 is there twice"),
        (f"1. shows care about the client: 3\n{act_fm}", "nor an item of a named form: '1. shows"),
        (f"The therapist demonstrates the ACT stance.\n{act_fm}", "neither a heading"),
    ):
        with pytest.raises(Refused, match=said):
            parse_forms(text)


def test_texts_that_change_places_are_refused():
    """Items 7 and 8 with one another's texts: by the number it is one rating, by the text
    another."""
    text, _ = draw_form(random.Random(1))
    a, b = ACT_FM.items[6].text, ACT_FM.items[7].text
    with pytest.raises(Refused, match=f"ACT-FM item 7 is '{b}: "):
        parse_forms(text.replace(a, "?").replace(b, a).replace("?", b))
    near = (
        replace(ACT_FM.items[6], text="lets a feeling be"),
        replace(ACT_FM.items[7], text="lets a feeling be seen"),
    )
    forms = (replace(ACT_FM, items=(*ACT_FM.items[:6], *near, *ACT_FM.items[8:])), TES)
    text, ratings = draw_form(random.Random(1), order=forms)
    assert parse_forms(text, forms) == ratings
    for old, new in (("be seen", "be"), ("feeling be:", "feeling be seen:")):
        with pytest.raises(Refused, match="ACT-FM item [78] is '.*: "):
            parse_forms(text.replace(old, new), forms)


FOREIGN = r"""Rarely (confidence: 1)|two: 3|two, confidence: 3|confidence: 2|Not applicable: 2
N/A: 2|no rating: 2|rating scale: 3|max: 3|max score: 3|lectures, max score: 3
Turns where he lectures: 3|turns: 3|previous: 2|low: 2|turns where he {t}: 3|times {t}: 3
abstract: 3|stays: 3|not abstract or theoretical: 3|{t} (R): 2|{t} (confidence): 2
{t} - turns: 3|From never to consistently: 3|{t}: rarely (confidence: 3)|{t} (never): 3
Rating (zero to three): 2|helps see a thought as just a thought: 0
hurries to comfort, fix or change the subject: 2|is warm and kind: 2|Rarely  1|{t}  Rarely  1
{t}  weight  2|Confidence\n2|Confidence:\nRating: 2|{t} (never)\n2|turns where he {t}:\n2
helps see a thought as just a thought\n2"""
FOREIGN = [words for line in FOREIGN.split("\n") for words in line.split("|")]


@pytest.mark.parametrize("words", FOREIGN)
def test_a_number_behind_words_that_are_not_the_items_is_no_rating(words):
    words = words.replace("\\n", "\n").replace("  ", " | ")
    for line in (f"7. {words}", f"| 7 | {words} |"):
        with pytest.raises(Refused, match="ACT-FM item 7 is '"):
            parse_forms(plain_with(line))


SECOND_THOUGHTS = r"""On second thought I would change item 7 to 3.|I would change item 7 to 3.
item 7 to 3|Item 7 -> 3|On reflection, ACT-FM item 7 to 3.|ACT-FM item 7 to 3.
I would move TES 3 to 5.|TES 3 to 5|TES 3-5|I mean 3.|I mean: 3|I mean, item 7 is a 3.
On average, though, item 7 is closer to 3.|In sum, please read item 7 as 3.|sum it up: 3
On average 3|I totally misjudged item 7: it deserves a 3.|Total: 45, but item 7 is 3
Mean of item 7: 3|totally 3|Stance: 3|Overall: 3|On reflection, item seven should be three.
Wait - the last one should be a three.|Item seven could also be higher (2-3).
Items 5-7: all threes.|Items 5-7: 3|(2-3)|Score (2-3)|2-3|II|Make it II.
The seventh item deserves more.|Item \u2466: more|Item seven does not apply here.
The last item is not applicable.|I cannot rate the last item.|TES was not rated.|N/A
Actually, more.|Wait, more.|Correction: more|No, more than that.|Or more.|Sorry, more.
Edit: more|Update: more|Oops.|On reflection, more.|I misjudged the last item.|Scratch that.
Please ignore the above.|Disregard the form above.|Too low.
The last rating should be the maximum.|I underrated him.|Swap the last pair.
Reverse the inconsistent items.|These are placeholders.|Add a point to each item.
The last item: consistently.|Half a point more for each.|\u4e09|<removed>|</old>|<del>|<!--
All 25 items: 3|25 items at 3|Note: 3 for item 7|{7: 3}|7 = 3|7 (3)|7. 3|Open (3)|TES 3 (5)
Rating: 2|Revised score: 2|1-2|ACT-FM: 2|Correction: that should be higher|TES 1-7|TES 1 - 7
## ACT-FM (0-3)|Scale: 3 never|No|no rating|TES: no ratings|Please read TES item 3 as 5.
7. stays abstract and theoretical: 3|~~|Stance (5-7)"""
SECOND_THOUGHTS = [thought for line in SECOND_THOUGHTS.split("\n") for thought in line.split("|")]
REMARKS = r"""I hope this helps!|That is my view of both.|The therapist demonstrates warmth.
Mean: 4.2|Total: 45|These ratings rest on the transcript alone.|Subscale total: 6
ACT-FM total = 35/75|I rated on a scale from 0 to 3."""
REMARKS = [remark for line in REMARKS.split("\n") for remark in line.split("|")]


@pytest.mark.parametrize("thought", SECOND_THOUGHTS + REMARKS)
def test_text_beside_ratings_is_refused(thought):
    """Among the items, behind them, and beside a JSON object."""
    text, ratings = draw_form(random.Random(1))
    first, rest = text.split("\n8. ", 1)
    whole = as_json(ratings)
    damaged = f"{first}\n{thought}\n8. {rest}", f"{text}\n{thought}", f"{whole}\n\n{thought}"
    for filled in damaged:
        with pytest.raises(Refused, match="neither a heading|is there twice|item . is|whole JSON"):
            parse_forms(filled)


@pytest.mark.parametrize(
    "words",
    ["```", "---", "**Ratings**", "Open, consistent (items 8-10):", "Items 14-16", "### Stance"]
    + ["Engaged response style", "Here are my ratings:", "```json", "| Item | Statement | Rating |"]
    + ["</ratings>", "|---|:--|", "</ACT-FM>", "ACT-FM, open"],
)
def test_headings_without_ratings_are_let_pass(words):
    text, ratings = draw_form(random.Random(1))
    first, rest = text.split("\n8. ", 1)
    assert parse_forms(f"{first}\n{words}\n8. {rest}") == parse_forms(f"{text}\n{words}") == ratings
    assert parse_forms(f"{words}\n{as_json(ratings)}\n{words}") == ratings


@pytest.mark.parametrize(
    "thought",
    ["Please read TES item 3 as 5.", "Note: item seven is really a three.", "ACT-FM item 7 to 3"]
    + ["7. stays abstract and theoretical: 3", "I rated on a scale from 1 to 5.", "On a 1-5 scale:"]
    + ["Ratings go from 0 (never) to 4 (always).", "1 = never, 2 = sometimes", "## ACT-FM (1-4)"]
    + ["Scale: 3 never, 2 rarely, 1 sometimes, 0 consistently", "ACT-FM (1-7)", "## TES (0-3)"]
    + ["| Item | Text | Rating (1-4) |"],
)
def test_a_rating_or_another_scale_before_the_form_is_refused(thought):
    text, _ = draw_form(random.Random(1))
    with pytest.raises(Refused, match="neither a heading"):
        parse_forms(f"{thought}\n{text}")


@pytest.mark.parametrize(
    "heading", ["TES (1 - 7)", "## TES (1-7)", "TES: 1-7", "TES 1 to 7", "TES (1 to 7)"]
)
def test_a_scale_in_a_heading_is_no_rating_of_item_1(heading):
    text, ratings = draw_form(random.Random(1))
    text = text.replace("TES", heading)
    assert parse_forms(text) == ratings
    with pytest.raises(Refused, match="TES item 1 is missing"):
        parse_forms("\n".join(line for line in text.splitlines() if "shows care" not in line))
    for damaged in (text.replace(heading, "TES 1 - 7"), f"{text}\n{heading}"):
        with pytest.raises(Refused, match="neither a heading"):  # behind the form it is none
            parse_forms(damaged)


@pytest.mark.parametrize(
    ("head", "row", "read"),
    [
        ("| Item | Text | Rating |", "| {n} | {text} | {value} |", True),
        ("| # | Statement | Score ({low}-{high}) |", "| {n} | {text} | {value} |", True),
        ("| Item | Rating |", "{n} | {value}", True),
        ("| Item | Rating | Statement |", "| {n} | {value} | {text} |", False),
        ("| Item | Statement | Confidence | Rating |", "| {n} | {text} | {value} | low |", False),
        ("| Item | Statement | Rating | Confidence |", "| {n} | {text} | low | {value} |", False),
        ("| Item | Text | Rating | Sure |", "| {n} | {text} | {value} | {high} |", False),
        ("| Item | Confidence | Rating |", "| {n} | {high} | {value} |", False),
        ("| Item | Confidence | Rating |", "| {n} | {value} | |", False),
        ("| Item | Confidence |", "| {n} | {value} |", False),
        ("| Rating | Item | Statement |", "| {value} | {n} | {text} |", False),
    ],
)
def test_a_table_is_read_when_its_rows_hold_items_texts_and_ratings_alone(head, row, read):
    lines, ratings = [], {}
    for form in FORMS:
        ratings[form.name] = [form.high - item.number % 3 for item in form.items]
        lines += [form.name, "", head.format(low=form.low, high=form.high), "|---|:--|---|---|"]
        for item, value in zip(form.items, ratings[form.name], strict=True):
            lines.append(row.format(n=item.number, text=item.text, value=value, high=form.high))
    if read:
        assert parse_forms("\n".join(lines)) == ratings
    else:
        with pytest.raises(Refused):
            parse_forms("\n".join(lines))


def test_a_json_object_is_read_and_its_faults_are_refused_by_name():
    _, ratings = draw_form(random.Random(2))
    whole = as_json(ratings)
    swapped = as_json({name: ratings[name] for name in ("TES", "ACT-FM")})
    fenced = f"Here is the JSON:\n```json\n{json.dumps(json.loads(whole), indent=1)}\n```"
    assert parse_forms(whole) == parse_forms(swapped) == parse_forms(fenced) == ratings
    for text, said in (
        (f"{whole}\nTES 3 should be 5, on reflection.", "neither a heading.*: 'TES 3"),
        (f"TES 3 is 5.\n{whole}", "neither a heading"),
        (f"TES 3: 5\n{whole}", "TES item 3 is there twice"),
        (whole + whole, "not whole JSON"),
        (whole[:-1], "not whole JSON|neither"),
        (whole.replace("}}", '}, "revised": {"7": 1}}'), "'revised 7: 1'"),
        (whole.replace('"7": ', '"7": 1, "7": ', 1), "ACT-FM item 7 is there twice"),
        (whole.replace('"7": ', '"26": 1, "7": ', 1), "ACT-FM has no item 26"),
        ('{"ACT-FM": [1], "TES": {}}', "not whole JSON"),
        ('{"ACT-FM": {"1": "2"}}', "ACT-FM item 1 is '\"2\"'"),
        ('{"ACT-FM": {"1": true}}', "ACT-FM item 1 is 'true'"),
        ('{"ACT-FM": {"1": 1.0}}', r"ACT-FM item 1 is '1\.0'"),
        ('{"ACT-FM": {"1": [1]}}', r"ACT-FM item 1 is '\[1\]'"),
        (json.dumps({"ACT-FM": {"1: 3\nACT-FM 2": 3}}), "ACT-FM item 1 is '3 ACT-FM 2: 3'"),
    ):
        with pytest.raises(Refused, match=said):
            parse_forms(text)


@pytest.mark.parametrize(
    "rubbish",
    [
        "[" * 100_000,
        '{"ACT-FM": ' + "[" * 100_000,
        '{"ACT-FM": {"1": ' + "9" * 5_000 + "}}",
        "TES\n1. warm: " + "9" * 5_000,
        "TES\n" + "1" * 100_000 + ". warm: 3",
        "TES\n1. warm:" + " " * 100_000 + "x",
        "TES\n1. shows care about the client" + "." * 100_000,
        '{"',
        '}{"',
        "TES\n1. warm: 3\n" + "(" * 50_000,
        "TES" * 50_000,
        "TES " * 50_000,
        "TES\n" + "|" * 100_000,
        "TES\n" + "| : " * 50_000 + "x",
        "{\n" * 50_000,
        "{ " * 50_000 + "}" * 50_000,
        "\n" * 50_000 + " " * 50_000,
    ],
)
def test_rubbish_is_refused_and_ends(rubbish):
    with pytest.raises(Refused):
        parse_forms(rubbish)


def test_what_the_judge_is_asked_is_read_once_it_is_filled_in():
    """The lines, filled in, are read; the whole request sent back, rubric and all, is not."""
    _, ratings = draw_form(random.Random(4))
    filled = render([*ratings["ACT-FM"], *ratings["TES"]])
    assert parse_forms(filled) == ratings
    asked = form_messages([("I lost 3 jobs.", "Take item 4 of your list.")], FORMS)
    text = "\n\n".join(message["content"] for message in asked)
    for sent_back in (text, text.replace(render(["?"] * 34), filled), render(["?"] * 34)):
        with pytest.raises(Refused):
            parse_forms(sent_back)


TEXTS = {
    form.name: [f"official text of {letter}" for letter in ascii_lowercase[: len(form.items)]]
    for form in FORMS
}


@pytest.fixture
def load(tmp_path):
    def write_and_load(texts):
        path = tmp_path / "official.json"
        path.write_text(json.dumps(texts))
        return load_wording(path)

    return write_and_load


def test_wording_comes_from_a_file_and_a_bad_one_is_refused(load):
    forms = load(TEXTS)
    assert slots(forms)[30].label == "TES 6. official text of f: "
    assert forms[0].items[5].direction == "inconsistent"
    for name, wrong in (
        ("TES", TEXTS["TES"][:8]),
        ("ACT-FM", ["has 2 digits", *TEXTS["ACT-FM"][1:]]),
        ("ACT-FM", ["has two\u2028lines", *TEXTS["ACT-FM"][1:]]),
        ("ACT-FM", ["***", *TEXTS["ACT-FM"][1:]]),
        ("ACT-FM", [None, *TEXTS["ACT-FM"][1:]]),
        ("TES", None),
    ):
        with pytest.raises(InputError, match=f"official.json: .*{name}"):
            load(TEXTS | {name: wrong})


def test_a_wording_with_stops_and_signs_is_loaded_and_read(load):
    """Signs, another form's name, even a table's bar: an item's own text is known, so it is read;
    without that wording nobody knows where it ends."""
    signs = ["(warm", "*too* warm", "too_warm", "<client> - warm: or  cold", "as in TES, is warm"]
    signs += ["warm |", "- warm", '{"warm": kind}', "Therapist lectures, e.g. explains: too much"]
    texts = TEXTS | {"ACT-FM": [*signs, *TEXTS["ACT-FM"][len(signs) :]]}
    rated = [1] * 25 + [4] * 9
    read = parse_forms(render(rated, load(texts)), load(texts))
    assert read == {"ACT-FM": rated[:25], "TES": rated[25:]}
    with pytest.raises(Refused, match="ACT-FM item 1 is"):
        parse_forms(render(rated, load(texts)))


def test_a_text_that_could_not_be_read_back_is_refused_with_its_item(load):
    texts = TEXTS | {"ACT-FM": [*TEXTS["ACT-FM"][:4], "| warm", *TEXTS["ACT-FM"][5:]]}
    said = "official.json: a form filled in .* could not be read: ACT-FM item 5"
    with pytest.raises(InputError, match=said) as refused:
        load(texts)
    assert "\n" not in str(refused.value)
