"""What an Ft or Lcl is, planned; and what plans all that it stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from reactions.core.encoder_paths import path_of
from reactions.core.step import parameters
from reactions.products.aligned import LCL
from reactions.products.tuned import FT

if TYPE_CHECKING:
    from reactions.core.lcl_settings import LclSettings
    from reactions.core.paired import PairedCorpora
    from reactions.core.settings import ReactionSettings, TuningSettings
    from reactions.core.step import Step
    from reactions.core.types import Corpus, Fusion, Leaf, Modality, Space, Tuned
    from reactions.knowledge.base import KnowledgeBase
    from reactions.labs.lab import Lab
    from reactions.planning.training import Mixture
    from reactions.products.bundles.trained import TunedFile
    from reactions.steps.align_text import AlignText
    from reactions.steps.tune import Tune


@dataclass(frozen=True)
class PlannedTuning:
    """An Ft, planned.

    Attributes:
        node: the tuned product.
        step: tunes.
        pairs: what on.
        settings: how: the lab's, but for what the reaction says.
    """

    node: Tuned
    step: Tune
    pairs: PairedCorpora
    settings: TuningSettings

    def about(self) -> dict[str, Any]:
        """Return what a bundle's record says of it; what follows from its result is added then."""
        path, options = path_of(self.node), self.node.tuning
        spec = path.leaf.spec
        return {
            "modality": self.node.arguments[0],
            "paired": self.node.arguments[1],
            "heads": options.heads,
            "space": spec.name,
            "weights_digest": spec.weights_digest,
            "licence": spec.licence,
            "pairs": {
                "name": self.pairs.name,
                "digest": self.pairs.digest,
                "rows": len(self.pairs),
            },
            "settings": {k: v for k, v in parameters(self.settings).items() if k != "heads"},
            "subsets": [sorted(heads) for heads in reversed(self.step.heads) if self.step.tuned],
        }

    @property
    def made_by(self) -> Tune:
        """The step that makes its tensors."""
        return self.step

    def part(self, path: str) -> dict[str, Any]:
        """Return the entry of a bundle's record, for the node at a path of its tree."""
        return {"kind": FT, "node": path, "about": self.about()}


@dataclass(frozen=True)
class PlannedLayer:
    """The layer of one modality, planned.

    Attributes:
        step: trains it.
        corpus: the items that are described, and perhaps others.
        name: that the lab knows the corpus by.
        n_items: how many of them are described.
        n_texts: distinct texts that describe them.
        n_held: further ones that are described and held back.
    """

    step: AlignText
    corpus: Corpus
    name: str
    n_items: int
    n_texts: int
    n_held: int = 0


@dataclass(frozen=True)
class PlannedLearning:
    """An Lcl, planned.

    Attributes:
        node: the aligned product.
        knowledge: what describes the items.
        layers: by modality.
        settings: how: what the reaction says, its preset's and the lab's for the rest.
    """

    node: Tuned
    knowledge: KnowledgeBase
    layers: Mapping[Modality, PlannedLayer]
    settings: LclSettings

    @property
    def made_by(self) -> dict[Modality, AlignText]:
        """The steps that make its tensors, by the beginnings of their names."""
        return {modality: layer.step for modality, layer in self.layers.items()}

    def part(self, path: str) -> dict[str, Any]:
        """Return the entry of a bundle's record, for the node at a path of its tree."""
        options, metadata = self.node.learning, self.knowledge.metadata
        about = {
            "knowledge": {
                "name": self.knowledge.name,
                "digest": self.knowledge.digest,
                "dataset": metadata.dataset,
            },
            "models": [
                {"name": model.name, "revision": model.revision, "licence": model.licence}
                for model in metadata.models
            ],
            "targets": options.targets or "descriptions",
            "norms": options.norms or "unit",
            "settings": parameters(self.settings),
            "layers": {
                modality: {
                    "corpus": layer.name,
                    "digest": layer.corpus.digest,
                    "rows": layer.n_items,
                    "texts": layer.n_texts,
                }
                for modality, layer in self.layers.items()
            },
        }
        return {"kind": LCL, "node": path, "about": about}


class Planning(Protocol):
    """What ``planner.Planner`` is to the modules that plan trained parts."""

    lab: Lab
    notices: list[str]
    settings: ReactionSettings
    divided: tuple[Corpus, ...]
    towers: Mapping[Leaf, TunedFile]

    @property
    def tunings(self) -> Iterable[PlannedTuning]:
        """Every Ft planned so far."""

    def embed(self, space: Space, corpus: Corpus) -> Step:
        """Plan a corpus's embedding in a leaf or a product."""

    def encode(self, leaf: Leaf, corpus: Corpus, purpose: str = "", *, raw: bool = False) -> Step:
        """Plan a corpus's embedding by a leaf's encoder."""

    def mixture(self, fusion: Fusion, index: int) -> Mixture:
        """Plan the projectors that join one expert to its base."""

    def tuning(self, node: Tuned) -> PlannedTuning:
        """Plan an Ft."""

    def learning(self, node: Tuned) -> PlannedLearning:
        """Plan an Lcl."""
