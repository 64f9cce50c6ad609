"""What callers give: media as items, factors by expert."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from reactions.core.errors import MediaError, UsageError
from reactions.core.types import Item, Modality, Waveform
from reactions.data.path_like import never_a_file
from reactions.modalities import registry
from reactions.products.tree import Factors

GivenFactors: TypeAlias = Factors | Mapping[str, Factors] | None
"""One number, one a shared modality in alphabetical order, or by modality or expert."""


def items_of(modality: Modality, values: Iterable[Any], by_id: Collection[Modality]) -> list[Item]:
    """Return items, whose files are there unless they are only looked up by id."""
    if isinstance(values, str | bytes | os.PathLike | Item | Waveform):
        raise UsageError(f"{modality} takes a list", fix=f"{modality}=[...]")
    try:
        values = list(values)
    except TypeError as error:
        raise UsageError(
            f"{modality} takes a list", why=str(error), fix=f"{modality}=[...]"
        ) from None
    items = []
    for position, value in enumerate(values):
        item = _item(position, modality, value)
        if item is not value and modality not in by_id:
            if isinstance(item.value, Path) and not registry.get(modality).inline:
                _check_file(position, modality, value)
            else:
                _check_type(position, modality, value)
        items.append(item)
    return items


def _item(position: int, modality: Modality, value: Any) -> Item:
    if isinstance(value, Item):
        if value.modality != modality:
            raise UsageError(f"item '{value.id}' of {modality} is {value.modality}")
        return value
    is_path = not registry.get(modality).inline and isinstance(value, str | os.PathLike)
    return Item(str(position), modality, Path(value) if is_path else value, own_id=False)


def _check_file(position: int, modality: Modality, value: str | os.PathLike[str]) -> None:
    """Refuse a file that is not there.

    Raises:
        MediaError: it is not.
    """
    path = Path(value)
    try:
        if path.is_file():
            return
        kind = "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError):  # longer than any file's name, or with a null in it
        kind = "there is no such file"
    raise MediaError(
        f"cannot read the {modality} '{os.fspath(value)}'",
        why=never_a_file(os.fspath(value)) or kind,
        path=str(path),
        position=position,
    )


def _check_type(position: int, modality: Modality, value: Any) -> None:
    """Refuse values that no encoder takes; other modalities are their encoders' business.

    Raises:
        UsageError: the type, or an array's shape, does not fit.
    """
    record = registry.get(modality)
    if not record.why_unusable(value):
        if isinstance(value, str) and not value.strip():
            raise UsageError(f"{modality} {position} is empty", position=position)
        return
    got = type(value).__name__
    if isinstance(value, np.ndarray):
        got = f"an array of shape {value.shape}, {value.dtype}"
    raise UsageError(
        f"{modality} {position} is {got}",
        why=f"{modality} takes {record.takes}",
        position=position,
    )


def by_expert(given: GivenFactors, names: Collection[str]) -> Mapping[str, Factors]:
    """Return factors by expert: "" stands for all of them.

    Args:
        given: as a caller gave them.
        names: of the product's experts.
    """
    if given is None:
        return {}
    # A mapping is by expert where all its keys are experts' names, else by modality.
    if isinstance(given, Mapping) and given and all(key in names for key in given):
        return dict(given)
    return {"": given}  # type: ignore[dict-item]  # one for all experts
