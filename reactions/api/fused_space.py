"""A trained product in Python: to embed, compare, score, search and classify with."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from reactions.api import operations
from reactions.api.arguments import GivenFactors
from reactions.api.classified import Classified
from reactions.api.counting import counting_cuts
from reactions.api.grids import GivenGrid
from reactions.api.loaded_space import LoadedSpace
from reactions.api.mteb_model import MtebModel
from reactions.api.python_names import python_names
from reactions.api.results import html_table
from reactions.api.scores import Scores, SweepScores
from reactions.api.search_results import IndexSummary, SearchHits
from reactions.api.similarities import ComparedItems, SimilarityMatrix, given_rows
from reactions.api.tables import GivenTables
from reactions.core.errors import UsageError
from reactions.core.types import Modality
from reactions.eval.metrics import Ties
from reactions.eval.task import Hit
from reactions.products.tree import effective_factors


class FusedSpace(LoadedSpace):
    """A trained product, ready to embed, and to compare, score and search with.

    Encoders are loaded when they are first needed and kept, whatever the factors of later calls:
    ``embed``, ``similarity``, ``search``, ``classify`` and the steps of ``evaluate`` share them.
    ``close()``, or leaving a ``with`` block, frees them; threads may share a space.

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

    @python_names
    @counting_cuts
    def similarity(
        self,
        first: Any = None,
        second: Any = None,
        /,
        *,
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
        **media: Iterable[Any],
    ) -> SimilarityMatrix:
        """Compare items of two modalities, or of one with each other.

        Args:
            first: (n, dim) embeddings that are at hand, as from ``embed``: they stand for items,
                before those of ``media``.
            second: more of them.
            sigma: factors of combinations, as for ``embed``.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            media: one modality or two, as for ``embed``; the first gives the rows.

        Returns:
            Cosines: within one modality, or one array, of all its items with all of them.

        Raises:
            UsageError: there is nothing to compare, or more than two things; or as ``embed``.
            DimensionMismatch: embeddings are not (n, dim).
            DataError: an embedding has no direction.
            MediaError: a file is missing or cannot be decoded.
        """
        arguments = [("first", first), ("second", second)]
        sides = [given_rows(place, rows, self.dim) for place, rows in arguments if rows is not None]
        if not 1 <= len(sides) + len(media) <= 2:
            raise UsageError(
                f"{len(sides) + len(media)} things to compare",
                why="one is compared with itself, or two with each other",
                fix="similarity(text=[...], image=[...])",
            )
        if not media and (sigma, lambda_, experts) != (None, None, None):
            raise UsageError(
                "factors have no effect on embeddings that are at hand",
                fix="give them to embed(), or give media here",
            )
        if media:
            rows = self.embed(sigma=sigma, lambda_=lambda_, experts=experts, **media)
            sides += [ComparedItems(m, tuple(rows.labels[m]), array) for m, array in rows.items()]
        return SimilarityMatrix(sides[0], sides[-1], self.lab)

    @python_names
    @counting_cuts
    def evaluate(
        self,
        tasks: str | Iterable[str] = (),
        *,
        pairs: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        columns: Mapping[str, str | Sequence[str]] | None = None,
        templates: Sequence[str] = (),
        ids: str | None = None,
        separator: str = "",
        folder: str | os.PathLike[str] | None = None,
        where: Mapping[str, str | Sequence[str]] | None = None,
        by_id: bool | str | Sequence[str] = False,
        metrics: str | Iterable[str] = (),
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
        ties: Ties = "strict",
        hit: Hit | None = None,
        baselines: bool = False,
        centres: str | os.PathLike[str] | None = None,
        k: int | None = None,
        selection: str = "central",
        rule: str = "mean",
        items: str | None = None,
        progress: bool | None = None,
    ) -> Scores:
        """Score the product on evaluation sets of its lab, and on tables of your own.

        Results in the cache are not computed again.

        Args:
            tasks: names, or groups (``"freebind"``, ``"unibind"``, ``"own"``, ``"all"``), of which
                what cannot be done here is left out and named in ``notices``.
            pairs: a table (csv, tsv, jsonl, parquet) with a pair a row, or annotations (json, as
                of COCO), for retrieval both ways.
            labels: a table with an item and its class in each row.
            columns: modality, or ``"class"``, to the table's column, where names do not say it.
            templates: prompts for the classes of ``labels``: ``["a photo of a {class}."]``.
            ids: the table's column of ids; files' names by default.
            separator: between several classes of an item of ``labels``.
            folder: where paths in the table start; beside it by default.
            where: column to one or several values: the rows of the table that are taken.
            by_id: whether columns hold ids of folders of embeddings, and classes those of their
                texts; or the modalities of which they do: ``["image"]``.
            metrics: to show beside the protocol's own: ``"all"``, or names or parts of them, such
                as ``["MRR", "nDCG@10"]``.
            sigma: factors of combinations, as for ``embed``.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            ties: ``"strict"`` counts a tie of right and wrong answers as a miss, ``"lenient"`` as
                a hit.
            hit: what retrieval must find: ``"pair"`` or ``"class"``.
            baselines: also score what trains nothing, beside it.
            centres: descriptions that stand for classes instead of prompts: a knowledge base of
                the lab, its ``.parquet`` file, or a ``.safetensors`` file of centres.
            k: of ``centres``: descriptions of a class that are kept.
            selection: which, as ``--selection`` of ``molspace eval``.
            rule: how they score, as ``--rule``.
            items: ``TASK:SPLIT`` of the selection ``"items"``.
            progress: whether to show progress on stderr; None shows it on a terminal alone.

        Raises:
            UsageError: a task is unknown, or arguments do not fit.
            MissingError: the lab has no data for a task, or the product lacks a modality.
        """
        described = operations.described(centres, k=k, selection=selection, rule=rule, items=items)
        return operations.evaluate(
            self._running(progress),
            self._target,
            operations.names_of(tasks),
            self._adjustment(sigma, lambda_, experts),
            tables=GivenTables.of(
                *(pairs, labels, columns, templates, ids, separator, folder, where, by_id)
            ),
            metrics=operations.names_of(metrics),
            ties=operations.one_of("ties", ties, Ties),
            hit=None if hit is None else operations.one_of("hit", hit, Hit),
            baselines=baselines,
            described=described,
        )

    @python_names
    @counting_cuts
    def sweep(
        self,
        tasks: str | Iterable[str],
        *,
        sigma: GivenGrid = None,
        lambda_: GivenGrid = None,
        experts: str | Sequence[str | Sequence[str]] | None = None,
        ties: Ties = "strict",
        progress: bool | None = None,
    ) -> SweepScores:
        """Score the product at many factors and choices of experts, for little more than one.

        Args:
            tasks: as for ``evaluate``.
            sigma: factors of combinations to try: ``"0:1:0.1"`` (from, to, step) for all shared
                modalities together, ``"0:1:0.1,0/0.5"`` one a modality in alphabetical order, a
                list of numbers, or a mapping of modality, or expert, to any of these.
            lambda_: factors of displacements to try, likewise.
            experts: ``"all-subsets"``, or a list of lists of names.
            ties: as for ``evaluate``.
            progress: as for ``evaluate``.

        Raises:
            UsageError: a task is unknown, or factors do not fit the product.
            MissingError: the lab has no data for a task, or the product lacks a modality.
        """
        return operations.sweep(
            self._running(progress),
            self._target,
            operations.names_of(tasks),
            sigma=sigma,
            lambda_=lambda_,
            experts=experts,
            ties=operations.one_of("ties", ties, Ties),
        )

    @python_names
    @counting_cuts
    def index(
        self,
        out: str | os.PathLike[str],
        *,
        corpora: str | Iterable[str] = (),
        dtype: Literal["float32", "float16"] = "float32",
        prefix: str = "",
        progress: bool | None = None,
        **media: Iterable[Any],
    ) -> IndexSummary:
        """Embed items once, to be searched at any factors.

        What the index has already, by id and contents, is not embedded again. A path or a text is
        its own id, an ``Item`` brings one, and what is in memory alone is called by its contents.

        Args:
            out: the index's folder; items are added to one that is there.
            corpora: of the lab: a modality of ``[corpora]``, ``TASK``, or ``TASK:SPLIT``.
            dtype: how numbers are stored: ``"float16"`` takes half the room.
            prefix: stands, with a slash, before the ids of corpora and of items that bring one:
                keys of shards repeat from set to set.
            progress: as for ``evaluate``.
            media: items, as for ``embed``. What cannot be decoded is left out and counted.

        Raises:
            UsageError: there is nothing to index, or another product made the index.
            StoreError: the index cannot be written.
        """
        return operations.index(
            self._running(progress),
            self._target,
            self._loaded(),
            out,
            operations.names_of(corpora),
            media=lambda embedder: self._items(media, embedder),
            dtype=dtype,
            prefix=prefix,
        )

    @python_names
    @counting_cuts
    def search(
        self,
        index: str | os.PathLike[str],
        *,
        into: Modality | None = None,
        k: int = 10,
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
        **media: Iterable[Any],
    ) -> SearchHits:
        """Find what is nearest to each item in an index of this product, at any factors.

        Args:
            index: its folder, or what ``index`` returned.
            into: the modality that is searched; all by default.
            k: hits of each query.
            sigma: factors of combinations, as for ``embed``; of queries and index alike.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            media: queries of any modality, as for ``embed``.

        Raises:
            MissingError: there is no index.
            UsageError: another product made it, a query does not fit, or factors are fixed.
            MediaError: a file is missing or cannot be decoded.
        """
        adjustment = self._adjustment(sigma, lambda_, experts)
        return operations.search(
            self._session,
            self._target,
            self._loaded(),
            self._open_index(index),
            [
                item
                for items in self._items(media, self._embedder(adjustment)).values()
                for item in items
            ],
            into=into,
            k=k,
            adjustment=adjustment,
        )

    @python_names
    @counting_cuts
    def classify(
        self,
        centres: str | os.PathLike[str] | None = None,
        *,
        classes: str | Sequence[str] | None = None,
        templates: Sequence[str] = (),
        top: int = 5,
        k: int | None = None,
        selection: str = "central",
        rule: str = "mean",
        items: str | None = None,
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
        progress: bool | None = None,
        **media: Iterable[Any],
    ) -> Classified:
        """Name the classes whose descriptions, or prompts, items are nearest to.

        Args:
            centres: what describes the classes, as for ``evaluate``; None takes prompts.
            classes: their names, or a task or file that has them; None takes all described.
            templates: prompts, with ``{class}``; by default those usual for the modality.
            top: how many an item.
            k: as for ``evaluate``.
            selection: likewise.
            rule: likewise.
            items: likewise.
            sigma: factors of combinations, as for ``embed``; of items and classes alike.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            progress: as for ``evaluate``.
            media: items, as for ``embed``.

        Raises:
            UsageError: arguments do not fit.
            DataError: classes are not described.
        """
        adjustment = self._adjustment(sigma, lambda_, experts)
        described = operations.described(centres, k=k, selection=selection, rule=rule, items=items)
        embedder = self._embedder(adjustment)
        return operations.classify(
            self._running(progress),
            self._target,
            embedder,
            self._items(media, embedder),
            described,
            adjustment,
            classes=classes,
            templates=templates,
            top=top,
        )

    @python_names
    def mteb_model(
        self,
        *,
        sigma: GivenFactors = None,
        lambda_: GivenFactors = None,
        experts: Collection[str] | None = None,
    ) -> MtebModel:
        """Return the space as an encoder for ``mteb.evaluate``, at fixed factors.

        It embeds texts, images and sounds, and items of several of these. Its encoders are those
        of this space, and stay loaded.

        Args:
            sigma: factors of combinations, as for ``embed``.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.

        Raises:
            MissingError: mteb is not installed.
            UsageError: factors do not fit, or nothing is left that mteb's tasks hold.
        """
        adjustment = self._adjustment(sigma, lambda_, experts)
        return MtebModel(self._embedder(adjustment), adjustment)

    def _repr_html_(self) -> str:
        factors = [
            (name, ", ".join(f"{m} {value:g}" for m, value in by_modality.items()))
            for name, by_modality in effective_factors(self._target.space).items()
        ]
        facts = [
            ("dim", str(self.dim)),
            ("modalities", ", ".join(self.modalities)),
            *factors,
            ("bundle", str(self.path)),
        ]
        return html_table(f"{self.expression}   lab: {self.lab}", ("", ""), facts)
