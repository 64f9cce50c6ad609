"""The tensors of a bundle, held against its record and its file before anything is allocated."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from reactions.core.errors import BundleError
from reactions.core.types import Fusion
from reactions.ops.architectures import Layer, map_shapes
from reactions.ops.recipes import recipe_of, stored_layers
from reactions.products.tree import projected_side

MAX_HEADER_BYTES = 16 << 20
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of the element types that heads are kept in."""

_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class HeadPlace:
    """One projector of a bundle.

    Attributes:
        prefix: of its tensors' names, with the dot: ``"0.TVA."``.
        recipe: of its training, which determines its layers.
        widths: dimensions that enter and leave.
        n_modalities: how many the projected space embeds.
    """

    prefix: str
    recipe: str
    widths: tuple[int, int]
    n_modalities: int

    @classmethod
    def of(cls, prefix: str, fusion: Fusion, index: int) -> Self:
        """Return the place of a projector of one expert of a fusion."""
        projected = projected_side(fusion, index)
        widths = projected.dim, fusion.dim
        return cls(prefix, fusion.experts[index].recipe, widths, len(projected.modalities))


def check_tensors(path: Path, places: Iterable[HeadPlace], means: Mapping[str, int]) -> None:
    """Check that a file holds the tensors of these heads, by its header alone.

    Args:
        path: the file.
        places: of the heads, all of which must be there.
        means: name to length of the means that may be there.

    Raises:
        BundleError: it is not a safetensors file, its tensors do not fit into it, or they are not
            those of the heads.
        OSError: it cannot be read.
    """
    heads: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in _read_shapes(path).items():
        if name in means:
            if shape != (means[name],):
                raise BundleError(f"{path}: {name} is {list(shape)}, should be [{means[name]}]")
            continue
        # From the right: the name of a subset may have dots of its own.
        prefix = "".join(f"{part}." for part in name.rsplit(".", 2)[:-2])
        heads.setdefault(prefix, {})[name.removeprefix(prefix)] = shape
    for place in places:
        try:
            check_head(heads.pop(place.prefix, {}), place)
        except ValueError as error:
            raise BundleError(
                f"{path.parent}: projector {place.prefix.rstrip('.')} is not whole", why=str(error)
            ) from None
    for prefix, tensors in heads.items():
        raise BundleError(
            f"{path} holds tensors of no projector",
            why=f"among them {prefix + next(iter(tensors))!r:.80}",
            fix="get the bundle again",
        )


def check_shapes(path: Path, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that a file holds exactly these tensors, by its header alone.

    Args:
        path: the file.
        expected: name to shape.

    Raises:
        BundleError: it is not a safetensors file, or holds other tensors.
        OSError: it cannot be read.
    """
    shapes = _read_shapes(path)
    for name in sorted(expected.keys() | shapes.keys()):
        if shapes.get(name) != expected.get(name):
            raise BundleError(
                f"{path} is not the part that the record describes",
                why=f"{name!r:.80} is {_shown(shapes.get(name))}, should be "
                f"{_shown(expected.get(name))}",
                fix="get the bundle again",
            )


def check_head(shapes: Mapping[str, tuple[int, ...]], place: HeadPlace) -> None:
    """Raise ValueError unless tensors are those of a head, between its two spaces.

    Args:
        shapes: name within the head to shape.
        place: where the head is.
    """
    if recipe_of(place.recipe).solver:
        _check_same(shapes, map_shapes(*place.widths, place.n_modalities))
        return
    first = shapes.get("0.weight")
    if first is None or len(first) != 2:
        raise ValueError("0.weight is missing, or not a matrix")
    expected = dict(_expected(stored_layers(place.recipe, *place.widths, first[0])))
    last = shapes.get([name for name, shape in expected.items() if len(shape) == 2][-1])
    widths = (first[1], last[0]) if last is not None and len(last) == 2 else place.widths
    if widths != place.widths:
        raise ValueError(f"it takes {widths} dimensions, its spaces {place.widths}")
    _check_same(shapes, expected)


def _check_same(
    shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    for name in sorted(expected.keys() | shapes.keys()):
        if shapes.get(name) != expected.get(name):
            raise ValueError(
                f"{name} is {_shown(shapes.get(name))}, should be {_shown(expected.get(name))}"
            )


def _expected(plan: Iterable[Layer]) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of the tensors of a plan's layers, as ``nn.Sequential`` counts."""
    number = 0
    for layer in plan:
        yield f"{number}.weight", (layer.n_out, layer.n_in)
        yield f"{number}.bias", (layer.n_out,)
        number += 1
        if layer.normalised:
            yield from ((f"{number}.{name}", (layer.n_out,)) for name in _NORM)
            number += 1
        number += layer.activated  # has a number, but no tensors


def _shown(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def _read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by name, once all of them are known to lie in the file."""
    try:
        return _parse_shapes(path)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"cannot read {path}", why=f"its header is damaged: {error}"[:300]
        ) from None


def _parse_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError("it ends within the first 8 bytes")
        (n_bytes,) = struct.unpack("<Q", head)
        # Before it is read: these eight bytes could ask for any amount of memory.
        if n_bytes > min(MAX_HEADER_BYTES, size_bytes - 8):
            raise ValueError(f"a header of {n_bytes:,} bytes in a file of {size_bytes:,}")
        header: dict[str, Any] = json.loads(stream.read(n_bytes))
    header.pop("__metadata__", None)
    shapes, spans = {}, []
    for name, tensor in header.items():
        shape, (begin, end) = tensor["shape"], tensor["data_offsets"]
        numbers = [*shape, begin, end]
        # Not isinstance: JSON's true is an int, too.
        if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
            raise ValueError(f"{name!r} has a shape or an offset that is not a length")
        if tensor["dtype"] not in _SIZES:
            raise ValueError(f"{name!r} holds {tensor['dtype']!r}, not floating-point numbers")
        if math.prod(shape) * _SIZES[tensor["dtype"]] != end - begin or not shape or 0 in shape:
            raise ValueError(f"{name!r} does not have the bytes of its shape {shape}")
        shapes[name] = tuple(shape)
        spans.append((begin, end))
    place = 0
    for begin, end in sorted(spans):  # one after the other, with neither gaps nor overlaps
        if begin != place:
            raise ValueError("its tensors overlap, or leave gaps")
        place = end
    if place != size_bytes - 8 - n_bytes:
        raise ValueError(f"tensors of {place:,} bytes in a file of {size_bytes:,}")
    return shapes


def check_values(path: Path, name: str, tensor: Any) -> None:
    """Refuse a tensor whose values no training leaves.

    Args:
        path: of the bundle, for messages.
        name: of the tensor.
        tensor: a torch tensor.

    Raises:
        BundleError: a value is not finite, or a variance is negative.
    """
    import torch

    if not torch.isfinite(tensor).all():
        raise BundleError(f"{path}: tensor {name} is not finite")
    if name.endswith("running_var") and (tensor < 0).any():
        raise BundleError(f"{path}: tensor {name} holds a negative variance")
