"""Tables as evaluation sets: which columns are taken, and what is refused."""

import json
import tomllib

import numpy as np
import pytest
from PIL import Image

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.labs.lab_file import load_lab
from reactions.labs.table_tasks import table_task


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        pixels = np.full((4, 4, 3), number * 90, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.fixture
def lab():
    return load_lab("mini")


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


PAIRS = "image,caption\n0.png,black\n1.png,grey\n1.png,dark grey\n2.png,light\n"
ROWS = PAIRS.partition("\n")[2]
LINES = "".join(
    json.dumps(dict(zip(("image", "text"), line.split(","), strict=True))) + "\n"
    for line in ROWS.splitlines()
)
WRITTEN = {
    "csv": ("p.csv", PAIRS),
    "byte-order mark": ("p.csv", b"\xef\xbb\xbf" + PAIRS.encode()),
    "CR LF": ("p.csv", PAIRS.replace("\n", "\r\n")),
    "semicolons": ("p.csv", PAIRS.replace(",", ";")),
    "tsv": ("p.tsv", PAIRS.replace(",", "\t")),
    "quoted": ("p.csv", PAIRS.replace("dark grey", '"dark, grey"')),
    "usual names": ("p.csv", f"IMG,caption\n{ROWS}"),
    "names of paths": ("p.csv", f"image_path,sentence\n{ROWS}"),
    "jsonl": ("p.jsonl", LINES),
}


@pytest.mark.parametrize(("name", "text"), WRITTEN.values(), ids=WRITTEN)
def test_pairs_however_they_are_written(folder, lab, name, text):
    table = table_task(lab, write(folder / name, text), "pairs")
    data = table.lab.benchmark(table.task.name)
    assert (len(data.left), len(data.right)) == (3, 4)
    assert table.task.directions == ("text->image", "image->text")
    assert data.owner.tolist() == [0, 1, 1, 2]


def test_several_columns_of_captions(folder, lab):
    text = "image,caption_1,caption_2\n0.png,black,dark\n1.png,grey,light\n"
    table = table_task(lab, write(folder / "p.csv", text), "pairs")
    assert table.section["text"] == ["caption_1", "caption_2"]
    assert any("caption_1, caption_2" in notice for notice in table.notices)
    assert len(table.lab.benchmark(table.task.name).right) == 4


def test_parquet(folder, lab):
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"image": ["0.png", "1.png"], "text": ["black", "grey"]})
    parquet.write_table(table, folder / "p.parquet")
    pairs_table = table_task(lab, folder / "p.parquet", "pairs")
    assert len(pairs_table.lab.benchmark(pairs_table.task.name).left) == 2
    assert pairs_table.notices == ()


LABELS = "file,species\n0.png,cat\n1.png,dog\n2.png,cat\n"


def test_labels(folder, lab):
    path = write(folder / "birds of prey.csv", LABELS)
    table = table_task(lab, path, "labels", columns=["class=species"], templates=["a {class}"])
    assert table.task.name == "birds-of-prey"
    assert table.task.templates == ("a {class}",)
    data = table.lab.benchmark(table.task.name)
    assert tuple(data.classes) == ("cat", "dog")
    assert data.labels.tolist() == [0, 1, 0]
    assert table.notices == ("image: the column file",)
    usual = table_task(lab, path, "labels", columns=["class=species"])
    assert usual.task.templates  # those of images


def test_several_classes_of_an_item(folder, lab):
    path = write(folder / "m.csv", "image;labels\n0.png;cat|pet\n1.png;dog|pet\n2.png;cat\n")
    table = table_task(lab, path, "labels", separator="|")
    assert table.task.kind == "multilabel"
    assert table.lab.benchmark("m").targets.sum() == 5


def test_the_section_makes_it_lasting(folder, lab):
    table = table_task(lab, write(folder / "p.csv", PAIRS), "pairs")
    (folder / "molspace.toml").write_text('[lab]\nextends = "mini"\n' + table.toml)
    section = tomllib.loads(table.toml)["tasks"]["p"]
    assert section == {
        "kind": "retrieval",
        "path": str(folder / "p.csv"),
        "image": "image",
        "text": "caption",
    }
    reloaded = load_lab().benchmark("p")
    assert reloaded.owner.tolist() == table.lab.benchmark("p").owner.tolist()


@pytest.mark.parametrize(("stem", "name"), [("esc50", "own-esc50"), ("all", "own-all")])
def test_names_that_are_taken(folder, lab, stem, name):
    table = table_task(lab, write(folder / f"{stem}.csv", PAIRS), "pairs")
    assert table.task.name == name


SPECIES = ["class=species"]


@pytest.mark.parametrize(
    ("text", "kind", "options", "kindof", "message"),
    [
        (PAIRS, "pairs", {"columns": ["image=img"]}, UsageError, "has no column 'img'"),
        (PAIRS, "pairs", {"columns": ["imag=image"]}, UsageError, "'imag' is not a modality"),
        (PAIRS, "pairs", {"columns": ["image"]}, UsageError, "--columns image"),
        (PAIRS, "pairs", {"id_column": "key"}, UsageError, "has no column 'key'"),
        (PAIRS, "pairs", {"templates": ["a {class}"]}, UsageError, "are of --labels"),
        (PAIRS, "labels", {}, UsageError, "hold one modality"),
        (LABELS, "pairs", {}, UsageError, "hold 2 modalities"),
        (LABELS, "labels", {}, UsageError, "holds the classes"),
        (LABELS, "labels", {"columns": SPECIES, "templates": ["x"]}, UsageError, "{class}"),
        ("a,b\n1,2\n", "pairs", {}, UsageError, "found none among its columns a, b"),
        ("", "pairs", {}, DataError, "cannot read"),
        (b"\x89PNG\xff\xfe\x00", "pairs", {}, DataError, "cannot read"),
        (b"", "pairs", {}, DataError, "it is empty"),
        (b"\xff\xfe", "pairs", {}, DataError, "it holds no text"),
    ],
)
def test_what_is_not_clear_is_refused(folder, lab, text, kind, options, kindof, message):
    path = write(folder / "t.csv", text)
    with pytest.raises(kindof) as refused:
        table_task(lab, path, kind, **options)
    assert message in str(refused.value)


def test_a_second_column_of_a_modality_is_named(folder, lab):
    path = write(folder / "t.csv", "image,image_path,caption\n0.png,1.png,a\n")
    table = table_task(lab, path, "pairs")
    assert (
        "image: the column image, not image_path; --columns image=image_path takes that"
        in table.notices
    )
    chosen = table_task(lab, path, "pairs", columns=["image=image_path"])
    assert chosen.section["image"] == "image_path"
    assert not [notice for notice in chosen.notices if notice.startswith("image:")]


def test_a_column_of_splits_is_named_since_nothing_reads_it(folder, lab):
    path = write(folder / "t.csv", "image,caption,Split\n0.png,a,train\n1.png,b,test\n")
    table = table_task(lab, path, "pairs")
    note = "the column Split is not looked at: the rows of every Split are scored"
    assert f"{note}; --where Split=test takes one" in table.notices
    path = write(folder / "u.csv", "image,split\n0.png,a\n1.png,b\n")
    assert not table_task(lab, path, "labels", columns=["class=split"]).notices


def test_a_table_without_rows_is_to_be_corrected_itself(folder, lab):
    path = write(folder / "h.csv", "image,caption\n")
    table = table_task(lab, path, "pairs")
    with pytest.raises(DataError) as refused:
        table.lab.benchmark(table.task.name)
    assert refused.value.fix == f"correct '{path}'"
    empty_table = table_task(lab, write(folder / "g.csv", "image,caption\n8.png,a\n"), "pairs")
    with pytest.raises(DataError) as refused:
        empty_table.lab.benchmark(empty_table.task.name)
    assert refused.value.fix.startswith(f"correct '{folder / 'g.csv'}', or the files; if they")


def test_what_is_no_table(folder, lab):
    with pytest.raises(MissingError, match="no table at"):
        table_task(lab, "nothing.csv", "pairs")
    with pytest.raises(UsageError, match="is not a table"):
        table_task(lab, folder, "pairs")
    with pytest.raises(UsageError, match="is not a table"):
        table_task(lab, folder / "0.png", "pairs")


def test_files_of_several_modalities_are_not_guessed(folder, lab):
    path = write(folder / "t.csv", "file,label\n0.png,a\nb.wav,b\n")
    with pytest.raises(UsageError, match="hold one modality"):
        table_task(lab, path, "labels")
