"""One step on its way into the store, cut into tasks for workers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from reactions.core.errors import StepError
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest
from reactions.run.events import (
    EventSink,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
    Waiting,
)
from reactions.run.schedule import needs_of
from reactions.run.threads import Mailbox
from reactions.run.validate import check_result
from reactions.run.worker import Worker
from reactions.store import Partial, Store
from reactions.store.reuse import reuse_rows

Inputs: TypeAlias = Mapping[str, Artifact]
Range: TypeAlias = tuple[int, int]
"""(first row, row after the last) of a shard"""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker can do next.

    Attributes:
        jobs: what it is done for.
        run: runs in a worker; returns what then has to happen in the calling thread.
    """

    jobs: tuple[Job, ...]
    run: Callable[[Worker], Callable[[], None]]


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
        self._inputs: Inputs = {}
        self._shards: Partial | None = None
        self._missing_rows: list[Range] = []
        self._shards_left = 0

    def claim(self, inputs: Inputs) -> None:
        """Take the right to make the result, unless another process has it.

        A result that another process has made since the plan was scheduled is taken as it is.
        ``hand_out_shards`` then gives tasks to a job that is made by rows.
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
        self._inputs = inputs
        if step.n_rows is None:
            self._events(StepStarted(*self._name))
            self.tasks.append(Task((self,), self._make_whole))
            return
        self._shards = self._store.partial(step)
        if step.corpus is not None:
            reuse_rows(self._store, self._shards, step, step.corpus)
        self._missing_rows = self._shards.missing()
        self._rows_stored = step.n_rows - sum(b - a for a, b in self._missing_rows)
        self._events(StepStarted(*self._name, self._rows_stored, step.n_rows))
        self._shards_left = len(self._missing_rows)
        if not self._missing_rows:
            self.tasks.append(Task((self,), self._complete))

    def close(self) -> None:
        """Give the right back, if we have it."""
        self._lock.close()

    # --- in a worker -----------------------------------------------------------------

    def _make_whole(self, worker: Worker) -> Callable[[], None]:
        worker.begin(self.needs, partial(self._mailbox.tell, self._progress))
        artifact = self.step.run(worker, self._inputs, 0, 1)
        check_result(self.step, artifact, 0, None)
        self._store.put(self.step, artifact)
        return partial(self._finish, self._stored())

    def _store_shard(self, start: int, stop: int, artifact: Artifact) -> None:
        check_result(self.step, artifact, start, stop)
        self._store.add_shard(self._partial, start, stop, artifact)

    def _complete(self, worker: Worker) -> Callable[[], None]:
        worker.begin(self.needs, partial(self._mailbox.tell, self._progress))
        self._store.complete(self._partial)
        return partial(self._finish, self._stored())

    @property
    def _partial(self) -> Partial:
        if self._shards is None:
            raise StepError(f"'{self.step.label}' is not made by rows")
        return self._shards

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

    def _finish_shard(self, start: int, stop: int) -> None:
        self._rows_made.pop(start, None)
        self._rows_stored += stop - start
        self._tell_rows()
        self._shards_left -= 1
        if self._shards_left == 0:
            self.tasks.append(Task((self,), self._complete))

    def _finish(self, artifact: Artifact) -> None:
        self.close()
        self._inputs = {}
        self.artifact, self.ran = artifact, True
        self._events(StepFinished(*self._name, time.monotonic() - self._began))

    def _progress(self, done: int, total: int, unit: str) -> None:
        self._events(StepProgress(*self._name, done, total, unit))

    def _progress_of_rows(self, start: int, rows: int, done: int, total: int, unit: str) -> None:
        """Tell progress of a call that makes a shard, as rows of the whole."""
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


def hand_out_shards(jobs: Sequence[Job]) -> None:
    """Give claimed jobs their tasks: a shard that several of them lack is one task.

    Args:
        jobs: a single one, or several whose steps can be run together.
    """
    lacking: dict[Range, list[Job]] = {}
    for job in jobs:
        for rows in job._missing_rows:
            lacking.setdefault(rows, []).append(job)
        job._missing_rows = []
    for (start, stop), members in lacking.items():
        members[0].tasks.append(Task(tuple(members), partial(_make_shards, members, start, stop)))


def _make_shards(
    members: Sequence[Job], start: int, stop: int, worker: Worker
) -> Callable[[], None]:
    """Make the same rows of several steps at once, or of one; runs in a worker."""
    first = members[0]

    def report(done: int, total: int, unit: str) -> None:
        for job in members:
            first._mailbox.tell(job._progress_of_rows, start, stop - start, done, total, unit)

    worker.begin(first.needs, report)
    if len(members) == 1:
        artifacts = [first.step.run(worker, first._inputs, start, stop)]
    else:
        steps, inputs = [job.step for job in members], [job._inputs for job in members]
        artifacts = type(first.step).run_together(worker, steps, inputs, start, stop)
    for job, artifact in zip(members, artifacts, strict=True):
        job._store_shard(start, stop, artifact)

    def follow() -> None:
        for job in members:
            job._finish_shard(start, stop)

    return follow
