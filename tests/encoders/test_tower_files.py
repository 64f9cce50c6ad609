"""Towers in files of their own: a space gains a modality, and its others keep their keys."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.hashing import file_digest
from reactions.core.types import Item
from reactions.encoders import registry
from reactions.encoders.doctor import examine
from reactions.encoders.mini import SHIPPED, Towers
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.fields import spec_record
from reactions.products.bundles.record import read_spec


@pytest.fixture
def folder(tmp_path):
    """A lab whose ImageBind takes its texts from a tower of its own."""
    shutil.copy(SHIPPED / "ImageBind.safetensors", tmp_path / "Base.safetensors")
    torch.manual_seed(0)
    Towers(128, {"text": (8, 8)}).save(tmp_path / "Base-text.safetensors", name="words")
    (tmp_path / "molspace.toml").write_text(
        '[spaces.Base]\nadapter = "mini"\nsource = "Base.safetensors"\ndim = 128\n'
        'modalities = ["image", "text"]\ntowers = { text = "" }\n'
    )
    return tmp_path


@pytest.fixture
def spec(folder):
    return load_lab(folder / "molspace.toml").catalogue.by_name("Base")


def test_it_is_found_hashed_and_used(folder, spec):
    assert spec.tower_digests == (("text", file_digest(folder / "Base-text.safetensors")),)
    encoder = registry.load(spec)
    without_towers = registry.load(replace(spec, tower_digests=()))
    items = [Item("a", "text", "a red cat"), Item("b", "text", "rain")]
    rows = encoder.embed("text", items)
    assert rows.shape == (2, 128)
    assert not np.allclose(rows, without_towers.embed("text", items))
    pictures = [Item("a", "image", np.full((32, 32, 3), 90, np.uint8))]
    np.testing.assert_array_equal(
        encoder.embed("image", pictures), without_towers.embed("image", pictures)
    )


def test_its_digest_stands_in_its_own_keys_alone(spec):
    single_tower = replace(spec, tower_digests=(), modalities=("image",))
    other = replace(spec, tower_digests=(("text", "f" * 64),))
    assert spec.identity("image") == single_tower.identity("image") == other.identity("image")
    assert spec.identity("text") != other.identity("text")
    assert spec.identity("text")["weights"] == spec.tower_digests[0][1]


def test_another_file_is_refused(folder, spec):
    Towers(128, {"text": (8, 8)}).save(folder / "Base-text.safetensors", name="others")
    with pytest.raises(DataError, match="not the ones this lab names") as caught:
        registry.load(spec)
    assert caught.value.fields["path"].endswith("Base-text.safetensors")
    assert caught.value.fields["expected"] == spec.tower_digests[0][1]


def test_a_missing_file_is_named(folder, spec):
    (folder / "Base-text.safetensors").unlink()
    with pytest.raises(MissingError, match="no weights") as caught:
        registry.check(spec)
    assert "Base-text.safetensors" in caught.value.why


def test_a_tower_of_another_width_does_not_fit(folder):
    Towers(64, {"text": (8, 8)}).save(folder / "Base-text.safetensors", name="narrow")
    spec = load_lab(folder / "molspace.toml").catalogue.by_name("Base")
    with pytest.raises(DataError, match="do not fit") as caught:
        registry.load(spec)
    assert "in 64 dimensions, not text in 128" in caught.value.why


@pytest.mark.parametrize(
    ("towers", "why"),
    [('{ text = "", depth = "" }', "has no digest"), ('{ txt = "ff" }', "names 'txt'")],
)
def test_towers_that_are_not_there(folder, towers, why):
    path = folder / "molspace.toml"
    path.write_text(path.read_text().replace('{ text = "" }', towers))
    with pytest.raises(UsageError, match=why):
        load_lab(path).catalogue.by_name("Base")


def json_record(spec):
    return json.loads(json.dumps(spec_record(spec)))


def test_bundles_keep_it_and_records_without_it_read_as_before(spec):
    assert read_spec(json_record(spec)) == spec
    old = json_record(replace(spec, tower_digests=()))
    assert not {"tower_digests", "derived"} & set(old)
    assert read_spec(old).tower_digests == ()
    with pytest.raises(ValueError, match="tower_digests of Base"):
        read_spec({**old, "tower_digests": [["touch", "f" * 64]]})
    with pytest.raises(ValueError, match="tower_digests of Base"):
        read_spec({**old, "tower_digests": [["text", 3]]})


def test_doctor_shows_the_digest(spec):
    findings = [f for f in examine(registry.load(spec), {}) if f.check == "weights"]
    assert [finding.modality for finding in findings] == ["", "text"]
    assert spec.tower_digests[0][1][:12] in findings[1].value
