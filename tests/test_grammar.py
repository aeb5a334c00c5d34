"""Trap 21: filled forms, in every layout and with every fault we know: the right ratings or a named
refusal.

test_grammar_damage.py does the same to forms damaged at random.
"""

import json
import random
from dataclasses import replace

import pytest

from act.forms import ACT_FM, FORMS, TES, render
from act.grammar import Refused, parse_forms
from act.judging.served import form_messages

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
    "anchor behind it": "{n}. {text}: {value} (as it says)",
    "table": "| {n} | {text} | {value} |",
    "table with stops": "| {n}. | {text}. | **{value}** | as seen |",
    "table without texts": "| {n} | {value} |",
    "shortened texts": "{n}. The therapist {short}...: {value}",
    "form in each line": "{form} {n}. {text}: {value}",
    "form in each row": "| {form} | {n} | {text} | {value} |",
    "number only": "{n}: {value}",
    "tags": "<item>{n}. {text}: <b>{value}</b></item>",
}
HEADINGS = (
    "{name}",
    "## {title} ({name})",
    "**{name}:**",
    "<{name}>",
    "{title}",
    "{name} ratings ({low}-{high}):",
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


def draw_form(
    draw: random.Random, layout: str, heading: str = "{name}", order=FORMS, subscales=False
):
    """(text, ratings) of both forms in a layout."""
    ratings, lines = {}, []
    for form in order:
        ratings[form.name] = [draw.randint(form.low, form.high) for _ in form.items]
        form_words = {"name": form.name, "title": form.title, "low": form.low, "high": form.high}
        lines.append(heading.format(**form_words, anchors=form.anchors, items=len(form.items)))
        for item, value in zip(form.items, ratings[form.name], strict=True):
            if subscales and item.subscale and item.number in (5, 8, 14, 20):
                lines.append(
                    f"### {item.subscale.capitalize()}, {item.direction}"
                    + " (items 8-10)" * (item.number == 8)
                )
            words = item.text.split()
            short = " ".join(words[:-1] if len(words) > 4 else words)
            words = {
                "n": item.number,
                "text": item.text,
                "value": value,
                "high": form.high,
                "form": form.name,
            }
            lines.append(LAYOUTS[layout].format(**words, short=short))
        lines.append("")
    return "\n".join(lines), ratings


@pytest.mark.parametrize(("layout", "heading"), PAIRS)
def test_trap_21_every_layout_is_read(layout, heading):
    draw = random.Random(f"{layout}{heading}")
    for order in (FORMS, FORMS[::-1]):
        text, ratings = draw_form(draw, layout, heading, order, subscales=True)
        assert parse_forms(text) == ratings
        around = "I have read all 48 turns. The therapist demonstrates warmth.\nI rated on a scale from 0 to 3.\n"
        around += f"```\n{text}\n```\nThat is my view of both."
        assert parse_forms(around) == ratings


def changed(text: str, number: str, new: str) -> str:
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(number))
    return "\n".join(lines[:place] + ([new] if new else []) + lines[place + 1 :])


@pytest.mark.parametrize(
    ("number", "new", "said"),
    [
        ("7.", "7. stays abstract and theoretical: 1.5", "item 7 is 1, and then '.5'"),
        ("7.", "7. stays abstract and theoretical: 4", "ACT-FM item 7 is 4, outside 0..3"),
        ("7.", "7. stays abstract and theoretical: 3/4", "rated out of 4, not 3"),
        ("7.", "7. stays abstract and theoretical: 3/7", "rated out of 7, not 3"),
        ("7.", "7. stays abstract and theoretical: -1", "no one rating"),
        ("7.", "7. stays abstract and theoretical: 1-2", "no one rating"),
        ("7.", "7. stays abstract and theoretical: 1 or 2", "no one rating"),
        ("7.", "7. stays abstract and theoretical:", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract and theoretical: two", "ACT-FM item 7 has no rating"),
        ("7.", "7. -1", "no one rating"),
        ("7.", "7: -1", "no one rating"),
        ("7.", "7. stays abstract: \u22121", "no one rating"),
        ("7.", "7. stays abstract: > 1", "stands before the number|no one rating"),
        ("7.", "7. stays abstract: ~1", "no one rating"),
        ("7.", "7. stays abstract: ~~1~~", "no one rating"),
        ("7.", "7. stays abstract: <del>1</del>", "no one rating"),
        ("7.", "7. stays abstract: 0<br>2", "no one rating"),
        ("7.", "7. stays abstract: *0*2", "no one rating"),
        ("7.", "7. stays abstract: 1**0**", "no one rating"),
        ("7.", "7. stays abstract: 2\u00bd", "no one rating"),
        ("7.", "7. stays abstract: 2 - and a half", "is 2, and then"),
        ("7.", "7. stays abstract: 2 (or rather three)", "is 2, and then"),
        ("7.", "7. stays abstract: 2 - or 3", "is 2, and then"),
        ("7.", "7. stays abstract: 3 (never)", "is 3, and then '.never.'"),
        ("7.", "7. stays abstract: 12", "no one rating"),
        ("7.", f"7. stays abstract: {'9' * 5000}", "no one rating"),
        ("7.", "7. stays abstract: not rated. Confidence: 3", "stands before the number"),
        ("7.", "7. stays abstract and theoretical, confidence: 3", "stands before the number"),
        ("7.", "7. stays abstract: 1\nRating: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\nRevised score: 2", "a number or a rating beside the items"),
        (
            "7.",
            "7. stays abstract: 1\nCorrection: that should be higher",
            "a rating beside the items",
        ),
        ("7.", "7. stays abstract: 1\n2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\n1-2", "a number or a rating beside the items"),
        (
            "7.",
            "7. stays abstract: 1\nOn reflection 2 is fairer.",
            "a number or a rating beside the items",
        ),
        ("7.", "7. stays abstract:\nRating: 1\nRating: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract:\n2. He lectures", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract: 1\nACT-FM: 2", "a number or a rating beside the items"),
        ("7.", "7. stays abstract: 1\nACT-FM item 7: 2", "ACT-FM item 7 is there twice"),
        ("3. echoes", "3.5", "a number or a rating beside the items"),
        ("7.", "6. hurries to comfort: 1", "ACT-FM item 6 is there twice"),
        ("7.", "", "ACT-FM: item 7 is missing"),
        ("7.", "27. stays abstract: 1", "ACT-FM has no item 27"),
        ("7.", "7. stays abstract: - 1", "stands before the number"),
        ("7.", "7. - 1", "stands before the number"),
        ("7.", "| 7 | | 1 |", "stands before the number"),
        ("7.", "| 7 | stays abstract | | 1 |", "stands before the number"),
        ("7.", "7. stays abstract: (1", "no one rating"),
        ("7.", "7. stays abstract >= 1", "stands before the number"),
        ("7.", "7. stays abstract:\n- 1", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract:\n> 1", "ACT-FM item 7 has no rating"),
        ("7.", "7. stays abstract: <removed>1</removed>", "no one rating"),
        ("7.", "7. stays abstract: <strikethrough>1</strikethrough>", "no one rating"),
        ("7.", "<old>7. stays abstract: 1</old>", "a tag that may strike out"),
        ("7.", "<!-- 7. stays abstract: 1 -->", "a tag that may strike out"),
        ("7.", "7. stays abstract: 1 (out of ten)", "is 1, and then"),
        ("7.", "7. stays abstract: 1 - eight", "is 1, and then"),
        ("7.", "7. stays abstract: 1, out of a hundred", "is 1, and then"),
        ("7.", "7. stays abstract: 1 - changed to II", "is 1, and then"),
        ("7.", "7. stays abstract: 1 (N/A)", "is 1, and then"),
        ("7.", "7. stays abstract: 1 - not rated", "is 1, and then"),
        ("7.", "| 7 | stays abstract | 1 | not applicable |", "is 1, and then"),
        ("7.", "7. stays abstract: 1 (or higher)", "is 1, and then"),
        ("7.", "7. stays abstract: 1 - no, more", "is 1, and then"),
        ("7.", "7. stays abstract: 1 (i.e. never)", "is 1, and then"),
        ("7.", "7. stays abstract: 1 - revised", "is 1, and then"),
        ("7.", "7. stays abstract: 1 | helps see a thought as just a thought", "is 1, and then"),
        ("7.", "7: 1 - helps see a thought as just a thought", "is 1, and then"),
        ("TES", "", "ACT-FM item 1 is there twice"),
    ],
)
def test_trap_21_what_is_not_a_form_is_refused_by_name(number, new, said):
    text, _ = draw_form(random.Random(1), "plain")
    with pytest.raises(Refused, match=said):
        parse_forms(changed(text, number, new))


def test_trap_21_a_missing_form_is_refused():
    text, _ = draw_form(random.Random(1), "plain", order=(ACT_FM,))
    with pytest.raises(Refused, match="TES is missing"):
        parse_forms(text)
    text, _ = draw_form(random.Random(1), "plain", order=(TES,))
    with pytest.raises(Refused, match="ACT-FM is missing"):
        parse_forms("The therapist demonstrates the ACT stance. 1. Good: 3\n" + text)
    with pytest.raises(Refused, match="ACT-FM is missing"):
        parse_forms("")


@pytest.mark.parametrize(
    "new",
    [
        "7. stays abstract and theoretical: 2 - he lectures at length",
        "7. stays abstract and theoretical: 2. He lectures.",
        "7. stays abstract and theoretical: 2 (sometimes)",
        "7. stays abstract and theoretical - Score: 2/3, two of his replies",
        "7. stays abstract and theoretical. Rating: 2",
        "| 7 | stays abstract and theoretical | 2 | he lectures |",
        "7. stays abstract and theoretical -> 2",
        "7. stays abstract and theoretical:\nRating: 2 - he lectures",
        "7. stays abstract and theoretical: 2\nHe lectures, and hardly asks.",
        "7. stays abstract and theoretical: 2\nOpen, consistent (items 8-10):",
        "7. stays abstract and theoretical: 2\nSubscale total: 6",
    ],
)
def test_remarks_without_numbers_and_headings_are_let_pass(new):
    text, ratings = draw_form(random.Random(1), "plain")
    ratings[ACT_FM.name][6] = 2
    assert parse_forms(changed(text, "7.", new)) == ratings


def as_json(ratings: dict[str, list[int]]) -> str:
    return json.dumps(
        {name: {str(k): value for k, value in enumerate(mine, 1)} for name, mine in ratings.items()}
    )


def test_a_json_object_is_found_in_prose_and_its_faults_are_refused_by_name():
    _, ratings = draw_form(random.Random(2), "plain")
    whole = as_json(ratings)
    assert (
        parse_forms(whole)
        == parse_forms(as_json({name: ratings[name] for name in ("TES", "ACT-FM")}))
        == ratings
    )
    assert (
        parse_forms(f"Here is the JSON:\n```json\n{whole}\n```\nThe client was heard.") == ratings
    )
    assert parse_forms(f"Ratings (0-3):\n{whole}") == ratings
    for text, said in (
        (f"{whole}\nTES 3 should be 5, on reflection.", "a rating beside the JSON object: 'TES 3"),
        (f"TES 3 is 5.\n{whole}", "a rating beside the JSON object"),
        (whole + whole, "not whole JSON"),
        (whole[:-1], "not whole JSON|beside"),
        (whole.replace("}}", '}, "revised": {"7": 1}}'), "'revised' is no form"),
        (whole.replace('"7": ', '"7": 1, "7": ', 1), "7 is there twice"),
        (whole.replace('"7": ', '"26": 1, "7": ', 1), "ACT-FM has no item 26"),
        ('{"ACT-FM": [1], "TES": {}}', "ACT-FM is no object"),
        ('{"ACT-FM": {"1": "2"}}', "ACT-FM item 1 is '2'"),
        ('{"ACT-FM": {"1": true}}', "ACT-FM item 1 is True"),
        ('{"ACT-FM": {"1": 1.0}}', "ACT-FM item 1 is 1.0"),
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
        '{"',
        '}{"',
        "TES\n1. warm: 3\n" + "(" * 50_000,
    ],
)
def test_rubbish_is_refused_and_ends(rubbish):
    with pytest.raises(Refused):
        parse_forms(rubbish)


FOREIGN = """Rarely (confidence: 1)|two: 3|two, confidence: 3|confidence: 2|Not applicable: 2|N/A: 2|no rating: 2
rating scale: 3|max: 3|max score: 3|lectures, max score: 3|Turns where he lectures: 3|turns: 3|previous: 2|low: 2
turns where he stays abstract and theoretical: 3|times stays abstract and theoretical: 3|abstract: 3|stays: 3
never stays abstract and theoretical: 3|not abstract or theoretical: 3|stays abstract and theoretical (R): 2
stays abstract and theoretical (confidence): 2|stays abstract and theoretical - turns: 3
From never to consistently: 3|stays abstract and theoretical: rarely (confidence: 3)
stays abstract and theoretical (never): 3|Rating (zero to three): 2|helps see a thought as just a thought: 0
hurries to comfort, fix or change the subject: 2|grasps what the client feels: 3|is warm and kind: 2
stays abstract? 2"""
FOREIGN = [words for line in FOREIGN.split("\n") for words in line.split("|")]
FOREIGN += [
    "Rarely | 1",
    "stays abstract and theoretical | Rarely | 1",
    "stays abstract and theoretical | weight | 2",
]
FOREIGN += [
    "Confidence\n2",
    "Confidence:\nRating: 2",
    "helps see a thought as just a thought\n2",
    "stays abstract and theoretical (never)\n2",
    "turns where he stays abstract:\n2",
]


@pytest.mark.parametrize("words", FOREIGN)
def test_a_number_behind_words_that_are_not_the_items_is_no_rating(words):
    text, _ = draw_form(random.Random(1), "plain")
    for new in (f"7. {words}", f"| 7 | {words} |"):
        with pytest.raises(
            Refused,
            match="ACT-FM item 7( has no rating|: .* stands before the number|: no one rating)",
        ):
            parse_forms(changed(text, "7.", new))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("7", "Stays abstract, theoretical"),
        ("7", "The therapist stays abstract/theoretical"),
        ("7", '"stays abstract and theoretical"'),
        ("5", "lecturing, advising or convincing"),
        ("5", "Lectures, advises..."),
        ("6", "hurries to comfort"),
        ("8", "helps the client see a thought as just a thought"),
        ("21", "helps the client say what matters"),
        ("22", "builds steps that follow from client\u2019s values"),
        ("25", "BACKS PLANS THAT CANNOT WORK"),
    ],
)
def test_a_text_may_be_shortened_or_slightly_rephrased(number, words):
    text, ratings = draw_form(random.Random(1), "plain")
    ratings["ACT-FM"][int(number) - 1] = 2
    for new in (
        f"{number}. {words}: 2",
        f"{number}. {words}\nRating: 2",
        f"| {number} | {words} | 2 |",
    ):
        assert parse_forms(changed(text, f"{number}.", new)) == ratings


def test_texts_that_change_places_are_refused():
    """Items 7 and 8 with one another's texts: by the number it is one rating, by the text
    another."""
    text, ratings = draw_form(random.Random(1), "plain")
    a, b = ACT_FM.items[6].text, ACT_FM.items[7].text
    with pytest.raises(Refused, match=f"ACT-FM item 7: '{b}' stands before"):
        parse_forms(text.replace(a, "?").replace(b, a).replace("?", b))
    near = (
        replace(ACT_FM.items[6], text="lets a feeling be"),
        replace(ACT_FM.items[7], text="lets a feeling be seen"),
    )
    forms = (replace(ACT_FM, items=(*ACT_FM.items[:6], *near, *ACT_FM.items[8:])), TES)
    text, ratings = draw_form(random.Random(1), "plain", order=forms)
    assert parse_forms(text, forms) == ratings
    with pytest.raises(Refused, match="ACT-FM item 8: 'lets a feeling be' stands before"):
        parse_forms(text.replace("8. lets a feeling be seen", "8. lets a feeling be"), forms)


SECOND_THOUGHTS = """On second thought I would change item 7 to 3.|I would change item 7 to 3.|item 7 to 3
Item 7 -> 3|On reflection, ACT-FM item 7 to 3.|ACT-FM item 7 to 3.|I would move TES 3 to 5.|TES 3 to 5|TES 3-5
I mean 3.|I mean: 3|I mean, item 7 is a 3.|On average, though, item 7 is closer to 3.
In sum, please read item 7 as 3.|sum it up: 3|On average 3|I totally misjudged item 7: it deserves a 3.
Total: 45, but item 7 is 3|Mean of item 7: 3|totally 3|Stance: 3|Overall: 3
On reflection, item seven should be three.|Wait - the last one should be a three.
Item seven could also be higher (2-3).|Items 5-7: all threes.|Items 5-7: 3|(2-3)|Score (2-3)|2-3|II|Make it II.
The seventh item deserves more.|Item \u2466: more|Item seven does not apply here.|The last item is not applicable.
I cannot rate the last item.|TES was not rated.|N/A|Actually, more.|Wait, more.|Correction: more|No, more than that.
Or more.|Sorry, more.|Edit: more|Update: more|Oops.|On reflection, more.|I misjudged the last item.|Scratch that.
Please ignore the above.|Disregard the form above.|Too low.|The last rating should be the maximum.|I underrated him.
Swap the last pair.|Reverse the inconsistent items.|These are placeholders.|Add a point to each item.
The last item: consistently.|Half a point more for each.|\u4e09|<removed>|</old>|<del>|<!--|All 25 items: 3
25 items at 3|Note: 3 for item 7|{7: 3}|7 = 3|7 (3)|7. 3|Open (3)|TES 3 (5)"""
SECOND_THOUGHTS = [thought for line in SECOND_THOUGHTS.split("\n") for thought in line.split("|")]


@pytest.mark.parametrize("thought", SECOND_THOUGHTS)
def test_second_thoughts_are_refused(thought):
    text, ratings = draw_form(random.Random(1), "plain")
    first, rest = text.split("\n8. ", 1)
    for damaged in (f"{first}\n{thought}\n8. {rest}", f"{text}\n{thought}"):
        with pytest.raises(
            Refused, match="beside the items|may strike out|there twice|ACT-FM item 7 is|TES item 7"
        ):
            parse_forms(damaged)
    whole = as_json(ratings)
    for damaged in (f"{whole}\n\n{thought}", f"{thought}\n{whole}"):
        with pytest.raises(Refused, match="beside the JSON object|may strike out|not whole JSON"):
            parse_forms(damaged)


@pytest.mark.parametrize(
    "thought",
    [
        "Please read TES item 3 as 5.",
        "Note: item seven is really a three.",
        "ACT-FM item 7 to 3",
        "7. stays abstract: 3",
    ],
)
def test_a_rating_told_before_the_form_is_refused(thought):
    text, _ = draw_form(random.Random(1), "plain")
    with pytest.raises(Refused, match="a rating before the items|before any form is named"):
        parse_forms(f"{thought}\n{text}")


@pytest.mark.parametrize(
    "said",
    [
        "I rated on a scale from 1 to 5.",
        "Ratings go from 0 (never) to 4 (always).",
        "On a 1-5 scale:",
        "Scale: 3 never, 2 rarely, 1 sometimes, 0 consistently",
        "1 = never, 2 = sometimes",
        "## ACT-FM (1-4)",
        "| Item | Text | Rating (1-4) |",
    ],
)
def test_ratings_on_another_scale_are_refused(said):
    text, _ = draw_form(random.Random(1), "plain")
    with pytest.raises(Refused, match="another scale than the forms'"):
        parse_forms(f"{said}\n{text}")
    with pytest.raises(Refused, match="a number or a rating beside the items"):
        parse_forms(text.replace("TES", said.replace("ACT-FM", "TES").replace("4", "6") + "\nTES"))


HARMLESS = """I hope this helps!|That is my view of both.|```|---|The therapist demonstrates warmth.|Thank you.
Mean: 4.2|Subscale total: 6|Total: 45|ACT-FM total = 35/75|Stance total: 6
These ratings rest on the transcript alone.|Let me know if you need more.|**End**|Open, consistent (items 8-10):
Items 14-16|### Stance (5-7)|Engaged response style"""


@pytest.mark.parametrize(
    "words", [words for line in HARMLESS.split("\n") for words in line.split("|")]
)
def test_prose_and_headings_without_ratings_are_let_pass(words):
    text, ratings = draw_form(random.Random(1), "plain")
    first, rest = text.split("\n8. ", 1)
    assert parse_forms(f"{first}\n{words}\n8. {rest}") == parse_forms(f"{text}\n{words}") == ratings
    assert parse_forms(f"{words}\n{as_json(ratings)}\n{words}") == ratings


@pytest.mark.parametrize(
    "heading", ["TES (1 - 7)", "## TES (1-7)", "TES: 1-7", "TES 1 to 7", "TES (1 to 7)"]
)
def test_a_scale_in_a_heading_is_no_rating_of_item_1(heading):
    text, ratings = draw_form(random.Random(1), "plain")
    text = text.replace("TES", heading)
    assert parse_forms(text) == ratings
    with pytest.raises(Refused, match="TES: item 1 is missing"):
        parse_forms("\n".join(line for line in text.splitlines() if "shows care" not in line))
    with pytest.raises(Refused, match="'TES 1 - 7' may be a heading or a rating"):
        parse_forms(text.replace(heading, "TES 1 - 7"))
    with pytest.raises(Refused, match="beside the items"):  # behind the form it is none
        parse_forms(f"{text}\nTES 1-7")


@pytest.mark.parametrize(
    ("head", "row", "read"),
    [
        ("| Item | Text | Rating |", "| {n} | {text} | {value} |", True),
        (
            "| No. | Statement | Score ({low}-{high}) | Evidence |",
            "| {n} | {text} | {value} | in his tone |",
            True,
        ),
        ("| Item | Rating | Statement |", "| {n} | {value} | {text} |", True),
        (
            "| Item | Statement | Confidence | Rating |",
            "| {n} | {text} | {value} | moderate |",
            False,
        ),
        (
            "| Item | Statement | Rating | Confidence |",
            "| {n} | {text} | moderate | {value} |",
            False,
        ),
        (
            "| Item | Statement | Rating | Confidence |",
            "| {n} | {text} | {value} | {high} |",
            False,
        ),
        ("| Item | Confidence | Rating |", "| {n} | {high} | {value} |", False),
        ("| Item | Confidence | Rating |", "| {n} | {value} | |", False),
        ("| Rating | Item | Statement |", "| {value} | {n} | {text} |", False),
    ],
)
def test_the_head_of_a_table_says_which_number_is_the_rating(head, row, read):
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


def test_what_the_judge_is_asked_is_read_once_it_is_filled_in():
    """The whole request sent back, rubric, transcript and all, its blanks filled in."""
    _, ratings = draw_form(random.Random(4), "plain")
    asked = form_messages(
        [("I lost 3 jobs.", "What matters to you? Take item 4 of your list.")], FORMS
    )
    text = "\n\n".join(message["content"] for message in asked)
    filled = render([*ratings["ACT-FM"], *ratings["TES"]])
    assert parse_forms(filled) == ratings
    assert parse_forms(text.replace(render(["?"] * 34), filled)) == ratings
    with pytest.raises(Refused):
        parse_forms(text)


def test_official_wording_may_have_stops_of_its_own():
    text, ratings = draw_form(random.Random(3), "plain")
    spoken = "Therapist lectures, e.g. explains: too much - or advises"
    items = tuple(replace(item, text=spoken) if item.number == 5 else item for item in ACT_FM.items)
    forms = (replace(ACT_FM, items=items), TES)
    lines = changed(text, "5.", f"5. {spoken}: {ratings['ACT-FM'][4]}")
    assert parse_forms(lines, forms) == ratings
    with pytest.raises(
        Refused, match="ACT-FM item 5"
    ):  # without that wording nobody knows where the text ends
        parse_forms(lines)
