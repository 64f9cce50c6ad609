"""A bundle that is replaced is there before, after, and whenever the process is killed between."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from bundles import record_of, tensors_of
from fakes import CG, IB, cr, headline

from reactions.core.errors import StoreError
from reactions.products.bundles import folder as bundle_folder
from reactions.products.bundles.bundle import load_bundle, write_bundle

TESTS = Path(__file__).parents[1] / "support"
OTHER = cr(IB, CG)


@pytest.fixture
def bundle_path(tmp_path):
    space = headline()
    return write_bundle(tmp_path / "bundles" / "b [1]*?", record_of(space), tensors_of(space))


def kill_everywhere(bundle_path, exchange):
    """Replace a bundle in processes that are killed before their first disk operation, second, ...

    Each is forked from one that has imported what they need, and checked by it.

    Returns:
        How many were killed, until one came to the end.
    """
    code = f"""
        import itertools, os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(TESTS)!r})
        from bundles import record_of, tensors_of
        from fakes import CG, IB, cr, headline
        from reactions.products.bundles import folder as bundle_folder
        from reactions.products.bundles.bundle import load_bundle, write_bundle

        written, space = Path({str(bundle_path)!r}), cr(IB, CG)
        record, tensors = record_of(space), tensors_of(space)

        def replace(at):
            left = [at]

            def counted(call):
                def wrapper(*args, **kwargs):
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                    return call(*args, **kwargs)
                return wrapper

            if not {exchange}:
                bundle_folder._exchange = lambda one, other: False
            else:
                bundle_folder._exchange = counted(bundle_folder._exchange)
            for name in ("rename", "mkdir", "rmdir", "unlink", "open", "fsync", "chmod"):
                setattr(os, name, counted(getattr(os, name)))
            Path.rename = counted(Path.rename)
            Path.open = counted(Path.open)
            write_bundle(written, record, tensors)

        for at in itertools.count():
            if (child := os.fork()) == 0:
                code = 1
                try:
                    replace(at)
                    code = 0
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, -signal.SIGKILL), code
            assert load_bundle(written).space in (headline(), space)
            if code == 0:
                break
        print(at)
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads do not survive a fork
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return int(process.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
def test_killed_at_any_disk_operation_one_of_the_two_is_there(bundle_path, exchange):
    """In processes of their own; the quick test below does the same without them."""
    assert kill_everywhere(bundle_path, exchange) > 10
    assert load_bundle(bundle_path).space == OTHER


class Killed(BaseException):
    """Stands for a SIGKILL: nothing runs after it."""


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize("at", range(8))
def test_stopped_at_any_move_one_of_the_two_is_there(bundle_path, monkeypatch, exchange, at):
    calls, dead = [], []

    def counted(call):
        def wrapper(*args, **kwargs):
            calls.append(call)
            if dead or len(calls) > at:
                dead.append(True)
                raise Killed
            return call(*args, **kwargs)

        return wrapper

    with monkeypatch.context() as patch:
        if exchange:
            patch.setattr(bundle_folder, "_exchange", counted(bundle_folder._exchange))
        else:
            patch.setattr(bundle_folder, "_exchange", lambda first, other: False)
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(bundle_folder.shutil, "rmtree", counted(bundle_folder.shutil.rmtree))
        patch.setattr(bundle_folder.tempfile, "mkdtemp", counted(bundle_folder.tempfile.mkdtemp))
        try:
            write_bundle(bundle_path, record_of(OTHER), tensors_of(OTHER))
        except Killed:
            pass
        else:
            assert at >= 4
    assert load_bundle(bundle_path).space in (headline(), OTHER)
    write_bundle(bundle_path, record_of(OTHER), tensors_of(OTHER))
    assert load_bundle(bundle_path).space == OTHER


def moved_aside(bundle_path, number=1):
    aside = bundle_path.parent / f".molspace-old.{number:08}"
    aside.mkdir()
    bundle_path.rename(aside / bundle_path.name)
    return aside


def test_a_reader_brings_back_what_was_moved_aside(bundle_path):
    aside = moved_aside(bundle_path)
    assert load_bundle(bundle_path).space == headline()
    assert not aside.exists()


def test_what_an_earlier_version_moved_aside_comes_back(bundle_path):
    aside = bundle_path.parent / f".{bundle_path.name}.old.abcd_123"
    aside.mkdir()
    bundle_path.rename(aside / "bundle")
    assert load_bundle(bundle_path).space == headline()
    assert not aside.exists()


def test_a_writer_brings_it_back_before_it_fails(bundle_path, monkeypatch):
    moved_aside(bundle_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_bundle(bundle_path, record_of(OTHER), tensors_of(OTHER))
    assert load_bundle(bundle_path).space == headline()


def test_what_was_replaced_does_not_come_back(bundle_path):
    aside = moved_aside(bundle_path)
    write_bundle(bundle_path.with_name("new"), record_of(OTHER), tensors_of(OTHER)).rename(
        bundle_path
    )
    assert load_bundle(bundle_path).space == OTHER
    assert aside.exists()


def test_the_latest_of_several_comes_back(bundle_path):
    aside = moved_aside(bundle_path)
    os.utime(aside, (0, 0))
    write_bundle(bundle_path.with_name("new"), record_of(OTHER), tensors_of(OTHER)).rename(
        bundle_path
    )
    moved_aside(bundle_path, 2)
    assert load_bundle(bundle_path).space == OTHER


def test_two_directories_are_exchanged_where_the_system_can(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    exchanged = bundle_folder._exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "a").exists() == exchanged
    assert not bundle_folder._exchange(tmp_path / "a", tmp_path / "gone")
    if sys.platform == "linux":
        assert exchanged
