"""Combining factors where a reaction gives none."""

from __future__ import annotations

from dataclasses import dataclass

from reactions.core.types import Mean, Modality, Op


@dataclass(frozen=True, slots=True)
class FactorDefaults:
    """Combining factors for shared modalities that a reaction gives none.

    Attributes:
        displacement: (modality, lambda) pairs; ``other_displacement`` for the rest.
        combination: (modality, sigma) pairs; ``other_combination`` for the rest.
        mean: how parallel experts are averaged.

    Source: Molecule-Space, section 4.2, footnote 1 (lambda 0.9; sigma 0.5 audio, 0.1 text).
    """

    displacement: tuple[tuple[Modality, float], ...] = ()
    other_displacement: float = 0.9
    combination: tuple[tuple[Modality, float], ...] = (("audio", 0.5), ("text", 0.1))
    other_combination: float = 0.1
    mean: Mean = "eq10"

    def of(self, op: Op, modality: Modality) -> float:
        """Return the default factor of the expert for one shared modality."""
        if op == "dr":
            return dict(self.displacement).get(modality, self.other_displacement)
        return dict(self.combination).get(modality, self.other_combination)
