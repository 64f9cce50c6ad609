"""Units of work in progress: who does which since when, and which ought to be done twice."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from reactions.run.backend import Rows
from reactions.run.job import Job
from reactions.run.schedule import Needs

MOST_LOSSES = 3
"""How many workers may be lost over the same work: then the work is to blame."""

_SLOWER = 2.0
"""Rows are a straggler after this many times what equal ones usually took, ..."""

_LEAST_S = 5.0
"""... and no sooner than this."""


@dataclass(eq=False, slots=True)
class Slot:
    """What is known of a worker: its number, its device, and what it holds or is about to."""

    number: int
    device: str
    holds: Needs = frozenset()


@dataclass(eq=False, slots=True)
class Order:
    """A unit of work given to a worker, and the jobs it is done for.

    Attributes:
        worker: who does it.
        jobs: that it is done for.
        rows: of the jobs' results; None for a whole one, and to join shards.
        twin: the same work, given to another worker as well.
        is_moot: the twin was done first.
        began_s: when it was given (``time.monotonic``).
    """

    worker: Slot
    jobs: tuple[Job, ...]
    rows: Rows | None
    twin: Order | None = None
    is_moot: bool = False
    began_s: float = field(default_factory=time.monotonic)

    @property
    def label(self) -> str:
        """What is made, such as ``rows 0 to 4096 of 'embed CLAP_m text'``."""
        rows = "" if self.rows is None else f"rows {self.rows[0]} to {self.rows[1]} of "
        return f"{rows}'{self.jobs[0].step.label}'"

    def repeat(self, worker: Slot) -> Order:
        """Return the order of the same work to another worker."""
        self.twin = Order(worker, self.jobs, self.rows, twin=self)
        return self.twin


class Orders:
    """The orders in progress, by the futures of their outcomes."""

    def __init__(self) -> None:
        self._by_future: dict[Future[bool], Order] = {}
        self._losses: Counter[tuple[str, Rows | None]] = Counter()
        self._seconds: defaultdict[tuple[Needs, int], list[float]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._by_future)

    def __iter__(self) -> Iterator[Future[bool]]:
        return iter(self._by_future)

    def add(self, future: Future[bool], order: Order) -> None:
        """Follow an order."""
        self._by_future[future] = order

    def pop(self, future: Future[bool]) -> Order:
        """Follow an order no longer: it has ended."""
        order = self._by_future.pop(future)
        if order.twin is not None:
            order.twin.twin = None
        return order

    def note_done(self, order: Order) -> None:
        """Take note that an order's work was done: its twin is moot, its time is an example."""
        for other in self._by_future.values():
            other.is_moot |= other.jobs == order.jobs and other.rows == order.rows
        if order.rows is not None:
            self._seconds[_sort(order)].append(time.monotonic() - order.began_s)

    def count_loss(self, order: Order) -> int:
        """Return how many workers were lost over this work, this one included."""
        work = (order.jobs[0].step.key, order.rows)
        self._losses[work] += 1
        return self._losses[work]

    def straggler(self) -> Order | None:
        """Return the rows in progress that are most overdue, if they should be made twice."""
        overdue: list[tuple[float, Order]] = []
        now_s = time.monotonic()
        for order in self._by_future.values():
            usual = self._seconds.get(_sort(order))
            if order.rows is None or order.twin or order.is_moot or not usual:
                continue
            late_s = now_s - order.began_s - max(_LEAST_S, _SLOWER * statistics.median(usual))
            if late_s > 0:
                overdue.append((late_s, order))
        return max(overdue, key=lambda pair: pair[0])[1] if overdue else None


def _sort(order: Order) -> tuple[Needs, int]:
    """Return what orders that take about equally long have in common."""
    n_rows = order.rows[1] - order.rows[0] if order.rows else 0
    return order.jobs[0].needs, n_rows
