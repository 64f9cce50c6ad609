import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MissingError
from reactions.encoders.preprocessing import clip_bpe

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&"))


def test_known_ids():
    actual = clip_bpe.tokenize("a photo of a cat")
    assert actual.dtype == np.int64
    assert actual.tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_nothing_is_start_and_end():
    assert clip_bpe.tokenize("  ").tolist() == [clip_bpe.START, clip_bpe.END]


@pytest.mark.parametrize("words", [74, 75, 76, 500])
def test_a_long_text_keeps_its_end(words):
    actual = clip_bpe.tokenize("cat " * words).tolist()
    assert actual == [clip_bpe.START, *[2368] * min(words, 75), clip_bpe.END]
    assert len(actual) <= clip_bpe.CONTEXT


def test_an_endless_word_is_encoded_soon():
    # Merging a million letters takes hours; what is kept is decided long before.
    actual = clip_bpe.tokenize("xq" * 500_000)
    assert actual.tolist() == clip_bpe.tokenize("xq" * 2000).tolist()
    assert len(actual) == clip_bpe.CONTEXT


@given(PLAIN)
def test_case_and_spaces_do_not_matter(text):
    same = clip_bpe.tokenize(f"  {text.upper().replace(' ', '   ')} ")
    np.testing.assert_array_equal(clip_bpe.tokenize(text), same)


@given(st.text())
def test_ids_are_in_range(text):
    pytest.importorskip("ftfy")
    actual = clip_bpe.tokenize(text)
    assert actual[0] == clip_bpe.START
    assert actual[-1] == clip_bpe.END
    assert 2 <= len(actual) <= clip_bpe.CONTEXT
    assert actual.min() >= 0


@given(PLAIN)
def test_plain_text_needs_no_repair(text):
    ftfy = pytest.importorskip("ftfy")
    assert ftfy.fix_text(text) == text


def test_curly_quotes_are_straightened():
    pytest.importorskip("ftfy")
    np.testing.assert_array_equal(
        clip_bpe.tokenize("a cat\u2019s \u201cnap\u201d"), clip_bpe.tokenize('a cat\'s "nap"')
    )


def test_without_ftfy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(MissingError, match="ftfy") as caught:
        clip_bpe.tokenize("caf\u00e9")
    assert caught.value.exit_code == 3
    assert "pip install 'ftfy" in caught.value.fix
    assert len(clip_bpe.tokenize("coffee")) == 3  # plain text does without
