"""Ranges of a remote file: whole or an error, asked for again where a transfer stopped.

What has changed since the file was opened is refused: servers that know entity tags are asked for
the one of the opening (``If-Match``), and every answer is held against the size.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from typing import Final

from reactions.core.errors import DataError, MolspaceError
from reactions.core.protocols import shown
from reactions.core.remote import explained, opened_with, run_in_loop, said, stamp
from reactions.core.transient import TransientError

_TRIES: Final = 5
"""Answers without a single byte, one after the other, before a transfer is given up."""

_WAIT_S: Final = 0.1
"""Before the second try; twice as long before each further one."""

_BUFFER_BYTES: Final = 1 << 20
"""Of a connection: at the usual 64 KiB it is paused again and again."""

_LASTING_STATUS: Final = range(400, 500)
_PASSING_STATUS: Final = (408, 425, 429)
_CHANGED_STATUS: Final = 412
_SPAN: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", re.ASCII | re.IGNORECASE)
"""What ``Content-Range`` says: first byte, last one, size."""

wait = time.sleep
"""Between two tries."""


class RemoteRanges:
    """A remote file, open to be read in parts; its methods may be called by any thread.

    Args:
        url: of the file.

    Attributes:
        size_bytes: of the file.
        stamp: what changes when it does, as ``find`` gives it.

    Raises:
        MissingError: it is not there, or a package is missing.
        DataError: it cannot be read, or is not sent in parts.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with explained(url):
            self._fs, info, self._file = opened_with(url)
            is_seekable = bool(getattr(self._file, "seekable", bool)())
        self.size_bytes = int(info.get("size") or 0)
        self.stamp = stamp(info)
        self._path = info["name"]
        if not is_seekable:
            raise _not_in_parts(url)
        tag = str(info.get("ETag") or "")
        # A weak tag matches nothing: it does not promise the same bytes.
        self._etag = tag if tag.startswith('"') else ""
        self._is_http = hasattr(self._fs, "encode_url") and hasattr(self._file, "session")
        self._lock = threading.Lock()

    def __del__(self) -> None:
        # Not by whoever drops it: another thread may still be reading.
        with suppress(Exception):
            self._file.close()

    def check_unchanged(self) -> None:
        """Refuse what is another file by now than the one that was opened.

        Raises:
            DataError: it is, as far as its server tells.
        """
        with explained(self.url):
            now = stamp(self._fs.info(self._path))
        if now != self.stamp:
            raise changed(self.url, "it has another size or content than when it was opened")

    def read(self, start: int, stop: int) -> bytearray:
        """Return the bytes from ``start`` up to ``stop``, both within the file.

        Raises:
            TransientError: the transfer broke off again and again.
            DataError: the file has changed, cannot be read, or is not sent in parts.
        """
        data = bytearray()
        n_failed = 0
        while start + len(data) < stop:
            before, why = len(data), "the server sent nothing"
            try:
                self._add(data, start + len(data), stop)
            except MolspaceError:
                raise
            except Exception as error:
                if _is_lasting(error):
                    with explained(self.url):
                        raise
                why = said(error)
            if len(data) > before:
                n_failed = 0  # it goes on, however slowly
                continue
            n_failed += 1
            if n_failed == _TRIES:
                raise TransientError(
                    f"cannot read '{shown(self.url)}' now",
                    why=f"at byte {start + len(data)} of {self.size_bytes} the transfer stopped "
                    f"{n_failed} times: {why}",
                    fix="check the network and the server, then run it again: what is done stays "
                    "done",
                    url=shown(self.url),
                )
            wait(_WAIT_S * 2 ** (n_failed - 1))
        return data

    def _add(self, data: bytearray, start: int, stop: int) -> None:
        """Add what comes of a range; what came before a failure stays."""
        if self._is_http:
            run_in_loop(self._file.fs, self._stream, data, start, stop)
        elif hasattr(self._file, "_fetch_range"):
            data += self._file._fetch_range(start, stop)[: stop - start]
        else:
            with self._lock:
                self._file.seek(start)
                data += self._file.read(stop - start)

    async def _stream(self, data: bytearray, start: int, stop: int) -> None:
        """Stream a range by HTTP: unlike fsspec's own, which loses what came of a broken one."""
        most_bytes = len(data) + stop - start
        file = self._file
        options = dict(file.kwargs)
        headers = {**options.pop("headers", {}), "Range": f"bytes={start}-{stop - 1}"}
        headers["Accept-Encoding"] = "identity"  # a range of packed bytes is of no use
        if self._etag:
            headers["If-Match"] = self._etag
        url = file.fs.encode_url(file.url)
        options["read_bufsize"] = _BUFFER_BYTES
        async with await file.session.get(url, headers=headers, **options) as answer:
            # 416: the file ends before the range does.
            if answer.status in (_CHANGED_STATUS, 416):
                raise changed(self.url, "it has another content than when it was opened")
            answer.raise_for_status()
            span = _SPAN.fullmatch(answer.headers.get("Content-Range", "").strip())
            whole = span[3] if span else "*"
            if whole != "*" and int(whole) != self.size_bytes:
                raise changed(self.url, f"it had {self.size_bytes} bytes, and now has {whole}")
            tag = answer.headers.get("ETag", self._etag)
            if self._etag and tag != self._etag:
                raise changed(self.url, "it has another content than when it was opened")
            if answer.status != 206 and (start, stop) != (0, self.size_bytes):
                raise _not_in_parts(self.url)
            if answer.status == 206:
                if span is None or int(span[1]) != start:
                    raise _other_part(self.url, start, answer.headers.get("Content-Range", ""))
                most_bytes = min(most_bytes, len(data) + max(0, int(span[2]) + 1 - start))
            async for chunk, _ in answer.content.iter_chunks():  # iter_any joins them first
                data += chunk
            del data[most_bytes:]


def changed(url: str, why: str) -> DataError:
    """Return the error for a remote file that is not what it was."""
    return DataError(
        f"'{shown(url)}' changed while it was read",
        why=why,
        fix="run it again: changed files are scanned anew",
        url=shown(url),
    )


def _not_in_parts(url: str) -> DataError:
    return DataError(
        f"cannot read '{shown(url)}' in parts",
        why="its server sends whole files alone (no byte ranges)",
        fix=f"download it, or let a copy be kept while it is used: simplecache::{shown(url)}",
        url=shown(url),
    )


def _other_part(url: str, start: int, got: str) -> DataError:
    return DataError(
        f"cannot read '{shown(url)}' in parts",
        why=f"its server was asked for what begins at byte {start}, and sent '{got[:100]}'",
        fix=f"download it, or let a copy be kept while it is used: simplecache::{shown(url)}",
        url=shown(url),
    )


def _is_lasting(error: Exception) -> bool:
    """Return whether asking again would give the same answer."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status in _LASTING_STATUS and status not in _PASSING_STATUS
    return isinstance(error, FileNotFoundError | PermissionError | NotImplementedError | TypeError)
