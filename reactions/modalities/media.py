"""Media to arrays: any ordinary image or sound, decoded the same way everywhere.

What is decoded may be a file, a ``Blob`` (a tar's member, a remote object) or bytes.
Decoding is lenient about names (contents decide) and strict about damage: what is cut short
or holds no usable samples is an error, never a guess. Declared sizes are held against the limits
below before anything is decoded.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np

from reactions.core.errors import DataError, MediaError
from reactions.core.storage import Blob
from reactions.core.text_lines import decode_text
from reactions.core.types import Item, Waveform
from reactions.modalities import image_files, sounds
from reactions.modalities.suffixes import other_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

Source: TypeAlias = Path | Blob | bytes
"""Where encoded media are read from."""

ENCODED = (Path, Blob, bytes)
"""Types of values that are still to be decoded."""

MAX_PIXELS = 100_000_000
MIN_RATE_HZ, MAX_RATE_HZ = 100, 384_000
"""What every encoder of sounds takes."""

MAX_SAMPLES = 1 << 28
"""Samples times channels of one file: 46 minutes of 48 kHz stereo."""

MAX_SECONDS = 3600
"""An hour, whatever its rate: it is resampled to what an encoder takes, up to 48 kHz."""

WHOLE_BYTES = 1 << 24
"""Image files up to this size are read in one go."""

MAX_HELD_BYTES = 1 << 30
"""Encoded items that are read from tars and servers, and image files."""

MAX_TEXT_BYTES = 1 << 24
"""Texts in tars."""

SKIP = (
    "mend it, or run molspace data check --full, with the same --lab and --data: it finds all "
    "that cannot be decoded, and later runs leave them out; one alone is left out by "
    'skip = ["{id}"] under [corpora.{modality}]; of an evaluation set, remove the file: what '
    "is missing is counted"
)
"""What helps against an item that cannot be used."""

_STREAM = re.compile(r"<_io\.[^>]*>")


def load_image(source: Source) -> NDArray[np.uint8]:
    """Decode an image, first frame only, upright as its EXIF orientation says.

    Transparent pixels show a white background; 16-bit images are scaled to 8 bits.

    Args:
        source: an image in one of ``image_files.FORMATS``, whatever its name ends in.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        MediaError: the file is missing, no image, cut short, larger than ``MAX_PIXELS``,
            or holds values of no defined range; ``fields["path"]`` names it.
        DataError: the tar or the server it lies in cannot be read.
    """
    from PIL import Image

    path = place(source)
    try:
        with open_media(source) as stream:
            at_hand = _at_hand(stream)
            with image_files.open_image(at_hand, path, MAX_PIXELS) as image:
                return image_files.to_rgb(image, path)
    except (DataError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise image_files.oversized(path, MAX_PIXELS) from error
    # Pillow's plugins raise whatever their parser meets (struct.error, KeyError,
    # SyntaxError, ...); the set is open, and every one of them means a bad file.
    except Exception as error:
        raise _undecodable("image", path, error) from error


def load_audio(source: Source, *, channel: int | None = None) -> Waveform:
    """Decode a sound to mono, at its own rate.

    Lengths come from what is there, never from an estimate: all frames of an MP3 count, with or
    without a length header; joined MP3s and chained OGGs are read to their ends; a chunk of
    samples must be as long as its header says, where it says so.

    Args:
        source: a sound in one of ``sounds.FORMATS``, whatever its name ends in.
        channel: the one to keep, from 0; None takes the mean of all.

    Returns:
        (n,) float32 samples in [-1, 1], n >= 1; overshoot of float files is clipped.

    Raises:
        MediaError: the file is missing, no sound, empty, cut short, too long, not finite
            or not in [-1, 1]; ``fields["path"]`` names it.
        DataError: the tar or the server it lies in cannot be read.
    """
    path = place(source)
    try:
        with open_media(source, buffered=False) as stream:
            return Waveform(*sounds.decode(stream, _limits(), channel=channel))
    except (DataError, MemoryError):
        raise
    except sounds.Refused as error:
        raise MediaError(
            f"cannot use the audio '{path}'", why=error.why, fix=error.fix, path=path
        ) from error
    # libsndfile and its binding raise an open set of errors; each one means a bad file.
    except Exception as error:
        raise _undecodable("audio", path, error) from error


def is_whole_audio(source: Source) -> bool:
    """Return whether header and end prove a sound whole; False where a full try must decide.

    Raises:
        DataError: the tar or the server it lies in cannot be read.
    """
    try:
        with open_media(source, buffered=False) as stream:
            return sounds.is_whole(stream, _limits())
    except (DataError, MemoryError):
        raise
    except Exception:  # the full try words it
        return False


def resample(waveform: Waveform, rate_hz: int) -> Waveform:
    """Resample to ``rate_hz`` with soxr's high-quality band-limited filter.

    Returns:
        round(n * rate_hz / waveform.rate_hz) samples, at least 1, clipped to [-1, 1];
        the same object when the rate already fits.
    """
    if waveform.rate_hz == rate_hz:
        return waveform
    import soxr

    samples = soxr.resample(waveform.samples, waveform.rate_hz, rate_hz, quality="HQ")
    np.clip(samples, -1.0, 1.0, out=samples)
    # soxr's length may miss the rounded ratio by a sample, or be 0 for a click.
    n = max(1, round(len(waveform.samples) * rate_hz / waveform.rate_hz))
    if len(samples) != n:
        samples = np.pad(samples[:n], (0, max(0, n - len(samples))))
    return Waveform(samples, rate_hz)


def load(item: Item, *, channel: int | None = None) -> Item:
    """Return the item with its value decoded: pixels, a ``Waveform``, or a string.

    Values already in memory pass through, as do files of modalities other than image,
    audio and text: their space knows how to read them.

    Args:
        item: with a value as an ``Item`` may have it.
        channel: of a sound, the one to keep; None takes the mean of all.

    Raises:
        MediaError: the file cannot be decoded; fields ``id`` and ``path`` name it.
    """
    if not isinstance(item.value, ENCODED):
        return item
    try:
        value: Any
        if item.modality == "image":
            value = load_image(item.value)
        elif item.modality == "audio":
            value = load_audio(item.value, channel=channel)
        elif item.modality == "text":
            value = _load_text(item.value)
        else:
            return item
    except MediaError as error:
        error.fields["id"] = item.id
        error.fix = error.fix or SKIP.format(id=item.id, modality=item.modality)
        raise
    return replace(item, value=value)


def place(source: Source) -> str:
    """Return what messages call a source."""
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def open_media(source: Source, *, buffered: bool = True) -> BinaryIO:
    """Open a source; blobs are read whole.

    Args:
        source: a file, blob or bytes.
        buffered: of a file; not where something else reads from its descriptor as well.

    Raises:
        OSError: the file is missing, not a regular file, or cannot be read.
        MediaError: it is larger than any that is decoded from memory.
        DataError: the tar or the server a blob lies in cannot be read.
    """
    if isinstance(source, Blob):
        if (why := too_large(source.size_bytes or 0)) is not None:
            raise MediaError(f"cannot use '{source}'", why=why, fix="cut it up", path=str(source))
        source = source.read()
    if isinstance(source, bytes):
        return io.BytesIO(source)
    mode = source.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe may wait forever, or never end
        raise OSError(errno.EINVAL, "not a regular file")
    # Unbuffered, it is a raw file, of which we use no more than a BinaryIO has.
    return source.open("rb") if buffered else cast(BinaryIO, source.open("rb", buffering=0))


def too_large(size_bytes: int) -> str | None:
    """Return why an encoded item is too large to be held in memory; None if it is not."""
    if size_bytes <= MAX_HELD_BYTES:
        return None
    return f"it has {size_bytes} bytes, more than {MAX_HELD_BYTES >> 20} MiB"


def _limits() -> sounds.Limits:
    return sounds.Limits(MIN_RATE_HZ, MAX_RATE_HZ, MAX_SAMPLES, MAX_SECONDS)


def _at_hand(stream: BinaryIO) -> BinaryIO:
    """Read a file whole unless it is large: decoders read many small pieces, out of order."""
    if isinstance(stream, io.BytesIO):
        return stream
    size_bytes = os.fstat(stream.fileno()).st_size
    if (why := too_large(size_bytes)) is not None:  # some decoders read all of it
        raise ValueError(why)
    if size_bytes > WHOLE_BYTES:
        return stream
    return io.BytesIO(stream.read())


def _load_text(source: Source) -> str:
    try:
        with open_media(source) as stream:
            text = stream.read(MAX_TEXT_BYTES + 1)
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError(f"it is longer than {MAX_TEXT_BYTES} bytes")
        return decode_text(text).strip()
    except (OSError, ValueError) as error:
        raise _undecodable("text", place(source), error) from error


def _undecodable(modality: str, path: str, error: Exception) -> MediaError:
    fix = ""
    if isinstance(error, FileNotFoundError):
        why = "there is no such file"
    elif isinstance(error, OSError) and error.strerror:
        why = error.strerror.lower()
    else:
        # The libraries' own words, without the address of the object they read from.
        said = _STREAM.sub("", getattr(error, "error_string", None) or str(error))
        why = " ".join(said.split()) or type(error).__name__
        if (kind := other_kind(path, modality)) is not None:
            why = f"its name is that of {kind.name}, which is not decoded ({why})"
            fix = kind.fix
    return MediaError(f"cannot decode the {modality} '{path}'", why=why, fix=fix, path=path)
