"""What a space and a published package are both tried on: texts, pictures and sounds.

Pictures and sounds are files, so that both decode them in their own ways.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import MissingError, UsageError
from reactions.core.local_files import is_dir, read_text_file
from reactions.core.types import Item, Modality
from reactions.encoders.doctor import rising_tone
from reactions.modalities.suffixes import COMPANIONS, modality_of, suffix_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FILES = 200
"""Of a person's own, for each modality: more would take hours on a CPU, and say no more."""

_MAX_TEXT_BYTES = 1 << 20

TEXTS: Mapping[str, str] = {
    "a short text": "a dog barks",
    "a sentence": "A photo of two children, playing football in the rain.",
    "spaces and capitals": "  The  RAIN\tfalls on\na Roof ",
    "other alphabets": "Ünïcödé naïveté, 漢字 и кириллица, 🎵 🐕",
    "markup and digits": "R&amp;D in 2024: <b>3.5 km</b> & it's 50% off!",
    "a long text": "the wind blows over the hills and " * 30,
    "no text": "",
}
"""What a probe is about, to its text."""

PICTURES: tuple[tuple[int, int, str, str], ...] = (
    (224, 224, "RGB", "png"),
    (640, 480, "RGB", "png"),
    (333, 500, "RGB", "jpg"),
    (97, 31, "RGB", "png"),
    (251, 1000, "RGB", "png"),
    (300, 220, "L", "png"),
)
"""Width and height in pixels, mode, and ending."""

SOUNDS: tuple[tuple[float, int, int], ...] = (
    (0.7, 16_000, 1),
    (3.0, 22_050, 1),
    (5.0, 44_100, 1),
    (4.0, 8_000, 2),
    (10.0, 48_000, 1),
    (12.5, 48_000, 2),
    (27.0, 32_000, 1),
)
"""Seconds, samples a second, channels: shorter and longer than models listen to."""


def generated(folder: Path, modalities: Iterable[Modality]) -> dict[Modality, list[Item]]:
    """Write the same probes as ever into a folder, those of some modalities.

    Args:
        folder: is there, and empty.
        modalities: those of which there are no probes are left out.
    """
    makers: Mapping[Modality, Callable[[Path], list[Item]]] = {
        "audio": _sounds,
        "image": _pictures,
        "text": _texts,
    }
    return {m: makers[m](folder) for m in modalities if m in makers}


def own_files(
    folder: Path, modalities: Iterable[Modality]
) -> tuple[dict[Modality, list[Item]], list[str]]:
    """Find a person's own files, by their endings; texts are the lines of ``.txt`` files.

    Args:
        folder: is searched with all that lies in it.
        modalities: those that can be compared.

    Returns:
        Modality to items, named by their paths within the folder; and remarks on what was left
        out.

    Raises:
        MissingError: there is no such folder.
        UsageError: it holds nothing that can be compared.
        DataError: a text is not UTF-8.
    """
    if not is_dir(folder):
        raise MissingError(f"there is no folder '{folder}'", fix="--samples FOLDER")
    compared = [*modalities]
    samples: dict[Modality, list[Item]] = {}
    other_kinds: Counter[str] = Counter()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(parent) / name
            modality = _LINES.get(suffix_of(name)) or modality_of(name)
            if modality not in compared:
                other_kinds[suffix_of(name) or "no ending"] += suffix_of(name) not in COMPANIONS
                continue
            samples.setdefault(modality, []).extend(_of_file(path, folder, modality))
    left_out = [f"{n} with {suffix}" for suffix, n in sorted(other_kinds.items()) if n]
    remarks = [f"{folder}: left out {', '.join(left_out)}"] if left_out else []
    for modality, items in samples.items():
        if len(items) > MOST_FILES:
            remarks.append(
                f"{folder}: the first {MOST_FILES} of {len(items)} {modality} samples are compared"
            )
            del items[MOST_FILES:]
    if not any(samples.values()):
        raise UsageError(
            f"nothing in '{folder}' can be compared",
            why=f"there is no file of {', '.join(compared)} in it",
            fix="put pictures, sounds, or .txt files with a text a line there",
        )
    return samples, remarks


_LINES: Mapping[str, Modality] = {".txt": "text"}
"""Endings of files that hold an item a line."""


def _of_file(path: Path, folder: Path, modality: Modality) -> list[Item]:
    name = str(path.relative_to(folder))
    if suffix_of(name) not in _LINES:
        return [Item(name, modality, path)]
    lines = enumerate(read_text_file(path, _MAX_TEXT_BYTES).split("\n"), 1)
    return [Item(f"{name}:{n}", modality, line) for n, line in lines if line.strip()]


def _texts(folder: Path) -> list[Item]:
    return [Item(name, "text", text) for name, text in TEXTS.items()]


def _pictures(folder: Path) -> list[Item]:
    from PIL import Image

    items = []
    for i, (width, height, mode, suffix) in enumerate(PICTURES):
        path = folder / f"picture-{i}.{suffix}"
        Image.fromarray(_pixels(width, height, seed=i)).convert(mode).save(path)
        grey = "" if mode == "RGB" else " grey"
        items.append(Item(f"{width} x {height}{grey} {suffix}", "image", path))
    return items


def _pixels(width: int, height: int, *, seed: int) -> NDArray[np.uint8]:
    """Return slopes, stripes and noise, so that every way of scaling shows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    phases = rng.uniform(0, 2 * np.pi, 3)
    stripes = np.sin(x[..., None] / (3 + seed) + y[..., None] / 7 + phases)
    slopes = np.stack([x / width, y / height, (x + y) / (width + height)], axis=-1)
    noise = rng.normal(0, 0.08, (height, width, 3))
    values = 255 * (0.25 * stripes + 0.6 * slopes + noise + 0.2)
    pixels: NDArray[np.uint8] = values.clip(0, 255).astype(np.uint8)
    return pixels


def _sounds(folder: Path) -> list[Item]:
    import soundfile

    items = []
    for i, (seconds, rate_hz, channels) in enumerate(SOUNDS):
        path = folder / f"sound-{i}.wav"
        soundfile.write(path, _samples(seconds, rate_hz, channels), rate_hz, subtype="PCM_16")
        stereo = " stereo" if channels == 2 else ""
        items.append(Item(f"{seconds:g} s at {rate_hz} Hz{stereo}", "audio", path))
    return items


def _samples(seconds: float, rate_hz: int, channels: int) -> NDArray[np.float64]:
    """Return a rising tone in noise that swells, so that no two crops of it are alike."""
    rng = np.random.default_rng(round(seconds * rate_hz))
    tone = rising_tone(seconds, rate_hz)
    swell = 0.05 + 0.1 * np.abs(np.sin(np.arange(len(tone)) * (3 / rate_hz)))
    noise = rng.normal(0, 1, (len(tone), channels)) * swell[:, None]
    samples: NDArray[np.float64] = (0.3 * tone[:, None] + noise).clip(-1, 1)
    return samples
