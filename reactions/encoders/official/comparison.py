"""A space held against the published package of its model: the same items, the same weights."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError, MolspaceError
from reactions.core.types import Item, Modality, SpaceSpec, StagedEncoder
from reactions.encoders import registry
from reactions.encoders.derived import native
from reactions.encoders.official.base import EmbedOne, OfficialModel, OfficialPackage, alone
from reactions.encoders.uri import PRECISIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOUNDS: Mapping[str, float] = {"fp32": 1e-4, "fp16": 5e-3, "bf16": 2e-2}
"""Precision to the largest difference of two numbers of unit-norm embeddings that is agreement.

Single precision, summed in another order, leaves about 1e-6; a wrong weight, filter or crop moves
an embedding by 1e-2 and more. Half precisions have ten and seven bits after the point.
"""

Setting = Literal["pinned", "as published", "network alone"]
Verdict = Literal["agrees", "disagrees", "for information", "not compared"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near two encoders are in one modality.

    Attributes:
        modality: what was embedded.
        setting: ``pinned`` is the package with what its ``pins`` name held fixed, ``as
            published`` without, ``network alone`` its network on what molspace prepared.
        items: how many were compared.
        difference: the largest absolute difference of two numbers of unit-norm embeddings.
        cosine: the smallest of two embeddings of an item.
        worst: the item of the largest difference.
        bound: that the difference is held against; 0 where none is.
        verdict: what follows.
        remark: why it was not compared, or "".
    """

    modality: Modality
    setting: Setting
    items: int
    difference: float
    cosine: float
    worst: str
    bound: float
    verdict: Verdict
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class PackageComparison:
    """A space held against a package.

    Attributes:
        agreements: for each modality and setting.
        pins: modality to what was held fixed in the package.
        left_out: items that one of both could not embed, with the reason.
    """

    agreements: list[Agreement]
    pins: Mapping[Modality, str]
    left_out: list[str] = field(default_factory=list)

    @property
    def disagreements(self) -> list[Agreement]:
        """Those beyond their bounds."""
        return [agreement for agreement in self.agreements if agreement.verdict == "disagrees"]


_Rows = dict[str, "NDArray[np.float64]"]
"""An item's id to its embedding."""


def compare(
    spec: SpaceSpec,
    package: OfficialPackage,
    probes: Mapping[Modality, Sequence[Item]],
    *,
    device: str = "cpu",
    began: Callable[[str], None] = lambda what: None,
) -> PackageComparison:
    """Embed the same items by a space and by a package, one after the other, and compare.

    The two models are never in memory together.

    Args:
        spec: the space.
        package: that runs its models (``packages.choose``).
        probes: modality to items that are texts or paths of files; modalities without any are
            reported as not compared.
        device: on which both compute.
        began: called with what begins, for people.

    Raises:
        MissingError: weights, files or packages are missing.
        DataError: the weights are damaged, or one of both cannot run them; or nothing could be
            compared.
    """
    package.require()
    native_spec = native(spec)
    trials = {modality: list(probes.get(modality, ())) for modality in native_spec.modalities}
    alone_on = {m: list(package.network_inputs(m)) for m in native_spec.modalities}
    left_out: list[str] = []
    began(f"loading {spec.name}")
    ours = _by_space(native_spec, trials, alone_on, device, left_out, began)
    _free(device)
    began(f"loading its weights into {package.name}")
    with alone(), torch.inference_mode():
        model = package.open(native_spec, device)
        agreements = []
        for modality in spec.modalities:
            if modality not in ours:
                remark = _why_not(spec, modality, package)
                agreements.append(_not_compared(modality, remark))
                continue
            began(f"{package.name}: {modality}")
            for setting, embed in _settings(model, modality, network=not trials[modality]):
                items = trials[modality] or alone_on[modality]
                theirs = _embedded(embed, items, package.name, left_out)
                bound = 0.0 if setting == "as published" else BOUNDS[precision_of(native_spec)]
                agreements.append(_agreement(modality, setting, ours[modality], theirs, bound))
    if all(agreement.verdict == "not compared" for agreement in agreements):
        raise DataError(
            f"nothing of '{spec.name}' was compared with {package.name}",
            why="; ".join(f"{agreement.modality}: {agreement.remark}" for agreement in agreements),
            fix="give it samples of its modalities: --samples FOLDER",
        )
    compared = {
        agreement.modality
        for agreement in agreements
        if agreement.setting == "pinned" and agreement.items
    }
    pins = {m: text for m, text in package.pins.items() if m in compared}
    return PackageComparison(agreements, pins, list(dict.fromkeys(left_out)))


def precision_of(spec: SpaceSpec) -> str:
    """Return the precision that a space computes in, one of ``uri.PRECISIONS``."""
    names = {"bf16": ("bf16", "bfloat16"), "fp16": ("fp16", "float16")}
    for precision, endings in names.items():
        if spec.adapter.endswith(tuple(f"_{ending}" for ending in endings)) or any(
            tag.endswith(f"-{precision}") for _, tag in spec.preprocessing
        ):
            return precision
    return PRECISIONS[0]


def _by_space(
    spec: SpaceSpec,
    trials: Mapping[Modality, list[Item]],
    alone_on: Mapping[Modality, list[Item]],
    device: str,
    left_out: list[str],
    began: Callable[[str], None],
) -> dict[Modality, _Rows]:
    """Return a space's own embeddings; the encoder is gone when this returns."""
    encoder = registry.load(spec, device=device)
    ours = {}
    for modality in spec.modalities:
        if items := trials[modality]:
            began(f"molspace: {len(items)} of {modality}")

            def whole(item: Item, modality: Modality = modality) -> Any:
                return encoder.embed(modality, [item])[0]

            ours[modality] = _embedded(whole, items, "molspace", left_out)
        elif (items := alone_on[modality]) and isinstance(encoder, StagedEncoder):
            staged = encoder

            def network(item: Item, modality: Modality = modality) -> Any:
                return staged.forward(modality, [item.value])[0]  # noqa: B023

            ours[modality] = _embedded(network, items, "molspace", left_out)
    return ours


def _settings(
    model: OfficialModel, modality: Modality, *, network: bool
) -> Iterator[tuple[Setting, EmbedOne]]:
    """Yield each way in which a package embeds a modality."""
    if network:
        yield "network alone", model.networks[modality]
        return
    yield "pinned", model.embed[modality]
    if modality in model.as_published:
        yield "as published", model.as_published[modality]


def _embedded(
    embed: Callable[[Item], Any], items: Sequence[Item], whose: str, left_out: list[str]
) -> _Rows:
    """Embed items one by one; what one cannot embed is left out, and all is an error.

    Raises:
        DataError: none could be embedded.
    """
    rows: _Rows = {}
    reasons = []
    for item in items:
        try:
            row = embed(item)
        except MemoryError:
            raise
        except Exception as error:  # the set is open: packages raise whatever they meet
            reason = error.what if isinstance(error, MolspaceError) else str(error)
            reason = " ".join(reason.split())[:200] or type(error).__name__
            reasons.append(reason)
            left_out.append(f"{item.id}: {whose} cannot embed it: {reason}")
            continue
        values: NDArray[np.float64] = (
            row.double().cpu().numpy() if isinstance(row, Tensor) else row.astype(np.float64)
        )
        norm = float(np.linalg.norm(values))
        # A row of zeros has no direction: NaN agrees with nothing.
        rows[item.id] = values / norm if norm else np.full_like(values, np.nan)
    if not rows:
        raise DataError(
            f"{whose} cannot embed any of {len(items)} items of {items[0].modality}",
            why=reasons[0],
        )
    return rows


def _agreement(
    modality: Modality, setting: Setting, ours: _Rows, theirs: _Rows, bound: float
) -> Agreement:
    names = [name for name in ours if name in theirs]
    if not names:
        return _not_compared(modality, "molspace and the package could not embed the same items")
    widths = {len(ours[names[0]]), len(theirs[names[0]])}
    if len(widths) > 1:
        raise DataError(
            f"embeddings of {modality} are of different widths",
            why=f"molspace gives {len(ours[names[0]])}, the package {len(theirs[names[0]])}",
        )
    apart = np.array([np.abs(ours[name] - theirs[name]).max() for name in names])
    cosines = np.array([ours[name] @ theirs[name] for name in names])
    # A NaN is the largest to argmax, and is within no bound.
    worst = int(apart.argmax())
    largest = float(apart[worst])
    verdict: Verdict = "agrees" if largest <= bound else "disagrees"
    return Agreement(
        modality,
        setting,
        len(names),
        largest,
        float(cosines.min()),
        names[worst],
        bound,
        verdict if bound else "for information",
    )


def _not_compared(modality: Modality, remark: str) -> Agreement:
    return Agreement(modality, "pinned", 0, 0.0, 0.0, "", 0.0, "not compared", remark)


def _why_not(spec: SpaceSpec, modality: Modality, package: OfficialPackage) -> str:
    if modality in dict(spec.derived):
        return "it goes through the image tower, by pictures that molspace draws or chooses"
    if modality in package.modalities:
        return "there were no samples"
    return f"{package.name} does not embed it"


def _free(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
