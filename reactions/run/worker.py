"""A worker: one device, what it holds, and what it lends a running step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from reactions.core.types import Encoder, SpaceSpec
from reactions.run.device import free_device_memory
from reactions.run.schedule import Needs

LoadEncoder = Callable[[SpaceSpec, str], Encoder]
"""Opens a space on a device. Called in one thread at a time, while others may run steps."""

Report = Callable[[int, int, str], None]
"""Takes (done, total, unit)."""

_T = TypeVar("_T")

_PROGRESS_EVERY_S = 0.1

# Libraries patch themselves while they load weights (initialisers, default types).
_LOADING = threading.Lock()


class Stopped(BaseException):
    """The run ends early. No Exception, so that no step swallows it."""


class Worker:
    """Runs steps on one device, one at a time; see ``graph.Context`` for what it lends them.

    It holds one encoder and one shared object at most, and only for as long as the steps
    it runs name the same ones: two large ones may not fit beside each other.

    Args:
        device: ``"cpu"`` or ``"cuda:N"``.
        load_encoder: opens a space on a device.
        stopping: set when the run ends early.

    Attributes:
        holds: what it holds or is about to hold, as far as who hands out work knows.
    """

    def __init__(self, device: str, load_encoder: LoadEncoder, stopping: threading.Event) -> None:
        self.device = device
        self.holds: Needs = frozenset()
        self._load_encoder = load_encoder
        self._stopping = stopping
        self._needs: Needs = frozenset()
        self._report: Report = _ignore
        self._told = 0.0
        self._encoder: tuple[SpaceSpec, Encoder] | None = None
        self._shared: tuple[Any] | None = None

    def begin(self, needs: Needs, report: Report) -> None:
        """Get ready for (part of) a step: drop what it does not need.

        Args:
            needs: of the step.
            report: told its progress.

        Raises:
            Stopped: the run ends early.
        """
        self._check()
        self._keep(self._needs & needs)
        self._needs, self._report = needs, report

    def drop(self) -> None:
        """Drop all that is held."""
        self.holds = self._needs = frozenset()
        self._report = _ignore
        self._keep(self._needs)

    def encoder(self, spec: SpaceSpec) -> Encoder:
        """Return the loaded space; the last one is freed before another is loaded."""
        if self._encoder is None or self._encoder[0] != spec:
            self._free_encoder()
            with _LOADING:
                self._check()
                self._encoder = (spec, self._load_encoder(spec, self.device))
        return self._encoder[1]

    def shared(self, build: Callable[[], _T]) -> _T:
        """Return what ``build`` makes, or made here for an earlier step with the same name."""
        if "shares" not in dict(self._needs):
            return build()
        if self._shared is None:
            self._shared = (build(),)
        found: _T = self._shared[0]
        return found

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell how much of the present call is done, at most ten times a second.

        Raises:
            Stopped: the run ends early.
        """
        self._check()
        now = time.monotonic()
        if done >= total or now - self._told >= _PROGRESS_EVERY_S:
            self._told = now
            self._report(done, total, unit)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _keep(self, needs: Needs) -> None:
        kinds = dict(needs)
        if "encoder" not in kinds:
            self._free_encoder()
        if "shares" not in kinds and self._shared is not None:
            self._shared = None
            free_device_memory(self.device)

    def _free_encoder(self) -> None:
        if self._encoder is not None:
            self._encoder = None
            free_device_memory(self.device)


def _ignore(done: int, total: int, unit: str) -> None:
    pass
