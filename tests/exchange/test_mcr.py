import shutil

import pytest
import torch
from fakes import unit_rows
from published_heads import lab_file, mcr_state

from reactions.core.errors import (
    DataError,
    DimensionMismatch,
    LanguageError,
    MissingError,
    NotSupportedYet,
)
from reactions.core.paths import data_root
from reactions.core.types import leaves
from reactions.dsl.parser import parse
from reactions.exchange.import_mcr import CLIP, LAYOUTS, OURS, import_mcr
from reactions.exchange.model_card import model_card
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle
from reactions.products.fuse import fuse
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import effective_factors, needed_leaves

# InternVL stands for CLIP: images and text. All different, so that a head in the wrong place
# cannot fit; what is published is 512 throughout.
DIMS = {"ImageBind": 8, "InternVL": 6, "CLAP_m": 4, "CLAP_g": 5}
WIDTHS = {
    "cmcr": {"base": 6, "expert": 5, "new": 7, "hidden of Head_A": 10, "hidden of Head_B": 12},
    "exmcr": {"base": 6, "expert": 5, "hidden": 10},
}
SPACES = {"base": "InternVL", "expert": "CLAP_g"}


@pytest.fixture
def lab(tmp_path):
    return load_lab(str(lab_file(tmp_path, DIMS)))


@pytest.fixture(params=["cmcr", "exmcr"])
def recipe(request):
    return request.param


@pytest.fixture
def file(tmp_path, recipe):
    path = tmp_path / {"cmcr": "clap_clip.pt", "exmcr": "ex_clap.pt"}[recipe]
    torch.save(mcr_state(LAYOUTS[recipe], WIDTHS[recipe], seed=1), path)
    return path


def unit(x):
    return x / x.norm(dim=1, keepdim=True)


def by_hand(state, name, x):
    """One published MLP, written out in double precision."""
    for net, norm in (("net1.0", "net1.1"), ("net2.0", "net2.1")):
        linear = {k: state[f"{name}.{net}.{k}"].double() for k in ("weight", "bias")}
        keys = ("weight", "bias", "running_mean", "running_var")
        bn = {k: state[f"{name}.{norm}.{k}"].double() for k in keys}
        x = x @ linear["weight"].T + linear["bias"]
        x = (x - bn["running_mean"]) / (bn["running_var"] + 1e-5).sqrt() * bn["weight"] + bn["bias"]
        if net == "net1.0":
            x = x.clamp(min=0)
    return x


def published(recipe, file, x):
    """What the published inference gives: text from CLIP alone."""
    state = torch.load(file, weights_only=True)
    clip, clap = x["InternVL"], x["CLAP_g"]
    if recipe == "cmcr":
        clip, clap = by_hand(state, "Head_B", clip), by_hand(state, "Head_A", clap)
    else:
        clap = clap @ state["Head1.weight"].double().T + state["Head1.bias"].double()
        clap = by_hand(state, "Head2.mlp2", by_hand(state, "Head2.mlp1", clap))
    return {"image": unit(clip), "text": unit(clip), "audio": unit(clap)}


def test_a_bundle_embeds_as_published(recipe, file, lab):
    bundle = load_bundle(import_mcr(recipe, file, lab, **SPACES).path)
    rows = {
        leaf: unit(torch.from_numpy(unit_rows(5, leaf.dim, seed)).double())
        for seed, leaf in enumerate(leaves(bundle.space))
    }
    heads = {
        key: ProjectorMixture(head.double() for head in mixture_heads)
        for key, mixture_heads in bundle.parts().items()
    }
    expected = published(recipe, file, {leaf.spec.name: x for leaf, x in rows.items()})
    for modality, expected_rows in expected.items():
        needed = needed_leaves(bundle.space, modality)
        assert [leaf.label for leaf in needed] == ["CLAP_g" if modality == "audio" else "InternVL"]
        fused = fuse(bundle.space, modality, {leaf: rows[leaf] for leaf in needed}, heads)
        # Both in double precision: only the order of operations differs.
        assert torch.allclose(fused, expected_rows, rtol=0, atol=1e-12), modality
    assert bundle.space.modalities == ("audio", "image", "text")
    assert bundle.space.dim == {"cmcr": 7, "exmcr": 6}[recipe]


def test_a_record_says_what_it_is(recipe, file, lab):
    bundle = import_mcr(recipe, file, lab, **SPACES)
    assert bundle.record["imported"]["from"] == recipe
    assert list(bundle.record["imported"]["files"]) == [file.name]
    assert (
        bundle.expression
        == {
            "cmcr": 'InternVL + Dr("C-MCR", recipe=cmcr) | Cr(CLAP_g, sigma=0, recipe=cmcr)',
            "exmcr": "InternVL + Cr(CLAP_g, sigma=0, recipe=exmcr)",
        }[recipe]
    )
    parse(bundle.expression)
    assert effective_factors(bundle.space) == {"sigma CLAP_g": {"text": 0.0}}
    assert bundle.expression in model_card(bundle, "me/fused")
    assert import_mcr(recipe, file.parent, lab, **SPACES).digest == bundle.digest


def test_layouts_are_those_of_the_heads(recipe):
    names = {name for head in OURS[recipe].values() for name in head}
    assert {name for name in LAYOUTS[recipe] if not name.endswith("tracked")} == names


def test_published_widths_fit(recipe, tmp_path):
    lab = load_lab(str(lab_file(tmp_path, dict.fromkeys(DIMS, 512))))
    widths = {name: 1024 if "hidden" in name else 512 for name in WIDTHS[recipe]}
    torch.save(mcr_state(LAYOUTS[recipe], widths, seed=1), tmp_path / "a.pt")
    bundle = import_mcr(recipe, tmp_path / "a.pt", lab, **SPACES)
    assert all(head.widths == (512, 512) for heads in bundle.parts().values() for head in heads)


def test_other_spaces_do_not_fit(recipe, file, lab):
    with pytest.raises(DimensionMismatch, match="CLAP has 5 dimensions there, CLAP_m has 4"):
        import_mcr(recipe, file, lab, base="InternVL", expert="CLAP_m")
    with pytest.raises(DimensionMismatch, match="CLIP has 6 dimensions there, ImageBind has 8"):
        import_mcr(recipe, file, lab, base="ImageBind", expert="CLAP_g")
    with pytest.raises(LanguageError, match="did you mean 'CLAP_m'"):
        import_mcr(recipe, file, lab, base="InternVL", expert="clapm")
    with pytest.raises(LanguageError) as caught:
        import_mcr(recipe, file, lab)
    assert CLIP in str(caught.value)
    assert caught.value.exit_code == 3
    assert not (data_root() / "bundles").exists()


def test_a_damaged_file_is_named(recipe, file, lab, tmp_path):
    state = torch.load(file, weights_only=True)
    name = next(iter(state))
    torch.save({**state, name: state[name] * float("inf")}, tmp_path / "inf.pt")
    with pytest.raises(DataError, match=f"{name} is not finite"):
        import_mcr(recipe, tmp_path / "inf.pt", lab, **SPACES)
    del state[name]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(DataError, match=f"1 missing: {name}"):
        import_mcr(recipe, tmp_path / "less.pt", lab, **SPACES)
    (tmp_path / "cut.pt").write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        import_mcr(recipe, tmp_path / "cut.pt", lab, **SPACES)
    file.unlink()
    with pytest.raises(MissingError, match=f"there is no {file.name}"):
        import_mcr(recipe, tmp_path, lab, **SPACES)
    with pytest.raises(MissingError, match="there is no such file"):
        import_mcr(recipe, file, lab, **SPACES)
    assert not (data_root() / "bundles").exists()


def test_the_other_methods_file_is_recognised(recipe, file, lab, tmp_path):
    other = {"cmcr": "exmcr", "exmcr": "cmcr"}[recipe]
    path = shutil.copyfile(file, tmp_path / "other.pt")
    with pytest.raises(DataError, match=f"molspace import {recipe}"):
        import_mcr(other, path, lab, **SPACES)


def test_half_mlps_are_refused_by_name(lab, tmp_path):
    state = {f"Head_{x}.net.0.weight": torch.zeros(5, 5) for x in "AB"}
    torch.save(state, tmp_path / "ulip_clip.pt")
    with pytest.raises(NotSupportedYet, match="half MLPs"):
        import_mcr("cmcr", tmp_path / "ulip_clip.pt", lab, **SPACES)


def test_hidden_layers_of_another_width_are_refused(lab, tmp_path):
    state = mcr_state(LAYOUTS["exmcr"], {**WIDTHS["exmcr"], "hidden": 9}, seed=1)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(DataError, match="9 dimensions, not twice the 5"):
        import_mcr("exmcr", tmp_path / "a.pt", lab, **SPACES)
