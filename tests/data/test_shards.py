import io
import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item
from reactions.data.corpora import ListCorpus, TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources import tar_index
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.data.sources.tar_index import split_member
from reactions.modalities.audio import load_audio
from reactions.modalities.image import load_image
from reactions.modalities.registry import load


def opened(path: Path | str, modality="image", cache: Path | None = None, **options):
    source = Source(paths=(str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("shards", modality, [source], tables=TableCache(cache))


def ids(corpus: SourceCorpus) -> list[str]:
    return [item.id for item in corpus.items(0, len(corpus))]


def bad(corpus: SourceCorpus) -> dict[str, str]:
    return {bad.id: bad.why for bad in corpus.bad()}


def sample(key: str, seed: int, caption: str) -> dict[str, bytes | str]:
    return {
        f"{key}.jpg": image_bytes(seed, "JPEG"),
        f"{key}.json": json.dumps({"caption": f"{caption}!", "n": seed}),
        f"{key}.txt": caption,
        f"{key}.flac": sound_bytes(seed, "FLAC"),
    }


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    put_tar(tmp_path / "s-0000.tar", {**sample("000", 0, "rain"), **sample("001", 1, "wind")})
    put_tar(tmp_path / "s-0001.tar", sample("002", 2, "hail"))
    return tmp_path / "s-{0000..0001}.tar"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("000.jpg", ("000", "jpg")),
        ("a/b.c/000.left.JPG", ("a/b.c/000", "left.jpg")),
        ("./000.jpg", ("000", "jpg")),
        ("a/.hidden", ("", "")),
        ("a/README", ("", "")),
        ("", ("", "")),
    ],
)
def test_member_names(name: str, parts: tuple[str, str]) -> None:
    assert split_member(name) == parts


def test_images_sounds_and_captions_of_samples(shards: Path) -> None:
    images, sounds, texts = (opened(shards, m) for m in ("image", "audio", "text"))
    assert ids(images) == ids(sounds) == ids(texts) == ["000", "001", "002"]
    for row in range(3):
        picture = load(images.items(row, row + 1)[0]).value
        np.testing.assert_array_equal(picture, load_image(image_bytes(row, "JPEG")))
        sound = load(sounds.items(row, row + 1)[0]).value
        expected = load_audio(sound_bytes(row, "FLAC"))
        np.testing.assert_array_equal(sound.samples, expected.samples)
    assert [item.value for item in texts.items(0, 3)] == ["rain", "wind", "hail"]
    assert images.size_bytes == sum(len(image_bytes(row, "JPEG")) for row in range(3))


def test_shards_and_files_of_the_same_contents_are_one_corpus(shards: Path) -> None:
    items = [Item(f"00{n}", "image", image_bytes(n, "JPEG")) for n in range(3)]
    assert opened(shards).digest == ListCorpus("x", "image", items).digest
    texts = TextCorpus("x", ["rain", "wind", "hail"], ["000", "001", "002"])
    assert opened(shards, "text").digest == texts.digest


def test_captions_from_json(tmp_path: Path) -> None:
    record = {"text": ["rain", "wind"], "title": "t"}
    members = {"a.flac": sound_bytes(), "a.json": json.dumps(record), "b.json": '{"title": "u"}'}
    path = put_tar(tmp_path / "x.tar", members)
    texts = opened(path, "text")
    assert [(i.id, i.value) for i in texts.items(0, 9)] == [
        ("a/0", "rain"),
        ("a/1", "wind"),
        ("b", "u"),
    ]
    titles = opened(path, "text", columns=("title",))
    assert [i.value for i in titles.items(0, 9)] == ["t", "u"]


def test_a_member_can_be_chosen(tmp_path: Path) -> None:
    left, right = image_bytes(1), image_bytes(2)
    path = put_tar(tmp_path / "x.tar", {"a.left.png": left, "a.right.png": right, "b.png": left})
    corpus = opened(path)
    assert ids(corpus) == ["b"]
    assert bad(corpus)["a"] == ('several image files, left.png, right.png; say member = "left.png"')
    chosen = opened(path, member="right.png")
    assert ids(chosen) == ["a"]
    assert chosen.items(0, 1)[0].value.read() == right
    assert "it has no right.png, but png" in bad(chosen)["b"]


def test_a_plain_file_comes_before_one_with_more_in_its_name(tmp_path: Path) -> None:
    path = put_tar(tmp_path / "x.tar", {"a.png": image_bytes(1), "a.mask.png": image_bytes(2)})
    assert opened(path).items(0, 1)[0].value.read() == image_bytes(1)


def test_keys_that_shards_repeat_get_the_shards_name(tmp_path: Path) -> None:
    for shard in ("a", "b"):
        put_tar(tmp_path / f"{shard}.tar", {"0.png": image_bytes(ord(shard)), "0.txt": shard})
    assert ids(opened(tmp_path / "*.tar")) == ["a/0", "b/0"]
    assert ids(opened(tmp_path / "*.tar", "text")) == ["a/0", "b/0"]
    assert ids(opened(tmp_path / "a.tar")) == ["0"]


def test_remote_shards(shards: Path) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for number in range(2):
        name = f"s-000{number}.tar"
        with fs.open(f"/set/{name}", "wb") as stream:
            stream.write((shards.parent / name).read_bytes())
    corpus = opened("memory://set/s-*.tar")
    assert corpus.digest == opened(shards).digest
    assert load(corpus.items(2, 3)[0]).value.shape == (8, 12, 3)


def test_long_names_and_other_members_do_no_harm(tmp_path: Path) -> None:
    stream = io.BytesIO()
    name = "folder/" + "n" * 150 + ".png"
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
            info = tarfile.TarInfo(f"kind{kind!r}.png")
            info.type, info.linkname = kind, "x"
            tar.addfile(info)
        info = tarfile.TarInfo(name)
        info.size = len(image_bytes())
        tar.addfile(info, io.BytesIO(image_bytes()))
    corpus = opened(put(tmp_path / "x.tar", stream.getvalue()))
    assert ids(corpus) == [name.removesuffix(".png")]
    assert load(corpus.items(0, 1)[0]).value.shape == (8, 12, 3)


# --- bad input ---


def test_bad_members_are_counted(tmp_path: Path) -> None:
    members = {
        "a.png": image_bytes(1),
        "b.png": image_bytes(2)[:-30],
        "c.png": b"",
        "d.txt": "no picture",
        "e.png": image_bytes(3),
    }
    corpus = opened(put_tar(tmp_path / "x.tar", members))
    assert ids(corpus) == ["a", "e"]
    problems = bad(corpus)
    assert list(problems) == ["b", "c", "d"]
    assert problems["d"] == "no image file, but txt"
    assert corpus.skipped.first[0].place == f"{tmp_path}/x.tar/b.png"
    texts = opened(tmp_path / "x.tar", "text")
    assert ids(texts) == ["d"]
    assert bad(texts)["a"] == "no caption, but png"


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for seed in (1, 2):
            info = tarfile.TarInfo("a.png")
            info.size = len(image_bytes(seed))
            tar.addfile(info, io.BytesIO(image_bytes(seed)))
        info = tarfile.TarInfo("b.png")
        info.size = len(image_bytes(3))
        tar.addfile(info, io.BytesIO(image_bytes(3)))
    corpus = opened(put(tmp_path / "x.tar", stream.getvalue()))
    assert bad(corpus) == {"a": "'a.png' is in the tar twice"}


@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.62, 0.8])
def test_a_truncated_tar_is_an_error_not_a_smaller_corpus(tmp_path: Path, share: float) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for seed in range(8):
            data = image_bytes(seed, size=(30, 30))
            info = tarfile.TarInfo(f"{seed}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        end = tar.offset
    data = stream.getvalue()[:end]
    # Anywhere but between two members, where a tar without its end is legal.
    path = put(tmp_path / "x.tar", data[: int(len(data) * share) // 512 * 512 + 100])
    with pytest.raises(DataError, match=r"the tar '.*x.tar' is damaged") as caught:
        opened(path)
    assert "cut short" in caught.value.why or "end" in caught.value.why
    assert "download it again" in caught.value.fix


def test_the_member_that_was_cut_is_named(tmp_path: Path) -> None:
    path = put_tar(tmp_path / "x.tar", {"a.png": image_bytes(1), "b.png": image_bytes(2)})
    data = path.read_bytes()
    put(path, data[: data.rindex(image_bytes(2)) + len(image_bytes(2)) - 7])
    with pytest.raises(DataError) as caught:
        opened(path)
    assert caught.value.why == "it is cut short: 'b.png' lacks 7 bytes"


def test_garbage_between_members(tmp_path: Path) -> None:
    path = put_tar(tmp_path / "x.tar", {"a.png": image_bytes(1), "b.png": image_bytes(2)})
    data = bytearray(path.read_bytes())
    second = data.index(b"b.png")
    data[second : second + 512] = b"\xaa" * 512
    put(path, bytes(data))
    with pytest.raises(DataError, match="is damaged") as caught:
        opened(path)
    assert f"at byte {second}" in caught.value.why


@pytest.mark.parametrize(("data", "words"), [(b"", "it is empty"), (b"x" * 700, "")])
def test_files_that_are_not_tars(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match="is damaged") as caught:
        opened(put(tmp_path / "x.tar", data))
    assert words in caught.value.why


def test_compressed_tars_are_refused(tmp_path: Path) -> None:
    import gzip

    path = put_tar(tmp_path / "x.tar", {"a.png": image_bytes()})
    put(path, gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match=r"is compressed \(gzip\)") as caught:
        opened(path)
    assert "unpack it" in caught.value.fix


def test_shards_without_the_modality(tmp_path: Path) -> None:
    path = put_tar(tmp_path / "x.tar", {"a.cls": "3", "b.cls": "4"})
    for modality in ("image", "text"):
        with pytest.raises(MissingError, match=f"no {modality} at") as caught:
            opened(path, modality)
        assert caught.value.why == "samples hold .cls (2)"
    with pytest.raises(MissingError) as caught:
        opened(put_tar(tmp_path / "y.tar", {}))
    assert "no samples" in caught.value.why
    with pytest.raises(UsageError, match="smell"):
        opened(path, "smell")


def test_a_shard_that_shrank_after_the_scan(shards: Path) -> None:
    corpus = opened(shards)
    path = shards.parent / "s-0001.tar"
    put(path, path.read_bytes()[:600])
    with pytest.raises(DataError, match=r"s-0001.tar/002.jpg' changed"):
        load(corpus.items(2, 3)[0])


# --- remembering ---


def test_tars_are_read_once_and_only_those_that_changed_again(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_scanned: list[str] = []
    real = tar_index._index

    def index(shard, modality, depth):
        names_scanned.append(shard.name)
        return real(shard, modality, depth)

    monkeypatch.setattr(tar_index, "_index", index)
    cache = tmp_path / "cache"
    first = opened(shards, cache=cache)
    digest = first.digest
    opened(shards, "text", cache=cache)
    assert names_scanned == ["s-0000.tar", "s-0001.tar"]
    reopened = opened(shards, cache=cache)
    assert reopened.digest == digest
    assert reopened.items(0, 3) == first.items(0, 3)
    assert len(names_scanned) == 2
    members = sample("002", 5, "snow")
    path = put_tar(shards.parent / "s-0001.tar", members)
    put(path, path.read_bytes(), when_s=1_600_000_001)
    assert opened(shards, cache=cache).digest != digest
    assert names_scanned[2:] == ["s-0001.tar"]
    assert [i.value for i in opened(shards, "text", cache=cache).items(0, 3)][2] == "snow"


def test_an_index_that_was_killed_goes_on_at_the_shard(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tar_index._index
    names_scanned: list[str] = []

    def index(shard, modality, depth):
        if shard.name == "s-0001.tar" and not names_scanned.count("s-0001.tar"):
            names_scanned.append(shard.name)
            raise KeyboardInterrupt
        names_scanned.append(shard.name)
        return real(shard, modality, depth)

    monkeypatch.setattr(tar_index, "_index", index)
    with pytest.raises(KeyboardInterrupt):
        opened(shards, cache=tmp_path / "cache")
    assert len(opened(shards, cache=tmp_path / "cache")) == 3
    assert names_scanned == ["s-0000.tar", "s-0001.tar", "s-0001.tar"]


def test_what_a_full_check_found_is_left_out_ever_after(tmp_path: Path) -> None:
    data = bytearray(sound_bytes(form="FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    cache = tmp_path / "cache"
    put_tar(tmp_path / "0.tar", {"a.flac": bytes(data), "b.flac": sound_bytes(1, "FLAC")})
    assert ids(opened(tmp_path / "*.tar", "audio", cache)) == ["a", "b"]
    full = opened(tmp_path / "*.tar", "audio", cache, check="full")
    corpus = opened(tmp_path / "*.tar", "audio", cache)
    assert ids(corpus) == ids(full) == ["b"]
    assert bad(corpus) == bad(full)
    # Likewise beside a shard that is new, until its own is replaced.
    put_tar(tmp_path / "1.tar", {"c.flac": sound_bytes(2, "FLAC")})
    assert ids(opened(tmp_path / "*.tar", "audio", cache)) == ["b", "c"]
    path = put_tar(tmp_path / "0.tar", {"a.flac": sound_bytes(3, "FLAC")})
    put(path, path.read_bytes(), when_s=1_600_000_001)
    assert ids(opened(tmp_path / "*.tar", "audio", cache)) == ["a", "c"]


def test_members_are_decoded_side_by_side(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=120)  # a scan that takes one at a time never gets past it

    def check(modality, source, depth):
        both.wait()
        return ""

    monkeypatch.setattr(tar_index, "check", check)
    # Two images and two sounds.
    assert len(opened(shards.parent / "s-0000.tar", check="full")) == 2


@pytest.mark.parametrize(("members", "size_bytes"), [(1, 1 << 26), (2, 1 << 26), (256, 300)])
def test_how_many_are_looked_at_together_does_not_matter(
    shards: Path, monkeypatch: pytest.MonkeyPatch, members: int, size_bytes: int
) -> None:
    before = opened(shards)
    monkeypatch.setattr(tar_index, "_BATCH_MEMBERS", members)
    monkeypatch.setattr(tar_index, "_BATCH_BYTES", size_bytes)
    after = opened(shards)
    assert after.digest == before.digest
    assert after.items(0, 3) == before.items(0, 3)


def test_huge_members_are_hashed_in_pieces(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = opened(shards).digest
    monkeypatch.setattr(tar_index, "_HELD_BYTES", 10)
    monkeypatch.setattr(tar_index, "_CHUNK_BYTES", 7)
    assert opened(shards).digest == digest
