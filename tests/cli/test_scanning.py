"""What is said of scans: when they begin and when they end, in a pipe and on a terminal."""

import pytest

from molspace_cli import progress


@pytest.fixture
def clock(monkeypatch):
    time_s = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time_s[0])
    return time_s


def test_a_scan_has_a_beginning_and_an_end(clock, capsys):
    on_progress = progress.scans()
    for at, n_done in ((0.0, 0), (1.0, 4000), (2.0, 8000), (3.2, 12000)):
        clock[0] = at
        on_progress("texts for leaks", n_done, 12000)
    assert capsys.readouterr().err.splitlines() == [
        "scanning texts for leaks: 0 of 12,000",
        "scanning texts for leaks: 12,000 of 12,000, done in 3.2 s",
    ]


def test_a_long_scan_has_a_line_every_ten_seconds(clock, capsys):
    on_progress = progress.scans()
    for second in range(0, 26):
        clock[0] = float(second)
        on_progress("captions", second * 10, 0)
    on_progress("captions", 250, 250)
    assert capsys.readouterr().err.splitlines() == [
        "scanning captions: 0",
        "scanning captions: 100",
        "scanning captions: 200",
        "scanning captions: 250 of 250, done in 25 s",
    ]


def test_scans_side_by_side_and_again(clock, capsys):
    on_progress = progress.scans()
    for scan in ("a", "b", "a"):
        on_progress(scan, 0, 5)
    on_progress("a", 5, 5)
    on_progress("a", 5, 5)
    on_progress("b", 5, 5)
    on_progress("a", 1, 5)
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "scanning a: 0 of 5",
        "scanning b: 0 of 5",
        "scanning a: 5 of 5",
        "scanning b: 5 of 5",
        "scanning a: 1 of 5",
    ]


def test_a_scan_that_was_remembered_and_quiet_say_nothing(clock, capsys):
    progress.scans()("texts for leaks", 12, 12)
    progress.scans(quiet=True)("texts for leaks", 0, 12)
    assert capsys.readouterr().err == ""
