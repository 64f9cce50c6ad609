"""Endings that several modalities share: what a corpus is of says which is meant."""

from pathlib import Path

import numpy as np
import pytest
from further_media import (
    TETRAHEDRON,
    bin_bytes,
    columns,
    grey_png,
    npy_bytes,
    npz_bytes,
    ply_bytes,
    points,
)
from media_files import image_bytes, put, put_tar

from reactions.core.errors import DataError, MissingError
from reactions.data.scan_cache import TableCache
from reactions.data.sources import tar_index
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.eval.media_index import MediaIndex
from reactions.inference.folders import with_folders
from reactions.modalities.registry import get, load

DEEP = grey_png(np.arange(600, dtype=np.uint16).reshape(20, 30) * 9)
GREY = grey_png(np.arange(200, dtype=np.uint8).reshape(10, 20))
GOOD = {
    "depth": {"a.png": DEEP, "b.npy": npy_bytes(np.eye(3, dtype=np.float32))},
    "thermal": {"a.png": GREY, "b.png": DEEP},
    "event": {"a.bin": bin_bytes(), "b.npz": npz_bytes(**columns()), "c.png": image_bytes()},
    "point": {"a.ply": ply_bytes(points()), "b.npy": npy_bytes(points()), "c.off": TETRAHEDRON},
}
BAD = {"depth": GREY, "thermal": image_bytes(), "event": b"junk", "point": b"junk"}


@pytest.fixture(params=sorted(GOOD))
def modality(request) -> str:
    return request.param


@pytest.fixture
def files(modality) -> dict[str, bytes]:
    """Good files of a modality, and one that is none."""
    name = {"event": "z.bin", "point": "z.npy"}.get(modality, "z.png")
    return {**GOOD[modality], name: BAD[modality]}


def opened(path, modality: str, cache: Path | None = None, **options) -> SourceCorpus:
    source = Source((str(path),), **{"max_bad": 0.6, **options})
    return open_corpus("x", modality, [source], tables=TableCache(cache))


def values(corpus):
    items = corpus.items(0, len(corpus))
    loaded = [load(item).value for item in items]
    assert all(get(corpus.modality).why_unusable(value) == "" for value in loaded)
    return loaded


@pytest.mark.parametrize("check", ["header", "full"])
def test_a_folder_is_of_what_its_corpus_is(modality, files, tmp_path, check):
    for name, data in files.items():
        put(tmp_path / "set" / "deep" / name, data)
    corpus = opened(tmp_path / "set", modality, check=check)
    *good, bad = sorted(files)
    assert corpus.ids() == [f"deep/{name}" for name in good]
    assert [row.id for row in corpus.bad()] == [f"deep/{bad}"]
    assert corpus.others == {}
    values(corpus)


def test_a_pattern_and_a_manifest_as_well(modality, files, tmp_path):
    for name, data in files.items():
        put(tmp_path / "set" / name, data)
    *good, _ = sorted(files)
    assert opened(tmp_path / "set/*", modality).ids() == good
    lines = [f'{{"id": "{n}", "{modality}": "set/{n}"}}' for n in sorted(files)]
    manifest = put(tmp_path / "m.jsonl", "\n".join(lines))
    source = Source(manifest=manifest, max_bad=0.6)
    corpus = open_corpus("x", modality, [source], tables=TableCache())
    assert corpus.ids() == good
    assert len(list(corpus.bad())) == 1


def test_samples_of_shards(modality, files, tmp_path):
    members = {}
    for i, (name, data) in enumerate(sorted(files.items())):
        members[f"{i}.{name.rpartition('.')[2]}"] = data
        members[f"{i}.cls"] = b"1"
    path = put_tar(tmp_path / "x.tar", members)
    cache = tmp_path / "cache"
    for _ in range(2):
        corpus = opened(path, modality, cache)
        assert corpus.ids() == [str(i) for i in range(len(files) - 1)]
        assert [row.id for row in corpus.bad()] == [str(len(files) - 1)]
        values(corpus)


def test_a_file_of_a_sample_is_named_where_two_may_be_meant(tmp_path):
    members = {"a.png": image_bytes(), "a.thermal.png": GREY}
    path = put_tar(tmp_path / "x.tar", members)
    assert opened(path, "image").ids() == ["a"]
    # KEY.png comes before KEY.thermal.png, and is in false colours.
    with pytest.raises(DataError, match="false colours"):
        opened(path, "thermal")
    corpus = opened(path, "thermal", member="thermal.png")
    np.testing.assert_array_equal(values(corpus)[0], get("thermal").load(GREY))


def test_each_modality_has_its_own_index_of_tars(tmp_path, monkeypatch):
    modalities_indexed = []
    real = tar_index._index

    def index(shard, modality, depth):
        modalities_indexed.append(modality)
        return real(shard, modality, depth)

    monkeypatch.setattr(tar_index, "_index", index)
    members = {"a.png": DEEP, "a.txt": "a room", "a.npy": npy_bytes(points())}
    path = put_tar(tmp_path / "x.tar", members)
    for modality in ("image", "text", "depth", "point", "depth", "image"):
        options = {"member": "png"} if modality == "depth" else {}
        opened(path, modality, tmp_path / "cache", **options)
    assert modalities_indexed == ["image", "depth", "point"]


def test_lists_are_no_clouds_beside_other_clouds(tmp_path):
    put(tmp_path / "set/a.ply", ply_bytes(points()))
    put(tmp_path / "set/README.txt", "clouds of chairs\n")
    corpus = opened(tmp_path / "set", "point")
    assert corpus.ids() == ["a.ply"]
    assert corpus.others == {".txt": 1}
    assert "taken for lists and notes" in corpus.notices[0]
    assert with_folders([str(tmp_path / "set")], "point")[0] == [str(tmp_path / "set/a.ply")]
    # ModelNet's are texts, all of them.
    put(tmp_path / "chair/chair_0001.txt", "0.1,0.2,0.3,0,0,1\n1,2,3,0,1,0\n")
    assert opened(tmp_path / "chair", "point").ids() == ["chair_0001.txt"]


def test_what_is_not_decoded_is_counted(tmp_path):
    put(tmp_path / "set/a.ply", ply_bytes(points()))
    put(tmp_path / "set/b.pt", b"PK")
    put(tmp_path / "set/c.obj", b"v 1 2 3")
    corpus = opened(tmp_path / "set", "point")
    assert corpus.others == {".pt": 1, ".obj": 1}
    assert "numpy.save" in corpus.notices[0]
    put(tmp_path / "pictures/a.png", image_bytes())
    put(tmp_path / "pictures/b.pt", b"PK")
    assert opened(tmp_path / "pictures", "image").others == {}
    put(tmp_path / "streams/x.aedat4", b"x")
    with pytest.raises(MissingError) as caught:
        opened(tmp_path / "streams", "event")
    assert "export it as npz" in caught.value.fix


def test_evaluation_sets_find_them_by_name(tmp_path):
    put(tmp_path / "clouds/chair/chair_0001.txt", "0 0 0\n1 1 1\n")
    index = MediaIndex(tmp_path, "point", ["clouds"])
    entry = index.get(["chair_0001"])
    assert entry is not None
    assert entry == index.get(["chair/chair_0001.txt"])
