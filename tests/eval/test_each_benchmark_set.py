import json
from pathlib import Path

import numpy as np
import published_sets as published
import pytest
from media_files import image_bytes, put, sound_bytes
from reading_sets import ids, read, sides, values

from reactions.core.errors import DataError, MissingError
from reactions.eval.registry import Folders, find_set
from reactions.eval.task_data import (
    ClassificationData,
    MultilabelData,
    RetrievalData,
)
from reactions.modalities.audio import load_audio
from reactions.modalities.registry import load


def test_esc50(tmp_path: Path) -> None:
    published.esc50(tmp_path / "ESC-50-master")
    data = read("esc50", tmp_path)
    assert isinstance(data, ClassificationData)
    assert ids(data.queries) == [
        "esc50/1-100032-A-0",
        "esc50/1-100038-A-14",
        "esc50/2-100210-A-36",
        "esc50/5-9032-A-0",
    ]
    # Classes in the order of the published numbers, though some have no clip here.
    assert data.classes == ("dog", "chirping_birds", "vacuum_cleaner")
    assert data.labels.tolist() == [0, 1, 2, 0]
    assert data.folds is not None
    assert data.folds.tolist() == [0, 0, 1, 4]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,0,cat", "target 0 is 'dog' and 'cat'"),
        ("one,0,dog", "target or fold of '1-1-A-0.wav' is not a number"),
        ("1,,dog", "target or fold of '1-1-A-0.wav' is not a number"),
        ("6,0,dog", "there is a fold 6, and they are 1 to 5"),
    ],
)
def test_esc50_with_labels_that_contradict(row: str, why: str, tmp_path: Path) -> None:
    published.esc50(tmp_path / "esc50")
    path = tmp_path / "esc50/meta/esc50.csv"
    put(path, path.read_text() + f"1-1-A-0.wav,{row},x,1,A\n")
    with pytest.raises(DataError, match="cannot use") as caught:
        read("esc50", tmp_path)
    assert why in caught.value.why


@pytest.mark.parametrize(
    "name", ["{id}.wav", "Y{id}.wav", "{id}_0.000_10.000.wav", "{id}_30000.flac"]
)
def test_audioset(name: str, tmp_path: Path) -> None:
    published.audioset(tmp_path / "audioset", name)
    data = read("audioset", tmp_path)
    assert isinstance(data, MultilabelData)
    assert ids(data.queries) == [
        "audioset/--4gqARaEJE",
        "audioset/--BfvyPmVMo",
        "audioset/Yabcdefghi-",
    ]
    assert data.classes == ("Speech", "Domestic animals, pets", "Squeak", "Hammer")
    assert data.targets.astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    expected = load_audio(sound_bytes(2)).samples
    samples = load(data.queries.items(2, 3)[0]).value.samples
    np.testing.assert_array_equal(samples, expected)


def test_the_plain_name_comes_first(tmp_path: Path) -> None:
    published.audioset(tmp_path / "audioset")
    folder = tmp_path / "audioset/audio"
    put(folder / "--4gqARaEJE_90_100.wav", sound_bytes(77))
    put(folder / "Y--4gqARaEJE.wav", sound_bytes(78))
    (corpus,) = sides(read("audioset", tmp_path))
    assert values(corpus)[0] == folder / "--4gqARaEJE.wav"


def test_audioset_without_its_classes(tmp_path: Path) -> None:
    published.audioset(tmp_path / "audioset")
    labels = tmp_path / "audioset/class_labels_indices.csv"
    put(labels, labels.read_text().replace("/m/03l9g", "/m/other"))
    with pytest.raises(DataError) as caught:
        read("audioset", tmp_path)
    assert "'--BfvyPmVMo' has the class '/m/03l9g'" in caught.value.why
    labels.unlink()
    with pytest.raises(MissingError, match=r"no class_labels_indices.csv beside"):
        read("audioset", tmp_path)


@pytest.mark.parametrize("name", ["{id}.wav", "Y{id}.wav", "{id}_20.wav", "{id}_20000_30000.flac"])
def test_audiocaps(name: str, tmp_path: Path) -> None:
    published.audiocaps(tmp_path / "audiocaps", name)
    data = read("audiocaps", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ["audiocaps/7fmOlUlwoNg_20", "audiocaps/6BJ455B1aAs_0"]
    assert values(data.right) == list(published.AUDIOCAPS.values())
    assert data.owner.tolist() == [0, 0, 1, 1]


def test_audiocaps_by_its_own_ids(tmp_path: Path) -> None:
    published.audiocaps(tmp_path / "audiocaps", "{id}.wav")
    folder = tmp_path / "audiocaps/audio"
    (folder / "7fmOlUlwoNg.wav").rename(folder / "103548.wav")
    assert len(sides(read("audiocaps", tmp_path))[0]) == 2


def test_clotho_even_where_names_were_mended(tmp_path: Path) -> None:
    published.clotho(tmp_path / "clotho")
    data = read("clotho", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ["clotho/Santa Motor", "clotho/Radio Garble: take 2"]
    assert data.owner.tolist() == [0] * 5 + [1] * 5
    assert values(data.right)[5:7] == ["Radio caption 1", "Radio caption 2"]


def test_vggss_pairs_sounds_with_frames(tmp_path: Path) -> None:
    published.vggss(tmp_path / "vggss")
    data = read("vggss", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ids(data.right) == [f"vggss/{name}" for name in published.VGGSS]
    assert data.owner.tolist() == [0, 1, 2]
    assert data.right.modality == "image"


def test_vggss_under_the_names_of_vggsound(tmp_path: Path) -> None:
    published.vggss(tmp_path / "vggss")
    for folder, suffix in (("audio", "wav"), ("frames", "jpg")):
        path = tmp_path / "vggss" / folder
        (path / f"Cqb1zyyTiHw_000011.{suffix}").rename(path / f"Cqb1zyyTiHw_11000_21000.{suffix}")
    data = read("vggss", tmp_path)
    assert len(data.left) == 3  # type: ignore[union-attr]


def test_pairs_stay_pairs_when_one_side_is_damaged(tmp_path: Path) -> None:
    published.vggss(tmp_path / "vggss")
    put(tmp_path / "vggss/audio/zpWuikVorYg_000032.wav", b"")
    put(tmp_path / "vggss/frames/Cqb1zyyTiHw_000011.jpg", b"")
    data = read("vggss", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ids(data.right) == ["vggss/Cqb1zyyTiHw_000000"]
    assert data.owner.tolist() == [0]


def test_flickrnet_by_annotations_or_by_a_list(tmp_path: Path) -> None:
    published.flickrnet(tmp_path / "flickrnet")
    data = read("flickrnet", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ids(data.right)
    assert ids(data.left)[2] == "flickrnet/3303180123"
    put(tmp_path / "flickrnet/flickrnet.txt", "3303180123.mp4,1\n10000130166\n9\n")
    assert ids(sides(read("flickrnet", tmp_path))[0]) == [
        "flickrnet/3303180123",
        "flickrnet/10000130166",
    ]


def test_flickrnet_in_two_folders(tmp_path: Path) -> None:
    put(tmp_path / "flickrnet/test_list.txt", "7\n8\n")
    for id in "78":
        put(tmp_path / f"flickrnet/audio/{id}.wav", sound_bytes())
        put(tmp_path / f"flickrnet/frames/{id}.jpg", image_bytes(form="JPEG"))
    assert ids(sides(read("flickrnet", tmp_path))[1]) == ["flickrnet/7", "flickrnet/8"]


def test_coco_takes_the_test_split_with_all_captions(tmp_path: Path) -> None:
    published.coco(tmp_path / "coco")
    data = read("coco", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == [
        "coco/COCO_val2014_000000391895",
        "coco/COCO_val2014_000000483108",
    ]
    assert data.owner.tolist() == [0] * 5 + [1] * 6
    assert values(data.right)[0] == "COCO_val2014_000000391895.jpg caption 0"


def test_flickr30k(tmp_path: Path) -> None:
    published.flickr30k(tmp_path / "flickr30k")
    data = read("flickr30k", tmp_path)
    assert ids(sides(data)[0]) == ["flickr30k/1007129816", "flickr30k/1009434119"]
    assert len(sides(data)[1]) == 10


def test_karpathys_json_laid_out_otherwise(tmp_path: Path) -> None:
    published.coco(tmp_path / "coco")
    path = tmp_path / "coco/dataset_coco.json"
    for record in ([], {"images": [{"split": "test"}]}, {"images": 3}):
        put(path, json.dumps(record))
        with pytest.raises(DataError) as caught:
            read("coco", tmp_path)
        assert "not laid out as published" in caught.value.why
    put(path, json.dumps({"images": [{"split": "train"}]}))
    with pytest.raises(DataError) as caught:
        read("coco", tmp_path)
    assert "no test split" in caught.value.why


def test_captions_need_no_media(tmp_path: Path) -> None:
    for task in published.ALL:
        published.ALL[task](tmp_path / task)
    for path in list(tmp_path.rglob("*.wav")) + list(tmp_path.rglob("*.jpg")):
        path.unlink()

    def captions(task: str) -> list[tuple[str, str]]:
        return list(find_set(task, Folders(root=tmp_path)).captions())

    assert [text for _, text in captions("audiocaps")] == list(published.AUDIOCAPS.values())
    assert captions("clotho")[0] == ("clotho/Santa Motor/0", "Santa caption 1")
    assert len(captions("coco")) == 11
    assert len(captions("flickr30k")) == 10
    assert captions("esc50") == captions("vggss") == []
