"""A handful of scenes, each seen, heard and described, to try things out with."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.types import Item
from reactions.labs.mini import pixels, waveforms
from reactions.labs.mini.corpora import WorldCorpus
from reactions.labs.mini.sample_senses import write_senses
from reactions.labs.mini.sentences import Style
from reactions.labs.mini.world import CLASSES, SceneStream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_SAMPLES = 6

SENSES = "senses.jsonl"
"""The manifest of what is neither seen, heard nor read."""

_STREAM = SceneStream("sample")
_STYLES = (
    Style("sight", omit_percent=0, mistake_percent=0, fillers=0),
    Style("sound", omit_percent=0, mistake_percent=0, fillers=0),
)


def _ids() -> list[str]:
    kinds = _STREAM.scenes(0, N_SAMPLES).kind
    return [f"{row + 1}-{CLASSES[kind]}" for row, kind in enumerate(kinds)]


def sample_items() -> list[Item]:
    """Return six scenes, each as a sound, an image and a caption; 18 items, values in memory.

    A scene's three items have the same id.
    """
    corpora = (
        WorldCorpus("mini sample sounds", "audio", _STREAM, N_SAMPLES),
        WorldCorpus("mini sample images", "image", _STREAM, N_SAMPLES),
        WorldCorpus("mini sample captions", "text", _STREAM, N_SAMPLES, styles=_STYLES),
    )
    return [
        Item(id, item.modality, item.value)
        for corpus in corpora
        for id, item in zip(_ids(), corpus.items(0, N_SAMPLES), strict=True)
    ]


def write_sample(out: Path) -> Path:
    """Write the sample items as PNG, 16-bit WAV and text files, with a manifest.

    The same scenes come to other senses as well (``sample_senses.py``), with a manifest of their
    own, ``senses.jsonl``, which only spaces that embed all of them can take.

    Args:
        out: folder, made if missing; files of the same names are replaced.

    Returns:
        ``out / "manifest.jsonl"``: one item a line, media by relative path, captions as
        texts.
    """
    from PIL import Image

    scenes = _STREAM.scenes(0, N_SAMPLES)
    captions = {item.id: item.value for item in sample_items() if item.modality == "text"}
    for folder in ("audio", "image", "text"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[dict[str, str]]] = {"audio": [], "image": [], "text": []}
    for id, picture, sound in zip(
        _ids(), pixels.images(scenes), waveforms.sounds(scenes), strict=True
    ):
        Image.fromarray(picture).save(out / "image" / f"{id}.png")
        _write_wav(out / "audio" / f"{id}.wav", sound)
        (out / "text" / f"{id}.txt").write_text(captions[id] + "\n", encoding="utf-8")
        lines["audio"].append({"id": id, "audio": f"audio/{id}.wav"})
        lines["image"].append({"id": id, "image": f"image/{id}.png"})
        lines["text"].append({"id": id, "text": captions[id]})
    manifest = out / "manifest.jsonl"
    _write_lines(manifest, [line for group in lines.values() for line in group])
    _write_lines(out / SENSES, write_senses(out, scenes, _ids()))
    return manifest


def _write_lines(path: Path, lines: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _write_wav(path: Path, sound: NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(waveforms.RATE_HZ)
        file.writeframes(sound.astype("<i2").tobytes())
