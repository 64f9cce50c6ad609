"""What ``Ft`` says of how a product is tuned."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

Heads: TypeAlias = bool | Literal["only"]
"""Whether copies of the projectors are tuned beside the encoder (``True``), the encoder alone is
(``False``), or the copies alone (``"only"``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningOptions:
    """The options of an ``Ft``.

    Attributes:
        heads: what is tuned; the lab's choice where the reaction gives none.
        epochs: passes over the pairs; None here and below: as the lab says.
        lr: peak learning rate of all that is tuned.
        batch: pairs an optimiser step.
        lora: rank of low-rank updates of the encoder's linear layers, instead of its weights;
            None tunes the weights.
        pairs: name of the lab's pairs; None takes the only ones that fit.
    """

    heads: Heads = True
    epochs: int | None = None
    lr: float | None = None
    batch: int | None = None
    lora: int | None = None
    pairs: str | None = None

    @property
    def tunes_encoder(self) -> bool:
        """Whether the encoder changes, and not the projectors alone."""
        return self.heads != "only"

    def to_json(self) -> dict[str, Any]:
        """Return the options that are not the default, in the order of the fields."""
        values = {entry.name: (getattr(self, entry.name), entry.default) for entry in fields(self)}
        # By type as well: True equals 1.
        return {
            name: value
            for name, (value, default) in values.items()
            if (type(value), value) != (type(default), default)
        }


NO_OPTIONS = TuningOptions()
"""Those of an ``Ft`` that says nothing."""
