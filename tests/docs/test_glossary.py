"""Words are explained where they are first met."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "word",
    ["space", "hub", "bound", "lab", "pseudo set", "pseudo-pair", '"Ver."', '"AT E."', "corpus"],
)
def test_the_glossary_has_the_words(word):
    assert f"\n| {word} |" in GLOSSARY


def test_the_readme_leads_to_it_before_it_uses_them():
    link = README.index("docs/glossary.md")
    assert link < README.index("*mini lab*") < README.index("pseudo sets")
    assert README.index('"Ver." is sigma') < README.index("| ImageBind++ Ver. |")
    assert README.index("A *lab* is") < README.index("*mini lab*")
