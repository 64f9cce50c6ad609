"""The options of Lcl: what its node holds, what is wrong with bad ones, how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from reactions.core.errors import UsageError, suggestion
from reactions.core.lcl_options import Duplicates, Init, Norms, Targets
from reactions.core.lcl_settings import LclSettings, preset_named, read_flag
from reactions.core.settings import check_setting
from reactions.core.types import Modality
from reactions.dsl.source import Span
from reactions.dsl.values import (
    check_modality,
    check_writable,
    number_of,
    print_number,
    quoted,
)
from reactions.modalities.text import TEXT

LCL_OPTIONS = (
    "temperature",
    "symmetric",
    "duplicates",
    "init",
    "epochs",
    "lr",
    "batch",
    "preset",
    "modalities",
    "targets",
    "norms",
)
"""Options of Lcl, in the order in which they are written."""

_NUMBERS: Mapping[str, str] = {
    "temperature": "temperature",
    "epochs": "epochs",
    "lr": "learning_rate",
    "batch": "batch_size",
}
"""Options that are numbers, to the setting that each stands for."""

_WHOLE = ("epochs", "batch")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "duplicates": get_args(Duplicates),
    "init": get_args(Init),
    "targets": get_args(Targets),
    "norms": get_args(Norms),
}
_EXAMPLES = {"temperature": "0.1", "epochs": "20", "lr": "0.005", "batch": "64"}
_SETTINGS = {entry.name: entry for entry in fields(LclSettings)}


@dataclass(frozen=True, repr=False)
class LclFields:
    """What an Lcl says; ``core.lcl_options.LclOptions`` says what each option means.

    Attributes:
        knowledge: name or path of the knowledge base.
        temperature, symmetric, duplicates, init, epochs, lr, batch, preset, modalities, targets,
            norms: None where left out.
        span, spans: where it was written; where each option's value was.

    Raises:
        UsageError: the name cannot be written, or a value is out of range or of the wrong kind.
    """

    knowledge: str
    temperature: float | None = field(default=None, kw_only=True)
    symmetric: bool | str | None = field(default=None, kw_only=True)
    duplicates: str | None = field(default=None, kw_only=True)
    init: str | None = field(default=None, kw_only=True)
    epochs: int | None = field(default=None, kw_only=True)
    lr: float | None = field(default=None, kw_only=True)
    batch: int | None = field(default=None, kw_only=True)
    preset: str | None = field(default=None, kw_only=True)
    modalities: str | Iterable[Modality] | None = field(default=None, kw_only=True)
    targets: str | None = field(default=None, kw_only=True)
    norms: str | None = field(default=None, kw_only=True)
    span: Span | None = field(default=None, compare=False, kw_only=True)
    spans: Mapping[str, Span] = field(default_factory=dict, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        check_writable(self.knowledge, "knowledge base")
        for option, value in self.options.items():
            object.__setattr__(self, option, lcl_option_of(option, value))

    @property
    def options(self) -> dict[str, Any]:
        """The options in the order in which they are written; None where left out."""
        return {option: getattr(self, option) for option in LCL_OPTIONS}

    def __str__(self) -> str:
        written = "".join(
            f", {name}={_written(name, value)}"
            for name, value in self.options.items()
            if value is not None
        )
        return f"Lcl({quoted(self.knowledge)}{written})"


def lcl_option_of(option: str, value: Any) -> Any:
    """Return the value of an option of Lcl as its node holds it.

    Args:
        option: one of ``LCL_OPTIONS``.
        value: as written, or as Python code gives it; None for an option left out.

    Raises:
        UsageError: out of range or of the wrong kind.
    """
    if value is None:
        return None
    if option == "symmetric":
        return read_flag(option, value)
    if option == "preset":
        return preset_named(value)
    if option == "modalities":
        return _modalities_of(value)
    if option in _CHOICES:
        if value not in _CHOICES[option]:
            raise UsageError(
                f"{option} is {value!r:.80}",
                why=f"it is {' or '.join(_CHOICES[option])}",
                fix=suggestion(str(value), _CHOICES[option]),
            )
        return value
    return _number_of(option, value)


def _number_of(option: str, value: Any) -> float | int:
    entry, whole = _SETTINGS[_NUMBERS[option]], option in _WHOLE
    number = number_of(value)
    if number is None or (whole and not number.is_integer()):
        shown = f"'{value}'" if number is None else print_number(number)
        raise UsageError(
            f"{option} is {shown}",
            why=f"it must be {'a whole number' if whole else 'a number'}. "
            + entry.metadata["description"],
            fix=f"for instance {option}={_EXAMPLES[option]}",
        )
    checked = int(number) if whole else number
    check_setting(entry, checked, option)
    return checked


def _modalities_of(value: str | Iterable[Modality]) -> tuple[Modality, ...]:
    names = [value] if isinstance(value, str) else list(value)
    for name in names:
        check_modality(name)
        if name == TEXT.name:
            raise UsageError(
                "Lcl trains no layer of text",
                why="texts are what the others are drawn to, and stay as they are",
                fix=f"leave {TEXT.name} out of modalities",
            )
        if names.count(name) > 1:
            raise UsageError(f"modalities names '{name}' twice", fix="name each modality once")
    if not names:
        raise UsageError(
            "modalities is empty", fix="leave it out for all that the knowledge base describes"
        )
    return tuple(sorted(names))


def _written(option: str, value: Any) -> str:
    if option == "preset":
        return quoted(value)
    if option == "modalities":
        return value[0] if len(value) == 1 else f"({', '.join(value)})"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else print_number(value)
