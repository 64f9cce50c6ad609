"""The choices that packages of CLAP leave to chance, made as molspace makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np


@contextmanager
def fixed_crops(module: Any) -> Iterator[None]:
    """Have a module that draws the beginnings of crops by ``np.random`` take the middle ones.

    Args:
        module: that knows numpy as ``np``: of each third of the possible beginnings it chooses
            one (``choice``), or one of all (``randint``).
    """
    with patch.object(module, "np", _Numpy(SimpleNamespace(choice=_middle, randint=_centre))):
        yield


class _Numpy:
    """numpy with other dice."""

    def __init__(self, random: SimpleNamespace) -> None:
        self.random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _middle(third: Sequence[int]) -> int:
    return third[len(third) // 2]


def _centre(low: int, high: int) -> int:
    return low + (high - low - 1) // 2
