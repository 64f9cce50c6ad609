"""What runs a plan's units of work: plain data goes there, small signals come back.

The dispatcher (``run/dispatcher.py``) decides what is done next, and by which worker; a backend
has the workers. A unit of work is data that can be pickled. Its inputs and its result are in
the store, so a worker needs no more than the store, a device, and a way to load encoders
(``run/worker.py``): it can be a thread, another process, or another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from reactions.core.step import Step
from reactions.core.types import Digest
from reactions.modalities.noticed import Notes
from reactions.run.events import StoreWarning

Rows: TypeAlias = tuple[int, int]
"""(first row, row after the last) of a shard"""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker can do next.

    Attributes:
        steps: one step, or several of one class that are run together.
        inputs: (name, key) of every input, for each of the steps.
        rows: the shard to make of each step. None makes a step that is not made by rows, and
            joins the finished shards of one that is.
    """

    steps: tuple[Step, ...]
    inputs: tuple[tuple[tuple[str, Digest], ...], ...]
    rows: Rows | None = None

    @classmethod
    def of(cls, steps: Sequence[Step], rows: Rows | None = None) -> Work:
        """Return the work of making rows of some steps, or all of one; see ``rows``."""
        inputs = tuple(tuple((name, source.key) for name, source in s.inputs) for s in steps)
        return cls(tuple(steps), inputs, rows)

    @property
    def joins_shards(self) -> bool:
        """Whether it makes an entry of finished shards."""
        return self.rows is None and self.steps[0].n_rows is not None


@dataclass(frozen=True, slots=True)
class Progress:
    """Part of a unit of work is done: ``done`` of ``total`` in ``unit``."""

    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A point of a curve: ``value`` at ``position`` of ``name``."""

    name: str
    value: float
    position: int


Signal: TypeAlias = Progress | Measured | StoreWarning | Notes
"""What happens while work is done: plain data, so that it can come from another process.

A worker of another process hands over what was noted of items there (``noticed.hand_over``).
"""

Report: TypeAlias = Callable[[Signal], None]
"""Takes what happens while work is done; may be called in any thread."""


class WorkerLost(Exception):
    """A worker ended before its work did: nothing is known to be wrong with the work.

    The dispatcher gives the work to another worker, a few times at most, and nothing more to
    this one. A backend that starts another in its place adds it to ``devices``.

    Args:
        why: the worker ended, in a few words.
        had_begun: the work may have been begun; False where the worker was gone before, which
            is not held against the work.
    """

    def __init__(self, why: str, *, had_begun: bool = True) -> None:
        super().__init__(why)
        self.had_begun = had_begun


class Backend(Protocol):
    """Workers that do units of work, each one at a time.

    The dispatcher calls it from one thread, and only gives work to workers that are idle.
    """

    @property
    def devices(self) -> Sequence[str]:
        """The device of each worker, such as ``"cpu"``; a worker is named by its place here.

        Workers may come later: the list grows at its end while a run lasts. It never shrinks.

        Raises:
            MolspaceError: all workers are gone, and no other will come.
        """

    def submit(self, worker: int, work: Work, report: Report) -> Future[bool]:
        """Let an idle worker do something.

        Args:
            worker: which.
            work: what; see ``Worker.perform``.
            report: called with what happens meanwhile, before the future is done.

        Returns:
            What ``Worker.perform`` returns or raises; ``WorkerLost`` where it did not end.
        """

    def release(self, worker: int) -> None:
        """Let an idle worker drop what it holds: an encoder, what steps share, inputs."""

    def shutdown(self, *, interrupted: bool, on_delay: Callable[[int], None]) -> None:
        """Stop all workers, and return when they have stopped.

        What they are doing is given up at the next sign of progress; finished shards stay.

        Args:
            interrupted: the user ended the run (Ctrl-C, SIGTERM): stop at once where possible.
            on_delay: called when workers take long to stop, with how many still have to.
        """
