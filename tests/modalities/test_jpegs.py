"""JPEGs by simplejpeg are those that Pillow decodes, pixel by pixel."""

import io
from itertools import product

import numpy as np
import pytest
from media_files import image_bytes
from PIL import Image

from reactions.core.errors import MediaError
from reactions.modalities.image import load_image
from reactions.modalities.images import jpegs

simplejpeg = pytest.importorskip("simplejpeg")

SIZES = ((1, 1), (1, 7), (9, 1), (8, 8), (17, 15), (47, 33), (64, 48), (127, 129))


def picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth with noise, as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def by_pillow(data: bytes, monkeypatch) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(jpegs, "agrees", lambda: False)
        return load_image(data)


@pytest.fixture
def decoded(monkeypatch):
    """Which files simplejpeg decoded."""
    calls = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(
        simplejpeg, "decode_jpeg", lambda data, *a: calls.append(data) or decode(data, *a)
    )
    assert jpegs.agrees()
    calls.clear()
    return calls


@pytest.mark.parametrize("seed", range(16))
def test_pixels_are_pillows(seed, decoded, monkeypatch):
    kinds = product(SIZES, ("444", "422", "420", "440", "411", "Gray"))
    for n, (size, subsampling) in enumerate(kinds, start=seed):
        pixels, quality = picture(seed, size), (30, 75, 92, 100)[n % 4]
        data = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling=subsampling)
        np.testing.assert_array_equal(load_image(data), by_pillow(data, monkeypatch))
        assert decoded == [data]
        decoded.clear()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_ones_are_turned(orientation, decoded, monkeypatch):
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(1, (33, 21))).save(stream, "JPEG", exif=exif, subsampling=2)
    data = stream.getvalue()
    pixels = load_image(data)
    assert decoded == [data]
    np.testing.assert_array_equal(pixels, by_pillow(data, monkeypatch))
    assert pixels.shape == ((21, 33, 3) if orientation < 5 else (33, 21, 3))


def saved(mode: str = "RGB", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(2, (47, 33))).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def test_what_pillow_keeps(decoded, monkeypatch):
    """CMYK differs, progressive ones may, and RGB without a transform is rare."""
    left_to_pillow = [
        saved("CMYK"),
        saved(progressive=True),
        saved(keep_rgb=True),
        image_bytes(form="PNG"),
    ]
    for data in left_to_pillow:
        np.testing.assert_array_equal(load_image(data), by_pillow(data, monkeypatch))
    assert decoded == []


def verdict(data: bytes) -> np.ndarray | str:
    """The pixels, or why there are none."""
    try:
        return load_image(data)
    except MediaError as error:
        return error.why


def test_damage_is_pillows_to_judge(monkeypatch):
    def pillows(data: bytes) -> np.ndarray | str:
        with monkeypatch.context() as patch:
            patch.setattr(jpegs, "agrees", lambda: False)
            return verdict(data)

    data = saved(quality=90)
    rng = np.random.default_rng(4)
    damaged = [data[:n] for n in (0, 2, 100, 400, len(data) // 2, len(data) - 2, len(data) - 1)]
    for _ in range(60):
        bad = bytearray(data)
        bad[rng.integers(2, len(bad))] = rng.integers(0, 256)
        damaged.append(bytes(bad))
    outcomes, expected = ([*map(decode, damaged)] for decode in (verdict, pillows))
    assert [*map(str, outcomes)] == [*map(str, expected)]
    kinds = {type(outcome) for outcome in expected}
    assert kinds == {str, np.ndarray}
    for outcome, other in zip(outcomes, expected, strict=True):
        np.testing.assert_array_equal(outcome, other)


def test_another_library_is_noticed(monkeypatch):
    """A Pillow whose pixels differ by one decodes everything by itself."""
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a: decode(*a) ^ 1)
    jpegs.agrees.cache_clear()
    try:
        assert not jpegs.agrees()
        data = saved()
        np.testing.assert_array_equal(load_image(data), by_pillow(data, monkeypatch))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        jpegs.agrees.cache_clear()
        assert not jpegs.agrees()
    finally:
        jpegs.agrees.cache_clear()
