"""A file server on this machine that answers as late as one far away, and counts what is asked.

    python benchmarks/range_server.py FOLDER [--latency-ms 20] [--bytes-per-s 100e6]

It prints its address; a line on its standard input, such as ``counts``, has it print a line of
JSON: how many requests came since the last one, and how many bytes went out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_CHUNK_BYTES = 1 << 18


class FileServer(ThreadingHTTPServer):
    """Serves the files of a folder, and ranges of them.

    Args:
        folder: whose files it serves.
        latency_s: it waits so long before each answer.
        bytes_per_s: what all its answers together may send; 0 bounds nothing.
        handler: of its requests.
    """

    daemon_threads = True

    def __init__(
        self,
        folder: Path,
        *,
        latency_s: float = 0.0,
        bytes_per_s: float = 0.0,
        handler: type[FileRequest] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler or FileRequest)
        self.folder = folder
        self.latency_s = latency_s
        self._bytes_per_s = bytes_per_s
        self._free_at_s = 0.0
        self._link = threading.Lock()
        self.counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self.ranges: list[tuple[int, int]] = []

    @property
    def url(self) -> str:
        """Return the address that its files' names follow."""
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, what: str, n: int) -> None:
        """Add to a count; requests are answered side by side."""
        with self._counting:
            self.counts[what] += n

    def pass_link(self, size_bytes: int) -> None:
        """Wait until so many bytes have passed the link that all answers share."""
        if not self._bytes_per_s:
            return
        with self._link:
            now_s = time.monotonic()
            self._free_at_s = max(now_s, self._free_at_s) + size_bytes / self._bytes_per_s
            left_s = self._free_at_s - now_s
        time.sleep(left_s)


class FileRequest(BaseHTTPRequestHandler):
    """Answers a request for a file or a range of it."""

    protocol_version = "HTTP/1.1"
    server: Any
    sends_ranges = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer with the headers of the whole file."""
        self._answer(send_body=False)

    def do_GET(self) -> None:
        """Answer with a file, or a range of it."""
        self._answer(send_body=True)

    def etag(self, path: Path) -> str:
        """Return what changes when a file does."""
        stat = path.stat()
        return f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'

    def send_part(self, stream: BinaryIO, start: int, stop: int) -> None:
        """Send the bytes from ``start`` up to ``stop``."""
        stream.seek(start)
        while start < stop and (chunk := stream.read(min(_CHUNK_BYTES, stop - start))):
            self.server.pass_link(len(chunk))
            self.server.count("bytes", len(chunk))  # before who asked for it may look
            self.wfile.write(chunk)
            start += len(chunk)

    def _answer(self, *, send_body: bool) -> None:
        self.server.count("requests", 1)
        time.sleep(self.server.latency_s)
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            self._say(404, {})
            return
        etag, size = self.etag(path), path.stat().st_size
        start, stop, status = 0, size, 200
        byte_range = _RANGE.match(self.headers.get("Range", ""))
        headers = {"ETag": etag}
        if self.headers.get("If-Match", etag) != etag:
            self._say(412, headers)
            return
        if byte_range and self.sends_ranges:
            start, status = int(byte_range[1]), 206
            stop = min(size, int(byte_range[2]) + 1) if byte_range[2] else size
            if start >= size:
                self._say(416, {**headers, "Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if self.sends_ranges:
            headers["Accept-Ranges"] = "bytes"
        self._say(status, headers, stop - start)
        if send_body:
            self.server.ranges.append((start, stop))
            with path.open("rb") as stream:
                self.send_part(stream, start, stop)

    def _say(self, status: int, headers: dict[str, str], size_bytes: int = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size_bytes))
        self.end_headers()


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--latency-ms", type=float, default=20.0)
    options.add_argument("--bytes-per-s", type=float, default=0.0)
    arguments = options.parse_args()
    with FileServer(
        arguments.folder, latency_s=arguments.latency_ms / 1000, bytes_per_s=arguments.bytes_per_s
    ) as server:
        threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
        print(server.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps(server.counts), flush=True)
            server.counts.clear()
        server.shutdown()


if __name__ == "__main__":
    main()
