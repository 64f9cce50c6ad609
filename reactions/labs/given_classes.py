"""Classes that are given as names, and the prompts that they are written into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from reactions.core.local_files import expand_user, is_file
from reactions.core.types import Modality
from reactions.eval.class_texts import BARE_NAME
from reactions.labs.generators import classes_of
from reactions.labs.lab import Lab
from reactions.labs.task_sections import TEMPLATES


@dataclass(frozen=True)
class GivenClasses:
    """Classes and their prompts.

    Attributes:
        name: of the file or task that has them.
        classes: names, each once.
        templates: prompts for items of any modality; () for those that are usual for each.
    """

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...] = ()

    @classmethod
    def read(cls, lab: Lab, text: str, templates: Sequence[str] = ()) -> Self:
        """Return what ``--classes`` names; a task brings its own prompts.

        Raises:
            MolspaceError: as of ``classes_of``.
        """
        name, classes = classes_of(lab, text)
        if not templates and not is_file(expand_user(text)):
            templates = lab.parse_tasks(name)[0].templates
        # ImageNet's two cranes have one name, which is what an item is called.
        return cls(name, tuple(dict.fromkeys(classes)), tuple(templates))

    def templates_of(self, modality: Modality) -> tuple[str, ...]:
        """Return the prompts for items of a modality; without usual ones, the bare name."""
        return self.templates or TEMPLATES.get(modality, (BARE_NAME,))
