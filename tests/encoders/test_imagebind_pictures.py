import numpy as np
import pytest
from PIL import Image

from reactions.encoders.base import Unusable
from reactions.encoders.imagebind import images
from reactions.modalities.image import MAX_PIXELS

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class TestColour:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (223, 225), (480, 640)])
    def test_any_size(self, shape):
        actual = images.colour(pixels(*shape))
        assert (actual.shape, actual.dtype) == ((3, 224, 224), np.float32)

    def test_statistics(self):
        flat = np.full((224, 224, 3), (255, 0, 51), np.uint8)
        expected = (np.array([1.0, 0.0, 0.2]) - MEAN) / STD
        np.testing.assert_allclose(images.colour(flat)[:, 0, 0], expected, rtol=1e-6)

    def test_the_middle_is_kept(self):
        wide = pixels(224, 724)
        np.testing.assert_array_equal(
            images.colour(wide), images.colour(np.ascontiguousarray(wide[:, 250:474]))
        )
        tall = pixels(725, 224)  # 250.5 rows above: half to even
        np.testing.assert_array_equal(images.colour(tall), images.colour(tall[250:474]))

    def test_large_images_are_scaled_without_aliasing(self):
        stripes = np.zeros((896, 896, 3), np.uint8)
        stripes[:, ::2] = 255
        grey = (127.5 / 255 - MEAN[0]) / STD[0]
        # Fine stripes average out; nearest or plain bicubic sampling would keep them.
        inside = images.colour(stripes)[0, :, 4:-4]
        assert np.abs(inside - grey).max() < 0.02  # half a level of 8 bits

    def test_rows_stay_rows(self):
        upright = pixels(300, 400)
        turned = np.ascontiguousarray(upright.transpose(1, 0, 2))
        difference = images.colour(turned) - images.colour(upright).transpose(0, 2, 1)
        # Pillow rounds and clips to 8 bits between its two passes.
        assert np.abs(difference).mean() < 0.02


class TestOthers:
    def test_grey(self):
        actual = images.grey(np.full((300, 250, 3), 51, np.uint8))
        assert (actual.shape, actual.dtype) == ((1, 224, 224), np.float32)
        np.testing.assert_allclose(actual, 0.2, rtol=1e-6)
        red = np.zeros((224, 224, 3), np.uint8)
        red[..., 0] = 255
        weight = np.asarray(Image.fromarray(red).convert("L"))[0, 0] / 255
        np.testing.assert_allclose(images.grey(red), weight, rtol=1e-6)

    def test_disparity(self):
        values = np.linspace(-1, 3, 224 * 300).reshape(224, 300)
        actual = images.disparity(values)
        assert (actual.shape, actual.dtype) == ((1, 224, 224), np.float32)
        np.testing.assert_allclose(actual[0], values[:, 38:262], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("prepare", "value"),
    [
        (prepare, value)
        for prepare in (images.colour, images.grey)
        for value in (
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((4, 4, 3), np.float32),
            np.zeros((0, 4, 3), np.uint8),
            "a cat",
            None,
        )
    ]
    + [
        (images.disparity, np.zeros((4, 4, 1), np.float32)),
        (images.disparity, np.zeros((4, 4), np.uint8)),
        (images.disparity, np.full((4, 4), np.nan, np.float32)),
        (images.disparity, np.zeros((0, 4), np.float32)),
    ],
)
def test_unusable(prepare, value):
    with pytest.raises(Unusable):
        prepare(value)


def test_absurd_shapes(monkeypatch):
    with pytest.raises(Unusable, match="narrow"):
        images.colour(np.zeros((1, 3000, 3), np.uint8))
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(Unusable, match="pixels"):
        images.colour(np.zeros((11, 11, 3), np.uint8))
    assert MAX_PIXELS == 100_000_000
