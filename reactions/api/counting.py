"""What encoders left out of the items of a call, kept with what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

from reactions.core.left_out import Collected, collected

ItemsCut: TypeAlias = tuple[Mapping[str, Any], ...]
"""One object a space and modality, as ``items_cut`` of ``--json`` has them."""


class CountedResult(Protocol):
    """What says what encoders left out of its items."""

    items_cut: ItemsCut


_P = ParamSpec("_P")
_R = TypeVar("_R", bound=CountedResult)


def counting_cuts(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let what a function returns say what encoders left out of the items that it used."""

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with collected() as counts:
            result = function(*args, **kwargs)
        result.items_cut = in_words(counts)
        return result

    return called


def in_words(counts: Collected) -> ItemsCut:
    """Return counts as results have them."""
    return tuple(part.in_words() for part in counts.sums())


def cut_json(items_cut: ItemsCut) -> dict[str, Any]:
    """Return the field of a JSON object; none where no item was embedded."""
    return {"items_cut": [dict(part) for part in items_cut]} if items_cut else {}
