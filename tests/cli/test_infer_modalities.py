"""infer, eval and data check on files whose endings several modalities share."""

import json
from pathlib import Path

import numpy as np
import pytest
from further_media import bin_bytes, grey_png, npy_bytes, ply_bytes, points
from in_process import runner
from media_files import image_bytes, put
from PIL import Image
from video_files import video_bytes

from reactions.modalities import noticed
from reactions.modalities.sounds import tracks


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run molspace in a folder; returns its output and its messages."""
    monkeypatch.chdir(tmp_path)

    molspace = runner(monkeypatch, capsys, stdin=b"")

    def run(*arguments: str, stdin: bytes = b"", code: int = 0) -> tuple[str, str]:
        ended, out, err = molspace(*map(str, arguments), stdin=stdin)
        assert ended == code, err
        return out, err

    return run


@pytest.fixture
def infer(run):
    def infer(space: str, *arguments: str, **options) -> tuple[list[dict], str]:
        command = ("infer", "--space", space, "--lab", "mini", "--format", "jsonl", *arguments)
        out, err = run(*command, **options)
        return [json.loads(line) for line in out.splitlines()], err

    return infer


@pytest.fixture
def clouds(tmp_path) -> Path:
    """A folder of clouds in several forms, one of them cut short, and a note."""
    folder = tmp_path / "clouds"
    put(folder / "a.ply", ply_bytes(points(40)))
    put(folder / "b.npy", npy_bytes(points(40, 1)))
    put(folder / "c.ply", ply_bytes(points(40, 2), form="binary_big_endian")[:-40])
    put(folder / "README.txt", "three chairs\n")
    return folder


def test_a_folder_of_one_modality(infer, clouds):
    rows, err = infer("PointBind", "clouds", "--modality", "point", code=4)
    assert [row["id"] for row in rows] == ["clouds/a.ply", "clouds/b.npy"]
    assert {row["modality"] for row in rows} == {"point"}
    assert "left out: 1 .txt" in err
    assert "skipped 'clouds/c.ply'" in err
    assert "cut short" in err


def test_the_same_file_said_in_three_ways(infer, clouds):
    by_flag, _ = infer("PointBind", "clouds/b.npy", "--modality", "point")
    by_line, _ = infer("PointBind", stdin=b'{"id": "clouds/b.npy", "point": "clouds/b.npy"}')
    piped, _ = infer("PointBind", "--modality", "point", stdin=b"clouds/b.npy\n")
    by_ending, _ = infer("PointBind", "clouds/a.ply")
    assert by_flag[0]["embedding"] == by_line[0]["embedding"] == piped[0]["embedding"]
    assert by_ending[0]["modality"] == "point"


def test_one_picture_as_several_modalities(infer, tmp_path):
    put(tmp_path / "x.png", grey_png(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60))
    embeddings = {}
    for modality in ("depth", "thermal", "image"):
        ((row,), _) = infer("PointBind", "x.png", "--modality", modality)
        assert row["modality"] == modality
        embeddings[modality] = row["embedding"]
    ((row,), _) = infer("PointBind", "x.png")
    assert (row["modality"], row["embedding"]) == ("image", embeddings["image"])
    assert embeddings["depth"] != embeddings["thermal"]


def test_events_and_a_picture_of_some(infer, tmp_path):
    put(tmp_path / "x.bin", bin_bytes(3000))
    put(tmp_path / "y.png", image_bytes())
    rows, err = infer("EventBind", "x.bin", "y.png", "--modality", "event", code=4)
    assert [(row["id"], row["modality"]) for row in rows] == [("x.bin", "event")]
    assert "a picture of them tells neither how many nor when" in err


def test_an_ending_that_says_nothing_is_asked_about(infer, clouds):
    _, err = infer("PointBind", "clouds/b.npy", code=2)
    assert "its ending is that of depth, event and point: say which it is with --modality" in err
    _, err = infer("PointBind", stdin=b'{"path": "clouds/b.npy"}', code=4)
    assert 'add "modality"' in err


def test_slips(infer, clouds):
    _, err = infer("PointBind", "clouds/b.npy", "--modality", "pont", code=2)
    assert "the space does not embed pont" in err
    assert "did you mean 'point'?" in err
    _, err = infer("PointBind", "clouds/b.npy", "--modality", "point", "--text", code=2)
    assert "--text says what --modality says" in err
    _, err = infer("PointBind", "gone.npy", "--modality", "point", code=4)
    assert "no such file" in err


def test_a_video_is_named_and_what_is_in_it_offered(infer, tmp_path):
    put(tmp_path / "clip.mp4", b"x")
    _, err = infer("CLAP_g", "clip.mp4", code=4)
    assert "the space does not embed video; it embeds audio, text" in err
    assert 'for its audio write {"audio": "clip.mp4"}, or --modality audio' in err


def test_a_lab_of_them_is_checked_and_scored(run, clouds, tmp_path):
    for seed, kind in enumerate(("chair", "table")):
        for i in range(2):
            put(tmp_path / f"shapes/{kind}/{i}.npy", npy_bytes(points(40, 9 * seed + i)))
    put(tmp_path / "shapes/table/bad.npy", npy_bytes(np.ones((5, 3))))
    lab = """
        [lab]
        extends = "mini"
        [corpora.point]
        path = "clouds"
        max_bad = 0.5
        [tasks.shapes]
        kind = "classification"
        point = "shapes"
        max_bad = 0.5
        templates = ["a {class}"]
    """
    put(tmp_path / "lab.toml", lab)
    out, _ = run("data", "check", "--full", "--lab", "lab.toml", "--json")
    findings = [f for f in json.loads(out)["findings"] if "point" in f["corpus"]]
    assert {"undecodable", "others"} <= {f["kind"] for f in findings}
    out, err = run(
        *("eval", "--task", "shapes", "--space", "PointBind", "--lab", "lab.toml", "--json")
    )
    (result,) = json.loads(out)["results"]
    assert result["n"] == 4
    assert "1 of 5 items are left out" in err
    assert "one place" in err


@pytest.mark.parametrize("bits", [8, 16])
def test_maps_that_are_taken_for_images_are_told(infer, tmp_path, bits):
    values = np.arange(48 * 64).reshape(48, 64) % 200
    put(tmp_path / "a.png", grey_png(values.astype(np.uint8 if bits == 8 else np.uint16)))
    rows, err = infer("ImageBind", "a.png")
    assert rows[0]["modality"] == "image"
    assert ("--modality depth or thermal" in err) == (bits == 16)
    _, err = infer("ImageBind", "a.png", "--modality", "image")
    assert "--modality depth" not in err


def test_an_ending_that_says_nothing_is_helped_by_naming_the_modality(infer, tmp_path):
    put(tmp_path / "a.npy", npy_bytes(points(9)))
    _, err = infer("PointBind", "a.npy", code=2)
    assert "fix: --modality depth|event|point" in err


def test_what_encoders_leave_out_is_counted(run, tmp_path):
    pages = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tiff")
    pages[0].resize((90, 30)).save(tmp_path / "wide.png")
    long = "rain on a tin roof " * 20
    command = ("infer", "--space", "ImageBind", "--lab", "mini", "--out", "o.npy", "--overwrite")
    inputs = (long, "rain", "pages.tiff", "one.tiff", "wide.png")
    _, err = run(*command, *inputs)
    messages = " ".join(err.split())
    assert "1 of 2 texts is longer than ImageBind's 64 words; the rest of it is ignored" in messages
    assert "1 of 3 pictures is the first of several pictures in a file" in messages
    assert "1 of 3 pictures is so narrow or so wide that ImageBind crops away more" in messages
    cut = json.loads(run(*command, *inputs, "--json")[0])["items_cut"]
    counts = {(p["modality"], f["are"][:11]): f["items"] for p in cut for f in p["found"]}
    assert counts["text", "longer than"] in (0, 1)
    assert counts["image", "the first o"] == 1
    assert [part["items"] for part in cut] == [3, 2]
    _, err = run(*command, "rain")
    assert "note:" not in err


def test_the_sound_of_a_video_and_what_decoding_noticed(infer, tmp_path):
    put(tmp_path / "clip.mp4", video_bytes(0.6))
    noticed.note(tracks.SEVERAL_TRACKS, "earlier.mkv")
    _, err = infer("CLAP_g", "clip.mp4", "--modality", "audio")
    assert "embedded 1 of 1: 1 audio" in err
    assert "note: 1 sound lies in a file of several tracks of sound, of which the first" in err
    assert noticed.take() == []
