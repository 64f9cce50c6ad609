import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.labs.mini import pixels, sentences, waveforms
from reactions.labs.mini.sentences import Style, captions
from reactions.labs.mini.world import CLASSES, GENERAL, MUSICAL, SceneStream, below, mix64

N = 64


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def test_hash_is_splitmix64():
    # First outputs of the reference generator seeded with 0 (Vigna, public domain).
    counter = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(x) for x in mix64(counter).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_below_covers_its_range_evenly():
    random = mix64(np.arange(60_000, dtype=np.uint64))
    counts = np.bincount(below(random, 6), minlength=6)
    # 10,000 expected a value; five standard deviations of a binomial are 460.
    assert np.abs(counts - 10_000).max() < 460


class TestGolden:
    """Media and words are the same on every machine; a new world needs a new WORLD_VERSION."""

    scenes = SceneStream("golden", 7).scenes(0, N)

    def test_images(self):
        assert sha(pixels.images(self.scenes)) == "8a11ce02ecaa1885"

    def test_sounds(self):
        assert sha(waveforms.sounds(self.scenes).astype("<i2")) == "318692b9642bd7af"

    @pytest.mark.parametrize(
        ("sense", "expected"), [("sight", "697fd6d14906e842"), ("sound", "d9474da00c7939e2")]
    )
    def test_sentences(self, sense, expected):
        text = "\n".join(captions(self.scenes, Style(sense), variant=3))
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected


def test_shapes_and_types():
    scenes = SceneStream("shapes").scenes(0, 5)
    images, sounds = pixels.images(scenes), waveforms.sounds(scenes)
    assert (images.shape, images.dtype) == ((5, 32, 32, 3), np.uint8)
    assert (sounds.shape, sounds.dtype) == ((5, 4000), np.int16)


@given(start=st.integers(0, 200), n=st.integers(1, 8))
def test_random_access_equals_bulk(start, n):
    stream = SceneStream("access", 1)
    bulk, part = stream.scenes(0, 208), stream.scenes(start, start + n)
    rows = slice(start, start + n)
    np.testing.assert_array_equal(pixels.images(bulk[rows]), pixels.images(part))
    np.testing.assert_array_equal(waveforms.sounds(bulk[rows]), waveforms.sounds(part))
    assert captions(bulk, Style("sound"))[rows] == captions(part, Style("sound"))


def test_rendering_does_not_depend_on_chunks():
    scenes = SceneStream("chunks").scenes(0, 1100)
    np.testing.assert_array_equal(pixels.images(scenes)[1020:], pixels.images(scenes[1020:1100]))
    np.testing.assert_array_equal(
        waveforms.sounds(scenes)[500:], waveforms.sounds(scenes[500:1100])
    )


def test_splits_and_seeds_are_disjoint():
    streams = [
        SceneStream(s, seed) for s in ("corpus-image", "imagenet", "train") for seed in (0, 1)
    ]
    identities = np.concatenate([stream.scenes(0, 2000).identity for stream in streams])
    assert len(np.unique(identities)) == len(identities)


def test_balanced_kinds_come_in_turn_and_change_nothing_else():
    plain, balanced = (
        SceneStream("b").scenes(0, 120),
        SceneStream("b", balanced=True).scenes(0, 120),
    )
    assert balanced.kind.tolist() == [i % 50 for i in range(120)]
    np.testing.assert_array_equal(plain.size, balanced.size)


@pytest.mark.parametrize("percent", [0, 30, 100])
def test_musical_share(percent):
    kind = SceneStream("share", musical_percent=percent).scenes(0, 4000).kind
    # Five standard deviations of a binomial share of 4,000.
    assert abs((kind < len(MUSICAL)).mean() - percent / 100) < 0.04
    assert set(np.unique(kind)) <= set(range(50))


def test_big_things_sound_deeper():
    scenes = SceneStream("pitch").scenes(0, 3000)
    means = [scenes.pitch[scenes.size == size].mean() for size in range(3)]
    assert means[0] > means[1] > means[2]


def test_classes_are_distinct_and_looked_and_sounded_unlike():
    assert len(set(CLASSES)) == 50
    assert CLASSES == MUSICAL + GENERAL
    glyphs = pixels._glyphs()[:, -1].reshape(50, -1)
    notes = waveforms._notes()[:, 1, 1, 0]
    assert len(np.unique(glyphs, axis=0)) == 50
    assert len(np.unique(notes, axis=0)) == 50


def test_sounds_are_heard_and_do_not_clip():
    sounds = waveforms.sounds(SceneStream("loud").scenes(0, 300)).astype(np.int64)
    assert np.abs(sounds).max() < 32767
    assert (np.sqrt((sounds**2).mean(axis=1)) > 50).all()


def test_overlay_adds_the_second_by_quarters():
    scenes = SceneStream("overlay").scenes(0, 3)
    first, second = waveforms.sounds(scenes), waveforms.sounds(scenes)[::-1]
    mixed = waveforms.overlay(first, second, np.array([0, 2, 4]))
    np.testing.assert_array_equal(mixed[0], first[0])
    np.testing.assert_array_equal(mixed[2], first[2] + second[2])
    np.testing.assert_array_equal(mixed[1], first[1] + (second[1].astype(np.int32) * 2 >> 2))


class TestCaptions:
    scenes = SceneStream("captions").scenes(0, 200)

    def test_full_captions_name_what_the_sense_perceives(self):
        clean = Style("sight", omit_percent=0, mistake_percent=0, fillers=0)
        names = ("small little tiny", "medium mid-sized", "large big huge")
        for text, size in zip(captions(self.scenes, clean), self.scenes.size, strict=True):
            assert any(word in text.split() for word in names[size].split())

    def test_sight_never_speaks_of_pitch_nor_sound_of_colour(self):
        words = " ".join(captions(self.scenes, Style("sight"))).split()
        words_heard = " ".join(captions(self.scenes, Style("sound"))).split()
        assert not {"deep", "shrill", "rapidly"} & set(words)
        assert not {"red", "purple", "orange"} & set(words_heard)

    @pytest.mark.parametrize("sense", ["sight", "sound"])
    def test_even_the_laziest_writer_names_the_thing(self, sense):
        for text in captions(self.scenes, Style(sense, omit_percent=100, fillers=0)):
            assert text.strip()

    def test_writers_differ(self):
        first, second = (captions(self.scenes, Style("sight"), variant=v) for v in (0, 1))
        assert sum(a == b for a, b in zip(first, second, strict=True)) < 20

    def test_mistakes_are_as_rare_as_asked(self):
        never = Style("sight", omit_percent=0, mistake_percent=0, fillers=0)
        often = Style("sight", omit_percent=0, mistake_percent=50, fillers=0)
        pairs = zip(captions(self.scenes, never), captions(self.scenes, often), strict=True)
        changed = np.mean([a != b for a, b in pairs])
        assert changed > 0.6

    def test_neglected_attributes_are_rarely_named(self):
        clean = {"omit_percent": 0, "mistake_percent": 0, "fillers": 0}
        texts = captions(self.scenes, Style("sound", neglects=("tempo",), **clean))
        tempos = set(" ".join(sentences._TEMPOS).split())
        share = np.mean([bool(tempos & set(text.split())) for text in texts])
        assert 0.05 < share < 0.35  # a fifth, with five standard deviations of 200 draws
