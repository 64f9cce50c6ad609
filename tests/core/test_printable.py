"""What a terminal would obey never reaches it raw."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.printable import printable, printable_cell, printable_json

HOSTILE = {
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b2J": r"\x9b2J",
    "\x90payload\x9c": r"\x90payload\x9c",
    "a\rb": r"a\rb",
    "a\x08\x7f": r"a\x08\x7f",
    "a\u202egnp.exe": r"a\u202egnp.exe",
    "a\u2066b\u2069": r"a\u2066b\u2069",
    "a\u200fb\u061c": r"a\u200fb\u061c",
    "a\u2028b\u2029": r"a\u2028b\u2029",
    "a\udcff": r"a\udcff",
    "a\ufeff\u00ad\u200b": r"a\ufeff\xad\u200b",
    "a\U000e0041": r"a\U000e0041",
    "a\0b": r"a\x00b",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_controls_are_spelled_out(text):
    assert printable(text) == printable_cell(text) == HOSTILE[text]
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text


def test_lines_stay_in_text_and_go_from_cells():
    assert printable("a\n\tb") == "a\n\tb"
    assert printable_cell("a\n\tb") == r"a\n\tb"


def test_ordinary_text_of_all_scripts_stays():
    text = "naïve 東京 עברית العربية हिन्दी 👩\u200d👩 a\u200cb é λ\u00a0x"
    assert printable(text) == printable_cell(text) == text
    assert printable_json(json.dumps(text, ensure_ascii=False)) == json.dumps(
        text, ensure_ascii=False
    )


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    for printed in (printable_cell(text), printable(text).replace("\n", "").replace("\t", "")):
        assert not {c for c in printed if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
        assert not {c for c in printed if unicodedata.bidirectional(c) in OVERRIDES}
        printed.encode()


@given(st.recursive(st.text() | st.integers(), st.lists))
def test_json_means_what_it_meant(value):
    printed = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(printed) == value
    assert not {c for c in printed if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}


OVERRIDES = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
