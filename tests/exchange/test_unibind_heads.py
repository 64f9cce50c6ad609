"""Layers trained with UniBind's code: read from whole models, checked, used on raw rows."""

import math
import pickle
from dataclasses import replace

import imagebind_toy as toy
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from molspace_cli.importing import app
from reactions.core.catalogue import Catalogue
from reactions.core.errors import DataError, DimensionMismatch, MissingError, UsageError
from reactions.core.hashing import file_digest
from reactions.core.types import Item
from reactions.encoders import registry
from reactions.encoders.raw_view import RawView
from reactions.exchange.unibind_heads import import_layers
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store

D = toy.SIZES.dim


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    contents = toy.state()
    contents["modality_postprocessors.thermal.1.log_logit_scale"] = torch.tensor(math.log(10))
    path = toy.write(tmp_path_factory.mktemp("toy") / "x.safetensors", contents)
    return toy.spec(path, "image", "text", "thermal", weights_digest=file_digest(path))


@pytest.fixture
def lab(spec):
    return replace(load_lab("mini"), catalogue=Catalogue({"ImageBind": spec}))


def model(modality, d=D, **more):
    """What train.py writes: the backbone, and the layer of one modality."""
    drawn = torch.Generator().manual_seed(d + len(modality))
    return {
        "backbone.bind.logit_scale": torch.ones(()),
        f"mlp_for_{modality}.weight": torch.randn(d, d, generator=drawn),
        f"mlp_for_{modality}.bias": torch.randn(d, generator=drawn),
        **more,
    }


def saved(folder, modality, contents=None):
    path = folder / f"{modality}_model_best.pt"
    torch.save(model(modality) if contents is None else contents, path)
    return path


def test_layers_act_on_rows_of_the_models_norm(lab, spec, tmp_path):
    paths = [saved(tmp_path, "thermal"), saved(tmp_path, "image")]
    imported = import_layers(paths, lab, space="ImageBind", out=tmp_path / "bundle")
    bundle = imported.bundle
    assert bundle.expression == (
        "ImageBind + Lcl(unpublished, modalities=(image, thermal), norms=published)"
    )
    assert "it is not compared with ImageBind" in imported.notices[0]
    assert set(bundle.record["imported"]["files"]) == {path.name for path in paths}
    session = Session(lab, Store(tmp_path / "store"), "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3)).astype(np.uint8)
    for modality in ("image", "thermal"):
        items = [Item(f"p{k}", modality, value) for k, value in enumerate(pixels)]
        rows = session.embedder(session.target(bundle.path)).embed(modality, items)
        # As the published code has it: backbone, layer, norm.
        state = model(modality)
        layer = torch.nn.Linear(D, D)
        layer.load_state_dict(
            {name: state[f"mlp_for_{modality}.{name}"] for name in ("weight", "bias")}
        )
        raw = torch.from_numpy(RawView(registry.load(spec)).embed(modality, items))
        with torch.no_grad():
            out = layer(raw)
        expected = (out / out.norm(dim=-1, keepdim=True)).numpy()
        np.testing.assert_allclose(rows, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        ({"mlp_for_image.weight": torch.ones(D, D)}, "bias"),
        ({"weight": torch.ones(2)}, "it has no mlp_for_MODALITY.weight"),
        (model("image") | model("thermal"), "it has layers of image, thermal"),
        (model("image", head=torch.ones(2)), "it holds head"),
        (model("image", **{"mlp_for_image.bias": torch.ones(3)}), "mlp_for_image.bias"),
        (model("image", **{"mlp_for_image.bias": torch.full((D,), math.nan)}), ""),
        ({}, ""),
    ],
)
def test_files_that_are_something_else(contents, why, lab, tmp_path):
    with pytest.raises(DataError) as caught:
        import_layers([saved(tmp_path, "image", contents)], lab, space="ImageBind")
    assert why in f"{caught.value.what} {caught.value.why}"


def test_nothing_in_a_file_is_run(lab, tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("it ran",)

    path = tmp_path / "image_model_best.pt"
    path.write_bytes(pickle.dumps({"mlp_for_image.weight": Trap()}))
    with pytest.raises(DataError):
        import_layers([path], lab, space="ImageBind")


def test_layers_that_do_not_fit(lab, tmp_path):
    image = saved(tmp_path, "image")
    second_layer = saved(tmp_path, "image2", model("image"))
    for paths, space, error, words in (
        ([image, second_layer], "ImageBind", UsageError, "both have a layer of image"),
        ([saved(tmp_path, "event")], "ImageBind", UsageError, "does not embed event"),
        ([saved(tmp_path, "point")], "ImageBind", UsageError, "does not embed point"),
        ([tmp_path / "none.pt"], "ImageBind", MissingError, "there is no file"),
        ([saved(tmp_path, "x", model("image", d=8))], "ImageBind", DimensionMismatch, "not fit"),
    ):
        with pytest.raises(error, match=words) as caught:
            import_layers(paths, lab, space=space)
        if words.endswith("event"):
            assert 'event = "unibind"' in caught.value.fix
    mini = load_lab("mini")
    with pytest.raises(UsageError, match="gives rows of norm 1 alone"):
        import_layers([saved(tmp_path, "y", model("image", d=128))], mini, space="ImageBind")


def test_the_command(lab, tmp_path, monkeypatch):
    monkeypatch.setattr("molspace_cli.importing.ImportOptions.open", lambda self: lab)
    monkeypatch.chdir(tmp_path)
    command = ["unibind", str(saved(tmp_path, "image")), "--out", str(tmp_path / "made")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "made")
    assert "Lcl(unpublished, modalities=image, norms=published)" in result.stderr
