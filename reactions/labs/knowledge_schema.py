"""What a lab file may say of knowledge bases.

Annotations are evaluated at once, as in ``schema``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

from reactions.labs.section import Section, Text, check_table, for_editors


def _percent(default: int, description: str) -> Any:
    return Field(default, description=description, json_schema_extra=for_editors(ge=0, le=100))


class WorldDescriptions(Section):
    """Descriptions of the mini lab's world, by a describer that errs as often as it is told to."""

    world: int = Field(
        description="Sentences about each category.", json_schema_extra=for_editors(ge=1)
    )
    scenes: int = Field(2000, description="Described scenes.", json_schema_extra=for_editors(ge=1))
    vocabulary: Literal["known", "open"] = Field(
        "known",
        description="Words that text towers were trained on; or open, half of them unknown.",
    )
    synonyms: bool = Field(True, description="Whether things go by several names.")
    stray: int = _percent(10, "Per cent of a category's sentences about something else.")
    bias: int = _percent(70, "Per cent of their attributes that are the category's usual one.")
    silent: int = _percent(65, "Per cent of their attributes that go unmentioned.")
    noun_error: int = _percent(10, "Per cent of items' captions that name another thing.")
    omit: int = _percent(30, "Per cent of attributes that items' captions do not mention.")
    mistake: int = _percent(8, "Per cent of the attributes in items' captions that are wrong.")


class DescriptionFile(Section):
    """A knowledge base in a parquet file."""

    MISSING_FIX = 'path = "kb.parquet"; or, in the mini lab, world = 1000'

    path: Text = Field(description="The file; a relative path starts beside the lab file.")
    items: Annotated[dict[str, Text], BeforeValidator(check_table)] = Field(
        {},
        description="modality = corpus: what its rows describe, instead of what the file says.",
    )


_REST = (" takes nothing beside world but the describer's errors", "remove the rest")
WorldDescriptions.ELSEWHERE = dict.fromkeys(DescriptionFile.model_fields, _REST)
DescriptionFile.ELSEWHERE = dict.fromkeys(
    WorldDescriptions.model_fields,
    (" takes path and items: the mini world is not in a file", "remove the rest"),
)


def _kind(table: Any) -> str:
    return "#world" if isinstance(table, Mapping) and "world" in table else "#file"


KnowledgeSection: TypeAlias = Annotated[
    Annotated[WorldDescriptions, Tag("#world")] | Annotated[DescriptionFile, Tag("#file")],
    Discriminator(_kind),
]
