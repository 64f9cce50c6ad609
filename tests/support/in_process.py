"""A command line run in the process of the test: quicker than a process, and open to patches."""

import io
import sys

import pytest


def runner(monkeypatch, capsys, *before, stdin=None):
    """Return a function that runs ``molspace`` and returns its exit code, stdout and stderr.

    Args:
        monkeypatch: pytest's.
        capsys: pytest's.
        before: what stands before the arguments of every call.
        stdin: bytes, unless a call gives others; by default it is left as it is.
    """
    usual = stdin

    from molspace_cli.__main__ import main

    def run(*arguments, stdin=usual):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(sys, "argv", ["molspace", *before, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        streams = capsys.readouterr()
        return int(ended.value.code or 0), streams.out, streams.err

    return run


def offline_in(folder, monkeypatch):
    """Work in an empty folder, offline, with caches and bundles of its own."""
    for name in ("MOLSPACE_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(folder / name))
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    monkeypatch.chdir(folder)
