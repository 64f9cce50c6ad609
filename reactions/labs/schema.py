"""What a lab file may say: a model for each of its tables.

The models check keys, types and values, and give the JSON Schema that editors read
(``molspace lab schema``). What needs a disk, a model or the lab that is extended is checked where
the ``Lab`` is built, and so are ranges that hold beyond lab files (seed, hyper-parameters): here
they are for editors.

Annotations are evaluated when the module is imported (no ``from __future__``): pydantic would
compile each of them again.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from reactions.core.lcl_settings import LclSettings
from reactions.core.settings import ReactionSettings, TuningSettings
from reactions.core.types import Mean
from reactions.eval.registry import task_names
from reactions.labs.data_schema import Corpora, Data
from reactions.labs.knowledge_schema import KnowledgeSection
from reactions.labs.pairs_schema import Pairs
from reactions.labs.section import Factor, Section, check_table, for_editors
from reactions.labs.tasks_schema import OwnTask

# --- [lab], [reaction], [tuning], [lcl], [factors] -----------------------------------------------


class LabHeader(Section):
    """The lab itself."""

    name: str | None = Field(None, description="Its name; the file's or folder's by default.")
    label: str | None = Field(None, description="What every result says after 'lab:'.")
    extends: str | None = Field(
        None, description="A lab to start from: a built-in one's name, or a path."
    )
    seed: int | None = Field(
        None,
        description="Of generated corpora, of projectors, of evaluation data.",
        json_schema_extra=for_editors(ge=0),
    )
    world_tasks: bool | None = Field(
        None, description="Whether evaluation sets of the mini lab's world belong to it."
    )


def _settings(name: str, declared: type[Any], what: str) -> Any:
    settings: dict[str, Any] = {
        setting.name: (
            Any if "schema" in setting.metadata else setting.type,
            Field(
                setting.default,
                description=setting.metadata["description"],
                json_schema_extra=setting.metadata.get("schema")
                or for_editors(**setting.metadata["limits"]),
            ),
        )
        for setting in fields(declared)
    }
    doc = f"{what}; where it is silent, those of the lab that is extended."
    return create_model(name, __base__=Section, __doc__=doc, **settings)


if TYPE_CHECKING:
    Reaction = Section
    Tuning = Section
    Lcl = Section
else:
    Reaction = _settings("Reaction", ReactionSettings, "Hyper-parameters")
    Tuning = _settings("Tuning", TuningSettings, "Hyper-parameters of Ft")
    Lcl = _settings("Lcl", LclSettings, "Hyper-parameters of Lcl")
"""What ``ReactionSettings``, ``TuningSettings`` and ``LclSettings`` declare; they check the ranges,
and what has a schema of its own."""

Factors: TypeAlias = Annotated[dict[str, Factor], BeforeValidator(check_table)]


class DefaultFactors(Section):
    """Combining factors where a reaction gives none, by shared modality, and how experts mix."""

    displacement: Factors = Field(
        {}, alias="lambda", description="Of Dr: modality = factor; other = for all the rest."
    )
    combination: Factors = Field(
        {}, alias="sigma", description="Of Cr: modality = factor; other = for all the rest."
    )
    mean: Mean | None = Field(
        None,
        description="Of parallel experts: eq10 takes their mean as it is, unit rescales it to unit "
        "norm, as FreeBind's published code does.",
    )


# --- [spaces.NAME] -----------------------------------------------------------------------


class _Space(Section):
    hub: str | None = Field(None, description="The modality all others are bound to.")
    centre: bool = Field(False, description="Whether means are subtracted from embeddings.")


class _ModelSpace(_Space):
    event: str | None = Field(
        None, description="Events by the image tower: a style of event pictures, such as unibind."
    )
    video: str | None = Field(
        None, description="Videos by the image tower: frames-N, the mean of N evenly spaced frames."
    )


class UriSpace(_ModelSpace):
    """A model, described when it is first used."""

    uri: str = Field(description="SCHEME:PLACE, such as hf:ORG/REPO or open_clip:MODEL/TAG.")


class FolderSpace(_Space):
    """A folder of embeddings, a file for each modality."""

    path: str = Field(description="The folder; a relative one starts beside the lab file.")


class AdapterSpace(_ModelSpace):
    """A space described in full, for an adapter."""

    ELSEWHERE = dict.fromkeys(("uri", "path"), ("", ""))
    MISSING_FIX = "or give uri = a model, or path = a folder"
    TABLE_KEYS = 'path = "FOLDER" for embeddings, or uri = "SCHEME:PLACE" for a model'

    adapter: str = Field(description="A built-in adapter, or one of an installed package.")
    source: str = Field(description="A file beside the lab file, or what the adapter takes.")
    dim: int = Field(description="Width of its embeddings.", json_schema_extra=for_editors(ge=1))
    modalities: list[str] = Field(description="What it embeds.", json_schema_extra={"minItems": 1})
    revision: str = Field("", description="Of its weights: another one is another space.")
    licence: str = Field("", description="Of its weights.")
    digest: str = Field("", description="SHA-256 of its weights; computed where it is not given.")
    preprocessing: dict[str, str] = Field(
        {}, description="modality = tag: another tag is other embeddings."
    )
    towers: dict[str, str] = Field(
        {},
        description="modality = SHA-256 of SOURCE-MODALITY.safetensors, beside the source, which "
        'holds its tower; "" computes it.',
    )
    flops: dict[str, float] = Field({}, description="modality = FLOPs to embed one item.")
    lab: str = Field("", description="'mini' for stand-ins: all results made with them say so.")


def _space_kind(table: Any) -> str:
    keys = table.keys() if isinstance(table, Mapping) else ()
    return "#uri" if "uri" in keys else "#path" if "path" in keys else "#adapter"


Space: TypeAlias = Annotated[
    Annotated[UriSpace, Tag("#uri")]
    | Annotated[FolderSpace, Tag("#path")]
    | Annotated[AdapterSpace, Tag("#adapter")],
    Discriminator(_space_kind),
]


# --- the whole file ----------------------------------------------------------------------


def _own_tasks(schema: JsonSchemaValue) -> None:
    # Only a file with sets of its own may say where others than those known lie.
    names = {"propertyNames": {"enum": ["root", *task_names()]}}
    schema["if"] = {"not": {"required": ["tasks"]}}
    schema["then"] = {"properties": {"data": names}}


def _table() -> Any:
    # Not a default_factory, which would build the validator of every table on its own.
    return Field({}, validate_default=True)


class LabFile(Section):
    """A lab of molspace: spaces, corpora, evaluation sets and hyper-parameters."""

    model_config = ConfigDict(json_schema_extra=_own_tasks)

    lab: LabHeader = _table()
    reaction: Reaction = _table()
    tuning: Tuning = _table()
    lcl: Lcl = _table()
    factors: DefaultFactors = _table()
    spaces: Annotated[dict[str, Space], BeforeValidator(check_table)] = Field(
        {}, description="Space by name."
    )
    corpora: Corpora = _table()
    pairs: Annotated[dict[str, Pairs], BeforeValidator(check_table)] = Field(
        {}, description="Items of two modalities that belong together, by name: Ft tunes on them."
    )
    kb: Annotated[dict[str, KnowledgeSection], BeforeValidator(check_table)] = Field(
        {}, description="Knowledge bases by name: descriptions of categories and items."
    )
    data: Data = _table()
    tasks: Annotated[dict[str, OwnTask], BeforeValidator(check_table)] = Field(
        {}, description="Evaluation sets of one's own, by name."
    )


class _TomlSchema(GenerateJsonSchema):
    """JSON Schema for TOML, which has no null: what may be left out is not null then."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        value = super().default_schema(schema)
        return {k: v for k, v in value.items() if k != "default" or v not in (None, "", [], {})}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of lab files."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **LabFile.model_json_schema(schema_generator=_TomlSchema),
        "title": "molspace lab file",
    }
