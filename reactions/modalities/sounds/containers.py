"""Where the samples of a sound lie in its file, by its header, held against the file's size.

libsndfile shortens what was cut short without a word, wherever the header and the file disagree;
here the chunk of samples itself is compared with what is there, whatever the header's other sizes
say: a size that was made to fit afterwards hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

STREAMED_BYTES = 0x7F000000
"""Writers that cannot seek back leave sizes from here to 2**32 - 1 in the header, or 0."""

_MAX_CHUNKS = 10_000
_TAIL_BYTES = 512
"""After the samples of a file this many bytes of any kind do not matter."""

# A chunk's name, or the start of a tag that programs append to any file.
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9_ ]{4}|\0?(ID3|TAG|APETAGEX)", re.DOTALL)
_W64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")


class Damage(Exception):
    """Samples are missing; the message says how that shows, lower case, no full stop."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The chunk that holds a file's samples.

    Attributes:
        start: where it begins.
        size_bytes: what is there of it.
        mpeg: whether it is a stream of MPEG audio (MP3 in WAV).
        sized: (place, bytes) to put into the header where it leaves the size open: decoders take
            some of the ways to say so for an empty sound.
    """

    start: int
    size_bytes: int
    mpeg: bool = False
    sized: tuple[int, bytes] | None = None


def find_samples(stream: BinaryIO, size_bytes: int) -> Samples | None:
    """Find the samples of a WAV, RF64, W64, AIFF, 8SVX, AU, CAF or NIST file.

    Args:
        stream: of the file; moved.
        size_bytes: of the file.

    Returns:
        None for other files, and for headers that hold no samples: decoders judge those.

    Raises:
        Damage: the file ends before its samples do, or several files were joined.
    """
    stream.seek(0)
    head = stream.read(40)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return _riff(stream, head, size_bytes)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV"):
        return _iff(stream, head, size_bytes)
    if head[:16] == _W64:
        return _w64(stream, size_bytes)
    if head[:4] in (b".snd", b"dns."):
        return _au(stream, head, size_bytes)
    if head[:4] == b"caff":
        return _caf(stream, size_bytes)
    if head[:8] == b"NIST_1A\n":
        return _nist(stream, size_bytes)
    return None


def _riff(stream: BinaryIO, head: bytes, size_bytes: int) -> Samples | None:
    order: Literal["little", "big"] = "big" if head[:4] == b"RIFX" else "little"
    whole = int.from_bytes(head[4:8], order)
    mpeg = False
    long_size, long_place = -1, 0
    samples: Samples | None = None
    for name, start, size in _chunks(stream, 12, order):
        if name == b"ds64":
            # ds64: the file's size, then that of the samples, 8 bytes each.
            long_size, long_place = int.from_bytes(stream.read(16)[8:], "little"), start + 8
        elif name == b"fmt ":
            fields = stream.read(min(size, 40))
            tag = int.from_bytes(fields[:2], order)
            # WAVE_FORMAT_EXTENSIBLE: the format's own tag begins the GUID at byte 24.
            if tag == 0xFFFE and len(fields) >= 26:
                tag = int.from_bytes(fields[24:26], order)
            mpeg = tag in (0x50, 0x55)  # WAVE_FORMAT_MPEG, WAVE_FORMAT_MPEGLAYER3
        elif name == b"data":
            sized = (start - 4, (min(size_bytes - start, STREAMED_BYTES)).to_bytes(4, order))
            if head[:4] == b"RF64" and size == 0xFFFFFFFF:
                size = long_size if long_size not in (0, (1 << 64) - 1) else -1
                sized = (long_place, (size_bytes - start).to_bytes(8, "little"))
            elif size >= STREAMED_BYTES or (size == 0 and _is_streamed(whole, size_bytes)):
                size = -1
            samples = _held(start, size, size_bytes, sized, mpeg)
            if size < 0:
                return samples
            break
    if samples is None:
        return None
    # One byte of slack: many writers count the pad byte without writing it.
    if head[:4] != b"RF64" and whole < STREAMED_BYTES and size_bytes + 1 < whole + 8:
        raise Damage(f"it is cut short: {size_bytes} of {whole + 8} bytes")
    # Chunks are padded to even lengths. The file's own size may say otherwise: look at both.
    ends = {samples.start + samples.size_bytes + samples.size_bytes % 2}
    if head[:4] != b"RF64" and whole < STREAMED_BYTES:
        ends.add(8 + whole + whole % 2)
    _check_alone(stream, ends, head[:4], b"WAVE", 8)
    _check_tail(stream, samples, size_bytes)
    return samples


def _is_streamed(whole: int, size_bytes: int) -> bool:
    """Return whether a size of 0 means that it is unknown: the file goes on behind its header."""
    return whole in (0, 8) or whole >= STREAMED_BYTES or whole + 9 < size_bytes


def _iff(stream: BinaryIO, head: bytes, size_bytes: int) -> Samples | None:
    whole = int.from_bytes(head[4:8], "big")
    least = 0
    samples: Samples | None = None
    for name, start, size in _chunks(stream, 12, "big"):
        if name == b"COMM":
            least = _aiff_bytes(stream.read(min(size, 26)), head[8:12])
        elif name in (b"SSND", b"BODY"):
            extra = 8 if name == b"SSND" else 0  # SSND begins with an offset and a block size
            if size >= STREAMED_BYTES or (size in (0, extra) and _is_streamed(whole, size_bytes)):
                size = -1
            elif size - extra < least:
                raise Damage(f"it is cut short: {size - extra} of {least} bytes of samples")
            sized = (start - 4, (min(size_bytes - start, STREAMED_BYTES)).to_bytes(4, "big"))
            samples = _held(start, size, size_bytes, sized)
            if size < 0 and size_bytes - start - extra < least:
                raise Damage(f"it is cut short: {size_bytes - start} of {least} bytes of samples")
    if samples is not None and whole < STREAMED_BYTES:
        if size_bytes + 1 < whole + 8:
            raise Damage(f"it is cut short: {size_bytes} of {whole + 8} bytes")
        if whole:
            # Three letters, so that an AIFC behind an AIFF is seen.
            _check_alone(stream, {8 + whole + whole % 2}, b"FORM", head[8:11], 8)
        if samples.sized is None:
            _check_tail(stream, samples, size_bytes)
    return samples


def _aiff_bytes(common: bytes, form: bytes) -> int:
    """Return how many bytes of samples an AIFF's header counts; 0 where they are compressed."""
    # Not compressed: NONE, and samples in either byte order (sowt is little-endian).
    if len(common) < 18 or (form == b"AIFC" and common[18:22] not in (b"NONE", b"sowt", b"twos")):
        return 0
    channels = int.from_bytes(common[:2], "big")
    frames = int.from_bytes(common[2:6], "big")
    return channels * frames * -(-int.from_bytes(common[6:8], "big") // 8)


def _w64(stream: BinaryIO, size_bytes: int) -> Samples | None:
    place = 40  # behind two GUIDs and the file's size
    for _ in range(_MAX_CHUNKS):
        stream.seek(place)
        head = stream.read(24)
        if len(head) < 24:
            return None
        size = int.from_bytes(head[16:], "little", signed=True)
        if head[:4] == b"data":
            # Sizes count the chunk's header. Streams leave 0, -1 or the header's alone.
            unknown = size in (0, -1, 24) and place + 24 < size_bytes
            sized = (place + 16, (size_bytes - place).to_bytes(8, "little"))
            samples = _held(place + 24, -1 if unknown else size - 24, size_bytes, sized)
            end = place + size + -size % 8
            if not unknown:
                _check_alone(stream, {place + size, end}, _W64, b"", 16)
            return samples
        if size < 24:
            return None
        place += size + -size % 8  # chunks are aligned to 8 bytes
    return None


def _au(stream: BinaryIO, head: bytes, size_bytes: int) -> Samples | None:
    order: Literal["little", "big"] = "big" if head[:4] == b".snd" else "little"
    start = int.from_bytes(head[4:8], order)
    size = int.from_bytes(head[8:12], order)
    if size >= STREAMED_BYTES or (size == 0 and start < size_bytes):
        size = -1
    sized = (8, max(0, min(size_bytes - start, STREAMED_BYTES)).to_bytes(4, order))
    samples = _held(start, size, size_bytes, sized)
    if size > 0:
        _check_alone(stream, {start + size, start + size + size % 2}, head[:4], b"", 8)
        _check_tail(stream, samples, size_bytes)
    return samples


def _caf(stream: BinaryIO, size_bytes: int) -> Samples | None:
    place = 8  # behind magic, version and flags
    samples: Samples | None = None
    for _ in range(_MAX_CHUNKS):
        stream.seek(place)
        head = stream.read(12)
        if len(head) < 12:
            return samples
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"data":
            unknown = size < 0 or (size == 0 and place + 12 < size_bytes)
            sized = (place + 4, (size_bytes - place - 12).to_bytes(8, "big"))
            samples = _held(place + 12, -1 if unknown else size, size_bytes, sized)
            if unknown:
                return samples
            _check_tail(stream, samples, size_bytes)
        elif head[:4] == b"caff" and samples is not None:
            _check_alone(stream, {place}, b"caff", b"desc", 8)
        if size < 0:
            return samples
        place += 12 + size
    return samples


def _nist(stream: BinaryIO, size_bytes: int) -> Samples | None:
    stream.seek(0)
    text = stream.read(1 << 14).decode("latin-1")
    # Numbers are integers (-i), or texts of so many characters (-s1), as libsndfile writes some.
    fields = dict(re.findall(r"^(\w+) -(?:i|s\d+) (\d{1,18})\s*$", text, re.MULTILINE))
    start = re.match(r"NIST_1A\n\s*(\d{1,9})\n", text)
    if start is None:
        return None
    size = -1
    if {"sample_count", "sample_n_bytes"} <= fields.keys():
        n_channels = int(fields.get("channel_count", 1))
        size = int(fields["sample_count"]) * int(fields["sample_n_bytes"]) * n_channels
    if "embedded" in text[: int(start[1])]:  # shortened by a codec
        size = -1
    samples = _held(int(start[1]), size, size_bytes, None)
    if size > 0:
        end = samples.start + size
        _check_alone(stream, {end, end + size % 2}, b"NIST_1A\n", b"", 8)
    return samples


def _chunks(
    stream: BinaryIO, place: int, order: Literal["little", "big"]
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and size of a file's chunks, each with the stream at its start."""
    for _ in range(_MAX_CHUNKS):
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], order)
        yield head[:4], place + 8, size
        place += 8 + size + size % 2  # padded to an even length


def _held(
    start: int, size: int, size_bytes: int, sized: tuple[int, bytes] | None, mpeg: bool = False
) -> Samples:
    """Return the samples, held against the file.

    Args:
        start: where they begin.
        size: how many bytes they are said to have; negative if that is unknown.
        size_bytes: of the file.
        sized: what says their size where it is unknown.
        mpeg: whether they are MPEG audio.
    """
    n_bytes = max(0, size_bytes - start)
    if size > n_bytes:
        raise Damage(f"it is cut short: {n_bytes} of {size} bytes of samples")
    if size < 0:
        return Samples(start, n_bytes, mpeg, sized)
    return Samples(start, size, mpeg)


def _check_tail(stream: BinaryIO, samples: Samples, size_bytes: int) -> None:
    """Refuse samples that go on behind their chunk's end: decoders would stop in the middle."""
    end = samples.start + samples.size_bytes
    if size_bytes - end <= _TAIL_BYTES:
        return
    # The next chunk, with or without the pad byte, which some writers leave out.
    for place in (end, end + end % 2):
        stream.seek(place)
        if _CHUNK_NAME.match(stream.read(8)):
            return
    stream.seek(end)
    while block := stream.read(1 << 20):
        if block.strip(b"\0"):
            raise Damage(
                f"its header counts {samples.size_bytes} bytes of samples, and {size_bytes - end} "
                "bytes follow that are something else, or more of them"
            )


def _check_alone(
    stream: BinaryIO, ends: set[int], magic: bytes, form: bytes, form_place: int
) -> None:
    """Refuse a file behind whose end another one of its kind begins: decoders stop there."""
    for end in ends:
        stream.seek(end)
        head = stream.read(form_place + 4)
        if head.startswith(magic) and head[form_place:].startswith(form) and len(head) > 8:
            raise Damage(f"several sounds were joined: another one begins at byte {end}")
