import contextlib
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from reactions.core.errors import MediaError
from reactions.core.types import Item, Waveform
from reactions.modalities.audio import load_audio, resample
from reactions.modalities.image import load_image
from reactions.modalities.registry import load

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def png_header(path: Path, width: int, height: int) -> Path:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    return path


def test_rgb_is_kept_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    loaded = load_image(save(Image.fromarray(pixels), tmp_path / "x.png"))
    assert loaded.dtype == np.uint8
    assert loaded.flags.writeable
    np.testing.assert_array_equal(loaded, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((2, 3, 3), np.uint8)
    upright[0, 0], upright[0, 2], upright[1, 0] = RED, GREEN, BLUE
    # How a camera held that way stores the scene: the inverse of EXIF's table.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(load_image(path), upright)


def test_damaged_exif_does_not_lose_the_picture(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (4, 4), RED), tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff")
    assert load_image(path).shape == (4, 4, 3)


def test_alpha_shows_a_white_background(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (*BLACK, 0))
    expected = [[RED, WHITE]]
    assert load_image(save(image, tmp_path / "x.png")).tolist() == [
        [list(p) for p in row] for row in expected
    ]


def test_grey_with_alpha_and_palette_with_transparency(tmp_path: Path) -> None:
    grey = Image.new("LA", (1, 1), (0, 0))
    assert load_image(save(grey, tmp_path / "la.png")).tolist() == [[list(WHITE)]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([*RED, *BLUE] + [0] * 762)
    palette.putpixel((1, 0), 1)
    path = save(palette, tmp_path / "p.png", transparency=0)
    assert load_image(path).tolist() == [[list(WHITE), list(BLUE)]]


def test_palette_one_bit_and_cmyk(tmp_path: Path) -> None:
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([*GREEN] + [0] * 765)
    assert load_image(save(palette, tmp_path / "p.png")).tolist() == [[list(GREEN)]]
    assert load_image(save(Image.new("1", (1, 1), 1), tmp_path / "1.png")).tolist() == [
        [list(WHITE)]
    ]
    cmyk = load_image(save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "c.tif"))
    assert cmyk[0, 0].tolist() == list(RED)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32895, 65535]], np.uint16)
    loaded = load_image(save(Image.fromarray(values), tmp_path / "x.png"))
    assert loaded[0, :, 0].tolist() == [0, 1, 128, 255]
    assert loaded.shape == (1, 4, 3)


def test_wide_integers_and_floats_have_no_defined_range(tmp_path: Path) -> None:
    wide = Image.fromarray(np.array([[70000]], np.int32))
    with pytest.raises(MediaError, match="16 bits"):
        load_image(save(wide, tmp_path / "wide.tif"))
    with pytest.raises(MediaError, match="floats"):
        load_image(save(Image.new("F", (1, 1), 2.5), tmp_path / "f.tif"))


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in (RED, GREEN)]
    path = save(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert load_image(path)[0, 0].tolist() == list(RED)


@pytest.mark.parametrize(("width", "height"), [(20_000, 6_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_before_decoding(
    tmp_path: Path, width: int, height: int
) -> None:
    with pytest.raises(MediaError, match="too large") as caught:
        load_image(png_header(tmp_path / "bomb.png", width, height))
    assert caught.value.fields["path"] == str(tmp_path / "bomb.png")


def test_the_limit_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("RGB", (4, 3)), tmp_path / "x.png")
    monkeypatch.setattr("reactions.modalities.image.MAX_PIXELS", 12)
    assert load_image(path).shape == (3, 4, 3)
    monkeypatch.setattr("reactions.modalities.image.MAX_PIXELS", 11)
    with pytest.raises(MediaError, match="4 x 3 pixels"):
        load_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_a_truncated_image_is_an_error(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"x.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError) as caught:
        load_image(path)
    assert caught.value.fields["path"] == str(path)
    assert str(path) in caught.value.what


@given(st.binary(max_size=64), st.integers(0, 200))
def test_corrupt_images_only_raise_media_errors(junk: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = save(Image.new("P", (6, 6), 3), Path(folder) / "x.gif")
        data = bytearray(path.read_bytes())
        data[place : place + len(junk)] = junk
        path.write_bytes(data)
        with contextlib.suppress(MediaError):
            assert load_image(path).shape[2] == 3


def test_missing_and_non_media_files(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no picture")
    (tmp_path / "x.wav").write_text("no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name in ("x.png", "gone.png", "."):
        with pytest.raises(MediaError):
            load_image(tmp_path / name)
    for name in ("x.wav", "gone.wav", "empty.wav", "."):
        with pytest.raises(MediaError):
            load_audio(tmp_path / name)
    with pytest.raises(MediaError, match="no such file"):
        load_audio(tmp_path / "gone.wav")


@pytest.mark.parametrize("rate_hz", [8000, 11025, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_audio_is_mono_float_at_its_own_rate(tmp_path: Path, rate_hz: int, suffix: str) -> None:
    stereo = np.stack([np.full(50, 0.5), np.full(50, -0.25)], axis=1)
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, stereo, rate_hz, subtype="PCM_16")
    waveform = load_audio(path)
    assert waveform.rate_hz == rate_hz
    assert waveform.samples.dtype == np.float32
    # Half and a quarter are exact in 16 bits.
    np.testing.assert_array_equal(waveform.samples, np.full(50, 0.125, np.float32))


def test_one_channel_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.tile([0.5, -0.25], (50, 1)), 8000, subtype="PCM_16")
    assert np.all(load_audio(path, channel=0).samples == 0.5)
    assert np.all(load_audio(path, channel=1).samples == -0.25)


def test_empty_silent_and_unfinite_audio(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(0), 8000)
    with pytest.raises(MediaError, match="no samples"):
        load_audio(path)
    soundfile.write(path, np.zeros(9), 8000)
    assert not load_audio(path).samples.any()
    for bad in (np.nan, np.inf):
        soundfile.write(path, np.array([0.0, bad]), 8000, subtype="FLOAT")
        with pytest.raises(MediaError, match="not finite"):
            load_audio(path)


def test_overshoot_is_clipped_and_foreign_ranges_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.array([0.5, 1.5, -2.0]), 8000, subtype="FLOAT")
    assert load_audio(path).samples.tolist() == [0.5, 1.0, -1.0]
    soundfile.write(path, np.array([0.5, 32000.0]), 8000, subtype="FLOAT")
    with pytest.raises(MediaError, match="far outside"):
        load_audio(path)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "mp3"])
def test_a_truncated_sound_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 40_000), 8000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError) as caught:
        load_audio(path)
    assert caught.value.fields["path"] == str(path)


def test_streamed_wav_without_sizes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.full(100, 0.5), 8000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(load_audio(path).samples) == 100


def test_absurdly_long_audio_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactions.modalities.audio.MAX_SAMPLES", 99)
    soundfile.write(tmp_path / "x.wav", np.zeros((50, 2)), 8000)
    with pytest.raises(MediaError, match="50 frames of 2"):
        load_audio(tmp_path / "x.wav")


@given(st.integers(1, 3000), st.sampled_from([8000, 11025, 16000, 44100, 48000]))
def test_resampled_length_follows_the_rates(n: int, rate_hz: int) -> None:
    resampled = resample(Waveform(np.zeros(n, np.float32), 22050), rate_hz)
    assert resampled.rate_hz == rate_hz
    assert len(resampled.samples) == max(1, round(n * rate_hz / 22050))


def test_resampling_keeps_a_tone() -> None:
    def tone(rate_hz: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32) / 2

    resampled = resample(Waveform(tone(16000), 16000), 44100).samples
    # Away from the ends the band-limited filter is good to -60 dB and far beyond.
    np.testing.assert_allclose(resampled[500:-500], tone(44100)[500:-500], atol=5e-4)
    same = Waveform(tone(8000), 8000)
    assert resample(same, 8000) is same


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".wav", ".flac", ".ogg", ".mp3"])
def test_files_large_files_and_bytes_decode_alike(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x{suffix}"
    random = np.random.default_rng(0)
    sound = suffix in (".wav", ".flac", ".ogg", ".mp3")
    if sound:
        soundfile.write(path, random.uniform(-0.5, 0.5, (9000, 2)), 16_000)
    else:
        save(Image.fromarray(random.integers(0, 256, (90, 70, 3), dtype=np.uint8)), path)

    def decoded(source: Path | bytes) -> NDArray[np.generic]:
        return load_audio(source).samples if sound else load_image(source)

    from_path = decoded(path)
    np.testing.assert_array_equal(decoded(path.read_bytes()), from_path)
    monkeypatch.setattr("reactions.modalities.image.WHOLE_BYTES", 10)  # read piece by piece
    np.testing.assert_array_equal(decoded(path), from_path)


def test_load_decodes_by_modality_and_names_the_item(tmp_path: Path) -> None:
    image = save(Image.new("RGB", (2, 3)), tmp_path / "x.png")
    soundfile.write(tmp_path / "x.wav", np.zeros(4), 8000)
    (tmp_path / "x.txt").write_text("rain\n", encoding="utf-8")
    assert load(Item("a", "image", image)).value.shape == (3, 2, 3)
    assert load(Item("a", "audio", tmp_path / "x.wav")).value.rate_hz == 8000
    assert load(Item("a", "text", tmp_path / "x.txt")).value == "rain"
    for untouched in (
        Item("a", "text", "rain"),
        Item("a", "smell", image),
        Item("a", "image", None),
    ):
        assert load(untouched) is untouched
    with pytest.raises(MediaError) as caught:
        load(Item("b", "image", tmp_path / "x.wav"))
    assert caught.value.fields["id"] == "b"
    assert caught.value.fields["path"] == str(tmp_path / "x.wav")
