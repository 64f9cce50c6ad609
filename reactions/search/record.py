"""What ``index.json`` says of an index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from reactions.core.errors import DataError, MissingError
from reactions.core.local_files import exists

RECORD: Final = "index.json"
SCHEMA: Final = "molspace.index/1"

Dtype = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that were written together.

    Attributes:
        name: of its folder.
        modality: of its items.
        n: how many rows.
        n_atoms: of each row.
        files: name to size in bytes and SHA-256.
    """

    name: str
    modality: str
    n: int
    n_atoms: int
    files: Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Approximation:
    """A structure for approximate neighbours of a modality's first rows.

    Attributes:
        kind: ``"ivf-pq"`` or ``"hnsw"``.
        n: rows that it knows.
        n_atoms: of each.
        name: of its file.
        size_bytes: of the file.
        digest: SHA-256 of the file.
    """

    kind: str
    n: int
    n_atoms: int
    name: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What ``index.json`` says.

    Attributes:
        space: digest of what made the embeddings: of the bundle, or of a space's encoders.
        bundle: where the bundle lay; "" for a space by itself.
        name: the canonical reaction, or the space's name.
        lab: label that every result carries.
        dim: width of the embeddings.
        dtype: of the atoms.
        free: names of the factors that a search chooses.
        fixed: names of those that the atoms hold.
        segments: in the order they were written.
        deleted: modality to row numbers, sorted.
        n_written: segments so far, for names.
        approximations: modality to what is searched in place of every row, where there is one.
    """

    space: str
    bundle: str
    name: str
    lab: str
    dim: int
    dtype: Dtype
    free: tuple[str, ...]
    fixed: tuple[str, ...]
    segments: tuple[Segment, ...] = ()
    deleted: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    n_written: int = 0
    approximations: Mapping[str, Approximation] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return {"schema": SCHEMA, **asdict(self)}


def read_record(directory: Path) -> IndexRecord:
    """Read what an index is.

    Raises:
        MissingError: there is no index.
        DataError: it is damaged, or of a later version.
    """
    path = directory / RECORD
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(
            f"no index at '{directory}'",
            why="it is a folder without index.json" if exists(directory) else "nothing is there",
            fix=f"molspace index BUNDLE FILES... --out {directory}",
            path=str(directory),
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(directory, str(error)) from error
    schema = body.get("schema") if isinstance(body, dict) else None
    if schema != SCHEMA:
        if isinstance(schema, str) and schema.startswith("molspace.index/"):
            raise DataError(
                f"the index '{directory}' is of a later version", why=schema, fix="update molspace"
            )
        raise damaged(directory, f"{RECORD} is not an index's")
    try:
        return _record(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(directory, f"{RECORD}: {error}") from error


def _record(body: Mapping[str, Any]) -> IndexRecord:
    segments = tuple(
        Segment(
            name=_name(entry["name"]),
            modality=str(entry["modality"]),
            n=int(entry["n"]),
            n_atoms=int(entry["n_atoms"]),
            files={
                _name(name): (int(size), str(digest))
                for name, (size, digest) in entry["files"].items()
            },
        )
        for entry in body["segments"]
    )
    if body["dtype"] not in ("float32", "float16"):
        raise ValueError(f"dtype is {body['dtype']!r}")
    return IndexRecord(
        **{name: str(body[name]) for name in ("space", "bundle", "name", "lab")},
        dim=int(body["dim"]),
        dtype=body["dtype"],
        free=tuple(map(str, body["free"])),
        fixed=tuple(map(str, body["fixed"])),
        segments=segments,
        deleted={str(m): tuple(map(int, numbers)) for m, numbers in body["deleted"].items()},
        n_written=int(body["n_written"]),
        approximations={
            str(modality): Approximation(
                kind=str(entry["kind"]),
                n=int(entry["n"]),
                n_atoms=int(entry["n_atoms"]),
                name=_name(entry["name"]),
                size_bytes=int(entry["size_bytes"]),
                digest=str(entry["digest"]),
            )
            for modality, entry in body.get("approximations", {}).items()
        },
    )


def _name(name: Any) -> str:
    """Return the name of a file or folder of an index, which never leads out of it."""
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is not a name")
    return name


def damaged(directory: Path, why: str) -> DataError:
    """Return an error about an index that is damaged."""
    return DataError(
        f"the index '{directory}' is damaged",
        why=why,
        fix="remove it, and build it again: molspace index",
        path=str(directory),
    )
