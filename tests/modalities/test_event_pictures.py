"""Pictures of events: each style against a slow restatement, pixel by pixel, in fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from further_media import events
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.core.errors import UsageError
from reactions.modalities.events.pictures import (
    STYLES,
    as_picture,
    chunks,
    event_picture,
    scaled_counts,
)
from reactions.modalities.events.values import Events


def planes(pairs, height, width):
    """Return how often each pixel became darker, and brighter, counted one by one."""
    darker = [[0] * width for _ in range(height)]
    brighter = [[0] * width for _ in range(height)]
    for x, y, p in pairs:
        (brighter if p else darker)[y][x] += 1
    return darker, brighter


def rounded(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def triples(value: Events):
    return list(zip(value.x.tolist(), value.y.tolist(), value.p.tolist(), strict=True))


def two_colours(pairs, height, width):
    darker, brighter = planes(pairs, height, width)
    most_dark = max(1, max(map(max, darker)))
    most_bright = max(1, max(map(max, brighter)))
    return [
        [
            yellow_cyan(Fraction(d, most_dark), Fraction(b, most_bright))
            for d, b in zip(*rows, strict=True)
        ]
        for rows in zip(darker, brighter, strict=True)
    ]


def yellow_cyan(darker, brighter):
    red, blue = rounded(255 * darker), rounded(255 * brighter)
    return red, min(255, red + blue), blue


def slow_unibind(value):
    left, top = min(value.x.tolist()), min(value.y.tolist())
    pairs = [(x - left, y - top, p) for x, y, p in triples(value)]
    return two_colours(pairs, max(y for _, y, _ in pairs) + 1, max(x for x, _, _ in pairs) + 1)


def slow_robustbind(value):
    return two_colours(triples(value), *value.size)


def slow_eclip(value):
    pairs = triples(value)
    height, width = max(y for _, y, _ in pairs) + 1, max(x for x, _, _ in pairs) + 1
    picture = []
    for dark_row, bright_row in zip(*planes(pairs, height, width), strict=True):
        row = []
        for d, b in zip(dark_row, bright_row, strict=True):
            levels = (1 - d, 1 - (b + d), 1 - b)  # 1 - (b * [0, 1, 1] + d * [1, 1, 0])
            row.append(tuple(255 * min(1, max(0, level)) for level in levels))
        picture.append(row)
    return picture


def slow_eventclip(value):
    height, width = value.size
    pairs = triples(value)
    xs, ys = [x for x, _, _ in pairs], [y for _, y, _ in pairs]
    right = floor(Fraction(max(xs) + min(xs) + 1 - width, 2))
    down = floor(Fraction(max(ys) + min(ys) + 1 - height, 2))
    counted = planes([(x - right, y - down, p) for x, y, p in pairs], height, width)
    flat = [n for plane in counted for row in plane for n in row]
    mean = Fraction(sum(flat), len(flat))
    variance = sum((n - mean) ** 2 for n in flat) / len(flat)
    is_hot = lambda n: n > mean and (n - mean) ** 2 > 100 * variance  # noqa: E731
    cooled = [[[0 if is_hot(n) else n for n in row] for row in plane] for plane in counted]
    most_events = max(1, max(n for plane in cooled for row in plane for n in row))
    picture = []
    for dark_row, bright_row in zip(*cooled, strict=True):
        row = []
        for d, b in zip(dark_row, bright_row, strict=True):
            total = Fraction(d, most_events) + Fraction(b, most_events)
            weight = min(Fraction(1), total)
            row.append((rounded(127 * total * weight + 255 * (1 - weight)),) * 3)
        picture.append(row)
    return picture


def slow_event_clip(value):
    height, width = value.size
    pairs = [(x * 224 // width, y * 224 // height, p) for x, y, p in triples(value)]
    darker, brighter = planes(pairs, 224, 224)
    most_dark, most_bright = max(map(max, darker)) + 1, max(map(max, brighter)) + 1
    return [
        [
            (rounded(255 * (Fraction(d, most_dark) + Fraction(b, most_bright)) / 2),) * 3
            for d, b in zip(*rows, strict=True)
        ]
        for rows in zip(darker, brighter, strict=True)
    ]


SLOW = {
    "unibind": slow_unibind,
    "robustbind": slow_robustbind,
    "eclip": slow_eclip,
    "eventclip": slow_eventclip,
    "event-clip": slow_event_clip,
}


@st.composite
def recordings(draw) -> Events:
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    n = draw(st.integers(1, 60))
    x = draw(st.lists(st.integers(0, width - 1), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, height - 1), min_size=n, max_size=n))
    p = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    t_us = np.arange(n, dtype=np.int64)
    return Events(np.array(x, np.uint16), np.array(y, np.uint16), t_us, np.array(p, np.uint8),
                  (height, width))  # fmt: skip


def test_every_style_is_restated():
    assert list(SLOW) == list(STYLES)


@pytest.mark.parametrize("style", [s for s in STYLES if s != "event-clip"])
@settings(max_examples=60)
@given(value=recordings())
def test_pixels_are_those_of_the_restatement(style, value):
    assert event_picture(value, style).tolist() == [
        list(map(list, row)) for row in SLOW[style](value)
    ]


@pytest.mark.parametrize("style", STYLES)
def test_a_whole_recording_too(style):
    value = events(900)
    picture = event_picture(value, style)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [list(map(list, row)) for row in SLOW[style](value)]


def many(n: int, size=(4, 6)) -> Events:
    """A recording in which one pixel fires n times, and others once."""
    x = np.array([0] * n + [1, 2, 3], np.uint16)
    y = np.array([0] * n + [1, 2, 3], np.uint16)
    p = np.array([1] * n + [0, 1, 0], np.uint8)
    return Events(x, y, np.arange(n + 3, dtype=np.int64), p, size)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n", [255, 256, 257, 512])
def test_counts_never_wrap_at_256(style, n):
    # The released sample picture of an ibis shows what happens where they do.
    picture = event_picture(many(n), style)
    expected = SLOW[style](many(n))
    assert picture.tolist() == [list(map(list, row)) for row in expected]
    if style in ("unibind", "robustbind"):
        assert picture[0, 0].tolist() == [0, 255, 255]


def test_hot_pixels_are_left_out():
    size = (40, 50)
    random = np.random.default_rng(0)
    n = 3000
    x, y = random.integers(0, 50, n), random.integers(0, 40, n)
    x[:400], y[:400] = 7, 9
    value = Events(
        x.astype(np.uint16), y.astype(np.uint16), np.arange(n), np.ones(n, np.uint8), size
    )
    picture = event_picture(value, "eventclip")
    assert picture[9, 7].tolist() == [255, 255, 255]
    assert (picture < 255).any()


def test_event_clips_planes_scale_by_truncation():
    x, y = np.array([639], np.uint16), np.array([479], np.uint16)
    value = Events(x, y, np.zeros(1, np.int64), np.ones(1, np.uint8), (480, 640))
    darker, brighter = scaled_counts(value)
    assert darker.sum() == 0
    assert np.argwhere(brighter).tolist() == [[223, 223]]


def test_slips_of_a_styles_name():
    with pytest.raises(UsageError, match="no style 'unibnd'") as caught:
        event_picture(events(), "unibnd")
    assert "unibind" in caught.value.fix


def test_pictures_stay_as_they_are():
    picture = np.zeros((3, 4, 3), np.uint8)
    assert as_picture(picture, "unibind") is picture
    np.testing.assert_array_equal(as_picture(events(), "eclip"), event_picture(events(), "eclip"))


@pytest.mark.parametrize(
    ("n", "size", "parts"),
    [
        (5, 10, [(0, 5)]),
        (10, 10, [(0, 10)]),
        (15, 10, [(0, 10)]),
        (16, 10, [(0, 10), (6, 16)]),
        (20, 10, [(0, 10), (10, 20)]),
        (27, 10, [(0, 10), (10, 20), (17, 27)]),
    ],
)
def test_parts_of_a_recording(n, size, parts):
    assert chunks(n, size) == parts
    assert [len(events(100).part(*part)) for part in parts] == [b - a for a, b in parts]
