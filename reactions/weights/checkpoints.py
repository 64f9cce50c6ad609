"""Checkpoints that cannot be used: one clear error, and never code that a file brings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reactions.core.errors import DataError, MolspaceError
from reactions.core.types import Digest, SpaceSpec

_SHOWN = 3
_KEYS = re.compile(r"(Missing|Unexpected) key\(s\) in state_dict: (.*)")
_SHAPES = re.compile(
    r"size mismatch for (\S+): .*?torch\.Size\(\[(.*?)\]\).*?torch\.Size\(\[(.*?)\]\)"
)


def unfit(
    space: str,
    path: Path,
    *,
    missing: Sequence[str] = (),
    unexpected: Sequence[str] = (),
    mismatched: Sequence[tuple[str, str, str]] = (),
) -> DataError:
    """Return the error for a checkpoint whose tensors are not those of the model.

    Args:
        space: whose checkpoint it is.
        path: the file or folder.
        missing: keys that the model has and the checkpoint lacks.
        unexpected: keys that the checkpoint has and the model lacks.
        mismatched: (key, shape in the checkpoint, shape in the model).
    """
    shapes = [f"{key} is ({found}), not ({wanted})" for key, found, wanted in mismatched]
    parts = [
        f"{len(keys)} {what}: {', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
        if keys
    ]
    return DataError(
        f"the weights of space '{space}' do not fit its model",
        why=f"'{path}': {'; '.join(parts)}",
        fix="give the checkpoint of this very model",
        space=space,
        path=str(path),
        missing=list(missing),
        unexpected=list(unexpected),
        mismatched=[list(entry) for entry in mismatched],
    )


def verify_digest(spec: SpaceSpec, found: Digest, path: Path) -> None:
    """Check that weights are those that a space was described by.

    Raises:
        DataError: they are others; projectors and stored results belong to the former.
    """
    if spec.weights_digest and found != spec.weights_digest:
        raise DataError(
            f"the weights of space '{spec.name}' changed",
            why=f"'{path}' is not what this was planned or trained with",
            fix="restore the file, or run the reaction again",
            space=spec.name,
            path=str(path),
            expected=spec.weights_digest,
            found=found,
        )


def refuse_code(path: Path) -> None:
    """Check that a checkpoint holds tensors and nothing that could run.

    Packages read checkpoints in their own ways, some of which fall back to plain unpickling;
    this reads it safely before they do, mapped, so that it costs little.

    Raises:
        DataError: it holds more than tensors, or is damaged.
        MissingError: torch is too old to tell.
    """
    if path.suffix not in (".safetensors", ".npz"):  # which hold nothing else by construction
        from reactions.weights.safe_load import read_tensors  # describing a space needs no torch

        read_tensors(path)


@contextmanager
def package_errors(space: str, path: Path) -> Iterator[None]:
    """Turn whatever a package raises over a checkpoint into one DataError.

    Raises:
        DataError: the block raised anything but our own errors.
    """
    try:
        yield
    except (MolspaceError, MemoryError):
        raise
    # The set is open: torch, pickle, zipfile, safetensors and the package's own conversions
    # each raise what they meet, and every one of them means an unusable file.
    except Exception as error:
        raise _explained(space, path, error) from error


def _explained(space: str, path: Path, error: Exception) -> DataError:
    text = str(error)
    keys = {what: re.findall(r'"([^"]+)"', found) for what, found in _KEYS.findall(text)}
    shapes = _SHAPES.findall(text)
    if keys or shapes:
        return unfit(
            space,
            path,
            missing=keys.get("Missing", ()),
            unexpected=keys.get("Unexpected", ()),
            mismatched=shapes,
        )
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return DataError(
        f"cannot read the weights of space '{space}'",
        why=f"'{path}': {first}",
        fix="fetch or copy it again",
        space=space,
        path=str(path),
    )
