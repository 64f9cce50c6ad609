"""Reading published PyTorch checkpoints without running what they hold.

Importing this needs no torch: adapters that only describe a space import it as well.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, MissingError, guarded
from reactions.weights.checkpoint_sizes import check_archive, check_tensors

if TYPE_CHECKING:
    from torch import Tensor

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_SHOWN = 3
# As torch's load_state_dict words what does not fit: it reports keys and shapes as text alone.
_KEYS = re.compile(r"(Missing|Unexpected) key\(s\) in state_dict: (.*)")
_SHAPES = re.compile(
    r"size mismatch for (\S+): .*?torch\.Size\(\[(.*?)\]\).*?torch\.Size\(\[(.*?)\]\)"
)


def check_shapes(
    space: str, path: Path, tensors: Mapping[str, Tensor], needed: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise unless a checkpoint holds the tensors that a model needs, and no others.

    Args:
        space: whose checkpoint it is, for the message.
        path: of the checkpoint, for the message.
        tensors: name to tensor, without names that do not matter.
        needed: name to shape.

    Raises:
        DataError: names the missing, extra and mis-shaped ones.
    """
    missing = sorted(needed.keys() - tensors.keys())
    extra = sorted(tensors.keys() - needed.keys())
    mismatched = [
        (name, shape_text(tensors[name].shape), shape_text(shape))
        for name, shape in sorted(needed.items())
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    if missing or extra or mismatched:
        raise unfit(space, path, missing=missing, unexpected=extra, mismatched=mismatched)


def shape_text(shape: Iterable[object]) -> str:
    """Return a shape as messages print it: ``512, 3``."""
    return ", ".join(map(str, shape))


def in_single_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with those of floating-point numbers as float32."""
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def read_tensors(path: Path, *, under: Sequence[str] = ("state_dict",)) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, on the CPU, mapped from the file where that works.

    Only tensors, plain containers and numpy's numbers are unpickled; anything else in a
    pickle is refused before it can run.

    Args:
        path: a ``.safetensors`` file, or what ``torch.save`` wrote: a state dictionary,
            or a dictionary with one under a name.
        under: such names; the first that is there is taken.

    Returns:
        Name to tensor; a prefix ``module.`` on all names, left by data-parallel training,
        is taken off.

    Raises:
        MissingError: torch is too old to unpickle safely.
        DataError: damaged, no checkpoint, with code in it, or larger than its file when read.
    """
    from torch import Tensor

    # Damaged files fail in the zip reader, in C++ or in the middle of unpickling.
    with guarded(lambda error: _unreadable(path, error)):
        content = _safetensors(path) if path.suffix == ".safetensors" else _unpickle(path)
        if isinstance(content, Mapping):
            # Tensors beside the state dictionary take memory as well, although they are not used.
            within = [part for part in content.values() if isinstance(part, Mapping)]
            values = [*content.values(), *(value for part in within for value in part.values())]
            tensors = [value for value in values if isinstance(value, Tensor)]
            check_tensors(tensors, path.stat().st_size)
    for name in under:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not content:
        raise _no_tensors(path, "it holds no dictionary of tensors")
    other_names = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if other_names:
        raise _no_tensors(path, f"these are not tensors: {', '.join(other_names[:_SHOWN])}")
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _unpickle(path: Path) -> Any:
    import torch

    refuse_old_torch(path)
    check_archive(path)
    with torch.serialization.safe_globals(_numbers()), warnings.catch_warnings():
        # Torch warns of any pickle protocol but its own, whether or not it can read it.
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        # Torch maps its zip format only, and raises for the legacy one.
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )


def refuse_old_torch(path: Path) -> None:
    """Refuse to unpickle by a torch that would run what a crafted file holds (CVE-2025-32434).

    Raises:
        MissingError: torch is older than 2.6.
    """
    import torch

    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 6):
        raise MissingError(
            f"torch {torch.__version__} cannot read '{path}' safely",
            why="before version 2.6 a crafted checkpoint could run code",
            fix="pip install 'torch>=2.6', or convert the checkpoint to safetensors",
            path=str(path),
        )


def _numbers() -> list[Any]:
    """Return what numpy's scalars (best scores, learning rates) are pickled with."""
    scalar = np.float64().__reduce__()[0]
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    return [
        (scalar, "numpy.core.multiarray.scalar"),  # numpy 1
        (scalar, "numpy._core.multiarray.scalar"),  # numpy 2
        np.dtype,
        # Each kind of dtype is a class, and torch restores the state of allowed classes only.
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


# --- checkpoints that do not fit a model ---


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
    shapes = [f"{key} is ({shape}), not ({needed})" for key, shape, needed in mismatched]
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


def refuse_code(path: Path) -> None:
    """Check that a checkpoint holds tensors and nothing that could run.

    Packages read checkpoints in their own ways, some of which fall back to plain unpickling;
    this reads it safely before they do, mapped, so that it costs little.

    Raises:
        DataError: it holds more than tensors, or is damaged.
        MissingError: torch is too old to read it safely.
    """
    if path.suffix not in (".safetensors", ".npz"):  # which hold nothing else by construction
        read_tensors(path)


def package_errors(space: str, path: Path) -> AbstractContextManager[None]:
    """Turn whatever a package raises over a checkpoint into one DataError.

    The set is open: torch, pickle, zipfile, safetensors and the package's own conversions
    each raise what they meet, and every one of them means an unusable file.
    """
    return guarded(lambda error: _explained(space, path, error))


def _explained(space: str, path: Path, error: Exception) -> DataError:
    text = str(error)
    keys = {what: re.findall(r'"([^"]+)"', listed) for what, listed in _KEYS.findall(text)}
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
