"""The mini lab: a procedural world of sights, sounds and sentences, and its encoders' training."""

from reactions.labs.mini.benchmarks import TASKS, benchmark, split
from reactions.labs.mini.corpora import MODALITIES, WorldCorpus, corpus
from reactions.labs.mini.describer import Describer
from reactions.labs.mini.knowledge import (
    N_DESCRIBED,
    WorldKnowledge,
    described_corpus,
    described_modalities,
    world_knowledge,
)
from reactions.labs.mini.pairs import WorldPairs, pairs, pairs_seen_by
from reactions.labs.mini.sample_items import sample_items, write_sample
from reactions.labs.mini.world import WORLD_VERSION

__all__ = [
    "MODALITIES",
    "N_DESCRIBED",
    "TASKS",
    "WORLD_VERSION",
    "Describer",
    "WorldCorpus",
    "WorldKnowledge",
    "WorldPairs",
    "benchmark",
    "corpus",
    "described_corpus",
    "described_modalities",
    "pairs",
    "pairs_seen_by",
    "sample_items",
    "split",
    "world_knowledge",
    "write_sample",
]
