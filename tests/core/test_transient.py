"""Failures for want of memory or descriptors are not verdicts: not remembered, not left out."""

import errno
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pytest
from media_files import image_bytes, patch_decoder, put, sound_bytes
from pyarrow import parquet

from reactions.core.errors import EXIT_STEP_FAILED, MediaError
from reactions.core.transient import TransientError, is_transient
from reactions.data.manifest import read_items
from reactions.data.scan_cache import TableCache
from reactions.data.sources import captions, files
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.modalities.image import IMAGE
from reactions.modalities.registry import check

_PASSING = [
    MemoryError(),
    OSError(errno.ENOMEM, "x"),
    OSError(errno.EMFILE, "x"),
    OSError(errno.ENFILE, "x"),
    OSError(errno.EIO, "x"),
    OSError(errno.ESTALE, "x"),
    OSError(errno.ENOBUFS, "x"),
    TimeoutError("the server did not answer"),
    ConnectionResetError(),
    OSError("out of memory error when reading image file"),
    RuntimeError("Internal malloc () failed."),
    RuntimeError(f"System error : {os.strerror(errno.EIO)}."),
]
_LASTING = [
    FileNotFoundError(errno.ENOENT, "x"),
    PermissionError(errno.EACCES, "x"),
    IsADirectoryError(errno.EISDIR, "x"),
    OSError(errno.ELOOP, "x"),
    OSError("image file is truncated (3 bytes not processed)"),
    RuntimeError("Format not recognised."),
    ValueError("no"),
    None,
]


@pytest.mark.parametrize("error", _PASSING, ids=repr)
def test_what_may_not_come_again(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", _LASTING, ids=repr)
def test_what_is_said_of_the_file(error: Exception | None) -> None:
    assert not is_transient(error)


def raising(
    real: Callable[..., object], error: Exception, bad: bytes, times: int
) -> Callable[..., object]:
    """Return a decoder that fails for one item, so often."""
    left = [times]

    def decode(stream: BinaryIO, path: str) -> object:
        data = stream.read()
        stream.seek(0)
        if data == bad and left[0]:
            left[0] -= 1
            if isinstance(error, MemoryError):
                raise error
            raise MediaError("cannot decode it", why="it looks damaged") from error
        return real(stream, path)

    return decode


@pytest.mark.parametrize("error", _PASSING, ids=repr)
def test_a_check_has_no_verdict(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    data = image_bytes(1)
    patch_decoder(monkeypatch, "image", raising(IMAGE.decode, error, data, 1))
    with pytest.raises(TransientError) as caught:
        check("image", data, "full")
    assert caught.value.exit_code == EXIT_STEP_FAILED
    assert check("image", data, "full") == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        put(tmp_path / f"set/{seed}.png", image_bytes(seed))
    return tmp_path / "set"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for seed in range(3):
            tar.add(put(tmp_path / f"members/{seed}.png", image_bytes(seed)), f"{seed}.png")
    return put(path, path.read_bytes())


def scanned(path: Path, cache: Path) -> SourceCorpus:
    source = Source(paths=(str(path),), max_bad=1.0, check="full")
    return open_corpus("pictures", "image", [source], tables=TableCache(cache))


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
@pytest.mark.parametrize("fixture_name", ["folder", "shard"])
def test_a_scan_stops_and_the_next_one_finds_everything(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    fixture_name: str,
) -> None:
    path, cache = request.getfixturevalue(fixture_name), tmp_path / "cache"
    expected = scanned(path, tmp_path / "other").digest
    with monkeypatch.context() as patch:
        patch_decoder(patch, "image", raising(IMAGE.decode, error, image_bytes(1), 9))
        with pytest.raises(TransientError, match=r"cannot look at .*1\.png. now") as caught:
            scanned(path, cache)
        assert "run it again" in caught.value.fix
    corpus = scanned(path, cache)
    assert len(corpus) == 3
    assert corpus.skipped.n_bad == 0
    assert corpus.digest == expected


@pytest.mark.parametrize("fixture_name", ["folder", "shard"])
def test_what_fails_beside_others_is_tried_alone(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fixture_name: str,
) -> None:
    patch_decoder(monkeypatch, "image", raising(IMAGE.decode, MemoryError(), image_bytes(1), 1))
    assert len(scanned(request.getfixturevalue(fixture_name), tmp_path / "cache")) == 3


def test_what_a_stopped_scan_looked_at_is_not_looked_at_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch_decoder(patch, "image", raising(IMAGE.decode, MemoryError(), image_bytes(2), 9))
        with pytest.raises(TransientError):
            scanned(folder, tmp_path / "cache")
    names_scanned: list[str] = []
    real = files.look_at_file

    def look(entry, **options):
        names_scanned.append(entry.name)
        return real(entry, **options)

    monkeypatch.setattr(files, "look_at_file", look)
    assert len(scanned(folder, tmp_path / "cache")) == 3
    assert names_scanned == ["2.png"]


@pytest.mark.parametrize(("number", "stops"), [(errno.EIO, True), (errno.EACCES, False)])
def test_disks_that_give_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, stops: bool
) -> None:
    real = files.file_digest

    def digest(path: Path) -> str:
        if path.name == "1.png":
            raise OSError(number, os.strerror(number))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "file_digest", digest)
        if stops:
            with pytest.raises(TransientError):
                scanned(folder, tmp_path / "cache")
        else:
            assert scanned(folder, tmp_path / "cache").skipped.n_bad == 1
            return
    assert len(scanned(folder, tmp_path / "cache")) == 3


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_files_of_a_pattern_never_seem_to_be_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    assert len(scanned(folder / "*.png", tmp_path / "cache")) == 3
    real = getattr(os, call) if call == "scandir" else Path.stat

    def fail(path: object, *args: object, **options: object) -> object:
        if str(path).endswith("set" if call == "scandir" else "1.png"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *args, **options)

    monkeypatch.setattr(os if call == "scandir" else Path, call, fail)
    with pytest.raises(TransientError):
        scanned(folder / "*.png", tmp_path / "cache")


def test_files_that_cannot_be_looked_at_give_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.wav", sound_bytes())

    def fail(*args: object, **options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(TransientError):
        list(read_items(["a.wav"], base=tmp_path))


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.parquet"])
def test_captions_that_cannot_be_read_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, name: str
) -> None:
    path = put(tmp_path / name, "caption\nrain\n" if name != "a.jsonl" else '{"text": "rain"}')
    if name == "a.parquet":
        parquet.write_table(pa.table({"caption": ["rain"]}), path)

    class Failing(io.BytesIO):
        def readline(self, *args: object) -> bytes:
            raise error

        def read(self, *args: object) -> bytes:
            raise error

    source = Source(paths=(str(path),))
    with monkeypatch.context() as patch:
        patch.setattr(captions, "open_binary", lambda url: Failing(path.read_bytes()))
        with pytest.raises(TransientError):
            open_corpus("x", "text", [source], tables=TableCache(tmp_path / "cache"))
    assert len(open_corpus("x", "text", [source], tables=TableCache(tmp_path / "cache"))) > 0
