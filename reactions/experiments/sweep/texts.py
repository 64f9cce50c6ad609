"""The texts that say which factors to try: ``0:1:0.1,0/0.5``, ``audio=0:1:0.5``, ``CLAP_m:0.3``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Modality
from reactions.dsl.values import is_factor

MOST_VALUES = 10_001
"""Values of one factor: steps of 0.0001."""

_STEP_DECIMALS = 4
"""Of the steps that are proposed."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SIGNED = rf"[+-]?{_NUMBER}"
_PIECE = re.compile(rf"({_SIGNED})(?::({_SIGNED}):({_SIGNED}))?")
_RANGE_WITHOUT_STEP = re.compile(rf"({_SIGNED}):({_SIGNED})")
_NAMED = re.compile(r"([^\W\d][\w-]*)\s*=\s*(.*)", re.DOTALL)

_FORMS = "0.5   or   0/0.25/0.5   or   0:1:0.1 (from, to, step)"


@dataclass(frozen=True, slots=True)
class FactorText:
    """One ``--sigma`` or ``--lambda``, read.

    Attributes:
        expert: whose factors; "" for those of all experts that have none of their own.
        values: of each shared modality in alphabetical order, or a single one for all of them
            together; () where they are named.
        named: modality to values.
    """

    expert: str
    values: tuple[tuple[float, ...], ...] = ()
    named: Mapping[Modality, tuple[float, ...]] | None = None


def read_factors(option: str, texts: Iterable[str], experts: Sequence[str]) -> list[FactorText]:
    """Read the texts of one option.

    Args:
        option: its name, for messages.
        texts: as typed; () for none.
        experts: labels of those that have such factors.

    Raises:
        UsageError: a text is none, names an expert that is not there, or is given twice.
    """
    read: list[FactorText] = []
    for text in texts:
        expert, values = _without_expert(option, text.strip(), experts)
        if any(other.expert == expert for other in read):
            raise UsageError(f"{option} is given twice" + (f" for {expert}" if expert else ""))
        read.append(_read(option, expert, values))
    return read


def _without_expert(option: str, text: str, experts: Sequence[str]) -> tuple[str, str]:
    """Split ``NAME:`` from factors, which have colons too, and so may names.

    A known name is one, the longest first. Else what is not made of numbers cannot be factors.
    """
    for expert in sorted(experts, key=len, reverse=True):
        if text.startswith(f"{expert}:"):
            return expert, text[len(expert) + 1 :]
    if _is_factors(text):
        return "", text
    for place in (match.start() for match in re.finditer(":", text)):
        name, rest = text[:place].strip(), text[place + 1 :]
        if name and _is_factors(rest):
            raise UsageError(
                f"{option}: no expert '{name}'", fix=suggestion(name, experts), known=list(experts)
            )
    return "", text  # which is refused with the reason


def _is_factors(text: str) -> bool:
    parts = [part.strip() for part in text.split(",")]
    matches = [_NAMED.fullmatch(part) for part in parts]
    values = [match[2] if match else part for match, part in zip(matches, parts, strict=True)]
    pieces = [piece.strip() for value in values for piece in value.strip().split("/")]
    # A range without its step is meant as one, and is refused as such.
    return all(_PIECE.fullmatch(piece) or _RANGE_WITHOUT_STEP.fullmatch(piece) for piece in pieces)


def _read(option: str, expert: str, text: str) -> FactorText:
    parts = [part.strip() for part in text.split(",")]
    matches = [_NAMED.fullmatch(part) for part in parts]
    if not any(matches):
        return FactorText(expert, tuple(read_values(option, part) for part in parts))
    by_modality: dict[Modality, tuple[float, ...]] = {}
    for match, part in zip(matches, parts, strict=True):
        if match is None:
            raise UsageError(
                f"{option}: '{part}' has no name, and others have",
                fix=f"{option} audio=0:1:0.1,text=0.1   or   {option} 0:1:0.1,0.1",
            )
        if match[1] in by_modality:
            raise UsageError(f"{option}: {match[1]} is given twice")
        by_modality[match[1]] = read_values(option, match[2])
    return FactorText(expert, named=by_modality)


def read_values(option: str, text: str) -> tuple[float, ...]:
    """Read the values of one factor: numbers and ranges with strokes between.

    Ranges include both ends, which the steps must meet. They are counted in decimal: 0.3,
    never 0.30000000000000004.

    Returns:
        The values, each once, ascending.

    Raises:
        UsageError: it is neither, a value is outside 0 to 1, or steps do not meet the end.
    """
    values: set[Decimal] = set()
    for piece in text.strip().split("/"):
        match = _PIECE.fullmatch(piece.strip())
        if match is None and _RANGE_WITHOUT_STEP.fullmatch(piece.strip()):
            raise UsageError(
                f"{option}: '{piece.strip()}' has no step",
                why="a range is from, to, step",
                fix=f"{piece.strip()}:0.1   or   two values: {piece.strip().replace(':', '/')}",
            )
        if match is None:
            raise UsageError(f"{option}: '{text}' is not a list of factors", fix=_FORMS)
        start, stop, step = (None if end is None else Decimal(end) for end in match.groups())
        assert start is not None, "the pattern begins with a number"
        for end in (start, stop):
            if end is not None and not is_factor(float(end)):
                raise UsageError(
                    f"{option}: the factor {end:f} is outside 0 to 1",
                    why="it is the expert's share of a weighted average",
                )
        if stop is None or step is None:
            values.add(start)
            continue
        values.update(_range(option, piece.strip(), start, stop, step))
    return tuple(sorted({float(value) for value in values}))


def _range(
    option: str, text: str, start: Decimal, stop: Decimal, step: Decimal
) -> Iterable[Decimal]:
    if step <= 0 or stop < start:
        raise UsageError(
            f"{option}: '{text}' holds no value",
            why="a range counts up from its first number to its second, in steps of its third",
            fix="such as 0:1:0.1",
        )
    n = (stop - start) // step + 1
    if n > MOST_VALUES:
        raise UsageError(
            f"{option}: '{text}' holds {int(n):,} values",
            why=f"at most {MOST_VALUES:,} of one factor are tried",
            fix="a larger step",
        )
    if (stop - start) % step:
        raise UsageError(
            f"{option}: '{text}' does not meet its end",
            why=f"in steps of {step:f}, the last value up to {stop:f} is "
            f"{start + (n - 1) * step:f}",
            fix="   or   ".join(f"{start:f}:{end:f}:{by:f}" for end, by in _met(start, stop, step)),
        )
    return (start + i * step for i in range(int(n)))


def _met(start: Decimal, stop: Decimal, step: Decimal) -> Iterable[tuple[Decimal, Decimal]]:
    """Yield ends and steps near a range whose steps do not meet its end."""
    n_whole = int((stop - start) // step)
    for counts in (range(n_whole, 0, -1), range(n_whole + 1, MOST_VALUES)):
        steps = ((stop - start) / n for n in counts)
        short = next((by for by in steps if by == round(by, _STEP_DECIMALS)), None)
        if short is not None:
            yield stop, short.normalize()
    if n_whole:
        yield start + n_whole * step, step


def read_subsets(texts: Iterable[str], experts: Sequence[str]) -> list[frozenset[str]]:
    """Read ``--experts``: each text a subset, or ``all-subsets``.

    Args:
        texts: names with commas between; as many texts as there are subsets.
        experts: labels of all experts of the product.

    Returns:
        Subsets, each once, in the order given; small ones first where all are meant.

    Raises:
        UsageError: a name is none of them, or no expert is named.
    """
    subsets: dict[frozenset[str], None] = {}
    for text in texts:
        if text.strip().casefold() == "all-subsets":
            subsets |= dict.fromkeys(_all_subsets(experts))
            continue
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names:
            raise UsageError(
                "--experts names none", fix="--experts CLAP_m,CLAP_g   or   --experts all-subsets"
            )
        for name in names:
            if name not in experts:
                raise UsageError(
                    f"--experts: no expert '{name}'",
                    why="" if experts else "it is a space by itself, which has no experts",
                    fix=suggestion(name, [*experts, "all-subsets"])
                    if experts
                    else "leave --experts out",
                )
        subsets[frozenset(names)] = None
    return list(subsets)


def _all_subsets(experts: Sequence[str]) -> list[frozenset[str]]:
    if len(experts) > 10:
        raise UsageError(
            f"{len(experts)} experts have {2 ** len(experts) - 1:,} subsets",
            fix="--experts NAME,... --experts NAME,...   for those to compare",
        )
    masks = range(1, 1 << len(experts))
    subsets = ([e for i, e in enumerate(experts) if mask >> i & 1] for mask in masks)
    return [frozenset(names) for names in sorted(subsets, key=len)]
