"""MPEG audio (MP1, MP2, MP3) by its frames, so that lengths are counted and never estimated.

A decoder that meets no length header estimates a length from the first frame's bitrate; the
joined, the streamed and the varying then lose their ends. Here every frame's header is read, tags
between frames are left out, and what was joined is taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_BITRATES = {
    (1, 1): (0, *range(32, 449, 32)),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by (version, layer) and index; layers 2 and 3 of version 2 share a table."""

# Side information by (version, is mono): a Xing header lies behind it.
_SIDE_BYTES = {(1, False): 32, (1, True): 17, (2, False): 17, (2, True): 9}
_RATES_HZ = (44100, 48000, 32000)
_SURE_FRAMES = 4  # eleven bits of sync are common by chance
_MAX_PADDING_BYTES = 4
MAX_FRAMES = 1 << 19
"""More than an hour of any kind has."""

_MAX_TRIES = 1 << 18
"""Places in a file that look like a frame's start but are not."""

_MAX_TAGS = 1000
MAX_LEAD_BYTES = 1 << 16
"""A stream may begin in the middle of a frame, or after padding; not after more than this."""


class MpegDamage(Exception):
    """Frames are missing; the message says how that shows, lower case, no full stop."""


class _Kind(NamedTuple):
    """What all frames that are decoded in one go share."""

    version: int
    layer: int
    rate_hz: int
    mono: bool


@dataclass
class FrameBlock:
    """Frames that are decoded in one go.

    Attributes:
        rate_hz: samples a second.
        channels: 1 or 2.
        frame_samples: samples of each channel in a frame.
        frames: (start, stop) of each in the file, without a length header.
        header: the frame that holds a length header, b"" for none.
        declared: how many frames that header counts; 0 where it does not say.
    """

    rate_hz: int
    channels: int
    frame_samples: int
    frames: list[tuple[int, int]]
    header: bytes = b""
    declared: int = 0

    @property
    def samples(self) -> int:
        """Samples of each channel, those that an encoder's padding added among them."""
        return len(self.frames) * self.frame_samples

    def encoded(self, data: bytes) -> bytes:
        """Return a file of these frames alone that decoders do not take for a shorter one.

        A length header that is right is kept: it may say what an encoder padded. Without
        one, silent frames follow: only the first ``samples`` are meant.
        """
        body = b"".join(data[start:stop] for start, stop in self.frames)
        if self.has_length:
            return self.header + body
        start, stop = self.frames[0]
        first = stop - start
        # Decoders divide the file's length by that of the first frame.
        lacking = max(0, len(self.frames) * first - len(body)) // first + 4
        return body + (data[start : start + 4].ljust(first, b"\0")) * lacking

    @property
    def has_length(self) -> bool:
        """Whether its length header is a right one."""
        return bool(self.header) and 0 <= self.declared - len(self.frames) <= 1


def is_mpeg(head: bytes) -> bool:
    """Return whether a file's first bytes, tags at the start apart, are frames of MPEG audio."""
    place = skip_tags(head, 0)
    if (frame := _frame(head, place)) is None:
        return False
    kind, length = frame
    after = place + length
    if after + 4 > len(head):
        return True
    following = _frame(head, after)
    return following is not None and following[0].layer == kind.layer


def begins_late(head: bytes) -> bool:
    """Return whether some frames follow each other after a file's first bytes, as in a stream."""
    place = _next_frame(head, 0, [len(head)])
    if not 0 <= place <= MAX_LEAD_BYTES:
        return False
    for _ in range(_SURE_FRAMES):
        if (frame := _frame(head, place)) is None:
            return place >= len(head)
        place += frame[1]
    return True


def read_parts(data: bytes) -> tuple[list[FrameBlock], bool]:
    """Find all frames.

    Args:
        data: the whole file.

    Returns:
        What was joined, in order; [] if this is not MPEG audio. And whether the frames follow
        each other without a gap.

    Raises:
        MpegDamage: the last frame is cut short, frames are missing inside, or a length header
            counts more than there are.
    """
    parts: list[FrameBlock] = []
    last: _Kind | None = None
    whole = True
    for start, stop, kind, gap in _frames(data):
        whole = whole and not gap
        header = _length_header(data, start, stop, kind)
        if last != kind or header is not None or not parts:
            samples = {1: 384, 2: 1152, 3: 1152 if kind.version == 1 else 576}[kind.layer]
            parts.append(FrameBlock(kind.rate_hz, 1 if kind.mono else 2, samples, []))
            last = kind
        if header is None:
            parts[-1].frames.append((start, stop))
        else:
            parts[-1].header, parts[-1].declared = header
    parts = [part for part in parts if part.frames or part.declared]
    for part in parts:
        if part.declared > len(part.frames) + 1:
            raise MpegDamage(
                f"it is cut short: {len(part.frames)} frames, its header counts {part.declared}"
            )
    return [part for part in parts if part.frames], whole


def _frames(data: bytes) -> Iterator[tuple[int, int, _Kind, bool]]:
    """Yield start, stop and kind of every frame, and whether a gap is before it."""
    end = len(data)
    tries = [_MAX_TRIES]  # a list, so that all searches share one count
    place = _next_frame(data, 0, tries)
    if place < 0 or place > MAX_LEAD_BYTES + skip_tags(data, 0):
        if _frame(data, skip_tags(data, 0)) is not None:
            raise MpegDamage("it is cut short, in the middle of its first frame")
        return
    gap = place != skip_tags(data, 0)
    length = n = 0
    while place < end:
        if (frame := _frame(data, place)) is not None:
            kind, length = frame
            stop = place + length
            if stop > end:
                raise MpegDamage(f"it is cut short: its last frame lacks {stop - end} bytes")
            # An ID3v1 tag takes the last 128 bytes: a frame that reaches into it was cut short.
            if stop <= end - 128 or not data.startswith(b"TAG", end - 128) or end - 128 < place:
                if (n := n + 1) > MAX_FRAMES:
                    raise MpegDamage(f"it has more than {MAX_FRAMES} frames")
                yield place, stop, kind, gap
                place, gap = stop, False
                continue
            raise MpegDamage(f"it is cut short: its last frame lacks {stop - end + 128} bytes")
        after = skip_tags(data, place)
        if after == place:
            if (after := _next_frame(data, place, tries)) < 0:  # what follows is not sound
                if data[place : place + length].strip(b"\0") and _is_sync(data, place):
                    raise MpegDamage(f"its frames are damaged at byte {place}")
                return
            # Padding does not matter, but where a frame has room one is missing.
            if after - place >= length - _MAX_PADDING_BYTES and data[place:after].strip(b"\0"):
                raise MpegDamage(
                    f"its frames are damaged at byte {place}, for {after - place} bytes"
                )
            gap = True
        place = after


def _next_frame(data: bytes, place: int, tries: list[int]) -> int:
    """Return where a frame starts that another one, a tag or the end follows; -1 for none.

    Args:
        data: the whole file.
        place: where to begin.
        tries: how many places may still be looked at, counted down.
    """
    while (place := data.find(b"\xff", skip_tags(data, place))) >= 0:
        if (frame := _frame(data, place)) is not None:
            kind, length = frame
            after = place + length
            following = _frame(data, after)
            if following is not None and following[0][:3] == kind[:3]:
                return place
            if after == len(data) or skip_tags(data, after) > after:
                return place
        place += 1
        tries[0] -= 1
        if tries[0] < 0:
            raise MpegDamage("what lies between its frames looks like frames but is not")
    return -1


def _frame(data: bytes, place: int) -> tuple[_Kind, int] | None:
    """Return kind and length of the frame whose header is at a place; None if none is."""
    if not _is_sync(data, place) or place + 4 > len(data):
        return None
    b1, b2, b3 = data[place + 1], data[place + 2], data[place + 3]
    version_bits, layer = b1 >> 3 & 3, 4 - (b1 >> 1 & 3)
    bitrate, rate = b2 >> 4, b2 >> 2 & 3
    # Reserved values; and free bitrates, whose frames do not state their length.
    if version_bits == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    version = 1 if version_bits == 3 else 2
    # MPEG 2 halves the rates of MPEG 1, MPEG 2.5 quarters them.
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version_bits]
    rate_bps = 1000 * _BITRATES[version, layer if version == 1 else min(layer, 2)][bitrate]
    padding = b2 >> 1 & 1
    # Bytes of 384 (layer 1, in slots of 4 bytes), 576 or 1152 samples at this bitrate.
    if layer == 1:
        length = (12 * rate_bps // rate_hz + padding) * 4
    else:
        length = (72 if layer == 3 and version == 2 else 144) * rate_bps // rate_hz + padding
    return _Kind(version, layer, rate_hz, b3 >> 6 == 3), length


def _is_sync(data: bytes, place: int) -> bool:
    # A frame's header begins with eleven set bits.
    return place + 2 <= len(data) and data[place] == 0xFF and data[place + 1] & 0xE0 == 0xE0


def _length_header(data: bytes, start: int, stop: int, kind: _Kind) -> tuple[bytes, int] | None:
    """Return a frame that holds a length header (Xing, Info or VBRI), and what it counts."""
    if kind.layer != 3:
        return None
    side = _SIDE_BYTES[kind.version, kind.mono]
    for place in (start + 4 + side, start + 6 + side):  # after a checksum
        if data[place : place + 4] in (b"Xing", b"Info"):
            counts = data[place + 7] & 1 and place + 12 <= stop
            n = int.from_bytes(data[place + 8 : place + 12], "big") if counts else 0
            return data[start:stop], n
    # Unlike Xing, always 32 bytes behind the frame's header.
    if data.startswith(b"VBRI", start + 36):
        # Decoders do not go by it: a file without the frame is the same sound.
        return b"", int.from_bytes(data[start + 50 : start + 54], "big")
    return None


def skip_tags(data: bytes, place: int) -> int:
    """Return where the tags end that begin at a place; the place itself if none does."""
    for _ in range(_MAX_TAGS):
        head = data[place : place + 32]
        if head.startswith(b"ID3") and len(head) >= 10 and max(head[6:10]) < 0x80:
            # Sizes have 7 bits a byte, so that none looks like a sync; 0x10 announces a footer.
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            place += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head.startswith(b"TAG+"):
            place += 227
        elif head.startswith(b"TAG") and place + 128 <= len(data):
            place += 128
        elif head.startswith(b"APETAGEX") and len(head) == 32:
            # Its size leaves out the header but counts the footer, which may also stand alone.
            is_header = head[23] & 0x20
            place += 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
        else:
            break
    return place
