"""Messages that cannot be written never end a run."""

import errno
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from molspace_cli.streams import Forgiving


class Broken(io.StringIO):
    """A stream on a disk, or a terminal, that takes nothing."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error

    def isatty(self):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        *[OSError(n, os.strerror(n)) for n in (errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EBADF)],
        ValueError("I/O operation on closed file."),
    ],
)
def test_what_cannot_be_written_is_lost(error):
    stream = Forgiving(Broken(error))
    print("one", "two", file=stream, flush=True)
    stream.writelines(["three", "four"])
    assert stream.write("five") == 4
    assert stream.isatty() is False


def test_what_can_be_written_is():
    inner = io.StringIO()
    print("one", file=Forgiving(inner), flush=True)
    assert inner.getvalue() == "one\n"
    assert Forgiving(sys.stdout).encoding == sys.stdout.encoding


def test_bars_are_drawn_on_a_terminal_that_is_gone():
    from rich.console import Console

    stream = Forgiving(Broken(OSError(errno.EIO, "gone")))
    console = Console(file=stream, force_terminal=True)
    with console.status("working"):
        console.print("a line")


FULL = Path("/dev/full")
RUN = """
import sys
sys.argv = ["molspace", *sys.argv[1:]]
from molspace_cli.__main__ import main
main()
"""


def command(stderr, tmp_path, *arguments):
    env = {**os.environ, "MOLSPACE_CACHE": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=env,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(not FULL.exists(), reason="no full device")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("cache", "gc"), 0), (("cache", "verify"), 0), (("show", "/nowhere"), 3), (("nonsense",), 2)],
    ids=["gc", "verify", "an error", "a mistake"],
)
def test_a_full_disk_under_stderr_changes_no_exit_code(tmp_path, arguments, code):
    with FULL.open("w") as stderr:
        assert command(stderr, tmp_path, *arguments).returncode == code


def test_a_reader_of_messages_may_leave(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert command(writer, tmp_path, "cache", "gc").returncode == 0
    finally:
        os.close(writer)


@pytest.mark.skipif(not FULL.exists(), reason="no full device")
def test_a_run_goes_on_without_its_messages(tmp_path):
    """Progress by lines, in the command and in Python."""
    code = """
        import sys
        from pathlib import Path
        sys.path.insert(0, {run!r})
        from toy import by_rows, no_encoder
        from molspace_cli import streams
        from molspace_cli.progress import progress
        from reactions.store import Store
        from reactions.run.logs import watch
        from reactions.run.local import LocalExecutor
        ran = []

        def run(name, events):
            store = Store(Path(name))
            LocalExecutor(store, device="cpu", load_encoder=no_encoder, events=events).run(
                [by_rows(ran, 4, 2)])

        run("a", watch(True))
        streams.prepare()
        run("b", progress(quiet=False))
        assert len(ran) == 4
        print("done")
    """
    run = str(Path(__file__).parents[1] / "support")
    with FULL.open("w") as stderr:
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code).format(run=run)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )
    assert process.stdout == b"done\n"
