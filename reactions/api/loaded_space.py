"""A product and its encoders, loaded when they are first needed and then kept."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

from reactions.api.arguments import GivenFactors, by_expert, items_of
from reactions.api.counting import ItemsCut, counting_cuts
from reactions.api.embeddings import Embeddings
from reactions.api.lending import KeptEncoders
from reactions.api.python_names import python_names
from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Item, Modality
from reactions.inference.embedder import Embedder, LoadedParts
from reactions.inference.similarity import label
from reactions.modalities import noticed
from reactions.products.bundles.bundle import Bundle
from reactions.products.target import Target
from reactions.products.tree import Adjustment
from reactions.run.logs import log_notices, watch
from reactions.search.index import SearchIndex
from reactions.search.record import RECORD
from reactions.session import Session


class LoadedSpace:
    """A trained product that embeds; ``FusedSpace`` adds what is done with embeddings.

    Attributes:
        expression: the canonical reaction.
        dim: width of the embeddings.
        modalities: what it embeds, sorted.
        path: the bundle's directory.
        lab: label of the lab it was made in.
        quality: what was measured on held-out items (JSON-able); None if nothing was held back.
        items_cut: what encoders left out of the items it was trained on, as results have it; None
            where that is not known, for the bundle was loaded.
    """

    items_cut: ItemsCut | None = None

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self._bundle = bundle
        self._session = session
        self._target = Target.of_bundle(bundle)
        self.expression = bundle.expression
        self.dim = bundle.space.dim
        self.modalities = bundle.space.modalities
        self.path = bundle.path
        self.lab = bundle.lab
        self.quality: Mapping[str, Any] | None = bundle.record.get("quality")
        self._parts: LoadedParts | None = None
        self._indexes: dict[Path, tuple[object, SearchIndex | None]] = {}
        self._lock = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free encoders, projectors and indexes; a later call loads what it needs again."""
        self._indexes.clear()
        if self._parts is not None:
            self._parts.release()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.expression!r}, dim={self.dim}, lab={self.lab!r})"

    @python_names
    @counting_cuts
    def embed(
        self,
        *,
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
        **media: Iterable[Any],
    ) -> Embeddings:
        """Embed media of any of the product's modalities.

        Args:
            sigma: factors of combinations: one number, one a shared modality in
                alphabetical order, by modality name, or by expert name.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            media: modality to a list of values, as in ``text=["rain"], audio=["rain.wav"]``:
                texts (also those that look like paths); paths of files; Pillow images, uint8
                arrays ((h, w, 3) or (h, w)) and tensors ((3, h, w) or (1, h, w)); ``Waveform``
                and ``{"array", "sampling_rate"}``; ``{"bytes", "path"}``; an ``Item`` where it
                needs an id, by which folders of embeddings are looked up. Of a Hugging Face
                data set: ``image=(dataset, "column")``.

        Returns:
            A dict of modality to (n, dim) float32 unit-norm rows, in the order given; it also has
            ``labels``, ``lab`` and ``to_dataframe()``.

        Raises:
            UsageError: an unknown modality, a value of a wrong type, or factors that do not
                fit.
            MediaError: a file is missing or cannot be decoded.
        """
        embedder = self._embedder(self._adjustment(sigma, lambda_, experts))
        items = self._items(media, embedder)
        rows = {modality: embedder.embed(modality, values) for modality, values in items.items()}
        log_notices(noticed.take())
        labels = {modality: [*map(label, values)] for modality, values in items.items()}
        return Embeddings(rows, labels, self.lab)

    @python_names
    def project(
        self,
        *,
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
        **rows: Mapping[str, Any],
    ) -> Embeddings:
        """Embed items whose embeddings in the product's spaces are at hand; no encoder is loaded.

        Args:
            sigma: factors of combinations, as for ``embed``.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            rows: modality to the embeddings that each space gave, by its name in the reaction, as
                in ``text={"ImageBind": a, "CLAP_m": b}``: (n, d) arrays or tensors of floats, row i
                of all being of the same item.

        Returns:
            Modality to (n, dim) float32 unit-norm rows, in the order given.

        Raises:
            UsageError: a space's rows are missing, or a name is not that of a space.
            DimensionMismatch: rows are not as wide as the space, or not as many as the others.
            DataError: a row is not finite, or has no direction.
        """
        from reactions.inference.projecting import project_rows

        parts = self._loaded()
        adjustment = self._adjustment(sigma, lambda_, experts)
        projected = {
            modality: project_rows(
                self._target, modality, array, parts.trained(), adjustment, device=parts.device
            )
            for modality, array in rows.items()
        }
        labels = {modality: [*map(str, range(len(array)))] for modality, array in projected.items()}
        return Embeddings(projected, labels, self.lab)

    def _running(self, progress: bool | None) -> Session:
        """Return the session for runs that use, and keep, the encoders that are loaded here."""
        encoders = KeptEncoders(self._target, self._loaded)
        return replace(self._session, encoders=encoders, events=watch(progress))

    def _embedder(self, adjustment: Adjustment) -> Embedder:
        return self._session.embedder(self._target, adjustment, parts=self._loaded())

    def _items(self, media: Mapping[str, Any], embedder: Embedder) -> dict[Modality, list[Item]]:
        """Return what a call gives as items, all of it checked before an encoder is loaded."""
        for modality in media:
            self._refuse_unknown(modality)
        return {name: items_of(name, values, embedder.by_id) for name, values in media.items()}

    def _open_index(self, place: str | os.PathLike[str]) -> SearchIndex:
        """Open an index, or take the one that is open, unless it has changed since."""
        directory = Path(place).absolute()
        try:
            facts = (directory / RECORD).stat()
            state = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        except OSError:
            state = None  # opening it says what is wrong
        with self._lock:
            opened_state, opened = self._indexes.get(directory, (None, None))
            if opened is None or state is None or opened_state != state:
                opened = SearchIndex(Path(place), self._target)
                self._indexes[directory] = state, opened
            return opened

    def _loaded(self) -> LoadedParts:
        """Return what keeps encoders and projectors."""
        with self._lock:
            if self._parts is None:
                self._parts = self._session.parts(self._target)
            return self._parts

    def _refuse_unknown(self, modality: str) -> None:
        modalities = self._target.space.modalities
        if modality not in modalities:
            raise UsageError(
                f"this space does not embed {modality}",
                why=f"it embeds {', '.join(modalities)}",
                fix=suggestion(modality, modalities),
            )

    def _adjustment(
        self,
        sigma: GivenFactors,
        lambda_: GivenFactors,
        experts: Collection[str] | str | None,
    ) -> Adjustment:
        """Read the factors and experts that a call gives."""
        if isinstance(experts, str):
            experts = [experts]
        names = {expert["expert"] for expert in self._bundle.record["mixtures"]}
        return Adjustment(
            sigma=by_expert(sigma, names),
            lambda_=by_expert(lambda_, names),
            experts=None if experts is None else frozenset(experts),
        )
