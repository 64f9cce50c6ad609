"""Trained parts by node: how fuse asks for them, and bundles with a file for each."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from bundles import heads_of, record_of, rewrite, tensors_of
from fakes import CG, CM, IB, VL, changed, cr, dr, headline, unit_rows
from safetensors.numpy import load_file, save

from reactions.core.errors import BundleError, UsageError
from reactions.core.hashing import bytes_digest
from reactions.core.types import leaves
from reactions.products import part_kinds
from reactions.products.bundles.bundle import (
    PROJECTORS,
    RECORD,
    check_replaceable,
    load_bundle,
    write_bundle,
)
from reactions.products.bundles.trained import TrainedFile
from reactions.products.fuse import embed_product, fuse
from reactions.products.parts import Centring, Stored
from reactions.products.tree import nodes

PARTS = ("part-0.safetensors", "part-1.safetensors")


class Turn:
    """Multiplies a node's embeddings by an orthogonal matrix."""

    def __init__(self, matrix):
        self.matrix = matrix

    def apply(self, modality, rows):
        return rows @ self.matrix.T


class TurnKind:
    def shapes(self, node, about):
        if about.get("of") != "rows":
            raise ValueError(f"a turn of {about.get('of')!r}")
        return {"matrix": (node.dim, node.dim)}

    def load(self, node, about, tensors):
        return Turn(tensors["matrix"])


@pytest.fixture(autouse=True)
def turns(monkeypatch):
    monkeypatch.setitem(part_kinds.KINDS, "turn", TurnKind())


def turn(dim, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0].astype(np.float32)


def rows_of(space, n=5):
    return {leaf: torch.from_numpy(unit_rows(n, leaf.dim, leaf.dim)) for leaf in leaves(space)}


SPACE = headline()
INNER = SPACE.base  # ImageBind + Dr(InternVL)
MATRICES = {"": turn(6, 1), "base.experts.0": turn(6, 2)}


@pytest.fixture
def bundle_folder(tmp_path):
    described = [{"kind": "turn", "node": path, "about": {"of": "rows"}} for path in MATRICES]
    tensors = {f"part.{i}.matrix": matrix for i, matrix in enumerate(MATRICES.values())}
    return write_bundle(
        tmp_path / "b",
        record_of(SPACE, format=2, parts=described),
        {**tensors_of(SPACE), **tensors},
    )


# --- fuse ---


def test_paths_name_every_node():
    by_path = dict(nodes(SPACE))
    assert list(by_path) == ["", "base", "base.base", "base.experts.0", "experts.0", "experts.1"]
    assert by_path["base"] is INNER
    assert by_path["base.experts.0"] == VL


def test_a_nodes_own_part_acts_on_its_embeddings():
    rows, heads = rows_of(INNER), heads_of(INNER)
    first, last = Turn(torch.from_numpy(turn(6, 1))), Turn(torch.from_numpy(turn(6, 2)))
    turned = {**rows, VL: last.apply("text", rows[VL])}
    expected = first.apply("text", fuse(INNER, "text", turned, heads))
    fused = fuse(INNER, "text", rows, {**heads, (INNER, None): first, (VL, None): last})
    np.testing.assert_allclose(fused, expected, atol=1e-6)


def test_embeddings_of_an_inner_product_are_not_made_again():
    rows, heads = rows_of(SPACE), heads_of(SPACE)
    inner = fuse(INNER, "text", rows, heads)
    # Neither its leaves nor its projectors are asked for.
    rest = {leaf: outer_parts for leaf, outer_parts in rows.items() if leaf not in (IB, VL)}
    outer_parts = {place: part for place, part in heads.items() if place[0] == SPACE}
    fused = fuse(SPACE, "text", {**rest, INNER: inner}, outer_parts)
    np.testing.assert_allclose(fused, fuse(SPACE, "text", rows, heads), atol=1e-6)


def test_stored_embeddings_are_fused_in_chunks():
    rows, heads = rows_of(SPACE, 23), heads_of(SPACE)
    stored = {leaf: leaf_rows.numpy() for leaf, leaf_rows in rows.items()}
    reports = []
    fused = embed_product(
        SPACE,
        "text",
        stored,
        heads,
        start=3,
        stop=20,
        chunk_rows=8,
        on_rows=lambda done, total: reports.append((done, total)),
    )
    np.testing.assert_allclose(fused, fuse(SPACE, "text", rows, heads)[3:20], atol=1e-6)
    assert reports == [(8, 17), (16, 17), (17, 17)]


def test_a_centred_leaf_needs_its_mean_unless_it_was_taken_out():
    leaf = changed(CG, centre=True)
    rows = rows_of(leaf)
    mean = torch.full((leaf.dim,), 0.1)
    fused = fuse(leaf, "text", rows, {(leaf, None): Centring("CLAP_g", {"text": mean})})
    expected = rows[leaf] - mean
    np.testing.assert_allclose(fused, expected / expected.norm(dim=1, keepdim=True), atol=1e-6)
    for parts in ({}, {(leaf, None): Centring("CLAP_g", {"audio": mean})}):
        with pytest.raises(UsageError, match="CLAP_g' is centred, and its mean of text"):
            fuse(leaf, "text", rows, parts)
    fused = fuse(leaf, "text", rows, {(leaf, None): Stored()})
    np.testing.assert_allclose(fused, rows[leaf], atol=1e-6)


# --- bundles ---


def test_a_bundle_with_three_files_is_loaded_as_it_was_written(bundle_folder):
    assert sorted(path.name for path in bundle_folder.iterdir()) == [RECORD, *PARTS, PROJECTORS]
    bundle = load_bundle(bundle_folder)
    assert bundle.record["format"] == 2
    assert bundle.files == (*PARTS, PROJECTORS)
    loaded = bundle.parts()
    assert set(loaded) == {*heads_of(SPACE), (SPACE, None), (VL, None)}
    rows = rows_of(SPACE)
    parts = {
        (node, None): Turn(torch.from_numpy(MATRICES[path]))
        for path, node in nodes(SPACE)
        if path in MATRICES
    }
    expected = fuse(SPACE, "text", rows, {**heads_of(SPACE), **parts})
    assert torch.equal(fuse(SPACE, "text", rows, loaded), expected)
    assert not torch.allclose(expected, fuse(SPACE, "text", rows, heads_of(SPACE)))


def test_scores_depend_on_all_files(bundle_folder, tmp_path):
    plain = load_bundle(write_bundle(tmp_path / "p", record_of(SPACE), tensors_of(SPACE)))
    # One file: its digest, as in keys of earlier versions.
    assert TrainedFile.of(plain).digest == plain.record["files"][PROJECTORS]["sha256"]
    trained = TrainedFile.of(load_bundle(bundle_folder))
    assert set(trained.load("cpu")) == set(load_bundle(bundle_folder).parts())
    change_part(bundle_folder, lambda matrix: np.ascontiguousarray(matrix.T))
    assert TrainedFile.of(load_bundle(bundle_folder)).digest != trained.digest
    with pytest.raises(BundleError, match="another bundle by now"):
        trained.load("cpu")


def change_part(directory, change, name=PARTS[0]):
    """Change a part's file, and the record so that its digests fit."""
    tensors = {key: change(value) for key, value in load_file(directory / name).items()}
    replace_file(directory, name, save(tensors))


def replace_file(directory, name, blob):
    (directory / name).write_bytes(blob)
    entry = {"size_bytes": len(blob), "sha256": bytes_digest(blob)}
    rewrite(directory, lambda record: record["files"].update({name: entry}))


def swap(directory):
    first, second = (directory / name for name in PARTS)
    first_bytes, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(first_bytes)


@pytest.mark.parametrize(
    ("damage", "words", "fix"),
    [
        (lambda d: (d / PARTS[1]).unlink(), "part-1.safetensors is missing", "get the bundle"),
        (
            lambda d: os.truncate(d / PARTS[0], 90),
            r"has 90 bytes, not [0-9]+\n  why: truncated",
            "",
        ),
        (swap, r"part-0.safetensors was changed.*\n  why: its SHA-256 does not fit", "get the"),
        (
            lambda d: (d / "part-2.safetensors").write_bytes((d / PARTS[0]).read_bytes()),
            r"part-2.safetensors belongs to another bundle\n  why: bundle.json does not name it",
            "remove it",
        ),
        (
            lambda d: change_part(d, lambda matrix: matrix[:5]),
            r"is not the part that the record describes\n  why: 'matrix' is \[5, 6\], should be "
            r"\[6, 6\]",
            "get the bundle again",
        ),
        (
            lambda d: replace_file(d, PARTS[0], save({"other": np.zeros(3, np.float32)})),
            "'matrix' is absent",
            "get the bundle again",
        ),
        (lambda d: replace_file(d, PARTS[1], b"\x80\x04pickle"), "its header is damaged", ""),
    ],
)
def test_damaged_parts_are_refused(bundle_folder, damage, words, fix):
    damage(bundle_folder)
    with pytest.raises(BundleError, match=f"(?s){words}") as caught:
        load_bundle(bundle_folder)
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["parts"][0].update(kind="pickle"), "trained part of kind 'pickle'"),
        (lambda r: r["parts"][0].update(node="experts.7"), "'experts.7', which the reaction"),
        (lambda r: r["parts"][0].update(node=["base"]), "incoherent"),
        (lambda r: r["parts"][1].update(node=""), "two parts belong to one node"),
        (lambda r: r["parts"][0].update(about="rows"), "is described by 'rows'"),
        (lambda r: r["parts"][0].update(about={"of": "columns"}), "a turn of 'columns'"),
        (lambda r: r["parts"][0].pop("about"), "about"),
        (lambda r: r["parts"].pop(), "it names the files"),
        (lambda r: r.update(parts=[]), "it names the files"),
        (lambda r: r.pop("parts"), "parts"),
        (lambda r: r.update(format=1), "format 1 has no parts"),
        (lambda r: r["files"].update({"../part-1.safetensors": r["files"].pop(PARTS[1])}), "names"),
    ],
)
def test_records_of_parts_that_cannot_be_are_refused(bundle_folder, change, words):
    rewrite(bundle_folder, change)
    with pytest.raises(BundleError, match=words):
        load_bundle(bundle_folder)


def test_a_part_of_a_kind_that_only_a_later_version_knows(bundle_folder, monkeypatch):
    monkeypatch.delitem(part_kinds.KINDS, "turn")
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder)
    assert caught.value.why == "this version of molspace knows ft, lcl"
    assert "upgrade molspace" in caught.value.fix


def test_values_that_no_training_leaves(bundle_folder):
    change_part(bundle_folder, lambda matrix: matrix * np.nan)
    with pytest.raises(BundleError, match="tensor matrix is not finite"):
        load_bundle(bundle_folder).parts()


def test_a_bundle_of_many_files_may_be_replaced(bundle_folder):
    check_replaceable(bundle_folder)
    write_bundle(bundle_folder, record_of(SPACE), tensors_of(SPACE))
    assert sorted(path.name for path in bundle_folder.iterdir()) == [RECORD, PROJECTORS]
    (bundle_folder / "part-x.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="something other than a bundle"):
        check_replaceable(bundle_folder)


def test_a_mean_other_than_equation_10s_needs_format_2(tmp_path):
    space = replace(cr(IB, CM, CG), mean="unit")
    bundle_path = write_bundle(tmp_path / "b", record_of(space), tensors_of(space))
    record = json.loads((bundle_path / RECORD).read_text())
    assert (record["format"], record["parts"], record["tree"]["mean"]) == (2, [], "unit")
    assert load_bundle(bundle_path).space == space != cr(IB, CM, CG)
    assert load_bundle(bundle_path).parts().keys() == {(space, 0), (space, 1)}


def test_format_1_is_written_where_there_are_no_parts(tmp_path):
    bundle_path = write_bundle(tmp_path / "b", record_of(dr(IB, VL)), tensors_of(dr(IB, VL)))
    record = json.loads((bundle_path / RECORD).read_text())
    assert (record["format"], list(record["files"])) == (1, [PROJECTORS])
    assert "parts" not in record
    assert load_bundle(bundle_path).space == dr(IB, VL) != cr(IB, CG)
