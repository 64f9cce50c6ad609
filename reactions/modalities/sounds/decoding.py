"""Sounds decoded within limits and to their ends: what is there decides, no header's promise.

A sound may take 4 bytes a frame (a sample of each channel) besides a block, and its encoded bytes
once more where they have to be taken apart: 0.7 GB for an hour of 48 kHz.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from reactions.modalities.sounds import containers, mpeg_frames, ogg_pages
from reactions.modalities.sounds.samples import Downmix, Limits, Refused
from reactions.modalities.sounds.sndfile import open_sound

if TYPE_CHECKING:
    import soundfile
    from numpy.typing import NDArray

FORMATS = frozenset(
    ("AIFF", "AU", "CAF", "FLAC", "MP3", "NIST", "OGG", "RF64", "SVX", "W64", "WAV", "WAVEX")
)
"""Formats that are decoded: those whose files show whether they are whole."""

MAX_TAKEN_APART_BYTES = 1 << 28
"""Encoded sounds that are taken apart in memory: chained Ogg, and MPEG audio."""

_HELD = FORMATS - {"FLAC", "MP3", "OGG"}
"""Formats whose samples lie in one chunk."""

_BLOCK_SAMPLES = 1 << 20
_HEAD_BYTES = 1 << 13
_UNKNOWN_FRAMES = 1 << 62
"""libsndfile's count of frames where a header does not say, such as a piped FLAC's, is above."""

# Not the magic alone, which compressed samples may hold by chance: a STREAMINFO block of 34
# bytes always follows it.
_FLAC = b"fLaC\0\0\0\x22"


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is decoded in one go.

    Attributes:
        data: its bytes; None for the whole file as it is.
        frames: how many frames it gives; None for what its header says.
        slack: how many may be missing, of a length header that counts itself.
        held: where its samples lie, where that is known.
    """

    data: bytes | None = None
    frames: int | None = None
    slack: int = 0
    held: containers.Samples | None = None


def decode(stream: BinaryIO, limits: Limits, downmix: Downmix) -> tuple[NDArray[np.float32], int]:
    """Decode a sound to mono, all of it.

    Args:
        stream: of the file; where it is a real file, it is read by libsndfile itself.
        limits: held before memory is taken.
        downmix: makes one channel of several.

    Returns:
        (n,) float32 samples in [-1, 1], n >= 1, and the rate in Hz.

    Raises:
        Refused: it is cut short, empty, beyond the limits, or holds what is not a sound.
        RuntimeError: libsndfile cannot decode it.
    """
    pieces, _ = _pieces(stream, limits)
    # Grown in place and handed on without a copy; a list of blocks would hold the sound twice.
    samples: array[float] = array("f")
    rate_hz = 0
    for piece in pieces:
        own_rate_hz = _decode_piece(stream, piece, samples, limits, downmix)
        if rate_hz not in (0, own_rate_hz):
            raise Refused(f"it joins sounds of {rate_hz} Hz and {own_rate_hz} Hz", "take it apart")
        rate_hz = own_rate_hz
    if not samples:
        raise Refused("it has no samples")
    return np.frombuffer(samples, np.float32), rate_hz


def is_whole(stream: BinaryIO, limits: Limits) -> bool:
    """Return whether header and end prove a sound whole and within limits, without decoding it.

    Returns:
        False where only decoding shows it.

    Raises:
        Refused: it is certainly not.
        RuntimeError: libsndfile cannot open it.
    """
    pieces, proven = _pieces(stream, limits)
    if proven or len(pieces) > 1 or pieces[0].data is not None:
        return proven
    with open_sound(stream, forward=False) as sound:
        n = sound.frames
        _check_format(sound, pieces[0])
        # Floats may be NaN.
        if not 0 < n < _UNKNOWN_FRAMES or sound.subtype in ("FLOAT", "DOUBLE"):
            return False
        limits.check(n, sound.channels, sound.samplerate)
        if not sound.seekable():
            return False
        # A file that was cut short has no last frame to give.
        sound.seek(n - 1)
        return len(sound.read(1, dtype="float32")) == 1


# --- taking apart --------------------------------------------------------------------


def _pieces(stream: BinaryIO, limits: Limits) -> tuple[list[_Piece], bool]:
    """Return what to decode, in order, and whether it is proven to be whole."""
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    try:
        samples = containers.find_samples(stream, size_bytes)
        if samples is not None:
            if samples.mpeg:
                return _mpeg(_read(stream, samples.start, samples.size_bytes), limits)
            return [_Piece(held=samples)], False
        if head.startswith(b"OggS"):
            return _ogg(stream, size_bytes), False
        if head.startswith(b"fLaC"):
            _check_alone(stream, size_bytes)
            return [_Piece()], False
        if mpeg_frames.is_mpeg(_after_tag(stream, head)) or _is_mpeg(stream):
            return _mpeg(_read(stream, 0, size_bytes), limits)
    except (containers.Damage, ogg_pages.OggDamage, mpeg_frames.MpegDamage) as error:
        raise Refused(str(error)) from error
    return [_Piece()], False


def _ogg(stream: BinaryIO, size_bytes: int) -> list[_Piece]:
    links = ogg_pages.read_links(stream, size_bytes)
    if len(links) == 1:
        return [_Piece()]
    return [_Piece(_read(stream, start, stop - start)) for start, stop in links]


def _mpeg(data: bytes, limits: Limits) -> tuple[list[_Piece], bool]:
    parts, whole = mpeg_frames.read_parts(data)
    if not parts:
        raise Refused("it has no frames that state their length")
    for part in parts:
        limits.check(sum(p.samples for p in parts), part.channels, part.rate_hz)
    pieces = [
        _Piece(
            part.encoded(data),
            None if part.has_length else part.samples,
            slack=2 * part.frame_samples,
        )
        for part in parts
    ]
    # decode() refuses sounds of several rates.
    return pieces, whole and len({part.rate_hz for part in parts}) == 1


def _after_tag(stream: BinaryIO, head: bytes) -> bytes:
    """Return what follows a tag at the start, which may hold a picture larger than the head."""
    start = mpeg_frames.skip_tags(head, 0)
    return _read_part(stream, start, _HEAD_BYTES) if start else head


def _is_mpeg(stream: BinaryIO) -> bool:
    """Return whether a file that does not begin as one is MPEG audio all the same."""
    import soundfile

    try:
        with open_sound(stream) as sound:
            return bool(sound.format == "MP3")
    except soundfile.LibsndfileError:  # a stream may begin in the middle of a frame
        return mpeg_frames.begins_late(_read_part(stream, 0, 4 * mpeg_frames.MAX_LEAD_BYTES))


def _check_alone(stream: BinaryIO, size_bytes: int) -> None:
    """Refuse several FLACs in one file: decoders read the first one."""
    place = 4
    while place < size_bytes:
        # Blocks overlap, so that a marker across their border is found.
        offset = _read_part(stream, place, (1 << 20) + len(_FLAC) - 1).find(_FLAC)
        if offset >= 0:
            raise Refused(
                f"several sounds were joined: another one begins at byte {place + offset}"
            )
        place += 1 << 20


def _read_part(stream: BinaryIO, start: int, size_bytes: int) -> bytes:
    stream.seek(start)
    return stream.read(size_bytes)


def _read(stream: BinaryIO, start: int, size_bytes: int) -> bytes:
    if size_bytes > MAX_TAKEN_APART_BYTES:
        limit = f"more than {MAX_TAKEN_APART_BYTES >> 20} MiB of this kind are not decoded"
        raise Refused(f"it has {size_bytes} bytes; {limit}", "cut it up")
    return _read_part(stream, start, size_bytes)


# --- decoding ------------------------------------------------------------------------


def _decode_piece(
    stream: BinaryIO, piece: _Piece, samples: array[float], limits: Limits, downmix: Downmix
) -> int:
    """Append a piece's samples, mono, and return its rate in Hz."""
    with _open(stream, piece) as sound:
        _check_format(sound, piece)
        channels, rate_hz = sound.channels, int(sound.samplerate)
        declared = sound.frames if sound.frames < _UNKNOWN_FRAMES else 0
        limits.check(len(samples) + (piece.frames or declared), channels, rate_hz)
        downmix.check(channels)
        # Not past the end: what may follow there, such as a tag, does not concern a decoder.
        n_left = (declared or sys.maxsize) if piece.frames is None else piece.frames
        n = 0
        block = np.empty((max(1, _BLOCK_SAMPLES // channels), channels), np.float32)
        while n_left > 0 and len(frames := sound.read(min(n_left, len(block)), out=block)):
            mono = downmix.add(frames)
            n += len(mono)
            n_left -= len(mono)
            # Block by block, too: what declares no length could not be checked beforehand.
            limits.check(len(samples) + len(mono), channels, rate_hz)
            samples.frombytes(mono.tobytes())
    expected = declared if piece.frames is None else piece.frames
    if n < expected - piece.slack:
        raise Refused(f"it is cut short: {n} of {expected} frames")
    return rate_hz


def _check_format(sound: soundfile.SoundFile, piece: _Piece) -> None:
    if sound.format not in FORMATS:
        raise Refused(
            f"it is {sound.format}, in which a file that was cut short cannot be recognised",
            "convert it to FLAC or WAV",
        )
    if sound.format in _HELD and piece.held is None:
        raise Refused("its header does not say where its samples are")


@contextmanager
def _open(stream: BinaryIO, piece: _Piece) -> Iterator[Any]:
    """Open a piece to read it from start to end, giving libsndfile its size where it has none."""
    import soundfile

    sized = piece.held is not None and piece.held.sized is not None
    with ExitStack() as stack:
        sound = None
        try:
            sound = stack.enter_context(open_sound(stream, piece.data))
        except soundfile.LibsndfileError:
            if not sized:
                raise
        # This copies the file, so only where libsndfile refuses the open size or sees no frames.
        if sound is None or (sized and sound.frames == 0):
            sound = stack.enter_context(open_sound(stream, _with_size(stream, piece)))
        yield sound


def _with_size(stream: BinaryIO, piece: _Piece) -> bytes:
    """Return a file whose header says how much there is, of one that leaves it open."""
    assert piece.held is not None
    assert piece.held.sized is not None
    place, field = piece.held.sized
    data = bytearray(_read(stream, 0, piece.held.start + piece.held.size_bytes))
    data[place : place + len(field)] = field
    return bytes(data)
