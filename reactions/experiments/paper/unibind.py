"""Figures that UniBind and the projects around it publish, each with its source.

What cannot be cited has no figure here, and is never filled in from memory: of the main paper's
zero-shot and fine-tuned tables no text could be read, so that UniBind's own rows on the thirteen
sets are empty. Figures are in per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RETRIEVAL_TASK = "ncaltech101_images"

RETRIEVAL_CUTOFFS = (1, 5, 10, 20)

RETRIEVAL_SOURCE = "UniBind, supplement, table 2"

RETRIEVAL_HIT = (
    "the supplement does not say what counts as found; EventBind's evaluation counts any item of "
    "the query's class, and only so are figures near 80 at k = 1 plausible"
)
"""Why hits by class are what stands beside the published figures."""


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    """A row of the supplement's table 2: retrieval between recordings of events and pictures.

    Attributes:
        model: as printed.
        tuned: whether by LLM-augmented contrastive learning.
        figures: metric, as ``Score.metrics`` calls it, to R@k.
    """

    model: str
    tuned: bool
    figures: Mapping[str, float]


def _row(model: str, tuned: bool, *values: float) -> RetrievalRow:
    """Return a row; values as printed: image to event at all cutoffs, then event to image."""
    names = [f"{d} R@{k}" for d in ("image->event", "event->image") for k in RETRIEVAL_CUTOFFS]
    return RetrievalRow(model, tuned, dict(zip(names, values, strict=True)))


RETRIEVAL: tuple[RetrievalRow, ...] = (
    _row("E-CLIP", False, 79.52, 90.11, 93.08, 95.51, 76.29, 89.97, 91.80, 94.61),
    _row("E-CLIP", True, 78.95, 89.79, 94.32, 97.06, 77.04, 91.51, 93.62, 96.70),
    _row("PointBind (+Event)", False, 14.07, 31.40, 40.79, 49.46, 9.00, 22.23, 29.32, 37.70),
    _row("PointBind (+Event)", True, 14.12, 31.91, 41.25, 50.98, 14.29, 33.65, 44.34, 55.66),
)
"""Source: UniBind, supplement, table 2; its order."""


@dataclass(frozen=True, slots=True)
class CitedAccuracy:
    """A zero-shot accuracy that a project states of its own model, or of another's.

    Attributes:
        model: as it is called there.
        task: the evaluation set, by the name of its task.
        value: in per cent.
        source: where it is stated.
        remark: what the reader must know to compare with it; "" for nothing.
    """

    model: str
    task: str
    value: float
    source: str
    remark: str = ""


_IMAGEBIND = "README of facebookresearch/ImageBind"
_POINTBIND = "README of ZiyuGuo99/Point-Bind_Point-LLM"
_UNI3D = "README of baaivision/Uni3D"
_LVIS = "ensembled with LVIS"

ZERO_SHOT: tuple[CitedAccuracy, ...] = (
    CitedAccuracy("ImageBind-huge", "imagenet", 77.7, _IMAGEBIND),
    CitedAccuracy("ImageBind-huge", "esc50", 66.9, _IMAGEBIND),
    CitedAccuracy("ImageBind-huge", "llvip", 63.4, _IMAGEBIND),
    CitedAccuracy("PointBind, I2P-MAE", "modelnet40", 78.0, _POINTBIND),
    CitedAccuracy("PointBind, Point-BERT", "modelnet40", 76.3, _POINTBIND),
    CitedAccuracy("ULIP", "modelnet40", 60.4, _POINTBIND, "as PointBind cites it"),
    CitedAccuracy("ULIP-2", "modelnet40", 66.4, _POINTBIND, "as PointBind cites it"),
    CitedAccuracy("ULIP-2", "modelnet40", 84.7, "README of salesforce/ULIP", "its own, later"),
    CitedAccuracy("Uni3D-B", "modelnet40", 86.3, _UNI3D, _LVIS),
    CitedAccuracy("Uni3D-L", "modelnet40", 86.3, _UNI3D, _LVIS),
    CitedAccuracy("Uni3D-g", "modelnet40", 87.3, _UNI3D, f"{_LVIS}; 88.2 with the newer file"),
    CitedAccuracy(
        "EBind-full",
        "esc50",
        77.05,
        "embeddings-benchmark/mteb, pull request 4414",
        "a user's run",
    ),
    CitedAccuracy(
        "LanguageBind_Audio_FT",
        "esc50",
        94.25,
        "embeddings-benchmark/mteb, pull request 4557",
        "a user's run; its paper states 94.0",
    ),
)
"""Baselines on UniBind's sets that may be cited; protocols and prompts are each project's own."""

ZERO_SHOT_TASKS = (
    "imagenet",
    "places365",
    "caltech101",
    "modelnet40",
    "shapenet",
    "esc50",
    "urbansound8k",
    "llvip",
    "rgbt",
    "msrvtt",
    "ucf101",
    "ncaltech101",
    "nimagenet",
)
"""The thirteen sets, in the supplement's order."""

NOT_CITABLE = (
    "UniBind's own figures on the thirteen sets stand in the main paper, of which no text could be "
    "read: their columns stay empty"
)


def cited(task: str) -> tuple[CitedAccuracy, ...]:
    """Return the baselines that may be cited for a task, the best last."""
    return tuple(sorted((e for e in ZERO_SHOT if e.task == task), key=lambda e: e.value))
