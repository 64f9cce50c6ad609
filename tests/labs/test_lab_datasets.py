"""Lab files that name data sets of the hub, or folders that look like one."""

from pathlib import Path

import pytest
from hub_server import serving
from lab_files import load, refused
from media_files import image_bytes, sound_bytes
from parquet_media import media_bytes, struct
from reading_sets import values

from reactions.core.errors import UsageError
from reactions.core.protocols import deny_network
from reactions.labs.inventory import inventory
from reactions.modalities.registry import load as decode

pytestmark = pytest.mark.usefixtures("own_folder")

PICTURES = [image_bytes(seed) for seed in range(4)]
SOUNDS = [sound_bytes(seed) for seed in range(4)]


def rows(n: int = 4) -> bytes:
    image, audio = {"_type": "Image"}, {"_type": "Audio"}
    label = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    columns = {
        "picture": [struct(data) for data in PICTURES[:n]],
        "sound": [struct(data) for data in SOUNDS[:n]],
        "caption": [f"caption {row}" for row in range(n)],
        "label": [row % 2 for row in range(n)],
        "key": [f"k{row}" for row in range(n)],
    }
    return media_bytes(columns, {"picture": image, "sound": audio, "label": label})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        path = tmp_path / "set/data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rows(4 if split == "train" else 3))
    return tmp_path / "set"


SECTIONS = """
[corpora.image]
dataset = "{0}"
{1}
split = "train"

[corpora.text]
dataset = "{0}"
{1}
split = ["train", "test"]
column = "caption"
id = "key"
skip = ["train-00000-of-00001/k0"]

[pairs.scenes]
dataset = "{0}"
{1}
split = "train"
audio = "sound"
image = "picture"
id = "key"

[tasks.captions]
kind = "retrieval"
dataset = "{0}"
{1}
split = "test"
audio = "sound"
text = "caption"

[tasks.pets]
kind = "classification"
dataset = "{0}"
{1}
split = "test"
image = "picture"
class = "label"
"""


def check_all(lab) -> None:
    corpus = lab.corpus("image")
    assert [item.value.read() for item in corpus.items(0, 4)] == PICTURES
    texts = lab.corpus("text")
    assert texts.ids()[:3] == [f"train-00000-of-00001/k{row}" for row in (1, 2, 3)]
    assert len(texts) == 6
    pairs = lab.pairs_of("audio", "image")
    assert pairs.corpus("audio").ids() == ["k0", "k1", "k2", "k3"]
    assert decode(pairs.corpus("audio").items(3, 4)[0]).value.samples.shape[0] == 800
    data = lab.benchmark("captions")
    assert values(data.right) == [f"caption {row}" for row in range(3)]
    assert [text for _, text in lab.captions("captions")] == values(data.right)
    pets = lab.benchmark("pets")
    assert (pets.classes, list(pets.labels)) == (("cat", "dog"), [0, 1, 0])


def test_a_folder(folder: Path) -> None:
    check_all(load(SECTIONS.format("./set", "")))
    check_all(load(SECTIONS.format(folder, "")))


def test_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    with serving(monkeypatch) as hub:
        names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}
        commit = hub.push("org/set", {name: path.read_bytes() for name, path in names.items()})
        text = SECTIONS.format("org/set", f'revision = "{commit}"')
        check_all(load(text))
        hub.requests.clear()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        check_all(load(text))
        assert hub.requests == []


def test_data_list_does_not_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOLSPACE_OFFLINE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    lab = load(SECTIONS.format("org/set", f'revision = "{"a" * 40}"'))
    deny_network("listing", "--online")
    entries = [entry for entry in inventory(lab) if entry.kind in ("corpus", "pairs", "task")]
    assert len(entries) == 5
    assert not any(entry.looked_at for entry in entries)
    assert all(entry.fix == "--online" for entry in entries)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[corpora.image]\ndataset = 'a/b'\npath = 'x'", "needs either world, manifest, dataset"),
        ("[corpora.image]\ndataset = 'a/b'\nworld = 3", "takes nothing beside world"),
        ("[corpora.image]\npath = 'x'\nsplit = 'train'", r"image\.split goes with dataset"),
        ("[corpora.image]\ndataset = ''", r"image\.dataset is empty"),
        ("[corpora.image]\ndataset = 'a/b'\nsplt = 'x'", "unknown key .*split"),
        ("[corpora.image]\ndataset = 'a/b/c'", "names no data set"),
        ("[corpora.image]\ndataset = '../x'\nrevision = 'main'", "says nothing about the folder"),
        ("[corpora.image]\ndataset = './x'\nstreaming = true", "says nothing about the folder"),
        ("[corpora.text]\ndataset = 'a/b'\nheader = false", "goes with path, not with dataset"),
        ("[corpora.text]\nmanifest = 'x'\nsplit = 'a'", "goes with path, not with manifest"),
        ("[pairs.x]\ndataset = 'a/b'\npath = 'x'\naudio = 'a'\nimage = 'b'", "both dataset and"),
        ("[pairs.x]\nvideo = 'x'\nrevision = 'a'", r"revision goes with dataset"),
        ("[pairs.x]\ndataset = 'a/b'\naudio = 'a'", "pairs are of two"),
        ("[tasks.x]\nkind = 'classification'\ndataset = 'a/b'\nimage = 'b'", "class is missing"),
        ("[tasks.x]\nkind = 'retrieval'\nimage = 'a'\naudio = 'b'\nconfig = 'c'", "goes with data"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    refused(text, words)


def test_a_folder_that_is_called_like_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "org/set").mkdir(parents=True)
    error = refused("[corpora.image]\ndataset = 'org/set'", "a folder beside the file is called")
    assert "./org/set" in error.fix


def test_a_folder_that_is_not_there() -> None:
    from reactions.core.errors import MissingError

    with pytest.raises(MissingError, match="there is no folder"):
        load("[corpora.image]\ndataset = './gone'").corpus("image")


def test_several_splits_without_a_choice(folder: Path) -> None:
    with pytest.raises(UsageError, match="has 2 splits"):
        load("[corpora.image]\ndataset = './set'").corpus("image")
