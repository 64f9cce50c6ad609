"""Pictures of more than 8 bits a channel: what is white, their values say, and it is reported."""

import io
import struct
import zlib

import numpy as np
import pytest
from media_files import put
from PIL import Image

from reactions.core.errors import MediaError
from reactions.inference.values import media_value
from reactions.modalities import noticed, registry
from reactions.modalities.image import load_image
from reactions.modalities.images import greys

GREY = (np.arange(64, dtype=np.int64) * 4 + 3).reshape(8, 8)
"""Of 8 bits, up to white."""


def tiff(
    values, bits: int, *, kind: int = 1, white_is_zero: bool = False, order="<", deflate=False
) -> bytes:
    """A TIFF of one strip; kind 2 are signed numbers, 3 floats."""
    height, width = values.shape[:2]
    data = values if isinstance(values, bytes) else values.tobytes()
    data = zlib.compress(data) if deflate else data
    data += bytes(len(data) % 2)
    tags = {256: width, 257: height, 258: bits, 259: 8 if deflate else 1}
    tags |= {262: int(not white_is_zero), 273: 8, 277: 1, 278: height, 279: len(data), 339: kind}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, n) for tag, n in tags.items())
    ifd = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    sign = b"II" if order == "<" else b"MM"
    return sign + struct.pack(f"{order}HI", 42, 8 + len(data)) + data + ifd


def png(values) -> bytes:
    """A PNG of 16 bits a channel."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = {b"IHDR": head, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )


def rgb(values):
    return np.stack([values, values[::-1], values.T], axis=2)


EIGHT_BITS = "and was read as of 8 bits"
GREYS = {
    "PNG, 8 bits": (png(GREY[:, :, None]), EIGHT_BITS),
    "PNG": (png(257 * GREY[:, :, None]), ""),
    "TIFF, 8 bits": (tiff(GREY.astype("<u2"), 16), EIGHT_BITS),
    "TIFF": (tiff((257 * GREY).astype("<u2"), 16), ""),
    "TIFF, 32 bits": (tiff(GREY.astype("<u4"), 32), EIGHT_BITS),
    "0 is white": (tiff((65535 - 257 * GREY).astype("<u2"), 16, white_is_zero=True), ""),
    "shares": (tiff((GREY / 255).astype("<f4"), 32, kind=3), "brightness from 0 to 1"),
    "floats": (tiff(GREY.astype("<f4"), 32, kind=3), "as of 8 or 16 bits"),
    "floats of 16 bits": (tiff(257 * GREY.astype("<f4"), 32, kind=3), "as of 8 or 16 bits"),
    "PFM": (b"Pf 8 8 -1.0\n" + (GREY[::-1] / 255).astype("<f4").tobytes(), "from 0 to 1"),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_pictures(name, tmp_path):
    data, notice = GREYS[name]
    path = put(tmp_path / "x.png", data)
    pixels = load_image(path)
    np.testing.assert_array_equal(pixels, np.repeat(GREY[:, :, None], 3, axis=2))
    notices = noticed.take()
    assert len(notices) == bool(notice)
    assert not notice or (notice in notices[0] and notices[0].endswith(f"first '{path}'"))


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_converted_pictures_in_memory(mode):
    image = Image.fromarray(GREY.astype(np.uint8)).convert(mode)
    np.testing.assert_array_equal(media_value("image", image)[:, :, 0], GREY)
    assert "as of 8" in noticed.take()[0]


def test_twelve_bits(tmp_path):
    values = GREY * 4095 // 255
    bits = "".join(f"{value:012b}" for value in values.flat)
    packed = np.frombuffer(int(bits, 2).to_bytes(len(bits) // 8, "big"), np.uint8).reshape(8, 12)
    data = bytearray(tiff(packed, 12))
    data[data.index(struct.pack("<HHI", 256, 4, 1)) + 8] = 8  # pixels of a row, not bytes
    np.testing.assert_allclose(load_image(bytes(data))[:, :, 0], GREY, atol=1)
    assert noticed.take() == []


@pytest.mark.parametrize(
    "values",
    [rgb(GREY), np.dstack([rgb(GREY), 0 * GREY + 65535]), np.dstack([rgb(GREY), 0 * GREY + 255])],
    ids=["colours", "opaque", "opaque of 8 bits"],
)
def test_colours_of_8_bits(values):
    np.testing.assert_array_equal(load_image(png(values)), rgb(GREY))
    assert EIGHT_BITS in noticed.take()[0]
    scaled = values.copy()
    scaled[:, :, :3] *= 257
    if values.shape[2] == 4:
        scaled[:, :, 3] = 65535
    np.testing.assert_array_equal(load_image(png(scaled)), rgb(GREY))
    assert noticed.take() == []


@pytest.mark.parametrize("white", [255, 65535])
def test_greys_of_8_bits_that_let_something_through(white):
    opacity = np.full_like(GREY, white)
    opacity[0] = 0
    pixels = load_image(png(np.stack([GREY, opacity], axis=2)))
    np.testing.assert_array_equal(pixels[1:, :, 0], GREY[1:])
    assert (pixels[0] == 255).all()
    assert EIGHT_BITS in noticed.take()[0]


def test_what_is_black_and_lets_something_through():
    opacity = np.full_like(GREY, 65535)
    assert not load_image(png(np.stack([0 * GREY, opacity], axis=2))).any()
    assert noticed.take() == []


@pytest.mark.parametrize(("dtype", "bits", "kind"), [("i2", 16, 2), ("i4", 32, 2), ("f4", 32, 3)])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("deflate", [False, True])
def test_the_order_of_bytes(dtype, bits, kind, order, deflate):
    data = tiff(GREY.astype(f"{order}{dtype}"), bits, kind=kind, order=order, deflate=deflate)
    np.testing.assert_array_equal(load_image(data)[..., 0], GREY)
    if kind == 2:
        maps = registry.get("depth").load(data)
        np.testing.assert_array_equal(maps, GREY.astype(np.float32) / np.float32(1000))


def test_tiles_of_pillow_before_version_11():
    tile = ("zip", (0, 0, 8, 8), 41, "RGB;16B")
    assert greys._with_args(tile, {"RGB;16B": "RGB;16L"}) == (*tile[:3], "RGB;16L")
    tile = ("raw", (0, 0, 8, 8), 8, ("RGB;16L", 0, 1))
    assert greys._with_args(tile, {"RGB;16L": "RGB;16B"}) == (*tile[:3], ("RGB;16B", 0, 1))


def test_black_ink_is_a_colour_too():
    image = Image.merge("CMYK", [Image.new("L", (2, 2), n) for n in (0, 0, 0, 9)])
    assert not greys.is_black(image)
    assert greys.is_black(Image.new("CMYK", (2, 2)))


def test_what_is_black_is_black():
    for data in (png(rgb(0 * GREY)), png(0 * GREY[:, :, None]), tiff(GREY * 0.0, 64, kind=3)[:0]):
        assert data == b"" or not load_image(data).any()
    assert noticed.take() == []


def test_a_transparent_grey_lies_on_white():
    stream = io.BytesIO()
    Image.fromarray((257 * GREY).astype(np.uint16)).save(stream, "PNG", transparency=257 * 3)
    expected = np.where(GREY == 3, 255, GREY)
    np.testing.assert_array_equal(load_image(stream.getvalue())[:, :, 1], expected)


def test_a_declared_range_counts():
    dark = b"P5 8 8 65535\n" + GREY.astype(">u2").tobytes()
    assert load_image(dark).max() == 1
    dark = b"P5 8 8 4095\n" + (GREY // 16).astype(">u2").tobytes()
    assert load_image(dark).max() == 1
    assert noticed.take() == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (GREY / 255 * 80, "floats from 0.9412 to 80, whose range is not defined"),
        (GREY / 255 - 0.5, "range is not defined"),
        (np.where(GREY == 3, np.nan, 0.5), "not numbers"),
        (GREY * 1e5, "range is not defined"),
    ],
    ids=["metres", "negative", "NaN", "too large"],
)
def test_what_may_be_several_things_is_refused(values, words):
    with pytest.raises(MediaError) as caught:
        load_image(tiff(values.astype("<f4"), 32, kind=3))
    assert words in caught.value.why
    assert "8 or 16 bits" in caught.value.fix


def test_heat_of_which_0_is_white_is_refused():
    data = tiff((257 * GREY).astype("<u2"), 16, white_is_zero=True)
    assert "0 is white" in registry.check("thermal", data)
    assert registry.check("thermal", tiff((257 * GREY).astype("<u2"), 16)) == ""
