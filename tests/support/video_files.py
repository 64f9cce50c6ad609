"""Small real videos for tests, made by PyAV: what is seen and heard tells when it is."""

import struct
import tempfile
from pathlib import Path

import numpy as np

RATE_HZ = 16000
FRAMES_A_SECOND = 10


def video_bytes(
    seconds: float = 3,
    form: str = "mp4",
    pictures: str = "libx264",
    sound: str = "aac",
    size: tuple[int, int] = (64, 48),
    rate_hz: int = RATE_HZ,
    channels: int = 1,
    sound_seconds: float | None = None,
    seed: int = 0,
    **options: str,
) -> bytes:
    """An encoded video: the left half is red; the right one is lighter every tenth of a second.

    The sound is 100 Hz in the first second, 200 Hz in the second one, and so on. "" for pictures
    or sound leaves out the track.
    """
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"
        with av.open(str(path), "w", format=form, options=options) as container:
            video = audio = None
            if pictures:
                video = container.add_stream(pictures, rate=FRAMES_A_SECOND)
                video.width, video.height = size
                video.pix_fmt = "yuvj420p" if pictures == "mjpeg" else "yuv420p"
            if sound:
                audio = container.add_stream(sound, rate=rate_hz)
                audio.layout = "stereo" if channels == 2 else "mono"
                if sound.startswith("wma"):  # which has no rate of its own
                    audio.bit_rate = 64_000
            if video is not None:
                for number in range(round(seconds * FRAMES_A_SECOND)):
                    frame = av.VideoFrame.from_ndarray(_picture(number, size, seed), format="rgb24")
                    frame.pts = number
                    container.mux(video.encode(frame))
                container.mux(video.encode(None))
            if audio is not None:
                for start, block in _blocks(sound_seconds or seconds, rate_hz, channels):
                    frame = av.AudioFrame.from_ndarray(block, "fltp", audio.layout.name)
                    frame.sample_rate, frame.pts = rate_hz, start
                    container.mux(audio.encode(frame))
                container.mux(audio.encode(None))
        return path.read_bytes()


def shade(number: int, seed: int = 0) -> int:
    """Return how light the right half of a frame is."""
    return (number * 6 + seed * 40) % 250


def _picture(number, size, seed):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2] = (220, 0, 0)
    pixels[:, size[0] // 2 :] = shade(number, seed)
    return pixels


def heard(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Return the samples of a video's sound before they are encoded."""
    n = round(seconds * rate_hz)
    second = np.arange(n) // rate_hz
    wave = 0.3 * np.sin(2 * np.pi * 100 * (second + 1) * np.arange(n) / rate_hz)
    return wave.astype(np.float32)


def _blocks(seconds, rate_hz, channels):
    samples = np.tile(heard(seconds, rate_hz), (channels, 1))
    for start in range(0, samples.shape[1], 1024):
        yield start, np.ascontiguousarray(samples[:, start : start + 1024])


def turned(data: bytes, quarters: int) -> bytes:
    """Return an MP4 whose pictures are to be shown turned clockwise, as phones write them."""
    matrix = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][quarters % 4]
    a, b, c, d = (value << 16 for value in matrix)
    # Of a track's header: version and flags, times, number, length, reserved, layer, volume.
    place = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    fields = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:place] + fields + data[place + len(fields) :]


def loudest_hz(samples: np.ndarray, rate_hz: int) -> float:
    """Return the frequency that is heard most."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))
