"""A lab of fakes: forty items a modality, ten a task, encoders that hash what they embed."""

from dataclasses import dataclass, field
from pathlib import Path

import fakes
import numpy as np

from reactions.core.catalogue import Catalogue
from reactions.core.settings import ReactionSettings, TuningSettings
from reactions.core.types import Item
from reactions.data.corpora import TextCorpus
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.labs.lab import Lab
from reactions.run.events import PlanFinished
from reactions.session import Session
from reactions.store import Store


def corpus(name, modality, n):
    if modality == "text":
        return TextCorpus(
            name, [f"{name} {i}" for i in range(n)], [f"{name}/{i}" for i in range(n)]
        )
    return FakeMedia(name, modality, n)


class FakeMedia:
    """Items of which only the id matters."""

    def __init__(self, name, modality, n):
        self.name, self.modality = name, modality
        self._ids = [f"{name}/{i}" for i in range(n)]
        self.digest = f"{name}-{modality}-{n}".encode().hex().ljust(64, "0")[:64]

    def __len__(self):
        return len(self._ids)

    def items(self, start, stop):
        return [Item(id, self.modality, None) for id in self._ids[start:stop]]


class FakePairs:
    """Forty pairs of which only the ids matter."""

    notices = ()

    def __init__(self, *modalities):
        self.name, self.modalities = "fake pairs", tuple(sorted(modalities))
        self._sides = {m: corpus(f"pairs {m}", m, 40) for m in modalities}
        self.digest = "ab" * 32

    def __len__(self):
        return 40

    def corpus(self, modality):
        return self._sides[modality]


@dataclass(frozen=True)
class FakeLab(Lab):
    """Forty items a modality and ten a task; ``absent`` tasks have no data."""

    absent: dict = field(default_factory=dict)

    def corpus(self, modality):
        return corpus(f"fake {modality}", modality, 40)

    def pairs_of(self, tuned, paired, name=None):
        return FakePairs(tuned, paired)

    def benchmark(self, task):
        if task in self.absent:
            raise self.absent[task]
        task_known, n = get_task(task), 10
        queries = corpus(task, task_known.query, n)
        if task_known.kind == "classification":
            return ClassificationData(queries, np.arange(n) % 3, ("a", "b", "c"), expected=12)
        if task_known.kind == "multilabel":
            return MultilabelData(queries, np.eye(n, 3, dtype=bool), ("a", "b", "c"), expected=12)
        right = corpus(f"{task} right", task_known.other, n)
        return RetrievalData(queries, right, np.arange(n), expected=n)


class Counting:
    """Counts the steps that ran."""

    def __init__(self):
        self.executed = 0

    def __call__(self, event):
        if isinstance(event, PlanFinished):
            self.executed += event.executed


def fake_session(folder, *spaces, **changes):
    """Return a session on a fake lab; its encoders need ``fakes.Encoder`` in place."""
    spaces = spaces or (fakes.IB, fakes.VL, fakes.CG, fakes.CM)
    settings = ReactionSettings(hidden_dim=4, batch_size=16, dr_epochs=1, cr_epochs=1)
    lab = FakeLab(
        "fake",
        changes.pop("label", "fake"),
        Path("fake.toml"),
        0,
        Catalogue({leaf.spec.name: leaf.spec for leaf in spaces}),
        settings=settings,
        tuning=TuningSettings(heads="only", epochs=1, batch_size=16),
        **changes,
    )
    return Session(lab, Store(folder / "store"), "cpu", Counting())
