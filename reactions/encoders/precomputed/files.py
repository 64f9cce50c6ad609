"""One file of embeddings, read by rows without loading it: npy, safetensors or parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.encoders.precomputed.ids import ids_of_array, parse_ids
from reactions.encoders.precomputed.names import id_name
from reactions.encoders.precomputed.parquet import Parquet as _Parquet
from reactions.encoders.precomputed.tables import (
    EmbeddingFile,
    gather,
    npy_of,
    shape_of,
    unreadable,
)

SUFFIXES = (".npy", ".parquet", ".safetensors")

OWN_FORMAT = "molspace-embeddings-1"
"""What ``molspace infer`` says of its outputs; their ids lie in a file of items beside them."""


def open_embeddings(path: Path, modality: str = "") -> EmbeddingFile:
    """Open a file of embeddings; only its header is read.

    Args:
        path: of the file.
        modality: of its rows, by which names of ids are understood; "" for any.

    Raises:
        DataError: it is damaged, empty, or holds no 2-d array of floats.
        MissingError: it needs an optional package.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _Npy(path)
    if suffix == ".safetensors":
        return _Safetensors(path, modality)
    return _Parquet(path, modality)


# --- npy -----------------------------------------------------------------------------


class _Npy:
    def __init__(self, path: Path) -> None:
        self.path = path
        shape, dtype, is_fortran, offset = npy_of(path)
        self.shape = shape_of(path, shape, dtype.name, dtype.kind == "f")
        self._layout = (dtype, offset, "F" if is_fortran else "C")

    def ids(self) -> list[Any] | None:
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        dtype, offset, order = self._layout
        return gather(_mapped(self.path, dtype, offset, self.shape, order), rows)


def _mapped(
    path: Path, dtype: Any, offset: int, shape: tuple[int, ...], order: str = "C"
) -> NDArray[Any]:
    """Map an array of a file for one reading.

    Maps keep a descriptor open, a folder may hold hundreds of files, and a process may have 256
    open; mapping takes microseconds.

    Raises:
        DataError: the file is not what it was.
    """
    try:
        return np.memmap(path, dtype, "r", offset, shape, "F" if order == "F" else "C")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


# --- safetensors ---------------------------------------------------------------------

# numpy has no bfloat16: its bits are read as integers, and widened after reading.
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INTEGERS = {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}


_MAX_TENSORS = 1000


class _Safetensors:
    def __init__(self, path: Path, modality: str) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        self._modality = modality
        try:
            with safe_open(path, "np") as stored:  # checks the header against the file
                names = list(stored.keys())
            if len(names) > _MAX_TENSORS:
                raise ValueError(f"it holds {len(names):,} tensors")
            with path.open("rb") as stream:
                # Read again, as the library does not say where in the file a tensor lies.
                header_bytes = int.from_bytes(stream.read(8), "little")
                self._header = json.loads(stream.read(header_bytes))
        except (OSError, SafetensorError, ValueError, RecursionError) as error:
            raise unreadable(path, error) from error
        self._begin = 8 + header_bytes
        self.metadata: dict[str, str] = dict(self._header.get("__metadata__") or {})
        name = self._pick(names)
        self._id_tensor = id_name(
            [other for other in names if other != name], modality, self._place
        )
        self.unread = tuple(sorted(n for n in names if n not in (name, self._id_tensor)))
        entry = self._header[name]
        shape, dtype = tuple(entry["shape"]), entry["dtype"]
        self.shape = shape_of(path, shape, dtype, dtype in _FLOATS)
        self._bfloat16 = dtype == "BF16"
        self._name = name

    @property
    def _place(self) -> str:
        return f"'{self.path}'"

    def _mapped(self, name: str, dtype: str) -> NDArray[Any]:
        # Mapped by ourselves: the library slices single ranges only, and no bfloat16.
        entry = self._header[name]
        offset = self._begin + entry["data_offsets"][0]
        return _mapped(self.path, dtype, offset, tuple(entry["shape"]))

    def _pick(self, names: list[str]) -> str:
        if len(names) == 1:
            return names[0]
        usual = [n for n in (self.path.stem, "embeddings", "embedding") if n in names]
        if usual:
            return usual[0]
        tables = [n for n in names if len(self._header[n]["shape"]) == 2]
        ids = id_name([n for n in names if n not in tables], self._modality, self._place)
        if len(names) == 2 and len(tables) == 1 and ids:
            return tables[0]
        raise DataError(
            f"cannot tell which tensor of '{self.path}' holds the embeddings",
            why=f"it has {len(names)}: {', '.join(sorted(names)[:5])}" if names else "it has none",
            fix="keep one tensor, or name it 'embeddings'",
            path=str(self.path),
        )

    def ids(self) -> list[Any] | None:
        lists = [key for key, text in self.metadata.items() if text.lstrip().startswith("[")]
        key = next((k for k in ("ids", "keys", f"{self._modality}_ids") if k in self.metadata), "")
        key = key or id_name(lists, self._modality, f"the metadata of {self._place}")
        if key and self._id_tensor:
            raise DataError(
                f"ids given more than once in '{self.path}'",
                why=f"the metadata '{key}' and the tensor '{self._id_tensor}'",
                fix="keep one",
                path=str(self.path),
            )
        if key:
            return parse_ids(self.metadata[key], f"the metadata of '{self.path}'", self.shape[0])
        if not self._id_tensor:
            return None
        entry = self._header[self._id_tensor]
        if entry["dtype"] not in _INTEGERS or 0 in entry["shape"]:
            raise DataError(
                f"cannot read the ids in '{self.path}'",
                why=f"the tensor '{self._id_tensor}' is {entry['dtype']} of shape "
                f"{tuple(entry['shape'])}; ids are whole numbers, one a row",
                fix="give texts as a JSON list in the metadata 'ids', or beside the file",
                path=str(self.path),
            )
        array = self._mapped(self._id_tensor, _INTEGERS[entry["dtype"]])
        return ids_of_array(array, f"the tensor '{self._id_tensor}' of '{self.path}'")

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        dtype = _FLOATS[self._header[self._name]["dtype"]]
        values = gather(self._mapped(self._name, dtype), rows)
        if self._bfloat16:  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values
