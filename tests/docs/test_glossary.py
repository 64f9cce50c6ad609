"""Words are explained where they are first met."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FINDINGS = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "word",
    ["space", "hub", "bound", "lab", "pseudo set", "pseudo-pair", '"Ver."', '"AT E."', "corpus"],
)
def test_the_glossary_has_the_words(word):
    assert f"\n| {word} |" in GLOSSARY


def test_the_readme_leads_to_it_before_it_uses_them():
    assert README.index("docs/glossary.md") < README.index("*mini lab*")
    assert LANGUAGE.index("glossary.md") < LANGUAGE.index("pseudo sets")
    assert FINDINGS.index('"Ver." is sigma') < FINDINGS.index("| ImageBind++ Ver. |")
    assert README.index("A *lab* is") < README.index("*mini lab*")
