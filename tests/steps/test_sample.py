from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CG, IB, Context, cr, ready, run, unit_rows
from test_score import HEADS, Parts

from reactions.ops.peaks import softmax_peaks
from reactions.products.fuse import fuse
from reactions.steps.peaks import MeasurePeaks
from reactions.steps.sample import EmbedSample, choose_rows, take

PRODUCT = cr(IB, CG)
ROWS = {leaf: unit_rows(20, leaf.dim, seed) for seed, leaf in enumerate((IB, CG))}


def test_all_rows_where_there_are_few_and_equal_ones_for_equal_seeds():
    assert choose_rows(5, 9).tolist() == [0, 1, 2, 3, 4]
    chosen = choose_rows(1000, 9)
    assert len(set(chosen.tolist())) == 9
    assert chosen.tolist() == sorted(chosen.tolist()) == choose_rows(1000, 9).tolist()
    assert chosen.tolist() != choose_rows(1000, 9, seed=1).tolist()
    rows = unit_rows(1000, 3, 0)
    np.testing.assert_array_equal(take(rows, chosen), rows[chosen])


def sample(chosen, space=PRODUCT, digest="d"):
    return EmbedSample(
        name="sounds",
        modality="audio",
        chosen=np.array(chosen),
        embedded={leaf.label: ready(leaf.label, rows) for leaf, rows in ROWS.items()},
        sampled=space,
        trained=Parts(HEADS, digest=digest),
    )


def test_a_sample_has_the_rows_of_the_whole():
    fused = fuse(PRODUCT, "audio", {leaf: torch.from_numpy(r) for leaf, r in ROWS.items()}, HEADS)
    rows = run(sample([3, 7, 19])).arrays["embeddings"]
    # One chunk of rows against another: the last bits of a product differ.
    np.testing.assert_allclose(rows, fused.numpy()[[3, 7, 19]], atol=1e-6)


def test_keys_follow_what_is_embedded():
    first = sample([3, 7])
    assert first.key == sample([3, 7]).key == replace(first, name="other").key
    assert len({first.key, sample([3, 8]).key, sample([3, 7], digest="e").key}) == 3


def test_a_hop_is_measured_on_a_sample_of_its_queries():
    queries, keys = unit_rows(40, 6, 2), unit_rows(30, 6, 3)
    step = MeasurePeaks(
        hop="a to b", queries=ready("q", queries), keys=ready("k", keys), temperature=0.1, sample=9
    )
    context = Context()
    artifact = run(step, context)
    chosen = choose_rows(40, 9)
    entropy, top = softmax_peaks(torch.from_numpy(queries[chosen]), keys, temperature=0.1)
    np.testing.assert_array_equal(artifact.arrays["entropy"].ravel(), entropy)
    np.testing.assert_array_equal(artifact.arrays["top"].ravel(), top)
    assert artifact.meta == {"keys": 30, "queries": 40}
    assert context.reports[-1] == (30, 30, "keys")
    assert step.key == replace(step, hop="other words").key
    assert step.key != replace(step, temperature=0.2).key


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(n):
    assert choose_rows(n, 5).tolist() == list(range(n))
