"""What molspace's own modalities say, and that nothing else decides by their names."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reactions.core.file_digests import DigestCache
from reactions.core.types import Item, Waveform
from reactions.data.corpora import content_digest
from reactions.modalities import registry
from reactions.modalities.base import CHECK_DEPTHS, at_least

ROOT = Path(__file__).parents[2]

BY_NAME = (
    "reactions/dsl/tuning.py",  # which encoders the paper never tunes
    "reactions/encoders",  # which tower
    "reactions/eval/tasks",  # published layouts
    "reactions/experiments",  # the paper's tables
    "reactions/inference/values.py",  # whose values in Python are pictures, and whose sounds
    "reactions/knowledge/generation",  # what can be attached to a question
    "reactions/labs/mini",  # its world can be seen, heard and read
    "reactions/modalities",
    "reactions/serving",  # what a page draws, and what it plays
    "reactions/steps/routing.py",  # the paper's table
)
"""What is about particular modalities."""


def test_nothing_else_compares_with_names_of_modalities():
    names, chains = {*registry.names()}, []
    for path in [*ROOT.glob("reactions/**/*.py"), *ROOT.glob("molspace_cli/**/*.py")]:
        if str(path.relative_to(ROOT)).startswith(BY_NAME):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(
                isinstance(part, ast.Constant) and part.value in names
                for side in (node.left, *node.comparators)
                for part in getattr(side, "elts", [side])
            ):
                chains.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert not chains, "\n".join(chains)


def test_the_papers_letters_stand_in_its_order():
    assert "".join(registry.LETTERS) == "TVA"
    assert list(registry.LETTERS.values()) == ["text", "image", "audio"]


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_records_are_what_a_package_could_register(name):
    modality = registry.get(name)
    assert not registry._malformed(modality)
    others = [other for other in registry.BUILT_IN.values() if other is not modality]
    assert not registry._collision(modality, others)
    assert modality.why_unusable(object())


def test_deeper_looks_hold_for_shallower_ones():
    assert [at_least(depth) for depth in CHECK_DEPTHS] == [("full", "header"), ("full",)]


@pytest.mark.parametrize(
    ("value", "tag", "size_bytes"),
    [
        ("rain", "text:", sys.getsizeof("rain")),
        (np.zeros((2, 3), np.float32), "array:", 24),
        (Waveform(np.zeros(5, np.float32), 8000), "audio:8000:", 20),
    ],
)
def test_values_of_any_modality_have_digests_and_sizes(value, tag, size_bytes):
    for name in ("text", "depth", "smell"):
        assert content_digest(Item("x", name, value), DigestCache()).startswith(tag)
        assert registry.get(name).size_bytes(value) == size_bytes


def test_the_language_needs_no_numbers_for_its_letters():
    code = (
        "import sys; from reactions.dsl.parser import parse; parse('A + Cr(B, data=TVA)'); "
        "print('numpy' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert process.stdout == "False\n", process.stderr
