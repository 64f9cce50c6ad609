import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_files import image_bytes, patch_decoder, put, sound_bytes
from PIL import Image

from reactions.core.errors import MediaError
from reactions.core.storage import Blob
from reactions.core.types import Item
from reactions.modalities.audio import of_channel
from reactions.modalities.base import CHECK_DEPTHS, CheckDepth
from reactions.modalities.image import load_image
from reactions.modalities.registry import check, load

IMAGES = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
SOUNDS = ("WAV", "FLAC", "AIFF", "MP3", "OGG")


def big_image(form: str) -> bytes:
    return image_bytes(form=form, size=(160, 120))


def big_sound(form: str) -> bytes:
    return sound_bytes(form=form, n=16_000)


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


@pytest.mark.parametrize("depth", CHECK_DEPTHS)
@pytest.mark.parametrize("form", IMAGES)
def test_whole_images_pass(form: str, depth: CheckDepth) -> None:
    assert check("image", big_image(form), depth) == ""


@pytest.mark.parametrize("depth", CHECK_DEPTHS)
@pytest.mark.parametrize("form", SOUNDS)
def test_whole_sounds_pass(form: str, depth: CheckDepth) -> None:
    assert check("audio", big_sound(form), depth) == ""


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
@pytest.mark.parametrize("form", IMAGES)
def test_what_is_cut_short_is_found_by_a_glance(form: str, share: float) -> None:
    data = big_image(form)
    data = data[: int(len(data) * share)]
    why = check("image", data)
    assert why
    assert "0x" not in why  # no addresses: a reason is the same in every run


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
@pytest.mark.parametrize("form", ["WAV", "FLAC", "AIFF"])
def test_sounds_that_are_cut_short_likewise(form: str, share: float) -> None:
    data = big_sound(form)
    why = check("audio", data[: int(len(data) * share)])
    assert why
    assert "0x" not in why


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_glance_does_not_decode(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_decoder(monkeypatch, "image", lambda stream, path: pytest.fail("decoded"))
    assert check("image", big_image(form)) == ""


def test_damage_in_the_middle_needs_a_full_try() -> None:
    data = bytearray(big_sound("FLAC"))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    assert check("audio", bytes(data), "header") == ""
    assert check("audio", bytes(data), "full") != ""


def test_zeros_after_the_end_do_no_harm() -> None:
    assert check("image", big_image("JPEG") + bytes(100)) == ""


def test_a_jpeg_without_its_end_is_tried_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    patch_decoder(monkeypatch, "image", lambda stream, path: tried.append(path))
    assert check("image", big_image("JPEG")[:-2]) == ""
    assert len(tried) == 1


def test_absurd_sizes_are_refused_by_their_headers() -> None:
    assert "million pixels" in check("image", bomb(60_000, 60_000))
    assert "million pixels" in check("image", bomb(2**31 - 1, 2**31 - 1))


def test_absurdly_long_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactions.modalities.audio.MAX_SAMPLES", 1000)
    assert "2000 frames" in check("audio", sound_bytes(n=2000))
    assert "500 channels" not in check("audio", sound_bytes(n=900))


def test_floats_that_are_not_numbers() -> None:
    samples = np.zeros(4000, np.float32)
    samples[2000] = np.nan
    stream = io.BytesIO()
    soundfile.write(stream, samples, 8000, format="WAV", subtype="FLOAT")
    assert "not finite" in check("audio", stream.getvalue())


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_other_contents(modality: str) -> None:
    assert check(modality, b"<html>404 not found</html>" * 100) != ""


@pytest.mark.parametrize("n", [1, 2])
def test_one_sample_is_a_sound(n: int) -> None:
    assert check("audio", sound_bytes(n=n)) == ""
    assert check("audio", sound_bytes(n=n), "full") == ""
    assert "no samples" in check("audio", sound_bytes(n=0))


def test_silence_is_a_sound() -> None:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(800), 8000, format="WAV")
    assert check("audio", stream.getvalue(), "full") == ""


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "RGBA", "I;16"])
def test_odd_but_sound_images(mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (9, 7)).save(stream, "TIFF")
    assert check("image", stream.getvalue()) == ""
    if mode == "CMYK":
        jpeg = io.BytesIO()
        Image.new(mode, (9, 7)).save(jpeg, "JPEG")
        assert check("image", jpeg.getvalue(), "full") == ""


def test_animations_need_only_their_first_frame() -> None:
    frames = [Image.new("RGB", (40, 40), (i, 2 * i, 3 * i)) for i in range(8)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    data = stream.getvalue()
    assert check("image", data) == ""
    first = load_image(data)
    assert first.shape == (40, 40, 3)
    assert first[0, 0].tolist() == [0, 0, 0]
    # What follows the first frame may be missing: it is not used.
    assert check("image", data[:-40]) == ""


def test_files_blobs_and_bytes_are_alike(tmp_path: Path) -> None:
    for modality, data in (("image", big_image("PNG")), ("audio", big_sound("FLAC"))):
        path = put(tmp_path / modality, data)
        inside = put(tmp_path / f"{modality}.tar", b"x" * 512 + data + b"y" * 512)
        blob = Blob(str(inside), 512, len(data), "x")
        for source in (path, blob, data):
            assert check(modality, source) == ""
            decoded = load(Item("i", modality, source)).value
            expected = load(Item("i", modality, data)).value
            if modality == "image":
                np.testing.assert_array_equal(decoded, expected)
            else:
                np.testing.assert_array_equal(decoded.samples, expected.samples)


def test_one_channel_of_an_item() -> None:
    samples = np.stack([np.full(100, 0.25), np.full(100, -0.25)], axis=1)
    stream = io.BytesIO()
    soundfile.write(stream, samples, 8000, format="WAV")
    item = Item("i", "audio", stream.getvalue())
    assert load(item, of_channel(0)).value.samples[0] == 0.25
    assert load(item).value.samples[0] == 0.0


def test_texts_in_blobs(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tar", "....rain on a roof\n....")
    assert load(Item("i", "text", Blob(str(path), 4, 15))).value == "rain on a roof"
    assert load(Item("i", "text", b" rain ")).value == "rain"
    with pytest.raises(MediaError):
        load(Item("i", "text", b"\xff\xfe"))


def test_an_item_that_fails_later_says_how_to_leave_it_out(tmp_path: Path) -> None:
    path = put(tmp_path / "x.png", big_image("PNG")[:-30])
    with pytest.raises(MediaError) as caught:
        load(Item("x.png", "image", path))
    assert 'skip = ["x.png"] under [corpora.image]' in caught.value.fix
    assert "molspace data check --full" in caught.value.fix
    assert caught.value.fields["id"] == "x.png"


def test_other_modalities_are_never_at_fault() -> None:
    for modality in ("smell", "text"):
        assert check(modality, b"anything") == ""
