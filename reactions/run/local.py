"""Run a plan on this machine: one process, on the CPU or on one or several CUDA devices."""

from __future__ import annotations

import itertools
import math
import signal
import threading
import time
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import NoReturn

from reactions.core.errors import MolspaceError, StepError
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.run.device import check_device, is_out_of_memory, resolve_devices
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
from reactions.run.job import Job, Task, hand_out_shards
from reactions.run.schedule import Needs, Schedule, keys_of, schedule
from reactions.run.threads import Mailbox, Pool
from reactions.run.worker import LoadEncoder, Worker
from reactions.store import Store

_POLL_S = 0.05
"""How often a result that another process makes is looked for."""


class LocalExecutor:
    """Runs steps, side by side where there are several devices, and keeps results in a store.

    What is made, and under which keys, does not depend on the number of workers.

    Args:
        store: where results are looked up and kept.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, or several; see ``check_device``.
            There is one worker for each.
        load_encoder: opens a space on a device.
        check_space: raises what ``load_encoder`` would lack; asked before anything runs.
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
        check_space: Callable[[SpaceSpec], None] = lambda spec: None,
        events: EventSink = ignore,
    ) -> None:
        check_device(device)
        self._store = store
        self._device = device
        self._load_encoder = load_encoder
        self._check_space = check_space
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
            MolspaceError: whatever a step raises; ``fields["step"]`` names the step. Of
                several failures the first is raised.
            StepError: a step raised anything else, or ran out of memory.
        """
        mailbox = Mailbox()
        with self._store_warnings(mailbox), _sigterm_unwinds():
            try:
                return self._run(targets, mailbox)
            except BaseException:
                self._events(PlanStopped())
                raise

    def _run(self, targets: Sequence[Step], mailbox: Mailbox) -> dict[Digest, Artifact]:
        began = time.monotonic()
        plan = schedule(targets, self._store.lookup)
        if plan.pending:
            self._store.prepare()
            # Now, not hours later when the fourth encoder's turn comes.
            for space in dict.fromkeys(step.space for step in plan.pending if step.space):
                self._check_space(space)
        expected = tuple(Expected(s.key, s.kind, s.cost.flops) for s in plan.pending)
        self._events(PlanStarted(len(plan.pending), len(plan.hits), expected))
        for step in plan.hits:
            self._events(StepHit(step.key, step.kind, step.label))
        executed = 0
        if plan.pending:
            devices = resolve_devices(self._device)[: _tasks(plan)]  # torch is imported only now
            # Given back after the last worker has stopped. What the run reads and makes stays
            # until then, even if another process cleans up meanwhile.
            with ExitStack() as locks:
                locks.enter_context(self._store.using(keys_of(targets)))
                pool = Pool(devices, self._load_encoder, mailbox, self._delayed)
                run = _Run(plan, targets, self._store, self._events, mailbox, pool, locks)
                with pool:
                    executed = run.to_the_end()
        self._events(PlanFinished(executed, time.monotonic() - began))
        return {step.key: plan.found[step.key] for step in targets}

    def _delayed(self, workers: int) -> None:
        self._events(Stopping(workers))

    @contextmanager
    def _store_warnings(self, mailbox: Mailbox) -> Iterator[None]:
        """Turn the store's warnings into events while a run lasts."""
        before = self._store.warn
        self._store.warn = lambda text: mailbox.tell(self._events, StoreWarning(text))
        try:
            yield
        finally:
            self._store.warn = before


class _Run:
    """One run of a schedule: which worker does what next, and which values are still needed.

    Args:
        plan: what to run; ``found`` gets the results and loses those that are used up.
        targets: steps whose results stay.
        store: where results go.
        events: told what happens.
        mailbox: of this thread.
        pool: the workers.
        locks: where the rights to make results are given back, however the run ends.
    """

    def __init__(
        self,
        plan: Schedule,
        targets: Sequence[Step],
        store: Store,
        events: EventSink,
        mailbox: Mailbox,
        pool: Pool,
        locks: ExitStack,
    ) -> None:
        self._values = plan.found
        self._uses = plan.uses
        self._wanted = {step.key for step in targets}
        self._events = events
        self._mailbox = mailbox
        self._pool = pool
        self._idle = list(pool.workers)
        self._followers: defaultdict[Digest, list[Job]] = defaultdict(list)
        self._needed: Counter[tuple[str, str]] = Counter()
        self._ready: list[Job] = []
        self._unfinished = len(plan.pending)
        self._executed = 0
        pending = {step.key for step in plan.pending}
        for position, step in enumerate(plan.pending):
            missing = {source.key for _, source in step.inputs} & pending
            job = Job(step, position, missing, store=store, events=events, mailbox=mailbox)
            locks.callback(job.close)
            self._needed.update(job.needs)
            for key in missing:
                self._followers[key].append(job)
            if not missing:
                self._ready.append(job)

    def to_the_end(self) -> int:
        """Run all steps; return how many really ran here."""
        while self._unfinished:
            self._hand_out()
            self._mailbox.serve(_POLL_S)
        return self._executed

    def _hand_out(self) -> None:
        """Give idle workers something to do, as far as there is anything."""
        made_elsewhere: set[Job] = set()
        orders: list[tuple[Worker, Task]] = []
        while self._idle:
            # Of the jobs that need the same, only the first in the plan's order can be next.
            offers: dict[Needs, Job] = {}
            for job in self._ready:
                if job not in made_elsewhere:
                    offers.setdefault(job.needs, job)
            if not offers:
                break
            worker, job = min(itertools.product(self._idle, offers.values()), key=self._rank)
            if not job.claimed:
                made_elsewhere |= self._claim_together(job, worker)  # until the next time
            if job.tasks:
                orders.append((worker, job.tasks.popleft()))
                self._idle.remove(worker)
                worker.holds = job.needs
            self._ready = [job for job in self._ready if job.tasks or not job.claimed]
        for worker in self._idle:  # before others begin, for the memory may be shared
            if worker.holds and not any(self._needed[need] for need in worker.holds):
                worker.drop()
        for worker, task in orders:
            self._pool.submit(worker, task.run, partial(self._done, worker, task.jobs))

    def _rank(self, pair: tuple[Worker, Job]) -> tuple[int, int, int]:
        """Return how well a job suits a worker, best first.

        Best is what needs what the worker holds. Then comes what no other worker is better
        prepared for, then the rest; and among these the plan's order.
        """
        worker, job = pair
        if job.needs & worker.holds:
            affinity = 0
        elif any(job.needs & other.holds for other in self._pool.workers):
            affinity = 2
        else:
            affinity = 1
        return affinity, job.position, self._pool.workers.index(worker)

    def _claim_together(self, job: Job, worker: Worker) -> set[Job]:
        """Claim a job, and with it those that are ready and can be run together with it.

        Returns:
            The jobs that another process makes at present.
        """
        group = [job]
        if name := job.step.together:
            group += [
                other
                for other in self._ready
                if other is not job and not other.claimed and other.step.together == name
            ]
        refused = {member for member in group if not self._claim(member, worker)}
        hand_out_shards([member for member in group if member.claimed])
        return refused

    def _claim(self, job: Job, worker: Worker) -> bool:
        """Claim a job; return whether another process does not make it at present."""
        inputs = {name: self._values[source.key] for name, source in job.step.inputs}
        try:
            job.claim(inputs)
        except Exception as error:
            self._fail(job, worker, error)
        if job.artifact is not None:
            self._settle(job, job.artifact)
        return job.claimed

    def _done(
        self,
        worker: Worker,
        jobs: Sequence[Job],
        follow: Callable[[], None],
        error: BaseException | None,
    ) -> None:
        """Take note of a task's outcome."""
        if error is not None:
            self._fail(jobs[0], worker, error)
        follow()
        self._idle.append(worker)
        for job in jobs:
            if job.artifact is not None:
                self._settle(job, job.artifact)
            elif job.tasks and job not in self._ready:
                self._make_ready(job)

    def _settle(self, job: Job, artifact: Artifact) -> None:
        """Take note of a result: others may need it, and what it was made of may be free."""
        self._unfinished -= 1
        self._executed += job.ran
        self._needed.subtract(job.needs)
        sources = [source.key for _, source in job.step.inputs]
        self._values[job.step.key] = artifact
        job.artifact = None
        self._uses.subtract(sources)
        for key in {job.step.key, *sources}:
            if self._uses[key] <= 0 and key not in self._wanted:
                del self._values[key]  # what is dropped here is dropped for good
        for follower in self._followers.pop(job.step.key, ()):
            follower.missing.remove(job.step.key)
            if not follower.missing:
                self._make_ready(follower)

    def _make_ready(self, job: Job) -> None:
        insort(self._ready, job, key=lambda other: other.position)

    def _fail(self, job: Job, worker: Worker, error: BaseException) -> NoReturn:
        """Raise what a run ends with when a step failed."""
        if not isinstance(error, Exception):
            raise error
        step = job.step
        mended = _named(error, step, worker.device)
        self._events(StepFailed(step.key, step.kind, step.label, mended.what))
        if mended is error:
            raise error
        raise mended from error


def _tasks(plan: Schedule) -> int:
    """Return how many workers a plan can possibly keep busy at a time."""
    return sum(
        math.ceil(step.n_rows / (step.shard_rows or step.n_rows)) if step.n_rows else 1
        for step in plan.pending
    )


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
