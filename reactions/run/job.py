"""One step on its way into the store: what is claimed of it here, and what others make."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from reactions.core.errors import StepError
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest
from reactions.run.backend import Measured, Progress, Rows
from reactions.run.events import (
    EventSink,
    StepFinished,
    StepHit,
    StepMeasured,
    StepProgress,
    StepStarted,
    Waiting,
)
from reactions.run.schedule import needs_of
from reactions.store import Partial, Store
from reactions.store.reuse import reuse_rows

_LOOK_EVERY_S = 0.05
_LOOK_EVERY_MOST_S = 0.5
"""How often to look for what other processes make; less often while nothing changes."""

_PATIENCE_S = 1.0
"""How long another process may verify or join shards before it is reported as waited for."""

_ENTRY = "entry"


class Job:
    """A step that has to run, by this process, by others that use the store, or by several.

    A step that is not made by rows is claimed whole, by a lock. One that is made by rows is
    claimed shard by shard, so that processes share it:

    - The entry's lock is shared by all processes that take part. The first holds it alone for
      a moment, to verify what a killed run left and to take over rows made for other corpora.
    - Each shard has a lock of its own, held while it is made. Finished shards are on the disk.
    - The process that finishes the last shard joins them. It keeps the claim of that shard until
      it has the claim to join, and others first wait for every shard that they saw claimed.

    The locks are the kernel's: those of a process that died are free at once. All methods
    are called in one thread.

    Args:
        step: the step.
        position: in the plan.
        missing: keys of the inputs that have to be made first.
        store: where the result goes.
        events: called with what happens.

    Attributes:
        needs: what the step wants kept on its device.
        artifact: the result, once it is there.
        ran: the result, or some rows of it, were made here.
        look_again_s: nothing can be claimed before this time (``time.monotonic``).
    """

    def __init__(
        self,
        step: Step,
        position: int,
        missing: set[Digest],
        *,
        store: Store,
        events: EventSink,
    ) -> None:
        self.step = step
        self.position = position
        self.missing = missing
        self.needs = needs_of(step)
        self.artifact: Artifact | None = None
        self.ran = False
        self.look_again_s = 0.0
        self._name = (step.key, step.kind, step.label)
        self._store = store
        self._events = events
        self._entry = ExitStack()
        self._claims: dict[Rows | None, ExitStack] = {}  # None: the whole, or to join shards
        self._elsewhere: set[Rows] = set()  # claimed by others, when last looked at
        self._shards: Partial | None = None
        self._may_join = False
        self._began_s: float | None = None
        self._running = 0  # calls of workers
        self._running_since_s = self._busy_s = 0.0
        self._unit = "rows"
        self._rows_stored = 0
        self._rows_made: dict[Rows, int] = {}  # of shards in progress here
        self._rows_reported = -1
        self._pause_s = _LOOK_EVERY_S
        self._waits_since_s: float | None = None
        self._is_waiting = False
        self._holder: int | None = None
        self._is_soon_free = False

    # --- claims ----------------------------------------------------------------------

    def claim_whole(self) -> bool:
        """Take the right to make a step that is not made by rows.

        A result that another process has made since the plan was scheduled is taken as it is.
        """
        if not self._claim(None):
            return False
        if self._is_there():
            return False
        self._start()
        return True

    def take_part(self) -> bool:
        """Take part in making a step by rows; False if that is not possible, or not necessary."""
        if self._shards is None:
            with ExitStack() as stack:
                lock = stack.enter_context(
                    self._store.lock(self.step.key, self._note_holder, shared=True)
                )
                # The lock is refused only while the first process prepares, which is soon over.
                self._is_soon_free = True
                if lock is None or self._is_there():
                    return False
                shards = self._store.partial(self.step, verify=lock.is_alone)
                if lock.is_alone:
                    if self.step.corpus is not None:
                        reuse_rows(self._store, shards, self.step, self.step.corpus)
                    if not lock.share():
                        return False
                self._entry = stack.pop_all()
                self._shards = shards
        return bool(self._claims) or not self._is_there()

    def lacking(self) -> list[Rows]:
        """Return the shards that are neither finished nor in progress here."""
        if None in self._claims:  # they are being joined here, and then removed
            return []
        finished = self._partial.finished
        self._rows_stored = sum(b - a for a, b in finished if (a, b) not in self._claims)
        return [rows for rows in self._partial.missing() if rows not in self._claims]

    def claim_shard(self, rows: Rows) -> bool:
        """Take the right to make a shard, unless another process has it or has made it."""
        if not self._claim(rows):
            self._elsewhere.add(rows)
            return False
        self._elsewhere.discard(rows)
        # In this order: shards are removed once the entry is there, so rows that look missing
        # because they were joined meanwhile are found out by the second question.
        if rows not in self._partial.missing() or self._store.has(self.step.key):
            self._claims.pop(rows).close()
            return False
        self._start()
        return True

    def claim_join(self) -> bool:
        """Take the right to join the finished shards, if all are and no other process has it."""
        if self._may_join:
            self._may_join = False
            self._start()
            return True
        if self._claims or self.lacking():
            return False
        for rows in sorted(self._elsewhere):  # the process that made the last one joins them
            if not self._claim(rows):
                return False
            self._claims.pop(rows).close()
            self._elsewhere.discard(rows)
        # Asked again under the lock: another process may have joined the shards just before.
        if self._is_there() or not self._claim(None, _ENTRY) or self._is_there():
            return False
        self._start()
        self._report_rows()
        return True

    def wait(self) -> None:
        """Look again later; if another process is the reason, say so once."""
        now_s = time.monotonic()
        self.look_again_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LOOK_EVERY_MOST_S)
        if self._began_s is not None and self.step.n_rows is not None:
            self._report_rows()  # those of others, too
        if self._claims or self._is_waiting:
            return
        if self._waits_since_s is None:
            self._waits_since_s = now_s
        if not self._is_soon_free or now_s - self._waits_since_s >= _PATIENCE_S:
            self._is_waiting = True
            self._events(Waiting(*self._name, self._holder))

    def give_back(self, rows: Rows | None) -> None:
        """Give back the right to make something that was not made after all."""
        self._claims.pop(rows).close()
        self._pause()
        if rows is not None:
            self._rows_made.pop(rows, None)
        self._look_soon()

    def close(self) -> None:
        """Give all rights back."""
        for claim in self._claims.values():
            claim.close()
        self._claims.clear()
        self._entry.close()

    # --- what workers report ---------------------------------------------------------

    def follow(self, rows: Rows | None, signal: Progress | Measured) -> None:
        """Take note of how far a call that makes rows, or all, has come, or what it measured."""
        if isinstance(signal, Measured):
            self._events(StepMeasured(*self._name, signal.name, signal.value, signal.position))
            return
        progress = signal
        if rows is None:
            self._events(StepProgress(*self._name, progress.done, progress.total, progress.unit))
            return
        size = rows[1] - rows[0]
        self._unit = progress.unit
        self._rows_made[rows] = progress.done * size // progress.total if progress.total else size
        self._report_rows()

    def finish(self, rows: Rows | None, *, is_whole: bool) -> None:
        """Take note that a unit of work is done.

        Args:
            rows: of the work.
            is_whole: False where shards could not be joined: some have to be made again.

        Raises:
            StepError: what was stored is gone already.
        """
        with self._claims.pop(rows):  # until the next one is taken
            self.ran = True
            self._pause()
            self._look_soon()
            if rows is not None:
                self._rows_made.pop(rows, None)
                is_last = not self.lacking() and not self._claims
                self._report_rows()
                self._may_join = is_last and self._claim(None, _ENTRY)
            elif is_whole and not self._store.look_again(self._is_there):
                raise StepError(
                    f"the result of '{self.step.label}' vanished from the store",
                    why="another program removed or damaged it just after it was written",
                    fix="run again",
                )

    # --- within ----------------------------------------------------------------------

    @property
    def _partial(self) -> Partial:
        if self._shards is None:
            raise StepError(f"'{self.step.label}' is not made by rows")
        return self._shards

    def _claim(self, rows: Rows | None, part: str = "") -> bool:
        """Take the lock of the entry, or of a part of it, and keep it as a claim."""
        with ExitStack() as stack:
            if rows is not None:
                part = f"{rows[0]}-{rows[1]}"
            lock = self._store.lock(self.step.key, self._note_holder, part=part)
            if stack.enter_context(lock):
                self._claims[rows] = stack.pop_all()
                return True
        # Joining only links files; making rows, or a whole step, can take hours.
        self._is_soon_free = part == _ENTRY
        return False

    def _is_there(self) -> bool:
        """Return whether the result is there; then nothing is left to do."""
        self.artifact = self._store.lookup_or_refuse(self.step.key)
        if self.artifact is None:
            return False
        self.close()
        if self.ran and self._began_s is not None:
            self._pause(all_calls=True)
            waited_s = max(0.0, time.monotonic() - self._began_s - self._busy_s)
            self._events(StepFinished(*self._name, self._busy_s, waited_s))
        else:
            self._events(StepHit(*self._name))
        return True

    def _start(self) -> None:
        """Take note that a worker is about to be called."""
        self._look_soon()
        now_s = time.monotonic()
        if not self._running:
            self._running_since_s = now_s
        self._running += 1
        if self._began_s is None:
            self._began_s = now_s
            self._events(StepStarted(*self._name, self._rows_stored, self.step.n_rows or 0))

    def _pause(self, *, all_calls: bool = False) -> None:
        """Take note that a call of a worker, or every one, has ended."""
        if self._running and (all_calls or self._running == 1):
            self._busy_s += time.monotonic() - self._running_since_s
        self._running = 0 if all_calls else max(0, self._running - 1)

    def _look_soon(self) -> None:
        self.look_again_s, self._pause_s, self._waits_since_s = 0.0, _LOOK_EVERY_S, None

    def _note_holder(self, pid: int | None) -> None:
        self._holder = pid

    def _report_rows(self) -> None:
        done = self._rows_stored + sum(self._rows_made.values())
        if done > self._rows_reported:  # shards are removed when they have been joined
            self._rows_reported = done
            self._events(StepProgress(*self._name, done, self.step.n_rows or 0, self._unit))


def claim_rows(jobs: Sequence[Job]) -> tuple[list[Job], Rows] | None:
    """Claim a shard of steps that can be run together, of as many of them as lack it.

    Args:
        jobs: that take part; one or several.

    Returns:
        Those whose shard was claimed, in the plan's order, and its rows; None for none.
    """
    lacking: dict[Rows, list[Job]] = {}
    # All processes claim in the same order, so that one gets all of a shard: if the first step
    # is refused, another process is just about to claim the rest.
    for job in sorted(jobs, key=lambda job: job.step.key):
        for rows in job.lacking():
            lacking.setdefault(rows, []).append(job)
    # First a shard that no other process has begun; failing that, what others left of one.
    for in_order in (True, False) if len(jobs) > 1 else (False,):
        for rows, members in sorted(lacking.items(), key=lambda item: item[0]):
            claimed: list[Job] = []
            for job in members:
                if job.claim_shard(rows):
                    claimed.append(job)
                elif in_order and not claimed:
                    break
            if claimed:
                return sorted(claimed, key=lambda job: job.position), rows
    return None
