"""Point clouds: every form gives the same points; what is none, or degenerate, is refused."""

import io

import numpy as np
import pytest
from further_media import TETRAHEDRON, npy_bytes, npz_bytes, ply_bytes, points

from reactions.core.errors import MediaError
from reactions.modalities import registry
from reactions.modalities.points import lines, meshes, values

POINT = registry.get("point")
XYZ = points()
RGB = np.random.default_rng(1).integers(0, 256, XYZ.shape, dtype=np.uint8)
NORMALS = XYZ / np.linalg.norm(XYZ, axis=1, keepdims=True)
COLOURED = np.concatenate([XYZ, RGB.astype(np.float32) / np.float32(255)], axis=1)


def text(array, separator=" ", head=""):
    return (
        head + "".join(separator.join(map(repr, map(float, row))) + "\n" for row in array)
    ).encode()


NAMED = np.zeros(len(XYZ), [("x", "f4"), ("y", "f4"), ("z", "f4")])
NAMED["x"], NAMED["y"], NAMED["z"] = XYZ.T
PLAIN = {
    "npy": npy_bytes(XYZ),
    "float64": npy_bytes(XYZ.astype(float)),
    "one of a batch": npy_bytes(XYZ[None]),
    "named": npy_bytes(NAMED),
    "npz": npz_bytes(points=XYZ),
    "npz of one": npz_bytes(whatever=XYZ),
    "npz of columns": npz_bytes(x=XYZ[:, 0], y=XYZ[:, 1], z=XYZ[:, 2]),
    "ply": ply_bytes(XYZ),
    "little": ply_bytes(XYZ, form="binary_little_endian"),
    "big": ply_bytes(XYZ, form="binary_big_endian"),
    "blanks": text(XYZ),
    "tabs": text(XYZ, "\t"),
    "commas": text(XYZ, ","),
    "ModelNet": text(np.concatenate([XYZ, NORMALS], axis=1), ","),
    "ShapeNet-part": text(np.concatenate([XYZ, NORMALS, np.ones((50, 1))], axis=1)),
    "comments": text(XYZ, head="# made\n// by hand\n\n"),
    "header": text(XYZ, ",", "x,y,z\n"),
}
BRIGHT = {
    "npy": npy_bytes(COLOURED),
    "bytes": npz_bytes(xyz=XYZ, colors=RGB),
    "floats": npz_bytes(xyz=XYZ, rgb=COLOURED[:, 3:]),
    "ply": ply_bytes(XYZ, RGB),
    "little": ply_bytes(XYZ, RGB, "binary_little_endian").replace(b"uchar r\n", b"uchar red\n"),
    "big": ply_bytes(XYZ, RGB, "binary_big_endian"),
    "header": text(np.concatenate([XYZ, RGB], axis=1), ",", "x,y,z,red,green,blue\n"),
}


def why(data: bytes, fix: str = "npy") -> str:
    with pytest.raises(MediaError) as caught:
        POINT.load(data)
    assert fix in caught.value.fix
    assert registry.check("point", data) == caught.value.why
    return caught.value.why


@pytest.mark.parametrize("form", PLAIN)
def test_all_forms_hold_the_same_points(form):
    cloud = POINT.load(PLAIN[form])
    np.testing.assert_array_equal(cloud, XYZ)
    assert cloud.dtype == np.float32
    assert POINT.why_unusable(cloud) == ""


@pytest.mark.parametrize("form", BRIGHT)
def test_colours_are_from_0_to_1(form):
    cloud = POINT.load(BRIGHT[form])
    # Bytes are divided in double precision, whoever divided these beforehand in single.
    np.testing.assert_allclose(cloud, COLOURED, atol=1e-7)
    assert POINT.why_unusable(cloud) == ""


def test_a_meshs_surface_is_drawn_from():
    cloud = POINT.load(TETRAHEDRON)
    assert cloud.shape == (meshes.SURFACE_POINTS, 3)
    np.testing.assert_array_equal(cloud, POINT.load(TETRAHEDRON))
    x, y, z = cloud.astype(float).T
    on_face = [np.abs(x) < 1e-6, np.abs(y) < 1e-6, np.abs(z) < 1e-6, np.abs(x + y + z - 1) < 1e-6]
    assert np.any(on_face, axis=0).all()
    assert (cloud >= 0).all()
    # Areas 1/2, 1/2, 1/2 and sqrt(3)/2: strata keep each share within a point or two.
    shares = np.array([face.mean() for face in on_face])
    np.testing.assert_allclose(shares, np.array([1, 1, 1, 3**0.5]) / (3 + 3**0.5), atol=2e-3)
    for axis in range(3):  # spread over a face, not gathered at its corners
        others = cloud[on_face[axis]][:, [i for i in range(3) if i != axis]]
        np.testing.assert_allclose(others.mean(axis=0), 1 / 3, atol=0.02)


def test_glued_counts_and_faces_of_four_corners():
    square = b"OFF4 1 0\n0 0 0\n2 0 0\n2 1 0\n0 1 0\n4 0 1 2 3\n"
    cloud = POINT.load(square)
    np.testing.assert_allclose(cloud.mean(axis=0), [1, 0.5, 0], atol=0.02)
    assert (cloud[:, 2] == 0).all()


def test_vertices_without_faces_are_the_points():
    cloud = POINT.load(b"OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n")
    assert cloud.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


HEADER = b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nor lines of numbers"),
        (b"\0\1\2" * 9, "nor lines of numbers"),
        (npy_bytes(XYZ)[:-1], "bytes"),
        (npy_bytes(XYZ[:0]), "0 points"),
        (npy_bytes(XYZ[:, :2]), "not (n, 3)"),
        (npy_bytes(np.concatenate([XYZ, NORMALS], axis=1)), "colours from 0 to 1"),
        (npy_bytes(np.full((9, 3), np.nan)), "not every value is finite"),
        (npy_bytes(np.full((9, 3), 1e300)), "not every value is finite"),
        (npy_bytes(np.ones((9, 3))), "one place"),
        (npy_bytes(XYZ.astype(float) * 1e-3 + 5e6), "float32 blurs it"),
        (npy_bytes(np.array([["a", "b", "c"]])), "not of numbers"),
        (npz_bytes(a=XYZ, b=XYZ), "no array called points"),
        (npz_bytes(xyz=XYZ, rgb=XYZ), "colours"),
        (npz_bytes(xyz=XYZ, rgb=RGB.astype(np.int64) * 3), "0 to 255"),
        (PLAIN["ply"][:-9], "faces are missing"),
        (ply_bytes(XYZ).rpartition(b"\n3 0")[0][:-40], "numbers"),
        (PLAIN["little"][:-30], "cut short"),
        (HEADER + b"end_header\n0 0\n1 1\n", "no x, y and z"),
        (HEADER.replace(b"ascii", b"zip") + b"end_header\n", "format zip"),
        (HEADER.replace(b" 2\n", b" 99999999999999999999\n") + b"end_header\n", "element vertex"),
        (HEADER + b"property float z\n", "cut short"),
        (HEADER + b"property float x\nend_header\n", "twice"),
        (HEADER + b"property quad z\nend_header\n", "unknown type"),
        (b"ply\nformat ascii 1.0\nend_header\n", "no vertices"),
        (b"ply\n" + b"comment x\n" * 9999, "64 KiB"),
        (b"1 2\n3 4\n", "a point needs 3"),
        (b"1 2 3\n4 5\n", "number of columns"),
        (b"1 2 3\n4 five 6\n", "could not convert"),
        (b"a,b,c\n1,2,3\n", "nor names x, y, z"),
        (b"x,y,z\n", "no points"),
        (b"1 " * 4000 + b"\n", "longer than"),
        (TETRAHEDRON[:-6], "cut short"),
        (TETRAHEDRON[:20], "cut short"),
        (TETRAHEDRON.replace(b"3 0 1 2", b"3 0 1 9"), "not there"),
        (TETRAHEDRON.replace(b"3 0 1 2", b"999 1 2"), "too many"),
        (b"OFF\n3 1 0\n0 0 0\n0 0 0\n1 1 1\n3 0 1 2\n", "no area"),
        (b"OFF\n99999999999 1 0\n", "vertices"),
        (b"COFF\n3 0 0\n", "save it plain"),
    ],
)
def test_what_is_no_cloud(data, words):
    assert words in why(data, "")


def test_nothing_is_unpickled(tmp_path):
    assert "unpickled" in why(npy_bytes(np.array([{"xyz": 1}], dtype=object)))
    torch = pytest.importorskip("torch")
    torch.save(torch.zeros(8, 3), tmp_path / "x.pt")
    with pytest.raises(MediaError) as caught:
        POINT.load(tmp_path / "x.pt")
    assert "numpy.save" in caught.value.fix
    assert "numpy does not write" in caught.value.why


def test_points_are_limited(monkeypatch):
    monkeypatch.setattr(values, "MAX_POINTS", 49)
    assert "needs 1 to 49" in why(npy_bytes(XYZ))
    monkeypatch.setattr(meshes, "MAX_FACES", 3)
    assert "more than 3" in why(TETRAHEDRON)


@pytest.mark.parametrize(
    "value",
    [
        XYZ.astype(float),
        XYZ[:, :2],
        XYZ[:0],
        np.concatenate([XYZ, XYZ], axis=1),
        np.full((3, 3), np.inf, np.float32),
        np.ones((3, 3), np.float32),
        "a cloud",
    ],
)
def test_values_that_cannot_be_embedded(value):
    assert POINT.why_unusable(value)


def test_lines_are_read_one_by_one():
    stream = io.BytesIO(b"1 2 3\n" * 3)
    assert next(lines.text_lines(stream)) == "1 2 3"
    assert stream.tell() == 6
