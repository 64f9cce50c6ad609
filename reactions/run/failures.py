"""How a run ends early: errors that name the step, and signals that unwind the stack."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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
def signals_unwind(leave: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM unwind the stack, so that temporary folders go.

    Only in the main thread, and only where nothing else handles the signal. Python drops an
    exception that a handler raises while a finaliser or a callback of C code runs ("Exception
    ignored in"), and the run would go on. So it is left to be raised once more, when the run next
    looks for calls, or when it has ended.

    Args:
        leave: takes what the run is to call when it next looks for calls.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        # As shells report a process that a signal ended.
        error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)

        def once_more() -> None:
            raise error

        received.append(error)
        leave(once_more)
        raise error

    received: list[BaseException] = []
    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    if threading.current_thread() is threading.main_thread():
        replaced = [number for number, by in usual.items() if signal.getsignal(number) is by]
    else:
        replaced = []
    for number in replaced:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, usual[number])
    if received:
        raise received[0]


def lost_too_often(step: Step, times: int, last: Exception) -> StepError:
    """Return the error for work that so many workers were lost with."""
    return StepError(
        f"'{step.label}' lost {times} workers",
        why=f"the last: {last}",
        fix="if they ran out of memory, use smaller shards or batches (lab file), or "
        "machines with more; then run again: what is finished is kept",
    )
