"""Small real files of videos' frames, events, depth maps, thermal images and point clouds."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reactions.modalities.events.values import Events


def npy_bytes(array: NDArray) -> bytes:
    """An array as npy."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz_bytes(**arrays: NDArray) -> bytes:
    """Arrays as a compressed npz."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def grey_png(values: NDArray) -> bytes:
    """A grey PNG of 8 or 16 bits, as the array is."""
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def columns(n: int = 600, seed: int = 0) -> dict[str, NDArray]:
    """Columns of a recording: x, y, t in microseconds, p."""
    random = np.random.default_rng(seed)
    return {
        "x": random.integers(10, 130, n),
        "y": random.integers(5, 170, n),
        "t": np.sort(random.integers(0, 300_000, n)),
        "p": random.integers(0, 2, n),
    }


def bin_bytes(n: int = 600, seed: int = 0, **changed: NDArray) -> bytes:
    """A recording in the form of N-Caltech101, an event in five bytes, written one by one."""
    event_columns = {**columns(n, seed), **changed}
    data = b""
    for x, y, t, p in zip(
        event_columns["x"], event_columns["y"], event_columns["t"], event_columns["p"], strict=True
    ):
        number = int(x) << 32 | int(y) << 24 | int(p) << 23 | int(t) & 0x7FFFFF
        data += number.to_bytes(5, "big")
    return data


def events(n: int = 600, seed: int = 0, size: tuple[int, int] = (180, 240)) -> Events:
    """A recording in memory."""
    event_columns = columns(n, seed)
    x, y = event_columns["x"].astype(np.uint16), event_columns["y"].astype(np.uint16)
    return Events(
        x, y, event_columns["t"].astype(np.int64), event_columns["p"].astype(np.uint8), size
    )


def points(n: int = 50, seed: int = 0) -> NDArray[np.float32]:
    """Coordinates of a cloud."""
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


def ply_bytes(xyz: NDArray, rgb: NDArray | None = None, form: str = "ascii") -> bytes:
    """A cloud as PLY, with colours from 0 to 255, and a list of faces behind it."""
    names = ["x", "y", "z"]
    lines = ["ply", f"format {form} 1.0", "comment made for a test", f"element vertex {len(xyz)}"]
    lines += [f"property float {name}" for name in names]
    if rgb is not None:
        lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines += ["element face 1", "property list uchar int vertex_indices", "end_header"]
    head = ("\n".join(lines) + "\n").encode()
    if form == "ascii":
        rows = xyz if rgb is None else [(*a, *b) for a, b in zip(xyz, rgb, strict=True)]
        return (
            head + "".join(" ".join(map(str, row)) + "\n" for row in rows).encode() + b"3 0 1 2\n"
        )
    order = "<" if "little" in form else ">"
    colours = [] if rgb is None else [(name, "u1") for name in ("red", "green", "blue")]
    table = np.zeros(len(xyz), [*((name, f"{order}f4") for name in names), *colours])
    for name, column in zip(names, xyz.T, strict=True):
        table[name] = column
    for (name, _), column in zip(colours, [] if rgb is None else rgb.T, strict=True):
        table[name] = column
    face = b"\3" + np.array([0, 1, 2], f"{order}i4").tobytes()
    return head + table.tobytes() + face


TETRAHEDRON = b"OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
"""A mesh, as ModelNet has them."""
