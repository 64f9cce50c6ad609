"""The backend of a Ray cluster: an actor a worker, watched and replaced by a thread here.

Ray places actors, and says when one died. It is not asked to restart them: the dispatcher
knows what a lost worker was doing, and what it held.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from reactions.core.errors import MolspaceError, StepError
from reactions.run.backend import Report, Signal, Work, WorkerLost
from reactions.run.cluster.actor import RemoteWorker, WorkerRecipe, WorkOutcome
from reactions.run.cluster.places import Place, Places

POLL_S = 0.1
"""How often a worker is asked how far it is, ..."""

_QUESTION_S = 0.02
"""... and at least so long between two questions: hundreds of workers would keep this process
from giving them work."""

_SILENCE_S = 120.0
"""A worker that answers nothing for so long is given up: its node hangs, or is cut off."""

_PATIENCE_S = 30.0
"""How long workers may take to start before it is reported."""

_MOST_STARTS = 4
"""How often a worker is started at one place before it is given up."""

_WAIT_FOR_NODES_S = 60.0

_STOPPING_S = 2.0


@dataclass(eq=False, slots=True)
class _Live:
    """A worker that is ready, or was.

    Attributes:
        actor: handle of the Ray actor.
        label: its device and node.
        place: where it runs.
        order: number of its last unit of work.
        known: how many signals of it were passed on.
        report: where they go; None while it is idle.
        future: of the outcome.
        poll: the question under way, and the unit of work that it is about.
        asked_s: since when.
        is_lost: it died, or was given up.
    """

    actor: Any
    label: str
    place: Place
    order: int = -1
    known: int = 0
    report: Report | None = None
    future: Future[bool] | None = None
    poll: tuple[Any, int] | None = None
    asked_s: float = 0.0
    is_lost: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, order: int, first: int, signals: Sequence[Signal]) -> None:
        """Pass on the signals of the present work that are new; the lock is held."""
        if order == self.order and self.report is not None:
            new = signals[max(0, self.known - first) :]
            self.known = max(self.known, first + len(signals))
            for signal in new:
                self.report(signal)


class RayWorkers:
    """Workers on the nodes of a cluster; see ``reactions.run.backend.Backend``.

    Args:
        ray: the package, connected to the cluster.
        places: where workers are wanted.
        recipe: of a worker at a place.
        graph: the pickled targets.
        warn: called with a sentence about what is amiss, in any thread.
        silence_s: a worker that answers nothing for so long is given up.
        wait_for_nodes_s: where all workers are lost, others are waited for so long.
        patience_s: how long workers may take to start before it is reported.
    """

    def __init__(
        self,
        ray: Any,
        places: Places,
        recipe: Callable[[Place], WorkerRecipe],
        graph: bytes,
        warn: Callable[[str], None],
        silence_s: float = _SILENCE_S,
        wait_for_nodes_s: float = _WAIT_FOR_NODES_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._ray = ray
        self._places = places
        self._recipe = recipe
        self._graph = ray.put(graph)
        self._warn = warn
        self._silence_s = silence_s
        self._actor_class = ray.remote(
            concurrency_groups={"control": 2}, max_restarts=0, max_task_retries=0
        )(_with_control_group(ray))
        self._starting: dict[Any, tuple[Place, Any]] = {}  # by what prepare() will return
        self._workers: list[_Live] = []
        self._to_end: deque[Any] = deque()
        self._failure: MolspaceError | None = None
        self._lost_s = time.monotonic()  # when the last one was, or when it began
        self._wait_for_nodes_s = wait_for_nodes_s
        self._patience_s = patience_s
        self._has_warned = False
        self._closing = threading.Event()
        self._changing = threading.Lock()
        self._look_after()
        self._thread = threading.Thread(target=self._watch, name="cluster", daemon=True)
        self._thread.start()

    # --- what the dispatcher asks for ------------------------------------------------

    @property
    def devices(self) -> Sequence[str]:
        """The device and node of each worker that is, or was, ready.

        Raises:
            MolspaceError: a worker cannot be used, or none is left.
        """
        if self._failure is not None:
            raise self._failure
        return tuple(worker.label for worker in self._workers)

    def submit(self, worker: int, work: Work, report: Report) -> Future[bool]:
        """Send a worker keys and rows."""
        live = self._workers[worker]
        future: Future[bool] = Future()
        with live.lock:
            live.order, live.known = live.order + 1, 0
            live.report, live.future = report, future
            if live.is_lost:
                self._end(live, error=WorkerLost("it ended while it was idle", had_begun=False))
                return future
            keys = [step.key for step in work.steps]
            outcome = live.actor.perform.remote(live.order, keys, work.rows)
        order = live.order
        outcome.future().add_done_callback(lambda done: self._done(live, order, done))
        return future

    def release(self, worker: int) -> None:
        """Let an idle worker drop what it holds."""
        if not self._workers[worker].is_lost:
            self._workers[worker].actor.release.remote()

    def shutdown(self, *, interrupted: bool, on_delay: Callable[[int], None]) -> None:
        """End all workers; none is waited for longer than a moment.

        What they write is published whole or not at all.
        """
        self._closing.set()
        self._thread.join()
        busy = [live.future for live in self._workers if live.future is not None]
        for live in self._workers:
            if live.future is not None and not live.is_lost:
                with suppress(Exception):  # the cluster may be gone
                    live.actor.stop.remote()
        if busy and not interrupted:
            wait(busy, _STOPPING_S)
        actors = [live.actor for live in self._workers]
        for actor in [*actors, *(actor for _, actor in self._starting.values())]:
            self._kill(actor)

    # --- outcomes --------------------------------------------------------------------

    def _done(self, live: _Live, order: int, done: Future[WorkOutcome]) -> None:
        """Take the outcome of a unit of work, in a thread of Ray's."""
        error = done.exception()
        with live.lock:
            if order != live.order or live.future is None:
                return
            if error is not None:
                self._note_loss(live, _why(error))
                return
            outcome = done.result()
            live.deliver(order, outcome.first, outcome.signals)
            self._end(live, result=outcome.result, error=outcome.error)

    def _end(
        self, live: _Live, *, result: bool | None = None, error: BaseException | None = None
    ) -> None:
        """Settle the future of a worker's work; the lock is held."""
        future, live.future, live.report = live.future, None, None
        if future is None:
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(bool(result))

    def _note_loss(self, live: _Live, why: str) -> None:
        """Take note that a worker is gone; the lock is held."""
        if not live.is_lost:
            live.is_lost = True
            live.place.is_free = True
            # It may be cut off, not dead, and hold its resources. Not ended here: this may be a
            # thread of Ray's, which would wait for itself.
            self._to_end.append(live.actor)
            self._lost_s = time.monotonic()
            self._has_warned = False
        self._end(live, error=WorkerLost(why))

    # --- watching --------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.wait(POLL_S):
            try:
                self._look_after()
                for live in list(self._workers):
                    self._question(live)
            except Exception as error:  # of Ray: the cluster is gone, or the connection
                self._failure = StepError(
                    "lost the cluster",
                    why=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300],
                    fix="run again when it is back: finished steps and shards are kept",
                )
                return

    def _look_after(self) -> None:
        """Start workers where there is room, take in those that are ready, end lost ones."""
        while self._to_end:
            self._kill(self._to_end.popleft())
        for place in self._places.free():
            if place.starts >= _MOST_STARTS:
                continue
            place.starts += 1
            place.is_free = False
            actor = self._actor_class.options(**place.options).remote(
                self._recipe(place), self._graph
            )
            self._starting[actor.prepare.remote()] = place, actor
        if self._starting:
            ready, _ = self._ray.wait(list(self._starting), timeout=0)
            for answer in ready:
                self._take_in(*self._starting.pop(answer), answer)
        is_over = not self._has_hope() and not self._places.may_come(_MOST_STARTS)
        if is_over and time.monotonic() - self._lost_s > self._wait_for_nodes_s:
            self._failure = self._failure or StepError(
                "no worker of the cluster is left",
                why="their nodes are gone, or each was started "
                f"{_MOST_STARTS} times and lost; none came for {self._wait_for_nodes_s:.0f} s",
                fix="look into Ray's logs on the nodes; then run again: what is finished is kept",
            )
        waiting = len(self._starting)
        if waiting and not self._has_warned and time.monotonic() - self._lost_s > self._patience_s:
            self._has_warned = True
            alive = sum(not live.is_lost for live in self._workers)
            self._warn(
                f"{waiting} of {waiting + alive} workers have not started yet: they may wait for "
                f"room on the cluster ({self._places.wants})"
                + ("" if alive else "; until one starts, nothing is done")
            )

    def _take_in(self, place: Place, actor: Any, answer: Any) -> None:
        try:
            label, problem, remarks = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            place.is_free = True
            self._warn(f"a worker on {place.name} ended before it was ready: {_why(error)}")
            return
        for remark in remarks:
            self._warn(remark)
        if problem is None:
            self._workers.append(_Live(actor, label, place))
            return
        self._kill(actor)
        if not isinstance(problem, MolspaceError):
            problem = StepError(f"the worker {label} cannot start: {problem}")
        if self._has_hope():  # a node that does not fit is not a reason to end the others' work
            self._warn(f"{problem.what} ({problem.why}): the run goes on without it")
            return
        self._failure = problem

    def _has_hope(self) -> bool:
        """Return whether a worker is there, or on its way."""
        return bool(self._starting) or any(not live.is_lost for live in self._workers)

    def _question(self, live: _Live) -> None:
        """Ask a worker for what happened; what it answered last time is passed on."""
        if live.is_lost:
            return
        if live.poll is not None:
            if not self._ray.wait([live.poll[0]], timeout=0)[0]:
                if time.monotonic() - live.asked_s > self._silence_s:
                    self._kill(live.actor)
                    with live.lock:
                        self._note_loss(live, f"it gave no sign for {self._silence_s:.0f} s")
                return
            (answer, order), live.poll = live.poll, None
            try:
                first, signals = self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                with live.lock:
                    self._note_loss(live, _why(error))
                return
            with live.lock:
                live.deliver(order, first, signals)
        now_s = time.monotonic()
        if live.asked_s and now_s - live.asked_s < _QUESTION_S * len(self._workers):
            return
        live.asked_s = now_s
        with live.lock:
            live.poll = live.actor.poll.remote(live.order, live.known), live.order

    def _kill(self, actor: Any) -> None:
        with suppress(Exception):  # it may be dead already, or the cluster
            self._ray.kill(actor)


def _with_control_group(ray: Any) -> type:
    """Return the worker's class with methods that are called while others run."""
    methods: dict[str, Any] = {}
    for name in ("poll", "stop"):
        method = getattr(RemoteWorker, name)

        def call(self: Any, *args: Any, _method: Callable[..., Any] = method) -> Any:
            return _method(self, *args)

        methods[name] = ray.method(concurrency_group="control")(call)
    return type("MolspaceWorker", (RemoteWorker,), methods)


def _why(error: BaseException) -> str:
    """Return why a worker was lost, in one line."""
    kind = type(error).__name__
    if kind == "OutOfMemoryError":
        return "out of memory: Ray ended it"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = next((line for line in lines if line.startswith("The actor")), lines[0] if lines else "")
    return f"{kind}: {last}"[:200]
