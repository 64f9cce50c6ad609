"""A hub repository in transformers' layout: which files its own files name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.local_files import is_file, read_text_file

MAX_JSON_BYTES = 64 << 20
"""Most bytes of a configuration, or of an index of weights."""

WEIGHTS_FORMS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files that hold the weights, or list the files that do; the best first."""


def named_files(folder: Path) -> list[str]:
    """Return the files that a model cannot do without: its configuration, and what files name.

    They name code of their own, and the parts of weights that are split. What cannot be read
    names nothing here: opening the repository reports it.
    """
    names = ["config.json"]
    with suppress(MolspaceError):
        names += map(code_file, code_references(read_json(folder / "config.json")))
    form = weights_form(folder)
    if form is not None and form.suffix == ".json":
        with suppress(DataError):
            names += weights_parts(form)
    return sorted({name for name in names if name})


def code_references(config: Mapping[str, Any]) -> list[str]:
    """Return the classes in code of its own that a configuration names, as ``MODULE.CLASS``."""
    auto_map = config.get("auto_map")
    references: list[Any] = []
    for value in auto_map.values() if isinstance(auto_map, Mapping) else ():
        references += value if isinstance(value, list) else [value]
    return [reference for reference in references if isinstance(reference, str)]


def code_file(reference: str) -> str:
    """Return the file of a class in a repository's code; "" where it lies in another's."""
    # transformers writes code of another repository as ORG/NAME--MODULE.CLASS.
    return "" if "--" in reference else f"{reference.rpartition('.')[0]}.py"


def weights_form(folder: Path) -> Path | None:
    """Return the best of ``WEIGHTS_FORMS`` that a folder has; None without any."""
    return next((folder / form for form in WEIGHTS_FORMS if is_file(folder / form)), None)


def weights_parts(index: Path) -> list[str]:
    """Return the files that an index of split weights lists, sorted.

    Raises:
        DataError: it is damaged.
    """
    try:
        return sorted({str(name) for name in _json(index)["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(index, error) from error


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        MissingError: there is no such file.
        DataError: it is not a JSON object.
    """
    try:
        content = _json(path)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except MissingError:
        raise MissingError(
            f"no file '{path}'", fix="fetch the whole repository", path=str(path)
        ) from None
    # Deeply nested JSON exhausts the stack: a RecursionError, not a ValueError.
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    return content


def _json(path: Path) -> Any:
    return json.loads(read_text_file(path, MAX_JSON_BYTES))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"cannot read '{path}'",
        why=str(error),
        fix="replace it with the published file",
        path=str(path),
    )
