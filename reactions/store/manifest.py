"""What an entry of the store says about itself."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from reactions.core import left_out
from reactions.core.hashing import JSON, digest
from reactions.core.left_out import LeftOut
from reactions.core.step import Artifact
from reactions.core.types import Digest
from reactions.store import made_by
from reactions.store.files import write_rows
from reactions.store.layout import FORMAT
from reactions.store.made_by import MadeBy
from reactions.store.places import StorePlace

MAX_BYTES = 256 << 20
"""A record of a million shards is smaller."""


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One file with consecutive rows of one array."""

    file: str
    rows: int
    size_bytes: int
    sha256: Digest

    def problem(self, sizes: Mapping[str, int]) -> str:
        """Return what is wrong with the file's size, or "".

        Args:
            sizes: of the files where it lies.
        """
        size_bytes = sizes.get(self.file)
        if size_bytes is None:
            return f"{self.file} cannot be read ({os.strerror(errno.ENOENT)})"
        if size_bytes != self.size_bytes:
            return f"{self.file} has {size_bytes} bytes instead of {self.size_bytes}"
        return ""


@dataclass(frozen=True, slots=True)
class ArrayRecord:
    """One array: its dtype as numpy writes it (``"<f4"``), its shape, and its files in order."""

    dtype: str
    shape: tuple[int, ...]
    shards: tuple[ShardFile, ...]

    def to_json(self) -> JSON:
        """Return the JSON object of an array."""
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "shards": [
                {
                    "file": shard.file,
                    "rows": shard.rows,
                    "size_bytes": shard.size_bytes,
                    "sha256": shard.sha256,
                }
                for shard in self.shards
            ],
        }


@dataclass(frozen=True, slots=True)
class EntryManifest:
    """The record of one entry, or of one finished shard of an entry in the making.

    Attributes:
        seconds: that making it took; None where that is not known, as in earlier versions.
        made_by: which devices made which rows, as far as that is known.
        left_out: what an encoder left out of the items; None where it was not counted.
    """

    key: Digest
    kind: str
    label: str
    preimage: Mapping[str, Any]
    meta: Mapping[str, Any]
    arrays: Mapping[str, ArrayRecord]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: float | None = None
    made_by: tuple[MadeBy, ...] = ()
    left_out: LeftOut | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of all array files."""
        return sum(shard.size_bytes for record in self.arrays.values() for shard in record.shards)

    @property
    def digest(self) -> Digest:
        """Digest of what others rely on; the key is held against the entry's place."""
        arrays = {name: record.to_json() for name, record in self.arrays.items()}
        body = {"kind": self.kind, "label": self.label, "arrays": arrays}
        return digest("manifest", {**body, "preimage": self.preimage, "meta": self.meta})

    def problems(self, folder: Path, *, full: bool, place: StorePlace) -> list[str]:
        """Return what is wrong with the files.

        Args:
            folder: where they lie.
            full: hash their bytes, not only compare their sizes.
            place: what reads them.
        """
        try:
            sizes = place.sizes(folder)
        except FileNotFoundError:
            sizes = {}
        problems = []
        for shard in (shard for record in self.arrays.values() for shard in record.shards):
            problem = shard.problem(sizes)
            if not problem and full and place.digest(folder / shard.file) != shard.sha256:
                problem = f"{shard.file} does not have the recorded digest"
            problems.append(problem)
        return [problem for problem in problems if problem]

    def to_json(self) -> JSON:
        """Return the JSON object that ``read`` reads."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "key": self.key,
            "kind": self.kind,
            "label": self.label,
            "created": self.created,
            **({} if self.seconds is None else {"seconds": self.seconds}),
            **({"made_by": [part.to_json() for part in self.made_by]} if self.made_by else {}),
            **({} if self.left_out is None else {"left_out": self.left_out.to_json()}),
            "preimage": self.preimage,
            "meta": self.meta,
            "arrays": {name: record.to_json() for name, record in self.arrays.items()},
        }

    @classmethod
    def read(cls, path: Path, place: StorePlace) -> EntryManifest:
        """Read and check a manifest.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a manifest of this format; the message says why.
        """
        return cls.parse(place.load(path, MAX_BYTES))

    @classmethod
    def parse(cls, data: bytes) -> EntryManifest:
        """Check a manifest's bytes.

        Raises:
            ValueError: it is not a manifest of this format; the message says why.
        """
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise ValueError(f"its format is {value['format']!r:.40}, not {FORMAT}")
            arrays = {name: _array(record) for name, record in value["arrays"].items()}
            manifest = cls(
                key=_text(value["key"]),
                kind=_text(value["kind"]),
                label=_text(value["label"]),
                preimage=_preimage(value["preimage"]),
                meta=dict(value["meta"]),
                arrays=arrays,
                created=datetime.fromisoformat(value["created"]).isoformat(timespec="seconds"),
                seconds=_seconds(value.get("seconds")),
                made_by=made_by.parse(value.get("made_by")),
                left_out=left_out.parse(value.get("left_out")),
            )
            # Entries of earlier versions have none.
            if "digest" in value and value["digest"] != manifest.digest:
                raise ValueError("its manifest was changed after it was written")
        except (
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            UnicodeError,
            json.JSONDecodeError,
        ) as error:
            raise ValueError(f"its manifest is malformed ({error!r})"[:300]) from error
        return manifest


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not text")
    return value


def _seconds(value: JSON) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 <= value < math.inf):
        raise TypeError(f"{value!r:.40} is not a time")
    return None if value is None else float(value)


def _length(value: JSON) -> int:
    # Not isinstance: True is an int as well.
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise TypeError(f"{value!r:.40} is not a length")
    return value


def _preimage(value: JSON) -> dict[str, Any]:
    preimage = dict(value)
    if not isinstance(preimage.get("params", {}), dict):
        raise TypeError("its parameters are not an object")
    for name, key in dict(preimage.get("inputs", {})).items():
        _text(name), _text(key)
    return preimage


def _array(value: JSON) -> ArrayRecord:
    shards = tuple(
        ShardFile(
            _text(shard["file"]),
            _length(shard["rows"]),
            _length(shard["size_bytes"]),
            _text(shard["sha256"]),
        )
        for shard in value["shards"]
    )
    dtype = np.dtype(_text(value["dtype"]))
    # Objects could only be read by unpickling, which runs code.
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None:
        raise TypeError(f"no array is stored as {dtype}")
    record = ArrayRecord(dtype.str, tuple(map(_length, value["shape"])), shards)
    if record.shape[:1] != (sum(shard.rows for shard in shards),):
        raise ValueError("its shards do not add up to its shape")
    row_bytes = dtype.itemsize * math.prod(record.shape[1:])
    for shard in shards:
        # A manifest from elsewhere must not name files outside of its folder.
        if Path(shard.file).name != shard.file:
            raise ValueError(f"{shard.file!r:.80} is not a plain file name")
        if shard.rows * row_bytes > shard.size_bytes:
            raise ValueError(f"{shard.file} is too short for {shard.rows} rows")
    return record


def write_arrays(folder: Path, artifact: Artifact, prefix: str) -> dict[str, ArrayRecord]:
    """Write each array of an artifact as one file of a folder, named by prefix and number.

    Array names are free strings, so they stay out of file names.
    """
    records = {}
    for number, (name, rows) in enumerate(sorted(artifact.arrays.items())):
        file = f"{prefix}{number}.npy"
        size_bytes, sha256 = write_rows(folder / file, rows)
        shape = tuple(int(n) for n in rows.shape)
        records[name] = ArrayRecord(
            np.dtype(rows.dtype).str, shape, (ShardFile(file, shape[0], size_bytes, sha256),)
        )
    return records
