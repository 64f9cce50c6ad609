"""molspace: fuse pre-trained multimodal embedding spaces without retraining them.

Names are imported when they are first used, so that ``import reactions`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactions.api import FusedSpace, load, react
    from reactions.core.types import Item, Waveform
    from reactions.dsl import Cr, Dr, Ft, Lcl, Space

__all__ = ["Cr", "Dr", "Ft", "FusedSpace", "Item", "Lcl", "Space", "Waveform", "load", "react"]

_HOME = {
    "FusedSpace": "reactions.api",
    "load": "reactions.api",
    "react": "reactions.api",
    "Cr": "reactions.dsl",
    "Dr": "reactions.dsl",
    "Ft": "reactions.dsl",
    "Lcl": "reactions.dsl",
    "Space": "reactions.dsl",
    "Item": "reactions.core.types",
    "Waveform": "reactions.core.types",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'reactions' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
