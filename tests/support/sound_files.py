"""Sounds of odd kinds, built by hand: MPEG frames, headers of streams, codecs in containers."""

import struct

import numpy as np
from media_files import sound_bytes

RATES = {1: (44100, 48000, 32000), 2: (22050, 24000, 16000)}


def mp3_frames(seed: int = 0, n: int = 44_100, rate_hz: int = 44_100, **options) -> list[bytes]:
    """The frames of a variable-bitrate MP3, its length header first."""
    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.5, **options}
    return split_frames(sound_bytes(seed, "MP3", n, rate_hz=rate_hz, **options))


def split_frames(data: bytes) -> list[bytes]:
    """Take an MP3 of ours apart (layer III, no tags): an implementation apart from the tested."""
    frames = []
    while data:
        version = 1 if data[1] & 8 else 2
        steps = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        if version == 2:
            steps = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
        rate_hz = RATES[version][data[2] >> 2 & 3]
        n = (144 if version == 1 else 72) * 1000 * steps[data[2] >> 4] // rate_hz
        n += data[2] >> 1 & 1
        frames.append(data[:n])
        data = data[n:]
    return frames


def quiet_and_loud(loud_first: bool, n: int = 44_100) -> list[bytes]:
    """Frames of very different sizes, without a length header."""
    quiet = mp3_frames(n=n, bitrate_mode="CONSTANT", compression_level=0.9)[1:]
    loud = mp3_frames(n=n, bitrate_mode="CONSTANT", compression_level=0.0)[1:]
    assert len(loud[5]) > 4 * len(quiet[5])
    return [*loud, *quiet] if loud_first else [*quiet, *loud]


def layer_2_frame(rate: int = 1) -> bytes:
    """A silent frame of MPEG-1 layer II, 64 kbit/s mono: all of its bands hold nothing."""
    head = bytes([0xFF, 0xFD, 0x40 | rate << 2, 0xC0])
    return head + bytes(144 * 64_000 // RATES[1][rate] - 4)


def wav(data: bytes, tag: int, *, riff: int | None = None, size: int | None = None) -> bytes:
    """A WAV with a codec's data, mono."""
    fmt = struct.pack("<HHIIHHH", tag, 1, 44_100, 16_000, 1, 0, 0)
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", size)
    body += data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def id3(size_bytes: int = 5000) -> bytes:
    """A tag as large as a picture, with bytes in it that look like frames."""
    size = bytes(size_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    body = (b"APIC" + b"\xff\xfb\x90\xc4" * size_bytes)[:size_bytes]
    return b"ID3\3\0\0" + size + body


def patched(data: bytes, place: int, field: bytes) -> bytes:
    """The bytes with some of them replaced."""
    return data[:place] + field + data[place + len(field) :]


def piped_flac(n: int = 20_000) -> bytes:
    """A FLAC whose header tells neither length nor checksum, as one that went through a pipe."""
    data = sound_bytes(form="FLAC", n=n)
    data = patched(data, 21, bytes([data[21] & 0xF0]) + bytes(4))
    return patched(data, 26, bytes(16))


def tone(n: int, rate_hz: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / rate_hz)
