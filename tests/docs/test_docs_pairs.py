"""docs/own-data.md says how pairs are named: its lab file is run on files that lie as it says."""

import re
from pathlib import Path

import pytest
from lab_files import load
from media_files import image_bytes, put, put_tar, sound_bytes
from video_files import video_bytes

from reactions.modalities.registry import get
from reactions.modalities.registry import load as decode

pytestmark = pytest.mark.usefixtures("own_folder")

TEXT = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
[LAB] = [code for code in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL) if "[pairs." in code]


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def lab(tmp_path):
    """The lab of the page, with twenty pairs of each kind; the videos are three."""
    rows = []
    for i in range(20):
        put(tmp_path / "recordings" / f"{i}.wav", sound_bytes(i))
        put(tmp_path / "recordings" / f"{i}.jpg", image_bytes(i, "JPEG"))
        rows.append(f"clip-{i},{i}.wav,{i}.jpg\n")
    put(tmp_path / "field.csv", "clip,wav,jpg\n" + "".join(rows))
    for shard in range(4):
        members = {}
        for i in range(5):
            members[f"{shard}{i}.flac"] = sound_bytes(i, "FLAC")
            members[f"{shard}{i}.jpg"] = image_bytes(i, "JPEG")
        put_tar(tmp_path / f"web-000{shard}.tar", members)
    return load(LAB)


def check(pairs, n):
    assert (len(pairs), pairs.notices) == (n, ())
    for modality in ("audio", "image"):
        for item in pairs.corpus(modality).items(0, n):
            assert get(modality).why_unusable(decode(item).value) == ""


def test_the_table(lab):
    pairs = lab.pairs_of("audio", "image")  # the default
    check(pairs, 20)
    assert pairs.corpus("image").ids()[4] == "clip-4"


def test_the_shards(lab):
    check(lab.pairs_of("audio", "image", "web"), 20)


def test_the_videos(lab, tmp_path):
    pytest.importorskip("av")
    for i in range(3):
        put(tmp_path / "videos" / f"{i}.mp4", video_bytes(seconds=1, pictures="mpeg4", seed=i))
    check(lab.pairs_of("audio", "image", "clips"), 3)
