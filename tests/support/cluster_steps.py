"""Steps that take time, or end the process that makes them: for workers that can be lost."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reactions.core.errors import DataError
from reactions.core.step import NOT_IN_KEY, Artifact, Step


@dataclass(frozen=True, eq=False, kw_only=True)
class Slow(Step):
    """Row i is i; a shard takes ``seconds``, and leaves a file that names its rows and process.

    ``deadly`` shards kill the process, as often as ``deaths`` says; a ``bad`` one cannot be made.
    None ends before as many processes as ``together`` says have begun one. Those from row
    ``held_from`` on wait for a file named ``go``.
    """

    KIND, VERSION = "embed", 1
    n_rows: int
    seed: int = 0
    shard_rows: int = field(default=1, metadata=NOT_IN_KEY)
    seconds: float = field(default=0.0, metadata=NOT_IN_KEY)
    log: Path = field(metadata=NOT_IN_KEY)
    deadly: tuple = field(default=(), metadata=NOT_IN_KEY)
    deaths: int = field(default=1, metadata=NOT_IN_KEY)
    slow_once: tuple = field(default=(), metadata=NOT_IN_KEY)
    bad: int = field(default=-1, metadata=NOT_IN_KEY)
    together: int = field(default=0, metadata=NOT_IN_KEY)
    held_from: int = field(default=1 << 30, metadata=NOT_IN_KEY)

    @property
    def label(self):
        return f"slow {self.seed}"

    def run(self, context, inputs, start, stop):
        n_before = len(list(self.log.glob(f"{self.seed}-{start}.begun.*")))
        self._note(start, "begun")
        if start == self.bad:
            raise DataError(f"row {start} is bad", why="so it says")
        if start in self.deadly and n_before < self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        seconds = 60.0 if start in self.slow_once and n_before == 0 else self.seconds
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            context.progress(0, stop - start, "rows")
            time.sleep(min(0.02, left_s))
        until_s = time.monotonic() + 120
        while len(self.pids()) < self.together:
            if time.monotonic() > until_s:
                raise DataError(f"fewer than {self.together} processes", why="no other has begun")
            context.progress(0, stop - start, "rows")
            time.sleep(0.02)
        while start >= self.held_from and not (self.log / "go").exists():
            context.progress(0, stop - start, "rows")
            time.sleep(0.02)
        self._note(start, "done")
        return Artifact({"x": np.arange(start, stop, dtype=np.float32)[:, None]})

    def _note(self, start, event):
        (self.log / f"{self.seed}-{start}.{event}.{os.getpid()}-{time.monotonic_ns()}").touch()

    def begun(self, start):
        """Return how often a shard was begun."""
        return len(list(self.log.glob(f"{self.seed}-{start}.begun.*")))

    def pids(self):
        """Return the processes that began shards."""
        return {int(path.suffix[1:].split("-")[0]) for path in self.log.glob("*.begun.*")}
