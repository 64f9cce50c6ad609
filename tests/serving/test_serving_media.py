"""Media of an index's items, by number: what is sent, and that nothing else is."""

import io
import json
import tarfile

import numpy as np
import pytest
from media_files import image_bytes, put_tar, sound_bytes
from parquet_media import put_media, struct
from PIL import Image
from served import bench_at, client_of, media_items

from reactions.core.storage import Blob
from reactions.core.types import Item, Waveform
from reactions.data.parquet_cells import ParquetCell
from reactions.search.index import SearchIndex
from reactions.serving.pictures import encoded_picture, peaks, picture_of, wav
from reactions.serving.transfer import read_range


@pytest.fixture
def served(tmp_path):
    bench = bench_at(tmp_path, media_items(tmp_path / "media"))
    return client_of(bench), tmp_path


def test_hits_have_pictures_and_players(served):
    client, _ = served
    results = client.post("/api/search", json={"query": {"text": "a"}}).json()
    picture = results["groups"]["image"]["hits"][0]
    image = Image.open(io.BytesIO(client.get(picture["picture"]).content))
    assert image.size == (12, 8)
    sound = results["groups"]["audio"]["hits"][0]
    assert sound["picture"] is None
    outline = client.get(sound["outline"]).json()["peaks"]
    assert max(outline) == 1
    answer = client.get(sound["play"])
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.content == sound_bytes(sound["number"])
    text = results["groups"]["text"]["hits"][0]
    assert (text["picture"], text["outline"], text["play"]) == (None, None, None)


def test_ranges_of_a_sound(served):
    client, _ = served
    sound = sound_bytes(1)
    path = "/api/indexes/0/audio/1/play"
    answer = client.get(path, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, sound[10:20])
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(sound)}"
    assert client.get(path, headers={"Range": "bytes=-5"}).content == sound[-5:]
    answer = client.get(path, headers={"Range": f"bytes={len(sound)}-"})
    assert answer.status_code == 416


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-", (0, 99)),
        ("bytes=0-999", (0, 99)),
        ("bytes=-10", (90, 99)),
        ("bytes=-1000", (0, 99)),
        ("bytes=99-99", (99, 99)),
        ("bytes=100-", None),
        ("bytes=5-4", None),
        ("bytes=-0", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=1" + "0" * 30 + "-", None),
        ("items=0-1", None),
        ("bytes", None),
    ],
)
def test_reading_ranges(text, expected):
    assert read_range(text, 100) == expected


def test_a_changed_file_is_not_shown(served):
    client, folder = served
    (folder / "media" / "picture-1.png").write_bytes(image_bytes(77))
    answer = client.get("/api/indexes/0/image/1/picture")
    assert answer.status_code == 422
    assert "not what was indexed" in answer.json()["why"]
    (folder / "media" / "sound-1.wav").unlink()
    assert "is gone" in client.get("/api/indexes/0/audio/1/play").json()["what"]


def items_in_files(folder):
    """A picture and a sound in a tar, and a picture in a parquet file."""
    tar = put_tar(folder / "s.tar", {"k.png": image_bytes(), "s.wav": sound_bytes()})
    rows = put_media(folder / "r.parquet", {"image": [None, struct(image_bytes(4), "p.png")]})
    size = len(image_bytes(4))
    with tarfile.open(tar) as opened:
        places = {member.name: (member.offset_data, member.size) for member in opened}
    return [
        Item("k", "image", Blob(str(tar), *places["k.png"], "k.png")),
        Item("r", "image", ParquetCell(str(rows), 0, size, row=1, column="image")),
        Item("s", "audio", Blob(str(tar), *places["s.wav"], "s.wav")),
    ]


def test_what_lies_in_tars_and_parquet_files_is_shown(tmp_path):
    client = client_of(bench_at(tmp_path, items_in_files(tmp_path)))
    answers = [client.get(f"/api/indexes/0/image/{n}/picture") for n in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content != answers[1].content
    answer = client.get("/api/indexes/0/audio/0/play", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (206, sound_bytes()[:10])
    assert client.get("/api/indexes/0/audio/0/outline").json()["peaks"]


def test_parts_of_files_that_changed_are_not_shown(tmp_path):
    client = client_of(bench_at(tmp_path, items_in_files(tmp_path)))
    put_tar(tmp_path / "s.tar", {"k.png": image_bytes(7), "s.wav": sound_bytes(7)})
    answer = client.get("/api/indexes/0/image/0/picture")
    assert answer.status_code == 422
    assert answer.json()["what"] == "'s.tar#k.png' is not shown"
    (tmp_path / "s.tar").unlink()
    assert "is gone" in client.get("/api/indexes/0/audio/0/play").json()["what"]


def test_large_parts_of_files_are_not_read(tmp_path):
    client = client_of(bench_at(tmp_path, items_in_files(tmp_path), upload_bytes=50))
    answer = client.get("/api/indexes/0/image/0/picture")
    assert (answer.status_code, "larger than" in answer.json()["what"]) == (422, True)


def tampered(folder, bench, changes):
    """Change what an index says of its first sound, as whoever made it may; return a client."""
    for segment in sorted((folder / "index" / "segments").iterdir()):
        first, *rest = map(json.loads, (segment / "items.jsonl").read_text().splitlines())
        if first["id"] in ("audio-0", "s"):
            break
    lines = [json.dumps(line) + "\n" for line in (first | changes, *rest)]
    (segment / "items.jsonl").write_text("".join(lines))
    np.save(segment / "offsets.npy", np.cumsum([0, *map(len, lines)], dtype=np.int64))
    record = json.loads((folder / "index" / "index.json").read_text())
    for entry in record["segments"]:
        if entry["name"] == segment.name:
            for name in ("items.jsonl", "offsets.npy"):
                entry["files"][name][0] = (segment / name).stat().st_size
    (folder / "index" / "index.json").write_text(json.dumps(record))
    bench.indexes = (SearchIndex(folder / "index", bench.target),)
    return client_of(bench)


def test_an_index_opens_no_other_file_of_this_machine(tmp_path):
    """One that somebody else made may name any file as its item."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sound_bytes(5))
    bench = bench_at(tmp_path, media_items(tmp_path / "media"))
    answer = tampered(tmp_path, bench, {"source": str(secret)}).get("/api/indexes/0/audio/0/play")
    assert answer.status_code == 422
    assert answer.content != secret.read_bytes()


@pytest.mark.parametrize(
    "place", [[0, 60, ""], [0, 1 << 40, ""], [-1, 5, ""], [0, 10, "image"], [0, 0, ""]]
)
def test_an_index_opens_no_part_of_another_file(tmp_path, place):
    secret = tmp_path / "secret.tar"
    secret.write_bytes(sound_bytes(5))
    bench = bench_at(tmp_path, items_in_files(tmp_path))
    changes = {"within": str(secret), "source": f"{secret}/s.wav", "place": place}
    answer = tampered(tmp_path, bench, changes).get("/api/indexes/0/audio/0/play")
    assert answer.status_code == 422, answer.text
    assert b"RIFF" not in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/api/indexes/0/image/99/picture",
        "/api/indexes/0/image/-1/picture",
        "/api/indexes/0/smell/0/picture",
        "/api/indexes/0/..%2f..%2fetc/0/picture",
        "/api/indexes/9/image/0/picture",
        "/api/indexes/0/audio/0/picture",
        "/api/indexes/0/image/0/outline",
        "/api/indexes/0/image/0/play",
        "/api/indexes/0/text/0/play",
        "/api/uploads/..%2f..%2fetc/picture",
    ],
)
def test_nothing_else_is_sent(served, path):
    client, _ = served
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["schema"] == "molspace.error/1"


def test_pictures_are_kept(served, monkeypatch):
    client, _ = served
    first = client.get("/api/indexes/0/image/0/picture").content

    def fail(*arguments):
        raise AssertionError("drawn again")

    monkeypatch.setattr("reactions.serving.media.picture_of", fail)
    assert client.get("/api/indexes/0/image/0/picture").content == first


def test_items_that_lie_in_no_file_are_found_in_the_lab(tmp_path):
    from indexed import session_here

    from reactions.search.hits import IndexedItem
    from reactions.serving.samples import LabItems

    lab = session_here().lab
    (item,) = lab.named_corpus("world:image:3").items(2, 3)
    from reactions.modalities.registry import content_digest

    digest = content_digest(item, lab.digests)
    item_found = LabItems(lab).find(IndexedItem.of(item, digest))
    assert (item_found.value == item.value).all()
    other = IndexedItem("kb-items-image/1", "image", "", digest)
    assert LabItems(lab).find(other) is None  # another scene than what was indexed
    for id in ("kb-items-image/99999999999", "no-task/1", "kb-items-image/x", "mini-no-task/3"):
        assert LabItems(lab).find(IndexedItem(id, "image", "", digest)) is None


# --- pictures ---------------------------------------------------------------------------


def test_large_pictures_become_small():
    pixels = np.zeros((1200, 2000, 3), np.uint8)
    assert Image.open(io.BytesIO(encoded_picture(pixels))).size == (320, 192)


def test_small_pictures_are_exact():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encoded_picture(pixels))))
    assert (decoded == pixels).all()


def test_near_is_light_and_hot_is_light():
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    near, hot = picture_of("depth", ramp), picture_of("thermal", ramp)
    assert near[0, 0].sum() > near[7, 7].sum()
    assert hot[0, 0].sum() < hot[7, 7].sum()
    flat = picture_of("depth", np.full((4, 4), np.nan, np.float32))
    assert flat.shape == (4, 4, 3)


def test_points_are_drawn_nearer_ones_lighter():
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    picture = picture_of("point", points)
    assert picture.shape == (160, 160, 3)
    assert len(np.unique(picture[picture.any(axis=2)], axis=0)) > 50
    assert picture_of("point", np.zeros((1, 3), np.float32)).any()


def test_a_video_is_a_strip_of_frames():
    from reactions.modalities.videos.frames import Frames

    frames = np.stack([np.full((6, 8, 3), i, np.uint8) for i in range(9)])
    strip = picture_of("video", Frames(frames, np.arange(9.0)))
    assert strip.shape == (6, 32, 3)
    assert strip[0, ::8, 0].tolist() == [0, 3, 5, 8]


def test_sounds():
    waveform = Waveform(np.linspace(-1, 1, 4000, dtype=np.float32), 1000)
    assert len(wav(waveform, seconds=2)) == 44 + 2 * 2000
    outline = peaks(waveform, 4)
    assert outline == [1.0, 0.5, 0.5, 1.0] or outline[0] == 1.0
    assert peaks(Waveform(np.zeros(3, np.float32), 1000), 8) == [0.0] * 8
