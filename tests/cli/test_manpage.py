"""The manual page: as committed, and as a reader of manual pages takes it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from molspace_cli.manpage import _text, manual
from reactions.core.environment import VARIABLES

PAGE = Path(__file__).parents[2] / "docs" / "molspace.1"


def test_the_committed_page_is_what_the_commands_say():
    hint = "make it again: python -m molspace_cli.manpage > docs/molspace.1"
    assert PAGE.read_text(encoding="utf-8") == manual(), hint


def test_it_has_every_part():
    page = manual()
    for heading in ("NAME", "SYNOPSIS", "COMMANDS", "ENVIRONMENT", "EXIT STATUS"):
        assert f"\n.SH {heading}\n" in page
    assert all(f".B {name}" in page for name in VARIABLES)
    assert "\n.SS molspace cache gc\n" in page
    assert page.count(".EX") == page.count(".EE") > 40


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a-b", "a\\-b"),
        (".TH", "\\&.TH"),
        ("'quoted'", "\\&'quoted'"),
        ("back\\slash", "back\\eslash"),
    ],
)
def test_nothing_in_a_text_is_a_request(text, escaped):
    assert _text(text) == escaped


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_groff_has_nothing_to_complain_about():
    process = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", PAGE], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0
    assert process.stderr == ""
