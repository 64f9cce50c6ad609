"""Where a product is one encoder and dense layers, these give what ``fuse`` gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundles import record_of, tensors_of
from fakes import CG, CM, IB, VL, Encoder, cr, dr, unit_rows
from indexed import items_of
from untrained import make_heads

from molspace_cli.export import export
from reactions.core.errors import UsageError
from reactions.core.types import Leaf, Tuned, leaves
from reactions.exchange.exporting.folder import export_heads
from reactions.exchange.exporting.single_path import single_path
from reactions.inference.projecting import project_rows
from reactions.ops.closed_form import AffineMap
from reactions.products.aligned import AlignedLayers
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.fuse import fuse
from reactions.products.parts import Centring
from reactions.products.target import Target
from reactions.products.tree import Adjustment, mixtures

ALONE, WHOLE = (
    Adjustment(lambda_={"": 0.0}, sigma={"": 0.0}),
    Adjustment(lambda_={"": 1.0}, sigma={"": 1.0}),
)


def centred(leaf):
    return Leaf(replace(leaf.spec, centre=True))


def affine(space, seed=0):
    """A map for the one mixture of a product."""
    ((fusion, i),) = mixtures(space)
    side, other = fusion.base, fusion.experts[i].space
    side, other = (side, other) if fusion.op == "dr" else (other, side)
    generator = torch.Generator().manual_seed(seed)
    n = len(side.modalities)
    shapes = ((side.dim, other.dim), (n, side.dim), (n, other.dim))
    tensors = [0.5 * torch.randn(shape, generator=generator) for shape in shapes]
    return AffineMap("map", side.modalities, *tensors, torch.ones(n))


def means_of(leaf):
    rows = unit_rows(len(leaf.modalities), leaf.dim, 3)
    means = {m: torch.from_numpy(0.4 * row) for m, row in zip(leaf.modalities, rows, strict=True)}
    return Centring(leaf.label, means)


def check(space, parts, adjustment, modality, leaf):
    path = single_path(space, modality, parts, adjustment)
    assert path.leaf == leaf
    rows = 3 * torch.from_numpy(unit_rows(9, leaf.dim, 7))
    expected = fuse(space, modality, {leaf: rows}, parts, adjustment)
    torch.testing.assert_close(path.apply(rows), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_projectors(modality):
    space = dr(IB, VL)
    check(space, make_heads(space, 1), ALONE, modality, IB)
    check(space, make_heads(space, 1), WHOLE, modality, VL)
    space = cr(IB, VL)
    check(space, make_heads(space, 1), WHOLE, modality, VL)
    check(space, {}, ALONE, modality, IB)


def test_stages_follow_each_other():
    space = cr(CM, dr(IB, VL))
    both = Adjustment(lambda_={"": 0.0}, sigma={"": 1.0})
    check(space, make_heads(space, 1), both, "text", IB)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_closed_forms_and_means(modality):
    space = dr(IB, VL)
    ((fusion, i),) = mixtures(space)
    check(space, {(fusion, i): affine(space)}, ALONE, modality, IB)
    centred_base = centred(IB)
    space = dr(centred_base, VL)
    ((fusion, i),) = mixtures(space)
    parts = {(fusion, i): affine(space), (centred_base, None): means_of(centred_base)}
    check(space, parts, ALONE, modality, centred_base)
    check(
        space,
        {**make_heads(space, 1), (centred_base, None): means_of(centred_base)},
        ALONE,
        modality,
        centred_base,
    )


def test_what_only_one_space_has_needs_no_factors():
    space = cr(VL, CM)
    check(space, make_heads(space, 1), Adjustment(), "audio", CM)
    check(space, make_heads(space, 1), Adjustment(), "image", VL)


@pytest.mark.parametrize(
    ("space", "modality", "adjustment", "why"),
    [
        (dr(IB, VL), "text", Adjustment(), "an average over ImageBind and InternVL"),
        (cr(IB, CM, CG), "text", WHOLE, "an average over CLAP_m and CLAP_g"),
        (centred(IB), "text", Adjustment(), "its mean of text is not known"),
    ],
)
def test_what_stands_in_the_way_is_named(space, modality, adjustment, why):
    with pytest.raises(UsageError) as refused:
        single_path(space, modality, make_heads(space, 1), adjustment)
    assert why in f"{refused.value.what}; {refused.value.why}"


def test_several_projectors_are_refused():
    space = dr(IB, VL)
    with pytest.raises(UsageError) as refused:
        single_path(space, "text", make_heads(space, 3), ALONE)
    assert "Dr(InternVL) averages 3 projectors" in refused.value.why


# --- heads of such products as programs ---


def tensors_with(space, kind):
    """The tensors of a product with means, or with a map in the place of its projectors."""
    tensors = tensors_of(space, ["TVA"])
    if kind == "closed form":
        tensors = {f"0.TVA.{name}": value.numpy() for name, value in affine(space).state().items()}
    for leaf in leaves(space):
        if leaf.spec.centre:
            means = means_of(leaf).means
            tensors |= {f"mean.{leaf.label}.{m}": mean.numpy() for m, mean in means.items()}
    return tensors


@pytest.mark.parametrize(
    ("form", "kind", "space"),
    [
        ("torch", "closed form", cr(centred(IB), CM, recipe="procrustes")),
        ("onnx", "means", cr(centred(IB), centred(CM))),
        ("onnx", "closed form", dr(IB, VL, recipe="procrustes")),
    ],
)
def test_products_with_means_and_closed_forms_are_exported(tmp_path, form, kind, space):
    if form == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    record = record_of(space, ["TVA"])
    place = write_bundle(tmp_path / "bundle", record, tensors_with(space, kind))
    target = Target.of_bundle(load_bundle(place))
    exported = export_heads(target, form, tmp_path / "out")
    assert set(exported.config["modalities"]) == set(space.modalities)
    for modality, about in exported.config["modalities"].items():
        rows = {
            leaf.label: Encoder(leaf.spec).embed(modality, items_of(modality, 4))
            for leaf in leaves(space)
            if modality in leaf.modalities
        }
        inputs = [rows[entry["name"]] for entry in about["inputs"]]
        file = str(tmp_path / "out" / about["file"])
        if form == "torch":
            computed = torch.export.load(file).module()(*map(torch.from_numpy, inputs)).numpy()
        else:
            import onnxruntime

            input_by_name = {
                entry["name"]: array for entry, array in zip(about["inputs"], inputs, strict=True)
            }
            (computed,) = onnxruntime.InferenceSession(file).run(None, input_by_name)
        expected = project_rows(target, modality, rows, target.parts("cpu"))
        np.testing.assert_allclose(computed, expected, atol=1e-5)


def test_layers_of_descriptions():
    layer = torch.randn(8, 8, generator=torch.Generator().manual_seed(2)), torch.full((8,), 0.1)
    node = Tuned("lcl", IB, ("kb",))
    parts = {(node, None): AlignedLayers({"image": layer})}
    check(node, parts, Adjustment(), "image", IB)
    check(node, parts, Adjustment(), "text", IB)


def test_a_model_is_whole_anyway(tmp_path):
    with pytest.raises(UsageError, match="--whole says nothing of sentence-transformers"):
        export("bundle", "sentence-transformers", tmp_path / "out", whole=True)
