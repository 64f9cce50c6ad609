"""A small mini lab with a knowledge base of 64 described scenes."""

import numpy as np

from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.knowledge.base import Description, KnowledgeTable
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store

LAB = """
[lab]
name = "small"
extends = "mini"

[reaction]
hidden_dim = 16
batch_size = 32
dr_epochs = 1
cr_epochs = 1
holdout = {holdout}

[tuning]
heads = "only"
epochs = 2
batch_size = 16

[lcl]
epochs = 3
batch_size = 16
checkpoint_minutes = 0

[corpora.text]
world = 60
[corpora.image]
world = 60
[corpora.audio]
world = 60

[pairs.scenes]
world = 64
default = true

[kb.few]
world = 2
scenes = 64
"""
LCL = "ImageBind + Lcl(few, modalities=(audio, image))"
RUN = """
import sys
from pathlib import Path
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store
lab, store, out, reaction = sys.argv[1:]
session = Session(load_lab(lab), Store(Path(store)), "cpu")
session.react(session.check(reaction), out=Path(out), current=False)
"""


def write_lab(folder, holdout=0.0):
    path = folder / "lab.toml"
    path.write_text(LAB.format(holdout=holdout))
    return str(path)


def session(folder, **changes):
    return Session(load_lab(write_lab(folder, **changes)), Store(folder / "store"), "cpu")


def plan(lab_session, reaction):
    return lab_session.plan(lab_session.check(reaction))


def aligning(planned):
    return {step.modality: step for step in planned.steps() if step.kind == "align"}


class Texts:
    """Descriptions of some of a corpus's items, in the place of the lab's."""

    def __init__(self, monkeypatch, lab, corpus, rows, metadata=None):
        table = KnowledgeTable("few", [Description(*row) for row in rows], metadata)
        monkeypatch.setattr(type(lab), "knowledge", lambda self, name: table)
        monkeypatch.setattr(type(lab), "item_corpus", lambda self, kb, modality: corpus)


def pictures(n):
    return ListCorpus(
        "pictures",
        "image",
        [Item(f"p{k}", "image", np.full((8, 8, 3), 9 * k, np.uint8)) for k in range(n)],
    )


def row(k, text=None, category=None, modality="image"):
    return (f"p{k}", category or f"c{k % 3}", text or f"a thing {k}", "MLLM", modality)
