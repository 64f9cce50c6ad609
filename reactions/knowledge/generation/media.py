"""Items as attachments: pictures as JPEG, sounds as WAV, videos as some of their frames."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Any

from reactions.core.errors import MediaError, UsageError
from reactions.core.types import Item, Modality, Waveform
from reactions.knowledge.generation.base import Attachment, Generator, shown
from reactions.modalities.registry import get, load
from reactions.modalities.video import sampled
from reactions.modalities.videos.frames import Evenly, Frames, sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SENT_AS: dict[Modality, Modality] = {"image": "image", "video": "image", "audio": "audio"}
"""What items can be attached as; all other modalities need pictures that are paired with them."""

MAX_SIDE = 768
"""Pixels of a picture's longer side; larger ones are made smaller."""

FRAMES = 8
"""Of a video, evenly spaced."""

_QUALITY = 90


def refuse_unsendable(modality: Modality, generator: Generator) -> None:
    """Refuse to describe items that a generator cannot be given.

    Args:
        modality: of what is attached: the items, or the pictures that are paired with them.
        generator: that is to describe them.

    Raises:
        UsageError: they cannot be attached, or the generator does not take them.
    """
    if modality == "text":
        raise UsageError(
            "text items are not described",
            why="they are texts already",
            fix="--corpus image   or another corpus of media",
            modality=modality,
        )
    if modality not in SENT_AS:
        raise UsageError(
            f"{modality} items cannot be sent to a generator",
            why="they are described on the picture that was taken with them (UniBind, A.2)"
            if modality in ("event", "thermal", "depth")
            else "no generator takes them",
            fix="--pictures NAME, a corpus of images or videos with the same ids",
            modality=modality,
        )
    needed = SENT_AS[modality]
    if needed not in generator.modalities:
        takes = ", ".join(generator.modalities) or "no attachments"
        raise UsageError(
            f"'{shown(generator)}' does not take {needed} attachments",
            why=f"it takes {takes}",
            fix="another generator: openai:MODEL of a model that does, or hf:REPO with "
            f"task={'audio' if needed == 'audio' else 'image'}-text-to-text",
            modality=modality,
        )


def attachments_of(
    item: Item, *, max_side: int = MAX_SIDE, frames: int = FRAMES
) -> tuple[Attachment, ...]:
    """Return an item as files in memory.

    Args:
        item: an image, a video or a sound, decoded or not.
        max_side: pixels of a picture's longer side at most.
        frames: of a video at most.

    Raises:
        MediaError: it cannot be decoded.
    """
    rule = Evenly(frames)
    # Of a long video no more frames are decoded than are sent.
    value = load(item, sampled(rule) if item.modality == "video" else None).value
    if why := get(item.modality).why_unusable(value):
        raise MediaError(f"cannot describe '{item.id}'", why=why, id=item.id)
    if isinstance(value, Waveform):
        return (Attachment("audio", "audio/wav", wav_bytes(value)),)
    pixels = list(sample(value, rule)) if isinstance(value, Frames) else [value]
    return tuple(
        Attachment("image", "image/jpeg", jpeg_bytes(picture, max_side)) for picture in pixels
    )


def jpeg_bytes(pixels: NDArray[np.uint8], max_side: int) -> bytes:
    """Return a picture as a JPEG file.

    Args:
        pixels: (h, w, 3) uint8, RGB.
        max_side: pixels of its longer side at most.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    longer = max(image.size)
    if longer > max_side:
        width, height = (max(1, round(side * max_side / longer)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def wav_bytes(sound: Waveform) -> bytes:
    """Return a sound as a mono WAV file of 16 bits."""
    import numpy as np

    samples: Any = np.clip(np.rint(sound.samples * 32767.0), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sound.rate_hz)
        stream.writeframes(samples.tobytes())
    return file.getvalue()
