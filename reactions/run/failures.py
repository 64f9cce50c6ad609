"""How a run ends early: errors that name the step, and SIGTERM that unwinds the stack."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from reactions.core.errors import MolspaceError, StepError
from reactions.core.step import Step
from reactions.run.device import is_out_of_memory


def step_failure(error: Exception, step: Step, device: str) -> MolspaceError:
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
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does, so that temporary folders go.

    Only in the main thread, and only where nothing else handles the signal.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        # As shells report a process that a signal ended.
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
