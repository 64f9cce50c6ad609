"""molspace: fuse pre-trained multimodal embedding spaces without retraining them.

Names are imported when they are first used, so that ``import reactions`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactions.api import (
        Classified,
        Embeddings,
        FusedSpace,
        IndexSummary,
        PlanPreview,
        Scores,
        SearchHits,
        SimilarityMatrix,
        SpaceList,
        SweepScores,
        load,
        plan,
        react,
        spaces,
    )
    from reactions.core.errors import MolspaceError
    from reactions.core.types import Item, Waveform
    from reactions.dsl import Cr, Dr, Ft, Lcl, Space

__all__ = [
    "Classified",
    "Cr",
    "Dr",
    "Embeddings",
    "Ft",
    "FusedSpace",
    "IndexSummary",
    "Item",
    "Lcl",
    "MolspaceError",
    "PlanPreview",
    "Scores",
    "SearchHits",
    "SimilarityMatrix",
    "Space",
    "SpaceList",
    "SweepScores",
    "Waveform",
    "load",
    "plan",
    "react",
    "spaces",
]

_ELSEWHERE = {
    "MolspaceError": "reactions.core.errors",
    "Item": "reactions.core.types",
    "Waveform": "reactions.core.types",
    **dict.fromkeys(("Cr", "Dr", "Ft", "Lcl", "Space"), "reactions.dsl"),
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_ELSEWHERE.get(name, "reactions.api")), name)
    raise AttributeError(f"module 'reactions' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
