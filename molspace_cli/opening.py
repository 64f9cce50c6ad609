"""A lab and a session, opened as the options of a command say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from molspace_cli.verbosity import detail

if TYPE_CHECKING:
    from reactions.labs.lab import Lab
    from reactions.session import Session

left_open = ExitStack()
"""What commands leave open, to be closed when they end, however they do."""


def open_lab(
    name: str | None,
    *,
    seed: int | None = None,
    weights: Sequence[str] | None = None,
    data: Path | None = None,
    quiet: bool = True,
    online: bool = True,
) -> Lab:
    """Open a lab, with the digests and scans that earlier runs remembered.

    Without ``online`` nothing remote is looked at: a command that only lists or plans contacts
    no server.
    """
    from molspace_cli.confirm import agree
    from molspace_cli.console import say
    from molspace_cli.progress import scans
    from reactions.core.environment import mistyped_variables
    from reactions.core.protocols import allow_network, deny_network
    from reactions.labs.lab_file import load_lab
    from reactions.weights.locate import digest_cache

    for name, meant in mistyped_variables().items():
        say(f"warning: the variable {name} is not read; did you mean {meant}?")
    if online:
        allow_network()
    else:
        deny_network("a command that only lists or plans does not use the network", "--online")
    lab = load_lab(
        name,
        seed=seed,
        digests=digest_cache(),
        data=data,
        weights=_weights(weights or (), name),
        on_progress=scans(quiet=quiet),
        agree=agree,
    )
    detail(f"lab: {lab.path} ({reason(name)})")
    return lab


def reason(name: str | None) -> str:
    """Return why this lab is the one."""
    from reactions.core import environment
    from reactions.labs.lab_file import OWN_LAB

    if name is not None:
        return "--lab"
    if environment.chosen_lab() is not None:
        return environment.LAB
    return "in this folder" if os.path.lexists(OWN_LAB) else "the default"


def _weights(texts: Sequence[str], lab_name: str | None) -> dict[str, Path]:
    """Read ``--weights``.

    Raises:
        UsageError: one is not NAME=PATH, or is given twice.
        MissingError: there is no such path.
    """
    from reactions.core.errors import MissingError, UsageError
    from reactions.weights.locate import parse_override

    paths: dict[str, Path] = {}
    for text in texts:
        name, path = parse_override(text)
        if name in paths:
            raise UsageError(f"--weights is given twice for {name}", fix="leave one out")
        if not os.path.exists(path):  # noqa: PTH110  (False, too, for what no name can be)
            path_fix = f"--weights {name}=PATH of the file, or of the folder that holds it"
            raise MissingError(
                f"--weights {text}: there is no such file or folder",
                fix=_other_name(name, lab_name) or path_fix,
                space=name,
                path=str(path),
            )
        paths[name] = path
    return paths


def _other_name(name: str, lab_name: str | None) -> str:
    """Return the name of a lab's space that was probably meant; "" if the lab has this one."""
    from reactions.core.errors import MolspaceError, suggestion
    from reactions.labs.lab_file import load_lab

    try:
        catalogue = load_lab(lab_name).catalogue
    except MolspaceError:  # it is reported when it matters
        return ""
    return "" if name in catalogue else suggestion(name, catalogue.names())


def allow_remote_code(pins: Sequence[str] | None) -> None:
    """Let code that comes with weights run, as far as ``--trust-remote-code`` pins it."""
    from reactions.weights.hub import trust

    trust(pins or ())


def open_session(
    lab_name: str | None,
    *,
    seed: int | None = None,
    weights: Sequence[str] | None = None,
    data: Path | None = None,
    trust: Sequence[str] | None = None,
    precision: str | None = None,
    device: str | None = None,
    executor: str = "local",
    quiet: bool = False,
    online: bool = True,
    track: str | None = None,
    command: str = "molspace",
    has_rows: bool = False,
) -> Session:
    """Open the lab and the store, with progress on stderr.

    Args:
        lab_name: the lab's name or file; None for the default.
        seed: instead of the lab's.
        weights: ``NAME=PATH`` texts.
        data: where evaluation sets lie.
        trust: pins of code that may run.
        precision: instead of the lab's.
        device: where to run; None leaves it to the environment.
        executor: what runs the steps.
        quiet: show warnings only.
        online: look at remote places.
        track: where losses and scores go; see ``open_tracker``.
        command: what is running, for what is tracked.
        has_rows: the command makes a table, whose rows are tracked one by one.
    """
    from molspace_cli.progress import progress, unknown
    from reactions.encoding.prefetch import chosen_workers
    from reactions.run.device import chosen_device
    from reactions.run.executor import DEFAULT, check_executor
    from reactions.session import Session
    from reactions.store import Store
    from reactions.tracking.follower import tracking
    from reactions.tracking.trackers import open_tracker

    device = chosen_device(device)
    chosen_workers()  # what is wrong with it is said now, not in the middle of a run
    check_executor(executor)
    tracker = None if track is None else open_tracker(track)
    store = Store()
    allow_remote_code(trust)
    lab = open_lab(lab_name, seed=seed, weights=weights, data=data, quiet=quiet, online=online)
    lab = lab.with_precision(precision)
    # How fast the workers of other executors are shows once they work.
    speed = partial(_speed, device, lab.settings.precision) if executor == DEFAULT else unknown
    detail(f"device: {device}; precision: {lab.settings.precision}; results: {store.address}")
    events = progress(quiet=quiet, speed=speed)
    if tracker is not None:
        group = command.split()[-1] if has_rows else ""
        events = left_open.enter_context(tracking(tracker, events, command=command, group=group))
    return Session(lab, store, device, events, executor)


def _speed(device: str, precision: str) -> float | None:
    """Return the FLOP/s that steps can be expected to reach; None where it cannot be measured."""
    from reactions.core.errors import MolspaceError
    from reactions.planning.throughput import pace
    from reactions.run.device import resolve_devices

    try:
        return pace(resolve_devices(device), precision)
    except (MolspaceError, RuntimeError):  # the run itself says what is wrong with the device
        return None
