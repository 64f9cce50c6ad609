"""What an Lcl trained: a linear layer for each modality, on the product's own embeddings.

Its tensors are ``<modality>.weight`` (d, d) and ``<modality>.bias`` (d,), d being the product's
dimension. Text has no layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from reactions.core.lcl_settings import LclSettings
from reactions.core.types import Modality, Space, Tuned
from reactions.modalities.text import TEXT
from reactions.products.bundles.json_values import a_list, a_mapping, a_text

if TYPE_CHECKING:
    from torch import Tensor

LCL = "lcl"
"""The kind of part, in records."""

WEIGHT, BIAS = "weight", "bias"
SHOWN_SETTINGS = ("temperature", "batch_size", "epochs")
"""What people are told of an Lcl's settings, so that every record has it."""

_MAX_MODELS = 100


@dataclass(frozen=True)
class AlignedLayers:
    """What an Lcl trained, loaded.

    Attributes:
        layers: modality to (d, d) weight and (d,) bias.
        is_raw: whether the layers take rows of the norm that the encoder's model gives.
    """

    layers: Mapping[Modality, tuple[Tensor, Tensor]]
    is_raw: bool = False

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Pass rows through their modality's layer; rows of others stay as they are.

        Args:
            modality: of the rows.
            rows: (n, d) unit-norm rows; of the model's own norm where ``is_raw``.
        """
        from reactions.ops.lcl import align
        from reactions.ops.precision import full_float32
        from reactions.ops.tensors import unit

        if modality not in self.layers:
            return unit(rows) if self.is_raw else rows
        with full_float32():
            return align(rows, *self.layers[modality])


def load_layers(node: Tuned, tensors: Mapping[str, Tensor]) -> AlignedLayers:
    """Return what an Lcl trained, on the device of its tensors.

    Args:
        node: that it belongs to.
        tensors: see the module.

    Raises:
        LookupError: a layer is not whole.
    """
    modalities = sorted({name.rpartition(".")[0] for name in tensors})
    layers = {
        modality: (
            tensors[f"{modality}.{WEIGHT}"].float(),
            tensors[f"{modality}.{BIAS}"].float(),
        )
        for modality in modalities
    }
    return AlignedLayers(layers, node.learning.takes_raw_rows)


class LclKind:
    """The kind of part that an Lcl leaves in a bundle; see ``PartKind``."""

    def shapes(self, node: Space, about: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
        """Return name and shape of each tensor, once what the record says can be true.

        Raises:
            ValueError: the record describes what this Lcl cannot have trained.
        """
        if not isinstance(node, Tuned) or node.op != "lcl":
            raise ValueError("a part of kind 'lcl' belongs to what an Lcl trained")
        layers = a_mapping("layers", about["layers"])
        alignable = set(node.modalities) - {TEXT.name}
        chosen = node.learning.modalities
        if not layers or not set(layers) <= alignable or (chosen and set(chosen) != set(layers)):
            raise ValueError(
                f"layers of {sorted(layers)!r:.200}; the reaction says "
                f"{', '.join(chosen or sorted(alignable))}"
            )
        _check_claims(node, about)
        for modality, layer in layers.items():
            _check_layer(modality, layer, imported=about["knowledge"] is None)
        d = node.dim
        shapes: dict[str, tuple[int, ...]] = {}
        for modality in layers:
            shapes |= {f"{modality}.{WEIGHT}": (d, d), f"{modality}.{BIAS}": (d,)}
        return shapes

    def load(
        self, node: Space, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> AlignedLayers:
        """Return the part, on the device of its tensors."""
        assert isinstance(node, Tuned), "shapes has refused others"
        return load_layers(node, tensors)


def _check_claims(node: Tuned, about: Mapping[str, Any]) -> None:
    """Check what is shown to people.

    Raises:
        ValueError, UsageError: it is not what this version could have written.
    """
    options = node.learning
    claims = about["targets"], about["norms"]
    expected = options.targets or "descriptions", options.norms or "unit"
    if claims != expected:
        raise ValueError(f"it was trained with {claims!r:.200}; the reaction says {expected}")
    models = a_list("models", about["models"])
    if len(models) > _MAX_MODELS:
        raise ValueError(f"{len(models)} models")
    for model in models:
        for key in ("name", "revision", "licence"):
            a_text(f"{key} of a model", a_mapping("a model", model)[key])
    settings = a_mapping("settings", about["settings"])
    if about["knowledge"] is None:
        # Imported, and not published with what it was made of.
        if settings:
            raise ValueError("settings, but no knowledge base")
        return
    knowledge = a_mapping("knowledge", about["knowledge"])
    for key in ("name", "digest", "dataset"):
        a_text(f"{key} of the knowledge base", knowledge[key])
    for name in SHOWN_SETTINGS:
        if name not in settings:
            raise ValueError(f"settings without {name}")
    names = {entry.name for entry in fields(LclSettings)}
    for name, value in settings.items():
        if name in names and type(value) not in (int, float, str, bool):
            raise ValueError(f"settings.{name} is {value!r:.40}")
    LclSettings(**{name: value for name, value in settings.items() if name in names})


def _check_layer(modality: Modality, layer: Any, *, imported: bool) -> None:
    """Raise ValueError unless a record's description of a layer can be true."""
    layer = a_mapping(f"the layer of {modality}", layer)
    if imported:
        if layer:
            raise ValueError(f"the layer of {modality} was imported, and says {layer!r:.80}")
        return
    for key in ("corpus", "digest"):
        a_text(f"{key} of the layer of {modality}", layer[key])
    for key in ("rows", "texts", "steps"):
        if type(layer[key]) is not int or layer[key] < 0:
            raise ValueError(f"{layer[key]!r:.40} {key} of the layer of {modality}")
