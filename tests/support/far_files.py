"""Files behind HTTP in ranges, by the benchmarks' server, which can be told to misbehave."""

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "range_server.py"
_spec = importlib.util.spec_from_file_location("range_server", _SCRIPT)
assert _spec is not None
assert _spec.loader is not None
range_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(range_server)


class FarRequest(range_server.FileRequest):
    """What the server's fields say goes wrong, does."""

    def etag(self, path: Path) -> str:
        return self.server.etag or super().etag(path)

    @property
    def sends_ranges(self) -> bool:
        return self.server.sends_ranges

    def _say(self, status: int, headers: dict[str, str], size_bytes: int = 0) -> None:
        if status == 206 and self.server.content_range is not None:
            headers = {**headers, "Content-Range": self.server.content_range}
        super()._say(status, headers, size_bytes)

    def send_part(self, stream: BinaryIO, start: int, stop: int) -> None:
        if self.server.breaks:
            stop = start + self.server.breaks.pop(0)
            super().send_part(stream, start, stop)
            self.close_connection = True  # fewer bytes than were announced
        else:
            super().send_part(stream, start, stop)


class FarFiles(range_server.FileServer):
    """A server of a folder.

    Attributes:
        breaks: after how many bytes the next answers break off.
        etag: of every file, in place of what tells them apart.
        content_range: what it says of every range, in place of what is so; None says what is so.
        sends_ranges: whether it knows ranges at all.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, handler=FarRequest)
        self.breaks: list[int] = []
        self.etag = ""
        self.content_range: str | None = None
        self.sends_ranges = True


@contextmanager
def far_files(folder: Path) -> Iterator[FarFiles]:
    """Serve a folder while the context is open."""
    with FarFiles(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
