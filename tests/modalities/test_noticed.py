"""Notes of items in memory: several that look alike to a decoder count as several."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from reactions.api.arguments import items_of
from reactions.api.mteb_model import _mono
from reactions.core.types import Item
from reactions.modalities import noticed
from reactions.modalities.registry import load
from reactions.serving.uploads import Uploads

SILENCE = np.zeros(800, np.float32)


def silent_wav():
    stream = io.BytesIO()
    soundfile.write(stream, SILENCE, 8000, format="WAV")
    return stream.getvalue()


def test_bytes_of_the_same_length():
    items = [Item(str(i), "audio", silent_wav()) for i in range(3)]
    for item in [*items, *items]:  # each encoder decodes for itself
        load(item)
    assert noticed.take() == ["3 sounds are silent: every sample is 0, first 'audio 0'"]


def test_pictures_of_pillow_of_the_same_size():
    dark = Image.fromarray(np.full((4, 4), 90, np.int32))
    items_of("image", [dark, dark.copy()], ())
    (text,) = noticed.take()
    assert text.startswith("2 pictures of 16 bits or more")
    assert text.endswith("first 'image 0'")


def test_sounds_of_two_batches():
    sound = {"array": np.stack([SILENCE + 0.1, SILENCE - 0.1]), "sampling_rate": 8000}
    sound["array"][:, ::2] = 0
    for batch in ("batch 1", "batch 2"):
        with noticed.of_item(batch):
            for i in range(2):
                _mono(sound, f"audio {i}")
    (text,) = noticed.take()
    assert text.startswith("4 sounds lost most")
    assert text.endswith("first 'batch 1, audio 0'")


def test_a_name_counts_within_its_block_alone():
    with pytest.raises(KeyError), noticed.of_item("a"):
        raise KeyError
    kind = noticed.Kind("{n} are odd", "1 is odd")
    noticed.note(kind, "b")
    assert noticed.take() == ["1 is odd, first 'b'"]


def test_a_file_that_is_tried_as_everything_is_not_noted_as_what_it_is_not():
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "PNG")
    uploads = Uploads(["image", "event", "audio"])
    upload = uploads.add(stream.getvalue(), "black.png")
    assert (upload.modality, upload.others) == ("image", ("event",))
    load(upload.item)
    assert noticed.take() == []
    load(uploads.add(stream.getvalue(), "e.png", "event").item)
    assert noticed.take() == ["1 picture of events is blank: it shows none, first 'event e.png'"]
