"""A lab without files, and plans on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fakes import headline

from reactions.core.catalogue import Catalogue
from reactions.core.settings import ReactionSettings
from reactions.core.types import Corpus, Item
from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus
from reactions.labs.lab import Lab
from reactions.planning.planner import Planner

TEXT = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
SETTINGS = ReactionSettings(
    hidden_dim=6,
    batch_size=8,
    dr_epochs=1,
    cr_epochs=2,
    holdout=0.0,
    dtype="float32",
    shard_rows=10,
)


@dataclass(frozen=True)
class FakeLab(Lab):
    held: Mapping[str, Corpus] = field(default_factory=dict)

    def corpus(self, modality):
        return self.held.get(modality)


def corpora(n=12, **others):
    images = [Item(f"i{k}", "image", np.full((1, 1, 3), k % 256, np.uint8)) for k in range(n + 2)]
    return {
        "text": TextCorpus("captions", [f"text {k}" for k in range(n)]),
        "image": ListCorpus("pictures", "image", images),
        "audio": IdCorpus("sounds", "audio", [f"a{k}" for k in range(n - 2)]),
        **others,
    }


def lab(held=None, settings=SETTINGS, **changes):
    defaults = {"name": "tests", "label": "tests", "path": Path("molspace.toml"), "seed": 0}
    held = corpora() if held is None else held
    return FakeLab(**{**defaults, **changes}, catalogue=Catalogue({}), settings=settings, held=held)


def plan(space=None, laboratory=None, expression=TEXT):
    return Planner(laboratory or lab()).react(expression, space or headline())


def keys(planned):
    """Label to key; labels are unique in the plans of these tests."""
    by_label = {step.label: step.key for step in planned.steps()}
    assert len(by_label) == len(list(planned.steps()))
    return by_label
