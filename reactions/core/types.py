"""The nouns every layer shares: items, corpora, spaces, typed reactions, steps.

Nothing here imports torch or touches disk. Modality names are free strings; the
library gives no meaning to any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from reactions.core.lcl_options import NO_LCL_OPTIONS, LclOptions
from reactions.core.tuning_options import NO_OPTIONS, TuningOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

Modality: TypeAlias = str
"""Its name: ``reactions.modalities.registry`` says what is known about it."""

Digest: TypeAlias = str
"""64 hex digits of a SHA-256."""

Op: TypeAlias = Literal["dr", "cr"]
"""Displacement or combination."""

Anchors: TypeAlias = tuple[Modality, ...]
"""A subset of the pseudo sets, named by its anchor modalities, sorted."""

Mean: TypeAlias = Literal["eq10", "unit"]
"""How parallel experts are averaged: their mean as it is (equation 10), or at unit norm."""


# --- media ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waveform:
    """Sound in memory.

    Attributes:
        samples: (n,) float32 in [-1, 1], mono.
        rate_hz: samples a second.
    """

    samples: NDArray[np.float32]
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to embed.

    Attributes:
        id: unique within its corpus and modality.
        modality: what kind of value this is.
        value: a ``str`` for text; for media a ``Path`` to a file, its ``bytes``, a ``Blob``
            (``reactions.core.storage``: where they lie in a tar or on a server), or the
            decoded value: (h, w, 3) uint8 RGB for an image, a ``Waveform`` for audio. None
            where only the id matters (precomputed embeddings are looked up by id).
        own_id: whether the id came with the item. One that we gave, by the item's position or
            after its text, says nothing about the rows of a table of embeddings.
        origin: which file, or corpus, gave it its id, where the value does not say it: of captions
            in tars and tables, and of lines; "" where none did, or it is not known.
    """

    id: str
    modality: Modality
    value: Any
    own_id: bool = field(default=True, compare=False)
    origin: str = field(default="", compare=False)


class Corpus(Protocol):
    """An ordered, finite, re-readable list of items of one modality."""

    name: str
    modality: Modality

    @property
    def digest(self) -> Digest:
        """Digest of everything that decides the items and their order."""

    def __len__(self) -> int: ...

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""


# --- spaces --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpaceSpec:
    """What is known of an encoder space before anything is loaded.

    Attributes:
        name: as written in a reaction.
        dim: width of its embeddings.
        modalities: the modalities it embeds, sorted.
        adapter: which loader opens it (``"mini"``, ``"precomputed"``, ...).
        source: what the loader opens: a file or folder, absolute, or a URI.
        revision: pinned revision of the weights, for people.
        licence: SPDX identifier or short name of the weights' licence.
        weights_digest: digest of what decides its outputs apart from preprocessing.
        preprocessing: (modality, version tag) pairs; a tag changes whenever
            preprocessing, cropping or tokenising can change an embedding.
        hub: the modality to which all others are directly bound (ImageBind:
            ``"image"``), or None where every pair is bound directly.
        flops_per_item: (modality, floating-point operations) pairs, for estimates.
        lab: label printed with every result made with this space ("" for none).
        centre: whether a product takes its embeddings less their modality's mean over the
            training rows. What an encoder gives is the same: ``identity`` leaves it out.
        tuned: tells the space with an encoder that an ``Ft`` tuned from the space as it is
            (``products.tree.tuned_leaf``); "" for that one.
        tower_digests: (modality, digest) pairs of the towers that lie in files of their own, so
            that adding one changes no key of the other modalities.
        derived: (modality, how) pairs of modalities that have no weights, and are embedded by the
            image tower: ``("event", "unibind")``, ``("video", "frames-8")``
            (``encoders.derived``). Their preprocessing tags say how, too.
    """

    name: str
    dim: int
    modalities: tuple[Modality, ...]
    adapter: str
    source: str
    revision: str = ""
    licence: str = ""
    weights_digest: Digest = ""
    preprocessing: tuple[tuple[Modality, str], ...] = ()
    hub: Modality | None = None
    flops_per_item: tuple[tuple[Modality, float], ...] = ()
    lab: str = ""
    centre: bool = False
    tuned: str = ""
    tower_digests: tuple[tuple[Modality, Digest], ...] = ()
    derived: tuple[tuple[Modality, str], ...] = ()

    def identity(self, modality: Modality) -> dict[str, Any]:
        """Return what can change this space's embeddings of ``modality``, for step keys.

        The name and the place of the weights are left out: renaming or moving a
        checkpoint must not recompute anything. Only without a digest do place and
        revision stand for the weights, so that two models never share their results.
        """
        tower = "image" if modality in dict(self.derived) else modality
        digest = dict(self.tower_digests).get(tower, self.weights_digest)
        facts = {
            "adapter": self.adapter,
            "weights": digest or f"{self.source}@{self.revision}",
            "preprocessing": dict(self.preprocessing).get(modality, ""),
            "dim": self.dim,
        }
        return {**facts, "tuned": self.tuned} if self.tuned else facts


class Encoder(Protocol):
    """A loaded space."""

    spec: SpaceSpec

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality.

        Returns:
            (len(items), spec.dim) float32, unit-norm rows, in order.

        Raises:
            MediaError: an item cannot be decoded; ``fields["id"]`` names it.
            DataError: an embedding is not finite or zero, or an id is unknown.
        """


Prepared: TypeAlias = "NDArray[Any] | tuple[NDArray[Any], ...]"
"""One item, decoded and preprocessed; text as a 1-d array of token ids, not padded."""


@runtime_checkable
class StagedEncoder(Encoder, Protocol):
    """An encoder whose work on the CPU can run ahead of its forward pass.

    ``embed`` gives what ``forward`` gives for the preprocessed items.
    """

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Decode, crop, resample or tokenise one item; safe to call from several threads.

        Raises:
            MediaError: the item cannot be decoded; ``fields["id"]`` names it.
        """

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Pad, move to the device and embed a batch.

        Returns:
            (len(inputs), spec.dim) float32, unit-norm rows, in order.
        """


@runtime_checkable
class TrainableEncoder(StagedEncoder, Protocol):
    """An encoder whose towers can be trained."""

    def tower(self, modality: Modality) -> nn.Module:
        """Return a modality's tower, which shares its parameters with the encoder.

        The module is called with a sequence of what ``preprocess`` returns, and gives (n, dim)
        float32 unit-norm rows: those of ``forward``, with gradients to its parameters.

        Raises:
            DataError: the space does not embed this modality, or this tower cannot be trained.
        """


# --- typed reactions -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaf:
    """A space with an encoder of its own."""

    spec: SpaceSpec

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.spec.dim

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities it embeds, sorted."""
        return self.spec.modalities

    @property
    def hub(self) -> Modality | None:
        """The modality all others are bound to, if there is one."""
        return self.spec.hub

    @property
    def label(self) -> str:
        """Short name for messages."""
        return f"{self.spec.name} ({self.spec.tuned})" if self.spec.tuned else self.spec.name


@dataclass(frozen=True, slots=True)
class Expert:
    """One expert of a fusion, with the options of its ``Dr`` or ``Cr``.

    Attributes:
        space: the expert space.
        weight: its share among the parallel experts; the shares sum to 1.
        factors: (modality, combining factor in [0, 1]) for each shared modality,
            sorted: lambda for displacement, sigma for combination.
        anchors: train a single projector on this subset; None trains the paper's mixture, or
            another recipe's single projector on all of them.
        recipe: ``"paper"``, ``"cmcr"`` or ``"exmcr"``.
    """

    space: Space
    weight: float
    factors: tuple[tuple[Modality, float], ...]
    anchors: Anchors | None = None
    recipe: str = "paper"

    @property
    def label(self) -> str:
        """Short name for messages and ``--experts``."""
        return self.space.label


@dataclass(frozen=True, slots=True)
class Fusion:
    """The product of one stage: a base displaced into, or combined with, experts.

    Displacement has exactly one expert and takes its dimension; combination keeps the
    base's. The product embeds every modality that the base or an expert embeds.

    Attributes:
        op: displacement or combination.
        base: what the experts join.
        experts: at least one.
        mean: how the experts are averaged (``ops.mixing``); ``"eq10"`` for one expert.
    """

    op: Op
    base: Space
    experts: tuple[Expert, ...]
    mean: Mean = "eq10"

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.experts[0].space.dim if self.op == "dr" else self.base.dim

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities it embeds, sorted."""
        modalities = set(self.base.modalities)
        for expert in self.experts:
            modalities.update(expert.space.modalities)
        return tuple(sorted(modalities))

    @property
    def hub(self) -> Modality | None:
        """The base's hub: fusing does not add paired data between other modalities."""
        return self.base.hub

    @property
    def label(self) -> str:
        """Short name for messages."""
        inner = " & ".join(expert.label for expert in self.experts)
        return f"({self.base.label} + {self.op.capitalize()}({inner}))"


@dataclass(frozen=True, slots=True)
class Tuned:
    """A product tuned by ``Ft`` (audio-image pairs) or ``Lcl`` (a knowledge base).

    Attributes:
        op: ``"ft"`` or ``"lcl"``.
        base: what is tuned.
        arguments: ``("audio", "image")`` for Ft, ``(knowledge base,)`` for Lcl.
        options: of the one or the other.
    """

    op: Literal["ft", "lcl"]
    base: Space
    arguments: tuple[str, ...]
    options: TuningOptions | LclOptions = NO_OPTIONS

    def __post_init__(self) -> None:
        if self.op == "lcl" and self.options == NO_OPTIONS:
            object.__setattr__(self, "options", NO_LCL_OPTIONS)

    @property
    def tuning(self) -> TuningOptions:
        """The options of an ``Ft``; an ``Lcl`` has none (TypeError)."""
        if not isinstance(self.options, TuningOptions):
            raise TypeError(f"{self.label} is not tuned by Ft")
        return self.options

    @property
    def learning(self) -> LclOptions:
        """The options of an ``Lcl``; an ``Ft`` has none (TypeError)."""
        if not isinstance(self.options, LclOptions):
            raise TypeError(f"{self.label} is not made by Lcl")
        return self.options

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.base.dim

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities it embeds, sorted."""
        return self.base.modalities

    @property
    def hub(self) -> Modality | None:
        """The base's hub."""
        return self.base.hub

    @property
    def label(self) -> str:
        """Short name for messages."""
        return f"({self.base.label} + {self.op.capitalize()})"


Space: TypeAlias = Leaf | Fusion | Tuned


def shared_modalities(base: Space, expert: Space) -> tuple[Modality, ...]:
    """Return the modalities both spaces embed, sorted."""
    return tuple(sorted(set(base.modalities) & set(expert.modalities)))


def leaves(space: Space) -> Iterator[Leaf]:
    """Yield every distinct leaf of a typed reaction, in order of first appearance."""
    seen: set[Leaf] = set()

    def walk(node: Space) -> Iterator[Leaf]:
        if isinstance(node, Leaf):
            if node not in seen:
                seen.add(node)
                yield node
            return
        yield from walk(node.base)
        if isinstance(node, Fusion):
            for expert in node.experts:
                yield from walk(expert.space)

    yield from walk(space)
