"""Importing released centres; evaluating with them as UniBind's code does."""

import pickle

import numpy as np
import pytest
import torch
from pickles import Code

from reactions.core.errors import DataError, UsageError
from reactions.data.centre_file import open_centre_file
from reactions.exchange.import_unibind import import_centres


def unit(n, d=6, seed=0):
    rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()
    return rows / rows.norm(dim=1, keepdim=True)


def put(folder, content, name="image_in_center_embeddings.pkl"):
    (folder / name).write_bytes(pickle.dumps(content))
    return folder / name


def test_categories_and_rows_are_kept_in_order(tmp_path):
    content = {"tench, Tinca tinca": unit(50), "dog": unit(50, seed=1)}
    imported = import_centres(put(tmp_path, content), tmp_path / "x.safetensors")
    assert imported.notices == ()
    file = open_centre_file(tmp_path / "x.safetensors")
    assert file == imported.file
    assert [(c.name, c.n_rows) for c in file.categories] == [
        ("tench, Tinca tinca", 50),
        ("dog", 50),
    ]
    assert (file.dim, file.space) == (6, "ImageBind")
    np.testing.assert_allclose(file.rows(*file.span("dog")), content["dog"].numpy(), atol=1e-6)


def test_other_counts_than_fifty_are_told_and_keep_their_labels(tmp_path):
    content = {"cat": unit(49), "dog": unit(50, seed=1), "owl": unit(3, seed=2)}
    imported = import_centres(put(tmp_path, content), tmp_path / "x.safetensors")
    (notice,) = imported.notices
    assert "2 of 3 categories have other than 50 rows: cat (49), owl (3)" in notice
    rows = imported.file.rows(*imported.file.span("owl"))
    np.testing.assert_allclose(rows, content["owl"].numpy(), atol=1e-6)


def test_rows_of_other_lengths_are_rescaled_and_told(tmp_path):
    imported = import_centres(put(tmp_path, {"dog": 4 * unit(50)}), tmp_path / "x.safetensors")
    assert "lengths from 4 to 4 and are rescaled" in imported.notices[0]
    np.testing.assert_allclose(imported.file.rows(0, 50), unit(50).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"dog": unit(50), "cat": unit(50, 5)}, "differ in width"),
        ({"dog": torch.zeros(50, 6)}, "row 0 of 'dog' has length 0"),
        ({"dog": torch.full((2, 2), torch.nan)}, "length nan"),
        ({"dog": torch.zeros(50)}, "of shape (50,)"),
        ({"dog": torch.zeros(0, 6)}, "of shape (0, 6)"),
        ({"dog": torch.ones(2, 2, dtype=torch.long)}, "torch.int64"),
        ({"dog": Code()}, "print"),
        ({}, "no dictionary"),
    ],
)
def test_what_is_not_centres_is_refused(tmp_path, content, why, capsys):
    with pytest.raises(DataError) as caught:
        import_centres(put(tmp_path, content), tmp_path / "x.safetensors")
    assert why in caught.value.why
    assert not (tmp_path / "x.safetensors").exists()
    assert capsys.readouterr().out == ""


def test_nothing_is_replaced_unless_asked(tmp_path):
    path, out = put(tmp_path, {"dog": unit(50)}), tmp_path / "x.safetensors"
    import_centres(path, out)
    with pytest.raises(UsageError, match="is there"):
        import_centres(path, out)
    import_centres(path, out, overwrite=True)
    with pytest.raises(UsageError, match="does not end in"):
        import_centres(path, tmp_path / "x.npy")
