"""Remote files read in order: in large blocks, the next ones on their way before they are needed.

A tar of small files behind a server with 20 ms of latency is read at the speed of the network so,
where a request for each file would take the latency each time. Reads that follow one another are
told from others by where they lie, as kernels do it, so that nothing above has to say which they
are: threads that decode a corpus side by side, work that goes on in the middle of a shard, and
every worker's range of rows are all read so. Reads here and there, as of a sample, ask for exactly
their bytes.
"""

from __future__ import annotations

import io
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO, Final, TypeAlias

from reactions.core.errors import DataError
from reactions.core.remote import contradict
from reactions.core.remote_ranges import RemoteRanges, changed

BLOCK_BYTES: Final = 4 << 20
"""What a request asks for: at 20 ms of latency and 100 MB/s half of the time is latency, which the
requests on their way ahead of it hide."""

AHEAD_BLOCKS: Final = 4
"""Blocks on their way before they are asked for."""

KEPT_BLOCKS: Final = 16
"""Blocks in memory, of all files together: threads that read side by side are not in step. They
are shared out among all that read in order; each has two at least."""

_NEAR_BYTES: Final = 1 << 20
"""A read that begins at most so far behind the end of an earlier one follows it."""

_REMEMBERED_READS: Final = 64
_OPEN_FILES: Final = 16
_BUFFER_BYTES: Final = 1 << 20


_BlockName: TypeAlias = tuple[str, str, int]
"""URL, version of the file, number of the block"""


class _File:
    """A remote file as it was when it was opened, and where it was read last."""

    def __init__(self, url: str, ranges: RemoteRanges) -> None:
        self.url = url
        self.ranges = ranges
        # A block is of one version of its file. Without a stamp each opening counts as a version.
        self.version = ranges.stamp or uuid.uuid4().hex
        # Whoever begins at the beginning will most likely go on.
        self.ends: deque[int] = deque([0], maxlen=_REMEMBERED_READS)
        self.n_reads = 0  # in order
        self.sent_for = (-1, 0)  # the block that was read last, and how many behind it


class ReadAhead:
    """Blocks of remote files; its methods may be called by any thread.

    Args:
        block_bytes: size of a block.
        ahead_blocks: how many are fetched before they are asked for.
        kept_blocks: how many stay in memory.
        open_file: opens a URL.
    """

    def __init__(
        self,
        *,
        block_bytes: int = BLOCK_BYTES,
        ahead_blocks: int = AHEAD_BLOCKS,
        kept_blocks: int = KEPT_BLOCKS,
        open_file: Callable[[str], RemoteRanges] = RemoteRanges,
    ) -> None:
        self.block_bytes = block_bytes
        self._n_ahead = ahead_blocks
        self._n_kept = kept_blocks
        self._open_file = open_file
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()
        # By URL: what was opened first, and must still be there when it is opened again.
        self._first: dict[str, tuple[str, int]] = {}
        self._blocks: OrderedDict[_BlockName, Future[bytearray]] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None
        self._recent: deque[_BlockName] = deque(maxlen=_REMEMBERED_READS)
        self._n_readers = 1

    def open(self, url: str, stamp: str) -> BinaryIO:
        """Open a file that is to be read in order; seekable.

        Args:
            url: of the file.
            stamp: as ``find`` gave it, or "".

        Raises:
            MissingError: it is not there, or a package is missing.
            DataError: it cannot be read in parts, or has another stamp.
        """
        first, _ = self._first.get(url, (stamp, 0))
        if stamp and contradict(first, stamp):
            self.forget(url)  # it may be what changed, or what was open before it did
        file = self._file(url)
        if stamp and contradict(file.ranges.stamp, stamp):
            raise changed(url, "it has another content than when it was listed")
        return io.BufferedReader(_InOrder(self, file), _BUFFER_BYTES)

    def read(self, url: str, start: int, size_bytes: int) -> bytes:
        """Return a range of a file's bytes; fewer where the file is shorter.

        Raises:
            MissingError: it is not there, or a package is missing.
            DataError: it cannot be read in parts, or has changed.
        """
        return self.read_of(self._file(url), start, size_bytes)

    def read_of(self, file: _File, start: int, size_bytes: int) -> bytes:
        """Return a range of one version of a file; see ``read``."""
        stop = min(start + size_bytes, file.ranges.size_bytes)
        if stop <= start:
            return b""
        try:
            if not self._is_in_order(file, start, stop):
                return bytes(file.ranges.read(start, stop))
            parts = []
            for number in self._numbers(start, stop):
                begin = number * self.block_bytes
                block = memoryview(self._block(file, number).result())
                parts.append(block[max(0, start - begin) : stop - begin])
        except DataError:
            self.forget(file.url)
            raise
        return b"".join(parts)

    def check_unchanged(self, url: str) -> None:
        """Refuse a file that is another one by now than when it was opened here.

        Raises:
            DataError: it is, as far as its server tells.
        """
        self._file(url).ranges.check_unchanged()

    def forget(self, url: str = "") -> None:
        """Drop what is held and known of a file, or of all: it may be another one from now on."""
        with self._lock:
            for name in [name for name in self._first if not url or name == url]:
                del self._first[name]
            for key in [key for key in self._blocks if not url or key[0] == url]:
                del self._blocks[key]
            for name in [name for name in self._files if not url or name == url]:
                del self._files[name]

    def _file(self, url: str) -> _File:
        with self._lock:
            if (file := self._files.get(url)) is None:
                file = self._files[url] = self._opened(url)
                while len(self._files) > _OPEN_FILES:
                    self._files.popitem(last=False)
            self._files.move_to_end(url)
            return file

    def _opened(self, url: str) -> _File:
        """Open a file, or open it again: then it must be what it was. The lock is held."""
        ranges = self._open_file(url)
        now = (ranges.stamp, ranges.size_bytes)
        first = self._first.setdefault(url, now)
        # Where stamps are of different facts, as of a listing and of a file, sizes have to do.
        facts = [stamp.partition("=")[0] for stamp, _ in (first, now)]
        if now[1] != first[1] or (facts[0] == facts[1] and now != first):
            del self._first[url]  # so that a later scan in this process finds it as it is
            raise changed(url, "it was opened again, and has another content than before")
        return _File(url, ranges)

    def _numbers(self, start: int, stop: int) -> range:
        return range(start // self.block_bytes, -(-stop // self.block_bytes))

    def _is_in_order(self, file: _File, start: int, stop: int) -> bool:
        """Return whether a read follows an earlier one, or is of blocks that are there."""
        with self._lock:
            follows = any(0 <= start - end <= _NEAR_BYTES for end in file.ends)
            file.ends.append(stop)
            numbers = self._numbers(start, stop)
            return follows or all((file.url, file.version, n) in self._blocks for n in numbers)

    def _block(self, file: _File, number: int) -> Future[bytearray]:
        """Return a block that is there or on its way, and send for those behind it."""
        name = (file.url, file.version, number)
        with self._lock:
            file.n_reads += 1
            n_kept, n_window = self._share(name)
            # Few at first: what reads a single range would leave the others unread.
            n_ahead = min(self._n_ahead, 2 ** min(file.n_reads, 8), n_window - 1)
            n_blocks = -(-file.ranges.size_bytes // self.block_bytes)
            window = range(number, min(number + 1 + n_ahead, n_blocks))
            block = self._blocks.get(name)
            is_sent_for = (number, n_ahead) == file.sent_for  # as by most reads before
            if not is_sent_for or block is None or _has_failed(block):
                file.sent_for = (number, n_ahead)
                for n in window:
                    self._send_for(file, n)
            for n in window:  # or what was not needed yet would go first
                if (other := (file.url, file.version, n)) in self._blocks:
                    self._blocks.move_to_end(other)
            block = self._blocks[name]
            while len(self._blocks) > n_kept:
                self._blocks.popitem(last=False)
            return block

    def _share(self, name: _BlockName) -> tuple[int, int]:
        """Return how many blocks are kept in all, and how many of them are one reader's share.

        Recently read blocks that lie near one another count as one reader's: if there are
        several, they share what is ahead of them.
        """
        if not self._recent or self._recent[-1] != name:
            self._recent.append(name)
            n_readers, before = 0, ("", "", 0)
            for block in sorted(self._recent):
                is_near = block[:2] == before[:2] and block[2] - before[2] <= self._n_ahead
                n_readers, before = n_readers + (not is_near), block
            self._n_readers = n_readers
        n_kept = max(self._n_kept, 2 * self._n_readers)
        return n_kept, n_kept // self._n_readers

    def _send_for(self, file: _File, number: int) -> None:
        name = (file.url, file.version, number)
        block = self._blocks.get(name)
        # What failed on its way ahead is asked for anew by whoever needs it.
        if block is not None and not _has_failed(block):
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self._n_ahead + 1, thread_name_prefix="molspace-read-ahead"
            )
        start = number * self.block_bytes
        stop = min(start + self.block_bytes, file.ranges.size_bytes)
        self._blocks[name] = self._pool.submit(file.ranges.read, start, stop)


def _has_failed(block: Future[bytearray]) -> bool:
    return block.done() and block.exception() is not None


class _InOrder(io.RawIOBase):
    """One version of a remote file as Python's other files, by way of blocks."""

    def __init__(self, blocks: ReadAhead, file: _File) -> None:
        super().__init__()
        self._blocks = blocks
        self._file = file
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        # No more than a block at a time, however much is asked for.
        rest = self._blocks.block_bytes - self._place % self._blocks.block_bytes
        data = self._blocks.read_of(self._file, self._place, min(len(view), rest))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._file.ranges.size_bytes)[whence]
        return self._place

    def tell(self) -> int:
        return self._place


BLOCKS: Final = ReadAhead()
"""What this process holds of remote files."""

open_in_order = partial(ReadAhead.open, BLOCKS)
read_range = partial(ReadAhead.read, BLOCKS)
check_unchanged = partial(ReadAhead.check_unchanged, BLOCKS)
forget_read = partial(ReadAhead.forget, BLOCKS)
