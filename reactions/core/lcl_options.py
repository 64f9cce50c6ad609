"""What ``Lcl`` says of how linear layers are trained on a knowledge base."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

Duplicates: TypeAlias = Literal["negatives", "masked"]
"""Whether items of a batch with the same description count as negatives of one another."""

Init: TypeAlias = Literal["identity", "default"]
"""How a layer begins: as the identity, or as PyTorch begins a ``Linear``."""

Targets: TypeAlias = Literal["descriptions", "labels"]
"""What items are drawn to: their descriptions, or one prompt with their category's name."""

Norms: TypeAlias = Literal["unit", "published"]
"""Whether a layer takes unit-norm rows, or rows of the norm that the encoder's model gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LclOptions:
    """The options of an ``Lcl``; None, here and below, is what the preset says, else the lab.

    Attributes:
        temperature: logits are cosines / temperature.
        symmetric: whether descriptions are asked for items as well as items for descriptions.
        duplicates: what items with the same description are to one another.
        init: how a layer begins.
        epochs: passes over the items.
        lr: learning rate of the first step.
        batch: items an optimiser step.
        preset: numbers that were published for a data set, by its name.
        modalities: which get a layer, sorted; None for all that the knowledge base describes and
            the base embeds.
        targets: what items are drawn to; None for descriptions.
        norms: of what the layers take; None for unit norm.
    """

    temperature: float | None = None
    symmetric: bool | None = None
    duplicates: Duplicates | None = None
    init: Init | None = None
    epochs: int | None = None
    lr: float | None = None
    batch: int | None = None
    preset: str | None = None
    modalities: tuple[str, ...] | None = None
    targets: Targets | None = None
    norms: Norms | None = None

    @property
    def takes_raw_rows(self) -> bool:
        """Whether the layers take rows of the norm that the encoder's model gives."""
        return self.norms == "published"

    def to_json(self) -> dict[str, Any]:
        """Return the options that say something, in the order of the fields."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }


NO_LCL_OPTIONS = LclOptions()
"""Those of an ``Lcl`` that says nothing."""
