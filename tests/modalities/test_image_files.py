"""Which images are opened, and what they may take."""

import ast
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from media_files import image_bytes, put
from PIL import Image

from reactions.core.errors import MediaError
from reactions.modalities.base import CHECK_DEPTHS
from reactions.modalities.image import load_image
from reactions.modalities.images import files, greys, headers
from reactions.modalities.registry import check

ROOT = Path(__file__).parents[2]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return png[:33] + png_chunk(kind, body) + png[33:]


def webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


# --- formats ---


@pytest.mark.parametrize("depth", CHECK_DEPTHS)
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.eps"])
def test_postscript_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, depth: str
) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: pytest.fail("it ran"))
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", lambda self: pytest.fail("opened"))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    path = put(tmp_path / name, program)
    assert check("image", path, depth) != ""
    with pytest.raises(MediaError, match="cannot decode"):
        load_image(path)


@pytest.mark.parametrize("form", ["EPS", "PCX", "ICO", "SGI", "MSP", "XBM", "ICNS", "DDS", "PDF"])
def test_other_formats_are_refused_whatever_their_names(form: str) -> None:
    stream = io.BytesIO()
    mode = "1" if form in ("MSP", "XBM") else "RGB"
    Image.new(mode, (32, 32)).save(stream, form)
    with pytest.raises(MediaError, match="cannot decode"):
        load_image(stream.getvalue())


@pytest.mark.parametrize("form", [f for f in files.formats() if f != "AVIF"])
def test_supported_formats_are_read(form: str) -> None:
    data = image_bytes(form=form)
    assert load_image(data).shape == (8, 12, 3)
    assert check("image", data) == check("image", data, "full") == ""


def test_every_image_is_opened_with_a_list_of_formats() -> None:
    """Image.open tries all formats there are, PostScript among them, unless it is told not to."""
    calls: list[str] = []
    for path in [*ROOT.glob("reactions/**/*.py"), *ROOT.glob("molspace_cli/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "open" and ast.unparse(node.func.value).endswith("Image"):
                calls.append(path.name)
                assert "formats" in {keyword.arg for keyword in node.keywords}, path
    assert sorted(calls) == ["files.py", "jpegs.py", "pictures.py"]


def test_the_floor_of_pillow_turns_tiffs_once() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pillow,) = [d for d in project["dependencies"] if d.startswith("pillow")]
    assert pillow == "pillow>=10.1"  # 10.0 turns TIFFs while it loads them, and leaves the tag


def test_a_turned_tiff_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (4, 2)).save(stream, "TIFF", exif=exif)
    assert load_image(stream.getvalue()).shape == (4, 2, 3)


# --- sizes ---


def test_bands_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    modes = {
        "RGB": rng.integers(0, 256, (9, 5, 3), np.uint8),
        "RGBA": rng.integers(0, 256, (9, 5, 4), np.uint8),
        "LA": rng.integers(0, 256, (9, 5, 2), np.uint8),
        "L": rng.integers(0, 256, (9, 5), np.uint8),
        "I;16": rng.integers(0, 65536, (9, 5), np.uint16),
    }
    for mode, pixels in modes.items():
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        at_once = load_image(stream.getvalue())
        monkeypatch.setattr(greys, "_BAND_PIXELS", 10)
        np.testing.assert_array_equal(load_image(stream.getvalue()), at_once, mode)
        monkeypatch.undo()


@pytest.mark.parametrize(
    "data",
    [
        webp(b"VP8X", bytes(4) + b"\xff\xff\xff" + b"\xff\xff\xff"),
        webp(b"VP8L", b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + bytes(20)),
        webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20)),
    ],
    ids=["VP8X", "VP8L", "VP8"],
)
def test_a_webp_canvas_is_measured_before_it_is_opened(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("opened"))
    with pytest.raises(MediaError, match="million pixels"):
        load_image(data)


def test_tiles_count_as_well_as_the_image() -> None:
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 65536, 323: 65536}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags.items())
    entries += struct.pack("<HHII", 324, 4, 1, 8) + struct.pack("<HHII", 325, 4, 1, 100)
    ifd = struct.pack("<H", len(tags) + 2) + entries + bytes(4)
    data = struct.pack("<2sHI", b"II", 42, 8) + ifd + zlib.compress(bytes(256)).ljust(100)
    with pytest.raises(MediaError, match="tiles of 65536 x 65536"):
        load_image(data)


def test_scans_of_a_jpeg_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = image_bytes(form="JPEG", progressive=True)
    assert load_image(data).shape == (8, 12, 3)
    monkeypatch.setattr(files, "MAX_SCANS", 3)
    with pytest.raises(MediaError, match="scans, more than 3"):
        load_image(data)


def test_texts_and_profiles_of_a_png_stay_small() -> None:
    huge = zlib.compress(bytes(1 << 28), 9)  # 256 MiB in 260 kB
    for kind, body in (
        (b"zTXt", b"k\0\0" + huge),
        (b"iTXt", b"k\0\1\0\0\0" + huge),
        (b"iCCP", b"k\0\0" + huge),
    ):
        data = with_chunk(image_bytes(), kind, body)
        for depth in CHECK_DEPTHS:
            why = check("image", data, depth)
            assert "memory" not in why, kind


_LARGE = """
import resource, sys, warnings
warnings.simplefilter("ignore")
import numpy, PIL.Image
from reactions.modalities.image import load_image
from reactions.core.errors import MediaError
with open("/proc/self/statm") as statm:
    held = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]),) * 2)
try:
    print(load_image(open(sys.argv[1], "rb").read()).shape)
except MediaError as error:
    print(error.why)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
@pytest.mark.parametrize("mode", ["LA", "I;16"])
def test_a_small_file_of_many_pixels_takes_less_than_a_gigabyte(tmp_path: Path, mode: str) -> None:
    # 24 million pixels, a quarter of the limit: a quarter of a gigabyte. Transparent ones used
    # to take 16 bytes a pixel and more, those of 16 bits over 20.
    Image.new(mode, (6000, 4000)).save(tmp_path / "x.png", compress_level=1)
    process = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path / "x.png"), str(1 << 28)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert process.stdout == "(4000, 6000, 3)\n", process.stderr


# --- headers that keep a parser busy ---


def test_chunks_of_a_png_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = image_bytes()
    for _ in range(20):
        data = with_chunk(data, b"abCd", b"")
    assert check("image", data) == check("image", data, "full") == ""
    monkeypatch.setattr(headers, "MAX_PNG_CHUNKS", 20)
    assert "more than 20 chunks" in check("image", data, "full")


def test_exif_of_a_jpeg_is_limited() -> None:
    """Pillow joins its parts in time that grows with their square: 65 MB took 100 seconds."""
    data = image_bytes(form="JPEG")
    part = b"\xff\xe1" + struct.pack(">H", 65_008) + b"Exif\0\0" + bytes(65_000)
    assert check("image", data[:2] + part * 3 + data[2:], "full") == ""
    assert "bytes of EXIF" in check("image", data[:2] + part * 30 + data[2:], "full")


def test_the_header_of_a_jpeg_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    part = b"\xff\xe2" + struct.pack(">H", 5002) + bytes(5000)
    data = image_bytes(form="JPEG")
    data = data[:2] + b"\xff" + part * 3 + data[2:]
    assert check("image", data, "full") == ""
    monkeypatch.setattr(headers, "MAX_JPEG_HEADER_BYTES", 10_000)
    assert "its header has more than" in check("image", data, "full")


def tagged_tiff(n: int, size_bytes: int) -> bytes:
    """A TIFF of four grey pixels, and tags that all hold the same bytes."""
    values = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4}
    at = 14 + 12 * (len(values) + n)
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items()]
    entries += [struct.pack("<HHII", 40_000 + i, 1, size_bytes, at) for i in range(n)]
    ifd = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8) + ifd + bytes(size_bytes)


def test_tags_of_a_tiff_that_overlap_are_refused() -> None:
    assert check("image", tagged_tiff(2, 100_000), "full") == ""
    assert "its tags hold" in check("image", tagged_tiff(300, 100_000), "full")


def test_what_decodes_is_decoded_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    data = tagged_tiff(3, 1000)[:-500]  # tags beyond the end of the file
    assert load_image(data).shape == (2, 2, 3)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", 0x10E, 2, 9999, 9999) * 2
    assert load_image(image_bytes(form="JPEG", exif=exif)).shape == (8, 12, 3)
    assert not recwarn.list


def test_what_is_decoded_slowly_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = b"P3 2 1 255\n" + b"1 2 3 4 5 6 " + b" " * 1000
    for data, codec in ((image_bytes(form="QOI"), "qoi"), (plain, "ppm_plain")):
        assert check("image", data, "full") == ""
        monkeypatch.setitem(files._SLOW_BYTES, codec, 100)
        assert "of this kind are not decoded" in check("image", data, "full")


def test_headers_that_are_read_byte_by_byte_are_limited() -> None:
    comment = b"P6\n#" + b"c" * 1000 + b"\n2 1 255\nabcdef"
    assert check("image", comment, "full") == ""
    for data in (comment.replace(b"c" * 1000, b"c" * 100_000), b"P5" + b" " * 100_000):
        assert "its header has more than" in check("image", data, "full")
    padded = b"\xff\xd8" + b"\xff" * 100_000 + image_bytes(form="JPEG")[2:]
    assert "more than 65536 segments" in check("image", padded, "full")
