"""A folder of media, and what scans look at."""

from pathlib import Path

import pytest
from media_files import image_bytes, put, sound_bytes

from reactions.data.sources import files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(["b.png", "a.JPG", "deep/er/c.webp"]):
        form = {"b.png": "PNG", "a.JPG": "JPEG"}.get(name, "WEBP")
        put(tmp_path / "set" / name, image_bytes(seed, form))
    put(tmp_path / "set/notes.txt", "no picture")
    put(tmp_path / "set/.thumbs/x.png", image_bytes(9))
    put(tmp_path / "set/deep/s.wav", sound_bytes())
    return tmp_path / "set"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read by scans."""
    names_scanned: list[str] = []
    real = files.look_at_file

    def look(entry, **options):
        names_scanned.append(entry.name)
        return real(entry, **options)

    monkeypatch.setattr(files, "look_at_file", look)
    return names_scanned


@pytest.fixture
def damaged(folder: Path) -> Path:
    """A sound whose damage only decoding finds."""
    data = bytearray(sound_bytes(form="FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    return put(folder / "deep/t.flac", bytes(data))
