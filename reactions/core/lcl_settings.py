"""The hyper-parameters of ``Lcl``: a lab's defaults, and what was published by data set."""

# No ``from __future__``: choices are read from annotations (see ``settings``).
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reactions.core.errors import UsageError, suggestion
from reactions.core.settings import check_settings, setting
from reactions.core.step import NOT_IN_KEY

MAX_TEMPERATURE = 1e3
"""Softer than this nothing is learnt."""


def read_flag(name: str, value: Any) -> bool:
    """Return a choice between true and false; also of the words, as the language has them.

    Raises:
        UsageError: it is neither.
    """
    # Not by ``in``: 1 equals True.
    for word, flag in (("true", True), ("false", False)):
        if value is flag or value == word:
            return flag
    raise UsageError(f"{name} is {value!r:.80}", why="it is true or false", fix=f"{name}=true")


def _read_symmetric(value: Any) -> bool:
    return read_flag("symmetric", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LclSettings:
    """Hyper-parameters of ``Lcl``, which a lab file gives under ``[lcl]``.

    What was published is in ``PRESETS``; these defaults are our own (docs/lcl.md).

    Raises:
        UsageError: a value is outside of its range, or not one of its choices.
    """

    temperature: float = setting(
        0.1,
        "Logits are cosines / temperature; published: 1.",
        gt=0,
        le=MAX_TEMPERATURE,
    )
    symmetric: bool = setting(
        False,
        "Whether descriptions are asked for items as well as items for descriptions.",
        metadata={"read": _read_symmetric},
    )
    duplicates: Literal["negatives", "masked"] = setting(
        "masked",
        "What items of a batch with the same description are to one another: 'negatives', as "
        "published, or 'masked', neither right nor wrong.",
    )
    init: Literal["identity", "default"] = setting(
        "default", "How a layer begins: 'identity', or PyTorch's 'default', as published."
    )
    epochs: int = setting(20, "Passes over the items.", gt=0, le=1_000_000)
    learning_rate: float = setting(
        5e-3, "Learning rate of the first step; it falls linearly to 0.", gt=0, le=10
    )
    batch_size: int = setting(64, "Items an optimiser step.", ge=2, le=1 << 20)
    weight_decay: float = setting(0.01, "AdamW's weight decay, of weights and biases.", ge=0)
    clip_norm: float = setting(1.0, "Largest norm of the gradient of a step.", gt=0)
    checkpoint_minutes: float = setting(
        10.0, "How much work a killed run may lose within a layer.", ge=0, metadata=NOT_IN_KEY
    )

    def __post_init__(self) -> None:
        check_settings(self, "lcl")


PUBLISHED: Mapping[str, Any] = {
    "temperature": 1.0,
    "symmetric": False,
    "duplicates": "negatives",
    "init": "default",
    "weight_decay": 0.01,
    "clip_norm": 1.0,
}
"""What all presets have in common: the settings of UniBind's released code."""


def _preset(batch_size: int, learning_rate: float, epochs: int) -> dict[str, Any]:
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "epochs": epochs}
    return {**PUBLISHED, **settings}


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "IN-1K": _preset(1024, 5e-4, 15),
    "P365": _preset(1024, 5e-5, 20),
    "cal": _preset(128, 1e-4, 20),
    "ModelNet40": _preset(128, 5e-5, 10),
    "ShapeNet": _preset(128, 5e-5, 10),
    "ESC": _preset(64, 1e-4, 10),
    "Urban-S": _preset(64, 1e-4, 10),
    "LLVIP": _preset(64, 1e-3, 20),
    "RGB-T": _preset(64, 5e-3, 20),
    "MSR-VTT": _preset(128, 5e-4, 20),
    "UCF-101": _preset(128, 5e-4, 20),
    "N-cal": _preset(128, 1e-4, 20),
    "N-IN-1K": _preset(1024, 5e-4, 15),
}
"""Settings by data set.

Source: UniBind, supplement, table 1, whose names these are.
"""

_TASKS: Mapping[str, str] = {
    "imagenet": "IN-1K",
    "places365": "P365",
    "caltech101": "cal",
    "esc50": "ESC",
    "urbansound8k": "Urban-S",
    "rgbt": "RGB-T",
    "msrvtt": "MSR-VTT",
    "ucf101": "UCF-101",
    "ncaltech101": "N-cal",
    "nimagenet": "N-IN-1K",
}
"""Names of our tasks that differ from the table's by more than case."""


def preset_named(name: object) -> str:
    """Return the name of a preset as the table has it; the task's name will do, in any case.

    Raises:
        UsageError: there is none of this name.
    """
    presets = {**{preset.casefold(): preset for preset in PRESETS}, **_TASKS}
    if not isinstance(name, str) or name.casefold() not in presets:
        raise UsageError(
            f"no preset is called {str(name)!r:.80}",
            why="presets are the rows of the supplement's table 1: " + ", ".join(PRESETS),
            fix=suggestion(str(name), [*PRESETS, *_TASKS]),
        )
    return presets[name.casefold()]
