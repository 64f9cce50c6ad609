"""Sets of crops: people and backgrounds out of annotated thermal pictures."""

import io
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import unibind_sets as sets
from media_files import image_bytes, put
from PIL import Image
from reading_sets import classed, ids, labels_of, read, split

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.types import Item
from reactions.data.scan_cache import TableCache
from reactions.eval import crops
from reactions.eval.registry import Folders, find_set
from reactions.modalities.images.crops import Crop, Rectangle


def pixels(item: Item) -> np.ndarray:
    with Image.open(io.BytesIO(item.value.read())) as image:
        return np.asarray(image)


def test_people_are_cut_out_beside_as_many_backgrounds(tmp_path: Path) -> None:
    root = sets.llvip(tmp_path / "LLVIP")
    data = read("llvip", tmp_path)
    assert data.classes == ("person", "background")
    assert Counter(labels_of(data)) == {"person": 3, "background": 3}
    assert data.expected == 15_809
    assert "3 people and 3 backgrounds are cut out" in data.remarks[-1]
    crops_of = dict(zip(ids(data.queries), data.queries.items(0, 9), strict=True))
    for id, item in crops_of.items():
        assert isinstance(item.value, Crop)
        name, _, subject = id.removeprefix("llvip/").partition("/")
        with Image.open(root / f"infrared/test/{name}.jpg") as image:
            picture = np.asarray(image)
        box = item.value.box
        assert (pixels(item) == picture[box.top : box.bottom, box.left : box.right]).all()
        if subject.startswith("background"):
            like = crops_of[id.replace("background", "person")].value.box
            assert (box.width, box.height) == (like.width, like.height)
            people = [i.value.box for k, i in crops_of.items() if f"{name}/person" in k]
            assert not any(box.meets(other) for other in people)
    # One that reaches beyond its picture is cut where that ends.
    assert crops_of["llvip/190002/person-0"].value.box == Rectangle(50, 20, 64, 44)
    assert not list(tmp_path.rglob("*.png"))


def test_crops_are_the_same_wherever_the_pictures_lie(tmp_path: Path) -> None:
    corpora = []
    for place in ("a", "b"):
        sets.llvip(tmp_path / place / "LLVIP")
        corpora.append(read("llvip", tmp_path / place).queries)
    assert corpora[0].digest == corpora[1].digest
    assert list(corpora[0].tags()) == list(corpora[1].tags())
    put(tmp_path / "b/LLVIP/Annotations/190001.xml", sets.voc([(2, 3, 12, 22), (30, 5, 40, 30)]))
    assert read("llvip", tmp_path / "b").queries.digest != corpora[0].digest


def test_crops_travel_to_other_processes(tmp_path: Path) -> None:
    sets.llvip(tmp_path / "LLVIP")
    tables = TableCache(tmp_path / "scans")
    queries = find_set("llvip", Folders(root=tmp_path), tables=tables).read().queries
    copy = pickle.loads(pickle.dumps(queries))
    assert copy.digest == queries.digest
    assert [pixels(i).tolist() for i in copy.items(0, 9)] == [
        pixels(i).tolist() for i in queries.items(0, 9)
    ]


def test_crops_keep_the_bits_of_their_picture(tmp_path: Path) -> None:
    deep = (np.arange(48 * 64).reshape(48, 64) * 20).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(deep).save(stream, "PNG")
    put(tmp_path / "deep.png", stream.getvalue())
    crop = Crop(str(tmp_path / "deep.png"), box=Rectangle(3, 4, 20, 30))
    with Image.open(io.BytesIO(crop.read())) as image:
        assert (np.asarray(image) == deep[4:30, 3:20]).all()
    beyond = Crop(str(tmp_path / "deep.png"), box=Rectangle(50, 4, 80, 30))
    with pytest.raises(MediaError, match="cannot cut a rectangle") as caught:
        beyond.read()
    assert "64 x 48 pixels" in caught.value.why


def test_crops_of_what_cannot_be_decoded_are_counted(tmp_path: Path) -> None:
    root = sets.llvip(tmp_path / "LLVIP")
    put(root / "infrared/test/190001.jpg", b"")
    data = read("llvip", tmp_path)
    assert {id.split("/")[1] for id in ids(data.queries)} == {"190002"}
    assert data.queries.skipped.n_bad == 2
    assert "2 of" in data.queries.notices[0]


def test_a_picture_without_annotations_is_missed(tmp_path: Path) -> None:
    root = sets.llvip(tmp_path / "LLVIP")
    (root / "Annotations/190003.xml").unlink()
    with pytest.raises(MissingError, match=r"190003\.jpg has no annotations"):
        read("llvip", tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<annotation>", "no element found"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares a document type"),
        ("<a><object><name>person</name></object></a>", "no x, y, w, h"),
        (sets.voc([(5, 5, 5, 9)]), "is not a rectangle"),
        (sets.voc([("nan", 5, 9, 9)]), "is not a rectangle"),
        (sets.voc([(0, 0, 10**9, 9)]), "is not a rectangle"),
        (sets.voc([(1, 1, 9, 9)] * 1001), "marks 1001 objects"),
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, text: str, why: str) -> None:
    root = sets.llvip(tmp_path / "LLVIP")
    put(root / "Annotations/190001.xml", text)
    with pytest.raises(DataError, match=r"190001\.xml") as caught:
        read("llvip", tmp_path)
    assert why in caught.value.why


def test_ready_crops_are_taken_as_they_lie(tmp_path: Path) -> None:
    sets.llvip_ready(tmp_path / "llvip")
    data = read("llvip", tmp_path)
    assert Counter(labels_of(data)) == {"person": 2, "background": 2}
    assert "cut out by others" in data.remarks[0]
    assert Counter(labels_of(split("llvip", "train", tmp_path))) == {"person": 2, "background": 2}


def test_training_pictures_are_others(tmp_path: Path) -> None:
    sets.llvip(tmp_path / "LLVIP")
    trained = split("llvip", "train", tmp_path)
    assert {id.split("/")[1] for id in ids(trained.queries)} == {"010001"}


def test_rectangles_end_where_the_picture_does() -> None:
    assert Rectangle(-5, -6, 70, 60).within(64, 48) == Rectangle(0, 0, 64, 48)
    assert Rectangle(10, 40, 20, 60).within(64, 48) == Rectangle(10, 40, 20, 48)
    outside = Rectangle(70, 50, 80, 60).within(64, 48)
    assert outside.width == outside.height == 0


@pytest.mark.parametrize(("task", "write"), [("llvip", sets.llvip), ("rgbt", sets.rgbt)])
def test_visible_pictures_are_cut_at_the_same_places(task: str, write, tmp_path: Path) -> None:
    root = write(tmp_path / task)
    put(root / "visible/train/010001.jpg", image_bytes(5, "JPEG", (64, 48)))
    warm, visible = split(task, "train", tmp_path), split(task, "train_visible", tmp_path)
    assert (warm.queries.modality, visible.queries.modality) == ("thermal", "image")
    assert ids(warm.queries) == ids(visible.queries)
    assert len(ids(visible.queries)) == 2
    for warm_item, other in zip(warm.queries.items(0, 9), visible.queries.items(0, 9), strict=True):
        assert warm_item.value.box == other.value.box
        assert warm_item.value.url != other.value.url
        assert pixels(other).ndim == 3


def test_ready_crops_have_no_visible_pictures(tmp_path: Path) -> None:
    sets.llvip_ready(tmp_path / "llvip")
    with pytest.raises(MissingError, match="ready crops have no visible pictures"):
        split("llvip", "train_visible", tmp_path)


def test_backgrounds_need_room() -> None:
    everywhere = [Rectangle(0, 0, 64, 48)]
    assert crops.background("a", Rectangle(0, 0, 9, 9), (64, 48), everywhere) is None
    box = crops.background("a", Rectangle(0, 0, 64, 48), (64, 48), [])
    assert box == Rectangle(0, 0, 64, 48)
    places = {crops.background(str(i), Rectangle(0, 0, 9, 9), (64, 48), []) for i in range(50)}
    assert len(places) > 40
    assert all(b.left >= 0 and b.right <= 64 and b.top >= 0 and b.bottom <= 48 for b in places)


def test_kaist_s_people_are_selected_by_a_stated_rule(tmp_path: Path) -> None:
    sets.rgbt(tmp_path / "kaist")
    data = read("rgbt", tmp_path)
    selected = sorted(classed(data))
    assert selected == [
        "set06/V000/I00019/background-0",
        "set06/V000/I00019/person-0",
        "set11/V001/I00039/background-0",
        "set11/V001/I00039/person-0",
    ]
    assert data.expected == 10_000
    assert "selection is not published" in data.remarks[0]
    items = {item.id: item.value.box for item in data.queries.items(0, 9)}
    other = items["rgbt/set06/V000/I00019/background-0"]
    marked = [
        Rectangle(5, 5, 25, 60),
        Rectangle(40, 5, 60, 60),
        Rectangle(70, 5, 80, 25),
        Rectangle(90, 5, 120, 65),
    ]
    assert not any(other.meets(box) for box in marked)
    trained = split("rgbt", "train", tmp_path)
    assert {id.split("/")[1] for id in ids(trained.queries)} == {"set00"}


def test_kaist_s_annotations_may_be_xml(tmp_path: Path) -> None:
    root = sets.rgbt(tmp_path / "kaist")
    for path in sorted(root.glob("annotations/*/*/*.txt")):
        marks = [line.split() for line in path.read_text().splitlines()[1:]]
        objects = "".join(
            f"<object><name>{m[0]}</name><bndbox><x>{m[1]}</x><y>{m[2]}</y><w>{m[3]}</w>"
            f"<h>{m[4]}</h></bndbox><occlusion>{m[5]}</occlusion></object>"
            for m in marks
        )
        place = root / "annotations-xml-new" / path.relative_to(root / "annotations")
        put(place.with_suffix(".xml"), f"<annotation>{objects}</annotation>")
    before = read("rgbt", tmp_path)
    (root / "annotations").rename(root / "old")
    (root / "old").rename(tmp_path / "old")
    after = read("rgbt", tmp_path)
    assert "people are those of annotations-xml-new" in after.remarks
    assert after.queries.digest == before.queries.digest


def test_no_more_are_selected_than_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reactions.eval.tasks import rgbt

    monkeypatch.setattr(rgbt, "N_PEOPLE", 2)
    monkeypatch.setattr(rgbt, "N_BACKGROUNDS", 1)
    root = sets.rgbt(tmp_path / "kaist")
    marks = [f"person {30 * i} 5 20 60 0 0 0 0 0 0 0" for i in range(5)]
    put(root / "annotations/set06/V000/I00019.txt", sets.kaist(*marks))
    data = read("rgbt", tmp_path)
    assert Counter(labels_of(data)) == {"person": 2, "background": 1}


def test_scans_of_pictures_are_remembered(tmp_path: Path) -> None:
    sets.llvip(tmp_path / "LLVIP")
    tables = TableCache(tmp_path / "scans")
    folders = Folders(root=tmp_path)
    first = find_set("llvip", folders, tables=tables).read()
    names_reported: list[str] = []

    def on_progress(name: str, done: int, total: int) -> None:
        names_reported.append(name)

    rescanned = find_set("llvip", folders, tables=tables, on_progress=on_progress).read()
    assert not names_reported
    assert rescanned.queries.digest == first.queries.digest
