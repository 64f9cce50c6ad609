"""Evaluation sets that a lab file describes: read by ids, with what is left out counted."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from lab_files import load
from media_files import image_bytes, put, sound_bytes
from reading_sets import ids, values

from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import DigestCache
from reactions.eval.protocol import check
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store

pytestmark = pytest.mark.usefixtures("own_folder")

BIRDS = """
[tasks.birds]
kind = "retrieval"
path = "birds.csv"
audio = "file"
text = "caption"
"""


@pytest.fixture(autouse=True)
def media(tmp_path):
    for i in range(4):
        put(tmp_path / f"sounds/{i}.wav", sound_bytes(i))
        put(tmp_path / f"photos/{i}.png", image_bytes(i))


def table(name, *rows):
    put(Path(name), "".join(f"{row}\n" for row in rows))


def checked_data(text, name="birds"):
    lab = load(text)
    data = lab.benchmark(name)
    check(lab.own_tasks[name].task, data)
    return data


# --- retrieval ---


def test_captions_of_another_column_are_other_texts(tmp_path):
    table("birds.csv", "file,caption,other", "sounds/2.wav,song of two,a dog")
    digests = [
        load(text, digests=DigestCache(tmp_path / "cache")).benchmark("birds").right.digest
        for text in (BIRDS, BIRDS.replace('"caption"', '"other"'), BIRDS)
    ]
    assert digests[0] == digests[2] != digests[1]


def test_rows_of_one_file_are_captions_of_one_item():
    table(
        "birds.csv",
        "caption,file",
        "song of two,sounds/2.wav",
        '"zero, loudly",sounds/0.wav',
        "two again,sounds/2.wav",
        "three,sounds/3.wav",
    )
    data = checked_data(BIRDS)
    assert isinstance(data, RetrievalData)
    assert ids(data.left) == ["birds/sounds/2.wav", "birds/sounds/0.wav", "birds/sounds/3.wav"]
    item_ids = ids(data.left)
    texts = values(data.right)
    pairs = [(item_ids[owner], text) for owner, text in zip(data.owner, texts, strict=True)]
    assert pairs == [
        ("birds/sounds/2.wav", "song of two"),
        ("birds/sounds/0.wav", "zero, loudly"),
        ("birds/sounds/2.wav", "two again"),
        ("birds/sounds/3.wav", "three"),
    ]
    assert ids(data.right)[2] == "birds/sounds/2.wav/1"
    assert data.expected == 3


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "parquet"])
def test_several_columns_hold_captions_and_may_be_empty(ending):
    rows = [("0", "a", "b"), ("1", "c", ""), ("2", "", "d")]
    if ending == "tsv":
        table("birds.tsv", "file\tone\ttwo", *("\t".join(row) for row in rows))
    elif ending == "jsonl":
        records = [dict(zip(("file", "one", "two"), row, strict=True)) for row in rows]
        table("birds.jsonl", *map(json.dumps, records))
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = dict(zip(("file", "one", "two"), zip(*rows, strict=True), strict=True))
        parquet.write_table(pa.table({k: list(v) for k, v in columns.items()}), "birds.parquet")
    for name in "012":
        put(Path(f"media/{name}"), sound_bytes(int(name)))
    text = BIRDS.replace("birds.csv", f"birds.{ending}").replace('"caption"', '["one", "two"]')
    data = checked_data(text + 'folder = "media"')
    assert values(data.right) == ["a", "b", "c", "d"]
    assert data.owner.tolist() == [0, 0, 1, 2]


def test_a_list_in_a_field_is_several_captions():
    table("birds.jsonl", json.dumps({"file": "sounds/0.wav", "caption": ["x", "y"]}))
    data = checked_data(BIRDS.replace(".csv", ".jsonl"))
    assert (values(data.right), data.owner.tolist()) == (["x", "y"], [0, 0])


def test_what_cannot_be_used_is_left_out_with_its_partners_and_counted(tmp_path):
    put(tmp_path / "sounds/1.wav", b"RIFF of nothing")
    table(
        "birds.csv",
        "file,caption",
        "sounds/0.wav,zero",
        "sounds/1.wav,damaged",
        "sounds/9.wav,gone",
        "sounds/2.wav,",
        "sounds/3.wav,three",
        "sounds/3.wav,three,too many",
        ",nameless",
    )
    data = checked_data(BIRDS + "max_bad = 0.9")
    assert ids(data.left) == ["birds/sounds/0.wav", "birds/sounds/3.wav"]
    assert (values(data.right), data.owner.tolist()) == (["zero", "three"], [0, 1])
    (sounds,), (right,) = data.left.notices, data.right.notices
    assert sounds.startswith("audio: 4 of 7 items are left out")
    assert right.startswith("text: 1 of 5 items are left out")
    listed = Path(sounds.rpartition("; all: ")[2]).read_text()
    assert [json.loads(line)["id"].removeprefix("birds/") for line in listed.splitlines()] == [
        "sounds/1.wav",
        "sounds/9.wav",
        "row 6 (line 7)",
        "row 7 (line 8)",
    ]
    assert "there is no file" in listed
    assert "3 fields, the header has 2" in listed
    assert data.expected == 7
    with pytest.raises(DataError, match="4 of 7 audio items cannot be used") as caught:
        load(BIRDS).benchmark("birds")
    assert "raise max_bad (now 0.01) under [tasks.birds]" in caught.value.fix


def test_ids_of_a_column_join_rows_and_refuse_two_files():
    table(
        "birds.csv",
        "key,file,caption",
        "a,sounds/0.wav,one",
        "b,sounds/1.wav,two",
        "a,sounds/0.wav,three",
        "b,sounds/2.wav,another",
    )
    data = checked_data(BIRDS + 'id = "key"\nmax_bad = 0.5')
    assert ids(data.left) == ["birds/a", "birds/b"]
    assert (values(data.right), data.owner.tolist()) == (["one", "two", "three"], [0, 1, 0])
    assert "its id is that of 'sounds/1.wav', which is another file" in data.left.notices[0]


def test_what_is_skipped_takes_its_captions_along():
    table("birds.csv", "file,caption", *(f"sounds/{i}.wav,caption {i}" for i in range(4)))
    data = checked_data(BIRDS + 'skip = ["sounds/1.wav"]')
    assert values(data.right) == ["caption 0", "caption 2", "caption 3"]
    assert data.owner.tolist() == [0, 1, 2]
    assert data.left.notices == ()
    with pytest.raises(DataError, match=r"has no item 'sounds/7\.wav' to skip"):
        load(BIRDS + 'skip = "sounds/7.wav"').benchmark("birds")


def test_media_in_two_columns():
    table("birds.csv", "a,b", "sounds/1.wav,photos/0.png", "sounds/0.wav,photos/1.png")
    text = BIRDS.replace('audio = "file"\ntext = "caption"', 'image = "b"\naudio = "a"')
    data = checked_data(text)
    assert (data.left.modality, data.right.modality) == ("image", "audio")
    assert [path.name for path in values(data.left)] == ["0.png", "1.png"]
    assert [path.name for path in values(data.right)] == ["1.wav", "0.wav"]


def test_ids_of_captions_that_are_taken_for_those_of_files_are_reported():
    rows = ["1,0.wav,rain", "2,0.wav,heavy rain", "3,1.wav,wind"]
    table("birds.csv", "n,file,caption", *rows)
    data = checked_data(BIRDS + 'id = "n"\nfolder = "sounds"', "birds")
    assert "3 items are 2 files: what belongs to a file counts as wrong" in data.left.notices[0]
    assert not checked_data(BIRDS + 'folder = "sounds"', "birds").left.notices


PAIRS = '[tasks.pairs]\nkind = "retrieval"\naudio = "sounds"\nimage = "photos"\n'


def test_two_folders_are_joined_by_name(tmp_path):
    put(tmp_path / "sounds/below/5.flac", sound_bytes(5, "FLAC"))
    put(tmp_path / "photos/below/5.JPG", image_bytes(5, "JPEG"))
    put(tmp_path / "photos/notes.heic", "x")
    data = checked_data(PAIRS, "pairs")
    assert (
        ids(data.left) == ids(data.right) == [f"pairs/{n}" for n in ("0", "1", "2", "3", "below/5")]
    )
    assert [p.stem for p in values(data.left)] == [p.stem for p in values(data.right)]
    assert data.right.notices[0].startswith("image: 1 file of another kind is left out")
    assert data.right.others == {".heic": 1}


def test_files_without_a_partner_are_counted(tmp_path):
    (tmp_path / "photos/1.png").unlink()
    (tmp_path / "sounds/3.wav").unlink()
    data = checked_data(PAIRS + "max_bad = 0.5", "pairs")
    assert ids(data.left) == ids(data.right) == ["pairs/0", "pairs/2"]
    assert "2 of 4 items are left out" in data.left.notices[0]
    assert "there is no image called '1'" in data.left.notices[0]
    with pytest.raises(DataError, match="2 of 4 audio items cannot be used"):
        load(PAIRS).benchmark("pairs")


def test_two_files_of_one_name_are_refused(tmp_path):
    put(tmp_path / "sounds/1.flac", sound_bytes(1, "FLAC"))
    with pytest.raises(DataError, match="two audio files of task 'pairs' are called '1'"):
        load(PAIRS).benchmark("pairs")


def test_sets_without_anything_usable_say_why(tmp_path):
    table("birds.csv", "file,caption", "gone.wav,x")
    with pytest.raises(
        DataError, match="no item of task 'birds' has both audio and text"
    ) as caught:
        load(BIRDS + "max_bad = 1.0").benchmark("birds")
    assert "there is no file" in caught.value.why
    table("birds.csv", "file,caption")
    with pytest.raises(DataError, match="no items of task 'birds'"):
        load(BIRDS).benchmark("birds")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no items of task 'pairs'") as caught:
        load(PAIRS.replace("sounds", "empty").replace("photos", "empty")).benchmark("pairs")
    assert "no audio or image" in caught.value.why


def test_a_table_without_the_column_names_those_it_has():
    table("birds.csv", "path,caption", "sounds/0.wav,x")
    with pytest.raises(DataError, match="no column 'file'") as caught:
        load(BIRDS).benchmark("birds")
    assert "its columns: path, caption" in caught.value.why
    put(Path("birds.csv"), b"file\0,caption\n")
    with pytest.raises(DataError, match="cannot read the table"):
        load(BIRDS).benchmark("birds")


# --- classification ---

ANIMALS = '[tasks.animals]\nkind = "classification"\nimage = "animals"\n'


def test_folders_are_classes(tmp_path):
    for name in ("red_fox/1", "red_fox/2", "owl/below/1"):
        put(tmp_path / f"animals/{name}.png", image_bytes(len(name)))
    lab = load(ANIMALS)
    data = checked_data(ANIMALS, "animals")
    assert isinstance(data, ClassificationData)
    assert data.classes == ("owl", "red_fox")
    assert list(zip(ids(data.queries), data.labels.tolist(), strict=True)) == [
        ("animals/owl/below/1.png", 0),
        ("animals/red_fox/1.png", 1),
        ("animals/red_fox/2.png", 1),
    ]
    assert lab.own_tasks["animals"].task.templates == ("a photo of a {class}.",)
    put(tmp_path / "animals/stray.png", image_bytes(9))
    data = checked_data(ANIMALS + "max_bad = 0.5", "animals")
    assert "it lies in" in data.queries.notices[0]
    assert len(data.labels) == len(data.queries) == 3


SOUNDS = """
[tasks.sounds]
kind = "classification"
path = "sounds.csv"
folder = "sounds"
audio = "file"
class = "label"
templates = ["the sound of {class}", "{class}"]
"""


def test_a_column_holds_the_class():
    table("sounds.csv", "file,label", "2.wav,rain", "0.wav,wind", "1.wav,rain", "3.wav,")
    data = checked_data(SOUNDS + "max_bad = 0.3", "sounds")
    assert data.classes == ("rain", "wind")
    assert data.labels.tolist() == [0, 1, 0]
    assert "its class: empty" in data.queries.notices[0]
    assert load(SOUNDS).own_tasks["sounds"].task.templates == ("the sound of {class}", "{class}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("1 2 1", "its classes are numbers ('1', '2'), and prompts call them so"),
        ("0.5 -2 1,5", "its classes are numbers ('-2', '0.5', '1,5'), and"),
        ("Rain rain wind", "the classes 'Rain' and 'rain' differ in case or blanks alone"),
        ("dog|rain rain dog|wind wind", "2 of 4 classes have '|' in them ('dog|rain'), and each"),
        ("dog;rain rain;wind dog", 'if it is several: separator = ";" (multilabel)'),
        ("tub,vat crane,bird rain tub", ""),
        ("1 rain 2", ""),
        ("rain rain wind", ""),
    ],
)
def test_classes_that_are_probably_not_meant_are_named(labels, message):
    rows = [f'{i}.wav,"{label}"' for i, label in enumerate(labels.split())]
    table("sounds.csv", "file,label", *rows)
    notices = checked_data(SOUNDS, "sounds").queries.notices
    assert message in notices[0] if message else not notices


def test_a_file_that_is_listed_twice_counts_once():
    table("sounds.csv", "file,label", "0.wav,rain", "1.wav,wind", "0.wav,wind")
    data = checked_data(SOUNDS + "max_bad = 0.5", "sounds")
    assert data.labels.tolist() == [0, 1]
    assert "'0.wav' is listed twice" in data.queries.notices[0]


def test_classes_whose_items_are_left_out_stay():
    table("sounds.csv", "file,label", "0.wav,rain", "gone.wav,snow", "1.wav,wind")
    data = checked_data(SOUNDS + "max_bad = 0.5", "sounds")
    assert data.classes == ("rain", "snow", "wind")
    assert data.labels.tolist() == [0, 2]


TAGS = SOUNDS.replace("classification", "multilabel")


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        (["0.wav,a;b", "1.wav,b ; c"], 'separator = ";"'),
        (["0.wav,a", "1.wav,b", "0.wav,b", "1.wav,c", "0.wav,a"], ""),
    ],
)
def test_several_classes_of_an_item(rows, more):
    table("sounds.csv", "file,label", *rows)
    data = checked_data(TAGS + more, "sounds")
    assert isinstance(data, MultilabelData)
    assert data.classes == ("a", "b", "c")
    assert data.targets.astype(int).tolist() == [[1, 1, 0], [0, 1, 1]]


# --- where it lies, and what it is called ---


def test_it_may_lie_where_data_say(tmp_path):
    table("elsewhere/birds.csv", "file,caption", "0.wav,x")
    put(tmp_path / "elsewhere/0.wav", sound_bytes(0))
    with pytest.raises(
        MissingError, match=r"no data for task 'birds': there is no 'birds\.csv'"
    ) as e:
        load(BIRDS).benchmark("birds")
    assert f"{tmp_path}/birds.csv" in e.value.why
    assert "[data.birds]" in e.value.fix
    assert len(load(BIRDS + '[data.birds]\npath = "elsewhere"').benchmark("birds").left) == 1
    assert len(load(BIRDS, data=Path("elsewhere")).benchmark("birds").left) == 1
    (tmp_path / "elsewhere").rename(tmp_path / "birds")
    assert len(load(BIRDS + '[data]\nroot = "."').benchmark("birds").left) == 1


def test_a_lab_inherits_sets_and_replaces_them(tmp_path):
    (tmp_path / "deep").mkdir()
    put(tmp_path / "deep/base.toml", BIRDS + PAIRS)
    table("deep/birds.csv", "file,caption", "../sounds/0.wav,x")
    lab = load('[lab]\nextends = "deep/base.toml"\n' + PAIRS)
    assert list(lab.own_tasks) == ["birds", "pairs"]
    assert len(lab.benchmark("birds").left) == 1
    assert len(lab.benchmark("pairs").left) == 4


def test_a_set_of_another_description_is_read_anew():
    table("birds.csv", "file,caption,other", "sounds/0.wav,x,y")
    lab = load(BIRDS)
    assert values(lab.benchmark("birds").right) == ["x"]
    other = load(BIRDS.replace('"caption"', '"other"'))
    changed = replace(lab, own_tasks=other.own_tasks)
    assert values(changed.benchmark("birds").right) == ["y"]
    assert lab.benchmark("birds") is lab.benchmark("birds")


def test_its_steps_go_to_other_processes(tmp_path):
    table("sounds.csv", "file,label", *(f"{i}.wav,{'ab'[i % 2]}" for i in range(4)))
    table("birds.csv", "file,caption", *(f"sounds/{i}.wav,x{i}" for i in range(4)))
    put(Path("molspace.toml"), '[lab]\nextends = "mini"\n' + BIRDS + PAIRS + SOUNDS)
    session = Session(load_lab("molspace.toml"), Store(tmp_path / "store"), "cpu")
    plan = session.scores(
        session.target("ImageBind"), session.lab.parse_tasks("birds,sounds,pairs")
    )
    unpickled = pickle.loads(pickle.dumps(plan.targets))
    assert [step.key for step in unpickled] == [step.key for step in plan.targets]
    results = session.run(unpickled)
    assert [results[step.key].meta["n"] for step in unpickled] == [4, 4, 4]
