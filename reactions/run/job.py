"""One step on its way into the store, cut into tasks for workers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TypeAlias

from reactions.errors import StepError
from reactions.graph import Artifact, Step
from reactions.kinds import Digest
from reactions.run.check import check_result
from reactions.run.events import (
    EventSink,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
    Waiting,
)
from reactions.run.pool import Mailbox
from reactions.run.schedule import needs_of
from reactions.run.worker import Worker
from reactions.store import Partial, Store

Inputs: TypeAlias = Mapping[str, Artifact]
Task: TypeAlias = Callable[[Worker], Callable[[], None]]
"""Runs in a worker; returns what then has to happen in the calling thread."""


class Job:
    """A step that has to run.

    A step made by rows is made shard by shard, several at a time where there are several
    workers, and then completed. Other steps are one task. Whatever a worker made, it also
    stores, so no results queue up in memory. All but the tasks happens in the calling thread.

    Args:
        step: the step.
        position: in the plan.
        missing: keys of the inputs that have to be made first.
        store: where the result goes.
        events: told what happens.
        mailbox: of the calling thread.

    Attributes:
        needs: what the step wants kept on its device.
        claimed: the right to make the result is, or was, ours.
        tasks: what workers can do for it now.
        artifact: the result, once it is there.
        ran: the result was made here.
    """

    def __init__(
        self,
        step: Step,
        position: int,
        missing: set[Digest],
        *,
        store: Store,
        events: EventSink,
        mailbox: Mailbox,
    ) -> None:
        self.step = step
        self.position = position
        self.missing = missing
        self.needs = needs_of(step)
        self.claimed = False
        self.tasks: deque[Task] = deque()
        self.artifact: Artifact | None = None
        self.ran = False
        self._name = (step.key, step.kind, step.label)
        self._store = store
        self._events = events
        self._mailbox = mailbox
        self._lock = ExitStack()
        self._waiting = False
        self._began = 0.0
        self._unit = "rows"
        self._rows_stored = 0
        self._rows_made: dict[int, int] = {}  # by the first row of shards in progress
        self._shards_left = 0

    def claim(self, inputs: Inputs) -> None:
        """Take the right to make the result, and with it tasks, unless another process has it.

        A result that another process has made since the plan was scheduled is taken as it is.
        """
        step = self.step
        if not self._lock.enter_context(self._store.lock(step.key, self._tell_waiting)):
            self._lock.close()
            return
        self.claimed = True
        if (artifact := self._store.lookup(step.key)) is not None:
            self.close()
            self._events(StepHit(*self._name))
            self.artifact = artifact
            return
        self._began = time.monotonic()
        if step.n_rows is not None:
            self._claim_rows(inputs)
        else:
            self._events(StepStarted(*self._name))
            self.tasks.append(partial(self._make_whole, inputs))

    def _claim_rows(self, inputs: Inputs) -> None:
        shards = self._store.partial(self.step)
        missing = shards.missing()
        total = self.step.n_rows or 0
        self._rows_stored = total - sum(stop - start for start, stop in missing)
        self._events(StepStarted(*self._name, self._rows_stored, total))
        self._shards_left = len(missing)
        self.tasks.extend(
            partial(self._make_shard, inputs, shards, start, stop) for start, stop in missing
        )
        if not missing:
            self.tasks.append(partial(self._complete, shards))

    def close(self) -> None:
        """Give the right back, if we have it."""
        self._lock.close()

    # --- in a worker -----------------------------------------------------------------

    def _make_whole(self, inputs: Inputs, worker: Worker) -> Callable[[], None]:
        self._begin(worker)
        artifact = self.step.run(worker, inputs, 0, 1)
        check_result(self.step, artifact, 0, None)
        self._store.put(self.step, artifact)
        return partial(self._finish, self._stored())

    def _make_shard(
        self, inputs: Inputs, shards: Partial, start: int, stop: int, worker: Worker
    ) -> Callable[[], None]:
        self._begin(worker, start, stop - start)
        artifact = self.step.run(worker, inputs, start, stop)
        check_result(self.step, artifact, start, stop)
        self._store.add_shard(shards, start, stop, artifact)
        return partial(self._finish_shard, shards, start, stop)

    def _complete(self, shards: Partial, worker: Worker) -> Callable[[], None]:
        self._begin(worker)
        self._store.complete(shards)
        return partial(self._finish, self._stored())

    def _begin(self, worker: Worker, start: int = 0, rows: int | None = None) -> None:
        worker.begin(self.needs, partial(self._mailbox.tell, self._progress, start, rows))

    def _stored(self) -> Artifact:
        artifact = self._store.lookup(self.step.key)
        if artifact is None:
            raise StepError(
                f"the result of '{self.step.label}' vanished from the store",
                why="another program removed or damaged it just after it was written",
                fix="run again",
            )
        return artifact

    # --- in the calling thread -------------------------------------------------------

    def _finish_shard(self, shards: Partial, start: int, stop: int) -> None:
        self._rows_made.pop(start, None)
        self._rows_stored += stop - start
        self._tell_rows()
        self._shards_left -= 1
        if self._shards_left == 0:
            self.tasks.append(partial(self._complete, shards))

    def _finish(self, artifact: Artifact) -> None:
        self.close()
        self.artifact, self.ran = artifact, True
        self._events(StepFinished(*self._name, time.monotonic() - self._began))

    def _progress(self, start: int, rows: int | None, done: int, total: int, unit: str) -> None:
        """Tell progress of a call; of one that makes a shard, as rows of the whole."""
        if rows is None:
            self._events(StepProgress(*self._name, done, total, unit))
            return
        self._unit = unit
        self._rows_made[start] = done * rows // total if total else rows
        self._tell_rows()

    def _tell_rows(self) -> None:
        done = self._rows_stored + sum(self._rows_made.values())
        self._events(StepProgress(*self._name, done, self.step.n_rows or 0, self._unit))

    def _tell_waiting(self, pid: int | None) -> None:
        if not self._waiting:
            self._waiting = True
            self._events(Waiting(*self._name, pid))
