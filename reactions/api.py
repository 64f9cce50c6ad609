"""The Python facade: react, load, embed.

from reactions import Cr, Dr, Space, react

fused = react(Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g"))
rows = fused.embed(text=["a low hum"], sigma=(0.8, 0.5))["text"]
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from reactions.core.errors import MediaError, UsageError, suggestion
from reactions.core.types import Item, Modality, Waveform
from reactions.data.path_like import never_a_file
from reactions.dsl import Expression
from reactions.inference.embedder import LoadedParts
from reactions.labs.lab_file import load_lab
from reactions.modalities import registry
from reactions.products.bundles.bundle import Bundle
from reactions.products.target import Target
from reactions.products.tree import Adjustment, Factors
from reactions.run.events import EventSink
from reactions.run.logs import log_notices, log_quality, log_scans, watch
from reactions.session import Session
from reactions.tracking.follower import tracking
from reactions.tracking.trackers import open_tracker

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FusedSpace:
    """A trained product, ready to embed.

    Encoders are loaded when ``embed`` first needs them and kept, whatever the factors of later
    calls. ``close()``, or leaving a ``with`` block, frees them; threads may share a space.

    Attributes:
        expression: the canonical reaction.
        dim: width of the embeddings.
        modalities: what it embeds, sorted.
        path: the bundle's directory.
        lab: label of the lab it was made in.
        quality: what was measured on held-out items (JSON-able); None if nothing was held back.
    """

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
        """Free the encoders and projectors; a later ``embed`` loads what it needs again."""
        if self._parts is not None:
            self._parts.release()

    def __repr__(self) -> str:
        return f"FusedSpace({self.expression!r}, dim={self.dim}, lab={self.lab!r})"

    def embed(
        self,
        *,
        sigma: Factors | Mapping[str, Factors] | None = None,
        lambda_: Factors | Mapping[str, Factors] | None = None,
        experts: Collection[str] | None = None,
        **media: Iterable[Any],
    ) -> dict[Modality, NDArray[np.float32]]:
        """Embed media of any of the product's modalities.

        Args:
            sigma: factors of combinations: one number, one a shared modality in
                alphabetical order, by modality name, or by expert name.
            lambda_: factors of displacements, likewise.
            experts: names of the experts to use; all by default.
            media: modality to values, as in ``text=["rain"], audio=["rain.wav"]``: texts (also
                those that look like paths), file paths, (h, w, 3) uint8 arrays, or
                ``Waveform``; an ``Item`` where it
                needs an id, by which folders of embeddings are looked up.

        Returns:
            Modality to (n, dim) float32 unit-norm rows, in the order given.

        Raises:
            UsageError: an unknown modality, a value of a wrong type, or factors that do not
                fit.
            MediaError: a file is missing or cannot be decoded.
        """
        if isinstance(experts, str):
            experts = [experts]
        names = {expert["expert"] for expert in self._bundle.record["mixtures"]}
        adjustment = Adjustment(
            sigma=_by_expert(sigma, names),
            lambda_=_by_expert(lambda_, names),
            experts=None if experts is None else frozenset(experts),
        )
        if self._parts is None:
            self._parts = self._session.parts(self._target)
        embedder = self._session.embedder(self._target, adjustment, parts=self._parts)
        # All are checked before the first encoder is loaded.
        for modality in media:
            self._refuse_unknown(modality)
        checked = {name: _items(name, values, embedder.by_id) for name, values in media.items()}
        return {modality: embedder.embed(modality, items) for modality, items in checked.items()}

    def _refuse_unknown(self, modality: str) -> None:
        known = self._target.space.modalities
        if modality not in known:
            raise UsageError(
                f"this space does not embed {modality}",
                why=f"it embeds {', '.join(known)}",
                fix=suggestion(modality, known),
            )


def _items(modality: Modality, values: Iterable[Any], by_id: Collection[Modality]) -> list[Item]:
    """Return items, whose files are there unless they are only looked up by id."""
    if isinstance(values, str | bytes | os.PathLike | Item | Waveform):
        raise UsageError(f"{modality} takes a list", fix=f"{modality}=[...]")
    try:
        values = list(values)
    except TypeError as error:
        raise UsageError(
            f"{modality} takes a list", why=str(error), fix=f"{modality}=[...]"
        ) from None
    items = []
    for position, value in enumerate(values):
        item = _item(position, modality, value)
        if item is not value and modality not in by_id:
            if isinstance(item.value, Path) and not registry.get(modality).inline:
                _check_file(position, modality, value)
            else:
                _check_type(position, modality, value)
        items.append(item)
    return items


def _item(position: int, modality: Modality, value: Any) -> Item:
    if isinstance(value, Item):
        if value.modality != modality:
            raise UsageError(f"item '{value.id}' of {modality} is {value.modality}")
        return value
    is_path = not registry.get(modality).inline and isinstance(value, str | os.PathLike)
    return Item(str(position), modality, Path(value) if is_path else value, own_id=False)


def _check_file(position: int, modality: Modality, value: str | os.PathLike[str]) -> None:
    """Refuse a file that is not there.

    Raises:
        MediaError: it is not.
    """
    path = Path(value)
    try:
        if path.is_file():
            return
        kind = "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError):  # longer than any file's name, or with a null in it
        kind = "there is no such file"
    raise MediaError(
        f"cannot read the {modality} '{os.fspath(value)}'",
        why=never_a_file(os.fspath(value)) or kind,
        path=str(path),
        position=position,
    )


def _check_type(position: int, modality: Modality, value: Any) -> None:
    """Refuse values that no encoder takes; other modalities are their encoders' business.

    Raises:
        UsageError: the type, or an array's shape, does not fit.
    """
    record = registry.get(modality)
    if not record.why_unusable(value):
        if isinstance(value, str) and not value.strip():
            raise UsageError(f"{modality} {position} is empty", position=position)
        return
    got = type(value).__name__
    if isinstance(value, np.ndarray):
        got = f"an array of shape {value.shape}, {value.dtype}"
    raise UsageError(
        f"{modality} {position} is {got}",
        why=f"{modality} takes {record.takes}",
        position=position,
    )


def _by_expert(
    given: Factors | Mapping[str, Factors] | None, names: Collection[str]
) -> Mapping[str, Factors]:
    if given is None:
        return {}
    # A mapping is by expert where all its keys are experts' names, else by modality.
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
    executor: str = "local",
    out: str | os.PathLike[str] | None = None,
    track: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    events: EventSink | None = None,
) -> FusedSpace:
    """Train a reaction, or find it trained, and return the product.

    Args:
        reaction: text, the path of a ``.rxn`` file, or an expression of ``Space``, ``Dr``,
            ``Cr`` and their operators.
        lab: name or file of the lab; ``./molspace.toml`` or the mini lab by default.
        seed: instead of the lab's.
        precision: ``"fast"`` or ``"exact"``, instead of the lab's.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        executor: name of what runs the steps: ``"local"``, or what a package adds.
        out: the bundle's directory; by default one in the user's data folder.
        track: where to write losses as they come: a folder, for TensorBoard, or
            ``"trackio:PROJECT"`` or ``"wandb:PROJECT"``.
        progress: whether to show progress on stderr; None shows it on a terminal alone.
            Either way it is logged, by the logger ``reactions``: steps as INFO, what is to be
            known of the result as WARNING.
        events: called with what happens (``reactions.run.events``), in the order it does, from
            the thread that called ``react``: ``PlanStarted``, then ``StepHit``,
            ``StepStarted``, ``StepProgress``, ``StepFinished`` and others of each step, and
            ``PlanFinished`` or ``PlanStopped``. What it raises ends the run.

    Raises:
        MolspaceError: whatever stands in the way, with the fix.
    """
    tracker = None if track is None else open_tracker(os.fspath(track))
    sink = watched = watch(progress, events)
    with ExitStack() as open_boards:
        if tracker is not None:
            sink = open_boards.enter_context(tracking(tracker, sink, command="react"))
        session = Session(
            load_lab(lab, seed=seed, on_progress=log_scans()).with_precision(precision),
            device=device,
            executor=executor,
            events=sink,
        )
        plan = session.plan(session.check(reaction))
        log_notices(plan.notices)
        bundle = session.react(plan, out=Path(out) if out else None, current=False)
    log_quality(bundle.record.get("quality"))
    return FusedSpace(bundle, replace(session, events=watched))


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
    session = Session(load_lab(lab, on_progress=log_scans()), device=device)
    return FusedSpace(session.open_bundle(Path(bundle)), session)
