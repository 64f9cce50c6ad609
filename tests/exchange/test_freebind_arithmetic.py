"""Imported bundles embed as FreeBind's published code does; see ``freebind_by_hand``."""

import numpy as np
import pytest
import torch
from fakes import unit_rows
from freebind_by_hand import fused, projected, unit
from published_heads import WIDTHS, lab_file, write_freebind

from reactions.core.types import Leaf, leaves
from reactions.exchange.import_freebind import import_freebind
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle
from reactions.products.fuse import fuse
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import Adjustment, effective_means

DIMS = {"ImageBind": 8, "InternVL": 6, "CLAP_m": 4, "CLAP_g": 5}
N = 5


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write_freebind(tmp_path_factory.mktemp("published"), DIMS, *WIDTHS)


@pytest.fixture
def lab(tmp_path):
    return load_lab(str(lab_file(tmp_path, DIMS)))  # it says nothing of means: eq10


def embedded(bundle, adjustment, rows):
    heads = {
        place: ProjectorMixture(head.double() for head in projectors)
        for place, projectors in bundle.parts().items()
    }
    tensors = {leaf: torch.from_numpy(rows[leaf.label]) for leaf in leaves(bundle.space)}
    return {
        modality: fuse(bundle.space, modality, tensors, heads, adjustment).numpy()
        for modality in bundle.space.modalities
    }


def rows_of(bundle):
    return {
        leaf.label: unit(unit_rows(N, leaf.dim, seed).astype(np.float64))
        for seed, leaf in enumerate(leaves(bundle.space))
    }


def check(bundle, adjustment, rows, expected):
    for modality, modality_rows in embedded(bundle, adjustment, rows).items():
        # Both in double precision: only the order of operations differs.
        np.testing.assert_allclose(modality_rows, expected[modality], rtol=0, atol=1e-12)


@pytest.mark.parametrize("factors", [(0.5, 0.1), (0.8, 0.5)])  # as its README sets them
def test_imagebind_plus_plus(published, lab, factors):
    (imported,) = import_freebind(published, lab, name="IB_PP")
    bundle = load_bundle(imported.bundle.path)
    x = rows_of(bundle)
    g, m = (projected(published, f"IB_PP_{e}_Proj", x[f"CLAP_{e.lower()}"]) for e in "GM")
    audio, text = factors
    expected = {
        "audio": fused(audio, x["ImageBind"], g, m),
        "text": fused(text, x["ImageBind"], g, m),
        "image": x["ImageBind"],
    }
    check(bundle, Adjustment(sigma={"": factors}), x, expected)


@pytest.mark.parametrize("share", [0.1, 0.2])  # of ImageBind: the paper's, and the code's
def test_internvl_ib_plus_plus(published, lab, share):
    (imported,) = import_freebind(published, lab, name="InternVL_IB_PP")
    bundle = load_bundle(imported.bundle.path)
    x = rows_of(bundle)
    u = projected(published, "InternVL_IB_Proj", x["ImageBind"])
    g, m = (projected(published, f"InternVL_IB_PP_{e}_Proj", x[f"CLAP_{e.lower()}"]) for e in "GM")
    image = fused(share, x["InternVL"], u)
    expected = {
        "image": image,
        "text": fused(0.1, image, g, m),
        # The published code leaves audio in ImageBind's space, where it cannot be added.
        "audio": fused(0.5, unit(u.mean(axis=0)), g, m),
    }
    chosen = Adjustment(sigma={"": (0.5, 0.1)}, lambda_={"": 1 - share})
    check(bundle, chosen, x, expected)


def test_an_expert_left_out(published, lab):
    (imported,) = import_freebind(published, lab, name="IB_PP")
    bundle = load_bundle(imported.bundle.path)
    x = rows_of(bundle)
    g = projected(published, "IB_PP_G_Proj", x["CLAP_g"])
    alone = Adjustment(sigma={"": (0.5, 0.1)}, experts=frozenset({"CLAP_g"}))
    audio = embedded(bundle, alone, x)["audio"]
    np.testing.assert_allclose(audio, fused(0.5, x["ImageBind"], g), rtol=0, atol=1e-12)
    (single,) = import_freebind(published, lab, name="IB_PP_G")
    np.testing.assert_allclose(embedded(single.bundle, alone, x)["audio"], audio, atol=1e-12)
    assert (single.bundle.record["format"], imported.bundle.record["format"]) == (1, 2)


def test_a_bundle_says_how_its_experts_are_averaged(published, lab):
    (imported,) = import_freebind(published, lab, name="InternVL_IB_PP")
    assert imported.bundle.record["tree"]["mean"] == "unit"
    assert "mean" not in imported.bundle.record["tree"]["base"]
    assert effective_means(load_bundle(imported.bundle.path).space) == {"CLAP_m & CLAP_g": "unit"}
    assert isinstance(imported.bundle.space.base.base, Leaf)
