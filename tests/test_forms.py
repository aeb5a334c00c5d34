"""ACT-FM and TES: the scoring rules against values worked out by hand, and what a judge is
shown."""

import math

import pytest

from act.forms import ACT_FM, OUTCOMES, SUBSCALES, TES, instructions, score, slots

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
