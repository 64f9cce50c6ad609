import json
import shutil
from pathlib import Path

import numpy as np
import published_sets as published
import pytest
from media_files import image_bytes, put, sound_bytes

from reactions.data import media
from reactions.data.benchmark import (
    BenchmarkData,
    ClassificationData,
    MultilabelData,
    RetrievalData,
)
from reactions.data.benchmarks import (
    LAYOUTS,
    Folders,
    captions_of,
    find_set,
    layout_of,
    read_set,
)
from reactions.data.tables import TableCache
from reactions.errors import DataError, MissingError
from reactions.eval.protocol import check
from reactions.eval.tasks import TASKS
from reactions.kinds import Corpus


def read(task: str, root: Path) -> BenchmarkData:
    data = read_set(find_set(task, Folders(root=root)))
    check(TASKS[task], data)
    return data


def ids(corpus: Corpus) -> list[str]:
    return [item.id for item in corpus.items(0, len(corpus))]


def values(corpus: Corpus) -> list[object]:
    return [item.value for item in corpus.items(0, len(corpus))]


def sides(data: BenchmarkData) -> list[Corpus]:
    return [data.left, data.right] if isinstance(data, RetrievalData) else [data.queries]


# --- all of them ---


def test_every_task_has_a_layout_with_its_count() -> None:
    assert set(LAYOUTS) == set(TASKS)
    for name, task in TASKS.items():
        layout = layout_of(name)
        assert (layout.task, layout.title, layout.expected) == (name, task.title, task.expected)
        assert layout.origin
        assert layout.tree
    with pytest.raises(MissingError, match="no published layout"):
        layout_of("esc10")


@pytest.mark.parametrize("task", LAYOUTS)
def test_a_published_layout_is_read(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    data = read(task, tmp_path)
    assert data.expected == TASKS[task].expected
    for corpus in sides(data):
        for item in corpus.items(0, len(corpus)):
            assert item.id.startswith(f"{task}/")
            media.load(item)


@pytest.mark.parametrize("task", LAYOUTS)
def test_it_is_found_under_any_of_its_names(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / "own")
    assert find_set(task, Folders(tasks={task: tmp_path / "own"})).folder == tmp_path / "own"
    assert find_set(task, Folders(chosen=tmp_path / "own")).folder == tmp_path / "own"
    name = layout_of(task).folders[-1]
    shutil.move(tmp_path / "own", tmp_path / "root" / name.upper())
    assert find_set(task, Folders(root=tmp_path / "root")).labels.exists()


@pytest.mark.parametrize("task", LAYOUTS)
def test_a_set_that_is_not_there_says_what_from_where_and_how(task: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=f"no data for task '{task}'") as caught:
        read(task, tmp_path)
    layout = layout_of(task)
    assert layout.labels[0] in caught.value.why
    assert str(tmp_path) in caught.value.why
    assert layout.origin in caught.value.fix
    assert layout.tree in caught.value.fix
    assert json.dumps(caught.value.to_json())


@pytest.mark.parametrize("task", LAYOUTS)
def test_labels_without_media_say_so(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    for path in (tmp_path / task).rglob("*"):
        if path.suffix.lower() in (".wav", ".jpg", ".jpeg"):
            path.unlink()
    with pytest.raises(MissingError, match=r"no (audio|image|images)") as caught:
        read(task, tmp_path)
    assert layout_of(task).tree in caught.value.fix


@pytest.mark.parametrize("task", LAYOUTS)
def test_part_of_a_set_is_counted(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    whole = len(sides(read(task, tmp_path))[0])
    victim = sides(read(task, tmp_path))[0].items(0, 1)[0]
    victim.value.unlink()
    data = read(task, tmp_path)
    assert len(sides(data)[0]) == whole - 1
    assert data.expected == TASKS[task].expected
    assert victim.id not in ids(sides(data)[0])


@pytest.mark.parametrize("task", LAYOUTS)
def test_what_cannot_be_decoded_counts_as_not_found(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    before = read(task, tmp_path)
    last = sides(before)[-1] if task in ("vggss", "flickrnet") else sides(before)[0]
    victim = last.items(0, 1)[0]
    put(victim.value, b"")
    data = read(task, tmp_path)
    assert len(sides(data)[0]) == len(sides(before)[0]) - 1
    assert victim.id not in ids(sides(data)[0])
    for path in (tmp_path / task).rglob("*.[wjJ]*"):
        if path.suffix.lower() in (".wav", ".jpg", ".jpeg"):
            put(path, b"")
    with pytest.raises(DataError):
        read(task, tmp_path)


@pytest.mark.parametrize("task", LAYOUTS)
@pytest.mark.parametrize("junk", [b"", b"\xff\xfe\x00", b"[1, 2", b"a,b\n1\n"])
def test_damaged_labels_are_named(task: str, junk: bytes, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    labels = find_set(task, Folders(root=tmp_path)).labels
    if labels.is_dir():  # folders are the labels
        labels = {
            "imagenet": tmp_path / task / "LOC_synset_mapping.txt",
            "flickrnet": tmp_path / task / "flickrnet.txt",
        }[task]
    put(labels, junk)
    # An odd list of ids is still a list: none of its ids has files.
    with pytest.raises((DataError, MissingError)) as caught:
        read(task, tmp_path)
    if isinstance(caught.value, DataError):
        assert str(labels) in caught.value.what


def test_what_is_asked_for_comes_first(tmp_path: Path) -> None:
    for name in ("chosen", "own", "root/esc50"):
        published.esc50(tmp_path / name)
    folders = Folders(tmp_path / "chosen", tmp_path / "root", {"esc50": tmp_path / "own"})
    assert find_set("esc50", folders).folder == tmp_path / "chosen"
    shutil.rmtree(tmp_path / "chosen")
    assert find_set("esc50", folders).folder == tmp_path / "own"
    shutil.rmtree(tmp_path / "own")
    assert find_set("esc50", folders).folder == tmp_path / "root/esc50"


def test_scans_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reactions.data.sources import files

    published.vggss(tmp_path / "vggss")
    put(tmp_path / "vggss/frames/zpWuikVorYg_000032.jpg", b"")
    seen: list[str] = []
    real = files._look

    def look(entry, **options):
        seen.append(entry.name)
        return real(entry, **options)

    monkeypatch.setattr(files, "_look", look)
    for _ in range(2):
        opening = find_set("vggss", Folders(root=tmp_path), tables=TableCache(tmp_path / "c"))
        data = read_set(opening)
        assert sides(data)[0].digest
    assert len(seen) == 6


# --- one by one ---


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
    "line", ["1-1-A-0.wav,1,0,cat,x,1,A", "1-1-A-0.wav,one,0,dog,x,1,A", "1-1-A-0.wav,1,,dog,x,1,A"]
)
def test_esc50_with_labels_that_contradict(line: str, tmp_path: Path) -> None:
    published.esc50(tmp_path / "esc50")
    path = tmp_path / "esc50/meta/esc50.csv"
    put(path, path.read_text() + line + "\n")
    with pytest.raises(DataError, match="cannot use"):
        read("esc50", tmp_path)


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
    expected = media.load_audio(sound_bytes(2)).samples
    found = media.load(data.queries.items(2, 3)[0]).value.samples
    np.testing.assert_array_equal(found, expected)


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
    for task in LAYOUTS:
        published.ALL[task](tmp_path / task)
    for path in list(tmp_path.rglob("*.wav")) + list(tmp_path.rglob("*.jpg")):
        path.unlink()

    def captions(task: str) -> list[tuple[str, str]]:
        return list(captions_of(find_set(task, Folders(root=tmp_path))))

    assert [text for _, text in captions("audiocaps")] == list(published.AUDIOCAPS.values())
    assert captions("clotho")[0] == ("clotho/Santa Motor/0", "Santa caption 1")
    assert len(captions("coco")) == 11
    assert len(captions("flickr30k")) == 10
    assert captions("esc50") == captions("vggss") == []


# --- ImageNet ---


def imagenet(root: Path) -> ClassificationData:
    data = read("imagenet", root)
    assert isinstance(data, ClassificationData)
    return data


def flatten(root: Path) -> None:
    for path in list((root / "val").rglob("*.JPEG")):
        path.rename(root / "val" / path.name)
    for path in list((root / "val").iterdir()):
        if path.is_dir():
            path.rmdir()


TRUTH = {1: 0, 2: 1, 3: 2, 4: 0}
"""Image number to row of WNIDS."""


def test_imagenet_in_folders(tmp_path: Path) -> None:
    published.imagenet(tmp_path / "imagenet")
    data = imagenet(tmp_path)
    assert data.classes == ("tench", "crane", "crane")
    assert data.labels.tolist() == [0, 0, 1, 2]
    assert ids(data.queries)[:2] == [
        "imagenet/ILSVRC2012_val_00000001",
        "imagenet/ILSVRC2012_val_00000004",
    ]


@pytest.mark.parametrize("form", ["kaggle", "numbers", "wnids", "devkit"])
def test_imagenet_flat_with_its_truth(form: str, tmp_path: Path) -> None:
    root = published.imagenet(tmp_path / "imagenet")
    flatten(root)
    wnids, name = published.WNIDS, "ILSVRC2012_val_{:08d}".format
    if form == "kaggle":
        rows = [f"{name(n)},{wnids[i]} 1 2 3 4 {wnids[i]} 5 6 7 8" for n, i in TRUTH.items()]
        put(root / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *rows]))
    elif form == "numbers":
        put(root / "val.txt", "\n".join(f"{name(n)}.JPEG {i}" for n, i in TRUTH.items()))
    elif form == "wnids":
        put(root / "val.txt", "\n".join(f"{name(n)}.JPEG,{wnids[i]}" for n, i in TRUTH.items()))
    else:
        # The devkit has an order of its own.
        put(root / "ILSVRC2012_validation_ground_truth.txt", "2\n3\n1\n2\n")
        lines = [f"{wnids[2]} 1 crane", f"{wnids[0]} 2 tench", f"{wnids[1]} 3 crane_bird"]
        put(root / "map_clsloc.txt", "\n".join(lines))
    data = imagenet(tmp_path)
    found = dict(zip(ids(data.queries), data.labels.tolist(), strict=True))
    assert found == {f"imagenet/{name(n)}": i for n, i in TRUTH.items()}
    (root / "val" / f"{name(2)}.JPEG").unlink()
    data = imagenet(tmp_path)
    assert dict(zip(ids(data.queries), data.labels.tolist(), strict=True)) == {
        id: label for id, label in found.items() if not id.endswith("2")
    }


def test_imagenet_flat_without_its_truth(tmp_path: Path) -> None:
    root = published.imagenet(tmp_path / "imagenet")
    flatten(root)
    with pytest.raises(MissingError, match="lie in no folders of classes"):
        imagenet(tmp_path)
    put(root / "ILSVRC2012_validation_ground_truth.txt", "2\n3\n1\n2\n")
    with pytest.raises(MissingError, match=r"map_clsloc.txt, which says how"):
        imagenet(tmp_path)
    put(root / "val.txt", "ILSVRC2012_val_00000001.JPEG fish\n")
    with pytest.raises(DataError) as caught:
        imagenet(tmp_path)
    assert "no class in the line" in caught.value.why


@pytest.mark.parametrize("form", ["index", "classnames", "clsloc", "words"])
def test_names_of_imagenets_classes(form: str, tmp_path: Path) -> None:
    root = published.imagenet(tmp_path / "imagenet")
    (root / "LOC_synset_mapping.txt").unlink()
    wnids = published.WNIDS
    names = ("tench", "crane bird", "crane")
    if form == "index":
        record = {str(i): [wnids[i], name.replace(" ", "_")] for i, name in enumerate(names)}
        put(root / "imagenet_class_index.json", json.dumps(record))
    elif form == "classnames":
        put(
            root / "classnames.txt",
            "\n".join(f"{w}\t{n}" for w, n in zip(wnids, names, strict=True)),
        )
    elif form == "clsloc":
        lines = [
            f"{w} {9 - i} {n.replace(' ', '_')}"
            for i, (w, n) in enumerate(zip(wnids, names, strict=True))
        ]
        put(root / "map_clsloc.txt", "\n".join(lines))
    else:
        lines = [f"{w}\t{n}, other" for w, n in zip(wnids, names, strict=True)]
        put(root / "words.txt", "\n".join(["n00001740\tentity", *lines]))
    assert imagenet(tmp_path).classes == names


def test_classes_that_share_their_first_name_keep_the_others(tmp_path: Path) -> None:
    root = published.imagenet(tmp_path / "imagenet")
    lines = [
        f"{w} maillot{more}"
        for w, more in zip(published.WNIDS, ("", ", tank suit", ""), strict=True)
    ]
    put(root / "LOC_synset_mapping.txt", "\n".join(lines))
    assert imagenet(tmp_path).classes == ("maillot", "maillot, tank suit", "maillot")


def test_imagenet_without_names_or_with_too_few(tmp_path: Path) -> None:
    root = published.imagenet(tmp_path / "imagenet")
    put(root / "LOC_synset_mapping.txt", "n01440764 tench\n")
    with pytest.raises(DataError) as caught:
        imagenet(tmp_path)
    assert "the class n02012849 has no name" in caught.value.why
    (root / "LOC_synset_mapping.txt").unlink()
    with pytest.raises(MissingError, match="no names of its classes"):
        imagenet(tmp_path)
