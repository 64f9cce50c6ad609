"""Small real media files for tests, and times that caches trust."""

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile
from PIL import Image

from reactions.modalities import registry

HOUR_AGO = 1_600_000_000


def image_bytes(
    seed: int = 0, form: str = "PNG", size: tuple[int, int] = (12, 8), **options
) -> bytes:
    """An encoded picture; another seed is another picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def sound_bytes(
    seed: int = 0,
    form: str = "WAV",
    n: int = 800,
    channels: int = 1,
    rate_hz: int = 8000,
    **options,
) -> bytes:
    """An encoded sound; another seed is another sound."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels))
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format=form, **options)
    return stream.getvalue()


def put(path: Path, data: bytes | str, when_s: int = HOUR_AGO) -> Path:
    """Write a file that has not changed for long, so that caches remember it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    os.utime(path, (when_s, when_s))
    return path


def put_tar(path: Path, members: dict[str, bytes | str]) -> Path:
    """Write a plain tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in members.items():
            data = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return put(path, stream.getvalue())


def patch_decoder(
    monkeypatch: pytest.MonkeyPatch, name: str, decode: Callable[[BinaryIO, str], object]
) -> None:
    """Decode one of molspace's own modalities by something else."""
    record = replace(registry.BUILT_IN[name], decode=decode)
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, name: record})
