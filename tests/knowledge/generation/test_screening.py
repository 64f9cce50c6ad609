"""Which rows are kept, and why others are not."""

import pytest

from reactions.core.errors import UsageError
from reactions.encoders.preprocessing.clip_bpe import count_tokens
from reactions.knowledge.checks import CategoryNames
from reactions.knowledge.generation.screening import CUT, REFUSAL, UNPRINTABLE, Rules, Screen

LONG = "A cat sits in the sun. " + "It is a very quiet and sleepy cat there. " * 12


def screen(*classes, **rules):
    names = CategoryNames(classes) if classes else None
    return Screen(Rules(**rules), names, "LLM")


def judge(rows, screen, category="cat"):
    return [screen.judge(category, category, row) for row in rows]


@pytest.mark.parametrize(
    "row",
    [
        "I'm sorry, but I cannot help with that.",
        "I\u2019m sorry, but I can\u2019t help with that.",
        "I cannot provide sentences about this.",
        "I can't see the image you mention.",
        "As an AI language model, I have no eyes.",
        "Sorry, I won't do that.",
        "I am unable to view images.",
        "Unfortunately, I cannot listen to audio.",
    ],
)
def test_refusals_are_seen(row):
    assert judge([row], screen()) == [("", REFUSAL)]


@pytest.mark.parametrize(
    "row",
    ["A sorry cat in the rain.", "I saw a cat today.", "As a cat jumps, a dog barks."],
)
def test_sentences_are_no_refusals(row):
    assert judge([row], screen()) == [(row, "")]


def test_duplicates_are_seen_by_their_words():
    rows = ["A cat sits.", "a cat sits", "A cat, sits!", "A cat sat."]
    assert [reason for _, reason in judge(rows, screen())] == ["", "duplicate", "duplicate", ""]


def test_two_categories_may_share_a_row():
    both = screen()
    assert both.judge("cat", "cat", "It sleeps.") == ("It sleeps.", "")
    assert both.judge("dog", "dog", "It sleeps.") == ("It sleeps.", "")


def test_rows_of_too_many_tokens_go():
    assert count_tokens(LONG) > 77
    assert judge([LONG, "A cat. " * 9000], screen()) == [("", "too long"), ("", "too long")]
    assert judge(["one two three four"], screen(token_limit=6)) == [("one two three four", "")]
    assert judge(["one two three four five"], screen(token_limit=6)) == [("", "too long")]


def test_long_rows_may_be_cut_to_whole_sentences():
    ((row, reason),) = judge([LONG], screen(cut_long=True))
    assert reason == CUT
    assert LONG.startswith(row)
    assert row.endswith("there.")
    assert count_tokens(row) <= 77


def test_a_first_sentence_that_is_too_long_goes_all_the_same():
    ((row, reason),) = judge(["word " * 100 + "ends. Then more."], screen(cut_long=True))
    assert (row, reason) == ("", "too long")


def test_rows_that_name_another_class_go():
    classes = ("water_snake", "snake", "cat")
    rows = ["A snake in the grass.", "A water snake swims.", "It hides."]
    reasons = [reason for _, reason in judge(rows, screen(*classes), "water_snake")]
    assert reasons == ["names another category", "", ""]


@pytest.mark.parametrize("row", ["A \x1b[31mred cat.", "A \u202ecat.", "A cat.\x00"])
def test_what_a_terminal_would_obey_goes(row):
    assert judge([row], screen()) == [("", UNPRINTABLE)]


@pytest.mark.parametrize("row", ["", "  ", "...", "-", "\u2026"])
def test_empty_rows_go(row):
    assert judge([row], screen()) == [("", "blank")]


@pytest.mark.parametrize("limit", [0, 2, 1001])
def test_limits_that_mean_nothing_are_refused(limit):
    with pytest.raises(UsageError, match=f"--token-limit is {limit}"):
        Rules(token_limit=limit)
