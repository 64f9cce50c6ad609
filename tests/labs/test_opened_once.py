"""A lab opens a corpus or an evaluation set once, and never shows one that is not its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import published_sets as published
import pytest
from lab_files import load
from media_files import image_bytes, put, sound_bytes

from reactions.core.errors import DataError, MissingError
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.file_digests import DigestCache
from reactions.labs.lab_file import load_lab

pytestmark = pytest.mark.usefixtures("own_folder")

LAB = '[corpora.image]\npath = "photos"\n[data]\nroot = "sets"\n'


@pytest.fixture
def lab(tmp_path):
    for seed in range(3):
        put(tmp_path / f"photos/{seed}.png", image_bytes(seed))
    published.esc50(tmp_path / "sets/esc50")
    return load(LAB)


def test_what_is_asked_for_twice_is_opened_once(lab):
    assert lab.corpus("image") is lab.corpus("image")
    assert lab.benchmark("esc50") is lab.benchmark("esc50")


def test_labs_that_differ_in_nothing_of_it_share_it(lab):
    corpus, data = lab.corpus("image"), lab.benchmark("esc50")
    for other in (replace(lab, factors=FactorDefaults()), lab.with_precision("exact")):
        assert other.corpus("image") is corpus
        assert other.benchmark("esc50") is data


def test_another_depth_name_cache_or_place_is_opened_anew(lab, tmp_path):
    corpus = lab.corpus("image")
    put(tmp_path / "pictures/0.png", image_bytes(0))
    moved = load(LAB.replace("photos", "pictures")).corpora
    others = [
        lab.with_check("full"),
        replace(lab, name="other"),
        replace(lab, digests=DigestCache()),
        replace(lab, corpora=moved),
    ]
    assert all(other.corpus("image") is not corpus for other in others)
    assert replace(lab, name="other").corpus("image").name == "other image"


def test_a_full_check_after_a_glance_still_looks_at_every_byte(tmp_path):
    data = bytearray(sound_bytes(3, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    put(tmp_path / "sounds/damaged.flac", bytes(data))
    laboratory = load('[corpora.audio]\npath = "sounds"')
    assert len(laboratory.corpus("audio")) == 1
    with pytest.raises(DataError, match=r"damaged\.flac"):
        laboratory.with_check("full").corpus("audio")


def test_sets_of_another_folder_are_not_those_that_were_opened(lab, tmp_path):
    published.esc50(tmp_path / "elsewhere")
    put(tmp_path / "elsewhere/audio/5-9032-A-0.wav", b"")
    data = lab.benchmark("esc50")
    chosen = replace(lab, data=replace(lab.data, chosen=tmp_path / "elsewhere"))
    assert (len(data.queries), len(chosen.benchmark("esc50").queries)) == (4, 3)
    assert lab.benchmark("esc50") is data


def test_another_seed_is_another_world():
    lab = load_lab("mini")
    corpus, data = lab.corpus("text"), lab.benchmark("clotho")
    other = lab.with_seed(1)
    assert other.corpus("text").digest != corpus.digest
    assert other.benchmark("clotho").left.digest != data.left.digest
    np.testing.assert_array_equal(other.benchmark("clotho").owner, data.owner)
    assert lab.with_seed(0).corpus("text") is corpus


def test_what_could_not_be_opened_is_looked_for_again(lab, tmp_path):
    with pytest.raises(MissingError):
        lab.benchmark("coco")
    published.coco(tmp_path / "sets/coco")
    assert len(lab.benchmark("coco").left) == 2
    assert Path("sets/coco").is_dir()
