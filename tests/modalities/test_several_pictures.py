"""Of files of several pictures the first is taken, which is noted; of other files it is not."""

import io

import numpy as np
import pytest
from PIL import Image

from reactions.core.left_out import gathered
from reactions.modalities import image, registry
from reactions.modalities.images.files import FIRST_OF_SEVERAL, formats

PICTURES = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "green")]


def saved(kind, pictures):
    file = io.BytesIO()
    saving_options = {"save_all": True, "append_images": pictures[1:]} if pictures[1:] else {}
    pictures[0].save(file, format=kind, **saving_options)
    return file.getvalue()


def notes_of(data):
    with gathered() as notes:
        pixels = image.load_image(data)
    assert pixels[0, 0, 0] > 200  # red: the first
    return [note.clause for note in notes]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "AVIF"])
def test_animations_and_pages(kind):
    if kind not in formats():
        pytest.skip(f"this Pillow decodes no {kind}")
    assert notes_of(saved(kind, PICTURES)) == [FIRST_OF_SEVERAL]
    assert notes_of(saved(kind, PICTURES[:1])) == []


def test_smaller_versions_in_a_jpeg_do_not_count():
    assert notes_of(saved("MPO", PICTURES)) == []


def test_what_is_wrong_with_further_pictures_does_not_spoil_the_first():
    data = saved("GIF", PICTURES)
    second = data.index(b"\x2c", data.index(b"\x2c") + 1)
    broken = data[:second] + b"\x2c\xff" + data[second + 2 :]
    assert notes_of(broken) in ([], [FIRST_OF_SEVERAL])


def test_pages_of_16_bits():
    pages = [Image.fromarray(np.full((9, 9), n, np.uint16)) for n in (100, 30_000)]
    pages[0].putpixel((0, 0), 30_000)
    record = registry.get("thermal")
    for pages_saved, expected in ((pages, [FIRST_OF_SEVERAL]), (pages[:1], [])):
        with gathered() as notes:
            record.load(saved("TIFF", pages_saved))
        assert [note.clause for note in notes] == expected
