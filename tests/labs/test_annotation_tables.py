"""Annotation files of published sets as evaluation sets: what is recognised, read and left out."""

import json
import tomllib

import annotation_files
import pytest
from media_files import image_bytes, put, sound_bytes

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.labs.lab_file import load_lab
from reactions.labs.table_tasks import table_task


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abc"):
        put(tmp_path / "val2014" / f"{name}.png", image_bytes(number))
    return tmp_path


@pytest.fixture
def lab():
    return load_lab("mini")


def counts(table):
    data = table.lab.benchmark(table.task.name)
    return len(data.left), len(data.right)


def test_coco(folder, lab):
    path = annotation_files.write_json(folder / "captions.json", annotation_files.coco())
    table = table_task(lab, path, "pairs", folder="val2014")
    assert counts(table) == (3, 5)
    assert table.section["image"] == "file_name"
    assert table.section["text"] == "caption"
    data = table.lab.benchmark("captions")
    assert data.owner.tolist() == [0, 0, 1, 2, 2]
    assert any("5 annotations of 3 images" in remark for remark in data.left.remarks)


def test_coco_that_is_not_whole(folder, lab):
    document = annotation_files.coco()
    document["images"].append({"id": 99, "file_name": "d.png"})
    document["annotations"][0]["image_id"] = 7777
    path = annotation_files.write_json(folder / "captions.json", document)
    table = table_task(lab, path, "pairs", folder="val2014")
    with pytest.raises(DataError) as refused:  # one of six is more than one in a hundred
        table.lab.benchmark("captions")
    assert "'images' has none with the id of its 'image_id', 7777" in str(refused.value)


def test_coco_with_pictures_of_one_id(folder, lab):
    document = annotation_files.coco()
    document["images"].append({**document["images"][0], "file_name": "d.png"})
    document["annotations"][0]["category_id"] = [1]  # not a number: it names no class
    path = annotation_files.write_json(folder / "captions.json", document)
    data = table_task(lab, path, "pairs", folder="val2014").lab.benchmark("captions")
    assert (len(data.left), len(data.right)) == (3, 5)
    assert any(
        "1 of its images have the id of another, which is taken" in remark
        for remark in data.left.remarks
    )


@pytest.mark.parametrize("filepath", ["val2014", ""])
def test_a_split_of_karpathys(folder, lab, filepath):
    document = annotation_files.karpathy(folder=filepath)
    path = annotation_files.write_json(folder / "dataset_coco.json", document)
    table = table_task(lab, path, "pairs", folder="" if filepath else "val2014")
    assert counts(table) == (2, 3)
    assert table.section["where"] == {"split": ["test"]}
    notices = "\n".join(table.notices)
    assert "the columns are those of a split of Karpathy's" in notices
    assert "rows: those of split = test; --where split=NAME takes others" in notices
    data = table.lab.benchmark(table.task.name)
    assert any("1 of its 3 rows are left out: split = restval (1)" in r for r in data.left.remarks)


def test_other_rows_are_taken(folder, lab):
    path = annotation_files.write_json(folder / "k.json", annotation_files.karpathy())
    both = table_task(lab, path, "pairs", where=["split=test", "split=restval"])
    assert counts(both) == (3, 5)
    one = table_task(lab, path, "pairs", where=["split=restval"])
    assert counts(one) == (1, 2)


def test_the_section_is_read_back(folder, lab):
    path = annotation_files.write_json(folder / "k.json", annotation_files.karpathy())
    table = table_task(lab, path, "pairs", folder=".")
    assert tomllib.loads(table.toml)["tasks"]["k"] == table.section
    (folder / "molspace.toml").write_text('[lab]\nextends = "mini"\n' + table.toml)
    assert len(load_lab().benchmark("k").right) == 3


def test_rows_that_are_not_there(folder, lab):
    path = annotation_files.write_json(folder / "k.json", annotation_files.karpathy())
    table = table_task(lab, path, "pairs", where=["split=tests"])
    with pytest.raises(DataError) as refused:
        table.lab.benchmark("k")
    assert "has split = tests" in refused.value.what
    assert "split = test (2), split = restval (1)" in refused.value.why
    assert "did you mean 'test'" in refused.value.fix


def test_msrvtt_is_found_by_stems(folder, lab):
    for name in "abc":
        put(folder / "videos" / f"{name}.mp4", b"not opened here")
    path = annotation_files.write_json(folder / "msrvtt.json", annotation_files.msrvtt())
    table = table_task(lab, path, "pairs", folder="videos")
    assert table.section["video"] == "{video_id}"
    assert table.section["where"] == {"split": ["test"]}
    assert "video: files called {video_id}, of which 2 of 2 are there" in table.notices


def test_lists_of_captions(folder, lab):
    path = put(folder / "val2014" / "Flickr8k.token.txt", annotation_files.token_lines())
    table = table_task(lab, path, "pairs")
    assert counts(table) == (3, 5)
    assert table.section == tomllib.loads(table.toml)["tasks"]["Flickr8k.token"]
    kaggle = "image,caption\na.png,one\na.png,two\nb.png,three\nc.png,four\n"
    table = table_task(lab, put(folder / "val2014" / "captions.txt", kaggle), "pairs")
    assert counts(table) == (3, 4)
    results = "image_name| comment_number| comment\na.png| 0| A man .\nb.png| 0| A dog .\n"
    table = table_task(lab, put(folder / "val2014" / "results.csv", results), "pairs")
    assert counts(table) == (2, 2)
    data = table.lab.benchmark(table.task.name)
    assert [item.value for item in data.right.items(0, 2)] == ["A man .", "A dog ."]


AUDIOCAPS = ["{youtube_id}_{start_time}", "{youtube_id}", "Y{youtube_id}", "{audiocap_id}"]


@pytest.mark.parametrize("pattern", AUDIOCAPS)
def test_clips_however_they_are_called(tmp_path, lab, pattern):
    path = put(tmp_path / "test.csv", annotation_files.audiocaps())
    for i, name in enumerate("abc"):
        ids = {"youtube_id": name * 11, "start_time": 30 * i, "audiocap_id": f"{900 + i}0"}
        put(tmp_path / "clips" / f"{pattern.format(**ids)}.wav", sound_bytes(i))
    table = table_task(lab, path, "pairs", folder=tmp_path / "clips")
    assert table.section["audio"] == pattern
    n_named = 5 if pattern == "{audiocap_id}" else 3
    note = f"audio: files called {pattern}, of which 3 of {n_named} are there"
    assert note in table.notices


def test_clips_with_captions_of_each(tmp_path, lab):
    path = put(tmp_path / "test.csv", annotation_files.audiocaps())
    for i, name in enumerate("abc"):
        put(tmp_path / f"{name * 11}.flac", sound_bytes(i, "FLAC"))
    assert counts(table_task(lab, path, "pairs")) == (3, 5)
    put(tmp_path / f"{'a' * 11}.wav", sound_bytes(0))
    with pytest.raises(DataError, match=r"several files are called so: a+\.flac, a+\.wav"):
        counts(table_task(load_lab("mini"), path, "pairs"))


def test_clips_that_are_not_found_or_in_two_ways(tmp_path, lab):
    path = put(tmp_path / "test.csv", annotation_files.audiocaps())
    with pytest.raises(UsageError) as refused:
        table_task(lab, path, "pairs")
    assert "none is there" in refused.value.why
    assert "--folder FOLDER" in refused.value.fix
    put(tmp_path / f"Y{'a' * 11}.wav", sound_bytes(0))
    put(tmp_path / f"{'a' * 11}_0.wav", sound_bytes(1))
    with pytest.raises(UsageError) as refused:
        table_task(lab, path, "pairs")
    assert "1 by {youtube_id}_{start_time}, 1 by Y{youtube_id}" in refused.value.why
    named = table_task(lab, path, "pairs", columns=["audio=Y{youtube_id}.wav"])
    assert named.section["audio"] == "Y{youtube_id}.wav"


def test_clotho(tmp_path, lab):
    path = put(tmp_path / "clotho_captions_evaluation.csv", annotation_files.clotho())
    for i, name in enumerate("abc"):
        put(tmp_path / "evaluation" / f"the {name}.wav", sound_bytes(i))
    table = table_task(lab, path, "pairs", folder=tmp_path / "evaluation")
    assert counts(table) == (3, 15)
    assert "audio: the column file_name" in table.notices


def test_boxes_have_classes(folder, lab):
    document = annotation_files.coco()
    document["categories"] = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]
    for i, annotation in enumerate(document["annotations"]):
        del annotation["caption"]
        annotation |= {"category_id": (1, 3)[i % 2], "bbox": [0, 0, 1, 1]}
    path = annotation_files.write_json(folder / "instances.json", document)
    table = table_task(lab, path, "labels", folder="val2014")
    assert table.section["kind"] == "multilabel"
    assert "an image has the classes of all its annotations" in table.notices
    data = table.lab.benchmark("instances")
    assert data.classes == ("cat", "dog")
    assert data.targets.tolist() == [[True, True], [True, False], [True, True]]
    with pytest.raises(UsageError, match="hold 2 modalities"):
        table_task(lab, path, "pairs")


def test_how_many_may_be_gone(folder, lab):
    (folder / "val2014" / "b.png").unlink()
    path = annotation_files.write_json(folder / "captions.json", annotation_files.coco())
    table = table_task(lab, path, "pairs", folder="val2014", max_bad=0.4)
    assert counts(table) == (2, 4)
    assert tomllib.loads(table.toml)["tasks"]["captions"]["max_bad"] == 0.4


DOCUMENTS = {
    "a list": [{"image": "a.png", "caption": ["one", "two"]}, {"image": "b.png", "caption": "x"}],
    "under a key": {"data": [{"image": "a.png", "text": "x"}, {"image": "b.png", "text": "y"}]},
    "nested": [{"image": "a.png", "text": "x", "meta": {"size": {"w": 3}}}],
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_records_in_json(folder, lab, document):
    path = annotation_files.write_json(folder / "val2014" / "x.json", document)
    table = table_task(lab, path, "pairs")
    n = len(document["data"] if isinstance(document, dict) else document)
    assert counts(table)[0] == n


def test_captions_by_file(folder, lab):
    path = annotation_files.write_json(
        folder / "val2014" / "x.json",
        {f"{name}.png": texts for name, texts in annotation_files.CAPTIONS.items()},
    )
    table = table_task(lab, path, "pairs")
    assert counts(table) == (3, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "it is empty"),
        ("3", "neither a list nor an object"),
        (json.dumps({"a": [{"x": 1}], "b": [{"y": 1}]}), "it holds several lists: a, b"),
        (json.dumps({"a": 1, "b": "c"}), "it holds the keys a, b"),
        ('{"a": 1, "a": 2}', "a key is repeated"),
    ],
)
def test_documents_that_are_not_clear(folder, lab, text, message):
    with pytest.raises(DataError) as refused:
        table_task(lab, put(folder / "x.json", text), "pairs")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"folder": "val2015"}, MissingError, "there is no folder"),
        ({"where": ["split"]}, UsageError, "--where COLUMN=VALUE"),
        ({"where": ["splits=test"]}, UsageError, "has no column 'splits'"),
        ({"columns": ["image={filepat}/{filename}"]}, UsageError, "has no column 'filepat'"),
    ],
)
def test_mistyped_options(folder, lab, options, error, message):
    path = annotation_files.write_json(folder / "k.json", annotation_files.karpathy())
    with pytest.raises(error) as refused:
        table_task(lab, path, "pairs", **options)
    assert message in str(refused.value)


def test_lines_that_are_no_table(folder, lab):
    with pytest.raises(UsageError, match="its first line does not name columns"):
        table_task(lab, put(folder / "lines.txt", "a dog\na cat\na bird\n"), "pairs")
