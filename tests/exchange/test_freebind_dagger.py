"""InternVL_IB-dagger and InternVL_IB-dagger++ as bundles."""

import json
import shutil
from dataclasses import replace

import imagebind_reference as reference
import imagebind_toy as toy
import numpy as np
import pytest
import soundfile
import torch
from bundles import rewrite
from fakes import unit_rows
from freebind_by_hand import fused, projected, tuned, unit
from published_heads import WIDTHS, lab_file, tuned_state, write_freebind

from molspace_cli.show import show
from reactions.core.errors import BundleError, DataError, DimensionMismatch, MissingError
from reactions.core.hashing import file_digest
from reactions.core.paths import data_root
from reactions.core.types import Item, leaves
from reactions.encoders.imagebind.adapter import ImageBindAdapter
from reactions.exchange.freebind_products import TUNED_FILES, find_products
from reactions.exchange.import_freebind import import_freebind
from reactions.exchange.model_card import model_card
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle
from reactions.products.fuse import fuse
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import needed_leaves, tuned_leaf, tuned_nodes
from reactions.session import Session

DIMS = {"ImageBind": toy.SIZES.dim, "InternVL": 6, "CLAP_m": 4, "CLAP_g": 5}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = write_freebind(tmp_path_factory.mktemp("all"), DIMS, *WIDTHS)
    torch.save(tuned_state(toy.SIZES, DIMS["InternVL"], seed=9), folder / TUNED_FILES[0])
    return folder


@pytest.fixture
def published(tmp_path, release):
    return shutil.copytree(release, tmp_path / "published")


@pytest.fixture
def lab(tmp_path):
    weights = toy.write(tmp_path / "toy.safetensors")
    return load_lab(str(lab_file(tmp_path, DIMS, imagebind=weights)))


def test_the_record_says_what_was_tuned(published, lab):
    (imported,) = import_freebind(published, lab, name="InternVL_IB-dagger++")
    bundle = load_bundle(imported.bundle.path)
    assert bundle.expression == (
        "ImageBind + Dr(InternVL) | Ft(audio~image, heads=true) | "
        "Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit)"
    )
    (part,) = bundle.record["parts"]
    assert (part["kind"], part["node"], part["about"]["heads"]) == ("ft", "base", True)
    assert part["about"]["space"] == "ImageBind"
    assert bundle.record["imported"]["product"] == "InternVL_IB_FTPP"
    files = bundle.record["imported"]["files"]
    assert len(files) == 22
    assert files[TUNED_FILES[0]] == file_digest(published / TUNED_FILES[0])
    assert str(published) not in json.dumps(bundle.record)


@pytest.mark.parametrize("name", ["InternVL_IB_FT", "InternVL_IB_FTPP", "InternVL_IB_FTPP_G"])
def test_it_embeds_as_the_published_code_means_to(published, lab, name):
    (imported,) = import_freebind(published, lab, name=name)
    bundle = load_bundle(imported.bundle.path)
    ((_, node),) = tuned_nodes(bundle.space)
    tuned_spec = tuned_leaf(node)  # ImageBind with the tuned audio encoder
    spaces = {leaf.label: leaf for leaf in leaves(bundle.space)}
    x = {
        label: unit(unit_rows(5, leaf.dim, seed).astype(np.float64))
        for seed, (label, leaf) in enumerate([*spaces.items(), ("tuned", tuned_spec)])
    }
    state = torch.load(published / TUNED_FILES[0], weights_only=True)
    u = projected(published, "InternVL_IB_Proj", x["ImageBind"])
    # As its InternVL_IB_FT has them; but that code projects audio twice, which cannot run: by the
    # tuned projectors, and again by those of InternVL_IB.
    image = fused(0.1, x["InternVL"], u)
    audio = unit(tuned(state, x["tuned"]).mean(axis=0))
    expected = {"image": image, "text": image, "audio": audio}
    experts = {"InternVL_IB_FTPP": "GM", "InternVL_IB_FTPP_G": "G"}.get(name, "")
    if experts:
        clap = [
            projected(published, f"InternVL_IB_FTPP_{e}_Proj", x[f"CLAP_{e.lower()}"])
            for e in experts
        ]
        expected |= {"text": fused(0.1, image, *clap), "audio": fused(0.5, audio, *clap)}
    heads = {place: in_double(part) for place, part in bundle.parts().items()}
    tensors = {leaf: torch.from_numpy(x[label]) for label, leaf in spaces.items()}
    tensors[tuned_spec] = torch.from_numpy(x["tuned"])
    for modality, rows in expected.items():
        needed = needed_leaves(bundle.space, modality)
        assert (tuned_spec in needed) == (modality == "audio")
        assert (spaces["ImageBind"] in needed) == (modality != "audio")
        stored = {leaf: tensors[leaf] for leaf in needed}
        actual = fuse(bundle.space, modality, stored, heads).numpy()
        # Both in double precision: only the order of operations differs.
        np.testing.assert_allclose(actual, rows, rtol=0, atol=1e-12)


def in_double(part):
    if isinstance(part, ProjectorMixture):
        return ProjectorMixture(head.double() for head in part)
    return replace(part, heads={place: in_double(inner) for place, inner in part.heads.items()})


def test_the_part_holds_the_tuned_tower(published, lab):
    (imported,) = import_freebind(published, lab, name="InternVL_IB_FT")
    ((_, node),) = tuned_nodes(imported.bundle.space)
    part = imported.bundle.parts()[node, None]
    state = torch.load(published / TUNED_FILES[0], weights_only=True)
    tower = {k.removeprefix("ib."): v for k, v in state.items() if k.startswith("ib.")}
    scale = tower.pop("modality_postprocessors.audio.1.log_logit_scale")
    assert scale.ndim == 0  # of all rows, which are rescaled
    assert part.encoder.keys() == tower.keys()
    assert all(torch.equal(part.encoder[name], value) for name, value in tower.items())
    base = toy.state()["modality_heads.audio.2.weight"]
    assert not torch.equal(part.encoder["modality_heads.audio.2.weight"], base)


def test_the_tuned_tower_hears_as_the_published_network_does(published, lab):
    (imported,) = import_freebind(published, lab, name="InternVL_IB_FT")
    ((_, node),) = tuned_nodes(imported.bundle.space)
    state = torch.load(published / TUNED_FILES[0], weights_only=True)
    tower = {k.removeprefix("ib."): v for k, v in state.items() if k.startswith("ib.")}
    published_network = reference.model({**toy.state(), **tower})
    spec = lab.catalogue.by_name("ImageBind")
    ours = ImageBindAdapter().load(replace(spec, modalities=("audio",)))
    left = ours.tower("audio").load_state_dict(
        imported.bundle.parts()[node, None].encoder, strict=False
    )
    assert not left.unexpected_keys
    assert left.missing_keys == ["modality_postprocessors.audio.1.log_logit_scale"]
    clips = torch.randn(3, 3, 1, 128, 204, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        rows = published_network({"audio": clips})["audio"]
        untuned = reference.model(toy.state())({"audio": clips})["audio"]
    expected = torch.nn.functional.normalize(rows, dim=-1).numpy()
    embedded = ours.forward("audio", list(clips.numpy()))
    # Single precision.
    np.testing.assert_allclose(embedded, expected, atol=1e-5)
    assert np.abs(embedded - torch.nn.functional.normalize(untuned, dim=-1).numpy()).max() > 0.1


def write_sound(path, seed):
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * (200 + 90 * seed) * np.arange(3 * 16000) / 16000)
    soundfile.write(path, 0.3 * tone + rng.normal(0, 0.02, tone.shape), 16000, subtype="PCM_16")
    return path


def test_sounds_embed_as_by_the_published_networks(published, lab, tmp_path):
    pytest.importorskip("ftfy")  # ImageBind's texts
    loaders = reference.data()
    (imported,) = import_freebind(published, lab, name="InternVL_IB_FT")
    session = Session(lab, device="cpu")
    paths = [write_sound(tmp_path / f"{k}.wav", k) for k in range(3)]
    embedder = session.embedder(session.target(imported.bundle.path))
    embeddings = embedder.embed("audio", [Item(path.name, "audio", path) for path in paths])
    state = torch.load(published / TUNED_FILES[0], weights_only=True)
    tower = {k.removeprefix("ib."): v for k, v in state.items() if k.startswith("ib.")}
    published_network = reference.model({**toy.state(), **tower})
    with torch.inference_mode():
        trunk_rows = published_network(
            {"audio": loaders.load_and_transform_audio_data(paths, "cpu")}
        )["audio"]
    rows = tuned(state, unit(trunk_rows.double().numpy()))
    # Spectrograms agree to 1e-4.
    np.testing.assert_allclose(embeddings, unit(rows.mean(axis=0)), atol=2e-3)


def test_show_and_the_card_say_what_is_not_known(published, lab, capsys):
    (imported,) = import_freebind(published, lab, name="InternVL_IB_FT")
    card = model_card(load_bundle(imported.bundle.path), "me/dagger")
    assert "Its audio was tuned on pairs with image that were not published." in card
    assert "but what tuning changed in the encoder of ImageBind (MIT)" in card
    show(str(imported.bundle.path), as_json=False)
    output = capsys.readouterr().out
    assert "tuned audio\tthe encoder of ImageBind and the projectors behind it on pairs" in output


HALVES = [
    {"pairs": 3},
    {"steps": 7},
    {"settings": {"epochs": 2}},
    {"subsets": [["T"]]},
    {"heads": False},
]


@pytest.mark.parametrize("change", HALVES, ids=str)
def test_a_record_cannot_claim_half_of_it(published, lab, change):
    (imported,) = import_freebind(published, lab, name="InternVL_IB_FT")
    rewrite(imported.bundle.path, lambda record: record["parts"][0]["about"].update(change))
    with pytest.raises(BundleError, match="incoherent"):
        load_bundle(imported.bundle.path)


# --- what there is ---


def names(folder):
    products, left_out = find_products(folder)
    return [product.name for product in products], left_out


def test_all_that_was_published_makes_five_products(published):
    assert names(published) == (
        ["IB_PP", "InternVL_IB", "InternVL_IB_PP", "InternVL_IB_FT", "InternVL_IB_FTPP"],
        [],
    )


def test_the_readme_calls_the_file_otherwise(published):
    (published / TUNED_FILES[0]).rename(published / TUNED_FILES[1])
    assert "InternVL_IB_FTPP" in names(published)[0]


def test_what_lacks_its_base_is_left_out_and_told(published, lab):
    shutil.rmtree(published / "InternVL_IB_FTPP_M_Proj")
    assert "InternVL_IB_FTPP_G" in names(published)[0]
    (published / TUNED_FILES[0]).unlink()
    products, (remark,) = names(published)
    assert products == ["IB_PP", "InternVL_IB", "InternVL_IB_PP"]
    assert remark == (
        "InternVL_IB_FTPP_G_Proj is left out: it needs InternVL_IB_audio_with_head.pt (the tuned "
        "audio encoder), which is not there"
    )
    with pytest.raises(MissingError, match="tuned audio encoder") as caught:
        import_freebind(published, lab, name="InternVL_IB_FTPP_G")
    assert caught.value.fields["missing"] == [f"{TUNED_FILES[0]} (the tuned audio encoder)"]
    assert not (data_root() / "bundles").exists()


def test_a_tuned_encoder_without_its_base_is_told(published):
    shutil.rmtree(published / "InternVL_IB_Proj")
    products, left_out = names(published)
    assert products == ["IB_PP"]
    assert (
        f"{TUNED_FILES[0]} is left out: it needs InternVL_IB_Proj, which is not there" in left_out
    )


# --- what does not fit ---


def test_the_lab_has_to_open_imagebind_itself(published, tmp_path):
    other = load_lab(str(lab_file(tmp_path, DIMS)))
    with pytest.raises(DataError, match="opened by the adapter 'fake'"):
        import_freebind(published, other)
    assert not (data_root() / "bundles").exists()
    assert import_freebind(published, other, name="InternVL_IB_PP")


@pytest.mark.parametrize("change", [{"depth": 1}, {"depth": 3}, {"width": 12}])
def test_an_imagebind_of_another_size_is_refused(published, lab, change):
    sizes = replace(toy.SIZES, towers={"audio": replace(toy.SIZES.towers["audio"], **change)})
    torch.save(tuned_state(sizes, DIMS["InternVL"]), published / TUNED_FILES[0])
    with pytest.raises(DimensionMismatch, match="does not fit space 'ImageBind'"):
        import_freebind(published, lab, name="InternVL_IB_FT")


def test_projectors_into_another_space_are_refused(published, lab):
    torch.save(tuned_state(toy.SIZES, 7), published / TUNED_FILES[0])
    with pytest.raises(DimensionMismatch, match="give 7 dimensions, the product has 6"):
        import_freebind(published, lab, name="InternVL_IB_FT")
