import json
from pathlib import Path

import published_sets as published
import pytest
from media_files import put
from reading_sets import ids, read

from reactions.core.errors import DataError, MissingError
from reactions.eval.task_data import (
    ClassificationData,
)


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
    label_by_id = dict(zip(ids(data.queries), data.labels.tolist(), strict=True))
    assert label_by_id == {f"imagenet/{name(n)}": i for n, i in TRUTH.items()}
    (root / "val" / f"{name(2)}.JPEG").unlink()
    data = imagenet(tmp_path)
    assert dict(zip(ids(data.queries), data.labels.tolist(), strict=True)) == {
        id: label for id, label in label_by_id.items() if not id.endswith("2")
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
        f"{w} maillot{further_names}"
        for w, further_names in zip(published.WNIDS, ("", ", tank suit", ""), strict=True)
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
