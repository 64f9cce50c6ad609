"""Machines whose clocks are off: what is old is old by the clock that dates the files."""

import os

import pytest
from store_toys import artifact, step

from reactions.store import Store, clocks, disk, locks

DAY_S = 86400.0


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture(params=[-3 * DAY_S, 30 * DAY_S])
def off_s(request, monkeypatch):
    """Put this machine's clock wrong: files get the file server's time, which is right."""
    right = clocks.time.time
    monkeypatch.setattr(clocks, "_ahead", {})
    monkeypatch.setattr(clocks.time, "time", lambda: right() + request.param)
    return request.param


def test_a_clock_that_is_right_is_not_corrected(tmp_path, monkeypatch):
    monkeypatch.setattr(clocks, "_ahead", {})
    assert clocks.ahead_s(tmp_path) == 0.0
    assert list(tmp_path.iterdir()) == []


def test_ages_are_those_of_the_file_server(tmp_path, off_s):
    file = tmp_path / "file"
    file.touch()
    assert clocks.ahead_s(tmp_path) == pytest.approx(-off_s, abs=300)
    assert clocks.age_s(file) == pytest.approx(0, abs=300)
    os.utime(file, (file.stat().st_mtime - 7000,) * 2)
    assert clocks.age_s(file) == pytest.approx(7000, abs=300)


def test_where_nothing_can_be_written_clocks_are_taken_to_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(clocks, "_ahead", {})
    assert clocks.ahead_s(tmp_path / "missing") == 0.0


def test_what_is_being_made_is_no_debris(store, off_s, monkeypatch):
    monkeypatch.setattr(locks, "_fcntl", None)  # nothing but its age says that it is in use
    store.prepare()
    (store.root / "tmp" / "new.0123456789ab").mkdir(parents=True)
    new = store.partial(step(n_rows=4, shard_rows=2))
    store.add_shard(new, 0, 2, artifact(2))
    assert store.gc().debris == ()
    assert new.finished == [(0, 2)]
    assert not disk.is_debris(store.root / "tmp" / "new.0123456789ab")


def test_times_of_use_are_listed_by_this_clock(store, off_s):
    store.put(step(), artifact())
    (entry,) = store.ls()
    now_s = clocks.time.time()
    assert entry.last_used.timestamp() == pytest.approx(now_s, abs=300)
