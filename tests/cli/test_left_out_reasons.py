"""Why items were left out, in sentences: items that differ in values alone count as one reason."""

import pytest

from molspace_cli.input_notes import InputNotes


def reasons(*messages):
    notes = InputNotes(quiet=True)
    for message in messages:
        notes.skipped(message)
    return notes.to_json()["skipped_why"], notes.reasons()


def write(text):
    return f'it looks like a path; if it is a text, write {{"text": "{text}"}}'


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (["not UTF-8"] * 2, "not UTF-8"),
        ([write("a/b"), write('c "d"/e'.replace('"', '\\"'))], write("x").replace('"x"', "…")),
        ([write("a/b")] * 2, write("a/b")),
        (["cannot use 'a.wav': it has 2 channels", "cannot use 'b.wav': it has 2 channels"],
         "cannot use …: it has 2 channels"),
        (["cannot use 'it's.wav': cut", "cannot use 'b.wav': cut"], "cannot use …: cut"),
        (["it doesn't end, and can't be read"] * 2, "it doesn't end, and can't be read"),
        (["no such file: /a/b.png; correct it", "no such file: c.jpg; correct it"],
         "no such file: …; correct it"),
        (["no such file: /a/b c.png", "no such file: /x.png"], "no such file: …"),
        (["its rate is 50 Hz, not 100 to 384000", "its rate is 60 Hz, not 100 to 384000"],
         "its rate is … Hz, not 100 to 384000"),
        (["it has 5, more than 4.", "it has 6, more than 4."], "it has …, more than 4."),
        (["empty"], "empty"),
    ],
)  # fmt: skip
def test_what_differs_alone_is_masked(messages, reason):
    assert reasons(*messages)[0] == {reason: len(messages)}


def test_other_words_are_other_reasons():
    counts, text = reasons("not UTF-8", "it isn't a's", "it isn't b's", "not UTF-16", "not UTF-8")
    assert counts == {"not UTF-8": 2, "not UTF-16": 1, "it isn't a's": 1, "it isn't b's": 1}
    assert text.startswith("2: not UTF-8; 1: it isn't a's; ")


def test_many_reasons_are_one():
    counts, _ = reasons(*["bad"] * 3, *(chr(97 + i) * 9 for i in range(26)))
    assert len(counts) == 21
    assert counts["other reasons"] == 7
    assert sum(counts.values()) == 29


def test_what_is_wrong_may_hold_the_sign_that_stands_for_values():
    counts, _ = reasons("it ends in … there", "it ends in 5 there")
    assert counts == {"it ends in … there": 1, "it ends in 5 there": 1}
