"""The trained parts in a bundle's files: checked by their headers, and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import BundleError
from reactions.core.types import Space
from reactions.products.bundles.fields import load_means, mean_sizes
from reactions.products.bundles.folder import PROJECTORS
from reactions.products.bundles.record import head_places, read_parts
from reactions.products.bundles.tensors import check_shapes, check_tensors, check_values
from reactions.products.part_kinds import PartFile
from reactions.products.parts import (
    Parts,
    Place,
    TrainedPart,
    load_centring,
    load_mixture,
)
from reactions.products.tree import mixtures

if TYPE_CHECKING:
    from torch import Tensor


def check_part_files(directory: Path, record: Mapping[str, Any], space: Space) -> None:
    """Check that a bundle's files hold the tensors of its parts, by their headers alone.

    Raises:
        BundleError: one is not a safetensors file, or holds other tensors.
        ValueError, LookupError, TypeError: the record describes parts that cannot be.
        OSError: one cannot be read.
    """
    check_tensors(directory / PROJECTORS, head_places(record, space), mean_sizes(space))
    for part in read_parts(record, space):
        check_shapes(directory / part.file, part.shapes())


def load_parts(directory: Path, record: Mapping[str, Any], space: Space, device: str) -> Parts:
    """Load all trained parts of a verified bundle, projectors in eval mode, onto a device.

    Raises:
        BundleError: a tensor is missing, misshapen or not finite.
    """
    try:
        # Checked again: a file may have been replaced since it was verified, and loading a tensor
        # allocates what its shape says.
        check_part_files(directory, record, space)
    except OSError as error:
        raise BundleError(f"cannot read {directory}", why=str(error)) from None
    parts: dict[Place, TrainedPart] = {}
    tensors = _load_file(directory / PROJECTORS)
    for index, (fusion, i) in enumerate(mixtures(space)):
        states = []
        for subset in record["mixtures"][index]["subsets"]:
            prefix = f"{index}.{subset}."
            states.append(
                {
                    name.removeprefix(prefix): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(prefix)
                }
            )
            for name, tensor in states[-1].items():
                check_values(directory, f"{prefix}{name}", tensor)
        try:
            parts[fusion, i] = load_mixture(fusion, i, states, device)
        except (LookupError, RuntimeError, ValueError) as error:
            raise BundleError(
                f"{directory}: a projector of mixture {index} is not whole",
                why=" ".join(str(error).split()),
            ) from None
    parts |= load_centring(load_means(directory / PROJECTORS, space, device))
    for part in read_parts(record, space):
        parts[part.node, None] = load_part(directory, part, device)
    return parts


def load_part(directory: Path, part: PartFile, device: str) -> TrainedPart:
    """Load one part that has a file of its own onto a device.

    Raises:
        BundleError: it cannot be read, or a tensor is not finite.
    """
    tensors = _load_file(directory / part.file)
    for name, tensor in tensors.items():
        check_values(directory / part.file, name, tensor)
    return part.load({name: tensor.to(device) for name, tensor in tensors.items()})


def _load_file(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"cannot read {path}", why=str(error)) from None
    return tensors
