import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest
import torch

from reactions.ops import pairs, precision
from reactions.ops.pairs import PseudoSet, PseudoTable


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 16)
    monkeypatch.setattr(pairs, "WINDOW_ROWS", 64)
    monkeypatch.setattr(pairs, "LOAD_ROWS", 32)


@pytest.fixture
def bfloat16(monkeypatch):
    """Make any CPU count as one with fast bfloat16."""
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)


def marked(sizes: tuple[int, ...], dtype: type = np.float32) -> list[PseudoSet]:
    """Row r of the union is the r-th unit vector on every side; target columns are shifted."""
    eye = np.eye(sum(sizes), dtype=dtype)
    ends = np.cumsum((0, *sizes))
    return [
        PseudoSet([eye[a:b], np.roll(eye, 1, axis=1)[a:b]], [np.roll(eye, 2, axis=1)[a:b]])
        for a, b in pairwise(ends)
    ]


def random_sets(sizes: tuple[int, ...], seed: int = 0) -> list[PseudoSet]:
    draw = np.random.default_rng(seed)
    return [
        PseudoSet(
            [draw.normal(size=(n, 6)).astype(np.float32) for _ in range(3)],
            [draw.normal(size=(n, 5)).astype(np.float32) for _ in range(2)],
        )
        for n in sizes
    ]


def table_bytes(sets: list[PseudoSet], itemsize: int) -> int:
    return sum(itemsize * array.size for pairs in sets for array in (*pairs.source, *pairs.target))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_batches(table: PseudoTable, chosen=(0,), size=7, epochs=3) -> list[torch.Tensor]:
    """Copies, because a batch is valid until the next."""
    drawn = table.batches(chosen, size, epochs, seeded())
    return [side.clone() for sides in drawn for side in sides]


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [((150, 90), 14), ((208,), 64)],  # the last window of 208 rows is left over as a whole
)
def test_every_row_is_seen_at_most_once_an_epoch_and_no_batch_is_lost(
    small_windows, budget, sizes, batch
):
    table = PseudoTable(marked(sizes), budget_bytes=budget)
    assert table.resident == (budget is None)
    n, chosen = sum(sizes), range(len(sizes))
    epochs: list[list[int]] = [[], [], []]
    for i, (x, y) in enumerate(table.batches(chosen, batch, 3, seeded())):
        assert x.shape == (2, batch, n)
        assert y.shape == (1, batch, n)
        rows = x[0].argmax(1)
        # What belongs together stays together, in the order of the modalities.
        assert torch.equal(x[1].argmax(1), (rows + 1) % n)
        assert torch.equal(y[0].argmax(1), (rows + 2) % n)
        epochs[i // (n // batch)] += rows.tolist()
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == n // batch * batch
    assert epochs[0] != epochs[1]


def test_rows_are_shuffled_within_windows_of_blocks(small_windows):
    table = PseudoTable(marked((320,)))
    rows = torch.cat([x[0].argmax(1).clone() for x, _ in table.batches((0,), 64, 1, seeded())])
    windows = rows.view(5, 64)
    for window in windows:
        blocks, counts = (window // 16).unique(return_counts=True)
        assert counts.tolist() == [16] * 4  # whole blocks,
        assert blocks.tolist() != list(range(int(blocks[0]), int(blocks[0]) + 4))  # from all over,
        assert (window[:16] // 16).unique().numel() > 1  # and mixed


@pytest.mark.parametrize("batch", [7, 64, 100])
def test_streamed_equals_resident(small_windows, batch):
    sets = random_sets((150, 90))
    resident = all_batches(PseudoTable(sets), (0, 1), batch)
    streamed = all_batches(PseudoTable(sets, budget_bytes=0), (0, 1), batch)
    assert len(resident) == 2 * 3 * (240 // batch)
    assert all(map(torch.equal, resident, streamed))


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize("chosen", [(0,), (1,), (0, 2), (2, 0)])
def test_a_subset_of_a_shared_table_is_a_table_of_that_subset(small_windows, budget, chosen):
    sets = random_sets((150, 70, 190))
    shared = PseudoTable(sets, budget_bytes=budget)
    alone = PseudoTable([sets[place] for place in chosen])
    expected = all_batches(alone, range(len(chosen)))
    assert all(map(torch.equal, all_batches(shared, chosen), expected))
    assert shared.rows(chosen) == alone.rows(range(len(chosen)))


def test_the_generator_decides_the_order():
    table = PseudoTable(random_sets((60,)))
    first, repeated, other = (
        torch.cat([x.clone() for x, _ in table.batches((0,), 8, 1, seeded(s))]) for s in (1, 1, 2)
    )
    assert torch.equal(first, repeated)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.dtype(">f4"), np.float64])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_rows_have_unit_norm_whatever_they_were_stored_as(bfloat16, dtype, precision):
    scale = 10.0 if dtype == np.float16 else 1e25
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(20, 40))
    rows[:10] *= scale
    rows[10:] /= scale
    table = PseudoTable(
        [PseudoSet([rows.astype(dtype)], [rows.astype(dtype)])], precision=precision
    )
    assert table.dtype == (torch.bfloat16 if precision == "fast" else torch.float32)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for x, y in table.batches((0,), 20, 1, seeded()):
        nearest = (x[0].double() @ torch.from_numpy(expected).T).argmax(1)
        # Storage in 16 bits rounds elements by up to 2^-9 of themselves, norms by far less.
        loose = precision == "fast" or dtype == np.float16
        for side in (x, y):
            torch.testing.assert_close(
                side[0].double(),
                torch.from_numpy(expected)[nearest],
                atol=1e-5,
                rtol=6e-3 if loose else 1e-4,
            )
            norms = side.double().norm(dim=-1)
            assert (norms - 1).abs().max() < (2e-3 if precision == "fast" else 1e-6)
        assert nearest.unique().numel() == 20


@pytest.mark.parametrize("budget", [None, 0])
def test_sets_that_are_announced_and_brought_later(small_windows, budget):
    sets = random_sets((150, 70, 190))
    table = PseudoTable([150, sets[1], 190], budget_bytes=budget)
    assert table.size_bytes == table_bytes(sets, 4)
    table.provide(2, sets[2])
    table.provide(0, sets[0])
    complete = PseudoTable(sets)
    for chosen in ((0,), (1, 2), (0, 1, 2)):
        assert all(map(torch.equal, all_batches(table, chosen), all_batches(complete, chosen)))


def test_a_row_of_zeros_stays_zero():
    rows = np.zeros((4, 3), np.float32)
    rows[1:] = 1
    ((x, _),) = PseudoTable([PseudoSet([rows], [rows])]).batches((0,), 4, 1, seeded())
    assert sorted(x[0].norm(dim=1).tolist()) == pytest.approx([0, 1, 1, 1])


def test_size_is_what_is_on_the_device(bfloat16):
    sets = random_sets((10, 30))
    for precision_name, itemsize in (("exact", 4), ("fast", 2)):
        table = PseudoTable(sets, precision=precision_name)
        assert table.size_bytes == table_bytes(sets, itemsize)
        assert sum(side.nbytes for side in table._resident) == table.size_bytes


def test_the_budget_decides(small_windows):
    sets = random_sets((200,))
    size = table_bytes(sets, 4)
    assert PseudoTable(sets, budget_bytes=size).resident
    assert not PseudoTable(sets, budget_bytes=size - 1).resident


class Recorded:
    """Rows that count how often each is read, and by which thread."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        self.reads = np.zeros(len(rows), int)
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        self.reads[part] += 1
        self.threads.add(threading.current_thread().name)
        return self.rows[part]


def recorded(n: int) -> tuple[Recorded, Recorded]:
    rows = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    return Recorded(rows), Recorded(rows)


def test_a_shared_table_reads_every_row_once(small_windows):
    source, target = recorded(300)
    table = PseudoTable([PseudoSet([source], [target])])
    for _ in range(3):
        all_batches(table, epochs=2)
    assert (source.reads == 1).all()
    assert (target.reads == 1).all()


def test_windows_are_read_in_the_background_once_an_epoch(small_windows):
    source, target = recorded(300)
    table = PseudoTable([PseudoSet([source], [target])], budget_bytes=0)
    assert not source.reads.any()
    all_batches(table, epochs=2)
    assert (source.reads == 2).all()
    assert all(name.startswith("window") for name in source.threads)


def test_two_windows_are_loaded_once_however_small_the_budget(small_windows):
    source, target = recorded(128)
    table = PseudoTable([PseudoSet([source], [target])], budget_bytes=0)
    all_batches(table, epochs=3)
    assert (source.reads == 1).all()


def test_at_most_two_windows_are_alive(small_windows, monkeypatch):
    table = PseudoTable(random_sets((640,)), budget_bytes=0)
    load, alive, most_alive = table._load, weakref.WeakSet(), 0

    def counted(blocks):
        nonlocal most_alive
        sides = load(blocks)
        alive.add(sides[0])
        most_alive = max(most_alive, len(alive))
        return sides

    monkeypatch.setattr(table, "_load", counted)
    assert len(list(table.batches((0,), 8, 2, seeded()))) == 2 * 80
    assert most_alive == 2


def test_an_error_while_reading_reaches_the_caller(small_windows):
    source, target = recorded(300)
    source.rows = source.rows[:100]  # the array ends early
    table = PseudoTable([PseudoSet([source], [target])], budget_bytes=0)
    with pytest.raises(ValueError, match="broadcast"):
        all_batches(table)


def test_stopping_early_ends_the_background_thread(small_windows):
    table = PseudoTable(random_sets((300,)), budget_bytes=0)
    batches = table.batches((0,), 8, 2, seeded())
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("window")]
