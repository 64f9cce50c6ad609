"""Mini spaces, loaded: prepare one item at a time, embed a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from reactions.core.errors import DataError, MissingError
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import misfit, tower_file
from reactions.encoders.mini.inputs import INPUTS
from reactions.encoders.mini.towers import Towers
from reactions.encoders.published import Checkpoint, CheckpointAdapter
from reactions.encoders.tower import Tower, TowerEncoder, TowerProgram
from reactions.weights.locate import WeightsFile

SHIPPED = Path(__file__).parents[2] / "labs" / "weights"
"""Where relative sources lie."""

BATCH_ROWS = 256


class MiniAdapter(CheckpointAdapter):
    """Spaces whose ``source`` is a file of mini weights, absolute or one of those shipped.

    Towers in files of their own (``SpaceSpec.tower_digests``) lie beside it: see ``tower_file``.
    """

    scheme = "mini"
    trains = True
    published: ClassVar[Mapping[str, WeightsFile]] = {}

    def locate_again(self, spec: SpaceSpec) -> Checkpoint:
        """Find the file that a description names."""
        path = SHIPPED / spec.source  # an absolute source stays what it is
        for file in (path, *(tower_file(path, modality) for modality, _ in spec.tower_digests)):
            if not file.is_file():
                raise MissingError(
                    f"no weights for space '{spec.name}'",
                    why=f"there is no file '{file}'",
                    fix="reinstall molspace, or train them again: molspace lab train --out DIR",
                    space=spec.name,
                    path=str(file),
                )
        return Checkpoint(spec.name, path)

    def changed(self, spec: SpaceSpec, path: Path, expected: Digest, found: Digest) -> DataError:
        """Return the error for weights that are not those that a lab names."""
        return DataError(
            f"the weights of space '{spec.name}' are not the ones this lab names",
            why=f"'{path}' has SHA-256 {found[:12]}..., not {expected[:12]}...",
            fix="restore the file, or put its digest into the lab file",
            space=spec.name,
            path=str(path),
            expected=expected,
            found=found,
        )

    def open(self, spec: SpaceSpec, files: Checkpoint, device: str) -> TowerEncoder:
        """Read the towers; a space may use fewer than its weights hold."""
        separate = tuple(modality for modality, _ in spec.tower_digests)
        shared = tuple(modality for modality in spec.modalities if modality not in separate)
        networks = _networks(spec, files.path, shared)
        for modality in separate:
            networks |= _networks(spec, tower_file(files.path, modality), (modality,))
        return TowerEncoder(
            spec, {m: _tower(m, networks[m].to(device), device) for m in spec.modalities}
        )


def _networks(
    spec: SpaceSpec, path: Path, modalities: Sequence[Modality]
) -> dict[Modality, nn.Module]:
    """Read some of the towers of a file.

    Raises:
        DataError: it is damaged, lacks one, or is of another width.
    """
    towers = Towers.open(path).eval()
    if towers.dim != spec.dim or not set(modalities) <= set(towers.shape):
        raise misfit(
            spec,
            path,
            f"they embed {', '.join(towers.shape)} in {towers.dim} dimensions, "
            f"not {', '.join(modalities)} in {spec.dim}",
        )
    return {modality: towers.towers[modality] for modality in modalities}


def _tower(modality: Modality, network: nn.Module, device: str) -> Tower:
    takes = INPUTS[modality]

    def full(inputs: Sequence[Any]) -> Tensor:
        return (takes.full or takes.batch)(inputs, device)

    def embed(features: Tensor) -> Tensor:
        out: Tensor = network(features)
        return out

    return Tower(
        takes.prepare,
        lambda inputs: embed(takes.batch(inputs, device)),
        batch_items=BATCH_ROWS,
        parts=lambda: {modality: network},
        program=TowerProgram(
            full, embed, {"takes": "features", "made_by": f"molspace: {takes.tag}"}
        ),
        limits=takes.limits,
    )
