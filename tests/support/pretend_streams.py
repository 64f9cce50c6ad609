"""Streams of a pretended CUDA device, held to the order in which memory is written and read."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import Tensor


class StreamError(AssertionError):
    """What a GPU would punish with wrong numbers, now and then."""


class Memory:
    """Memory on the device.

    Attributes:
        owner: the stream on which it was allocated; freed memory is reused there at once.
        written: (stream, its clock) of the last write.
        users: other streams that used it.
        recorded: streams that the allocator was informed of.
    """

    def __init__(self, owner: Stream) -> None:
        self.owner = owner
        self.written: tuple[Stream, int] = (owner, 0)
        self.users: set[Stream] = set()
        self.recorded: set[Stream] = set()


class Event:
    """A place in the work of a stream."""

    def __init__(self, clocks: Counter[Stream]) -> None:
        self.clocks = clocks


class Stream:
    """A queue of work.

    Attributes:
        clock: operations queued so far.
        seen: up to which clock of each stream its next operation comes afterwards.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.clock = 0
        self.seen: Counter[Stream] = Counter()

    def reads(self, memory: Memory) -> None:
        """Refuse memory that another stream may still be writing."""
        other, clock = memory.written
        if other is not self and max(self.seen[other], self._streams.done[other]) < clock:
            raise StreamError("memory is used before the stream that writes it was waited for")
        if memory.owner is not self:
            memory.users.add(self)

    def writes(self, memory: Memory) -> None:
        """Note a write."""
        self.reads(memory)
        self.clock += 1
        memory.written = (self, self.clock)

    def copies_to(self, host: Tensor) -> None:
        """Note a copy to the host that goes on by itself."""
        self.clock += 1
        self._streams.unfinished[host.untyped_storage()._cdata] = self, self.clock, host

    def record_event(self) -> Event:
        """Mark what has been queued so far."""
        return Event(self.seen | Counter({self: self.clock}))

    def wait_event(self, event: Event) -> None:
        """Let later operations come after an event."""
        self.seen |= event.clocks

    def wait_stream(self, other: Stream) -> None:
        """Let later operations come after all that another stream has queued."""
        self.wait_event(other.record_event())

    def synchronize(self) -> None:
        """Let the host wait for all that was queued."""
        self._streams.done |= self.record_event().clocks


class Streams:
    """All streams of the device.

    Attributes:
        done: up to which clock of each stream the host has waited.
        unfinished: copies to the host: (stream, its clock, memory, so that nothing else takes its
            place), by storage.
        taken_bytes: of all memory that tensors refer to.
        most_bytes: the most that it ever was.
    """

    def __init__(self) -> None:
        self.done: Counter[Stream] = Counter()
        self.unfinished: dict[int, tuple[Stream, int, Tensor]] = {}
        self._default = Stream(self)
        self._made = [self._default]
        self._memories: weakref.WeakSet[Memory] = weakref.WeakSet()
        self._is_recorded = True
        self.taken_bytes = self.most_bytes = 0
        self._here = threading.local()

    def make(self) -> Stream:
        """Return a new stream."""
        self._made.append(Stream(self))
        return self._made[-1]

    def event(self, **_: Any) -> Event:
        """Return an event that nothing precedes."""
        return Event(Counter())

    def current(self) -> Stream:
        """Return the stream of this thread."""
        return getattr(self._here, "stream", self._default)

    @contextlib.contextmanager
    def within(self, stream: Stream | None) -> Iterator[None]:
        """Make a stream this thread's."""
        before = self.current()
        self._here.stream = before if stream is None else stream
        try:
            yield
        finally:
            self._here.stream = before

    def allocate(self, size_bytes: int) -> Memory:
        """Return memory of the current stream; it is free when no tensor refers to it."""
        memory = Memory(self.current())
        self._memories.add(memory)
        weakref.finalize(memory, self._free, size_bytes, memory.users, memory.recorded)
        self.taken_bytes += size_bytes
        self.most_bytes = max(self.most_bytes, self.taken_bytes)
        return memory

    def _free(self, size_bytes: int, users: set[Stream], recorded: set[Stream]) -> None:
        self.taken_bytes -= size_bytes
        self._is_recorded &= not users - recorded

    def synchronize(self) -> None:
        """Let the host wait for the device."""
        for stream in self._made:
            stream.synchronize()

    def check_host(self, x: Tensor) -> None:
        """Refuse to read what is still being copied to the host."""
        if self.unfinished and (pending := self.unfinished.get(x.untyped_storage()._cdata)):
            stream, clock, _ = pending
            if self.done[stream] < clock:
                raise StreamError("the host reads a copy that has not ended")

    def check_end(self) -> None:
        """Refuse what nothing waited for, and memory used where its allocator knows nothing."""
        if any(self.done[stream] < clock for stream, clock, _ in self.unfinished.values()):
            raise StreamError("a copy to the host was never waited for")
        alive = all(not memory.users - memory.recorded for memory in self._memories)
        if not (alive and self._is_recorded):
            raise StreamError("memory is used on another stream without record_stream")
