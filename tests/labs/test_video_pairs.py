"""Videos of a lab file as pairs: each gives a sound and a picture."""

import pickle
import re

import numpy as np
import pytest
from lab_files import load
from media_files import put, put_tar
from video_files import RATE_HZ, loudest_hz, shade, turned, video_bytes

from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.file_digests import DigestCache
from reactions.modalities.registry import load as decode
from reactions.modalities.videos import clips, files

pytest.importorskip("av")
pytestmark = pytest.mark.usefixtures("own_folder")

VIDEOS = '[pairs.clips]\nvideo = "videos"\nmax_bad = 0.9\n'
GOOD = ("a.mp4", "b.mkv", "more/c.MOV")


@pytest.fixture(scope="module")
def encoded():
    """Videos of three seconds, good and bad, by name."""
    good = video_bytes()
    return {
        "a.mp4": good,
        "b.mkv": video_bytes(form="matroska", pictures="mpeg4", seed=1),
        "more/c.MOV": turned(video_bytes(seed=2), 1),
        "silent.mp4": video_bytes(sound=""),
        "song.m4v": video_bytes(pictures=""),
        "empty.mp4": b"",
        "half.mp4": good[: len(good) // 2],
        "text.avi": b"this is not a video" * 100,
    }


@pytest.fixture
def videos(encoded, tmp_path):
    for name, data in encoded.items():
        put(tmp_path / "videos" / name, data)
    put(tmp_path / "videos" / "readme.txt", "about them")
    put(tmp_path / "videos" / "cover.jpg", "not looked at")
    return tmp_path


def opened(text=VIDEOS, folder=None, **options):
    digests = DigestCache(folder / "cache") if folder else None
    return load(text, digests=digests, **options).pairs_of("audio", "image")


def test_a_folder_of_videos(videos):
    pairs = opened()
    assert pairs.modalities == ("audio", "image")
    sounds, pictures = (pairs.corpus(m).items(0, 9) for m in pairs.modalities)
    assert [item.id for item in sounds] == [item.id for item in pictures] == list(GOOD)
    for seed, (sound, picture) in enumerate(zip(sounds, pictures, strict=True)):
        waveform, pixels = decode(sound).value, decode(picture).value
        assert len(waveform.samples) == pytest.approx(3 * RATE_HZ, rel=0.05)
        assert pixels.shape == ((64, 48, 3) if seed == 2 else (48, 64, 3))
        light = np.rot90(pixels) if seed == 2 else pixels
        assert light[:, 40:].mean() == pytest.approx(shade(15, seed), abs=12)


def test_what_cannot_be_used_is_left_out_with_its_reason(videos):
    pairs = opened(folder=videos)
    bad = {item.id: item.why for item in pairs.corpus("image").bad()}
    assert bad == {
        "silent.mp4": "it has no sound",
        "song.m4v": "it has no pictures, only sound",
        "empty.mp4": "it is empty",
        "half.mp4": bad["half.mp4"],
        "text.avi": bad["text.avi"],
    }
    assert "cannot be decoded" in bad["half.mp4"]
    assert "5 of 8 pairs are left out" in pairs.notices[0]
    assert pairs.corpus("audio").others == {".jpg": 1}
    with pytest.raises(DataError, match="5 of 8 pairs cannot be used"):
        opened(VIDEOS.replace("0.9", "0.1"))


def test_the_choice_decides_contents_and_digest(videos):
    def start_hz(pairs):
        (sound,) = pairs.corpus("audio").items(0, 1)
        return loudest_hz(decode(sound).value.samples, RATE_HZ)

    texts = [VIDEOS + f"seconds = 0.5\nclip_at = {at}\n" for at in ("0.0", "1.0")]
    first, last = (opened(text, folder=videos) for text in texts)
    assert start_hz(first) == pytest.approx(100, abs=3)
    assert start_hz(last) == pytest.approx(300, abs=3)
    assert first.digest != last.digest
    # What was scanned for one choice is not taken for another.
    assert opened(texts[0], folder=videos).digest == first.digest
    digests = {
        opened(VIDEOS + f"picture_at = {at}\n", folder=videos).digest for at in ("0.1", "0.9")
    }
    assert len(digests) == 2


def test_other_contents_have_another_digest(videos):
    first = opened(folder=videos).digest
    put(videos / "videos" / "a.mp4", video_bytes(seed=9))
    assert opened(folder=videos).digest != first


def test_scans_are_remembered(videos, monkeypatch):
    first = opened(folder=videos).digest
    monkeypatch.setattr(clips, "find_clip", None)
    monkeypatch.setattr("reactions.data.pairs.videos.find_clip", None)
    assert opened(folder=videos).digest == first


def test_patterns_and_single_files(videos):
    pairs = opened('[pairs.clips]\nvideo = ["videos/?.mkv", "videos/a.mp4"]\n')
    assert pairs.corpus("audio").ids() == ["1/b.mkv", "2/a.mp4"]


def test_a_table_of_videos(videos):
    put(videos / "videos.csv", "key,file\nfirst,a.mp4\nsecond,b.mkv\nthird,gone.mp4\n")
    text = '[pairs.clips]\npath = "videos.csv"\nvideo = "file"\nfolder = "videos"\nid = "key"\n'
    pairs = opened(text + "max_bad = 0.5\n", folder=videos)
    assert pairs.corpus("audio").ids() == pairs.corpus("image").ids() == ["first", "second"]
    assert "there is no file" in pairs.notices[0]


def test_damage_in_the_middle_needs_a_full_check(videos, encoded):
    data = bytearray(video_bytes(form="mov", pictures="mjpeg", sound="pcm_s16le"))
    for place in range(data.index(b"mdat") + 4, len(data) - 3000, 200):
        data[place : place + 60] = b"\xff" * 60
    put(videos / "videos" / "a.mp4", bytes(data))
    assert len(load(VIDEOS).pairs_of("audio", "image")) == 3
    full = load(VIDEOS).with_check("full").pairs_of("audio", "image")
    assert full.corpus("audio").ids() == list(GOOD[1:])


def test_corpora_of_clips_can_be_sent_to_other_processes(videos):
    pairs = opened(folder=videos)
    unpickled = pickle.loads(pickle.dumps(pairs.corpus("image")))
    assert unpickled.digest == pairs.corpus("image").digest
    assert unpickled.items(0, 1) == pairs.corpus("image").items(0, 1)


def test_no_videos(videos):
    put(videos / "stills" / "a.jpg", "x")
    with pytest.raises(MissingError, match=r"(?s)no video at.*\.jpg \(1\).*\.mp4"):
        opened('[pairs.clips]\nvideo = "stills"\n')
    put_tar(videos / "tars" / "a.tar", {"a.mp4": "x"})
    with pytest.raises(MissingError, match="unpack the shards"):
        opened('[pairs.clips]\nvideo = "tars"\n')
    with pytest.raises(MissingError, match="vidoes"):
        opened('[pairs.clips]\nvideo = "vidoes"\n')


def test_without_the_package(videos, monkeypatch):
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(files.sys.modules, "av")
    with pytest.raises(
        MissingError, match=r"(?s)videos of \[pairs\.clips\].*" + re.escape(install_extra("media"))
    ):
        opened()
