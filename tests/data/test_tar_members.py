"""Tars: what ends one, and what no header of one can do."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from media_files import image_bytes, put, put_tar

from reactions.core.errors import DataError
from reactions.data import tar_members as module
from reactions.data.tar_members import TarMember, tar_members

BLOCK = 512


def members(data: bytes) -> list[TarMember]:
    return list(tar_members(io.BytesIO(data), "x.tar", len(data)))


def damage(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        members(data)
    assert caught.value.fix
    return f"{caught.value.what}: {caught.value.why}"


@pytest.fixture
def tar(tmp_path: Path) -> bytes:
    files = {f"{seed}.png": image_bytes(seed) for seed in range(3)}
    return put_tar(tmp_path / "x.tar", files).read_bytes()


def ends(data: bytes) -> list[int]:
    return [m.offset + -(-m.size_bytes // BLOCK) * BLOCK for m in members(data)]


def with_field(data: bytes, place: int, field: bytes) -> bytes:
    """A tar with a field of its first header replaced, and the checksum made to fit."""
    head = bytearray(data[:BLOCK])
    head[place : place + len(field)] = field
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[BLOCK:]


def test_every_member_is_found(tar: bytes) -> None:
    assert [m.name for m in members(tar)] == ["0.png", "1.png", "2.png"]
    assert [tar[m.offset :][: m.size_bytes] for m in members(tar)] == list(
        map(image_bytes, range(3))
    )


def test_a_cut_between_members_is_found(tar: bytes) -> None:
    for end in ends(tar):
        assert "cut short" in damage(tar[:end])
        assert "cut short" in damage(tar[:end] + bytes(BLOCK))  # one block is not two
        assert members(tar[:end] + bytes(2 * BLOCK))
    with pytest.raises(DataError) as caught:
        members(tar[: ends(tar)[-1]])
    assert "truncate -s +1024" in caught.value.fix


def test_a_cut_anywhere_is_found(tar: bytes) -> None:
    for stop in range(1, ends(tar)[-1] + 2 * BLOCK, 100):
        damage(tar[:stop])


def test_tars_that_were_joined(tar: bytes) -> None:
    assert "more follows its end" in damage(tar + tar)
    assert "more follows its end" in damage(tar + bytes(100) + b"x")
    assert len(members(tar + bytes(100_000))) == 3


def test_compressed_ones_are_named(tar: bytes) -> None:
    for cut in (None, len(gzip.compress(tar)) // 2):
        assert "is compressed (gzip)" in damage(gzip.compress(tar)[:cut])


@pytest.mark.parametrize(
    "size",
    [
        b"\xff" * 12,  # -1
        b"\xff" * 4 + b"\x80" + bytes(7),
        b"\xff" * 10 + b"\xfe\0",  # -512: the next header would be this one
        b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7,
        b"77777777777\0",
        b"not octal\0\0\0",
    ],
)
@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"g", b"S"])
def test_sizes_that_lie(tar: bytes, size: bytes, kind: bytes) -> None:
    damage(with_field(with_field(tar, 156, kind), 124, size))


def test_no_header_is_read_beyond_a_limit(tar: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as long:
        info = tarfile.TarInfo("k" * 3000 + ".png")
        long.addfile(info, io.BytesIO())
    assert members(stream.getvalue())[0].name == info.name
    monkeypatch.setattr(module, "MAX_HEADER_BYTES", 1000)
    assert "more than 1000" in damage(stream.getvalue())


def test_a_further_field_that_lies() -> None:
    record = b"18 size=-5000000\n"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, len(record)
        tar.addfile(info, io.BytesIO(record))
        tar.addfile(tarfile.TarInfo("a.png"), io.BytesIO())
    damage(stream.getvalue())


def test_folders_and_links_are_not_members(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l.png", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            tar.addfile(info)
    assert members(put(tmp_path / "x.tar", stream.getvalue()).read_bytes()) == []
