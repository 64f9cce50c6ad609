"""Reactions of any form are planned or refused, by a message that points into the text."""

import tempfile
from functools import cache
from pathlib import Path

from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import LanguageError, MolspaceError
from reactions.dsl import parse_file
from reactions.dsl.parser import parse
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store

GOOD = [
    "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)",
    "ImageBind + Cr(CLAP_m, sigma=(0.5, 0.1)) + Cr(CLAP_g, sigma=(audio=0.5, text=0.1))",
    "a = ImageBind + 0.7*Cr(CLAP_m) & 0.3*Cr(CLAP_g); a + Dr(InternVL, data=TVA)",
    "ImageBind + Cr((InternVL + Cr(CLAP_m)))  # a product",
    'ImageBind + Cr("open_clip:ViT-B-32/openai") & Cr("./folder", recipe=cmcr)',
    "ImageBind + Ft(audio~image) | Lcl(kb)",
]
WORDS = [
    *"+|&*()=,;~#\"'\\.:/-",
    "\n",
    " ",
    "ImageBind",
    "InternVL",
    "CLAP_m",
    "CLAP_g",
    "Cr",
    "Dr",
    "Ft",
    "Lcl",
    "Cr(CLAP_m)",
    "Dr(InternVL)",
    "sigma=",
    "lambda=",
    "data=TVA",
    "recipe=cmcr",
    "(0.5, 0.1)",
    "0.7",
    "-1",
    "1e308",
    "1e999",
    "nan",
    "inf",
    "9" * 400,
    '"~no-such-user/x"',
    '"' + "x" * 300 + '"',
    '"hf:org/name"',
    '"reference::file://x"',
    "\x00",
    "\x1b[2J",
    "\u202e",
    "\ud800",
    "é",
    "東京",
    "\ufeff",
]


@cache
def session() -> Session:
    """Return the mini lab on an empty store."""
    return Session(load_lab("mini"), Store(Path(tempfile.gettempdir()) / "no-such-store"))


def use(text: str) -> None:
    """Parse, check and plan a reaction, and show what is wrong with it."""
    outcome = usable_or_refused(lambda: session().plan(session().check(text)))
    if isinstance(outcome, MolspaceError):
        assert outcome.exit_code in (2, 3, 4)
        assert str(outcome)
        outcome.to_json()
    if isinstance(outcome, LanguageError):
        assert 0 <= outcome.column <= len(outcome.text)
        assert outcome.what


@fuzz
@given(st.lists(st.sampled_from(WORDS), max_size=40).map("".join))
def test_any_words_are_planned_or_refused(text):
    use(text)


@fuzz
@given(st.sampled_from(GOOD).flatmap(lambda text: mutated(text.encode(), head_bytes=len(text))))
def test_damaged_reactions_are_planned_or_refused(data):
    use(data.decode("utf-8", "surrogateescape"))


@fuzz
@given(st.sampled_from(GOOD).flatmap(lambda text: mutated(text.encode(), head_bytes=len(text))))
def test_damaged_files_are_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.rxn"
        path.write_bytes(data)
        usable_or_refused(lambda: parse_file(path))


@fuzz
@given(
    st.sampled_from(["(", "Cr(", "ImageBind + Cr((", "a = ", "ImageBind + ", "-", '"', "A|", "A&"]),
    st.integers(1, 19_000),
    st.sampled_from(["", "ImageBind", ")", "ImageBind + Cr(CLAP_m)"]),
)
def test_long_and_deep_reactions_are_refused(head, n, tail):
    text = (head * n)[:19_000] + tail
    usable_or_refused(lambda: parse(text))
    use(text)
