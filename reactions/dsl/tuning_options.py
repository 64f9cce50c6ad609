"""The options of Ft: what its node holds, what is wrong with bad ones, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from reactions.core.errors import UsageError
from reactions.core.settings import TuningSettings, check_setting, read_heads
from reactions.core.types import Modality
from reactions.dsl.source import Span
from reactions.dsl.values import check_pair, check_writable, number_of, print_number, quoted

TUNING_OPTIONS: Mapping[str, str] = {
    "heads": "heads",
    "epochs": "epochs",
    "lr": "learning_rate",
    "batch": "batch_size",
    "lora": "lora_rank",
    "pairs": "",
}
"""Options of Ft, in the order in which they are written, to the setting that each stands for."""

_SETTINGS = {entry.name: entry for entry in fields(TuningSettings)}
_EXAMPLES = {"epochs": "10", "lr": "0.001", "batch": "512", "lora": "8"}


@dataclass(frozen=True, repr=False)
class TuningFields:
    """What an Ft says.

    Attributes:
        tuned: the modality whose encoder is tuned.
        paired: the modality it is paired with.
        heads: whether copies of the projectors behind the encoder are tuned as well, or "only"
            they; None here and below: as the lab says.
        epochs: passes over the pairs.
        lr: peak learning rate of all that is tuned.
        batch: pairs an optimiser step.
        lora: rank of LoRA updates of the encoder.
        pairs: name of the lab's pairs; None takes the only ones that fit.
        span, spans: where it was written; where each option's value was.

    Raises:
        UsageError: not two different modality names, or a value out of range or of the wrong kind.
    """

    tuned: Modality
    paired: Modality
    heads: bool | str | None = field(default=None, kw_only=True)
    epochs: int | None = field(default=None, kw_only=True)
    lr: float | None = field(default=None, kw_only=True)
    batch: int | None = field(default=None, kw_only=True)
    lora: int | None = field(default=None, kw_only=True)
    pairs: str | None = field(default=None, kw_only=True)
    span: Span | None = field(default=None, compare=False, kw_only=True)
    spans: Mapping[str, Span] = field(default_factory=dict, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        check_pair(self.tuned, self.paired)
        for option, value in self.options.items():
            object.__setattr__(self, option, tuning_option_of(option, value))
        if self.heads == "only" and self.lora is not None:
            raise UsageError(
                f"Ft with heads=only and lora={self.lora}",
                why="lora=RANK tunes the encoder, which heads=only leaves as it is",
                fix="leave one of the two out",
            )

    @property
    def options(self) -> dict[str, Any]:
        """The options in the order in which they are written; None where left out."""
        return {option: getattr(self, option) for option in TUNING_OPTIONS}

    def __str__(self) -> str:
        written = "".join(
            f", {name}={_written(name, value)}"
            for name, value in self.options.items()
            if value is not None
        )
        return f"Ft({self.tuned}~{self.paired}{written})"


def tuning_option_of(option: str, value: Any) -> Any:
    """Return the value of an option of Ft as its node holds it.

    Args:
        option: one of ``TUNING_OPTIONS``.
        value: as written, or as Python code gives it; None for an option left out.

    Raises:
        UsageError: out of range or of the wrong kind.
    """
    if value is None:
        return None
    if option == "heads":
        return read_heads(value)
    if option == "pairs":
        check_writable(value, "set of pairs")
        return value
    entry = _SETTINGS[TUNING_OPTIONS[option]]
    number = number_of(value)
    if number is None or (option != "lr" and not number.is_integer()):
        kind = "a number" if option == "lr" else "a whole number"
        shown = f"'{value}'" if number is None else print_number(number)
        raise UsageError(
            f"{option} is {shown}",
            why=f"it must be {kind}. {entry.metadata['description']}",
            fix=f"for instance {option}={_EXAMPLES[option]}",
        )
    check_setting(entry, number if option == "lr" else int(number), option)
    return number if option == "lr" else int(number)


def _written(option: str, value: Any) -> str:
    if option == "pairs":
        return quoted(value)
    return print_number(value) if option == "lr" else str(value).lower()
