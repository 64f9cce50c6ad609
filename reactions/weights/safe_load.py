"""Reading published PyTorch checkpoints without running what they hold."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.local_files import expand_user, is_file
from reactions.weights.checkpoint_sizes import check_archive, check_tensors
from reactions.weights.checkpoints import unfit
from reactions.weights.locate import WeightLocator, WeightsFile, find_file

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_SHOWN = 3


def find(
    scheme: str,
    wanted: str,
    space: str,
    published: Mapping[str, WeightsFile],
    locator: WeightLocator,
) -> tuple[Path, WeightsFile | None]:
    """Return the checkpoint that a URI names, and what is known of it if it is a published one.

    Args:
        scheme: of the URI.
        wanted: its rest: a path, or the bare name of a published file.
        space: what the space is called.
        published: file name to what is known of it.
        locator: where weights lie.

    Raises:
        MissingError: there is no such file.
        DataError: a published file is not whole.
    """
    known = published.get(Path(wanted).name)
    path = expand_user(wanted).absolute()
    if space in locator.overrides or (Path(wanted).name == wanted and not is_file(path)):
        if known is not None:
            return find_file(space, known, locator, fetch=f"{scheme}:{wanted}"), known
        path = locator.overrides.get(space, path)
    require(path, space, f"{scheme}:FILE with a path, or one of {', '.join(published)}")
    return path, known


def require(path: Path, space: str, fix: str) -> None:
    """Raise a MissingError unless a space's file is there."""
    if not is_file(path):
        raise MissingError(
            f"no weights for space '{space}'",
            why=f"there is no file '{path}'",
            fix=fix,
            space=space,
            path=str(path),
        )


def check_shapes(
    space: str, path: Path, found: Mapping[str, Tensor], needed: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise unless a checkpoint holds the tensors that a model needs, and no others.

    Args:
        space: whose checkpoint it is, for the message.
        path: of the checkpoint, for the message.
        found: name to tensor, without names that do not matter.
        needed: name to shape.

    Raises:
        DataError: names the missing, extra and mis-shaped ones.
    """
    missing = sorted(needed.keys() - found.keys())
    extra = sorted(found.keys() - needed.keys())
    others = [
        (name, _told(found[name].shape), _told(shape))
        for name, shape in sorted(needed.items())
        if name in found and tuple(found[name].shape) != tuple(shape)
    ]
    if missing or extra or others:
        raise unfit(space, path, missing=missing, unexpected=extra, mismatched=others)


def _told(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, on the CPU, mapped from the file where that works.

    Only tensors, plain containers and numpy's numbers are unpickled; anything else in a
    pickle is refused before it can run.

    Args:
        path: a ``.safetensors`` file, or what ``torch.save`` wrote: a state dictionary,
            or a dictionary with one under ``"state_dict"``.

    Returns:
        Name to tensor; a prefix ``module.`` on all names, left by data-parallel training,
        is taken off.

    Raises:
        MissingError: torch is too old to unpickle safely.
        DataError: damaged, no checkpoint, with code in it, or larger than its file when read.
    """
    try:
        found = _safetensors(path) if path.suffix == ".safetensors" else _unpickle(path)
        if isinstance(found, Mapping):
            inner = found.get("state_dict")
            values = [*found.values(), *(inner.values() if isinstance(inner, Mapping) else ())]
            tensors = [value for value in values if isinstance(value, Tensor)]
            check_tensors(tensors, path.stat().st_size)
    except (MolspaceError, MemoryError):
        raise
    # The set is open: damaged files fail in the zip reader, in C++ or in the middle of unpickling.
    except Exception as error:
        raise _unreadable(path, error) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not found:
        raise _no_tensors(path, "it holds no dictionary of tensors")
    odd = [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise _no_tensors(path, f"these are not tensors: {', '.join(odd[:_SHOWN])}")
    if all(name.startswith("module.") for name in found):
        return {name.removeprefix("module."): value for name, value in found.items()}
    return dict(found)


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _unpickle(path: Path) -> Any:
    # Before 2.6 a crafted file could run code even with weights_only (CVE-2025-32434).
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 6):
        raise MissingError(
            f"torch {torch.__version__} cannot read '{path}' safely",
            why="before version 2.6 a crafted checkpoint could run code",
            fix="pip install 'torch>=2.6', or convert the checkpoint to safetensors",
            path=str(path),
        )
    check_archive(path)
    with torch.serialization.safe_globals(_numbers()), warnings.catch_warnings():
        # Torch warns of any pickle protocol but its own, whether or not it can read it.
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )


def _numbers() -> list[Any]:
    """Return what numpy's scalars (best scores, learning rates) are pickled with."""
    scalar = np.float64().__reduce__()[0]
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    return [
        (scalar, "numpy.core.multiarray.scalar"),  # numpy 1
        (scalar, "numpy._core.multiarray.scalar"),  # numpy 2
        np.dtype,
        *{type(np.dtype(kind)) for kind in kinds},
    ]


def _unreadable(path: Path, error: Exception) -> DataError:
    text = " ".join(str(error).split())
    code = _GLOBAL.search(text) if isinstance(error, pickle.UnpicklingError) else None
    if code is not None:
        return DataError(
            f"refused to open the checkpoint '{path}'",
            why=f"it holds more than tensors: unpickling it would call {code[1]}",
            fix="get the original file, or have it converted to safetensors where it is trusted",
            path=str(path),
            name=code[1],
        )
    if "Unsupported operand" in text:  # what newer pickles begin with, and torch's do not
        text = "it is a pickle of another kind than torch.save writes, which could hold code"
    elif isinstance(error, pickle.UnpicklingError):
        text = text.partition("WeightsUnpickler error: ")[2].partition(" Check the")[0] or text
    elif isinstance(error, EOFError):
        text = "it is empty or cut short"
    elif isinstance(error, KeyError):
        text = "it is not what torch.save writes"
    return DataError(
        f"cannot read the checkpoint '{path}'",
        why=text.partition(". ")[0] or type(error).__name__,
        fix="fetch it again",
        path=str(path),
    )


def _no_tensors(path: Path, why: str) -> DataError:
    return DataError(
        f"'{path}' is not a checkpoint",
        why=why,
        fix="take the published file, or save the model's state_dict() with torch.save",
        path=str(path),
    )
