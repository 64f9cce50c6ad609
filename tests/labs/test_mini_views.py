"""The mini world before an event, a thermal, a depth and a moving camera, and as points."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.labs.mini import (
    benchmark,
    clips,
    depths,
    events,
    pixels,
    points,
    thermals,
    waveforms,
)
from reactions.labs.mini.world import SceneStream

N = 64


def sha(array, dtype):
    data = np.ascontiguousarray(np.asarray(array).astype(dtype)).tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


def recorded(scenes, **options):
    return np.concatenate(events.recordings(scenes, **options))


VIEWS = {
    "events": (recorded, "<i4"),
    "poor events": (lambda s: recorded(s, poor=True), "<i4"),
    "thermals": (thermals.thermals, "u1"),
    "poor thermals": (lambda s: thermals.thermals(s, poor=True), "u1"),
    "depths": (depths.depths, "<u2"),
    "clips": (clips.clips, "u1"),
    "points": (points.clouds, "<i2"),
    "poor points": (lambda s: points.clouds(s, poor=True), "<i2"),
}


class TestGolden:
    """The same on every machine; a new world needs a new WORLD_VERSION."""

    scenes = SceneStream("golden", 7).scenes(0, N)

    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            ("events", "8166475bf2c43d79"),
            ("poor events", "8d0192a356d2f81f"),
            ("thermals", "b3a41db3343ca21f"),
            ("poor thermals", "01efa3b4e5a4f99c"),
            ("depths", "7b779355853b55d5"),
            ("clips", "2971ac70a5d5cea5"),
            ("points", "8603c6e5214a11c3"),
            ("poor points", "fb33eac721b938c2"),
        ],
    )
    def test_views(self, view, expected):
        render, dtype = VIEWS[view]
        assert sha(render(self.scenes), dtype) == expected


@given(start=st.integers(0, 60), n=st.integers(1, 8))
def test_random_access_equals_bulk(start, n):
    stream = SceneStream("access", 1)
    bulk, part = stream.scenes(0, 68), stream.scenes(start, start + n)
    rows = slice(start, start + n)
    for render in (thermals.thermals, depths.depths, clips.clips, points.clouds):
        np.testing.assert_array_equal(render(bulk[rows]), render(part))
    for all_at_once, alone in zip(
        events.recordings(bulk[rows]), events.recordings(part), strict=True
    ):
        np.testing.assert_array_equal(all_at_once, alone)


def test_rendering_does_not_depend_on_chunks():
    scenes = SceneStream("chunks").scenes(0, 1100)
    for render in (thermals.thermals, depths.depths, clips.clips, points.clouds):
        np.testing.assert_array_equal(render(scenes)[1020:], render(scenes[1020:1100]))
    together, separate = events.recordings(scenes[:300]), events.recordings(scenes[250:300])
    for joint, other in zip(together[250:], separate, strict=True):
        np.testing.assert_array_equal(joint, other)


class TestEvents:
    scenes = SceneStream("events").scenes(0, 100)

    def test_are_on_the_sensor_and_in_order(self):
        for rows in events.recordings(self.scenes):
            x, y, t_us, polarity = rows.T
            assert x.min() >= 0
            assert x.max() < 32
            assert y.min() >= 0
            assert y.max() < 32
            assert (np.diff(t_us) >= 0).all()
            assert t_us.min() >= 0
            assert t_us.max() < 300_000
            assert set(np.unique(polarity)) <= {0, 1}

    def test_appear_where_brightness_changes(self):
        flat = self.scenes.take(np.arange(20))
        # An empty place changes little beside the same place with things in it.
        empty = SceneStream("events", half_empty=True).scenes(0, 200)
        n_events = np.array([len(rows) for rows in events.recordings(empty)])
        assert n_events[0::2].mean() > 2 * n_events[1::2].mean()
        assert len(recorded(flat)) > 20 * 100

    def test_a_poor_sensor_sees_less_and_invents_more(self):
        empty = SceneStream("noise", half_empty=True).scenes(0, 200)
        good = np.array([len(rows) for rows in events.recordings(empty)])
        poor = np.array([len(rows) for rows in events.recordings(empty, poor=True)])
        assert poor[0::2].mean() < good[0::2].mean()
        assert np.median(poor[1::2]) > np.median(good[1::2])


class TestThermals:
    def test_kinds_are_warmer_than_places(self):
        scenes = SceneStream("warm", half_empty=True).scenes(0, 200)
        hottest = thermals.thermals(scenes).max(axis=(1, 2)).astype(int)
        assert hottest[0::2].mean() > hottest[1::2].mean() + 60

    def test_a_kind_has_its_own_warmth(self):
        scenes = SceneStream("kinds", balanced=True, alone=True).scenes(0, 1000)
        hottest = thermals.thermals(scenes).max(axis=(1, 2)).astype(float)
        within = np.mean([hottest[scenes.kind == kind].std() for kind in range(50)])
        assert within < hottest.std() / 1.5

    def test_a_poor_sensor_has_less_contrast(self):
        scenes = SceneStream("poor").scenes(0, 200)
        good, poor = thermals.thermals(scenes), thermals.thermals(scenes, poor=True)
        assert np.ptp(poor, axis=(1, 2)).mean() < 0.75 * np.ptp(good, axis=(1, 2)).mean()


class TestDepths:
    scenes = SceneStream("far", half_empty=True).scenes(0, 200)

    def test_things_are_nearer_than_places(self):
        measured = np.where(depths.depths(self.scenes) == 0, 65535, depths.depths(self.scenes))
        nearest = measured.min(axis=(1, 2)).astype(int)
        assert (nearest[0::2] < 2600).all()
        assert (nearest[1::2] > 2300).all()
        assert nearest[0::2].mean() + 500 < nearest[1::2].mean()

    def test_some_of_it_was_not_measured(self):
        missing = (depths.depths(self.scenes) == 0).mean()
        assert 0.013 < missing < 0.018  # one in 64


class TestClips:
    scenes = SceneStream("move").scenes(0, 100)

    def test_frames_resemble_the_picture_and_differ(self):
        frames = clips.clips(self.scenes).astype(int)
        picture = pixels.images(self.scenes).astype(int)
        other = np.roll(picture, 1, axis=0)
        for frame in range(clips.FRAMES):
            difference = np.abs(frames[:, frame] - picture).mean()
            assert difference < 0.6 * np.abs(frames[:, frame] - other).mean()
            assert not np.array_equal(frames[:, frame], frames[:, frame - 1])


class TestPoints:
    def test_are_within_about_one(self):
        cloud = points.clouds(SceneStream("near").scenes(0, 300)).astype(int)
        assert cloud.shape == (300, 128, 3)
        assert np.abs(cloud).max() < 1.5 * points.UNIT

    def test_poor_ones_are_fewer(self):
        assert points.clouds(SceneStream("few").scenes(0, 3), poor=True).shape == (3, 64, 3)

    def test_count_and_place_do_not_show(self):
        single = SceneStream("same", alone=True).scenes(0, 50)
        several = SceneStream("same").scenes(0, 50)
        assert (single.count != several.count).any()
        np.testing.assert_array_equal(points.clouds(single), points.clouds(several))


class TestEmptyPlaces:
    full = SceneStream("empty").scenes(0, 200)
    half = SceneStream("empty", half_empty=True).scenes(0, 200)

    def test_every_other_scene_has_nothing_in_it(self):
        assert (self.half.count[1::2] == -1).all()
        np.testing.assert_array_equal(self.half.count[0::2], self.full.count[0::2])
        np.testing.assert_array_equal(
            pixels.images(self.half)[0::2], pixels.images(self.full)[0::2]
        )
        assert not pixels.coverage(self.half)[:, 1::2].any()

    def test_they_are_quieter(self):
        loud = np.abs(waveforms.sounds(self.half).astype(int)).mean(axis=1)
        assert loud[1::2].mean() < loud[0::2].mean()


class TestStreams:
    def test_chosen_kinds_come_in_turn_and_change_nothing_else(self):
        plain, chosen = (SceneStream("k", kinds=kinds).scenes(0, 30) for kinds in ((), (7, 3, 40)))
        assert chosen.kind.tolist() == [7, 3, 40] * 10
        np.testing.assert_array_equal(plain.count, chosen.count)

    def test_things_that_are_alone(self):
        plain, alone = SceneStream("a").scenes(0, 50), SceneStream("a", alone=True).scenes(0, 50)
        assert (alone.count == 0).all()
        np.testing.assert_array_equal(plain.kind, alone.kind)


def test_a_recording_of_which_nothing_is_seen_is_not_empty():
    # A scene too even for any pixel to report, and no noise is drawn for it.
    (item,) = benchmark("ncaltech101", seed=27).queries.items(122, 123)
    assert len(item.value.x) == 1
