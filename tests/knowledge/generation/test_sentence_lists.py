"""Sentences out of answers, however a model wrote them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.knowledge.generation.lists import (
    BROKEN,
    CUT,
    NOT_A_TEXT,
    PREAMBLE,
    UNCLOSED,
    clean,
    read_description,
    read_sentences,
)

ROWS = ("A cat sits on a mat.", "Two cats sleep in the sun.", "A kitten chases a ball.")


def numbered(rows, mark="{}. {}"):
    return "\n".join(mark.format(i, row) for i, row in enumerate(rows, start=1))


FORMS = {
    "numbered": numbered(ROWS),
    "brackets": numbered(ROWS, "{}) {}"),
    "both brackets": numbered(ROWS, "({}) {}"),
    "colon": numbered(ROWS, "{}: {}"),
    "dash": numbered(ROWS, "{} - {}"),
    "bold": numbered(ROWS, "**{}.** {}"),
    "quoted": numbered(ROWS, '{}. "{}"'),
    "emphasis": numbered(ROWS, "{}. *{}*"),
    "blank lines": numbered(ROWS).replace("\n", "\n\n"),
    "windows": numbered(ROWS).replace("\n", "\r\n"),
    "one line": " ".join(f"{i}. {row}" for i, row in enumerate(ROWS, start=1)),
    "hyphens": "\n".join(f"- {row}" for row in ROWS),
    "stars": "\n".join(f"* {row}" for row in ROWS),
    "dots": "\n".join(f"• {row}" for row in ROWS),
    "quotes": "\n".join(f'"{row}"' for row in ROWS),
    "curly quotes": "\n".join(f"“{row}”" for row in ROWS),
    "quotes and commas": ",\n".join(f'"{row}"' for row in ROWS),
    "lines": "\n".join(ROWS),
    "sentences": " ".join(ROWS),
    "json": json.dumps(ROWS),
    "indented json": json.dumps(ROWS, indent=2),
    "fenced json": f"```json\n{json.dumps(ROWS)}\n```",
    "json of objects": json.dumps([{"id": i, "sentence": row} for i, row in enumerate(ROWS)]),
    "json in an object": json.dumps({"sentences": ROWS, "n": 3}),
    "json by number": json.dumps({str(i): row for i, row in enumerate(ROWS)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_gives_the_same_rows(form):
    sentences = read_sentences(FORMS[form])
    assert sentences.rows == ROWS
    assert not list(sentences.dropped)  # no reason, not even with the number 0


@pytest.mark.parametrize("form", [form for form in FORMS if form != "sentences"])
@pytest.mark.parametrize("talk", ["Sure! Here are 3 sentences:", "Here are the sentences"])
def test_talk_before_the_list_is_left_out_and_counted(form, talk):
    sentences = read_sentences(f"{talk}\n\n{FORMS[form]}")
    assert sentences.rows == ROWS
    assert sentences.dropped == {PREAMBLE: 1}


def test_talk_after_the_list_is_left_out_and_counted():
    for form in ("numbered", "hyphens", "lines", "json"):
        sentences = read_sentences(f"{FORMS[form]}\n\nLet me know if you need more!")
        assert sentences.rows == ROWS
        assert sentences.dropped == {PREAMBLE: 1}


def test_a_sentence_that_goes_on_below_its_number_stays_whole():
    text = "1. A cat sits\n   on a mat.\n2. A dog barks."
    assert read_sentences(text).rows == ("A cat sits on a mat.", "A dog barks.")


def test_numbers_within_sentences_are_no_marks():
    text = "1. There were 2. That was all.\n2. In 1999 a cat sat."
    assert read_sentences(text).rows == ("There were 2. That was all.", "In 1999 a cat sat.")


def test_large_numbers_are_marks():
    assert read_sentences("999. One.\n1,000. Two.\n1001. Three.").rows == ("One.", "Two.", "Three.")


def test_thinking_is_left_out():
    for text in (
        f"<think>1. no\n2. no</think>\n{FORMS['numbered']}",
        f"1. no\n2. no</think>\n{FORMS['numbered']}",
    ):
        assert read_sentences(text).rows == ROWS


def test_thinking_without_an_end_is_no_answer():
    sentences = read_sentences("<think>1. One.\n2. Two.")
    assert sentences.rows == ()
    assert sentences.dropped == {UNCLOSED: 1}


def test_an_answer_that_was_cut_loses_its_last_sentence():
    sentences = read_sentences(numbered(ROWS)[:-5], was_cut=True)
    assert sentences.rows == ROWS[:2]
    assert sentences.dropped == {CUT: 1}


def test_broken_json_gives_what_is_whole_of_it():
    sentences = read_sentences(json.dumps(ROWS)[:-8], was_cut=True)
    assert sentences.rows == ROWS[:2]
    assert sentences.dropped == {BROKEN: 1}


def test_what_is_no_text_in_json_is_counted():
    sentences = read_sentences(json.dumps(["A cat.", 7, None, ["x"], "A dog."]))
    assert sentences.rows == ("A cat.", "A dog.")
    assert sentences.dropped == {NOT_A_TEXT: 3}


@pytest.mark.parametrize("text", ["", "   \n ", "```\n```", "[]", "{}"])
def test_nothing_is_nothing(text):
    assert read_sentences(text).rows == ()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('"A cat."', "A cat."),
        ("“A cat.”", "A cat."),
        ("<A photo of a cat>", "A photo of a cat"),
        ('**"A cat."**,', "A cat."),
        ('"Red" and "blue"', '"Red" and "blue"'),
        ("A  cat\tsits", "A cat sits"),
        ("'s-Hertogenbosch", "'s-Hertogenbosch"),
        ("it's", "it's"),
    ],
)
def test_quotes_and_emphasis_around_a_row_go(row, expected):
    assert clean(row) == expected


@given(st.text(max_size=300), st.booleans())
def test_any_answer_is_read(text, was_cut):
    for read_answer in (read_sentences, read_description):
        for row in read_answer(text, was_cut=was_cut).rows:
            assert row == " ".join(row.split())


word = st.text("abcdefghijklmnop", min_size=1, max_size=8)
plain = st.lists(word, min_size=2, max_size=6).map(lambda words: " ".join(words).capitalize() + ".")


@given(st.lists(plain, min_size=2, max_size=12), st.sampled_from(["numbered", "-", "json"]))
def test_lists_come_back_as_they_were(rows, form):
    text = {
        "numbered": numbered(rows),
        "-": "\n".join(f"- {row}" for row in rows),
        "json": json.dumps(rows),
    }[form]
    assert read_sentences(text).rows == tuple(rows)


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 80_000,
        "[" * 500_000,
        '["' + '\\"' * 250_000,
        "1. " * 150_000,
        "*" * 500_000,
        '"' * 500_000,
        "```\n" * 100_000,
    ],
    ids=["thinking", "brackets", "escapes", "numbers", "stars", "quotes", "fences"],
)
def test_hostile_answers_take_no_time(text):
    # What reads them again from each sign on takes minutes, which nobody overlooks.
    sentences = read_sentences(text)
    assert all(sentences.rows)
    assert len("".join(sentences.rows)) <= len(text)


def test_a_description_is_one_row():
    text = "Here is a description:\nA brown dog runs\nthrough the snow."
    description = read_description(text)
    assert description.rows == ("A brown dog runs through the snow.",)
    assert description.dropped == {PREAMBLE: 1}


def test_a_description_that_was_cut_ends_with_a_sentence():
    description = read_description("A dog runs. It is brown. The snow is de", was_cut=True)
    assert description.rows == ("A dog runs. It is brown.",)
    assert description.dropped == {CUT: 1}
    assert read_description("A dog runs through the", was_cut=True).rows == ()


@pytest.mark.parametrize(
    "first",
    [
        "Great Danes are dogs.",
        "Great white sharks swim.",
        "Great-tailed grackles sing.",
        "The following wind fills a sail.",
        "Ok Tedi is a mine.",
    ],
)
def test_a_sentence_that_begins_like_talk_is_kept(first):
    sentences = read_sentences(f"{first}\nA second one lies here.")
    assert sentences.rows == (first, "A second one lies here.")
    assert read_description(f"{first}\nIt is here.").rows == (f"{first} It is here.",)


@pytest.mark.parametrize("talk", ["Great!", "Great, here you are.", "OK", "Okay here they are"])
def test_talk_with_the_same_words_is_left_out(talk):
    sentences = read_sentences(f"{talk}\nA cat sits.\nA dog runs.")
    assert (sentences.rows, sentences.dropped) == (("A cat sits.", "A dog runs."), {PREAMBLE: 1})


def test_talk_after_a_description_is_left_out():
    description = read_description("A cat sits on a mat.\nHope this helps!")
    assert (description.rows, description.dropped) == (("A cat sits on a mat.",), {PREAMBLE: 1})
