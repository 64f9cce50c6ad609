import numpy as np
import pytest
import torch
from fakes import unit_rows

from reactions.core.errors import DataError, DimensionMismatch
from reactions.ops import peaks
from reactions.ops.peaks import softmax_peaks

QUERIES, KEYS = unit_rows(7, 16, 0), unit_rows(50, 16, 1)


def by_hand(queries, keys, temperature):
    logits = queries.astype(np.float64) @ keys.astype(np.float64).T / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    terms = np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-300)), 0.0)
    return -terms.sum(axis=1), weights.max(axis=1)


@pytest.mark.parametrize("tile", [8192, 7, 1])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
def test_entropy_and_top_weight_are_those_of_the_softmax(monkeypatch, tile, temperature):
    monkeypatch.setattr(peaks, "_KEY_ROWS", tile)
    entropy, top = softmax_peaks(torch.from_numpy(QUERIES), KEYS, temperature=temperature)
    expected = by_hand(QUERIES, KEYS, temperature)
    # fp32: differences of logits of about 100 at temperature 0.01.
    np.testing.assert_allclose(entropy.numpy(), expected[0], atol=2e-4)
    np.testing.assert_allclose(top.numpy(), expected[1], rtol=1e-4)


def test_equal_keys_share_the_weight_and_a_lone_one_has_all():
    keys = np.repeat(KEYS[:1], 8, axis=0)
    entropy, top = softmax_peaks(torch.from_numpy(QUERIES), keys, temperature=0.01)
    np.testing.assert_allclose(np.exp(entropy.numpy()), 8, rtol=1e-5)
    np.testing.assert_allclose(top.numpy(), 1 / 8, rtol=1e-5)
    entropy, top = softmax_peaks(torch.from_numpy(QUERIES), KEYS[:1], temperature=0.01)
    assert entropy.tolist() == [0.0] * 7
    assert top.tolist() == [1.0] * 7


def test_lengths_do_not_matter_but_widths_do():
    once = softmax_peaks(torch.from_numpy(QUERIES), KEYS, temperature=0.1)
    scaled = softmax_peaks(torch.from_numpy(3 * QUERIES), 0.5 * KEYS, temperature=0.1)
    for a, b in zip(once, scaled, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4)
    with pytest.raises(DimensionMismatch):
        softmax_peaks(torch.from_numpy(QUERIES), KEYS[:, :4], temperature=0.1)
    with pytest.raises(DataError):
        softmax_peaks(torch.from_numpy(QUERIES), KEYS[:0], temperature=0.1)
