"""Pairs and evaluation sets whose media lie in parquet files."""

from pathlib import Path

import numpy as np
import pytest
from lab_files import load
from media_files import image_bytes, put, sound_bytes
from parquet_media import put_media, struct
from reading_sets import ids, values

from reactions.core.errors import DataError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.data.sources import parquet_media
from reactions.eval.protocol import check
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.modalities.registry import load as decode

pytestmark = pytest.mark.usefixtures("own_folder")

PICTURES = [image_bytes(seed) for seed in range(6)]
SOUNDS = [sound_bytes(seed) for seed in range(6)]
PAIRS = '[pairs.mine]\npath = "{}"\naudio = "sound"\nimage = "photo"\n{}'


def checked_data(text: str, name: str = "set", **options):
    lab = load(text, **options)
    data = lab.benchmark(name)
    check(lab.own_tasks[name].task, data)
    return data


def put_rows(path: str, rows, **more) -> Path:
    columns = {
        "photo": [struct(PICTURES[row], f"p{row}.png") for row in rows],
        "sound": [struct(SOUNDS[row], f"s{row}.wav") for row in rows],
        "caption": [f"caption {row}" for row in rows],
        "key": [f"k{row}" for row in rows],
    }
    return put_media(Path(path), {**columns, **more})


# --- pairs ---


@pytest.mark.parametrize("more", ["", 'id = "key"\n'])
def test_pairs_of_shards(tmp_path: Path, more: str) -> None:
    put_rows("a-0.parquet", range(4))
    put_rows("a-1.parquet", range(4, 6))
    pairs = load(PAIRS.format("a-*.parquet", more)).pairs_of("audio", "image")
    sides = [pairs.corpus(modality) for modality in ("audio", "image")]
    assert sides[0].ids() == sides[1].ids()
    name = "k{}" if more else "s{}.wav"
    assert sides[0].ids() == [f"a-{int(row > 3)}/{name.format(row)}" for row in range(6)]
    for row, (sound, picture) in enumerate(zip(*(s.items(0, 6) for s in sides), strict=True)):
        assert (sound.value.read(), picture.value.read()) == (SOUNDS[row], PICTURES[row])
        assert decode(picture).value.shape == (8, 12, 3)


def test_pairs_of_which_a_half_cannot_be_used() -> None:
    photos = [struct(PICTURES[0]), None, struct(b"", "x.png"), struct(PICTURES[3])]
    put_rows("a.parquet", range(4), photo=photos)
    pairs = load(PAIRS.format("a.parquet", "max_bad = 0.5\n")).pairs_of("audio", "image")
    assert pairs.corpus("image").ids() == ["s0.wav", "s3.wav"]
    assert [bad.why for bad in pairs.skipped.first] == [
        "its image: the row has no image",
        "its image: the image has 0 bytes",
    ]
    with pytest.raises(DataError, match="2 of 4 pairs cannot be used"):
        load(PAIRS.format("a.parquet", "")).pairs_of("audio", "image")


def test_pairs_without_names_or_with_texts() -> None:
    put_rows("a.parquet", range(3), photo=[struct(data) for data in PICTURES[:3]])
    text = '[pairs.mine]\npath = "a.parquet"\nimage = "photo"\ntext = "caption"\n'
    pairs = load(text).pairs_of("image", "text")
    assert pairs.corpus("image").ids() == [f"row (line {row})" for row in (1, 2, 3)]
    assert [item.value for item in pairs.corpus("text").items(0, 3)][2] == "caption 2"


def test_videos_in_parquet_files_are_refused() -> None:
    pytest.importorskip("av")
    put_media(Path("a.parquet"), {"video": [struct(b"x")]})
    text = '[pairs.mine]\npath = "a.parquet"\nvideo = "video"\nmax_bad = 1.0\n'
    with pytest.raises(UsageError, match="lie in a parquet file"):
        load(text).pairs_of("audio", "image")


# --- evaluation sets ---

RETRIEVAL = """
[tasks.set]
kind = "retrieval"
path = "{}"
image = "photo"
text = "caption"
"""


def test_retrieval_with_several_captions_of_a_picture(tmp_path: Path) -> None:
    rows = [0, 1, 1, 2]
    put_media(
        Path("a.parquet"),
        {
            "photo": [struct(PICTURES[row], f"{row}.png") for row in rows],
            "caption": ["zero", "one", "uno", "two"],
        },
    )
    data = checked_data(RETRIEVAL.format("a.parquet"), digests=DigestCache(tmp_path / "cache"))
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ["set/0.png", "set/1.png", "set/2.png"]
    assert [item.value.read() for item in data.left.items(0, 3)] == PICTURES[:3]
    assert values(data.right) == ["zero", "one", "uno", "two"]
    assert list(data.owner) == [0, 1, 1, 2]


def test_other_pictures_of_one_name_are_other_items() -> None:
    photos = [struct(PICTURES[row], "image.png") for row in range(3)]
    put_rows("a.parquet", range(3), photo=photos)
    data = checked_data(RETRIEVAL.format("a.parquet"))
    assert len(data.left) == 3
    assert list(data.owner) == [0, 1, 2]


@pytest.mark.parametrize("first", ["good", "bad"])
@pytest.mark.parametrize("alike", [True, False])
def test_damaged_pictures_of_one_name_count_one_by_one(first: str, alike: bool) -> None:
    good = [struct(data, "image.png") for data in PICTURES]
    bad = [struct(b"damaged" if alike else b"damaged %d" % row, "image.png") for row in range(4)]
    photos = [*good, *bad] if first == "good" else [*bad, *good]
    captions = {"photo": photos, "caption": [f"caption {row}" for row in range(10)]}
    put_media(Path("a.parquet"), captions)
    with pytest.raises(DataError, match="4 of 10 image items cannot be used"):
        checked_data(RETRIEVAL.format("a.parquet"))
    data = checked_data(RETRIEVAL.format("a.parquet") + "max_bad = 0.4\n")
    assert (len(data.left), len(data.right), data.expected) == (6, 6, 10)


def test_empty_fields_of_one_name_count_one_by_one() -> None:
    photos = [struct(b"", "image.png"), struct(b"", "image.png"), struct(PICTURES[0], "image.png")]
    put_rows("a.parquet", range(3), photo=photos)
    with pytest.raises(DataError, match="2 of 3 image items cannot be used"):
        checked_data(RETRIEVAL.format("a.parquet"))
    text = '[tasks.set]\nkind = "multilabel"\npath = "a.parquet"\nimage = "photo"\n'
    with pytest.raises(DataError, match="2 of 3 image items cannot be used"):
        checked_data(text + 'class = "caption"\n')


def test_a_damaged_picture_with_several_captions_counts_once() -> None:
    photos = [struct(PICTURES[0], "0.png"), *[struct(b"damaged", "1.png")] * 3]
    put_rows("a.parquet", range(4), photo=photos)
    data = checked_data(RETRIEVAL.format("a.parquet") + "max_bad = 0.5\n")
    assert (len(data.left), data.expected) == (1, 2)


def test_retrieval_between_media_of_shards() -> None:
    put_rows("a-0.parquet", range(2))
    put_rows("a-1.parquet", range(2, 5))
    text = RETRIEVAL.replace('text = "caption"', 'audio = "sound"')
    data = checked_data(text.format("a-*.parquet"))
    assert [item.value.read() for item in data.left.items(0, 5)] == PICTURES[:5]
    assert [item.value.read() for item in data.right.items(0, 5)] == SOUNDS[:5]


def test_captions_are_read_without_a_look_at_media(monkeypatch: pytest.MonkeyPatch) -> None:
    put_rows("a.parquet", range(3))
    monkeypatch.setattr(parquet_media, "_Scan", None)
    lab = load(RETRIEVAL.format("a.parquet"))
    assert [text for _, text in lab.captions("set")] == [f"caption {row}" for row in range(3)]


def test_what_cannot_be_used_is_counted() -> None:
    put(Path("beside.png"), PICTURES[5])
    photos = [struct(PICTURES[0]), None, struct(None, "beside.png"), struct(None, "gone.png")]
    put_rows("a.parquet", range(4), photo=photos)
    data = checked_data(RETRIEVAL.format("a.parquet") + "max_bad = 0.5\n")
    assert values(data.right) == ["caption 0", "caption 2"]
    assert data.expected == 4


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_numbers_of_classes_are_their_names(kind: str) -> None:
    several = kind == "multilabel"
    label = {"_type": "ClassLabel", "names": ["cat", "dog", "bird"]}
    feature = {"feature": label, "_type": "List"} if several else label
    numbers = [[0, 1], [2], [], [1]] if several else [0, 2, -1, 1]
    put_media(
        Path("a.parquet"),
        {"image": [struct(data) for data in PICTURES[:4]], "label": numbers},
        {"image": {"_type": "Image"}, "label": feature},
    )
    text = f'[tasks.set]\nkind = "{kind}"\npath = "a.parquet"\nimage = "image"\n'
    data = checked_data(text + 'class = "label"\nmax_bad = 0.5\n')
    assert data.classes == ("bird", "cat", "dog")
    if several:
        assert isinstance(data, MultilabelData)
        np.testing.assert_array_equal(data.targets, [[0, 1, 1], [1, 0, 0], [0, 0, 1]])
    else:
        assert isinstance(data, ClassificationData)
        assert list(data.labels) == [1, 0, 2]
    assert len(data.queries) == 3


def test_a_pattern_names_parquet_files() -> None:
    put(Path("a-0.csv"), "photo,caption\n")
    with pytest.raises(DataError, match=r"names 'a-0\.csv'"):
        checked_data(RETRIEVAL.format("a-*.csv"))
