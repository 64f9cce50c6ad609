"""What callers give: media as items, factors by expert."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from reactions.core.errors import MediaError, UsageError
from reactions.core.file_names import as_stored, near_file
from reactions.core.types import Item, Modality
from reactions.data.path_like import never_a_file
from reactions.inference.values import (
    UnusableValue,
    column_of,
    media_value,
    needs_check,
    refuse_one_value,
)
from reactions.modalities import noticed, registry
from reactions.products.tree import Factors

GivenFactors: TypeAlias = Factors | Mapping[str, Factors] | None
"""One number, one a shared modality in alphabetical order, or by modality or expert."""


def items_of(modality: Modality, values: Any, by_id: Collection[Modality]) -> list[Item]:
    """Return what a caller gives as items, checked: files are there, arrays are what is taken.

    Args:
        modality: of all of them.
        values: a list of values; or ``(dataset, "column")`` of a Hugging Face data set.
        by_id: modalities that are only looked up by id, whose values do not matter.

    Raises:
        UsageError: a value is of a type or shape that is not taken; the message has its place.
        MediaError: a file is not there, or a value cannot be decoded.
    """
    if isinstance(values, Item):
        raise UsageError(f"{modality} takes a list", fix=f"{modality}=[...]")
    refuse_one_value(modality, values)
    try:
        listed = iter(column_of(modality, values))
    except TypeError as error:
        raise UsageError(
            f"{modality} takes a list", why=str(error), fix=f"{modality}=[...]"
        ) from None
    return [_item(position, modality, value, by_id) for position, value in enumerate(listed)]


def _item(position: int, modality: Modality, value: Any, by_id: Collection[Modality]) -> Item:
    if isinstance(value, Item):
        return _checked(position, modality, value, by_id)
    record = registry.get(modality)
    if modality in by_id:
        is_path = not record.inline and isinstance(value, str | os.PathLike)
        return Item(str(position), modality, Path(value) if is_path else value, own_id=False)
    read = _read(position, modality, value)
    if isinstance(read, Path) and not record.inline:
        _check_file(position, modality, value if isinstance(value, str) else os.fspath(read))
        read = as_stored(read)
    elif record.inline or needs_check(read):
        _check_type(position, modality, read)
    return Item(str(position), modality, read, own_id=False)


def _checked(position: int, modality: Modality, item: Item, by_id: Collection[Modality]) -> Item:
    """Check an item of the caller's own; its file is looked for when it is embedded."""
    if item.modality != modality:
        raise UsageError(f"item '{item.id}' of {modality} is {item.modality}")
    # None is what only the id matters of.
    if item.value is None or modality in by_id:
        return item
    item = replace(item, value=_read(position, modality, item.value))
    if registry.get(modality).inline or needs_check(item.value):
        _check_type(position, modality, item.value)
    return item


def _read(position: int, modality: Modality, value: Any) -> Any:
    """Bring a value into a form that encoders take."""
    try:
        with noticed.of_item(f"{modality} {position}"):
            return media_value(modality, value)
    except UnusableValue as error:
        raise UsageError(
            f"{modality} {position} is {error.what}",
            why=error.why,
            fix=error.fix,
            position=position,
        ) from error
    except MediaError as error:
        raise MediaError(
            f"{modality} {position}: {error.what}",
            why=error.why,
            fix=error.fix,
            **{**error.fields, "position": position},
        ) from error


def _check_file(position: int, modality: Modality, value: str) -> None:
    """Refuse a file that is not there.

    Raises:
        MediaError: it is not.
    """
    path = Path(value)
    try:
        if as_stored(path).is_file():
            return
        kind = "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError):  # longer than any file's name, or with a null in it
        kind = "there is no such file"
    near = near_file(value)
    raise MediaError(
        f"cannot read the {modality} '{value}'",
        why=never_a_file(value) or kind,
        fix=f"did you mean '{near}'?" if near else "",
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

    Raises:
        UsageError: they are not numbers.
    """
    if given is None:
        return {}
    _check_numbers(given)
    # A mapping is by expert where all its keys are experts' names, else by modality.
    if isinstance(given, Mapping) and given and all(key in names for key in given):
        return dict(given)
    return {"": given}  # type: ignore[dict-item]  # one for all experts


def _check_numbers(factors: object) -> None:
    if isinstance(factors, Mapping):
        for value in factors.values():
            _check_numbers(value)
    elif isinstance(factors, tuple | list):
        for value in factors:
            _check_numbers(value)
    elif isinstance(factors, bool) or not isinstance(factors, int | float | np.number):
        raise UsageError(
            f"a factor is {factors!r}",
            why="factors are numbers from 0 to 1",
            fix="0.5, or (0.8, 0.5), or a mapping by modality or expert",
        )


def check_count(name: str, value: object) -> None:
    """Refuse what cannot count things that are wanted.

    Raises:
        UsageError: it is not a whole number from 1 up.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"{name} is {value!r}", why="it must be a whole number", fix="1 or more")
