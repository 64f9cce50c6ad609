"""A tiny lab, and reports of what is trained in it: a second for all that a report shows."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import fakes
import numpy as np
import pytest

from reactions import session as module
from reactions.core.catalogue import Catalogue
from reactions.core.settings import ReactionSettings
from reactions.core.types import Item, Leaf
from reactions.eval.registry import get_task, parse_tasks
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.experiments.report.gather import gather
from reactions.labs.lab import Lab
from reactions.session import Session
from reactions.store import Store

HEADLINE = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
HOSTILE = "</script><img src=x onerror=document.title=1>"
"""A name that would run a script, were it written into a page as it is."""

TASKS = "esc50,imagenet,audiocaps,vggss,coco"


class Numbers:
    """Items that are only their ids."""

    def __init__(self, name, modality, n):
        self.name, self.modality, self.n = name, modality, n
        self.digest = f"{name}-{modality}-{n}".encode().hex().ljust(64, "0")[:64]

    def __len__(self):
        return self.n

    def items(self, start, stop):
        return [Item(f"{self.name}/{i}", self.modality, None) for i in range(start, stop)]


@dataclass(frozen=True)
class TinyLab(Lab):
    """Forty items a modality and twelve a task; ``absent`` tasks raise what they are given."""

    absent: dict = field(default_factory=dict)
    classes: tuple = ("dog", "rain", HOSTILE)

    def corpus(self, modality):
        return Numbers(f"tiny {modality}", modality, 40)

    def benchmark(self, task):
        if task in self.absent:
            raise self.absent[task]
        task_known, n = get_task(task), 12
        queries = Numbers(task, task_known.query, n)
        if task_known.kind == "classification":
            return ClassificationData(queries, np.arange(n) % 3, self.classes, expected=n)
        if task_known.kind == "multilabel":
            return MultilabelData(queries, np.eye(n, 3, dtype=bool), self.classes, expected=n)
        right = Numbers(f"{task} right", task_known.other, 2 * n)
        return RetrievalData(queries, right, np.arange(2 * n) // 2, expected=n)


def tiny_session(folder, *, rename=None, **changes):
    """A session on fakes; ``rename`` gives spaces other names."""
    spaces = (fakes.IB, fakes.VL, fakes.CG, fakes.CM)
    names = rename or {}
    leaves = [Leaf(replace(s.spec, name=names.get(s.label, s.label))) for s in spaces]
    lab = TinyLab(
        "tiny",
        changes.pop("label", "mini (tiny)"),
        Path("tiny.toml"),
        0,
        Catalogue({leaf.label: leaf.spec for leaf in leaves}),
        settings=ReactionSettings(hidden_dim=4, batch_size=16, dr_epochs=2, cr_epochs=3),
        **changes,
    )
    return Session(lab, Store(folder), "cpu")


def use_fakes(monkeypatch):
    """Let sessions load fake encoders."""
    monkeypatch.setattr(module, "load_encoder", lambda spec, device: fakes.Encoder(spec))
    monkeypatch.setattr(module, "check_space", lambda spec: None)


@contextmanager
def hostile_report(folder):
    """A report of the headline reaction, one of whose spaces has a hostile name; and a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        use_fakes(patch)
        session = tiny_session(folder / "store", rename={"CLAP_g": HOSTILE})
        yield report_of(session, HEADLINE.replace("CLAP_g", json.dumps(HOSTILE))), session


def report_of(session, reaction=HEADLINE, tasks=TASKS, **options):
    """Train a reaction and gather its report."""
    target = session.target(reaction)
    return gather(session, target, parse_tasks(tasks, []), **options)
