"""Pictures of events, in the styles that published encoders were made for or tried with.

They give every space of images a modality of events. All arithmetic is in whole numbers, so that
a recording has the same picture on every machine, and counts never wrap at 256: what is brighter
than white is white.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import UsageError, suggestion
from reactions.modalities.events.values import Events

WHITE = 255
_GREY = 127
_HOT_DEVIATIONS = 10
_EVENT_CLIP_SIDE = 224


def event_picture(events: Events, style: str) -> NDArray[np.uint8]:
    """Draw all events of a recording as one picture.

    Args:
        events: at least one.
        style: one of ``STYLES``.

    Returns:
        (h, w, 3) uint8 RGB, of the size that the style says.

    Raises:
        UsageError: there is no such style.
    """
    if style not in STYLES:
        raise UsageError(
            f"no style '{style}' of event pictures", fix=suggestion(style, STYLES), style=style
        )
    return STYLES[style](events)


def as_picture(value: Any, style: str) -> NDArray[np.uint8]:
    """Return a decoded value of the modality event as a picture; one that is a picture stays it.

    Raises:
        UsageError: there is no such style.
    """
    picture: NDArray[np.uint8] = event_picture(value, style) if isinstance(value, Events) else value
    return picture


def chunks(n: int, size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of the parts of ``n`` events that EventCLIP draws one by one.

    Parts of ``size`` events; the last ``size`` events are one more part where what is left over
    is more than half of it. Fewer events than that are one part.

    Source: EventCLIP's ``split_event_count``.
    """
    if n < size:
        return [(0, n)]
    parts = [(start, start + size) for start in range(0, n - size + 1, size)]
    # As published: a whole number of parts leaves off the last one, and takes it up again here.
    n_left = n % size
    if n_left > size * 0.5:
        parts.append((n - size, n))
    return parts


# --- counts --------------------------------------------------------------------------


def counts(events: Events, size: tuple[int, int]) -> NDArray[np.int64]:
    """Count the events of each pixel.

    Args:
        events: all within ``size``.
        size: (h, w) of the picture.

    Returns:
        (2, h, w) int64: darker, brighter.
    """
    height, width = size
    places = events.y.astype(np.int64) * width + events.x
    places += events.p.astype(np.int64) * (height * width)
    return np.bincount(places, minlength=2 * height * width).reshape(2, height, width)


def scaled_counts(events: Events, side: int = _EVENT_CLIP_SIDE) -> NDArray[np.int64]:
    """Count the events of each pixel of a square picture, coordinates scaled and truncated.

    Returns:
        (2, side, side) int64: darker, brighter.

    Source: Event-CLIP's ``reshape_event_no_sample``.
    """
    height, width = events.size
    x = (events.x.astype(np.int64) * side // width).astype(np.uint16)
    y = (events.y.astype(np.int64) * side // height).astype(np.uint16)
    return counts(Events(x, y, events.t_us, events.p, (side, side)), (side, side))


def _cropped(events: Events) -> Events:
    """Return events on the smallest sensor that holds them."""
    left, top = events.x.min(), events.y.min()
    size = (int(events.y.max() - top) + 1, int(events.x.max() - left) + 1)
    return Events(events.x - left, events.y - top, events.t_us, events.p, size)


def _from_corner(events: Events) -> Events:
    """Return events on a sensor that ends with the last row and column that has some."""
    size = (int(events.y.max()) + 1, int(events.x.max()) + 1)
    return Events(events.x, events.y, events.t_us, events.p, size)


def _centred(events: Events) -> Events:
    """Return events shifted so that they lie in the middle of their sensor."""
    height, width = events.size
    x, y = events.x.astype(np.int64), events.y.astype(np.int64)
    x -= (int(x.max() + x.min()) + 1 - width) // 2
    y -= (int(y.max() + y.min()) + 1 - height) // 2
    return Events(x.astype(np.uint16), y.astype(np.uint16), events.t_us, events.p, events.size)


def _ratio(numerator: NDArray[np.int64], denominator: int) -> NDArray[np.int64]:
    """Divide, rounding halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


# --- styles --------------------------------------------------------------------------


def _two_colours(events: Events) -> NDArray[np.uint8]:
    """Draw darker on red and green, brighter on green and blue, each against its own maximum."""
    darker, brighter = (
        _ratio(WHITE * plane, max(1, int(plane.max()))) for plane in counts(events, events.size)
    )
    green = np.minimum(darker + brighter, WHITE)
    return np.stack([darker, green, brighter], axis=-1).astype(np.uint8)


def unibind(events: Events) -> NDArray[np.uint8]:
    """Yellow and cyan on black, as large as what has events.

    Darker events are yellow, brighter ones cyan, each plane divided by its own maximum.

    Source: UniBind's sample pictures, from which this is deduced: it released no converter.
    """
    return _two_colours(_cropped(events))


def robustbind(events: Events) -> NDArray[np.uint8]:
    """Yellow and cyan on black, as large as the sensor.

    Source: RobustBind's converter, which truncates where this rounds.
    """
    return _two_colours(events)


def eclip(events: Events) -> NDArray[np.uint8]:
    """Red, blue and black on white, from the sensor's corner to the last pixel with events.

    A pixel that became brighter is red, one that became darker blue, one that did both black;
    how often does not matter, since one event takes its channels to 0.

    Source: E-CLIP's (EventBind's) ``generate_event_image``.
    """
    corner = _from_corner(events)
    darker, brighter = counts(corner, corner.size) == 0
    channels = np.stack([darker, darker & brighter, brighter], axis=-1)
    return np.where(channels, WHITE, 0).astype(np.uint8)


def eventclip(events: Events) -> NDArray[np.uint8]:
    """Grey on white, as large as the sensor, the events in its middle, without hot pixels.

    Counts above mean + 10 standard deviations are set to 0; what is left is divided by its
    maximum, and grey is laid on white as densely as the sum of both planes says.

    Source: EventCLIP's ``make_event_histogram`` and ``center_events``.
    """
    planes = counts(_centred(events), events.size)
    planes[planes > _hot_above(planes)] = 0
    most = max(1, int(planes.max()))
    density = planes.sum(axis=0)
    laid = _ratio(_GREY * density * density + WHITE * most * (most - density), most * most)
    dense = _ratio(_GREY * density, most)  # both planes near their maximum: opaque
    grey = np.where(density < most, laid, dense).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def event_clip(events: Events) -> NDArray[np.uint8]:
    """Grey on black, 224 x 224: the mean of two planes, each divided by its maximum and one more.

    Source: Event-CLIP's ``reshape_then_acc_count_pol``, which hands the mean on as floats: its
    encoder takes ``scaled_counts``.
    """
    darker, brighter = planes = scaled_counts(events)
    most_dark, most_bright = (int(plane.max()) + 1 for plane in planes)
    both = WHITE * (darker * most_bright + brighter * most_dark)
    grey = _ratio(both, 2 * most_dark * most_bright).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _hot_above(planes: NDArray[np.int64]) -> int:
    """Return the largest count that is not above mean + 10 standard deviations of all."""
    values, times = np.unique(planes, return_counts=True)
    n = planes.size
    pairs = list(zip(values.tolist(), times.tolist(), strict=True))
    total = sum(value * times for value, times in pairs)
    squares = sum(value * value * times for value, times in pairs)
    spread = _HOT_DEVIATIONS**2 * (n * squares - total * total)
    return max(int(v) for v, _ in pairs if v * n <= total or (v * n - total) ** 2 <= spread)


STYLES: Mapping[str, Callable[[Events], NDArray[np.uint8]]] = {
    "unibind": unibind,
    "robustbind": robustbind,
    "eclip": eclip,
    "eventclip": eventclip,
    "event-clip": event_clip,
}
"""Name to what draws it."""
