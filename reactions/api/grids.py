"""What callers give to try many factors and experts, as the texts that a sweep reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

from reactions.core.errors import UsageError

Values: TypeAlias = str | float | Sequence[float]
"""``"0:1:0.1"``, one number, or several."""

GivenGrid: TypeAlias = Values | Sequence[str] | Mapping[str, "Values | Mapping[str, Values]"] | None
"""Values for all modalities together; a text, or texts, of the command line's; or by name."""


def grid_texts(option: str, given: GivenGrid, experts: Collection[str]) -> list[str]:
    """Return the texts of ``--sigma`` or ``--lambda`` that mean what a caller gives.

    Args:
        option: the argument, for messages.
        given: as a caller gave it.
        experts: names of the product's experts.

    Raises:
        UsageError: it is of no such form.
    """
    if given is None:
        return []
    if isinstance(given, Mapping):
        by_expert = {name: values for name, values in given.items() if name in experts}
        shared = {name: values for name, values in given.items() if name not in experts}
        texts = [f"{name}:{_one(option, values)}" for name, values in by_expert.items()]
        return [*texts, *([_named(option, shared)] if shared else [])]
    if not isinstance(given, str | int | float) and any(isinstance(v, str) for v in given):
        return [str(value) for value in given]
    return [_values(option, given)]


def subset_texts(given: str | Sequence[str | Sequence[str]] | None) -> list[str]:
    """Return the texts of ``--experts`` that mean what a caller gives."""
    if given is None:
        return []
    if isinstance(given, str):
        return [given]
    return [subset if isinstance(subset, str) else ",".join(subset) for subset in given]


def _one(option: str, values: object) -> str:
    return _named(option, values) if isinstance(values, Mapping) else _values(option, values)


def _named(option: str, by_modality: Mapping[str, object]) -> str:
    return ",".join(f"{name}={_values(option, values)}" for name, values in by_modality.items())


def _values(option: str, values: object) -> str:
    if isinstance(values, str):
        return values
    if isinstance(values, int | float):
        values = [values]
    try:
        # Decimal digits, never an exponent.
        return "/".join(format(Decimal(repr(float(value))), "f") for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ArithmeticError):
        raise UsageError(
            f"{option} is {values!r}",
            why="factors to try are numbers, or a text",
            fix=f'{option}=[0, 0.5, 1]   or   {option}="0:1:0.1"',
        ) from None
