"""Naming what items show by prompts alone, in the words that suit their modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reactions.core.errors import UsageError
from reactions.core.types import Item, Modality
from reactions.inference.classify import Classifier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_templates(templates: Sequence[str]) -> None:
    """Refuse prompts in which no class is named.

    Raises:
        UsageError: one lacks ``{class}``.
    """
    for template in templates:
        if "{class}" not in template:
            raise UsageError(
                f"the prompt '{template}' names no class",
                fix='write {class} where the name goes: "a photo of a {class}."',
            )


class PromptedClasses:
    """Classes that prompts stand for; those of a modality are embedded when its first item comes.

    Args:
        classes: names.
        templates_of: the prompts that suit a modality.
        make: embeds the classes in some prompts.
        on_prompts: called once a modality, with its prompts.

    Attributes:
        classes: names.
        prompts: that were used, by modality.
    """

    def __init__(
        self,
        classes: Sequence[str],
        templates_of: Callable[[Modality], tuple[str, ...]],
        make: Callable[[tuple[str, ...]], Classifier],
        on_prompts: Callable[[Modality, tuple[str, ...]], None] = lambda modality, prompts: None,
    ) -> None:
        self.classes = tuple(classes)
        self.prompts: dict[Modality, tuple[str, ...]] = {}
        self._templates_of = templates_of
        self._make = make
        self._on_prompts = on_prompts
        self._classifiers: dict[tuple[str, ...], Classifier] = {}

    @property
    def about(self) -> Mapping[str, Any]:
        """What stands for the classes: JSON-able."""
        prompts = {modality: list(templates) for modality, templates in self.prompts.items()}
        return {"prompts": prompts, "zero_shot": True}

    def of_items(
        self, items: Sequence[Item], rows: NDArray[np.float32], n: int
    ) -> list[list[tuple[str, float]]]:
        """Return the classes that items score highest in, as ``Classifier.best`` does.

        Args:
            items: of any modalities.
            rows: (m, d) unit-norm embeddings of them.
            n: how many classes an item.
        """
        best: list[list[tuple[str, float]]] = [[]] * len(items)
        for modality in dict.fromkeys(item.modality for item in items):
            places = [i for i, item in enumerate(items) if item.modality == modality]
            named = self._classifier(modality).best(rows[places], n)
            for place, classes in zip(places, named, strict=True):
                best[place] = classes
        return best

    def _classifier(self, modality: Modality) -> Classifier:
        if modality not in self.prompts:
            self.prompts[modality] = self._templates_of(modality)
            self._on_prompts(modality, self.prompts[modality])
        templates = self.prompts[modality]
        if templates not in self._classifiers:
            self._classifiers[templates] = self._make(templates)
        return self._classifiers[templates]
