"""The contenders of the retrieval benchmark compute what they claim to."""

import pytest
import torch
from retrieval import anonymous_bytes, forget, ours, peak_bytes
from retrieval_contenders import (
    Problem,
    Reference,
    attention,
    flat_index,
    mean_of_found,
    naive,
    products,
    top_k,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def problem():
    return Problem.make(9, 70, CPU, (48, 32))


@pytest.fixture(scope="module")
def reference(problem):
    return Reference.of(problem)


@pytest.mark.parametrize("contender", [naive, attention])
def test_other_ways_give_the_same_result(problem, reference, contender):
    rows = contender(problem, torch.float32)()
    assert [part.shape for part in rows] == [(9, 48), (9, 32)]
    assert reference.error(rows) < 1e-5  # fp32, times 100 for the temperature
    assert reference.error(contender(problem, torch.bfloat16)()) < 0.1


def test_the_product_is_called_as_it_is_used(problem, reference):
    assert reference.error(ours(problem, "exact")()) < 1e-5
    assert reference.error(ours(problem, "fast")()) < 1e-2


def test_the_reference_covers_all_rows_or_an_even_share(problem):
    assert Reference.of(problem).rows.tolist() == list(range(9))
    assert Reference.of(problem, 3).rows.tolist() == [0, 4, 8]


def test_the_mean_of_all_neighbours_is_the_softmax_and_places_without_one_weigh_nothing(
    problem, reference
):
    q, k, values = problem.loaded(torch.float32)
    scores, ids = (q @ k.T).sort(descending=True)
    means = mean_of_found(100 * scores, ids, values)
    assert reference.error(means) < 1e-5  # fp32, times 100 for the temperature
    # FAISS scores missing neighbours with the lowest number there is; ours must not depend on it.
    scores, ids = (torch.nn.functional.pad(part, (0, 3), value=-1) for part in (scores, ids))
    padded = mean_of_found(100 * scores.index_fill(1, torch.tensor([70]), 5.0), ids, values)
    for mean, two in zip(means, padded, strict=True):
        torch.testing.assert_close(mean, two)


def test_faiss_over_all_keys_is_the_softmax(problem, reference):
    pytest.importorskip("faiss")
    index = flat_index(problem)
    # More neighbours asked for than there are: places of id -1 must weigh nothing.
    assert reference.error(top_k(problem, index, 100)()) < 1e-5
    assert reference.error(top_k(problem, index, 3)()) > 0.01


def test_flops_count_one_similarity_pass(problem):
    assert problem.flops == 2 * 9 * 70 * (48 + 48 + 32)
    products(problem, torch.float32)()


def test_memory_is_watched(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    forget(tmp_path / "x")
    if not anonymous_bytes():
        pytest.skip("no /proc")
    with peak_bytes(CPU) as peak:
        block = torch.ones(10_000_000)
        block.add_(1)
        for _ in range(20):
            block.mul_(1)
    assert peak[0] > 30e6
