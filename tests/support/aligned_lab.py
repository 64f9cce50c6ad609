"""A small mini lab with a knowledge base of 64 described scenes."""

import numpy as np
from small_labs import SmallLab

from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.knowledge.base import Description, KnowledgeTable

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
_SMALL = SmallLab(LAB)
session = _SMALL.session
react_after_a_kill = _SMALL.react_after_a_kill


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
