"""What a lab file may say of evaluation sets of one's own: ``[tasks.NAME]``.

Annotations are evaluated at once, as in ``schema``.
"""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from reactions.core.errors import suggestion
from reactions.labs.data_schema import FromDataset, NamedMedia
from reactions.labs.mistakes import mistake
from reactions.labs.section import Column, Columns, Text, Texts
from reactions.modalities import registry
from reactions.modalities.text import TEXT


def _check_ids(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if isinstance(value, bool) or (
        isinstance(names, list) and names and all(isinstance(n, str) and n.strip() for n in names)
    ):
        return names
    raise mistake("", f" is {value!r}, neither true nor modalities", 'by_id = ["image"], or true')


_ByID: TypeAlias = Annotated[
    bool | list[str],
    BeforeValidator(
        _check_ids,
        json_schema_input_type=bool | Text | Annotated[list[Text], Field(min_length=1)],
    ),
]


class OwnTask(FromDataset, NamedMedia):
    """An evaluation set of one's own: a table of files (path), or folders."""

    kind: Literal["retrieval", "classification", "multilabel"] = Field(
        description="Pairs to be found in both directions, or items of one class, or of several."
    )
    path: str = Field(
        "",
        description="A csv, tsv, jsonl or parquet file, annotations (json), shards (.tar), or a "
        "pattern of parquet files or shards; modalities name its columns then, those of dataset, "
        "or the endings of samples' files. Without either they name folders: pairs have the same "
        "names, classes a folder each.",
    )
    folder: str = Field("", description="Where the files lie that the table names; beside it.")
    labels: Columns = Field([], alias="class", description="Columns that hold the classes.")
    separator: str = Field("", description="Between several classes in one field.")
    literal: bool = Field(
        False, description="Take texts and classes that look like files' names for what they are."
    )
    by_id: _ByID = Field(
        False,
        description="Columns hold ids of embeddings, not texts or files: all of them, and classes; "
        "or those of the modalities that are named.",
    )
    templates: Texts = Field([], description='Prompts, such as "a photo of a {class}."')
    main_score: str = Field("", description="The metric that stands for the set.")
    title: str = Field("", description="What lists call it; its name by default.")
    licence: str = Field("", description="Of its data.")
    citation: str = Field("", description="Author and year.")
    id: Column | None = Field(None, description="Column of the ids; else files' names are ids.")

    MISSING_FIX = 'kind = "retrieval", "classification" or "multilabel"'

    @property
    def has_table(self) -> bool:
        """Whether it lies in a table, rather than in folders."""
        return bool(self.path or self.dataset)

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        needed = 2 if self.kind == "retrieval" else 1
        if len(self.media) != needed:
            modalities_named = ", ".join(self.media) or "none"
            n = "1 modality" if len(self.media) == 1 else f"{len(self.media)} modalities"
            raise mistake(
                "",
                f" names {n} ({modalities_named}); {self.kind} takes {needed}",
                'audio = "COLUMN" with path = "TABLE.csv", or audio = "FOLDER" without path',
            )
        for modality, columns in self.media.items():
            if not self.has_table and (len(columns) != 1 or not isinstance(columns[0], str)):
                raise mistake(
                    "",
                    f".{modality} is not one folder",
                    f'{modality} = "FOLDER", or path = "TABLE.csv" and columns of it',
                )
            if not self.has_table and registry.get(modality).inline:
                raise mistake(
                    "",
                    f".{modality} is not a folder of files: {modality} comes in tables",
                    'path = "TABLE.csv", and the columns of it',
                )
        if len(self.labels) and self.kind == "retrieval":
            raise mistake("", ".class does not go with retrieval", "remove it")
        if not self.labels and self.has_table and self.kind != "retrieval":
            raise mistake("", ".class is missing", 'class = "COLUMN" with the names of the classes')
        if self.kind == "multilabel" and not self.has_table:
            raise mistake("", ".path is missing: several classes of an item come in tables")
        if self.separator and self.kind != "multilabel":
            raise mistake("", ".separator goes with multilabel alone", "remove it")
        self._check_by_id()
        for key in () if self.has_table else _OF_TABLES:
            if key in self.model_fields_set:
                name = OwnTask.model_fields[key].alias or key
                raise mistake("", f".{name} goes with path, a table", "remove it, or give path")
        return self

    @property
    def named_by_id(self) -> frozenset[str]:
        """Modalities whose columns hold ids of embeddings; ``text`` stands for classes, too."""
        if isinstance(self.by_id, list):
            return frozenset(self.by_id)
        return frozenset(self._may_be_by_id) if self.by_id else frozenset()

    @property
    def _may_be_by_id(self) -> list[str]:
        return list(dict.fromkeys([*self.media, *([TEXT.name] if self.labels else [])]))

    def _check_by_id(self) -> None:
        by_id = self.named_by_id
        for name in sorted(by_id.difference(self._may_be_by_id)):
            fix = suggestion(name, self._may_be_by_id)
            raise mistake("", f".by_id names '{name}', which it has no column of", fix)
        query = min(self.media, key=lambda modality: modality == TEXT.name)
        has_no_files = all(m in by_id or registry.get(m).inline for m in self.media)
        for key, has_no_use in (
            ("id", query in by_id),
            ("folder", bool(by_id) and has_no_files),
            ("literal", by_id >= {*self.media, TEXT.name}),
        ):
            if has_no_use and key in self.model_fields_set:
                raise mistake("", f".{key} says nothing about ids of embeddings", "remove it")


_OF_TABLES = (
    *("folder", "labels", "separator", "literal", "by_id", "id", "where"),
    *("header", "delimiter", "quoted"),
)
