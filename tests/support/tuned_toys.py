"""A few steps of Ft on a toy encoder."""

import numpy as np
import torch

from reactions.data.corpora import ListCorpus
from reactions.encoders.tuned_towers import changed_weights, give_weights, tower_to_tune
from reactions.ops.tuning import Tuner, TuningRun
from reactions.steps.tuned_items import CorpusItems

RUN = {"epochs": 8, "temperature": 0.05, "weight_decay": 0.0, "warm_up": 0.2, "seed": 0}


def tune(encoder, modality, items, rank=None):
    """Tune a tower towards random targets; return what changed."""
    tower = tower_to_tune(encoder, modality, rank=rank, seed=1)
    corpus = ListCorpus("items", modality, items)
    source = CorpusItems(encoder, tower, [], corpus, "cpu")
    drawn = np.random.default_rng(0).normal(size=(len(items), encoder.spec.dim))
    targets = torch.nn.functional.normalize(torch.from_numpy(drawn).float(), dim=1)
    weights = [p for p in tower.parameters() if p.requires_grad]
    run = TuningRun(batch_size=len(items), micro_batch=1, **RUN)
    losses = Tuner(source, [(3e-4, weights)], targets, run).run()
    assert losses[-1] < losses[0], (modality, losses)
    return changed_weights(tower, rank=rank)


def check_tuning(load, modality, items, rank=None):
    """Tune, give what changed to another encoder, and find the same embeddings."""
    encoder = load()
    before = encoder.embed(modality, items)
    changed = tune(encoder, modality, items, rank)
    if rank is not None:
        assert all(".lora_" in name for name in changed)
    after = encoder.embed(modality, items)
    assert np.abs(after - before).max() > 1e-4
    other = load()
    np.testing.assert_array_equal(other.embed(modality, items), before)
    give_weights(other, modality, changed, rank=rank)
    np.testing.assert_allclose(other.embed(modality, items), after, atol=2e-5)
