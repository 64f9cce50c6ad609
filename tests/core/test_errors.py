import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core import errors
from reactions.core.errors import LanguageError, MolspaceError, did_you_mean, suggestion


def kinds(kind=MolspaceError):
    yield kind
    for child in kind.__subclasses__():
        yield from kinds(child)


def test_lines_say_what_why_and_fix():
    error = MolspaceError("no weights", why="offline", fix="fetch them", path="x", n=3)
    assert error.lines() == ["no weights", "  why: offline", "  fix: fetch them"]
    assert str(error) == "no weights\n  why: offline\n  fix: fetch them"
    assert MolspaceError("just this").lines() == ["just this"]
    assert error.to_json() == {
        "error": "MolspaceError",
        "what": "no weights",
        "why": "offline",
        "fix": "fetch them",
        "path": "x",
        "n": 3,
    }


def test_lines_say_where_was_searched():
    error = LanguageError("no weights", text="A", column=0, fix="fetch", looked_in=["~/a", "/b"])
    assert error.lines() == ["no weights", "  A", "  ^", "  looked in: ~/a, /b", "  fix: fetch"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("MolspaceError", 4),
        ("UsageError", 2),
        ("LanguageError", 2),
        ("MissingError", 3),
        ("NotSupportedYet", 2),
        ("DataError", 4),
        ("DimensionMismatch", 4),
        ("MediaError", 4),
        ("StoreError", 4),
        ("BundleError", 4),
        ("StepError", 4),
    ],
)
def test_exit_codes(name, code):
    assert getattr(errors, name).exit_code == code


def test_every_kind_of_error_has_a_tested_exit_code():
    marks = test_exit_codes.pytestmark[0].args[1]
    ours = {kind.__name__ for kind in kinds() if kind.__module__ == errors.__name__}
    assert ours == {name for name, _ in marks}
    assert [errors.EXIT_OK, errors.EXIT_BUG, errors.EXIT_INTERRUPTED] == [0, 1, 130]


@pytest.mark.parametrize(
    ("text", "column", "width", "lines_shown"),
    [
        ("A + Cr(B)", 7, 1, ["  A + Cr(B)", "         ^"]),
        ("A + Cr(BCD)", 7, 3, ["  A + Cr(BCD)", "         ^^^"]),
        ("A +", 3, 1, ["  A +", "     ^"]),  # the end of the text: after it
        ("", 0, 1, ["  ", "  ^"]),
        ("one\nA + b\nthree", 8, 1, ["  A + b", "      ^"]),  # the line it is on
        ("A\nlast", 5, 99, ["  last", "     ^"]),  # no wider than the line
        ("A + b\n", 4, 7, ["  A + b", "      ^"]),
        ("\tA + b", 5, 1, ["  \tA + b", "  \t    ^"]),  # tabs stay tabs
        ("A", 0, 0, ["  A", "  ^"]),
    ],
)
def test_the_caret_stands_under_the_mistake(text, column, width, lines_shown):
    error = LanguageError("bad", text=text, column=column, width=width, why="w", fix="f")
    assert error.lines() == ["bad", *lines_shown, "  why: w", "  fix: f"]


@given(st.text(alphabet="ab \n", max_size=30), st.data())
def test_any_place_in_any_text_can_be_shown(text, data):
    column = data.draw(st.integers(0, len(text)))
    width = data.draw(st.integers(0, 40))
    _, source, caret = LanguageError("bad", text=text, column=column, width=width).lines()
    assert source[2:] in text.split("\n")
    place = len(caret) - len(caret.lstrip())
    if column < len(text) and text[column] != "\n":
        assert source[place] == text[column]
        assert len(caret) <= len(source)
    else:
        assert place == len(source)


def test_origin_and_json_of_a_language_error():
    error = LanguageError("bad", text="A + b", column=4, width=1, origin="x.rxn, line 3", name="b")
    assert error.lines()[0] == "bad (x.rxn, line 3)"
    record = error.to_json()
    assert (record["text"], record["column"], record["width"]) == ("A + b", 4, 1)
    assert (record["origin"], record["name"]) == ("x.rxn, line 3", "b")
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("clapm", "CLAP_m"),
        ("CLAP-M", "CLAP_m"),
        ("imagebnd", "ImageBind"),
        ("internvl", "InternVL"),
        ("CLAP_g", "CLAP_g"),
    ],
)
def test_near_names_ignore_case_and_punctuation(name, best):
    names = ["ImageBind", "InternVL", "CLAP_g", "CLAP_m"]
    assert did_you_mean(name, names)[0] == best


def test_names_that_are_near_nothing():
    assert did_you_mean("zzz", ["ImageBind", "CLAP_m"]) == []
    assert did_you_mean("a", []) == []


def test_no_more_names_than_asked_for():
    names = [f"clap_{i}" for i in range(9)] + ["CLAP-1", "Clap1"]
    assert len(did_you_mean("clap_1", names)) == 3
    assert len(did_you_mean("clap_1", names, limit=2)) == 2
    assert set(did_you_mean("clap1", names)) == {"clap_1", "CLAP-1", "Clap1"}


def test_suggestion_names_near_ones_or_all():
    names = (name for name in ["audio", "text"])  # any iterable, read once
    assert suggestion("audoi", names) == "did you mean 'audio'?"
    assert suggestion("zzz", ["text", "audio"]) == "one of: audio, text"
    assert suggestion("zzz", []) == ""
    assert suggestion("colum", ["column", "id", "column"]) == "did you mean 'column'?"
    assert suggestion("zzz", ["text", "audio", "text"]) == "one of: audio, text"
    assert (
        suggestion("audoi", ["audio"], see="molspace spaces")
        == "did you mean 'audio'?  (all: molspace spaces)"
    )
