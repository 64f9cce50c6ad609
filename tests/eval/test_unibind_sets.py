"""What is particular to each of UniBind's sets; what they share is in test_benchmark_sets."""

import json
from collections import Counter
from pathlib import Path

import pytest
import unibind_sets as sets
from media_files import image_bytes, put
from reading_sets import classed, ids, read, split

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.eval import caltech
from reactions.eval.registry import Folders, evaluation_set, find_set
from reactions.eval.task_data import RetrievalData

# --- pictures ---


def test_places_are_called_as_one_would_say(tmp_path: Path) -> None:
    sets.places365(tmp_path / "places365")
    data = read("places365", tmp_path)
    assert data.classes == ("airfield", "hockey arena", "bowling alley")
    assert classed(data)["Places365_val_00000001"] == "bowling alley"
    trained = split("places365", "train", tmp_path)
    # Two pictures of one name, in folders of their own.
    assert classed(trained) == {
        "a/airfield/00000001": "airfield",
        "a/arena/hockey/00000001": "hockey arena",
    }
    assert trained.expected == 2


def test_places_may_be_listed_in_the_file_lists_folder(tmp_path: Path) -> None:
    root = sets.places365(tmp_path / "places365_standard")
    lists = root / "filelist_places365-standard"
    for name in ("places365_val.txt", "categories_places365.txt"):
        put(lists / name, (root / name).read_text())
        (root / name).unlink()
    (root / "val_256").rename(root / "val_large")
    assert len(read("places365", tmp_path).labels) == 3


def test_caltech_101_leaves_out_the_doubled_faces(tmp_path: Path) -> None:
    sets.caltech101(tmp_path / "caltech101", n=30)
    data, trained = read("caltech101", tmp_path), split("caltech101", "train", tmp_path)
    assert data.classes == ("background", "face", "accordion", "airplane", "sea_horse")
    assert trained.classes == data.classes
    assert not set(ids(data.queries)) & set(ids(trained.queries))
    assert len(data.labels) + len(trained.labels) == 5 * 30
    assert 10 < len(data.labels) < 50  # about a fifth, by the hash of each name
    assert not any("/Faces/" in id for id in ids(data.queries))
    assert data.expected == len(data.labels)
    assert "no division is published" in data.remarks[0]
    assert "5 classes are there; the published lists have 101" in data.remarks[1]


def test_what_else_is_there_does_not_change_sides(tmp_path: Path) -> None:
    sets.caltech101(tmp_path / "caltech101", n=30)
    before = set(ids(read("caltech101", tmp_path).queries))
    (tmp_path / "caltech101/101_ObjectCategories/accordion/image_0001.jpg").unlink()
    assert before - set(ids(read("caltech101", tmp_path).queries)) <= {
        "caltech101/accordion/image_0001"
    }


def test_a_recording_is_on_its_picture_s_side(tmp_path: Path) -> None:
    sets.ncaltech101_images(tmp_path / "both")
    recordings = find_set("ncaltech101", Folders(tasks={"ncaltech101": tmp_path / "both"})).read()
    pictures = find_set("caltech101", Folders(tasks={"caltech101": tmp_path / "both"})).read()
    assert set(classed(recordings)) == set(classed(pictures))
    assert recordings.classes == pictures.classes


def test_lists_divide_both_sets(tmp_path: Path) -> None:
    root = sets.eventbind_lists(sets.ncaltech101_images(tmp_path / "ncaltech101"))
    put(root / "101_ObjectCategories/accordion/image_0003.jpg", b"")
    pictures = find_set("caltech101", Folders(tasks={"caltech101": root})).read()
    recordings = read("ncaltech101", tmp_path)
    listed = {f"{c}/image_{i:04d}" for c in ("accordion", "airplanes") for i in (3, 4, 5)}
    assert set(classed(recordings)) == listed
    assert set(classed(pictures)) == listed - {"accordion/image_0003"}
    assert pictures.expected == recordings.expected == 6
    remark = "divided by EventBind's list ncaltech101/Caltech101_val.txt"
    assert pictures.remarks[0] == recordings.remarks[0] == remark
    trained = split("ncaltech101", "train", tmp_path)
    assert set(classed(trained)) == {
        f"{c}/image_{i:04d}" for c in ("accordion", "airplanes") for i in (1, 2)
    }
    # The classes are those of the folders: an index means the same in every part.
    assert trained.classes == recordings.classes


def test_doubled_faces_of_a_list_are_left_out(tmp_path: Path) -> None:
    root = sets.caltech101(tmp_path / "caltech101")
    rows = [f"N/{c}/image_0001.bin\tC/{c}/image_0001.jpg" for c in ("Faces", "Faces_easy")]
    put(root / "Caltech101_val.txt", sets.lines(*rows))
    data = read("caltech101", tmp_path)
    assert (classed(data), data.expected) == ({"Faces_easy/image_0001": "face"}, 1)


@pytest.mark.parametrize("line", ["accordion/image_0001.bin", "a\tb", "x/image_1.bin\tnothing"])
def test_a_list_without_pairs_is_damaged(tmp_path: Path, line: str) -> None:
    root = sets.ncaltech101_images(tmp_path / "ncaltech101")
    put(root / "Caltech101_val.txt", line + "\n")
    with pytest.raises(DataError) as caught:
        read("ncaltech101", tmp_path)
    assert "no recording and picture in the line" in caught.value.why


def test_imagenet_has_a_part_for_training(tmp_path: Path) -> None:
    import published_sets

    root = published_sets.imagenet(tmp_path / "imagenet")
    put(root / "train/n02012849/n02012849_10.JPEG", image_bytes(9, "JPEG"))
    trained = split("imagenet", "train", tmp_path)
    assert classed(trained) == {"n02012849_10": "crane"}
    assert trained.classes == read("imagenet", tmp_path).classes


# --- points ---


def test_shapes_of_lists_and_of_folders(tmp_path: Path) -> None:
    sets.modelnet40(tmp_path / "a/modelnet40_normal_resampled")
    sets.modelnet40_meshes(tmp_path / "b/ModelNet40")
    for place in ("a", "b"):
        data = read("modelnet40", tmp_path / place)
        assert data.classes == sets.SHAPES
        assert classed(data) == {f"{name}_0002": name for name in sets.SHAPES}
        trained = split("modelnet40", "train", tmp_path / place)
        assert classed(trained) == {f"{name}_0001": name for name in sets.SHAPES}


def test_a_shape_of_no_kind_is_refused(tmp_path: Path) -> None:
    root = sets.modelnet40(tmp_path / "modelnet40")
    put(root / "modelnet40_test.txt", "airplane_0002\nzeppelin_0001\n")
    with pytest.raises(DataError) as caught:
        read("modelnet40", tmp_path)
    assert "'zeppelin_0001' is of none of the shapes" in caught.value.why


def test_shapenet_knows_shapes_by_synset(tmp_path: Path) -> None:
    sets.shapenet(tmp_path / "shapenet")
    assert classed(read("shapenet", tmp_path)) == {
        "02691156/aa1": "Airplane",
        "02773838/bb2": "Bag",
    }
    assert classed(split("shapenet", "train", tmp_path)) == {"02691156/aa3": "Airplane"}


# --- sounds ---


def test_city_sounds_have_folds(tmp_path: Path) -> None:
    sets.urbansound8k(tmp_path / "UrbanSound8K")
    data = read("urbansound8k", tmp_path)
    # In the order of their published numbers.
    assert data.classes == ("car_horn", "children_playing", "dog_bark")
    assert data.folds.tolist() == [4, 4, 9, 0]
    rest = split("urbansound8k", "fold5", tmp_path)
    assert classed(rest) == {"100648-1-0-0": "car_horn", "101415-3-0-2": "dog_bark"}
    assert rest.classes == data.classes
    with pytest.raises(UsageError, match="no split 'fold11'") as caught:
        split("urbansound8k", "fold11", tmp_path)
    assert "did you mean 'fold1'" in caught.value.fix


def test_a_training_part_may_be_empty(tmp_path: Path) -> None:
    root = sets.urbansound8k(tmp_path / "urbansound8k")
    for path in [*root.glob("audio/fold10/*"), *root.glob("audio/fold1/*")]:
        path.unlink()
    with pytest.raises(DataError, match="no items outside fold 5"):
        split("urbansound8k", "fold5", tmp_path)


@pytest.mark.parametrize(("row", "why"), [("a.wav,x", "not a number"), ("a.wav,11", "a fold 11")])
def test_odd_folds_are_damage(tmp_path: Path, row: str, why: str) -> None:
    root = sets.urbansound8k(tmp_path / "urbansound8k")
    put(root / "metadata/UrbanSound8K.csv", f"slice_file_name,fold,classID,class\n{row},1,a\n")
    with pytest.raises(DataError) as caught:
        read("urbansound8k", tmp_path)
    assert why in caught.value.why


def test_esc50_leaves_out_a_fold(tmp_path: Path) -> None:
    import published_sets

    published_sets.esc50(tmp_path / "esc50")
    rest = split("esc50", "fold1", tmp_path)
    assert ids(rest.queries) == ["esc50/2-100210-A-36", "esc50/5-9032-A-0"]
    assert rest.folds.tolist() == [1, 4]


# --- videos ---


def test_videos_of_twenty_categories(tmp_path: Path) -> None:
    sets.msrvtt(tmp_path / "MSRVTT")
    data = read("msrvtt", tmp_path)
    assert classed(data) == {"video7010": "news/events/politics", "video7011": "music"}
    assert classed(split("msrvtt", "train", tmp_path)) == {"video0": "sports/actions"}
    assert set(classed(split("msrvtt", "trainval", tmp_path))) == {"video0", "video6513"}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ([], "no list of videos"),
        ({"videos": [{"category": 1}]}, "has no video_id"),
        ({"videos": [{"video_id": "v", "category": 9, "split": "test"}]}, "none of the categories"),
        ({"videos": [{"video_id": "v", "category": True}]}, "none of the categories"),
    ],
)
def test_odd_lists_of_videos(tmp_path: Path, record: object, why: str) -> None:
    root = sets.msrvtt(tmp_path / "msrvtt")
    put(root / "test_videodatainfo.json", json.dumps(record))
    with pytest.raises(DataError) as caught:
        read("msrvtt", tmp_path)
    assert why in caught.value.why


def test_actions_are_called_in_words(tmp_path: Path) -> None:
    sets.ucf101(tmp_path / "UCF101")
    data = read("ucf101", tmp_path)
    assert data.classes == ("Apply Eye Makeup", "Handstand Pushups", "Yo Yo")
    assert len(data.labels) == 9
    # A class whose clips are written with another capital than its folder.
    assert classed(data)["v_HandStandPushups_g02_c01"] == "Handstand Pushups"
    assert Counter(data.folds.tolist()) == {0: 3, 1: 3, 2: 3}
    for n in (1, 2, 3):
        trained = split("ucf101", f"fold{n}", tmp_path)
        tested = {
            id for id, fold in zip(ids(data.queries), data.folds, strict=True) if fold == n - 1
        }
        assert not tested & set(ids(trained.queries))
        assert len(trained.labels) == 9
    first = split("ucf101", "train", tmp_path)
    assert ids(first.queries) == ids(split("ucf101", "fold1", tmp_path).queries)


def test_lists_that_are_not_there_are_told(tmp_path: Path) -> None:
    root = sets.ucf101(tmp_path / "ucf101")
    (root / "ucfTrainTestlist/testlist02.txt").unlink()
    data = read("ucf101", tmp_path)
    assert sorted(set(data.folds.tolist())) == [0, 2]
    assert data.expected == 3783 + 3696
    assert data.remarks == ("testlist02.txt not there: their clips are not scored",)


# --- events ---


def test_recordings_in_both_layouts(tmp_path: Path) -> None:
    sets.ncaltech101(tmp_path / "a/N-Caltech101")
    data, trained = (
        read("ncaltech101", tmp_path / "a"),
        split("ncaltech101", "train", tmp_path / "a"),
    )
    assert data.classes == ("background", "face", "accordion", "airplane", "sea_horse")
    assert len(data.labels) + len(trained.labels) == 5 * 12
    sets.ncaltech101_est(tmp_path / "b/N-Caltech101")
    data = read("ncaltech101", tmp_path / "b")
    assert set(classed(data)) == {
        f"{folder}/image_00{n}" for folder in ("Faces_easy", "accordion") for n in (21, 22)
    }
    assert data.classes == ("face", "accordion")
    assert "EST's folder for testing" in data.remarks[0]
    trained = split("ncaltech101", "train", tmp_path / "b")
    assert {id.rpartition("_")[2] for id in classed(trained)} == {"0001", "0002"}


def test_pairs_have_the_classes_of_both_sides(tmp_path: Path) -> None:
    sets.ncaltech101_images(tmp_path / "ncaltech101")
    data = read("ncaltech101_images", tmp_path)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ids(data.right)
    assert data.left_labels.tolist() == data.right_labels.tolist()
    assert len(set(data.left_labels.tolist())) > 1


def test_pictures_may_lie_beside_the_recordings(tmp_path: Path) -> None:
    sets.ncaltech101(tmp_path / "ncaltech101")
    with pytest.raises(MissingError, match="Caltech-101's pictures are not there"):
        read("ncaltech101_images", tmp_path)
    sets.caltech101(tmp_path / "caltech101")
    assert len(read("ncaltech101_images", tmp_path).left)


@pytest.mark.parametrize("holder", ["ncaltech101", "caltech101", ""])
def test_lists_divide_both_sets_wherever_they_lie(holder: str, tmp_path: Path) -> None:
    sets.caltech101(tmp_path / "caltech101")
    sets.ncaltech101(tmp_path / "ncaltech101")
    sets.eventbind_lists(tmp_path / holder)
    scored, pictures = read("ncaltech101", tmp_path), read("caltech101", tmp_path)
    trained = split("caltech101", "train", tmp_path)
    assert set(classed(scored)) == set(classed(pictures))
    assert not set(classed(scored)) & set(classed(trained))
    assert len(read("ncaltech101_images", tmp_path).left) == 6
    assert "divided by EventBind's list" in scored.remarks[0]
    assert "divided by EventBind's list" in trained.remarks[0]
    assert "Caltech101_train.txt" in trained.remarks[0]


def test_folders_may_be_called_as_in_the_lists(tmp_path: Path) -> None:
    root = sets.eventbind_lists(sets.ncaltech101_images(tmp_path / "ncaltech101"))
    (root / "Caltech101").rename(root / "N_Caltech101")
    (root / "101_ObjectCategories").rename(root / "Caltech-101")
    data = read("ncaltech101_images", tmp_path)
    assert len(data.left) == data.expected == 6


def test_est_s_numbers_pair_nothing(tmp_path: Path) -> None:
    sets.eventbind_lists(sets.caltech101(sets.ncaltech101_est(tmp_path / "ncaltech101")))
    assert "EST's folder for testing" in read("ncaltech101", tmp_path).remarks[0]
    with pytest.raises(MissingError, match="EST's copy is of is not known"):
        read("ncaltech101_images", tmp_path)


def test_lists_may_pair_other_names(tmp_path: Path) -> None:
    root = sets.ncaltech101_images(tmp_path / "ncaltech101")
    put(
        root / "Caltech101_val.txt",
        "a/accordion/image_0001.bin\tb/accordion/image_0002.jpg\n",
    )
    data = read("ncaltech101_images", tmp_path)
    (picture,) = data.right.items(0, 9)
    assert picture.value.name == "image_0002.jpg"


def test_recordings_of_imagenet_have_its_names(tmp_path: Path) -> None:
    root = sets.nimagenet(tmp_path / "N_Imagenet")
    data = read("nimagenet", tmp_path)
    assert data.classes == ("tench", "crane", "crane")
    assert len(data.labels) == 6
    assert len(split("nimagenet", "train", tmp_path).labels) == 3
    # Without lists, what lies in the folders.
    (root / "val_list.txt").unlink()
    assert ids(read("nimagenet", tmp_path).queries) == ids(data.queries)
    # Names of ImageNet's own folder beside it.
    (tmp_path / "imagenet").mkdir()
    (root / "LOC_synset_mapping.txt").rename(tmp_path / "imagenet/LOC_synset_mapping.txt")
    assert read("nimagenet", tmp_path).classes == data.classes


def test_a_recording_and_its_picture_have_one_id_but_for_the_set_s_name(tmp_path: Path) -> None:
    import published_sets

    sets.nimagenet(tmp_path / "nimagenet")
    published_sets.imagenet(tmp_path / "imagenet")
    assert "ILSVRC2012_val_00000001" in classed(read("nimagenet", tmp_path))
    assert "ILSVRC2012_val_00000001" in classed(read("imagenet", tmp_path))


def test_hashes_divide_as_they_always_did() -> None:
    """Golden: another division would score other items under the same name."""
    tested = [n for n in range(1, 41) if caltech.is_tested(caltech.Name("accordion", n))]
    assert tested == [6, 7, 8, 13, 16, 31]


@pytest.mark.parametrize("task", sorted(sets.ALL))
def test_every_published_part_can_be_read(task: str, tmp_path: Path) -> None:
    sets.ALL[task](tmp_path / task)
    full_set = read(task, tmp_path)
    for name in evaluation_set(task).splits:
        if task == "llvip" and name == "train_visible":  # ready crops have none
            continue
        part = split(task, name, tmp_path)
        assert part.classes == full_set.classes
        if name != "train_visible":
            assert part.queries.modality == full_set.queries.modality
        assert part.labels.max() < len(part.classes)
    with pytest.raises(UsageError, match="has no split 'trian'"):
        split(task, "trian", tmp_path)


def test_pictures_in_a_folder_of_the_same_name_are_no_recordings(tmp_path: Path) -> None:
    sets.caltech101(tmp_path / "Caltech101")
    sets.ncaltech101(tmp_path / "N-Caltech101")
    put(tmp_path / "N-Caltech101/Caltech101/accordion/image_0007.png", image_bytes())
    data = read("ncaltech101", tmp_path)
    assert {item.value.suffix for item in data.queries.items(0, 99)} == {".bin"}
