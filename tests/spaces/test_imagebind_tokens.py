import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.errors import MissingError
from reactions.spaces.imagebind import tokens

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&"))


def test_known_ids():
    found = tokens.tokenize("a photo of a cat")
    assert found.dtype == np.int64
    assert found.tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_nothing_is_start_and_end():
    assert tokens.tokenize("  ").tolist() == [tokens.START, tokens.END]


@pytest.mark.parametrize("words", [74, 75, 76, 500])
def test_a_long_text_keeps_its_end(words):
    found = tokens.tokenize("cat " * words).tolist()
    assert found == [tokens.START, *[2368] * min(words, 75), tokens.END]
    assert len(found) <= tokens.CONTEXT


def test_an_endless_word_is_encoded_soon():
    # Merging a million letters takes hours; what is kept is decided long before.
    found = tokens.tokenize("xq" * 500_000)
    assert found.tolist() == tokens.tokenize("xq" * 2000).tolist()
    assert len(found) == tokens.CONTEXT


@given(PLAIN)
def test_case_and_spaces_do_not_matter(text):
    same = tokens.tokenize(f"  {text.upper().replace(' ', '   ')} ")
    np.testing.assert_array_equal(tokens.tokenize(text), same)


@given(st.text())
def test_ids_are_in_range(text):
    pytest.importorskip("ftfy")
    found = tokens.tokenize(text)
    assert found[0] == tokens.START
    assert found[-1] == tokens.END
    assert 2 <= len(found) <= tokens.CONTEXT
    assert found.min() >= 0


@given(PLAIN)
def test_plain_text_needs_no_mending(text):
    ftfy = pytest.importorskip("ftfy")
    assert ftfy.fix_text(text) == text


def test_curly_quotes_are_mended():
    pytest.importorskip("ftfy")
    np.testing.assert_array_equal(
        tokens.tokenize("a cat\u2019s \u201cnap\u201d"), tokens.tokenize('a cat\'s "nap"')
    )


def test_without_ftfy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(MissingError, match="ftfy") as caught:
        tokens.tokenize("caf\u00e9")
    assert caught.value.exit_code == 3
    assert "pip install ftfy" in caught.value.fix
    assert len(tokens.tokenize("coffee")) == 3  # plain text does without
