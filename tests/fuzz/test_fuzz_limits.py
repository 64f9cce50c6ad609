"""The fuzzers' own limits hold, or they would prove nothing."""

import sys
import time

import fuzzing
import pytest
from fuzzing import Hang, fuzz, limits, mutated, usable_or_refused
from hypothesis import given

from reactions.core.errors import DataError


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_memory_is_limited_and_the_limit_goes_away() -> None:
    with pytest.raises(MemoryError):
        usable_or_refused(lambda: bytearray(1 << 30), max_extra_bytes=1 << 28)
    assert len(bytearray(1 << 30)) == 1 << 30


@pytest.mark.skipif(sys.platform == "win32", reason="no alarms")
@pytest.mark.parametrize("what", ["computing", "running"])
def test_a_hang_ends(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "PATIENCE", 1 if what == "running" else 600)
    end_s = time.monotonic() + 60

    def hang() -> None:
        with limits(seconds=0.1):
            while time.monotonic() < end_s:
                if what == "running":
                    time.sleep(60)

    with pytest.raises(Hang, match=what):
        hang()


def test_errors_of_ours_are_refusals_and_others_are_not() -> None:
    def refuse() -> None:
        raise DataError("it cannot be read")

    assert isinstance(usable_or_refused(refuse), DataError)
    with pytest.raises(ZeroDivisionError):
        usable_or_refused(lambda: 1 // 0)


def test_mutants_differ_and_are_the_same_in_every_run() -> None:
    mutants: list[bytes] = []

    @fuzz
    @given(mutated(bytes(range(100))))
    def collect(data: bytes) -> None:
        mutants.append(data)

    collect()
    first = list(mutants)
    mutants.clear()
    collect()
    assert mutants == first
    assert len(set(first)) > len(first) // 2
