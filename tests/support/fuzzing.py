"""What the fuzzers share: how many examples, mutations of bytes, and the limits any input keeps.

    @fuzz
    @given(mutated(GOOD))
    def test_any_bytes_are_read_or_refused(data):
        usable_or_refused(lambda: read(data))

Examples are the same in every run. ``MOLSPACE_FUZZ_EXAMPLES`` says how many a test tries;
``make fuzz`` tries many.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from reactions.core.errors import MolspaceError

T = TypeVar("T")

EXAMPLES = int(os.environ.get("MOLSPACE_FUZZ_EXAMPLES", "20"))

MAX_SECONDS = 20
"""That one input may compute."""
PATIENCE = 10
"""How many times as many may pass: the machine may be busy."""

MAX_EXTRA_BYTES = 3 << 29
"""Address space that one input may take beyond what the process has: 1.5 GiB."""

fuzz = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
"""Settings of every fuzz test: fixed seeds, no timing."""


class Hang(BaseException):
    """An input took longer than ``MAX_SECONDS``; not an Exception, so that nothing handles it."""


def usable_or_refused(
    call: Callable[[], T], *, max_extra_bytes: int = MAX_EXTRA_BYTES
) -> T | MolspaceError:
    """Return what a call returns, or the error it refuses its input with.

    Whatever else it raises (MemoryError under the limit included) fails the test.
    """
    with limits(max_extra_bytes):
        try:
            return call()
        except MolspaceError as error:
            return error


@contextmanager
def limits(max_extra_bytes: int = MAX_EXTRA_BYTES, seconds: float = MAX_SECONDS) -> Iterator[None]:
    """Hold what runs inside to so much further address space (Linux) and time (POSIX).

    Args:
        max_extra_bytes: of address space.
        seconds: that it may compute; ``PATIENCE`` times as many may pass.
    """
    with _less_memory(max_extra_bytes), _less_time(seconds):
        yield


@contextmanager
def _less_memory(max_extra_bytes: int) -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    import resource

    held_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    held_bytes = held_pages * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + max_extra_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _less_time(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return

    def hang(number: int, _: object) -> None:
        clock = "computing" if number == signal.SIGPROF else "running"
        raise Hang(f"still {clock} after its time")

    timers = [
        (signal.ITIMER_PROF, signal.SIGPROF, seconds),
        (signal.ITIMER_REAL, signal.SIGALRM, PATIENCE * seconds),
    ]
    before = [signal.signal(number, hang) for _, number, _ in timers]
    for timer, _, limit_s in timers:
        signal.setitimer(timer, limit_s)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for (_, number, _), handler in zip(timers, before, strict=True):
            signal.signal(number, handler)


# --- mutations -----------------------------------------------------------------------

_FIELDS = [
    value.to_bytes(size, order, signed=value < 0)
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, -2, (1 << (8 * size - 1)) - 1, -(1 << (8 * size - 1)))
    for order in ("little", "big")
]
"""Numbers of a header at their limits: 0, 1, -1, the largest and the smallest."""


@st.composite
def mutated(draw: st.DrawFn, data: bytes, head_bytes: int = 128) -> bytes:
    """Draw damaged forms of a file: bytes flipped, header fields at their limits, cuts, repeats.

    Args:
        draw: given by Hypothesis.
        data: a good file.
        head_bytes: where most of the damage is done; the rest falls anywhere.
    """
    mutant = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        last = max(0, len(mutant) - 1)
        anywhere = draw(st.integers(0, 3)) == 0  # else in the header, where numbers are
        place = draw(st.integers(0, last if anywhere else min(head_bytes, last)))
        match draw(st.sampled_from(["flip", "field", "field", "junk", "cut", "repeat"])):
            case "flip" if mutant:
                mutant[place] ^= 1 << draw(st.integers(0, 7))
            case "field":
                field = draw(st.sampled_from(_FIELDS))
                mutant[place : place + len(field)] = field
            case "junk":
                junk = draw(st.binary(min_size=1, max_size=16))
                mutant[place : place + len(junk)] = junk
            case "cut":
                end = draw(st.integers(0, len(mutant)))
                del mutant[end:]
            case "repeat":
                end = draw(st.integers(place, min(len(mutant), place + 64)))
                mutant[place:place] = mutant[place:end]
            case _:
                pass
    return bytes(mutant)
