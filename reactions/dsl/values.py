"""The values that nodes of the syntax tree hold, and what is wrong with bad ones."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, TypeAlias, cast, get_args

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Anchors, Mean, Modality
from reactions.modalities import registry
from reactions.ops.recipe import PAPER
from reactions.ops.recipes import recipe_of

MAX_NESTING = 24
"""Products within products; deeper ones would strain every recursive walk."""

RESERVED = ("Dr", "Cr", "Ft", "Lcl")
Factors: TypeAlias = float | tuple[float, ...] | tuple[tuple[Modality, float], ...]
"""One for all shared modalities, one for each in alphabetical order, or by name."""

FactorsLike: TypeAlias = float | Sequence[float] | Mapping[Modality, float]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


def is_identifier(text: str) -> bool:
    """Return whether a name can be written without quotes."""
    return bool(_IDENTIFIER.fullmatch(text)) and text not in RESERVED


def number_of(value: object) -> float | None:
    """Return a real number as a float, None for anything else."""
    # To Python a bool is a Real.
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value)


def is_factor(number: float) -> bool:
    """Return whether a number can be the expert's share of a modality."""
    return 0 <= number <= 1


def factor_of(option: str, value: object) -> float:
    """Return one combining factor.

    Raises:
        UsageError: no number in [0, 1].
    """
    number = number_of(value)
    if number is None or not is_factor(number):
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
        data = tuple(data) if data and set(data) <= set(registry.letters()) else (data,)
    names = [registry.letters().get(name, name) for name in data]
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


def check_pair(tuned: str, paired: str) -> None:
    """Refuse modalities that Ft cannot tune on one another.

    Raises:
        UsageError: not two different modality names.
    """
    check_modality(tuned)
    check_modality(paired)
    if tuned == paired:
        raise UsageError(
            f"Ft pairs '{tuned}' with itself",
            why="it tunes the encoder of one modality on pairs with another",
            fix="name two modalities, as in Ft(audio~image)",
        )


def option_of(option: str, value: Any) -> Any:
    """Return the value of an option of Dr or Cr as their nodes hold it.

    Args:
        option: ``"sigma"``, ``"lambda"``, ``"data"``, ``"recipe"``, ``"centre"`` or ``"mean"``.
        value: as written, or as Python code gives it; None for an option left out, which a
            recipe cannot be.

    Raises:
        UsageError: out of range or of the wrong kind.
    """
    if option == "recipe":
        check_recipe(value)
        return value
    if value is None:
        return None
    if option == "data":
        return anchors_of(value)
    if option == "centre":
        return centre_of(value)
    if option == "mean":
        return mean_of(value)
    return factors_of(option, value)


def centre_of(value: bool | str) -> bool:
    """Return whether a space is taken less its modality means.

    Raises:
        UsageError: neither true nor false.
    """
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise UsageError(f"centre is true or false, not {value!r}", fix="centre=true")
    return value == "true"


def mean_of(value: object) -> Mean:
    """Return how parallel experts are averaged.

    Raises:
        UsageError: in no way that is known.
    """
    if value not in get_args(Mean):
        raise UsageError(
            f"mean is {value!r}",
            why="the experts' mean is taken as it is (eq10), or rescaled to unit norm (unit)",
            fix=suggestion(str(value), get_args(Mean)),
        )
    return cast("Mean", value)


def check_recipe(recipe: str) -> None:
    """Refuse an unknown training recipe.

    Raises:
        UsageError: no recipe has this name.
    """
    recipe_of(recipe)


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
        by_modality = tuple(sorted((name, factor_of(option, v)) for name, v in value.items()))
        if by_modality:
            return by_modality
    elif not isinstance(value, str) and isinstance(value, Sequence):
        ordered = tuple(factor_of(option, item) for item in value)
        if ordered:
            return ordered
    else:
        return factor_of(option, value)
    raise UsageError(f"{option} is empty", fix="leave it out for the default factors")


def check_writable(name: str, what: Literal["space", "knowledge base", "set of pairs"]) -> None:
    """Refuse a name that cannot be written in a reaction, quoted or not.

    Raises:
        UsageError: it is empty, has several lines, or both kinds of quotes.
    """
    if not isinstance(name, str) or not name.strip():
        fix = "write the name, or a quoted URI"
        if what == "set of pairs":
            fix = "write NAME of a [pairs.NAME] of the lab file, or leave pairs= out"
        raise UsageError(f"the name of a {what} is empty", fix=fix)
    if "\n" in name or ('"' in name and "'" in name):
        raise UsageError(
            f"{name!r} cannot name a {what}", why="it has several lines, or both kinds of quotes"
        )


# --- as text --------------------------------------------------------------------------


def quoted(text: str) -> str:
    """Return a name bare where it can stand bare, else between quotes."""
    if is_identifier(text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def print_number(value: float) -> str:
    """Return the shortest text that reads back as the same number, without ``.0``."""
    return repr(value).removesuffix(".0")


def print_factors(factors: Factors) -> str:
    """Return combining factors as written after ``sigma=`` or ``lambda=``."""
    if isinstance(factors, float):
        return print_number(factors)
    return _tuple(
        print_number(item) if isinstance(item, float) else f"{item[0]}={print_number(item[1])}"
        for item in factors
    )


def print_options(options: Mapping[str, Any]) -> str:
    """Return the options of a reaction as they follow its space, without defaults.

    Args:
        options: values as nodes hold them, in the order to write them.
    """
    text = ""
    for name, value in options.items():
        if value is None or (name, value) == ("recipe", PAPER):
            continue
        if name == "data":
            # TVA letters where every anchor has one, else names.
            letters = [letter for letter, modality in registry.LETTERS.items() if modality in value]
            written = "".join(letters) if len(letters) == len(value) else _tuple(value)
        elif name in ("recipe", "centre", "mean"):
            written = str(value).lower()
        else:
            written = print_factors(value)
        text += f", {name}={written}"
    return text


def _tuple(items: Iterable[str]) -> str:
    return f"({', '.join(items)})"
