"""Packets of a video, looked at without decoding any: when each track begins and ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reactions.modalities.videos.files import microseconds, refused

if TYPE_CHECKING:
    from av.container import InputContainer

SECOND_US = 1_000_000

SLACK_US, SLACK_SHARE = SECOND_US, 0.02
"""By how much a track may end before its header says."""

_WITH_LENGTHS = frozenset(("avi", "matroska", "mov"))
"""Readers whose headers state lengths; others estimate them."""


@dataclass(slots=True)
class TrackTimes:
    """The times of the packets of one track.

    Attributes:
        n: how many packets have a time.
        start_us: when the first begins.
        end_us: when the last ends.
        is_damaged: whether one is not whole.
        times_us: when each is shown; not sorted; empty unless asked for.
    """

    n: int = 0
    start_us: int = 0
    end_us: int = 0
    is_damaged: bool = False
    times_us: list[int] = field(default_factory=list)


def spans(
    container: InputContainer, path: str, *, keep: int | None = None, most: int = 0
) -> dict[int, TrackTimes]:
    """Return the span of each track, by its index, reading every packet.

    Args:
        container: at its start.
        path: for messages.
        keep: index of the track whose packets' times are kept.
        most: how many packets that track may have.

    Raises:
        MediaError: the file is cut short, or that track has more packets.
    """
    tracks = {track.index: TrackTimes() for track in container.streams}
    for packet in container.demux():
        if packet.size:
            span = tracks[packet.stream_index]
            _add(span, packet, keeps=packet.stream_index == keep)
            if len(span.times_us) > most:
                raise refused(path, f"it has more than {most} frames", "cut it up")
    _check_length(container, tracks, path)
    return tracks


def _add(span: TrackTimes, packet: Any, *, keeps: bool) -> None:
    span.is_damaged |= packet.is_corrupt
    ticks = packet.dts if packet.pts is None else packet.pts
    if ticks is None or packet.time_base is None:
        return
    start_us = microseconds(ticks, packet.time_base)
    end_us = microseconds(ticks + (packet.duration or 0), packet.time_base)
    span.start_us = start_us if span.n == 0 else min(span.start_us, start_us)
    span.end_us = end_us if span.n == 0 else max(span.end_us, end_us)
    span.n += 1
    if keeps and not packet.is_discard:  # those before an edit list's start are not shown
        span.times_us.append(start_us)


def _check_length(container: InputContainer, tracks: Mapping[int, TrackTimes], path: str) -> None:
    """Hold what is there against what the header promises, where it counts and does not guess."""
    if not _WITH_LENGTHS & set(container.format.name.split(",")):
        return
    declared_us = container.duration or 0
    shown_us = max(s.end_us for s in tracks.values()) - min(s.start_us for s in tracks.values())
    if declared_us - shown_us > SLACK_US + SLACK_SHARE * declared_us:
        shown_s, declared_s = shown_us / SECOND_US, declared_us / SECOND_US
        raise refused(path, f"it is cut short: {shown_s:.1f} of {declared_s:.1f} seconds are there")
