from dataclasses import fields
from pathlib import Path

import pytest
from lab_files import load, write

from reactions.core.catalogue import Catalogue
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.labs import lab as module
from reactions.labs.lab import Lab
from reactions.labs.lab_file import load_lab

pytestmark = pytest.mark.usefixtures("own_folder")


# --- data ---


def test_corpora_from_all_kinds_of_places(tmp_path):
    lab = load(
        """
        [corpora.text]
        path = ["captions.txt", "s3://bucket/*.parquet"]
        column = "caption"
        id = "key"
        skip = ["a", "b"]
        max_bad = 0
        [corpora.image]
        path = "/photos"
        check = "full"
        [[corpora.audio]]
        path = "s-{0..9}.tar"
        member = "Left.WAV"
        [[corpora.audio]]
        manifest = "more.jsonl"
        max_bad = 1
        """
    )
    (text,) = lab.corpora["text"].sources
    assert text.paths == (f"{tmp_path}/captions.txt", "s3://bucket/*.parquet")
    assert (text.columns, text.id_column, text.max_bad) == (("caption",), "key", 0.0)
    assert text.skip == {"a", "b"}
    (image,) = lab.corpora["image"].sources
    assert (image.paths, image.check, image.max_bad) == (("/photos",), "full", 0.01)
    shards, manifest = lab.corpora["audio"].sources
    assert (shards.paths, shards.member) == ((f"{tmp_path}/s-{{0..9}}.tar",), "left.wav")
    assert (manifest.paths, manifest.max_bad) == ((), 1.0)
    assert manifest.manifest == tmp_path / "more.jsonl"


def test_folders_of_evaluation_sets(tmp_path):
    write('[data]\nroot = "sets"\n[data.coco]\npath = "coco"\n[data.esc50]\npath = "e"', "b/x.toml")
    lab = load('[lab]\nextends = "b/x.toml"\n[data.coco]\npath = "/coco"')
    assert lab.data.of("coco") == (Path("/coco"), tmp_path / "b/sets")
    assert lab.data.of("esc50") == (tmp_path / "b/e", tmp_path / "b/sets")
    assert lab.data.of("clotho") == (tmp_path / "b/sets",)
    (tmp_path / "chosen").mkdir()
    lab = load_lab(data=Path("chosen"))
    assert lab.data.of("coco") == (tmp_path / "chosen", Path("/coco"), tmp_path / "b/sets")
    assert load("").data.of("coco") == ()
    with pytest.raises(MissingError, match="no folder of data at 'gone'"):
        load_lab(data=Path("gone"))


def test_scans_are_remembered_beside_the_digests(tmp_path):
    from reactions.core.file_digests import DigestCache

    write("")
    assert load_lab(digests=DigestCache(tmp_path / "c")).tables.folder == tmp_path / "c/corpora"
    assert load_lab().tables.folder == tmp_path / "cache/corpora"  # the user's, of this test
    assert load_lab(digests=DigestCache()).tables.folder is None


# --- what a lab gives ---


def test_corpora_from_manifests(tmp_path):
    text = '[corpora.text]\nmanifest = "texts.txt"'
    lab = load(text)
    assert lab.corpus("audio") is None
    with pytest.raises(MissingError, match="no manifest for the text corpus") as caught:
        lab.corpus("text")
    assert str(tmp_path / "texts.txt") in caught.value.why
    assert "[corpora.text]" in caught.value.fix
    (tmp_path / "texts.txt").write_text("rain\nwind\n")
    corpus = lab.corpus("text")
    assert [item.value for item in corpus.items(0, 2)] == ["rain", "wind"]
    (tmp_path / "texts.txt").write_text("\n")
    assert lab.corpus("text") is corpus  # a lab shows what there was when it was asked first
    with pytest.raises(DataError, match="is empty"):
        load(text).corpus("text")


def test_corpora_of_the_world_follow_the_seed():
    lab = load("[corpora.text]\nworld = 5")
    assert len(lab.corpus("text")) == 5
    assert lab.corpus("text").digest == load_lab().corpus("text").digest
    assert lab.corpus("text").digest != lab.with_seed(1).corpus("text").digest


def test_evaluation_sets_come_with_the_mini_lab():
    lab = load("")
    assert lab.sample_items() == []
    with pytest.raises(MissingError, match="has no data for task 'esc50'") as caught:
        lab.benchmark("esc50")
    assert "--lab mini" in caught.value.fix
    assert "[data.esc50]" in caught.value.fix


def test_uris_go_to_the_adapters():
    with pytest.raises(MissingError, match="cannot open the space"):
        load("").catalogue.by_uri("gone/folder")


def test_settings_of_the_mini_lab_are_scaled_down():
    lab = load_lab("mini")
    settings = {entry.name: getattr(lab.settings, entry.name) for entry in fields(lab.settings)}
    assert settings["collect_temperature"] == 1 / 100
    assert settings["info_nce_temperature"] == 1 / 50
    assert settings["hidden_dim"] < 2048


def test_a_lab_built_in_python():
    lab = Lab("x", "x", Path("x"), 0, Catalogue({}))
    assert lab.settings == module.ReactionSettings()
    with pytest.raises(UsageError, match="the seed is -2"):
        Lab("x", "x", Path("x"), -2, Catalogue({}))
