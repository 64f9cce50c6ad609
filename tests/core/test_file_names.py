"""Names in the other Unicode form, and what endings say."""

import json
import unicodedata
from pathlib import Path

import pytest
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.file_names import as_stored, nfc
from reactions.core.types import Item
from reactions.data.manifest import read_items, read_manifest
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.modalities.registry import BUILT_IN, undecoded
from reactions.modalities.suffixes import (
    COMPANIONS,
    may_hold,
    modality_of,
    other_kind,
)

FORMS = [("NFC", "NFD"), ("NFD", "NFC")]


def spelt(form: str, text: str = "dossier/été à Zürich 한글.png") -> str:
    return unicodedata.normalize(form, text)


@pytest.fixture(params=FORMS, ids="stored {0[0]}, written {0[1]}".format)
def forms(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    stored, form_written = request.param
    put(tmp_path / spelt(stored, "ä.txt"), "")
    if (tmp_path / spelt(form_written, "ä.txt")).exists():
        pytest.skip("this file system takes both forms for one")
    return stored, form_written


def test_a_path_is_found_in_the_other_form(tmp_path: Path, forms: tuple[str, str]) -> None:
    stored, form_written = forms
    path = put(tmp_path / spelt(stored, "Ä/é.png"), b"x")
    for _ in range(2):  # the folder is listed once
        assert as_stored(tmp_path / spelt(form_written, "Ä/é.png")) == path
    assert as_stored(path) == path
    absent = tmp_path / spelt(form_written, "Ä/ö.png")
    assert as_stored(absent) == absent
    assert as_stored(Path("plain.png")) == Path("plain.png")


def test_a_path_that_exists_as_written_wins(tmp_path: Path, forms: tuple[str, str]) -> None:
    paths = [put(tmp_path / spelt(form, "é.png"), form) for form in forms]
    assert [as_stored(path) for path in paths] == paths


def test_a_file_added_later_is_found(tmp_path: Path, forms: tuple[str, str]) -> None:
    stored, form_written = forms
    path_asked = tmp_path / spelt(form_written, "é.png")
    assert as_stored(path_asked) == path_asked
    path = put(tmp_path / spelt(stored, "é.png"), b"x")
    assert as_stored(path_asked) == path


def test_relative_paths_too(
    tmp_path: Path, forms: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, form_written = forms
    put(tmp_path / spelt(stored, "Ä/é.png"), b"x")
    monkeypatch.chdir(tmp_path)
    assert as_stored(Path(spelt(form_written, "Ä/é.png"))) == Path(spelt(stored, "Ä/é.png"))


def test_manifests_find_files_in_the_other_form(tmp_path: Path, forms: tuple[str, str]) -> None:
    stored, form_written = forms
    path = put(tmp_path / spelt(stored), image_bytes())
    lines = [
        spelt(form_written),
        json.dumps({"image": spelt(form_written)}),
        json.dumps({"path": spelt(form_written)}),
    ]
    items = list(read_items(lines, base=tmp_path))
    assert [item.value for item in items if isinstance(item, Item)] == [path] * 3
    manifest = put(tmp_path / "m.jsonl", "\n".join(lines))
    assert [row.value for row in read_manifest(manifest, "image")] == [path] * 3


def test_corpora_find_places_in_the_other_form(tmp_path: Path, forms: tuple[str, str]) -> None:
    stored, form_written = forms
    put(tmp_path / spelt(stored, "Ä/é.png"), image_bytes())
    put(tmp_path / spelt(stored, "Ä/b.png"), image_bytes(1))
    for pattern, n in (("Ä", 2), ("Ä/*.png", 2), ("Ä/é.png", 1)):
        source = Source(paths=(str(tmp_path / spelt(form_written, pattern)),))
        corpus = open_corpus("x", "image", [source], tables=TableCache())
        assert len(corpus) == n, pattern


def test_ids_to_skip_and_members_too(tmp_path: Path, forms: tuple[str, str]) -> None:
    stored, form_written = forms
    put(tmp_path / "a" / spelt(stored, "é.png"), image_bytes())
    put(tmp_path / "a/b.png", image_bytes(1))
    source = Source(paths=(str(tmp_path / "a"),), skip=frozenset({spelt(form_written, "é.png")}))
    corpus = open_corpus("x", "image", [source], tables=TableCache())
    assert [item.id for item in corpus.items(0, 2)] == ["b.png"]
    path = put_tar(tmp_path / "x.tar", {spelt(stored, "a.é.png"): image_bytes()})
    source = Source(paths=(str(path),), member=spelt(form_written, "é.png"))
    assert len(open_corpus("x", "image", [source], tables=TableCache())) == 1


def test_nfc_leaves_other_names_alone() -> None:
    assert nfc("plain") == "plain"
    assert nfc("\udcff") == "\udcff"


# --- endings ---


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.apng", "a.jpg", "a.pbm", "a.dib"])
def test_endings_of_images(name: str) -> None:
    assert modality_of(name) == "image"


@pytest.mark.parametrize("name", ["a.wave", "a.mp2", "a.WAV", "a.snd", "a.oga", "a.mpga"])
def test_endings_of_sounds(name: str) -> None:
    assert modality_of(name) == "audio"


def test_kinds_that_are_not_decoded_have_names_and_fixes() -> None:
    assert {"heic", "amr", "mp4", "webm", "jxl", "m4p"} <= {s[1:] for s in undecoded()}
    for kinds in undecoded().values():
        assert all(kind.name and kind.fix for _, kind in kinds)
    heic = other_kind("photo.HEIC", "image")
    assert heic is not None
    assert heic.name == "a HEIF image"
    assert other_kind("photo.heic", "audio") is None
    assert other_kind("film.mp4", "image") is not None
    assert other_kind("film.mp4", "audio") is None
    assert may_hold("film.mp4", "audio")
    raw = other_kind("x.raw", "audio")
    assert raw is not None
    assert "sound" in raw.name
    assert other_kind("notes.txt") is None


def test_no_ending_means_two_things() -> None:
    decoded = [suffix for modality in BUILT_IN.values() for suffix in modality.suffixes]
    assert len(decoded) == len(set(decoded))
    kinds = set()
    for modality in BUILT_IN.values():
        suffixes = {suffix for kind in modality.undecoded for suffix in kind.suffixes}
        assert not suffixes & {*modality.suffixes, *modality.shared}
        assert len(modality.shared) == len({*modality.shared} - {*modality.suffixes})
        kinds |= suffixes
    # Videos hold sounds and images without being either, and animations are not videos.
    assert set(decoded) & kinds <= {*BUILT_IN["video"].suffixes, ".apng", ".gif", ".webp"}
    assert not COMPANIONS & {*decoded, *kinds}


def test_endings_that_several_share() -> None:
    assert modality_of("a.npy") is None
    assert may_hold("a.npy", "depth")
    assert may_hold("a.NPY", "event")
    assert may_hold("a.png", "thermal")
    assert modality_of("a.png") == "image"
    assert not may_hold("a.npy", "image")
    assert other_kind("film.mp4") is None
    assert modality_of("film.mp4") == "video"


def test_what_decodes_is_read_by_its_ending(tmp_path: Path) -> None:
    put(tmp_path / "a.jfif", image_bytes(form="JPEG"))
    put(tmp_path / "b.apng", image_bytes())
    put(tmp_path / "c.wave", sound_bytes())
    for modality, ids in (("image", ["a.jfif", "b.apng"]), ("audio", ["c.wave"])):
        corpus = open_corpus("x", modality, [Source((str(tmp_path),))], tables=TableCache())
        assert [item.id for item in corpus.items(0, 9)] == ids


def test_arguments_that_are_manifests(tmp_path: Path, forms: tuple[str, str]) -> None:
    from reactions.inference.inputs import read_inputs

    stored, form_written = forms
    path = put(tmp_path / spelt(stored, "é.png"), image_bytes())
    put(tmp_path / spelt(stored, "ü.jsonl"), json.dumps({"image": spelt(form_written, "é.png")}))
    for argument in ("ü.jsonl", "é.png"):
        (item,) = read_inputs([spelt(form_written, argument)], modalities=["image"], base=tmp_path)
        assert isinstance(item, Item)
        assert item.value == path
