"""Half a sound is none, a sound of unknown length is whole, codecs that cannot seek are read."""

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_files import image_bytes, put, sound_bytes
from sound_files import patched, piped_flac, tone, wav

from reactions.core.errors import MediaError
from reactions.core.storage import Blob
from reactions.modalities.audio import MAX_SECONDS, load_audio
from reactions.modalities.base import CHECK_DEPTHS
from reactions.modalities.image import load_image
from reactions.modalities.registry import check
from reactions.modalities.sounds import decoding
from reactions.modalities.sounds.samples import Downmix

ROOT = Path(__file__).parents[2]
N = 2000
HELD = ("WAV", "WAVEX", "RF64", "W64", "AU", "AIFF", "CAF", "NIST", "SVX")


def length(data: bytes, folder: Path | None = None) -> int:
    """The length of a sound, by bytes and by file; both looks find it whole."""
    for depth in CHECK_DEPTHS:
        assert check("audio", data, depth) == ""
    n = len(load_audio(data).samples)
    if folder is not None:
        path = put(folder / "x.snd", data)
        assert check("audio", path) == ""
        assert len(load_audio(path).samples) == n
    return n


def refused(data: bytes, folder: Path | None = None) -> str:
    for depth in CHECK_DEPTHS:
        assert check("audio", data, depth) != "", depth
    if folder is not None:
        assert check("audio", put(folder / "x.snd", data)) != ""
    with pytest.raises(MediaError) as caught:
        load_audio(data)
    return caught.value.why


# --- half a sound ---


@pytest.mark.parametrize("share", [0.3, 0.5, 0.97])
@pytest.mark.parametrize("form", [*HELD, "FLAC", "OGG"])
def test_what_is_cut_short_is_found_whatever_the_container(
    form: str, share: float, tmp_path: Path
) -> None:
    data = sound_bytes(form=form, n=N)
    assert length(data, tmp_path) == N
    refused(data[: int(len(data) * share)], tmp_path)


@pytest.mark.parametrize("form", ["OPUS", "VORBIS"])
def test_an_ogg_that_is_cut_at_a_page_lacks_its_last_page(form: str) -> None:
    data = sound_bytes(form="OGG", subtype=form, n=48_000 * 8, rate_hz=48_000)
    assert length(data) == 48_000 * 8
    assert "cut short" in refused(data[: data.rindex(b"OggS")])
    assert "cut short" in refused(data[: len(data) // 2])


@pytest.mark.parametrize("riff", [0, 2**32 - 1, "repaired"])
@pytest.mark.parametrize("form", ["WAV", "AIFF"])
def test_the_size_of_the_whole_file_hides_nothing(
    form: str, riff: int | str, tmp_path: Path
) -> None:
    data = sound_bytes(form=form, n=N)
    half = data[: len(data) // 2]
    size = len(half) - 8 if riff == "repaired" else int(riff)
    half = patched(half, 4, struct.pack("<I" if form == "WAV" else ">I", size))
    assert "cut short" in refused(half, tmp_path)


def test_chunks_that_were_made_to_fit_as_well() -> None:
    data = sound_bytes(form="AIFF", n=N)
    half = data[: len(data) // 2]
    half = patched(half, 4, struct.pack(">I", len(half) - 8))
    place = half.index(b"SSND") + 4
    half = patched(half, place, struct.pack(">I", len(half) - place - 4))
    assert "bytes of samples" in refused(half)  # the header counts frames, too


@pytest.mark.parametrize("form", ["W64", "RF64"])
def test_sizes_of_64_bits_that_are_beyond_the_file(form: str) -> None:
    data = sound_bytes(form=form, n=N)
    place = data.index(b"data") + 16 if form == "W64" else 28
    refused(patched(data, place, struct.pack("<Q", 2**62)))


# --- unknown lengths ---


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 2**32 - 1])
@pytest.mark.parametrize("riff", [0, 36, 0x7FFFF024, 2**32 - 1])
def test_a_piped_wav_is_read_to_its_end(riff: int, size: int, tmp_path: Path) -> None:
    data = sound_bytes(n=N)
    place = data.index(b"data") + 4
    data = patched(patched(data, 4, struct.pack("<I", riff)), place, struct.pack("<I", size))
    assert length(data, tmp_path) == N


@pytest.mark.parametrize("form", ["RF64", "W64", "AU", "CAF"])
def test_so_are_other_containers(form: str, tmp_path: Path) -> None:
    data = sound_bytes(form=form, n=N)
    if form == "AU":
        order = "<I" if data[:4] == b"dns." else ">I"
        fields = [(8, struct.pack(order, size)) for size in (0, 0x7FFFFFFF, 2**32 - 1)]
    elif form == "CAF":
        fields = [(data.index(b"data") + 4, struct.pack(">q", -1))]
    else:
        place = data.index(b"data") + 16 if form == "W64" else 28
        fields = [(place, struct.pack("<Q", size)) for size in (0, 2**64 - 1)]
    for place, field in fields:
        assert length(patched(data, place, field), tmp_path) >= N


@pytest.mark.parametrize("size", [0, 8, 2**32 - 1])
def test_so_is_a_piped_aiff(size: int) -> None:
    data = sound_bytes(form="AIFF", n=N)
    frames = data.index(b"COMM") + 10
    data = patched(data, data.index(b"SSND") + 4, struct.pack(">I", size))
    assert length(patched(patched(data, 4, bytes(4)), frames, bytes(4))) == N


def test_a_flac_from_a_pipe(tmp_path: Path) -> None:
    data = piped_flac()
    assert length(data, tmp_path) == 20_000
    np.testing.assert_array_equal(
        load_audio(data).samples, load_audio(sound_bytes(form="FLAC", n=20_000)).samples
    )
    for stop in (len(data) - 1, len(data) // 2, 200):
        refused(data[:stop], tmp_path)


def test_an_unknown_length_is_held_to_the_limits_as_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reactions.modalities.audio.MAX_SAMPLES", 9999)
    monkeypatch.setattr(decoding, "_BLOCK_SAMPLES", 4096)
    assert "frames of 1 channels" in refused(piped_flac())


# --- codecs ---


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("WAV", "GSM610"),
        ("WAV", "G721_32"),
        ("WAV", "NMS_ADPCM_16"),
        ("WAV", "NMS_ADPCM_24"),
        ("WAV", "NMS_ADPCM_32"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("AU", "G721_32"),
        ("AU", "G723_24"),
        ("AU", "G723_40"),
        ("AIFF", "GSM610"),
        ("AIFF", "DWVW_16"),
        ("W64", "GSM610"),
        ("CAF", "ALAC_16"),
    ],
)
def test_codecs_that_cannot_seek_are_read(form: str, codec: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    soundfile.write(stream, tone(8000), 8000, format=form, subtype=codec)
    data = stream.getvalue()
    assert 8000 <= length(data, tmp_path) <= 9000  # whole blocks
    samples = load_audio(data).samples[1000:7000]
    assert np.corrcoef(samples, tone(8000)[1000:7000])[0, 1] > 0.95
    refused(data[: len(data) // 2], tmp_path)


def test_formats_that_do_not_state_their_length_are_refused() -> None:
    for form in ("PVF", "IRCAM", "MAT5"):
        assert "a file that was cut short cannot be recognised" in refused(sound_bytes(form=form))


@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_nist_sound_that_counts_its_bytes_in_text_is_held_to_it(share: float) -> None:
    data = sound_bytes(form="NIST", n=N, subtype="ULAW")
    assert b"sample_n_bytes -s1 1" in data
    assert length(data) == N
    assert "cut short" in refused(data[: int(len(data) * share)])


# --- joined and chained ---


@pytest.mark.parametrize("form", ["VORBIS", "OPUS"])
def test_a_chained_ogg_is_read_to_its_end(form: str, tmp_path: Path) -> None:
    links = [
        sound_bytes(seed, "OGG", n, subtype=form, rate_hz=48_000, channels=channels)
        for seed, n, channels in ((0, 20_000, 1), (1, 30_000, 2), (2, 10_000, 1))
    ]
    assert length(b"".join(links), tmp_path) == 60_000
    samples = load_audio(b"".join(links)).samples
    expected = np.concatenate([load_audio(link).samples for link in links])
    np.testing.assert_array_equal(samples, expected)
    assert "cut short" in refused(b"".join(links)[:-50], tmp_path)


def test_chains_of_several_rates_are_refused() -> None:
    links = [sound_bytes(0, "OGG", 9000, rate_hz=rate_hz) for rate_hz in (16_000, 48_000)]
    assert "joins sounds of 16000 Hz and 48000 Hz" in refused(b"".join(links))


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AU", "AIFF", "CAF", "NIST", "FLAC"])
def test_joined_files_of_other_kinds_are_refused(form: str, tmp_path: Path) -> None:
    for n in (N, N + 1):
        data = sound_bytes(form=form, n=n)
        assert "several sounds were joined" in refused(data + data, tmp_path)


@pytest.mark.parametrize("form", ["WAV", "AU", "AIFF", "CAF", "RF64"])
def test_samples_that_go_on_behind_their_chunk_are_found(form: str, tmp_path: Path) -> None:
    data = sound_bytes(form=form, n=N)
    size, field = {
        "WAV": (2 * N, "<I"),
        "AU": (2 * N, ">I"),
        "AIFF": (2 * N + 8, ">I"),
        "CAF": (2 * N + 4, ">q"),
        "RF64": (2 * N, "<Q"),
    }[form]
    full_size, half = struct.pack(field, size), struct.pack(field, size - N // 2 * 2)
    assert full_size in data
    mended = data.replace(full_size, half)
    if form == "AIFF":
        mended = mended.replace(struct.pack(">I", N), struct.pack(">I", N - N // 2))
    assert "its header counts" in refused(mended, tmp_path)
    assert length(data + bytes(2000)) == N
    assert length(data + b"TAG" + bytes(125) * 9) == N


def test_what_lies_beside_the_samples_does_no_harm() -> None:
    data = sound_bytes(n=N)
    assert length(data + b"LIST\x04\0\0\0abcd") == N
    for form in ("FLAC", "OGG", "WAV"):
        assert length(sound_bytes(form=form, n=N) + b"TAG" + bytes(125)) == N
    odd = sound_bytes(n=801, subtype="PCM_U8")
    assert length(odd + b"\0") == 801
    early = data[:12] + b"LIST\x05\0\0\0abcde\0" + data[12:]
    assert length(patched(early, 4, struct.pack("<I", len(early) - 8))) == N


# --- hostile headers ---


def test_no_header_makes_python_print(capfd: pytest.CaptureFixture[str]) -> None:
    data = sound_bytes(n=N)
    for place in range(4, 48):
        for field in (b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\xff\xff\xff\x7f", bytes(4)):
            check("audio", patched(data, place, field), "full")
    assert "Traceback" not in capfd.readouterr().err


def test_nothing_beside_the_sound_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile looks for resource forks, in the working folder where it knows no path."""
    (tmp_path / "._").write_bytes(b"\0\5\x16\7" + bytes(100))
    monkeypatch.chdir(tmp_path)
    data = sound_bytes(form="MP3", n=N)
    assert length(data) == N
    (tmp_path / "._x.mp3").write_bytes(b"\0\5\x16\7" + bytes(100))
    assert len(load_audio(put(tmp_path / "x.mp3", data)).samples) == N


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipes_and_devices_are_not_media(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.wav")
    for load in (load_audio, load_image):
        for path in (tmp_path / "x.wav", Path("/dev/zero")):
            with pytest.raises(MediaError, match="cannot decode") as caught:
                load(path)
            assert caught.value.why == "not a regular file"


def test_encoded_items_that_are_held_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = sound_bytes(n=N)
    blob = Blob(str(put(tmp_path / "x.tar", data)), 0, len(data), "a.wav")
    assert len(load_audio(blob).samples) == N
    monkeypatch.setattr("reactions.modalities.encoded.MAX_HELD_BYTES", 1 << 10)
    with pytest.raises(MediaError, match="cannot use") as caught:
        load_audio(blob)
    assert f"it has {len(data)} bytes, more than" in caught.value.why
    with pytest.raises(MediaError) as caught:
        load_image(put(tmp_path / "x.png", image_bytes(size=(40, 40))))
    assert "bytes, more than" in caught.value.why


def test_an_hour_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactions.modalities.audio.MAX_SECONDS", 60)
    assert "it is 2 minutes long, more than 1" in refused(sound_bytes(n=12_000, rate_hz=100))
    assert load_audio(sound_bytes(n=6000, rate_hz=100)).rate_hz == 100


def test_resampling_stays_within_the_limit() -> None:
    n = MAX_SECONDS * 48_000
    assert n * 4 < 700_000_000


_SILENCE = """
import resource, sys
import numpy, soundfile
from reactions.modalities.audio import load_audio
from reactions.core.errors import MediaError
data = open(sys.argv[1], "rb").read()
load_audio(open(sys.argv[2], "rb").read())  # what libraries take for themselves
with open("/proc/self/statm") as statm:
    held = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[3]),) * 2)
try:
    print(len(load_audio(data).samples))
except MediaError as error:
    print(error.why)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_silence_takes_four_bytes_a_frame(tmp_path: Path) -> None:
    n = 20_000_000  # in 70 kB; 80 MB decoded, of two channels
    with soundfile.SoundFile(tmp_path / "x.flac", "w", 48_000, 2) as sound:
        for _ in range(20):
            sound.write(np.zeros((n // 20, 2)))
    assert (tmp_path / "x.flac").stat().st_size < 100_000
    put(tmp_path / "y.flac", sound_bytes(form="FLAC", channels=2))
    paths = [str(tmp_path / name) for name in ("x.flac", "y.flac")]
    process = subprocess.run(
        [sys.executable, "-c", _SILENCE, *paths, str(n * 4 + (40 << 20))],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert process.stdout == f"{n}\n", process.stderr


def test_more_than_the_limits_is_refused_by_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Downmix, "add", lambda *a: pytest.fail("decoded"))
    data = sound_bytes(form="FLAC", n=N)
    declared = patched(data, 21, bytes([data[21] | 0x0F]) + b"\xff" * 4)  # 2**36 - 1 samples
    assert "frames of 1 channels" in refused(declared)


def test_odd_wavs_have_reasons() -> None:
    assert "Malformed" in refused(wav(b"", 1)[:20])
    assert refused(wav(bytes(10), 0x161))  # Windows Media
    with pytest.raises(MediaError, match="cannot use") as caught:
        load_audio(sound_bytes(n=10), channel=3)
    assert "there is no channel 3" in caught.value.why


def test_pages_of_an_ogg_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    from reactions.modalities.sounds import ogg_pages

    monkeypatch.setattr(ogg_pages, "MAX_PAGES", 2)
    assert "more than 2 pages" in refused(sound_bytes(form="OGG", n=N))
