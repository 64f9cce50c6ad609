"""Processes that are forked from one that has imported what they need, and has done nothing else.

A child has its own folder, environment, streams and exit, as a fresh process has, without the
seconds that Python takes to import numpy or torch.
"""

import atexit
import contextlib
import functools
import io
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path

# As long as no test has added what it installs, and set what modules read once, when they are
# imported.
PATH = os.pathsep.join(filter(None, sys.path))
_ENVIRONMENT = dict(os.environ)


class Forked:
    """A process that runs. Leaving the context ends it.

    Args:
        names: modules that it has imported; those that are not installed are passed over.
        program: ``{"arguments": [...]}`` of ``molspace``, or ``{"code": "..."}``.
        cwd: folder to be in.
        env: all of the environment; by default this process's own. What its PYTHONPATH has
            besides is where packages are installed for this process.
        stdin: text, or bytes.
        pause_at: it pauses once it has written this to stderr, until a signal is sent: so it
            cannot have ended before, however late this process comes to send it.
    """

    def __init__(self, names, program, *, cwd=None, env=None, stdin="", pause_at=""):
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name) / name for name in ("stdin", "stdout", "stderr")]
        self._streams[0].write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
        for path in self._streams[1:]:
            path.touch()
        order = {
            **program,
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "streams": [str(path) for path in self._streams],
            "pause_at": pause_at,
        }
        self._pause_at = pause_at
        self._template = _template(names)
        self.pid = self._template.ask(order)
        self.returncode = None

    @property
    def errors(self):
        """What it has written to stderr so far."""
        return self._streams[2].read_text()

    @property
    def is_running(self):
        """Whether it has not ended yet."""
        return self.returncode is None and bool(self._template.ask({"is_running": self.pid}))

    def wait(self, timeout_s=120):
        """Wait for its end, after which its exit code is known."""
        if self.returncode is None:
            self.returncode = self._template.ask({"wait": self.pid}, timeout_s + 60)

    def communicate(self, timeout_s=120):
        """Wait for its end; return the bytes that it wrote to stdout and to stderr."""
        self.wait(timeout_s)
        return [path.read_bytes() for path in self._streams[1:]]

    def wait_for(self, is_true, timeout_s=120):
        """Wait until it has come so far; it must not end before."""
        until_s = time.monotonic() + timeout_s
        while not is_true():
            assert self.is_running, self.errors
            assert time.monotonic() < until_s, self.errors
            time.sleep(0.01)

    def wait_for_pause(self):
        """Wait until it has written what it pauses at."""
        self.wait_for(lambda: self._pause_at in self.errors)

    def send_signal(self, number):
        os.kill(self.pid, number)
        os.kill(self.pid, signal.SIGCONT)  # it may have paused

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        if self.is_running:
            self.send_signal(signal.SIGKILL)
        self.wait()
        self._folder.cleanup()


class Template:
    """The process that is forked, and the pipe by which it is asked to."""

    def __init__(self, names):
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_ENVIRONMENT, "PYTHONPATH": PATH},
            start_new_session=True,
        )
        atexit.register(self.stop)

    def ask(self, order, timeout_s=300):
        """Send what ``_serve`` takes; return the number that it answers."""
        with self._lock:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], timeout_s)[0]:
                self.stop()
                raise subprocess.TimeoutExpired(str(order), timeout_s)
            line = self._process.stdout.readline()
        assert line, "the process that others are forked from has ended"
        return int(line)

    def stop(self):
        _template.cache_clear()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@functools.cache
def _template(names):
    return Template(names)


def _serve(names):
    """Fork a child for each line that has arguments; wait for a child, or look, for others.

    Answers with the child's number, its exit code, and whether it runs.
    """
    os.fsync = lambda fd: None  # as in conftest.py
    for name in names:
        with contextlib.suppress(ImportError, RuntimeError):
            import_module(name)
    if "molspace_cli.app" in names:
        import_module("molspace_cli.app").root_command()
    ended = {}
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if (child := order.get("wait")) is not None:
            answer = ended.pop(child, None)
            if answer is None:
                answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        elif (child := order.get("is_running")) is not None:
            pid, status = (child, 0) if child in ended else os.waitpid(child, os.WNOHANG)
            answer = int(pid == 0)
            if pid and child not in ended:
                ended[child] = os.waitstatus_to_exitcode(status)
        elif (answer := os.fork()) == 0:
            _be_the_program(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


class _PausingStream(io.TextIOWrapper):
    """A stream that stops the process once ``pause_at`` was written."""

    pause_at = ""
    _written = ""

    def write(self, text):
        n = super().write(text)
        if self.pause_at:
            self._written += text
            if self.pause_at in self._written:
                self.pause_at = ""
                os.kill(os.getpid(), signal.SIGSTOP)
        return n


def _be_the_program(order):
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    for fd, (path, flag) in enumerate(zip(order["streams"], flags, strict=True)):
        opened = os.open(path, flag)
        os.dup2(opened, fd)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    encoding = order["env"].get("PYTHONIOENCODING", "utf-8")
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb"), encoding=encoding)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb"), encoding=encoding)
    sys.stderr = _PausingStream(
        os.fdopen(2, "wb", 0), encoding=encoding, errors="backslashreplace", write_through=True
    )
    sys.stderr.pause_at = order["pause_at"]
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    import_paths = filter(None, order["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = ["", *(folder for folder in import_paths if folder not in sys.path)]
    code = 1
    try:
        if "code" in order:
            exec(compile(order["code"], "<a test's program>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = ["molspace", *order["arguments"]]
            runpy.run_module("molspace_cli", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # which waits for threads, as the interpreter does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
