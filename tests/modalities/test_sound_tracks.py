"""Sounds that PyAV decodes: whole, to the sample, and refused where something is missing."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from media_files import image_bytes, put, put_tar, sound_bytes
from video_files import heard, turned, video_bytes

from reactions.core.errors import MediaError, MissingError
from reactions.core.extras import install_extra
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.eval.labelled import media_files
from reactions.modalities import noticed, registry
from reactions.modalities.audio import load_audio
from reactions.modalities.image import load_image
from reactions.modalities.sounds import media_ends, samples, tracks

SECONDS = 0.61
N_16K = round(16_000 * SECONDS)
WHOLE = {
    "m4a": {"form": "ipod"},
    "mp4": {"form": "mp4", "pictures": "libx264"},
    "faststart": {"form": "ipod", "movflags": "+faststart"},
    "fragments": {
        "form": "mp4",
        "movflags": "+frag_keyframe+empty_moov",
        "frag_duration": "100000",
    },
    "mov": {"form": "mov", "sound": "pcm_s16le"},
    "alac": {"form": "ipod", "sound": "alac"},
    "webm": {"form": "webm", "sound": "libopus"},
    "live": {"form": "webm", "sound": "libopus", "live": "1"},
    "mkv": {"form": "matroska", "pictures": "libx264"},
    "mka": {"form": "matroska", "sound": "flac"},
    "wma": {"form": "asf", "sound": "wmav2"},
    "aac": {"form": "adts"},
    "ts": {"form": "mpegts", "pictures": "mpeg2video"},
    "flv": {"form": "flv"},
    "avi": {"form": "avi", "sound": "pcm_s16le", "pictures": "mpeg4"},
    "3gp": {"form": "3gp"},
}
EXACT = ("m4a", "mp4", "faststart", "mov", "alac", "webm", "live", "mka", "avi", "3gp")
"""Files that say where their sound begins and ends; the others keep what their encoder added."""


def encoded(name: str, **options) -> bytes:
    return video_bytes(SECONDS, **{"pictures": "", **WHOLE[name], **options})


@pytest.fixture(scope="module")
def containers() -> dict[str, bytes]:
    return {name: encoded(name, rate_hz=rate_of(name)) for name in WHOLE}


def rate_of(name: str) -> int:
    return {"libopus": 48_000, "wmav2": 44_100}.get(WHOLE[name].get("sound", ""), 16_000)


def refused(data: bytes) -> str:
    with pytest.raises(MediaError, match="cannot use the audio") as caught:
        load_audio(data)
    return caught.value.why


@pytest.mark.parametrize("name", WHOLE)
def test_a_tone_comes_back(containers, name):
    waveform = load_audio(containers[name])
    tone = heard(SECONDS, waveform.rate_hz)
    assert waveform.rate_hz == rate_of(name)
    if name in EXACT:
        assert len(waveform.samples) == len(tone)
        lags = [0]
    else:
        # Frames of up to 2,048 samples; what was encoded before the sound is at most two.
        assert -2048 <= len(waveform.samples) - len(tone) <= 4096
        lags = [0, 1024, 2048]
    n = len(tone) - 4096
    correlations = [np.corrcoef(tone[:n], waveform.samples[lag : lag + n])[0, 1] for lag in lags]
    assert max(correlations) > 0.97  # WMA is noisy
    assert (
        registry.check("audio", containers[name])
        == registry.check("audio", containers[name], "full")
        == ""
    )


def test_channels_are_those_of_any_sound(containers):
    stereo = encoded("mov", channels=2)
    np.testing.assert_array_equal(load_audio(stereo).samples, load_audio(containers["mov"]).samples)
    assert len(load_audio(stereo, channel=1).samples) == N_16K
    with pytest.raises(MediaError) as caught:
        load_audio(containers["mov"], channel=1)
    assert caught.value.why == "it has 1 channels; there is no channel 1"


def test_lossless_ones_equal_what_soundfile_reads(containers):
    """16 bits become floats in the same way."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, (heard(SECONDS) * 32768).round().astype("<i2"), 16_000, format="WAV")
    wav = load_audio(stream.getvalue()).samples
    for name in ("mov", "mka"):
        assert np.abs(load_audio(containers[name]).samples - wav).max() <= 1 / 32768


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_cut_short_is_refused_at_every_place(containers, name):
    data = containers[name]
    for size in [*range(40, len(data) - 1, max(1, len(data) // 23)), len(data) - 2]:
        cut = data[:size]
        try:
            load_audio(cut)
        except MediaError:
            assert registry.check("audio", cut)
        else:
            # What does not say how long it is can be cut between two packets alone.
            assert name in ("aac", "live", "flv", "ts"), size
            assert is_between_packets(name, data, size)


def is_between_packets(name: str, data: bytes, size: int) -> bool:
    if name == "ts":
        return size % 188 == 0
    if name == "flv":  # each is followed by its length
        length = int.from_bytes(data[size - 4 : size], "big")
        return int.from_bytes(data[size - length + 1 - 4 :][:3], "big") == length - 11
    return data[size:].startswith({"aac": b"\xff\xf1", "live": b"\xa3"}[name])


@pytest.mark.parametrize("name", ["m4a", "webm", "mkv", "wma", "aac", "flv"])
def test_damage_is_an_error_of_the_file(containers, name):
    """Or it changes samples alone, as in any compressed sound; it never raises anything else."""
    rng = np.random.default_rng(3)
    for _ in range(25):
        data = bytearray(containers[name])
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        try:
            assert len(load_audio(bytes(data)).samples)
        except MediaError:
            refused(bytes(data))


def half(name: str) -> tuple[bytes, bytes]:
    """Return a sound of four seconds that states its length, and its first half."""
    options = {
        "dash": {"form": "mp4", "movflags": "+dash+global_sidx", "frag_duration": "200000"},
        "flv": {"form": "flv"},
        "mkv": {"form": "matroska", "cluster_time_limit": "200"},
    }[name]
    data = video_bytes(4, pictures="", **options)
    middle = len(data) // 2
    if name == "dash":
        return data, data[: data.rindex(b"moof", 0, middle) - 4]
    if name == "mkv":  # a length that is not known lets it end anywhere
        place = data.index(b"\x18\x53\x80\x67") + 4
        data = data[:place] + b"\x01" + b"\xff" * 7 + data[place + 8 :]
        return data, data[: data.rindex(b"\x1f\x43\xb6\x75", 0, middle)]
    place = 13
    while place < middle:
        place += 15 + int.from_bytes(data[place + 1 : place + 4], "big")
    return data, data[:place]


@pytest.mark.parametrize("name", ["dash", "flv", "mkv"])
def test_half_a_sound_is_refused_where_its_length_is_stated(name):
    data, cut = half(name)
    assert registry.check("audio", data) == ""
    assert len(load_audio(data).samples) >= 64_000
    assert re.fullmatch(r"it is cut short: [12]\.\d of 4\.[01] seconds are there", refused(cut))
    assert "cut short" in registry.check("audio", cut)


def test_a_length_that_is_guessed_or_of_longer_pictures_refuses_nothing():
    guessed = video_bytes(20, form="matroska", live="1", sound="libmp3lame", pictures="")
    assert len(load_audio(guessed).samples) >= 320_000
    for form in ("flv", "matroska", "mp4"):
        longer = video_bytes(4, form=form, sound_seconds=1)
        assert 16_000 <= len(load_audio(longer).samples) <= 20_096, form
        assert registry.check("audio", longer) == ""


def test_damage_in_the_middle_is_found(containers):
    data = bytearray(containers["m4a"])
    place = data.index(b"mdat") + 4 + 700
    data[place : place + 400] = bytes(400)
    assert "cannot be decoded" in refused(bytes(data))


# --- files as they come from phones, cameras and browsers ---


def muxed(form: str, **tracks_of) -> bytes:
    """A file whose streams a test writes by itself, of sounds and pictures with their times."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=form) as container:
        container.metadata["title"] = "Küche, 21:15"
        container.metadata["location"] = "+52.5+013.4/"
        sounds = []
        for _ in range(tracks_of.get("sounds", 1)):
            sounds.append(container.add_stream("aac", rate=16_000))
            sounds[-1].layout = "mono"
        if cover := tracks_of.get("cover"):
            picture = container.add_stream("mjpeg", rate=1, options={})
            picture.width, picture.height, picture.pix_fmt = 12, 8, "yuvj444p"
            picture.disposition = av.stream.Disposition.attached_pic
            packet = av.Packet(cover)
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            packet.is_keyframe = True
            container.mux(packet)
        if at := tracks_of.get("frames_at"):
            video = container.add_stream("libx264", rate=30)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            for pts in at:
                frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                frame.pts = pts
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        for number, sound in enumerate(sounds):
            for start in range(0, N_16K - 1024, 1024):
                if start in tracks_of.get("without", ()):
                    continue
                wave = heard(SECONDS)[start : start + 1024] * (number == 0)
                frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
                frame.sample_rate, frame.pts = 16_000, start
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return stream.getvalue()


def test_a_cover_and_metadata_do_not_matter():
    data = muxed("mp4", cover=image_bytes(1, "JPEG", subsampling=0))
    waveform = load_audio(data)
    tone = heard(SECONDS)[: len(waveform.samples)]
    assert len(tone) == (N_16K // 1024) * 1024 // 1024 * 1024
    assert np.corrcoef(tone, waveform.samples)[0, 1] > 0.99
    assert noticed.take() == []


def test_rotation_and_uneven_frames_do_not_matter(containers):
    for quarters in (1, 2, 3):
        np.testing.assert_array_equal(
            load_audio(turned(containers["mp4"], quarters)).samples,
            load_audio(containers["mp4"]).samples,
        )
    uneven = load_audio(muxed("mp4", frames_at=(0, 1, 2, 9, 10, 17)))
    np.testing.assert_array_equal(uneven.samples, load_audio(muxed("mp4")).samples)


def test_of_several_tracks_the_first_is_taken_and_reported(tmp_path):
    path = put(tmp_path / "two.mkv", muxed("matroska", sounds=2))
    assert np.abs(load_audio(path).samples).max() > 0.2
    load_audio(path)
    assert noticed.take() == [
        "1 sound lies in a file of several tracks of sound, of which the first was taken, "
        f"first '{path}'"
    ]
    assert noticed.take() == []


def test_a_video_without_sound():
    assert refused(video_bytes(SECONDS, sound="")) == "it has no sound"


def test_a_hole_is_silence(tmp_path):
    holed = muxed("matroska", without=(4096, 5120, 6144))
    waveform = load_audio(put(tmp_path / "a.mka", holed))
    assert len(waveform.samples) == len(load_audio(muxed("matroska")).samples)
    assert np.abs(waveform.samples[5400:6800]).max() == 0
    assert noticed.take()[0].startswith("1 sound has holes in its track, which became silence")


def test_limits_hold_before_memory_is_taken(containers, monkeypatch):
    from reactions.modalities import audio

    monkeypatch.setattr(audio, "MAX_SAMPLES", 4000)
    assert "frames of 1 channels" in refused(containers["m4a"])
    monkeypatch.undo()
    monkeypatch.setattr(audio, "MIN_RATE_HZ", 16_001)
    assert "its rate is 16000 Hz" in refused(containers["webm"][:0] + containers["m4a"])
    # A hole of days is refused as it is met, not filled.
    sound = tracks._Sound(samples.Limits(100, 384_000, 1 << 28, 3600), samples.Downmix())
    import av

    for pts in (0, 1 << 40):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 64), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, pts, 1
        if pts:
            with pytest.raises(samples.Refused):
                sound.add(frame)
        else:
            sound.add(frame)
    assert len(sound.samples) == 64


# --- what was decoded before, and where files lie ---


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_soundfile_keeps_what_it_reads(form):
    assert media_ends.kind_of(io.BytesIO(sound_bytes(form=form))) == ""


def test_opus_in_ogg_stays_with_soundfile():
    opus = sound_bytes(form="OGG", subtype="OPUS", rate_hz=48_000)
    assert media_ends.kind_of(io.BytesIO(opus)) == ""


def test_without_the_package(containers, tmp_path, monkeypatch):
    path = put(tmp_path / "a.m4a", containers["m4a"])
    shard = put_tar(tmp_path / "x.tar", {"a.png": image_bytes(), "a.m4a": containers["m4a"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "av", raising=False)
    for call in (lambda: load_audio(path), lambda: registry.check("audio", path)):
        with pytest.raises(MissingError) as caught:
            call()
        assert caught.value.fix == install_extra("media")
    assert len(load_audio(sound_bytes()).samples)
    # Who wants the pictures beside a sound does not need it.
    assert opened(shard, "image").ids() == ["a"]
    with pytest.raises(MissingError):
        opened(shard, "audio")


def opened(path: Path, modality: str, **options) -> SourceCorpus:
    source = Source((str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("x", modality, [source], tables=TableCache(path.parent / "cache"))


def test_folders_take_the_sound_of_videos_where_there_is_no_other(containers, tmp_path):
    folder = tmp_path / "set"
    put(folder / "a.mp4", containers["mp4"])
    put(folder / "b.webm", containers["webm"])
    put(folder / "c.mov", containers["mov"][:2000])
    corpus = opened(folder, "audio")
    assert [item.id for item in corpus.items(0, 9)] == ["a.mp4", "b.webm"]
    assert [bad.id for bad in corpus.bad()] == ["c.mov"]
    assert "cut short" in next(corpus.bad()).why
    assert opened(folder, "video", max_bad=1.0).others == {}
    assert len(list(media_files(folder, "audio"))) == 3
    put(folder / "d.m4a", containers["m4a"])
    corpus = opened(folder, "audio")
    assert [item.id for item in corpus.items(0, 9)] == ["d.m4a"]
    assert corpus.others == {".mp4": 1, ".webm": 1, ".mov": 1}
    assert [entry.name for entry in media_files(folder, "audio")] == ["d.m4a"]


def test_shards(containers, tmp_path):
    members = {
        "a.m4a": containers["m4a"],
        "b.mp4": containers["mp4"],
        "c.wav": sound_bytes(),
        "c.mp4": containers["mp4"],
        "d.m4a": containers["m4a"][:900],
        "a.png": image_bytes(),
    }
    shard = put_tar(tmp_path / "x.tar", members)
    assert [item.id for item in opened(shard, "image").items(0, 9)] == ["a"]
    corpus = opened(shard, "audio")
    items = corpus.items(0, 9)
    assert [item.id for item in items] == ["a", "b", "c"]
    assert [len(load_audio(item.value).samples) for item in items] == [N_16K, N_16K, 800]
    assert [bad.id for bad in corpus.bad()] == ["d"]
    assert [item.id for item in opened(shard, "audio", member="mp4").items(0, 9)] == ["b", "c"]


def test_pictures_of_videos_are_still_no_images(containers):
    with pytest.raises(MediaError):
        load_image(containers["mp4"])
