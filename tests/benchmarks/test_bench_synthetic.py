"""Synthetic embeddings have the statistics that were measured on real ones."""

import numpy as np
import pytest
import torch
from synthetic import CHUNK_ROWS, Column, aligned, cosines, embeddings, rows, write

from reactions.ops.retrieval import soft_retrieve

TEXT = Column("ImageBind", 512, "text")
IMAGE = Column("ImageBind", 512, "image")
SMALL = Column("tiny", 24, "text")


@pytest.mark.parametrize("dim", [512, 768])
def test_cosines_between_modalities_are_those_of_real_embeddings(dim):
    queries = rows(Column("X", dim, "text"), 0, 128)
    keys = rows(Column("X", dim, "image"), 0, 8192)
    statistics = cosines(queries, keys)
    # A million pairs, but only 128 queries: their own means spread by 0.005.
    assert statistics.mean == pytest.approx(0.19, abs=0.004)
    assert statistics.std == pytest.approx(0.04, abs=0.003)
    # The top grows with the number of keys: 0.365 at 65,536 keys, 0.345 at these 8,192.
    assert statistics.top == pytest.approx(0.345, abs=0.015)


def test_there_is_a_gap_between_modalities():
    queries, keys = rows(TEXT, 0, 64), rows(IMAGE, 0, 1024)
    within = cosines(queries, rows(TEXT, 1024, 2048))
    assert within.mean > cosines(queries, keys).mean + 0.2


def test_rows_are_clustered():
    # Some pairs are closer than normal rows of the same covariance ever get.
    table = rows(TEXT, 0, 2048)
    table = table - table.mean(0)
    root = torch.linalg.cholesky(torch.cov(table.T) + 1e-6 * torch.eye(512))
    noise = torch.randn(2048, 512, generator=torch.Generator().manual_seed(0)) @ root.T

    def nearest(x):
        x = torch.nn.functional.normalize(x)
        return (x @ x.T).fill_diagonal_(-1).amax()

    assert nearest(table) > nearest(noise) + 0.05


def test_rows_have_unit_norm_and_no_two_are_the_same():
    table = rows(SMALL, 0, 300)
    torch.testing.assert_close(table.norm(dim=1), torch.ones(300))
    assert len(table.unique(dim=0)) == 300


def test_a_row_depends_on_its_place_alone():
    all_rows = rows(SMALL, 0, CHUNK_ROWS + 40)
    start = CHUNK_ROWS - 30
    assert torch.equal(rows(SMALL, start, CHUNK_ROWS + 7), all_rows[start : CHUNK_ROWS + 7])
    assert torch.equal(rows(SMALL, 0, 5), all_rows[:5])
    assert rows(SMALL, 3, 3).shape == (0, 24)


def test_the_seed_the_space_and_the_modality_matter():
    first = rows(SMALL, 0, 4)
    assert torch.equal(first, rows(SMALL, 0, 4))
    for other in (Column("tiny", 24, "image"), Column("other", 24, "text")):
        assert not torch.allclose(first, rows(other, 0, 4), atol=0.05)
    assert not torch.allclose(first, rows(SMALL, 0, 4, seed=1), atol=0.05)


def test_aligned_rows_are_about_the_same_item():
    pairs = aligned(512, {"X": (512, ("text", "image")), "Y": (768, ("audio",))}, dtype="float32")
    assert set(pairs) == {("X", "text"), ("X", "image"), ("Y", "audio")}
    products = pairs["X", "text"] @ pairs["X", "image"].T
    assert (products.argmax(1) == torch.arange(512)).float().mean() > 0.9
    # Across spaces too: neighbours in the one are neighbours in the other. What spaces share is
    # CONTENT = 0.4 of a row, so cosines correlate by its square; the rest of them by nothing.
    off_diagonal = ~torch.eye(512, dtype=torch.bool)
    first, other = (
        (table @ table.T)[off_diagonal] for table in (pairs["X", "text"], pairs["Y", "audio"])
    )
    assert torch.corrcoef(torch.stack([first, other]))[0, 1] == pytest.approx(0.16, abs=0.02)


def test_retrieval_finds_the_same_concept_in_another_space():
    # Unpaired corpora: what a text query finds among images must resemble, in another space,
    # what the text itself is there.
    keys = embeddings(Column("X", 512, "image"), 2048)
    values = embeddings(Column("Y", 512, "image"), 2048)
    (retrieved,) = soft_retrieve(
        embeddings(Column("X", 512, "text"), 64), keys, [values], temperature=0.01
    )
    products = retrieved @ rows(Column("Y", 512, "text"), 0, 64).T
    # Each row's own among 64: by chance at 0.5 of the way, give or take 0.04.
    percentile = (products < products.diagonal()[:, None]).float().mean(1)
    assert percentile.mean() > 0.7


def test_a_written_file_holds_the_same_rows_in_float16(tmp_path):
    table = write(tmp_path / "rows.npy", SMALL, CHUNK_ROWS + 3)
    assert isinstance(table, np.memmap)
    assert table.dtype == np.float16
    expected = embeddings(SMALL, CHUNK_ROWS + 3).numpy()
    np.testing.assert_array_equal(table, expected)
