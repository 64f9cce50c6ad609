"""Calls that other threads leave for the one thread that keeps track of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue


class Mailbox:
    """Calls for the thread that made the mailbox.

    So the state of a run changes, and its events are received, in that one thread alone.
    """

    def __init__(self) -> None:
        self._owner = threading.get_ident()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def call(self, function: Callable[..., None], *args: object) -> None:
        """Call now in the owner's thread; from another, leave the call for it."""
        if threading.get_ident() == self._owner:
            function(*args)
        else:
            self.leave(partial(function, *args))

    def leave(self, call: Callable[[], None]) -> None:
        """Leave a call for the owner; also for itself, from a handler of a signal."""
        self._calls.put(call)

    def deliver(self) -> None:
        """Make the calls that were left."""
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                return
            call()
