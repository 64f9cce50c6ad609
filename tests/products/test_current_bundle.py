"""The current bundle is that of the nearest folder and of the lab, never somebody else's."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from bundles import record_of, tensors_of
from fakes import CG, IB, cr

from reactions.core.errors import MissingError, StoreError
from reactions.core.paths import data_root
from reactions.dsl import check, parse
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.bundles.current import POINTERS, current_bundle, set_current
from reactions.run.events import StoreWarning
from reactions.session import Session
from reactions.store import Store


def bundle(place: Path, lab: str = "mini") -> Path:
    space = cr(IB, CG)
    record = record_of(space)
    record["lab"] = {**record["lab"], "name": lab}
    return write_bundle(place, record, tensors_of(space))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder to work in, and one below it."""
    (tmp_path / "project" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def mini():
    return load_lab("mini")


@pytest.fixture
def own_lab(tmp_path):
    (tmp_path / "own.toml").write_text('[lab]\nextends = "mini"\n')
    return load_lab(str(tmp_path / "own.toml"))


def test_there_is_none(project, mini):
    with pytest.raises(MissingError, match="there is no current bundle here") as caught:
        current_bundle(mini)
    assert "molspace react" in caught.value.fix
    assert "--space" in caught.value.fix


def test_a_relative_directory_and_any_name(project, mini, monkeypatch):
    directory = bundle(project / "b\udce9")
    set_current(Path("b\udce9"), mini)
    monkeypatch.chdir(project / "below")
    assert current_bundle(mini).directory == directory


def test_the_nearest_folder_above_wins(project, mini, tmp_path, monkeypatch):
    outer, inner = bundle(tmp_path / "outer"), bundle(tmp_path / "inner")
    set_current(outer, mini)
    monkeypatch.chdir(project / "below")
    current = current_bundle(mini)
    assert (current.directory, current.is_own) == (outer, False)
    assert current.reason == f"the last one made in {project}, lab: mini"
    set_current(inner, mini)
    current = current_bundle(mini)
    assert (current.directory, current.is_own) == (inner, True)
    monkeypatch.chdir(project)
    assert current_bundle(mini).directory == outer
    set_current(inner, mini)
    assert current_bundle(mini).directory == inner


def test_another_folder_changes_nothing_here(project, mini, tmp_path, monkeypatch):
    ours, theirs = bundle(tmp_path / "ours"), bundle(tmp_path / "theirs")
    set_current(ours, mini)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(MissingError, match="no current bundle here") as caught:
        current_bundle(mini)
    # What there is elsewhere is named, not used.
    assert str(ours) in caught.value.fix
    set_current(theirs, mini)
    monkeypatch.chdir(project)
    assert current_bundle(mini).directory == ours


def test_another_lab_changes_nothing_here(project, mini, own_lab, tmp_path):
    ours, theirs = bundle(tmp_path / "ours"), bundle(tmp_path / "theirs", "own")
    set_current(theirs, own_lab)
    with pytest.raises(MissingError, match="no current bundle of lab 'mini' here") as caught:
        current_bundle(mini)
    assert f"--lab {own_lab.path}   or   --space {theirs}" in caught.value.fix
    set_current(ours, mini)
    set_current(theirs, own_lab)
    assert current_bundle(mini).directory == ours
    assert current_bundle(own_lab).directory == theirs
    assert current_bundle(None).directory == theirs  # the newest of any lab


def test_one_of_no_lab_is_every_labs_until_the_next(project, mini, own_lab, tmp_path):
    pulled, made_here = bundle(tmp_path / "pulled"), bundle(tmp_path / "made")
    set_current(pulled)
    assert current_bundle(mini).directory == current_bundle(own_lab).directory == pulled
    set_current(made_here, mini)
    assert current_bundle(mini).directory == made_here
    assert current_bundle(own_lab).directory == pulled


def test_one_that_is_gone_is_not_replaced_by_another(project, mini, tmp_path, monkeypatch):
    set_current(bundle(tmp_path / "outer"), mini)
    monkeypatch.chdir(project / "below")
    inner = bundle(tmp_path / "inner")
    set_current(inner, mini)
    shutil.rmtree(inner)
    with pytest.raises(MissingError, match="the current bundle is gone") as caught:
        current_bundle(mini)
    assert str(inner) in caught.value.what


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"folder": 1}', "\0" * 70_000])
def test_a_damaged_pointer_points_nowhere(project, mini, tmp_path, text):
    set_current(bundle(tmp_path / "b"), mini)
    [pointer] = (data_root() / POINTERS).iterdir()
    pointer.write_text(text)
    with pytest.raises(MissingError, match="no current bundle"):
        current_bundle(mini)


def test_a_relative_pointer_points_nowhere(project, mini, tmp_path, monkeypatch):
    directory = bundle(tmp_path / "b")
    set_current(directory, mini)
    [pointer] = (data_root() / POINTERS).iterdir()
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "bundle": ""}))
    monkeypatch.chdir(directory)  # where "" would lead
    with pytest.raises(MissingError):
        current_bundle(mini)


# --- what an earlier version kept for the whole account ---


@pytest.fixture
def legacy(tmp_path):
    def write(directory: object) -> None:
        data_root().mkdir(parents=True, exist_ok=True)
        (data_root() / "current").write_bytes(os.fsencode(str(directory)) + b"\n")

    return write


def test_an_earlier_versions_pointer_serves_its_own_lab(project, mini, own_lab, tmp_path, legacy):
    old, new = bundle(tmp_path / "old"), bundle(tmp_path / "new")
    legacy(old)
    current = current_bundle(mini)
    assert (current.directory, current.is_own) == (old, False)
    assert "by an earlier version" in current.reason
    with pytest.raises(MissingError, match="no current bundle of lab 'own' here") as caught:
        current_bundle(own_lab)
    assert "but it is of lab 'mini'" in caught.value.why
    assert f"--space {old}" in caught.value.fix
    set_current(new, mini)
    assert current_bundle(mini).directory == new
    assert (data_root() / "current").read_text() == f"{old}\n"


@pytest.mark.parametrize("directory", ["", "relative", "/gone"])
def test_an_earlier_versions_pointer_that_dangles(project, mini, legacy, directory):
    legacy(directory)
    with pytest.raises(MissingError, match="gone"):
        current_bundle(mini)


# --- places that cannot be written, folders that are gone ---


def test_a_pointer_that_cannot_be_written(project, mini, tmp_path, monkeypatch):
    directory = bundle(tmp_path / "b")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"cannot write .*current"):
        set_current(directory, mini)
    with pytest.raises(MissingError, match="no current bundle"):
        current_bundle(mini)


def test_nothing_stays_behind_where_the_disk_is_full(project, mini, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    directory = bundle(tmp_path / "b")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match=r"(?i)no space left"):
        set_current(directory, mini)
    assert files(data_root()) == []


def test_a_bundle_is_returned_although_it_cannot_be_remembered(project, tmp_path, monkeypatch):
    def read_only(*args):
        raise StoreError("cannot write it", why="read-only file system")

    events = []
    session = Session(load_lab("mini"), Store(), "cpu", events.append)
    bundle_path = bundle(tmp_path / "made")
    monkeypatch.setattr("reactions.reacting.set_current", read_only)
    monkeypatch.setattr(
        "reactions.reacting.existing_bundle", lambda directory: load_bundle(bundle_path)
    )
    checked = check(
        parse("ImageBind + Cr(CLAP_m)"), session.lab.catalogue, factors=session.lab.factors
    )
    assert session.react(checked).path == bundle_path
    assert StoreWarning("cannot write it: read-only file system") in events


def test_a_working_folder_that_is_gone(project, mini, tmp_path):
    directory = bundle(tmp_path / "b")
    set_current(directory, mini)
    deleted = tmp_path / "gone"
    deleted.mkdir()
    os.chdir(deleted)
    deleted.rmdir()
    with pytest.raises(MissingError, match="the working folder is gone"):
        current_bundle(mini)
    with pytest.raises(StoreError, match="the working folder is gone"):
        set_current(directory, mini)


def test_two_at_once(project, mini, tmp_path):
    directories = [bundle(tmp_path / f"b{i}") for i in range(2)]

    def point(directory: Path) -> None:
        for _ in range(50):
            set_current(directory, mini)

    threads = [threading.Thread(target=point, args=(directory,)) for directory in directories]
    for thread in threads:
        thread.start()
    pointed_at = set()
    while any(thread.is_alive() for thread in threads):
        if (data_root() / POINTERS).is_dir() and files(data_root() / POINTERS):
            pointed_at.add(current_bundle(mini).directory)
    for thread in threads:
        thread.join()
    assert pointed_at <= set(directories)
    assert len(files(data_root())) == 1
