"""How a retrieval is cut into tiles, and how tiles are read."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError
from reactions.ops.tiles import Tiling, plan_tiles, stream_tiles


@given(
    n=st.integers(1, 10**7),
    m=st.integers(1, 10**7),
    dim=st.integers(1, 2048),
    widths=st.lists(st.integers(1, 2048), max_size=4),
    memory=st.integers(1, 1 << 36),
    cuda=st.booleans(),
    cached=st.booleans(),
    threads=st.integers(1, 192),
)
def test_tiles_fit_the_budget(n, m, dim, widths, memory, cuda, cached, threads):
    try:
        tiling = plan_tiles(
            n, m, dim, widths, memory_bytes=memory, cuda=cuda, cached=cached, threads=threads
        )
    except DataError:
        assert memory < 16 * 16 * (dim + 8 + sum(widths)) + 16 * 16 * 32 + 16 * (
            4 * sum(widths) + 12 * (dim + 8)
        )
        return
    assert 1 <= tiling.lanes <= (1 if cuda else threads)
    assert tiling.lanes <= -(-m // tiling.key_rows)
    assert 1 <= tiling.block_rows <= tiling.query_rows <= n
    assert 1 <= tiling.key_rows <= m
    if cached and not cuda:
        assert tiling.block_rows * tiling.key_rows * 4 <= 4 << 20
    # fp32 logits and the 16-bit weights made of them; sums and queries; the tile of keys.
    needed = tiling.block_rows * tiling.key_rows * 6 + tiling.query_rows * 4 * sum(widths)
    needed += tiling.key_rows * (dim + sum(widths)) * (4 + 4 + 4)
    needed = tiling.lanes * needed + tiling.query_rows * 6 * dim
    assert needed <= memory


@pytest.mark.parametrize(
    ("n", "m", "dim", "memory_mb", "threads", "plan"),
    [
        (100_000, 2_300_000, 1024, 8192, 8, Tiling(100_000, 512, 2048, 8)),  # all that is preferred
        (100_000, 2_300_000, 1024, 2048, 8, Tiling(17_920, 512, 2048, 8)),  # each lane has sums
        (100_000, 2_300_000, 1024, 2048, 64, Tiling(2048, 512, 256, 64)),  # small tiles first
        (100_000, 2_300_000, 1024, 512, 64, Tiling(2560, 256, 256, 16)),  # then fewer lanes
        (100_000, 20_000, 1024, 8192, 4, Tiling(100_000, 512, 1250, 4)),  # four tiles a lane
        (1_000_000, 3000, 64, 8192, 64, Tiling(1_000_000, 512, 273, 11)),  # 256 keys a lane
        (1024, 16_384, 1024, 2048, 8, Tiling(1024, 512, 2048, 2)),  # work for two
        (5000, 3000, 64, 512, 64, Tiling(5000, 512, 2048, 1)),  # little work
        (5000, 100_000, 8192, 2048, 1, Tiling(5000, 512, 256, 1)),  # wide keys
    ],
)
def test_plans_of_lanes(n, m, dim, memory_mb, threads, plan):
    memory_bytes = memory_mb << 20
    options = {"memory_bytes": memory_bytes, "cached": True, "threads": threads}
    assert plan_tiles(n, m, dim, [dim], **options) == plan


def test_tiles_do_not_depend_on_memory_that_is_not_needed():
    plans = {plan_tiles(5000, 10**6, 1024, [1024], memory_bytes=b << 30) for b in (2, 20, 200)}
    assert len(plans) == 1


def test_a_matrix_named_twice_is_read_once():
    reads = []

    class Counting:
        shape = (10, 3)
        dtype = np.dtype(np.float16)

        def __len__(self):
            return 10

        def __getitem__(self, rows):
            reads.append(rows)
            return np.zeros((10, 3), np.float16)[rows]

    matrix = Counting()
    tiles = list(stream_tiles([matrix, matrix], 4, torch.device("cpu")))
    assert [start for start, _ in tiles] == [0, 4, 8]
    assert [len(rows) for _, (rows, _) in tiles] == [4, 4, 2]
    assert all(first is other for _, (first, other) in tiles)
    assert len(reads) == 3


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_lanes_read_each_tile_once(make):
    rows = np.arange(22.0, dtype=np.float32).reshape(11, 2)
    tiles = [
        tile
        for lane in range(3)
        for tile in stream_tiles([make(rows)], 2, torch.device("cpu"), first=lane, every=3)
    ]
    assert [start for start, _ in tiles] == [0, 6, 2, 8, 4, 10]
    joined = torch.cat([part for _, (part,) in sorted(tiles, key=lambda tile: tile[0])])
    assert torch.equal(joined, torch.from_numpy(rows))
    assert not list(stream_tiles([make(rows)], 20, torch.device("cpu"), first=1, every=2))


def test_an_error_while_loading_ahead_is_raised():
    class Broken:
        shape = (10, 3)
        dtype = np.dtype(np.float32)

        def __len__(self):
            return 10

        def __getitem__(self, rows):
            if rows.start >= 4:
                raise OSError("disk gone")
            return np.ones((10, 3), np.float32)[rows]

    with pytest.raises(OSError, match="disk gone"):
        list(stream_tiles([Broken()], 4, torch.device("cpu")))
