"""Runs of Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from reactions.core.errors import MissingError
from reactions.core.protocols import offline
from reactions.encoders.packages import import_package
from reactions.tracking.board import BoardName, Fact
from reactions.tracking.projects import messages_on_stderr, project_name

_POSITION = "position"


class WandbRuns:
    """Opens runs of a project.

    To name wandb is to ask for what it does: it sends runs to its server, unless its own
    ``WANDB_MODE`` says otherwise. In molspace's offline mode they stay in ``./wandb``.

    Args:
        project: its name, or ``ENTITY/PROJECT``.

    Raises:
        UsageError: the name is empty.
        MissingError: ``wandb`` is not installed, or nobody is logged in.
    """

    def __init__(self, project: str) -> None:
        entity, _, name = project_name("wandb", project).rpartition("/")
        self._project, self._entity = project_name("wandb", name), entity or None
        self._wandb = import_package("wandb", f"--track wandb:{project}")
        self._mode = "offline" if offline() else None
        if not self._mode and os.environ.get("WANDB_MODE", "online") in ("online", "shared"):
            self._log_in(project)

    def _log_in(self, project: str) -> None:
        """Find the user's key, or let wandb ask for it: now, not at the first loss."""
        try:
            with messages_on_stderr():
                self._wandb.login()
        except Exception as error:  # wandb's own, for which there is no public name
            raise MissingError(
                f"cannot use wandb:{project}",
                why=" ".join(str(error).split()),
                fix="wandb login   or, to keep runs on this machine, WANDB_MODE=offline",
            ) from error

    def open(self, name: BoardName, facts: Mapping[str, Fact]) -> WandbRun:
        """Open a run."""
        with messages_on_stderr():
            run = self._wandb.init(
                project=self._project,
                entity=self._entity,
                name=name.run,
                group=name.group or None,
                config=dict(facts),
                reinit="create_new",
                settings={"console": "off"},  # what we print is not tracked
                **({"mode": self._mode} if self._mode else {}),
            )
            # wandb counts the calls of log; the positions of our curves do not run with it.
            run.define_metric("*", step_metric=_POSITION)
        return WandbRun(run)


class WandbRun:
    """One run."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def scalar(self, tag: str, value: float, position: int) -> None:
        """Add a point to a curve."""
        self._run.log({tag: value, _POSITION: position})

    def text(self, tag: str, text: str) -> None:
        """Add a text, to the run's summary."""
        self._run.summary[tag] = text

    def close(self, *, complete: bool) -> None:
        """Send what is left."""
        with messages_on_stderr():
            self._run.finish(exit_code=0 if complete else 1)
