"""The values that nodes of the syntax tree hold, and what is wrong with bad ones."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Literal, TypeAlias

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import LETTERS, Anchors, Modality

RESERVED = ("Dr", "Cr", "Ft", "Lcl")
RECIPES = ("paper", "cmcr", "exmcr")
Factors: TypeAlias = float | tuple[float, ...] | tuple[tuple[Modality, float], ...]
"""One for all shared modalities, one for each in alphabetical order, or by name."""

FactorsLike: TypeAlias = float | Sequence[float] | Mapping[Modality, float]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


def is_identifier(text: str) -> bool:
    """Return whether a name can be written without quotes."""
    return bool(_IDENTIFIER.fullmatch(text)) and text not in RESERVED


def number_of(value: object) -> float | None:
    """Return a real number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value)


def factor_of(option: str, value: object) -> float:
    """Return one combining factor.

    Raises:
        UsageError: no number in [0, 1].
    """
    number = number_of(value)
    if number is None or not 0 <= number <= 1:
        shown = f"'{value}'" if number is None else f"{number:g}"
        raise UsageError(
            f"{option} is {shown}",
            why="it is the expert's share of a modality, a number from 0 to 1",
            fix=f"for instance {option}=0.5",
        )
    return number


def weight_of(value: float) -> float:
    """Return the weight of a parallel expert.

    Raises:
        UsageError: not positive and finite.
    """
    if not (math.isfinite(value) and value > 0):
        raise UsageError(
            f"weight {value:g}",
            why="weights of parallel experts must be positive and finite",
            fix="leave an expert out instead of giving it no weight" if value == 0 else "",
        )
    return float(value)


def anchors_of(data: str | Iterable[Modality]) -> Anchors:
    """Return a subset of the pseudo sets, sorted, from letters or modality names.

    Raises:
        UsageError: empty, a modality twice, or no modality name.
    """
    if isinstance(data, str):
        data = tuple(data) if data and set(data) <= set(LETTERS) else (data,)
    names = [LETTERS.get(name, name) for name in data]
    for name in names:
        check_modality(name)
        if names.count(name) > 1:
            raise UsageError(f"data names '{name}' twice", fix="name each modality once")
    if not names:
        raise UsageError("data is empty", fix="leave it out to train the whole mixture")
    return tuple(sorted(names))


def check_modality(name: str) -> None:
    """Refuse a modality name that cannot be written in a reaction.

    Raises:
        UsageError: it is not an identifier.
    """
    if not (isinstance(name, str) and is_identifier(name)):
        raise UsageError(f"'{name}' is not a modality name", fix="use letters, digits, _ and .")


def centre_of(value: bool | str | None) -> bool | None:
    """Return what ``centre`` is given as; None where it is not.

    Raises:
        UsageError: neither true nor false.
    """
    if value is None or isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise UsageError(f"centre is true or false, not {value!r}", fix="centre=true")
    return value == "true"


def check_recipe(recipe: str) -> None:
    """Refuse an unknown training recipe.

    Raises:
        UsageError: it is none of ``RECIPES``.
    """
    if recipe not in RECIPES:
        raise UsageError(f"unknown recipe '{recipe}'", fix=suggestion(recipe, RECIPES))


def factors_of(option: str, value: object) -> Factors:
    """Return combining factors in one of their three forms; names are sorted.

    Args:
        option: ``"sigma"`` or ``"lambda"``, for messages.
        value: a number, a sequence of numbers, or a mapping from modality to number.

    Raises:
        UsageError: empty, or a factor is not a number in [0, 1].
    """
    if isinstance(value, Mapping):
        for name in value:
            check_modality(name)
        named = tuple(sorted((name, factor_of(option, v)) for name, v in value.items()))
        if named:
            return named
    elif not isinstance(value, str) and isinstance(value, Sequence):
        ordered = tuple(factor_of(option, item) for item in value)
        if ordered:
            return ordered
    else:
        return factor_of(option, value)
    raise UsageError(f"{option} is empty", fix="leave it out for the default factors")


def check_writable(name: str, what: Literal["space", "knowledge base"]) -> None:
    """Refuse a name that cannot be written in a reaction, quoted or not.

    Raises:
        UsageError: it is empty, has several lines, or both kinds of quotes.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"the name of a {what} is empty", fix="write the name, or a quoted URI")
    if "\n" in name or ('"' in name and "'" in name):
        raise UsageError(
            f"{name!r} cannot name a {what}", why="it has several lines, or both kinds of quotes"
        )
