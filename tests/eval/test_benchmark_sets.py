import json
import shutil
from pathlib import Path

import published_sets as published
import pytest
from media_files import put
from reading_sets import ids, read, sides

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item
from reactions.data.scan_cache import TableCache
from reactions.eval import tasks
from reactions.eval.registry import Folders, built_in_names, evaluation_set, find_set, get_task
from reactions.eval.task_data import BenchmarkData
from reactions.modalities.registry import load

NOTHING = r"no (audio|image|images|pictures|recording)|none of"

DIVIDED = ("caltech101", "ncaltech101", "ncaltech101_images")
"""Sets that are divided by the names of the files that are there."""


def path_of(item: Item) -> Path:
    return item.value if isinstance(item.value, Path) else Path(item.value.url)


def media(data: BenchmarkData) -> set[Path]:
    """Every file of a set's media."""
    corpora = [corpus for corpus in sides(data) if corpus.modality != "text"]
    return {path_of(item) for corpus in corpora for item in corpus.items(0, len(corpus))}


def test_a_file_says_all_of_a_set() -> None:
    files = {path.stem for path in Path(tasks.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(built_in_names()) == files == set(published.ALL)
    for name in files:
        definition = evaluation_set(name)
        assert definition.task.name == name
        assert definition.task.source
        assert definition.layout.tree
    with pytest.raises(UsageError, match="unknown task 'esc10'"):
        evaluation_set("esc10")


@pytest.mark.parametrize("task", published.ALL)
def test_a_published_layout_is_read(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    data = read(task, tmp_path)
    assert data.expected == (get_task(task).expected or len(sides(data)[0]))
    for corpus in sides(data):
        for item in corpus.items(0, len(corpus)):
            assert item.id.startswith(f"{task}/")
            load(item)


@pytest.mark.parametrize("task", published.ALL)
def test_it_is_found_under_any_of_its_names(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / "own")
    assert find_set(task, Folders(tasks={task: tmp_path / "own"})).folder == tmp_path / "own"
    assert find_set(task, Folders(chosen=tmp_path / "own")).folder == tmp_path / "own"
    name = evaluation_set(task).layout.folders[-1]
    shutil.move(tmp_path / "own", tmp_path / "root" / name.upper())
    assert find_set(task, Folders(root=tmp_path / "root")).labels.exists()


@pytest.mark.parametrize("task", published.ALL)
def test_a_set_that_is_not_there_says_what_from_where_and_how(task: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=f"no data for task '{task}'") as caught:
        read(task, tmp_path)
    layout = evaluation_set(task).layout
    assert layout.labels[0] in caught.value.why
    assert str(tmp_path) in caught.value.why
    assert get_task(task).source in caught.value.fix
    assert layout.tree in caught.value.fix
    assert json.dumps(caught.value.to_json())


@pytest.mark.parametrize("task", published.ALL)
def test_labels_without_media_say_so(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    for path in media(read(task, tmp_path)):
        path.unlink()
    with pytest.raises(MissingError, match=NOTHING) as caught:
        read(task, tmp_path)
    assert evaluation_set(task).layout.tree in caught.value.fix


@pytest.mark.parametrize("task", published.ALL)
def test_part_of_a_set_is_counted(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    before = read(task, tmp_path)
    victim = sides(before)[0].items(0, 1)[0]
    path_of(victim).unlink()
    data = read(task, tmp_path)
    assert len(sides(data)[0]) < len(sides(before)[0])
    assert data.expected == get_task(task).expected or task in DIVIDED
    assert victim.id not in ids(sides(data)[0])


@pytest.mark.parametrize("task", published.ALL)
def test_what_cannot_be_decoded_counts_as_not_found(task: str, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    before = read(task, tmp_path)
    last = sides(before)[-1] if task in ("vggss", "flickrnet") else sides(before)[0]
    victim = last.items(0, 1)[0]
    put(path_of(victim), b"")
    data = read(task, tmp_path)
    assert 0 < len(sides(data)[0]) < len(sides(before)[0])
    assert data.expected == before.expected
    assert victim.id not in ids(sides(data)[0])
    for path in media(before):
        put(path, b"")
    with pytest.raises(DataError):
        read(task, tmp_path)


@pytest.mark.parametrize("task", published.ALL)
@pytest.mark.parametrize("junk", [b"", b"\xff\xfe\x00", b"[1, 2", b"a,b\n1\n"])
def test_damaged_labels_are_named(task: str, junk: bytes, tmp_path: Path) -> None:
    published.ALL[task](tmp_path / task)
    labels = find_set(task, Folders(root=tmp_path)).labels
    if labels.is_dir():  # folders are the labels
        labels = {
            "imagenet": tmp_path / task / "LOC_synset_mapping.txt",
            "flickrnet": tmp_path / task / "flickrnet.txt",
            "ucf101": tmp_path / task / "ucfTrainTestlist/classInd.txt",
            "rgbt": tmp_path / task / "annotations/set06/V000/I00019.txt",
        }.get(task, tmp_path / task / "Caltech101_val.txt")
        if task == "llvip" or (task == "rgbt" and not junk):  # only pictures; a frame of nobody
            return
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
    names_scanned: list[str] = []
    real = files.look_at_file

    def look(entry, **options):
        names_scanned.append(entry.name)
        return real(entry, **options)

    monkeypatch.setattr(files, "look_at_file", look)
    for _ in range(2):
        located = find_set("vggss", Folders(root=tmp_path), tables=TableCache(tmp_path / "c"))
        data = located.read()
        assert sides(data)[0].digest
    assert len(names_scanned) == 6
