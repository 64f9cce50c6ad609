"""Damaged images, sounds and tars: usable or refused, within the limits of time and memory.

Every mutant is looked at, decoded in full, and decoded again as a file: all of it must agree.
"""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from media_files import image_bytes, put, put_tar, sound_bytes
from PIL import Image
from sound_files import layer_2_frame, mp3_frames, piped_flac, tone, wav

from reactions.core.errors import MolspaceError
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.data.tar_members import tar_members
from reactions.modalities.audio import MAX_RATE_HZ, MIN_RATE_HZ, load_audio
from reactions.modalities.base import CHECK_DEPTHS
from reactions.modalities.image import MAX_PIXELS, load_image
from reactions.modalities.images.files import formats
from reactions.modalities.registry import check, load


def animation(form: str) -> bytes:
    frames = [Image.new("RGB", (24, 16), (40 * i, 20 * i, 9)) for i in range(4)]
    stream = io.BytesIO()
    frames[0].save(stream, form, save_all=True, append_images=frames[1:], duration=40)
    return stream.getvalue()


def of_mode(mode: str, form: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (24, 16)).save(stream, form, **options)
    return stream.getvalue()


def coded(form: str, codec: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, tone(2000), 8000, format=form, subtype=codec)
    return stream.getvalue()


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010E] = 6, "a picture"
    return tags.tobytes()


IMAGES = {
    **{form: image_bytes(form=form) for form in formats() if form != "AVIF"},
    "progressive": image_bytes(form="JPEG", size=(40, 30), progressive=True, exif=exif()),
    "APNG": animation("PNG"),
    "animated GIF": animation("GIF"),
    "animated WEBP": animation("WEBP"),
    "pages": animation("TIFF"),
    "lossless": image_bytes(form="WEBP", lossless=True),
    "transparent": of_mode("RGBA", "WEBP"),
    "16 bits": of_mode("I;16", "PNG"),
    "palette": of_mode("P", "PNG", transparency=0, exif=exif()),
    "LZW": of_mode("RGB", "TIFF", compression="tiff_lzw", exif=exif()),
    "JPEG in TIFF": of_mode("RGB", "TIFF", compression="jpeg"),
    "fax": of_mode("1", "TIFF", compression="group4"),
    "RLE": of_mode("RGB", "TGA", compression="tga_rle"),
}
SOUNDS = {
    **{form: sound_bytes(form=form, n=600) for form in ("WAV", "WAVEX", "RF64", "W64", "AU")},
    **{form: sound_bytes(form=form, n=600) for form in ("AIFF", "CAF", "NIST", "SVX")},
    "FLAC": sound_bytes(form="FLAC", n=600, channels=2),
    "piped FLAC": piped_flac(600),
    "Vorbis": sound_bytes(form="OGG", n=600),
    "Opus": sound_bytes(form="OGG", n=600, subtype="OPUS"),
    "chained": sound_bytes(form="OGG", n=300) + sound_bytes(1, "OGG", 300),
    "MP3": sound_bytes(form="MP3", n=3000),
    "joined MP3": sound_bytes(form="MP3", n=3000) * 2,
    "headless MP3": b"".join(mp3_frames(n=6000)[1:]),
    "MP2": layer_2_frame() * 6,
    "late MP2": b"\xff" + layer_2_frame() * 6,
    "MP3 in WAV": wav(b"".join(mp3_frames(n=6000)[1:]), 0x55),
    "floats": sound_bytes(n=600, subtype="FLOAT"),
    **{codec: coded("WAV", codec) for codec in ("GSM610", "G721_32", "NMS_ADPCM_16")},
    **{codec: coded("WAV", codec) for codec in ("IMA_ADPCM", "MS_ADPCM")},
    "ALAC": coded("CAF", "ALAC_16"),
    "DWVW": coded("AIFF", "DWVW_16"),
    "G723": coded("AU", "G723_24"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_images(name: str, tmp_path: Path) -> None:
    @fuzz
    @given(mutated(IMAGES[name]))
    def hold(data: bytes) -> None:
        outcome = both_ways("image", data, tmp_path)
        if not isinstance(outcome, MolspaceError):
            assert outcome.dtype == np.uint8
            assert outcome.ndim == 3
            assert outcome.shape[2] == 3
            assert outcome.shape[0] * outcome.shape[1] <= MAX_PIXELS

    hold()


@pytest.mark.parametrize("name", SOUNDS)
def test_damaged_sounds(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @fuzz
    @given(mutated(SOUNDS[name]))
    def hold(data: bytes) -> None:
        outcome = both_ways("audio", data, tmp_path)
        if not isinstance(outcome, MolspaceError):
            assert len(outcome.samples) > 0
            assert np.abs(outcome.samples).max() <= 1
            assert MIN_RATE_HZ <= outcome.rate_hz <= MAX_RATE_HZ

    hold()
    assert "Traceback" not in capfd.readouterr().err


def both_ways(modality: str, data: bytes, folder: Path):
    """Decode bytes and the file that holds them; looks at both never fail otherwise."""
    path = put(folder / "x.bin", data)
    load = load_image if modality == "image" else load_audio
    outcome = usable_or_refused(lambda: load(data))
    of_file = usable_or_refused(lambda: load(path))
    assert isinstance(outcome, MolspaceError) == isinstance(of_file, MolspaceError)
    for source in (data, path):
        whys = [
            usable_or_refused(lambda s=source, d=d: check(modality, s, d)) for d in CHECK_DEPTHS
        ]
        assert all(isinstance(why, str) for why in whys)
        assert bool(whys[-1]) == isinstance(outcome, MolspaceError)
        # A glance never refuses what decodes.
        assert whys[-1] or not whys[0]
    return outcome


# --- tars ---


def plain_tar(folder: Path) -> bytes:
    members = {
        "a.png": image_bytes(),
        "a.txt": "rain",
        "b.png": image_bytes(1),
        "b.wav": sound_bytes(n=50),
    }
    return put_tar(folder / "good.tar", members).read_bytes()


def long_named_tar(form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        info = tarfile.TarInfo("é" + "k" * 200 + ".png")
        info.size = len(image_bytes())
        tar.addfile(info, io.BytesIO(image_bytes()))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["plain", "gnu", "pax"])
def test_damaged_tars(kind: str, tmp_path: Path) -> None:
    forms = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    good = plain_tar(tmp_path) if kind == "plain" else long_named_tar(forms[kind])

    @fuzz
    @given(mutated_tar(good), st.sampled_from(["image", "audio", "text"]))
    def hold(data: bytes, modality: str) -> None:
        path = put(tmp_path / "x.tar", data)
        source = Source((str(path),), max_bad=1.0)
        corpus = usable_or_refused(
            lambda: open_corpus("x", modality, [source], tables=TableCache())
        )
        if not isinstance(corpus, MolspaceError):
            for item in corpus.items(0, len(corpus)):
                usable_or_refused(lambda item=item: load(item))
            members = list(tar_members(io.BytesIO(data), "x.tar", len(data)))
            assert all(m.offset > 0 and m.offset + m.size_bytes <= len(data) for m in members)

    hold()


@st.composite
def mutated_tar(draw: st.DrawFn, good: bytes) -> bytes:
    """Draw a damaged tar; half of them with checksums that fit, so that fields are believed."""
    data = bytearray(draw(mutated(good, head_bytes=600)))
    if draw(st.booleans()):
        for start in range(0, min(len(data) - 511, 4096), 512):
            if data[start + 257 : start + 262] == b"ustar":
                data[start + 148 : start + 156] = b" " * 8
                data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)
