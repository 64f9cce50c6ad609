"""What runs a plan on a backend: which worker does what next, and what happens to results.

The policy is here, the workers are elsewhere (``run/backend.py``): a backend that has workers of
another sort is all it takes to run plans there.
"""

from __future__ import annotations

import itertools
import time
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NoReturn

from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.modalities import noticed
from reactions.run.backend import Backend, Signal, Work, WorkerLost
from reactions.run.counts import report_counts
from reactions.run.events import (
    EventSink,
    Expected,
    PlanFinished,
    PlanStarted,
    PlanStopped,
    StepFailed,
    StepHit,
    Stopping,
    StoreWarning,
    ignore,
)
from reactions.run.failures import lost_too_often, signals_unwind, step_failure
from reactions.run.job import Job, claim_rows
from reactions.run.mailbox import Mailbox
from reactions.run.orders import MOST_LOSSES, Order, Orders, Slot
from reactions.run.schedule import Needs, Schedule, keys_of, most_at_a_time, schedule
from reactions.store import Store

_TICK_S = 0.05
"""How long to wait for workers before events are passed on, and other processes looked at."""


class Dispatcher:
    """An executor that runs the steps which the store lacks on the workers of a backend.

    What is made, and under which keys, does not depend on the backend.

    Args:
        store: where results are looked up and kept.
        open_backend: returns a backend, of no more workers than its argument: as many units
            of work can be done at a time. Called only when something has to run.
        repeats: give rows that take much longer than others to an idle worker, too.
        check_space: raises what loading a space's encoder would lack; called before anything
            runs.
        events: called with what happens, in the calling thread.
    """

    def __init__(
        self,
        store: Store,
        open_backend: Callable[[int], Backend],
        *,
        repeats: bool = False,
        check_space: Callable[[SpaceSpec], None] = lambda spec: None,
        events: EventSink = ignore,
    ) -> None:
        self._store = store
        self._open_backend = open_backend
        self._repeats = repeats
        self._check_space = check_space
        self._events = events

    def run(self, targets: Sequence[Step]) -> dict[Digest, Artifact]:
        """Return the artifacts of the targets, running only what the store lacks.

        A result is read from the store, whether it was made now or before. Other processes
        that use the store share the work. Ctrl-C and SIGTERM stop the run and leave finished
        steps and shards.

        Args:
            targets: steps of one or several plans.

        Returns:
            Each target's artifact by its key.

        Raises:
            UsageError: a step has to run and this machine lacks the device.
            StoreError: the store cannot be read or written.
            MolspaceError: whatever a step raises; ``fields["step"]`` names the step. Of
                several failures the first is raised.
            StepError: a step raised anything else, or ran out of memory.
        """
        mailbox = Mailbox()
        with self._store_warnings(mailbox), signals_unwind(mailbox.leave):
            try:
                return self._run(targets, mailbox)
            except BaseException:
                self._events(PlanStopped())
                raise

    def _run(self, targets: Sequence[Step], mailbox: Mailbox) -> dict[Digest, Artifact]:
        began_s = time.monotonic()
        plan = schedule(targets, self._store.lookup_or_refuse)
        if plan.pending:
            self._store.try_writing()
            # Now, not hours later when the fourth encoder's turn comes.
            for space in dict.fromkeys(step.space for step in plan.pending if step.space):
                self._check_space(space)
        expected = tuple(Expected(s.key, s.kind, s.cost.flops) for s in plan.pending)
        self._events(PlanStarted(len(plan.pending), len(plan.hits), expected))
        for step in plan.hits:
            self._events(StepHit(step.key, step.kind, step.label))
        artifacts, executed = plan.artifacts, 0
        if plan.pending:
            # Claims are given back after the last worker has stopped. What the run reads and
            # makes stays until then, even if another process cleans up meanwhile.
            with ExitStack() as claims:
                claims.enter_context(self._store.using(keys_of(targets)))
                with self._backend(most_at_a_time(plan)) as backend:
                    run = _Run(
                        *(plan, targets, self._store, self._events, mailbox, backend, claims),
                        repeats=self._repeats,
                    )
                    executed = run.to_the_end()
        report_counts(self._store, targets)
        self._events(PlanFinished(executed, time.monotonic() - began_s))
        return {step.key: artifacts[step.key] for step in targets}

    @contextmanager
    def _backend(self, n_works: int) -> Iterator[Backend]:
        """Open a backend, and shut it down however the run ends."""
        backend = self._open_backend(n_works)
        interrupted = False
        try:
            yield backend
        except BaseException as error:
            # Ctrl-C and SIGTERM (a SystemExit) are not Exceptions; the error of a failed step is.
            interrupted = not isinstance(error, Exception)
            raise
        finally:
            backend.shutdown(
                interrupted=interrupted, on_delay=lambda workers: self._events(Stopping(workers))
            )

    @contextmanager
    def _store_warnings(self, mailbox: Mailbox) -> Iterator[None]:
        """Turn the store's warnings into events while a run lasts."""
        before = self._store.warn
        # Workers use the store in threads of their own, and events belong to this one.
        self._store.warn = lambda text: mailbox.call(self._events, StoreWarning(text))
        try:
            yield
        finally:
            self._store.warn = before


class _Run:
    """One run of a schedule: which worker does what next, and which values are still needed.

    Args:
        plan: what to run; ``artifacts`` gets the results of targets and loses all others.
        targets: steps whose results stay.
        store: where results go.
        events: called with what happens.
        mailbox: of this thread.
        backend: has the workers.
        claims: where the rights to make results are given back, however the run ends.
        repeats: see ``Dispatcher``.
    """

    def __init__(
        self,
        plan: Schedule,
        targets: Sequence[Step],
        store: Store,
        events: EventSink,
        mailbox: Mailbox,
        backend: Backend,
        claims: ExitStack,
        *,
        repeats: bool,
    ) -> None:
        self._repeats = repeats
        self._artifacts = plan.artifacts
        self._targets = {step.key for step in targets}
        for key in self._artifacts.keys() - self._targets:
            del self._artifacts[key]  # workers read what they need
        self._events = events
        self._mailbox = mailbox
        self._backend = backend
        self._n_workers = 0  # that there ever were
        self._workers: list[Slot] = []
        self._idle: list[Slot] = []
        self._orders = Orders()
        self._followers: defaultdict[Digest, list[Job]] = defaultdict(list)
        self._needed: Counter[tuple[str, str]] = Counter()
        self._ready: list[Job] = []
        self._unfinished = len(plan.pending)
        self._executed = 0
        pending = {step.key for step in plan.pending}
        for position, step in enumerate(plan.pending):
            missing = {source.key for _, source in step.inputs} & pending
            job = Job(step, position, missing, store=store, events=events)
            claims.callback(job.close)
            self._needed.update(job.needs)
            for key in missing:
                self._followers[key].append(job)
            if not missing:
                self._ready.append(job)

    def to_the_end(self) -> int:
        """Run all steps; return how many really ran here, in whole or in part."""
        while True:
            self._hand_out()
            if not self._unfinished:
                return self._executed
            self._follow()

    # --- handing out -----------------------------------------------------------------

    def _hand_out(self) -> None:
        """Give idle workers something to do, as far as there is anything."""
        self._welcome()
        orders: list[Order] = []
        while self._idle:
            # Of the jobs that need the same, only the first in the plan's order can be next.
            offers: dict[Needs, Job] = {}
            now_s = time.monotonic()
            for job in self._ready:
                if job.look_again_s <= now_s:
                    offers.setdefault(job.needs, job)
            if not offers:
                break
            worker, job = min(itertools.product(self._idle, offers.values()), key=self._rank)
            if (order := self._claim(job, worker)) is not None:
                orders.append(order)
                self._idle.remove(worker)
                worker.holds = order.jobs[0].needs
        for worker in self._idle:  # before others begin, for the memory may be shared
            if worker.holds and not any(self._needed[need] for need in worker.holds):
                self._backend.release(worker.number)
                worker.holds = frozenset()
        for order in orders:
            self._submit(order)
        # Near the end, one slow worker would hold up all others.
        if self._repeats and self._idle and (late := self._orders.straggler()) is not None:
            worker = self._idle.pop(0)
            worker.holds = late.jobs[0].needs
            self._submit(late.repeat(worker))

    def _welcome(self) -> None:
        """Take note of workers that are new."""
        for number, device in enumerate(self._backend.devices[self._n_workers :], self._n_workers):
            self._workers.append(Slot(number, device))
            self._idle.append(self._workers[-1])
            self._n_workers += 1

    def _submit(self, order: Order) -> None:
        work = Work.of([job.step for job in order.jobs], order.rows)
        report = partial(self._mailbox.call, self._take_note, order)
        self._orders.add(self._backend.submit(order.worker.number, work, report), order)

    def _rank(self, pair: tuple[Slot, Job]) -> tuple[int, int, int]:
        """Return how well a job suits a worker, best first.

        Best is what needs what the worker holds. Then comes what no other worker is better
        prepared for, then the rest; and among these the plan's order.
        """
        worker, job = pair
        if job.needs & worker.holds:
            affinity = 0
        elif any(job.needs & other.holds for other in self._workers):
            affinity = 2
        else:
            affinity = 1
        return affinity, job.position, worker.number

    def _claim(self, job: Job, worker: Slot) -> Order | None:
        """Claim something of a job, and of those that are ready and can be run with it.

        What others have finished meanwhile is settled; what others work on has to wait.
        """
        jobs = [job]
        if name := job.step.together:
            jobs += [o for o in self._ready if o is not job and o.step.together == name]
        order = None
        try:
            if job.step.n_rows is None:
                if job.claim_whole():
                    self._ready.remove(job)
                    order = Order(worker, (job,), None)
            else:
                active = [member for member in jobs if member.take_part()]
                if (shard := claim_rows(active)) is not None:
                    order = Order(worker, tuple(shard[0]), shard[1])
                elif (ready := next((m for m in active if m.claim_join()), None)) is not None:
                    order = Order(worker, (ready,), None)
        except Exception as error:
            self._fail(job, worker, error)
        for member in jobs:
            if member.artifact is not None:
                self._settle(member)
            elif order is None:
                member.wait()
        return order

    # --- following -------------------------------------------------------------------

    def _follow(self) -> None:
        """Wait a moment for workers, or for other processes; take note of what they did."""
        if self._orders:
            wait(self._orders, _TICK_S, FIRST_COMPLETED)
        else:
            time.sleep(_TICK_S)
        # Listed before the mailbox is emptied: workers report first and then end, so that all
        # reports on this work are delivered before ``_done``.
        finished = [future for future in self._orders if future.done()]
        self._mailbox.deliver()
        for future in finished:
            self._done(self._orders.pop(future), future)

    def _take_note(self, order: Order, signal: Signal) -> None:
        if isinstance(signal, StoreWarning):
            self._events(signal)
        elif isinstance(signal, noticed.Notes):
            noticed.note_all(signal)
        elif not order.is_moot:
            for job in order.jobs:
                job.follow(order.rows, signal)

    def _done(self, order: Order, future: Future[bool]) -> None:
        """Take note of the outcome of a unit of work."""
        error = future.exception()
        if isinstance(error, WorkerLost):
            self._lost(order, error)
            return
        self._idle.append(order.worker)
        if order.is_moot:
            return
        if error is not None:
            self._fail(order.jobs[0], order.worker, error)
        self._orders.note_done(order)
        for job in order.jobs:
            try:
                job.finish(order.rows, is_whole=future.result())
            except Exception as vanished:
                self._fail(job, order.worker, vanished)
            if job.artifact is not None:
                self._settle(job)

    def _lost(self, order: Order, error: WorkerLost) -> None:
        """Do without a worker: others do what it did, unless it was the work's own fault."""
        self._workers.remove(order.worker)
        if order.is_moot:
            return
        job = order.jobs[0]
        if error.had_begun and self._orders.count_loss(order) >= MOST_LOSSES:
            self._fail(job, order.worker, lost_too_often(job.step, MOST_LOSSES, error))
        if error.had_begun:
            what = f"lost {order.worker.device} while it made {order.label}"
            self._events(StoreWarning(f"{what} ({error}); it is made again"))
        if order.twin is not None:
            return  # it is being made already
        for job in order.jobs:
            job.give_back(order.rows)
            if job not in self._ready:
                insort(self._ready, job, key=lambda other: other.position)

    def _settle(self, job: Job) -> None:
        """Take note of a result: others may need it."""
        self._unfinished -= 1
        self._executed += job.ran
        self._needed.subtract(job.needs)
        if job.artifact is not None and job.step.key in self._targets:
            self._artifacts[job.step.key] = job.artifact
        # Its arrays are open files, and the job lives until the run ends.
        job.artifact = None
        if job in self._ready:
            self._ready.remove(job)
        for follower in self._followers.pop(job.step.key, ()):
            follower.missing.remove(job.step.key)
            if not follower.missing:
                insort(self._ready, follower, key=lambda other: other.position)

    def _fail(self, job: Job, worker: Slot, error: BaseException) -> NoReturn:
        """Raise what a run ends with when a step failed."""
        if not isinstance(error, Exception):
            raise error
        step = job.step
        failure = step_failure(error, step, worker.device)
        self._events(StepFailed(step.key, step.kind, step.label, failure.what))
        if failure is error:
            raise error
        raise failure from error
