"""The security page: every line names tests that hold it, and every test that it names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_CLAIM = re.compile(r"^- (?:.+\n)(?:  .+\n)*", re.MULTILINE)


def functions(path):
    return {
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_every_test_that_is_named_is_there():
    tests_named = _NAMED.findall(PAGE)
    assert len(tests_named) > 40
    missing = [f"{path}::{name}" for path, name in tests_named if name not in functions(path)]
    assert not missing


def test_every_promise_names_a_test():
    claims = _CLAIM.findall(PAGE)
    assert len(claims) > 25
    # What such a file *can* do needs no test; nor does advice.
    bare = [
        c for c in claims if not _NAMED.search(c) and "*can*" not in c and "up to date" not in c
    ]
    assert not bare


def test_all_kinds_of_files_have_a_section():
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    for kind in ("lab file", "bundle", "manifest", "checkpoint", "embeddings", "network"):
        assert any(kind in section for section in sections), kind


def test_the_page_is_found_from_the_readme():
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "SECURITY.md" in PAGE
