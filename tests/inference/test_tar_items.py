"""Tars as input: each file of a sample an item by the sample's key, read once, in order."""

import gc
import json
from pathlib import Path
from threading import Thread

import pytest
from far_files import far_files
from media_files import image_bytes, put_tar, sound_bytes

from reactions.core.errors import DataError
from reactions.core.read_ahead import BLOCKS
from reactions.core.storage import Blob, find
from reactions.core.types import Item
from reactions.data.manifest import Problem
from reactions.inference import tar_items
from reactions.inference.inputs import read_inputs
from reactions.inference.tar_items import HeldMember, TarItems
from reactions.modalities.registry import content_digest, load

ALL = ("audio", "image", "text")
MEMBERS: dict[str, bytes | str] = {
    "d/000.jpg": image_bytes(0, "JPEG"),
    "d/000.txt": "rain",
    "d/000.json": json.dumps({"caption": "not this", "url": "x"}),
    "d/000.flac": sound_bytes(0, "FLAC"),
    "README": "x",
    ".hidden": "x",
    "001.left.png": image_bytes(1),
    "001.right.png": image_bytes(2),
    "002.png": image_bytes(3),
    "002.jpg": image_bytes(4, "JPEG"),
    "003.json": json.dumps({"caption": ["wind", "a storm"]}),
    "004.json": json.dumps({"url": "y"}),
    "004.cls": "3",
    "005.txt": b"\xff\xfe\xfa",
}


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return put_tar(tmp_path / "s.tar", MEMBERS)


def items_of(path: Path, modalities=ALL, only=None) -> tuple[list[Item], list[Problem], str]:
    (file,) = find(str(path))
    reader = TarItems(file, modalities, only)
    entries = list(reader)
    items = [entry for entry in entries if isinstance(entry, Item)]
    return items, [entry for entry in entries if isinstance(entry, Problem)], str(reader.contents)


def test_every_file_of_a_sample_is_an_item_by_its_key(tar: Path) -> None:
    items, problems, summary = items_of(tar)
    assert [(item.id, item.modality) for item in items] == [
        ("d/000", "image"),
        ("d/000", "audio"),
        ("d/000", "text"),
        ("001.left", "image"),
        ("001.right", "image"),
        ("003/0", "text"),
        ("003/1", "text"),
    ]
    assert all(item.own_id for item in items)
    assert [item.value for item in items if item.modality == "text"] == ["rain", "wind", "a storm"]
    assert load(items[0]).value.shape == (8, 12, 3)
    assert [(p.id, p.message.partition(":")[0]) for p in problems] == [
        ("002", "several image files of one name"),
        ("002", "several image files of one name"),
        ("005", "not UTF-8"),
    ]
    assert summary == (
        "s.tar holds 6 samples: 1 audio, 3 image, 3 text; "
        "left out: 2 .json, 1 .cls, 1 without an ending"
    )


def test_what_the_space_does_not_embed_is_left_out_and_counted(tar: Path) -> None:
    items, _, summary = items_of(tar, ("audio",))
    assert [(item.id, item.modality) for item in items] == [("d/000", "audio")]
    assert "3 .json" in summary
    assert "2 .txt" in summary


def test_one_modality_alone(tar: Path) -> None:
    items, _, _ = items_of(tar, ALL, "image")
    assert {item.modality for item in items} == {"image"}
    through = list(read_inputs([str(tar)], modalities=ALL, taken_as="image"))
    assert [entry.id for entry in through if isinstance(entry, Item)] == [i.id for i in items]


def test_notes_come_when_the_tar_is_read(tar: Path) -> None:
    notes: list[str] = []
    entries = read_inputs([str(tar)], modalities=ALL, on_held=lambda held: notes.append(str(held)))
    next(entries)
    assert notes == []
    list(entries)
    assert len(notes) == 1
    assert notes[0].startswith("s.tar holds 6 samples")


def test_a_sample_has_not_ever_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_items, "_MOST_FILES", 3)
    members = {f"a.{i}.png": image_bytes(i) for i in range(7)}
    items, _, summary = items_of(put_tar(tmp_path / "s.tar", members))
    assert len(items) == 7
    assert "3 samples" in summary


def test_damage_is_refused(tar: Path) -> None:
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(DataError, match="damaged"):
        items_of(tar)


def test_a_remote_tar_is_read_once(tar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(BLOCKS, "block_bytes", 1 << 12)
    near, _, summary = items_of(tar)
    with far_files(tar.parent) as server:
        (file,) = find(f"{server.url}/s.tar")
        server.counts.clear()
        reader = TarItems(file, ALL)
        items, contents = [], []
        for entry in reader:
            if isinstance(entry, Item):
                items.append(entry)
                contents.append(entry.value if entry.modality == "text" else entry.value.read())
        assert (len(items), str(reader.contents)) == (len(near), summary)
        assert server.counts["bytes"] <= tar.stat().st_size
        expected = [i.value if i.modality == "text" else i.value.read() for i in near]
        assert contents == expected
        # Once more, by a request: what was read is not kept.
        assert items[0].value.read() == expected[0]
        assert content_digest(items[0], None) == content_digest(near[0], None)


def test_only_so_many_bytes_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    members = {f"{i}.png": image_bytes(i) for i in range(6)}
    size_bytes = len(image_bytes(0))
    gc.collect()
    held_before = tar_items._ROOM._held_bytes  # what other tests still hold
    monkeypatch.setattr(tar_items, "_HELD_BYTES", held_before + 3 * size_bytes + 20)
    put_tar(tmp_path / "s.tar", members)
    with far_files(tmp_path) as server:
        (file,) = find(f"{server.url}/s.tar")
        items = list(TarItems(file, ALL))
        kinds = [type(item.value) for item in items]
        assert kinds == [HeldMember] * 3 + [Blob] * 3
        assert [item.value.read() for item in items] == list(members.values())
        assert tar_items._ROOM._held_bytes == held_before
        list(TarItems(file, ALL))  # dropped unread
        assert tar_items._ROOM._held_bytes == held_before


def test_a_collection_while_bytes_are_counted_does_not_wait_for_itself() -> None:
    room = tar_items._ROOM
    room.add(10)
    held = tar_items._Held(b"x" * 10)

    def collect() -> None:
        with room._lock:  # as of ``add``, in the middle of which a collection may begin
            held.__del__()

    thread = Thread(target=collect, daemon=True)
    held_before = room._held_bytes
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert room._held_bytes == held_before - 10
