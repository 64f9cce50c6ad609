"""A space by entry point: examples/own_space, installed and used as its README says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import molspace

from reactions.core.types import Encoder, Item
from reactions.encoders import registry
from reactions.labs.lab_file import load_lab

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_space"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the package into a folder, from a copy: building leaves files behind."""
    source = tmp_path_factory.mktemp("source") / "own_space"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    target = tmp_path_factory.mktemp("target")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return target


@pytest.fixture
def importable(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    yield
    sys.modules.pop("molspace_palette", None)


def test_it_is_as_short_as_promised():
    lines = (EXAMPLE / "molspace_palette.py").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", '"""'))]
    assert len(code) <= 30


def test_it_is_known_by_its_uri(importable):
    spec = registry.resolve_uri("palette:8")
    assert (spec.name, spec.dim, spec.modalities) == ("palette-8", 8, ("image", "text"))
    registry.check(spec)
    encoder: Encoder = registry.load(spec, "cpu")
    red = np.zeros((5, 4, 3), np.uint8)
    red[..., 0] = 255
    picture = encoder.embed("image", [Item("a", "image", red)])
    words = ["a red ball", "green grass", "nothing"]
    captions = encoder.embed("text", [Item(w, "text", w) for w in words])
    assert (captions.shape, captions.dtype) == ((3, 8), np.float32)
    np.testing.assert_allclose(np.linalg.norm(captions, axis=1), 1, atol=1e-6)
    assert (picture @ captions.T).argmax() == 0


def test_it_is_known_by_name_in_a_lab_file_as_the_readme_shows(importable, tmp_path):
    readme = (EXAMPLE / "README.md").read_text()
    blocks = readme.split("\n\n")
    start = next(i for i, block in enumerate(blocks) if block.startswith("    [lab]"))
    toml = "\n\n".join(blocks[start : start + 2])
    path = tmp_path / "molspace.toml"
    path.write_text("\n".join(line.removeprefix("    ") for line in toml.splitlines()))
    catalogue = load_lab(str(path)).catalogue
    by_name, quoted = catalogue.by_name("Palette"), catalogue.by_uri("palette:8")
    for modality in by_name.modalities:
        assert by_name.identity(modality) == quoted.identity(modality)
    assert registry.load(by_name).spec is by_name


def test_a_reaction_is_planned_and_runs_with_it(installed, tmp_path):
    lab = tmp_path / "small.toml"
    lab.write_text(
        '[lab]\nextends = "mini"\n[reaction]\nhidden_dim = 16\ncr_epochs = 1\nbatch_size = 32\n'
        + "".join(f"[corpora.{m}]\nworld = 64\n" for m in ("audio", "image", "text"))
    )
    env = {**os.environ, "PYTHONPATH": str(installed)}
    reaction = 'ImageBind + Cr("palette:8")'
    result = molspace("react", reaction, "--lab", lab, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    bundle = Path(result.stdout.strip().splitlines()[-1])
    record = json.loads((bundle / "bundle.json").read_text())
    assert '"palette:8"' in record["expression"]
