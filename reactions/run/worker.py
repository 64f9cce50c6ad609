"""A worker: one device, what it holds, and how it does a unit of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from reactions.core.errors import StepError
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, Encoder, SpaceSpec
from reactions.run.backend import Measured, Progress, Report, Work
from reactions.run.device import free_device_memory, hardware_of
from reactions.run.schedule import Needs, needs_of
from reactions.run.validate import check_result
from reactions.store import Store
from reactions.store.saved_state import SavedState

if TYPE_CHECKING:
    from numpy.typing import NDArray

LoadEncoder = Callable[[SpaceSpec, str], Encoder]
"""Opens a space on a device. Called in one thread at a time, while others may run steps."""

_T = TypeVar("_T")

_PROGRESS_EVERY_S = 0.1

# Libraries patch themselves while they load weights (initialisers, default types).
_LOADING = threading.Lock()


class Stopped(BaseException):
    """The run ends early. No Exception, so that no step swallows it."""


class Worker:
    """Does units of work on one device, one at a time; lends steps a ``core.step.Context``.

    It reads inputs from the store by key, and puts results there: nothing else has to be sent
    to where it is. It holds one encoder, one shared object and the inputs of one unit of work
    at most, and only while the work it is given needs the same ones: two large ones may not
    fit beside each other.

    Args:
        store: where inputs and results are.
        device: ``"cpu"`` or ``"cuda:N"``.
        load_encoder: opens a space on a device.
        stopping: set when the run ends early; by default never.
    """

    def __init__(
        self,
        store: Store,
        device: str,
        load_encoder: LoadEncoder,
        stopping: threading.Event | None = None,
    ) -> None:
        self.device = device
        self._store = store
        self._load_encoder = load_encoder
        self._stopping = stopping or threading.Event()
        self._needs: Needs = frozenset()
        self._report: Report = _ignore
        self._reported_s = 0.0
        self._encoder: tuple[SpaceSpec, Encoder] | None = None
        self._shared: tuple[Any] | None = None
        self._inputs: dict[Digest, Artifact] = {}
        self._checkpoint: SavedState | None = None
        self._has_saved = False

    # --- what the dispatcher asks for ------------------------------------------------

    def perform(self, work: Work, report: Report) -> bool:
        """Do a unit of work; what it makes is then in the store.

        Args:
            work: what to do.
            report: called with its progress.

        Returns:
            False when shards could not be joined: some were missing or damaged.

        Raises:
            Stopped: the run ends early.
            MolspaceError: whatever a step or the store raises.
            Exception: a step raised it.
        """
        self._check()
        needs = needs_of(work.steps[0])
        self._keep(self._needs & needs)
        self._needs, self._report = needs, report
        if work.joins_shards:
            shards = self._store.partial(work.steps[0], verify=False)
            self._store.look_again(lambda: not shards.missing() or self._store.has(shards.key))
            return self._store.complete(shards)
        self._make(work)
        return True

    def drop(self) -> None:
        """Drop all that is held."""
        self._needs = frozenset()
        self._report = _ignore
        self._inputs = {}
        self._keep(self._needs)

    def _make(self, work: Work) -> None:
        start, stop = work.rows or (0, 1)
        inputs = self._read_inputs(work)
        first, *other_steps = work.steps
        began_s = time.monotonic()
        self._has_saved = False
        self._checkpoint = None if other_steps or work.rows else self._store.checkpoint(first.key)
        if other_steps:
            artifacts = type(first).run_together(self, work.steps, inputs, start, stop)
        else:
            artifacts = [first.run(self, inputs[0], start, stop)]
        # Steps that were made in one pass share its time.
        seconds = round((time.monotonic() - began_s) / len(work.steps), 3)
        hardware = hardware_of(self.device)
        for step, artifact in zip(work.steps, artifacts, strict=True):
            if work.rows is None:
                check_result(step, artifact, 0, None)
                self._store.put(step, artifact, seconds=seconds, hardware=hardware)
                if self._has_saved and self._checkpoint is not None:
                    self._checkpoint.discard()
            else:
                check_result(step, artifact, start, stop)
                shards = self._store.partial(step, verify=False)
                self._store.add_shard(
                    shards, start, stop, artifact, seconds=seconds, hardware=hardware
                )
                if self._store.has(step.key):  # made by a twin, and joined meanwhile
                    shards.discard()

    def _read_inputs(self, work: Work) -> list[Mapping[str, Artifact]]:
        """Return the inputs of each step; those that the last work had too are not read again."""
        keys = {key for step_inputs in work.inputs for _, key in step_inputs}
        self._inputs = {key: rows for key, rows in self._inputs.items() if key in keys}
        for step, step_inputs in zip(work.steps, work.inputs, strict=True):
            for name, key in step_inputs:
                if key not in self._inputs:
                    self._inputs[key] = self._read(step, name, key)
        return [
            {name: self._inputs[key] for name, key in step_inputs} for step_inputs in work.inputs
        ]

    def _read(self, step: Step, name: str, key: Digest) -> Artifact:
        # Another machine may have made it just now.
        artifact = self._store.look_again(lambda: self._store.lookup_or_refuse(key))
        if artifact is None:
            raise StepError(
                f"input '{name}' of '{step.label}' vanished from the store",
                why="another program removed or damaged it after it was made",
                fix="run again",
            )
        return artifact

    # --- what steps ask for ----------------------------------------------------------

    def encoder(self, spec: SpaceSpec, prepare: Callable[[Encoder], None] | None = None) -> Encoder:
        """Return the loaded space; the last one is freed before another is loaded."""
        if self._encoder is None or self._encoder[0] != spec:
            self._free_encoder()
            with _LOADING:
                self._check()  # another worker's loading may have taken minutes
                encoder = self._load_encoder(spec, self.device)
                if prepare is not None:
                    prepare(encoder)
                self._encoder = (spec, encoder)
        return self._encoder[1]

    def shared(self, build: Callable[[], _T]) -> _T:
        """Return what ``build`` makes, or made here for an earlier step with the same name."""
        if "shares" not in dict(self._needs):
            return build()
        if self._shared is None:
            # In a tuple, so that None counts as built, too.
            self._shared = (build(),)
        built: _T = self._shared[0]
        return built

    def saved(self) -> Mapping[str, NDArray[Any]] | None:
        """Return what an interrupted run of the present step saved."""
        arrays = None if self._checkpoint is None else self._checkpoint.read(self._store.warn)
        self._has_saved = self._has_saved or arrays is not None
        return arrays

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a later run of the present step can go on from.

        Raises:
            StepError: the step is made by rows, or together with others.
            StoreError: it cannot be written.
        """
        if self._checkpoint is None:
            raise StepError("only steps that are made whole can save what they have done")
        self._store.prepare()
        self._has_saved = True
        self._checkpoint.write(arrays)
        if self._store.has(self._checkpoint.key):  # made by a twin, which this process outlived
            self._checkpoint.discard()

    def drop_saved(self, why: str) -> None:
        """Remove what an interrupted run of the present step saved, and warn of it."""
        if self._checkpoint is not None:
            self._checkpoint.discard()
            self._store.warn(f"dropped what an earlier run saved in {self._checkpoint.path}: {why}")

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report how much of the present call is done, at most ten times a second.

        Raises:
            Stopped: the run ends early.
        """
        self._check()
        now_s = time.monotonic()
        if done >= total or now_s - self._reported_s >= _PROGRESS_EVERY_S:
            self._reported_s = now_s
            self._report(Progress(done, total, unit))

    def measure(self, name: str, value: float, position: int) -> None:
        """Report one point of a curve."""
        self._report(Measured(name, value, position))

    # --- within ----------------------------------------------------------------------

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


def _ignore(signal: object) -> None:
    pass
