"""Sample scenes as files of events, heat, depth, points and video, to try things out with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.types import Modality
from reactions.labs.mini import clips, depths, events, points, thermals
from reactions.labs.mini.world import Scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_senses(out: Path, scenes: Scenes, ids: Sequence[str]) -> list[dict[str, str]]:
    """Write scenes as they come to cameras for events, heat and depth, to scanners and as clips.

    Args:
        out: folder; a folder a modality is made in it.
        scenes: what is there.
        ids: of the scenes.

    Returns:
        One line of a manifest for each file. There are no videos without PyAV.
    """
    lines = []
    for modality, (suffix, render, write) in _WRITERS.items():
        if modality == "video" and not can_write_videos():
            continue
        (out / modality).mkdir(parents=True, exist_ok=True)
        for id, value in zip(ids, render(scenes), strict=True):
            name = f"{modality}/{id}{suffix}"
            write(out / name, value)
            lines.append({"id": id, modality: name})
    return lines


def can_write_videos() -> bool:
    """Return whether PyAV is installed."""
    from importlib.util import find_spec

    return find_spec("av") is not None


def _write_events(path: Path, rows: NDArray[np.int32]) -> None:
    x, y, t, p = rows.T
    size = np.array([events.SIDE, events.SIDE], np.int32)
    np.savez_compressed(path, x=x, y=y, t=t, p=p, size=size)


def _write_grey(path: Path, values: NDArray[Any]) -> None:
    """Write 8 bits, or 16, a pixel, as they come."""
    from PIL import Image

    Image.fromarray(values).save(path)


def _write_points(path: Path, cloud: NDArray[np.int16]) -> None:
    header = ["ply", "format ascii 1.0", f"element vertex {len(cloud)}"]
    header += [f"property float {axis}" for axis in "xyz"] + ["end_header"]
    rows = (cloud / points.UNIT).tolist()  # whole 4096ths, so the decimals are exact
    lines = [*header, *(" ".join(map(repr, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write without loss: FFV1 in Matroska."""
    import av

    with av.open(path, "w", format="matroska", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("ffv1", rate=clips.RATE_HZ)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for pixels in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())


_WRITERS: Mapping[Modality, tuple[str, Callable[[Scenes], Any], Callable[[Path, Any], None]]] = {
    "depth": (".png", depths.depths, _write_grey),  # 16 bits: millimetres
    "event": (".npz", events.recordings, _write_events),
    "point": (".ply", points.clouds, _write_points),
    "thermal": (".png", thermals.thermals, _write_grey),  # 8 bits
    "video": (".mkv", clips.clips, _write_video),
}
"""Ending, rendering and writing of each modality's files."""
