"""Depth and thermal images: decoded as their records say, wherever they are used."""

from pathlib import Path

import numpy as np
import pytest
from media_files import image_bytes, put
from PIL import Image

from reactions.core.errors import MediaError
from reactions.core.storage import Blob
from reactions.core.types import Item
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.modalities import registry
from reactions.modalities.registry import check, load

DISPARITIES = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def test_files_members_and_bytes_are_alike(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(DISPARITIES))
    data = (tmp_path / "x.npy").read_bytes()
    tar = put(tmp_path / "x.tar", b"..." + data + b"..")
    for source in (tmp_path / "x.npy", data, Blob(str(tar), 3, len(data), "x.npy")):
        np.testing.assert_array_equal(load(Item("x", "depth", source)).value, DISPARITIES)
        assert check("depth", source) == ""


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"junk" * 99, "magic"), (b"", "magic"), (b"PK\3\4" * 9, "npz archive")],
)
def test_what_is_not_an_npy(data: bytes, why: str) -> None:
    assert why in check("depth", data)
    with pytest.raises(MediaError) as caught:
        load(Item("a", "depth", data))
    assert caught.value.fix == "save (h, w) float32 as npy"
    assert caught.value.fields["id"] == "a"


def test_cut_short_is_found_by_a_glance(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", DISPARITIES)
    assert "48 bytes" in check("depth", (tmp_path / "x.npy").read_bytes()[:-1])


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 1), np.float32),
        np.zeros((0, 4), np.float32),
        np.full((4, 4), np.nan, np.float32),
        "a map",
        None,
    ],
)
def test_values_that_are_not_disparities(value: object) -> None:
    assert registry.get("depth").why_unusable(value)
    assert registry.get("depth").why_unusable(DISPARITIES) == ""


def test_a_manifest_of_each_leaves_out_what_cannot_be_decoded(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", DISPARITIES)
    put(tmp_path / "bad.npy", b"junk")
    Image.new("L", (4, 3), 9).save(tmp_path / "good.png")
    put(tmp_path / "bad.png", image_bytes()[:40])
    for modality, suffix in (("depth", "npy"), ("thermal", "png")):
        lines = [f'{{"id": "{name}", "{modality}": "{name}.{suffix}"}}' for name in ("good", "bad")]
        path = put(tmp_path / "lines.jsonl", "\n".join(lines))
        source = Source(manifest=path, max_bad=0.5)
        corpus = open_corpus("x", modality, [source], tables=TableCache())
        assert corpus.ids() == ["good"]
        assert corpus.skipped.n_bad == 1
