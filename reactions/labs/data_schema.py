"""What a lab file may say of data: corpora, evaluation sets, and where they lie.

Annotations are evaluated at once, as in ``schema``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError

from reactions.core.errors import did_you_mean, suggestion
from reactions.data.sources.config import MAX_BAD
from reactions.eval.registry import task_names
from reactions.labs.mistakes import mistake
from reactions.labs.section import (
    Column,
    Columns,
    Delimiter,
    Section,
    Share,
    SomeColumns,
    SomeTexts,
    Text,
    Texts,
    for_editors,
)
from reactions.modalities import registry
from reactions.modalities.base import CheckDepth

# --- [corpora.MODALITY] ------------------------------------------------------------------


class World(Section):
    """Made-up items of the mini lab's world."""

    world: int = Field(description="Number of items.", json_schema_extra=for_editors(ge=1))


class ItemOptions(Section):
    """What is said of real items, however they are named."""

    skip: Texts = Field([], description="Ids to leave out.")
    max_bad: Share = Field(MAX_BAD, description="Share of items that may be unusable.")
    check: CheckDepth = Field(
        "header", description="Look for damage at header and end, or decode every file in full."
    )


class TableFormat(Section):
    """How tables are written, and which of their rows are taken."""

    header: bool = Field(True, description="Of csv and tsv: the first row names the columns.")
    delimiter: Delimiter = Field("", description="Of csv and tsv; found by itself if usual.")
    quoted: bool | None = Field(None, description='Of csv and tsv: whether "..." are fields.')
    where: dict[str, SomeTexts] = Field(
        {},
        description="Of a table: which rows are taken, those with one of these values in a column: "
        '{ split = "test" }.',
    )


MEMBER: Any = Field("", description="File of a shard's sample, such as left.jpg.")
COLUMN: Any = Field(
    [],
    description="Names of the columns, or numbers from 0: of captions in tables, or of media "
    "in parquet files; found by their names and types if usual.",
)
ID: Any = Field(None, description="Name or number of the ids' column; else rows count.")
IdColumn: TypeAlias = Annotated[
    Column | None, BeforeValidator(lambda column: None if column == "" else column)
]


class Files(ItemOptions):
    """Files, folders with all below them, shards, and parquet files."""

    path: SomeTexts = Field(
        description="A path, URL or pattern, or several. Relative paths start beside the lab file; "
        "$MOLSPACE_DATA is the folder of data."
    )
    member: str = MEMBER
    column: Columns = COLUMN
    id: IdColumn = ID

    @classmethod
    def missing(cls, name: str) -> PydanticCustomError:
        """Return the error for a table whose kind is unknown."""
        return mistake("", *_ONE_OF_THREE)

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if len(set(self.column)) < len(self.column):
            raise mistake("", ".column names a column twice")
        return self


class TextFiles(Files, TableFormat):
    """Captions: lines, tables, and shards with captions inside."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for key, column in (*(("column", c) for c in self.column), ("id", self.id)):
            if not self.header and isinstance(column, str) and column:
                raise mistake(
                    "",
                    f".{key} is '{column}', but with header = false none has a name",
                    f"give its number, from 0: {key} = 0",
                )
        return self


class FromDataset(Section):
    """Which data set of the Hugging Face hub, and what of it."""

    dataset: str = Field(
        "",
        description="ORG/NAME on the Hugging Face hub; ./FOLDER, or an absolute path, for one "
        "on this machine.",
    )
    config: str = Field("", description="Of a data set: a configuration; else the default.")
    split: Texts = Field([], description="Of a data set: its splits; else the only one.")
    revision: str = Field("", description="Of a data set on the hub: the commit, 40 hex digits.")
    streaming: bool = Field(
        False, description="Of a data set on the hub: read it there, and keep no copy."
    )

    @model_validator(mode="after")
    def _check_dataset(self) -> Self:
        for key in () if self.dataset else ("config", "split", "revision", "streaming"):
            if key in self.model_fields_set:
                raise mistake("", f".{key} goes with dataset", 'dataset = "ORG/NAME"')
        if self.dataset and getattr(self, "path", ""):
            raise mistake("", " has both dataset and path", "remove one")
        return self


class HubData(FromDataset, ItemOptions):
    """A data set as Hugging Face has them."""

    dataset: Text = Field(
        description="ORG/NAME on the Hugging Face hub; ./FOLDER, or an absolute path, for one on "
        "this machine."
    )
    member: str = MEMBER
    column: Columns = COLUMN
    id: IdColumn = ID


class Manifest(ItemOptions):
    """Items that a JSON Lines file lists."""

    manifest: str = Field(description="The file; a relative path starts beside the lab file.")


_ONE_OF_THREE = (
    " needs either world, manifest, dataset or path",
    'path = "captions.txt", a folder, "shards-{0000..0009}.tar", or a list of them',
)
_OF_TEXTS = [key for key in TextFiles.model_fields if key not in Files.model_fields]
# Set afterwards: each kind of table has to know the keys of the others.
World.ELSEWHERE = dict.fromkeys(
    [*TextFiles.model_fields, *HubData.model_fields, "manifest"],
    (" takes nothing beside world", "remove the rest"),
)
_OF_DATASETS = [key for key in FromDataset.model_fields if key != "dataset"]
Files.ELSEWHERE = (
    dict.fromkeys(("world", "manifest", "dataset"), _ONE_OF_THREE)
    | {key: (f".{key} goes with dataset", "remove it, or give dataset") for key in _OF_DATASETS}
    | {
        key: (f".{key} says how texts are read; other modalities have no such tables", "remove it")
        for key in _OF_TEXTS
    }
)
HubData.ELSEWHERE = dict.fromkeys(("world", "manifest", "path"), _ONE_OF_THREE) | {
    key: (f".{key} goes with path, not with dataset", "remove it") for key in _OF_TEXTS
}
Manifest.ELSEWHERE = dict.fromkeys(("world", "path", "dataset"), _ONE_OF_THREE) | {
    key: (f".{key} goes with path, not with manifest", "remove it")
    for key in [*_OF_TEXTS, *_OF_DATASETS, "column", "id", "member"]
}


def _source_kind(table: Any) -> str:
    keys = table if isinstance(table, Mapping) else ()
    return "#manifest" if "manifest" in keys else "#dataset" if "dataset" in keys else "#files"


def _corpus_kind(table: Any) -> str:
    if isinstance(table, list):
        return "#list"
    return "#world" if isinstance(table, Mapping) and "world" in table else _source_kind(table)


_OneManifest: TypeAlias = Annotated[Manifest, Tag("#manifest")]
_OneDataset: TypeAlias = Annotated[HubData, Tag("#dataset")]
_OneFiles: TypeAlias = Annotated[Files, Tag("#files")]
_OneTextFiles: TypeAlias = Annotated[TextFiles, Tag("#files")]
_OneWorld: TypeAlias = Annotated[World, Tag("#world")]
_AtLeastOne = Field(min_length=1)
_Sources: TypeAlias = Annotated[
    list[Annotated[_OneFiles | _OneManifest | _OneDataset, Discriminator(_source_kind)]],
    _AtLeastOne,
]
_TextSources: TypeAlias = Annotated[
    list[Annotated[_OneTextFiles | _OneManifest | _OneDataset, Discriminator(_source_kind)]],
    _AtLeastOne,
]
MediaCorpus: TypeAlias = Annotated[
    _OneWorld | _OneFiles | _OneManifest | _OneDataset | Annotated[_Sources, Tag("#list")],
    Discriminator(_corpus_kind),
]
TextCorpus: TypeAlias = Annotated[
    _OneWorld | _OneTextFiles | _OneManifest | _OneDataset | Annotated[_TextSources, Tag("#list")],
    Discriminator(_corpus_kind),
]


class Corpora(Section):
    """What to train on: a table for each modality, or a list of tables."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MediaCorpus]

    text: TextCorpus | None = None

    @classmethod
    def check_key(cls, key: str) -> None:
        """Refuse what is near a known modality's name; any other may be somebody's own."""
        names = registry.names()
        if key not in names and did_you_mean(key, names):
            raise mistake(f"unknown modality '{key}' in [", f".{key}]", suggestion(key, names))


# --- items of several modalities ----------------------------------------------------------


def _any_modality(schema: JsonSchemaValue) -> None:
    column = schema.pop("additionalProperties")
    schema["properties"] |= dict.fromkeys(registry.names(), column)
    schema["additionalProperties"] = False


class NamedMedia(ItemOptions, TableFormat):
    """Items of several modalities, each of which is a key."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_any_modality)
    __pydantic_extra__: dict[str, SomeColumns]

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return keys and modalities."""
        return [*super().known_keys(), *registry.names()]

    @classmethod
    def key_fix(cls, key: str) -> str:
        """Return near keys, and the modalities: theirs are the keys that people guess."""
        return f"{super().key_fix(key)}; modalities: {', '.join(registry.names())}"

    @property
    def media(self) -> Mapping[str, list[str | int]]:
        """Modalities, as they stand in the file, with their columns or folders."""
        return self.__pydantic_extra__


# --- [data] ------------------------------------------------------------------------------


class DataFolder(Section):
    """Where one evaluation set lies, as published."""

    MISSING_FIX = 'path = "FOLDER"'

    path: str = Field(description="Its folder, as published.")


def _name_tasks(schema: JsonSchemaValue) -> None:
    schema["properties"] |= dict.fromkeys(task_names(), schema["additionalProperties"])


class Data(Section):
    """Where evaluation sets lie."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_name_tasks)
    __pydantic_extra__: dict[str, DataFolder]

    root: str | None = Field(None, description="A folder with a folder for each set.")

    @classmethod
    def check_key(cls, key: str) -> None:
        """Take any name: it may be that of a set of one's own (``read_folders`` checks it)."""

    @model_validator(mode="before")
    @classmethod
    def _check_values(cls, table: Any) -> Any:
        for key, value in table.items() if isinstance(table, Mapping) else ():
            names = ("root", *task_names())
            if key not in names and not isinstance(value, Mapping):
                raise mistake("unknown key ", f".{key}", suggestion(key, names))
        return table

    def sets(self) -> Mapping[str, DataFolder]:
        """Return the sets that it names, by task."""
        return self.__pydantic_extra__
