"""docs/modalities.md: its tables say what the records say, and its code runs."""

import re
from pathlib import Path

import pytest
from further_media import ply_bytes, points
from media_files import put

from reactions.labs.lab_file import load_lab
from reactions.modalities import audio, image, thermal
from reactions.modalities.events import files, pictures, values
from reactions.modalities.points import files as clouds
from reactions.modalities.points import meshes
from reactions.modalities.points.values import MAX_POINTS
from reactions.modalities.registry import BUILT_IN
from reactions.modalities.videos import decoding

PAGE = (Path(__file__).parents[2] / "docs" / "modalities.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells
    for line in PAGE.splitlines()
    if line.startswith("|")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}


@pytest.mark.parametrize("name", [name for name, m in BUILT_IN.items() if not m.inline])
def test_endings_are_those_of_the_records(name):
    cell = ROWS[name][1]
    endings = re.findall(r"\*\*(.*?)\*\*", cell)
    shared = re.sub(r"\*\*.*?\*\*", "", cell).split()
    record = BUILT_IN[name]
    assert " ".join(endings).split() == [suffix[1:] for suffix in sorted(record.suffixes)]
    assert sorted(shared) == sorted(suffix[1:] for suffix in record.shared)


def test_limits_are_those_of_the_code():
    for words, limit in (
        (f"{image.MAX_PIXELS // 1_000_000} million pixels", ROWS["image"][3]),
        (f"{decoding.MAX_FRAMES:,} frames", ROWS["video"][3]),
        (f"{decoding.MAX_SAMPLED_BYTES >> 20} MiB of frames", ROWS["video"][3]),
        (f"{values.MAX_EVENTS:,} events", ROWS["event"][3]),
        (f"{files.MAX_SIDE:,} by {files.MAX_SIDE:,}", ROWS["event"][3]),
        (f"{files.MAX_FILE_BYTES >> 20} MiB", ROWS["event"][3]),
        (f"{MAX_POINTS:,} points", ROWS["point"][3]),
        (f"{clouds.MAX_FILE_BYTES >> 20} MiB", ROWS["point"][3]),
        (f"{meshes.SURFACE_POINTS:,} points of its surface", ROWS["`.off`"][1]),
        (f"more than\n{thermal.MAX_COLOUR:.0f} of 255", PAGE),
    ):
        assert words in limit
    hour = {audio.MAX_SECONDS, decoding.MAX_SECONDS, files.MAX_SECONDS}
    assert hour == {3600}
    assert all("an hour" in ROWS[name][3] for name in ("audio", "video", "event"))
    sensors = [f"{height} x {width}" for height, width in files.SENSORS]
    assert f"{', '.join(sensors[:-1])} and {sensors[-1]}" in PAGE.replace("\n", " ")


def test_styles_and_rules_are_all_there():
    for name in (*pictures.STYLES, *thermal.SCALINGS):
        assert any(cell.startswith(f"`{name}`") for cell in ROWS), name


def test_the_lab_file_is_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    put(tmp_path / "own.toml", text)
    for i, kind in enumerate(("chair", "table")):
        put(tmp_path / f"shapes/{kind}/a.ply", ply_bytes(points(20, i)))
    lab = load_lab("own.toml")
    assert {"video", "event", "depth"} <= set(lab.corpora)


def test_the_code_runs():
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "modalities.md", "exec"), {})
