"""``molspace kb build`` killed, interrupted, and watched on a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from in_process import runner
from kb_builds import build, categories_in
from language_server import LanguageServer, good, good_text, stall

pytest.importorskip("openai")
pytest.importorskip("pyarrow")

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return categories_in(tmp_path, monkeypatch)


@pytest.fixture
def run(folder, monkeypatch, capsys):
    return runner(monkeypatch, capsys, "kb")


def program(*arguments):
    return [sys.executable, "-m", "molspace_cli", "kb", *arguments]


def wait_for(condition, condition_name):
    end_s = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end_s, condition_name
        time.sleep(0.01)


@pytest.mark.parametrize(
    "signal_sent", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"]
)
def test_stopped_in_the_middle_it_goes_on_and_gives_the_same_file(folder, run, signal_sent):
    is_stopped = threading.Event()

    def answer_when_it_is(handler, request):
        assert is_stopped.wait(120)
        good(handler, request)

    with LanguageServer([good] * 4, usual=answer_when_it_is) as server:
        arguments = build(server, "--concurrency", "1")
        started = subprocess.Popen(
            program(*arguments), env=ENVIRONMENT, cwd=folder, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: len(server.requests) >= 5, "nothing was asked")
        started.send_signal(signal_sent)
        is_stopped.set()
        _, err = started.communicate(timeout=120)
        n_before = len(server.requests)
        if signal_sent == signal.SIGINT:
            assert started.returncode == 130
            assert "answers are kept in animals.parquet.journal; the same command goes on" in err
        assert not Path("animals.parquet").exists()
        lines = Path("animals.parquet.journal").read_bytes().splitlines()
        n_kept = len(lines) - 1
        assert n_before - 1 <= n_kept <= n_before
        server.usual = good_text
        code, _, err = run(*arguments)
        assert code == 0, err
        assert f"{n_kept} answered before" in err
        assert len(server.requests) - n_before == 9 - n_kept
        finished_bytes = Path("animals.parquet").read_bytes()
        Path("animals.parquet").unlink()
        assert run(*build(server))[0] == 0
        assert Path("animals.parquet").read_bytes() == finished_bytes


@pytest.fixture
def terminal(folder):
    """Return what starts a command on a terminal of 80 columns, and its other end."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def start(arguments):
        streams = {"stdin": child, "stdout": child, "stderr": child}
        environment = {**ENVIRONMENT, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        return subprocess.Popen(program(*arguments), env=environment, cwd=folder, **streams), parent

    yield start
    os.close(child)
    os.close(parent)


def large_build(server):
    """Return a command with 120 requests: so many of this machine's are not sent unasked."""
    return (
        *("build", "--classes", "animals.txt", "--per-class", "40", "--batch", "1"),
        *("--generator", server.spec(seed=1)),
    )


def test_a_person_may_say_no(terminal):
    with LanguageServer() as server:
        process, end = terminal(large_build(server))
        text = read_until(end, "go on?")
        assert "120 requests to http://127.0.0.1" in " ".join(text.split())
        os.write(end, b"n\n")
        read_until(end, "nothing was asked")
        assert process.wait(120) == 130
    assert not server.requests
    assert not Path("animals.parquet.journal").exists()


def test_a_terminal_shows_a_bar_no_wider_than_it_is(terminal):
    with LanguageServer(usual=stall(0.01)) as server:
        process, end = terminal(large_build(server))
        read_until(end, "go on?")
        os.write(end, b"y\n")
        text = read_until(end, "animals.parquet\r\n")
        assert process.wait(120) == 0, text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "\u2501" in plain
    assert "120 rows (120 LLM) of 3 categories" in plain
    assert max(map(len, re.split(r"[\r\n]", plain))) <= 80


def read_until(handle, words):
    text = ""
    end_s = time.monotonic() + 120
    while words not in text:
        assert time.monotonic() < end_s, text
        if select.select([handle], [], [], 0.1)[0]:
            try:
                text += os.read(handle, 1 << 16).decode()
            except OSError:
                break
    return text
