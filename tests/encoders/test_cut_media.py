"""Sounds and pictures of which an encoder uses less than half are noted, no others."""

import numpy as np
import pytest

from reactions.core.left_out import MOSTLY_CROPPED, gathered
from reactions.core.types import Waveform
from reactions.encoders.clap.audio_features import ClapAudioConfig, features
from reactions.encoders.imagebind import images, sound
from reactions.encoders.mini.inputs import INPUTS
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.preprocessing.waveforms import centre, unheard


def noted(prepare, *values):
    with gathered() as notes:
        prepare(*values)
    return [note.clause for note in notes]


def tone(seconds, rate_hz=8000):
    n = round(seconds * rate_hz)
    return Waveform(np.sin(np.arange(n) / 9).astype(np.float32), rate_hz)


def test_sounds_that_are_cut_to_their_middle():
    assert noted(centre, tone(20), 10) == []
    assert noted(centre, tone(20.1), 10) == [unheard(10)]
    small = {"rate_hz": 8000, "samples": 8000, "high_hz": 4000, "fft": 256, "hop": 80, "mels": 16}
    for fused, seconds, expected in ((False, 2, []), (False, 2.1, [unheard(1)]), (True, 9, [])):
        config = ClapAudioConfig(fused=fused, **small)
        assert noted(features, tone(seconds), config) == expected
        assert set(expected) <= set(config.limits)


def test_sounds_of_which_imagebind_takes_three_clips():
    long, longer = tone(12, 16_000), tone(12.1, 16_000)
    assert noted(sound.clips, long.samples, 16_000) == []
    assert noted(sound.clips, longer.samples, 16_000) == list(sound.LIMITS)


@pytest.mark.parametrize(
    ("resize", "shape", "expected"),
    [
        ("shortest", (40, 80), []),
        ("shortest", (40, 81), [MOSTLY_CROPPED]),
        ("shortest", (90, 40), [MOSTLY_CROPPED]),
        ("cover", (90, 40), [MOSTLY_CROPPED]),
        ("none", (64, 64), [MOSTLY_CROPPED]),
        ("longest", (90, 30), []),
        ("squash", (90, 30), []),
    ],
)
def test_pictures_that_are_mostly_cropped_away(resize, shape, expected):
    transform = ImageTransform((40, 40), resize, (40, 40))
    assert noted(transform.fit, np.zeros((*shape, 3), np.uint8)) == expected
    assert set(expected) <= set(transform.limits)


def test_what_imagebind_and_the_mini_lab_crop_away():
    wide = np.zeros((30, 90, 3), np.uint8)
    assert noted(images.colour, wide) == [MOSTLY_CROPPED]
    for modality, value, expected in (
        ("image", wide, [MOSTLY_CROPPED]),
        ("image", wide[:, :60], []),
        ("thermal", np.zeros((30, 90), np.float32), [MOSTLY_CROPPED]),
        ("audio", tone(1.1), [unheard(0.5)]),
        ("audio", tone(0.9), []),
        ("text", "rain " * 64, []),
        ("text", "rain " * 65, [INPUTS["text"].limits[0]]),
        ("text", "abcdefghijklmnop " * 21, [INPUTS["text"].limits[1]]),
    ):
        assert noted(INPUTS[modality].prepare, value) == expected
        assert set(expected) <= set(INPUTS[modality].limits)
