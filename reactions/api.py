"""The Python facade: react, load, embed.

from reactions import Cr, Dr, Space, react

fused = react(Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g"))
rows = fused.embed(text=["a low hum"], sigma=(0.8, 0.5))["text"]
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.bundle import Bundle, load_bundle
from reactions.dsl import Expression
from reactions.errors import UsageError
from reactions.kinds import Item, Modality
from reactions.labs.reading import load_lab
from reactions.spaces.tree import Adjustment, Factors
from reactions.target import Target
from reactions.workbench import Workbench

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH_ITEMS = 256


class FusedSpace:
    """A trained product, ready to embed.

    Attributes:
        expression: the canonical reaction.
        dim: width of the embeddings.
        modalities: what it embeds, sorted.
        path: the bundle's directory.
        lab: label of the lab it was made in.
    """

    def __init__(self, bundle: Bundle, workbench: Workbench) -> None:
        self._bundle = bundle
        self._workbench = workbench
        self._target = Target(bundle.expression, bundle.space, bundle.lab, bundle)
        self.expression = bundle.expression
        self.dim = bundle.space.dim
        self.modalities = bundle.space.modalities
        self.path = bundle.path
        self.lab = bundle.lab

    def __repr__(self) -> str:
        return f"FusedSpace({self.expression!r}, dim={self.dim}, lab={self.lab!r})"

    def embed(
        self,
        *,
        sigma: Factors | Mapping[str, Factors] | None = None,
        lambda_: Factors | Mapping[str, Factors] | None = None,
        experts: Collection[str] | None = None,
        **media: Sequence[Any],
    ) -> dict[Modality, NDArray[np.float32]]:
        """Embed media of any of the product's modalities.

        Args:
            sigma: factors of combinations: one number, one a shared modality in
                alphabetical order, by modality name, or by expert name.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            media: modality to values, as in ``text=["rain"], audio=["rain.wav"]``: texts,
                file paths, (h, w, 3) uint8 arrays, or ``Waveform``; an ``Item`` where it
                needs an id, by which folders of embeddings are looked up.

        Returns:
            Modality to (n, dim) float32 unit-norm rows, in the order given.

        Raises:
            UsageError: an unknown modality, or factors that do not fit.
            MediaError: a file cannot be decoded.
        """
        import numpy as np

        if isinstance(experts, str):
            experts = [experts]
        names = {expert["expert"] for expert in self._bundle.record["mixtures"]}
        adjustment = Adjustment(
            sigma=_by_expert(sigma, names),
            lambda_=_by_expert(lambda_, names),
            experts=None if experts is None else frozenset(experts),
        )
        embedder = self._workbench.embedder(self._target, adjustment)
        found = {}
        for modality, values in media.items():
            if isinstance(values, str | bytes):
                raise UsageError(f"{modality} takes a list", fix=f"{modality}=[...]")
            items = [_item(i, modality, value) for i, value in enumerate(values)]
            found[modality] = np.concatenate(
                [
                    embedder.embed(modality, items[start : start + _BATCH_ITEMS])
                    for start in range(0, max(len(items), 1), _BATCH_ITEMS)
                ]
            )
        return found


def _item(position: int, modality: Modality, value: Any) -> Item:
    if isinstance(value, Item):
        if value.modality != modality:
            raise UsageError(f"item '{value.id}' of {modality} is {value.modality}")
        return value
    is_path = modality != "text" and isinstance(value, str | os.PathLike)
    return Item(str(position), modality, Path(value) if is_path else value, own_id=False)


def _by_expert(
    given: Factors | Mapping[str, Factors] | None, names: Collection[str]
) -> Mapping[str, Factors]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and given and all(key in names for key in given):
        return dict(given)
    return {"": given}  # type: ignore[dict-item]  # one for all experts


def react(
    reaction: str | Expression,
    *,
    lab: str | None = None,
    seed: int | None = None,
    precision: str | None = None,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
) -> FusedSpace:
    """Train a reaction, or find it trained, and return the product.

    Args:
        reaction: text, the path of a ``.rxn`` file, or an expression of ``Space``, ``Dr``,
            ``Cr`` and their operators.
        lab: name or file of the lab; ``./molspace.toml`` or the mini lab by default.
        seed: instead of the lab's.
        precision: ``"fast"`` or ``"exact"``, instead of the lab's.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        out: the bundle's directory; by default one in the user's data folder.

    Raises:
        MolspaceError: whatever stands in the way, with the fix.
    """
    workbench = Workbench(load_lab(lab, seed=seed).with_precision(precision), device=device)
    checked = workbench.check(reaction)
    bundle = workbench.react(checked, out=Path(out) if out else None, current=False)
    return FusedSpace(bundle, workbench)


def load(
    bundle: str | os.PathLike[str], *, lab: str | None = None, device: str = "auto"
) -> FusedSpace:
    """Load a bundle.

    Args:
        bundle: its directory.
        lab: where its spaces are looked for.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MissingError: there is no bundle.
        BundleError: it is truncated, changed, or newer than this version.
    """
    return FusedSpace(load_bundle(Path(bundle)), Workbench(load_lab(lab), device=device))
