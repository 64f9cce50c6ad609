"""Data sets of other kinds than parquet, prepared once by the library datasets."""

from pathlib import Path

import pytest
from media_files import image_bytes, put

from reactions.core.errors import DataError, UsageError
from reactions.core.paths import cache_root
from reactions.data.hub import prepare
from reactions.data.hub.config import DatasetPlace
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus

datasets = pytest.importorskip("datasets")

PICTURES = [image_bytes(seed) for seed in range(3)]


def opened(folder: Path, modality: str = "image", **place: object) -> SourceCorpus:
    dataset = DatasetPlace(str(folder), **{"splits": ("train",), **place})
    return open_corpus("x", modality, [Source(dataset=dataset)], tables=TableCache())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures with captions in a table beside them."""
    for split in ("train", "test"):
        lines = ""
        for row, picture in enumerate(PICTURES):
            put(tmp_path / "set" / split / f"{row}.png", picture)
            lines += f'{{"file_name": "{row}.png", "caption": "{split} {row}"}}\n'
        put(tmp_path / "set" / split / "metadata.jsonl", lines)
    return tmp_path / "set"


def test_a_folder_of_pictures_is_prepared_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = opened(folder)
    assert [item.value.read() for item in pictures.items(0, 3)] == PICTURES
    monkeypatch.setattr(prepare, "_library", None)
    texts = opened(folder, "text")
    assert texts.ids() == pictures.ids()
    assert [item.value for item in texts.items(0, 3)] == ["train 0", "train 1", "train 2"]
    assert len(opened(folder, splits=("test", "train"))) == 6
    prepared = [path.name for path in (cache_root() / "datasets/prepared").iterdir()]
    assert len(prepared) == 1
    monkeypatch.undo()
    put(folder / "train/0.png", PICTURES[1], when_s=1_500_000_000)
    assert opened(folder).items(0, 1)[0].value.read() == PICTURES[1]


def test_nothing_is_decoded(folder: Path) -> None:
    put(folder / "train/0.png", b"no picture")
    dataset = DatasetPlace(str(folder), splits=("train",))
    corpus = open_corpus("x", "image", [Source(dataset=dataset, max_bad=0.5)], tables=TableCache())
    assert [bad.why for bad in corpus.bad()] == ["cannot identify image file"]


def test_what_save_to_disk_wrote(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": data, "path": None} for data in PICTURES], "caption": list("abc")},
        features=datasets.Features(
            {"image": datasets.Image(), "caption": datasets.Value("string")}
        ),
    )
    datasets.disable_progress_bars()
    try:
        datasets.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "several"))
        rows.save_to_disk(str(tmp_path / "one"))
    finally:
        datasets.enable_progress_bars()
    for name in ("several", "one"):
        corpus = opened(tmp_path / name, splits=())
        assert [item.value.read() for item in corpus.items(0, 3)] == PICTURES
        assert any("its only split, 'train', is read" in remark for remark in corpus.reading)


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 2 splits"):
        opened(folder, splits=())
    with pytest.raises(UsageError, match="cannot be streamed"):
        opened(folder, streaming=True)
    put(tmp_path / "odd/train.h5", b"x")
    with pytest.raises(DataError):
        opened(tmp_path / "odd")
    put(tmp_path / "code/code.py", "raise SystemExit('it ran')")
    put(tmp_path / "code/train.csv", "a,b\n1\n1,2,3\n")
    with pytest.raises(DataError, match="the library datasets cannot read"):
        opened(tmp_path / "code")
    assert not [p for p in (cache_root() / "datasets/prepared").iterdir() if "tmp" in p.name]
