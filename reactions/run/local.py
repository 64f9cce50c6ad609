"""Run a plan on this machine: one process, CPU or one CUDA device."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from reactions.errors import MolspaceError, StepError
from reactions.graph import Artifact, Step
from reactions.kinds import Digest, Encoder, SpaceSpec
from reactions.run.check import check_result
from reactions.run.device import (
    check_device,
    free_device_memory,
    is_out_of_memory,
    resolve_device,
)
from reactions.run.events import (
    EventSink,
    PlanFinished,
    PlanStarted,
    PlanStopped,
    StepFailed,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
    StoreWarning,
    Waiting,
    ignore,
)
from reactions.run.schedule import encoder_of, schedule
from reactions.store import Store

LoadEncoder = Callable[[SpaceSpec, str], Encoder]
"""Opens a space on a device."""

_PROGRESS_EVERY_S = 0.1


class LocalExecutor:
    """Runs steps one after the other and keeps their results in a store.

    Args:
        store: where results are looked up and kept.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        load_encoder: opens a space on a device.
        events: told what happens, in the calling thread.

    Raises:
        UsageError: ``device`` cannot mean anything.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: str = "auto",
        load_encoder: LoadEncoder,
        events: EventSink = ignore,
    ) -> None:
        check_device(device)
        self._store = store
        self._device = device
        self._load_encoder = load_encoder
        self._events = events

    def run(self, targets: Sequence[Step]) -> dict[Digest, Artifact]:
        """Return the artifacts of the targets, running only what the store lacks.

        A result is read from the store, whether it was made now or before. Ctrl-C and
        SIGTERM stop the run and leave finished steps and shards.

        Args:
            targets: steps of one or several plans.

        Returns:
            Each target's artifact by its key.

        Raises:
            UsageError: a step has to run and this machine lacks the device.
            StoreError: the store cannot be read or written.
            MolspaceError: whatever a step raises; ``fields["step"]`` names the step.
            StepError: a step raised anything else, or ran out of memory.
        """
        with self._store_warnings(), _sigterm_unwinds():
            try:
                return self._run(targets)
            except BaseException:
                self._events(PlanStopped())
                raise

    def _run(self, targets: Sequence[Step]) -> dict[Digest, Artifact]:
        began = time.monotonic()
        wanted = {step.key for step in targets}
        plan = schedule(targets, self._store.lookup)
        if plan.pending:
            self._store.prepare()
        values = plan.found  # what is dropped here is dropped for good
        self._events(PlanStarted(len(plan.pending), len(plan.hits)))
        for step in plan.hits:
            self._events(StepHit(step.key, step.kind, step.label))
        executed = 0
        context: _LocalContext | None = None
        for position, step in enumerate(plan.pending):
            if context is None:  # torch is imported only now
                device = resolve_device(self._device)
                context = _LocalContext(device, self._load_encoder, self._events)
            sources = [source.key for _, source in step.inputs]
            inputs = {name: values[source.key] for name, source in step.inputs}
            values[step.key], ran = self._make(step, context, inputs)
            executed += ran
            plan.uses.subtract(sources)
            for key in {step.key, *sources}:
                if plan.uses[key] <= 0 and key not in wanted:
                    del values[key]
            if not any(map(encoder_of, plan.pending[position + 1 : position + 2])):
                context.free_encoder()
        self._events(PlanFinished(executed, time.monotonic() - began))
        return {step.key: values[step.key] for step in targets}

    def _make(
        self, step: Step, context: _LocalContext, inputs: Mapping[str, Artifact]
    ) -> tuple[Artifact, bool]:
        """Return a step's artifact and whether it had to be run here."""
        name = (step.key, step.kind, step.label)
        began = time.monotonic()
        try:
            with self._store.lock(step.key, lambda pid: self._events(Waiting(*name, pid))):
                # Another process may have made it since the plan was scheduled.
                if (artifact := self._store.lookup(step.key)) is not None:
                    self._events(StepHit(*name))
                    return artifact, False
                if step.n_rows is None:
                    self._run_whole(step, context, inputs)
                else:
                    self._run_rows(step, context, inputs)
            artifact = self._store.lookup(step.key)
            if artifact is None:
                raise StepError(
                    f"the result of '{step.label}' vanished from the store",
                    why="another program removed or damaged it just after it was written",
                    fix="run again",
                )
        except Exception as error:
            mended = _named(error, step, context.device)
            self._events(StepFailed(*name, mended.what))
            if mended is error:
                raise
            raise mended from error
        self._events(StepFinished(*name, time.monotonic() - began))
        return artifact, True

    def _run_whole(
        self, step: Step, context: _LocalContext, inputs: Mapping[str, Artifact]
    ) -> None:
        self._events(StepStarted(step.key, step.kind, step.label))
        context.begin(step, 0, None)
        artifact = step.run(context, inputs, 0, 1)
        check_result(step, artifact, 0, None)
        self._store.put(step, artifact)

    def _run_rows(self, step: Step, context: _LocalContext, inputs: Mapping[str, Artifact]) -> None:
        shards = self._store.partial(step)
        missing = shards.missing()
        total = step.n_rows or 0
        done = total - sum(stop - start for start, stop in missing)
        self._events(StepStarted(step.key, step.kind, step.label, done, total))
        for start, stop in missing:
            context.begin(step, done, stop - start)
            artifact = step.run(context, inputs, start, stop)
            check_result(step, artifact, start, stop)
            self._store.add_shard(shards, start, stop, artifact)
            del artifact  # before the next shard is made
            done += stop - start
            context.progress(stop - start, stop - start, context.unit)
        self._store.complete(shards)

    @contextmanager
    def _store_warnings(self) -> Iterator[None]:
        """Turn the store's warnings into events while a run lasts."""
        before = self._store.warn
        self._store.warn = lambda text: self._events(StoreWarning(text))
        try:
            yield
        finally:
            self._store.warn = before


class _LocalContext:
    """What a running step is lent; see ``graph.Context``.

    One encoder is kept at a time: a schedule groups the steps that share one, and two
    large ones may not fit beside each other.
    """

    def __init__(self, device: str, load_encoder: LoadEncoder, events: EventSink) -> None:
        self.device = device
        self.unit = "rows"
        self._load_encoder = load_encoder
        self._events = events
        self._encoder: tuple[SpaceSpec, Encoder] | None = None
        self._step: Step | None = None
        self._done_rows = 0
        self._shard_rows: int | None = None
        self._told = 0.0

    def begin(self, step: Step, done_rows: int, shard_rows: int | None) -> None:
        """Note which rows of which step run next, to place progress within the whole."""
        self._step = step
        self._done_rows = done_rows
        self._shard_rows = shard_rows

    def encoder(self, spec: SpaceSpec) -> Encoder:
        """Return the loaded space; the last one is freed before another is loaded."""
        if self._encoder is None or self._encoder[0] != spec:
            self.free_encoder()
            self._encoder = (spec, self._load_encoder(spec, self.device))
        return self._encoder[1]

    def free_encoder(self) -> None:
        """Drop the loaded space, if any."""
        if self._encoder is not None:
            self._encoder = None
            free_device_memory(self.device)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell how much of the present call is done, at most ten times a second."""
        self.unit = unit
        now = time.monotonic()
        step, shard_rows = self._step, self._shard_rows
        if step is None or (done < total and now - self._told < _PROGRESS_EVERY_S):
            return
        self._told = now
        if shard_rows is not None:  # the call makes one shard: count rows of the whole
            done = self._done_rows + (done * shard_rows // total if total else shard_rows)
            total = step.n_rows or 0
        self._events(StepProgress(step.key, step.kind, step.label, done, total, unit))


def _named(error: Exception, step: Step, device: str) -> MolspaceError:
    """Return the error to raise for a failed step, naming the step."""
    if isinstance(error, MolspaceError):
        error.fields.setdefault("step", step.label)
        return error
    if is_out_of_memory(error):
        gigabytes = step.cost.memory_bytes / 1e9
        return StepError(
            f"out of memory on {device} in '{step.label}'",
            why=f"the step was estimated to need {gigabytes:.3g} GB",
            fix="close other programs, use smaller shards or batches (lab file), or --device cpu"
            if device != "cpu"
            else "close other programs, or use smaller shards or batches (lab file)",
            step=step.label,
            device=device,
            memory_bytes=step.cost.memory_bytes,
        )
    return StepError(
        f"'{step.label}' failed: {type(error).__name__}: {error}".splitlines()[0],
        why="the step raised an error it does not know",
        fix="run again; if it fails again, please report it with the command",
        step=step.label,
        cause=repr(error),
    )


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does, so that temporary folders go.

    Only in the main thread, and only where nobody else handles the signal.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
