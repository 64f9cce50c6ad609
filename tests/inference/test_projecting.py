"""Embeddings that a product's spaces gave elsewhere become those that ``embed`` gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundles import record_of, tensors_of
from fakes import CG, CM, IB, VL, Encoder, cr, dr, headline
from hypothesis import given
from hypothesis import strategies as st
from indexed import items_of, load_fake, target_at

import reactions
from reactions import session
from reactions.core.errors import DataError, DimensionMismatch, MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.types import Item, leaves
from reactions.inference.embedder import Embedder
from reactions.inference.projecting import given_folders, project_rows
from reactions.products.bundles.bundle import write_bundle
from reactions.products.tree import Adjustment

PRODUCTS = {
    "the headline": headline(),
    "rescaled means": replace(cr(dr(IB, VL), CM, CG), mean="unit"),
    "a product that is displaced": dr(cr(IB, CM), VL),
    "a product as an expert": cr(IB, cr(CM, CG)),
}
N = 9


def rows_of(space, modality, n=N):
    """Return what the fake encoders give of ``items_of``."""
    return {
        leaf.label: Encoder(leaf.spec).embed(modality, items_of(modality, n))
        for leaf in leaves(space)
        if modality in leaf.modalities
    }


@pytest.fixture(params=PRODUCTS)
def target(request, tmp_path):
    return target_at(tmp_path / "bundle", PRODUCTS[request.param])


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_rows_of_the_encoders_give_what_the_encoders_give(target, modality):
    embedder = Embedder(target, load_encoder=load_fake, device="cpu")
    expected = embedder.embed(modality, items_of(modality, N))
    rows = rows_of(target.space, modality)
    projected = project_rows(target, modality, rows, target.parts("cpu"))
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, expected, atol=1e-6)


@given(sigma=st.floats(0, 1), lam=st.floats(0, 1), only_some=st.booleans())
def test_at_any_factors(tmp_path_factory, sigma, lam, only_some):
    target = target_at(tmp_path_factory.mktemp("b") / "bundle")
    adjustment = Adjustment(
        sigma={"": sigma},
        lambda_={"": lam},
        experts=frozenset({"CLAP_m", "InternVL"}) if only_some else None,
    )
    embedder = Embedder(target, load_encoder=load_fake, device="cpu", adjustment=adjustment)
    rows = rows_of(target.space, "text")
    projected = project_rows(target, "text", rows, target.parts("cpu"), adjustment)
    np.testing.assert_allclose(projected, embedder.embed("text", items_of("text", N)), atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows.astype(np.float64),
        lambda rows: torch.from_numpy(rows),
        lambda rows: torch.from_numpy(rows).requires_grad_(),
        lambda rows: rows.tolist(),
        lambda rows: 3 * rows,
    ],
    ids=["float64", "torch", "torch with a gradient", "lists", "another length"],
)
def test_arrays_of_any_kind(tmp_path, form):
    target = target_at(tmp_path / "bundle")
    rows = rows_of(target.space, "audio")
    expected = project_rows(target, "audio", rows, target.parts("cpu"))
    arrays = {label: form(array) for label, array in rows.items()}
    projected = project_rows(target, "audio", arrays, target.parts("cpu"))
    np.testing.assert_allclose(projected, expected, atol=1e-6)


def test_half_precision_is_as_good_as_it_is(tmp_path):
    target = target_at(tmp_path / "bundle")
    rows = rows_of(target.space, "audio")
    expected = project_rows(target, "audio", rows, target.parts("cpu"))
    for form in (lambda r: r.astype(np.float16), lambda r: torch.from_numpy(r).bfloat16()):
        arrays = {label: form(array) for label, array in rows.items()}
        projected = project_rows(target, "audio", arrays, target.parts("cpu"))
        np.testing.assert_allclose(projected, expected, atol=0.1)


def test_a_memory_map_is_read_in_pieces(tmp_path, monkeypatch):
    target = target_at(tmp_path / "bundle")
    rows = rows_of(target.space, "text", n=40)
    expected = project_rows(target, "text", rows, target.parts("cpu"))
    monkeypatch.setattr("reactions.products.fuse.CHUNK_ROWS", 7)
    monkeypatch.setattr("reactions.inference.projecting._CHECKED_ROWS", 7)
    maps = {}
    for label, array in rows.items():
        np.save(tmp_path / f"{label}.npy", array)
        maps[label] = np.load(tmp_path / f"{label}.npy", mmap_mode="r")
    projected = project_rows(target, "text", maps, target.parts("cpu"))
    np.testing.assert_allclose(projected, expected, atol=1e-6)


def changed(rows, label, value):
    return {**rows, label: value}


def zeroed(rows, row):
    spoilt = rows.copy()
    spoilt[row] = 0
    return spoilt


def spoiled(rows, row):
    spoilt = rows.copy()
    spoilt[row, 0] = np.nan
    return spoilt


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda r: {k: v for k, v in r.items() if k != "CLAP_m"}, UsageError, "of CLAP_m, too"),
        (lambda r: {**r, "CLAPm": r["CLAP_m"]}, UsageError, "has no space 'CLAPm'"),
        (lambda r: changed(r, "CLAP_m", r["CLAP_g"]), DimensionMismatch, "have 5 numbers"),
        (lambda r: changed(r, "CLAP_m", r["CLAP_m"][:-1]), DimensionMismatch, "8 of CLAP_m"),
        (
            lambda r: changed(r, "CLAP_m", zeroed(r["CLAP_m"], 4)),
            DataError,
            "row 4 of CLAP_m is ze",
        ),
        (
            lambda r: changed(r, "CLAP_m", spoiled(r["CLAP_m"], 2)),
            DataError,
            "row 2 of CLAP_m is n",
        ),
        (lambda r: changed(r, "CLAP_m", r["CLAP_m"][0]), UsageError, "of shape (4,)"),
        (lambda r: changed(r, "CLAP_m", r["CLAP_m"].astype(int)), UsageError, "int64"),
        (lambda r: changed(r, "CLAP_m", ["a", "b"]), UsageError, "of shape (2,)"),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, change, kind, message):
    target = target_at(tmp_path / "bundle")
    rows = change(rows_of(target.space, "text"))
    with pytest.raises(kind) as refused:
        project_rows(target, "text", rows, target.parts("cpu"))
    assert message in str(refused.value)


def test_only_what_has_a_share_is_needed(tmp_path):
    target = target_at(tmp_path / "bundle")
    rows = rows_of(target.space, "text")
    alone = Adjustment(experts=frozenset({"InternVL"}), lambda_={"": 1.0})
    projected = project_rows(
        target, "text", {"InternVL": rows["InternVL"]}, target.parts("cpu"), alone
    )
    np.testing.assert_allclose(projected, rows["InternVL"], atol=1e-6)
    with pytest.raises(UsageError, match="does not embed smell"):
        project_rows(target, "smell", rows, target.parts("cpu"))


def test_from_python(tmp_path, monkeypatch):
    loads = []
    monkeypatch.setattr(session, "load_encoder", lambda *a: loads.append(a) or load_fake(*a))
    space = headline()
    bundle_path = write_bundle(tmp_path / "b", record_of(space), tensors_of(space))
    fused = reactions.load(bundle_path, lab="mini", device="cpu")
    rows = fused.project(text=rows_of(space, "text"), audio=rows_of(space, "audio"), sigma=0.3)
    assert not loads  # no encoder is needed
    items = {m: [Item(i.id, m, i.value) for i in items_of(m, N)] for m in ("text", "audio")}
    expected = fused.embed(**items, sigma=0.3)
    assert rows.keys() == expected.keys()
    for modality in rows:
        np.testing.assert_allclose(rows[modality], expected[modality], atol=1e-6)


# --- folders --------------------------------------------------------------------------------


def write_folders(root, space, modality="text", n=N, ids=True, skip=()):
    rows = rows_of(space, modality, n)
    for label, array in rows.items():
        if label in skip:
            continue
        (root / label).mkdir(parents=True, exist_ok=True)
        np.save(root / label / f"{modality}.npy", array)
        if ids:
            lines = "\n".join(item.id for item in items_of(modality, n))
            (root / label / f"{modality}.ids.txt").write_text(lines + "\n")


@pytest.fixture
def folders(tmp_path):
    target = target_at(tmp_path / "bundle")
    write_folders(tmp_path / "new", target.space)
    return target, tmp_path / "new", DigestCache(tmp_path / "cache")


def embedded(target, folders_given):
    embedder = Embedder(target, load_encoder=real_lookup, device="cpu", given=folders_given.specs)
    items = list(folders_given.items())
    return items, embedder.embed("text", items)


def real_lookup(spec, device):
    from reactions.encoders.registry import load

    return load(spec, device)


def test_folders_stand_in_for_encoders(folders):
    target, root, digests = folders
    folders_given = given_folders([str(root)], target, digests=digests)
    items, rows = embedded(target, folders_given)
    assert [item.id for item in items] == [item.id for item in items_of("text", N)]
    assert folders_given.modalities == ("text",)
    assert len(folders_given) == N
    expected = Embedder(target, load_encoder=load_fake, device="cpu").embed(
        "text", items_of("text", N)
    )
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    named_folders = [
        f"{label}={root / label}" for label in ("CLAP_m", "CLAP_g", "ImageBind", "InternVL")
    ]
    rows_again = embedded(target, given_folders(named_folders, target, digests=digests))
    np.testing.assert_array_equal(rows_again[1], rows)


def test_rows_are_matched_by_ids_whatever_their_order(folders):
    target, root, digests = folders
    array = np.load(root / "CLAP_m" / "text.npy")
    np.save(root / "CLAP_m" / "text.npy", array[::-1])
    ids = (root / "CLAP_m" / "text.ids.txt").read_text().split()
    (root / "CLAP_m" / "text.ids.txt").write_text("\n".join(reversed(ids)))
    folders_given = given_folders([str(root)], target, digests=digests)
    _, rows = embedded(target, folders_given)
    expected = Embedder(target, load_encoder=load_fake, device="cpu").embed(
        "text", items_of("text", N)
    )
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_rows_without_ids_are_paired_by_number_and_that_is_said(tmp_path):
    target = target_at(tmp_path / "bundle")
    write_folders(tmp_path / "new", target.space, ids=False)
    folders_given = given_folders(
        [str(tmp_path / "new")], target, digests=DigestCache(tmp_path / "c")
    )
    assert any("paired by their numbers" in notice for notice in folders_given.notices)
    assert not next(iter(folders_given.items())).own_id


def test_a_modality_without_all_its_rows_is_left_out_and_named(folders, tmp_path):
    target, root, digests = folders
    write_folders(root, target.space, "audio", skip=("CLAP_g",))
    folders_given = given_folders([str(root)], target, digests=digests)
    assert folders_given.modalities == ("text",)
    assert any(
        "audio is left out: there are no audio rows of CLAP_g" in n for n in folders_given.notices
    )


def test_other_items_are_refused(folders):
    target, root, digests = folders
    (root / "CLAP_m" / "text.ids.txt").write_text("\n".join(f"x{i}" for i in range(N)))
    with pytest.raises(DataError, match="mismatched ids"):
        given_folders([str(root)], target, digests=digests)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["CLAP_m={root}/CLAP_m"], UsageError, "no modality can be embedded"),
        (["CLAPm={root}/CLAP_m"], UsageError, "no space 'CLAPm'"),
        (["{root}/CLAP_m"], UsageError, "has no folder for a space"),
        (["{root}", "CLAP_m={root}/CLAP_m"], UsageError, "given twice for CLAP_m"),
        (["CLAP_m={root}/CLAP_g"], DimensionMismatch, "have 5 numbers, and CLAP_m 4"),
        (["CLAP_m={root}/nothing"], MissingError, "no folder of embeddings"),
    ],
)
def test_mistaken_folders(folders, values, kind, message):
    target, root, digests = folders
    with pytest.raises(kind) as refused:
        given_folders([v.format(root=root) for v in values], target, digests=digests)
    assert message in str(refused.value)


def test_embeddings_that_another_space_made_are_refused(tmp_path):
    from reactions.inference.writers import describe, open_writer
    from reactions.products.target import Target

    target = target_at(tmp_path / "bundle")
    root = tmp_path / "new"
    for leaf in leaves(target.space):
        if "text" not in leaf.modalities:
            continue
        (root / leaf.label).mkdir(parents=True)
        space_name = leaf.label if leaf.label != "CLAP_m" else "CLAP_g"
        about = describe(Target(space_name, leaf, ""))
        for ending in ("safetensors", "npy", "parquet"):
            folder = tmp_path / ending / leaf.label
            folder.mkdir(parents=True)
            with open_writer(folder / f"e.{ending}", ending, about) as writer:
                rows = rows_of(target.space, "text")[leaf.label]
                writer.write(items_of("text", N), rows)
    for ending in ("safetensors", "npy", "parquet"):
        with pytest.raises(UsageError, match="embedded by CLAP_g, not by CLAP_m"):
            given_folders([str(tmp_path / ending)], target, digests=DigestCache(tmp_path / "c"))
