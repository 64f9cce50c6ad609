"""What a lab file may say of pairs: items of several modalities that belong together.

Annotations are evaluated at once, as in ``schema``.
"""

from typing import TypeAlias

from pydantic import Field

from reactions.labs.section import Section, for_editors


class _AnyPairs(Section):
    """What is said of pairs of any kind."""

    default: bool = Field(False, description="Whether they are used where no pairs are named.")


class WorldScenes(_AnyPairs):
    """The sound and the picture of made-up scenes."""

    MISSING_FIX = "world = 24000"

    world: int = Field(description="Number of scenes.", json_schema_extra=for_editors(ge=1))
    seen_by: str = Field(
        "",
        description="A space of the mini lab: the scenes that it was trained on, not fresh ones.",
    )
    training_seed: int = Field(
        0,
        description="Seed of that space's training.",
        json_schema_extra=for_editors(ge=0),
    )


Pairs: TypeAlias = WorldScenes
