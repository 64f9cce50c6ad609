"""What an Ft trained: copies of the projectors on the way from an encoder, and the encoder.

Its tensors are ``head.<hop>.<subset>.<tensor>``, with hops counted from the outermost, and
``encoder.<name>`` for those weights of the encoder's tower that were changed; with LoRA, the
low-rank factors alone, not merged into the weights. Base weights that were not changed are
never among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from reactions.core.encoder_paths import path_of
from reactions.core.settings import MAX_LORA_RANK, TuningSettings
from reactions.core.types import Modality, Space, Tuned
from reactions.products.bundles.json_values import a_mapping, a_text
from reactions.products.bundles.tensors import HeadPlace, check_head
from reactions.products.parts import Place, TrainedPart, load_mixture

if TYPE_CHECKING:
    from torch import Tensor

FT = "ft"
"""The kind of part, in records."""

HEAD, ENCODER = "head.", "encoder."

MAX_TENSORS = 20_000
MAX_AXES = 8
_MAX_LENGTH = 1 << 40
_MAX_NAME = 500


@dataclass(frozen=True)
class TunedPath:
    """What an Ft trained, loaded.

    Attributes:
        heads: the tuned copies of mixtures, by the places of those that they replace.
        encoder: name to tensor of the tower's changed weights, or its LoRA factors; empty where
            the encoder is as it was.
        rank: of LoRA; None for changed weights.
    """

    heads: Mapping[Place, TrainedPart]
    encoder: Mapping[str, Tensor]
    rank: int | None

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Return the rows: what was tuned acts within the node (``fuse``), not on what it gives."""
        return rows


class TunedKind:
    """The kind of part that an Ft leaves in a bundle; see ``PartKind``."""

    def shapes(self, node: Space, about: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
        """Return name and shape of each tensor, as the record says, once they can be true.

        Raises:
            ValueError: the record describes what this Ft cannot have trained.
        """
        if not isinstance(node, Tuned) or node.op != "ft":
            raise ValueError("a part of kind 'ft' belongs to what an Ft tuned")
        path, options = path_of(node), node.tuning
        claims = (about["heads"], about["weights_digest"])
        expected = (options.heads, path.leaf.spec.weights_digest)
        # By type as well: 1 equals True.
        if claims != expected or type(claims[0]) is not type(expected[0]):
            raise ValueError(f"it tuned {claims!r:.200}; the reaction says {expected!r:.200}")
        _check_claims(node, about)
        rank = about["lora"]
        if rank is not None and not (
            type(rank) is int and 1 <= rank <= MAX_LORA_RANK and options.tunes_encoder
        ):
            raise ValueError(f"LoRA of rank {rank!r:.40}")
        shapes = _shapes(about["shapes"])
        heads: dict[str, dict[str, tuple[int, ...]]] = {}
        encoder = 0
        for name, shape in shapes.items():
            if name.startswith(ENCODER):
                encoder += 1
                if rank is not None and not _is_lora(name, shape, rank):
                    raise ValueError(f"{name!r:.80} is not a factor of LoRA of rank {rank}")
            else:
                prefix = "".join(f"{part}." for part in name.rsplit(".", 2)[:-2])
                heads.setdefault(prefix, {})[name.removeprefix(prefix)] = shape
        if bool(encoder) != options.tunes_encoder:
            raise ValueError(f"{encoder} tensors of the encoder, where heads is {options.heads}")
        self._check_heads(node, about["subsets"], heads)
        return shapes

    def _check_heads(
        self, node: Tuned, subsets: Any, heads: dict[str, dict[str, tuple[int, ...]]]
    ) -> None:
        """Raise ValueError unless tensors are those of the mixtures on the way."""
        hops = path_of(node).projected if node.tuning.heads else ()
        if not isinstance(subsets, list) or len(subsets) != len(hops):
            raise ValueError(f"mixtures of {subsets!r:.80}, where {len(hops)} are tuned")
        for hop, ((fusion, index), names) in enumerate(zip(hops, subsets, strict=True)):
            if not isinstance(names, list) or not names or len(set(names)) < len(names):
                raise ValueError(f"a mixture of the projectors {names!r:.80}")
            for name in names:
                prefix = f"{HEAD}{hop}.{name}."
                check_head(heads.pop(prefix, {}), HeadPlace.of(prefix, fusion, index))
        if heads:
            raise ValueError(f"tensors {next(iter(heads))!r:.80} of no projector")

    def load(
        self, node: Space, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> TrainedPart:
        """Return the part, on the device of its tensors."""
        assert isinstance(node, Tuned), "shapes has refused others"
        return load_tuned(node, tensors, about["lora"])


def load_tuned(node: Tuned, tensors: Mapping[str, Tensor], rank: int | None) -> TunedPath:
    """Return what an Ft trained, projectors in eval mode, on the device of its tensors.

    Args:
        node: that it belongs to.
        tensors: see the module.
        rank: of LoRA; None for none.

    Raises:
        LookupError, RuntimeError, ValueError: a projector is not whole.
    """
    states: dict[tuple[int, str], dict[str, Tensor]] = {}
    encoder: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith(ENCODER):
            encoder[name.removeprefix(ENCODER)] = tensor
            continue
        place, layer, kind = name.removeprefix(HEAD).rsplit(".", 2)
        hop, _, subset = place.partition(".")
        states.setdefault((int(hop), subset), {})[f"{layer}.{kind}"] = tensor
    heads: dict[Place, TrainedPart] = {}
    for number, (fusion, index) in enumerate(path_of(node).projected):
        hop_states = [state for (hop, _), state in sorted(states.items()) if hop == number]
        if hop_states:
            device = str(next(iter(hop_states[0].values())).device)
            heads[fusion, index] = load_mixture(fusion, index, hop_states, device)
    return TunedPath(heads, encoder, rank)


def _check_claims(node: Tuned, about: Mapping[str, Any]) -> None:
    """Check what is shown to people.

    Raises:
        ValueError, UsageError: it is not what this version could have written.
    """
    spec = path_of(node).leaf.spec
    claims = about["modality"], about["paired"], about["space"], about["licence"]
    if claims != (*node.arguments, spec.name, spec.licence):
        raise ValueError(f"it tuned {claims!r:.200}, and not what the reaction says")
    if about["pairs"] is None:
        # Imported, and not published with what it was made of.
        if about["steps"] is not None or about["settings"] != {}:
            raise ValueError("steps or settings, but no pairs")
        return
    pairs = a_mapping("pairs", about["pairs"])
    a_text("the name of the pairs", pairs["name"])
    a_text("the digest of the pairs", pairs["digest"])
    for name, count in (("pairs", pairs["rows"]), ("steps", about["steps"])):
        if type(count) is not int or count < 0:
            raise ValueError(f"{count!r:.40} {name}")
    settings = a_mapping("settings", about["settings"])
    names = {entry.name for entry in fields(TuningSettings)}
    for name, value in settings.items():
        if name in names and value is not None and type(value) not in (int, float, str):
            raise ValueError(f"settings.{name} is {value!r:.40}")
    TuningSettings(**{name: value for name, value in settings.items() if name in names})
    for name in ("batch_size", "epochs"):  # which people are told
        if name not in settings:
            raise ValueError(f"settings without {name}")


def _shapes(value: Any) -> dict[str, tuple[int, ...]]:
    """Return shapes that a record names.

    Raises:
        ValueError: too many, or a name or a length that none of ours has.
    """
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_TENSORS:
        raise ValueError(f"shapes of {len(value) if isinstance(value, dict) else 0} tensors")
    shapes = {}
    for name, shape in value.items():
        if not name.startswith((HEAD, ENCODER)) or len(name) > _MAX_NAME or name.count(".") < 1:
            raise ValueError(f"a tensor is called {name!r:.80}")
        if not isinstance(shape, list) or not 0 < len(shape) <= MAX_AXES:
            raise ValueError(f"{name!r:.80} has the shape {shape!r:.80}")
        if not all(type(length) is int and 0 < length < _MAX_LENGTH for length in shape):
            raise ValueError(f"{name!r:.80} has the shape {shape!r:.80}")
        shapes[name] = tuple(shape)
    return shapes


def _is_lora(name: str, shape: tuple[int, ...], rank: int) -> bool:
    axis = {"lora_A": 0, "lora_B": 1}.get(name.split(".")[-2] if name.count(".") > 1 else "")
    return axis is not None and len(shape) == 2 and shape[axis] == rank
