"""The command line as users start it, without the seconds that Python takes to import torch.

A process that has imported what commands need, and done nothing else, is forked for each: the
child has its own folder, environment, streams and exit, as a fresh process has. Tests of what
is imported when, of signals, and of other installations start processes of their own.
"""

import atexit
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
import traceback
from pathlib import Path

IMPORTED = (
    "torch",
    "torch._dynamo",  # which the first optimizer imports
    "numpy",
    "pydantic",
    "typer",
    "rich.table",
    "rich.live",
    "safetensors.torch",
    "PIL.Image",
    "soundfile",
    "lark",
    "reactions.session",
    "reactions.run.local",
    "reactions.labs.lab_file",
    "reactions.encoders.registry",
    "reactions.labs.mini.describer",
    "molspace_cli.app",
)


def molspace(*arguments, cwd=None, env=None, stdin="", timeout_s=120, is_text=True):
    """Run a command; return what ``subprocess.run`` returns.

    Args:
        arguments: of ``molspace``; text, bytes or paths.
        cwd: folder to be in.
        env: all of the environment; by default this process's own. What its PYTHONPATH has
            besides is where packages are installed for this command.
        stdin: text, or bytes.
        timeout_s: after which the test fails.
        is_text: decode what it writes, as UTF-8.
    """
    env = dict(os.environ if env is None else env)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        streams[0].write_bytes(data)
        order = {
            "arguments": [os.fsdecode(argument) for argument in arguments],
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": env,
            "streams": [str(path) for path in streams],
        }
        code = _template().run(order, timeout_s)
        out, err = (path.read_bytes() for path in streams[1:])
    if is_text:
        out, err = out.decode(), err.decode()
    return subprocess.CompletedProcess(["molspace", *arguments], code, out, err)


class Template:
    """The process that is forked, and the pipe by which it is asked to."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        atexit.register(self.stop)

    def run(self, order, timeout_s):
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout_s + 60)[0]:
            self.stop()
            raise subprocess.TimeoutExpired(order["arguments"], timeout_s)
        line = self._process.stdout.readline()
        assert line, "the process that commands are forked from has ended"
        return int(line)

    def stop(self):
        _template.cache_clear()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@functools.cache
def _template():
    return Template()


def _serve():
    """Fork a child for each line, and answer with its exit code."""
    os.fsync = lambda fd: None  # as in conftest.py
    for name in IMPORTED:
        __import__(name)
    for line in sys.stdin.buffer:
        if (child := os.fork()) == 0:
            _be_the_command(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _be_the_command(order):
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
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", 0), encoding=encoding, errors="backslashreplace", write_through=True
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = ["molspace", *order["arguments"]]
    own = filter(None, order["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = ["", *(folder for folder in own if folder not in sys.path)]
    code = 1
    try:
        runpy.run_module("molspace_cli", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
