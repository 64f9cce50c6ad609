"""What a lab file may say of pairs: items of two modalities that belong together.

Annotations are evaluated at once, as in ``schema``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from reactions.labs.data_schema import FromDataset, NamedMedia
from reactions.labs.mistakes import mistake
from reactions.labs.section import Column, Section, Share, Texts, for_editors
from reactions.modalities.videos.choice import MAX_CLIP_SECONDS, ClipChoice

_DEFAULT = Field(False, description="Whether they are used where a reaction names no pairs.")
_VIDEO = "video"
_CLIP = ClipChoice()


class WorldScenes(Section):
    """The sound and the picture of made-up scenes."""

    world: int = Field(description="Number of scenes.", json_schema_extra=for_editors(ge=1))
    seen_by: str = Field(
        "",
        description="A space of the mini lab: the scenes that it was trained on, not fresh ones.",
    )
    training_seed: int = Field(
        0, description="Seed of that space's training.", json_schema_extra=for_editors(ge=0)
    )
    default: bool = _DEFAULT


class MediaPairs(FromDataset, NamedMedia):
    """Pairs that a table lists, samples of shards, or clips of videos."""

    path: Texts = Field(
        [],
        description="Tables (csv, tsv, jsonl, parquet) whose columns the modalities name, or "
        "shards (.tar) whose files they name by ending. Without it, or dataset, video names the "
        "files.",
    )
    folder: str = Field("", description="Where the files lie that a table names; beside it.")
    id: Column | None = Field(None, description="Column of the ids; else files' names are ids.")
    by_id: bool = Field(False, description="Columns hold ids of embeddings, not names of files.")
    seconds: float = Field(
        _CLIP.seconds,
        description="Of videos: length of the clip.",
        json_schema_extra=for_editors(gt=0, le=MAX_CLIP_SECONDS),
    )
    clip_at: Share = Field(
        _CLIP.at, description="Of videos: where the clip lies, 0 at the start, 1 at the end."
    )
    picture_at: Share = Field(
        _CLIP.picture_at, description="Of videos: where in the clip the picture is taken."
    )
    default: bool = _DEFAULT

    @property
    def has_table(self) -> bool:
        """Whether a table or shards say what belongs together."""
        return bool(self.path or self.dataset)

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        names = list(self.media)
        if _VIDEO in names and len(names) > 1:
            raise mistake(
                "",
                f".{_VIDEO} gives a sound and a picture: {_others(names)} is too much",
                "remove it",
            )
        if _VIDEO not in names and len(names) != 2:
            raise mistake(
                "",
                f" is of {' and '.join(names) or 'no modality'}; pairs are of two",
                'path = "TABLE.csv", audio = "COLUMN" and image = "COLUMN"; or video = "FOLDER"',
            )
        if not self.has_table and _VIDEO not in names:
            raise mistake(
                "",
                ".path is missing: files of folders do not say which belong together",
                'path = "TABLE.csv", or "shards-{0000..0009}.tar"',
            )
        self._check_columns()
        self._check_options()
        return self

    def _check_columns(self) -> None:
        for modality, columns in self.media.items():
            if self.has_table and len(columns) != 1:
                raise mistake("", f".{modality} names {len(columns)} columns; a pair has one")
            if (
                not self.has_table
                and (number := next((c for c in columns if c != str(c)), None)) is not None
            ):
                raise mistake(
                    "",
                    f".{modality} is {number}, which is not a path",
                    'path = "TABLE.csv" has columns; without it, video = "FOLDER"',
                )
        columns_by_key = {
            **{modality: columns[0] for modality, columns in self.media.items()},
            "id": self.id,
        }
        for key, column in columns_by_key.items():
            if self.has_table and not self.header and isinstance(column, str):
                raise mistake(
                    "",
                    f".{key} is '{column}', but with header = false none has a name",
                    f"give its number, from 0: {key} = 0",
                )

    def _check_options(self) -> None:
        for key in (
            ()
            if self.has_table
            else ("folder", "id", "by_id", "where", "header", "delimiter", "quoted")
        ):
            if key in self.model_fields_set:
                raise mistake("", f".{key} goes with path, a table", "remove it, or give path")
        for key in () if _VIDEO in self.media else ("seconds", "clip_at", "picture_at"):
            if key in self.model_fields_set:
                raise mistake("", f".{key} goes with video", 'remove it, or give video = "FOLDER"')
        if not 0 < self.seconds <= MAX_CLIP_SECONDS:
            raise mistake(
                "",
                f".seconds must be above 0, and at most {MAX_CLIP_SECONDS:g}, not {self.seconds!r}",
            )
        if self.by_id and _VIDEO in self.media:
            raise mistake("", ".by_id does not go with video", "remove it")
        if self.by_id and (self.skip or self.id is not None):
            key = "skip" if self.skip else "id"
            raise mistake(
                "", f".{key} does not go with by_id: each side has ids of its own", "remove it"
            )


MediaPairs.ELSEWHERE = dict.fromkeys(
    ("world", "seen_by", "training_seed"), (" takes nothing beside world", "remove the rest")
)
WorldScenes.ELSEWHERE = dict.fromkeys(
    (*MediaPairs.model_fields, "audio", "image", _VIDEO),
    (" takes nothing beside world", "remove the rest"),
)


def _others(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in names if name != _VIDEO)


def _kind(table: Any) -> str:
    return "#world" if isinstance(table, Mapping) and "world" in table else "#media"


Pairs: TypeAlias = Annotated[
    Annotated[WorldScenes, Tag("#world")] | Annotated[MediaPairs, Tag("#media")],
    Discriminator(_kind),
]
