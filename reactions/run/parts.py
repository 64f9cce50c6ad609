"""Several runs that belong together: which is under way, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from reactions.run.events import EventSink, PartsFinished, PartStarted

OWN_WEIGHT = 30
"""How many seconds of finished parts weigh as much as what was planned does."""


@dataclass(frozen=True, slots=True)
class RunPart:
    """One of several runs: its label, and how many seconds it is planned to take."""

    label: str
    seconds: float


def follow(
    parts: Sequence[RunPart], events: EventSink, clock: Callable[[], float] = time.monotonic
) -> Generator[int, None, None]:
    """Yield the index of each part in turn, and report it with the time that is left.

    Args:
        parts: what is planned; a part that takes no time at all is allowed.
        events: called as each part begins, and when the last one is over.
        clock: seconds from any origin.
    """
    began_s = clock()
    planned_s = 0.0
    try:
        for number, part in enumerate(parts):
            rest_s = sum(later.seconds for later in parts[number:])
            slower = (clock() - began_s + OWN_WEIGHT) / (planned_s + OWN_WEIGHT)
            events(PartStarted(number + 1, len(parts), part.label, rest_s * slower))
            yield number
            planned_s += part.seconds
    finally:
        events(PartsFinished())
