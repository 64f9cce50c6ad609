"""Damaged videos, recordings, clouds, depth maps and thermal images: usable or refused, bounded.

Every mutant is looked at and decoded; what is usable is what an encoder may be given.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from further_media import (
    TETRAHEDRON,
    bin_bytes,
    columns,
    grey_png,
    npy_bytes,
    npz_bytes,
    ply_bytes,
    points,
)
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from media_files import put
from video_files import video_bytes

from reactions.core.errors import MolspaceError
from reactions.modalities.base import CHECK_DEPTHS
from reactions.modalities.registry import check, get

OF = columns(60)
ROWS = np.stack([OF["x"], OF["y"], OF["t"] / 1e6, 2.0 * OF["p"] - 1], axis=1)
TABLE = np.zeros(60, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "?")])
RGB = np.random.default_rng(1).integers(0, 256, (20, 3), dtype=np.uint8)
XYZ = points(20)
DEEP = np.arange(200, dtype=np.uint16).reshape(10, 20) * 300

FILES = {
    "event": {
        "bin": bin_bytes(60),
        "npy": npy_bytes(ROWS),
        "structured": npy_bytes(TABLE),
        "npz": npz_bytes(event_data=TABLE),
        "columns": npz_bytes(**OF),
    },
    "point": {
        "npy": npy_bytes(XYZ),
        "npz": npz_bytes(xyz=XYZ, rgb=RGB),
        "ascii": ply_bytes(XYZ, RGB),
        "little": ply_bytes(XYZ, RGB, "binary_little_endian"),
        "big": ply_bytes(XYZ, form="binary_big_endian"),
        "off": TETRAHEDRON,
        "lines": b"x,y,z,r,g,b\n0.5,1,2,3,4,5\n1e3,-2,0x,1,2,3\n",
        "blanks": b"1 2 3 0 0 1\n4 5 6 0 1 0\n# end\n",
    },
    "depth": {"png": grey_png(DEEP), "npy": npy_bytes(np.eye(5, dtype=np.float32))},
    "thermal": {"deep": grey_png(DEEP), "grey": grey_png((DEEP // 300).astype(np.uint8))},
}
CASES = [(modality, form) for modality, forms in FILES.items() for form in forms]


@pytest.mark.parametrize(("modality", "form"), CASES)
def test_damaged_files(modality: str, form: str, tmp_path: Path) -> None:
    @fuzz
    @given(mutated(FILES[modality][form]))
    def hold(data: bytes) -> None:
        both_ways(modality, data, tmp_path)

    hold()


VIDEOS = {
    "mp4": {"seconds": 1},
    "avi": {"seconds": 1, "form": "avi", "pictures": "mpeg4"},
    "webm": {"seconds": 1, "form": "webm", "pictures": "libvpx", "sound": ""},
    "mov": {"seconds": 1, "form": "mov", "pictures": "mjpeg", "sound": ""},
}


@pytest.mark.parametrize("form", VIDEOS)
def test_damaged_videos(form: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    good = video_bytes(**VIDEOS[form])

    @fuzz
    @given(mutated(good, head_bytes=600))
    def hold(data: bytes) -> None:
        both_ways("video", data, tmp_path)

    hold()


def both_ways(modality: str, data: bytes, folder: Path) -> None:
    """Decode bytes and the file that holds them, and look at both as deep as can be."""
    record = get(modality)
    path = put(folder / "x.bin", data)
    outcome = usable_or_refused(lambda: record.load(data))
    of_file = usable_or_refused(lambda: record.load(path))
    assert isinstance(outcome, MolspaceError) == isinstance(of_file, MolspaceError)
    for source in (data, path):
        for depth in CHECK_DEPTHS:
            why = usable_or_refused(lambda s=source, d=depth: check(modality, s, d))
            assert isinstance(why, str)
    if not isinstance(outcome, MolspaceError):
        assert record.digest(outcome) == record.digest(of_file) != ""
        why = record.why_unusable(outcome)
        # The floats of an npy are handed on as they are; encoders look at them.
        assert why == "" or modality == "depth"


# --- headers that lie ---

HUGE = 1 << 40


def ply_of(n: int, form: str = "binary_little_endian", element: str = "vertex") -> bytes:
    axes = b"".join(b"property double %s\n" % axis for axis in (b"x", b"y", b"z"))
    head = b"ply\nformat %s 1.0\nelement %s %d\n" % (form.encode(), element.encode(), n)
    return head + axes + b"end_header\n" + bytes(48)


def npy_of(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, head)
    return stream.getvalue() + bytes(64)


def bomb(n_bytes: int) -> bytes:
    """An npz whose one array unpacks to many zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "|u1", "fortran_order": False, "shape": (n_bytes,)}
        )
        with archive.open("points.npy", "w", force_zip64=True) as member:
            member.write(head.getvalue())
            for _ in range(n_bytes >> 20):
                member.write(bytes(1 << 20))
    return stream.getvalue()


LIES = {
    "vertices": ply_of(HUGE),
    "many": ply_of(9_000_000),
    "ascii": ply_of(1 << 22, "ascii"),
    "elements before": ply_of(HUGE, element="camera").replace(b"end_header", b"element vertex 9"),
    "properties": b"ply\nformat ascii 1.0\nelement vertex 1\n" + b"property float a\n" * 3000,
    "nameless": b"ply\nformat ascii 1.0\n" + b"element e%d 1\n" * 300 % tuple(range(300)),
    "off vertices": b"OFF\n8000000 1 0\n0 0 0\n",
    "off faces": b"OFF\n3 2000000 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "off corners": b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n2000000000 0 1 2\n",
    "one line": b"1 " * (8 << 20),
    "columns": b"1 " * 2000 + b"\n",
    "npy shape": npy_of((HUGE, 3)),
    "npy overflow": npy_of((1 << 62, 4, 3)),
    "npy negative": npy_of((-1, 3)),
    "npy deep": npy_of((1,) * 30),
    "bomb": bomb(700 << 20),
    "zeros": bytes(4 << 20),
    "hot": b"\1\1\x80\0\0" * (1 << 20),
}


@pytest.mark.parametrize("modality", ["event", "point"])
@pytest.mark.parametrize("name", LIES)
def test_headers_that_promise_more_than_there_is(name: str, modality: str, tmp_path: Path) -> None:
    both_ways(modality, LIES[name], tmp_path)


@pytest.mark.parametrize("modality", ["event", "point", "depth"])
def test_literals_that_keep_a_parser_busy(modality: str) -> None:
    @fuzz
    @given(st.text(alphabet="({[\"'x:,<f48|O} \n", max_size=200))
    def hold(header: str) -> None:
        text = header.encode().ljust(118) + b"\n"
        data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(48)
        outcome = usable_or_refused(lambda: get(modality).load(data))
        assert isinstance(outcome, MolspaceError | np.ndarray)

    hold()
