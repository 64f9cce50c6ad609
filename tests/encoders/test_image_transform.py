import io

import numpy as np
import pytest
from PIL import Image

from reactions.core.errors import MediaError
from reactions.encoders.preprocessing.image_transform import ImageTransform

SHAPES = ((40, 60), (61, 40), (31, 32), (32, 32), (7, 200), (1, 1), (33, 97))
PLAIN = ImageTransform((32, 32), "shortest", (32, 32))


def picture(height, width, seed=0):
    """Noise upon a ramp, through a real PNG."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] + rng.uniform(0, 55, (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8)).save(stream, "png")
    return np.array(Image.open(stream))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resize", ["shortest", "cover", "longest", "squash"])
def test_every_shape_comes_out_at_the_size_wanted(shape, resize):
    fitted = ImageTransform((32, 24), resize, (32, 24)).fit(picture(*shape))
    assert (fitted.shape, fitted.dtype) == ((3, 32, 24), np.uint8)
    assert fitted.flags["C_CONTIGUOUS"]


def test_margins_are_cut_evenly_and_odd_ones_as_chosen():
    pixels = np.arange(35, dtype=np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2)
    cut = ImageTransform((32, 32), "none", (0, 0)).fit(pixels)
    assert cut[0, 0, 0] == 2  # 1.5 to even
    assert ImageTransform((32, 32), "none", (0, 0), crop="floor").fit(pixels)[0, 0, 0] == 1


def test_small_pictures_are_framed():
    fitted = ImageTransform((4, 4), "none", (0, 0), fill=9).fit(np.full((2, 3, 3), 200, np.uint8))
    assert fitted[1].tolist() == [[9] * 4, [200] * 3 + [9], [200] * 3 + [9], [9] * 4]


def test_normalising_divides_subtracts_and_divides():
    import torch

    transform = ImageTransform((1, 1), "none", (1, 1), mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    out = transform.normalise(torch.tensor([255, 51, 102], dtype=torch.uint8).reshape(1, 3, 1, 1))
    # Single precision of numbers near one.
    torch.testing.assert_close(out.flatten(), torch.tensor([1.0, -0.05, 0.2]), atol=1e-6, rtol=0.0)


def test_a_sliver_is_refused_before_it_fills_the_memory():
    with pytest.raises(MediaError, match="1 x 120000 pixels would become 32 x 3840000"):
        ImageTransform((32, 32), "shortest", (32, 32)).fit(np.zeros((120_000, 1, 3), np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        {"size": (32, 31)},
        {"resize": "squash"},
        {"to": (36, 36)},
        {"resample": "bilinear"},
        {"crop": "floor"},
        {"fill": 1},
        {"scale": 1.0},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
    ],
)
def test_the_tag_changes_with_whatever_changes_a_pixel(change):
    from dataclasses import replace

    assert replace(PLAIN, **change).tag != PLAIN.tag
    assert PLAIN.tag == ImageTransform((32, 32), "shortest", (32, 32)).tag
