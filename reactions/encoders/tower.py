"""Encoders made of one tower for each modality: a half for the CPU, and a network behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from reactions.core.errors import DataError, MediaError
from reactions.core.left_out import by_space
from reactions.core.types import Item, Modality, Prepared, SpaceSpec
from reactions.encoders.base import Unusable
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.preprocessing.tokens import cut_limits, pad_tokens
from reactions.modalities import registry
from reactions.modalities.base import Modality as ModalityRecord
from reactions.ops.precision import full_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

Parts: TypeAlias = Mapping[str, nn.Module | nn.Parameter]
"""Name to a part of a network, as the network itself calls it."""


@dataclass(frozen=True, slots=True)
class TowerProgram:
    """A tower as arithmetic on one tensor, whose shape does not depend on what the items are.

    Attributes:
        batch: n prepared values to what ``network`` takes, on the device; axis 0 counts items.
        network: that to (n, dim) floats of any norm.
        about: how ``batch``'s tensor is made of items, JSON-able, for those who make it elsewhere.
        files: that go with ``about``, such as a tokeniser's.
    """

    batch: Callable[[Sequence[Any]], Tensor]
    network: Callable[[Tensor], Tensor]
    about: Mapping[str, Any]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Tower:
    """One modality of a model.

    Attributes:
        prepare: decoded value to what the network takes, on the CPU; from any thread. It
            raises ``Unusable`` for what it cannot take.
        project: n prepared values to (n, dim) floats of any type and norm.
        batch_items: how many ``TowerEncoder.embed`` projects at once.
        record: of the modality, where its items are decoded unlike others of it.
        parts: returns what ``project`` runs through, for training; None where that cannot be
            separated from the rest of a model.
        program: the network for an export; None where it cannot be written out.
        limits: the clauses that ``prepare`` notes (``core.left_out``); None where it does not
            say what it leaves out.
    """

    prepare: Callable[[Any], Prepared]
    project: Callable[[Sequence[Any]], Tensor]
    batch_items: int = 64
    record: ModalityRecord | None = None
    parts: Callable[[], Parts] | None = None
    program: TowerProgram | None = None
    limits: tuple[str, ...] | None = None


class TowerEncoder:
    """A ``StagedEncoder``, and a ``TrainableEncoder``, made of one ``Tower`` for each modality.

    Args:
        spec: what is known of the space.
        towers: modality to tower.
    """

    def __init__(self, spec: SpaceSpec, towers: Mapping[Modality, Tower]) -> None:
        self.spec = spec
        self.towers = dict(towers)

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Decode and prepare one item; safe to call from several threads.

        Raises:
            MediaError: the item cannot be decoded or prepared; ``fields["id"]`` names it.
            DataError: the space does not embed this modality.
        """
        tower = self._tower(modality)
        record = tower.record or registry.get(modality)
        if item.value is None:
            raise MediaError(
                f"'{self.spec.name}' cannot embed {modality} '{item.id}'",
                why="only its id is there, which is looked up in folders of embeddings alone",
                fix="give the item itself, or a folder of embeddings as the space",
                id=item.id,
            )
        try:
            with by_space(self.spec.name):
                value = registry.load(item, record).value
                if why := record.why_unusable(value):
                    raise Unusable(modality, why)
                return tower.prepare(value)
        except Unusable as error:
            what = f"cannot embed {modality} '{item.id}'"
            raise MediaError(what, why=error.why, fix=error.fix, id=item.id) from error
        except MediaError as error:
            error.fields["id"] = item.id
            raise

    def limits(self, modality: Modality) -> dict[str, tuple[str, ...] | None]:
        """Return what ``preprocess`` looks out for; see ``core.left_out.Limits``."""
        return {self.spec.name: self._tower(modality).limits}

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch of prepared items at once.

        Returns:
            (len(inputs), spec.dim) float32, unit-norm rows, in order.

        Raises:
            DataError: an embedding is zero or not finite, or not of the promised width; or the
                space does not embed this modality.
        """
        return self._forward(modality, inputs, ())

    def forward_raw(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch of prepared items at once, of the norm that the network gives.

        Returns:
            (len(inputs), spec.dim) float32, in order.

        Raises:
            DataError: as for ``forward``.
        """
        return self._forward(modality, inputs, (), rescale=lambda rows: rows.float())

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality, a bounded number at a time.

        Returns:
            (len(items), spec.dim) float32, unit-norm rows, in order.

        Raises:
            MediaError: an item cannot be decoded; ``fields["id"]`` names it.
            DataError: an embedding is not usable (``fields["id"]`` names the first item), or the
                space does not embed this modality.
        """
        step = self._tower(modality).batch_items
        out = np.empty((len(items), self.spec.dim), np.float32)
        for start in range(0, len(items), step):
            batch = items[start : start + step]
            prepared = [self.preprocess(modality, item) for item in batch]
            out[start : start + step] = self._forward(modality, prepared, batch)
        return out

    def tower(self, modality: Modality) -> nn.Module:
        """Return a modality's tower for training.

        It is called with a sequence of what ``preprocess`` returns, and gives the (n, dim)
        float32 unit-norm rows of ``forward``, with gradients to its parameters. These are the
        encoder's own: what is trained is what ``embed`` uses from then on.

        Raises:
            DataError: the space does not embed this modality, or its network cannot be
                separated from the rest of a model.
        """
        tower = self._tower(modality)
        if tower.parts is None:
            raise DataError(
                f"the {modality} tower of '{self.spec.name}' cannot be trained",
                why=f"the adapter '{self.spec.adapter}' does not say which weights are its own",
                space=self.spec.name,
                modality=modality,
            )
        return _TowerModule(tower.project, tower.parts())

    def _tower(self, modality: Modality) -> Tower:
        if modality not in self.towers:
            raise DataError(
                f"'{self.spec.name}' does not embed {modality}",
                why="it embeds " + ", ".join(self.spec.modalities),
                space=self.spec.name,
                modality=modality,
            )
        return self.towers[modality]

    @torch.inference_mode()
    def _forward(
        self,
        modality: Modality,
        inputs: Sequence[Prepared],
        items: Sequence[Item],
        *,
        rescale: Callable[[Tensor], Tensor] | None = None,
    ) -> NDArray[np.float32]:
        tower = self._tower(modality)
        if not inputs:
            return np.empty((0, self.spec.dim), np.float32)
        with full_float32():
            rescaled = (rescale or unit_rows)(tower.project(inputs))
            rows: NDArray[np.float32] = rescaled.cpu().numpy()
        if rows.shape != (len(inputs), self.spec.dim):
            raise DataError(
                f"'{self.spec.name}' gave {modality} embeddings of shape {rows.shape}",
                why=f"its description promises {(len(inputs), self.spec.dim)}",
                space=self.spec.name,
            )
        # Rows of zeros as well: unit_rows made them NaN.
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            fix = f"check its weights: molspace spaces doctor {self.spec.name}"
            error = DataError(
                f"'{self.spec.name}' gave no usable {modality} embedding",
                why=f"{len(bad)} of {len(rows)} are zero or not finite",
                fix=fix,
                space=self.spec.name,
                modality=modality,
            )
            if items:
                item = items[int(bad[0])]
                error.what = (
                    f"'{self.spec.name}' gave no usable embedding for {modality} '{item.id}'"
                )
                error.fix = f"leave the item out, or {fix}"
                error.fields["id"] = item.id
            raise error
        return rows


class _TowerModule(nn.Module):
    """A tower whose parameters can be trained; see ``TowerEncoder.tower``."""

    def __init__(self, project: Callable[[Sequence[Any]], Tensor], parts: Parts) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            else:
                self.add_module(name, part)
        self._project = project
        self.requires_grad_(True)

    def forward(self, inputs: Sequence[Prepared]) -> Tensor:
        """Embed prepared items: (n, dim) float32, unit-norm rows, in order."""
        return unit_rows(self._project(inputs))


def unit_rows(rows: Tensor) -> Tensor:
    """Return (n, dim) rows as float32 of unit norm; a row of zeros becomes NaN.

    Not torch's normalize, which would let a row of zeros pass as one.
    """
    rows = rows.float()
    unit: Tensor = rows / rows.norm(dim=-1, keepdim=True)
    return unit


# --- towers that several families share ----------------------------------------------


def image_tower(
    transform: ImageTransform,
    encode: Callable[[Tensor], Any],
    *,
    device: str,
    precision: str = "fp32",
    batch_items: int = 64,
    parts: Callable[[], Parts] | None = None,
) -> Tower:
    """Return the tower of a network that takes normalised pixels.

    Args:
        transform: from decoded pixels to the network's.
        encode: (n, 3, h, w) of the precision to (n, dim).
        device: where the network is.
        precision: of the network, one of ``uri.PRECISIONS``.
        batch_items: see ``Tower``.
        parts: see ``Tower``.
    """
    dtype = element_type(precision)

    def stack(inputs: Sequence[Any]) -> Tensor:
        # Still bytes, a quarter of what floats would take on the way to the device.
        return torch.from_numpy(np.stack(inputs)).to(device)

    def network(pixels: Tensor) -> Tensor:
        out: Tensor = encode(transform.normalise(pixels).to(dtype))
        return out

    about = {"takes": "pixels, RGB", "made_by": asdict(transform)}
    return Tower(
        transform.fit,
        lambda inputs: network(stack(inputs)),
        batch_items,
        parts=parts,
        program=TowerProgram(stack, network, about) if dtype == torch.float32 else None,
        limits=transform.limits,
    )


def text_tower(
    tokenise: Callable[[str], NDArray[np.int64]],
    encode: Callable[[Tensor], Any],
    *,
    device: str,
    pad_id: int = 0,
    length: int | None = None,
    batch_items: int = 64,
    parts: Callable[[], Parts] | None = None,
    whole: WholeTexts | None = None,
    most: int | None = None,
) -> Tower:
    """Return the tower of a network that takes padded token ids.

    Args:
        tokenise: text to (tokens,) ids; safe to call from several threads.
        encode: (n, tokens) int64 to (n, dim).
        device: where the network is.
        pad_id: follows the ids of shorter texts.
        length: that all texts are padded to; None pads to the longest of a batch.
        batch_items: see ``Tower``.
        parts: see ``Tower``.
        whole: how texts become ids elsewhere; None where the network cannot be written out.
        most: tokens of a text that are read, where ``tokenise`` notes texts that have more
            (``tokens.note_cut``).
    """

    def pad(inputs: Sequence[Any], to: int | None = length) -> Tensor:
        return torch.from_numpy(pad_tokens(inputs, pad_id, length=to)).to(device)

    def network(ids: Tensor) -> Tensor:
        out: Tensor = encode(ids)
        return out

    program = None
    if whole is not None:
        most = whole.length
        about = {"takes": "token ids", "made_by": whole.by, "length": most, "pad_id": pad_id}
        program = TowerProgram(lambda inputs: pad(inputs, most), network, about, whole.files)
    return Tower(
        tokenise,
        lambda inputs: network(pad(inputs)),
        batch_items,
        parts=parts,
        program=program,
        limits=None if most is None else cut_limits(most),
    )


@dataclass(frozen=True, slots=True)
class WholeTexts:
    """How the texts of a network that can be written out become ids.

    Attributes:
        length: that all are padded to, whatever it is here.
        by: the tokeniser, for people.
        files: of the tokeniser.
    """

    length: int
    by: str
    files: tuple[Path, ...] = ()


def parts_of(network: nn.Module, *prefixes: str, but: tuple[str, ...] = ()) -> Callable[[], Parts]:
    """Return the modules and parameters directly in a network, by the names they have there.

    Args:
        network: the whole model.
        prefixes: the beginnings of names; none takes all.
        but: beginnings of names that are left out.
    """

    def parts() -> Parts:
        children: Parts = {
            **dict(network.named_children()),
            **dict(network.named_parameters(recurse=False)),
        }
        return {
            name: part
            for name, part in children.items()
            # Every name starts with "", and none with (): without prefixes and `but` all are taken.
            if name.startswith(prefixes or "") and not name.startswith(but)
        }

    return parts


def element_type(precision: str) -> torch.dtype:
    """Return the torch type of one of ``uri.PRECISIONS``."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
