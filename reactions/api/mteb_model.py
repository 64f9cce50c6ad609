"""A space as an encoder of mteb 2: what ``mteb.evaluate`` takes.

mteb's tasks hand over batches, a list a modality. An item of several modalities, such as a page of
a picture and its text, becomes the sum of its unit-norm embeddings, rescaled to unit norm: as
mteb's own wrapper of ImageBind has it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.api.arguments import items_of
from reactions.core.errors import DataError, MolspaceError, UsageError
from reactions.core.hashing import digest
from reactions.core.types import Item, Leaf, Modality, Space, leaves
from reactions.encoders.packages import import_package
from reactions.exchange.card_data import says_mini
from reactions.modalities import noticed, registry
from reactions.modalities.audio import CANCELLED
from reactions.products.tree import Adjustment, effective_factors, embedded_by, fit_adjustment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.inference.embedder import Embedder
    from reactions.products.target import Target

EXTRA: Final = "mteb"

MODALITIES: Final = ("text", "image", "audio")
"""Those of mteb that are embedded. Its videos are decoders of torchcodec's, which are not taken."""

_OTHERS: Final = ("video",)
_LONGEST_NAME: Final = 120
"""Of a setting in the name of mteb's folder: file systems allow 255 bytes for a name."""

_logger = logging.getLogger("reactions")


def labels_of(lab: str, space: Space) -> list[str]:
    """Return the labels of the labs that a space comes from: its own, and those of its parts."""
    labels = dict.fromkeys([lab, *(leaf.spec.lab for leaf in leaves(space))])
    return [label for label in labels if label]


class MtebModel:
    """An encoder of mteb 2 (its ``EncoderProtocol``), of a space at fixed factors.

    Args:
        embedder: of the space, at its factors.
        adjustment: the factors and experts.

    Attributes:
        mteb_model_meta: mteb's record of it. The name is the bundle's and its digest, behind
            ``lab-mini--`` for a rehearsal; factors other than the product's own, and ``lab`` for a
            rehearsal, are its ``experiment_kwargs``, so that mteb keeps their results apart.
        lab: label that every result must carry.
        is_rehearsal: whether stand-ins of the mini lab take part: no result is to be published.
        modalities: of mteb's, those that it embeds.
        notices: what a reader of the results should know, as it comes up; also logged.

    Raises:
        MissingError: mteb is not installed.
        UsageError: it embeds none of mteb's modalities.
    """

    def __init__(self, embedder: Embedder, adjustment: Adjustment) -> None:
        import_package("mteb", "mteb_model()", EXTRA)
        target = embedder.target
        labels = labels_of(target.lab, target.space)
        self.lab = ", ".join(labels)
        self.is_rehearsal = any(map(says_mini, labels))
        embedded = embedded_by(target.space, adjustment) - embedder.by_id
        self.modalities = tuple(name for name in MODALITIES if name in embedded)
        if not self.modalities:
            raise UsageError(
                "the space embeds nothing that mteb's tasks hold",
                why=f"they hold {', '.join(MODALITIES)}; it embeds "
                f"{', '.join(sorted(embedded)) or 'only what it looks up by id'}",
            )
        self.notices: list[str] = []
        self.mteb_model_meta = _meta(target, adjustment, self)
        self._embedder = embedder
        self._n_empty = self._n_batches = 0

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> NDArray[np.float32]:
        """Embed the batches of a task.

        Args:
            inputs: a data loader of mteb's: each batch maps a modality to its values.
            task_metadata: of the task. Its prompts are not used: no encoder here takes any.
            hf_split: not used.
            hf_subset: not used.
            prompt_type: not used.
            kwargs: not used; the size of batches is that of ``inputs``.

        Returns:
            (n, dim) float32 unit-norm rows, in the order given.

        Raises:
            MolspaceError: an item cannot be embedded; the message names the task.
        """
        if getattr(task_metadata, "prompt", None):
            self._note(
                "the prompts that tasks suggest are not used: the space's encoders take none"
            )
        rows = [np.empty((0, self._embedder.dim), np.float32)]
        for batch in inputs:
            try:
                rows.append(self._embed(batch))
            except MolspaceError as error:
                error.what = f"{task_metadata.name}: {error.what}"
                raise
        if self._n_empty:
            self._note("empty texts are embedded as empty texts")
        return np.concatenate(rows)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the (n, m) cosines of (n, dim) and (m, dim) embeddings, as mteb computes them."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the (n,) cosines of the rows of two (n, dim) matrices, as mteb computes them."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)

    def _embed(self, batch: Mapping[str, Any]) -> NDArray[np.float32]:
        """Embed one batch, item by item the modalities that it has."""
        self._n_batches += 1
        values_of = {name: list(batch[name]) for name in self.modalities if name in batch}
        if not values_of:
            present = [name for name in (*MODALITIES, *_OTHERS) if name in batch] or sorted(batch)
            raise UsageError(
                f"items of {', '.join(present)} cannot be embedded",
                why=f"the space embeds {', '.join(self.modalities)}",
            )
        for name in (*MODALITIES, *_OTHERS):
            if name in batch and name not in values_of:
                self._note(f"the {name} of items that have others beside it is not embedded")
        n = len(next(iter(values_of.values())))
        total = np.zeros((n, self._embedder.dim), np.float32)
        counts = np.zeros(n, np.int64)
        for name, values in values_of.items():
            places = [i for i, value in enumerate(values) if value is not None]
            items = self._items(name, [values[i] for i in places])
            total[places] += self._embedder.embed(name, items)
            counts[places] += 1
        if not counts.all():
            raise DataError(f"item {int(np.flatnonzero(counts == 0)[0])} of a batch is empty")
        mixed = counts > 1
        norms = np.linalg.norm(total[mixed], axis=1, keepdims=True)
        if not (norms > 0).all():
            raise DataError("the embeddings of an item's modalities cancel out")
        total[mixed] /= norms
        return total

    def _items(self, modality: Modality, values: Sequence[Any]) -> list[Item]:
        if not registry.get(modality).inline:
            with noticed.of_item(f"batch {self._n_batches}"):
                sounds = [_mono(value, f"{modality} {i}") for i, value in enumerate(values)]
                return items_of(modality, sounds, ())
        # Benchmarks have empty texts, and leaving one out would move the rows after it.
        self._n_empty += sum(not str(value).strip() for value in values)
        for value in values:
            if why := registry.get(modality).why_unusable(value):
                raise UsageError(f"a {modality} cannot be embedded", why=why)
        return [Item(str(i), modality, value, own_id=False) for i, value in enumerate(values)]

    def _note(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)
            _logger.warning(text)


def _mono(value: Any, name: str) -> Any:
    """Return a sound in memory with its channels averaged, which come first in mteb's arrays."""
    if not isinstance(value, Mapping) or value.get("array") is None:
        return value
    from reactions.modalities.sounds.samples import Downmix

    array = np.asarray(value["array"])
    if array.ndim == 2 and len(array):
        downmix = Downmix()
        array = downmix.mix(array.T)
        if downmix.cancels:
            with noticed.of_item(name):
                noticed.note(CANCELLED, name)
    return {**value, "array": array}


def _meta(target: Target, adjustment: Adjustment, model: MtebModel) -> Any:
    """Return mteb's record of a model."""
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    bundle = target.bundle
    if bundle is not None:
        name, revision = bundle.path.absolute().name, bundle.digest
    else:
        name = target.name
        identities = [
            leaf.spec.identity(modality)
            for leaf in leaves(target.space)
            for modality in leaf.spec.modalities
        ]
        revision = digest("mteb", identities)
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "space"
    settings = _settings(target, adjustment)
    if model.is_rehearsal:
        # A caller of mteb.evaluate may leave results wherever mteb keeps those that are published:
        # the name of a result's folder must say by itself what it is.
        plain = f"lab-mini--{plain}"
        settings["lab"] = model.lab
    return ModelMeta.create_empty(
        {
            "name": f"molspace/{plain[:_LONGEST_NAME]}-{revision[:12]}",
            "revision": revision,
            "embed_dim": target.space.dim,
            "framework": ["PyTorch"],
            "similarity_fn_name": ScoringFunction.COSINE,
            "use_instructions": False,
            "modalities": list(model.modalities),
            "experiment_kwargs": settings or None,
        }
    )


def _settings(target: Target, adjustment: Adjustment) -> dict[str, str]:
    """Return what is other than the product's own, for the name of mteb's folder."""
    space = target.space
    if isinstance(space, Leaf):
        return {}
    adjustment = fit_adjustment(space, adjustment)
    settings = {}
    if adjustment.experts is not None:
        settings["experts"] = " ".join(sorted(adjustment.experts))
    trained = effective_factors(space)
    for name, factors in effective_factors(space, adjustment).items():
        if factors != trained.get(name):
            # Whole: mteb takes results of equal names for those of equal factors.
            settings[name] = " ".join(
                f"{modality} {value!r}" for modality, value in factors.items()
            )
    whole = "".join(f"{name}{text}" for name, text in settings.items())
    if len(whole) > _LONGEST_NAME:
        return {"factors": digest("factors", [[*pair] for pair in settings.items()])[:16]}
    return settings
