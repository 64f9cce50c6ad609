"""Depth maps and thermal images of pictures: units, named variants, what is refused."""

import numpy as np
import pytest
from further_media import grey_png, npy_bytes
from media_files import image_bytes
from PIL import Image

from reactions.core.errors import MediaError, UsageError
from reactions.modalities import depth, registry, thermal

DEPTH, THERMAL = registry.get("depth"), registry.get("thermal")
MILLIMETRES = np.array([[0, 1, 1500], [8000, 32767, 65535]], np.uint16)
RAMP = np.arange(200, dtype=np.uint16).reshape(10, 20) * 30 + 27_000


# --- depth ---


def test_sixteen_bits_are_millimetres():
    metres = DEPTH.load(grey_png(MILLIMETRES))
    assert metres.dtype == np.float32
    np.testing.assert_array_equal(metres, MILLIMETRES.astype(np.float32) / np.float32(1000))
    assert metres[0, 0] == 0  # nothing was measured
    assert DEPTH.why_unusable(metres) == ""


def test_sun_rgbds_bits_are_rotated_by_name_alone():
    # What its own tools undo: the value's bits are stored rotated to the left by three.
    rotated = [[(v << 3 | v >> 13) & 0xFFFF for v in row] for row in MILLIMETRES.tolist()]
    data = grey_png(np.array(rotated, np.uint16))
    metres = depth.stored_as("sunrgbd").load(data)
    np.testing.assert_array_equal(metres, DEPTH.load(grey_png(MILLIMETRES)))
    assert not np.array_equal(DEPTH.load(data), metres)


def test_floats_stay_as_they_are():
    floats = np.array([[-1.5, 0.25], [3.0, 80.0]], np.float32)
    np.testing.assert_array_equal(DEPTH.load(npy_bytes(floats)), floats)


@pytest.mark.parametrize("data", [image_bytes(), grey_png(np.zeros((3, 4), np.uint8))])
def test_eight_bits_are_no_depth(data):
    with pytest.raises(MediaError, match="no 16 bits of grey") as caught:
        DEPTH.load(data)
    assert "millimetres" in caught.value.fix


def test_turned_pictures_stand_upright(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(MILLIMETRES).save(tmp_path / "x.png", exif=tags)
    turned = DEPTH.load(tmp_path / "x.png")
    np.testing.assert_array_equal(turned, np.rot90(DEPTH.load(grey_png(MILLIMETRES)), -1))


@pytest.mark.parametrize("modality", ["depth", "thermal"])
def test_cut_short_is_found_by_a_glance(modality):
    noise = np.random.default_rng(0).integers(0, 65536, (40, 50)).astype(np.uint16)
    assert registry.check(modality, grey_png(noise)[:2000]) != ""
    assert registry.check(modality, grey_png(noise)) == ""


# --- thermal ---


def test_eight_bits_are_divided_by_255(tmp_path):
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(np.repeat(grey[:, :, None], 3, 2)).save(tmp_path / "rgb.png")
    for source in (grey_png(grey), tmp_path / "rgb.png"):
        brightness = THERMAL.load(source)
        np.testing.assert_array_equal(brightness, grey.astype(np.float32) / np.float32(255))
        assert THERMAL.why_unusable(brightness) == ""


def test_a_cameras_jpeg_is_grey_enough(tmp_path):
    grey = np.tile(np.arange(0, 200, 5, dtype=np.uint8), (40, 1))
    Image.fromarray(np.repeat(grey[:, :, None], 3, 2)).save(tmp_path / "x.jpg", quality=60)
    np.testing.assert_allclose(THERMAL.load(tmp_path / "x.jpg"), grey / 255, atol=0.03)


def test_false_colours_are_refused():
    with pytest.raises(MediaError, match="false colours") as caught:
        THERMAL.load(image_bytes())
    assert "grey" in caught.value.fix


def test_radiometric_images_show_their_own_range():
    brightness = THERMAL.load(grey_png(RAMP))
    low, high = np.sort(RAMP.ravel())[[2, 197]].astype(float)  # 1 and 99 per cent of 199 steps
    expected = np.clip((RAMP - low) / (high - low), 0, 1)
    np.testing.assert_allclose(brightness, expected, atol=1e-6)
    np.testing.assert_array_equal(THERMAL.load(grey_png(RAMP + 1000)), brightness)
    assert not THERMAL.load(grey_png(np.full((4, 4), 30_000, np.uint16))).any()


def test_hundredths_of_a_kelvin_keep_temperatures_comparable():
    celsius = np.array([[-40.0, -20, 0, 20, 60, 90]])
    data = grey_png(np.rint((celsius + 273.15) * 100).astype(np.uint16))
    brightness = thermal.scaled_by("centikelvin").load(data)
    np.testing.assert_allclose(brightness, [[0, 0, 0.25, 0.5, 1, 1]], atol=1e-6)


def test_all_of_sixteen_bits():
    brightness = thermal.scaled_by("full").load(grey_png(MILLIMETRES))
    np.testing.assert_allclose(brightness, MILLIMETRES / 65535, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "near"),
    [(lambda: depth.stored_as("sunrgb"), "sunrgbd"), (lambda: thermal.scaled_by("rang"), "range")],
)
def test_slips_of_a_variants_name(call, near):
    with pytest.raises(UsageError) as caught:
        call()
    assert near in caught.value.fix


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((4, 4), np.uint8),
        np.full((4, 4), 1.01, np.float32),
        np.full((4, 4), np.nan, np.float32),
        np.zeros((0, 4), np.float32),
        "a picture",
    ],
)
def test_values_that_are_no_thermal_images(value):
    assert THERMAL.why_unusable(value)
    assert THERMAL.why_unusable(np.zeros((4, 4, 3), np.uint8)) == ""
