"""A space to try: queries embedded once and weighed at any factors, searched, compared, named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reactions.core.errors import MolspaceError, UsageError, suggestion
from reactions.core.types import Item, Modality
from reactions.encoding.items import Batch
from reactions.inference.embedder import LoadedParts
from reactions.modalities.text import TEXT
from reactions.products.acting import acting_adjustment
from reactions.products.atoms import Weigher, inner_products, mixed_rows
from reactions.products.target import Target
from reactions.products.tree import Adjustment, fit_adjustment
from reactions.search.atom_rows import AtomEmbedder
from reactions.search.hits import Hit
from reactions.search.index import SearchIndex
from reactions.serving.factors import Control, controls_of
from reactions.serving.kept import Kept
from reactions.serving.limits import LIMITS, NotThere, ServingLimits
from reactions.serving.media import Media
from reactions.serving.samples import is_sample
from reactions.serving.uploads import Upload, Uploads, decodable
from reactions.session import Session, load_encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.inference.classify import Classifier


@dataclass(frozen=True, slots=True)
class Probe:
    """What a request asks about: a text, a file that was dropped, or an item of an index.

    Attributes:
        kind: which of them.
        modality: of it.
        text: the text itself.
        upload: the file.
        index: number of the index.
        number: of the item, in its modality.
    """

    kind: Literal["text", "upload", "item"]
    modality: Modality
    text: str = ""
    upload: Upload | None = None
    index: int = 0
    number: int = 0


class Bench:
    """A target with its indexes, kept loaded; threads may share it.

    What takes a model is ``prepare`` and ``classes``; everything else weighs what is kept.

    Args:
        session: lab and device.
        target: what embeds.
        indexes: of the target.
        parts: encoders that are loaded already.
        limits: bounds.

    Attributes:
        controls: experts and their factors.
        uploads: files that were dropped.
        media: of indexes' items.
        knowledge: names of the lab's knowledge bases; none where texts are not embedded.
    """

    def __init__(
        self,
        session: Session,
        target: Target,
        indexes: Sequence[SearchIndex] = (),
        *,
        parts: LoadedParts | None = None,
        limits: ServingLimits = LIMITS,
    ) -> None:
        self.session = session
        self.target = target
        self.indexes = tuple(indexes)
        self.limits = limits
        self.controls: list[Control] = controls_of(target.space)
        parts = parts or session.parts(target)
        self._embedder = AtomEmbedder(
            target, load_encoder=load_encoder, device=parts.device, parts=parts
        )
        by_id = self._embedder.by_id
        modalities = [m for m in target.space.modalities if m not in by_id]
        self.takes_text = TEXT.name in modalities
        self.uploads = Uploads(decodable(modalities), limits)
        self.takes_files = tuple(decodable(modalities))
        self.media = Media(session.lab, limits)
        self.knowledge = tuple(session.lab.knowledge_bases) if self.takes_text else ()
        self._weighers: dict[Modality, Weigher] = {}
        self._atoms: Kept[tuple[NDArray[np.float32], ...]] = Kept(limits.rows)
        self._classifiers: Kept[Classifier] = Kept(8)

    def about(self) -> dict[str, Any]:
        """Return what is served, as a JSON object."""
        from reactions.modalities import registry

        return {
            "expression": self.target.name,
            "lab": self.session.label(self.target),
            "bundle": str(self.target.bundle.path) if self.target.bundle else None,
            "dim": self.target.space.dim,
            "modalities": list(self.target.space.modalities),
            "takes_text": self.takes_text,
            "takes_files": {m: list(registry.get(m).suffixes) for m in self.takes_files},
            "controls": [control.to_json() for control in self.controls],
            "indexes": [
                {
                    "number": number,
                    "name": "the lab's sample items"
                    if is_sample(index.directory)
                    else str(index.directory),
                    "directory": str(index.directory),
                    "is_sample": is_sample(index.directory),
                    "lab": index.record.lab,
                    "counts": dict(index.counts),
                }
                for number, index in enumerate(self.indexes)
            ],
            "knowledge": list(self.knowledge),
            "limits": {
                "upload_bytes": self.limits.upload_bytes,
                "text": self.limits.text,
                "k": self.limits.k,
                "compared": self.limits.compared,
            },
        }

    def index(self, number: int) -> SearchIndex:
        """Return an index by its number.

        Raises:
            NotThere: there is none.
        """
        if not 0 <= number < len(self.indexes):
            has = f"it has {len(self.indexes)}, numbered from 0" if self.indexes else "it has none"
            raise NotThere(
                f"this server has no index {number}", why=has, fix="molspace serve --index DIR"
            )
        return self.indexes[number]

    # --- embedding ---------------------------------------------------------------------

    def is_ready(self, probe: Probe) -> bool:
        """Return whether a query was embedded before, so that no model is needed."""
        return probe.kind == "item" or self._atoms.get(_key(probe)) is not None

    def prepare(self, items: Sequence[Probe]) -> None:
        """Embed what is asked about, so that ``row`` can weigh it.

        Raises:
            UsageError: the space does not embed its modality.
            MediaError: it cannot be decoded.
            MissingError: weights are missing.
        """
        for probe in items:
            if not self.is_ready(probe):
                self._embed(probe)

    def _embed(self, probe: Probe) -> None:
        modality = probe.modality
        item = (
            probe.upload.item
            if probe.upload
            else Item(probe.text, modality, probe.text, own_id=False)
        )
        embedder = self._embedder
        embedder.load(modality)
        packed = embedder.forward(modality, [embedder.preprocess(modality, item)])
        embedder.check(Batch(modality, [0], [item.id], packed))
        units, lengths = embedder.unpack(modality, packed)
        self._atoms.put(_key(probe), (units, lengths, inner_products(units)))

    def row(self, probe: Probe, adjustment: Adjustment) -> NDArray[np.float32]:
        """Return the embedding of a query at some factors: (1, dim) float32, of unit norm.

        Raises:
            UsageError: the factors do not fit, or are fixed.
            NotThere: it is an item that an index does not have.
        """
        if probe.kind == "item":
            index = self.index(probe.index)
            try:
                index.item(probe.modality, probe.number)
            except UsageError as error:
                raise NotThere(error.what, why=error.why) from None
            return index.rows(probe.modality, [probe.number], adjustment)
        atoms = self._atoms.get(_key(probe))
        if atoms is None:
            self._embed(probe)
            atoms = self._atoms.get(_key(probe))
            assert atoms is not None, "what was just put is there"
        units, lengths, products = atoms
        fitted = fit_adjustment(self.target.space, adjustment)
        scaled = self._weigher(probe.modality).coefficients(fitted, lengths, products)
        row = mixed_rows(units, scaled)
        if np.isnan(row).any():
            raise UsageError(
                "the query has no embedding at these factors",
                why="what is mixed cancels out",
                fix="choose other factors",
            )
        return row

    def _weigher(self, modality: Modality) -> Weigher:
        if modality not in self._weighers:
            self._weighers[modality] = Weigher(self._embedder.form(modality), modality)
        return self._weighers[modality]

    # --- what is asked -----------------------------------------------------------------

    def search(
        self,
        number: int,
        probe: Probe,
        adjustment: Adjustment,
        *,
        into: Sequence[Modality] | None,
        k: int,
    ) -> dict[Modality, list[Hit] | MolspaceError]:
        """Return the nearest items of each modality of an index, or why there are none.

        Raises:
            NotThere: there is no such index.
            UsageError: the index has no such modality, or the factors do not fit.
        """
        index = self.index(number)
        for modality in into or ():
            if modality not in index.modalities:
                raise UsageError(
                    f"the index has no {modality[:80]}", fix=suggestion(modality, index.modalities)
                )
        row = self.row(probe, adjustment)
        hits: dict[Modality, list[Hit] | MolspaceError] = {}
        for modality in into or index.modalities:
            try:
                (hits[modality],) = index.search(row, into=modality, k=k, adjustment=adjustment)
            except UsageError as error:  # without its experts, a modality may have no embeddings
                hits[modality] = error
        return hits

    def similarity(self, items: Sequence[Probe], adjustment: Adjustment) -> NDArray[np.float32]:
        """Return the cosines of each item with each: (n, n) float32."""
        rows = np.concatenate([self.row(probe, adjustment) for probe in items])
        cosines: NDArray[np.float32] = rows @ rows.T
        return cosines

    def classifier(self, knowledge: str, adjustment: Adjustment) -> Classifier:
        """Return what names classes at some factors; it takes seconds, or minutes at first.

        Raises:
            UsageError: the lab has no such knowledge base.
        """
        from reactions.centres import classifier
        from reactions.planning.centres import ClassCentres, open_source

        if knowledge not in self.knowledge:
            raise UsageError(
                f"no knowledge base '{knowledge[:80]}'",
                why="" if self.knowledge else f"lab '{self.session.lab.name}' has none",
                fix=suggestion(knowledge[:80], self.knowledge),
            )
        key = knowledge, repr(self.acting(adjustment))
        cached = self._classifiers.get(key)
        if cached is None:
            centres = ClassCentres(open_source(self.session.lab, knowledge))
            cached = classifier(self.session, self.target, centres, None, adjustment)
            self._classifiers.put(key, cached)
        return cached

    def acting(self, adjustment: Adjustment) -> Mapping[str, Any]:
        """Return factors and experts as they act: JSON-able."""
        return acting_adjustment(self.target.space, adjustment)


def _key(probe: Probe) -> tuple[str, str, str]:
    if probe.upload is not None:
        return "upload", probe.modality, probe.upload.key
    return "text", probe.modality, hashlib.sha256(probe.text.encode(errors="replace")).hexdigest()
