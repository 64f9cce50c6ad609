"""Items on their way through an encoder that is tuned: what is left out of them is counted."""

import numpy as np
import pytest
from fakes import IB, Encoder

from reactions.core.left_out import LeftOut, by_space, longer_than, note
from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.steps import tuned_items

CUT = longer_than("9 letters")
TEXTS = [Item(str(n), "text", "x" * n) for n in (3, 12, 9, 20)]


class Reading(Encoder):
    """Reads nine letters of a text, and says so."""

    def limits(self, modality):
        return {self.spec.name: (CUT,)}

    def preprocess(self, modality, item):
        with by_space(self.spec.name):
            if len(item.value) > 9:
                note(CUT)
        return np.arange(1, 1 + min(9, len(item.value)))

    def forward(self, modality, inputs):
        raise AssertionError("the tower is what embeds")


class Silent(Reading):
    limits = None

    def preprocess(self, modality, item):
        return np.arange(1, 1 + min(9, len(item.value)))


@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
@pytest.mark.parametrize(
    ("encoder", "counts"),
    [
        (Reading, LeftOut("ImageBind", "text", 3, {CUT: 1}, 1)),
        (Silent, LeftOut("ImageBind", "text", 0, {}, 4)),
    ],
)
def test_each_item_counts_once_however_often_it_is_prepared(
    encoder, counts, kept_bytes, monkeypatch
):
    monkeypatch.setattr(tuned_items, "KEPT_BYTES", kept_bytes)
    corpus = ListCorpus("captions", "text", TEXTS)
    items = tuned_items.CorpusItems(encoder(IB.spec), None, [], corpus, "cpu")
    for _epoch in range(3):
        batches = list(items.batches([np.array([2, 1]), np.array([0])]))
        assert [[len(value) for value in batch] for batch in batches] == [[9, 9], [3]]
    assert items.n_counted == 3
    # The fourth was in a batch of the run that was interrupted.
    assert items.left_out("ImageBind", 1) == counts
