"""Figures as files."""

import csv
import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from reactions.core.errors import MissingError, StoreError
from reactions.core.extras import install_extra
from reactions.experiments.drawing import need_drawing, write_figure
from reactions.experiments.paper.figures import FIGURES
from reactions.experiments.surfaces import MeasuredFigure, Surface

NAMES = ["figure4.png", "figure4.svg", "figure4.parquet", "figure4.csv"]


def figure(n=3, families=("audio-text", "audio-image", "image-text"), *, hole=False):
    """A measured figure of made-up gains on n values of both factors."""
    axis = np.linspace(0, 1, n)
    x, y = np.meshgrid(axis, axis)
    gains = 8 * x * (1 - x) - 5 * y**2
    if hole:
        gains[0, 0] = np.nan
    surfaces = tuple(
        Surface(family, axis, axis, gains, 30.0, 1.0 if family == "audio-text" else None)
        for family in families
    )
    rows = ({"task": "coco", "gain": 1.5}, {"task": "clotho", "gain": None})
    return MeasuredFigure(FIGURES["figure4"], "mini", 7, "0:1:0.5", (), surfaces, rows)


def test_a_drawing_twice_and_the_table_twice(tmp_path):
    paths = write_figure(figure(), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(NAMES)
    with Image.open(paths[0]) as picture:
        assert min(picture.size) > 800
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100
    assert paths[1].read_text(encoding="utf-8").count("<svg") == 1
    rows = list(csv.DictReader(io.StringIO(paths[3].read_text(encoding="utf-8"))))
    assert [(row["task"], row["gain"]) for row in rows] == [("coco", "1.5"), ("clotho", "")]
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(paths[2]).to_pylist() == [
        {"task": "coco", "gain": 1.5},
        {"task": "clotho", "gain": None},
    ]


def test_the_same_figure_is_the_same_files(tmp_path):
    first = [path.read_bytes() for path in write_figure(figure(), tmp_path)]
    rewritten = [path.read_bytes() for path in write_figure(figure(), tmp_path / "again")]
    assert first == rewritten
    other = [path.read_bytes() for path in write_figure(figure(hole=True), tmp_path)]
    assert first[:2] != other[:2]


def test_the_users_own_style_changes_nothing(tmp_path):
    import matplotlib

    first = write_figure(figure(families=("audio-text",)), tmp_path)[0].read_bytes()
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 10}):
        rewritten = write_figure(figure(families=("audio-text",)), tmp_path)[0].read_bytes()
    assert first == rewritten


@pytest.mark.parametrize("n", [1, 2])
def test_grids_of_few_values(tmp_path, n):
    assert len(write_figure(figure(n, ("audio-text",)), tmp_path)) == 4


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "taken").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="taken") as caught:
        write_figure(figure(families=("audio-text",)), tmp_path / "taken")
    assert "--out" in caught.value.fix


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    monkeypatch.delitem(__import__("sys").modules, "matplotlib", raising=False)
    with pytest.raises(MissingError, match="--out") as caught:
        need_drawing()
    assert caught.value.fix == install_extra("report")
