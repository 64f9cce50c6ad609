import errno
import os
import shutil
from pathlib import Path

import pytest
from bundles import record_of, tensors_of
from fakes import CG, IB, cr, headline, spec

from reactions.core.errors import BundleError, StoreError
from reactions.core.paths import data_root
from reactions.core.types import Leaf
from reactions.products.bundles import folder as bundle_folder
from reactions.products.bundles.bundle import (
    PROJECTORS,
    RECORD,
    load_bundle,
    write_bundle,
)
from reactions.products.bundles.current import default_directory, product_name

# --- writing over something ---


def test_an_old_bundle_is_replaced(bundle_path):
    space = cr(IB, CG)
    write_bundle(bundle_path, record_of(space), tensors_of(space))
    assert load_bundle(bundle_path).space == space
    assert [p.name for p in bundle_path.parent.iterdir()] == ["b"]


def test_a_damaged_bundle_is_replaced(bundle_path):
    (bundle_path / PROJECTORS).unlink()
    (bundle_path / RECORD).write_text("{")
    space = cr(IB, CG)
    write_bundle(bundle_path, record_of(space), tensors_of(space))
    assert load_bundle(bundle_path).space == space


def test_an_empty_directory_is_used(tmp_path):
    (tmp_path / "empty").mkdir()
    space = cr(IB, CG)
    assert load_bundle(write_bundle(tmp_path / "empty", record_of(space), tensors_of(space)))


@pytest.mark.parametrize("names", [["notes.txt"], [RECORD, "notes.txt"], [PROJECTORS]])
def test_what_is_not_ours_is_left_alone(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("mine")
    space = cr(IB, CG)
    with pytest.raises(BundleError, match="something other than a bundle"):
        write_bundle(tmp_path, record_of(space), tensors_of(space))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("mine")
    space = cr(IB, CG)
    with pytest.raises(BundleError, match="is a file, and a bundle is a folder"):
        write_bundle(tmp_path / "file", record_of(space), tensors_of(space))
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(StoreError, match="cannot write the bundle"):
        write_bundle(tmp_path / "file" / "b", record_of(space), tensors_of(space))


def test_a_full_disk_leaves_the_old_bundle(bundle_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = load_bundle(bundle_path).digest
    monkeypatch.setattr(os, "fsync", full)
    space = cr(IB, CG)
    with pytest.raises(StoreError, match=r"(?s)cannot write.*No space left"):
        write_bundle(bundle_path, record_of(space), tensors_of(space))
    assert load_bundle(bundle_path).digest == before
    assert [p.name for p in bundle_path.parent.iterdir()] == ["b"]


def test_a_failed_swap_brings_the_old_bundle_back(bundle_path, monkeypatch):
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(target)
        if len(calls) == 3:  # the new one moves in after the old one moved out
            raise OSError(errno.EIO, "broken")
        return rename(self, target)

    before = load_bundle(bundle_path).digest
    monkeypatch.setattr(bundle_folder, "_exchange", lambda first, other: False)
    monkeypatch.setattr(Path, "rename", failing)
    space = cr(IB, CG)
    with pytest.raises(StoreError, match="broken"):
        write_bundle(bundle_path, record_of(space), tensors_of(space))
    assert load_bundle(bundle_path).digest == before
    assert [p.name for p in bundle_path.parent.iterdir()] == ["b"]


def test_another_process_may_write_the_same_bundle_at_once(bundle_path, monkeypatch):
    rename, calls = Path.rename, []
    space = cr(IB, CG)

    def interrupted(self, target):
        calls.append(target)
        moved_to = rename(self, target) if len(calls) != 1 else None
        if len(calls) == 2:  # the old one has just moved out: the other process moves in
            shutil.copytree(bundle_path.parent / "other", bundle_path)
        if len(calls) == 1:
            return rename(self, target)
        return moved_to

    write_bundle(bundle_path.parent / "other", record_of(space), tensors_of(space))
    monkeypatch.setattr(bundle_folder, "_exchange", lambda first, other: False)
    monkeypatch.setattr(Path, "rename", interrupted)
    write_bundle(bundle_path, record_of(space), tensors_of(space))
    assert load_bundle(bundle_path).space == space
    assert sorted(p.name for p in bundle_path.parent.iterdir()) == ["b", "other"]


# --- names ---


def test_where_bundles_go(tmp_path, monkeypatch):
    assert data_root() == Path(os.environ["XDG_DATA_HOME"]) / "molspace"
    directory = default_directory("A b/../ü", "0123456789abcdef")
    assert directory == data_root() / "bundles" / "A-b-..-ü-0123456789ab"
    assert default_directory("///", "0" * 64).name == "product-000000000000"
    assert len(default_directory("x" * 500, "0" * 64).name) == 60 + 1 + 12
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".local" / "share" / "molspace"


def test_products_are_named_after_their_leaves():
    assert product_name(headline()) == "ImageBind-InternVL-CLAP_m-CLAP_g"
    assert product_name(cr(IB, Leaf(spec("a/dir/clap", 3, "audio")))) == "ImageBind-clap"
