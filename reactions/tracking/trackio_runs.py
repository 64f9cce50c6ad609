"""Runs of trackio: in its folder of this machine, or where its own settings send them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from reactions.core.errors import MissingError
from reactions.core.local_files import writable_folder
from reactions.core.protocols import offline
from reactions.encoders.packages import import_package
from reactions.tracking.board import BoardName, Fact
from reactions.tracking.projects import messages_on_stderr, project_name

_REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
"""Its own settings of the environment, by which runs leave this machine."""


class TrackioRuns:
    """Opens runs of a project.

    Args:
        project: its name.

    Raises:
        UsageError: the name is empty.
        MissingError: ``trackio`` is not installed; or runs would be sent away in offline mode.
        StoreError: its folder cannot be written to.
    """

    def __init__(self, project: str) -> None:
        self._project = project_name("trackio", project)
        remote = [f"{name}={os.environ[name]}" for name in _REMOTE if os.environ.get(name)]
        if remote and (setting := offline()):
            raise MissingError(
                f"trackio:{project} would send runs away",
                why=f"offline mode is on ({setting}), and {remote[0]} is set",
                fix=f"unset {remote[0].partition('=')[0]}: runs then stay on this machine",
            )
        self._is_local = not remote
        self._trackio = import_package("trackio", f"--track trackio:{project}")
        if self._is_local:
            folder = Path(self._trackio.TRACKIO_DIR)
            writable_folder(folder, "runs of trackio", "name another folder with TRACKIO_DIR")

    def open(self, name: BoardName, facts: Mapping[str, Fact]) -> TrackioRun:
        """Open a run."""
        with messages_on_stderr(), _no_lookups() if self._is_local else contextlib.nullcontext():
            run = self._trackio.init(
                project=self._project,
                name=name.run,
                group=name.group or None,
                config=dict(facts),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return TrackioRun(self._trackio, run)


class TrackioRun:
    """One run. Points are written twice a second, by a thread of trackio's."""

    def __init__(self, trackio: Any, run: Any) -> None:
        self._trackio = trackio
        self._run = run

    def scalar(self, tag: str, value: float, position: int) -> None:
        """Add a point to a curve."""
        self._run.log({tag: value}, step=position)

    def text(self, tag: str, text: str) -> None:
        """Add a text."""
        self._run.log({tag: self._trackio.Markdown(text)}, step=0)

    def close(self, *, complete: bool) -> None:
        """Write what is left; trackio keeps no note of whether a run was complete."""
        with messages_on_stderr():
            self._trackio.finish()


@contextlib.contextmanager
def _no_lookups() -> Iterator[None]:
    """Keep a local run from asking the hub for its user's name, which is all it would do there."""
    constants: Any = import_module("huggingface_hub.constants")  # trackio requires it
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
