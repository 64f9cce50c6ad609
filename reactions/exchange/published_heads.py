"""Published projector files: read without running what they hold, and checked tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import file_digest
from reactions.core.local_files import is_file
from reactions.core.types import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

TensorLayout = Mapping[str, tuple[int | str, ...]]
"""Tensor name to shape: numbers, and names of widths that the file itself decides."""

_COUNTER = "num_batches_tracked"
_SHOWN = 3


@dataclass(frozen=True)
class PublishedHead:
    """A projector as published.

    Attributes:
        path: its file.
        sha256: of the file.
        widths: what the names in the layout stand for.
        tensors: name to float32 array, without BatchNorm's step counters, which only matter
            to a cumulative average.
    """

    path: Path
    sha256: Digest
    widths: Mapping[str, int]
    tensors: Mapping[str, NDArray[np.float32]] = field(repr=False)


def linear(name: str, n_in: int | str, n_out: int | str) -> TensorLayout:
    """Return the layout of a linear layer."""
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def batch_norm(name: str, width: int | str) -> TensorLayout:
    """Return the layout of a batch normalisation."""
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{key}": (width,) for key in vectors}, f"{name}.{_COUNTER}": ()}


def read_head(path: Path, layout: TensorLayout, kind: str) -> PublishedHead:
    """Read a projector file and check everything in it.

    Args:
        path: what ``torch.save`` wrote, or a safetensors file.
        layout: the tensors it must hold, and no others.
        kind: whose projector it should be, for messages.

    Raises:
        MissingError: there is no such file.
        DataError: it is damaged, holds code, or its tensors are not those of ``layout``,
            or not finite.
    """
    return checked_head(path, read_file(path), layout, f"{kind} projector")


def read_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a published file, mapped where that works, running nothing.

    Raises:
        MissingError: there is no such file.
        DataError: it is damaged, or holds code.
    """
    from reactions.weights.safe_load import read_tensors

    if not is_file(path):
        raise MissingError(f"there is no file '{path}'", fix="check the path", path=str(path))
    return read_tensors(path)


def checked_head(
    path: Path, stored: Mapping[str, Tensor], layout: TensorLayout, what: str
) -> PublishedHead:
    """Return what a file holds, once all of it is as it should be.

    Args:
        path: of the file.
        stored: its tensors.
        layout: those it must hold, and no others.
        what: it should be, for messages.

    Raises:
        DataError: the tensors are not those of ``layout``, or not finite.
    """
    widths = _check_shapes(path, stored, layout, what)
    tensors = {}
    for name in layout:
        if not name.endswith(_COUNTER):
            _check_values(path, name, stored[name], what)
            # Copied: the file must not stay mapped, or be needed, once it is read.
            tensors[name] = stored[name].float().contiguous().numpy().copy()
    return PublishedHead(path, file_digest(path), widths, tensors)


def _check_shapes(
    path: Path, stored: Mapping[str, Tensor], layout: TensorLayout, what: str
) -> dict[str, int]:
    """Return the widths that the tensors agree on."""
    widths: dict[str, int] = {}
    for name, shape in layout.items():  # a weight comes before what has to fit it
        if name in stored and stored[name].ndim == len(shape):
            for declared, size in zip(shape, stored[name].shape, strict=True):
                if isinstance(declared, str):
                    widths.setdefault(declared, int(size))
    missing = [name for name in layout if name not in stored]
    unexpected = sorted(stored.keys() - layout.keys())
    mismatched = []
    for name, shape in layout.items():
        declared_shape = [str(widths.get(str(size), size)) for size in shape]
        if name in stored and [str(size) for size in stored[name].shape] != declared_shape:
            sizes = ", ".join(map(str, stored[name].shape))
            mismatched.append((name, sizes, ", ".join(declared_shape)))
    if missing or unexpected or mismatched:
        shapes = [f"{name} is ({sizes}), not ({declared})" for name, sizes, declared in mismatched]
        raise DataError(
            f"'{path}' is not a {what}",
            why="; ".join(
                f"{len(entries)} {problem}: {_listed(entries)}"
                for problem, entries in (
                    ("missing", missing),
                    ("unexpected", unexpected),
                    ("of another shape", shapes),
                )
                if entries
            ),
            fix="copy the published file again",
            path=str(path),
            missing=missing,
            unexpected=unexpected,
            mismatched=[list(entry) for entry in mismatched],
        )
    return widths


def _check_values(path: Path, name: str, tensor: Tensor, what: str) -> None:
    why = ""
    if not tensor.is_floating_point():
        why = f"{name} is {str(tensor.dtype).removeprefix('torch.')}, not floating point"
    elif not bool(tensor.isfinite().all()):
        why = f"{name} is not finite"
    elif name.endswith("running_var") and bool((tensor < 0).any()):
        why = f"{name} is negative: no variance is"
    if why:
        raise DataError(
            f"'{path}' is not a usable {what}",
            why=why,
            fix="copy the published file again",
            path=str(path),
            tensor=name,
        )


def _listed(entries: Sequence[str]) -> str:
    return ", ".join(entries[:_SHOWN]) + (", ..." if len(entries) > _SHOWN else "")
