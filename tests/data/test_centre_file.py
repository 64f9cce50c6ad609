import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from safetensors.numpy import save_file

from reactions.core.errors import DataError, MissingError
from reactions.data.centre_file import (
    FORMAT,
    CentreCategory,
    open_centre_file,
    write_centre_file,
)

ROWS = np.eye(5, 4, dtype=np.float32) + np.eye(5, 4, -4, dtype=np.float32)
CATEGORIES = [CentreCategory("dog", 2), CentreCategory("cat", 3)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.safetensors"
    write_centre_file(path, ROWS, CATEGORIES, space="ImageBind", source="x.pkl")
    return path


def test_what_was_written_is_read(path):
    file = open_centre_file(path)
    assert (file.name, file.dim, file.space, file.source) == ("x", 4, "ImageBind", "x.pkl")
    assert file.categories == tuple(CATEGORIES)
    assert file.span("cat") == (2, 5)
    np.testing.assert_array_equal(file.rows(2, 5), ROWS[2:5])
    assert [p.name for p in path.parent.glob("*x.safetensors*")] == ["x.safetensors"]


def test_the_digest_is_of_the_bytes_and_not_of_the_path(path, tmp_path):
    before = open_centre_file(path).digest
    assert open_centre_file(path.rename(tmp_path / "moved.safetensors")).digest == before
    write_centre_file(path, ROWS[::-1], CATEGORIES, space="ImageBind", source="x.pkl")
    assert open_centre_file(path).digest != before


def test_a_missing_file_and_other_files_are_refused(tmp_path):
    with pytest.raises(MissingError, match="no such file"):
        open_centre_file(tmp_path / "none.safetensors")
    save_file({"w": ROWS}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="not a file of centres"):
        open_centre_file(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("categories", "rows"),
    [
        ([["dog", 2], ["cat", 4]], ROWS),
        ([["dog", 2], ["dog", 3]], ROWS),
        ([["dog", 0], ["cat", 5]], ROWS),
        ([["dog", 5.0]], ROWS),
        ([["dog", True]], ROWS[:1]),
        ([[3, 5]], ROWS),
        ({"dog": 5}, ROWS),
        ([], ROWS[:0]),
        ([["dog", 5]], ROWS.astype(np.float16)),
        ([["dog", 5]], ROWS[0]),
    ],
)
def test_a_header_that_does_not_fit_its_rows_is_refused(tmp_path, categories, rows):
    about = {"format": FORMAT, "categories": json.dumps(categories)}
    save_file({"rows": rows}, tmp_path / "x.safetensors", metadata=about)
    with pytest.raises(DataError, match="cannot read the centres"):
        open_centre_file(tmp_path / "x.safetensors")


@pytest.mark.parametrize("value", [0.0, np.nan, 7.0])
def test_rows_that_are_no_directions_are_refused(tmp_path, value):
    rows = ROWS.copy()
    rows[3] = value
    write_centre_file(tmp_path / "x.safetensors", rows, CATEGORIES, space="", source="")
    file = open_centre_file(tmp_path / "x.safetensors")
    file.rows(0, 2)
    with pytest.raises(DataError, match="cannot read the centres") as caught:
        file.rows(2, 5)
    assert "row 3 has length" in caught.value.why


def centre_file_bytes():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        write_centre_file(path, ROWS, CATEGORIES, space="ImageBind", source="x.pkl")
        return path.read_bytes()


@fuzz
@given(mutated(centre_file_bytes()))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    path.write_bytes(data)

    def read():
        file = open_centre_file(path)
        return [file.rows(*file.span(category.name)) for category in file.categories]

    usable_or_refused(read)
