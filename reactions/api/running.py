"""react and load: what makes a FusedSpace."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from reactions.api.counting import in_words
from reactions.api.fused_space import FusedSpace
from reactions.api.python_names import python_names
from reactions.core.left_out import collected
from reactions.dsl import Expression
from reactions.labs.lab_file import load_lab
from reactions.run.device import chosen_device
from reactions.run.events import EventSink, ignore
from reactions.run.logs import log_notices, log_quality, log_scans, watch
from reactions.session import Session
from reactions.tracking.follower import tracking
from reactions.tracking.trackers import open_tracker


@python_names
def react(
    reaction: str | Expression,
    *,
    lab: str | None = None,
    seed: int | None = None,
    precision: str | None = None,
    device: str | None = None,
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
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``; by default ``$MOLSPACE_DEVICE``, else
            ``"auto"``.
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
    sink = watch(progress, events)
    with ExitStack() as open_boards:
        if tracker is not None:
            sink = open_boards.enter_context(tracking(tracker, sink, command="react"))
        session = Session(
            load_lab(lab, seed=seed, on_progress=log_scans()).with_precision(precision),
            device=chosen_device(device),
            executor=executor,
            events=sink,
        )
        plan = session.plan(session.check(reaction))
        log_notices(plan.notices)
        with collected() as cuts:
            bundle = session.react(plan, out=Path(out) if out else None, current=False)
    log_quality(bundle.record.get("quality"))
    fused = FusedSpace(bundle, replace(session, events=ignore))
    fused.items_cut = in_words(cuts)
    return fused


@python_names
def load(
    bundle: str | os.PathLike[str], *, lab: str | None = None, device: str | None = None
) -> FusedSpace:
    """Load a bundle.

    Args:
        bundle: its directory.
        lab: where its spaces are looked for.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``; by default ``$MOLSPACE_DEVICE``, else
            ``"auto"``.

    Raises:
        MissingError: there is no bundle.
        BundleError: it is truncated, changed, or newer than this version.
    """
    session = Session(load_lab(lab, on_progress=log_scans()), device=chosen_device(device))
    return FusedSpace(session.open_bundle(Path(bundle)), session)
