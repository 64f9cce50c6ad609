"""What killed processes left beside the store goes; what is in use, or not ours, stays."""

import os
import shutil

import pytest
from bundles import record_of, tensors_of
from fakes import headline

from reactions.products import leftovers
from reactions.products.bundles import folder as bundle_folder
from reactions.products.bundles.bundle import load_bundle, write_bundle

OLD = 7200.0


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data" / "bundles").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    return tmp_path / "data"


def make(path, *, is_folder=False, age_s=OLD):
    if is_folder:
        path.mkdir(parents=True)
        (path / "projectors.safetensors").write_bytes(b"12345")
    else:
        path.write_bytes(b"123")
    modified_s = path.stat().st_mtime - age_s
    os.utime(path, (modified_s, modified_s))
    return path


def sweep(root, *, dry_run=False):
    swept, size_bytes = leftovers.sweep(root, (root.parent / "work",), dry_run=dry_run)
    return set(swept), size_bytes


def test_leftovers_go(root):
    work, hexadecimal = root.parent / "work", "0123456789abcdef" * 2
    files = {
        make(root / ".current.abc"),
        make(root / f".molspace-{hexadecimal}"),
        make(work / f".molspace-{hexadecimal}"),
    }
    folders = {
        make(work / ".molspace-new.abcdefg_", is_folder=True),
        make(root / "bundles" / ".molspace-new.abcdefg1", is_folder=True),
        make(root / "bundles" / ".A-B-0123.abcdefgh", is_folder=True),  # of earlier versions
        make(root / "bundles" / ".share.abcdefgh", is_folder=True),
    }
    assert sweep(root, dry_run=True) == (files | folders, 3 * 3 + 4 * 5)
    assert all(path.exists() for path in files | folders)
    assert sweep(root) == (files | folders, 3 * 3 + 4 * 5)
    assert not any(path.exists() for path in files | folders)
    assert sweep(root) == (set(), 0)


def test_what_is_young_in_use_or_not_ours_stays(root):
    work = root.parent / "work"
    make(root / ".current.abc", age_s=10)
    make(work / ".molspace-new.abcdefgh", is_folder=True, age_s=10)
    make(work / ".molspace-notes")
    make(work / ".A-B.abcdefgh", is_folder=True)  # in a folder of the user's
    make(work / "molspace-new.abcdefgh", is_folder=True)
    make(root / "bundles" / "A-B-0123", is_folder=True)
    (work / ".molspace-new.linked00").symlink_to(root / "bundles" / "A-B-0123")
    assert sweep(root) == (set(), 0)
    with bundle_folder.staging_folder(work / "b") as staging:
        (staging / "projectors.safetensors").write_bytes(b"1")
        os.utime(staging, (0, 0))
        assert sweep(root) == (set(), 0)
    assert not staging.exists()


@pytest.mark.parametrize("form", [".molspace-old.abcdefgh/b", ".b.old.abcdefgh/bundle"])
def test_a_bundle_whose_place_is_empty_is_brought_back(root, form):
    space = headline()
    bundle_path = write_bundle(root / "bundles" / "b", record_of(space), tensors_of(space))
    aside = root / "bundles" / form
    aside.parent.mkdir()
    bundle_path.rename(aside)
    os.utime(aside.parent, (0, 0))
    assert sweep(root, dry_run=True) == (set(), 0)
    assert aside.exists()
    assert sweep(root) == (set(), 0)
    assert load_bundle(bundle_path).space == space
    shutil.copytree(bundle_path, aside)  # and one that was replaced goes
    os.utime(aside.parent, (0, 0))
    assert sweep(root)[0] == {aside.parent}
    assert load_bundle(bundle_path).space == space


def test_a_folder_that_is_not_there_is_passed_over(root):
    shutil.rmtree(root)
    assert sweep(root) == (set(), 0)


def test_what_may_not_be_removed_stays_and_is_not_counted(root, monkeypatch):
    immovable, removable = make(root / ".current.abc"), make(root / ".current.abd")
    unlink = type(immovable).unlink

    def refuse(self, **kwargs):
        if self == immovable:
            raise PermissionError(13, "Permission denied")
        unlink(self, **kwargs)

    monkeypatch.setattr(type(immovable), "unlink", refuse)
    assert sweep(root) == ({removable}, 3)
    assert immovable.exists()
